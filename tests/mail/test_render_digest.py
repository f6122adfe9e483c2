"""What a digest says: everything is named, what is newest and weightiest comes first, and nothing is cut off by Gmail."""

import re
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from selectolax.lexbor import LexborHTMLParser, LexborNode

from alerts.errors import ConfigError
from alerts.mail.compose import Headers, compose, fillings, pack, prepare
from alerts.mail.render import DigestEntry, DigestView, EntryView, Rendered, Renderer, SiteView
from alerts.mail.views import Archive
from hostile import hostile

SITE = SiteView(
    name="Riverton Live",
    base_url="https://alerts.riverton.example",
    sender_name="Riverton Live",
    sender="alerts@riverton.example",
    contact="desk@riverton.example",
    postal_address="Riverton Gazette, 4 Quay Street, Riverton",
)
DUE = datetime(2026, 11, 22, 12, tzinfo=UTC)
HEADERS = Headers(SITE.sender_name, SITE.sender, DUE, "flood.riverton.example", "", SITE.base_url)
RENDERER = Renderer(SITE, ())
REFERENCE = Path(__file__).parents[2] / "docs" / "reference" / "mail.md"
FERRY = EntryView(
    title="Ferry late",
    text="The evening ferry leaves an hour late.",
    html="<p>The evening ferry leaves an <b>hour</b> late.</p>",
    author="Ana Petrović",
    url="https://gazette.riverton.example/live#1",
    published_at=datetime(2026, 11, 22, 6, 58, tzinfo=UTC),
    is_key_event=None,
    source="The flood, as it happens",
)


def told(title: str, mark: str = "", **changes: object) -> DigestEntry:
    return DigestEntry(replace(FERRY, title=title, **changes), ("The flood",), mark)  # type: ignore[arg-type]


def digest(*entries: DigestEntry, **changes: object) -> DigestView:
    view = DigestView(entries, ("The flood", "Harbour"), "daily", "en", DUE, "Europe/Paris")
    return replace(view, **changes)  # type: ignore[arg-type]


def wire(rendered: Rendered) -> bytes:
    return compose(prepare(rendered, HEADERS), fillings("reader@example.org", "id", "t" * 43))


def lines(rendered: Rendered) -> list[LexborNode]:
    """The contents."""
    return LexborHTMLParser(rendered.html).css("ul.contents > li")


def headlines(rendered: Rendered) -> list[str]:
    return [node.text().strip() for node in LexborHTMLParser(rendered.html).css("h2")]


entries = st.builds(
    EntryView,
    title=hostile,
    text=hostile,
    html=hostile.map(lambda text: f"<p>{text}</p>" * 3),
    author=hostile,
    url=st.just("") | hostile.map("https://x.example/".__add__),
    published_at=st.none() | st.timedeltas(timedelta(-99), timedelta(99)).map(DUE.__add__),
    is_key_event=st.none() | st.booleans(),
    source=hostile,
)
digests = st.builds(
    DigestView,
    entries=st.lists(
        st.builds(
            DigestEntry,
            entry=entries,
            topics=st.lists(hostile, min_size=1, max_size=3).map(tuple),
            mark=st.sampled_from(["", "updated", "corrected"]),
        ),
        min_size=1,
        max_size=8,
    ).map(tuple),
    topics=st.lists(hostile, min_size=1, max_size=12).map(tuple),
    frequency=st.sampled_from(["hourly", "daily", "weekly"]),
    language=st.sampled_from(["en", "de", "xx"]),
    due_at=st.just(DUE),
    zone=st.sampled_from(["UTC", "Europe/Paris", "Australia/Lord_Howe", "Etc/GMT+12", "Asia/Kathmandu"]),
    is_late=st.booleans(),
)


