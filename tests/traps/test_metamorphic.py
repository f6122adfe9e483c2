"""What a publisher may do to a whole document without telling news: nobody is mailed, and news still is."""

import gzip
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import pytest

from alerts.db import Database
from alerts.errors import NotAFeed
from alerts.feeds.formats import parse
from conftest import PRACTICE_DATA
from fakes.site import Reply
from traps import surgery
from traps.documents import atom, json_feed, live_blog, rss
from traps.newsroom import run, surprises
from traps.posts import Post, posts, titles
from traps.scenario import Scenario, Step, scenario, shows
from traps.surgery import Document, dissect
from traps.transforms import LOSSY, TRANSFORMS, cut_off, transformed

FEEDS = PRACTICE_DATA / "feeds"
NEWS = "Harbour seal elected to the port council"
TEXT = "It won by a whisker against eleven candidates, and gave its speech from a buoy at high tide."
MOMENT = "2026-11-22T12:00:00Z"
# JSON is UTF-8 (RFC 8259 section 8.1).
NOT_FOR_JSON = frozenset({"utf-16", "latin-1"})

Shape = Callable[[Sequence[Post]], Reply]


def bare(write: Shape) -> Shape:
    return lambda listed: write([one.but(id="", url="") for one in listed])


SHAPES: dict[str, Shape] = {
    "rss": rss,
    "rss without ids": bare(rss),
    "atom": atom,
    "json feed": json_feed,
    "live blog": live_blog,
    "live blog without ids": bare(live_blog),
}


@pytest.mark.parametrize("shape", SHAPES.values(), ids=SHAPES)
async def test_a_document_made_over_mails_its_news_alone(
    shape: Shape, sqlite_db: Database, tmp_path: Path
) -> None:
    before, after = (_document(shape(posts(1, last))) for last in (8, 9))
    scenarios = [_made_over(before, after, name, *titles(9)) for name in _transforms(before)]
    found = surprises(scenarios, await run(scenarios, sqlite_db, tmp_path))
    assert not found, "\n".join(found)


@pytest.mark.parametrize("shape", SHAPES.values(), ids=SHAPES)
async def test_a_document_that_breaks_off_mails_nothing_wherever_it_does(
    shape: Shape, sqlite_db: Database, tmp_path: Path
) -> None:
    whole, grown = (_document(shape(posts(1, last))) for last in (5, 6))
    cuts = [shows(cut_off(whole, part / 19)) for part in range(1, 19)]
    scenarios = [
        scenario("cut off at each nineteenth", shows(whole.reply()), *cuts, shows(grown.reply(), *titles(6)))
    ]
    found = surprises(scenarios, await run(scenarios, sqlite_db, tmp_path))
    assert not found, "\n".join(found)


@pytest.mark.practice_data
@pytest.mark.parametrize("name", ["corkbeo_2020", "repubblica_israele_hamas_2023"])
async def test_a_real_page_made_over_mails_its_news_alone(
    name: str, sqlite_db: Database, tmp_path: Path
) -> None:
    page = gzip.decompress((FEEDS / "pages" / f"{name}.html.gz").read_bytes()).decode()
    before = dissect(page, "text/html; charset=utf-8")
    assert before is not None
    scenarios = [_in_turn(name, before, _transforms(before))]
    found = surprises(scenarios, await run(scenarios, sqlite_db, tmp_path))
    assert not found, "\n".join(found)


@pytest.mark.practice_data
async def test_every_feed_of_the_corpus_made_over_in_turn_mails_its_news_alone(
    sqlite_db: Database, tmp_path: Path
) -> None:
    """Two or three transforms a feed: each transform meets nine feeds, and all of them meet our own documents."""
    scenarios = [
        _in_turn(name, document, _transforms(document)[number % 9 :: 9])
        for number, (name, document) in enumerate(_corpus())
    ]
    assert len(scenarios) > 60, "the corpus shrank, or its entries are no longer found"
    found = surprises(scenarios, await run(scenarios, sqlite_db, tmp_path))
    assert not found, "\n".join(found)


def _document(reply: Reply) -> Document:
    document = dissect(reply.body.decode(), reply.content_type)
    assert document is not None
    return document


def _transforms(document: Document) -> list[str]:
    return [name for name in TRANSFORMS if document.kind != "json" or name not in NOT_FOR_JSON]


def _made_over(before: Document, after: Document, name: str, *news: str) -> Scenario:
    """One document through one transform: as it was, made over, made over with news, and back."""
    told: tuple[Step, ...]
    if name in LOSSY:
        told = (shows(after.reply(), *news), shows(transformed(after, name)))
    else:
        told = (shows(transformed(after, name), *news),)
    return scenario(
        name, shows(before.reply()), shows(transformed(before, name)), *told, shows(after.reply())
    )


def _in_turn(name: str, before: Document, each: Sequence[str]) -> Scenario:
    """One document through these transforms, one after the other, with news in the middle of it."""
    after = surgery.with_news(before, NEWS, TEXT, MOMENT)
    middle = len(each) // 2
    steps: list[Step] = [shows(before.reply())]
    steps += [shows(transformed(before, one)) for one in each[:middle]]
    steps += [shows(after.reply(), NEWS)]
    steps += [shows(transformed(after, one)) for one in each[middle:]]
    return scenario(name, *steps, shows(after.reply()))


def _corpus() -> Iterator[tuple[str, Document]]:
    """Gives the corpus' feeds whose entries are found, by their file names."""
    for path in sorted(FEEDS.rglob("*")):
        if path.suffix not in {".xml", ".json"}:
            continue
        content_type = "application/json" if path.suffix == ".json" else "application/xml"
        try:
            document = dissect(path.read_bytes().decode(), content_type)
            parsed = parse(path.read_bytes(), "https://news.example/feed", content_type)
        except (NotAFeed, ValueError):
            continue
        if document is not None and len(parsed.entries) == len(document.entries):
            yield f"{path.parent.name}/{path.name}", document
