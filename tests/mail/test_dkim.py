"""Signatures, judged by verifiers that are not ours: dkimpy and OpenDKIM; and what never changes in them."""

import hashlib
import re
from base64 import b64decode
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import dkim as dkimpy
import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from hypothesis import given, settings
from hypothesis import strategies as st

from alerts.errors import ConfigError
from alerts.mail.compose import Fillings, Headers, Pinned, Prepared, compose, eml, fillings, pack, unpack
from alerts.mail.compose import prepare as made
from alerts.mail.dkim import (
    Signable,
    Signer,
    fault,
    is_aligned,
    load_key,
    pin,
    prepare,
    record,
    sign,
    zone_line,
)
from alerts.mail.render import Rendered
from alerts.mail.words import clean_lines
from fakes import opendkim
from hostile import hostile

AT = datetime(2026, 11, 1, 8, tzinfo=UTC)  # not to come: verifiers refuse what was signed in the future
HOLE = "H" * 43
TOKEN = "dG9rZW4tb2YtNDMtdXJsLXNhZmUtY2hhcmFjdGVycy0"
HEADERS = Headers(
    sender_name="Riverton Live",
    sender="alerts@riverton.example",
    date=AT,
    list_id="flood.riverton.example",
    list_name="The flood",
    base_url="https://alerts.riverton.example",
    feedback_id="17:flash:riverton",
)
RENDERED = Rendered(
    "Gate  closed — for now",
    f"Gate closed\n\n.dotted\n..twice  \n\t\n https://a.example/u/{HOLE}\n\n\n",
    f"<a href='/u/{HOLE}'>x</a>\n<p>{'long ' * 40}</p>\n.\n\n",
    HOLE,
)
READER = fillings("reader@example.org", "0123abcd", TOKEN)
RSA = Signer("riverton.example", "2026a", rsa.generate_private_key(public_exponent=65537, key_size=2048))
ED25519 = Signer("riverton.example", "2026e", ed25519.Ed25519PrivateKey.generate())
BOTH = (RSA, ED25519)
OVERSIGNED = [
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
]
SIGNED = [*OVERSIGNED, "List-Id", "Auto-Submitted", "Feedback-ID"]

contents = st.lists(hostile.map(clean_lines), min_size=1, max_size=3).map(HOLE.join)
addresses = st.sampled_from(
    ["reader@example.org", "a.b+c@mail.example.co.uk", "ana@bücher.example", "jérôme@example.org"]
)
tokens = st.text("ABCXYZabcxyz019-_", min_size=43, max_size=43)


def signable(
    signers: tuple[Signer, ...] = BOTH, rendered: Rendered = RENDERED, headers: Headers = HEADERS
) -> Signable:
    return prepare(signers, pin(made(rendered, headers), signers, headers.date))


def wire(of: Signable, reader: Fillings = READER) -> bytes:
    return compose(of.prepared, reader, signature=sign(of, reader))


def mail(of: Signable, reader: Fillings = READER) -> bytes:
    """A whole mail as a verifier gets it."""
    return eml(wire(of, reader))


def dkimpy_holds(message: bytes, signers: tuple[Signer, ...] = BOTH) -> list[bool]:
    """What dkimpy says of each signature of a message."""
    records = {f"{each.name}.".encode(): record(each).encode() for each in signers}
    found = len(re.findall(rb"^DKIM-Signature:", message, re.MULTILINE))

    def text(name: bytes, timeout: int = 5) -> bytes | None:
        return records.get(name)

    def holds(index: int) -> bool:
        try:
            return bool(dkimpy.DKIM(message).verify(idx=index, dnsfunc=text))
        except dkimpy.DKIMException:
            return False

    return [holds(index) for index in range(found)]


def opendkim_holds(folder: Path, messages: list[bytes]) -> list[bool]:
    try:
        return opendkim.verify(folder, messages, {each.name: record(each) for each in BOTH})
    except opendkim.NotInstalled as error:
        pytest.skip(f"{error}; on Debian: apt-get install opendkim")


