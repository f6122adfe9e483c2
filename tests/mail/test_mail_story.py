"""A feed's HTML on its way into a mail: what stays, what goes, and how it reads as text."""

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st
from selectolax.lexbor import LexborHTMLParser

from alerts.mail.story import Block, Story, cut, read_story
from alerts.mail.tidy import as_html, tidy
from alerts.mail.words import clean_lines
from hostile import hostile

KEPT = {"p", "br", "a", "strong", "em", "ul", "ol", "li", "blockquote"}
TAGS = (
    "p",
    "div",
    "b",
    "i",
    "a",
    "a href=https://gazette.example/x",
    "a href=javascript:x",
    "ul",
    "ol",
    "li",
)
MORE_TAGS = (
    "blockquote",
    "table",
    "td",
    "h2",
    "span",
    "script",
    "style",
    "svg",
    "img src=x",
    "br",
    "form",
    "pre",
)


def pieces() -> st.SearchStrategy[str]:
    tag = st.sampled_from(TAGS + MORE_TAGS)
    opening = tag.map(lambda each: f"<{each}>")
    closing = tag.map(lambda each: f"</{each.split()[0]}>")
    return st.lists(st.one_of(opening, closing, hostile), max_size=20).map("".join)


@given(pieces())
def test_any_html_ends_as_whole_blocks_of_known_tags(html: str) -> None:
    for block in tidy(clean_lines(html)):
        body = LexborHTMLParser(block).body
        assert body is not None
        assert [child.tag for child in body.iter(include_text=True)] in (
            ["p"],
            ["ul"],
            ["ol"],
            ["blockquote"],
        )
        for node in body.css("body *"):
            assert node.tag in KEPT
            assert set(node.attributes) <= ({"href"} if node.tag == "a" else set())
            assert re.match(r"https?:|mailto:|$", node.attributes.get("href") or "", re.IGNORECASE)
        assert body.inner_html == LexborHTMLParser(body.inner_html or "").body.inner_html  # type: ignore[union-attr]
        assert body.text().strip()


@given(pieces())
def test_the_text_holds_the_words_of_the_html_in_their_order(html: str) -> None:
    for block in read_story(html, "").blocks:
        body = LexborHTMLParser(block.html).body
        assert body is not None
        written = iter(block.text)
        missing = [letter for letter in body.text() if not letter.isspace() and letter not in written]
        assert missing == []


@pytest.mark.parametrize(
    ("html", "blocks"),
    [
        ("<div>One</div><div>two</div>", ["<p>One</p>", "<p>two</p>"]),
        ("a <b>b</b> <i>c</i>", ["<p>a <strong>b</strong> <em>c</em></p>"]),
        ("<h2>Head</h2>text", ["<p><strong>Head</strong></p>", "<p>text</p>"]),
        ("<p>one<br>two</p>", ["<p>one<br>two</p>"]),
        ("<p></p><ul><li></li></ul><p> </p>", []),
        ("<p onclick=x style=color:red class=y>a</p>", ["<p>a</p>"]),
        ("a<script>b</script><style>c</style><img src='https://spy.example/1.gif'>", ["<p>a</p>"]),
        ("<a href='/relative'>a</a> <a href='javascript:x'>b</a>", ["<p>a b</p>"]),
        ("<b><p>one</p><p>two</p></b>", ["<p><strong>one</strong></p>", "<p><strong>two</strong></p>"]),
        ("<b><b><b>deep</b></b></b>", ["<p><strong>deep</strong></p>"]),
        ("<ul><li><p>a</p><p>b</p></li></ul>", ["<ul><li>a<br>b</li></ul>"]),
        ("<li>alone</li>", ["<p>alone</p>"]),
        ("<ul><li>a<ul><li>b</li></ul></li></ul>", ["<ul><li>a<ul><li>b</li></ul></li></ul>"]),
        ("&lt;b&gt; &amp; &quot;", ['<p>&lt;b&gt; &amp; "</p>']),
        ("<table><tr><td>1</td><td>2</td></tr></table>", ["<p>1</p>", "<p>2</p>"]),
    ],
)
def test_a_feeds_layout_becomes_plain_paragraphs(html: str, blocks: list[str]) -> None:
    assert tidy(html) == blocks


def test_nesting_ends_where_nobody_could_read_it() -> None:
    assert tidy("<blockquote>" * 3000 + "x") == ["<blockquote>" * 4 + "<p>x</p>" + "</blockquote>" * 4]


def test_plain_text_keeps_its_paragraphs_and_lines() -> None:
    assert as_html("a < b\nc\r\n\r\nd") == "<p>a &lt; b<br>c</p><p>d</p>"
    assert read_story("<img src=x>", "one\n\ntwo").text == "one\n\ntwo"


def test_text_is_laid_out_for_reading() -> None:
    html = """
      <p>The gate was closed at 06:40 after the river rose eleven centimetres in an <b>hour</b>; see
      <a href="https://gazette.example/ferries">the timetable</a>, or write to
      <a href="mailto:desk@gazette.example">desk@gazette.example</a>.</p>
      <ul><li>Quay Street is closed to cars, and so is the lower market until the evening at least.</li>
      <li>Schools <a href="https://gazette.example/schools">open later</a><ol><li>left bank<li>right bank</ol></ul>
      <blockquote><p>Keep the bridges free.</p><p>Thank you.</p></blockquote>
      <p><a href="https://gazette.example/map">https://gazette.example/map</a></p>"""
    assert read_story(html, "").text == (
        "The gate was closed at 06:40 after the river rose eleven centimetres in\n"
        "an hour; see the timetable [1], or write to desk@gazette.example.\n"
        "[1] https://gazette.example/ferries\n"
        "\n"
        "- Quay Street is closed to cars, and so is the lower market until the\n"
        "  evening at least.\n"
        "- Schools open later [2]\n"
        "  [2] https://gazette.example/schools\n"
        "  1. left bank\n"
        "  2. right bank\n"
        "\n"
        "> Keep the bridges free.\n"
        "\n"
        "> Thank you.\n"
        "\n"
        "https://gazette.example/map"
    )


def test_a_long_story_is_cut_at_a_paragraph() -> None:
    story = read_story("<p>ten bytes.</p>" * 10, "")
    size = story.blocks[0].size
    assert cut(story, 10 * size) == story
    assert cut(story, 10 * size - 1) == Story(story.blocks[:9], is_cut=True)
    assert not story.is_cut


def test_of_an_endless_paragraph_the_first_words_stay() -> None:
    story = cut(read_story(f"<p>{'more words &amp; ' * 2000}</p>", ""), 2400)
    assert story.is_cut
    assert story.html.startswith("<p>more words &amp; more")
    assert story.html.endswith("…</p>")
    assert len(story.text) <= 100


def test_more_html_than_a_mail_holds_is_not_even_parsed() -> None:
    story = read_story("<p>whole words</p>" * 10_000, "")
    assert story.is_cut
    assert set(story.blocks) == {Block("<p>whole words</p>", "whole words")}


@given(pieces(), hostile, st.integers(0, 5000))
def test_a_story_keeps_to_its_budget(html: str, text: str, budget: int) -> None:
    kept = cut(read_story(html, text), budget).blocks
    assert sum(block.size for block in kept) <= max(budget, 100)
