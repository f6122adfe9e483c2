"""From bytes to entries: one module per format, each with its `NAME` and `parse(source)`.

A format says None to what is not its own; the first that answers wins. Formats are found in this folder by
themselves: docs/how-to/add-a-format.md.
"""

import pkgutil
from collections.abc import Callable
from dataclasses import dataclass
from importlib import import_module

from alerts.errors import NotAFeed
from alerts.feeds.formats.refusal import why_not
from alerts.feeds.formats.source import Source
from alerts.feeds.formats.values import FeedEntry, ParsedFeed

__all__ = ["FORMATS", "FeedEntry", "Format", "ParsedFeed", "parse"]

_RANK = 50  # of a module that gives none; lower is asked first


@dataclass(frozen=True, slots=True)
class Format:
    """A format's own name, what reads it, and its place among those that are asked."""

    name: str
    parse: Callable[[Source], ParsedFeed | None]
    rank: int


def _found() -> tuple[Format, ...]:
    """Gives the formats in this folder: the modules that have both a NAME and a parse()."""
    modules = [import_module(f"{__name__}.{module.name}") for module in pkgutil.iter_modules(__path__)]
    formats = [
        Format(module.NAME, module.parse, getattr(module, "RANK", _RANK))
        for module in modules
        if hasattr(module, "NAME") and hasattr(module, "parse")
    ]
    return tuple(sorted(formats, key=lambda found: found.rank))


FORMATS = _found()


def parse(body: bytes, url: str, content_type: str) -> ParsedFeed:
    """Reads a document of any known format, whatever its content type claims.

    Raises NotAFeed, with one line for a person, for every other sequence of bytes.
    """
    source = Source(body, url, content_type)
    for known in FORMATS:
        parsed = known.parse(source)
        if parsed is not None:
            return parsed
    raise NotAFeed(why_not(source))
