"""The pages, from values to HTML: the site's own templates before ours, in the reader's language."""

import base64
import hashlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from babel import Locale
from jinja2 import TemplateError
from markupsafe import Markup

from alerts.dispatch.archive import ArchivedEntry, ArchivedTopic, ArchivePage
from alerts.errors import ConfigError
from alerts.mail.kept import Kept
from alerts.mail.shown import ShownEntry, contact_url, shown
from alerts.mail.story import Story, cut, read_story
from alerts.mail.templates import Templates
from alerts.mail.views import Archive, EntryView, SiteView
from alerts.web.languages import negotiated
from alerts.web.reader import Done, ReaderView

_NAMES = (
    "manage.html",
    "gone.html",
    "failed.html",
    "forgotten.html",
    "archive.html",
    "archive-topic.html",
    "style.css",
)
# Of an entry in the archive: characters that are read, and bytes, as in a mail, that are shown.
_STORY_INPUT = 20_000
_STORY_LIMIT = 8_000
_KEPT_STORIES = 8_000_000


class Pages:
    """Renders the pages of one site; those that name no reader are made once, so that strangers cost nothing."""

    def __init__(self, site: SiteView, folders: Sequence[Path]) -> None:
        """Raises ConfigError when a template is missing or wrong."""
        self._site = site
        self._templates = Templates(folders, "web", _NAMES)
        self._stories = Kept[tuple[str, str], Story](_KEPT_STORIES)
        self._is_indexed = site.archive is Archive.INDEXED
        english = self._templates.locale("en")
        try:
            self._style = self._templates.of(english)["style.css"].render()
            self.gone = self._render("gone.html", english)
            self.failed = self._render("failed.html", english)
            self.forgotten = self._render("forgotten.html", english)
        except TemplateError as error:
            raise ConfigError(f"A page template failed: {type(error).__name__}: {error}") from error

    @property
    def style_source(self) -> str:
        """Names the one style sheet that stands in the pages, as a Content-Security-Policy does."""
        digest = hashlib.sha256(self._style.encode()).digest()
        return f"'sha256-{base64.b64encode(digest).decode()}'"

    def manage(self, view: ReaderView, done: Done | None = None) -> str:
        """Gives a reader's own page, and above it what became of the form they sent."""
        return self._render("manage.html", self._templates.locale(view.language), reader=view, done=done)

    def archive(self, topics: Sequence[ArchivedTopic], accepted: str) -> str:
        """Gives the list of topics whose alerts can be read."""
        locale = negotiated(accepted, self._templates.locale)
        return self._render("archive.html", locale, topics=topics, is_indexed=self._is_indexed)

    def archive_of(self, page: ArchivePage, accepted: str) -> str:
        """Gives what was mailed about a topic."""
        locale = negotiated(accepted, self._templates.locale)
        alerts = [(alert.released_at, [*map(self._archived, alert.entries)]) for alert in page.alerts]
        return self._render(
            "archive-topic.html",
            locale,
            topic=page.topic,
            alerts=alerts,
            before=page.before,
            is_indexed=self._is_indexed,
        )

    def _archived(self, entry: ArchivedEntry) -> dict[str, Any]:
        return {
            "sent": self._text(entry.sent),
            "now": self._text(entry.now),
            "changes": entry.changes,
            "withdrawn_at": entry.withdrawn_at,
        }

    def _text(self, entry: EntryView | None) -> ShownEntry | None:
        if entry is None:
            return None
        html, text = entry.html, entry.text
        story = self._stories.get(
            (html, text), 3 * (len(html) + len(text)), lambda: read_story(html, text, _STORY_INPUT)
        )
        return shown(entry, cut(story, _STORY_LIMIT), entry.published_at)

    def _render(self, name: str, locale: Locale, **values: Any) -> str:
        return self._templates.of(locale)[name].render(
            site=self._site,
            contact_url=contact_url(self._site.contact),
            language=str(locale).replace("_", "-"),
            direction=locale.text_direction,
            style=Markup(self._style),  # noqa: S704 - the site's own, from a file
            **values,
        )
