"""What the columns of a file of readers mean: ours, listmonk's and Mailchimp's. From a row to a checked line.

docs/how-to/import-export.md says which columns are read. All others are left alone: we keep no more than we use.
"""

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from enum import IntEnum, StrEnum
from functools import cache
from typing import Any
from zoneinfo import available_timezones

from alerts.audience.addresses import Address, normalise
from alerts.audience.lists.cells import plain
from alerts.audience.lists.rows import Bad, Row, Table
from alerts.errors import Refused
from alerts.models import Frequency

OWN_COLUMNS = (
    "address",
    "topic",
    "frequency",
    "status",
    "consent_source",
    "consent_date",
    "language",
    "zone",
    "digest_hour",
    "digest_weekday",
    "paused_until",
)
LONGEST_SOURCE = 200
_ADDRESS_COLUMNS = ("address", "email", "email address", "email_address", "e-mail", "e-mail address")
_LANGUAGE = re.compile(r"[a-z]{2,3}(-[A-Za-z0-9]{2,8})*")
# As written by Go, and so by listmonk: a space before the offset, and the zone's name behind it.
_GO_TIME = re.compile(r"(\d{4}-\d\d-\d\d \d\d:\d\d:\d\d)(?:\.\d+)? ([+-]\d\d)(\d\d) [A-Z+-]\S*")
_EARLIEST_YEAR = 1995  # before, nobody agreed to a mail: it is a zero that was written as a date
_HOURS, _WEEKDAYS = 24, 7


class Shape(StrEnum):
    """Whose columns they are."""

    CSV = "csv"
    LISTMONK = "listmonk"
    MAILCHIMP = "mailchimp"


class Step(IntEnum):
    """What a line asks for, in the order of applying: what stops mail comes before what begins it."""

    SUPPRESS = 0
    LEAVE_ALL = 1
    FOLLOW = 2
    LEAVE = 3  # after following: a reader may follow one topic and have left another


@dataclass(frozen=True, slots=True)
class Line:
    """One line of a file, checked."""

    number: int
    step: Step
    address: Address
    topic: str = ""
    frequency: str = ""
    cause: str = ""
    consent_source: str = ""
    consent_at: datetime | None = None
    settings: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Given:
    """What the command says about all lines; a line's own columns come first."""

    now: datetime
    shape: Shape | None = None
    topic: str = ""
    frequency: str = ""
    consent_source: str = ""
    consent_date: str = ""  # or the name of a column
    status: str = ""
    file_name: str = ""


_FOLLOWS = frozenset({"", "active", "subscribed", "enabled", "confirmed"})
_LEFT = frozenset({"left", "unsubscribed", "disabled", "opted-out", "optout"})
_STOPPED = frozenset(
    {"suppressed", "cleaned", "bounced", "blocklisted", "blacklisted", "complained", "complaint", "spam"}
)
_NEVER_AGREED = frozenset(
    {"unconfirmed", "pending", "nonsubscribed", "non-subscribed", "transactional", "archived"}
)


def guess(header: Sequence[str]) -> Shape:
    """Tells whose columns these are by their names."""
    names = {each.strip().lower() for each in header}
    if names & {"member_rating", "leid", "euid"} or ("optin_time" in names and "confirm_time" in names):
        return Shape.MAILCHIMP
    if {"email", "attributes"} <= names:
        return Shape.LISTMONK
    return Shape.CSV


def reader_of(table: Table, given: Given) -> Callable[[Row], Line | Bad]:
    """Gives the function that reads this table's rows; Refused when something is missing that all lines need."""
    return _Columns(table.header, given).line


