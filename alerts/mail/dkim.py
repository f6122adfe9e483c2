"""DKIM signatures (RFC 6376, relaxed/relaxed) over prepared mails: what all readers share is canonicalised once.

    prepared ──pin──> prepared, stored ──prepare──> signable ──sign──> one reader's signatures

What a signature says apart from its two hashes is pinned with the stored mail, and so is the key: a resend
carries the same bytes after a rotation, or is not made. Both algorithms give the same signature for the same
text. A signature is over the mail as it is before dots are stuffed for the wire.
"""

import hashlib
import re
from base64 import b64encode
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import TYPE_CHECKING

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.asymmetric.padding import PKCS1v15
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat, load_pem_private_key

from alerts.errors import ConfigError
from alerts.mail.compose import Fillings, Pinned, Prepared, eml

if TYPE_CHECKING:
    from hashlib import _Hash

PrivateKey = RSAPrivateKey | Ed25519PrivateKey

LEAST_BITS, ADVISED_BITS, MOST_BITS = 1024, 2048, 4096  # RFC 8301, 3.2

# Signed once more than they occur, so that none can be added on the way: RFC 6376, 5.4.2 and 8.15. Those that
# a reader sees, those that say how the body is read, and those that mail programs act on.
_OVERSIGNED = (
    "From",
    "To",
    "Subject",
    "Date",
    "Message-ID",
    "Reply-To",
    "Cc",
    "MIME-Version",
    "Content-Type",
    "Content-Transfer-Encoding",
    "List-Unsubscribe",
    "List-Unsubscribe-Post",
)
# Signed where they occur; a relay may well add its own.
_SIGNED = ("List-Id", "Feedback-ID", "Auto-Submitted")

_LINE = 76
_SIGNATURE_LINE = 72
_RECORD_STRING = 255  # RFC 1035, 3.3
# What stands in the holes until a reader's own is known: no header, and no quoted-printable, holds a control.
_TO, _ID, _TOKEN = b"\0", b"\1", b"\2"
_BLANKS = re.compile(rb"[ \t]{2,}|\t")  # a space by itself stays
_FOLD = re.compile(rb"\r\n(?=[ \t])")
_COVERED = re.compile(rb"[; ]h=([^;]+);")
_SELECTOR = re.compile(rb"[; ]s=([^;]+);")
_PADDING, _HASH = PKCS1v15(), SHA256()


@dataclass(frozen=True, slots=True)
class Signer:
    """A key and the name under which DNS has its public half; one that is not active makes only resends."""

    domain: str
    selector: str
    key: PrivateKey
    is_active: bool = True

    @property
    def name(self) -> str:
        """Where in DNS the public key is looked up."""
        return f"{self.selector}._domainkey.{self.domain}"

    @property
    def algorithm(self) -> str:
        return "rsa-sha256" if self.is_rsa else "ed25519-sha256"

    @property
    def is_rsa(self) -> bool:
        return isinstance(self.key, RSAPrivateKey)

    @property
    def bits(self) -> int:
        return self.key.key_size if isinstance(self.key, RSAPrivateKey) else 256

    @property
    def fingerprint(self) -> bytes:
        """Tells the key from every other, and nothing about its private half."""
        return hashlib.sha256(_public(self.key)).digest()


@dataclass(frozen=True, slots=True)
class _Signature:
    """One signature of a variant: its header up to the body's hash, and what is signed up to there."""

    head: bytes
    covered: bytes
    key: PrivateKey


@dataclass(frozen=True, slots=True)
class Signable:
    """A prepared mail with what its readers' signatures have in common; may be shared by threads.

    `body` has hashed all before the first token; `rest` follows it, canonical, a token before each piece.
    """

    prepared: Prepared
    body: "_Hash"
    rest: tuple[bytes, ...]
    signatures: tuple[_Signature, ...]


def load_key(pem: bytes) -> PrivateKey:
    """Reads a private key; raises ConfigError, which says what to write, for one that mail cannot be signed with."""
    try:
        key = load_pem_private_key(pem, password=None)
    except TypeError:
        raise ConfigError(
            "this key asks for a passphrase: take it off with `openssl pkey -in OLD -out NEW`"
        ) from None
    except (ValueError, UnsupportedAlgorithm):
        raise ConfigError(
            "this is no private key in PEM: make one with `alerts dkim keygen`, or write key_file to name a file"
        ) from None
    if not isinstance(key, RSAPrivateKey | Ed25519PrivateKey):
        raise ConfigError("DKIM knows RSA and Ed25519 only: make a key with `alerts dkim keygen`")
    if isinstance(key, RSAPrivateKey) and not LEAST_BITS <= key.key_size <= MOST_BITS:
        raise ConfigError(
            f"an RSA key of {key.key_size} bits is not verified everywhere (RFC 8301): "
            f"make one of {ADVISED_BITS} with `alerts dkim keygen`"
        )
    return key


