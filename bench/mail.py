"""The one mail of the bench: an alert of 15 KB, personal for each reader, and the check that it came so."""

import base64
import email
import email.policy
import hashlib
import json
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from email.message import EmailMessage
from functools import cache
from html import unescape
from pathlib import Path

import dkim
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat, load_pem_private_key

from alerts.mail.compose import Headers, Prepared, eml, prepare
from alerts.mail.render import AlertView, EntryView, Rendered, Renderer, SiteView

SENDER = "alerts@example.org"
BASE_URL = "https://alerts.example.org"
SITE = SiteView("Harbour Alerts", BASE_URL, "Harbour Alerts", SENDER, "", "1 Quay Street, Port Example")
LIST_ID = "alerts.example.org"
RELEASED = datetime(2026, 11, 22, 7, 0, tzinfo=UTC)
TITLE = "The harbour bridge is closed for the night after a freighter lost its rudder"

_LINKS = 2  # to change what one gets, and to the mail as a page
_SENTENCES = (
    "The freighter drifted for forty minutes before two tugs had it on the line.",
    "Nobody was hurt, the harbour master said, “and that is the news of this night”.",
    "Pilots had asked for a second tug at the bend since the spring — in vain, as the council's papers show.",
    "Trains to the north bank stop at Millgate; buses leave from the east square every ten minutes.",
    "The port's owner, Jürgen Bär & Søn, promised to pay for what the piers have suffered.",
    "Divers will look at the third pier at first light, when the tide allows it.",
)
_PARAGRAPHS = 8


@cache
def story() -> str:
    """Gives the entry's HTML, as its feed gives it."""
    return "".join(f"<p>{_paragraph(number)}</p>\n" for number in range(_PARAGRAPHS))


@cache
def rendered() -> Rendered:
    entry = EntryView(
        title=TITLE,
        text="\n\n".join(map(_paragraph, range(_PARAGRAPHS))),
        html=story(),
        author="Ines Okafor",
        url="https://news.example.org/live/harbour#post-1",
        published_at=RELEASED,
        is_key_event=True,
        source="Example News",
    )
    return Renderer(SITE, []).render(AlertView((entry,), ("The harbour",), "every", "en", RELEASED))


@cache
def prepared() -> Prepared:
    return prepare(rendered(), Headers(SITE.sender_name, SENDER, RELEASED, LIST_ID, SITE.name, BASE_URL))


@dataclass(frozen=True, slots=True)
class Reader:
    """Whom a mail goes to, and what is theirs in it: both parts and the head have the same token."""

    address: str
    message_id: str
    token: str


def reader(number: int) -> Reader:
    digest = hashlib.blake2b(b"%d" % number, key=b"bench", digest_size=32).digest()
    token = base64.urlsafe_b64encode(digest).rstrip(b"=").decode("ascii")
    return Reader(f"reader{number}@mail{number % 50}.example.net", digest[:16].hex(), token)


def readers(count: int) -> Iterator[Reader]:
    return map(reader, range(count))


def write_load(folder: Path, signing_key: str) -> Path:
    """Writes what all clients are given: the words, their place for the token, and the ready-made bytes."""
    words = rendered()
    segments = (*prepared().head, *prepared().body)
    load = {
        "sender": SENDER,
        "from": f"{SITE.sender_name} <{SENDER}>",
        "subject": words.subject,
        "date": RELEASED.isoformat(),
        "domain": SENDER.rpartition("@")[2],
        "link": f"{BASE_URL}/u/",
        "headers": {
            "List-Id": f"{SITE.name} <{LIST_ID}>",
            "List-Unsubscribe-Post": "List-Unsubscribe=One-Click",
            "Auto-Submitted": "auto-generated",
            "Precedence": "bulk",
            "X-Auto-Response-Suppress": "All",
        },
        "text": words.text,
        "html": words.html,
        "hole": words.hole,
        # Without the dots for the wire: those are the sending library's work.
        "segments": [base64.b64encode(each.replace(b"\r\n..", b"\r\n.")).decode() for each in segments],
        "signing_key": signing_key,
    }
    path = folder / "load.json"
    path.write_text(json.dumps(load))
    return path


def write_readers(folder: Path, count: int) -> Path:
    path = folder / f"readers-{count}"
    path.write_text(
        "".join(f"{each.address} {each.message_id} {each.token}\n" for each in readers(count)),
    )
    return path


def fault(wire: bytes, to: str) -> str:
    """Says what is wrong with a mail, dots stuffed, that came for `to`; nothing when it is as it must be."""
    number = int(to.partition("@")[0].removeprefix("reader"))
    its = reader(number)
    parsed = _parsed(wire)
    words = rendered()
    wanted = {
        "recipient": (to, its.address),
        "To": (parsed["To"], its.address),
        "Message-ID": (parsed["Message-ID"], f"<{its.message_id}@{SENDER.rpartition('@')[2]}>"),
        "List-Unsubscribe": (parsed["List-Unsubscribe"], f"<{BASE_URL}/u/{its.token}>"),
        "Subject": (parsed["Subject"], words.subject),
        "form": (parsed.get_content_type(), "multipart/alternative"),
        "text": (_content(parsed, "plain"), _lines(words.text.replace(words.hole, its.token))),
        "html": (_content(parsed, "html"), _lines(words.html.replace(words.hole, its.token))),
    }
    # A line may be folded right after the header's name; the parser then leaves that space.
    return ", ".join(name for name, (got, want) in wanted.items() if str(got).strip() != want)


def token_of(wire: bytes) -> str:
    """Gives the token in a mail's head."""
    link = str(_parsed(wire)["List-Unsubscribe"]).strip()
    return link.removeprefix(f"<{BASE_URL}/u/").removesuffix(">")


def is_whole(wire: bytes, to: str) -> bool:
    """Whether a daemon's mail is addressed to its reader, with the whole story and both links in both parts."""
    parsed = _parsed(wire)
    link = f"{BASE_URL}/u/{token_of(wire)}"
    text, html = _content(parsed, "plain"), _content(parsed, "html")
    said, shown = " ".join(text.split()), " ".join(unescape(html).split())
    has_story = all(sentence in said and sentence in shown for sentence in _SENTENCES)
    return str(parsed["To"]).strip() == to and has_story and text.count(link) == html.count(link) == _LINKS


def is_signed(wire: bytes, key: str) -> bool:
    """Whether a mail's DKIM signature verifies, by another's library, with the public half of this key in PEM."""
    private = load_pem_private_key(key.encode(), password=None)
    public = private.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    record = b"v=DKIM1; k=rsa; p=" + base64.b64encode(public)
    return bool(dkim.verify(eml(wire), dnsfunc=lambda *_, **__: record))


def _parsed(wire: bytes) -> EmailMessage:
    parsed = email.message_from_bytes(eml(wire), policy=email.policy.default)
    assert isinstance(parsed, EmailMessage)
    return parsed


def _content(parsed: EmailMessage, kind: str) -> str:
    part = parsed.get_body((kind,))
    return _lines(part.get_content()) if part is not None else ""


def _lines(text: str) -> str:
    return text.replace("\r\n", "\n").strip()


def _paragraph(number: int) -> str:
    return " ".join(_SENTENCES[(number + each) % len(_SENTENCES)] for each in range(5))
