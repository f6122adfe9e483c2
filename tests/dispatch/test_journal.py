"""The receipt journal: what is known after a death, and by whom it may be read."""

import fcntl
import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from alerts.dispatch import journal as module
from alerts.dispatch.journal import Journals, Left
from alerts.dispatch.receipts import Receipt, Settled
from alerts.errors import Unavailable

ACCEPTED = Receipt(1, Settled.ACCEPTED, "", 250, "", "example.org")
REFUSED = Receipt(2, Settled.REFUSED, "refused: it says so", 550, "5.7.1 no\nreally", "example.org")


def left(journals: Journals) -> list[Left]:
    return list(journals.left())


def test_replies_are_known_and_beginnings_without_one_are_in_doubt(tmp_path: Path) -> None:
    with Journals(tmp_path, "a") as journals:
        with journals.open("7-1-3") as journal:
            for number in (1, 2, 3):
                journal.begin(number)
            journal.receive(ACCEPTED)
            journal.receive(REFUSED)
            assert left(journals) == [], "an open journal is nobody's to read"
        (found,) = left(journals)
    assert (found.worker, found.alert_id, found.first_id, found.epoch) == ("a", 7, 1, 3)
    assert found.receipts == (ACCEPTED, REFUSED)
    assert found.in_doubt == {3}


def test_a_removed_journal_says_nothing(tmp_path: Path) -> None:
    with Journals(tmp_path, "a") as journals:
        with journals.open("7-1-1") as journal:
            journal.begin(1)
            journal.remove()
        assert left(journals) == []


def test_a_living_process_keeps_its_journals_to_itself(tmp_path: Path) -> None:
    with Journals(tmp_path, "a") as one, Journals(tmp_path, "b") as other:
        with one.open("7-1-1") as journal:
            journal.begin(1)
        assert left(other) == []
        assert len(left(one)) == 1


def test_the_kernel_hands_the_journals_of_the_dead_to_the_next(tmp_path: Path) -> None:
    script = (
        "import sys, time, pathlib\n"
        "from alerts.dispatch.journal import Journals\n"
        "with Journals(pathlib.Path(sys.argv[1]), 'dead') as journals, journals.open('7-1-1') as journal:\n"
        "    journal.begin(5)\n"
        "    print('ready', flush=True)\n"
        "    time.sleep(60)\n"
    )
    with subprocess.Popen([sys.executable, "-c", script, str(tmp_path)], stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == b"ready\n"
        with Journals(tmp_path, "heir") as journals:
            assert left(journals) == []
            os.kill(process.pid, signal.SIGKILL)
            process.wait()
            for found in journals.left():
                assert found.worker == "dead"
                assert found.in_doubt == {5}
                found.path.unlink()
            assert sorted(path.name for path in tmp_path.iterdir()) == ["heir"]


def test_a_process_that_ends_in_order_leaves_no_folder(tmp_path: Path) -> None:
    with Journals(tmp_path, "a"):
        pass
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("cut", range(1, 6))
def test_a_torn_last_line_was_never_acted_on(cut: int) -> None:
    whole = b"b1\nb22\nr1 " + b'["refused", "", 550, "", "example.org"]\n'
    receipts, in_doubt = module._parse(whole[:-cut])
    assert receipts == ()
    assert in_doubt == {1, 22}


def test_a_disk_that_fills_up_leaves_whole_lines(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write = os.write
    with Journals(tmp_path, "a") as journals:
        with journals.open("7-1-1") as journal:
            journal.begin(11)
            with monkeypatch.context() as patch:
                patch.setattr(os, "write", lambda handle, line: write(handle, line[:2]))
                with pytest.raises(OSError, match="No space left"):
                    journal.begin(22)
            journal.begin(33)
        (found,) = left(journals)
    assert found.in_doubt == {11, 33}


@pytest.mark.parametrize("torn", [b"b1b2", b"\0\0\0", b"refused", b'r7 ["odd", 1]', b"r7 7", b"b", b""])
def test_a_line_that_a_lost_machine_left_torn_hides_no_other(torn: bytes) -> None:
    _, in_doubt = module._parse(b"b1\n" + torn + b"\nb3\n")
    assert in_doubt == {1, 3}


def test_no_lease_is_taken_over_while_another_process_reads_its_journal(tmp_path: Path) -> None:
    with Journals(tmp_path, "dead") as dead, dead.open("7-1-1") as journal:
        journal.begin(5)
    with Journals(tmp_path, "one") as one, Journals(tmp_path, "two") as two:
        reading = one.left()
        found = next(reading)
        with pytest.raises(Unavailable):
            left(two)
        found.path.unlink()
        assert list(reading) == []
        assert left(two) == []


def test_an_heir_that_takes_a_new_folder_for_a_dead_one_does_no_harm(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    flock, is_first = fcntl.flock, [True]

    def flock_late(handle: int, kind: int) -> None:
        if is_first:
            is_first.clear()
            shutil.rmtree(tmp_path / "a")
        flock(handle, kind)

    monkeypatch.setattr(fcntl, "flock", flock_late)
    with Journals(tmp_path, "a") as journals, journals.open("7-1-1") as journal:
        journal.begin(1)
        assert journals.in_hand() == {(7, 1)}


@pytest.mark.parametrize("gone", [".", "a", f"a/{module._LIFE}"])
def test_what_somebody_removed_under_a_living_process_is_made_again(tmp_path: Path, gone: str) -> None:
    root = tmp_path / "journal"
    with Journals(root, "a") as one:
        with one.open("7-1-1") as journal:
            removed = root / gone
            removed.unlink() if removed.is_file() else shutil.rmtree(removed)
            journal.begin(1)
            assert left(one) == []
            journal.remove()
        with one.open("7-1-2") as journal:
            journal.begin(2)
        with Journals(root, "b") as other:
            assert left(other) == [], "it is a living one's again"
        assert [each.in_doubt for each in left(one)] == [{2}]


@pytest.mark.parametrize("cut", range(1, 4))
def test_an_acceptance_whose_line_is_torn_is_none(cut: int) -> None:
    receipts, in_doubt = module._parse(b"b1\na1 250 example.org\n"[:-cut])
    assert receipts == ()
    assert in_doubt == {1}


REPLIES = st.builds(
    Receipt,
    st.just(9),
    st.sampled_from(sorted(set(Settled) - {Settled.ACCEPTED, Settled.UNKNOWN})),
    st.text(),
    st.integers(0, 999),
    st.text(),
    st.just("example.org"),
) | st.builds(
    Receipt,
    st.just(9),
    st.just(Settled.ACCEPTED),
    st.just(""),
    st.integers(200, 299),
    st.just(""),
    st.sampled_from(["example.org", "", "bücher.example"]),
)


@given(REPLIES)
def test_any_reply_survives_the_journal(receipt: Receipt) -> None:
    lines: list[bytes] = []
    journal = module.Journal(Path("unused"), -1)

    def write(_handle: int, line: bytes) -> int:
        lines.append(line)
        return len(line)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(os, "write", write)
        journal.begin(9)
        journal.receive(receipt)
    assert module._parse(b"".join(lines)) == ((receipt,), frozenset())
