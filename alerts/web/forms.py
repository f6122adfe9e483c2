"""What a form asks for, pure: RFC 8058's one-click request, or one of the buttons on a reader's page.

A slug in a choice is only what the form said: it is compared with what the reader follows, and never reaches
the database.
"""

from collections.abc import Iterable
from dataclasses import dataclass

from alerts.models import Frequency


@dataclass(frozen=True, slots=True)
class OneClick:
    """A mail program's own unsubscribe button (RFC 8058, section 3.2)."""


@dataclass(frozen=True, slots=True)
class StopAll:
    """No alerts any more."""


@dataclass(frozen=True, slots=True)
class Stop:
    """No alerts of one topic any more."""

    topic: str


@dataclass(frozen=True, slots=True)
class Change:
    """Another frequency for one topic."""

    topic: str
    frequency: Frequency


@dataclass(frozen=True, slots=True)
class FollowAgain:
    """Topics the reader left, each at the frequency it had."""

    topics: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Unclear:
    """Nothing that our pages ask."""


Choice = OneClick | StopAll | Stop | Change | FollowAgain | Unclear


def read_choice(fields: Iterable[tuple[str, str]]) -> Choice:
    """Gives what the form's fields, in their order, ask for; fields that do not matter are passed over."""
    given = [*fields]
    values = dict(given)
    # Names and values count as they stand in RFC 8058, section 3.1; some senders vary the case of the value.
    if values.get("List-Unsubscribe", "").lower() == "one-click":
        return OneClick()
    topics = tuple(value for name, value in given if name == "topic")
    match values.get("action"), topics, values.get("frequency"):
        case "stop-all", _, _:
            return StopAll()
        case "stop", (topic,), _:
            return Stop(topic)
        case "frequency", (topic,), (Frequency.FLASH | Frequency.EVERY) as frequency:
            return Change(topic, Frequency(frequency))
        case "follow", (_, *_), _:
            return FollowAgain(topics)
    return Unclear()
