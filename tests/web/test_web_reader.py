"""What a reader does on their own page, and what the ledger says then."""

import json
import re
from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import urlencode
from zoneinfo import ZoneInfo

import pytest
import sqlalchemy as sa
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlmodel import select

from alerts.audience import slots, subscribers
from alerts.audience.tokens import Purpose, address_hash, derive, make
from alerts.db import Database
from alerts.models import (
    Audit,
    Consent,
    Delivery,
    DigestMark,
    Farewell,
    Frequency,
    Lane,
    Notice,
    NoticeKind,
    Selection,
    Subscriber,
    SubscriptionEvent,
    Suppression,
    Topic,
    Wording,
)
from alerts.web.deeds import CHANGES_LIMIT
from build import a_feed, a_reader, a_topic, an_alert, an_entry, follows
from visiting import (
    ADDRESS,
    KEYS,
    ONE_CLICK,
    SECRET,
    Fields,
    Site,
    Start,
    Story,
    a_story,
    buttons,
    choosing,
    fields_of,
    following,
    forms,
    link_of,
    rows,
    said,
    text_of,
)


def reader_of(database: Database, reader: int) -> Subscriber:
    with database.begin() as session:
        return session.get_one(Subscriber, reader)


def history(database: Database, reader: int) -> list[tuple[str, str, str]]:
    with database.begin() as session:
        query = select(SubscriptionEvent).where(SubscriptionEvent.subscriber_id == reader)
        return [(each.kind, each.detail, each.by) for each in session.exec(query)]


def owners_link(database: Database, reader: int, *, address: str = ADDRESS, **changes: Any) -> str:
    """Writes the notice that somebody asked for by address, and gives the link in it."""
    now = datetime.now(UTC)
    values: dict[str, Any] = {
        "kind": NoticeKind.LINK,
        "address_hash": address_hash(KEYS.pepper, address),
        "inbox_hash": address_hash(KEYS.pepper, address),
        "day": f"{now:%Y-%m-%d}",
        "number": 1,
        "subject_id": reader,
        "language": "en",
        "key_id": KEYS.current,
        "due_at": None,
        "made_at": now,
        "expires_at": now + timedelta(days=1),
    }
    with database.begin() as session:
        notice = Notice(**values | changes)
        session.add(notice)
        session.flush()
        assert notice.id is not None
        return f"/n/{make(KEYS, Purpose.OWN, notice.id, 0, KEYS.current)}"


# --- topics --------------------------------------------------------------------------------------------


async def test_one_form_saves_all_topics(db: Database, start: Start) -> None:
    story = a_story(db)
    site = await start(db)
    page = await site.get(story.link)
    chosen = choosing(page.text, storm="daily", trains="weekly", sport="", weather="hourly")
    saved = await site.post(story.link, *chosen)
    assert saved.status == 200
    assert following(db, story.reader) == {
        "storm": "daily",
        "trains": "weekly",
        "arts": "flash",
        "weather": "hourly",
    }
    assert said(saved.text).startswith(
        "From now on one mail an hour has the news about Weather. "
        "From now on one mail a day has the news about Storm on the coast. "
        "From now on one mail a week has the news about Ferries & trains. "
        "You get no more alerts about Sport."
    )
    assert {kind for kind, _, _ in history(db, story.reader)} == {"change", "follow", "unsubscribe"}
    with db.begin() as session:
        marks = {each.frequency: each.slot for each in session.exec(select(DigestMark))}
    assert marks == {"hourly": "UTC", "daily": "UTC 07", "weekly": "UTC 0 07"}
    await site.post(story.link, *fields_of(saved.text, "Undo"))
    assert following(db, story.reader) == {
        "storm": "every",
        "trains": "flash",
        "sport": "every",
        "arts": "flash",
    }


async def test_a_page_that_is_old_brings_nothing_back(db: Database, start: Start) -> None:
    story = a_story(db)
    site = await start(db)
    old = await site.get(story.link)
    await site.post(story.link, *ONE_CLICK.items())
    await site.post(story.link, *choosing(old.text, sport="daily"))
    assert following(db, story.reader) == {"sport": "daily", "arts": "flash"}