def test_a_daily_digest_as_text() -> None:
    rendered = RENDERER.render_digest(
        digest(
            told("Ferry late", "updated"),
            told("Gate closed", is_key_event=True, url=""),
            told("Mayor speaks", "corrected", author="", also_by=("Harbour Post",)),
            is_late=True,
        )
    )
    assert rendered.subject == "Gate closed, and 2 more"
    assert rendered.text.replace(rendered.hole, "TOKEN") == (
        "Daily digest · The flood and Harbour\n"
        "November 22, 2026, 1:00\u00a0PM (Paris)\n"
        "\n"
        "This digest comes late: it was due at the time above.\n"
        "\n"
        "- Gate closed (Key event)\n"
        "- Mayor speaks (Corrected)\n"
        "- Ferry late (Updated)\n"
        "\n"
        "* * *\n"
        "\n"
        "KEY EVENT · Sunday, 7:58\u00a0AM · The flood\n"
        "\n"
        "Gate closed\n"
        "\n"
        "The evening ferry leaves an hour late.\n"
        "\n"
        "By Ana Petrović · The flood, as it happens\n"
        "\n"
        "* * *\n"
        "\n"
        "CORRECTED · Sunday, 7:58\u00a0AM · The flood\n"
        "\n"
        "Mayor speaks\n"
        "\n"
        "The evening ferry leaves an hour late.\n"
        "\n"
        "The flood, as it happens\n"
        "Also reported by Harbour Post\n"
        "Read on:\n"
        "https://gazette.riverton.example/live#1\n"
        "\n"
        "* * *\n"
        "\n"
        "UPDATED · Sunday, 7:58\u00a0AM · The flood\n"
        "\n"
        "Ferry late\n"
        "\n"
        "The evening ferry leaves an hour late.\n"
        "\n"
        "By Ana Petrović · The flood, as it happens\n"
        "Read on:\n"
        "https://gazette.riverton.example/live#1\n"
        "\n"
        "----------------------------------------\n"
        "\n"
        "You get this because you follow The flood and Harbour at Riverton Live:\n"
        "a daily digest.\n"
        "\n"
        "Change what you get, or unsubscribe:\n"
        "https://alerts.riverton.example/u/TOKEN\n"
        "\n"
        "View in browser:\n"
        "https://alerts.riverton.example/u/TOKEN/mail\n"
        "\n"
        "Questions? Write to us:\n"
        "desk@riverton.example\n"
        "\n"
        "Riverton Gazette, 4 Quay Street, Riverton\n"
    )


def test_key_events_come_first_and_the_newest_before_the_older() -> None:
    rendered = RENDERER.render_digest(
        digest(
            *(told(f"Entry {number}", is_key_event=number in {1, 3}) for number in range(5)),
        )
    )
    assert headlines(rendered) == ["Entry 3", "Entry 1", "Entry 4", "Entry 2", "Entry 0"]
    assert [re.sub(r"\s+", " ", line.text()).strip() for line in lines(rendered)] == [
        "Key event Entry 3",
        "Key event Entry 1",
        "Entry 4",
        "Entry 2",
        "Entry 0",
    ]


def test_a_single_entry_needs_no_contents() -> None:
    rendered = RENDERER.render_digest(digest(told("Ferry late")))
    assert rendered.subject == "Ferry late"
    assert lines(rendered) == []
    assert rendered.text.count("Ferry late") == 1


def test_what_looks_the_same_is_told_once() -> None:
    rendered = RENDERER.render_digest(digest(told("Ferry late"), told("Gate closed"), told("Ferry late")))
    assert headlines(rendered) == ["Ferry late", "Gate closed"]
    assert rendered.subject == "Ferry late, and 1 more"


def test_an_empty_digest_is_a_fault_of_ours() -> None:
    with pytest.raises(AssertionError, match="never empty"):
        RENDERER.render_digest(digest())


