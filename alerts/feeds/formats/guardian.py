"""Live blogs of the Guardian's Content API (`show-blocks`), and the page model that its own pages poll (`<page>.json`)."""

import re
from typing import Any

from selectolax.lexbor import LexborHTMLParser, LexborNode

from alerts.feeds.formats.elements import inner
from alerts.feeds.formats.markup import as_html, plain
from alerts.feeds.formats.posts import MOST_ENTRIES, dicts, entry, line, names, word
from alerts.feeds.formats.source import Source
from alerts.feeds.formats.times import Clock
from alerts.feeds.formats.values import FeedEntry, ParsedFeed

NAME = "guardian"
RANK = 20
_LIVE = "liveblog"
_KEY_EVENTS = "body:key-events"
_MODEL = ("numNewBlocks", "mostRecentBlockId", "soleKeyEventBlockId")
_BLOCK_ID = re.compile(r"block-([0-9a-f]{8,40})")
_KEY_CLASS = re.compile(r"\bis-key-event\b")
_FURNITURE = ".block-time, .block-share, .block-title, h1, h2, time, footer, button, form"

Object = dict[str, Any]


def parse(source: Source) -> ParsedFeed | None:
    """Reads the blocks of one live blog; None for an article, a list of articles, and any other JSON."""
    document = source.json
    if not isinstance(document, dict):
        return None
    if isinstance(document.get("html"), str) and any(name in document for name in _MODEL):
        return _page_model(source, document["html"])
    response = document.get("response")
    content = response.get("content") if isinstance(response, dict) else None
    blocks = content.get("blocks") if isinstance(content, dict) else None
    if not isinstance(content, dict) or not isinstance(blocks, dict) or not _is_live(content, blocks):
        return None
    return _content(source, content, blocks)


def _is_live(content: Object, blocks: Object) -> bool:
    if kind := word(content.get("type")):
        return kind == _LIVE
    return any(word(tag.get("id")) == "tone/minutebyminute" for tag in dicts(content.get("tags"))) or (
        len(_body(blocks)) > 1
    )


def _content(source: Source, content: Object, blocks: Object) -> ParsedFeed:
    clock = Clock()
    url = source.absolute(word(content.get("webUrl")))
    body = _body(blocks)
    subsets = blocks.get("requestedBodyBlocks")
    key_ids = {
        word(block.get("id"))
        for block in dicts(subsets.get(_KEY_EVENTS) if isinstance(subsets, dict) else None)
    } | {key for key, block in body.items() if _flag(block, "keyEvent")}
    shown = {key: block for key, block in body.items() if block.get("published") is not False}
    fields = content.get("fields")
    told = fields if isinstance(fields, dict) else {}
    warnings = [] if body else ["the live blog has no entries in this answer"]
    return ParsedFeed(
        format=NAME,
        is_live_blog=True,
        title=line(told.get("headline")) or line(content.get("webTitle")),
        url=url,
        coverage_start=clock.read(told.get("firstPublicationDate")),
        coverage_end=None,
        entries=tuple(
            _entry(source, block, url, clock, is_key_event=key in key_ids if key_ids else None)
            for key, block in shown.items()
        ),
        warnings=(*warnings, *clock.warnings()),
        is_ended=bool(body)
        and word(told.get("liveBloggingNow") or str(told.get("isLive", ""))).lower() == "false",
        withdrawn=tuple(key for key in body if key not in shown),
    )


def _body(blocks: Object) -> dict[str, Object]:
    """Gives the blocks of a blog, each once, by their ids; `main` is the picture above them, and no news."""
    subsets = blocks.get("requestedBodyBlocks")
    lists = [blocks.get("body"), *(subsets.values() if isinstance(subsets, dict) else ())]
    found: dict[str, Object] = {}
    for listed in lists:
        for block in dicts(listed):
            if (key := word(block.get("id")).strip()) and len(found) < MOST_ENTRIES:
                found.setdefault(key, block)
    return found


def _entry(source: Source, block: Object, page: str, clock: Clock, *, is_key_event: bool | None) -> FeedEntry:
    key = word(block["id"]).strip()
    markup = as_html(word(block.get("bodyHtml")))
    if not plain(markup):
        markup = as_html(word(block.get("bodyTextSummary")))
    contributors = block.get("contributors")
    published = block.get("firstPublishedDate") or block.get("publishedDate") or block.get("createdDate")
    return entry(
        source,
        key=key,
        url=source.absolute(f"{page}#block-{key}") if page else "",
        title=line(block.get("title")),
        markup=markup,
        author=names(
            [one.get("webTitle") or one.get("name") if isinstance(one, dict) else "" for one in contributors]
            if isinstance(contributors, list)
            else []
        ),
        published_at=clock.read(_moment(published)),
        updated_at=clock.read(_moment(block.get("lastModifiedDate"))),
        is_key_event=is_key_event,
    )


def _moment(value: Any) -> Any:
    """Gives a date; some clients write the API's own structure out as it is."""
    return value.get("iso8601") or value.get("dateTime") if isinstance(value, dict) else value


def _flag(block: Object, name: str) -> bool:
    attributes = block.get("attributes")
    return isinstance(attributes, dict) and attributes.get(name) in (True, "true")


def _page_model(source: Source, markup: str) -> ParsedFeed:
    clock = Clock()
    page = re.sub(r"\.json$", "", source.url.partition("?")[0])
    found: dict[str, LexborNode] = {}
    for node in LexborHTMLParser(markup).css("[id]")[:MOST_ENTRIES]:
        if match := _BLOCK_ID.fullmatch(node.attributes.get("id") or ""):
            found.setdefault(match[1], node)
    is_told = any(_is_key_block(node) for node in found.values())
    entries = [_from_markup(source, key, node, page, clock, is_told=is_told) for key, node in found.items()]
    return ParsedFeed(
        format=NAME,
        is_live_blog=True,
        title="",
        url=source.absolute(page),
        coverage_start=None,
        coverage_end=None,
        entries=tuple(entries),
        warnings=(*([] if entries else ["no blocks since the one asked for"]), *clock.warnings()),
    )


def _is_key_block(node: LexborNode) -> bool:
    return _KEY_CLASS.search(node.attributes.get("class") or "") is not None


def _from_markup(
    source: Source, key: str, node: LexborNode, page: str, clock: Clock, *, is_told: bool
) -> FeedEntry:
    title = node.css_first(".block-title, h2")
    times = [stamp.attributes.get("datetime") for stamp in node.css("time[datetime]")[:2]]
    said = node.css_first(".block-elements, [itemprop=articleBody]")
    body = said or node
    words_of_title = line(title.text()) if title else ""
    return entry(
        source,
        key=key,
        url=source.absolute(f"{page}#block-{key}"),
        title=words_of_title,
        markup=as_html(inner(body, _FURNITURE)),
        published_at=clock.read(times[0]) if times else None,
        updated_at=clock.read(times[1]) if len(times) > 1 else None,
        is_key_event=_is_key_block(node) if is_told else None,
    )
