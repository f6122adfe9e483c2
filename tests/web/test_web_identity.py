"""Whose a link is: a mail's link opens for its reader what was meant, and for nobody else's mailbox anything."""

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

import pytest
import sqlalchemy as sa
from sqlmodel import select

from alerts.audience import signups, subscribers, suppressions, topics
from alerts.audience.addresses import normalise
from alerts.audience.tokens import Purpose, make
from alerts.db import Database
from alerts.models import AddressChange, AlertEntry, Frequency, Notice, SignUp
from build import a_feed, a_reader, a_topic, an_alert, an_entry, follows
from signing_up import ANN, KEYS, following, link_of, notices, visiting

NEW = "ann@elsewhere.example"
MALLORY = "mallory@evil.example.org"


async def test_a_strangers_link_confirms_nobody_elses_sign_up(db: Database) -> None:
    with db.begin() as session:
        mallory = a_reader(session, MALLORY, a_topic(session, "storm"))
    async with visiting(db) as visitor:
        await visitor.sign_up(MALLORY)
        link = link_of(notices(db)[0])
        with db.begin() as session:
            subscribers.erase(session, mallory, by="reader", now=datetime.now(UTC))
        await visitor.sign_up(ANN)
        page = await visitor.get(link)
        assert page.status == 410
        assert ANN not in page.text
        assert (await visitor.ask("POST", link, data={"version": "1"})).status == 410
    with db.begin() as session:
        assert session.exec(select(SignUp.subscriber_id)).all() == [None]


async def test_a_link_whose_number_came_to_stand_for_another_address_opens_nothing(
    sqlite_db: Database,
) -> None:
    """The second lock: numbers are given once, and still the address must be the one that was mailed."""
    with sqlite_db.begin() as session:
        a_topic(session, "storm")
    async with visiting(sqlite_db) as visitor:
        await visitor.sign_up(MALLORY)
        await visitor.sign_up(ANN)
        of_mallory, of_ann = notices(sqlite_db)
        with sqlite_db.begin() as session:
            session.execute(sa.update(Notice).values(subject_id=of_ann.subject_id))
        assert (await visitor.get(link_of(of_mallory))).status == 410
        assert (await visitor.ask("POST", link_of(of_mallory), data={"version": "1"})).status == 410
        assert (await visitor.confirm(link_of(of_ann))).status == 200
        assert (await visitor.get(link_of(of_mallory))).status == 410
        assert (await visitor.get(link_of(of_ann))).status == 200
    assert following(sqlite_db) == {"storm": "every"}


async def test_a_forgotten_notices_link_opens_no_later_ones_page(db: Database) -> None:
    with db.begin() as session:
        topic = a_topic(session, "storm")
        a_reader(session, MALLORY, topic)
        a_reader(session, ANN, topic)
    async with visiting(db) as visitor:
        await visitor.ask("POST", "/link", data={"address": MALLORY})
        link = link_of(notices(db)[0])
        with db.begin() as session:
            session.execute(sa.update(Notice).values(due_at=None))
            signups.sweep(session, datetime.now(UTC) + timedelta(days=31))
        assert notices(db) == []
        await visitor.ask("POST", "/link", data={"address": ANN})
        page = await visitor.get(link)
        assert page.status == 410
        assert ANN not in page.text
        assert (await visitor.get(link_of(notices(db)[0]))).status == 200


async def test_a_new_topics_archive_shows_nothing_of_one_that_was_removed(db: Database) -> None:
    now = datetime.now(UTC)
    with db.begin() as session:
        a_topic(session, "storm")
        secret = a_topic(session, "secret")
        entry = an_entry(session, a_feed(session), title="Not for everybody")
        alert = an_alert(session, {secret: [Frequency.EVERY]}, now=now)
        session.add(AlertEntry(alert_id=alert, entry_id=entry, revision=1))
        session.flush()
        topics.remove(session, "secret", "admin", now)
        a_topic(session, "open")
    async with visiting(db) as visitor:
        page = await visitor.get("/archive/open")
    assert page.status == 200
    assert "Not for everybody" not in page.text


