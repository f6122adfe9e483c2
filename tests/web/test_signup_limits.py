"""Nobody fills a stranger's inbox through us: limits per address, network, domain and in all, on both databases."""

import asyncio
from collections import Counter
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from itertools import groupby

import pytest
import sqlalchemy as sa
import structlog
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from sqlmodel import Session, SQLModel, col, select

from alerts.audience import notices as asking
from alerts.audience import signups, tally
from alerts.audience.addresses import normalise
from alerts.audience.consents import Words
from alerts.audience.signups import HourlyLimits, Wanted
from alerts.db import Database
from alerts.models import Notice, NoticeKind, SignUp, Tally
from alerts.web.pages import Pages
from alerts.web.signup import Terms
from alerts.web.signup_pages import SignUpPages
from alerts.web.strangers import is_from_elsewhere, networks_of
from build import a_topic
from signing_up import ANN, KEYS, SITE, Visitor, following, link_of, notices, visiting

NOW = datetime(2026, 11, 22, 7, 0, tzinfo=UTC)
MANY = 10**6
SECOND, MINUTE = timedelta(seconds=1), timedelta(minutes=1)


async def sent(visitor: Visitor, addresses: Sequence[str], *, forwarded: str = "") -> list[int]:
    headers = {"X-Forwarded-For": forwarded} if forwarded else {}
    return [(await visitor.sign_up(each, headers=headers)).status for each in addresses]


def readers(count: int, domain: str = "reader.example.org", prefix: str = "reader") -> list[str]:
    return [f"{prefix}{number}@{domain}" for number in range(count)]


async def test_a_network_has_its_share_and_is_told(db: Database) -> None:
    with db.begin() as session:
        a_topic(session, "storm")
    terms = Terms(limits=HourlyLimits(3, MANY, MANY))
    async with visiting(db, terms, proxies=("127.0.0.1",)) as visitor:
        assert await sent(visitor, readers(4), forwarded="203.0.113.7") == [200, 200, 200, 429]
        assert await sent(visitor, readers(1, prefix="b"), forwarded="203.0.113.200") == [429]
        assert await sent(visitor, readers(1, prefix="c"), forwarded="203.0.114.7") == [200]
        assert await sent(visitor, readers(4, prefix="d"), forwarded="2001:db8:1:2::5") == [
            200,
            200,
            200,
            429,
        ]
        assert await sent(visitor, readers(1, prefix="e"), forwarded="2001:db8:1:2:ffff::1") == [429]
        links = [
            await visitor.ask(
                "POST", "/link", data={"address": ANN}, headers={"X-Forwarded-For": "203.0.113.8"}
            )
            for _ in range(4)
        ]
        # A flood of sign-ups leaves readers the way to their page.
        assert [each.status for each in links] == [200, 200, 200, 429]
        link = links[-1]
        assert 0 < int(link.headers["Retry-After"]) <= 7200
        assert link.heading == "Please come back later"
    assert len(notices(db)) == 7


async def test_who_has_a_large_ipv6_network_closes_nothing_for_others(sqlite_db: Database) -> None:
    with sqlite_db.begin() as session:
        a_topic(session, "storm")
    terms = Terms(limits=HourlyLimits(2, 6, MANY))
    async with visiting(sqlite_db, terms, proxies=("127.0.0.1",)) as visitor:
        taken = [
            await sent(visitor, readers(2, prefix=f"of{subnet}-"), forwarded=f"2001:db8:1:{subnet}::1")
            for subnet in range(4)
        ]
        assert taken == [[200, 200], [200, 200], [429, 429], [429, 429]]
        assert await sent(visitor, readers(2), forwarded="2001:db8:2::1") == [200, 200]


async def test_a_domain_and_the_site_have_their_limits(db: Database) -> None:
    with db.begin() as session:
        a_topic(session, "storm")
    async with visiting(db, Terms(limits=HourlyLimits(MANY, 2, 5))) as visitor:
        assert await sent(visitor, readers(3)) == [200, 200, 429]
        assert await sent(visitor, readers(3, "OTHER.example.org")) == [200, 200, 429]
        assert await sent(visitor, readers(2, "third.example.org")) == [200, 429]
    with db.begin() as session:
        assert all(len(scope) == 64 for scope in session.exec(select(Tally.scope)).all())


async def test_a_network_that_hammers_takes_nothing_from_the_others(db: Database) -> None:
    with db.begin() as session:
        a_topic(session, "storm")
    terms = Terms(limits=HourlyLimits(2, 4, 4))
    async with visiting(db, terms, proxies=("127.0.0.1",)) as visitor:
        assert (await sent(visitor, readers(8), forwarded="203.0.113.7")).count(200) == 2
        assert await sent(visitor, readers(2, prefix="b"), forwarded="198.51.100.7") == [200, 200]