class _Columns:
    """A header with its meaning."""

    def __init__(self, header: Sequence[str], given: Given) -> None:
        self._given = given
        self._shape = given.shape or guess(header)
        self._places: dict[str, int] = {}
        for place, name in enumerate(header):
            known = name.strip().lower()
            if known in self._places and (known in OWN_COLUMNS or known in _ADDRESS_COLUMNS):
                raise Refused(f"There are two columns called {known}.")
            self._places.setdefault(known, place)
        self._address = self._address_column()
        self._status = self._status_of_file()
        self._consent_column = given.consent_date.strip().lower()
        if self._consent_column not in self._places:
            self._consent_column = ""
            if given.consent_date:
                _time(given.consent_date, given.now, "--consent-date")

    def line(self, row: Row) -> Line | Bad:
        try:
            return self._line(row)
        except Refused as error:
            return Bad(row.line, str(error))

    def _address_column(self) -> str:
        found = [each for each in _ADDRESS_COLUMNS if each in self._places]
        if self._shape is not Shape.CSV and len(found) > 1:
            found = [each for each in found if each != "address"]  # where people live
        if len(found) > 1:
            raise Refused(
                f"Two columns could hold the addresses, {' and '.join(found)}: rename or remove one of them."
            )
        if not found:
            raise Refused("Which column has the addresses? Call it `address`.")
        return found[0]

    def _line(self, row: Row) -> Line:
        step, cause = _step(self._status_of(row))
        address = normalise(self._cell(row, self._address))
        topic = self._own(row, "topic") or self._given.topic
        if step is Step.SUPPRESS:
            return Line(row.line, step, address, cause=cause)
        if step is Step.LEAVE_ALL and not topic:
            return Line(row.line, step, address)
        frequency = _frequency(self._own(row, "frequency") or self._given.frequency or Frequency.EVERY)
        if step is Step.LEAVE_ALL:
            return Line(row.line, Step.LEAVE, address, topic, frequency)
        if not topic:
            raise Refused("No topic: name it with --topic, or in a column `topic`.")
        return Line(
            row.line,
            step,
            address,
            topic,
            frequency,
            consent_source=_source(self._own(row, "consent_source") or self._given.consent_source),
            consent_at=self._consent_date(row),
            settings=self._settings(row),
        )

    def _cell(self, row: Row, name: str) -> str:
        place = self._places.get(name)
        text = "" if place is None else plain(row.cells[place]).strip()
        if "\ufffd" in text:
            raise Refused(f"What stands under {name} is neither UTF-8 nor UTF-16.")
        return text

    def _own(self, row: Row, name: str) -> str:
        """Reads a column of our own format, which other formats may use for something else."""
        return self._cell(row, name) if self._shape is Shape.CSV else ""

    def _status_of_file(self) -> str:
        """Tells what a whole file of Mailchimp's is about: of each status there is one."""
        if self._given.status or self._shape is not Shape.MAILCHIMP:
            return self._given.status
        if "unsub_time" in self._places:
            return "unsubscribed"
        if "clean_time" in self._places:
            return "cleaned"
        name = self._given.file_name.lower()
        for status in ("nonsubscribed", "unsubscribed", "subscribed", "cleaned"):
            if name.startswith(status):
                return status
        if "status" in self._places:
            return ""
        raise Refused(
            "Are these readers subscribed? Mailchimp says so in the file's name (subscribed_..., unsubscribed_..., "
            "cleaned_...), and this one says nothing. Say --status subscribed, unsubscribed or cleaned."
        )

    def _status_of(self, row: Row) -> str:
        if self._shape is Shape.MAILCHIMP and self._status:
            return self._status
        return (self._cell(row, "status") or self._status).lower()

    def _consent_date(self, row: Row) -> datetime:
        now = self._given.now
        if own := self._own(row, "consent_date"):
            return _time(own, now, "the date of the consent")
        if self._shape is Shape.MAILCHIMP and not self._given.consent_date:
            own = self._cell(row, "confirm_time") or self._cell(row, "optin_time")
            return _time(own, now, "CONFIRM_TIME")
        own = self._cell(row, self._consent_column) if self._consent_column else self._given.consent_date
        return _time(own, now, "the date of the consent")

    def _settings(self, row: Row) -> dict[str, Any]:
        settings: dict[str, Any] = {}
        if language := self._own(row, "language"):
            if not _LANGUAGE.fullmatch(language):
                raise Refused("The language is none: write a tag such as en or de.")
            settings["language"] = language
        if zone := self._own(row, "zone"):
            if zone not in _zones():
                raise Refused("The time zone is none of the IANA's, such as Europe/Berlin.")
            settings["zone"] = zone
        for name, limit in (("digest_hour", _HOURS), ("digest_weekday", _WEEKDAYS)):
            if text := self._own(row, name):
                if not (text.isascii() and text.isdigit() and len(text) <= 2 and int(text) < limit):  # noqa: PLR2004 - digits
                    raise Refused(f"{name} is a number from 0 to {limit - 1}.")
                settings[name] = int(text)
        if paused := self._own(row, "paused_until"):
            settings["paused_until"] = _parsed(paused, "paused_until").isoformat()
        return settings


def _step(status: str) -> tuple[Step, str]:
    if status in _FOLLOWS:
        return Step.FOLLOW, ""
    if status in _LEFT:
        return Step.LEAVE_ALL, ""
    if status in _STOPPED:
        return Step.SUPPRESS, status
    if status in _NEVER_AGREED:
        raise Refused("Its status says that this reader never agreed.")
    raise Refused(
        f"Its status is unknown; there are {', '.join(sorted((_FOLLOWS | _LEFT | _STOPPED) - {''}))}."
    )


def _frequency(text: str) -> str:
    try:
        return Frequency(text.lower())
    except ValueError:
        raise Refused(f"The frequency is unknown; there are {', '.join(Frequency)}.") from None


def _source(text: str) -> str:
    if not text:
        raise Refused("How did this reader agree? Say --consent-source, or in a column `consent_source`.")
    if "@" in text or "%40" in text:
        raise Refused("The source of the consent names an address: write where it was given instead.")
    if len(text) > LONGEST_SOURCE or not text.isprintable():
        raise Refused(f"The source of the consent is no line of at most {LONGEST_SOURCE} characters.")
    return text


def _time(text: str, now: datetime, what: str) -> datetime:
    if not text:
        raise Refused("When did this reader agree? Say --consent-date, or in a column `consent_date`.")
    found = _parsed(text, what)
    if found.year < _EARLIEST_YEAR or found > now + timedelta(days=1):
        raise Refused(f"A consent on this day cannot be ({what}).")
    return found


def _parsed(text: str, what: str) -> datetime:
    if go := _GO_TIME.fullmatch(text):
        text = f"{go[1]}{go[2]}:{go[3]}"
    try:
        found = datetime.fromisoformat(text)
        return (found if found.tzinfo else found.replace(tzinfo=UTC)).astimezone(UTC)
    except (ValueError, OverflowError):
        raise Refused(
            f"Write {what} as 2026-11-22, or 2026-11-22 07:00:00; without a zone it is UTC."
        ) from None


@cache
def _zones() -> frozenset[str]:
    # Some systems list these two, which are no zone of IANA's for a place: `localtime` is another one on each machine.
    return frozenset(available_timezones() - {"Factory", "localtime"})
