"""Live blogs that exist only in a page's markup: microdata as publishers write it, and RDFa."""

import pytest

from alerts.errors import NotAFeed
from alerts.feeds.formats import ParsedFeed, microdata
from alerts.feeds.formats.source import Source
from fakes.live_pages import URL, only, read, titles

SCHEMA = "https://schema.org"


def blog(inner: str, attributes: str = "") -> str:
    return (
        f'<main><div itemscope itemtype="{SCHEMA}/LiveBlogPosting" {attributes}>'
        f'<h1 itemprop="headline">Harbour live</h1>'
        f'<meta itemprop="coverageStartTime" content="2026-11-22T07:00:00Z">{inner}</div></main>'
    )


def post(number: int, inner: str = "", attributes: str = "") -> str:
    return (
        f'<div itemprop="liveBlogUpdate" itemscope itemtype="{SCHEMA}/BlogPosting" {attributes}>'
        f'<h2 itemprop="headline">Report {number}</h2>'
        f'<time itemprop="datePublished" datetime="2026-11-22T07:0{number}:00Z">7.0{number}</time>{inner}</div>'
    )


def markup(body: str, head: str = "") -> ParsedFeed:
    return read({"@type": "NewsArticle", "headline": "Harbour live"}, body=body, head=head)


def test_reads_a_live_blog_that_its_json_ld_calls_an_article() -> None:
    text = '<div itemprop="articleBody"><p>One &amp; two.</p><p>Three.</p></div>'
    person = f'<span itemprop="author" itemscope itemtype="{SCHEMA}/Person"><b itemprop="name">A. Reporter</b></span>'
    parsed = markup(blog(post(2, text + person, 'id="p2"') + post(1, attributes='id="p1"')))
    assert (parsed.format, parsed.is_live_blog, parsed.title) == ("live-blog", True, "Harbour live")
    assert parsed.coverage_start is not None
    assert titles(parsed) == ["Report 2", "Report 1"]
    entry = parsed.entries[0]
    assert (entry.key, entry.url, entry.author) == ("p2", f"{URL}#p2", "A. Reporter")
    assert (entry.text, entry.html) == ("One & two.\n\nThree.", "<p>One &amp; two.</p><p>Three.</p>")
    assert entry.published_at is not None


@pytest.mark.parametrize(
    ("inner", "field", "expected"),
    [
        ('<meta itemprop="url" content="#80">', "url", f"{URL}#80"),
        ('<a itemprop="url" href="/harbour-live?post=80">7.01</a>', "url", f"{URL}?post=80"),
        ('<link itemprop="url" href="#80">', "url", f"{URL}#80"),
        ("<meta itemprop=url content=#80>", "url", f"{URL}#80"),
        ('<meta itemprop="identifier" content="80">', "key", "80"),
        ('<p itemprop="articleBody" content="In full">cut…</p>', "text", "In full"),
        ('<p itemprop="articleBody">One</p><p itemprop="articleBody">Two</p>', "text", "One\n\nTwo"),
        ('<div itemprop="description">Short</div>', "text", "Short"),
        ('<a itemprop="author" href="/staff/a">A. Reporter</a>', "author", "A. Reporter"),
        ('<meta itemprop="author" content="A. Reporter">', "author", "A. Reporter"),
    ],
)
def test_takes_a_value_from_where_the_element_has_it(inner: str, field: str, expected: str) -> None:
    assert getattr(only(markup(blog(post(1, inner)))), field) == expected


def test_takes_an_itemid_for_the_id() -> None:
    entry = only(markup(blog(post(1, attributes=f'itemid="{URL}#asset-1"'))))
    assert (entry.key, entry.url) == (f"{URL}#asset-1", f"{URL}#asset-1")


def test_reads_what_a_blog_refers_to_elsewhere_on_the_page() -> None:
    parsed = markup(blog("", 'itemref="stream missing"') + f'<div id="stream">{post(1)}{post(2)}</div>')
    assert titles(parsed) == ["Report 1", "Report 2"]


def test_goes_round_in_no_circle() -> None:
    circle = f'<div id="a" itemscope itemtype="{SCHEMA}/LiveBlogPosting" itemref="a">{post(1)}</div>'
    assert titles(markup(circle)) == ["Report 1"]
    found = microdata.items(Source(circle.encode(), URL, "text/html"))
    assert len(found) == 2, "the element once in its place, once as what is referred to"


def test_leaves_what_belongs_to_an_inner_object_to_it() -> None:
    image = f'<div itemprop="image" itemscope itemtype="{SCHEMA}/ImageObject"><meta itemprop="url" content="/i.jpg"><p itemprop="description">A picture</p></div>'
    entry = only(markup(blog(post(1, image, 'id="p1"'))))
    assert (entry.url, entry.text) == (f"{URL}#p1", "")


def test_reads_time_and_words_that_are_shown_but_not_named() -> None:
    bare = '<div itemprop="liveBlogUpdate" itemscope id="p1"><time datetime="2026-11-22T07:01:00Z">7.01</time><p>It sailed.</p></div>'
    entry = only(markup(blog(bare)))
    assert entry.published_at is not None
    assert "It sailed." in entry.text


def test_reads_every_post_where_a_quote_breaks_an_attribute() -> None:
    broken = '<meta itemprop="articleBody" content="The master said "not today" and left">'
    parsed = markup(blog(post(1, broken, "id=80") + post(2, attributes="id=79")))
    assert titles(parsed) == ["Report 1", "Report 2"]
    assert parsed.entries[0].key == "80"
    assert parsed.entries[0].text.startswith("The master said")


def test_takes_key_events_from_the_post_itself() -> None:
    parsed = markup(
        blog(post(1, attributes='id="p1" class="block is-key-event"') + post(2, attributes='id="p2"'))
    )
    assert [entry.is_key_event for entry in parsed.entries] == [True, False]


def test_prefers_json_ld_that_has_the_posts() -> None:
    from_json = {"@type": "LiveBlogPosting", "url": URL, "liveBlogUpdate": {"headline": "From JSON"}}
    assert titles(read(from_json, body=blog(post(1)))) == ["From JSON"]


def test_knows_a_blog_in_markup_that_has_not_begun() -> None:
    parsed = markup(blog(""))
    assert parsed.is_live_blog
    assert parsed.entries == ()


def test_reads_rdfa() -> None:
    body = (
        '<div vocab="https://schema.org/" typeof="LiveBlogPosting"><h1 property="headline">Harbour live</h1>'
        '<div property="liveBlogUpdate" typeof="BlogPosting" resource="#r1"><h2 property="headline">Report 1</h2>'
        '<div property="articleBody"><p>One</p></div></div>'
        '<div property="schema:liveBlogUpdate" typeof="schema:BlogPosting"><h2 property="schema:headline">Report 2</h2>'
        "</div></div>"
    )
    parsed = markup(body, head='<meta property="og:title" content="Harbour">')
    assert titles(parsed) == ["Report 1", "Report 2"]
    assert (parsed.entries[0].url, parsed.entries[0].text) == (f"{URL}#r1", "One")


def test_takes_posts_of_another_kind_for_no_updates() -> None:
    comments = (
        f'<div itemprop="comment" itemscope itemtype="{SCHEMA}/Comment"><p itemprop="text">First!</p></div>'
    )
    with pytest.raises(NotAFeed):
        markup(f'<div itemscope itemtype="{SCHEMA}/LiveBlogPosting">{comments}</div>')