async def test_limits_are_exact_when_all_ask_at_once(db: Database) -> None:
    with db.begin() as session:
        a_topic(session, "storm")
    async with visiting(db, Terms(limits=HourlyLimits(MANY, MANY, 7))) as visitor:
        answers = await asyncio.gather(*[visitor.sign_up(each) for each in readers(20)])
    assert sorted(answer.status for answer in answers) == [200] * 7 + [429] * 13
    assert len(notices(db)) == 7


async def test_who_is_beyond_a_limit_costs_the_database_nothing(sqlite_db: Database) -> None:
    with sqlite_db.begin() as session:
        a_topic(session, "storm")
    async with visiting(sqlite_db, Terms(limits=HourlyLimits(1, MANY, MANY))) as visitor:
        assert await sent(visitor, readers(2)) == [200, 429]
        statements: list[str] = []
        sa.event.listen(sqlite_db.engine, "before_cursor_execute", lambda *given: statements.append(given[2]))
        assert await sent(visitor, readers(3, "other.example.org")) == [429] * 3
    assert statements == []


async def test_a_double_click_sends_one_mail(db: Database) -> None:
    with db.begin() as session:
        a_topic(session, "storm")
    async with visiting(db) as visitor:
        answers = await asyncio.gather(*[visitor.sign_up() for _ in range(6)])
    assert {answer.status for answer in answers} == {200}
    assert len(notices(db)) == 1
    with db.begin() as session:
        assert len(session.exec(select(SignUp)).all()) == 1


@pytest.mark.parametrize(
    ("spellings", "sent_to"),
    [
        ([f"ann+{number}@reader.example.org" for number in range(9)], 2),
        (["t.arget@gmail.com", "tar.get+a@googlemail.com", "TARGET@gmail.com", "t.a.r.g.e.t@gmail.com"], 2),
        (
            [
                "a.nn@reader.example.org",
                "an.n@reader.example.org",
                "+ann@reader.example.org",
                "+bob@reader.example.org",
            ],
            4,
        ),
    ],
)
async def test_an_inbox_has_its_limit_however_its_address_is_spelled(
    sqlite_db: Database, spellings: Sequence[str], sent_to: int
) -> None:
    with sqlite_db.begin() as session:
        a_topic(session, "storm")
    async with visiting(sqlite_db) as visitor:
        assert await sent(visitor, spellings) == [200] * len(spellings)
    assert len(notices(sqlite_db)) == sent_to


async def test_who_wants_more_right_after_confirming_is_written_to(sqlite_db: Database) -> None:
    with sqlite_db.begin() as session:
        a_topic(session, "storm")
        a_topic(session, "trains")
    async with visiting(sqlite_db) as visitor:
        await visitor.sign_up()
        await visitor.confirm(link_of(notices(sqlite_db)[0]))
        await visitor.sign_up(choices={"trains": "daily"})
        _, second = notices(sqlite_db)
        assert (await visitor.confirm(link_of(second))).status == 200
    assert following(sqlite_db) == {"storm": "every", "trains": "daily"}


def test_the_hour_is_counted_and_forgotten(db: Database) -> None:
    def take(minutes: int, scope: str = "all") -> timedelta:
        return tally.take(session, KEYS.pepper, scope, 4, NOW + minutes * MINUTE)

    with db.begin() as session:
        assert [take(each) for each in (0, 15, 30, 45)] == [timedelta(0)] * 4
        assert take(50) == 25 * MINUTE, "until a quarter of the next hour is over"
        assert take(70) == 5 * MINUTE
        assert take(75) == timedelta(0), "what had no room was not counted"
        assert take(75, "other") == timedelta(0)
        tally.sweep(session, NOW + timedelta(hours=3))
        assert session.exec(select(Tally.count)).all() == [1, 1]


def test_two_processes_count_together(postgres_db: Database) -> None:
    other = Database(postgres_db.url.render_as_string(hide_password=False))

    def take(database: Database) -> bool:
        with database.begin() as session:
            return not tally.take(session, KEYS.pepper, "all", 30, NOW)

    with ThreadPoolExecutor(8) as threads:
        taken = list(threads.map(take, [postgres_db, other] * 20))
    other.close()
    assert taken.count(True) == 30


