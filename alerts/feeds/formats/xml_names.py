"""Names of elements, however a publisher writes them: one short prefix for each vocabulary."""

import re
from collections.abc import Mapping

# RSS has no namespace of its own; these are the ones it was given.
_RSS = re.compile(
    r"https?://(?:backend\.userland\.com/rss|blogs\.law\.harvard\.edu/tech/rss|cyber\.law\.harvard\.edu/rss"
    r"|purl\.org/rss/(?:1\.0|2\.0|0\.9\w*)?/?$|purl\.org/net/rss1\.1"
    r"|(?:my|channel)\.netscape\.com/rdf/simple/0\.9|(?:www\.)?rssboard\.org/rss)"
)
_ATOM = re.compile(
    r"https?://(?:(?:www\.)?w3\.org/2005/atom|purl\.org/atom/ns|purl\.org/pie|purl\.org/echo|example\.com/necho"
    r"|example\.com/newformat)|uri/of/echo/namespace"
)
# By address without scheme, www., letter case, a slash or # at its end, as they are written wrongly so.
_PREFIXES = {
    "w3.org/1999/02/22-rdf-syntax-ns": "rdf",
    "w3.org/1999/xhtml": "xhtml",
    "w3.org/xml/1998/namespace": "xml",
    "purl.org/dc/elements/1.1": "dc",
    "purl.org/dc/elements/1.0": "dc",
    "purl.org/dc/terms": "dcterms",
    "purl.org/rss/1.0/modules/content": "content",
    "purl.org/rss/1.0/modules/syndication": "sy",
    "search.yahoo.com/mrss": "media",
    "itunes.com/dtds/podcast-1.0.dtd": "itunes",
    "example.com/dtds/podcast-1.0.dtd": "itunes",
    "purl.org/atompub/tombstones/1.0": "at",
    "purl.org/syndication/history/1.0": "fh",
    "rssnamespace.org/feedburner/ext/1.0": "feedburner",
}
_WELL_KNOWN = {*_PREFIXES.values(), "atom"}
_ENDS = re.compile(r"^https?://(?:www\.)?|[/#]+$")
# XML 1.0 section 3.1, Namespaces in XML section 3: `xml` is bound in every document.
OUTERMOST: Mapping[str, str] = {"xml": "xml"}


def declared(name: str, attributes: Mapping[str, str], outer: Mapping[str, str]) -> Mapping[str, str]:
    """Gives the prefixes in force inside an element: its own declarations over the outer ones.

    `rss` is in no namespace, whatever a publisher declares there as the default.
    """
    own = {
        name[6:]: _vocabulary(address, name[6:])
        for name, address in attributes.items()
        if name == "xmlns" or name.startswith("xmlns:")
    }
    if name.lower() == "rss":
        own[""] = ""
    return {**outer, **own} if own else outer


def canonical(name: str, prefixes: Mapping[str, str]) -> str:
    """Gives a name in lower case, with the short prefix of its vocabulary: `item`, `atom:entry`, `dc:date`.

    A prefix that is not declared is taken for what it usually means.
    """
    prefix, _, local = name.lower().rpartition(":")
    prefix = prefixes.get(prefix, prefix)
    return f"{prefix}:{local}" if prefix else local


def _vocabulary(address: str, prefix: str) -> str:
    plain = address.strip().lower()
    if _RSS.match(plain):
        return ""
    if _ATOM.match(plain):
        return "atom"
    known = _PREFIXES.get(_ENDS.sub("", plain))
    if known:
        return known
    # An unknown address: a well-known prefix counts for more, and without a prefix it is the feed's own.
    return prefix if prefix in _WELL_KNOWN else f"?{prefix}" if prefix else ""
