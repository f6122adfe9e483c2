"""The templates that mails are made of, in each language: a site's own folder first, then ours."""

import gettext
from collections.abc import Callable, Mapping, MutableMapping, Sequence
from datetime import datetime
from functools import lru_cache
from io import BytesIO
from pathlib import Path
from types import CodeType
from typing import Any, Final
from zoneinfo import ZoneInfo

from babel import Locale
from babel.core import UnknownLocaleError
from babel.dates import format_date, format_time, get_timezone_location
from babel.lists import format_list
from babel.messages.mofile import write_mo
from babel.messages.pofile import read_po
from jinja2 import (
    BaseLoader,
    ChoiceLoader,
    Environment,
    FileSystemLoader,
    PrefixLoader,
    StrictUndefined,
    Template,
    TemplateError,
    select_autoescape,
)
from jinja2.sandbox import ImmutableSandboxedEnvironment

from alerts.errors import ConfigError
from alerts.mail.words import wrap

_PACKAGE: Final = Path(__file__).parents[1]
_SOURCE_LANGUAGE: Final = Locale("en")
_REMEMBERED: Final = 512
_LOCALES: Final = 64  # that templates are held for at a time: a visitor's browser may name any, in any order


def builtin_templates() -> Path:
    """Gives our own templates' folder: in a wheel beside the package's modules, in the repository beside it."""
    installed = _PACKAGE / "_templates"
    return installed if installed.is_dir() else _PACKAGE.parent / "templates"


class Templates:
    """The named templates of one kind of mail, for every language: compiled once, and bound to a locale when asked for."""

    def __init__(self, folders: Sequence[Path], kind: str, names: Sequence[str]) -> None:
        """Raises ConfigError when a template or a catalog is missing or cannot be parsed."""
        self._kind = kind
        self._names = names
        self._catalogs = [folder / "locale" for folder in folders] + [_PACKAGE / "locale"]
        builtin = FileSystemLoader(builtin_templates())
        self._loader = _CompiledOnce(
            ChoiceLoader(
                [
                    *(FileSystemLoader(folder) for folder in folders),
                    builtin,
                    PrefixLoader({"builtin": builtin}),
                ]
            )
        )
        self._locale_of = lru_cache(_REMEMBERED)(self._find_locale)  # a visitor's browser may name any
        self._loaded = lru_cache(_LOCALES)(self._load)
        self._catalogs_of = lru_cache(_REMEMBERED)(_chained)
        for language in self._languages():
            self.of(self.locale(language))

    def locale(self, language: str) -> Locale:
        """Gives the locale of a language such as `de` or `pt-BR` that we have words in, else English.

        Dates and lists then speak the same language as the sentences around them.
        """
        return self._locale_of(language)

    def _find_locale(self, language: str) -> Locale:
        try:
            locale = Locale.parse(language.replace("-", "_"))
        except (ValueError, UnknownLocaleError):
            return _SOURCE_LANGUAGE
        is_known = locale.language == _SOURCE_LANGUAGE.language or self._paths(locale)
        return locale if is_known else _SOURCE_LANGUAGE

    def of(self, locale: Locale) -> Mapping[str, Template]:
        """Gives the templates by name; two threads that ask at once may both load, with the same result."""
        return self._loaded(locale)

    def _languages(self) -> Sequence[str]:
        """Gives the languages that there are words in, ours first."""
        found = (path.name for folder in self._catalogs for path in folder.glob("*") if path.is_dir())
        return [str(_SOURCE_LANGUAGE), *sorted({*found} - {str(_SOURCE_LANGUAGE)})]

    def _load(self, locale: Locale) -> Mapping[str, Template]:
        environment = _environment(self._loader, locale, self._catalogs_of(self._paths(locale)))
        try:
            return {name: environment.get_template(f"{self._kind}/{name}") for name in self._names}
        except TemplateError as error:
            place = f"{getattr(error, 'filename', None) or self._kind}, line {getattr(error, 'lineno', '?')}"
            raise ConfigError(f"A mail template cannot be read: {place}: {error}") from error

    def _paths(self, locale: Locale) -> tuple[Path, ...]:
        """Gives the catalogs for `locale`, the first to be asked first: a region's, then a site's own."""
        paths = [
            folder / language / "LC_MESSAGES" / "alerts.po"
            for language in dict.fromkeys((str(locale), locale.language))
            for folder in self._catalogs
        ]
        return tuple(path for path in paths if path.is_file())


