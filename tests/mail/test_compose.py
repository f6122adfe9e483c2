"""Prepared bytes and the mails joined from them, read back by Python's own parser."""

from collections.abc import Mapping
from dataclasses import replace
from datetime import UTC, datetime
from email import message_from_bytes
from email.header import decode_header, make_header
from email.message import Message
from email.policy import default
from pathlib import Path
from typing import cast

import pytest
from hypothesis import given
from hypothesis import strategies as st

from alerts.errors import ConfigError, Refused
from alerts.mail.compose import (
    Headers,
    Pinned,
    Prepared,
    compose,
    eml,
    fillings,
    html_part,
    pack,
    prepare,
    unpack,
)
from alerts.mail.render import Rendered
from alerts.mail.words import clean, clean_lines
from hostile import hostile

HOLE = "H" * 43
TOKEN = "dG9rZW4tb2YtNDMtdXJsLXNhZmUtY2hhcmFjdGVycy0"
HEADERS = Headers(
    sender_name="Riverton Live",
    sender="alerts@riverton.example",
    date=datetime(2026, 11, 22, 8, tzinfo=UTC),
    list_id="flood.riverton.example",
    list_name="The flood",
    base_url="https://alerts.riverton.example",
)
PLAIN = Rendered(
    "Gate closed", f"Gate closed\n\nhttps://a.example/u/{HOLE}\n", f"<a href='/u/{HOLE}'>x</a>\n", HOLE
)
PLAN = [
    "From",
    "To",
    "Subject",
    "Date",
    "Message-ID",
    "List-Id",
    "List-Unsubscribe",
    "List-Unsubscribe-Post",
    "Auto-Submitted",
    "Precedence",
    "X-Auto-Response-Suppress",
    "MIME-Version",
    "Content-Type",
]
tokens = st.text("ABCXYZabcxyz019-_", min_size=43, max_size=43)
contents = st.lists(hostile.map(clean_lines), min_size=1, max_size=4).map(HOLE.join)


def mail(rendered: Rendered = PLAIN, headers: Headers = HEADERS, token: str = TOKEN) -> bytes:
    return compose(prepare(rendered, headers), fillings("reader@example.org", "0123abcd", token))


def parts(message: Message) -> Mapping[str, str]:
    return {
        part.get_content_type(): cast("bytes", part.get_payload(decode=True)).decode().replace("\r\n", "\n")
        for part in message.walk()
        if not part.is_multipart()
    }


def decoded(value: str) -> str:
    return str(make_header(decode_header(value.replace("\r\n", ""))))


@given(hostile, contents, contents, tokens)
def test_whatever_a_feed_says_the_mail_is_as_planned(subject: str, text: str, html: str, token: str) -> None:
    wire = mail(Rendered(subject, text, html, HOLE), token=token)
    message = message_from_bytes(eml(wire))
    assert message.keys() == PLAN
    assert message["To"] == "reader@example.org"
    assert decoded(message["Subject"]) == clean(subject)
    assert message["List-Unsubscribe"] == f"<https://alerts.riverton.example/u/{token}>"
    assert [part.get_content_type() for part in message.walk()] == [
        "multipart/alternative",
        "text/plain",
        "text/html",
    ]
    assert parts(message) == {
        "text/plain": text.replace(HOLE, token),
        "text/html": html.replace(HOLE, token),
    }
    assert not any(part.defects for part in message.walk())


@given(hostile, hostile, contents, contents, tokens)
def test_lines_are_what_smtp_takes(name: str, subject: str, text: str, html: str, token: str) -> None:
    headers = Headers(name, HEADERS.sender, HEADERS.date, HEADERS.list_id, name, HEADERS.base_url)
    wire = mail(Rendered(subject, text, html, HOLE), headers, token)
    assert wire.isascii()
    assert wire.endswith(b"\r\n")
    lines = wire[:-2].split(b"\r\n")
    assert not any(b"\r" in line or b"\n" in line or b"\0" in line for line in lines)
    assert all(line[:2] == b".." for line in lines if line[:1] == b".")
    unstuffed = eml(wire)[:-2].split(b"\r\n")
    assert unstuffed == [line.removeprefix(b".") for line in lines]
    assert all(len(line) <= 76 for line in unstuffed if not line.startswith(b"List-Unsubscribe:"))


