"""What a visitor filled in, read and checked: pure, and the same whether the address is known or not."""

import re
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum

from alerts.audience import hints
from alerts.audience.addresses import Address, normalise
from alerts.audience.offers import Offer
from alerts.errors import Refused
from alerts.web.forms import Fields

OF_TOPIC = "frequency."
TRAP = "leave-this"  # a field that no person sees, by a name that no browser's autofill knows
_ADDRESS_LIMIT = 320
_SOURCE = re.compile(r"[a-z0-9][a-z0-9._-]{0,39}")


class Fault(StrEnum):
    """What is wrong with a form; each page says it in the reader's language."""

    EMPTY = "empty"
    NO_ADDRESS = "no-address"
    ROLE = "role"
    DISPOSABLE = "disposable"
    NO_TOPIC = "no-topic"


@dataclass(frozen=True, slots=True)
class Rules:
    """Which addresses may sign up; those at `disposable` domains may not."""

    takes_roles: bool = False
    disposable: frozenset[str] = hints.DISPOSABLE


@dataclass(frozen=True, slots=True)
class Filled:
    """A form as it was filled in; `choices` has only topics and frequencies that are offered."""

    typed: str = ""
    choices: Mapping[str, str] = field(default_factory=dict)
    zone: str = ""
    source: str = ""
    is_meant: bool = False  # asked whether the address is a slip, the visitor has answered
    is_trapped: bool = False


def read(fields: Fields, offers: Sequence[Offer]) -> Filled:
    """Gives what a form says; what is not offered is passed over."""
    values = dict(fields)
    return Filled(
        typed=values.get("take", values.get("address", "")).strip()[:_ADDRESS_LIMIT],
        choices=_choices(values, offers),
        zone=values.get("zone", ""),
        source=source(values.get("from", "")),
        is_meant="take" in values,
        is_trapped=bool(values.get(TRAP)),
    )


def preselected(topics: Collection[str], sent_by: str, offers: Sequence[Offer]) -> Filled:
    """Gives the form as a link with `?topic=` and `?from=` opens it: the first frequency of those topics."""
    chosen = {each.slug: _usual(each) for each in offers if each.slug in topics}
    return Filled(choices=chosen, source=source(sent_by))


def source(text: str) -> str:
    """Gives the name of what sent a visitor, as a link says it; "" for what is no name."""
    return text if _SOURCE.fullmatch(text) else ""


def check_address(typed: str, rules: Rules) -> Address | Fault:
    """Gives the address, or why it cannot sign up."""
    if not typed:
        return Fault.EMPTY
    try:
        address = normalise(typed)
    except Refused:
        return Fault.NO_ADDRESS
    if not rules.takes_roles and hints.is_role(address.key):
        return Fault.ROLE
    if hints.is_disposable(address.key, rules.disposable):
        return Fault.DISPOSABLE
    return address


def _choices(values: Mapping[str, str], offers: Sequence[Offer]) -> dict[str, str]:
    chosen = {each.slug: values.get(f"{OF_TOPIC}{each.slug}", "") for each in offers}
    offered = {each.slug: each.frequencies for each in offers}
    return {slug: frequency for slug, frequency in chosen.items() if frequency in offered[slug]}


def _usual(offer: Offer) -> str:
    return "flash" if offer.is_key_events_only else "every"
