"""From a document's bytes to its text: what it is encoded in, by whom one can believe.

RFC 7303 section 3 gives the order: a byte-order mark, then the charset of the content type, then the
document's own word. Each may be wrong, so each is tried against the bytes.
"""

import codecs
import re
from collections.abc import Iterator

from alerts.feeds.formats.charset_guess import guess

_CHARSET = re.compile(r"charset\s*=\s*[\"']?\s*([\w.:-]+)", re.IGNORECASE)
_DECLARED = re.compile(rb"<\?xml[^>]{0,200}?encoding\s*=\s*[\"']\s*([\w.:-]+)", re.IGNORECASE)
_META = re.compile(rb"<meta[^>]{0,200}?charset\s*=\s*[\"']?\s*([\w.:-]+)", re.IGNORECASE)
_HEAD = 4096  # bytes: where a document may name its own encoding
_BOMS = (
    (codecs.BOM_UTF8, "utf-8"),
    (codecs.BOM_UTF32_LE, "utf-32-le"),  # before UTF-16: it begins with its mark
    (codecs.BOM_UTF32_BE, "utf-32-be"),
    (codecs.BOM_UTF16_LE, "utf-16-le"),
    (codecs.BOM_UTF16_BE, "utf-16-be"),
)
# How "<" and the character after it look without a byte-order mark (XML 1.0, appendix F).
_UNMARKED = (
    (re.compile(rb"<\0\0\0[!-z]\0\0\0"), "utf-32-le"),
    (re.compile(rb"\0\0\0<\0\0\0[!-z]"), "utf-32-be"),
    (re.compile(rb"(?:[\t\r\n ]\0){0,64}[<{\[]\0[\t-z]\0"), "utf-16-le"),
    (re.compile(rb"(?:\0[\t\r\n ]){0,64}\0[<{\[]\0[\t-z]"), "utf-16-be"),
    (re.compile(rb"\x4c\x6f\xa7\x94"), "cp037"),
)
# As the web reads these names (encoding.spec.whatwg.org, section 4.2): each stands for a superset.
_MEANT = {
    "iso8859-1": "cp1252",
    "iso8859-9": "cp1254",
    "iso8859-11": "cp874",
    "tis-620": "cp874",
    "gb2312": "gb18030",
    "gbk": "gb18030",
    "hz": "gb18030",
    "shift_jis": "cp932",
    "euc_kr": "cp949",
    "big5": "big5hkscs",
}
_ALIASES = {"x-sjis": "cp932", "x-gbk": "gb18030", "x-euc-jp": "euc_jp", "ks_c_5601-1987": "cp949"}
# UTF-16 and its like, which no name in ASCII can be in; ASCII, which says nothing of the bytes beyond it; and
# what Python calls an encoding.
_NO_CLAIM = ("utf-16", "utf-32", "utf-7", "ascii", "idna", "punycode", "unicode_escape", "raw_unicode_escape")
_MULTIBYTE = {"gb18030", "cp932", "euc_jp", "iso2022_jp", "cp949", "big5hkscs"}
_LONG_SEQUENCE = re.compile(rb"[\xe0-\xf4][\x80-\xbf]{2}")
_CONVINCING = 4  # characters of three bytes: no other encoding makes so many of them by chance
_TWICE_ENCODED = re.compile("[\u00c2-\u00ef][\u0080-\u00bf\u0152-\u2122]")


def decode(body: bytes, content_type: str = "") -> str:
    """Gives the text of any bytes; what no encoding explains becomes U+FFFD."""
    return _encoded_once(_decoded(body, content_type))


def _decoded(body: bytes, content_type: str) -> str:
    for mark, encoding in _BOMS:
        if body.startswith(mark):
            marked = _past(body, mark)
            if encoding == "utf-8":
                return _utf8(marked) or guess(marked)
            text = marked.decode(encoding, "replace")
            # Two bytes that look like a mark before plain ASCII are none.
            return text if "<" in text or "{" in text or b"<" not in body else guess(marked)
    for pattern, encoding in _UNMARKED:
        if pattern.match(body):
            return body.decode(encoding, "replace")
    return _by_claims(body, content_type)


def _past(body: bytes, mark: bytes) -> bytes:
    """Gives what follows the byte-order mark: a template engine may write several."""
    while body.startswith(mark):
        body = body[len(mark) :]
    return body


def _by_claims(body: bytes, content_type: str) -> str:
    for codec in _claims(body, content_type):
        text = _utf8(body) if codec == "utf-8" or _is_utf8_rather(body, codec) else _strict(body, codec)
        if text is not None:
            return text
    text = _utf8(body)
    return guess(body) if text is None else text


def _claims(body: bytes, content_type: str) -> Iterator[str]:
    head = body[:_HEAD]
    if given := _CHARSET.search(content_type):
        yield from _codec(given[1])
    for pattern in (_DECLARED, _META):
        if found := pattern.search(head):
            yield from _codec(found[1].decode("ascii"))


def _codec(label: str) -> Iterator[str]:
    """Gives the codec that a publisher means by a name; nothing for what is none, or cannot be true."""
    label = _ALIASES.get(label.lower(), label)
    try:
        name = codecs.lookup(label).name
        b"<".decode(name)  # "hex" and "zip" are codecs too
    except (LookupError, ValueError):
        return
    if not name.startswith(_NO_CLAIM):
        yield _MEANT.get(name, name)


def _is_utf8_rather(body: bytes, codec: str) -> bool:
    """Whether bytes that claim an older encoding are UTF-8: letters of none of them come in such pairs."""
    if body.isascii() or _strict(body, "utf-8") is None:
        return False
    return codec not in _MULTIBYTE or len(_LONG_SEQUENCE.findall(body[:100_000])) >= _CONVINCING


def _strict(body: bytes, codec: str) -> str | None:
    """Decodes, or gives None; a last character that was cut off is no error."""
    try:
        return codecs.getincrementaldecoder(codec)("strict").decode(body)
    except (LookupError, ValueError):
        return None


def _utf8(body: bytes) -> str | None:
    """Decodes UTF-8 with a few stray bytes of Windows-1252; None where they are the greater part."""
    text = _strict(body, "utf-8")
    if text is not None:
        return text
    lenient = body.decode("utf-8", "surrogateescape")
    strays = sum("\udc80" <= char <= "\udcff" for char in lenient)
    if strays * 2 > sum(char > "\x7f" for char in lenient):
        return None
    return re.sub("[\udc80-\udcff]", _as_windows, lenient)


def _as_windows(stray: re.Match[str]) -> str:
    return bytes([ord(stray[0]) - 0xDC00]).decode("cp1252", "replace")


def _encoded_once(text: str) -> str:
    """Undoes UTF-8 that was taken for Windows-1252 and encoded again, where all of a document was."""
    if not _TWICE_ENCODED.search(text):
        return text
    try:
        return text.encode("cp1252").decode("utf-8")
    except UnicodeError:
        return text