async def test_a_topic_of_key_events_alone_offers_what_makes_sense(sqlite_db: Database, start: Start) -> None:
    story = a_story(sqlite_db)
    with sqlite_db.begin() as session:
        for slug, frequency in (("a", Frequency.EVERY), ("b", Frequency.DAILY)):
            follows(session, story.reader, a_topic(session, slug, key_events_only=True), frequency)
        a_topic(session, "resting", is_active=False)
    page = await (await start(sqlite_db)).get(story.link)
    digests = [":hourly", ":daily", ":weekly"]
    for slug, shown, at_once in (("a", "every", ":every"), ("b", "daily", ":flash")):
        select_ = re.findall(rf'name="frequency\.{slug}".*?</select>', page.text, re.DOTALL)[0]
        values = re.findall(r'value="(.*?)"', select_)
        assert values == [f"{shown}{each}" for each in (":", at_once, *digests)]
    assert "resting" not in page.text


@pytest.mark.parametrize(
    ("frequencies", "label", "then"),
    [
        (("every", "flash"), "One mail a day instead", {"storm": "daily", "trains": "flash"}),
        (("hourly", "daily"), "One mail a day instead", {"storm": "daily", "trains": "daily"}),
        (("flash", "daily"), "One mail a week instead", {"storm": "weekly", "trains": "weekly"}),
        (("weekly", "weekly"), "", {}),
    ],
)
async def test_less_often_is_one_button(
    sqlite_db: Database, start: Start, frequencies: tuple[str, str], label: str, then: dict[str, str]
) -> None:
    with sqlite_db.begin() as session:
        topics = [a_topic(session, each) for each in ("storm", "trains")]
        reader = a_reader(session, ADDRESS)
        for topic, frequency in zip(topics, frequencies, strict=True):
            follows(session, reader, topic, Frequency(frequency))
        alert = an_alert(session, {topic: [Frequency.EVERY] for topic in topics})
    site = await start(sqlite_db)
    link = link_of(reader, alert)
    page = await site.get(link)
    if not label:
        assert not [each for each in buttons(page.text) if "instead" in each]
        return
    await site.post(link, *fields_of(page.text, label))
    assert following(sqlite_db, reader) == then


# --- one click on a digest -----------------------------------------------------------------------------


def a_digest(db: Database, *, topics: list[str] | None) -> Story:
    """A daily digest to a reader of five topics; it carried those named, or what it carried is not known."""
    with db.begin() as session:
        reader = a_reader(session, ADDRESS)
        ids = {slug: a_topic(session, slug) for slug in ("storm", "trains", "sport", "arts", "tea")}
        for slug, frequency in zip(ids, ("daily", "daily", "daily", "weekly", "every"), strict=True):
            follows(session, reader, ids[slug], Frequency(frequency))
        alert = an_alert(
            session, {}, cause="digest:daily", lane=Lane.DIGEST, frequency="daily", slot="UTC 07"
        )
        if topics is not None:
            session.add(
                Selection(alert_id=alert, variant="v", language="en", topics=[ids[each] for each in topics])
            )
            session.add(
                Delivery(
                    alert_id=alert, subscriber_id=reader, variant="v", state="accepted", at=datetime.now(UTC)
                )
            )
    return Story(reader, alert, link_of(reader, alert))


@pytest.mark.parametrize(
    ("topics", "left"),
    [
        (["storm", "tea"], {"storm"}),
        (["storm", "trains"], {"storm", "trains"}),
        (None, {"storm", "trains", "sport"}),
    ],
)
async def test_one_click_on_a_digest_ends_what_it_carried_at_its_frequency(
    db: Database, start: Start, topics: list[str] | None, left: set[str]
) -> None:
    story = a_digest(db, topics=topics)
    site = await start(db)
    before = following(db, story.reader)
    page = await site.get(story.link)
    assert "Your mail had the news about" in page.text
    assert {slug.title() for slug in left} == {
        each.removeprefix("Stop ")
        for each in buttons(page.text)
        if each.startswith("Stop ") and "all" not in each
    }
    for _ in range(2):  # a mail program may try twice
        assert (await site.post(story.link, *ONE_CLICK.items())).status == 200
        assert following(db, story.reader) == {
            slug: frequency for slug, frequency in before.items() if slug not in left
        }