@pytest.mark.parametrize(
    ("frequency", "kind", "choice", "time"),
    [
        ("hourly", "Hourly digest", "an hourly digest", "7:58\u00a0AM"),
        ("daily", "Daily digest", "a daily digest", "Sunday, 7:58\u00a0AM"),
        ("weekly", "Weekly digest", "a weekly digest", "Sunday, 7:58\u00a0AM"),
    ],
)
def test_a_digest_says_which_choice_brought_it(frequency: str, kind: str, choice: str, time: str) -> None:
    rendered = RENDERER.render_digest(digest(told("Ferry late"), frequency=frequency))
    for part in (rendered.text, rendered.html):
        words = part.replace("\n", " ")
        assert kind in words
        assert f"you follow The flood and Harbour at Riverton Live: {choice}." in words
        assert "comes late" not in words
    assert f"\n{time} · The flood\n" in rendered.text


@pytest.mark.parametrize(
    ("zone", "due", "published"),
    [
        ("Australia/Lord_Howe", "November 22, 2026, 11:00\u00a0PM (Lord Howe Island)", "5:58\u00a0PM"),
        ("America/New_York", "November 22, 2026, 7:00\u00a0AM (New York)", "1:58\u00a0AM"),
        ("UTC", "November 22, 2026, 12:00\u00a0PM (UTC)", "6:58\u00a0AM"),
        ("Etc/GMT+3", "November 22, 2026, 9:00\u00a0AM (Etc/GMT+3)", "3:58\u00a0AM"),
    ],
)
def test_times_are_those_of_the_zone(zone: str, due: str, published: str) -> None:
    rendered = RENDERER.render_digest(digest(told("Ferry late"), zone=zone))
    for part in (rendered.text, rendered.html):
        assert due in part
        assert published in part


def test_an_entry_without_a_time_claims_none() -> None:
    rendered = RENDERER.render_digest(digest(told("Ferry late", published_at=None)))
    assert "\n\nThe flood\n\nFerry late\n" in rendered.text
    assert rendered.html.count("<time") == 1


def test_a_long_headline_leaves_room_for_the_count() -> None:
    rendered = RENDERER.render_digest(digest(told("Gate closed"), told("word " * 80)))
    assert rendered.subject.endswith(" word…, and 1 more")
    assert len(rendered.subject) <= 130


def test_the_preheader_goes_on_where_the_subject_ends() -> None:
    rendered = RENDERER.render_digest(digest(told("One"), told("Two"), told("Three")))
    preheader = LexborHTMLParser(rendered.html).css_first("body > div[aria-hidden]")
    assert preheader is not None
    assert (rendered.subject, preheader.text()) == ("Three, and 2 more", "Two · One")