@given(contents, contents)
def test_the_boundary_is_in_no_part(text: str, html: str) -> None:
    wire = mail(Rendered("x", text, html, HOLE))
    boundary = message_from_bytes(wire).get_boundary()
    assert boundary
    assert wire.count(boundary.encode()) == 4


def test_a_leading_dot_is_stuffed_on_the_wire_only() -> None:
    wire = mail(Rendered("x", f".first\n..second\n.\n{HOLE}.after\n", HOLE, HOLE))
    assert b"\r\n..first\r\n...second\r\n" in wire
    assert b"\r\n.\r\n" not in wire
    assert parts(message_from_bytes(eml(wire)))["text/plain"] == f".first\n..second\n.\n{TOKEN}.after\n"


def test_the_same_arguments_give_the_same_bytes_whatever_the_hole_was() -> None:
    other_hole = "-" * 43
    again = Rendered(
        PLAIN.subject, PLAIN.text.replace(HOLE, other_hole), PLAIN.html.replace(HOLE, other_hole), other_hole
    )
    assert pack(prepare(PLAIN, HEADERS)) == pack(prepare(again, HEADERS))
    assert mail() == mail(again)


def test_only_the_readers_own_differs_between_two_readers() -> None:
    prepared = prepare(PLAIN, HEADERS)
    one = compose(prepared, fillings("a@example.org", "id-a", "a" * 43))
    two = compose(prepared, fillings("b@example.org", "id-b", "b" * 43))
    assert (
        one.replace(b"a@example.org", b"b@example.org")
        .replace(b"id-a", b"id-b")
        .replace(b"a" * 43, b"b" * 43)
        == two
    )


def test_the_token_stands_alone_on_its_line() -> None:
    body = mail().split(b"\r\n\r\n", 1)[1].split(b"\r\n")
    assert body.count(TOKEN.encode() + b"=") == 2


def test_the_reference_names_every_header() -> None:
    reference = (Path(__file__).parents[2] / "docs" / "reference" / "mail.md").read_text(encoding="utf-8")
    assert [name for name in [*PLAN, "Feedback-ID"] if f"`{name}`" not in reference] == []


def test_a_notice_is_no_lists_mail() -> None:
    notice = mail(headers=replace(HEADERS, list_id="", list_name=""))
    of_a_list = {"List-Id", "List-Unsubscribe", "List-Unsubscribe-Post", "Precedence"}
    assert message_from_bytes(notice).keys() == [name for name in PLAN if name not in of_a_list]
    assert parts(message_from_bytes(eml(notice))) == parts(message_from_bytes(eml(mail())))


def test_a_careful_parser_reads_what_was_meant() -> None:
    message = message_from_bytes(eml(mail()), policy=default)
    assert message["From"].addresses[0].addr_spec == "alerts@riverton.example"
    assert message["From"].addresses[0].display_name == "Riverton Live"
    assert message["Date"].datetime == HEADERS.date
    assert message["Message-ID"] == "<0123abcd@riverton.example>"
    assert message["List-Id"] == "The flood <flood.riverton.example>"
    assert message["List-Unsubscribe-Post"] == "List-Unsubscribe=One-Click"
    assert message["Auto-Submitted"] == "auto-generated"
    body = message.get_body(("html",))
    assert body is not None
    assert body.get_content_charset() == "utf-8"


def test_feedback_id_is_sent_when_given() -> None:
    headers = Headers(
        "",
        HEADERS.sender,
        HEADERS.date,
        HEADERS.list_id,
        "",
        HEADERS.base_url,
        feedback_id="17:flash:riverton",
    )
    message = message_from_bytes(mail(headers=headers))
    assert message["Feedback-ID"] == "17:flash:riverton"
    assert message["From"] == "<alerts@riverton.example>"


def test_an_international_site_and_reader_go_as_a_labels() -> None:
    headers = Headers("", "alerts@bücher.example", HEADERS.date, HEADERS.list_id, "", HEADERS.base_url)
    message = message_from_bytes(
        compose(prepare(PLAIN, headers), fillings("ana@bücher.example", "id", TOKEN))
    )
    assert message["From"] == "<alerts@xn--bcher-kva.example>"
    assert message["To"] == "ana@xn--bcher-kva.example"
    assert message["Message-ID"] == "<id@xn--bcher-kva.example>"