# Seconds: bursts, some of them around the turn of an hour.
ASKED = st.lists(
    st.tuples(st.integers(0, 4), st.sampled_from([0, 1800, 3500, 3599]), st.integers(1, 12)), max_size=12
).map(lambda bursts: sorted(3600 * hour + second for hour, second, many in bursts for _ in range(many)))


def let_through(asked: Sequence[int], limit: int) -> list[int]:
    """Plays requests at these seconds."""
    counts: Counter[int] = Counter()
    through: list[int] = []
    for at in asked:
        hour, passed = divmod(at, 3600)
        if not tally.until_room(counts[hour - 1], counts[hour], limit, timedelta(seconds=passed)):
            counts[hour] += 1
            through.append(at)
    return through


@given(ASKED, st.integers(1, 8))
def test_no_stretch_of_time_sees_more_than_the_limit_and_what_its_length_adds(
    asked: list[int], limit: int
) -> None:
    through = let_through(asked, limit)
    for number, begin in enumerate(through):
        for count, end in enumerate(through[number:], start=1):
            if end - begin < 3600:
                assert count <= limit * (1 + (end - begin) / 3600)


@given(ASKED, st.integers(1, 8))
def test_who_keeps_to_half_of_the_limit_is_never_kept_waiting(asked: list[int], limit: int) -> None:
    by_hour = [[*each] for _, each in groupby(asked, lambda at: at // 3600)]
    few = [at for each in by_hour for at in each[: limit // 2]]
    assert let_through(few, limit) == few


@given(st.integers(0, 8), st.integers(0, 8), st.integers(1, 8), st.integers(0, 3599))
def test_there_is_room_when_the_wait_is_over_and_not_before(
    previous: int, current: int, limit: int, passed: int
) -> None:
    def wait(after: timedelta) -> timedelta:
        hours, into = divmod(timedelta(seconds=passed) + after, timedelta(hours=1))
        before, now = [(previous, current), (current, 0), (0, 0)][hours]
        return tally.until_room(before, now, limit, into)

    asked = wait(timedelta(0))
    assume(current <= limit)
    assert not wait(asked + SECOND)
    if asked > SECOND:
        assert wait(asked - SECOND)


# --- any order of clicks ------------------------------------------------------------------------------------

ASKS = st.lists(
    st.tuples(
        st.sampled_from(["sign up", "sign up for less", "link", "old address"]),
        st.sampled_from(["ann@reader.example.org", "ANN@READER.EXAMPLE.ORG", "bob@reader.example.org"]),
        st.integers(0, 14 * 3600),  # seconds after the one before
    ),
    max_size=25,
)


def click(session: Session, what: str, address: str, now: datetime) -> None:
    valid = normalise(address)
    match what:
        case "link" | "old address":
            kind = NoticeKind.LINK if what == "link" else NoticeKind.OLD_ADDRESS
            asking.ask(session, KEYS, kind, valid, 1, language="en", lifetime=timedelta(days=1), now=now)
        case _:
            choices = {"storm": "every" if what == "sign up" else "weekly"}
            wanted = Wanted(valid, "en", "UTC", choices, Words("en", "Yes."), "page")
            signups.ask_to_confirm(session, KEYS, wanted, timedelta(days=2), now)


@settings(max_examples=40, deadline=None)
@given(ASKS)
def test_whatever_is_asked_for_three_mails_a_day_reach_an_address_and_a_double_click_one(
    asks: list[tuple[str, str, int]],
) -> None:
    database = Database("sqlite://")
    try:
        SQLModel.metadata.create_all(database.engine)
        now = NOW
        for what, address, seconds in asks:
            now += timedelta(seconds=seconds)
            with database.begin() as session:
                click(session, what, address, now)
        with database.begin() as session:
            written = session.exec(select(Notice).order_by(col(Notice.made_at))).all()
            pending = session.exec(select(SignUp.address_key)).all()
        assert len(pending) == len(set(pending))
        for hashed in {each.address_hash for each in written}:
            own = [each for each in written if each.address_hash == hashed]
            for each in own:
                day = [
                    other for other in own if each.made_at <= other.made_at < each.made_at + timedelta(days=1)
                ]
                assert len(day) <= 3
                assert sum(other.kind == NoticeKind.CONFIRM for other in day) <= 2
                same = [other for other in day if other.kind == each.kind]
                assert all(
                    other is each or other.made_at >= each.made_at + timedelta(minutes=2) for other in same
                )
    finally:
        database.close()


# --- who asks ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("forwarded", "proxies", "is_spoofed"),
    [
        (["198.51.100.1"], (), True),  # nobody's word counts
        (["198.51.100.1"], ("10.0.0.0/8",), True),  # ours come from elsewhere
        (["198.51.100.1"], ("127.0.0.0/8",), False),
        (["6.6.6.6, 198.51.100.1"], ("127.0.0.1",), False),  # what the client wrote itself is left of it
        (["6.6.6.6, 198.51.100.1, 10.1.2.3"], ("127.0.0.1", "10.0.0.0/8"), False),
        (["6.6.6.6", "198.51.100.1"], ("127.0.0.1",), False),  # in headers of their own
        (["198.51.100.1:4711"], ("127.0.0.1",), False),
    ],
)
async def test_a_proxys_word_counts_from_the_last_hop_that_is_none_of_ours(
    sqlite_db: Database, forwarded: list[str], proxies: tuple[str, ...], is_spoofed: bool
) -> None:
    with sqlite_db.begin() as session:
        a_topic(session, "storm")
    terms = Terms(limits=HourlyLimits(1, MANY, MANY))
    async with visiting(sqlite_db, terms, proxies=proxies) as visitor:
        data = {"frequency.storm": "every", "address": "first@reader.example.org"}
        headers = [("X-Forwarded-For", each) for each in forwarded]
        assert (await visitor.ask("POST", "/signup", data=data, headers=headers)).status == 200
        # Who comes without a word of a proxy is the test itself: the same as the first only if that was not heard.
        assert await sent(visitor, readers(1)) == [429 if is_spoofed else 200]
        if not is_spoofed:
            again = await visitor.sign_up(
                "b@reader.example.org", headers={"X-Forwarded-For": "198.51.100.77"}
            )
            assert again.status == 429


@pytest.mark.parametrize(
    ("host", "networks"),
    [
        ("203.0.113.77", ["203.0.113.0/24"]),
        ("2001:db8:1:2:3:4:5:6", ["2001:db8:1:2::/64", "2001:db8:1::/48"]),
        ("::ffff:203.0.113.77", ["203.0.113.0/24"]),
        ("fe80::1%eth0", ["fe80::/64", "fe80::/48"]),
        ("", ["unknown"]),
        ("nonsense", ["unknown"]),
        ("203.0.113.256", ["unknown"]),
    ],
)
def test_an_address_stands_for_its_networks(host: str, networks: list[str]) -> None:
    assert [*networks_of(host)] == networks


@given(st.text(max_size=60))
def test_whatever_a_proxy_says_is_some_network(host: str) -> None:
    assert networks_of(host)


@given(st.dictionaries(st.sampled_from(["origin", "sec-fetch-site", "host"]), st.text(max_size=30)))
def test_whatever_a_browser_says_is_judged(headers: dict[str, str]) -> None:
    assert is_from_elsewhere(headers, "https://alerts.example") in {True, False}


@pytest.mark.parametrize(
    ("base_url", "origin"),
    [
        ("https://alerts.example:443/news", "https://alerts.example"),
        ("HTTPS://Alerts.Example", "https://alerts.example"),
        ("http://localhost:8025", "http://localhost:8025"),
        ("http://[::1]:8025", "http://[::1]:8025"),
    ],
)
def test_our_own_origin_is_written_as_browsers_write_it(base_url: str, origin: str) -> None:
    assert not is_from_elsewhere({"origin": origin}, base_url)
    assert is_from_elsewhere({"origin": f"{origin}0"}, base_url)


@given(
    st.text(max_size=80)
    | st.lists(st.sampled_from(["de", "en;q=0.5", "*", ";q=", "q=1.1.1", "x_y_z"])).map(",".join)
)
def test_whatever_languages_a_browser_says_the_page_is_in_one_that_we_speak(accepted: str) -> None:
    assert PAGES.known(accepted).partition("-")[0] in {"en", "de"}


PAGES = SignUpPages(Pages(SITE, [], "de"))


@pytest.mark.parametrize(
    ("proxies", "is_said"), [((), True), (("10.0.0.0/8",), True), (("127.0.0.1",), False)]
)
async def test_a_proxy_that_is_not_named_is_noticed_once(
    sqlite_db: Database, proxies: tuple[str, ...], is_said: bool
) -> None:
    with structlog.testing.capture_logs() as events:
        async with visiting(sqlite_db, proxies=proxies) as visitor:
            for number in range(45):
                await visitor.get("/livez", **{"X-Forwarded-For": f"203.0.113.{number}"})
                await visitor.get("/livez")
    said = [event for event in events if event["event"] == "forwarded_for_not_heard"]
    assert [event["requests"] for event in said] == [20] * is_said
    assert "203.0.113" not in str(said)