@pytest.mark.parametrize("typed", ["ANN@reader.example.org", "Ann@READER.example.org"])
async def test_a_reader_is_mailed_at_the_address_they_gave_however_a_stranger_types_it(
    db: Database, typed: str
) -> None:
    with db.begin() as session:
        a_reader(session, ANN, a_topic(session, "storm"))
    async with visiting(db) as visitor:
        await visitor.sign_up(typed)
        await visitor.ask("POST", "/link", data={"address": typed})
        assert [each.address for each in notices(db)] == [ANN, ANN]
        page = await visitor.get(link_of(notices(db)[0]))
        assert ANN in page.text


def a_readers_page(database: Database) -> str:
    with database.begin() as session:
        reader = a_reader(session, ANN, a_topic(session, "storm"))
    return f"/u/{make(KEYS, Purpose.MANAGE, reader, 0, KEYS.current)}"


def press(action: str, **fields: str) -> dict[str, dict[str, str]]:
    return {"data": {"action": action} | fields}


async def test_strangers_sign_ups_leave_a_reader_their_own_mail(db: Database) -> None:
    link = a_readers_page(db)
    async with visiting(db) as visitor:
        for tag in ("", "+1", "+2", "+3"):
            assert (await visitor.sign_up(ANN.replace("@", f"{tag}@"))).status == 200
        assert len(notices(db)) == 2
        sent = await visitor.ask("POST", link, **press("link"))
        assert (sent.status, "We have sent a link" in sent.text) == (200, True)
        assert [each.kind for each in notices(db)][2:] == ["link"]


async def test_a_reader_is_told_when_their_own_inbox_has_had_enough(db: Database) -> None:
    link = a_readers_page(db)
    async with visiting(db) as visitor:
        for address in (ANN, ANN.replace("@", "+1@")):
            await visitor.sign_up(address)
        await visitor.ask("POST", "/link", data={"address": ANN})
        again = await visitor.ask("POST", link, **press("link"))
        assert "We have sent a link" in again.text  # just now, to be sure
        with db.begin() as session:
            for each in session.exec(select(Notice)):
                each.made_at -= timedelta(minutes=3)
        for pressed in (press("link"), press("address", address="ann@elsewhere.example")):
            answer = await visitor.ask("POST", link, **pressed)
            assert answer.status == 400
            assert "We sent nothing" in answer.text
    assert len(notices(db)) == 3
    with db.begin() as session:
        assert session.exec(select(AddressChange)).all() == []


async def test_a_change_within_one_inbox_needs_room_for_both_mails(sqlite_db: Database) -> None:
    link = a_readers_page(sqlite_db)
    async with visiting(sqlite_db) as visitor:
        await visitor.sign_up(ANN)
        await visitor.sign_up(ANN.replace("@", "+1@"))
        within = await visitor.ask("POST", link, **press("address", address=ANN.replace("@", "+new@")))
        assert within.status == 400
        beyond = await visitor.ask("POST", link, **press("address", address="ann@elsewhere.example"))
        twice = await visitor.ask("POST", link, **press("address", address="ann@elsewhere.example"))
        assert (beyond.status, twice.status) == (200, 200)


async def test_a_reader_whose_address_gets_nothing_is_told_so(sqlite_db: Database) -> None:
    link, now = a_readers_page(sqlite_db), datetime.now(UTC)
    with sqlite_db.begin() as session:
        suppressions.suppress(
            session, KEYS.pepper, ANN, cause="dead address", evidence="", origin="test", now=now
        )
    async with visiting(sqlite_db) as visitor:
        for pressed in (press("link"), press("address", address="ann@elsewhere.example")):
            answer = await visitor.ask("POST", link, **pressed)
            assert (answer.status, "We sent nothing: no mail goes" in answer.text) == (400, True)
    with sqlite_db.begin() as session:
        assert session.exec(select(AddressChange)).all() == []


@dataclass(frozen=True)
class Moved:
    """A reader who changed their address, and the links in mails of before and since."""

    id: int
    before: str
    since: str
    forgotten: str


def a_reader_who_moved(database: Database) -> Moved:
    now = datetime.now(UTC)
    with database.begin() as session:
        storm = a_topic(session, "storm")
        reader = a_reader(session, ANN, storm, Frequency.EVERY)
        for slug in ("trains", "council"):
            follows(session, reader, a_topic(session, slug))
        audience = {storm: [Frequency.EVERY]}
        ids = [
            an_alert(session, audience, cause=f"entry:{number}", now=now + timedelta(minutes=minutes))
            for number, minutes in enumerate((-5, 5))
        ]
        subscribers.readdress(session, KEYS.pepper, reader, normalise(NEW), by="reader", now=now)
    before, since, forgotten = (
        f"/u/{make(KEYS, Purpose.MANAGE, reader, alert, KEYS.current)}" for alert in (*ids, 999)
    )
    return Moved(reader, before, since, forgotten)


