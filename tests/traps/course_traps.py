"""Traps 27 to 29: a blog moves, ends and begins again; we begin, forget, and are many."""

from collections.abc import Iterator, Sequence
from datetime import datetime, timedelta

import sqlalchemy as sa
from sqlmodel import Session, col

from alerts.feeds import catalog
from alerts.models import Entry, Feed
from fakes.site import Reply
from traps.documents import WRITERS, live_blog, page, rss
from traps.posts import OPENED, Post, post, posts, titles
from traps.scenario import SITE, Act, Scenario, Step, scenario, shows, trap

_HOUR = timedelta(hours=1)


def part(number: int, listed: Sequence[Post]) -> Reply:
    """Writes the page of a part of the blog, at home on the site that serves it: "live", then "part-2"."""
    page_url = f"{SITE}/{'live' if number == 1 else f'part-{number}'}"
    return live_blog([one.but(url=f"{page_url}#{one.id}") for one in listed], url=page_url)


@trap(27, "the blog moves to a new address each day, and repeats its last entries there")
def new_address() -> Iterator[Scenario]:
    second, third = part(2, posts(4, 6)), part(2, posts(4, 7))
    for status in (301, 302, 307, 308):
        there = Reply(status=status, headers={"Location": "part-2"})
        yield scenario(
            f"a redirect with {status}, the last entries repeated",
            shows(part(1, posts(1, 5))),
            Step({"live": there, "part-2": second}, titles(6)),
            Step({"part-2": third}, titles(7)),
            Step({}, (), after=_HOUR),
        )
    bare = [one.but(id="", url="") for one in posts(1, 7)]
    yield scenario(
        "a redirect, entries without ids",
        shows(live_blog(bare[2:])),
        Step(
            {"live": Reply(status=302, headers={"Location": "part-2"}), "part-2": live_blog(bare[1:4])},
            titles(6),
        ),
        Step({"part-2": live_blog(bare[:4])}, titles(7)),
    )
    closed = post(
        5,
        title="This live blog is now closed",
        text='<p>Our live coverage continues <a href="part-2">here</a>.</p>',
    )
    end = part(1, [closed, *posts(1, 4)])
    yield scenario(
        "the page says where it goes on, and its successor begins anew",
        shows(part(1, posts(1, 4))),
        Step({"live": end, "part-2": part(2, posts(6, 6))}, (closed.title,)),
        Step({"part-2": part(2, posts(6, 7))}, titles(6, 7)),
        Step({}, ()),
    )
    yield scenario(
        "the page says where it goes on, and its successor repeats the last entries",
        shows(part(1, posts(1, 4))),
        Step({"live": end, "part-2": part(2, posts(3, 4))}, (closed.title,)),
        Step({"part-2": part(2, [post(6), *posts(3, 4)])}),
        Step({"part-2": part(2, [*posts(6, 7), *posts(3, 4)])}, titles(6, 7)),
        Step({"part-2": part(2, [*posts(6, 8), *posts(3, 4)])}, titles(8)),
    )
    parallel = part(2, [post(6), *[one.but(at=OPENED - _HOUR) for one in posts(9, 12)]])
    yield scenario(
        "the successor has been there for long: what is older than our last entry is no news",
        shows(part(1, posts(1, 4))),
        Step({"live": end, "part-2": parallel}, (closed.title,)),
        Step({}, titles(6)),
    )
    yield scenario(
        "a page of another site is not followed",
        shows(part(1, posts(1, 4))),
        shows(
            part(
                1,
                [
                    closed.but(text=closed.text.replace("part-2", "https://elsewhere.example/live")),
                    *posts(1, 4),
                ],
            ),
            closed.title,
        ),
        shows(part(1, [post(6), closed, *posts(1, 4)]), *titles(6)),
    )