# --- when ----------------------------------------------------------------------------------------------


async def test_the_next_digests_are_said_in_words(db: Database, start: Start) -> None:
    story = a_story(db, zone="America/New_York", digest_hour=18, digest_weekday=4)
    site = await start(db)
    page = await site.get(story.link)
    page = await site.post(story.link, *choosing(page.text, storm="daily", sport="weekly", arts="hourly"))
    now = datetime.now(UTC)
    daily = slots.coming("daily", "America/New_York 18", now).astimezone(ZoneInfo("America/New_York"))
    assert (
        f"The next daily mail comes on {daily:%A, %B} {daily.day}, {daily.year} at 6:00 PM (America/New_York)."
        in text_of(page.text)
    )
    assert "The next hourly mail comes on " in page.text
    assert "The next weekly mail comes on Friday, " in text_of(page.text)
    (form,) = [fields for _, fields in forms(page.text) if ("action", "place") in fields]
    elsewhere = {"zone": "Asia/Kathmandu", "hour": "6", "weekday": "6"}
    fields = [(name, elsewhere.get(name, value)) for name, value in form]
    placed = await site.post(story.link, *fields)
    assert "at the new time" in said(placed.text)
    assert "at 6:00 AM (Asia/Kathmandu)" in text_of(placed.text)
    assert "The next weekly mail comes on Sunday, " in text_of(placed.text)
    with db.begin() as session:
        marks = {each.frequency: each.slot for each in session.exec(select(DigestMark))}
    assert marks == {
        "hourly": "Asia/Kathmandu",
        "daily": "Asia/Kathmandu 06",
        "weekly": "Asia/Kathmandu 6 06",
    }
    assert ("place", "Asia/Kathmandu 6 06", "reader") in history(db, story.reader)
    await site.post(story.link, *fields_of(placed.text, "Undo"))
    reader = reader_of(db, story.reader)
    assert (reader.zone, reader.digest_hour, reader.digest_weekday) == ("America/New_York", 18, 4)


async def test_a_zone_that_is_not_known_here_shows_as_the_one_that_takes_its_place(
    sqlite_db: Database, start: Start
) -> None:
    story = a_story(sqlite_db, zone="Asia/Gone")
    page = await (await start(sqlite_db)).get(story.link)
    assert page.status == 200
    (shown,) = [fields for _, fields in forms(page.text) if ("action", "place") in fields]
    assert ("zone", "UTC") in shown


async def test_a_zone_that_none_may_choose_stays_its_readers(sqlite_db: Database, start: Start) -> None:
    """Settings took `CET` once, and readers have it who never chose."""
    story = a_story(sqlite_db, zone="CET", digest_hour=7)
    site = await start(sqlite_db)
    page = await site.get(story.link)
    (form,) = [fields for _, fields in forms(page.text) if ("action", "place") in fields]
    placed = await site.post(story.link, *(dict(form) | {"hour": "9"}).items())
    reader = reader_of(sqlite_db, story.reader)
    assert (placed.status, reader.zone, reader.digest_hour) == (200, "CET", 9)
    await site.post(story.link, *fields_of(placed.text, "Undo"))
    assert reader_of(sqlite_db, story.reader).digest_hour == 7
    asked = await site.post(story.link, *fields_of(page.text, "Another time zone …"))
    assert fields_of(asked.text, "Save") == [
        ("action", "place"),
        ("hour", "7"),
        ("weekday", "0"),
        ("zone", "CET"),
    ]
    moved = await site.post(story.link, *fields_of(asked.text, "Save", zone="Europe/Moscow"))
    assert reader_of(sqlite_db, story.reader).zone == "Europe/Moscow"
    assert "Undo" not in text_of(moved.text)


