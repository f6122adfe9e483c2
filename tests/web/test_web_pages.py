"""The pages over real HTTP: what they show, what they change, and what they never do."""

import asyncio
import re
from base64 import b64encode
from collections.abc import AsyncIterator
from dataclasses import replace
from hashlib import sha256
from pathlib import Path

import aiohttp
import pytest
import sqlalchemy as sa
import structlog

from alerts.audience import subscribers
from alerts.audience.tokens import Purpose, make
from alerts.db import Database
from alerts.errors import ConfigError
from alerts.web.guard import BODY_LIMIT
from alerts.web.pages import Pages
from alerts.web.server import WebServer
from alerts.web.signup import Terms
from build import NOW, a_reader, a_topic, follows
from visiting import (
    KEYS,
    ONE_CLICK,
    SITE,
    UNKNOWN_ALERT,
    Start,
    a_story,
    buttons,
    choosing,
    fields_of,
    following,
    link_of,
    pages_of,
    rows,
    said,
)

ROOT = Path(__file__).parents[2]

ALL = {"storm": "every", "trains": "flash", "sport": "every", "arts": "flash"}


async def test_the_page_says_what_the_reader_follows(db: Database, start: Start) -> None:
    story = a_story(db)
    answer = await (await start(db)).get(story.link)
    assert answer.status == 200
    assert answer.headers["Content-Type"] == "text/html; charset=utf-8"
    assert "Your mail came for Ferries &amp; trains and Storm on the coast" in answer.text
    # The topics that brought the mail come first.
    titles = re.findall(r'<label for="(?:topic|more)-\d"[^>]*>(.*?)</label>', answer.text)
    assert titles == ["Ferries &amp; trains", "Storm on the coast", "Arts", "Sport", "Weather"]
    assert buttons(answer.text) == [
        "Stop Ferries & trains",
        "Stop Storm on the coast",
        "Stop all alerts",
        "One mail a day instead",
        "Pause for a week",
        "Save",
        "Save",
        "Another time zone …",
        "For a week",
        "For a month",
        "Pause",
        "Ask for the change",
        "Send me the link",
        "Erase me …",
    ]


async def test_the_page_gives_nothing_away(sqlite_db: Database, start: Start) -> None:
    story = a_story(sqlite_db)
    text = (await (await start(sqlite_db)).get(story.link)).text
    assert "r…@example.org" in text
    assert "rosalind" not in text
    assert story.link.removeprefix("/u/") not in text
    assert "<script" not in text
    assert "src=" not in text


async def test_a_get_changes_no_row(db: Database, start: Start) -> None:
    story = a_story(db)
    site = await start(db)
    before = rows(db)
    for method in ("GET", "HEAD"):
        for tail in ("", "?List-Unsubscribe=One-Click", "?action=stop-all"):
            assert (await site.ask(method, story.link + tail)).status == 200
        assert (await site.ask(method, story.link, data=ONE_CLICK)).status == 200
    assert (await site.ask("HEAD", story.link)).text == ""
    assert rows(db) == before


@pytest.mark.parametrize("is_multipart", [False, True])
async def test_one_click_ends_the_topics_that_brought_the_mail(
    db: Database, start: Start, is_multipart: bool
) -> None:
    story = a_story(db)
    site = await start(db)
    form = aiohttp.FormData(ONE_CLICK, default_to_multipart=is_multipart)
    answer = await site.ask("POST", story.link, data=form)
    assert answer.status == 200
    assert not {"Location", "Set-Cookie"} & set(answer.headers)
    assert following(db, story.reader) == {"sport": "every", "arts": "flash"}
    changed = rows(db)
    assert {event[5] for event in changed["subscription_event"]} == {"reader"}
    assert (await site.post(story.link, *ONE_CLICK.items())).status == 200
    assert rows(db) == changed


