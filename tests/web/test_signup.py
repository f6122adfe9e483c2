"""Signing up over real HTTP: what the pages say, what they do, and what nobody learns from them."""

import asyncio
import re
import statistics
from base64 import b64encode
from collections.abc import Awaitable, Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from hashlib import sha256
from string import ascii_lowercase, digits
from time import monotonic

import aiohttp
import pytest
import sqlalchemy as sa
import structlog
from hypothesis import given
from hypothesis import strategies as st
from sqlmodel import Session, SQLModel, col, select

from alerts.audience import notices as asking
from alerts.audience import signups, subscribers, suppressions
from alerts.audience.addresses import normalise
from alerts.audience.offers import offers
from alerts.audience.signups import HourlyLimits
from alerts.audience.tokens import Purpose, make
from alerts.db import Database
from alerts.mail.views import Archive
from alerts.models import (
    AlertEntry,
    AlertState,
    Audit,
    Consent,
    Frequency,
    Notice,
    NoticeKind,
    SignUp,
    Subscriber,
    Tally,
    Topic,
    Wording,
)
from alerts.web import signup_form
from alerts.web.app import create
from alerts.web.guard import BODY_LIMIT
from alerts.web.pages import Pages
from alerts.web.signup import Terms
from alerts.web.signup_form import TRAP, Filled
from alerts.web.signup_pages import SignUpPages
from alerts.web.websub import Callbacks
from build import a_feed, a_reader, a_topic, an_alert, an_entry
from signing_up import ANN, KEYS, SITE, Answer, Visitor, following, link_of, notices, visiting

NOW = datetime.now(UTC)
TOKEN = make(KEYS, Purpose.MANAGE, 1, 2, KEYS.current)
LONG_AGO = NOW - timedelta(days=60)
SECOND = timedelta(seconds=1)
GENEROUS = Terms(limits=HourlyLimits(10**6, 10**6, 10**6))


@pytest.fixture
def topics(db: Database) -> dict[str, int]:
    return some_topics(db)


@pytest.fixture
def sqlite_topics(sqlite_db: Database) -> dict[str, int]:
    return some_topics(sqlite_db)


def some_topics(database: Database) -> dict[str, int]:
    with database.begin() as session:
        return {
            "storm": a_topic(
                session, "storm", title="Storm <on> the coast", description="By the hour", now=LONG_AGO
            ),
            "keys": a_topic(session, "keys", title="Key events", key_events_only=True, now=LONG_AGO),
            "paused": a_topic(session, "paused", is_active=False),
        }


def rows(database: Database, *but: type[SQLModel]) -> dict[str, list[object]]:
    """Dumps every table but some."""
    left_out = {each.__tablename__ for each in but}
    with database.begin() as session:
        return {
            table.name: [tuple(row) for row in session.execute(sa.select(table).order_by(*table.primary_key))]
            for table in SQLModel.metadata.sorted_tables
            if table.name not in left_out
        }


# --- the page --------------------------------------------------------------------------------------------


async def test_the_page_says_what_each_topic_really_sent(db: Database, topics: dict[str, int]) -> None:
    storm, keys = topics["storm"], topics["keys"]
    every, flash = [Frequency.EVERY], [Frequency.FLASH, Frequency.EVERY]
    with db.begin() as session:
        entry = an_entry(
            session, a_feed(session), title="The <pier> is closed", text="It is closed until noon."
        )
        gone = an_entry(session, 1, "gone", title="Not so", withdrawn_at=NOW)
        number = 0
        for day, updates in enumerate([4] * 16 + [9] * 13 + [30], start=1):
            for each in range(updates):
                number += 1
                audience = {storm: flash if each == 0 else every} | ({keys: flash} if each == 0 else {})
                at = NOW - timedelta(days=day) + SECOND * each
                an_alert(session, audience, cause=f"entry:{number}", now=at, state=AlertState.DONE)
        told = an_alert(session, {storm: every, keys: [Frequency.FLASH]}, cause="told", now=NOW - SECOND)
        session.add(AlertEntry(alert_id=told, entry_id=entry, revision=1))
        taken_back = an_alert(session, {storm: every}, cause="taken back", now=NOW)
        session.add(AlertEntry(alert_id=taken_back, entry_id=gone, revision=1))
        held = an_alert(session, {storm: every}, cause="held", state=AlertState.HELD, released_at=None)
        session.add(AlertEntry(alert_id=held, entry_id=gone, revision=1))
        an_alert(session, {storm: ["daily"]}, cause="digest", now=NOW, frequency="daily")  # type: ignore[list-item] # as stored
    async with visiting(db) as visitor:
        page = await visitor.get("/")
    assert page.status == 200
    told_of = re.findall(
        r'<label for="offer[^>]*>(.*?)</label>.*?<dl class="amounts">(.*?)</dl>', page.text, re.DOTALL
    )
    plain = {title: " ".join(re.sub(r"<[^>]*>", " ", text).split()) for title, text in told_of}
    assert plain["Storm &lt;on&gt; the coast"].startswith("Updates 4 on a typical day, 30 on the busiest (")
    assert "Key events 1 a day" in plain["Storm &lt;on&gt; the coast"]
    assert plain["Key events"] == "Key events 1 a day"
    assert page.text.count("The &lt;pier&gt; is closed") == 2
    assert page.text.count("It is closed until noon.") == 2
    assert "Not so" not in page.text
    assert "paused" not in page.text.lower().replace("your alerts are paused", "")


