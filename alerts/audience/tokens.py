"""What the site's secret makes: the tokens in readers' links, Message-IDs, and the hashes of addresses.

A token is 32 bytes, written as 43 url-safe characters:

    key id (1)  purpose (1)  subscriber id (6)  alert id (6)  MAC (18: HMAC-SHA256, cut)

It holds no address, never expires by itself, and can be read without a database. When the site's secret
changes, the old ones stay in the configuration: their key ids go on verifying, so that the unsubscribe link
of an old mail still works. Message-IDs and address hashes come from the *first* secret the site ever had.
They must never change: a resend has to carry the Message-ID of the first try, and a suppression has to be
found again.
"""

import base64
import hashlib
import hmac
import struct
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import IntEnum
from functools import cache
from typing import TYPE_CHECKING

from alerts.errors import ConfigError

if TYPE_CHECKING:
    from hashlib import _Hash

TOKEN_LENGTH = 43
TAG_LENGTH = 39
_MAC_LENGTH = 18
_TAG_MAC_LENGTH = 10  # a name has room for no more (RFC 5321, 4.5.3.1.1)
_ID_LIMIT = 2**48
_INNER, _OUTER = (bytes(byte ^ pad for byte in range(256)) for pad in (0x36, 0x5C))
# Key id, purpose, and two ids of six bytes each: the high two bytes apart, as struct knows no such integer.
_CLAIM = struct.Struct(">BBHIHI")


class Purpose(IntEnum):
    """What a link allows; a token made for one is worth nothing for another."""

    # The subject is a subscriber ...
    MANAGE = 1  # in each mail: see, change or end what this reader gets
    # ... or a notice, by its id: the link works until the notice expires.
    CONFIRM = 2  # a sign-up
    OWN = 3  # the page of whoever reads mail to the address just now: their data, too
    NEW_ADDRESS = 4
    OLD_ADDRESS = 5
    # No link: the tag in the envelope's sender, by which a bounce names the mail that it is about.
    BOUNCE = 6


_PURPOSES = frozenset(Purpose)


@dataclass(frozen=True, slots=True)
class Keys:
    """Everything derived from the site's secrets; `tokens` by key id, the highest is the current one."""

    pepper: bytes
    message_id: bytes
    tokens: Mapping[int, bytes]

    def __repr__(self) -> str:
        return f"Keys(key ids {sorted(self.tokens)})"  # a traceback with locals must not print a key

    @property
    def current(self) -> int:
        """The key id that new tokens are made with; each delivery's row pins it."""
        return max(self.tokens)


@dataclass(frozen=True, slots=True)
class Claim:
    """What a token that verified says."""

    purpose: Purpose
    subscriber_id: int
    alert_id: int
    key_id: int


def derive(secret: bytes, old: Sequence[bytes]) -> Keys:
    """Gives the keys of a site with this secret, and with the `old` ones it had before, oldest first.

    Key ids are places in that order, so an old secret is only ever added at the end of `old`, never removed.
    """
    secrets = (*old, secret)
    if len(secrets) > 255:  # noqa: PLR2004 - the key id is one byte
        raise ConfigError("A site can have had 255 secrets at most.")
    return Keys(
        pepper=_subkey(secrets[0], b"address pepper"),
        message_id=_subkey(secrets[0], b"message id"),
        tokens={key_id: _subkey(each, b"token") for key_id, each in enumerate(secrets, start=1)},
    )


def address_hash(pepper: bytes, address_key: str) -> str:
    """Gives the name under which a suppressed address is kept, also after its erasure."""
    return hmac.digest(pepper, address_key.encode(), "sha256").hex()


def message_id(keys: Keys, alert_id: int, subscriber_id: int) -> str:
    """Gives the local part of a delivery's Message-ID: always the same one, and no id can be read from it."""
    return _hmac_sha256(keys.message_id, b"%d:%d" % (alert_id, subscriber_id))[:16].hex()


def make(keys: Keys, purpose: Purpose, subscriber_id: int, alert_id: int, key_id: int) -> str:
    """Gives the token for one reader's link in one alert: 43 url-safe characters, always the same for the same.

    Ids are below 2**48. Raises ConfigError when the secret that `key_id` stands for is configured no more.
    """
    claim, key = _claim(keys, purpose, subscriber_id, alert_id, key_id)
    return _written(claim + _hmac_sha256(key, claim)[:_MAC_LENGTH])


