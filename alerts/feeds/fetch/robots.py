"""What a robots.txt allows (RFC 9309); pure.

Our own, because the rules of a hostile file must cost little: a library that turns each `*` into a regular
expression can be made to search for minutes.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from urllib.parse import quote, unquote_to_bytes

LONGEST = 500 * 1024  # bytes that are read (RFC 9309 section 2.5)

_PRODUCT = re.compile(r"[A-Za-z_-]+")  # section 2.2.1
_SAFE = "/:?@!$&'()*+,;=-._~|[]"


@dataclass(frozen=True, slots=True)
class Rule:
    """A path pattern in pieces, as its `*` part it; `is_whole` when it ended in `$`."""

    allows: bool
    pieces: tuple[str, ...]
    is_whole: bool
    length: int

    def matches(self, path: str) -> bool:
        """Whether the pattern fits; takes time in proportion to the path and the pattern, whatever they are."""
        first, *rest = self.pieces
        if not path.startswith(first):
            return False
        if not rest:
            return not self.is_whole or path == first
        at = len(first)
        for piece in rest[:-1] if self.is_whole else rest:
            found = path.find(piece, at)
            if found < 0:
                return False
            at = found + len(piece)
        return not self.is_whole or (path.endswith(rest[-1]) and len(path) - len(rest[-1]) >= at)


@dataclass(frozen=True, slots=True)
class Rules:
    """The rules that are for us, longest first, so that the first that fits decides (section 2.2.2)."""

    rules: tuple[Rule, ...] = ()

    def allow(self, path: str) -> bool:
        """Whether a path with its query may be asked for; robots.txt itself always may."""
        path = _normal(path)
        if path == "/robots.txt":
            return True
        return next((rule.allows for rule in self.rules if rule.matches(path)), True)


def product(user_agent: str) -> str:
    """Gives the product token that a User-Agent begins with, by which a robots.txt would name us."""
    found = _PRODUCT.match(user_agent)
    return found[0].lower() if found else ""


def read(body: bytes, user_agent: str) -> Rules:
    """Reads the rules for `user_agent`: those of all its groups, or else those of `*`."""
    ours, anybodys = list[Rule](), list[Rule]()
    is_named, us = False, product(user_agent)
    for agents, rules in _groups(body[:LONGEST].decode("utf-8-sig", "replace")):
        if us and us in agents:
            is_named = True
            ours += rules
        elif "*" in agents:
            anybodys += rules
    chosen = ours if is_named else anybodys
    # Of two rules as long as each other, the one that allows wins.
    return Rules(tuple(sorted(chosen, key=lambda rule: (-rule.length, not rule.allows))))


def _groups(text: str) -> Iterator[tuple[set[str], list[Rule]]]:
    """Gives each group's agents and rules; lines of other names stand between them without meaning."""
    agents, rules, is_heading = set[str](), list[Rule](), False
    for line in re.split(r"\r\n|\r|\n", text):
        name, colon, value = line.partition("#")[0].partition(":")
        if not colon:
            continue
        name, value = name.strip().lower(), value.strip()
        if name == "user-agent":
            if not is_heading:
                yield agents, rules
                agents, rules, is_heading = set(), [], True
            agents.add("*" if value == "*" else product(value))
        elif name in ("allow", "disallow"):
            is_heading = False
            if value:
                rules.append(_rule(value, allows=name == "allow"))
    yield agents, rules


def _rule(value: str, *, allows: bool) -> Rule:
    is_whole = value.endswith("$")
    pattern = _normal(re.sub(r"\*+", "*", value.removesuffix("$")))
    return Rule(allows, tuple(pattern.split("*")), is_whole, len(pattern) + is_whole)


def _normal(path: str) -> str:
    """Gives a path in one spelling: what need not be escaped is not, and the rest is (section 2.2.2)."""
    parts = re.split(r"(%[0-9A-Fa-f]{2})", path)
    return "".join(
        _escape(part) if index % 2 else quote(part, safe=_SAFE + "%", errors="replace")
        for index, part in enumerate(parts)
    )


def _escape(triplet: str) -> str:
    letter = unquote_to_bytes(triplet)
    return letter.decode() if letter.isalnum() or letter in b"-._~" else triplet.upper()