async def test_without_an_archive_no_alert_is_shown_to_strangers(
    sqlite_db: Database, sqlite_topics: dict[str, int]
) -> None:
    with sqlite_db.begin() as session:
        entry = an_entry(session, a_feed(session), title="For members")
        told = an_alert(session, {sqlite_topics["storm"]: [Frequency.EVERY]}, now=NOW - SECOND)
        session.add(AlertEntry(alert_id=told, entry_id=entry, revision=1))
        session.flush()
        found = offers(session, NOW)

    def shown(archive: Archive) -> str:
        return SignUpPages(Pages(replace(SITE, archive=archive), ())).form("en", found, Filled())

    assert "For members" in shown(Archive.UNLISTED)
    assert "For members" not in shown(Archive.OFF)
    assert "Storm &lt;on&gt; the coast" in shown(Archive.OFF)


async def test_a_new_topic_has_no_figures_and_a_quiet_one_says_so(sqlite_db: Database) -> None:
    with sqlite_db.begin() as session:
        a_topic(session, "new", now=NOW)
        a_topic(session, "quiet", now=LONG_AGO)
    async with visiting(sqlite_db) as visitor:
        page = await visitor.get("/signup")
    assert page.text.count("New: there are no figures yet.") == 1
    assert "none in 30 days" in page.text


async def test_each_topic_offers_what_makes_a_difference(
    sqlite_db: Database, sqlite_topics: dict[str, int]
) -> None:
    async with visiting(sqlite_db) as visitor:
        page = await visitor.get("/")
    every = ["", "flash", "every", "hourly", "daily", "weekly"]
    assert page.choices("frequency.storm") == every
    assert page.choices("frequency.keys") == [each for each in every if each != "every"]
    for topic in ("storm", "keys"):
        assert page.chosen(f"frequency.{topic}") == "", "nothing is chosen for anybody"


async def test_the_label_of_each_choice_is_the_topic(
    sqlite_db: Database, sqlite_topics: dict[str, int]
) -> None:
    async with visiting(sqlite_db) as visitor:
        page = await visitor.get("/")
    labels = dict(re.findall(r'<label for="(offer-\d)"[^>]*>(.*?)</label>', page.text))
    selects = re.findall(r'<select id="(offer-\d)" name="frequency.(\w+)"', page.text)
    assert {slug: labels[id_] for id_, slug in selects} == {
        "keys": "Key events",
        "storm": "Storm &lt;on&gt; the coast",
    }


async def test_a_link_may_choose_topics_and_say_where_it_stands(
    sqlite_db: Database, sqlite_topics: dict[str, int]
) -> None:
    async with visiting(sqlite_db) as visitor:
        page = await visitor.get("/?topic=storm&topic=keys&topic=nonsense&from=front-page")
        sly = await visitor.get("/?from=%3Cscript%3E&topic=%00")
    assert page.chosen("frequency.storm") == "every"
    assert page.chosen("frequency.keys") == "flash"
    assert page.field("from") == "front-page"
    assert sly.field("from") == ""


async def test_the_pages_speak_the_first_language_that_they_know(
    sqlite_db: Database, sqlite_topics: dict[str, int]
) -> None:
    async with visiting(sqlite_db, language="de") as visitor:
        spoken = {
            accepted: re.findall(r'<html lang="(.*?)" dir', (await visitor.get("/", **headers)).text)[0]
            for accepted, headers in {
                each: {"Accept-Language": each}
                for each in (
                    "en-GB,de;q=0.8",
                    "fr, de;q=0.5, en;q=0.9",
                    "xx,tlh",
                    "*",
                    "de;q=0, en",
                    "de;q=0.1.2,,;;q=,\xff",
                )
            }.items()
        }
    assert [*spoken.values()] == ["en-GB", "en", "de", "de", "en", "de"]


