"""Traps 17 to 20, 26 and 30: a window slides, empties, is cut anew, or comes from another edge."""

from collections.abc import Iterator, Sequence
from datetime import timedelta

from fakes.site import Reply
from traps.documents import ATOM, HTML, JSON, RSS, WRITERS, Writer, live_blog, reply, row, rows, rss
from traps.posts import Post, post, posts, titles
from traps.scenario import Scenario, scenario, shows, trap

_DAY = timedelta(days=1)


def bare(listed: Sequence[Post]) -> list[Post]:
    """Gives posts that bear neither id nor address."""
    return [one.but(id="", url="") for one in listed]


def _shapes() -> Iterator[tuple[str, Writer]]:
    """Gives the formats that are unlike each other, and what has ids and what has none."""
    for name in ("rss", "atom", "json feed", "live blog", "microdata"):
        yield name, WRITERS[name]
    for name in ("rss", "live blog"):
        yield f"{name} without ids", _bare(WRITERS[name])


def _bare(write: Writer) -> Writer:
    return lambda listed: write(bare(listed))


@trap(17, "the newest known entry is deleted: not everything is newer than it")
def deleted_cursor() -> Iterator[Scenario]:
    for name, write in _shapes():
        yield scenario(
            name,
            shows(write(posts(1, 5))),
            shows(write(posts(1, 4))),
            shows(write([post(6), *posts(1, 4)]), *titles(6)),
            shows(write([post(7), *posts(1, 4)]), *titles(7)),
        )
    yield scenario(
        "rss: the only entry goes, another comes",
        shows(rss(posts(1, 1))),
        shows(rss(posts(2, 2)), *titles(2)),
    )


@trap(18, "deletions pull old entries back into the window")
def window_slides() -> Iterator[Scenario]:
    for name, write in _shapes():
        yield scenario(
            f"{name}: known ones come back",
            shows(write(posts(1, 5))),
            shows(write(posts(2, 6)), *titles(6)),
            shows(write(posts(3, 7)), *titles(7)),
            shows(write([*posts(1, 4), post(6)])),
        )
        yield scenario(
            f"{name}: from before our first poll",
            shows(write(posts(3, 7))),
            shows(write(posts(2, 6))),
            shows(write([post(8), *posts(1, 4)]), *titles(8)),
        )


