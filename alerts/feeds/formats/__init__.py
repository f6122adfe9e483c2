"""From bytes to entries: one module per format, each with its `NAME` and `parse(source)`.

A format says None to what is not its own; the first that answers wins.
"""

from alerts.errors import NotAFeed
from alerts.feeds.formats.atom import parse as atom
from alerts.feeds.formats.json_feed import parse as json_feed
from alerts.feeds.formats.live_blog import parse as live_blog
from alerts.feeds.formats.rss import parse as rss
from alerts.feeds.formats.source import Source
from alerts.feeds.formats.values import FeedEntry, ParsedFeed

__all__ = ["FeedEntry", "ParsedFeed", "parse"]

_FORMATS = (live_blog, json_feed, rss, atom)


def parse(body: bytes, url: str, content_type: str) -> ParsedFeed:
    """Reads a document of any known format, whatever its content type claims.

    Raises NotAFeed, with one line for a person, for every other sequence of bytes.
    """
    source = Source(body, url, content_type)
    for read in _FORMATS:
        parsed = read(source)
        if parsed is not None:
            return parsed
    raise NotAFeed(_why_not(source))


def _why_not(source: Source) -> str:
    if not source.body.strip():
        return "This is no feed: the document is empty."
    if source.json is not None:
        return "This is no feed: JSON, but neither JSON Feed nor LiveBlogPosting."
    if source.is_html:
        named = source.feed_links()
        hint = f" It names a feed: {named[0]}" if named else ""
        return f"This is no live blog: a web page without schema.org LiveBlogPosting data.{hint}"
    if source.text.lstrip().startswith("<"):
        return "This is no feed: markup that is neither RSS, Atom nor a live blog's page."
    return "This is no feed: neither a live blog's page, RSS, Atom nor JSON Feed."
