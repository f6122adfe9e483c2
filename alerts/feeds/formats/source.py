"""A document on its way to a format: bytes, and the views of them that formats share, made once each."""

import codecs
import io
import json
import re
from functools import cached_property
from typing import Any
from urllib.parse import urljoin, urlsplit

import feedparser
from selectolax.lexbor import LexborHTMLParser

from alerts.feeds.formats.markup import tidy

_CHARSET = re.compile(r"charset\s*=\s*[\"']?\s*([\w.:-]+)", re.IGNORECASE)
_DECLARED = re.compile(rb"<\?xml[^>]{0,200}?encoding\s*=\s*[\"']([\w.:-]+)", re.IGNORECASE)
_META = re.compile(rb"<meta[^>]{0,200}?charset\s*=\s*[\"']?\s*([\w.:-]+)", re.IGNORECASE)
_HEAD = 4096  # bytes: where a document may name its own encoding
_BOMS = (
    (codecs.BOM_UTF8, "utf-8"),
    (codecs.BOM_UTF32_LE, "utf-32-le"),
    (codecs.BOM_UTF32_BE, "utf-32-be"),
    (codecs.BOM_UTF16_LE, "utf-16-le"),
    (codecs.BOM_UTF16_BE, "utf-16-be"),
)
# What may stand before a document's first element.
_PROLOGUE = re.compile(
    r"\s*(?:<\?.*?\?>|<!--.*?-->|<!doctype[^>\[]*(?:\[.*?\]\s*)?>)", re.IGNORECASE | re.DOTALL
)
_ELEMENT = re.compile(r"\s*<([A-Za-z_][\w.:-]*)")
_HTML_DOCTYPE = re.compile(r"<!doctype\s+html\b", re.IGNORECASE)
_MAX_URL = 2000


class Source:
    """Bytes with their address and content type; each view is made when a format first asks for it."""

    def __init__(self, body: bytes, url: str, content_type: str) -> None:
        self.body = body
        self.url = url
        self.content_type = content_type

    @cached_property
    def text(self) -> str:
        """The document decoded by its byte-order mark, header or own word, else as UTF-8, else Windows-1252."""
        for bom, encoding in _BOMS:
            if self.body.startswith(bom):
                return self.body[len(bom) :].decode(encoding, "replace")
        head = self.body[:_HEAD]
        claims = [match[1] for match in [_CHARSET.search(self.content_type)] if match]
        claims += [
            match[1].decode("ascii") for match in [_DECLARED.search(head), _META.search(head)] if match
        ]
        for encoding in [*claims, "utf-8"]:
            try:
                decoded = codecs.decode(self.body, encoding)
            except (LookupError, ValueError, TypeError):
                continue
            if isinstance(decoded, str):  # "hex" and "zip" are codecs too
                return decoded
        return self.body.decode("windows-1252", "replace")

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
    def xml(self) -> Any:
        """What feedparser reads of the document; None for what cannot be a feed of its kinds.

        Only a file object is passed: given str or bytes, feedparser opens the file or URL they may name.
        Sanitising and link resolution are ours, after the comparison with what is known.
        """
        if self.is_html or self.json is not None or not self.body.strip():
            return None
        # The address is not passed: feedparser would make ids of no URL into links of this host.
        headers = {"content-type": self.content_type} if _CHARSET.search(self.content_type) else {}
        try:
            return feedparser.parse(
                io.BytesIO(self.body),
                response_headers=headers,
                sanitize_html=False,
                resolve_relative_uris=False,
            )
        except Exception:  # noqa: BLE001 - feedparser promises no list of errors, and a document is hostile input
            return None

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
