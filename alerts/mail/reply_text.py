"""What an SMTP reply says once the names are out of it, and what of it may be kept.

Rules must not see names: a host called spam.example or an address blocked@... tells nothing. Each becomes
a word in capitals while the rest is put in small letters, so that no rule can match a name.
"""

import re
import unicodedata
from typing import Final

LONGEST_READ = 4000  # a line has 512 octets (RFC 5321, 4.5.3.1.5), the longest replies some eight lines
LONGEST_KEPT = 200

_ENHANCED_FORM = r"[245]\.\d{1,3}\.\d{1,3}"
_PART = r"[^\s<>()\[\],;:\"']{0,320}"  # of an address, outside quotes

_URL = re.compile(r"\b(?:https?|ftp):/{1,2}[^\s<>\"']+|\bwww\.[^\s<>\"']+", re.IGNORECASE)
_PATH = re.compile(r"<(?:\"[^\"<>]{1,64}\"@)?[^<>\s]{1,320}>")  # an address as the envelope writes it
_ADDRESS = re.compile(
    rf"\"[^\"@]{{1,64}}\"@{_PART}|{_PART}@{_PART}|{_PART}(?:\(at\)|\[at\]|%40){_PART}", re.IGNORECASE
)
_QUOTED = re.compile(r"\"[^\"\s]{1,320}\"")  # one word in quotes is a name too
_IPV6 = re.compile(
    r"(?<![\w:])(?=[\da-f:]{0,40}(?:\d|::))(?:[\da-f]{0,4}:){2,8}[\da-f.]{0,15}", re.IGNORECASE
)
_IPV4 = re.compile(r"(?<![\w.])\d{1,3}(?:\.\d{1,3}){3}(?!\.?\w)")
_HOST = re.compile(r"(?<![\w-])(?:[\w-]{1,63}\.){1,12}(?=[\w-]*[^\W\d_])[\w-]{2,63}(?![\w-])")

# In this order: an address hides in a URL, a host in an address, an IPv4 address in a host.
_NAMES: Final = (
    ("URL", _URL),
    ("PATH", _PATH),
    ("ADDR", _ADDRESS),
    ("ADDR", _QUOTED),
    ("IP", _IPV6),
    ("IP", _IPV4),
    ("HOST", _HOST),
)
_ENHANCED = re.compile(rf"(?<![\w.])({_ENHANCED_FORM})(?!\.?\w)")
_CODES = re.compile(rf"(?<![\w.]){_ENHANCED_FORM}(?!\.?\w)|(?<![\w.])[245]\d\d(?=[\s-]|$)-?")
# What mixes letters and digits, a long number or an endless word identifies a queue entry or a session.
_ID = re.compile(r"(?=[\w+/=-]*\d)(?=[\w+/=-]*[^\W\d_])[\w+/=-]+|\d{5,}|[\w+/=-]{32,}")

_ACCENT = re.compile(r"(?<=[a-z])[\u0300-\u036f]+")
_ELISION = re.compile(r"(?<=\b[cdjlmnst])['\u2019]|(?<=\bqu)['\u2019]")  # l'adresse, n'existe, qu'il
_APOSTROPHE = re.compile(r"['\u2019]")
_WORD = re.compile(r"[^\W_]+")

_URL_PATH = re.compile(r"\b((?:https?|ftp):/{1,2}[^\s/<>\"'?#]+)[^\s<>\"']*", re.IGNORECASE)
_LONG_TOKEN = re.compile(r"(?=[\w+/=-]*\d)[\w+/=-]{12,}|\d{7,}|[\w+/=-]{32,}")
_PRIVATE: Final = (
    ("[address]", _PATH),
    ("[address]", _ADDRESS),
    ("[name]", _QUOTED),
    ("[ip]", _IPV6),
    ("[ip]", _IPV4),
    ("[id]", _LONG_TOKEN),
)


def enhanced(text: str) -> str | None:
    """Tells the first enhanced status code (RFC 3463) in a reply's text, such as "5.1.1"."""
    found = _ENHANCED.search(_without_names(text[:LONGEST_READ]))
    return found[1] if found else None


def words(text: str) -> str:
    """Puts a reply's text as plain words in small letters; names are PATH, ADDR, HOST, IP, URL and ID.

    Reply codes and punctuation are gone, Latin letters have no accents, "doesn't" is "doesnt".
    """
    nameless = _ID.sub(" ID ", _CODES.sub(" ", _without_names(_small(text[:LONGEST_READ]))))
    return " ".join(_WORD.findall(_APOSTROPHE.sub("", _ELISION.sub(" ", nameless))))


def scrub(text: str, address: str = "") -> str:
    """Makes a reply's text fit to be stored and logged: one line, at most 200 characters, nobody named in it.

    Addresses, IP addresses, what follows the host in a URL, and ids are replaced; so is the local part of
    `address`, which servers also repeat alone. Host names stay: the operator needs that of a blocklist.
    """
    line = " ".join(unicodedata.normalize("NFKC", text[:LONGEST_READ]).split())
    line = _URL_PATH.sub(r"\1", "".join(letter for letter in line if letter.isprintable()))
    for name, form in _PRIVATE:
        line = form.sub(name, line)
    if local_part := address.rpartition("@")[0]:
        line = re.sub(rf"(?<!\w){re.escape(local_part)}(?!\w)", "[address]", line, flags=re.IGNORECASE)
    return line[:LONGEST_KEPT]


def _small(text: str) -> str:
    """Small letters, and no accents on Latin ones: most servers write without them."""
    return unicodedata.normalize("NFC", _ACCENT.sub("", unicodedata.normalize("NFKD", text).lower()))


def _without_names(text: str) -> str:
    for name, form in _NAMES:
        text = form.sub(f" {name} ", text)
    return text
