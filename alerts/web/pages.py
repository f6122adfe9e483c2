"""The pages, from values to HTML: the site's own templates before ours, in the reader's language."""

import base64
import hashlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from babel import Locale
from jinja2 import TemplateError
from markupsafe import Markup

from alerts.errors import ConfigError
from alerts.mail.render import SiteView, contact_url
from alerts.mail.templates import Templates
from alerts.web.reader import Done, ReaderView

_NAMES = ("manage.html", "gone.html", "failed.html", "style.css")


class Pages:
    """Renders the pages of one site; those that name no reader are made once, so that strangers cost nothing."""

    def __init__(self, site: SiteView, folders: Sequence[Path]) -> None:
        """Raises ConfigError when a template is missing or wrong."""
        self._site = site
        self._templates = Templates(folders, "web", _NAMES)
        english = self._templates.locale("en")
        try:
            self._style = self._templates.of(english)["style.css"].render()
            self.gone = self._render("gone.html", english)
            self.failed = self._render("failed.html", english)
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

    def _render(self, name: str, locale: Locale, **values: Any) -> str:
        return self._templates.of(locale)[name].render(
            site=self._site,
            contact_url=contact_url(self._site.contact),
            language=str(locale).replace("_", "-"),
            direction=locale.text_direction,
            style=Markup(self._style),  # noqa: S704 - the site's own, from a file
            **values,
        )