def read(keys: Keys, token: str) -> Claim | None:
    """Gives what `token` allows, or None for anything that `make` did not write, to the last character."""
    try:
        raw = base64.urlsafe_b64decode(f"{token}=") if len(token) == TOKEN_LENGTH else b""
    except ValueError:
        return None
    # 43 characters hold two bits more than 32 bytes, and the decoder skips what it does not know: only the
    # one canonical spelling counts.
    if not raw or _written(raw) != token:
        return None
    found = _read_claim(keys, raw[: _CLAIM.size], raw[_CLAIM.size :])
    return found if found and found.purpose != Purpose.BOUNCE else None


def make_tag(keys: Keys, subscriber_id: int, alert_id: int, key_id: int) -> str:
    """Gives the tag that names a mail in its envelope's sender: 39 letters and digits, whose case does not matter.

    Mail servers may change the case of a name, and some do. Raises ConfigError as `make` does.
    """
    claim, key = _claim(keys, Purpose.BOUNCE, subscriber_id, alert_id, key_id)
    return (
        base64.b32encode(claim + _hmac_sha256(key, claim)[:_TAG_MAC_LENGTH])
        .decode("ascii")
        .rstrip("=")
        .lower()
    )


def read_tag(keys: Keys, tag: str) -> Claim | None:
    """Gives which mail a tag names, or None for anything that `make_tag` did not write."""
    if len(tag) != TAG_LENGTH or not tag.isascii():
        return None
    try:
        raw = base64.b32decode(f"{tag.upper()}=")
    except ValueError:
        return None
    # 39 characters hold three bits more than 24 bytes: only the one canonical spelling counts.
    if base64.b32encode(raw).decode("ascii").rstrip("=") != tag.upper():
        return None
    found = _read_claim(keys, raw[: _CLAIM.size], raw[_CLAIM.size :])
    return found if found and found.purpose == Purpose.BOUNCE else None


def _claim(
    keys: Keys, purpose: Purpose, subscriber_id: int, alert_id: int, key_id: int
) -> tuple[bytes, bytes]:
    """Gives what a token says, as it stands in it, and the key that signs it."""
    key = keys.tokens.get(key_id)
    if key is None:
        raise ConfigError(
            f"Mails were opened with secret number {key_id}, which is missing: put the earlier secrets back."
        )
    if not (0 <= subscriber_id < _ID_LIMIT and 0 <= alert_id < _ID_LIMIT):
        raise ValueError("An id does not fit into a token.")
    claim = _CLAIM.pack(
        key_id,
        purpose,
        subscriber_id >> 32,
        subscriber_id & 0xFFFFFFFF,
        alert_id >> 32,
        alert_id & 0xFFFFFFFF,
    )
    return claim, key


def _read_claim(keys: Keys, claim: bytes, mac: bytes) -> Claim | None:
    """Gives what a claim says whose first bytes of the MAC are right."""
    key_id, purpose, subscriber_high, subscriber_low, alert_high, alert_low = _CLAIM.unpack(claim)
    key = keys.tokens.get(key_id)
    if key is None or purpose not in _PURPOSES:
        return None
    if not hmac.compare_digest(mac, _hmac_sha256(key, claim)[: len(mac)]):
        return None
    return Claim(
        Purpose(purpose), subscriber_high << 32 | subscriber_low, alert_high << 32 | alert_low, key_id
    )


def _subkey(secret: bytes, label: bytes) -> bytes:
    # One block of HKDF-Expand (RFC 5869, section 2.3).
    return hmac.digest(secret, b"alerts " + label + b"\x01", "sha256")


def _hmac_sha256(key: bytes, message: bytes) -> bytes:
    """Gives HMAC-SHA256 (RFC 2104) from states that have read the key already: two are made for each mail."""
    inner, outer = (state.copy() for state in _keyed(key))
    inner.update(message)
    outer.update(inner.digest())
    return outer.digest()


@cache
def _keyed(key: bytes) -> tuple["_Hash", "_Hash"]:
    block = key.ljust(64, b"\0")
    assert len(block) == 64, "keys are shorter than a block"  # noqa: PLR2004 - of SHA-256
    return hashlib.sha256(block.translate(_INNER)), hashlib.sha256(block.translate(_OUTER))


def _written(raw: bytes) -> str:
    return base64.urlsafe_b64encode(raw).rstrip(b"=").decode("ascii")
