"""What a reader gets: the words of a mail, from any entry, in any template that a site brings."""

import re
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import fields, replace
from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from selectolax.lexbor import LexborHTMLParser, LexborNode

from alerts.errors import ConfigError
from alerts.mail.compose import Headers, compose, fillings, pack, prepare
from alerts.mail.render import AlertView, EntryView, Rendered, Renderer, ShownEntry, SiteView
from hostile import FRAGMENTS, hostile

SITE = SiteView(
    name="Riverton Live",
    base_url="https://alerts.riverton.example",
    sender_name="Riverton Live",
    sender="alerts@riverton.example",
    contact="desk@riverton.example",
    postal_address="Riverton Gazette, 4 Quay Street, Riverton",
)
ENTRY = EntryView(
    title="Harbour gate closed",
    text="The harbour gate was closed at 06:40. Ferries stay in port.",
    html='<p>The harbour gate was <b>closed</b> at 06:40.</p><p>Ferries <a href="https://f.example/">stay</a>.</p>',
    author="Ana Petrović",
    url="https://gazette.riverton.example/live#17",
    published_at=datetime(2026, 11, 22, 8, 58, tzinfo=timezone(timedelta(hours=1))),
    is_key_event=True,
    source="The flood, as it happens",
)
ALERT = AlertView((ENTRY,), ("The flood", "Harbour"), "flash", "en", datetime(2026, 11, 22, 8, tzinfo=UTC))
RENDERER = Renderer(SITE, ())
HEADERS = Headers(
    SITE.sender_name, SITE.sender, ALERT.released_at, "flood.riverton.example", "", SITE.base_url
)
REFERENCE = Path(__file__).parents[2] / "docs" / "reference" / "mail.md"
TEMPLATE_NAMES = (
    *("site", "contact_url", "entries", "topics", "more_topics", "frequency", "language", "direction"),
    *("preheader", "subject", "manage_url", "browser_url"),
)

names = hostile
urls = st.one_of(
    st.sampled_from(["", "https://x.example/?q=" + "=" * 3000]), hostile.map("https://x.example/".__add__)
)
entries = st.builds(
    EntryView,
    title=hostile,
    text=hostile,
    html=hostile.map(lambda text: f"<p>{text}</p>" * 3),
    author=names,
    url=urls,
    published_at=st.none() | st.datetimes(timezones=st.just(UTC)),
    is_key_event=st.none() | st.booleans(),
    source=names,
)
alerts = st.builds(
    AlertView,
    entries=st.tuples(entries),
    topics=st.lists(hostile, min_size=1, max_size=15).map(tuple),
    frequency=st.sampled_from(["flash", "every"]),
    language=st.sampled_from(["en", "de", "pt-BR", "xx", ""]) | hostile,
    released_at=st.just(ALERT.released_at),
)


def of(entry: EntryView, **changes: object) -> Rendered:
    return RENDERER.render(replace(ALERT, entries=(entry,), **changes))  # type: ignore[arg-type]


def elements(html: str) -> Iterator[LexborNode]:
    root = LexborHTMLParser(html).root
    assert root is not None
    yield from root.css("*")


def wire(rendered: Rendered) -> bytes:
    return compose(prepare(rendered, HEADERS), fillings("reader@example.org", "id", "t" * 43))


def test_a_mail_names_at_most_three_others_who_reported_it() -> None:
    told = RENDERER.render(
        replace(ALERT, entries=(replace(ENTRY, also_by=("A", "B\r\nBcc: c", "", "D", "E")),))
    )
    for part in (told.text, told.html):
        assert "Also reported by A and B Bcc: c" in part
        assert "E" not in part.split("Also reported by")[1].split("<")[0].split("\n")[0]


