"""What live-blog systems answer: the WordPress plugin, Superdesk, the Guardian's API, AMP, JSON Feed."""

import json
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from alerts.errors import NotAFeed
from fakes.live_pages import URL, only, read, read_json, titles

WORDPRESS = "https://news.example/wp-json/liveblog/v1/7/entries/1795330000/1795339999"
SUPERDESK = "https://live.example/api/client_blogs/5f/posts?max_results=20"
SEVEN = 1795330800  # 2026-11-22T07:00:00Z


def at(minute: int) -> datetime:
    return datetime(2026, 11, 22, 7, minute, tzinfo=UTC)


# WordPress


def row(number: int = 1, minute: int = 1, **fields: Any) -> dict[str, Any]:
    return {
        "id": str(number),
        "type": "new",
        "render": f"<p>Text {number}.</p>",
        "content": f"Text {number}.",
        "css_classes": "liveblog",
        "timestamp": str(SEVEN + 60 * minute),
        "authors": [
            {"id": 3, "key": "a", "name": "A. Reporter"},
            {"id": 4, "key": "b", "name": "B. Reporter"},
        ],
        "entry_time": SEVEN + 60 * minute,
        "share_link": f"{URL}/#{number}",
    } | fields


def answer(*rows: Any, **fields: Any) -> dict[str, Any]:
    return {"entries": list(rows), "latest_timestamp": SEVEN, "refresh_interval": 10, "pages": 1} | fields


def test_reads_the_entries_of_the_wordpress_plugin() -> None:
    parsed = read_json(answer(row(2, 2), row(1, 1)), WORDPRESS)
    assert (parsed.format, parsed.is_live_blog, parsed.refresh) == (
        "wordpress-liveblog",
        True,
        timedelta(seconds=10),
    )
    entry = parsed.entries[0]
    assert (entry.key, entry.url, entry.text, entry.html) == ("2", f"{URL}/#2", "Text 2.", "<p>Text 2.</p>")
    assert (entry.author, entry.published_at, entry.updated_at) == ("A. Reporter, B. Reporter", at(2), None)
    assert entry.is_key_event is None


@pytest.mark.parametrize("is_turned", [False, True])
def test_folds_an_edit_into_the_post_that_it_points_at(is_turned: bool) -> None:
    rows = [
        row(1, 1),
        row(1, 5, type="update", render="<p>Mended.</p>", entry_time=SEVEN + 60),
        row(1, 3, type="update", render="<p>Half mended.</p>", entry_time=SEVEN + 60),
    ]
    entry = only(read_json(answer(*(rows[::-1] if is_turned else rows)), WORDPRESS))
    assert (entry.key, entry.text, entry.published_at, entry.updated_at) == ("1", "Mended.", at(1), at(5))


def test_withdraws_what_was_deleted() -> None:
    gone = row(1, 4, type="delete", render="", content="", entry_time=SEVEN + 60)
    parsed = read_json(answer(row(1, 1), gone, row(2, 2)), WORDPRESS)
    assert [entry.key for entry in parsed.entries] == ["2"]
    assert parsed.withdrawn == ("1",)


@pytest.mark.parametrize("is_turned", [False, True])
def test_takes_a_deletion_in_the_second_of_an_edit_for_the_last_word(is_turned: bool) -> None:
    rows = [row(1, 4, type="delete", render="", content=""), row(1, 4, type="update")]
    assert read_json(answer(*(rows[::-1] if is_turned else rows)), WORDPRESS).withdrawn == ("1",)


def test_knows_the_window_of_a_plugin_that_has_nothing_new() -> None:
    parsed = read_json(answer(pages=False, latest_timestamp=None), WORDPRESS)
    assert (parsed.is_live_blog, parsed.entries) == (True, ())
    assert parsed.warnings == ("the live blog has no entries in this window",)


@pytest.mark.parametrize(
    "mark",
    [
        {"key_event": True},
        {"render": '<p>One <span class="liveblog-command type-key">key</span></p>'},
        {"content": "/key One", "render": "<p>/key One</p>"},
        {"css_classes": "liveblog type-key"},
    ],
)
def test_takes_the_plugins_mark_of_a_key_event_and_not_its_word(mark: dict[str, Any]) -> None:
    parsed = read_json(answer(row(1) | mark, row(2)), WORDPRESS)
    assert [entry.is_key_event for entry in parsed.entries] == [True, False]
    assert "key" not in parsed.entries[0].text


def test_takes_all_posts_of_the_key_events_endpoint_for_key_events() -> None:
    url = "https://news.example/wp-json/liveblog/v1/7/get-key-events/latest"
    assert {entry.is_key_event for entry in read_json([row(1), row(2)], url).entries} == {True}


