"""What is a live blog and what only says so; JSON-LD in every shape, and what is left of it when it is broken."""

import json
from typing import Any

import pytest

from alerts.errors import NotAFeed
from alerts.feeds.formats import parse
from fakes.live_pages import URL, only, page, posting, read, titles, update

BLOG = {"@type": "LiveBlogPosting", "@id": f"{URL}#blog", "headline": "Harbour live", "url": URL}


@pytest.mark.parametrize(
    "document",
    [
        posting() | {"liveBlogUpdate": {"@list": [update(1), update(2)]}},
        posting() | {"liveBlogUpdate": [[update(1)], [[update(2)]]]},
        posting()
        | {
            "liveBlogUpdate": {
                "@type": "ItemList",
                "itemListElement": [
                    {"@type": "ListItem", "position": 1, "item": update(1)},
                    {"@type": "ListItem", "position": 2, "item": update(2)},
                ],
            }
        },
        {"@graph": [posting("#a", {"@id": "#b"}), update(1) | {"@id": "#a"}, update(2) | {"@id": "#b"}]},
        BLOG | {"hasPart": [{"@type": "WebPageElement", "cssSelector": ".wall"}, update(1), update(2)]},
        BLOG | {"blogPost": [update(1), update(2)]},
        BLOG | {"@reverse": {"isPartOf": [update(1), update(2)]}},
        {"@graph": [BLOG, *(update(n) | {"isPartOf": {"@id": BLOG["@id"]}} for n in (1, 2))]},
        {"@type": "NewsArticle", "headline": "Harbour", "subjectOf": posting(update(1), update(2))},
        {"@type": "WebPage", "mainEntity": {"@graph": [posting(update(1), update(2))]}},
        posting(update(1), update(2)) | {"@type": ["http://schema.org/LiveBlogPosting", "NewsArticle"]},
        {"@type": "NewsArticle", "headline": "Harbour", "liveBlogUpdate": [update(1), update(2)]},
    ],
    ids=[
        "a @list",
        "lists in lists",
        "an ItemList",
        "references",
        "parts",
        "blog posts",
        "reverse",
        "posts that name their blog",
        "the subject of an article",
        "the entity of a page",
        "two types",
        "updates of an article",
    ],
)
def test_finds_the_updates_wherever_they_stand(document: Any) -> None:
    parsed = read(document)
    assert parsed.is_live_blog
    assert titles(parsed) == ["Report 1", "Report 2"]


def test_reads_expanded_json_ld() -> None:
    word = "http://schema.org/"
    document = {
        "@type": [f"{word}LiveBlogPosting"],
        f"{word}headline": [{"@value": "Harbour live"}],
        f"{word}liveBlogUpdate": [
            {
                "@type": [f"{word}BlogPosting"],
                "@id": f"{URL}#1",
                f"{word}headline": [{"@value": "Report 1"}],
                f"{word}author": [{f"{word}name": [{"@value": "A. Reporter"}]}],
            }
        ],
    }
    parsed = read([document])
    assert (parsed.title, only(parsed).title, only(parsed).author) == (
        "Harbour live",
        "Report 1",
        "A. Reporter",
    )


def test_reads_an_update_once_however_often_it_is_referred_to() -> None:
    parsed = read({"@graph": [posting("#a", {"@id": "#a"}), update(1) | {"@id": "#a"}]})
    assert titles(parsed) == ["Report 1"]


def test_reads_updates_that_are_texts() -> None:
    parsed = read(posting("The ferry has sailed.", f"{URL}#unknown"))
    assert only(parsed).text == "The ferry has sailed."
    assert "1 updates are empty and were left out" in parsed.warnings


def test_keeps_a_post_of_pictures_only() -> None:
    entry = only(
        read(posting({"@type": "BlogPosting", "url": f"{URL}#7", "image": "https://news.example/i.jpg"}))
    )
    assert (entry.url, entry.title, entry.text) == (f"{URL}#7", "", "")


def test_takes_the_blog_of_this_page_and_not_the_fuller_one_beside_it() -> None:
    other = posting(
        *(update(n, headline=f"Other {n}") for n in (1, 2, 3)), url="https://news.example/other-live"
    )
    assert titles(read(other, posting(update(1)))) == ["Report 1"]


def test_joins_a_blog_that_comes_in_several_scripts() -> None:
    assert titles(read(posting(update(1)), posting(update(2)), posting(update(1)))) == [
        "Report 1",
        "Report 2",
    ]


def test_counts_canonical_and_amp_once() -> None:
    twice = [posting(update(1), update(2), url=f"{URL}{end}") for end in ("", "/amp")]
    parsed = read(*twice, url=f"{URL}/amp")
    assert titles(parsed) == ["Report 1", "Report 2"]
    assert "the page holds 2 live blogs or copies; one of them was read" in parsed.warnings


def test_joins_paragraphs_that_come_one_by_one() -> None:
    assert only(read(posting(update(articleBody=["One.", "Two."])))).text == "One.\n\nTwo."


