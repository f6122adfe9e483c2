"""From an alert to the words of its mail: subject, text and HTML, rendered once for all readers of a variant.

What is a reader's own, the token in their link, stands in both parts as a hole: 43 random characters, new in
each rendering, so that nothing a feed says can name it.
"""

import secrets
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from urllib.parse import urlsplit

from jinja2 import TemplateError
from markupsafe import Markup

from alerts.errors import ConfigError
from alerts.mail.story import Story, cut, read_story
from alerts.mail.templates import Templates
from alerts.mail.words import clean, clean_lines, clip, quoted_printable

# Gmail hides what is beyond about 102 KB, and with it the way to unsubscribe.
_PARTS_LIMIT = 96_000
_STORIES_BUDGET = 80_000
_LEAST_BUDGET = 2_400
_TITLE_LIMIT = 160
_MADE_TITLE_LIMIT = 80
_NAME_LIMIT = 80
_PREHEADER_LIMIT = 140
_WORDS_LIMIT = 1_000  # as much of a text as titles and preheaders can need
_URL_LIMIT = 2_000
_TOPICS_LIMIT = 10
_ALSO_LIMIT = 3
# What a template of the site's own can do wrong while it runs.
_TEMPLATE_FAULTS = (TemplateError, ArithmeticError, AttributeError, LookupError, TypeError, ValueError)


@dataclass(frozen=True, slots=True)
class EntryView:
    """An entry as its feed gave it; nothing in it is trusted."""

    title: str
    text: str
    html: str
    author: str
    url: str
    published_at: datetime | None
    is_key_event: bool | None
    source: str
    also_by: tuple[str, ...] = ()  # other feeds that told the same


@dataclass(frozen=True, slots=True)
class AlertView:
    """What one variant's mail is about, and why its readers get it."""

    entries: tuple[EntryView, ...]
    topics: tuple[str, ...]
    frequency: str
    language: str
    released_at: datetime


@dataclass(frozen=True, slots=True)
class SiteView:
    """Who sends; `base_url` has no slash at its end."""

    name: str
    base_url: str
    sender_name: str
    sender: str
    contact: str
    postal_address: str


@dataclass(frozen=True, slots=True)
class Rendered:
    """A mail's words; `hole` stands at least once in text and in html, where the reader's token goes."""

    subject: str
    text: str
    html: str
    hole: str


@dataclass(frozen=True, slots=True)
class ShownEntry:
    """An entry as templates see it: every value clean, and empty when there is none."""

    headline: str
    is_untitled: bool  # the headline only repeats how the story begins
    url: str
    author: str
    source: str
    published_at: datetime
    html: Markup
    text: str
    is_cut: bool
    is_key_event: bool
    also_by: tuple[str, ...]


class Renderer:
    """Renders alerts for one site; cheap to use again and from several threads."""

    def __init__(self, site: SiteView, folders: Sequence[Path]) -> None:
        """Reads the templates, those in `folders` before ours; raises ConfigError when one cannot be parsed."""
        self._site = site
        self._templates = Templates(folders, "mail/alert", ("subject.txt", "body.txt", "body.html"))

    def render(self, view: AlertView) -> Rendered:
        """Gives the words of one variant's mail; both parts together stay below 96 KB in quoted-printable.

        Raises ConfigError when a template of the site's own fails, or leaves out the reader's link.
        """
        hole = _hole_not_in(f"{view!r}{self._site!r}")
        stories = [read_story(entry.html, entry.text) for entry in view.entries]
        rendered = self._fill(view, stories, hole, _STORIES_BUDGET)
        excess = _size(rendered) - _PARTS_LIMIT
        if excess > 0:
            rendered = self._fill(view, stories, hole, max(_LEAST_BUDGET, _STORIES_BUDGET - excess))
        return rendered

    def warm_up(self, language: str, now: datetime) -> None:
        """Renders a mail for nobody, so that the first one needs no template compiled and no locale read.

        Raises ConfigError as `render` does: a template that fails is better known at the start.
        """
        entry = EntryView(
            "Ready", "The templates are ready.", "<p>The templates are ready.</p>", "", "", None, None, ""
        )
        self.render(AlertView((entry,), (self._site.name,), "every", language, now))

    def _fill(self, view: AlertView, stories: Sequence[Story], hole: str, budget: int) -> Rendered:
        each = budget // max(1, len(stories))
        entries = [
            _shown(entry, cut(story, each), view.released_at)
            for entry, story in zip(view.entries, stories, strict=True)
        ]
        try:
            return self._run(view, entries, hole)
        except _TEMPLATE_FAULTS as error:
            raise ConfigError(f"A mail template failed: {type(error).__name__}: {error}") from error

    def _run(self, view: AlertView, entries: Sequence[ShownEntry], hole: str) -> Rendered:
        locale = self._templates.locale(view.language)
        context = {
            "site": self._site,
            "contact_url": contact_url(self._site.contact),
            "entries": entries,
            "topics": [clip(clean(topic), _NAME_LIMIT) for topic in view.topics[:_TOPICS_LIMIT]],
            "more_topics": max(0, len(view.topics) - _TOPICS_LIMIT),
            "frequency": view.frequency,
            "language": str(locale).replace("_", "-"),
            "direction": locale.text_direction,
            "preheader": clip(clean(view.entries[0].text[:_WORDS_LIMIT]), _PREHEADER_LIMIT),
        }
        templates = self._templates.of(locale)
        subject = clip(clean(templates["subject.txt"].render(context)), _TITLE_LIMIT) or clean(
            self._site.name
        )
        context |= {"subject": subject, "manage_url": f"{self._site.base_url}/u/{hole}"}
        text = _tidy_text(templates["body.txt"].render(context))
        html = _tidy_html(templates["body.html"].render(context))
        for name, part in (("body.txt", text), ("body.html", html)):
            if hole not in part:
                raise ConfigError(f"The template mail/alert/{name} must show {{{{ manage_url }}}}, as it is.")
        return Rendered(subject, text, html, hole)