@pytest.mark.parametrize("kind", ["application/x-www-form-urlencoded", "text/plain; charset=utf-8", "", None])
@pytest.mark.parametrize(
    "body",
    [b"List-Unsubscribe=One-Click", b"List-Unsubscribe=One-Click\r\n", b"list-unsubscribe=one-click\n"],
)
async def test_one_click_counts_as_mail_programs_really_send_it(
    sqlite_db: Database, start: Start, kind: str | None, body: bytes
) -> None:
    story = a_story(sqlite_db)
    headers = {} if kind is None else {"Content-Type": kind}
    answer = await (await start(sqlite_db)).ask(
        "POST", story.link, data=body, headers=headers, skip_auto_headers=["Content-Type"]
    )
    assert (answer.status, following(sqlite_db, story.reader)) == (200, {"sport": "every", "arts": "flash"})


@pytest.mark.parametrize(
    "body", [b"", b"action=stop-all", b"List-Unsubscribe=One-Click&action=stop-all", b"\xff"]
)
async def test_what_nothing_declares_a_form_is_one_click_or_nothing(
    sqlite_db: Database, start: Start, body: bytes
) -> None:
    story = a_story(sqlite_db)
    site = await start(sqlite_db)
    before = rows(sqlite_db)
    answer = await site.ask("POST", story.link, data=body, headers={"Content-Type": "text/plain"})
    assert (answer.status, rows(sqlite_db)) == (400, before)


async def test_one_click_in_a_mail_the_ledger_forgot_ends_everything(db: Database, start: Start) -> None:
    story = a_story(db)
    answer = await (await start(db)).post(link_of(story.reader, UNKNOWN_ALERT), *ONE_CLICK.items())
    assert answer.status == 200
    assert following(db, story.reader) == {}


async def test_one_click_answers_a_stranger_the_same(sqlite_db: Database, start: Start) -> None:
    story = a_story(sqlite_db)
    site = await start(sqlite_db)
    before = rows(sqlite_db)
    unknown = await site.post("/u/no-such-token", *ONE_CLICK.items())
    nobody = await site.post(link_of(story.reader + 1, story.alert), *ONE_CLICK.items())
    assert rows(sqlite_db) == before
    known = await site.post(story.link, *ONE_CLICK.items())
    assert {(each.status, each.text) for each in (unknown, nobody, known)} == {(200, known.text)}


@pytest.mark.parametrize(
    "token", ["x", "a/b", "%2F..%2F", "x" * 4000, "%00%ff", "AQEAAAAAAAEAAAAAAAE", "\u00e9"]
)
async def test_one_click_is_answered_whatever_stands_in_the_path(
    sqlite_db: Database, start: Start, token: str
) -> None:
    site = await start(sqlite_db)
    before = rows(sqlite_db)
    for is_multipart in (False, True):
        form = aiohttp.FormData({"x": "y", **ONE_CLICK}, default_to_multipart=is_multipart)
        answer = await site.ask("POST", f"/u/{token}", data=form)
        assert (answer.status, rows(sqlite_db)) == (200, before)
        assert not {"Location", "Set-Cookie"} & set(answer.headers)


@pytest.mark.parametrize(
    "headers",
    [
        {"Origin": "null"},
        {"Origin": "https://mail.example", "Referer": "https://mail.example/inbox"},
        {"Origin": "https://mail.example", "Sec-Fetch-Site": "cross-site", "Sec-Fetch-Mode": "no-cors"},
        {"Sec-Fetch-Site": "none", "Sec-Fetch-User": "?1", "Cookie": "a=b"},
    ],
)
async def test_one_click_works_wherever_it_comes_from(
    sqlite_db: Database, start: Start, headers: dict[str, str]
) -> None:
    story = a_story(sqlite_db)
    answer = await (await start(sqlite_db)).ask("POST", story.link, data=ONE_CLICK, headers=headers)
    assert answer.status == 200
    assert following(sqlite_db, story.reader) == {"sport": "every", "arts": "flash"}