@trap(28, "the blog ends and begins again; its page turns into an article; its end lies")
def ends() -> Iterator[Scenario]:
    article = page({"@context": "https://schema.org", "@type": "NewsArticle", "headline": "Harbour: the day"})
    yield scenario(
        "the page becomes a plain article, and a live blog again",
        shows(live_blog(posts(1, 5))),
        shows(article),
        shows(article, after=_HOUR),
        shows(live_blog(posts(1, 5)), after=_HOUR),
        shows(live_blog(posts(1, 6)), *titles(6)),
    )
    for what, end in (
        ("a minute after it began", OPENED + timedelta(minutes=1)),
        ("yesterday", OPENED - timedelta(days=1)),
        ("tomorrow", OPENED + timedelta(days=1)),
        ("before its beginning, in 1970", datetime.fromisoformat("1970-01-01T00:00:00+00:00")),
    ):
        yield scenario(
            f"coverage ends {what}, and goes on",
            shows(live_blog(posts(1, 4), coverageEndTime=end.isoformat())),
            shows(live_blog(posts(1, 5), coverageEndTime=end.isoformat()), *titles(5)),
            shows(live_blog(posts(1, 5), coverageEndTime=end.isoformat()), after=3 * _HOUR),
            shows(live_blog(posts(1, 6), coverageEndTime=end.isoformat()), *titles(6)),
        )
    yield scenario(
        "the last of it is frozen, and a day later it is opened again",
        shows(live_blog(posts(1, 4))),
        shows(live_blog(posts(1, 4), coverageEndTime=(OPENED + 2 * _HOUR).isoformat()), after=3 * _HOUR),
        shows(live_blog(posts(1, 5)), *titles(5), after=20 * _HOUR),
        shows(live_blog(posts(1, 5)), after=2 * _HOUR),
    )


@trap(29, "a first look, a second first look, another parser or rule, a restored backup, two workers")
def first_looks() -> Iterator[Scenario]:
    for name, write in WRITERS.items():
        yield scenario(
            f"{name}: the first window is a baseline",
            shows(write(posts(1, 14))),
            shows(write(posts(1, 14))),
        )
    for name in ("rss", "live blog"):
        write = WRITERS[name]
        for rule in ("id", "url", "text"):

            def ruled(session: Session, feed_id: int, now: datetime, rule: str = rule) -> None:
                session.execute(sa.update(Feed).where(col(Feed.id) == feed_id).values(identity=rule))

            yield scenario(
                f"{name}: the rule is {rule} of a sudden",
                shows(write(posts(1, 5))),
                shows(write(posts(1, 5)), act=_both(ruled, _forgot_answers)),
                shows(write(posts(1, 6)), *titles(6), act=ruled),
                shows(write(posts(1, 6))),
            )
        yield scenario(
            f"{name}: another version gives other keys",
            shows(write(posts(1, 5))),
            shows(write(posts(1, 5)), act=_both(_rekeyed, _forgot_answers)),
            shows(write(posts(1, 6)), *titles(6), act=_rekeyed),
        )
    yield scenario(
        "rss: one of our own pauses",
        shows(rss(posts(1, 5))),
        shows(rss(posts(1, 5)), act=_resumed),
        shows(rss(posts(1, 6)), *titles(6)),
    )
    yield scenario(
        "rss: away for so long that nothing on the page is known: a person is asked",
        shows(rss(posts(1, 4))),
        shows(rss(posts(8, 12)), is_held=True, after=timedelta(days=3)),
        shows(rss(posts(8, 13))),
    )
    yield scenario(
        "rss: more than the flood limit at once: a person is asked",
        shows(rss(posts(1, 4))),
        shows(rss(posts(1, 12)), is_held=True),
        shows(rss(posts(1, 12))),
        flood_limit=5,
    )


def _both(*acts: Act) -> Act:
    def act(session: Session, feed_id: int, now: datetime) -> None:
        for one in acts:
            one(session, feed_id, now)

    return act


def _rekeyed(session: Session, feed_id: int, now: datetime) -> None:
    entries = session.execute(sa.select(col(Entry.id), col(Entry.key)).where(col(Entry.feed_id) == feed_id))
    for entry_id, key in entries.all():
        session.execute(sa.update(Entry).where(col(Entry.id) == entry_id).values(key=f"v0|{key}"))


def _forgot_answers(session: Session, feed_id: int, now: datetime) -> None:
    """Makes the same bytes be read again."""
    session.execute(sa.update(Feed).where(col(Feed.id) == feed_id).values(body_hash=""))


def _resumed(session: Session, feed_id: int, now: datetime) -> None:
    name = session.get_one(Feed, feed_id).name
    catalog.pause(session, name, "test", now)
    catalog.resume(session, name, "test", now)