@pytest.mark.parametrize(
    "document",
    [
        [{"id": 7, "type": "post", "title": {"rendered": "One"}, "content": {"rendered": "<p>x</p>"}}],
        {"entries": [{"id": 7, "title": "One", "content": "x", "timestamp": 1}]},
        {"entries": []},
        {"entries": {"a": 1}},
        [],
    ],
    ids=["the site's articles", "another service", "nothing at all", "no list", "an empty list"],
)
def test_takes_no_other_answer_for_the_plugins(document: Any) -> None:
    with pytest.raises(NotAFeed):
        read_json(document, "https://news.example/wp-json/wp/v2/posts")


# Superdesk


def item(text: str = "", **fields: Any) -> dict[str, Any]:
    return {"item_type": "text", "type": "text", "text": text} | fields


def sd_post(number: int = 1, *items: dict[str, Any], **fields: Any) -> dict[str, Any]:
    references = [
        {"residRef": f"urn:{number}", "item": one} for one in items or (item(f"<p>Text {number}.</p>"),)
    ]
    return {
        "_id": f"urn:newsml:live.example:{number}",
        "_updated": "2026-11-22T09:00:00+00:00",
        "blog": "5f",
        "particular_type": "post",
        "post_status": "open",
        "deleted": False,
        "sticky": False,
        "lb_highlight": False,
        "published_date": f"2026-11-22T07:{number:02}:00+00:00",
        "content_updated_date": f"2026-11-22T07:{number:02}:00+00:00",
        "publisher": {"display_name": "Live Desk"},
        "groups": [{"id": "root", "refs": [{"idRef": "main"}]}, {"id": "main", "refs": references}],
    } | fields


def sd(*posts: Any, **fields: Any) -> dict[str, Any]:
    return {"_items": list(posts), "_meta": {"total": len(posts)}} | fields


def test_reads_the_posts_of_superdesk() -> None:
    parts = [item("One.<br>Two."), item(meta={"caption": "A ferry"}), item(meta='{"quote": "No."}')]
    post = sd_post(1, *parts, byline="A. Reporter", content_updated_date="2026-11-22T07:05:00+00:00")
    parsed = read_json(sd(post, sd_post(2)), SUPERDESK)
    assert (parsed.format, parsed.is_live_blog, parsed.is_ended) == ("superdesk", True, False)
    entry = parsed.entries[0]
    assert (entry.key, entry.author) == ("urn:newsml:live.example:1", "A. Reporter")
    assert entry.text == "One.\nTwo.\n\nA ferry\n\nNo."
    assert (entry.published_at, entry.updated_at) == (at(1), at(5))
    assert (parsed.entries[1].author, parsed.entries[1].updated_at) == ("Live Desk", None)


def test_reads_groups_and_items_that_are_json_in_a_string() -> None:
    post = sd_post(1)
    post["groups"][1]["refs"][0]["item"] = json.dumps(item("<p>One.</p>"))
    post["groups"] = json.dumps(post["groups"])
    assert only(read_json(sd(post), SUPERDESK)).text == "One."


@pytest.mark.parametrize(
    "fields",
    [
        {"post_status": "draft"},
        {"post_status": "submitted"},
        {"post_status": "comment"},
        {"post_status": "ad"},
    ],
)
def test_leaves_out_what_is_no_news(fields: dict[str, Any]) -> None:
    parsed = read_json(sd(sd_post(1, **fields), sd_post(2)), SUPERDESK)
    assert [entry.text for entry in parsed.entries] == ["Text 2."]
    assert parsed.withdrawn == ()
    assert "1 posts are drafts, comments or advertisements and were left out" in parsed.warnings


def test_leaves_out_an_advertisement_in_an_open_post() -> None:
    paid = sd_post(1, item("Buy!", item_type="Advertisement Local".lower()))
    assert read_json(sd(paid, sd_post(2)), SUPERDESK).entries[0].text == "Text 2."


@pytest.mark.parametrize(
    ("fields", "is_withdrawn"),
    [
        ({"deleted": True}, True),
        ({"unpublished_date": "2026-11-22T08:00:00+00:00"}, True),
        ({"unpublished_date": "2026-11-22T06:00:00+00:00"}, False),
    ],
    ids=["deleted", "unpublished", "published again"],
)
def test_withdraws_what_superdesk_took_back(fields: dict[str, Any], is_withdrawn: bool) -> None:
    parsed = read_json(sd(sd_post(1, **fields)), SUPERDESK)
    assert bool(parsed.withdrawn) is is_withdrawn
    assert bool(parsed.entries) is not is_withdrawn