async def test_the_only_script_tells_the_zone_and_is_the_one_the_policy_names(
    sqlite_db: Database, sqlite_topics: dict[str, int]
) -> None:
    async with visiting(sqlite_db) as visitor:
        page = await visitor.get("/")
    (script,) = re.findall(r"<script>(.*?)</script>", page.text, re.DOTALL)
    digest = b64encode(sha256(script.encode()).digest()).decode()
    assert f"script-src 'sha256-{digest}'" in page.headers["Content-Security-Policy"]


async def test_strangers_cost_the_database_nothing(
    sqlite_db: Database, sqlite_topics: dict[str, int]
) -> None:
    statements = []
    sa.event.listen(sqlite_db.engine, "before_cursor_execute", lambda *given: statements.append(given[2]))
    async with visiting(sqlite_db) as visitor:
        await asyncio.gather(*[visitor.get("/") for _ in range(10)])
        asked = len(statements)
        await asyncio.gather(*[visitor.get("/") for _ in range(10)])
    assert len(statements) == asked


# --- signing up, and confirming ------------------------------------------------------------------------


async def test_a_visitor_becomes_a_reader_by_a_mail_and_one_button(
    db: Database, topics: dict[str, int]
) -> None:
    async with visiting(db) as visitor:
        sent = await visitor.sign_up(
            " Ann@Reader.Example.ORG ",
            {"storm": "daily", "keys": "flash"},
            zone="Europe/Berlin",
            from_="front-page",
        )
        assert (sent.status, sent.heading) == (200, "Please look into your inbox")
        (notice,) = notices(db)
        assert (notice.kind, notice.address) == (NoticeKind.CONFIRM, "Ann@reader.example.org")
        assert rows(db)["subscriber"] == []
        page = await visitor.get(link_of(notice))
        assert (page.status, page.heading) == (200, "Confirm your alerts")
        assert "Ann@reader.example.org" in page.text
        assert "Storm &lt;on&gt; the coast" in page.text
        done = await visitor.confirm(link_of(notice))
    assert (done.status, done.heading) == (200, "You are signed up")
    assert "the next daily mail comes on" in done.text
    assert "(Berlin time)" in done.text
    assert following(db) == {"storm": "daily", "keys": "flash"}
    with db.begin() as session:
        reader = session.exec(select(Subscriber)).one()
        assert (reader.zone, reader.language, reader.state) == ("Europe/Berlin", "en", "active")
        consent = session.exec(select(Consent)).one()
        assert consent.subscriber_id == reader.id
        assert consent.choices == {"keys": "flash", "storm": "daily"}
        assert consent.source == "sign-up page: front-page"
        assert consent.asked_at < consent.confirmed_at
        wording = session.exec(select(Wording)).one()
        assert (wording.version, wording.language) == (consent.wording, "en")
        assert wording.words.startswith("I want The Harbour Post to write to my address")
        kept = session.exec(select(SignUp)).one()
        assert (kept.address, kept.address_key, kept.subscriber_id) == (None, None, reader.id)
        actions = set(session.exec(select(Audit.action)))
        assert {"subscriber.add", "subscriber.follow", "subscriber.consent"} <= actions
    assert wording.words in page.text.replace("&#39;", "'")


async def test_confirming_is_safe_to_repeat(db: Database, topics: dict[str, int]) -> None:
    async with visiting(db) as visitor:
        await visitor.sign_up()
        (notice,) = notices(db)
        page = await visitor.get(link_of(notice))
        await visitor.confirm(link_of(notice))
        before = rows(db)
        again = await visitor.ask("POST", link_of(notice), data={"version": page.field("version")})
        shown = await visitor.get(link_of(notice))
    assert rows(db) == before
    for answer in (again, shown):
        assert (answer.status, answer.heading) == (200, "It is done already")
        assert f"/u/{make(KEYS, Purpose.MANAGE, 1, 0, KEYS.current)}" in answer.text


async def test_two_who_confirm_at_once_make_one_reader(db: Database, topics: dict[str, int]) -> None:
    async with visiting(db) as visitor:
        await visitor.sign_up()
        (notice,) = notices(db)
        version = (await visitor.get(link_of(notice))).field("version")
        answers = await asyncio.gather(
            *[visitor.ask("POST", link_of(notice), data={"version": version}) for _ in range(8)]
        )
    assert {each.status for each in answers} == {200}
    assert sorted({each.heading for each in answers}) == ["It is done already", "You are signed up"]
    with db.begin() as session:
        assert len(session.exec(select(Consent)).all()) == len(session.exec(select(Subscriber)).all()) == 1