def pem(key: rsa.RSAPrivateKey | ed25519.Ed25519PrivateKey | ec.EllipticCurvePrivateKey) -> bytes:
    return key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )


def test_a_notice_is_signed_as_every_mail_is() -> None:
    of = signable(headers=replace(HEADERS, list_id="", list_name=""))
    message = mail(of)
    assert dkimpy_holds(message) == [True, True]
    added = b"List-Unsubscribe: <https://evil.example/>\r\n" + message
    assert dkimpy_holds(added) == [False, False]


@settings(max_examples=40, deadline=None)
@given(hostile, contents, contents, addresses, tokens)
def test_whatever_a_feed_says_dkimpy_verifies_both_signatures(
    subject: str, text: str, html: str, address: str, token: str
) -> None:
    of = signable(rendered=Rendered(subject, text, html, HOLE))
    assert dkimpy_holds(mail(of, fillings(address, "0123abcd", token))) == [True, True]


def test_whatever_a_feed_says_opendkim_verifies_it(tmp_path: Path) -> None:
    messages: list[bytes] = []

    @settings(max_examples=60, deadline=None, database=None)
    @given(hostile, contents, contents, addresses, tokens)
    def write(subject: str, text: str, html: str, address: str, token: str) -> None:
        rendered = Rendered(subject, text, html, HOLE)
        messages.extend(mail(signable((each,), rendered), fillings(address, "id", token)) for each in BOTH)

    write()
    assert len(messages) >= 100
    assert opendkim_holds(tmp_path, messages) == [True] * len(messages)


def changes(message: bytes) -> dict[str, bytes]:
    """A mail changed in each place that its signature covers, one change a mail."""
    head, _, body = message.partition(b"\r\n\r\n")
    changed = {
        "text changed": head + b"\r\n\r\n" + body.replace(b"Gate closed", b"Gate opened", 1),
        "token changed": head + b"\r\n\r\n" + body.replace(TOKEN.encode(), TOKEN[::-1].encode(), 1),
        "text added": message + b"more\r\n",
        "text cut": message.removesuffix(b"--\r\n") + b"\r\n",
    }
    for name in SIGNED:
        changed[f"{name} added below"] = b"%b\r\n%b: x@example.net\r\n\r\n%b" % (head, name.encode(), body)
        line = re.compile(rf"^{name}: ".encode(), re.MULTILINE)
        if line.search(head):
            changed[f"{name} changed"] = line.sub(b"%b: x" % name.encode(), head) + b"\r\n\r\n" + body
            changed[f"{name} taken out"] = line.sub(b"X-Other: ", head) + b"\r\n\r\n" + body
    for name in OVERSIGNED:
        changed[f"{name} added above"] = b"%b: x@example.net\r\n%b" % (name.encode(), message)
    return changed


@pytest.mark.parametrize("signer", BOTH, ids=lambda each: str(each.algorithm))
def test_each_change_of_what_is_signed_is_seen(signer: Signer, tmp_path: Path) -> None:
    message = mail(signable((signer,)))
    changed = changes(message)
    assert len(set(changed.values()) - {message}) == len(changed) > 40
    assert dkimpy_holds(message) == [True]
    assert [what for what, each in changed.items() if dkimpy_holds(each) != [False]] == []
    judged = opendkim_holds(tmp_path, [message, *changed.values()])
    assert judged[0]
    assert [what for what, holds in zip(changed, judged[1:], strict=True) if holds] == []