def test_takes_highlights_for_key_events() -> None:
    parsed = read_json(sd(sd_post(1, lb_highlight=True), sd_post(2)), SUPERDESK)
    assert [entry.is_key_event for entry in parsed.entries] == [True, False]
    assert only(read_json(sd(sd_post(1, sticky=True)), SUPERDESK)).is_key_event is None


@pytest.mark.parametrize(
    "document",
    [
        sd(sd_post(1), blog_status="closed", title="Harbour live"),
        sd(sd_post(1, blog={"blog_status": "closed", "title": "Harbour live"})),
        {"posts": sd(sd_post(1)), "blog_status": "closed", "title": "Harbour live"},
    ],
)
def test_takes_the_blogs_own_status(document: dict[str, Any]) -> None:
    parsed = read_json(document, SUPERDESK)
    assert (parsed.is_ended, parsed.title, len(parsed.entries)) == (True, "Harbour live", 1)


@pytest.mark.parametrize(
    "document",
    [
        sd({"_id": "5f", "title": "Harbour live", "blog_status": "open"}),
        sd({"_id": "urn:1", "type": "text", "headline": "An article"}),
        sd(),
    ],
    ids=["a list of blogs", "articles", "nothing"],
)
def test_takes_no_other_superdesk_list_for_a_blog(document: dict[str, Any]) -> None:
    with pytest.raises(NotAFeed):
        read_json(document, "https://live.example/api/blogs")


def test_knows_a_superdesk_blog_without_posts() -> None:
    assert read_json(sd(), SUPERDESK).warnings == ("the live blog has no entries in this window",)


# Guardian


def block(number: int = 1, **fields: Any) -> dict[str, Any]:
    return {
        "id": f"{number:024x}",
        "bodyHtml": f"<p>Text {number}.</p>",
        "bodyTextSummary": f"Text {number}.",
        "attributes": {},
        "published": True,
        "createdDate": "2026-11-22T06:59:00Z",
        "firstPublishedDate": f"2026-11-22T07:{number:02}:00Z",
        "publishedDate": "2026-11-22T08:00:00Z",
        "lastModifiedDate": f"2026-11-22T07:{number + 1:02}:00Z",
        "contributors": [],
    } | fields


def capi(blocks: dict[str, Any], **fields: Any) -> dict[str, Any]:
    content = {
        "id": "world/live",
        "type": "liveblog",
        "webTitle": "Harbour live",
        "webUrl": URL,
        "blocks": blocks,
    }
    return {"response": {"status": "ok", "content": content | fields}}


def test_reads_the_blocks_of_the_guardians_api() -> None:
    first = block(1, title="At the quay", contributors=[{"webTitle": "A. Reporter"}])
    parsed = read_json(capi({"main": block(9), "body": [block(2), first], "totalBodyBlocks": 2}))
    assert (parsed.format, parsed.is_live_blog, parsed.title, parsed.url) == (
        "guardian",
        True,
        "Harbour live",
        URL,
    )
    assert [entry.text for entry in parsed.entries] == ["Text 2.", "Text 1."]
    entry = parsed.entries[1]
    assert (entry.key, entry.url, entry.title) == (f"{1:024x}", f"{URL}#block-{1:024x}", "At the quay")
    assert (entry.author, entry.published_at, entry.updated_at) == ("A. Reporter", at(1), at(2))


def test_reads_requested_blocks_each_once() -> None:
    asked = {"body:latest:2": [block(2), block(1)], "body:key-events": [block(1)]}
    parsed = read_json(capi({"requestedBodyBlocks": asked}))
    assert [entry.is_key_event for entry in parsed.entries] == [False, True]


def test_takes_the_key_events_of_the_api_and_not_its_summaries_and_pins() -> None:
    marked = [
        block(3, attributes={"keyEvent": True}),
        block(2, attributes={"summary": True, "pinned": True}),
        block(1),
    ]
    parsed = read_json(capi({"body": marked}))
    assert [entry.is_key_event for entry in parsed.entries] == [True, False, False]


def test_withdraws_a_block_that_was_unpublished() -> None:
    parsed = read_json(capi({"body": [block(2, published=False), block(1)]}))
    assert (parsed.withdrawn, len(parsed.entries)) == ((f"{2:024x}",), 1)


def test_reads_the_summary_of_a_block_without_words() -> None:
    picture = block(
        1, bodyHtml='<figure><img src="https://news.example/i.jpg"></figure>', bodyTextSummary="A ferry"
    )
    assert only(read_json(capi({"body": [picture]}))).text == "A ferry"