@pytest.mark.parametrize("purpose", [each for each in Purpose if each is not Purpose.MANAGE])
async def test_a_link_for_another_purpose_does_not_open_a_readers_page(
    sqlite_db: Database, start: Start, purpose: Purpose
) -> None:
    story = a_story(sqlite_db)
    site = await start(sqlite_db)
    before = rows(sqlite_db)
    token = make(KEYS, purpose, story.reader, story.alert, KEYS.current)
    assert (await site.get(f"/u/{token}")).status == 404
    assert (await site.post(f"/u/{token}", ("action", "stop-all"))).status == 404
    assert (await site.post(f"/u/{token}", *ONE_CLICK.items())).status == 200
    assert rows(sqlite_db) == before
    manage = story.link.removeprefix("/u/")
    assert (await site.get(f"/n/{manage}")).status == 404
    assert (await site.post(f"/n/{manage}", ("action", "stop-all"))).status == 404
    assert rows(sqlite_db) == before


async def test_stopping_a_topic_can_be_undone(db: Database, start: Start) -> None:
    story = a_story(db)
    site = await start(db)
    page = await site.get(story.link)
    stopped = await site.post(story.link, *fields_of(page.text, "Stop Ferries & trains"))
    assert "You get no more alerts about Ferries & trains." in said(stopped.text)
    assert following(db, story.reader) == {"storm": "every", "sport": "every", "arts": "flash"}
    undone = await site.post(story.link, *fields_of(stopped.text, "Undo"))
    assert "From now on you get key events only about Ferries & trains." in said(undone.text)
    assert following(db, story.reader) == ALL


async def test_changing_the_frequency_can_be_undone(db: Database, start: Start) -> None:
    story = a_story(db)
    site = await start(db)
    page = await site.get(story.link)
    changed = await site.post(story.link, *choosing(page.text, storm="flash"))
    assert "From now on you get key events only about Storm on the coast." in said(changed.text)
    assert following(db, story.reader) == ALL | {"storm": "flash"}
    undone = await site.post(story.link, *fields_of(changed.text, "Undo"))
    assert "From now on you get every update about Storm on the coast." in said(undone.text)
    assert following(db, story.reader) == ALL


async def test_stopping_everything_can_be_undone(db: Database, start: Start) -> None:
    story = a_story(db)
    site = await start(db)
    stopped = await site.post(story.link, ("action", "stop-all"))
    assert "All alerts are stopped." in stopped.text
    assert "You follow nothing, and get no alerts from us." in stopped.text
    assert following(db, story.reader) == {}
    again = await site.post(story.link, ("action", "stop-all"))
    assert "Undo" not in buttons(again.text)
    await site.post(story.link, *fields_of(stopped.text, "Undo"))
    assert following(db, story.reader) == ALL


async def test_a_form_sent_again_brings_nothing_back_that_was_stopped_since(
    db: Database, start: Start
) -> None:
    story = a_story(db)
    site = await start(db)
    page = await site.get(story.link)
    chosen = choosing(page.text, storm="daily", weather="weekly")
    stopped = await site.post(story.link, ("action", "stop-all"))
    undo = fields_of(stopped.text, "Undo")
    await site.post(story.link, *undo)
    await site.post(story.link, *fields_of(page.text, "Stop Storm on the coast"))
    left = {"trains": "flash", "sport": "every", "arts": "flash"}
    assert following(db, story.reader) == left, "to stop is never too late"
    again = await site.post(story.link, *undo)
    assert (again.status, following(db, story.reader)) == (200, left)
    assert "That page was older than your last change" in said(again.text)
    await site.post(story.link, *chosen)
    assert following(db, story.reader) == left | {"weather": "weekly"}