def test_what_relays_do_to_a_mail_is_borne(tmp_path: Path) -> None:
    message = mail(signable((RSA,), headers=replace(HEADERS, feedback_id="")))
    head, _, body = message.partition(b"\r\n\r\n")
    borne = [
        b"Received: from a by b; Sun, 1 Nov 2026 08:00:00 +0000\r\nReturn-Path: <b@example.org>\r\n"
        + message,
        b"%b\r\nFeedback-ID: 1:2:3:relay\r\nX-Relay: yes\r\n\r\n%b" % (head, body),
        b"List-Id: <all.relay.example>\r\n" + message,
        head.replace(b"\r\nTo: ", b"\r\nTO: \t ").replace(b"List-Id: ", b"List-Id:\r\n\t")
        + b"\r\n\r\n"
        + body,
        message + b"\r\n\r\n",
    ]
    assert [dkimpy_holds(each) for each in borne] == [[True]] * len(borne)
    assert opendkim_holds(tmp_path, borne) == [True] * len(borne)


pieces = st.lists(
    st.sampled_from([b" ", b"\t", b"  ", b"\r\n", b"\r\n.", b".", b"a", b"=\r\n", b"b \r\n"]), max_size=12
).map(b"".join)


@given(pieces, st.lists(pieces, max_size=3), pieces, pieces, tokens)
def test_pieces_are_canonical_as_the_whole_mail_is(
    first: bytes, more: list[bytes], subject: bytes, name: bytes, token: str
) -> None:
    head = (
        b"From: %b\r\nTo: " % name.replace(b"\r\n", b"\r\n "),
        b"\r\nSUBJECT \t: %b x\r\nMessage-ID: <" % subject.replace(b"\r\n", b"\r\n\t"),
        b"@x>\r\nList-Unsubscribe: <",
        b">\r\nMIME-Version:\t1.0  \r\n\r\n",
    )
    body = [b"-" + first, *more, b"end\r\n\r\n"]
    stuffed = tuple(each.replace(b"\r\n.", b"\r\n..") for each in body)
    of = prepare((ED25519,), pin(Prepared(head, stuffed), (ED25519,), AT))
    message = mail(of, fillings("reader@example.org", "0123abcd", token))
    assert message.endswith(token.encode().join(body))
    assert holds_plainly(message)


def holds_plainly(message: bytes) -> bool:
    """Verifies a mail as RFC 6376 reads, letter by letter, over the whole of it."""
    head, _, body = message.decode("ascii").partition("\r\n\r\n")
    lines = [single_blanks(line).rstrip(" ") for line in body.split("\r\n")]
    while lines and not lines[-1]:
        lines.pop()
    fields = {}
    for field in re.split(r"\r\n(?![ \t])", head):
        name, value = field.replace("\r\n", "").split(":", 1)
        name = name.strip(" \t").lower()
        fields[name] = f"{name}:{single_blanks(value).strip(' ')}"
    signature = fields["dkim-signature"]
    tags = dict(re.findall(r"[:;] ?(\w+)=([^;]*)", signature))
    names = [name.strip().lower() for name in tags["h"].split(":")]
    covered = [fields.pop(name) for name in names if name in fields]
    covered.append(signature.removesuffix(tags["b"]))
    assert isinstance(ED25519.key, ed25519.Ed25519PrivateKey)
    ED25519.key.public_key().verify(
        b64decode(tags["b"].replace(" ", "")), hashlib.sha256("\r\n".join(covered).encode()).digest()
    )
    body_hash = hashlib.sha256("".join(f"{line}\r\n" for line in lines).encode()).digest()
    return b64decode(tags["bh"]) == body_hash


def single_blanks(text: str) -> str:
    while "\t" in text or "  " in text:
        text = text.replace("\t", " ").replace("  ", " ")
    return text


