"""Addresses and ids as they are compared: the parts that flip by themselves are gone, those that carry identity stay.

The query and the fragment stay: some publishers tell their posts apart by nothing else. Pure.
"""

import hashlib
import re
from contextlib import suppress
from urllib.parse import SplitResult, unquote_to_bytes, urlsplit

_LONGEST = 300  # characters: a longer key would not fit into an index of the database
_PORTS = {"http": 80, "https": 443}

_TRACKING = re.compile(
    r"^(?:utm_\w+|fbclid|gclid|gbraid|wbraid|dclid|msclkid|yclid|twclid|igshid|mc_[ce]id|mkt_tok|at_\w+|ns_\w+|"
    r"cmp|cmpid|ito|ocid|smid|_ga|_gl|ref_src|ref_url|s_cid|xtor|spm)(?:=|$)",
    re.IGNORECASE,
)
_AMP_PARAMETER = re.compile(r"^(?:amp(?:=(?:1|true)?)?|outputtype=amp)$", re.IGNORECASE)
_AMP_END = re.compile(r"[/.]amp$|\.amp(?=\.html?$)", re.IGNORECASE)
_AMP_START = re.compile(r"^(?:/google)?/amp(?=/)", re.IGNORECASE)
_AMP_CACHE = re.compile(r"^[\w-]+\.cdn\.ampproject\.org$")
_CACHED = re.compile(r"^/[civ](?:/s)?/([^/]+)(.*)$")
_FLIPPING_HOST = re.compile(r"^(?:www\d?|m|mobile|amp)\.(?=[^.]+\.)")
_ENCODED = re.compile(r"(?:%[0-9a-fA-F]{2})+")
# RFC 3986 section 2.2, and what would not print: these mean something else when they are not encoded.
_RESERVED = re.compile(r"[:/?#\[\]@!$&'()*+,;=%\x00-\x20\x7f-\xa0\u2028\u2029]")

_SESSION = re.compile(
    r"^(?:sid|s|sess\w*|phpsessid|jsessionid|aspsessionid\w*|cfid|cftoken|token|ts|timestamp|t|_|cb|rnd|nocache|"
    r"lang|language|hl|locale|lng|l)=",
    re.IGNORECASE,
)
_PATH_SESSION = re.compile(r";(?:jsessionid|phpsessid|sid)=[^/?#;]*", re.IGNORECASE)
_SORT_ORDER = re.compile(r"__-?\d+(?:\.\d+)?$")
_LANGUAGE_HOST = re.compile(r"^[a-z]{2}\.(?=[^.]+\.)")


def canonical(value: str) -> str:
    """Gives an id or address without what flips by itself, 300 characters at most.

    One are http and https, www, mobile and AMP addresses, default ports, a slash at the end, the encodings of
    a character, the order of parameters, and addresses with and without tracking.
    """
    value = value.strip()
    parts = _split(value)
    if parts is None:
        return _short(value)
    host, path = _host(parts), parts.path
    if _AMP_CACHE.match(host) and (cached := _CACHED.match(path)):
        host, path = _FLIPPING_HOST.sub("", cached[1].lower()), cached[2]
    path = _AMP_START.sub("", _AMP_END.sub("", path.rstrip("/"))).rstrip("/") or "/"
    query = "&".join(
        sorted(
            part
            for part in parts.query.split("&")
            if part and not _TRACKING.match(part) and not _AMP_PARAMETER.match(part)
        )
    )
    address = host + path + (f"?{query}" if query else "") + (f"#{parts.fragment}" if parts.fragment else "")
    return _short(_ENCODED.sub(_decoded, address))


def loose(canonical_value: str) -> str:
    """Gives a canonical value without its session, language and sort order, if it has any.

    These may also be what tells two entries apart: a caller takes the loose value only where it still does.
    """
    head, hash_, fragment = canonical_value.partition("#")
    address, _, query = head.partition("?")
    kept = "&".join(
        _SORT_ORDER.sub("", part) for part in query.split("&") if part and not _SESSION.match(part)
    )
    address = _LANGUAGE_HOST.sub("", _PATH_SESSION.sub("", address))
    if not query and not hash_:
        address = _SORT_ORDER.sub("", address)
    return address + (f"?{kept}" if kept else "") + hash_ + fragment


def _split(value: str) -> SplitResult | None:
    """Gives the parts of a web address; None for an id that is none."""
    try:
        parts = urlsplit(value)
        is_address = parts.scheme in {"http", "https", ""} and bool(parts.netloc) and bool(parts.hostname)
        _ = parts.port
    except ValueError:
        return None
    return parts if is_address else None


def _host(parts: SplitResult) -> str:
    host = (parts.hostname or "").rstrip(".")
    with suppress(UnicodeError):  # a name that is no IDN is compared as it is written
        host = host.encode("ascii").decode("idna") if "xn--" in host else host
    host = _FLIPPING_HOST.sub("", host)
    is_default = parts.port in {None, _PORTS.get(parts.scheme)}
    return host if is_default else f"{host}:{parts.port}"


def _decoded(encoded: re.Match[str]) -> str:
    """Gives encoded characters as themselves (RFC 3987 section 3.2), or in capitals where they must stay."""
    try:
        written = unquote_to_bytes(encoded[0]).decode()
    except UnicodeDecodeError:
        return encoded[0].upper()
    return _RESERVED.sub(lambda each: "".join(f"%{byte:02X}" for byte in each[0].encode()), written)


def _short(value: str) -> str:
    if len(value) <= _LONGEST:
        return value
    return f"{value[: _LONGEST - 40]}~{hashlib.sha256(value.encode('utf-8', 'replace')).hexdigest()[:32]}"
