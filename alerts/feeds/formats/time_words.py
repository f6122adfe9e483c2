"""Times in words: RFC 822 and its misspellings, ctime, and the months of the languages that feeds are written in."""

# ruff: noqa: RUF001 - the months are Greek and Cyrillic, too

import re
import unicodedata
from datetime import datetime, timedelta, timezone

_FIRST_OF_THE_WEB = 90  # a year of two digits from here on is of the last century
_LONGEST = 100  # characters; a time is shorter
_MOST_WORDS = 3  # a weekday, a zone that is not known, a word between: with more it is no time

# By how a month's name begins, without accents; a longer beginning counts before a shorter one.
_MONTHS = {
    beginning: number
    for number, beginnings in enumerate(
        (
            "jan gen ene sty led ian янв січ ιαν oca",
            "feb fev lut uno фев лют φεβ sub",
            "mar maa mrt brez мар бер μαρ μαω",
            "apr avr abr kwi dub апр кві απρ nis",
            "may mai maj mag mei kvet маи мая тра μαι",
            "jun giu juin cze июн чер ιουν ιον haz",
            "jul lug juil lip июл лип ιουλ ιολ tem",
            "aug agu ago aou sie srp авг сер αυγ",
            "sep set sze wrz zar сен вер σεπ eyl",
            "oct okt ott out paz rij окт жов οκτ eki",
            "nov lis ноя лис νοε kas",
            "dec dez dic gru pros дек гру δεκ ara",
        ),
        start=1,
    )
    for beginning in beginnings.split()
}
# By hours from UTC. Of names with several meanings the one of most newsrooms that write it.
_ZONES = {
    name: float(hours)
    for hours, names in {
        -10: "hst", -9: "akst", -8: "pst pt akdt", -7: "mst mt pdt", -6: "cst ct mdt", -5: "est et cdt cot",
        -4: "ast at edt clt", -3.5: "nst", -3: "adt brt art", -2.5: "ndt", 0: "ut utc gmt z wet",
        1: "bst west cet met mez wat", 2: "cest mest mesz eet sast cat", 3: "eest msk trt eat", 4: "gst",
        5: "pkt", 5.5: "ist", 5.75: "npt", 7: "ict wib", 8: "hkt sgt myt pht awst", 9: "jst kst", 9.5: "acst",
        10: "aest", 10.5: "acdt", 11: "aedt", 12: "nzst", 13: "nzdt",
    }.items()
    for name in names.split()
}  # fmt: skip
# RFC 822 section 5.1 counts the military letters from -1 to -12, without "j", then from 1 to 12.
_ZONES |= {letter: -float(hours) for hours, letter in enumerate("abcdefghiklm", start=1)}
_ZONES |= {letter: float(hours) for hours, letter in enumerate("nopqrstuvwxy", start=1)}
_HALVES = {"오전": "a", "上午": "a", "오후": "p", "下午": "p"}
_CLOCK = re.compile(
    r"(?:(?P<before>오전|오후|上午|下午)\s*)?(?<!\d)(?P<hour>\d{1,2}):(?P<minute>\d{1,2})"
    r"(?::(?P<second>\d{1,2})(?:[.,]\d+)?)?\s*(?P<after>[ap]\.?m\b\.?)?"
)
_OFFSET = re.compile(r"\s*\(?(?:etc/)?(?:gmt|utc?)?\s*([+-])(\d{1,2})(?::?(\d{2}))?(?![\d:])")
_ZONE = re.compile(r"\s*\(?(?:etc/)?([a-z]{1,4})\b")
_YEAR_FIRST = re.compile(r"(?<!\d)(\d{4})\s?[-/.년年]\s?(\d{1,2})\s?[-/.월月]\s?(\d{1,2})(?!\d)")
_DAY_FIRST = re.compile(r"(?<!\d)(\d{1,2})([./])(\d{1,2})\2(\d{4})(?!\d)")
_WORD = re.compile(r"[^\W\d_]+")
_NUMBER = re.compile(r"\d+")
_HANGUL = re.compile("[\uac00-\ud7a3]")
_KOREA = timezone(timedelta(hours=9))


