"""Traps 21 and 22: texts that change, and say what they said."""

from collections.abc import Callable, Iterator, Sequence
from html import escape

from fakes.site import Reply
from traps.documents import WRITERS, Writer, rss
from traps.posts import Post, post, posts, titles
from traps.scenario import Scenario, scenario, shows, trap

Change = Callable[[Post], Post]


def bare(listed: Sequence[Post]) -> list[Post]:
    """Gives posts that bear neither id nor address."""
    return [one.but(id="", url="") for one in listed]


def _both(listed: Sequence[Post]) -> Iterator[tuple[str, list[Post]]]:
    yield "with ids", list(listed)
    yield "without ids", bare(listed)


# What stands before and after a text at poll number `n` of post number `p`.
_RESTLESS = (
    ("<p>{n} minutes ago</p>", ""),
    ("", "<p>Updated {n} hrs ago</p>"),
    ("", "<p>{n},204 views</p>"),
    ("", "<p>{n}{p} comments</p>"),
    ("", '<img src="https://i.news.example/{p}.jpg?s={n}&sig=f{n}" alt="Quay">'),
    ("", '<iframe src="https://ads.example/{n}"></iframe><div id="ad-{n}"></div>'),
    ("", '<p><a href="https://news.example/a?sid={n}">More</a></p>'),
)


def _with(before: str, after: str) -> Callable[[int], Change]:
    def at_poll(n: int) -> Change:
        def change(one: Post) -> Post:
            around = [part.format(n=n, p=one.number) for part in (before, after)]
            return one.but(text=one.text.join(around))

        return change

    return at_poll


@trap(21, "texts that change at each poll: times told from now, counters, signed pictures, adverts")
def restless_texts() -> Iterator[Scenario]:
    each = [_with(before, after) for before, after in _RESTLESS]
    for name in ("rss", "live blog"):
        for ids, as_shown in (("with ids", list[Post]), ("without ids", bare)):

            def shown(
                last: int,
                change: Change,
                write: Writer = WRITERS[name],
                as_shown: Callable[[Sequence[Post]], list[Post]] = as_shown,
            ) -> Reply:
                return write(as_shown([change(one) for one in posts(1, last)]))

            yield scenario(
                f"{name}: each of {len(each)} kinds, {ids}",
                shows(shown(4, each[0](9))),
                *[shows(shown(4, change(number))) for change in each for number in (2, 3)],
                shows(shown(5, each[0](3)), *titles(5)),
                *[shows(shown(5, change(number))) for change in each for number in (4, 11)],
                shows(shown(6, each[-1](12)), *titles(6)),
            )

    def advert(number: int) -> Change:
        brands = ("Soap", "Oats", "Rope", "Tea", "Ink", "Wax", "Salt")
        return lambda one: one.but(text=f"{one.text}<p>Advertisement: buy {brands[number % 7]} today</p>")

    for ids, as_shown in (("with ids", list[Post]), ("without ids", bare)):
        yield scenario(
            f"rss: another advert at each of twenty-six polls, {ids}",
            *[shows(rss(as_shown([advert(number)(one) for one in posts(1, 4)]))) for number in range(26)],
            shows(rss(as_shown([advert(31)(one) for one in posts(1, 5)])), *titles(5)),
            shows(rss(as_shown([advert(32)(one) for one in posts(1, 5)]))),
        )


@trap(22, "another template: all entries change, and none of their words")
def new_template() -> Iterator[Scenario]:
    def quoted(one: Post) -> Post:
        return one.but(text=f"<blockquote>\u201cIt\u2019s late \u2013 very late\u201d</blockquote>{one.text}")

    changes: dict[str, Change] = {
        "other tags": lambda one: one.but(
            text=one.text.replace("<p>", "<div class='t2'><span>").replace("</p>", "</span></div>")
        ),
        "attributes": lambda one: one.but(text=one.text.replace("<p>", '<p class="body" data-x="1">')),
        "emphasis": lambda one: one.but(text=one.text.replace("The ", "<b>The</b> ")),
        "paragraphs for line breaks": lambda one: one.but(text=one.text.replace(". ", ".<br><br>")),
        "entities": lambda one: one.but(text=one.text.replace(" ", "&#32;").replace("'", "&rsquo;")),
        "straight quotes": lambda one: one.but(
            text=one.text.translate({0x201C: '"', 0x201D: '"', 0x2019: "'", 0x2013: "-"})
        ),
        "hard spaces": lambda one: one.but(
            text=one.text.replace(" of ", " of&nbsp;"), title=one.title.replace(" ", "\u00a0", 1)
        ),
        "escaped twice": lambda one: one.but(text=escape(one.text)),
        "white space": lambda one: one.but(title=f"  {one.title}\n", text=one.text.replace(". ", ".\n\t ")),
        "soft hyphens and marks": lambda one: one.but(
            text=one.text.replace("tickets", "tic\u00adkets").replace("The", "\u200bThe")
        ),
        "composed letters": lambda one: one.but(title=one.title.replace("fi", "\ufb01")),
        "capitals": lambda one: one.but(title=one.title.upper()),
    }
    for name in ("rss", "live blog"):
        for ids, before in _both([quoted(one) for one in posts(1, 5)]):
            write = WRITERS[name]
            made_over = {what: [change(one) for one in before] for what, change in changes.items()}
            news = post(13) if ids == "with ids" else bare([post(13)])[0]
            yield scenario(
                f"{name}: one template after the other, {ids}",
                shows(write(before)),
                *[shows(write(after)) for after in made_over.values()],
                shows(write([news, *before]), news.title),
                *[shows(write([news, *after])) for after in made_over.values()],
            )
            yield scenario(
                f"{name}: news in the new template, {ids}",
                shows(write(before)),
                shows(write([changes["other tags"](news), *made_over["other tags"]]), news.title),
                shows(write([news, *before])),
            )
