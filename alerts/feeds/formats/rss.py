"""RSS 2.0, and its elders 0.9x and 1.0 as far as feedparser brings them for nothing."""

from alerts.feeds.formats import xml_feed
from alerts.feeds.formats.source import Source
from alerts.feeds.formats.values import ParsedFeed

NAME = "rss"
# RSS 1.0 and 0.90 have one date, Dublin Core's, and it is the day of publication.
_DUBLIN_CORE = {"rss10", "rss090"}


def parse(source: Source) -> ParsedFeed | None:
    """Reads RSS of any version; None for anything else."""
    document = source.xml
    if document is None or not document.version.startswith("rss"):
        return None
    # No RSS says whether a text is plain or HTML: each is judged by what it looks like.
    return xml_feed.read(
        source, NAME, trusts_plain=False, updated_is_published=document.version in _DUBLIN_CORE
    )
