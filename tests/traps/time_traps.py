"""Traps 11 to 16: dates that are missing, move, lie ahead, or coincide."""

from collections.abc import Callable, Iterator, Sequence
from datetime import datetime, timedelta, timezone

from traps.documents import WRITERS, live_blog, row, rows, rss
from traps.posts import OPENED, URL, Post, post, posts, titles
from traps.scenario import Scenario, scenario, shows, trap

Change = Callable[[Post], Post]

_SUMMER = timezone(timedelta(hours=1))


def each(listed: Sequence[Post], change: Change) -> list[Post]:
    return [change(one) for one in listed]


def bare(one: Post) -> Post:
    """Gives a post that bears neither id nor address."""
    return one.but(id="", url="")


@trap(11, "no date at all, or one that cannot be read: never 'now' at each poll")
def no_dates() -> Iterator[Scenario]:
    shapes: dict[str, Change] = {
        "no date": lambda one: one.but(at=None),
        "words": lambda one: one.but(at="this morning"),
        "a day that is none": lambda one: one.but(at="Sun, 32 Nov 2026 25:61:00 +0000"),
        "the year 0000": lambda one: one.but(at="0000-00-00T00:00:00Z"),
        "no date and no id": lambda one: bare(one).but(at=None),
    }
    for what, shape in shapes.items():
        for name in ("rss", "atom", "live blog"):
            write = WRITERS[name]
            yield scenario(
                f"{name}: {what}",
                shows(write(each(posts(1, 4), shape))),
                shows(write(each(posts(1, 5), shape)), *titles(5)),
                shows(write(each(posts(1, 5), shape))),
                shows(write(each(posts(2, 6), shape)), *titles(6), after=timedelta(hours=3)),
            )
    yield scenario(
        "live blog: dates come later",
        shows(live_blog(each(posts(1, 4), lambda one: one.but(at=None)))),
        shows(live_blog(posts(1, 4))),
        shows(live_blog(posts(1, 5)), *titles(5)),
    )


@trap(12, "the date is stamped anew at each build or each edit")
def restamped() -> Iterator[Scenario]:
    def built(hour: int) -> Change:
        return lambda one: one.but(at=OPENED + timedelta(hours=hour), updated=OPENED + timedelta(hours=hour))

    def built_bare(hour: int) -> Change:
        return lambda one: bare(built(hour)(one))

    for what, shape in (("with ids", built), ("without ids", built_bare)):
        for name, write in WRITERS.items():
            yield scenario(
                f"{name}: every date is the build's, {what}",
                shows(write(each(posts(1, 4), shape(1)))),
                shows(write(each(posts(1, 4), shape(2)))),
                shows(write(each(posts(1, 5), shape(3))), *titles(5)),
                shows(write(each(posts(1, 5), shape(4)))),
            )

    def touched(one: Post) -> Post:
        return one.but(at=OPENED + timedelta(hours=5), text=one.text.replace("The ", "the "))

    yield scenario(
        "rss: an edit makes the date new and moves the entry to the top",
        shows(rss(posts(1, 4))),
        shows(rss([touched(post(1)), *posts(2, 4)])),
        shows(rss([touched(post(2)), touched(post(1)), *posts(3, 5)]), *titles(5)),
    )
    moved = {"datePublished": "2026-11-22T19:41:00Z", "coverageEndTime": "2026-11-23T19:41:00Z"}
    yield scenario(
        "live blog: the page's own date moves with its newest entry",
        shows(live_blog(posts(1, 4), datePublished="2026-11-22T17:20:00Z")),
        shows(live_blog(posts(1, 4), **moved)),
        shows(live_blog(posts(1, 5), dateModified="2026-11-22T20:00:00Z", **moved), *titles(5)),
    )


@trap(13, "dates in the future do not pin what is newest")
def future() -> Iterator[Scenario]:
    ahead: Change = lambda one: one.but(at=datetime(2036, 1, 1, tzinfo=_SUMMER))  # noqa: E731 - as the shapes above
    for name, write in WRITERS.items():
        yield scenario(
            f"{name}: news after an entry of 2036",
            shows(write([ahead(post(2)), post(1)])),
            shows(write([ahead(post(2)), post(3), post(1)]), *titles(3)),
            shows(write([ahead(post(4)), ahead(post(2)), post(3), post(1)]), *titles(4)),
            shows(write([post(5), ahead(post(4)), ahead(post(2)), post(3)]), *titles(5)),
            shows(write([*posts(2, 5), post(1)])),
        )
    yield scenario(
        "live blog: planned for later today, then set to when it went out",
        shows(live_blog(posts(1, 3))),
        shows(live_blog([post(4).but(at=OPENED + timedelta(hours=9)), *posts(1, 3)]), *titles(4)),
        shows(live_blog(posts(1, 4)), after=timedelta(hours=9)),
    )


