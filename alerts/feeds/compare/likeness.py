"""Whether two entries tell the same news: readers are told who else reported it, and nothing is kept from them.

Words alone mislead: "57 arrests" and "90 arrests" are almost the same text and two pieces of news. So two texts
are the same news only when they are alike in words, and say the same numbers, names and negations. Where a
script has no capitals a place cannot be told from a word, and only the same words will do. Pure.
"""

import re
import unicodedata
from dataclasses import dataclass
from functools import lru_cache

from alerts.feeds.compare import wording
from alerts.feeds.compare.identity import normal

# Likeness from which two texts may be one piece of news; measured in docs/explanation/also-reported-by.md.
SAME_FEED = 0.8
OTHER_FEED = 0.7
# Fewer words than this are said of many events: "Goal!", "More to follow".
LEAST_WORDS = 4

_LEAD = 300  # characters after the headline in which the place of an event is named
_WORD = re.compile(r"[^\W_]+")
_SENTENCE = re.compile(r"(?<=[.!?…:;\n])\s+")
_THOUSANDS = re.compile(r"(?<=\d)[.,'\u2019\u00a0\u202f ](?=\d{3}(?!\d))")
_NUMBER = re.compile(r"\d+(?:[.,]\d+)*")
_UNSPACED = re.compile(r"[\u0e00-\u0eff\u3040-\u30ff\u3400-\u9fff\uac00-\ud7af]+")
_SHORT_START = 4  # letters: a shorter word at a sentence's start is more often "The" than a name

_NUMBER_WORDS = {
    word: str(number)
    for number, words in enumerate(
        (
            "two zwei deux dos due dois twee",
            "three drei trois tres tre três drie",
            "four vier quatre cuatro quattro quatro",
            "five fünf cinq cinco cinque vijf",
            "six sechs seis sei zes",
            "seven sieben sept siete sette sete zeven",
            "eight acht huit ocho otto oito",
            "nine neun neuf nueve nove negen",
            "ten zehn diez dieci dez tien",
            "eleven elf onze once undici",
            "twelve zwölf douze doce dodici doze twaalf",
        ),
        start=2,
    )
    for word in words.split()
}
_NUMBER_VALUES = frozenset(_NUMBER_WORDS.values())
_NEGATIONS = frozenset(
    """
    not no never none nobody nothing neither nor without cannot deny denies denied denying
    isnt arent wasnt werent dont doesnt didnt hasnt havent hadnt wont wouldnt cant couldnt shouldnt
    nicht kein keine keinen keinem keiner keines nie niemals niemand nichts ohne dementiert dementierte
    ne pas jamais aucun aucune rien sans dément démenti
    non mai nessun nessuno nessuna niente senza smentisce smentito
    nunca jamás ningún ninguno ninguna nada sin desmiente niega negó
    não nenhum nenhuma sem nega negou
    niet geen nooit niemand zonder ontkent
    ikke ingen uden inte utan nei nej
    не нет без ні bez
    """.split()  # noqa: SIM905 - a list of languages, not of quotation marks
)


@dataclass(frozen=True, slots=True)
class Told:
    """What a text says, as far as it is compared."""

    words: frozenset[str]
    numbers: frozenset[str]
    names: frozenset[str]  # of the headline and the lead, as words
    plain_words: frozenset[str]  # written in small letters somewhere: no names, whatever a headline does
    negations: frozenset[str]
    has_capitals: bool


@lru_cache(maxsize=4096)
def told(title: str, text: str) -> Told:
    """Reads a text once for all its comparisons."""
    written = unicodedata.normalize("NFKC", f"{title}\n{text}")
    compared = _THOUSANDS.sub("", normal(title) + "\n" + normal(text))
    found = [_NUMBER_WORDS.get(word, word) for word in _WORD.findall(compared)]
    lower = frozenset(word for word in _WORD.findall(written) if word.islower())
    return Told(
        words=frozenset(word for each in found for word in _units(each)),
        numbers=frozenset(_NUMBER.findall(compared)) | _NUMBER_VALUES.intersection(found),
        names=_names(unicodedata.normalize("NFKC", title), unicodedata.normalize("NFKC", text[:_LEAD])),
        plain_words=lower,
        negations=_NEGATIONS.intersection(found),
        has_capitals=bool(lower),
    )


def likeness(one: Told, other: Told) -> float:
    """Gives the share of common words among all words of both, from 0 to 1 (Jaccard)."""
    return wording.likeness(one.words, other.words)


def is_same_news(one: Told, other: Told, *, least: float) -> bool:
    """Whether two texts tell the same news, alike by at least `least`; in doubt they do not."""
    if min(len(one.words), len(other.words)) < LEAST_WORDS:
        return False
    if one.numbers != other.numbers or one.negations != other.negations:
        return False
    if not (one.has_capitals and other.has_capitals):
        return one.words == other.words
    if _unmatched(one, other) or _unmatched(other, one):
        return False
    return likeness(one, other) >= least


def _unmatched(one: Told, other: Told) -> frozenset[str]:
    """Gives the names that one text has and the other does not mention."""
    return one.names - other.words - one.plain_words - other.plain_words


def _names(title: str, lead: str) -> frozenset[str]:
    found: set[str] = set()
    for sentence in [title, *_SENTENCE.split(lead)]:
        for number, word in enumerate(_WORD.findall(sentence)):
            if word[0].isupper() and (number > 0 or len(word) >= _SHORT_START):
                found.add(normal(word))
    return frozenset(found - _NUMBER_WORDS.keys())


def _units(word: str) -> list[str]:
    """Gives a word, or the pairs of letters of a script that writes none apart."""
    if len(word) > 2 and _UNSPACED.fullmatch(word):  # noqa: PLR2004 - a pair is itself
        return [word[at : at + 2] for at in range(len(word) - 1)]
    return [word]