@pytest.mark.parametrize(
    "fields",
    [
        [("action", "save")],
        [("action", "save"), ("frequency.weather", "every:")],
        [("action", "save"), ("frequency.no such topic", ":daily")],
        [("action", "save"), ("frequency.storm", ":every")],
        [("action", "save"), ("frequency.storm", "every:every"), ("frequency.sport", "daily:daily")],
        [("action", "resume")],
        [("action", "keep-address")],
        [("action", "why"), ("reason", "other"), ("topic", "storm")],
        [("action", "why"), ("reason", "other"), ("topic", "weather")],
        [("action", "why"), ("reason", "other")],
        [("action", "place"), ("zone", "UTC"), ("hour", "7"), ("weekday", "0")],
    ],
)
async def test_what_is_so_already_or_not_the_readers_changes_nothing(
    db: Database, start: Start, fields: list[tuple[str, str]]
) -> None:
    story = a_story(db)
    site = await start(db)
    before = rows(db)
    answer = await site.post(story.link, *fields)
    assert (answer.status, rows(db)) == (200, before)
    assert "nothing had to be changed" in said(answer.text)


@pytest.mark.parametrize(
    ("body", "content_type"),
    [
        (b"action=dance", "application/x-www-form-urlencoded"),
        (b"action=save&frequency.storm=every", "application/x-www-form-urlencoded"),
        (b"action=save&frequency.storm=every%3Ayearly", "application/x-www-form-urlencoded"),
        (b"action=place&zone=Mars/Base&hour=7&weekday=0", "application/x-www-form-urlencoded"),
        (b"action=place&zone=../etc/passwd&hour=7&weekday=0", "application/x-www-form-urlencoded"),
        (b"action=place&zone=UTC&hour=24&weekday=0", "application/x-www-form-urlencoded"),
        (b"action=pause&days=0", "application/x-www-form-urlencoded"),
        (b"action=pause&until=yesterday", "application/x-www-form-urlencoded"),
        (b"action=pause&until=2020-01-01", "application/x-www-form-urlencoded"),
        (b"action=pause&until=9999-12-31", "application/x-www-form-urlencoded"),
        (b"action=address&address=nobody", "application/x-www-form-urlencoded"),
        (b"action=why&reason=spite", "application/x-www-form-urlencoded"),
        (b"", "application/x-www-form-urlencoded"),
        (b"not parts", "multipart/form-data; boundary=x"),
        (b"not parts", "multipart/form-data"),
        (b"\xff\xfe=\x00&%ff=%zz", "application/x-www-form-urlencoded"),
        (b"&".join(b"a=1" for _ in range(1001)), "application/x-www-form-urlencoded"),
    ],
)
async def test_a_form_we_do_not_understand_changes_nothing(
    sqlite_db: Database, start: Start, body: bytes, content_type: str
) -> None:
    story = a_story(sqlite_db)
    site = await start(sqlite_db)
    before = rows(sqlite_db)
    answer = await site.ask("POST", story.link, data=body, headers={"Content-Type": content_type})
    assert (answer.status, rows(sqlite_db)) == (400, before)


async def test_a_link_that_is_not_ours_is_no_oracle(sqlite_db: Database, start: Start) -> None:
    story = a_story(sqlite_db)
    site = await start(sqlite_db)
    token = story.link.removeprefix("/u/")
    wrong = [
        f"/u/{token[:-1]}",
        f"/u/{token[:20]}{'A' if token[20] != 'A' else 'B'}{token[21:]}",
        f"/u/{token}/",
        "/u/",
        "/n/",
    ]
    answers = [await site.get(path) for path in wrong]
    answers += [await site.post(path, ("action", "stop-all")) for path in wrong]
    assert {answer.status for answer in answers} == {404}
    assert len({answer.text for answer in answers}) == 1
    assert "This link does not work" in answers[0].text


async def test_an_erased_readers_link_says_so(sqlite_db: Database, start: Start) -> None:
    story = a_story(sqlite_db)
    with sqlite_db.begin() as session:
        erased = a_reader(session, "gone@example.org")
        subscribers.erase(session, erased, by="operator", now=NOW)
    site = await start(sqlite_db)
    links = [link_of(erased, story.alert), link_of(story.reader + 7, story.alert)]
    answers = [await site.get(link) for link in links]
    answers += [await site.post(link, ("action", "stop-all")) for link in links]
    assert {answer.status for answer in answers} == {410}
    assert len({answer.text for answer in answers}) == 1
    assert "Nothing is kept here any more" in answers[0].text


