"""A document on its way to a format: bytes, and the views of them that formats share, made once each."""

import json
import re
from functools import cached_property
from typing import Any
from urllib.parse import urljoin, urlsplit

from selectolax.lexbor import LexborHTMLParser

from alerts.feeds.formats import xml_tree
from alerts.feeds.formats.charset import decode
from alerts.feeds.formats.markup import tidy

# What may stand before a document's first element.
_PROLOGUE = re.compile(
    r"\s*(?:<\?.*?\?>|<!--.*?-->|<!doctype[^>\[]*(?:\[.*?\]\s*)?>)", re.IGNORECASE | re.DOTALL
)
_ELEMENT = re.compile(r"\s*<([A-Za-z_][\w.:-]*)")
_HTML_DOCTYPE = re.compile(r"<!doctype\s+html\b", re.IGNORECASE)
_FEED_ROOTS = {"rss", "rdf", "feed", "channel", "entry"}
_FEED_ROOT = re.compile(r"<(?:[\w.-]{1,30}:)?(?:rss|rdf|feed)[\s>]", re.IGNORECASE)
_JUNK = 65_536  # characters before a feed, such as a server's warnings, that are passed over
_MAX_URL = 2000


class Source:
    """Bytes with their address and content type; each view is made when a format first asks for it."""

    def __init__(self, body: bytes, url: str, content_type: str) -> None:
        self.body = body
        self.url = url
        self.content_type = content_type

    @cached_property
    def text(self) -> str:
        """The document decoded, without a byte-order mark."""
        return decode(self.body, self.content_type).lstrip("\ufeff")

    @cached_property
    def root(self) -> str:
        """The name of the first element, without its prefix, in lower case; empty when there is none."""
        at = 0
        while match := _PROLOGUE.match(self.text, at):
            if _HTML_DOCTYPE.match(match[0].lstrip()):
                return "html"
            at = match.end()
        element = _ELEMENT.match(self.text, at)
        return element[1].rpartition(":")[2].lower() if element else ""

    @property
    def is_html(self) -> bool:
        return self.root in {"html", "head", "body"}

    @cached_property
    def json(self) -> Any:
        """The document as JSON; None when it is none."""
        text = self.text.lstrip("\ufeff \t\r\n")
        if not text.startswith(("{", "[")):
            return None
        try:
            return json.loads(text, strict=False)
        except (ValueError, RecursionError):
            return None

    @cached_property
    def html(self) -> LexborHTMLParser:
        return LexborHTMLParser(self.text)

    @cached_property
    def xml(self) -> xml_tree.Tree | None:
        """The document as a tree, where its root may be a feed's; None for all else."""
        if self.root in _FEED_ROOTS:
            return xml_tree.read(self.text)
        if self.is_html or self.json is not None:
            return None
        begin = _FEED_ROOT.search(self.text, 0, _JUNK)
        return xml_tree.read(self.text[begin.start() :]) if begin else None

    @property
    def xml_warnings(self) -> tuple[str, ...]:
        """What an operator should know of how the tree was read."""
        if self.xml is None:
            return ()
        junk = () if self.root in _FEED_ROOTS else ("something else stands before the feed in its document",)
        return (*junk, *self.xml.warnings)

    def absolute(self, link: str, base: str = "") -> str:
        """Gives a web link as it is reached from this document; empty for anything that is no web link."""
        link = re.sub(r"[\t\r\n]", "", tidy(link)).strip().replace(" ", "%20")
        if not link:
            return ""
        try:
            joined = urljoin(base or self.url, link)
        except ValueError:  # a bracket that opens no IPv6 address
            return ""
        return joined if is_web(joined) and len(joined) <= _MAX_URL else ""

    def feed_links(self) -> list[str]:
        """Gives the feeds that a page names in its head."""
        found = self.html.css('link[rel="alternate"][type*="rss"], link[rel="alternate"][type*="atom"]')
        links = [self.absolute(node.attributes.get("href") or "") for node in found]
        return [link for link in links if link]


def is_web(link: str) -> bool:
    """Whether a link is an absolute http or https URL with a host."""
    try:
        parts = urlsplit(link)
        return parts.scheme in {"http", "https"} and bool(parts.hostname)
    except ValueError:
        return False