def long(count: int, letters: int) -> Sequence[DigestEntry]:
    words = "Überall steigt das Wasser, Stunde um Stunde. "
    return [
        told(f"Entry number {number} of a long day", html=f"<p>{words}</p>" * (letters // len(words)))
        for number in range(count)
    ]


@pytest.mark.parametrize("count", [2, 12, 60, 150, 400])
def test_the_longest_digest_stays_below_the_clip_and_names_what_it_can(count: int) -> None:
    rendered = RENDERER.render_digest(digest(*long(count, 50_000)))
    assert len(wire(rendered)) < 100_000
    named, said = lines(rendered), headlines(rendered)
    unnamed = count - len(named)
    assert len(named) == count if count <= 60 else len(named) >= 60
    assert len(said) >= min(count, 12)
    for part in (rendered.text, rendered.html):
        assert ("in the archive" in part) == (unnamed > 0)
        assert unnamed == 0 or f"And {unnamed} more in the archive" in part
    assert rendered.html.count("Read the whole entry") == len(said)
    assert rendered.subject.endswith(f", and {count - 1} more")


def test_where_there_is_no_archive_none_is_linked() -> None:
    rendered = Renderer(replace(SITE, archive=Archive.OFF), ()).render_digest(digest(*long(400, 400)))
    for part in (rendered.text, rendered.html):
        assert re.search(r"And \d+ more\b", part)
        assert "archive" not in part


def test_room_that_some_do_not_need_is_the_others() -> None:
    few, many = (RENDERER.render_digest(digest(*long(count, 50_000))) for count in (3, 30))
    assert few.text.count("Überall") / 3 > 3 * many.text.count("Überall") / 30


def test_each_line_leads_to_its_text_or_to_where_the_entry_stands() -> None:
    rendered = RENDERER.render_digest(digest(*long(150, 2_000)))
    page = LexborHTMLParser(rendered.html)
    anchors = {node.attributes["id"]: node for node in page.css("a[id]")}
    assert len(anchors) == len(headlines(rendered))
    targets = [
        (link.text().strip(), link.attributes["href"] or "")
        for line in lines(rendered)
        for link in line.css("a")
    ]
    inside = [(name, target) for name, target in targets if target.startswith("#")]
    assert [name for name, _ in inside] == headlines(rendered)
    assert [target.removeprefix("#") for _, target in inside] == list(anchors)
    elsewhere = targets[len(inside) :]
    assert elsewhere
    assert {target for _, target in elsewhere} == {FERRY.url}
    for name, _ in elsewhere:
        assert f"- {name}\n  {FERRY.url}\n" in rendered.text
    for name, _ in inside:
        assert f"- {name}\n- " in rendered.text or f"- {name}\n\n" in rendered.text


@pytest.mark.parametrize("count", [1, 3])
@pytest.mark.parametrize("letters", [40, 60, 80])
def test_topics_whose_names_are_long_leave_room_for_the_way_out(count: int, letters: int) -> None:
    topics = tuple("漢" * (letters - 2) + f"{number:02}" for number in range(10))
    words = "漢漢漢漢漢 " * 500
    view = digest(*(told(f"{'漢' * 150} {each}", html=f"<p>{words}</p>") for each in range(count)))
    entries = tuple(replace(each, topics=topics) for each in view.entries)
    assert len(wire(RENDERER.render_digest(replace(view, entries=entries, topics=topics)))) < 100_000


def test_an_entry_of_many_topics_names_some_and_counts_the_rest() -> None:
    topics = tuple(f"Topic {number}" for number in range(50))
    view = digest(*(replace(told(title), topics=topics) for title in ("Ferry late", "Gate closed")))
    rendered = RENDERER.render_digest(replace(view, topics=topics))
    assert rendered.text.replace("\n", " ").count("Topic 9 · 40 more topics") == 2
    for node in LexborHTMLParser(rendered.html).css("p > span[dir]"):
        assert node.text().endswith("Topic 9, and 40 more topics")


@given(digests)
def test_no_entry_breaks_its_digest(view: DigestView) -> None:
    rendered = RENDERER.render_digest(view)
    assert 0 < len(rendered.subject) <= 160
    assert rendered.text.count(rendered.hole) == rendered.html.count(rendered.hole) == 2
    assert rendered.hole not in rendered.subject
    assert len(wire(rendered)) < 100_000
    page = LexborHTMLParser(rendered.html)
    assert len(page.css("style")) == 1
    for node in page.css("*"):
        assert node.tag not in {"script", "img", "svg", "iframe", "form", "input", "object", "link", "base"}
        assert not any(name.startswith("on") or name in {"src", "background"} for name in node.attributes)
        assert re.match(r"https?:|mailto:|#|$", node.attributes.get("href") or "", re.IGNORECASE)
    ids = [node.attributes["id"] for node in page.css("[id]")]
    assert len(ids) == len(set(ids))
    assert {f"#{each}" for each in ids} >= {
        target
        for node in page.css("ul.contents a")
        if (target := node.attributes["href"] or "").startswith("#")
    }


@settings(max_examples=10)
@given(digests)
def test_the_same_digest_gives_the_same_bytes_whatever_was_told_before(view: DigestView) -> None:
    one, two = RENDERER.render_digest(view), Renderer(SITE, ()).render_digest(view)
    assert one.hole != two.hole
    assert pack(prepare(one, HEADERS)) == pack(prepare(two, HEADERS))


def test_pieces_of_one_manner_are_not_shown_in_another() -> None:
    entry = told("Ferry late", "updated")
    views = [
        digest(entry, told("Gate closed"), language=language, zone=zone, frequency=frequency)
        for language in ("en", "de")
        for zone in ("Europe/Paris", "America/New_York")
        for frequency in ("hourly", "weekly")
    ]
    views += [digest(replace(entry, mark="corrected")), digest(replace(entry, topics=("Another",)))]
    with ThreadPoolExecutor(4) as pool:
        kept = [each.text.replace(each.hole, "") for each in pool.map(RENDERER.render_digest, views * 3)]
    fresh = [Renderer(SITE, ()).render_digest(view) for view in views]
    assert kept == [each.text.replace(each.hole, "") for each in fresh] * 3
    assert len(set(kept)) == len(views)


def test_a_further_variant_parses_nothing_again(monkeypatch: pytest.MonkeyPatch) -> None:
    entries = long(40, 3_000)
    renderer = Renderer(SITE, ())
    renderer.render_digest(digest(*entries))
    monkeypatch.setattr("alerts.mail.pieces.read_story", None)
    monkeypatch.setattr("alerts.mail.pieces.shown", None)
    renderer.render_digest(digest(*entries))


def test_a_template_of_the_sites_own_that_fails_is_told(tmp_path: Path) -> None:
    path = tmp_path / "mail" / "digest" / "entry.html"
    path.parent.mkdir(parents=True)
    path.write_text("{{ entry.missing }}")
    renderer = Renderer(SITE, (tmp_path,))
    with pytest.raises(ConfigError, match="missing"):
        renderer.render_digest(digest(told("Ferry late")))
    with pytest.raises(ConfigError, match="missing"):
        renderer.warm_up("en", DUE)


@pytest.mark.parametrize(
    ("name", "values"),
    [
        (
            "body.txt",
            "headline others due_at zone is_late unnamed archive_url contents entries preheader subject",
        ),
        ("entry.txt", "entry mark anchor topics zone frequency"),
        ("line.html", "entry mark anchor topics zone frequency is_told"),
    ],
)
def test_the_reference_names_what_a_digests_templates_get(tmp_path: Path, name: str, values: str) -> None:
    named = set(
        re.findall(r"`(\w+)`", REFERENCE.read_text(encoding="utf-8").partition("## Your own templates")[2])
    )
    assert set(values.split()) <= named
    path = tmp_path / "mail" / "digest" / name
    path.parent.mkdir(parents=True)
    path.write_text(
        "".join(f"{{{{ {value} }}}} " for value in values.split()) + "{{ manage_url|default('') }}"
    )
    Renderer(SITE, (tmp_path,)).render_digest(digest(told("Ferry late"), told("Gate closed")))


def test_a_template_that_shows_only_the_way_to_the_browser_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "mail" / "digest" / "body.txt"
    path.parent.mkdir(parents=True)
    path.write_text("{{ browser_url }}")
    with pytest.raises(ConfigError, match=r"must show \{\{ manage_url"):
        Renderer(SITE, (tmp_path,)).render_digest(digest(told("Ferry late")))


def test_a_week_of_many_topics_costs_the_second_reader_little() -> None:
    """Not a benchmark: a guard against rendering all anew, with a wide margin for a busy machine."""
    entries = long(200, 3_000)
    renderer = Renderer(SITE, ())
    started = datetime.now(UTC)
    renderer.render_digest(digest(*entries))
    first = datetime.now(UTC) - started
    started = datetime.now(UTC)
    for number in range(5):
        renderer.render_digest(digest(*entries[number:]))
    assert (datetime.now(UTC) - started) / 5 < max(first / 3, timedelta(milliseconds=20))
