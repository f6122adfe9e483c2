"""Documents in every encoding: declared truly, falsely or not at all, with and without byte-order marks."""

# ruff: noqa: RUF001 - the texts are of many alphabets

from collections.abc import Iterator
from itertools import product

import pytest
from hypothesis import given
from hypothesis import strategies as st

from alerts.feeds.formats import parse
from alerts.feeds.formats.charset import decode

URL = "https://news.example/rss"
TEXTS = {
    "Le bateau a quitté le port à neuf heures – «où»?": ("iso-8859-1", "cp1252", "mac_roman"),
    "Große Übung für Bürger am Fluß": ("iso-8859-1", "cp1252", "iso-8859-15"),
    "Корабль вышел из порта в девять часов утра": ("koi8-r", "cp1251", "iso-8859-5"),
    "港の船は九時に出港しました。交通情報のお知らせ": ("shift_jis", "euc_jp", "iso2022_jp"),
    "港口的船九点出发，今天的新闻报道说天气很好": ("gb2312", "gbk", "gb18030"),
    "港口的船九點出發，今天的新聞報導說天氣很好": ("big5",),
    "항구의 배가 아홉 시에 출발했습니다 오늘의 뉴스": ("euc_kr",),
    "Το πλοίο έφυγε από το λιμάνι στις εννέα": ("iso-8859-7", "cp1253"),
    "Statek wypłynął z portu o godzinie dziewiątej, żegluga": ("iso-8859-2", "cp1250"),
    "Gemi saat dokuzda limandan ayrıldı, şimdi yolda": ("iso-8859-9", "cp1254"),
}
CASES = [(text, encoding) for text, encodings in TEXTS.items() for encoding in encodings]
UNICODE = ["utf-8", "utf-8-sig", "utf-16", "utf-16-le", "utf-16-be", "utf-32", "utf-32-le", "utf-32-be"]
# Without a declaration an encoding is guessed from its letters; these can be told.
GUESSED = {
    "cp1252",
    "iso-8859-1",
    "koi8-r",
    "cp1251",
    "shift_jis",
    "euc_jp",
    "gb2312",
    "gbk",
    "big5",
    "euc_kr",
}


def document(text: str, declared: str = "") -> str:
    declaration = f'<?xml version="1.0" encoding="{declared}"?>' if declared else ""
    return f"{declaration}<rss><channel><item><title>{text}</title></item></channel></rss>"


def encoded(text: str, encoding: str) -> bytes:
    """Gives the bytes of a text without the characters that an old encoding has not."""
    return text.encode(encoding, "ignore")


def kept(text: str, encoding: str) -> str:
    """Gives what is left of a text, as a headline, in an encoding that has not all of its characters."""
    return " ".join(encoded(text, encoding).decode(encoding).split())


def title(body: bytes, content_type: str = "") -> str:
    return parse(body, URL, content_type).entries[0].title


@pytest.mark.parametrize(("text", "encoding"), CASES)
def test_believes_a_true_declaration(text: str, encoding: str) -> None:
    expected = kept(text, encoding)
    assert title(encoded(document(text, encoding), encoding)) == expected
    assert title(encoded(document(text), encoding), f"text/xml; charset={encoding}") == expected


@pytest.mark.parametrize(("text", "encoding"), CASES)
def test_believes_the_header_before_the_document(text: str, encoding: str) -> None:
    body = encoded(document(text, "utf-8"), encoding)
    assert title(body, f'application/rss+xml; charset="{encoding}"') == kept(text, encoding)


@pytest.mark.parametrize("declared", ["", "us-ascii", "utf-8", "utf-16", "no-such-charset", "hex"])
@pytest.mark.parametrize(("text", "encoding"), [case for case in CASES if case[1] in GUESSED])
def test_sees_through_a_declaration_that_is_not_true(text: str, encoding: str, declared: str) -> None:
    assert title(encoded(document(text, declared), encoding)) == kept(text, encoding)


def untrue() -> Iterator[tuple[str, str, str]]:
    """Each text in each form of Unicode under each name, true or not.

    Left out: a few letters in UTF-8 that may as well be words in Shift-JIS.
    """
    for text, encoding, declared in product(
        TEXTS, UNICODE, ["", "utf-8", "iso-8859-1", "koi8-r", "utf-16", "shift_jis"]
    ):
        has_few_letters = len(text.encode()) < len(text) * 2
        if not (has_few_letters and encoding == "utf-8" and declared == "shift_jis"):
            yield text, encoding, declared


@pytest.mark.parametrize(("text", "encoding", "declared"), list(untrue()))
def test_knows_unicode_whatever_is_declared(text: str, encoding: str, declared: str) -> None:
    assert title(document(text, declared).encode(encoding)) == text


def test_believes_a_mark_before_every_word() -> None:
    body = document("Größe", "koi8-r").encode("utf-8-sig")
    assert title(body, "text/xml; charset=windows-1251") == "Größe"


def test_mends_stray_bytes_in_utf_8() -> None:
    body = document("été – ça et là, un port", "utf-8").encode().replace("–".encode(), b"\x96")
    assert title(body) == "été – ça et là, un port"


def test_undoes_utf_8_that_was_encoded_twice() -> None:
    assert title(document("été – don’t").encode().decode("cp1252").encode()) == "été – don’t"


def test_reads_ebcdic() -> None:
    assert title(document("Harbour", "cp037").encode("cp037")) == "Harbour"


def test_takes_a_character_cut_in_two_for_no_damage() -> None:
    body = document("été").encode() + "é".encode()[:1]
    assert title(body) == "été"


@given(
    st.binary(max_size=300),
    st.sampled_from(["", "text/xml; charset=utf-16", "charset=gb2312", "charset=zip"]),
)
def test_any_bytes_have_a_text(body: bytes, content_type: str) -> None:
    assert isinstance(decode(body, content_type), str)


@given(
    st.text(
        st.characters(codec="utf-8", exclude_characters="<>&", exclude_categories=("Cc", "Cs", "Co", "Cn")),
        min_size=1,
    ),
    st.sampled_from(UNICODE),
)
def test_a_feed_reads_alike_in_every_encoding(text: str, encoding: str) -> None:
    declared = encoding.removesuffix("-sig")
    words = f"Harbour {text} end"
    assert parse(document(words, declared).encode(encoding), URL, "") == parse(
        document(words, "utf-8").encode(), URL, ""
    )