async def test_a_get_changes_nothing_whatever_a_scanner_opens(db: Database, topics: dict[str, int]) -> None:
    async with visiting(db) as visitor:
        await visitor.sign_up()
        (notice,) = notices(db)
        before = rows(db)
        for path in ("/", "/signup", "/link", link_of(notice)):
            for method in ("GET", "HEAD"):
                assert (await visitor.ask(method, path)).status == 200
                assert (await visitor.ask(method, f"{path}?version=1&address={ANN}")).status == 200
    assert rows(db) == before


async def test_who_follows_already_gets_more_by_signing_up_again(
    db: Database, topics: dict[str, int]
) -> None:
    with db.begin() as session:
        reader = a_reader(session, ANN, topics["storm"], zone="Asia/Tokyo", language="de")
    async with visiting(db) as visitor:
        await visitor.sign_up(ANN.upper(), {"keys": "weekly"}, zone="Europe/Berlin")
        assert following(db) == {"storm": "every"}
        await visitor.confirm(link_of(notices(db)[0]))
    assert following(db) == {"storm": "every", "keys": "weekly"}
    with db.begin() as session:
        kept = session.exec(select(Subscriber)).one()
        assert (kept.id, kept.zone, kept.language) == (reader, "Asia/Tokyo", "de")


async def test_what_was_chosen_last_counts_and_is_shown_before_it_is_confirmed(
    db: Database, topics: dict[str, int]
) -> None:
    async with visiting(db) as visitor:
        await visitor.sign_up(choices={"storm": "every"})
        (notice,) = notices(db)
        old = await visitor.get(link_of(notice))
        await visitor.sign_up(choices={"keys": "weekly"})
        assert len(notices(db)) == 1, "a second mail so soon would be one too many"
        stale = await visitor.ask("POST", link_of(notice), data={"version": old.field("version")})
        assert stale.status == 409
        assert "Something else was chosen meanwhile" in stale.text
        assert "One mail a week" in stale.text
        assert rows(db)["subscriber"] == []
        await visitor.ask("POST", link_of(notice), data={"version": stale.field("version")})
    assert following(db) == {"keys": "weekly"}


async def test_a_sign_up_that_is_not_confirmed_is_forgotten(db: Database, topics: dict[str, int]) -> None:
    async with visiting(db, Terms(confirm_within=timedelta(seconds=1))) as visitor:
        await visitor.sign_up()
        (notice,) = notices(db)
        assert (await visitor.get(link_of(notice))).status == 200
        await asyncio.sleep(1.1)
        for method in ("GET", "POST"):
            late = await visitor.ask(method, link_of(notice))
            assert (late.status, late.heading) == (410, "This link is too old")
            assert 'href="/"' in late.text
    with db.begin() as session:
        signups.sweep(session, datetime.now(UTC))
        assert session.exec(select(SignUp)).all() == []
        session.execute(sa.update(Notice).values(due_at=None))
        signups.sweep(session, datetime.now(UTC) + timedelta(days=31))
        assert session.exec(select(Notice)).all() == []
        assert session.exec(select(Tally)).all() == []


async def test_an_address_that_must_not_be_mailed_cannot_be_confirmed(
    db: Database, topics: dict[str, int]
) -> None:
    def suppress() -> None:
        with db.begin() as session:
            suppressions.suppress(
                session, KEYS.pepper, ANN, cause="complaint", evidence="", origin="test", now=NOW
            )

    async with visiting(db) as visitor:
        await visitor.sign_up()
        suppress()
        (notice,) = notices(db)
        refused = await visitor.confirm(link_of(notice))
        assert (refused.status, refused.heading) == (409, "We may not write to this address")
    assert rows(db)["subscriber"] == []


async def test_a_topic_that_went_meanwhile_is_left_out(
    sqlite_db: Database, sqlite_topics: dict[str, int]
) -> None:
    async with visiting(sqlite_db) as visitor:
        await visitor.sign_up(choices={"storm": "every", "keys": "daily"})
        with sqlite_db.begin() as session:
            session.execute(sa.delete(Topic).where(col(Topic.slug) == "storm"))
        await visitor.confirm(link_of(notices(sqlite_db)[0]))
    assert following(sqlite_db) == {"keys": "daily"}


async def test_nobody_agrees_to_topics_that_are_all_gone(
    sqlite_db: Database, sqlite_topics: dict[str, int]
) -> None:
    async with visiting(sqlite_db) as visitor:
        await visitor.sign_up()
        link = link_of(notices(sqlite_db)[0])
        version = (await visitor.get(link)).field("version")
        with sqlite_db.begin() as session:
            session.execute(sa.delete(Topic).where(col(Topic.slug) == "storm"))
        for answer in (await visitor.get(link), await visitor.ask("POST", link, data={"version": version})):
            assert (answer.status, answer.heading) == (410, "What you chose is no more")
    with sqlite_db.begin() as session:
        assert session.exec(select(Consent)).all() == []
        assert session.exec(select(Subscriber)).all() == []


