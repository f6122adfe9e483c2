"""Our header lines, read back by a parser that is not ours."""

import re
from datetime import UTC, datetime, timedelta, timezone
from email import message_from_bytes
from email.header import decode_header, make_header
from email.utils import parseaddr

import pytest
from hypothesis import given
from hypothesis import strategies as st

from alerts.errors import ConfigError, Refused
from alerts.mail.headers import (
    date_line,
    list_id_line,
    mailbox_line,
    reader_address,
    text_line,
    verbatim_line,
    wire_address,
)
from alerts.mail.words import clean, clip
from hostile import hostile


def decoded(line: bytes) -> str:
    """The value of a header's only line, unfolded and decoded as a mail program would."""
    message = message_from_bytes(line + b"\r\n")
    assert len(message.items()) == 1
    value = message.items()[0][1].replace("\r\n", "")
    return str(make_header(decode_header(value)))


def assert_folded(line: bytes) -> None:
    assert line.isascii()
    assert line.endswith(b"\r\n")
    lines = line[:-2].split(b"\r\n")
    assert all(len(each) <= 76 for each in lines)
    assert all(each.startswith(b" ") and each.strip() for each in lines[1:])
    assert b"\n" not in line.replace(b"\r\n", b"")
    assert b"\r" not in line.replace(b"\r\n", b"")


@given(hostile)
def test_any_subject_is_one_header_and_reads_back(text: str) -> None:
    line = text_line("Subject", text)
    assert_folded(line)
    assert decoded(line) == clean(text)


@given(hostile)
def test_any_display_name_leaves_the_address_alone(name: str) -> None:
    line = mailbox_line("From", name, "desk@example.org")
    assert_folded(line)
    raw = message_from_bytes(line + b"\r\n")["From"].replace("\r\n", "")
    shown, address = parseaddr(raw)
    assert address == "desk@example.org"
    assert str(make_header(decode_header(shown))) == clip(clean(name), 100)


@given(hostile)
def test_any_list_name_leaves_the_list_id_alone(name: str) -> None:
    line = list_id_line(name, "flood.example.org")
    assert_folded(line)
    assert line.endswith(b"<flood.example.org>\r\n")
    assert line.count(b"<flood.example.org>") == 1


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("Gate closed", b"Subject: Gate closed\r\n"),
        ("Über Nacht", b"Subject: =?utf-8?q?=C3=9Cber_Nacht?=\r\n"),
        ("水位上昇", b"Subject: =?utf-8?b?5rC05L2N5LiK5piH?=\r\n"),
        ("=?utf-8?q?Hi?=", b"Subject: =?utf-8?q?=3D=3Futf-8=3Fq=3FHi=3F=3D?=\r\n"),
        (
            "the river rose " * 6,
            b"Subject: the river rose the river rose the river rose the river rose the\r\n river rose the river rose\r\n",
        ),
    ],
)
def test_a_subject_is_plain_or_encoded_as_a_whole(text: str, line: bytes) -> None:
    assert text_line("Subject", text) == line


@pytest.mark.parametrize(
    ("name", "line"),
    [
        ("Riverton Live", b"From: Riverton Live <a@example.org>\r\n"),
        ("", b"From: <a@example.org>\r\n"),
        ('Smith, "J." \\ Sons', b'From: "Smith, \\"J.\\" \\\\ Sons" <a@example.org>\r\n'),
        ("Zoë", b"From: =?utf-8?q?Zo=C3=AB?= <a@example.org>\r\n"),
    ],
)
def test_display_names(name: str, line: bytes) -> None:
    assert mailbox_line("From", name, "a@example.org") == line


def test_dates_are_told_in_utc() -> None:
    at = datetime(2026, 11, 22, 9, 0, 0, 999, tzinfo=timezone(timedelta(hours=1)))
    assert date_line(at) == b"Date: Sun, 22 Nov 2026 08:00:00 +0000\r\n" == date_line(at.astimezone(UTC))


@pytest.mark.parametrize(
    ("address", "written"),
    [
        ("ana.o'neil+x@mail.example.org", "ana.o'neil+x@mail.example.org"),
        ("ana@bücher.example", "ana@xn--bcher-kva.example"),
        ("ana@straße.example", "ana@xn--strae-oqa.example"),
    ],
)
def test_international_domains_go_as_a_labels(address: str, written: str) -> None:
    assert wire_address(address) == written


def test_a_name_beyond_ascii_can_be_a_readers_and_not_the_sites() -> None:
    assert reader_address("jérôme@bücher.example") == "jérôme@xn--bcher-kva.example"
    with pytest.raises(Refused):
        wire_address("jérôme@example.org")


@pytest.mark.parametrize(
    "address",
    ["jé rôme@example.org", "jé\r\nrôme@example.org", "jé\u2028@example.org", "é" * 33 + "@example.org"],
)
def test_a_name_beyond_ascii_brings_nothing_else_along(address: str) -> None:
    with pytest.raises(Refused):
        reader_address(address)


@pytest.mark.parametrize(
    "address",
    [
        "",
        "ana",
        "ana@",
        "@example.org",
        "ana@example.org,bob@example.org",
        "ana@example.org\r\nBcc: bob@example.org",
        "ana@example.org\n",
        "<ana@example.org>",
        "Ana <ana@example.org>",
        "ana b@example.org",
        '"ana b"@example.org',
        "ana..b@example.org",
        "ana@[192.0.2.1]",
        "=?utf-8?q?ana?=@example.org",
        "ana@exam\u2028ple.org",
        "ana\ud800@example.org",
        "a" * 65 + "@example.org",
        "ana@" + "a." * 130 + "org",
    ],
)
def test_what_is_not_one_plain_address_is_refused_and_not_repeated(address: str) -> None:
    with pytest.raises(Refused) as refusal:
        wire_address(address)
    assert "ana" not in str(refusal.value)


@given(hostile)
def test_no_text_passes_for_an_address_with_more_inside(text: str) -> None:
    try:
        written = reader_address(text)
    except Refused:
        return
    assert parseaddr(written) == ("", written)
    assert written.isprintable()
    assert not re.search(r"[\s<>,;:\"]", written)


@pytest.mark.parametrize("value", ["", "a\r\nBcc: b", "a\n", " a", "a  b", "é", "x" * 999])
def test_a_structured_value_stands_as_it_is_or_not_at_all(value: str) -> None:
    with pytest.raises(ConfigError):
        verbatim_line("List-Help", value)


def test_a_long_url_is_neither_folded_nor_encoded() -> None:
    url = f"<https://example.org/{'x' * 900}>"
    assert verbatim_line("List-Help", url) == f"List-Help: {url}\r\n".encode()


@given(st.sampled_from(["nodots", "a b.example.org", "a>.example.org", "ü.example.org", "a..b", "x" * 256]))
def test_a_list_id_looks_like_a_domain(list_id: str) -> None:
    with pytest.raises(ConfigError):
        list_id_line("News", list_id)