@pytest.mark.parametrize(("told", "is_ended"), [("false", True), ("true", False), (None, False)])
def test_takes_the_apis_word_on_the_end(told: str | None, is_ended: bool) -> None:
    assert read_json(capi({"body": [block(1)]}, fields={"liveBloggingNow": told})).is_ended is is_ended


@pytest.mark.parametrize(
    "document",
    [
        capi({"body": [block(1)]}, type="article"),
        capi({"body": [block(1)]}, type=None),
        {"response": {"status": "ok", "results": [{"type": "article", "webTitle": "One"}]}},
        {"response": {"status": "error", "message": "API rate limit exceeded"}},
    ],
    ids=["an article", "one block of no type", "a search", "an error"],
)
def test_takes_no_article_of_the_api_for_a_blog(document: Any) -> None:
    with pytest.raises(NotAFeed):
        read_json(document)


def test_reads_the_page_model_that_the_guardians_pages_poll() -> None:
    shown = (
        f'<div id="block-{1:024x}" class="block is-key-event"><p class="block-time"><a href="#"><time '
        'datetime="2026-11-22T07:01:00.000Z">7.01am</time></a></p><h2 class="block-title">At the quay</h2>'
        '<div class="block-elements"><p>Text 1.</p><p>More.</p></div></div>'
        f'<div id="block-{2:024x}" class="block"><p class="block-time"><time datetime="2026-11-22T07:02:00Z">7.02am'
        "</time></p><p>Text 2.</p></div><div id='ad-slot'>Buy!</div>"
    )
    parsed = read_json({"html": shown, "numNewBlocks": 2}, f"{URL}.json?lastUpdate=block-x")
    assert (parsed.url, titles(parsed)) == (URL, ["At the quay", ""])
    assert [entry.text for entry in parsed.entries] == ["Text 1.\n\nMore.", "Text 2."]
    assert [entry.is_key_event for entry in parsed.entries] == [True, False]
    assert parsed.entries[0].published_at == at(1)


# AMP


def live_list(inner: str, attributes: str = 'data-poll-interval="15000"') -> str:
    return f'<h1>Harbour live</h1><amp-live-list id="l" {attributes}><button update></button><div items>{inner}</div></amp-live-list>'


def test_reads_the_posts_of_an_amp_live_list() -> None:
    first = (
        f'<div id="post1" data-sort-time="{SEVEN + 60}" data-update-time="{SEVEN + 300}"><aside>5 minutes ago</aside>'
        "<h2>Report 1</h2><p>Text 1.</p><amp-social-share></amp-social-share></div>"
    )
    gone = f'<div id="post2" data-sort-time="{SEVEN}" data-tombstone></div>'
    parsed = read(body=live_list(first + gone), head=f'<link rel="canonical" href="{URL}">', url=f"{URL}/amp")
    assert (parsed.format, parsed.is_live_blog, parsed.title, parsed.url) == (
        "amp-live-list",
        True,
        "Harbour live",
        URL,
    )
    assert (parsed.withdrawn, parsed.refresh) == (("post2",), timedelta(seconds=15))
    entry = only(parsed)
    assert (entry.key, entry.url, entry.title, entry.text) == ("post1", f"{URL}#post1", "Report 1", "Text 1.")
    assert (entry.published_at, entry.updated_at) == (at(1), at(5))


@pytest.mark.parametrize("inner", ["", '<div id="score">2:1</div>'])
def test_takes_an_amp_list_without_posts_for_none(inner: str) -> None:
    with pytest.raises(NotAFeed):
        read(body=live_list(inner))


# JSON Feed


def test_takes_hubs_and_the_end_from_a_json_feed() -> None:
    document = {
        "version": "https://jsonfeed.org/version/1.1",
        "feed_url": "https://news.example/feed.json",
        "items": [{"id": 7, "content_text": "One"}],
        "hubs": [
            {"type": "rssCloud", "url": "https://c.example/"},
            {"type": "WebSub", "url": "https://hub.example/"},
        ],
        "expired": True,
        "next_url": "https://news.example/feed.json?page=2",
    }
    parsed = read_json(document)
    assert (parsed.hub, parsed.topic_url, parsed.is_ended) == (
        "https://hub.example/",
        "https://news.example/feed.json",
        True,
    )
    assert only(parsed).key == "7"
    assert "the feed goes on at a next_url; only its first page is read" in parsed.warnings


def test_takes_the_old_author_where_the_new_list_is_empty() -> None:
    item = {"id": "1", "content_text": "One", "authors": [], "author": {"name": "A. Reporter"}}
    assert (
        only(read_json({"version": "https://jsonfeed.org/version/1", "items": [item]})).author
        == "A. Reporter"
    )
