"""What a form asks for, pure: RFC 8058's one-click request, or one of the buttons on a reader's page.

A slug or a zone in a choice is only what the form said: it is compared with what there is, and never reaches the
database otherwise.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime
from typing import TypeAlias

from alerts.audience.farewells import Reason
from alerts.models import Frequency

Fields: TypeAlias = tuple[tuple[str, str], ...]

_OF_TOPIC = "frequency."
_HOURS, _WEEKDAYS, _DAYS = range(24), range(7), range(1, 367)


@dataclass(frozen=True, slots=True)
class OneClick:
    """A mail program's own unsubscribe button (RFC 8058, section 3.2)."""


@dataclass(frozen=True, slots=True)
class StopAll:
    """No alerts any more."""


@dataclass(frozen=True, slots=True)
class Wanted:
    """Another frequency for a topic than the page showed; None for none of it."""

    topic: str
    frequency: Frequency | None


@dataclass(frozen=True, slots=True)
class Save:
    """What was changed of all topics. What was left as the page showed it is not asked for: the page may be old.

    `seen` is the last change that it showed; None where the form does not say.
    """

    wanted: tuple[Wanted, ...]
    seen: datetime | None = None


@dataclass(frozen=True, slots=True)
class Place:
    """Digests at another hour."""

    zone: str
    hour: int
    weekday: int


@dataclass(frozen=True, slots=True)
class AskZone:
    """The list of time zones, for digests at this hour."""

    hour: int
    weekday: int


@dataclass(frozen=True, slots=True)
class PauseFor:
    """Nothing for some days."""

    days: int


@dataclass(frozen=True, slots=True)
class PauseUntil:
    """Nothing before a day; None where the form names none."""

    day: date | None


@dataclass(frozen=True, slots=True)
class Resume:
    """The end of a pause."""


@dataclass(frozen=True, slots=True)
class NewAddress:
    """Mail to another address, as it was typed."""

    typed: str


@dataclass(frozen=True, slots=True)
class KeepAddress:
    """No other address after all."""


@dataclass(frozen=True, slots=True)
class SendLink:
    """A link to this page for whoever reads the address's mail."""


@dataclass(frozen=True, slots=True)
class Download:
    """All that is kept of the reader."""


@dataclass(frozen=True, slots=True)
class AskErase:
    """What an erasure would do."""


@dataclass(frozen=True, slots=True)
class Erase:
    """An erasure, by who has read what it does."""


@dataclass(frozen=True, slots=True)
class SayWhy:
    """Why topics were left, or everything (none)."""

    topics: tuple[str, ...]
    reason: Reason
    words: str


@dataclass(frozen=True, slots=True)
class Unclear:
    """Nothing that our pages ask."""


Choice: TypeAlias = (
    OneClick
    | StopAll
    | Save
    | Place
    | AskZone
    | PauseFor
    | PauseUntil
    | Resume
    | NewAddress
    | KeepAddress
    | SendLink
    | Download
    | AskErase
    | Erase
    | SayWhy
    | Unclear
)

_BUTTONS: Mapping[str, Choice] = {
    "stop-all": StopAll(),
    "resume": Resume(),
    "keep-address": KeepAddress(),
    "link": SendLink(),
    "download": Download(),
    "erase": AskErase(),
    "erase-now": Erase(),
}


def read_choice(fields: Iterable[tuple[str, str]]) -> Choice:
    """Gives what the form's fields ask for; fields that do not matter are passed over."""
    given = [*fields]
    if any(_is_one_click(name, value) for name, value in given):
        return OneClick()
    values = dict(given)
    action = values.get("action", "")
    if action in _FORMS:
        return _FORMS[action](values, given)
    return _BUTTONS.get(action, Unclear())


def read_bare(body: bytes) -> Fields:
    """Gives the fields of a body that nothing declares a form: those of one click, whose text is fixed, or none."""
    name, _, value = body.decode("latin-1").partition("=")
    return ((name, value),) if _is_one_click(name, value) else ()


def _is_one_click(name: str, value: str) -> bool:
    """Takes RFC 8058's pair (section 3.1) as programs really send it: in any case, and with a line's end."""
    return name.strip().lower() == "list-unsubscribe" and value.strip().lower() == "one-click"


def save_fields(changes: Iterable[tuple[str, str, str]]) -> Fields:
    """Gives the fields that ask for changes (topic, frequency shown, frequency wanted); none for no changes."""
    wanted = tuple((f"{_OF_TOPIC}{topic}", f"{shown}:{wanted}") for topic, shown, wanted in changes)
    return (("action", "save"), *wanted) if wanted else ()


_Given: TypeAlias = Sequence[tuple[str, str]]


def _save(values: Mapping[str, str], _given: _Given) -> Choice:
    wanted = []
    for name, value in values.items():
        if name.startswith(_OF_TOPIC):
            shown, colon, new = value.partition(":")
            if not colon or new not in {"", *Frequency}:
                return Unclear()
            if new != shown:
                wanted.append(Wanted(name.removeprefix(_OF_TOPIC), Frequency(new) if new else None))
    return Save(tuple(wanted), _time(values.get("seen", "")))


def _place(values: Mapping[str, str], _given: _Given) -> Choice:
    hour, weekday = _number(values.get("hour"), _HOURS), _number(values.get("weekday"), _WEEKDAYS)
    zone = values.get("zone")
    if zone is None or hour is None or weekday is None:
        return Unclear()
    return Place(zone, hour, weekday)


def _zones(values: Mapping[str, str], _given: _Given) -> Choice:
    hour, weekday = _number(values.get("hour"), _HOURS), _number(values.get("weekday"), _WEEKDAYS)
    return Unclear() if hour is None or weekday is None else AskZone(hour, weekday)


def _pause(values: Mapping[str, str], _given: _Given) -> Choice:
    if "until" in values:
        return PauseUntil(_date(values["until"]))
    days = _number(values.get("days"), _DAYS)
    return Unclear() if days is None else PauseFor(days)


def _address(values: Mapping[str, str], _given: _Given) -> Choice:
    return NewAddress(values.get("address", ""))


def _why(values: Mapping[str, str], given: _Given) -> Choice:
    reason = values.get("reason", "")
    if reason not in {*Reason}:
        return Unclear()
    topics = tuple(value for name, value in given if name == "topic")
    return SayWhy(topics, Reason(reason), values.get("words", ""))


def _number(text: str | None, among: range) -> int | None:
    return next((each for each in among if text == str(each)), None)


def _date(text: str) -> date | None:
    try:
        return date.fromisoformat(text.strip())
    except ValueError:
        return None


def _time(text: str) -> datetime | None:
    try:
        return datetime.fromisoformat(text).astimezone(UTC)
    except (ValueError, OverflowError):
        return None


_FORMS: Mapping[str, Callable[[Mapping[str, str], _Given], Choice]] = {
    "save": _save,
    "place": _place,
    "zones": _zones,
    "pause": _pause,
    "address": _address,
    "why": _why,
}
