"""One fictional page for each way that large publishers fill their live blogs; the shapes are real, the news is not."""

import json
from datetime import UTC, datetime
from typing import Any

import pytest

from alerts.feeds.formats import ParsedFeed
from fakes.live_pages import read, titles

SITE = "https://paper.example"
LIVE = f"{SITE}/news/harbour-live-1905"


def at(hour: int, minute: int, second: int = 0) -> datetime:
    return datetime(2026, 11, 22, hour, minute, second, tzinfo=UTC)


def blog(*updates: Any, **fields: Any) -> dict[str, Any]:
    return {
        "@context": "https://schema.org",
        "@type": "LiveBlogPosting",
        "headline": "Harbour strike live",
        "url": LIVE,
        "coverageStartTime": "2026-11-22T07:00:00Z",
        "liveBlogUpdate": list(updates),
    } | fields


def everything(parsed: ParsedFeed) -> list[tuple[str | None, str, str, str]]:
    assert parsed.is_live_blog
    return [(entry.key, entry.url, entry.title, entry.text) for entry in parsed.entries]


def test_fragments_escaped_bodies_and_mixed_offsets() -> None:
    """Mirror and CorkBeo: numeric fragments, one time in local offset and one in Z, the page's author on each."""
    posts = [
        {
            "@type": "BlogPosting",
            "url": f"{LIVE}#751105",
            "headline": "Ferry leaves &amp; crane stops",
            "articleBody": "&lt;p&gt;The master said &amp;quot;no&amp;quot;.&lt;/p&gt;&lt;p&gt;He left.&lt;/p&gt;",
            "datePublished": "2026-11-22T09:02:03.212+01:00",
            "dateModified": "2026-11-22T08:02:03Z",
            "author": [{"@type": "Person", "name": "A. Reporter"}],
        },
        {"@type": "BlogPosting", "url": f"{LIVE}#751104", "headline": "A picture", "articleBody": ""},
    ]
    parsed = read(blog(*posts, dateModified="2026-11-22T07:49:00Z"))
    assert everything(parsed) == [
        (None, f"{LIVE}#751105", "Ferry leaves & crane stops", 'The master said "no".\n\nHe left.'),
        (None, f"{LIVE}#751104", "A picture", ""),
    ]
    entry = parsed.entries[0]
    assert entry.published_at == datetime(2026, 11, 22, 8, 2, 3, 212_000, tzinfo=UTC)
    assert entry.updated_at == at(8, 2, 3)


def test_an_end_of_coverage_in_the_future_and_a_bare_author() -> None:
    """Express: coverageEndTime is the newest post and a day; the author is a string."""
    post = {
        "url": f"{LIVE}#live-1924698-qq0im",
        "headline": "Ferry leaves",
        "articleBody": "It&rsquo;s &pound;5 a seat.",
        "datePublished": "2026-11-22T08:00:00+00:00",
        "author": "A. Reporter",
    }
    parsed = read(
        blog(post, datePublished=post["datePublished"], coverageEndTime="2026-11-23T08:00:00+00:00")
    )
    assert everything(parsed) == [(None, f"{LIVE}#live-1924698-qq0im", "Ferry leaves", "It’s £5 a seat.")]  # noqa: RUF001 - the entity's quote
    assert parsed.entries[0].author == "A. Reporter"
    assert not parsed.is_ended


def test_posts_without_any_identity() -> None:
    """La Repubblica: no url and no id, a line end behind the headline."""
    posts = [
        {"@type": "BlogPosting", "headline": f"Titolo {n}&rsquo;\n", "articleBody": f"Testo&nbsp;{n}"}
        for n in (2, 1)
    ]
    assert everything(read(blog(*posts))) == [
        (None, "", "Titolo 2’", "Testo 2"),  # noqa: RUF001 - the entity's quote
        (None, "", "Titolo 1’", "Testo 1"),  # noqa: RUF001 - the entity's quote
    ]


def test_a_clock_in_the_headline_stays() -> None:
    """Times of India: positional fragments, a clock and a zero-width space in the headline, the body repeats it."""
    words = "19:02(IST)\u200b Ferry leaves the harbour"
    post = {
        "url": f"{LIVE}#post1",
        "headline": words,
        "articleBody": words,
        "datePublished": "2026-11-22T19:02:00+05:30",
    }
    parsed = read(blog(post))
    assert everything(parsed) == [
        (None, f"{LIVE}#post1", "19:02(IST) Ferry leaves the harbour", "19:02(IST) Ferry leaves the harbour")
    ]
    assert parsed.entries[0].published_at == at(13, 32)


def test_microdata_beside_an_article() -> None:
    """NDTV: the JSON-LD says NewsArticle; ordinal fragments in unquoted attributes; quotes that break a body."""
    posts = "".join(
        f'<div itemprop=liveBlogUpdate itemscope itemtype=http://schema.org/BlogPosting><meta itemprop=url content="#{n}">'
        f'<h2 itemprop="headline">Ferry {n}</h2><meta itemprop="datePublished" content="2026-11-22T13:{n}:00+05:30">'
        f'<meta itemprop="dateModified" content="2026-11-22T13:{n}:00+05:30">'
        '<meta itemprop="articleBody" content="The master said "no" and left"></div>'
        for n in (31, 30)
    )
    body = f'<div itemscope itemtype="http://schema.org/LiveBlogPosting"><h1 itemprop="headline">Strike</h1>{posts}</div>'
    parsed = read({"@type": "NewsArticle", "headline": "Strike"}, body=body, url=LIVE)
    assert [(entry.url, entry.title) for entry in parsed.entries] == [
        (f"{LIVE}#31", "Ferry 31"),
        (f"{LIVE}#30", "Ferry 30"),
    ]
    assert parsed.entries[0].published_at == at(8, 1)