async def test_the_form_of_hours_shows_how_things_stand(sqlite_db: Database, start: Start) -> None:
    story = a_story(sqlite_db, zone="Asia/Calcutta", digest_hour=23, digest_weekday=6, language="de")
    page = await (await start(sqlite_db)).get(story.link)
    (shown,) = [fields for _, fields in forms(page.text) if ("action", "place") in fields]
    assert shown == [("hour", "23"), ("weekday", "6"), ("zone", "Asia/Calcutta"), ("action", "place")]
    assert "Zeitzone: Kolkata" in text_of(page.text)
    assert page.text.index(">Montag</option>") < page.text.index(">Sonntag</option>")


async def test_the_list_of_zones_is_a_page_of_its_own_and_forgets_nothing(db: Database, start: Start) -> None:
    story = a_story(db, zone="Asia/Calcutta", digest_hour=23, digest_weekday=6, language="de")
    site = await start(db)
    page = await site.get(story.link)
    before = rows(db)
    asked = await site.post(story.link, *fields_of(page.text, "Andere Zeitzone …", hour="5"))
    assert (asked.status, rows(db)) == (200, before)
    assert ">Kolkata</option>" in asked.text
    assert '<optgroup label="Amerika">' in asked.text
    form = fields_of(asked.text, "Speichern")
    assert form == [("action", "place"), ("hour", "5"), ("weekday", "6"), ("zone", "Asia/Calcutta")]
    moved = await site.post(story.link, *fields_of(asked.text, "Speichern", zone="Europe/Moscow"))
    assert "Zeitzone: Moskau" in text_of(moved.text)
    reader = reader_of(db, story.reader)
    assert (reader.zone, reader.digest_hour, reader.digest_weekday) == ("Europe/Moscow", 5, 6)


async def test_a_pause_is_shown_and_ended_by_a_button(db: Database, start: Start) -> None:
    story = a_story(db, zone="Asia/Tokyo")
    site = await start(db)
    tokyo = ZoneInfo("Asia/Tokyo")
    day = datetime.now(tokyo).date() + timedelta(days=7)
    page = await site.get(story.link)
    paused = await site.post(story.link, *fields_of(page.text, "For a week"))
    shown = f"Paused. Nothing comes before {day:%A, %B} {day.day}, {day.year}."
    assert shown in said(paused.text)
    until = reader_of(db, story.reader).paused_until
    assert until is not None
    assert until.astimezone(tokyo).isoformat() == f"{day}T00:00:00+09:00"
    page = await site.get(story.link)
    assert shown in text_of(page.text)
    ended = await site.post(story.link, *fields_of(page.text, "End the pause now"))
    assert "The pause is over" in said(ended.text)
    assert reader_of(db, story.reader).paused_until is None
    await site.post(story.link, *fields_of(ended.text, "Undo"))
    assert reader_of(db, story.reader).paused_until == until
    assert [kind for kind, _, _ in history(db, story.reader)] == ["pause", "resume", "pause"]
    with db.begin() as session:
        audit = session.exec(select(Audit)).all()
    assert [each.action for each in audit] == ["subscriber.pause", "subscriber.resume", "subscriber.pause"]
    assert [each.detail for each in audit] == [{}] * 3


@pytest.mark.parametrize(("days", "is_allowed"), [(0, False), (1, True), (366, True), (367, False)])
async def test_a_pause_lasts_from_tomorrow_to_a_year(
    sqlite_db: Database, start: Start, days: int, is_allowed: bool
) -> None:
    story = a_story(sqlite_db)
    day = datetime.now(UTC).date() + timedelta(days=days)
    answer = await (await start(sqlite_db)).post(story.link, ("action", "pause"), ("until", str(day)))
    assert answer.status == (200 if is_allowed else 400)
    until = reader_of(sqlite_db, story.reader).paused_until
    assert until == (datetime(day.year, day.month, day.day, tzinfo=UTC) if is_allowed else None)


async def test_the_digest_that_is_due_as_a_pause_ends_is_the_next(sqlite_db: Database, start: Start) -> None:
    story = a_story(sqlite_db, digest_hour=0)
    site = await start(sqlite_db)
    page = await site.get(story.link)
    await site.post(story.link, *choosing(page.text, storm="daily"))
    day = datetime.now(UTC).date() + timedelta(days=30)
    paused = await site.post(story.link, ("action", "pause"), ("until", str(day)))
    assert f"{day:%A, %B} {day.day}, {day.year} at 12:00 AM (UTC)" in text_of(paused.text)