@trap(14, "naive local times, two offsets in one entry, the doubled hour of autumn, names of zones")
def zones() -> Iterator[Scenario]:
    def local(one: Post) -> Post:
        assert isinstance(one.at, datetime)
        return one.but(at=one.at.astimezone(_SUMMER), updated=one.at)

    def universal(one: Post) -> Post:
        assert isinstance(one.at, datetime)
        return one.but(updated=one.at.astimezone(_SUMMER))

    def naive(one: Post) -> Post:
        assert isinstance(one.at, datetime)
        return one.but(at=one.at.replace(tzinfo=None).isoformat())

    def indian(one: Post) -> Post:
        assert isinstance(one.at, datetime)
        return one.but(at=one.at.strftime("%a, %d %b %Y %H:%M:%S IST"))

    def colonless(one: Post) -> Post:
        assert isinstance(one.at, datetime)
        return one.but(at=one.at.strftime("%Y-%m-%dT%H:%M:%S+0530"))

    for what, before, after in (
        ("the offset changes sides", local, universal),
        ("the zone goes", universal, naive),
        ("a zone comes", naive, local),
        ("a name of a zone", indian, universal),
        ("an offset without its colon", colonless, indian),
    ):
        for with_ids in (True, False):
            for name in ("rss", "live blog"):
                write = WRITERS[name]

                def shown(listed: Sequence[Post], change: Change, is_whole: bool = with_ids) -> list[Post]:
                    return each(listed, change if is_whole else lambda one: bare(change(one)))

                yield scenario(
                    f"{name}: {what}, {'with' if with_ids else 'without'} ids",
                    shows(write(shown(posts(1, 4), before))),
                    shows(write(shown(posts(1, 4), after))),
                    shows(write(shown(posts(1, 5), before)), *titles(5)),
                    shows(write(shown(posts(1, 6), after)), *titles(6)),
                )
    folded = [bare(one).but(at="2026-10-25T02:30:00") for one in posts(1, 6)]
    yield scenario(
        "live blog: two entries at the same wall clock, an hour apart",
        shows(live_blog(folded[2:])),
        shows(live_blog(folded[1:]), *titles(5)),
        shows(live_blog(folded), *titles(6), after=timedelta(hours=1)),
    )


@trap(15, "a back-dated entry in the middle is news all the same")
def back_dated() -> Iterator[Scenario]:
    for name, write in WRITERS.items():
        yield scenario(
            f"{name}: approved late",
            shows(write([post(5), post(4), post(2), post(1)])),
            shows(write(posts(1, 5)), *titles(3)),
            shows(write(posts(1, 6)), *titles(6)),
        )
    late = post(3).but(at=OPENED - timedelta(days=2))
    yield scenario(
        "live blog: dated before the blog was opened",
        shows(live_blog([post(5), post(4), post(2), post(1)])),
        shows(live_blog([post(5), late, post(4), post(2), post(1)]), *titles(3)),
        shows(live_blog([post(5), late, post(4), post(2), post(1)])),
    )

    ancient = post(5, at=datetime(1970, 1, 1, tzinfo=_SUMMER))
    yield scenario(
        "live blog: on top of the page, and dated 1970",
        shows(live_blog(posts(1, 4))),
        shows(live_blog([ancient, *posts(1, 4)]), *titles(5)),
        shows(live_blog([post(6), ancient, *posts(1, 4)]), *titles(6)),
    )


@trap(16, "two entries in one second")
def one_second() -> Iterator[Scenario]:
    at = OPENED + timedelta(hours=2)
    same: Change = lambda one: one.but(at=at)  # noqa: E731 - as the shapes above
    for name, write in WRITERS.items():
        yield scenario(
            f"{name}: two at once, a third of that second later",
            shows(write(posts(1, 3))),
            shows(write([*each(posts(4, 5), same), *posts(1, 3)]), *titles(4, 5)),
            shows(write([*each(posts(4, 6), same), *posts(1, 3)]), *titles(6)),
            shows(write([*reversed(each(posts(4, 6), same)), *posts(1, 3)])),
        )
        yield scenario(
            f"{name}: the same without ids",
            shows(write(each(posts(1, 3), bare))),
            shows(write([bare(same(one)) for one in posts(4, 5)] + each(posts(1, 3), bare)), *titles(4, 5)),
            shows(write([bare(same(one)) for one in posts(4, 6)] + each(posts(1, 3), bare)), *titles(6)),
        )

    def stamped(one: Post) -> Post:
        assert isinstance(one.at, datetime)
        changed = one.updated if isinstance(one.updated, datetime) else one.at
        return one.but(id=f"post{int(changed.timestamp())}", url=f"{URL}#post{int(changed.timestamp())}")

    yield scenario(
        "live blog: the id is the second of the last edit",
        shows(live_blog(each(posts(1, 3), stamped))),
        shows(live_blog(each([*each(posts(4, 5), same), *posts(1, 3)], stamped)), *titles(4, 5)),
        shows(
            live_blog(each([*each(posts(4, 5), same), post(3).but(updated=at), *posts(1, 2)], stamped)),
        ),
    )
    told = [row(same(one)) for one in posts(4, 5)]
    yield scenario(
        "wordpress: asked from the last second on, it is told again",
        shows(rows([row(one) for one in posts(1, 3)])),
        shows(rows(told), *_openings(4, 5)),
        shows(rows(told)),
        shows(rows([*told, row(same(post(6)))]), *_openings(6)),
    )


def _openings(*numbers: int) -> tuple[str, ...]:
    """Gives what a post without a headline is headed by in a mail: the opening of its text."""
    return tuple(f"{post(number).text.removeprefix('<p>').partition('. ')[0]}." for number in numbers)
