"""Traps 23 to 25: entries that are edited, come back, or are told twice."""

from collections.abc import Iterator, Sequence
from datetime import datetime, timedelta

from traps.documents import WRITERS, atom, json_feed, live_blog, row, rows, rss
from traps.posts import OPENED, URL, Post, post, posts, titles
from traps.scenario import MINUTE, Scenario, scenario, shows, trap


@trap(23, "a slip mended, a rewrite, a real correction: none is mailed by itself")
def edits() -> Iterator[Scenario]:
    holding = post(4, title="Mayor at the lock", text="<p>More follows.</p>")
    corrected = post(4, text=f"<p>Correction: it took twelve years.</p>{post(4).text}")
    rewritten = post(4, text="<p>Ms Brandt, 51, slipped while greeting the eel fishers' choir.</p>")
    for name in ("rss", "atom", "json feed", "live blog"):
        write = WRITERS[name]
        yield scenario(
            f"{name}: a holding line, the whole, a rewrite, a correction",
            shows(write(posts(1, 3))),
            shows(write([holding, *posts(1, 3)]), holding.title),
            shows(write(posts(1, 4))),
            shows(write([rewritten, *posts(1, 3)])),
            shows(write([corrected.but(updated=OPENED + timedelta(hours=2)), *posts(1, 3)])),
            shows(write([corrected, *posts(1, 3)])),
        )
        yield scenario(
            f"{name}: a hold of two minutes lets the slip be mended first",
            shows(write(posts(1, 3))),
            shows(write([post(4, title="Mayor visist the new lock"), *posts(1, 3)])),
            shows(write(posts(1, 4))),
            shows(write(posts(1, 4)), *titles(4)),
            shows(write(posts(1, 4)), after=5 * MINUTE),
            hold=2 * MINUTE,
        )
        notice = post(5, title="Correction: the lock", text="<p>We wrote eleven years. It took twelve.</p>")
        yield scenario(
            f"{name}: a correction that is a post of its own is news",
            shows(write(posts(1, 4))),
            shows(write([notice, *posts(1, 4)]), notice.title),
            shows(write([notice, *posts(1, 4)])),
        )
    typed = [post(4).text[: 20 + 12 * stroke] for stroke in range(8)]
    yield scenario(
        "live blog: written while it is read",
        shows(live_blog(posts(1, 3))),
        shows(live_blog([post(4, text=typed[0]), *posts(1, 3)]), *titles(4)),
        *[shows(live_blog([post(4, text=text), *posts(1, 3)])) for text in typed[1:]],
    )
    first_words = [
        row(post(4, text=f"<p>{words} the gates herself.</p>"))
        for words in ("Brandt opened", "The mayor opened")
    ]
    yield scenario(
        "wordpress: the edit is a row of its own that points at the old id",
        shows(rows([row(one) for one in posts(1, 3)])),
        shows(rows([first_words[0]]), "Brandt opened the gates herself."),
        shows(rows([first_words[1] | {"type": "update", "timestamp": first_words[1]["timestamp"] + 90}])),
        shows(rows([first_words[1]])),
    )


@trap(24, "deleted and restored, unpublished and published again")
def restored() -> Iterator[Scenario]:
    renamed = post(4).but(id="99001", url=f"{URL}#99001")
    later = renamed.but(at=OPENED + timedelta(hours=4))
    for name in ("rss", "json feed", "live blog"):
        write = WRITERS[name]
        for what, back in (
            ("as it was", post(4)),
            ("under a new id", renamed),
            ("with a new id and date", later),
        ):
            yield scenario(
                f"{name}: back {what}",
                shows(write(posts(1, 3))),
                shows(write(posts(1, 4)), *titles(4)),
                shows(write(posts(1, 3))),
                shows(write(posts(1, 3))),
                shows(write([back, *posts(1, 3)]), after=timedelta(hours=1)),
                shows(write([back, *posts(2, 3)])),
            )
    gone = '<at:deleted-entry ref="tag:news.example,2026:{}" when="2026-11-22T07:30:00Z"/>'
    yield scenario(
        "atom: a tombstone, and the entry again",
        shows(atom(posts(1, 3))),
        shows(atom(posts(1, 4)), *titles(4)),
        shows(atom(posts(1, 3), feed=gone.format(post(4).id))),
        shows(atom(posts(1, 4))),
        shows(atom(posts(1, 5), feed=gone.format(post(2).id)), *titles(5)),
    )
    at = post(4).at
    assert isinstance(at, datetime)
    opening = "Mayor Olena Brandt opened the gates herself, and got wet feet."
    yield scenario(
        "wordpress: a row of deletion, then the row again",
        shows(rows([row(one) for one in posts(1, 3)])),
        shows(rows([row(post(4))]), opening),
        shows(rows([row(post(4), "delete", changed=at + 2 * MINUTE)])),
        shows(rows([row(post(4), "new", changed=at + 3 * MINUTE)])),
        shows(rows([row(post(4), "update", changed=at + 4 * MINUTE)])),
    )


