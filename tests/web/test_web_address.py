"""A change of address over real HTTP: two mails, two buttons, and what is never given away."""

from datetime import UTC, datetime, timedelta

import pytest
from sqlmodel import select

from alerts.audience import address_changes, subscribers, suppressions
from alerts.audience.addresses import normalise
from alerts.audience.tokens import Purpose, make
from alerts.db import Database
from alerts.models import AddressChange, Notice, NoticeKind, Subscriber, SubscriptionEvent
from build import NOW, a_reader, a_topic
from visiting import (
    ADDRESS,
    KEYS,
    Answer,
    Site,
    Start,
    a_story,
    buttons,
    fields_of,
    rows,
    said,
    text_of,
)

NEW = "rosalind@elsewhere.example"
_PURPOSES = {NoticeKind.OLD_ADDRESS: Purpose.OLD_ADDRESS, NoticeKind.NEW_ADDRESS: Purpose.NEW_ADDRESS}


async def wish(site: Site, link: str, address: str = NEW) -> Answer:
    page = await site.get(link)
    return await site.post(link, *fields_of(page.text, "Ask for the change", address=address))


def mailed(database: Database, address: str) -> list[str]:
    """The links in the mails to an address, the latest first."""
    with database.begin() as session:
        query = select(Notice).where(Notice.address == address).order_by(Notice.id.desc())  # type: ignore[union-attr]
        return [
            f"/n/{make(KEYS, _PURPOSES[NoticeKind(each.kind)], each.id or 0, 0, each.key_id)}"
            for each in session.exec(query)
        ]


def address_of(database: Database, reader: int) -> str | None:
    with database.begin() as session:
        return session.get_one(Subscriber, reader).address


async def say(site: Site, link: str, label: str = "Yes, change it") -> Answer:
    page = await site.get(link)
    return await site.post(link, *fields_of(page.text, label))


@pytest.mark.parametrize("is_old_first", [True, False])
async def test_the_address_changes_when_both_ends_said_yes(
    db: Database, start: Start, is_old_first: bool
) -> None:
    story = a_story(db)
    site = await start(db)
    asked = await wish(site, story.link)
    assert "We have written to both addresses" in said(asked.text)
    (old,), (new,) = mailed(db, ADDRESS), mailed(db, NEW)
    assert f"come to {ADDRESS}, your address, shall go to {NEW}" in text_of((await site.get(old)).text)
    shown = await site.get(new)
    assert f"go to r…@example.org shall come to {NEW}, your address" in text_of(shown.text)
    assert ADDRESS not in shown.text
    page = await site.get(story.link)
    assert "You asked for your alerts to go to r…@elsewhere.example." in text_of(page.text)
    first, second = (old, new) if is_old_first else (new, old)
    for _ in range(2):
        halfway = await (say(site, first) if _ == 0 else site.get(first))
        assert "One yes to go" in text_of(halfway.text)
        assert address_of(db, story.reader) == ADDRESS
    done = await say(site, second)
    assert "The address is changed" in text_of(done.text)
    assert address_of(db, story.reader) == NEW
    before = rows(db)
    for link in (old, new):
        again = await site.get(link)
        assert "The address is changed" in text_of(again.text)
        assert ADDRESS not in again.text
        assert NEW not in again.text
        assert (await site.post(link, ("action", "confirm"), ("stamp", "x"))).status == 200
        assert (await site.post(link, ("action", "refuse"))).status == 200
    assert rows(db) == before
    with db.begin() as session:
        change = session.exec(select(AddressChange)).one()
        kinds = [each.kind for each in session.exec(select(SubscriptionEvent))]
    assert (change.address, change.address_key, change.outcome) == (None, None, "changed")
    assert kinds == ["ask-address", "change-address"]
    assert "before your alerts moved to another address" in text_of((await site.get(story.link)).text)


@pytest.mark.parametrize("end", [ADDRESS, NEW])
@pytest.mark.parametrize("is_halfway", [False, True])
async def test_either_end_can_say_no(db: Database, start: Start, end: str, is_halfway: bool) -> None:
    story = a_story(db)
    site = await start(db)
    await wish(site, story.link)
    (mine,), (other,) = mailed(db, end), mailed(db, NEW if end == ADDRESS else ADDRESS)
    if is_halfway:
        await say(site, mine)
    label = "No, leave it as it was" if is_halfway else "No, I did not ask for this"
    kept = await say(site, mine, label)
    assert "The address stays as it was" in text_of(kept.text)
    assert "The address stays as it was" in text_of((await site.get(other)).text)
    before = rows(db)
    await site.post(other, ("action", "confirm"), ("stamp", "x"))
    assert rows(db) == before
    assert address_of(db, story.reader) == ADDRESS