def test_what_a_signature_says() -> None:
    signature = sign(signable((RSA,)), READER).decode("ascii")
    assert signature.startswith(
        "DKIM-Signature: v=1; a=rsa-sha256; c=relaxed/relaxed;\r\n"
        " d=riverton.example;\r\n"
        " s=2026a; t=1793520000;\r\n"
        " h=From:From:To:To:Subject:Subject:Date:Date:"
    )
    assert signature.endswith("\r\n")
    tags = dict(re.findall(r"(\w+)=([^;]*)", re.sub(r"\s", "", signature)))
    assert list(tags) == ["v", "a", "c", "d", "s", "t", "h", "bh", "b"]
    names = tags["h"].split(":")
    assert {name: names.count(name) for name in SIGNED} == {
        **dict.fromkeys(OVERSIGNED, 2),
        **dict.fromkeys(["Reply-To", "Cc", "Content-Transfer-Encoding"], 1),
        **dict.fromkeys(["List-Id", "Auto-Submitted", "Feedback-ID"], 1),
    }
    assert max(len(line) for line in signature.split("\r\n")) <= 78


def test_the_signatures_stand_before_the_head_and_change_nothing_else() -> None:
    plain, signed = signable(()), signable()
    assert sign(plain, READER) == b""
    assert wire(signed) == sign(signed, READER) + wire(plain)
    assert sign(signed, READER) == sign(signable((RSA,)), READER) + sign(signable((ED25519,)), READER)


def test_threads_and_repeats_give_the_same_bytes() -> None:
    of = signable()
    readers = [
        fillings(f"reader{number}@example.org", f"id-{number}", f"{number:a>43}") for number in range(40)
    ]
    alone = [sign(of, each) for each in readers]
    assert len(set(alone)) == len(readers)
    with ThreadPoolExecutor(8) as threads:
        for _ in range(3):
            assert list(threads.map(lambda each: sign(of, each), readers)) == alone
    assert [sign(signable(), each) for each in readers] == alone


def test_a_resend_is_signed_as_at_first_whatever_the_configuration_says_now() -> None:
    first = wire(signable((RSA, ED25519)))
    stored = pack(signable((RSA, ED25519)).prepared)
    rotated = (
        Signer("other.example", "2027a", rsa.generate_private_key(public_exponent=65537, key_size=2048)),
        replace(ED25519, domain="other.example", selector="renamed"),
        replace(RSA, is_active=False),
    )
    assert wire(prepare(rotated, unpack(stored))) == first
    new = pin(made(RENDERED, HEADERS), rotated, AT)
    assert [re.findall(rb"s=([^;]+)", each.head) for each in new.signatures] == [[b"2027a"], [b"renamed"]]


@pytest.mark.parametrize(
    "configured",
    [(), (ED25519,), (ED25519, replace(RSA, key=ED25519.key))],
    ids=["none", "another", "another of that name"],
)
def test_a_resend_without_its_key_is_not_made(configured: tuple[Signer, ...]) -> None:
    stored = pack(signable((RSA, ED25519)).prepared)
    with pytest.raises(ConfigError, match=r"DKIM key 2026a, .* put the earlier key back"):
        prepare(configured, unpack(stored))
    with pytest.raises(AssertionError):
        compose(unpack(stored), READER)


def test_mails_that_were_stored_before_there_were_signatures_stay_unsigned() -> None:
    prepared = made(RENDERED, HEADERS)
    of = prepare(BOTH, unpack(pack(prepared)))
    assert wire(of) == compose(prepared, READER)


def test_records_are_what_verifiers_look_up() -> None:
    assert RSA.name == "2026a._domainkey.riverton.example"
    assert re.fullmatch(r"v=DKIM1; k=rsa; p=[A-Za-z0-9+/]{392}", record(RSA))
    assert re.fullmatch(r"v=DKIM1; k=ed25519; p=[A-Za-z0-9+/]{43}=", record(ED25519))
    for each in BOTH:
        start, *strings, end = re.split(r'"([^"]*)"', zone_line(each))
        assert start == f"{each.name}. IN TXT ( "
        assert end == " )"
        assert "".join(strings[::2]) == record(each)
        assert all(len(string) <= 255 for string in strings)