@trap(19, "empty, truncated, or an error page with 200, and then full again")
def hollow() -> Iterator[Scenario]:
    sorry = reply("<!doctype html><title>Sorry</title><h1>Something went wrong</h1>", HTML)
    login = reply("<html><body><form action='/login'><input name='user'></form></body></html>", HTML)
    nothing, down = Reply(b""), Reply(b"down", status=503)
    for name, write in _shapes():
        steps = [shows(write(posts(1, 6)))]
        wrongs = (write([]), write(posts(5, 5)), write(posts(4, 6)), sorry, login, nothing, down)
        for newest, wrong in enumerate(wrongs, start=7):
            steps += [shows(wrong), shows(write(posts(1, newest)), *titles(newest))]
        yield scenario(
            f"{name}: each kind of it, and full with one more", *steps, shows(nothing), steps[-1].again
        )
    full = rss(posts(1, 6))
    yield scenario(
        "rss: the document breaks off",
        shows(full),
        shows(Reply(full.body[: len(full.body) // 2], content_type=RSS)),
        shows(Reply(full.body[: len(full.body) // 4], content_type=RSS)),
        shows(rss(posts(1, 7)), *titles(7)),
    )
    yield scenario(
        "live blog: the page breaks off in its JSON",
        shows(live_blog(posts(1, 6))),
        shows(Reply(live_blog(posts(1, 6)).body[:900], content_type=HTML)),
        shows(live_blog(posts(1, 6))),
        shows(live_blog(posts(1, 7)), *titles(7)),
    )
    yield scenario(
        "live blog: empty until the event begins",
        shows(live_blog([])),
        shows(live_blog(posts(1, 1)), *titles(1)),
        shows(live_blog(posts(1, 2)), *titles(2)),
    )
    yield scenario(
        "rss: empty at first sight, then a full page: a person is asked",
        shows(rss([])),
        shows(rss(posts(1, 12)), is_held=True),
        shows(rss(posts(1, 12))),
    )
    yield scenario(
        "rss: empty, and then a page of which nothing is known: a person is asked",
        shows(rss(posts(1, 4))),
        shows(rss([])),
        shows(rss(posts(8, 12)), is_held=True),
    )
    yield scenario(
        "rss: an error page at first sight, then a full page: that is the baseline",
        shows(sorry),
        shows(rss(posts(1, 12))),
        shows(rss(posts(1, 13)), *titles(13)),
    )
    yield scenario(
        "wordpress: no rows since, as most of the time",
        shows(rows([row(one) for one in posts(1, 4)])),
        shows(rows([])),
        shows(reply('{"entries": [], "latest_timestamp": null}', JSON)),
        shows(rows([row(one) for one in posts(1, 4)])),
    )


@trap(20, "an id is remembered for longer than any window shows it")
def forgotten() -> Iterator[Scenario]:
    for name, write in _shapes():
        yield scenario(
            f"{name}: back after forty days",
            shows(write(posts(1, 3))),
            shows(write(posts(2, 4)), *titles(4)),
            shows(write(posts(3, 5)), *titles(5), after=40 * _DAY),
            shows(write([*posts(3, 5), *posts(1, 2)]), after=40 * _DAY),
            shows(write(posts(1, 5)), after=300 * _DAY),
        )
    renamed = [one.but(id=f"x{one.id}", url=f"{one.url}-x") for one in posts(1, 4)]
    yield scenario(
        "rss: back after forty days under another id",
        shows(rss(posts(1, 3))),
        shows(rss(posts(3, 6)), *titles(4, 5, 6)),
        shows(rss(posts(4, 6)), after=40 * _DAY),
        shows(rss([*posts(4, 6), *renamed[1:]])),
    )


@trap(26, "the order flips, the pages are cut anew: a position means nothing")
def new_order() -> Iterator[Scenario]:
    for name, write in _shapes():
        upwards = tuple(reversed(posts(1, 6)))
        yield scenario(
            f"{name}: oldest first, and back",
            shows(write(posts(1, 6))),
            shows(write(upwards)),
            shows(write([*upwards, post(7)]), *titles(7)),
            shows(write(posts(1, 7))),
            shows(write([post(4), post(1), post(7), post(2), post(6), post(3), post(5)])),
        )
        yield scenario(
            f"{name}: ten a page, then four, then all",
            shows(write(posts(3, 10))),
            shows(write(posts(7, 10))),
            shows(write(posts(8, 11)), *titles(11)),
            shows(write(posts(1, 11))),
            shows(write(posts(1, 12)), *titles(12)),
        )
    yield scenario(
        "live blog: an older page in place of the first",
        shows(live_blog(posts(6, 10))),
        shows(live_blog(posts(1, 5))),
        shows(live_blog(posts(7, 11)), *titles(11)),
    )


@trap(30, "an old copy from another edge, 304 for ever, clocks that disagree")
def stale() -> Iterator[Scenario]:
    for name, write in _shapes():
        yield scenario(
            f"{name}: edge A is ahead of edge B",
            shows(write(posts(1, 4))),
            shows(write(posts(1, 5)), *titles(5)),
            shows(write(posts(1, 4))),
            shows(write(posts(1, 5))),
            shows(write(posts(1, 4))),
            shows(write(posts(1, 6)), *titles(6)),
            shows(write(posts(1, 5))),
            shows(write(posts(1, 6))),
        )
    mended = post(4, title="Mayor visits the old lock")
    yield scenario(
        "live blog: the edges hold two versions of one entry",
        shows(live_blog(posts(1, 3))),
        shows(live_blog([mended, *posts(1, 3)]), mended.title),
        *[shows(live_blog([one, *posts(1, 3)])) for one in (post(4), mended) * 3],
    )
    later = live_blog(posts(1, 5))
    later.etag = first_etag = '"harbour-1"'
    first = live_blog(posts(1, 4))
    first.etag = first_etag
    yield scenario(
        "live blog: 304 for ever; the page is asked for whole once a day",
        shows(first),
        shows(later),
        shows(later, after=timedelta(hours=2)),
        shows(later, *titles(5), after=timedelta(hours=26)),
        shows(later),
    )

    def dated(listed: Sequence[Post], moment: str) -> Reply:
        return Reply(rss(listed).body, content_type=ATOM, last_modified=moment, headers={"Age": "86400"})

    yield scenario(
        "rss: Last-Modified runs backwards, and lies in 2041",
        shows(dated(posts(1, 4), "Sun, 22 Nov 2026 09:00:00 GMT")),
        shows(dated(posts(1, 5), "Sun, 22 Nov 2020 09:00:00 GMT"), *titles(5)),
        shows(dated(posts(1, 4), "Fri, 22 Nov 2041 09:00:00 GMT")),
        shows(dated(posts(1, 6), "Thu, 01 Jan 1970 00:00:00 GMT"), *titles(6)),
    )
