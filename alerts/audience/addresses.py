"""The door for addresses: each is checked and normalised once, here, and trusted everywhere else."""

import re
import unicodedata
from dataclasses import dataclass
from functools import lru_cache

import email_validator
from email_validator import EmailNotValidError, validate_email
from idna import IDNAError

from alerts.errors import Refused

# RFC 2606 reserves these names for tests and examples. A rehearsal needs addresses that cannot be anybody's,
# and whether a name can be reached is the relay's knowledge; `.invalid`, `.local`, `.onion` stay refused.
# The library's list is one for the process, and its documentation says to change it so.
_FOR_REHEARSALS = frozenset({"test", "localhost"})
email_validator.SPECIAL_USE_DOMAIN_NAMES[:] = [
    name for name in email_validator.SPECIAL_USE_DOMAIN_NAMES if name not in _FOR_REHEARSALS
]

_PLAIN_NAME = re.compile(
    r"[A-Za-z0-9!#$%&'*+/=?^_`{|}~-]+(?:\.[A-Za-z0-9!#$%&'*+/=?^_`{|}~-]+)*"
)  # RFC 5322, 3.2.3
_LONGEST_NAME = 64  # RFC 5321, 4.5.3.1.1
_SHORT = 200  # far below any limit on the whole
_GMAIL = frozenset({"gmail.com", "googlemail.com"})


@dataclass(frozen=True, slots=True)
class Address:
    """A valid address: `address` as it goes on the wire, its domain in ASCII; `key` the same for all its spellings."""

    address: str
    key: str


def normalise(address: str) -> Address:
    """Gives the address in its two forms, or raises Refused with a reason that does not repeat the address.

    Domains may be in any script and become A-labels. So may names: those beyond ASCII reach a reader if the
    relay offers SMTPUTF8, and are refused for good if it does not. The key folds case on both sides: no mail
    system in use tells `Ann@` from `ann@`, and a reader who types either is the same reader. It folds nothing else:
    `strauß@` and `strauss@` are two mailboxes, and can be two people's (CVE-2019-19844). A name that only looks like
    one in ASCII is refused, as a slip or a trap.
    """
    text = address.strip()
    wire = _wire_of_most(text) or _wire(text)
    if not wire.isascii() and _looks_ascii(wire.rpartition("@")[0]):
        raise Refused("The part before the @-sign has letters that stand for others: write it in plain ones.")
    return Address(wire, key_of(wire))


def key_of(wire: str) -> str:
    """Gives the key of an address as it goes on the wire."""
    return wire.lower() if wire.isascii() else unicodedata.normalize("NFC", wire.lower())


def masked(address: str) -> str:
    """Gives an address as its owner knows it again, and nobody else learns it: `r…@example.org`."""
    local, _, domain = address.rpartition("@")
    return f"{local[:1]}…@{domain}"


def _wire_of_most(text: str) -> str | None:
    """Gives what `_wire` does for most addresses there are, in a twentieth of the time; None for all others."""
    name, _, domain = text.rpartition("@")
    if len(text) <= _SHORT and len(name) <= _LONGEST_NAME and _PLAIN_NAME.fullmatch(name):
        ascii_domain = _ascii_domain(domain)
        return f"{name}@{ascii_domain}" if ascii_domain else None
    return None


@lru_cache(maxsize=4096)
def _ascii_domain(domain: str) -> str | None:
    """Gives a domain as it goes on the wire; readers by the thousand share one."""
    try:
        return _wire(f"x@{domain}").removeprefix("x@")
    except Refused:
        return None


def _wire(text: str) -> str:
    try:
        valid = validate_email(text, check_deliverability=False, strict=True)
    except EmailNotValidError as error:
        raise Refused(_reason(error)) from None
    return f"{valid.local_part}@{valid.ascii_domain}"


def inbox_of(key: str) -> str:
    """Gives what the keys of all addresses of one inbox have in common, as far as providers' habits are known.

    Only limits may ask for it: for some provider, `ann+news@` is another person's than `ann@`.
    """
    name, _, domain = key.rpartition("@")
    name = name.partition("+")[0] or name
    if domain in _GMAIL:  # https://support.google.com/mail/answer/7436150
        name, domain = name.replace(".", ""), "gmail.com"
    return f"{name}@{domain}"


def _looks_ascii(name: str) -> bool:
    return unicodedata.normalize("NFKC", name).isascii()


def _reason(error: EmailNotValidError) -> str:
    if isinstance(error.__cause__, IDNAError):  # its text quotes the domain
        return "The part after the @-sign is no valid domain name."
    return str(error)