def test_bare_ids_and_the_pages_headline_on_every_post() -> None:
    """The Guardian's pages: a list of one, ids without an address, the page's headline and dates on each post."""
    posts = [
        {
            "@type": "BlogPosting",
            "@id": f"{n:024x}",
            "headline": "Harbour strike live",
            "articleBody": f"Text {n}",
            "datePublished": "2026-11-22T07:00:00.000Z",
        }
        for n in (2, 1)
    ]
    parsed = read([blog(*posts)])
    assert everything(parsed) == [(f"{n:024x}", "", "Harbour strike live", f"Text {n}") for n in (2, 1)]
    assert "every entry carries the page's headline instead of its own" in parsed.warnings
    assert "every entry carries the same time: probably the page's" in parsed.warnings


@pytest.mark.parametrize(
    "address",
    [
        f"{LIVE}#post-asset:1f0e",
        f"{LIVE}?post=asset%3A1f0e#post",
        f"{LIVE}?pinned_post_locator=urn:asset:1f0e",
        f"{LIVE}?postid=6132228#liveblog-body",
        f"{LIVE}?update=4711",
        f"{LIVE}?postId=0a1b-2c3d",
        f"{SITE}/2026/11/22/harbour-live/h_0123456789abcdef0123456789abcdef",
        f"{LIVE}#post-9d2c",
    ],
    ids=["BBC World", "BBC", "BBC, older", "Sky", "Al Jazeera", "g1", "CNN", "FT"],
)
def test_the_query_and_the_fragment_stay_in_an_address(address: str) -> None:
    post = {
        "@type": "BlogPosting",
        "url": address,
        "headline": "One",
        "datePublished": "2026-11-22T08:00:00Z",
    }
    assert read(blog(post)).entries[0].url == address


def test_an_id_that_is_an_address() -> None:
    """BBC World Service: only @id, the page and the post's urn."""
    post = {"@type": "BlogPosting", "@id": f"{LIVE}#post-asset:1f0e", "articleBody": "One"}
    assert everything(read(blog(post))) == [(post["@id"], post["@id"], "", "One")]


def test_one_link_for_all_posts_and_a_farewell_with_a_signpost() -> None:
    """Al Jazeera: numeric ids, every post links the blog, naive times; it closes each day and says where it goes on."""
    posts = [
        {"identifier": 9, "url": LIVE, "headline": "Thank you for joining us", "datePublished": "2026-11-22T20:00:00",
         "articleBody": f"<p>This live page is now closed. You can continue to follow our coverage <a href='{SITE}/news/harbour-live-1906'>here</a>.</p>"},
        {"identifier": 8, "url": LIVE, "headline": "Ferry leaves", "datePublished": "2026-11-22T19:00:00"},
    ]  # fmt: skip
    parsed = read(blog(*posts))
    assert [(entry.key, entry.url) for entry in parsed.entries] == [("9", LIVE), ("8", LIVE)]
    assert (parsed.is_ended, parsed.continues_at) == (True, f"{SITE}/news/harbour-live-1906")


def test_two_blocks_of_one_blog_with_escaped_slashes() -> None:
    """g1: canonical and AMP in one page."""
    posts = [
        {"@type": "BlogPosting", "url": f"{LIVE}?postId=a{n}", "articleBody": f"Texto {n}"} for n in (2, 1)
    ]
    scripts = [
        json.dumps(blog(*posts, url=f"{SITE}{path}")).replace("/", "\\/")
        for path in ("/news/harbour-live-1905", "/amp/news/harbour-live-1905")
    ]
    assert titles(read(*scripts)) == ["", ""]


def test_an_end_one_minute_after_the_beginning() -> None:
    """The Financial Times: dateModified is datePublished, coverage ends a minute after it began."""
    post = {
        "url": f"{LIVE}#p",
        "headline": "One",
        "datePublished": "2026-11-22T08:00:00Z",
        "dateModified": "2026-11-22T08:00:00Z",
    }
    parsed = read(blog(post, coverageEndTime="2026-11-22T07:01:00Z"))
    assert not parsed.is_ended
    assert parsed.coverage_end == at(7, 1)


def test_the_wordpress_plugins_own_metadata() -> None:
    """WordPress: permalink and number; the headline is the first ten words; once, the body was an object."""
    posts = [
        {"url": f"{LIVE}/#12", "headline": "Ferry leaves the quay at nine…", "articleBody": {"@type": "Text", "text": "<p>Ferry leaves.</p>"}},
        {"url": f"{LIVE}/#11", "headline": "Crane stops", "articleBody": "<p>Crane stops.</p>"},
    ]  # fmt: skip
    assert [text for *_, text in everything(read(blog(*posts)))] == ["Ferry leaves.", "Crane stops."]


def test_superdesks_own_metadata() -> None:
    """Superdesk: the address holds the place of a post, there is no headline, the zone is written without a colon."""
    post = {
        "url": f"{LIVE}?liveblog._id=urn:newsml:x:1__39",
        "articleBody": "<div>One</div>",
        "datePublished": "2026-11-22T09:00:00+0100",
    }
    parsed = read(blog(post))
    assert everything(parsed) == [(None, post["url"], "", "One")]
    assert parsed.entries[0].published_at == at(8, 0)


def test_a_video_among_the_posts() -> None:
    video = {
        "@type": "VideoObject",
        "name": "The quay",
        "description": "Seen from above.",
        "url": f"{LIVE}#v1",
    }
    entry = read(blog(video | {"uploadDate": "2026-11-22T09:40:00Z"})).entries[0]
    assert (entry.title, entry.text, entry.published_at) == ("The quay", "Seen from above.", at(9, 40))