# --- why -----------------------------------------------------------------------------------------------


async def test_who_left_may_say_why(db: Database, start: Start) -> None:
    story = a_story(db)
    site = await start(db)
    page = await site.get(story.link)
    stopped = await site.post(story.link, *fields_of(page.text, "Stop Ferries & trains"))
    for words in ("Too\x00 many\u202e of them", "x" * 2000):
        fields = [*fields_of(stopped.text, "Send", words=words), ("reason", "too-many")]
        body = urlencode(fields)
        headers = {"Content-Type": "application/x-www-form-urlencoded"}
        thanked = await site.ask("POST", story.link, data=body, headers=headers)
        assert "The newsroom reads this" in said(thanked.text)
        with db.begin() as session:
            (kept,) = session.exec(select(Farewell)).all()
        assert kept.reason == "too-many"
        assert kept.words == ("Too many of them" if "many" in words else "x" * 500)
    everything = await site.post(story.link, ("action", "stop-all"))
    await site.post(story.link, *fields_of(everything.text, "Send"), ("reason", "other"))
    with db.begin() as session:
        assert len(session.exec(select(Farewell)).all()) == 2
        subscribers.erase(session, story.reader, by="reader", now=datetime.now(UTC))
    with db.begin() as session:
        assert not session.exec(select(Farewell)).all()


# --- the data ------------------------------------------------------------------------------------------


async def test_a_forwarded_link_gives_no_data_but_sends_a_link_to_the_address(
    db: Database, start: Start
) -> None:
    story = a_story(db)
    site = await start(db)
    page = await site.get(story.link)
    answer = await site.post(story.link, *fields_of(page.text, "Send me the link"))
    assert "We have sent a link to your address" in said(answer.text)
    assert (
        (await site.post(story.link, ("action", "download"))).headers["Content-Type"].startswith("text/html")
    )
    with db.begin() as session:
        (notice,) = session.exec(select(Notice)).all()
    assert (notice.kind, notice.address, notice.subject_id) == ("link", ADDRESS, story.reader)
    own = await site.get(f"/n/{make(KEYS, Purpose.OWN, notice.id or 0, 0, notice.key_id)}")
    assert own.status == 200
    assert f"For {ADDRESS}" in text_of(own.text)


async def test_the_owner_downloads_all_that_is_kept(db: Database, start: Start) -> None:
    now = datetime.now(UTC)
    with db.begin() as session:
        feed = a_feed(session)
        entries = [an_entry(session, feed, f"post-{each}", title=f"News {each}") for each in range(3)]
        topic = a_topic(session, "storm", title="Storm")
        reader = a_reader(session, ADDRESS, topic, zone="Europe/Paris")
        other = a_reader(session, "other@example.net", topic)
        alert = an_alert(session, {topic: [Frequency.EVERY]})
        digest = an_alert(session, {}, cause="digest", lane=Lane.DIGEST, frequency="daily", slot="UTC 07")
        session.execute(
            sa.text("INSERT INTO alert_entry (alert_id, entry_id, revision) VALUES (:alert, :entry, 1)"),
            {"alert": alert, "entry": entries[0]},
        )
        session.add_all(
            [
                Selection(
                    alert_id=digest,
                    variant="v",
                    language="en",
                    entries=[(each, 1, "") for each in entries[1:]],
                ),
                Selection(alert_id=digest, variant="w", language="en", entries=[(entries[0], 1, "")]),
                Wording(version="w1", language="en", words="I want these.", at=now),
                Consent(subscriber_id=reader, wording="w1", source="page", asked_at=now, confirmed_at=now),
                Suppression(address_hash=address_hash(KEYS.pepper, ADDRESS), cause="complaint", at=now),
                *(
                    Delivery(
                        alert_id=a, subscriber_id=each, variant=v, state="accepted", reason=str(each), at=now
                    )
                    for a, each, v in ((alert, reader, "x"), (alert, other, "x"), (digest, reader, "v"))
                ),
            ]
        )
    link = owners_link(db, reader)
    site = await start(db)
    before = rows(db)
    page = await site.get(link)
    answer = await site.post(link, *fields_of(page.text, "Download"))
    assert rows(db) == before
    assert answer.headers["Content-Type"] == "application/json"
    assert re.fullmatch(r"attachment; filename=alerts-[\d-]{10}\.json", answer.headers["Content-Disposition"])
    assert answer.headers["Cache-Control"] == "no-store"
    told = json.loads(answer.text)
    assert told["reader"]["address"] == ADDRESS
    assert told["reader"]["time_zone"] == "Europe/Paris"
    assert [each["topic"]["title"] for each in told["subscriptions"]] == ["Storm"]
    assert [each["words"] for each in told["consents"]] == ["I want these."]
    assert told["suppression"]["cause"] == "complaint"
    assert [each["kind"] for each in told["mails_you_asked_for"]] == ["link"]
    assert [
        (each["kind"], [entry["title"] for entry in each["entries"]]) for each in told["alerts_and_digests"]
    ] == [
        ("update", ["News 0"]),
        ("daily", ["News 1", "News 2"]),
    ]
    assert "other" not in answer.text
    assert link.removeprefix("/n/") not in answer.text


