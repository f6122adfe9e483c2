"""What a mail's content depends on besides the alert, and the name of what it gives."""

import hashlib
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Choice:
    """What a mail's content depends on besides the alert: readers of equal choices share a rendering."""

    topics: tuple[int, ...]
    frequency: str
    language: str


@dataclass(frozen=True, slots=True)
class Wording:
    """What a reader is told: their choice, and the variant that it makes of the alert."""

    choice: Choice
    variant: str


def variant_key(content: str, choice: Choice) -> str:
    """Names what differs in content: entries and revisions, topics named, frequency, language."""
    topics = ",".join(map(str, choice.topics))
    parts = f"{content}|{topics}|{choice.frequency}|{choice.language}"
    return hashlib.blake2b(parts.encode(), digest_size=12).hexdigest()