@pytest.mark.parametrize("is_announced", [True, False])
async def test_a_body_beyond_the_limit_is_refused(
    sqlite_db: Database, start: Start, is_announced: bool
) -> None:
    story = a_story(sqlite_db)
    site = await start(sqlite_db)
    before = rows(sqlite_db)
    body = b"List-Unsubscribe=One-Click&more=" + b"x" * BODY_LIMIT

    async def in_parts() -> AsyncIterator[bytes]:
        yield body

    headers = {"Content-Type": "application/x-www-form-urlencoded"}
    data = body if is_announced else in_parts()
    answer = await site.ask("POST", story.link, data=data, headers=headers)
    assert (answer.status, rows(sqlite_db)) == (413, before)
    fits = body[:BODY_LIMIT]
    assert (await site.ask("POST", story.link, data=fits, headers=headers)).status == 200


async def test_every_answer_carries_the_headers(sqlite_db: Database, start: Start) -> None:
    story = a_story(sqlite_db)
    site = await start(sqlite_db)
    asked = [
        ("GET", "/livez", 200),
        ("HEAD", "/readyz", 200),
        ("GET", story.link, 200),
        ("HEAD", story.link, 200),
        ("POST", story.link, 400),
        ("GET", "/u/unknown", 404),
        ("GET", "/elsewhere", 404),
        ("PUT", story.link, 405),
        ("DELETE", "/livez", 405),
    ]
    answers = [(await site.ask(method, path), status) for method, path, status in asked]
    answers.append((await site.ask("POST", story.link, data={"x": "x" * BODY_LIMIT}), 413))
    sqlite_db.close()
    answers.append((await site.get(story.link), 500))
    for answer, status in answers:
        assert answer.status == status
        policy = answer.headers["Content-Security-Policy"]
        assert "default-src 'none'" in policy
        assert "form-action 'self'" in policy
        assert "frame-ancestors 'none'" in policy
        assert "unsafe" not in policy
        assert answer.headers["Referrer-Policy"] == "no-referrer"
        assert answer.headers["X-Content-Type-Options"] == "nosniff"
        assert answer.headers["Cache-Control"] == "no-store"
        assert "Permissions-Policy" in answer.headers
        assert not {"Set-Cookie", "Server"} & set(answer.headers)


async def test_a_failure_is_told_and_asks_to_be_tried_again(sqlite_db: Database, start: Start) -> None:
    story = a_story(sqlite_db)
    site = await start(sqlite_db)
    with sqlite_db.begin() as session:
        session.execute(sa.text("ALTER TABLE subscriber RENAME TO elsewhere"))
    for answer in (await site.get(story.link), await site.post(story.link, *ONE_CLICK.items())):
        assert (answer.status, answer.headers["Retry-After"]) == (503, "60")
        assert "Something went wrong on our side" in answer.text


@pytest.mark.parametrize(
    ("accepted", "language", "site"),
    [("de-CH, en;q=0.5", "de-CH", "en"), ("fr", "de", "de"), ("en", "en", "de")],
)
async def test_who_is_not_known_reads_of_a_failure_in_their_language_or_the_sites(
    sqlite_db: Database, start: Start, accepted: str, language: str, site: str
) -> None:
    story = a_story(sqlite_db)
    asked = await start(sqlite_db, language=site)
    paths = [
        ("/u/unknown", 404),
        (link_of(story.reader + 1, story.alert), 410),
        (f"{story.link}/mail", 404),
        (f"/n/{make(KEYS, Purpose.OWN, 7, 0, KEYS.current)}", 410),
        (f"/n/{make(KEYS, Purpose.CONFIRM, 7, 0, KEYS.current)}", 410),
        (f"/n/{make(KEYS, Purpose.NEW_ADDRESS, 7, 0, KEYS.current)}", 410),
    ]
    headers = {"Accept-Language": accepted}
    answers = [(await asked.get(path, headers=headers), status) for path, status in paths]
    sqlite_db.close()
    answers.append((await asked.get(story.link, headers=headers), 500))
    for answer, status in answers:
        assert answer.status == status
        assert f'<html lang="{language}"' in answer.text