def test_takes_the_value_of_an_identifier_and_not_its_kind() -> None:
    posted = {"@type": "PropertyValue", "name": "post id", "value": 4711}
    assert only(read(posting(update(identifier=posted)))).key == "4711"


def test_takes_the_clock_off_a_byline() -> None:
    assert only(read(posting(update(author="A. Reporter14:05 GMT")))).author == "A. Reporter"


# Not begun


@pytest.mark.parametrize(
    "fields",
    [
        {"coverageStartTime": "2026-11-22T07:00:00Z"},
        {"coverageEndTime": "2026-11-22T17:00:00Z"},
        {"liveBlogUpdate": []},
        {"liveBlogUpdate": {}},
        {"liveBlogUpdate": None},
        {"coverageStartTime": "2026-11-22T07:00:00Z", "dateModified": "2026-11-22T07:00:00Z"},
        {"coverageStartTime": "2026-11-22T07:00:00Z", "url": "/harbour-live"},
        {"coverageStartTime": "2026-11-22T07:00:00Z", "url": "https://paper.example/harbour-live-2"},
    ],
)
def test_knows_a_live_blog_that_has_not_begun(fields: dict[str, Any]) -> None:
    parsed = read(BLOG | fields)
    assert parsed.is_live_blog
    assert parsed.entries == ()
    assert "the live blog has no entries yet" in parsed.warnings


# Look-alikes

NOW = "2026-11-22T07:13:42.118Z"


@pytest.mark.parametrize(
    "document",
    [
        {
            "@type": "LiveBlogPosting",
            "headline": "Lottery results live",
            "datePublished": NOW,
            "dateModified": NOW,
        },
        {"@type": "LiveBlogPosting", "headline": "Egg prices", "coverageStartTime": NOW, "dateModified": NOW},
        {
            "@type": "LiveBlogPosting",
            "headline": "Lottery results",
            "description": "See the numbers here.",
            "coverageStartTime": NOW,
            "liveBlogUpdate": [
                {"@type": "BlogPosting", "articleBody": "See the numbers here.", "datePublished": NOW}
            ],
        },
        {
            "@type": "ItemList",
            "itemListElement": [
                {
                    "@type": "ListItem",
                    "item": {"@type": "LiveBlogPosting", "url": URL, "coverageStartTime": NOW},
                }
            ],
        },
        [
            {"@type": "LiveBlogPosting", "url": f"{URL}-{n}", "coverageStartTime": "2026-11-22T07:00:00Z"}
            for n in (1, 2)
        ],
        {
            "@type": "NewsArticle",
            "headline": "What we know",
            "isPartOf": {"@type": "LiveBlogPosting", "url": URL, "coverageStartTime": "2026-11-22T07:00:00Z"},
        },
        {
            "@type": "SportsEvent",
            "name": "Harbour v Lighthouse",
            "subjectOf": {
                "@type": "LiveBlogPosting",
                "url": URL,
                "coverageStartTime": "2026-11-22T07:00:00Z",
            },
        },
        [
            {"@type": "NewsArticle", "headline": "What we know", "url": URL},
            {"@type": "LiveBlogPosting", "url": f"{URL}-2", "coverageStartTime": "2026-11-22T07:00:00Z"},
        ],
        {"@type": "NewsArticle", "headline": "How a LiveBlogPosting works", "liveBlogUpdate": []},
        {"@type": "LiveBlogPosting"},
    ],
    ids=[
        "a lottery",
        "a dashboard made now",
        "one fixed text",
        "a list of live blogs",
        "two blogs elsewhere",
        "an article of a live blog",
        "a match with a live blog to come",
        "an article beside a blog to come",
        "an article with an empty field",
        "a bare label",
    ],
)
def test_takes_no_label_for_a_live_blog(document: Any) -> None:
    with pytest.raises(NotAFeed):
        read(document)


@pytest.mark.parametrize(
    "body",
    [
        "<div class='liveblog live-blog-wrapper' data-type='LiveBlogPosting'><p>Live blog of the day</p></div>",
        "<article itemscope itemtype='https://schema.org/LiveBlogPosting'><h1 itemprop='headline'>Home</h1></article>",
        '<pre>&lt;script type="application/ld+json"&gt;{"@type": "LiveBlogPosting"}&lt;/script&gt;</pre>',
        "<!-- <script type='application/ld+json'>{'@type': 'LiveBlogPosting', 'liveBlogUpdate': []}</script> -->",
        '<script>window.state = {"@type": "LiveBlogPosting", "liveBlogUpdate": [{"headline": "One"}]}</script>',
        "<ul>"
        + "".join(
            f"<li itemscope itemtype='http://schema.org/LiveBlogPosting'><a itemprop='url' href='/{n}'>"
            f"<span itemprop='headline'>Story {n}</span></a><time itemprop='datePublished' datetime='2026-11-2{n}'></li>"
            for n in (1, 2, 3)
        )
        + "</ul>",
    ],
    ids=["classes", "a theme's wrapper", "a tutorial", "a comment", "a page's state", "an article list"],
)
def test_takes_no_page_with_the_words_for_a_live_blog(body: str) -> None:
    with pytest.raises(NotAFeed):
        read({"@type": "NewsArticle", "headline": "LiveBlogPosting explained"}, body=body)