async def test_a_link_made_for_something_else_is_worth_nothing(
    sqlite_db: Database, sqlite_topics: dict[str, int]
) -> None:
    async with visiting(sqlite_db) as visitor:
        await visitor.sign_up()
        (notice,) = notices(sqlite_db)
        before = rows(sqlite_db)
        for kind in (NoticeKind.LINK, NoticeKind.NEW_ADDRESS, NoticeKind.OLD_ADDRESS):
            for method in ("GET", "POST"):
                answer = await visitor.ask(method, link_of(notice, kind))
                assert answer.status in {404, 410}
        token = link_of(notice).removeprefix("/n/")
        manage = make(KEYS, Purpose.MANAGE, notice.id or 0, 0, KEYS.current)
        for path in (f"/u/{token}", f"/n/{manage}", f"/n/{token[:-1]}", "/n/", f"/n/{'A' * 43}"):
            for method in ("GET", "POST"):
                assert (await visitor.ask(method, path, data={"version": "1"})).status == 404
    assert rows(sqlite_db) == before


# --- what is refused ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("address", "said"),
    [
        ("", "Please write your e-mail address."),
        ("ann", "This is not a complete e-mail address."),
        ("ann@localhost", "This is not a complete e-mail address."),
        ("ann@reader.invalid", "This is not a complete e-mail address."),
        ("ann@reader.example.org\r\nBcc: bob@reader.example.org", "This is not a complete e-mail address."),
        ("ann@reader.example.org\nX: y", "This is not a complete e-mail address."),
        ("ann@reader.example.org,bob@reader.example.org", "This is not a complete e-mail address."),
        ("<ann@reader.example.org>", "This is not a complete e-mail address."),
        ("Ann <ann@reader.example.org>", "This is not a complete e-mail address."),
        ("ann@[127.0.0.1]", "This is not a complete e-mail address."),
        ('"ann\\" x"@reader.example.org', "This is not a complete e-mail address."),
        ("ann@" + "x" * 5000 + ".org", "This is not a complete e-mail address."),
        ("\x00@reader.example.org", "This is not a complete e-mail address."),
        ("noreply@reader.example.org", "This address belongs to an office"),
        ("Postmaster+x@reader.example.org", "This address belongs to an office"),
        ("ann@mailinator.com", "We do not write to mailboxes that last for minutes."),
        ("ann@x.mailinator.com", "We do not write to mailboxes that last for minutes."),
    ],
)
async def test_an_address_that_cannot_sign_up_is_told_why_beside_its_field(
    sqlite_db: Database, sqlite_topics: dict[str, int], address: str, said: str
) -> None:
    async with visiting(sqlite_db) as visitor:
        before = rows(sqlite_db)
        answer = await visitor.sign_up(address)
    assert (answer.status, rows(sqlite_db)) == (400, before)
    assert said in re.findall(r'<p class="fault" id="wrong-address">(.*?)</p>', answer.text)[0]
    assert 'aria-invalid="true" aria-describedby="wrong-address"' in answer.text
    assert answer.chosen("frequency.storm") == "every", "what was chosen is not lost"


async def test_nothing_chosen_is_told(sqlite_db: Database, sqlite_topics: dict[str, int]) -> None:
    async with visiting(sqlite_db) as visitor:
        for choices in (
            {},
            {"storm": ""},
            {"storm": "always"},
            {"keys": "every"},
            {"paused": "every"},
            {"no": "flash"},
        ):
            answer = await visitor.sign_up(choices=choices)
            assert answer.status == 400
            assert answer.text.count("Please choose at least one topic.") == 2
            assert answer.field("address") == ANN
    assert notices(sqlite_db) == []


@pytest.mark.parametrize("address", ["ann@münchen.de", "jörg@reader.example.org", "用户@例え.jp"])
async def test_addresses_in_all_scripts_sign_up(
    sqlite_db: Database, sqlite_topics: dict[str, int], address: str
) -> None:
    async with visiting(sqlite_db) as visitor:
        assert (await visitor.sign_up(address)).status == 200
        await visitor.confirm(link_of(notices(sqlite_db)[0]))
    assert following(sqlite_db, address) == {"storm": "every"}