@pytest.mark.parametrize(
    ("method", "path", "allowed"),
    [
        ("PUT", "/u/TOKEN", "GET, HEAD, POST"),
        ("OPTIONS", "/n/TOKEN", "GET, HEAD, POST"),
        ("DELETE", "/u/TOKEN/mail", "GET, HEAD, POST"),
        ("OPTIONS", "/signup", "GET, HEAD, POST"),
        ("PATCH", "/link", "GET, HEAD, POST"),
        ("POST", "/", "GET, HEAD"),
        ("POST", "/archive", "GET, HEAD"),
        ("PUT", "/websub/x", "GET, POST"),
        ("POST", "/livez", "GET, HEAD"),
    ],
)
async def test_another_method_is_told_which_there_are_and_changes_nothing(
    sqlite_db: Database, start: Start, method: str, path: str, allowed: str
) -> None:
    story = a_story(sqlite_db)
    site = await start(sqlite_db, terms=Terms())
    before = rows(sqlite_db)
    path = path.replace("TOKEN", story.link.removeprefix("/u/"))
    answer = await site.ask(method, path, data={"action": "stop-all"}, headers={"Accept-Language": "de"})
    assert (answer.status, answer.headers["Allow"], rows(sqlite_db)) == (405, allowed, before)
    is_for_programs = path.startswith(("/websub/", "/livez"))
    assert answer.headers["Content-Type"] == f"text/{'plain' if is_for_programs else 'html'}; charset=utf-8"
    assert ("Das geht hier nicht" in answer.text) is not is_for_programs


@pytest.mark.parametrize(
    ("kind", "status", "heading"),
    [
        ("application/x-www-form-urlencoded", 413, "Das war zu viel"),
        ("multipart/form-data", 400, "Wir konnten dieses Formular nicht lesen"),
    ],
)
async def test_a_form_that_is_refused_is_told_in_the_readers_language(
    sqlite_db: Database, start: Start, kind: str, status: int, heading: str
) -> None:
    site = await start(sqlite_db, terms=Terms())
    headers = {"Accept-Language": "de", "Content-Type": kind}
    for path in ("/signup", "/link", "/u/unknown", "/n/unknown"):
        answer = await site.ask("POST", path, data=b"x" * (BODY_LIMIT + 1), headers=headers)
        assert (answer.status, f"<h1>{heading}</h1>" in answer.text) == (status, True)


def test_what_names_no_reader_is_made_once_in_a_language() -> None:
    pages = Pages(SITE, ())
    assert pages.missing("de", can_sign_up=True) is pages.missing("xx, de, en;q=0.5", can_sign_up=True)
    assert pages.missing("de", can_sign_up=True) != pages.missing("de", can_sign_up=False)
    refusals = [[pages.refused(status, "en") for status in (400, 405, 413, 503)] for _ in range(2)]
    assert all(first is second for first, second in zip(*refusals, strict=True))
    assert len(set(refusals[0])) == 4


async def test_who_types_an_address_is_helped_on(sqlite_db: Database, start: Start) -> None:
    a_story(sqlite_db)
    site, alone = await start(sqlite_db, terms=Terms()), await start(sqlite_db)
    for path in ("/sing-up", "/archive/strom", "/archive/storm/more", "//signup//", "/u"):
        answer = await site.get(path)
        assert (answer.status, re.findall('href="(/.*?)"', answer.text)) == (404, ["/", "/archive"])
        assert "There is no such page" in answer.text
    assert re.findall('href="(/.*?)"', (await alone.get("/")).text) == ["/archive"]