async def test_the_wish_can_be_taken_back_on_the_page(sqlite_db: Database, start: Start) -> None:
    story = a_story(sqlite_db)
    site = await start(sqlite_db)
    asked = await wish(site, story.link)
    kept = await site.post(story.link, *fields_of(asked.text, "Undo"))
    assert "go on coming to this address" in said(kept.text)
    assert "The address stays as it was" in text_of((await site.get(mailed(sqlite_db, ADDRESS)[0])).text)
    again = await wish(site, story.link)
    assert "We have written to both addresses" in said(again.text)


async def test_a_slip_of_the_hand_is_mended_by_asking_again(db: Database, start: Start) -> None:
    story = a_story(db)
    site = await start(db)
    slip = "rosalind@elsewere.example"
    await wish(site, story.link, slip)
    (old,), (wrong,) = mailed(db, ADDRESS), mailed(db, slip)
    shown = await site.get(old)
    await say(site, wrong)
    await wish(site, story.link, NEW)
    # Whoever has the wrong address is no end any more, and their yes counts for nothing.
    assert (await site.get(wrong)).status == 410
    assert (await site.post(wrong, ("action", "confirm"), ("stamp", "x"))).status == 410
    # A yes to what was shown before is no yes to what is asked now.
    stale = await site.post(old, *fields_of(shown.text, "Yes, change it"))
    assert stale.status == 409
    assert "Another address was asked for meanwhile" in said(stale.text)
    assert NEW in text_of(stale.text)
    await site.post(old, *fields_of(stale.text, "Yes, change it"))
    assert address_of(db, story.reader) == ADDRESS
    await say(site, mailed(db, NEW)[0])
    assert address_of(db, story.reader) == NEW


async def test_nobody_learns_what_is_known_of_an_address(db: Database, start: Start) -> None:
    story = a_story(db)
    with db.begin() as session:
        a_reader(session, "known@example.net")
        suppressions.suppress(
            session, KEYS.pepper, "stopped@example.net", cause="complaint", evidence="", origin="x", now=NOW
        )
    site = await start(db)
    answers = []
    for address in ("known@example.net", "stopped@example.net", "nobody@example.net"):
        asked = await wish(site, story.link, address)
        page = await site.get(story.link)
        answers.append(
            (asked.status, asked.text, page.text.replace(f"{address[0]}…@", "…@"), bool(mailed(db, address)))
        )
        await site.post(story.link, ("action", "keep-address"))
    assert len({(status, text) for status, text, _, _ in answers}) == 1
    assert len({page for _, _, page, _ in answers}) == 1
    assert [is_mailed for *_, is_mailed in answers] == [True, False, True]


async def test_an_address_of_another_reader_is_told_to_both_owners_alone(db: Database, start: Start) -> None:
    story = a_story(db)
    with db.begin() as session:
        other = a_reader(session, NEW)
    site = await start(db)
    await wish(site, story.link)
    (old,), (new,) = mailed(db, ADDRESS), mailed(db, NEW)
    assert "One yes to go" in (await say(site, old)).text
    refused = await say(site, new)
    assert refused.status == 409
    assert "gets alerts from us already" in text_of(refused.text)
    assert (address_of(db, story.reader), address_of(db, other)) == (ADDRESS, NEW)
    assert "gets alerts from us already" in text_of((await site.get(old)).text)


async def test_three_wishes_a_day(sqlite_db: Database, start: Start) -> None:
    story = a_story(sqlite_db)
    site = await start(sqlite_db)
    for number in range(3):
        assert (await wish(site, story.link, f"a{number}@example.net")).status == 200
    before = rows(sqlite_db)
    refused = await wish(site, story.link, "a4@example.net")
    assert (refused.status, rows(sqlite_db)) == (400, before)
    assert "Please try again tomorrow" in said(refused.text)


@pytest.mark.parametrize(
    "typed", ["", "nobody", "a@b", "a@b.example\r\nBcc: c@d.example", "\x00@b.example", '"><b>@x']
)
async def test_what_is_no_address_is_said_so(sqlite_db: Database, start: Start, typed: str) -> None:
    story = a_story(sqlite_db)
    site = await start(sqlite_db)
    before = rows(sqlite_db)
    answer = await site.post(story.link, ("action", "address"), ("address", typed))
    assert (answer.status, rows(sqlite_db)) == (400, before)
    assert "not a complete e-mail address" in said(answer.text)
    assert "<b>" not in answer.text


