"""Whether a live blog says that it is over, and where it says that the coverage goes on."""

import re
from collections.abc import Sequence
from datetime import UTC, datetime
from urllib.parse import urlsplit

from selectolax.lexbor import LexborHTMLParser, LexborNode

from alerts.feeds.formats.ending_words import (
    CLOSED,
    CLOSED_TITLE,
    CONTINUES,
    CONTINUES_HERE,
    LOOKS_BACK,
    MAY_CONTINUE,
)
from alerts.feeds.formats.source import Source
from alerts.feeds.formats.values import FeedEntry

# The WordPress plugin's settings in the page; state is enable, disable or archive.
_SETTINGS = re.compile(r"liveblog_settings\s*=\s*\{")
_ARCHIVED = re.compile(r'"state"\s*:\s*"archive"')
_SETTINGS_LENGTH = 20_000
_LONGEST = 600  # characters: a passage of more words is a report, no signpost
_MOST_LINKS = 3_000
_MOST_READ = 1_000_000  # characters: a page may put all its links into one paragraph
_BLOCKS = (
    "p",
    "li",
    "div",
    "h1",
    "h2",
    "h3",
    "h4",
    "blockquote",
    "section",
    "aside",
    "header",
    "footer",
    "td",
)
_SECOND_LEVELS = frozenset({"co", "com", "org", "net", "gov", "gob", "ac", "edu", "or", "ne", "gen"})
_COUNTRY = 2  # letters


def is_ended(source: Source, title: str, entries: Sequence[FeedEntry]) -> bool:
    """Whether the blog is closed by its own word: its headline, its newest post, or its software's setting."""
    if CLOSED_TITLE.search(title):
        return True
    newest = _newest(entries)
    if any(CLOSED.search(_opening(entry)) for entry in newest):
        return True
    settings = _SETTINGS.search(source.text)
    if settings is None:
        return False
    return _ARCHIVED.search(source.text, settings.end(), settings.end() + _SETTINGS_LENGTH) is not None


def continues_at(source: Source, page: str, entries: Sequence[FeedEntry]) -> str:
    """Gives the page of the same site that the newest post, or a sign on the page, says the coverage goes on at."""
    for entry in _newest(entries):
        if "<a" in entry.html and (link := _signpost(source, page, entry.html)):
            return link
    if source.json is not None:
        return ""
    return _sign_on_page(source, page)


def _newest(entries: Sequence[FeedEntry]) -> list[FeedEntry]:
    """Gives the newest post by its time; where times do not tell, the first and the last."""
    if not entries:
        return []
    times = {entry.published_at for entry in entries}
    if None in times or (len(times) == 1 and len(entries) > 1):
        return [entries[0], entries[-1]] if len(entries) > 1 else [entries[0]]
    oldest = datetime.min.replace(tzinfo=UTC)
    return [max(entries, key=lambda entry: entry.published_at or oldest)]


def _opening(entry: FeedEntry) -> str:
    """Gives a post's words as far as a farewell is looked for in them: its beginning and its end."""
    text = f"{entry.title}\n{entry.text}"
    return text if len(text) <= 2 * _LONGEST else f"{text[:_LONGEST]}\n{text[-_LONGEST:]}"


def _signpost(source: Source, page: str, markup: str) -> str:
    """Finds the link of a post in whose paragraph it says that the coverage goes on."""
    return _first_target(source, page, LexborHTMLParser(markup), CONTINUES)


def _sign_on_page(source: Source, page: str) -> str:
    """Finds a sign outside the posts; its own words must say that this coverage goes on there."""
    return _first_target(source, page, source.html, CONTINUES_HERE)


def _first_target(source: Source, page: str, document: LexborHTMLParser, says: re.Pattern[str]) -> str:
    readable = _MOST_READ
    idle: set[str] = set()  # the links of a paragraph stand in the same words
    for anchor in document.css("a[href]")[:_MOST_LINKS]:
        link = source.absolute(anchor.attributes.get("href") or "", page)
        if not link or not _is_another_page_of_the_site(link, page):
            continue
        passage = _passage(anchor)
        readable -= len(passage)
        if readable < 0:
            break
        if passage not in idle and _leads_on(passage, says):
            return link.partition("#")[0]
        idle.add(passage)
    return ""


def _leads_on(passage: str, says: re.Pattern[str]) -> bool:
    if len(passage) > _LONGEST or not MAY_CONTINUE.search(passage):
        return False
    return says.search(passage) is not None and not LOOKS_BACK.search(passage)


def _passage(anchor: LexborNode) -> str:
    """Gives the words of the paragraph that a link stands in."""
    node: LexborNode | None = anchor
    for _ in range(4):
        if node is None or node.tag in _BLOCKS:
            break
        node = node.parent
    if node is None or node.tag in {"body", "html", "main", "article"}:
        node = anchor
    return " ".join(node.text().split())


def _is_another_page_of_the_site(link: str, page: str) -> bool:
    try:
        there, here = urlsplit(link), urlsplit(page)
    except ValueError:
        return False
    paths = [parts.path.rstrip("/").removesuffix("/amp") for parts in (there, here)]
    return bool(paths[0]) and paths[0] != paths[1] and _site(there.hostname) == _site(here.hostname) != ""


def _site(host: str | None) -> str:
    """Gives what looks like the part of a host name that somebody registered."""
    labels = (host or "").lower().split(".")
    is_under_second_level = len(labels) > 2 and len(labels[-1]) == _COUNTRY and labels[-2] in _SECOND_LEVELS  # noqa: PLR2004 - name, second level, country
    return ".".join(labels[-3:] if is_under_second_level else labels[-2:])
