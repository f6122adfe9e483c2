"""The URLs of a fetch: how a feed's address and each redirect's become what is asked for; pure."""

import re
from base64 import b64encode
from urllib.parse import quote, urljoin, urlsplit

from yarl import URL

from alerts.errors import FetchFailed
from alerts.feeds.fetch.guard import is_oddly_numeric

# Everything that may stand in a URL, and `%`: signed and oddly encoded addresses go out as they were written.
_SAFE = "%/:?@!$&'()*+,;=-._~|[]"
_HOST = re.compile(r"[A-Za-z0-9._~-]+|[0-9A-Fa-f:.]+")

# yarl raises IndexError where a user stands before a host that is not there: "http://[::1]:@/".
_UNREADABLE = (ValueError, IndexError)

_NO_WEB_ADDRESS = "The address, or one it redirects to, is no http or https URL: check it in a browser."


def first(url: str) -> URL:
    """Gives the URL to ask for, without its user, its password and its fragment; raises FetchFailed."""
    try:
        loose, parts = URL(url.strip()), urlsplit(url.strip())
        host = loose.raw_host or ""
        if loose.scheme not in ("http", "https") or not _HOST.fullmatch(host):
            raise FetchFailed(_NO_WEB_ADDRESS)
        if is_oddly_numeric(host):
            raise FetchFailed(
                "The address, or one it redirects to, writes an IP address in a disguise: "
                "write it as four numbers."
            )
        return URL.build(
            scheme=loose.scheme,
            authority=loose.host_port_subcomponent or "",
            path=_quoted(parts.path) or "/",
            query_string=_quoted(parts.query),
            encoded=True,
        )
    except _UNREADABLE as error:
        raise FetchFailed(_NO_WEB_ADDRESS) from error


def following(current: URL, location: str) -> URL:
    """Gives the URL that a redirect from `current` leads to; raises FetchFailed when it leads to none."""
    if not location.strip():
        raise FetchFailed("The server redirects to nowhere: it names no new address.")
    try:
        return first(urljoin(str(current), location.strip()))
    except _UNREADABLE as error:
        raise FetchFailed(_NO_WEB_ADDRESS) from error


def credentials(url: str) -> str:
    """Gives the Authorization header for the user and password in a URL, or nothing (RFC 7617)."""
    try:
        loose = URL(url)
    except _UNREADABLE:
        return ""
    if loose.user is None and loose.password is None:
        return ""
    pair = f"{loose.user or ''}:{loose.password or ''}"
    return f"Basic {b64encode(pair.encode()).decode()}"


def _quoted(part: str) -> str:
    # A Location that is no UTF-8 was read with surrogates, which give its bytes back.
    return quote(part, safe=_SAFE, errors="surrogateescape")