async def test_a_slip_is_asked_about_and_both_answers_are_taken(
    sqlite_db: Database, sqlite_topics: dict[str, int]
) -> None:
    async with visiting(sqlite_db) as visitor:
        asked = await visitor.sign_up("ann@gmial.com", {"keys": "daily"}, zone="Asia/Tokyo", from_="home")
        assert (asked.status, asked.heading) == (200, "Is the address right?")
        assert notices(sqlite_db) == []
        assert re.findall(r'name="take" value="(.*?)"', asked.text) == ["ann@gmail.com", "ann@gmial.com"]
        carried = dict(re.findall(r'<input type="hidden" name="(.*?)" value="(.*?)">', asked.text))
        assert carried == {"frequency.keys": "daily", "zone": "Asia/Tokyo", "from": "home"}
        for taken in ("ann@gmail.com", "ann@gmial.com"):
            assert (await visitor.ask("POST", "/signup", data=carried | {"take": taken})).status == 200
    assert [each.address for each in notices(sqlite_db)] == ["ann@gmail.com", "ann@gmial.com"]


async def test_a_trap_that_only_robots_see_catches_without_a_word(
    sqlite_db: Database, sqlite_topics: dict[str, int]
) -> None:
    async with visiting(sqlite_db) as visitor:
        before = rows(sqlite_db)
        filled = {"address": ANN, "frequency.storm": "every", TRAP: "https://buy.example"}
        caught = await visitor.ask("POST", "/signup", data=filled)
        link = await visitor.ask("POST", "/link", data={"address": ANN, TRAP: "x"})
        assert rows(sqlite_db) == before
        person = await visitor.sign_up()
    assert caught.text == person.text
    assert link.status == 200


async def test_browsers_say_where_our_own_forms_come_from(
    sqlite_db: Database, sqlite_topics: dict[str, int]
) -> None:
    async with visiting(sqlite_db) as visitor:
        pages = [await visitor.get(path) for path in ("/", "/signup", "/link")]
        pages += [await visitor.sign_up("not an address"), await visitor.sign_up("ann@gmial.com")]
        pages += [await visitor.ask("POST", "/link", data={"address": "x"})]
        assert {page.headers["Referrer-Policy"] for page in pages} == {"same-origin"}
        assert (await visitor.get("/n/unknown")).headers["Referrer-Policy"] == "no-referrer"


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({"Sec-Fetch-Site": "cross-site"}, 403),
        ({"Sec-Fetch-Site": "cross-site", "Origin": "null"}, 403),
        ({"Origin": "https://elsewhere.example"}, 403),
        ({"Origin": "https://alerts.example.elsewhere.example"}, 403),
        ({"Sec-Fetch-Site": "same-origin", "Origin": "null"}, 200),
        ({"Sec-Fetch-Site": "same-site"}, 200),
        ({"Origin": SITE.base_url}, 200),
        ({"Origin": "null"}, 403),
        ({"Origin": "http://elsewhere.example", "Host": "elsewhere.example"}, 403),
        ({}, 200),
    ],
)
async def test_a_form_that_another_site_sends_is_refused_where_the_browser_says_so(
    sqlite_db: Database, sqlite_topics: dict[str, int], headers: dict[str, str], status: int
) -> None:
    async with visiting(sqlite_db) as visitor:
        assert (await visitor.sign_up(headers=headers)).status == status
        link = await visitor.ask("POST", "/link", data={"address": ANN}, headers=headers)
    assert link.status == status
    assert len(notices(sqlite_db)) == (status == 200)


@pytest.mark.parametrize(
    ("body", "content_type", "status"),
    [
        (b"&".join(b"f%d=1" % each for each in range(10_000)), "application/x-www-form-urlencoded", 413),
        (b"&".join(b"f%d=1" % each for each in range(5_000)), "application/x-www-form-urlencoded", 400),
        (b"x" * (BODY_LIMIT + 1), "application/x-www-form-urlencoded", 413),
        (b"\xff\xfe=\x00&%ff=%zz&address=%00", "application/x-www-form-urlencoded", 400),
        (b'{"address": "ann@reader.example.org"}', "application/json", 400),
        (b"not parts", "multipart/form-data; boundary=x", 400),
        (b"address[]=a&frequency.storm[]=every&zone[x]=y", "application/x-www-form-urlencoded", 400),
        (b"address=" + b"a" * 60_000, "application/x-www-form-urlencoded", 400),
        (b"", "text/plain", 400),
    ],
)
async def test_a_hostile_form_changes_nothing(
    sqlite_db: Database, sqlite_topics: dict[str, int], body: bytes, content_type: str, status: int
) -> None:
    async with visiting(sqlite_db) as visitor:
        before = rows(sqlite_db)
        for path in ("/signup", "/link"):
            answer = await visitor.ask("POST", path, data=body, headers={"Content-Type": content_type})
            assert answer.status == status
        assert rows(sqlite_db) == before


