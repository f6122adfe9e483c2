"""The encoding of a document that names none, or a wrong one, and is no UTF-8: from how its letters fall."""

import codecs
import re
from collections.abc import Callable

_SAMPLE = 200_000  # bytes are enough to tell
_LANGUAGE = re.compile(rb"<(?:dc:)?language>\s*([a-z]{2})|\blang=[\"']([a-z]{2})", re.IGNORECASE)
# What is meant where the document names its language.
_OF_LANGUAGE = {
    "ja": ("cp932", "euc_jp"),
    "zh": ("gb18030", "big5hkscs"),
    "ko": ("cp949",),
    "ru": ("koi8-r", "cp1251"),
    "uk": ("koi8-u", "cp1251"),
    "bg": ("cp1251",),
    "el": ("cp1253",),
    "tr": ("cp1254",),
    "he": ("cp1255",),
    "ar": ("cp1256",),
    "fa": ("cp1256",),
    "th": ("cp874",),
    **dict.fromkeys(("pl", "cs", "sk", "hu", "sl", "hr", "ro"), ("iso8859-2", "cp1250")),
    **dict.fromkeys(("et", "lv", "lt"), ("cp1257",)),
}
_RUN = re.compile(rb"[\x80-\xff]+")
_WORD = 3  # bytes beyond ASCII in a row: letters of the Latin alphabets of the West come alone
_WESTERN = 0.2  # the share of bytes in such rows up to which a text is Western
_RECOGNISED = 0.45  # of 1; below it no script was recognised

_CYRILLIC = re.compile("[\u0430-\u044f\u0451\u0454\u0456\u0457]")
_KANA = re.compile("[\u3040-\u30ff]")
_HANGUL = re.compile("[\uac00-\ud7a3]")
_HANZI = re.compile("[\u4e00-\u9fff]")
_CENTRAL = re.compile("[ĄĆĘŁŃŚŹŻąćęłńśźżČĎĚŇŘŠŤŮŽčďěňřšťůžŐŰőűĂȘȚășţşŢŞÁÉÍÓÖÚÜáéíóöúüýÝôäÂÎâî]")


def guess(body: bytes) -> str:
    """Gives the text of bytes that are no UTF-8: in the script that it looks like, else as Windows-1252."""
    sample = body[:_SAMPLE]
    named = _LANGUAGE.search(body[:4096])
    language = (named[1] or named[2]).decode("ascii").lower() if named else ""
    candidates = _OF_LANGUAGE.get(language, ())
    if not candidates and (language or _looks_western(sample)):
        candidates = ("cp1252",)
    scores = {codec: _likeness(sample, codec) for codec in candidates or _SCRIPTS}
    best = max(scores, key=lambda codec: scores[codec])
    if not candidates and scores[best] < _RECOGNISED:
        best = "cp1252"
    return body.decode(best, "replace")


def _looks_western(sample: bytes) -> bool:
    runs = _RUN.findall(sample)
    beyond = sum(map(len, runs))
    return sum(len(run) for run in runs if len(run) >= _WORD) <= _WESTERN * beyond


def _likeness(sample: bytes, codec: str) -> float:
    """Gives how much of a text is in its encoding's own script, below 0 where the bytes are not even that."""
    try:
        text = codecs.getincrementaldecoder(codec)("strict").decode(sample)
    except ValueError:
        return -1.0
    beyond = "".join(char for char in text if char > "\x7f")
    recognised: float = _SCRIPTS.get(codec, _any)(beyond)
    return recognised / max(len(beyond), 1)


def _russian(beyond: str) -> float:
    # In the wrong one of the two common encodings, small letters come out as capitals.
    return len(_CYRILLIC.findall(beyond))


def _japanese(beyond: str) -> float:
    return 1.2 * len(_KANA.findall(beyond)) + 0.6 * len(_HANZI.findall(beyond))


def _korean(beyond: str) -> float:
    # Chinese read as Korean is Hangul and rare characters in turns.
    return len(_HANGUL.findall(beyond)) - len(_HANZI.findall(beyond))


def _common(codec: str, last: bytes) -> Callable[[str], float]:
    """Counts the characters on the first, common plane of a Chinese standard: its codes up to `last`."""

    def count(beyond: str) -> float:
        written: list[str] = _HANZI.findall(beyond)
        codes = (character.encode(codec, "ignore") for character in written)
        return 0.9 * sum(b"" < code <= last for code in codes)

    return count


def _central_european(beyond: str) -> float:
    return len(_CENTRAL.findall(beyond))


def _any(beyond: str) -> float:
    return sum(map(str.isalpha, beyond))


# Each gives how many of the characters beyond ASCII are what its readers write.
_SCRIPTS: dict[str, Callable[[str], float]] = {
    "cp932": _japanese,
    "euc_jp": _japanese,
    "cp949": _korean,
    "gb18030": _common("gb2312", b"\xd7\xf9"),
    "big5hkscs": _common("big5", b"\xc6\x7e"),
    "koi8-r": _russian,
    "koi8-u": _russian,
    "cp1251": _russian,
    "iso8859-2": _central_european,
    "cp1250": _central_european,
}
