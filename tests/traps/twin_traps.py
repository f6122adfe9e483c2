"""Traps 6 to 10: entries without ids, with shared ones, or told twice in a page."""

from collections.abc import Callable, Iterator, Sequence
from datetime import timedelta

from fakes.site import Reply
from traps.documents import WRITERS, live_blog, page, posting
from traps.posts import OPENED, URL, Post, post, posts, titles
from traps.scenario import Scenario, scenario, shows, trap


def without_ids(*listed: Post) -> list[Post]:
    """Gives posts that bear neither id nor address."""
    return [each.but(id="", url="") for each in listed]


@trap(6, "no id at all: a corrected typo is no new entry")
def no_id() -> Iterator[Scenario]:
    typo = post(3, title="Fog over the outre basin")
    longer = post(2).but(text=post(2).text + "<p>The electrician has arrived by bicycle.</p>")
    for name in ("rss", "json feed", "live blog", "microdata", "rdf"):
        write = WRITERS[name]
        yield scenario(
            f"{name}: typo, added paragraph, and news with an edit",
            shows(write(without_ids(*posts(1, 2)))),
            shows(write(without_ids(typo, *posts(1, 2))), typo.title),
            shows(write(without_ids(*posts(1, 3)))),
            shows(write(without_ids(post(3), longer, post(1)))),
            shows(
                write(without_ids(post(4), post(3).but(text=typo.text.replace("Ships", "Shps")), longer)),
                *titles(4),
            ),
            shows(write(without_ids(*posts(3, 4), longer))),
        )
    undated = [each.but(at=None) for each in without_ids(*posts(1, 4))]
    yield scenario(
        "live blog: no date either",
        shows(live_blog(undated[1:])),
        shows(live_blog(undated), *titles(4)),
        shows(live_blog([undated[0].but(title="Mayor visits new lock"), *undated[1:]])),
    )
    yield scenario(
        "live blog: two are mended at once, a line break comes to the headline",
        shows(
            live_blog(without_ids(typo, post(2, title="Crane stnads still after a short circuit"), post(1)))
        ),
        shows(live_blog(without_ids(*(each.but(title=f"{each.title}\n") for each in posts(1, 3))))),
    )
    yield scenario(
        "live blog: mended an hour later, when the page has moved on",
        shows(live_blog(without_ids(typo, *posts(1, 2)))),
        shows(live_blog(without_ids(*posts(4, 6), typo, post(2))), *titles(4, 5, 6)),
        shows(live_blog(without_ids(*posts(4, 6), post(3), post(2))), after=timedelta(hours=1)),
    )


@trap(7, "one id twice in a document, and an id used again for another story")
def shared_id() -> Iterator[Scenario]:
    for name in ("rss", "atom", "json feed", "live blog"):
        write = WRITERS[name]
        yield scenario(
            f"{name}: the same entry twice",
            shows(write([*posts(1, 3), post(2)])),
            shows(write([post(4), post(4), *posts(1, 3)]), *titles(4)),
            shows(write([*posts(1, 4), post(4)])),
        )
        older = post(4).but(text=post(4).text.replace("eleven", "ten"))
        yield scenario(
            f"{name}: an entry beside its older self",
            shows(write(posts(1, 3))),
            shows(write([older, *posts(1, 3)]), *titles(4)),
            shows(write([post(4), older, *posts(1, 3)])),
            shows(write([older, post(4), *posts(1, 3)])),
        )
        twin = post(5).but(id=post(4).id, url=post(4).url)
        yield scenario(
            f"{name}: two stories under one id at once",
            shows(write(posts(1, 3))),
            shows(write([twin, post(4), *posts(1, 3)]), *titles(4, 5)),
            shows(write([post(4), twin, *posts(1, 3)])),
        )
        again = post(6).but(id=post(1).id, url=post(1).url)
        yield scenario(
            f"{name}: an old id comes back with another story",
            shows(write(posts(1, 3))),
            shows(write(posts(2, 4)), *titles(4)),
            shows(write([again, *posts(2, 4)]), *titles(6)),
            shows(write([again, *posts(2, 4)])),
        )