FORBIDDEN = (
    press("erase"),
    press("erase-now"),
    press("download"),
    press("address", address="mallory@evil.example.org"),
    press("keep-address"),
    press("pause", days="7"),
    press("place", zone="UTC", hour="1", weekday="1"),
    press("zones", hour="1", weekday="1"),
    press("save", **{"frequency.storm": "every:daily"}),
    press("why", reason="never-asked"),
    press("dance"),
)


async def test_a_mailbox_that_the_reader_left_can_stop_alerts_and_learn_nothing(db: Database) -> None:
    moved = a_reader_who_moved(db)
    async with visiting(db) as visitor:
        for link in (moved.before, moved.forgotten):
            shown = await visitor.get(link)
            answers = [shown, *[await visitor.ask("POST", link, **each) for each in FORBIDDEN]]
            assert {each.status for each in answers[1:]} == {400}
            for word in ("elsewhere.example", "Trains", "Council", "Erase", "Download", "Pause"):
                assert not any(word in each.text for each in answers), word
        assert len(following(db, NEW)) == 3
        stopped = await visitor.ask(
            "POST",
            moved.before,
            **press("save", **{"frequency.storm": "every:", "frequency.trains": "every:"}),
        )
        assert "You get no more alerts about Storm." in stopped.text
        assert "Undo" not in stopped.text
        assert set(following(db, NEW)) == {"trains", "council"}
        sent = await visitor.ask("POST", moved.before, **press("link"))
        assert sent.status == 200
        (notice,) = notices(db)
        assert notice.address == NEW
        assert (await visitor.get(link_of(notice))).status == 200
        await visitor.ask("POST", moved.forgotten, **press("stop-all"))
        assert following(db, NEW) == {}


async def test_from_there_a_form_that_also_wishes_for_more_still_stops(sqlite_db: Database) -> None:
    """A page that was opened before the change of address, and sent after it."""
    moved = a_reader_who_moved(sqlite_db)
    wanted = {"frequency.storm": "every:", "frequency.trains": "every:daily"}
    async with visiting(sqlite_db) as visitor:
        answer = await visitor.ask("POST", moved.before, **press("save", **wanted))
    assert (answer.status, "You get no more alerts about Storm." in answer.text) == (200, True)
    assert following(sqlite_db, NEW) == {"trains": "every", "council": "every"}


async def test_one_click_in_an_old_mail_works_for_good(db: Database) -> None:
    moved = a_reader_who_moved(db)
    async with visiting(db) as visitor:
        answer = await visitor.ask("POST", moved.before, data={"List-Unsubscribe": "One-Click"})
        assert answer.status == 200
        assert set(following(db, NEW)) == {"trains", "council"}


async def test_a_mail_that_went_to_the_new_address_has_the_whole_right(sqlite_db: Database) -> None:
    moved = a_reader_who_moved(sqlite_db)
    async with visiting(sqlite_db) as visitor:
        assert "Council" in (await visitor.get(moved.since)).text
        assert (await visitor.ask("POST", moved.since, **press("erase-now"))).heading == "You are erased"


async def test_who_moved_and_signs_up_again_is_led_to_a_link_that_opens_their_page(db: Database) -> None:
    """The page after a confirmation is opened by the link of a mail that may have gone to the address they left."""
    a_reader_who_moved(db)
    async with visiting(db) as visitor:
        await visitor.sign_up(NEW, {"storm": "daily"})
        link = link_of(notices(db)[0])
        for page in (await visitor.confirm(link), await visitor.get(link)):
            assert page.status == 200
            assert "/u/" not in page.text
            assert '<a class="button" href="/link">Ask for the link to your page</a>' in page.text
        await visitor.ask("POST", "/link", data={"address": NEW})
        assert "Council" in (await visitor.get(link_of(notices(db)[1]))).text
    assert following(db, NEW)["storm"] == "daily"