@trap(25, "pins, teasers, key points and summaries repeat what was told")
def copies() -> Iterator[Scenario]:
    def pinned(one: Post) -> Post:
        return one.but(id=f"pinned-{one.id}", url=f"{URL}#pinned", is_pinned=True)

    for name in ("rss", "atom", "json feed", "live blog", "microdata"):
        write = WRITERS[name]
        yield scenario(
            f"{name}: an old post pinned on top, under an id of its own",
            shows(write(posts(1, 5))),
            shows(write([pinned(post(2)), *posts(1, 5)])),
            shows(write([pinned(post(2)), *posts(3, 6)]), *titles(6)),
            shows(write([pinned(post(6)), *posts(3, 6)])),
            shows(write([pinned(post(7)), *posts(3, 7)]), *titles(7)),
        )
        yield scenario(
            f"{name}: a pin that is the same entry, first on the page",
            shows(write(posts(1, 5))),
            shows(write([post(2), *posts(1, 5)])),
            shows(write([post(2), *posts(4, 6)]), *titles(6)),
        )
        teaser = post(5).but(id="latest", url=f"{URL}#latest", text=f"{post(5).text[:60]}\u2026</p>")
        yield scenario(
            f"{name}: the latest update is told twice, the first time cut short",
            shows(write(posts(1, 4))),
            shows(write([teaser, *posts(1, 5)]), *titles(5)),
            shows(
                write(
                    [
                        teaser.but(title=post(6).title, text=f"{post(6).text[:60]}\u2026</p>", at=post(6).at),
                        *posts(2, 6),
                    ]
                ),
                *titles(6),
            ),
        )
    points = [f"<li>{one.title}</li>" for one in posts(1, 8)]
    restated = f"<ul>{''.join(points[3:])}</ul>"
    summary = Post(13, "sum1", f"{URL}#sum1", "What we know so far", restated, post(8).at)
    grown = summary.but(text=f"<ul>{''.join(points)}</ul>")
    yield scenario(
        "live blog: a summary that only restates what was told, however it grows",
        shows(live_blog(posts(1, 8))),
        shows(live_blog([summary, *posts(1, 8)])),
        shows(live_blog([grown, *posts(1, 8)])),
        shows(live_blog([post(9), grown, *posts(1, 8)]), *titles(9)),
    )
    own = "<p>The harbour master will speak at noon about the parrots.</p><p>A choir has offered to sing for them.</p>"
    yield scenario(
        "live blog: a summary with news of its own is told once, however it grows",
        shows(live_blog(posts(1, 8))),
        shows(live_blog([summary.but(text=own + restated), *posts(1, 8)]), summary.title),
        shows(live_blog([grown.but(text=own + grown.text), *posts(1, 8)])),
        shows(live_blog([post(9), grown.but(text=own + grown.text), *posts(1, 8)]), *titles(9)),
    )
    yield from _key_events()


def _key_events() -> Iterator[Scenario]:
    def linked(*numbers: int) -> str:
        anchors = "".join(f'<li><a href="#{post(number).id}">see</a></li>' for number in numbers)
        return f'<div class="key-points"><h2>Key points</h2><ul>{anchors}</ul></div>'

    yield scenario(
        "live blog: a late key mark reaches only who follows key events",
        shows(live_blog(posts(1, 5), body=linked(2))),
        shows(live_blog(posts(1, 6), body=linked(2)), *titles(6)),
        shows(live_blog(posts(1, 6), body=linked(2, 6)), flash=titles(6)),
        shows(live_blog(posts(1, 6), body=linked(6))),
        shows(live_blog(posts(1, 6), body=linked(1, 2, 6))),
    )

    def flagged(listed: Sequence[Post], *numbers: int) -> list[Post]:
        return [one.but(is_key_event=one.number in numbers) for one in listed]

    for name, write in (("rss", rss), ("json feed", json_feed)):
        yield scenario(
            f"{name}: a key event told as one, then unmarked and marked again",
            shows(write(flagged(posts(1, 4), 1))),
            shows(write(flagged(posts(1, 5), 1, 5)), *titles(5), flash=titles(5)),
            shows(write(flagged(posts(1, 5), 1))),
            shows(write(flagged(posts(1, 5), 1, 5))),
        )
