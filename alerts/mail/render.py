"""From a view to the words of its mail: subject, text and HTML, rendered once for all readers of a variant.

What is a reader's own, the token in their links, stands in both parts as a hole: 43 random characters, new in
each rendering, so that nothing a feed says can name it.
"""

import secrets
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from datetime import datetime
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

from jinja2 import Template, TemplateError

from alerts.errors import ConfigError
from alerts.mail import pieces
from alerts.mail.digest import Layout, in_order, lay_out
from alerts.mail.pieces import EntryPieces, Manner, PieceWriter
from alerts.mail.shown import (
    NAME_LIMIT,
    TITLE_LIMIT,
    TOPICS_LIMIT,
    WORDS_LIMIT,
    ShownEntry,
    contact_url,
    shown,
)
from alerts.mail.story import Story, cut, read_story
from alerts.mail.templates import Templates
from alerts.mail.views import (
    AlertView,
    Archive,
    DigestEntry,
    DigestView,
    EntryView,
    NoticeView,
    Rendered,
    SiteView,
)
from alerts.mail.words import clean, clip, quoted_printable, tidy_html, tidy_text

__all__ = [
    "AlertView",
    "DigestEntry",
    "DigestView",
    "EntryView",
    "NoticeView",
    "Rendered",
    "Renderer",
    "ShownEntry",
    "SiteView",
    "contact_url",
]

T = TypeVar("T")

# Gmail hides what is beyond about 102 KB, and with it the way to unsubscribe.
_PARTS_LIMIT = 96_000
_STORIES_BUDGET = 80_000
_LEAST_BUDGET = 2_400
_PREHEADER_LIMIT = 140
_PREHEADER_HEADLINES = 3
_LEADING_LIMIT = 110  # a headline that a count follows
_NOTICES = ("confirm", "link", "new-address", "old-address")
_KINDS = ("alert", "digest", *(f"notice/{kind}" for kind in _NOTICES))
_NAMES = tuple(f"{kind}/{name}" for kind in _KINDS for name in ("subject.txt", "body.txt", "body.html"))
# What a template of the site's own can do wrong while it runs.
_TEMPLATE_FAULTS = (TemplateError, ArithmeticError, AttributeError, LookupError, TypeError, ValueError)


class _Filled(NamedTuple):
    """A mail, how many bytes it takes, and what it tells: that could be less."""

    rendered: Rendered
    size: int
    told: Sequence[Story | Layout]


