"""What a post says of itself in words, there being no field for it: a correction, a key event."""

import re

_MARKER = re.compile(
    r"""^[\W_]*(?:
        (?:correction|corrected|clarification\ and\ correction|update\ and\ correction
          |rettifica|errata\ corrige|berichtigung|korrektur|richtigstellung|rectificatif|erratum
          |correcci[oó]n|fe\ de\ erratas|correctie|corre[cç][aã]o|rettelse|korreksjon|rättelse)
        (?:\s*\(?\d[\d.:\s]*(?:am|pm)?\)?)?     # "Correction (14:30):"
        \s*(?:[:\-\u2013\u2014|.!\n]|$)
      | this\ (?:post|article|entry|story|update|item|blog|live\ blog|report|piece|headline|page)
        \ (?:has\ been|was|is)\ (?:\w+\ )?
        (?:corrected|amended|(?:edited|updated|changed|revised)\ to\ correct)
      | an\ earlier\ version\ of\ this\ (?:post|article|entry|story|update|item|blog|live\ blog|report|piece)
    )""",
    re.IGNORECASE | re.VERBOSE,
)
_KEY_EVENT_TAGS = frozenset({"key event", "key-event", "keyevent", "key moment", "key point"})
_SHOUTED = re.compile(r"^\W*(?:CORRECTION|CORRECTED)\b")


def is_correction(title: str, text: str) -> bool:
    """Whether a post's headline or text begins with the marker of a correction."""
    return any(_MARKER.match(words) or _SHOUTED.match(words) for words in (title, text) if words)


def names_key_event(tag: str) -> bool:
    """Whether a tag or category of a post is one that newsrooms flag key events with."""
    return tag.strip().lower() in _KEY_EVENT_TAGS