@pytest.mark.parametrize(
    "changes",
    [
        {"expires_at": datetime(2026, 1, 1, tzinfo=UTC)},
        {"kind": NoticeKind.CONFIRM},
        {"kind": NoticeKind.OLD_ADDRESS},
        {"address": "before@example.org"},
        {"subject_id": 77},
    ],
)
async def test_an_owners_link_ends(sqlite_db: Database, start: Start, changes: dict[str, Any]) -> None:
    story = a_story(sqlite_db)
    address = changes.pop("address", ADDRESS)
    link = owners_link(sqlite_db, story.reader, address=address, **changes)
    site = await start(sqlite_db)
    before = rows(sqlite_db)
    for answer in (await site.get(link), await site.post(link, ("action", "download"))):
        assert answer.status == 410
        assert "This link is over" in answer.text
    assert rows(sqlite_db) == before


async def test_the_owners_page_has_all_rights(db: Database, start: Start) -> None:
    story = a_story(db)
    link = owners_link(db, story.reader)
    site = await start(db)
    page = await site.get(link)
    await site.post(link, *choosing(page.text, storm="weekly"))
    assert following(db, story.reader)["storm"] == "weekly"
    await site.post(link, ("action", "stop-all"))
    assert following(db, story.reader) == {}


# --- being forgotten -----------------------------------------------------------------------------------


async def test_erasing_asks_twice(db: Database, start: Start) -> None:
    story = a_story(db)
    site = await start(db)
    page = await site.get(story.link)
    before = rows(db)
    asked = await site.post(story.link, *fields_of(page.text, "Erase me …"))
    assert "We cannot undo it" in asked.text
    assert rows(db) == before
    done = await site.post(story.link, *fields_of(asked.text, "Erase everything"))
    assert done.status == 200
    assert "You are erased" in text_of(done.text)
    reader = reader_of(db, story.reader)
    assert (reader.state, reader.address) == ("erased", None)
    for answer in (await site.get(story.link), await site.post(story.link, ("action", "stop-all"))):
        assert answer.status == 410
        assert "Nothing is kept here any more" in answer.text
    assert (await site.post(story.link, *ONE_CLICK.items())).status == 200


# --- tokens, and any form ------------------------------------------------------------------------------


async def test_links_survive_a_new_secret(sqlite_db: Database, start: Start) -> None:
    story = a_story(sqlite_db)
    own = owners_link(sqlite_db, story.reader)
    keys = derive(b"the secret that came after it, as long", [SECRET])
    site = await start(sqlite_db, keys=keys)
    assert link_of(story.reader, story.alert, keys) != story.link
    for link in (story.link, own, link_of(story.reader, story.alert, keys)):
        assert (await site.get(link)).status == 200
    await site.post(story.link, *ONE_CLICK.items())
    assert following(sqlite_db, story.reader) == {"sport": "every", "arts": "flash"}