async def test_links_of_a_wish_end(db: Database, start: Start) -> None:
    story = a_story(db)
    site = await start(db)
    await wish(site, story.link)
    links = [*mailed(db, ADDRESS), *mailed(db, NEW)]
    with db.begin() as session:
        now = datetime.now(UTC)
        assert address_changes.forget_old(session, now) == 0
        assert address_changes.forget_old(session, now + address_changes.LIFETIME + timedelta(seconds=1)) == 1
    for link in links:
        assert (await site.get(link)).status == 410
        assert (await site.post(link, ("action", "confirm"))).status == 410
    for purpose in _PURPOSES.values():
        assert (await site.get(f"/n/{make(KEYS, purpose, 4711, 0, KEYS.current)}")).status == 410


async def test_an_end_cannot_answer_for_the_other(sqlite_db: Database, start: Start) -> None:
    story = a_story(sqlite_db)
    site = await start(sqlite_db)
    await wish(site, story.link)
    with sqlite_db.begin() as session:
        notices = {each.kind: each.id or 0 for each in session.exec(select(Notice))}
    before = rows(sqlite_db)
    for purpose, kind in (
        (Purpose.NEW_ADDRESS, NoticeKind.OLD_ADDRESS),
        (Purpose.OLD_ADDRESS, NoticeKind.NEW_ADDRESS),
        (Purpose.OWN, NoticeKind.NEW_ADDRESS),
    ):
        link = f"/n/{make(KEYS, purpose, notices[kind], 0, KEYS.current)}"
        assert (await site.get(link)).status == 410
        assert (await site.post(link, ("action", "confirm"), ("stamp", "x"))).status == 410
    assert rows(sqlite_db) == before


async def test_a_get_of_an_end_changes_no_row(db: Database, start: Start) -> None:
    story = a_story(db)
    site = await start(db)
    await wish(site, story.link)
    before = rows(db)
    for link in (*mailed(db, ADDRESS), *mailed(db, NEW)):
        for method in ("GET", "HEAD"):
            assert (await site.ask(method, link + "?action=confirm")).status == 200
        answer = await site.post(link, ("action", "dance"))
        assert buttons(answer.text) == ["Yes, change it", "No, I did not ask for this"]
    assert rows(db) == before


async def test_an_erasure_takes_the_wish_along(sqlite_db: Database, start: Start) -> None:
    story = a_story(sqlite_db)
    site = await start(sqlite_db)
    await wish(site, story.link)
    links = [*mailed(sqlite_db, ADDRESS), *mailed(sqlite_db, NEW)]
    await site.post(story.link, ("action", "erase-now"))
    with sqlite_db.begin() as session:
        assert not session.exec(select(AddressChange)).all()
    for link in links:
        assert (await site.get(link)).status == 410


def test_the_new_address_brings_its_own_suppression(db: Database) -> None:
    with db.begin() as session:
        reader = a_reader(session, ADDRESS, a_topic(session), suppressed="dead")
        for address, cause in ((NEW, "complaint"), ("free@example.net", "")):
            if cause:
                suppressions.suppress(
                    session, KEYS.pepper, address, cause=cause, evidence="", origin="x", now=NOW
                )
            assert subscribers.readdress(
                session, KEYS.pepper, reader, normalise(address), by="reader", now=NOW
            )
            assert session.get_one(Subscriber, reader).suppressed == cause


def test_what_an_old_address_answers_does_not_condemn_the_new_one(db: Database) -> None:
    with db.begin() as session:
        reader = a_reader(session, ADDRESS, a_topic(session))
        subscribers.readdress(session, KEYS.pepper, reader, normalise(NEW), by="reader", now=NOW)
        session.flush()
        for later, stopped in ((timedelta(minutes=5), 0), (timedelta(hours=2), 1)):
            assert (
                suppressions.suppress_many(
                    session, KEYS.pepper, [(reader, "550")], cause="dead", origin="x", now=NOW + later
                )
                == stopped
            )


async def test_another_reader_is_asked_at_the_address_they_gave(sqlite_db: Database, start: Start) -> None:
    story = a_story(sqlite_db)
    with sqlite_db.begin() as session:
        a_reader(session, NEW)
    await wish(await start(sqlite_db), story.link, NEW.upper())
    assert len(mailed(sqlite_db, NEW)) == 1