def _hole_not_in(context: str) -> str:
    """Gives a marker as long as a token, of the same characters, that is nowhere in `context`."""
    while (hole := secrets.token_urlsafe(32)) in context:
        pass
    return hole


def _shown(entry: EntryView, story: Story, released_at: datetime) -> ShownEntry:
    title = clip(clean(entry.title), _TITLE_LIMIT)
    words = clean(entry.text[:_WORDS_LIMIT]) or clean(story.text)
    has_more = words != title  # some feeds give the headline as the text, too
    return ShownEntry(
        headline=title or clip(words, _MADE_TITLE_LIMIT),
        is_untitled=_only_begins(title, words),
        url=_web_url(entry.url),
        author=clip(clean(entry.author), _NAME_LIMIT),
        source=clip(clean(entry.source), _NAME_LIMIT),
        published_at=entry.published_at or released_at,
        html=Markup(story.html if has_more else ""),  # noqa: S704 - `tidy` wrote it from nh3's output
        text=story.text if has_more else "",
        is_cut=story.is_cut,
        is_key_event=entry.is_key_event is True,
        also_by=tuple(
            clip(name, _NAME_LIMIT) for each in entry.also_by[:_ALSO_LIMIT] if (name := clean(each))
        ),
    )


def _only_begins(title: str, words: str) -> bool:
    """Says whether `title` is none, or the story's first words with an ellipsis, as WordPress makes them."""
    stem = title.removesuffix("...").removesuffix("…").rstrip()
    return stem == "" or (stem != title and words.startswith(stem))


def _web_url(url: str) -> str:
    """Gives `url` when a reader can be sent there, else nothing: a URL cannot be clipped or mended."""
    if clean(url) != url or " " in url or len(quoted_printable(url)) > _URL_LIMIT:
        return ""
    try:
        parts = urlsplit(url)
    except ValueError:
        return ""
    return url if parts.scheme in {"http", "https"} and parts.netloc else ""


def contact_url(contact: str) -> str:
    """Gives the link to a site's contact, an address or a page; none when it is neither."""
    return f"mailto:{contact}" if "@" in contact and "/" not in contact else _web_url(contact)


def _tidy_text(text: str) -> str:
    lines = (line.rstrip() for line in clean_lines(text).split("\n"))
    paragraphs = "\n".join(lines).strip("\n").split("\n\n")
    return "\n\n".join(stripped for each in paragraphs if (stripped := each.strip("\n"))) + "\n"


def _tidy_html(html: str) -> str:
    lines = (line.strip(" ") for line in clean_lines(html).split("\n"))
    return "\n".join(filter(None, lines)) + "\n"


def _size(rendered: Rendered) -> int:
    return len(quoted_printable(rendered.text)) + len(quoted_printable(rendered.html))
