import quopri

import pytest
from hypothesis import given
from hypothesis import strategies as st

from alerts.mail.words import clean, clean_lines, clip, quoted_printable, wrap
from hostile import hostile


@given(hostile)
def test_clean_text_is_one_line_that_any_encoding_takes(text: str) -> None:
    cleaned = clean(text)
    assert len(cleaned.splitlines()) <= 1
    assert cleaned == cleaned.strip(" ")
    assert cleaned.encode().decode() == cleaned == clean(cleaned)


@given(hostile)
def test_clean_lines_know_one_control(text: str) -> None:
    cleaned = clean_lines(text)
    assert cleaned.split("\n") == cleaned.splitlines() + [""] * (not cleaned or cleaned.endswith("\n"))
    cleaned.encode()


@pytest.mark.parametrize(
    ("text", "cleaned"),
    [
        ("  two\t\r\n words ", "two words"),
        ("Kein\u00a0Umbruch", "Kein\u00a0Umbruch"),
        ("pass\u202eword\x00", "password"),
        ("one\u2028two", "one two"),
        ("family: 👩\u200d👩\u200d👧", "family: 👩\u200d👩\u200d👧"),
    ],
)
def test_what_is_dropped_and_what_stays(text: str, cleaned: str) -> None:
    assert clean(text) == cleaned


@given(st.text(max_size=200), st.integers(10, 60))
def test_clipped_text_fits_and_is_a_beginning(text: str, limit: int) -> None:
    clipped = clip(text, limit)
    assert len(clipped) <= limit
    assert clipped == text or (clipped.endswith("…") and text.startswith(clipped[:-1]))


@pytest.mark.parametrize(
    ("text", "limit", "clipped"),
    [
        ("The gate is closed", 18, "The gate is closed"),
        ("The gate is closed", 17, "The gate is…"),
        ("The gate, is closed", 13, "The gate, is…"),
        ("The gate, is closed", 11, "The gate…"),
        ("Donaudampfschifffahrt", 10, "Donaudamp…"),
    ],
)
def test_text_is_clipped_on_a_word(text: str, limit: int, clipped: str) -> None:
    assert clip(text, limit) == clipped


def test_wrapping_keeps_a_url_whole_and_indents() -> None:
    url = "https://gazette.example/" + "long-" * 30
    assert wrap(f"see {url} there", "- ", "  ") == f"- see\n  {url}\n  there"


@given(hostile)
def test_quoted_printable_lines_are_short_and_ascii(text: str) -> None:
    encoded = quoted_printable(clean_lines(text))
    assert set(encoded) <= {*range(0x20, 0x7F), 0x0D, 0x0A}
    assert max(map(len, encoded.split(b"\r\n"))) <= 76
    assert quopri.decodestring(encoded).decode() == clean_lines(text).replace("\n", "\r\n")


@pytest.mark.parametrize(
    ("text", "encoded"),
    [
        ("a=b \nc ", b"a=3Db=20\r\nc=20"),
        ("x" * 76, b"x" * 76),
        ("x" * 77, b"x" * 75 + b"=\r\nxx"),
        ("x" * 75 + "é", b"x" * 75 + b"=\r\n=C3=A9"),
        ("x" * 74 + "é", b"x" * 74 + b"=\r\n=C3=A9"),
        ("x" * 72 + "éx", b"x" * 72 + b"=C3=\r\n=A9x"),
        ("x" * 75 + " ", b"x" * 75 + b"=\r\n=20"),
        (".", b"."),
    ],
)
def test_quoted_printable_at_its_edges(text: str, encoded: bytes) -> None:
    assert quoted_printable(text) == encoded
