"""The pages, from values to HTML: the site's own templates before ours, in the reader's language."""

import base64
import hashlib
from collections.abc import Sequence
from datetime import datetime, time, timedelta
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

from babel import Locale
from babel.dates import format_date, format_time, get_day_names
from jinja2 import TemplateError
from markupsafe import Markup

from alerts.audience.address_changes import EndView
from alerts.audience.farewells import WORDS_LIMIT, Reason
from alerts.errors import ConfigError
from alerts.mail.render import SiteView, contact_url
from alerts.mail.templates import Templates
from alerts.models import Frequency
from alerts.web import zones
from alerts.web.deeds import LONGEST_PAUSE, Done
from alerts.web.reader import ReaderView

_NAMES = (
    "manage.html",
    "zones.html",
    "erase.html",
    "erased.html",
    "address.html",
    "over.html",
    "gone.html",
    "failed.html",
    "style.css",
)
_WEEK = 7  # days


class Pages:
    """Renders the pages of one site; those that name no reader are made once, so that strangers cost nothing."""

    def __init__(self, site: SiteView, folders: Sequence[Path]) -> None:
        """Raises ConfigError when a template is missing or wrong."""
        self._site = site
        self._templates = Templates(folders, "web", _NAMES)
        self._zones_by_locale: dict[Locale, Markup] = {}
        english = self._templates.locale("en")
        try:
            self._style = self._templates.of(english)["style.css"].render()
            self.gone = self._render("gone.html", english)
            self.failed = self._render("failed.html", english)
            self.over = self._render("over.html", english)
        except TemplateError as error:
            raise ConfigError(f"A page template failed: {type(error).__name__}: {error}") from error

    @property
    def style_source(self) -> str:
        """Names the one style sheet that stands in the pages, as a Content-Security-Policy does."""
        digest = hashlib.sha256(self._style.encode()).digest()
        return f"'sha256-{base64.b64encode(digest).decode()}'"

    def manage(self, view: ReaderView, now: datetime, done: Done | None = None) -> str:
        """Gives a reader's own page, and above it what became of the form they sent."""
        locale = self._templates.locale(view.language)
        zone = ZoneInfo(view.zone)
        today = now.astimezone(zone).date()
        names = get_day_names(locale=locale)
        return self._render(
            "manage.html",
            locale,
            reader=view,
            done=done,
            frequencies=tuple(Frequency),
            reasons=tuple(Reason),
            words_limit=WORDS_LIMIT,
            day=lambda at: format_date(at.astimezone(zone), "full", locale=locale),
            clock=lambda at: _clock(at.astimezone(zone).time(), locale),
            city=zones.city(view.zone, locale),
            zones=self._zones(locale),
            hours=[(hour, _clock(time(hour), locale)) for hour in range(24)],
            weekdays=[(each, names[each]) for each in _week_of(locale)],
            first_day=today + timedelta(days=1),
            last_day=today + timedelta(days=LONGEST_PAUSE),
        )

    def erase(self, view: ReaderView) -> str:
        """Says what an erasure does, and asks whether it is meant."""
        return self._render("erase.html", self._templates.locale(view.language), reader=view)

    def erased(self, language: str = "en", *, is_news: bool = False) -> str:
        """Says that a reader is not known any more."""
        return self._render("erased.html", self._templates.locale(language), is_news=is_news)

    def address(self, view: EndView) -> str:
        """Gives what one end of a change of address is asked, or told."""
        return self._render("address.html", self._templates.locale(view.language), end=view)

    def _zones(self, locale: Locale) -> Markup:
        """Gives the options of all zones: hundreds, and the same for all who read one language."""
        if locale not in self._zones_by_locale:
            text = self._render("zones.html", locale, regions=zones.by_region(locale))
            self._zones_by_locale[locale] = Markup(text)  # noqa: S704 - made by a template, which escapes
        return self._zones_by_locale[locale]

    def _render(self, name: str, locale: Locale, **values: Any) -> str:
        return self._templates.of(locale)[name].render(
            site=self._site,
            contact_url=contact_url(self._site.contact),
            language=str(locale).replace("_", "-"),
            direction=locale.text_direction,
            style=Markup(self._style),  # noqa: S704 - the site's own, from a file
            **values,
        )


def _clock(at: time, locale: Locale) -> str:
    return format_time(at, "short", locale=locale).replace("\u202f", "\u00a0")


def _week_of(locale: Locale) -> Sequence[int]:
    """Gives the days of a week, Monday is 0, in the order of a language's calendars."""
    return [(locale.first_week_day + each) % _WEEK for each in range(_WEEK)]