class Renderer:
    """Renders the mails of one site; cheap to use again and from several threads."""

    def __init__(self, site: SiteView, folders: Sequence[Path]) -> None:
        """Reads the templates, those in `folders` before ours; raises ConfigError when one cannot be parsed."""
        self._site = site
        self._templates = Templates(folders, "mail", (*_NAMES, *pieces.NAMES))
        self._pieces = PieceWriter(self._templates)

    def render(self, view: AlertView) -> Rendered:
        """Gives the words of one variant's mail; both parts together stay below 96 KB in quoted-printable.

        Raises ConfigError when a template of the site's own fails, or leaves out the reader's link.
        """
        hole = _hole()
        stories = [read_story(entry.html, entry.text) for entry in view.entries]
        return _within_limit(lambda room: self._alert(view, stories, hole, room))

    def render_digest(self, view: DigestView) -> Rendered:
        """Gives the words of one variant of a digest of one entry or more, no longer than an alert's.

        How entries look is kept, so that another variant of the same ones costs little. Raises as `render` does.
        """
        assert view.entries, "a digest is never empty"
        manner = Manner(str(self._templates.locale(view.language)), view.zone, view.frequency)
        told = _guarded(lambda: [self._pieces.of(each, manner) for each in in_order(view.entries)])
        return _within_limit(lambda room: self._digest(view, told, room))

    def render_notice(self, view: NoticeView) -> Rendered:
        """Gives the words of a notice; the hole is the token in its one link. Raises as `render` does."""
        hole = _hole()
        link_url = f"{self._site.base_url}/n/{hole}"
        named = view.topics[:TOPICS_LIMIT]
        context = {
            "topics": [(clip(clean(title), NAME_LIMIT), frequency) for title, frequency in named],
            "more_topics": len(view.topics) - len(named),
            "expires_at": view.expires_at,
            "preheader": "",
            "link_url": link_url,
        }
        rendered = self._run(f"notice/{view.kind}", view.language, context, hole)
        _require_link(rendered, f"notice/{view.kind}", "link_url", link_url)
        return rendered

    def warm_up(self, language: str, now: datetime) -> None:
        """Renders a mail of each kind for nobody, so that the first needs no template compiled and no locale read.

        Raises ConfigError as `render` does: a template that fails is better known at the start.
        """
        name = self._site.name
        entry = EntryView(
            "Ready", "The templates are ready.", "<p>The templates are ready.</p>", "", "", None, None, ""
        )
        self.render(AlertView((entry,), (name,), "every", language, now))
        self.render_digest(DigestView((DigestEntry(entry, (name,)),), (name,), "daily", language, now, "UTC"))
        for kind in _NOTICES:
            self.render_notice(NoticeView(kind, language, ((name, "every"),), now))

    def _alert(self, view: AlertView, stories: Sequence[Story], hole: str, room: int) -> _Filled:
        told = [cut(story, room // max(1, len(stories))) for story in stories]
        context = {
            "entries": [
                shown(entry, story, entry.published_at or view.released_at)
                for entry, story in zip(view.entries, told, strict=True)
            ],
            "preheader": clip(clean(view.entries[0].text[:WORDS_LIMIT]), _PREHEADER_LIMIT),
        }
        rendered = self._mail("alert", view, context, hole)
        return _Filled(rendered, _size(rendered), told)

    def _digest(self, view: DigestView, told: Sequence[EntryPieces], room: int) -> _Filled:
        layout = _guarded(lambda: lay_out(told, room))
        headline, *further = (each.headline for each in told[: 1 + _PREHEADER_HEADLINES])
        # The frame is rendered by itself: what is between was tidied and measured when it was written.
        marks = [_hole() for _ in range(2)]
        context = {
            "headline": clip(headline, _LEADING_LIMIT) if further else headline,
            "others": len(told) - 1,
            "preheader": clip(" · ".join(further), _PREHEADER_LIMIT),
            "due_at": view.due_at,
            "zone": view.zone,
            "is_late": view.is_late,
            "contents": marks[0] if layout.lines else "",
            "entries": marks[1],
            "unnamed": layout.unnamed,
            "archive_url": f"{self._site.base_url}/archive" if self._site.archive is not Archive.OFF else "",
        }
        frame = self._mail("digest", view, context, _hole())
        text, html = frame.text, frame.html
        for mark, in_text, in_html in zip(marks, layout.text, layout.html, strict=True):
            text, html = text.replace(mark, in_text), html.replace(mark, in_html)
        return _Filled(replace(frame, text=text, html=html), _size(frame) + layout.size, [layout])

    def _mail(
        self, kind: str, view: AlertView | DigestView, context: Mapping[str, Any], hole: str
    ) -> Rendered:
        manage_url = f"{self._site.base_url}/u/{hole}"
        common = {
            "topics": [clip(clean(topic), NAME_LIMIT) for topic in view.topics[:TOPICS_LIMIT]],
            "more_topics": max(0, len(view.topics) - TOPICS_LIMIT),
            "frequency": view.frequency,
            "manage_url": manage_url,
            "browser_url": f"{manage_url}/mail",
        }
        rendered = self._run(kind, view.language, {**common, **context}, hole)
        _require_link(rendered, kind, "manage_url", manage_url)
        return rendered

    def _run(self, kind: str, language: str, context: Mapping[str, Any], hole: str) -> Rendered:
        locale = self._templates.locale(language)
        templates = self._templates.of(locale)
        values = {
            "site": self._site,
            "contact_url": contact_url(self._site.contact),
            "language": str(locale).replace("_", "-"),
            "direction": locale.text_direction,
            **context,
        }
        return _guarded(lambda: _filled(templates, kind, values, hole, self._site))


def _filled(
    templates: Mapping[str, Template], kind: str, values: dict[str, Any], hole: str, site: SiteView
) -> Rendered:
    subject = clip(clean(templates[f"{kind}/subject.txt"].render(values)), TITLE_LIMIT) or clean(site.name)
    values["subject"] = subject
    text = tidy_text(templates[f"{kind}/body.txt"].render(values))
    html = tidy_html(templates[f"{kind}/body.html"].render(values))
    return Rendered(subject, text, html, hole)


def _guarded(run: Callable[[], T]) -> T:
    try:
        return run()
    except _TEMPLATE_FAULTS as error:
        raise ConfigError(f"A mail template failed: {type(error).__name__}: {error}") from error


def _require_link(rendered: Rendered, kind: str, name: str, url: str) -> None:
    for part, words in (("body.txt", rendered.text), ("body.html", rendered.html)):
        # The link to the mail in a browser begins with the same words, and brings nobody out.
        if words.count(url) == words.count(f"{url}/mail"):
            raise ConfigError(f"The template mail/{kind}/{part} must show {{{{ {name} }}}}, as it is.")


def _within_limit(fill: Callable[[int], _Filled]) -> Rendered:
    """Gives what `fill` makes of the room that it is given for stories: less of it while all is too long."""
    room = _STORIES_BUDGET
    while (excess := (filled := fill(room)).size - _PARTS_LIMIT) > 0 and room > _LEAST_BUDGET:
        # A frame may be large, and the stories short: then all that there is room for was not taken.
        taken = min(room, sum(each.size for each in filled.told))
        room = max(_LEAST_BUDGET, taken - excess)
    return filled.rendered


def _hole() -> str:
    """Gives a marker as long as a token, of the same characters, that nobody can have foreseen."""
    return secrets.token_urlsafe(32)


def _size(rendered: Rendered) -> int:
    return len(quoted_printable(rendered.text)) + len(quoted_printable(rendered.html))