ACTIONS = st.sampled_from(
    [
        "save",
        "place",
        "zones",
        "pause",
        "resume",
        "address",
        "keep-address",
        "link",
        "download",
        "erase",
        "why",
        "stop-all",
    ]
)
NAMES = st.sampled_from(
    [f"frequency.{slug}" for slug in ("storm", "trains", "weather", "nothing")]
    + ["topic", "zone", "hour", "weekday", "days", "until", "address", "reason", "words", "stamp"]
)
VALUES = st.sampled_from(
    [
        *(
            "every:daily",
            ":weekly",
            "flash:",
            "daily:flash",
            "7",
            "0",
            "366",
            "Asia/Tokyo",
            "Factory",
            "2026-12-24",
        ),
        *("storm", "other", "new@example.net", "a@b", "\x00", "\ud7ff\U0010ffff", "9" * 400),
    ]
) | st.text(max_size=20)


async def test_no_form_is_too_much(sqlite_db: Database, start: Start) -> None:
    """Whatever a form holds, it is answered, and no reader but its own is touched."""
    story = a_story(sqlite_db)
    with sqlite_db.begin() as session:
        other = a_reader(session, "other@example.net")
        follows(session, other, session.exec(select(Topic.id)).first() or 0)
    site = await start(sqlite_db)

    def others() -> object:
        return (
            reader_of(sqlite_db, other).model_dump(),
            following(sqlite_db, other),
            history(sqlite_db, other),
        )

    before = others()
    for fields in _examples():
        body = urlencode(fields, errors="surrogatepass")
        headers = {"Content-Type": "application/x-www-form-urlencoded"}
        answer = await site.ask("POST", story.link, data=body, headers=headers)
        assert answer.status in {200, 400}, fields
        assert others() == before


def _examples() -> list[Fields]:
    """Gives forms that hypothesis thought of: its own runner cannot await."""
    found: list[Fields] = []

    @settings(max_examples=150, database=None, suppress_health_check=[*HealthCheck])
    @given(ACTIONS, st.lists(st.tuples(NAMES, VALUES), max_size=5))
    def think(action: str, fields: Fields) -> None:
        found.append([("action", action), *fields])

    think()
    return found


async def test_a_get_of_any_link_changes_no_row(db: Database, start: Start) -> None:
    story = a_story(db)
    own = owners_link(db, story.reader)
    site: Site = await start(db)
    before = rows(db)
    for link in (story.link, own):
        for query in ("", "?action=erase-now", "?action=download", "?action=confirm"):
            for method in ("GET", "HEAD"):
                assert (await site.ask(method, link + query)).status == 200
    assert rows(db) == before


async def test_a_hundred_changes_a_day_are_enough_and_stopping_is_never_too_much(
    db: Database, start: Start
) -> None:
    story = a_story(db)
    now = datetime.now(UTC)
    with db.begin() as session:
        for number in range(CHANGES_LIMIT - 1):
            for _ in range(2):  # two topics in one form
                at = now - timedelta(minutes=number)
                session.add(SubscriptionEvent(subscriber_id=story.reader, kind="change", by="reader", at=at))
    before = following(db, story.reader)
    site = await start(db)
    last = await site.post(story.link, ("action", "pause"), ("days", "7"))
    assert last.status == 200
    for fields in (
        [("action", "place"), ("zone", "UTC"), ("hour", "1"), ("weekday", "1")],
        [("action", "save"), ("frequency.storm", "every:daily")],
        [("action", "resume")],
    ):
        answer = await site.post(story.link, *fields)
        assert answer.status == 400
        assert "a hundred times in a day" in said(answer.text)
    assert following(db, story.reader) == before
    mixed = [
        ("action", "save"),
        ("frequency.storm", "every:"),
        ("frequency.trains", f"{before['trains']}:daily"),
    ]
    stopped = await site.post(story.link, *mixed)
    assert said(stopped.text).startswith("You get no more alerts about")
    del before["storm"]
    assert following(db, story.reader) == before
    await site.post(story.link, ("action", "stop-all"))
    assert following(db, story.reader) == {}