def read(text: str) -> datetime | None:
    """Gives a time as it was written, without a zone where it names none; None for what is no time."""
    if len(text) > _LONGEST:
        return None
    text = _without_accents(text.casefold())
    clock = _CLOCK.search(text)
    zone, rest = _zone(text[clock.end() :]) if clock else (None, "")
    words = f"{text[: clock.start()]} {rest}" if clock else text
    day = _day(words, is_american=bool(clock and clock["after"]))
    if day is None:
        return None
    if zone is None and _HANGUL.search(text):
        zone = _KOREA
    try:
        return datetime(*day, tzinfo=zone) + (_since_midnight(clock) if clock else timedelta())
    except (ValueError, OverflowError):
        return None


def _without_accents(text: str) -> str:
    parts = unicodedata.normalize("NFKD", text)
    letters = "".join(char for char in parts if not unicodedata.combining(char))
    return unicodedata.normalize("NFC", letters)  # Hangul came apart, too


def _since_midnight(clock: re.Match[str]) -> timedelta:
    """Gives the time of day; ValueError for what no clock shows. A leap second is the one before it."""
    hour, minute, second = (int(clock[name] or 0) for name in ("hour", "minute", "second"))
    half = (clock["after"] or "")[:1] or _HALVES.get(clock["before"], "")
    if half and hour <= 12:  # noqa: PLR2004 - hours of half a day
        hour = hour % 12 + (12 if half == "p" else 0)
    since = timedelta(hours=hour, minutes=minute, seconds=min(second, 59))
    if minute >= 60 or second > 60 or since > timedelta(days=1):  # noqa: PLR2004 - a clock's face
        raise ValueError(clock[0])
    return since


def _zone(after: str) -> tuple[timezone | None, str]:
    """Gives the zone that stands behind a time of day, and what follows it."""
    if offset := _OFFSET.match(after):
        away = timedelta(hours=int(offset[2]), minutes=int(offset[3] or 0))
        if away < timedelta(days=1):
            return timezone(-away if offset[1] == "-" else away), after[offset.end() :]
    named = _ZONE.match(after)
    hours = _ZONES.get(named[1]) if named else None
    if named is None or hours is None:
        return None, after
    return timezone(timedelta(hours=hours)), after[named.end() :]


def _day(words: str, *, is_american: bool) -> tuple[int, int, int] | None:
    """Gives year, month and day, where the words leave no doubt which is which."""
    if found := _YEAR_FIRST.search(words):
        return int(found[1]), int(found[2]), int(found[3])
    if found := _DAY_FIRST.search(words):
        first, second, year = int(found[1]), int(found[3]), int(found[4])
        if found[2] == "." or first > 12:  # noqa: PLR2004 - months of a year
            return year, second, first
        # 11/22/2026 is America's; 3/4/2026 is anybody's, but only America tells a.m. from p.m. with it.
        return (year, first, second) if is_american or second > 12 else None  # noqa: PLR2004 - months of a year
    return _named_day(words)


def _named_day(words: str) -> tuple[int, int, int] | None:
    named = _WORD.findall(words)
    months = [month for month in map(_month, named) if month]
    numbers = _NUMBER.findall(words)
    if not months or len(numbers) != 2 or len(named) > 1 + _MOST_WORDS:  # noqa: PLR2004 - a day and a year
        return None
    day, year = sorted(numbers, key=len) if len(numbers[0]) > 2 else numbers  # noqa: PLR2004 - digits of a day
    since = int(year)
    if len(year) <= 2:  # noqa: PLR2004 - RFC 822 gives a year two digits
        since += 1900 if since >= _FIRST_OF_THE_WEB else 2000
    # Behind the weekday, which may look like a month: "mar, 22 nov" is a Tuesday.
    return since, months[-1], int(day)


def _month(word: str) -> int | None:
    return next((_MONTHS[word[:length]] for length in (5, 4, 3) if word[:length] in _MONTHS), None)