@pytest.mark.parametrize(
    "charset",
    ["undefined", "unicode_escape", "idna", "punycode", "utf-16-le", "utf-7", "utf-8\x00", "no-such"],
)
async def test_a_form_in_an_encoding_of_no_browser_is_refused(
    sqlite_db: Database, sqlite_topics: dict[str, int], charset: str
) -> None:
    part = b'--x\r\nContent-Disposition: form-data; name="address"\r\n\r\n\\ud800@example.org\r\n--x--\r\n'
    form = b"POST /signup HTTP/1.1\r\nHost: x\r\nConnection: close\r\nContent-Type: multipart/form-data; boundary=x; "
    form += f"charset={charset}\r\nContent-Length: {len(part)}\r\n\r\n".encode()
    async with visiting(sqlite_db) as visitor:
        reader, writer = await asyncio.open_connection("127.0.0.1", int(visitor.url.rpartition(":")[2]))
        writer.write(form + part)
        assert b"400" in await reader.readline()
        writer.close()


async def test_a_form_may_say_that_it_is_in_utf_8(sqlite_db: Database, sqlite_topics: dict[str, int]) -> None:
    part = '--x\r\nContent-Disposition: form-data; name="address"\r\n\r\nänn@example\r\n--x--\r\n'
    kind = 'multipart/form-data; boundary=x; charset="UTF-8"'
    async with visiting(sqlite_db) as visitor:
        answer = await visitor.ask("POST", "/link", data=part.encode(), headers={"Content-Type": kind})
    assert "änn@example" in answer.text


async def test_a_file_in_the_place_of_an_address_is_none(
    sqlite_db: Database, sqlite_topics: dict[str, int]
) -> None:
    form = aiohttp.FormData()
    form.add_field("address", b"ann@reader.example.org", filename="address", content_type="text/plain")
    async with visiting(sqlite_db) as visitor:
        assert (await visitor.ask("POST", "/signup", data=form)).status == 400


LINKS = st.builds(
    lambda scheme, host, rest: f"{scheme}{host}{rest}",
    st.sampled_from(["", "https://", "https://ann:secret@", "//", "android-app://"]),
    st.sampled_from(["", "news.example", "localhost", ANN]),
    st.sampled_from(
        ["", "/", f"/u/{TOKEN}", f"?t={TOKEN}", f"#{TOKEN}", TOKEN, "/?e=ann%40reader.example.org"]
    ),
)


@given(LINKS | st.text(max_size=60) | st.from_regex(r"[\w.@:/%-]{1,60}"))
def test_where_a_visitor_came_from_is_a_name_and_nothing_that_tells_of_a_reader(text: str) -> None:
    kept = signup_form.source(text)
    assert kept in ("", text)
    assert len(kept) < len(TOKEN)
    assert set(kept) <= set(f"{ascii_lowercase}{digits}._-"), "no link, no address, and no token of ours"


async def test_a_referrer_is_not_kept(sqlite_db: Database, sqlite_topics: dict[str, int]) -> None:
    came_from = f"https://mail.example/u/{TOKEN}?to={ANN}"
    async with visiting(sqlite_db) as visitor:
        await visitor.sign_up(from_=came_from, headers={"Referer": came_from})
        (notice,) = notices(sqlite_db)
        await visitor.confirm(link_of(notice))
    with sqlite_db.begin() as session:
        sources = [*session.exec(select(Consent.source)), *session.exec(select(SignUp.source))]
    assert sources == ["sign-up page"] * 2


async def test_what_a_browser_says_of_its_zone_is_believed_if_there_is_one(
    sqlite_db: Database, sqlite_topics: dict[str, int]
) -> None:
    async with visiting(sqlite_db, Terms(zone="Europe/Berlin")) as visitor:
        for number, zone in enumerate(["Asia/Tokyo", "", "../../etc/passwd", "Mars/Olympus", "x" * 999]):
            await visitor.sign_up(f"reader{number}@reader.example.org", zone=zone)
    with sqlite_db.begin() as session:
        zones = session.exec(select(SignUp.zone).order_by(SignUp.address)).all()
    assert zones == ["Asia/Tokyo", *["Europe/Berlin"] * 4]


# --- what nobody learns ---------------------------------------------------------------------------------