async def test_a_slash_too_many_leads_to_the_page_but_says_no_token_again(
    sqlite_db: Database, start: Start
) -> None:
    story = a_story(sqlite_db)
    site = await start(sqlite_db, terms=Terms())
    for path, place in (
        ("/signup/?topic=storm", "/signup?topic=storm"),
        ("/archive/", "/archive"),
        ("/archive/a%0Db/", "/archive/a%0Db"),
    ):
        answer = await site.ask("HEAD", path)
        assert (answer.status, answer.headers["Location"]) == (308, place)
    for method, path in (("POST", "/signup/"), ("GET", f"{story.link}/"), ("GET", "//example.org/")):
        answer = await site.ask(method, path)
        assert (answer.status, answer.headers.get("Location")) == (404, None)


async def test_a_secure_site_is_never_asked_without_tls(sqlite_db: Database) -> None:
    for base_url, expected in (("https://alerts.example", "max-age=31536000"), ("http://localhost", None)):
        app = pages_of(sqlite_db, site=replace(SITE, base_url=base_url))
        server = WebServer(app, "127.0.0.1", 0)
        await server.start()
        url = f"http://127.0.0.1:{server.port}/livez"
        async with aiohttp.ClientSession() as client, client.get(url) as answer:
            assert answer.headers.get("Strict-Transport-Security") == expected
        await server.stop()


async def test_the_sign_up_page_can_be_found_and_what_a_token_opens_cannot(
    sqlite_db: Database, start: Start
) -> None:
    story = a_story(sqlite_db)
    site = await start(sqlite_db, terms=Terms())
    found = await site.get("/?topic=storm&from=footer")
    assert "noindex" not in found.headers["X-Robots-Tag"] + found.text
    assert '<link rel="canonical" href="https://alerts.example/">' in found.text
    for path in (story.link, f"{story.link}/mail", "/n/unknown", "/link", "/sing-up"):
        hidden = await site.get(path)
        assert "noindex" in hidden.headers["X-Robots-Tag"]
        assert "noindex" in hidden.text


async def test_no_token_and_no_address_reaches_a_log(
    sqlite_db: Database, start: Start, caplog: pytest.LogCaptureFixture, capfd: pytest.CaptureFixture[str]
) -> None:
    story = a_story(sqlite_db)
    caplog.set_level(1)
    with structlog.testing.capture_logs() as events:
        site = await start(sqlite_db)
        for answer in (
            await site.get(story.link),
            await site.get(f"{story.link}/elsewhere"),
            await site.ask("PUT", story.link),
            await site.post(story.link, ("action", "save"), ("frequency.trains", "flash:")),
            await site.post(story.link, ("action", "address"), ("address", "rosalind@example.net")),
            await site.post(story.link, ("action", "link")),
            await site.post(
                story.link, ("action", "place"), ("zone", "Asia/Tokyo"), ("hour", "9"), ("weekday", "3")
            ),
            await site.post(story.link, *ONE_CLICK.items()),
            await site.ask("POST", story.link, data={"x": "x" * BODY_LIMIT}),
        ):
            assert answer.status < 500
        with sqlite_db.begin() as session:
            session.execute(sa.text("ALTER TABLE subscriber RENAME TO elsewhere"))
        assert (await site.get(story.link)).status == 503
        reader, writer = await asyncio.open_connection("127.0.0.1", int(site.url.rpartition(":")[2]))
        writer.write(f"GET {story.link} HTTP/nonsense\r\n\r\n".encode())
        assert b"400" in await reader.readline()
        writer.close()
    assert "request_failed" in [event["event"] for event in events]
    output = capfd.readouterr()
    written = f"{events!r}{caplog.text}{[vars(each) for each in caplog.records]!r}{output.out}{output.err}"
    assert story.link.removeprefix("/u/") not in written
    assert "rosalind" not in written
    assert "Tokyo" not in written


