"""The pages, from values to HTML: the site's own templates before ours, in the reader's language."""

import base64
import hashlib
from collections.abc import Hashable, Sequence
from datetime import datetime, time, timedelta
from functools import lru_cache
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit
from zoneinfo import ZoneInfo

from babel import Locale
from babel.dates import format_date, format_time, get_day_names
from jinja2 import TemplateError
from markupsafe import Markup

from alerts.audience.address_changes import EndView
from alerts.audience.farewells import WORDS_LIMIT, Reason
from alerts.dispatch.archive import ArchivedEntry, ArchivedTopic, ArchivePage
from alerts.errors import ConfigError
from alerts.mail.kept import Kept
from alerts.mail.shown import ShownEntry, contact_url, shown
from alerts.mail.story import Story, cut, read_story
from alerts.mail.templates import Templates
from alerts.mail.views import Archive, EntryView, SiteView
from alerts.web import zones
from alerts.web.deeds import LONGEST_PAUSE, Done
from alerts.web.languages import accepted_languages
from alerts.web.reader import ReaderView

_NAMES = (
    "manage.html",
    "former.html",
    "zone.html",
    "zones.html",
    "erase.html",
    "erased.html",
    "address.html",
    "over.html",
    "signup.html",
    "question.html",
    "sent.html",
    "too-many.html",
    "elsewhere.html",
    "link.html",
    "link-sent.html",
    "confirm.html",
    "welcome.html",
    "expired.html",
    "suppressed.html",
    "topics-gone.html",
    "consent.txt",
    "zone.js",
    "gone.html",
    "missing.html",
    "refused.html",
    "failed.html",
    "forgotten.html",
    "archive.html",
    "archive-topic.html",
    "style.css",
)
_WEEK = 7  # days
# Of an entry in the archive: characters that are read, and bytes, as in a mail, that are shown.
_STORY_INPUT = 20_000
_STORY_LIMIT = 8_000
# Those that name no reader, and need to know nothing.
_FIXED = ("gone.html", "failed.html", "over.html", "forgotten.html", "expired.html", "suppressed.html")
_FIXED_KEPT = 128  # pages, each in a language and for one set of values
_ZONES_KEPT = 16  # locales
_KEPT_STORIES = 8_000_000


