"""Renders the story's page at a moment: the HTML a visitor sees and the LiveBlogPosting inside it. Pure."""

import json
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup

from alerts.demo.story import ShownPost, Snapshot, Story, page_at

PAGES = Environment(
    loader=FileSystemLoader(Path(__file__).parent / "pages"),
    autoescape=True,
    undefined=StrictUndefined,
    trim_blocks=True,
    lstrip_blocks=True,
)


@dataclass(frozen=True, slots=True)
class Timing:
    """Turns story seconds into the time of day: `pace` 6 tells a minute in ten seconds."""

    opened: datetime
    started: datetime | None = None
    pace: float = 1.0

    def when(self, second: float) -> datetime:
        """Gives the moment of a story second; what came before the start keeps its real distance."""
        if second <= 0 or self.started is None:
            return self.opened + timedelta(seconds=min(second, 0))
        return self.started + timedelta(seconds=second / self.pace)

    def second(self, now: datetime) -> float:
        """Gives the story second of a moment; 0 until the story has started."""
        return 0.0 if self.started is None else (now - self.started).total_seconds() * self.pace


def anchor(url: str, post_id: str) -> str:
    """Gives the address of one post on the page."""
    return f"{url}#{post_id}"


def render(story: Story, second: float, timing: Timing, url: str) -> str:
    """Gives the whole page; the same story second gives the same bytes until the page changes."""
    snapshot = page_at(story, second)
    return PAGES.get_template("live.html").render(
        story=story,
        page=snapshot,
        url=url,
        when=timing.when,
        data=_script_safe(live_blog_posting(story, snapshot, timing, url)),
    )


def live_blog_posting(story: Story, page: Snapshot, timing: Timing, url: str) -> dict[str, Any]:
    """Gives the page as schema.org's LiveBlogPosting, the pinned copy first as publishers really do it."""
    shown = ([page.pinned] if page.pinned else []) + list(page.posts)
    posting: dict[str, Any] = {
        "@context": "https://schema.org",
        "@type": "LiveBlogPosting",
        "@id": url,
        "url": url,
        "headline": story.headline,
        "description": story.standfirst,
        "inLanguage": "en",
        "publisher": {"@type": "NewsMediaOrganization", "name": story.publisher},
        "datePublished": _stamp(timing.when(page.posts[-1].published)),
        "dateModified": _stamp(timing.when(page.updated)),
        "coverageStartTime": _stamp(timing.when(page.posts[-1].published)),
        "liveBlogUpdate": [_blog_posting(post, timing, url) for post in shown],
    }
    if page.ended is not None:
        posting["coverageEndTime"] = _stamp(timing.when(page.ended))
    return posting


def _blog_posting(post: ShownPost, timing: Timing, url: str) -> dict[str, Any]:
    return {
        "@type": "BlogPosting",
        "@id": anchor(url, post.id),
        "url": anchor(url, post.id),
        "headline": post.title,
        "articleBody": "".join(f"<p>{Markup.escape(paragraph)}</p>" for paragraph in post.paragraphs),
        "datePublished": _stamp(timing.when(post.published)),
        "dateModified": _stamp(timing.when(post.updated)),
        "author": {"@type": "Person", "name": post.author},
    }


def _stamp(moment: datetime) -> str:
    return moment.isoformat(timespec="seconds")


def _script_safe(value: dict[str, Any]) -> Markup:
    """Escapes what could end the script element the JSON stands in (HTML 4.12.1.3, script content)."""
    text = json.dumps(value, ensure_ascii=False, indent=1)
    return Markup(text.replace("<", "\\u003c"))  # noqa: S704 - the line's point: it holds no markup any more