def pin(prepared: Prepared, signers: Sequence[Signer], at: datetime) -> Prepared:
    """Gives the mail to be signed by those signers that are active; `at`, its release, is the signatures' time."""
    names = _names([name for name, _ in _fields(prepared)])
    signatures = (Pinned(_head(each, at, names), each.fingerprint) for each in signers if each.is_active)
    return replace(prepared, signatures=tuple(signatures))


def prepare(signers: Sequence[Signer], prepared: Prepared) -> Signable:
    """Canonicalises what all readers of a variant share.

    Raises ConfigError when a key that was pinned is gone: the mail would be another one.
    """
    if not prepared.signatures:
        return Signable(prepared, hashlib.sha256(), (), ())
    keys = {each.fingerprint: each.key for each in signers}
    fields = _fields(prepared)
    first, *rest = _relaxed_body(eml(_TOKEN.join(prepared.body))).split(_TOKEN)
    return Signable(
        prepared,
        hashlib.sha256(first),
        tuple(rest),
        tuple(
            _Signature(each.head, _covered(each.head, fields), _pinned_key(each, keys))
            for each in prepared.signatures
        ),
    )


def sign(signable: Signable, own: Fillings) -> bytes:
    """Gives a reader's DKIM-Signature headers, which belong before the head; none where none is pinned.

    The same arguments always give the same bytes.
    """
    if not signable.signatures:
        return b""
    digest = signable.body.copy()
    for piece in signable.rest:
        digest.update(own.token)
        digest.update(piece)
    body_hash = b64encode(digest.digest())
    lines = b""
    for each in signable.signatures:
        covered = each.covered.replace(_TO, own.to).replace(_ID, own.message_id).replace(_TOKEN, own.token)
        signature = b64encode(_signed(each.key, b"%b%b; b=" % (covered, body_hash)))
        folded = b"\r\n ".join(
            signature[at : at + _SIGNATURE_LINE] for at in range(0, len(signature), _SIGNATURE_LINE)
        )
        lines += b"%b%b;\r\n b=%b\r\n" % (each.head, body_hash, folded)
    return lines


def record(signer: Signer) -> str:
    """Gives what DNS must hold as TXT at the signer's name (RFC 6376, 3.6.1; RFC 8463, 4.2)."""
    if isinstance(signer.key, RSAPrivateKey):
        return f"v=DKIM1; k=rsa; p={b64encode(_public(signer.key)).decode('ascii')}"
    raw = signer.key.public_key().public_bytes(Encoding.Raw, PublicFormat.Raw)
    return f"v=DKIM1; k=ed25519; p={b64encode(raw).decode('ascii')}"


def zone_line(signer: Signer) -> str:
    """Gives the record as a zone file has it: in strings of 255 bytes, which verifiers join again."""
    text = record(signer)
    strings = (text[at : at + _RECORD_STRING] for at in range(0, len(text), _RECORD_STRING))
    quoted = " ".join(f'"{each}"' for each in strings)
    return f"{signer.name}. IN TXT ( {quoted} )"


def fault(signer: Signer, found: Sequence[str]) -> str:
    """Says what is wrong with the TXT records found at a signer's name; "" when verifiers will find the key."""
    if not found:
        return "there is no record yet"
    if len(found) > 1:
        return "there are several records, and a verifier takes any (RFC 6376, 3.6.2.2): leave one"
    tags = {
        name.strip(): "".join(value.split())
        for name, _, value in (tag.partition("=") for tag in found[0].split(";"))
    }
    wanted = {name: value for name, _, value in (tag.partition("=") for tag in record(signer).split("; "))}
    if tags.get("v", "DKIM1") != "DKIM1" or tags.get("k", "rsa") != wanted["k"] or "p" not in tags:
        return "what stands there is no record of such a key"
    if tags["p"] != wanted["p"]:
        return "another key stands there" if tags["p"] else "the key was revoked: p is empty"
    if "y" in tags.get("t", "").split(":"):
        return "the record says that you are testing (t=y): take that out, or signatures do not count"
    return ""


