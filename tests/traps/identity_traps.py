"""Traps 1 to 5: ids that change though the entry is the same."""

from collections.abc import Callable, Iterator, Sequence

from traps.documents import WRITERS, live_blog, rss
from traps.posts import URL, Post, post, posts, titles
from traps.scenario import Scenario, scenario, shows, trap

_BY_ADDRESS = ("rss", "rdf", "atom", "json feed", "live blog", "microdata")


def at_url(each: Post, url: str) -> Post:
    """Gives a post whose id is its address."""
    return each.but(id=url, url=url)


@trap(1, "`http` becomes `https`, or `www` comes and goes, in ids and addresses")
def scheme_flips() -> Iterator[Scenario]:
    def known_as(prefix: str) -> Callable[[Sequence[Post]], list[Post]]:
        return lambda listed: [at_url(each, f"{prefix}/harbour/live/{each.number}k") for each in listed]

    plain, secure = known_as("http://news.example"), known_as("https://news.example")
    www, loud = known_as("https://www.news.example"), known_as("HTTPS://WWW.News.Example:443")
    for name in _BY_ADDRESS:
        write = WRITERS[name]
        yield scenario(
            f"{name}: to https, to www and back, with news in between",
            shows(write(plain(posts(1, 4)))),
            shows(write(secure(posts(1, 4)))),
            shows(write(www(posts(1, 5))), *titles(5)),
            shows(write(plain(posts(1, 5)))),
            shows(write(loud(posts(1, 6))), *titles(6)),
        )
    yield scenario(
        "live blog: half of the page flips",
        shows(live_blog(plain(posts(1, 4)))),
        shows(live_blog([*secure(posts(3, 5)), *plain(posts(1, 2))]), *titles(5)),
    )


@trap(2, "the push shows one id, the poll another")
def two_ids() -> Iterator[Scenario]:
    def short(listed: Sequence[Post]) -> list[Post]:
        return [each.but(id=f"https://news.example/?p={each.id}") for each in listed]

    def long(listed: Sequence[Post]) -> list[Post]:
        return [
            each.but(id=f"https://news.example/2026/11/{each.title.replace(' ', '-')}/") for each in listed
        ]

    for name in ("rss", "atom", "json feed", "live blog"):
        write = WRITERS[name]
        yield scenario(
            f"{name}: each poll shows the other ids",
            shows(write(short(posts(1, 4)))),
            shows(write(long(posts(1, 5))), *titles(5)),
            shows(write(short(posts(1, 5)))),
            shows(write(short(posts(1, 6))), *titles(6)),
            shows(write(long(posts(1, 6)))),
        )
        yield scenario(
            f"{name}: the hub's copy holds the newest alone",
            shows(write(long(posts(1, 4)))),
            shows(write(short(posts(5, 5))), *titles(5)),
            shows(write(long(posts(1, 5)))),
        )


@trap(3, "the slug in the id is corrected after publishing")
def corrected_slug() -> Iterator[Scenario]:
    right = at_url(post(3), "https://news.example/harbour/fog-over-the-outer-basin")
    wrong = at_url(post(3, title="Fog over the otuer basin"), "https://news.example/harbour/fog-over-otuer")
    others = [at_url(each, f"https://news.example/harbour/{each.id}") for each in posts(1, 2)]
    for name in ("rss", "atom", "json feed", "live blog", "microdata"):
        write = WRITERS[name]
        yield scenario(
            f"{name}: the slug alone",
            shows(write(others)),
            shows(write([wrong, *others]), wrong.title),
            shows(write([wrong.but(id=right.id, url=right.url), *others])),
        )
        yield scenario(
            f"{name}: the slug with the headline that it is made of",
            shows(write(others)),
            shows(write([wrong, *others]), wrong.title),
            shows(write([right, *others])),
        )
    mended = right.but(text=right.text.replace("a hundred metres", "eighty metres"))
    yield scenario(
        "rss: slug, headline and a word of the text",
        shows(rss(others)),
        shows(rss([wrong, *others]), wrong.title),
        shows(rss([mended, *others])),
        shows(rss([at_url(post(4), "https://news.example/harbour/mayor"), mended, *others]), *titles(4)),
    )


