"""The verdict of the kill test can turn red: each broken promise is told from the log alone."""

import json
from collections.abc import Sequence
from dataclasses import replace

from chaos.audit import Accepted, Asked, Closed, Kill, Line, Opened, Report, audit, parse

OWED = {1: frozenset({"a@example.org", "b@example.org"})}
FIRST = Accepted(1, 2.0, "a@example.org", "aa", "id-a", 1)
KEPT: Sequence[Line] = (
    Opened(1, 1.0),
    Opened(2, 1.0),
    FIRST,
    Closed(1, 3.0, is_in_flight=True),
    Closed(2, 3.0, is_in_flight=False),
    Opened(3, 5.0),
    Accepted(3, 6.0, "b@example.org", "bb", "id-b", 1),
    Closed(3, 7.0, is_in_flight=False),
)
KILLS = [Kill(4.0, "random")]


def judge(*more: Line, without: Line | None = None) -> Report:
    return audit([line for line in (*KEPT, *more) if line != without], KILLS, OWED)


def test_promises_kept_are_no_problem() -> None:
    report = judge()
    assert report.problems == ()
    assert (report.owed, report.accepted, report.kills, report.counted) == (2, 2, 1, 1)
    assert (report.lost, report.repeated, report.unexpected, report.is_byte_identical) == (0, 0, 0, True)


def test_a_kill_counts_only_with_mail_in_flight() -> None:
    idle = [replace(line, is_in_flight=False) if isinstance(line, Closed) else line for line in KEPT]
    assert audit(idle, KILLS, OWED).counted == 0


def test_a_lost_mail_is_told() -> None:
    assert judge(without=FIRST).problems == ("1 mails lost",)


def test_a_repeat_for_each_open_connection_is_within_the_promise() -> None:
    report = judge(replace(FIRST, connection=3, at=6.0))
    assert (report.repeated, report.worst_repeated, report.connections) == (1, 1, 2)
    assert report.problems == ()


def test_more_repeats_than_connections_are_told() -> None:
    owed = {1: frozenset({"a@example.org", "b@example.org", "c@example.org", "d@example.org"})}
    before = [replace(FIRST, rcpt=f"{name}@example.org") for name in "cd"]
    after = [replace(FIRST, rcpt=f"{name}@example.org", connection=3, at=6.0) for name in "acd"]
    report = audit([*KEPT, *before, *after], KILLS, owed)
    assert report.problems == ("kill 1 (random): 3 repeated, 2 connections were open",)


def test_connections_closed_before_the_kill_allow_no_repeat() -> None:
    early = [replace(line, at=1.5) if line == Closed(2, 3.0, is_in_flight=False) else line for line in KEPT]
    repeat = replace(FIRST, connection=3, at=6.0)
    assert audit([*early, repeat], KILLS, OWED).connections == 1


def test_a_repeat_without_a_kill_between_is_told() -> None:
    assert judge(replace(FIRST, connection=2)).problems == ("1 mails repeated though no kill stood between",)


def test_a_repeat_that_differs_is_told() -> None:
    report = judge(replace(FIRST, connection=3, at=6.0, sha256="other"))
    assert report.problems == ("1 mails whose copies differ",)
    assert not report.is_byte_identical


def test_a_mail_to_somebody_else_is_told() -> None:
    report = judge(replace(FIRST, rcpt="z@example.org"))
    assert report.problems == ("1 mails to somebody who was owed none",)


def test_what_was_known_before_is_in_the_report() -> None:
    assert audit(KEPT, KILLS, OWED, ["the daemon would not end"]).problems == ("the daemon would not end",)


def test_where_doubt_is_held_what_was_in_doubt_may_be_missing_and_nothing_repeated() -> None:
    missing = [line for line in KEPT if line != FIRST]
    assert audit(missing, KILLS, OWED, is_resent=False).problems == ()
    repeated = audit([*KEPT, replace(FIRST, connection=3, at=6.0)], KILLS, OWED, is_resent=False)
    assert repeated.problems == ("kill 1 (random): 1 repeated, 2 connections were open",)


VISITORS = [Asked("once@example.org", "accepted", 0), Asked("doubt@example.org", "accepted", 1)]
NOTICES = [replace(FIRST, rcpt=each.address, mark=0) for each in VISITORS]


def judge_notices(*more: Line, asked: Sequence[Asked] = VISITORS, without: Line | None = None) -> Report:
    lines = [line for line in (*KEPT, *NOTICES, *more) if line != without]
    return audit(lines, KILLS, OWED, asked=asked)


def test_a_confirmation_mail_comes_once_or_again_after_a_doubt() -> None:
    report = judge_notices(replace(NOTICES[1], connection=3, at=6.0))
    assert report.problems == ()
    assert (report.notices, report.notices_repeated, report.notices_unknown) == (2, 1, 0)
    assert report.owed == 2, "they are no alerts"


def test_a_second_doubt_may_end_a_confirmation_mail_that_never_came() -> None:
    asked = [replace(VISITORS[0], state="unknown", doubts=2), VISITORS[1]]
    report = judge_notices(asked=asked, without=NOTICES[0])
    assert (report.problems, report.notices_unknown) == ((), 1)


def test_a_confirmation_mail_that_went_wrong_is_told() -> None:
    assert judge_notices(without=NOTICES[0]).problems == ("1 confirmation mails lost",)
    waiting = [replace(VISITORS[0], state="waiting"), VISITORS[1]]
    assert judge_notices(asked=waiting).problems == ("1 confirmation mails lost",)
    again = judge_notices(NOTICES[0])
    assert again.problems == ("1 confirmation mails repeated that were in no doubt",)
    thrice = [VISITORS[0], replace(VISITORS[1], state="unknown", doubts=2)]
    assert judge_notices(NOTICES[1], NOTICES[1], asked=thrice).problems == again.problems
    other = judge_notices(replace(NOTICES[1], sha256="other"))
    assert other.problems == ("1 confirmation mails whose copies differ",)
    assert not other.is_byte_identical


def test_a_line_of_the_log_is_read() -> None:
    text = json.dumps({"kind": "close", "connection": 2, "at": 3.0, "is_in_flight": False})
    assert parse(text) == Closed(2, 3.0, is_in_flight=False)