@trap(8, "what tells entries apart is the query alone, or the fragment alone")
def only_query_or_fragment() -> Iterator[Scenario]:
    shapes = {
        "a post id before a constant fragment": "https://news.example/live-12?postid=61{}#liveblog-body",
        "an asset, percent-encoded": "https://news.example/live/c5y?post=asset%3A1b2c-{}#post",
        "a pinned locator": "https://news.example/live/c5y?pinned_post_locator=urn:asset:1b2c-{}",
        "an update": "https://news.example/liveblog/2026/11/22/harbour?update=42{}",
        "a post id in mixed case": "https://news.example/live.ghtml?postId=0f-{}",
        "a number in the fragment": "https://news.example/live-190563#{}",
        "words in the fragment": "https://news.example/live#live-1924698-q{}",
    }
    for what, shape in shapes.items():

        def addressed(listed: Sequence[Post], shape: str = shape) -> list[Post]:
            return [each.but(id="", url=shape.format(each.id)) for each in listed]

        edited = [each.but(text=each.text.replace(".", "!")) for each in posts(1, 4)]
        for name in ("rss", "live blog"):
            write = WRITERS[name]
            yield scenario(
                f"{name}: {what}",
                shows(write(addressed(posts(1, 4)))),
                shows(write(addressed([post(5), *edited])), *titles(5)),
                shows(write(addressed([*posts(5, 6), *edited])), *titles(6)),
            )

    def goal(minute: int) -> Post:
        at = OPENED + timedelta(minutes=minute)
        url = f"https://news.example/match?post={minute * 31}#match"
        return Post(minute, "", url, "Goal!", "<p>Goal!</p>", at)

    yield scenario(
        "live blog: the same short words under another query are said again",
        shows(live_blog([goal(3), *posts(1, 2)])),
        shows(live_blog([goal(9), goal(3), *posts(1, 2)]), "Goal!"),
        shows(live_blog([goal(9), goal(3), *posts(1, 2)])),
        shows(live_blog([goal(12), goal(9), goal(3), *posts(1, 2)]), "Goal!"),
    )


@trap(9, "all entries share one address")
def one_address() -> Iterator[Scenario]:
    shapes: dict[str, Callable[[Post], Post]] = {
        "the blog's, and ids": lambda each: each.but(url=URL),
        "the blog's, and no ids": lambda each: each.but(id="", url=URL),
        "the blog's for ids too": lambda each: each.but(id=URL, url=URL),
        "the page's fragment": lambda each: each.but(id="", url=f"{URL}#blog"),
    }
    for what, shape in shapes.items():
        for name in ("rss", "json feed", "live blog"):
            write = WRITERS[name]
            mended = post(2, title="Crane stands still after short circuit")
            yield scenario(
                f"{name}: {what}",
                shows(write([shape(each) for each in posts(1, 4)])),
                shows(write([shape(each) for each in posts(1, 5)]), *titles(5)),
                shows(write([shape(each) for each in (*posts(3, 6), mended, post(1))]), *titles(6)),
                shows(write([shape(each) for each in (*posts(3, 6), mended, post(1))])),
            )


@trap(10, "one blog twice in a page, canonical and AMP: it counts once")
def two_representations() -> Iterator[Scenario]:
    amp_url = "https://news.example/google/amp/harbour/live"

    def amp(listed: Sequence[Post]) -> list[Post]:
        return [each.but(id="", url=f"{amp_url}?postId={each.id}") for each in listed]

    def canonical(listed: Sequence[Post]) -> list[Post]:
        return [each.but(id="", url=f"{URL}?postId={each.id}") for each in listed]

    def both(listed: Sequence[Post], accelerated: Sequence[Post]) -> tuple[dict[str, object], ...]:
        return posting(canonical(listed)), posting(amp(accelerated), url=amp_url)

    def turned(reply: Sequence[dict[str, object]]) -> Reply:
        return page(*reversed(reply))

    yield scenario(
        "two scripts, in either order",
        shows(page(*both(posts(1, 4), posts(1, 4)))),
        shows(turned(both(posts(1, 4), posts(1, 4)))),
        shows(page(*both(posts(1, 5), posts(1, 5))), *titles(5)),
        shows(turned(both(posts(1, 6), posts(1, 6))), *titles(6)),
    )
    yield scenario(
        "the AMP copy runs ahead, then behind",
        shows(page(*both(posts(1, 4), posts(1, 4)))),
        shows(page(*both(posts(1, 4), posts(1, 5))), *titles(5)),
        shows(page(*both(posts(1, 6), posts(1, 5))), *titles(6)),
        shows(page(*both(posts(1, 6), posts(1, 6)))),
    )
    yield scenario(
        "both in one @graph",
        shows(page({"@context": "https://schema.org", "@graph": list(both(posts(1, 4), posts(1, 4)))})),
        shows(
            page({"@context": "https://schema.org", "@graph": list(both(posts(1, 5), posts(1, 5)))}),
            *titles(5),
        ),
    )
    yield scenario(
        "the very same script twice",
        shows(page(posting(posts(1, 4)), posting(posts(1, 4)))),
        shows(page(posting(posts(1, 5)), posting(posts(1, 5))), *titles(5)),
        shows(page(posting(posts(1, 5)))),
    )
    yield scenario(
        "the page itself is served as AMP for a while",
        shows(live_blog(canonical(posts(1, 4)))),
        shows(page(posting(amp(posts(1, 5)), url=amp_url)), *titles(5)),
        shows(live_blog(canonical(posts(1, 5)))),
    )