@trap(4, "ids are positions: every arrival moves all of them")
def positions() -> Iterator[Scenario]:
    def numbered(listed: Sequence[Post], first: int = 1) -> list[Post]:
        return [
            each.but(id=f"post{place}", url=f"{URL}#post{place}")
            for place, each in enumerate(listed, start=first)
        ]

    def without_id(listed: Sequence[Post]) -> list[Post]:
        return [each.but(id="") for each in numbered(listed)]

    for name, write in WRITERS.items():
        yield scenario(
            f"{name}: #post1 is the newest",
            shows(write(numbered(posts(1, 4)))),
            shows(write(numbered(posts(1, 5))), *titles(5)),
            shows(write(numbered(posts(1, 7))), *titles(6, 7)),
            shows(write(numbered(posts(1, 7)))),
        )
    yield scenario(
        "live blog: the page shows the newest four, counted from 0",
        shows(live_blog(numbered(posts(1, 4), 0))),
        shows(live_blog(numbered(posts(2, 5), 0)), *titles(5)),
        shows(live_blog(numbered(posts(3, 6), 0)), *titles(6)),
    )
    yield scenario(
        "live blog: positions in the address alone, from the first entry on",
        shows(live_blog(without_id(posts(1, 1)))),
        shows(live_blog(without_id(posts(1, 2))), *titles(2)),
        shows(live_blog(without_id(posts(1, 3))), *titles(3)),
    )

    def timed(listed: Sequence[Post]) -> list[Post]:
        return without_id(
            [
                each.but(title=f"1{each.number}:02(IST) {each.title}\u200b", text=f"<p>{each.title}</p>")
                for each in listed
            ]
        )

    yield scenario(
        "live blog: headlines begin with the clock, the text is the headline",
        shows(live_blog(timed(posts(1, 4)))),
        shows(live_blog(timed(posts(1, 5))), "15:02(IST) Trawler rescues two rowers"),
        shows(live_blog(timed(posts(1, 5)))),
    )
    yield scenario(
        "live blog: an edit, and a new entry on top of it",
        shows(live_blog(numbered(posts(1, 4)))),
        shows(
            live_blog(
                numbered([post(5), post(4).but(text=post(4).text + "<p>Towels came.</p>"), *posts(1, 3)])
            ),
            *titles(5),
        ),
    )


@trap(5, "ids contain the sort order, a session, tracking or the language")
def restless_ids() -> Iterator[Scenario]:
    def ordered(listed: Sequence[Post], order: str) -> list[Post]:
        base = "https://news.example/live?liveblog._id=urn:newsml:news.example:2026-11-22:"
        return [each.but(id="", url=f"{base}{each.id}__{order}{each.number}") for each in listed]

    yield scenario(
        "live blog: Superdesk's address ends in the sort order",
        shows(live_blog(ordered(posts(1, 4), "-17"))),
        shows(live_blog(ordered(posts(1, 4), "+90"))),
        shows(live_blog(ordered(posts(1, 5), "+90")), *titles(5)),
        shows(live_blog(ordered(posts(1, 6), "-17")), *titles(6)),
    )

    def session(listed: Sequence[Post], path: str) -> list[Post]:
        return [at_url(each, f"https://news.example/{path.format(each.id)}") for each in listed]

    for what, before, after in (
        ("a session in the path", "live/{};jsessionid=8A1C", "live/{};jsessionid=77F0"),
        ("a session in the query", "live?post={}&sid=8a1c", "live?post={}&sid=77f0"),
        ("tracking", "live?post={}&utm_source=rss&at_medium=RSS", "live?utm_source=app&post={}&fbclid=x1"),
        ("the order of the query", "live?post={}&lang=en", "live?lang=en&post={}"),
    ):
        for name in ("rss", "json feed", "live blog"):
            write = WRITERS[name]
            yield scenario(
                f"{name}: {what}",
                shows(write(session(posts(1, 4), before))),
                shows(write(session(posts(1, 4), after))),
                shows(write(session(posts(1, 5), after)), *titles(5)),
                shows(write(session(posts(1, 6), before)), *titles(6)),
            )

    def spoken(listed: Sequence[Post], language: str) -> list[Post]:
        return [at_url(each, f"https://{language}.news.example/live/{each.id}") for each in listed]

    yield scenario(
        "rss: one feed under two host names",
        shows(rss(spoken(posts(1, 4), "it"))),
        shows(rss(spoken(posts(1, 4), "www"))),
        shows(rss(spoken(posts(1, 5), "it")), *titles(5)),
        shows(rss(spoken(posts(1, 5), "www"))),
    )