def is_aligned(domain: str, sender: str) -> bool | None:
    """Whether DMARC counts a signature of `domain` for From at `sender`; None when only DNS could tell.

    A domain counts for itself, and for those above and below it (relaxed alignment, RFC 9989). Two that share
    their last two labels are of one registered domain, unless those two are a public suffix such as co.uk.
    """
    one, other = domain.lower(), sender.lower()
    if one == other or one.endswith(f".{other}") or other.endswith(f".{one}"):
        return True
    return None if one.split(".")[-2:] == other.split(".")[-2:] else False


def _names(present: Sequence[bytes]) -> list[str]:
    """Gives the names in h=: each as often as it occurs, and those not to be added once more."""
    return [
        name
        for names, more in ((_OVERSIGNED, 1), (_SIGNED, 0))
        for name in names
        for _ in range(present.count(name.lower().encode("ascii")) + more)
    ]


def _head(signer: Signer, at: datetime, names: Sequence[str]) -> bytes:
    lines = [
        f"DKIM-Signature: v=1; a={signer.algorithm}; c=relaxed/relaxed;",
        f" d={signer.domain};",
        f" s={signer.selector}; t={int(at.timestamp())};",
        *_listed(names),
        " bh=",
    ]
    return "\r\n".join(lines).encode("ascii")


def _listed(names: Sequence[str]) -> Iterator[str]:
    line = " h="
    for position, name in enumerate(names, start=1):
        word = f"{name}{':' if position < len(names) else ';'}"
        if len(line) + len(word) > _LINE:
            yield line
            line = "  "
        line += word
    yield line


def _fields(prepared: Prepared) -> list[tuple[bytes, bytes]]:
    """Gives each header's name in small letters and its canonical line (RFC 6376, 3.4.2), with marks for holes."""
    before_to, before_id, *rest = prepared.head
    head = b"".join((before_to, _TO, before_id, _ID, _TOKEN.join(rest))).removesuffix(b"\r\n\r\n")
    return [_relaxed_field(field) for field in _FOLD.sub(b"", head).split(b"\r\n")]


def _relaxed_field(field: bytes) -> tuple[bytes, bytes]:
    name, _, value = field.partition(b":")
    name = name.rstrip(b" \t").lower()
    return name, b"%b:%b\r\n" % (name, _BLANKS.sub(b" ", value).strip(b" "))


def _relaxed_body(body: bytes) -> bytes:
    """Canonicalises a body that ends with CRLF, and has no CR or LF apart (RFC 6376, 3.4.4)."""
    lines = _BLANKS.sub(b" ", body).replace(b" \r\n", b"\r\n").rstrip(b"\r\n")
    return lines + b"\r\n" if lines else b""


def _covered(head: bytes, fields: Sequence[tuple[bytes, bytes]]) -> bytes:
    """Gives what a signature with this head signs, up to the body's hash (RFC 6376, 3.7)."""
    _, own_line = _relaxed_field(_FOLD.sub(b"", head))
    found = _COVERED.search(own_line)
    assert found is not None, "written by `_head`"
    waiting = defaultdict(list)
    for name, line in fields:
        waiting[name].append(line)
    names = [name.strip().lower() for name in found[1].split(b":")]
    lines = [waiting[name].pop() for name in names if waiting[name]]  # the lowest first: RFC 6376, 5.4.2
    return b"".join(lines) + own_line.removesuffix(b"\r\n")


def _pinned_key(pinned: Pinned, keys: Mapping[bytes, PrivateKey]) -> PrivateKey:
    if (key := keys.get(pinned.key)) is not None:
        return key
    found = _SELECTOR.search(pinned.head)
    selector = found[1].decode("ascii") if found else "unknown"
    raise ConfigError(
        f"Mails were prepared for the DKIM key {selector}, which is missing or another: put the earlier key back, "
        "with `sign = false` if it is to sign nothing new."
    )


def _signed(key: PrivateKey, text: bytes) -> bytes:
    if isinstance(key, RSAPrivateKey):
        return key.sign(text, _PADDING, _HASH)
    return key.sign(hashlib.sha256(text).digest())  # RFC 8463, 3


def _public(key: PrivateKey) -> bytes:
    return key.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