@pytest.mark.parametrize(
    ("address", "message_id", "token"),
    [
        ("jérôme.example.org", "id", TOKEN),
        ("a@example.org\r\nBcc: b@example.org", "id", TOKEN),
        ("a@example.org", "id>\r\nBcc: b@example.org", TOKEN),
        ("a@example.org", "", TOKEN),
        ("a@example.org", "id", TOKEN + "A"),
        ("a@example.org", "id", TOKEN[:-1]),
        ("a@example.org", "id", TOKEN[:-1] + "="),
        ("a@example.org", "id", TOKEN[:-1] + "\n"),
        ("a@example.org", "id", TOKEN[:-1] + "é"),
    ],
)
def test_what_does_not_fit_its_hole_is_refused(address: str, message_id: str, token: str) -> None:
    with pytest.raises(Refused):
        fillings(address, message_id, token)


@pytest.mark.parametrize(
    "base_url",
    [
        "",
        "example.org",
        "ftp://example.org",
        "https://example.org/",
        "https://bücher.example",
        "https://example.org/>\r\nBcc: a@example.org",
        "https://example.org/a b",
        "https://example.org/?a=",
        "https://example.org/" + "x" * 940,
    ],
)
def test_a_base_url_that_no_header_can_carry_is_told_to_the_operator(base_url: str) -> None:
    headers = Headers("", HEADERS.sender, HEADERS.date, HEADERS.list_id, "", base_url)
    with pytest.raises(ConfigError, match=r"site\.base_url"):
        prepare(PLAIN, headers)


@pytest.mark.parametrize(
    "base_url", ["http://localhost:8025", "https://[::1]:8025", "https://h/" + "x" * 900]
)
def test_a_base_url_may_be_local_or_long(base_url: str) -> None:
    headers = Headers("", HEADERS.sender, HEADERS.date, HEADERS.list_id, "", base_url)
    wire = mail(headers=headers)
    assert f"List-Unsubscribe: <{base_url}/u/{TOKEN}>\r\n".encode() in wire
    assert max(map(len, wire.split(b"\r\n"))) <= 998


@given(contents, tokens)
def test_the_html_of_a_prepared_mail_can_be_read_again(html: str, token: str) -> None:
    prepared = replace(prepare(Rendered("x", HOLE, html, HOLE), HEADERS), signatures=(Pinned(b"x", b"y"),))
    assert html_part(unpack(pack(prepared)), token) == html.replace(HOLE, token)


segments = st.binary(max_size=40)


@given(st.tuples(segments, segments, segments, segments), st.lists(segments, min_size=1).map(tuple))
def test_packing_is_undone_by_unpacking(
    head: tuple[bytes, bytes, bytes, bytes], body: tuple[bytes, ...]
) -> None:
    prepared = Prepared(head, body)
    assert unpack(pack(prepared)) == prepared


def test_what_was_packed_before_mails_were_compressed_is_read() -> None:
    segments = [b"From: a\r\nTo: ", b"\r\nMessage-ID: <", b">\r\n/u/", b"\r\n\r\n", b"one ", b" two\r\n"]
    packed = b"\x01" + b"".join(len(each).to_bytes(4, "big") + each for each in segments)
    assert unpack(packed) == Prepared(tuple(segments[:4]), tuple(segments[4:]))


@pytest.mark.parametrize(
    "packed",
    [
        b"",
        b"\x04",
        b"\x04x",
        b"\x02",
        b"\x01",
        b"\x01\0\0",
        pack(prepare(PLAIN, HEADERS))[:-1],
        pack(prepare(PLAIN, HEADERS)) + b"x",
    ],
)
def test_bytes_that_pack_did_not_write_are_refused(packed: bytes) -> None:
    with pytest.raises(Refused):
        unpack(packed)


@given(hostile)
def test_a_display_name_never_changes_who_sends(name: str) -> None:
    headers = Headers(name, HEADERS.sender, HEADERS.date, HEADERS.list_id, name, HEADERS.base_url)
    message = message_from_bytes(eml(mail(headers=headers)))
    assert message.keys() == PLAN
    assert message["From"].endswith("<alerts@riverton.example>")
    assert message["List-Id"].endswith("<flood.riverton.example>")