def test_a_key_event_as_text() -> None:
    rendered = RENDERER.render(ALERT)
    assert rendered.subject == "Harbour gate closed"
    assert rendered.text.replace(rendered.hole, "TOKEN") == (
        "KEY EVENT · The flood and Harbour\n"
        "\n"
        "Harbour gate closed\n"
        "\n"
        "By Ana Petrović · The flood, as it happens\n"
        "November 22, 2026, 7:58\u00a0AM UTC\n"
        "\n"
        "The harbour gate was closed at 06:40.\n"
        "\n"
        "Ferries stay [1].\n"
        "[1] https://f.example/\n"
        "\n"
        "Read on:\n"
        "https://gazette.riverton.example/live#17\n"
        "\n"
        "----------------------------------------\n"
        "\n"
        "You get this because you follow The flood and Harbour at Riverton Live:\n"
        "key events only.\n"
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


def test_a_key_event_as_html() -> None:
    rendered = RENDERER.render(ALERT)
    page = LexborHTMLParser(rendered.html)
    assert '<html lang="en" dir="ltr">' in rendered.html
    assert [node.text() for node in page.css("title, h1")] == ["Harbour gate closed"] * 2
    assert [link.attributes["href"] for link in page.css("a")] == [
        "https://gazette.riverton.example/live#17",
        "https://f.example/",
        "https://gazette.riverton.example/live#17",
        f"https://alerts.riverton.example/u/{rendered.hole}",
        f"https://alerts.riverton.example/u/{rendered.hole}/mail",
        "mailto:desk@riverton.example",
    ]
    text = page.body.text(separator=" ") if page.body else ""
    for words in (
        "Key event",
        "The flood and Harbour",
        "By Ana Petrović",
        "7:58\u00a0AM UTC",
        "4 Quay Street",
    ):
        assert words in text
    assert all(table.attributes.get("role") == "presentation" for table in page.css("table"))


def test_an_update_says_every_update_and_no_kicker() -> None:
    rendered = of(replace(ENTRY, is_key_event=None), frequency="every")
    for part in (rendered.text, rendered.html):
        assert "every update" in part.replace("\n", " ")
        assert "key event" not in part.lower()


@pytest.mark.parametrize(
    ("frequency", "choice"),
    [
        ("flash", "key events only"),
        ("every", "every update"),
        ("hourly", "an hourly digest"),
        ("daily", "a daily digest"),
        ("weekly", "a weekly digest"),
    ],
)
def test_a_mail_says_which_choice_brought_it(frequency: str, choice: str) -> None:
    rendered = of(ENTRY, frequency=frequency)
    for part in (rendered.text, rendered.html):
        why = f"You get this because you follow The flood and Harbour at Riverton Live: {choice}."
        assert why in part.replace("\n", " ")


def test_what_is_not_there_leaves_no_trace() -> None:
    site = replace(SITE, contact="", postal_address="")
    bare = EntryView("Gate closed", "", "", "", "", None, is_key_event=False, source="")
    rendered = Renderer(site, ()).render(replace(ALERT, entries=(bare,)))
    assert rendered.text.startswith(
        "The flood and Harbour\n\nGate closed\n\nNovember 22, 2026, 8:00\u00a0AM UTC\n\n---"
    )
    for part in (rendered.text, rendered.html):
        assert "Read on" not in part
        assert "By " not in part
        assert "Questions" not in part


@pytest.mark.parametrize(
    ("title", "text", "subject", "has_heading"),
    [
        ("", "The gate was closed.", "The gate was closed.", False),
        ("", "word " * 40, "word " * 15 + "word…", False),
        ("", "", "News from Riverton Live", True),
        ("The gate…", "The gate was closed.", "The gate…", False),
        ("The gate...", "The gate was closed.", "The gate...", False),
        ("The gate", "The gate was closed.", "The gate", True),
        ("Gate closed", "Gate closed", "Gate closed", True),
    ],
)
def test_a_missing_title_is_made_from_the_first_words(
    title: str, text: str, subject: str, has_heading: bool
) -> None:
    rendered = of(replace(ENTRY, title=title, text=text, html=""))
    assert rendered.subject == subject
    assert ("<h1" in rendered.html) == has_heading
    assert rendered.text.count("The gate was closed.") <= 1
    assert rendered.text.count("Gate closed") <= 1


def test_an_entry_of_html_alone_gets_its_subject_from_it() -> None:
    assert of(replace(ENTRY, title="", text="")).subject.startswith("The harbour gate was closed at 06:40.")


@pytest.mark.parametrize(
    "url",
    [
        "javascript:alert(1)",
        "//x.example",
        "https://",
        "https://x y",
        "https://x/\n",
        "http://[",
        "mailto:a@b",
    ],
)
def test_a_url_that_leads_nowhere_is_not_linked(url: str) -> None:
    rendered = of(replace(ENTRY, url=url))
    assert "Read on" not in rendered.text + rendered.html


def test_only_some_topics_are_named_and_the_rest_counted() -> None:
    rendered = of(ENTRY, topics=tuple(f"Topic {number}" for number in range(12)))
    assert "Topic 9, and 2 more topics at Riverton Live" in rendered.text.replace("\n", " ")
    assert "Topic 10" not in rendered.html


def test_a_long_entry_ends_at_a_paragraph_with_the_way_on() -> None:
    rendered = of(replace(ENTRY, html="<p>Überall steigt das Wasser, Stunde um Stunde.</p>" * 4000))
    assert len(wire(rendered)) < 100_000
    assert "Read the whole entry:\nhttps://gazette.riverton.example/live#17" in rendered.text
    assert "Read the whole entry" in rendered.html
    assert len(wire(rendered)) > 70_000
    assert rendered.html.count("<p>Überall steigt das Wasser, Stunde um Stunde.</p>") == rendered.text.count(
        "Überall"
    )
    nowhere = of(replace(ENTRY, url="", html="<p>Water.</p>" * 9000))
    assert "This entry is longer than a mail can be." in nowhere.text


@given(alerts)
def test_no_entry_breaks_its_mail(alert: AlertView) -> None:
    rendered = RENDERER.render(alert)
    assert 0 < len(rendered.subject) <= 160
    assert rendered.subject.isprintable() or "\u200d" in rendered.subject or not rendered.subject.isascii()
    assert rendered.text.count(rendered.hole) == rendered.html.count(rendered.hole) == 2
    assert rendered.hole not in rendered.subject
    assert len(rendered.hole) == 43
    assert len(wire(rendered)) < 100_000
    for node in elements(rendered.html):
        assert node.tag not in {"script", "img", "svg", "iframe", "form", "input", "object", "link", "base"}
        assert not any(name.startswith("on") or name in {"src", "background"} for name in node.attributes)
        assert re.match(r"https?:|mailto:|$", node.attributes.get("href") or "", re.IGNORECASE)
    assert sum(node.tag == "style" for node in elements(rendered.html)) == 1


def test_the_longest_and_worst_of_everything_still_fits() -> None:
    worst = "".join(fragment * 40 for fragment in FRAGMENTS)
    entry = EntryView(worst, worst, worst * 20, worst, "https://x.example/" + "=" * 600, None, None, worst)
    rendered = RENDERER.render(replace(ALERT, entries=(entry,), topics=("🚢" * 500,) * 30))
    assert len(wire(rendered)) < 100_000
    assert "Read the whole entry" in rendered.text


@pytest.mark.parametrize("paragraphs", [1, 2])
def test_a_frame_that_is_large_leaves_less_to_a_story_that_fits_its_own_room(paragraphs: int) -> None:
    topics = tuple("漢" * 78 + f"{number:02}" for number in range(10))
    for words in range(400, 700, 50):
        story = f"<p>{'漢漢漢漢漢 ' * (words // paragraphs)}</p>" * paragraphs
        rendered = of(replace(ENTRY, title="漢" * 150, html=story), topics=topics)
        assert len(wire(rendered)) < 100_000


def test_two_renderings_make_the_same_bytes() -> None:
    one, two = RENDERER.render(ALERT), Renderer(SITE, ()).render(ALERT)
    assert one.hole != two.hole
    assert pack(prepare(one, HEADERS)) == pack(prepare(two, HEADERS))


def test_threads_share_a_renderer() -> None:
    views = [replace(ALERT, language=language) for language in ("en", "de", "en-GB", "de-AT") * 8]
    fresh = Renderer(SITE, ())
    with ThreadPoolExecutor(8) as pool:
        texts = [each.text.replace(each.hole, "") for each in pool.map(fresh.render, views)]
    assert texts == [each.text.replace(each.hole, "") for each in map(RENDERER.render, views)]


@pytest.mark.parametrize(
    ("language", "lang", "words"),
    [
        ("de", "de", "22. November 2026, 07:58 UTC"),
        ("de-AT", "de-AT", "Auswahl ändern oder abbestellen"),
        ("en-GB", "en-GB", "22 November 2026"),
        ("ar", "en", "November 22, 2026"),
        ("nonsense", "en", "Change what you get"),
    ],
)
def test_words_dates_and_lists_speak_one_language(language: str, lang: str, words: str) -> None:
    rendered = of(ENTRY, language=language)
    assert words in rendered.text
    assert f'<html lang="{lang}" dir="ltr">' in rendered.html


# A site's own templates.


def site_folder(tmp_path: Path, **templates: str) -> Path:
    for name, source in templates.items():
        path = tmp_path / "mail" / "alert" / name.replace("_", ".")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(source, encoding="utf-8")
    return tmp_path


def test_a_sites_folder_is_searched_first(tmp_path: Path) -> None:
    folder = site_folder(tmp_path, body_txt="{{ entries[0].headline }}!\n{{ manage_url }}")
    rendered = Renderer(SITE, (folder,)).render(ALERT)
    assert rendered.text == f"Harbour gate closed!\nhttps://alerts.riverton.example/u/{rendered.hole}\n"
    assert "<h1" in rendered.html


def test_a_sites_template_may_build_on_ours(tmp_path: Path) -> None:
    folder = site_folder(
        tmp_path,
        subject_txt="Flood: {% include 'builtin/mail/alert/subject.txt' %}",
        body_txt="{% extends 'builtin/mail/alert/body.txt' %}{% block foot %}Bye: {{ manage_url }}{% endblock %}",
    )
    rendered = Renderer(SITE, (folder,)).render(ALERT)
    assert rendered.subject == "Flood: Harbour gate closed"
    assert rendered.text.endswith(f"\n\nBye: https://alerts.riverton.example/u/{rendered.hole}\n")


def test_the_example_in_the_reference_works(tmp_path: Path) -> None:
    example = REFERENCE.read_text(encoding="utf-8").partition("```jinja\n")[2].partition("```")[0]
    rendered = Renderer(SITE, (site_folder(tmp_path, body_txt=example),)).render(ALERT)
    assert rendered.text.endswith(
        f"\n\nBye for now. To leave: https://alerts.riverton.example/u/{rendered.hole}\n"
    )


def test_the_reference_names_all_that_templates_get(tmp_path: Path) -> None:
    names = re.findall(
        r"`(\w+)`", REFERENCE.read_text(encoding="utf-8").partition("## Your own templates")[2]
    )
    values = "{{ [" + ", ".join(name for name in TEMPLATE_NAMES) + "]|length }} {{ manage_url }}"
    rendered = Renderer(SITE, (site_folder(tmp_path, body_txt=values),)).render(ALERT)
    assert rendered.text.startswith(f"{len(TEMPLATE_NAMES)} ")
    assert set(TEMPLATE_NAMES) | {field.name for field in fields(ShownEntry)} <= set(names)


def test_a_site_may_bring_words(tmp_path: Path) -> None:
    catalog = tmp_path / "locale" / "fr" / "LC_MESSAGES" / "alerts.po"
    catalog.parent.mkdir(parents=True)
    catalog.write_text(
        'msgid ""\nmsgstr "Content-Type: text/plain; charset=utf-8\\n"\n\nmsgid "Read on:"\nmsgstr "Suite :"\n'
    )
    rendered = Renderer(SITE, (tmp_path,)).render(replace(ALERT, language="fr"))
    assert "Suite :" in rendered.text
    assert "22 novembre 2026, 07:58 UTC" in rendered.text


@pytest.mark.parametrize(
    ("source", "message"),
    [
        ("{{ manage_url }} {{ missing }}", "'missing' is undefined"),
        ("{{ manage_url }} {{ entries[0].missing }}", "has no attribute 'missing'"),
        ("{{ manage_url }} {{ entries[7].url }}", "undefined|out of range|no element"),
        ("{{ manage_url }} {{ ''.__class__.__mro__ }}", "unsafe"),
        ("{{ manage_url }} {{ topics.clear() }}", "unsafe"),
        ("{{ manage_url }} {{ 1 / 0 }}", "ZeroDivisionError"),
        ("no link", "must show {{ manage_url }}"),
        ("{{ manage_url|upper }}", "must show {{ manage_url }}"),
        ("{{ browser_url }}", "must show {{ manage_url }}"),
    ],
)
def test_a_template_that_fails_is_told_to_the_operator(tmp_path: Path, source: str, message: str) -> None:
    renderer = Renderer(SITE, (site_folder(tmp_path, body_txt=source),))
    with pytest.raises(ConfigError, match=message):
        renderer.render(ALERT)
    with pytest.raises(ConfigError, match=message):
        renderer.warm_up("en", ALERT.released_at)


def test_a_template_that_cannot_be_parsed_stops_the_start(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"body\.html, line 2"):
        Renderer(SITE, (site_folder(tmp_path, body_html="fine\n{% endfor %}"),))


def test_translations_that_cannot_be_read_are_named(tmp_path: Path) -> None:
    catalog = tmp_path / "locale" / "en" / "LC_MESSAGES" / "alerts.po"
    catalog.parent.mkdir(parents=True)
    catalog.write_bytes(b'msgid "\xff"\nmsgstr ""\n')
    with pytest.raises(ConfigError, match=r"alerts\.po"):
        Renderer(SITE, (tmp_path,))