@pytest.mark.parametrize("key", [RSA.key, ED25519.key], ids=["rsa", "ed25519"])
def test_a_key_is_read_from_its_file(key: rsa.RSAPrivateKey | ed25519.Ed25519PrivateKey) -> None:
    read = load_key(pem(key))
    assert replace(RSA, key=read).fingerprint == replace(RSA, key=key).fingerprint


def test_a_short_key_is_read_and_a_shorter_one_refused() -> None:
    key = load_key(pem(rsa.generate_private_key(public_exponent=65537, key_size=1024)))
    assert isinstance(key, rsa.RSAPrivateKey)
    with pytest.raises(ConfigError, match="648 bits is not verified everywhere"):
        load_key(pem(too_short()))


def too_short() -> rsa.RSAPrivateKey:
    """An RSA key of a size that is not generated any more, from two well-known primes."""
    p, q, e = 2**521 - 1, 2**127 - 1, 65537
    d = pow(e, -1, (p - 1) * (q - 1))
    public = rsa.RSAPublicNumbers(e, p * q)
    return rsa.RSAPrivateNumbers(p, q, d, d % (p - 1), d % (q - 1), pow(q, -1, p), public).private_key()


@pytest.mark.parametrize(
    ("written", "message"),
    [
        (b"", "no private key in PEM"),
        (b"-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n", "no private key in PEM"),
        (pem(ec.generate_private_key(ec.SECP256R1())), "RSA and Ed25519 only"),
    ],
)
def test_a_key_that_cannot_sign_is_refused(written: bytes, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        load_key(written)


def test_a_key_with_a_passphrase_is_refused_with_the_way_out() -> None:
    locked = RSA.key.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.BestAvailableEncryption(b"hunter2"),
    )
    with pytest.raises(ConfigError, match="openssl pkey"):
        load_key(locked)


segments = st.binary(max_size=40)


@given(
    st.tuples(segments, segments, segments, segments),
    st.lists(segments, min_size=1).map(tuple),
    st.lists(st.builds(Pinned, segments, segments), max_size=3).map(tuple),
)
def test_what_is_pinned_is_stored_with_the_mail(
    head: tuple[bytes, bytes, bytes, bytes], body: tuple[bytes, ...], pinned: tuple[Pinned, ...]
) -> None:
    prepared = Prepared(head, body, pinned)
    assert unpack(pack(prepared)) == prepared


@pytest.mark.parametrize(
    ("found", "words"),
    [
        ([record(RSA)], ""),
        ([record(RSA).replace("; ", ";").replace("p=MII", "p= MII ") + ";"], ""),
        ([record(RSA).replace("v=DKIM1; k=rsa; ", "")], ""),
        ([record(RSA) + "; t=s; n=ours"], ""),
        ([], "no record yet"),
        ([record(RSA), record(RSA)], "several"),
        ([record(ED25519)], "no record of such a key"),
        (["v=spf1 -all"], "no record of such a key"),
        (["v=DKIM1; k=rsa; p="], "revoked"),
        ([record(RSA)[:-9] + "wIDAQABA"], "another key"),
        ([record(RSA) + "; t=y:s"], "testing"),
    ],
)
def test_a_record_in_dns_is_judged(found: list[str], words: str) -> None:
    said = fault(RSA, found)
    assert words in said
    assert bool(words) is bool(said)


@pytest.mark.parametrize(
    ("domain", "sender", "expected"),
    [
        ("example.org", "example.org", True),
        ("Example.org", "news.example.org", True),
        ("mail.example.org", "example.org", True),
        ("mail.example.org", "news.example.org", None),
        ("one.co.uk", "two.co.uk", None),
        ("example.org", "example.com", False),
        ("notexample.org", "example.org", False),
    ],
)
def test_a_domain_counts_for_the_sender_or_not(domain: str, sender: str, expected: bool | None) -> None:
    assert is_aligned(domain, sender) is expected


def test_a_signers_text_holds_no_key() -> None:
    assert "PRIVATE" not in repr(RSA)
    assert "PRIVATE" not in str(signable())
