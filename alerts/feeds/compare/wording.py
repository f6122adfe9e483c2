"""A text as it is compared: deaf to what a page changes by itself, not deaf to what its reporters change. Pure.

"57 arrests" that become "90 arrests" are an edit. "5 minutes ago", "1,204 views" and a new signature on a
picture's address are not.
"""

import hashlib
import re
import unicodedata
from collections.abc import Iterator

from alerts.feeds.compare import relative_times
from alerts.feeds.compare.addresses import canonical
from alerts.feeds.formats.markup import plain
from alerts.feeds.formats.values import FeedEntry

SHORT = 40  # characters: "Goal!" may be said twice, a paragraph is not

_QUOTES = dict.fromkeys(
    map(ord, "\"'`\u00b4\u2018\u2019\u201a\u201b\u201c\u201d\u201e\u201f\u2039\u203a\u00ab\u00bb")
)
_DASHES = dict.fromkeys(map(ord, "\u2010\u2011\u2012\u2013\u2014\u2015\u2212"), "-")
# Soft hyphens, zero-width characters, marks and isolates of writing direction, variation selectors.
_HIDDEN = re.compile("[\u00ad\u034f\u061c\u180e\u200b-\u200f\u202a-\u202e\u2060-\u206f\ufe00-\ufe0f\ufeff]")
_LINK = re.compile(r"https?://[^\s<>\"')\]]+", re.IGNORECASE)
_PICTURE = re.compile(r"\.(?:jpe?g|png|gif|webp|avif|svg|mp4|m3u8)$", re.IGNORECASE)
# "19:02(IST) Ferry late", "7.05pm BST: ...", "14:35 Uhr | ..."; but "10:15 ferry is cancelled" is news.
_ZONE = r"(?:\([A-Z]{2,5}\)|(?:UTC|GMT)[+-]\d{1,2}|[A-Z]{2,4}T|UTC|MEZ|MESZ|MSK|WIB)"
_CLOCK = re.compile(
    rf"^\W*\d{{1,2}}[:.h]\d{{2}}(?::\d{{2}})?\]?"
    rf"(?:\s?(?i:[ap]\.?m|uhr|h)\b\.?(?:\s?{_ZONE}(?!\w))?|\s?{_ZONE}(?!\w)|(?=\s*(?:[|:\u2013\u2014]|-\s|$)))"
    r"\s*[-|:\u2013\u2014]?\s*"
)
_CLOCK_REACH = 4  # characters: a bracket or two, and the hour
_COUNTED = (
    r"views?|reads?|comments?|shares?|likes?|reactions?|retweets?|reposts?|replies|reply|followers?|votes?|"
    r"aufrufe?|kommentare?|gefällt mir|vues?|lectures?|commentaires?|partages?|j.aime|vistas?|visitas?|"
    r"comentarios?|compartidos?|me gusta|visualizza\w+|commenti|commento|condivision[ei]|mi piace|"
    r"visualiza\w+|comentários?|partilhas?|curtidas?|weergaven|reacties|просмотр\w*|комментари\w*"
)
_COUNT = r"\d[\d.,\s]*(?:k|m|mio|mil|тыс)?\.?"
_COUNTER = rf"(?:{_COUNT}\s*(?:{_COUNTED})|(?:{_COUNTED})\s*[:(]?\s*{_COUNT}\)?)"
# A line of nothing but counters, or the end of a line after a bar or dot: within a sentence they may be news.
_COUNTERS = re.compile(rf"\W*{_COUNTER}(?:[\s|\u00b7\u2022,/-]*{_COUNTER})*\W*", re.IGNORECASE)
_COUNTERS_AT_END = re.compile(rf"\s*[|\u00b7\u2022]\s*{_COUNTER}\W*$", re.IGNORECASE)
_LONGEST_COUNTERS = 100  # characters
_WORD = re.compile(r"\w+")
_UNSPACED = re.compile(r"[\u0e00-\u0eff\u3040-\u30ff\u3400-\u9fff]+")


def fingerprint(entry: FeedEntry) -> str:
    """Gives a hash of an entry's words, deaf to what is no edit; see `normal`."""
    return digest(words(entry))


def digest(said: str) -> str:
    """Gives the fingerprint of an entry with these words."""
    return hashlib.sha256(said.encode("utf-8", "replace")).hexdigest()[:32]


def words(entry: FeedEntry) -> str:
    """Gives the words that a fingerprint is made of; empty for a post of pictures only."""
    return "\n".join(part for part in (normal(entry.title), normal(entry.text)) if part)


def normal(text: str) -> str:
    """Gives a text as it is compared.

    Gone are markup, entities, white space, quotes and dashes of another kind, letter case, invisible
    characters, ligatures, clocks before a headline, counters, times told from now, and what flips in links.
    """
    bare = plain(text) if "<" in text or "&" in text else text
    bare = _HIDDEN.sub("", unicodedata.normalize("NFKC", bare))
    bare = _LINK.sub(_steady_link, bare)
    bare = " ".join(map(_line, bare.split("\n")))
    bare = relative_times.without(" ".join(bare.casefold().split()))
    return " ".join(bare.translate(_QUOTES | _DASHES).split())


def units(text: str) -> frozenset[str]:
    """Gives the words of a normal text; pairs of letters where a script writes no spaces between words."""
    return frozenset(_units(text))


def likeness(one: frozenset[str], other: frozenset[str]) -> float:
    """Gives the share that two texts' units have in common, from 0 to 1 (Jaccard); 0 for two empty ones."""
    union = len(one | other)
    return len(one & other) / union if union else 0.0


def numbers(text: frozenset[str]) -> frozenset[str]:
    """Gives the units that hold a digit: where they differ, two texts tell two pieces of news."""
    return frozenset(unit for unit in text if any(letter.isdigit() for letter in unit))


def _units(text: str) -> Iterator[str]:
    for word in _WORD.findall(text):
        if not _UNSPACED.search(word):
            yield word
        else:
            yield from (word[at : at + 2] for at in range(max(len(word) - 1, 1)))


def _line(line: str) -> str:
    """Gives a line without the clock before it, and without counters."""
    if any(map(str.isdigit, line[:_CLOCK_REACH])):
        line = _CLOCK.sub("", line)
    if len(line) <= _LONGEST_COUNTERS and _COUNTERS.fullmatch(line):
        return ""
    return line[:-_LONGEST_COUNTERS] + _COUNTERS_AT_END.sub("", line[-_LONGEST_COUNTERS:])


def _steady_link(link: re.Match[str]) -> str:
    """Gives a link as it is when nothing but its signature, its tracking or its scheme has changed."""
    address, _, _ = link[0].partition("?")
    return canonical(address if _PICTURE.search(address) else link[0])
