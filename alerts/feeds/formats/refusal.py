"""Why a document is no feed: what it looks like instead, and the way out of it."""

import re

from alerts.feeds.formats.source import Source

_MAGIC = (
    (b"%PDF-", "a PDF document"),
    (b"\x89PNG", "a picture"),
    (b"\xff\xd8\xff", "a picture"),
    (b"GIF8", "a picture"),
    (b"PK\x03\x04", "a ZIP file"),
    (b"\x1f\x8b", "compressed data"),
)
# What stands in place of a page, by words that no news page has in its markup.
_CHALLENGE = re.compile(
    r"challenge-platform|cf-chl-|cf_chl_opt|<title>\s*just a moment|<title>\s*attention required"
    r"|_Incapsula_Resource|px-captcha|captcha-delivery\.com|datadome|ddos-guard|awswaf|/_sec/verify"
    r"|<title>[^<]*(?:are you (?:a )?(?:human|robot)|verify you are human|access denied|request blocked|bot check)",
    re.IGNORECASE,
)
_LOGIN = re.compile(r"""<input\b[^>]*\btype\s*=\s*["']?password""", re.IGNORECASE)
_LISTED = re.compile(r"""\bxmlUrl\s*=\s*["'](https?://[^"'<>\s]{1,500})["']""", re.IGNORECASE)
_LOOKED_AT = 200_000  # characters
_ROOTS = {
    "urlset": "a sitemap. Add the address of a live blog or a feed that it lists.",
    "sitemapindex": "a list of sitemaps. Add the address of a live blog or a feed.",
    "envelope": "an answer of a web service. Add the address of its feed.",
    "redirect": "a note that the feed has moved. Add the address that it names.",
    "opensearchdescription": "a description of a search. Add the address of a feed.",
    "error": "an error message. Look at it in a browser.",
    "svg": "a picture.",
}


def why_not(source: Source) -> str:
    """Gives one line for a person on what a document is, that is no feed, and what to do."""
    if not source.text.strip("\0\t\r\n "):
        return "This is no feed: the answer is empty. Look at the address in a browser, and try again later."
    if file := next((named for magic, named in _MAGIC if source.body.startswith(magic)), ""):
        return f"This is no feed but {file}. Add the address of a live blog's page or of a feed."
    if source.json is not None:
        return (
            "This is no feed: JSON, but neither JSON Feed nor LiveBlogPosting. "
            "Add the page of the live blog, or the address of its feed."
        )
    return _page(source) if source.is_html else _markup(source)


def _markup(source: Source) -> str:
    if source.root == "opml":
        listed = _LISTED.search(source.text[:_LOOKED_AT])
        hint = f" The first is {listed[1]}" if listed else ""
        return f"This is no feed but OPML, a list of feeds. Add the feeds that it lists.{hint}"
    if source.root in _ROOTS:
        return f"This is no feed but {_ROOTS[source.root]}"
    if source.root:
        return f"This is no feed: markup that is neither RSS, Atom nor a live blog's page.{_named(source)}"
    return (
        "This is no feed: neither a live blog's page, RSS, Atom nor JSON Feed. "
        "Look at the address in a browser."
    )


def _page(source: Source) -> str:
    head = source.text[:_LOOKED_AT]
    if _CHALLENGE.search(head):
        return (
            "This is no feed: the site answers with a check for robots. Ask its operators to let the poller in, "
            "by its User-Agent or its address."
        )
    named = _named(source)
    if _LOGIN.search(head) and not named:
        return "This is no feed: a page that asks for a password. Ask its operators for an open address."
    return f"This is no live blog: a web page without schema.org LiveBlogPosting data.{named}"


def _named(source: Source) -> str:
    links = source.feed_links()
    return f" It names a feed: {links[0]}" if links else ""
