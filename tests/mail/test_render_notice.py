"""Notices: short, plain, one link, and nothing in them that a visitor typed."""

from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from selectolax.lexbor import LexborHTMLParser

from alerts.errors import ConfigError
from alerts.mail.compose import Headers, compose, fillings, prepare
from alerts.mail.render import NoticeView, Renderer, SiteView
from alerts.models import Frequency, NoticeKind
from hostile import hostile

SITE = SiteView(
    name="Riverton Live",
    base_url="https://alerts.riverton.example",
    sender_name="Riverton Live",
    sender="alerts@riverton.example",
    contact="desk@riverton.example",
    postal_address="Riverton Gazette, 4 Quay Street, Riverton",
)
RENDERER = Renderer(SITE, ())
EXPIRES = datetime(2026, 11, 24, 8, tzinfo=UTC)
CONFIRM = NoticeView(
    NoticeKind.CONFIRM, "en", tuple((f"Topic {each}", str(each)) for each in Frequency), EXPIRES
)
HEADERS = Headers(SITE.sender_name, SITE.sender, EXPIRES, "", "", SITE.base_url)


def test_a_sign_up_is_confirmed_by_one_link() -> None:
    rendered = RENDERER.render_notice(CONFIRM)
    assert rendered.subject == "Please confirm your alerts from Riverton Live"
    assert rendered.text.replace(rendered.hole, "TOKEN") == (
        "Someone, probably you, asked Riverton Live to send alerts to this\n"
        "address:\n"
        "\n"
        "- Topic flash: key events only\n"
        "- Topic every: every update\n"
        "- Topic hourly: an hourly digest\n"
        "- Topic daily: a daily digest\n"
        "- Topic weekly: a weekly digest\n"
        "\n"
        "Confirm your alerts:\n"
        "https://alerts.riverton.example/n/TOKEN\n"
        "\n"
        "If it was not you, ignore this mail: nothing happens, and we send no\n"
        "alerts to this address.\n"
        "\n"
        "The link works until November 24, 2026, 8:00\u00a0AM UTC.\n"
        "\n"
        "----------------------------------------\n"
        "\n"
        "You get this because this address was typed into a form at Riverton\n"
        "Live.\n"
        "\n"
        "Questions? Write to us:\n"
        "desk@riverton.example\n"
        "\n"
        "Riverton Gazette, 4 Quay Street, Riverton\n"
    )


@pytest.mark.parametrize("kind", NoticeKind)
@pytest.mark.parametrize("language", ["en", "de"])
def test_each_notice_says_why_it_came_and_until_when_its_link_works(kind: NoticeKind, language: str) -> None:
    rendered = RENDERER.render_notice(replace(CONFIRM, kind=kind, language=language))
    page = LexborHTMLParser(rendered.html)
    assert [node.text() for node in page.css("title, h1")] == [rendered.subject] * 2
    assert [link.attributes["href"] for link in page.css("a")] == [
        f"https://alerts.riverton.example/n/{rendered.hole}",
        "mailto:desk@riverton.example",
    ]
    assert rendered.text.count(rendered.hole) == rendered.html.count(rendered.hole) == 1
    words = (
        ("Someone, probably you, asked", "If it was not you, ignore this mail", "The link works until Nov")
        if language == "en"
        else ("Jemand, wahrscheinlich Sie", "Waren Sie es nicht", "Der Link gilt bis 24. Nov")
    )
    for part in (rendered.text.replace("\n", " "), page.root.text() if page.root else ""):
        assert all(each in part for each in words)
        assert "unsubscribe" not in part
    assert ("Topic daily" in rendered.text) == (kind is NoticeKind.CONFIRM)


def test_many_topics_are_counted() -> None:
    rendered = RENDERER.render_notice(
        replace(CONFIRM, topics=tuple((f"Topic {number}", "every") for number in range(30)))
    )
    assert "- Topic 9: every update\n- 20 more topics\n" in rendered.text
    assert "20 more topics" in rendered.html


@given(st.sampled_from(NoticeKind), st.lists(st.tuples(hostile, st.sampled_from(Frequency))).map(tuple))
def test_no_topic_breaks_its_notice(kind: NoticeKind, topics: tuple[tuple[str, str], ...]) -> None:
    view = replace(CONFIRM, kind=kind, topics=topics)
    rendered = RENDERER.render_notice(view)
    assert rendered.text.count(rendered.hole) == rendered.html.count(rendered.hole) == 1
    wires = {
        compose(prepare(each, HEADERS), fillings("reader@example.org", "id", "t" * 43))
        for each in (rendered, RENDERER.render_notice(view))
    }
    assert len(wires) == 1, "another try is byte-identical"
    assert len(wires.pop()) < 30_000
    assert not LexborHTMLParser(rendered.html).css("script, img, form, iframe")


def test_a_template_of_the_sites_own_must_show_the_link(tmp_path: Path) -> None:
    path = tmp_path / "mail" / "notice" / "link" / "body.html"
    path.parent.mkdir(parents=True)
    path.write_text("<p>Hello</p>")
    with pytest.raises(ConfigError, match=r"mail/notice/link/body\.html must show \{\{ link_url"):
        Renderer(SITE, (tmp_path,)).render_notice(replace(CONFIRM, kind=NoticeKind.LINK))