class Pages:
    """Renders the pages of one site; the last of those that name no reader are kept, so that strangers cost little."""

    def __init__(self, site: SiteView, folders: Sequence[Path], language: str = "en") -> None:
        """`language` is of who says none; raises ConfigError when a template is missing or wrong."""
        self.language = language
        self._site = site
        self.root = urlsplit(site.base_url).path
        self._templates = Templates(folders, "web", _NAMES)
        self._fixed = lru_cache(_FIXED_KEPT)(self._render)
        self._zones = lru_cache(_ZONES_KEPT)(self._list_zones)
        self._stories = Kept[tuple[str, str], Story](_KEPT_STORIES)
        self._is_indexed = site.archive is Archive.INDEXED
        english = self._templates.locale("en")
        try:
            self._style = self._templates.of(english)["style.css"].render()
            self.script = Markup(self._templates.of(english)["zone.js"].render())  # noqa: S704 - the site's own
            for name in _FIXED:
                self._render(name, english)
        except TemplateError as error:
            raise ConfigError(f"A page template failed: {type(error).__name__}: {error}") from error

    @property
    def style_source(self) -> str:
        """Names the one style sheet that stands in the pages, as a Content-Security-Policy does."""
        return _source(self._style)

    @property
    def script_source(self) -> str:
        """Names the one script that stands in a page."""
        return _source(self.script)

    def speaks(self, language: str) -> str:
        """Gives the language that pages are in for who asks for this one; "" when we have no words in it."""
        locale = self._templates.locale(language)
        wanted = language.replace("-", "_").partition("_")[0].lower()
        return _tag(locale) if locale.language == wanted else ""

    def known(self, accepted: str) -> str:
        """Gives the first language of an Accept-Language header that we have words in, else the site's."""
        return next(filter(None, map(self.speaks, accepted_languages(accepted))), self.language)

    def render(self, name: str, language: str, **values: Any) -> str:
        """Gives a page in a language, or in English."""
        return self._render(name, self._templates.locale(language), **values)

    def fixed(self, name: str, accepted: str, **values: Hashable) -> str:
        """Gives a page that names no reader, for who we do not know."""
        return self._fixed(name, self._templates.locale(self.known(accepted)), **values)

    def missing(self, accepted: str, *, can_sign_up: bool) -> str:
        """Says that there is no such page, and which there are."""
        return self.fixed("missing.html", accepted, can_sign_up=can_sign_up)

    def refused(self, status: int, accepted: str) -> str:
        """Says why we do not do what a browser asked."""
        return self.fixed("refused.html", accepted, status=status)

    def manage(self, view: ReaderView, now: datetime, done: Done | None = None) -> str:
        """Gives a reader's own page, and above it what became of the form they sent."""
        locale = self._templates.locale(view.language)
        if view.is_former:
            return self._render("former.html", locale, reader=view, done=done)
        zone = ZoneInfo(view.zone)
        today = now.astimezone(zone).date()
        names = get_day_names(locale=locale)
        return self._render(
            "manage.html",
            locale,
            reader=view,
            done=done,
            reasons=tuple(Reason),
            words_limit=WORDS_LIMIT,
            day=lambda at: format_date(at.astimezone(zone), "full", locale=locale),
            clock=lambda at: _clock(at.astimezone(zone).time(), locale),
            city=zones.city(view.zone, locale),
            hours=[(hour, _clock(time(hour), locale)) for hour in range(24)],
            weekdays=[(each, names[each]) for each in _week_of(locale)],
            first_day=today + timedelta(days=1),
            last_day=today + timedelta(days=LONGEST_PAUSE),
        )

    def zone(self, view: ReaderView, hour: int, weekday: int) -> str:
        """Gives the list of all time zones, for digests at this hour and weekday."""
        locale = self._templates.locale(view.language)
        return self._render(
            "zone.html",
            locale,
            reader=view,
            hour=hour,
            weekday=weekday,
            city=zones.city(view.zone, locale),
            zones=self._zones(locale),
        )

    def erase(self, view: ReaderView) -> str:
        """Says what an erasure does, and asks whether it is meant."""
        return self._render("erase.html", self._templates.locale(view.language), reader=view)

    def erased(self, language: str, *, is_news: bool = False) -> str:
        """Says that a reader is not known any more."""
        return self._render("erased.html", self._templates.locale(language), is_news=is_news)

    def address(self, view: EndView) -> str:
        """Gives what one end of a change of address is asked, or told."""
        return self._render("address.html", self._templates.locale(view.language), end=view)

    def _list_zones(self, locale: Locale) -> Markup:
        """Gives the options of all zones: hundreds, and the same for all who read one language."""
        text = self._render("zones.html", locale, regions=zones.by_region(locale))
        return Markup(text)  # noqa: S704 - made by a template, which escapes

    def archive(self, topics: Sequence[ArchivedTopic], language: str) -> str:
        """Gives the list of topics whose alerts can be read."""
        locale = self._templates.locale(language)
        return self._render("archive.html", locale, topics=topics, is_indexed=self._is_indexed)

    def archive_of(self, page: ArchivePage, language: str) -> str:
        """Gives what was mailed about a topic."""
        locale = self._templates.locale(language)
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
            language=_tag(locale),
            root=self.root,
            direction=locale.text_direction,
            style=Markup(self._style),  # noqa: S704 - the site's own, from a file
            **values,
        )


def _tag(locale: Locale) -> str:
    return str(locale).replace("_", "-")


def _source(text: str) -> str:
    digest = hashlib.sha256(text.encode()).digest()
    return f"'sha256-{base64.b64encode(digest).decode()}'"


def _clock(at: time, locale: Locale) -> str:
    return format_time(at, "short", locale=locale).replace("\u202f", "\u00a0")


def _week_of(locale: Locale) -> Sequence[int]:
    """Gives the days of a week, Monday is 0, in the order of a language's calendars."""
    return [(locale.first_week_day + each) % _WEEK for each in range(_WEEK)]
