"""Atom 1.0 (RFC 4287) and 0.3."""

from alerts.feeds.formats import xml_feed
from alerts.feeds.formats.source import Source
from alerts.feeds.formats.values import ParsedFeed

NAME = "atom"


def parse(source: Source) -> ParsedFeed | None:
    """Reads Atom; None for anything else."""
    document = source.xml
    if document is None or not document.version.startswith("atom"):
        return None
    return xml_feed.read(source, NAME, trusts_plain=True)  # RFC 4287 section 3.1.1: the type is declared