# Broken JSON

WHOLE = json.dumps(posting(update(1), update(2), update(3)))


@pytest.mark.parametrize(
    ("broken", "expected"),
    [
        (
            WHOLE.replace("Text 2.", 'The master said "not today", twice.'),
            ["Report 1", "Report 2", "Report 3"],
        ),
        (WHOLE.replace("Text 2.", 'He said "no"'), ["Report 1", "Report 2", "Report 3"]),
        (WHOLE.replace("}, {", "} {"), ["Report 1", "Report 2", "Report 3"]),
        (WHOLE.replace("}]", "},]"), ["Report 1", "Report 2", "Report 3"]),
        (WHOLE.replace("}, {", "},, // next\n {"), ["Report 1", "Report 2", "Report 3"]),
        (WHOLE.replace('"Text 2."', "new Date()"), ["Report 1", "Report 2", "Report 3"]),
        (WHOLE.replace("Text 2.", r"It\'s \xfull"), ["Report 1", "Report 2", "Report 3"]),
        (
            WHOLE.replace('"articleBody": "Text 2.", ', '"articleBody": "Text 2." '),
            ["Report 1", "Report 2", "Report 3"],
        ),
        (WHOLE[: WHOLE.index("Text 3.") + 3], ["Report 1", "Report 2"]),
        (WHOLE[: WHOLE.index("Report 3") - 20], ["Report 1", "Report 2"]),
        (WHOLE[: WHOLE.index('"Text 3."') + 9], ["Report 1", "Report 2"]),
        (WHOLE + WHOLE[:40], ["Report 1", "Report 2", "Report 3"]),
    ],
    ids=[
        "quotes in a text",
        "a quote at its end",
        "no comma between updates",
        "a comma too many",
        "a comment",
        "JavaScript",
        "bad escapes",
        "no comma between fields",
        "cut off in a text",
        "cut off in an update",
        "cut off after a text",
        "more behind it",
    ],
)
def test_saves_what_is_whole_in_broken_json(broken: str, expected: list[str]) -> None:
    parsed = read(broken)
    assert titles(parsed) == expected
    assert any("damaged: what is whole in them was read" in warning for warning in parsed.warnings)


def test_keeps_the_quotes_of_a_text_that_broke_its_json() -> None:
    said = 'The master said "not today", twice, and "never": so it is.'
    assert [entry.text for entry in read(WHOLE.replace("Text 2.", said)).entries] == [
        "Text 1.",
        said,
        "Text 3.",
    ]


def test_drops_an_author_list_that_was_cut_off_together_with_its_update() -> None:
    whole = json.dumps(
        posting(update(1), update(2, author=[{"name": "A. Reporter"}, {"name": "B. Reporter"}]))
    )
    assert titles(read(whole[: whole.index("B. Rep")])) == ["Report 1"]


@pytest.mark.parametrize("join", ["", "\n", ",", ";"])
def test_reads_documents_that_stand_one_behind_the_other(join: str) -> None:
    article = json.dumps({"@type": "NewsArticle", "headline": "Harbour"})
    assert titles(read(article + join + json.dumps(posting(update(1))))) == ["Report 1"]


def test_reads_a_broken_file_of_json_ld() -> None:
    assert titles(parse(WHOLE[:-30].encode(), URL, "application/ld+json")) == ["Report 1", "Report 2"]


def test_reads_a_page_without_an_html_element() -> None:
    body = page(posting(update(1))).decode().replace("<!doctype html><html>", "")
    assert titles(parse(body.encode(), URL, "")) == ["Report 1"]


def test_leaves_a_script_of_another_kind_alone() -> None:
    script = json.dumps(posting(update(1)))
    with pytest.raises(NotAFeed):
        parse(f"<html><script type='application/json'>{script}</script></html>".encode(), URL, "text/html")


@pytest.mark.parametrize(
    ("body", "markup"),
    [
        ("<div><div>One</div><div>Two</div></div>", "One<br>Two"),
        ("<section><p>One</p></section><section><p>Two</p></section>", "<p>One</p><p>Two</p>"),
        ("<div>One</div><p>Two</p>", "One<p>Two</p>"),
        (
            "<figure><img src='/i.jpg'><figcaption>A <b>ferry</b></figcaption></figure>It left.",
            "A <b>ferry</b><br>It left.",
        ),
    ],
)
def test_keeps_texts_apart_that_only_boxes_kept_apart(body: str, markup: str) -> None:
    assert only(read(posting(update(articleBody=body)))).html == markup