class _CompiledOnce(BaseLoader):
    """Compiles each template when it is first asked for; to bind it to one more locale then costs next to nothing."""

    def __init__(self, sources: ChoiceLoader) -> None:
        self._sources = sources
        self._codes: dict[str, CodeType] = {}

    def load(
        self,
        environment: Environment,
        name: str,
        globals: MutableMapping[str, Any] | None = None,  # noqa: A002 - as Jinja calls it
    ) -> Template:
        code = self._codes.get(name)
        if code is None:
            source, filename, _ = self._sources.get_source(environment, name)
            code = self._codes[name] = _code(source, name, filename)
        return environment.template_class.from_code(environment, code, globals or {})


@lru_cache(_REMEMBERED)
def _code(source: str, name: str, filename: str | None) -> CodeType:
    return _compiler().compile(source, name, filename)


@lru_cache(1)
def _compiler() -> Environment:
    compiler = _plain_environment(BaseLoader())
    compiler.filters |= dict.fromkeys(_filters(_SOURCE_LANGUAGE), _of_no_language)
    return compiler


def _of_no_language(*_: object) -> str:
    """Stands for a filter while a template is compiled: what a filter makes of a constant is not compiled in."""
    raise TemplateError


def _environment(
    loader: BaseLoader, locale: Locale, translations: gettext.NullTranslations
) -> ImmutableSandboxedEnvironment:
    environment = _plain_environment(loader)
    environment.install_gettext_callables(  # type: ignore[attr-defined]  # put there by the extension
        translations.gettext, translations.ngettext, newstyle=True
    )
    environment.filters |= _filters(locale)
    return environment


def _plain_environment(loader: BaseLoader) -> ImmutableSandboxedEnvironment:
    environment = ImmutableSandboxedEnvironment(
        loader=loader,
        autoescape=select_autoescape(
            enabled_extensions=("html",), disabled_extensions=("txt",), default=True
        ),
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        auto_reload=False,
        extensions=["jinja2.ext.i18n"],
    )
    environment.policies["ext.i18n.trimmed"] = True
    environment.newstyle_gettext = True  # type: ignore[attr-defined]  # put there by the extension
    return environment


def _filters(locale: Locale) -> Mapping[str, Callable[..., str]]:
    """Gives the filters of one language; they remember, as the mails of one digest show the same times and topics."""

    @lru_cache(_REMEMBERED)
    def listed(items: tuple[str, ...]) -> str:
        return format_list(items, locale=locale)

    @lru_cache(_REMEMBERED)
    def day(at: datetime, zone: str = "UTC") -> str:
        return format_date(_in(at, zone), "long", locale=locale)

    @lru_cache(_REMEMBERED)
    def weekday(at: datetime, zone: str = "UTC") -> str:
        return format_date(_in(at, zone), "EEEE", locale=locale)

    @lru_cache(_REMEMBERED)
    def clock(at: datetime, zone: str = "UTC") -> str:
        # Some fonts in mail programs have no narrow space, and show none.
        return format_time(_in(at, zone), "short", locale=locale).replace("\u202f", "\u00a0")

    @lru_cache(_REMEMBERED)
    def place(zone: str) -> str:
        return _place(zone, locale)

    return {
        "wrap": wrap,
        "sentence": lambda items: listed(tuple(items)),
        "day": day,
        "weekday": weekday,
        "clock": clock,
        "place": place,
    }


def _in(at: datetime, zone: str) -> datetime:
    return at.astimezone(ZoneInfo(zone))


def _place(zone: str, locale: Locale) -> str:
    """Gives a zone as people call it, by its city; one that belongs to no city by its own name."""
    if "/" not in zone or zone.startswith("Etc/"):
        return zone
    return str(get_timezone_location(zone, locale=locale, return_city=True))


def _chained(paths: Sequence[Path]) -> gettext.NullTranslations:
    """Gives the translations in these catalogs, the first before the others."""
    found = gettext.NullTranslations()
    for path in reversed(paths):
        catalog = gettext.GNUTranslations(BytesIO(_compiled(path, path.stat().st_mtime_ns)))
        catalog.add_fallback(found)
        found = catalog
    return found


@lru_cache(_REMEMBERED)
def _compiled(path: Path, _changed: int) -> bytes:
    """Reads a catalog as translators edit it; compiled in memory, so that no binary is kept."""
    compiled = BytesIO()
    try:
        with path.open("rb") as source:
            write_mo(compiled, read_po(source))
    except (ValueError, OSError) as error:
        raise ConfigError(f"The translations in {path} cannot be read: {error}") from error
    return compiled.getvalue()
