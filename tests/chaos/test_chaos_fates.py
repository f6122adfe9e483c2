"""The verdict on many machines can turn red: each broken promise is told from the log alone."""

from collections.abc import Sequence
from dataclasses import replace

from chaos.audit import Accepted, Closed, Line, Opened
from chaos.fates import Fate, Verdict, judge

OWED = frozenset({(1, "a@example.org"), (1, "b@example.org")})
FIRST = Accepted(1, 2.0, "a@example.org", "aa", "id-a", 1)
AGAIN = replace(FIRST, connection=3, at=6.0)
KEPT: Sequence[Line] = (
    Opened(1, 1.0, door=0),
    Opened(2, 1.0, door=0),
    Opened(3, 1.0, door=1),
    FIRST,
    Closed(1, 3.0, is_in_flight=True),
    Closed(2, 2.5, is_in_flight=False),
    Accepted(3, 6.0, "b@example.org", "bb", "id-b", 1),
)
LOST = Fate(door=0, at=2.9, how="lost", in_doubt=frozenset({(1, "a@example.org")}))


def verdict(*more: Line, fate: Fate | None = LOST, without: Line | None = None) -> Verdict:
    fates = [fate] if fate else []
    return judge([line for line in (*KEPT, *more) if line != without], OWED, fates, {})


def test_promises_kept_are_no_problem() -> None:
    found = verdict()
    assert (found.owed, found.accepted, found.repeated, found.problems) == (2, 2, 0, ())


def test_what_a_lost_machine_had_opened_and_not_recorded_may_be_repeated_once() -> None:
    found = verdict(AGAIN)
    assert (found.repeated, found.allowed, found.problems) == (1, 1, ())
    assert verdict(AGAIN, AGAIN).problems == (
        "lost: 2 repeated, 1 allowed",
        "1 mails that came more than twice",
    )


def test_what_it_had_recorded_or_another_opened_may_not() -> None:
    complaint = ("1 repeats of one mail though nothing befell its machine",)
    assert verdict(AGAIN, fate=replace(LOST, in_doubt=frozenset())).problems == complaint
    assert verdict(AGAIN, fate=replace(LOST, door=2)).problems == complaint
    assert verdict(AGAIN, fate=None).problems == complaint


def test_where_the_journal_was_read_each_open_connection_may_repeat_one() -> None:
    read = replace(LOST, is_journal_read=True)
    assert verdict(AGAIN, fate=read).allowed == 1, "the other had closed before"
    assert verdict(AGAIN, fate=replace(read, at=3.1)).problems == ("lost: 1 repeated, 0 allowed",)


def test_a_lost_mail_is_told() -> None:
    assert verdict(without=FIRST).problems == ("1 mails lost",)


def test_who_left_may_be_missing_and_it_is_told_how_late_they_were_mailed() -> None:
    lines = [line for line in KEPT if line != FIRST]
    assert judge(lines, OWED, [], {"a@example.org": 1.0}).problems == ()
    assert judge(KEPT, OWED, [], {"a@example.org": 1.5}).after_leaving == 0.5


def test_a_repeat_that_differs_is_told() -> None:
    assert verdict(replace(AGAIN, sha256="other")).problems == ("1 mails whose copies differ",)


def test_a_mail_to_somebody_else_is_told() -> None:
    found = verdict(replace(FIRST, rcpt="z@example.org"))
    assert found.problems == ("1 mails to somebody who was owed none",)


def test_a_machine_that_woke_may_bring_nothing_more_of_what_it_had_opened() -> None:
    assert verdict(fate=replace(LOST, is_awake_again_at=3.0)).problems == ()
    found = verdict(fate=replace(LOST, is_awake_again_at=1.9))
    assert found.problems == ("1 mails from a machine that woke, under a lease that it had lost",)