async def test_health(db: Database, start: Start) -> None:
    site = await start(db)
    for path in ("/livez", "/readyz"):
        answer = await site.get(path)
        assert (answer.status, answer.text) == (200, "ok\n")


async def test_readiness_says_what_is_missing(tmp_path: Path, start: Start) -> None:
    empty = Database(f"sqlite:///{tmp_path}/empty.db")
    away = Database("postgresql://nobody@127.0.0.1:1/nothing")
    for database, reason in (
        (empty, "The database is empty: run `alerts db upgrade` once.\n"),
        (away, "The database does not answer.\n"),
    ):
        site = await start(database)
        answer = await site.get("/readyz")
        assert (answer.status, answer.text) == (503, reason)
        assert (await site.get("/livez")).status == 200
        database.close()


async def test_what_a_topic_is_called_is_only_text(sqlite_db: Database, start: Start) -> None:
    story = a_story(sqlite_db, suppressed="dead")
    with sqlite_db.begin() as session:
        sly = a_topic(
            session, "sly", title="<script>alert(1)</script>", description='"><form>', is_active=False
        )
        follows(session, story.reader, sly)
        follows(session, story.reader, a_topic(session, "keys", title="Key", key_events_only=True))
    site = await start(sqlite_db)
    stopped = await site.post(story.link, ("action", "save"), ("frequency.sly", "every:"))
    page = await site.post(story.link, *fields_of(stopped.text, "Undo"))
    for text in (stopped.text, page.text):
        assert "<script" not in text
        assert "&lt;script&gt;" in text
        assert '"><form>' not in text
    assert "This topic is paused" in page.text
    assert "It has key events and nothing else." in page.text
    assert "We send nothing to this address at present" in page.text


async def test_the_style_sheet_is_the_one_the_policy_names(
    sqlite_db: Database, start: Start, tmp_path: Path
) -> None:
    story = a_story(sqlite_db)
    (tmp_path / "web").mkdir()
    (tmp_path / "web" / "style.css").write_text('body { font-family: "Own > Sans" }\n')
    policies = set()
    for folders in ([], [tmp_path]):
        answer = await (await start(sqlite_db, folders)).get(story.link)
        style = re.findall(r"<style>(.*?)</style>", answer.text, re.DOTALL)[0]
        policies.add(answer.headers["Content-Security-Policy"])
        assert source_of(style) in answer.headers["Content-Security-Policy"]
    assert 'font-family: "Own > Sans"' in style
    assert len(policies) == 2


def source_of(style: str) -> str:
    return f"'sha256-{b64encode(sha256(style.encode()).digest()).decode()}'"


def test_a_template_that_cannot_be_read_is_refused_at_start(sqlite_db: Database, tmp_path: Path) -> None:
    (tmp_path / "web").mkdir()
    for text in ("{% if %}", "{{ no_such_value }}"):
        (tmp_path / "web" / "gone.html").write_text(text)
        with pytest.raises(ConfigError, match="template"):
            pages_of(sqlite_db, [tmp_path])


async def test_a_reader_is_spoken_to_in_their_language(sqlite_db: Database, start: Start) -> None:
    story = a_story(sqlite_db, language="de")
    answer = await (await start(sqlite_db)).post(story.link, ("action", "stop-all"))
    assert '<html lang="de" dir="ltr">' in answer.text
    assert "Sie erhalten keine Meldungen mehr." in answer.text


def test_the_reference_names_every_route(sqlite_db: Database) -> None:
    text = (ROOT / "docs/reference/web.md").read_text()
    documented = set(re.findall(r"^\| `([A-Z]+) (/\S*)` \|", text, re.MULTILINE))
    app = pages_of(sqlite_db, terms=Terms())
    served = {
        (method, route.path)  # type: ignore[attr-defined]  # every route of ours has both
        for route in app.routes
        for method in route.methods  # type: ignore[attr-defined]
    }
    assert documented == {each for each in served if each[0] != "HEAD"}
    assert str(BODY_LIMIT // 1024) in text
