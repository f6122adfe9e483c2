"""RSS 1.0 (web.resource.org/rss/1.0) and Netscape's 0.90: RSS by another root, with its items beside the channel."""

from alerts.feeds.formats import rss
from alerts.feeds.formats.source import Source
from alerts.feeds.formats.values import ParsedFeed

NAME = rss.NAME


def parse(source: Source) -> ParsedFeed | None:
    """Reads RSS in RDF; None for anything else, RDF of another vocabulary among it."""
    if source.xml is None or source.xml.root.name not in {"rdf:rdf", "rdf"}:
        return None
    root = source.xml.root
    channels = root.all("channel")
    if not channels and not rss.items(root):
        return None
    return rss.read(source, channels[0] if channels else root)