async def test_the_answer_is_the_same_in_text_and_time_whoever_it_is_about(
    db: Database, topics: dict[str, int], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Known, new, suppressed, limited: all are answered on one beat, which is long enough here for a busy machine."""
    rounds, beat = 5, 0.75
    monkeypatch.setattr("alerts.web.signup._BEAT_SECONDS", beat)
    who = ("known", "new", "suppressed", "limited")
    with db.begin() as session:
        for number in range(rounds):
            a_reader(session, f"known{number}@reader.example.org", topics["storm"])
            address = normalise(f"suppressed{number}@reader.example.org")
            suppressions.suppress(
                session, KEYS.pepper, address.key, cause="dead", evidence="", origin="test", now=NOW
            )

    async def timed(
        visitor: Visitor, ask: Callable[[str], Awaitable[Answer]], address: str
    ) -> tuple[float, str]:
        began = monotonic()
        answer = await ask(address)
        assert answer.status == 200
        return monotonic() - began, answer.text.replace(address, "ADDRESS")

    async with visiting(db, GENEROUS) as visitor:
        for number in range(rounds):
            await db.run(exhaust, f"limited{number}@reader.example.org")

        async def link(address: str) -> Answer:
            return await visitor.ask("POST", "/link", data={"address": address})

        for ask in (visitor.sign_up, link):
            took: dict[str, list[float]] = {each: [] for each in who}
            texts = set()
            for number in range(rounds):
                addresses = {each: f"{each}{number}@reader.example.org" for each in who}
                found = await asyncio.gather(*[timed(visitor, ask, each) for each in addresses.values()])
                texts |= {text for _, text in found}
                for each, (seconds, _) in zip(addresses, found, strict=True):
                    took[each].append(seconds)
            assert len(texts) == 1
            medians = [statistics.median(each) for each in took.values()]
            assert min(map(min, took.values())) >= beat - 0.01
            assert max(medians) < beat * 1.5, medians


def exhaust(session: Session, address: str) -> None:
    """Lets an address have had its mails for a day."""
    valid, now = normalise(address), datetime.now(UTC)
    for minutes, kind in enumerate(
        (NoticeKind.LINK, NoticeKind.NEW_ADDRESS, NoticeKind.OLD_ADDRESS), start=3
    ):
        written = asking.ask(
            session,
            KEYS,
            kind,
            valid,
            1,
            language="en",
            lifetime=timedelta(days=1),
            now=now - timedelta(minutes=minutes),
        )
        assert isinstance(written, int)


async def test_no_address_and_no_token_reaches_a_log(
    sqlite_db: Database, sqlite_topics: dict[str, int], capfd: pytest.CaptureFixture[str]
) -> None:
    with structlog.testing.capture_logs() as events:
        async with visiting(sqlite_db, Terms(limits=HourlyLimits(1, 9, 9))) as visitor:
            await visitor.sign_up()
            await visitor.sign_up("nonsense@@reader.example.org")
            await visitor.sign_up("ann@gmial.com")
            await visitor.confirm(link_of(notices(sqlite_db)[0]))
            await visitor.ask("POST", "/link", data={"address": ANN})
            assert (await visitor.sign_up()).status == 429
    written = f"{events!r}{capfd.readouterr()}"
    assert "sign_ups_limited" in written
    assert "127.0.0" not in written
    assert "example.org" not in written
    assert "gmial" not in written
    assert link_of(notices(sqlite_db)[0]).removeprefix("/n/") not in written


# --- the link by address ---------------------------------------------------------------------------------


async def test_the_link_to_ones_page_goes_to_readers_alone(db: Database, topics: dict[str, int]) -> None:
    with db.begin() as session:
        reader = a_reader(session, ANN, topics["storm"], language="de")
        gone = a_reader(session, "gone@reader.example.org", topics["storm"])
        subscribers.erase(session, gone, by="operator", now=NOW)
    async with visiting(db) as visitor:
        for address in (ANN, "nobody@reader.example.org", "gone@reader.example.org"):
            answer = await visitor.ask("POST", "/link", data={"address": address})
            assert (answer.status, answer.heading) == (200, "Please look into your inbox")
        (notice,) = notices(db)
        assert (notice.kind, notice.subject_id, notice.language) == (NoticeKind.LINK, reader, "de")
        page = await visitor.get(link_of(notice))
        assert page.status == 200
        assert "Ihre Meldungen" in page.text
        wrong = await visitor.ask("POST", "/link", data={"address": "ann"})
        assert wrong.status == 400
        assert 'aria-describedby="wrong-address" autofocus' in wrong.text


async def test_without_terms_nobody_can_sign_up(sqlite_db: Database, sqlite_topics: dict[str, int]) -> None:
    app = create(sqlite_db, KEYS, SITE, [], "0", Callbacks(sqlite_db, lambda: None, lambda: NOW))
    paths = {getattr(route, "path", "") for route in app.routes}
    assert not {"/", "/signup", "/link"} & paths
