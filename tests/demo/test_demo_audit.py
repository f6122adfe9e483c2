"""The demo's account: it adds up exactly when each mail owed came once and no other came."""

from hypothesis import given
from hypothesis import strategies as st

from alerts.demo.audit import Receipt, settle, speed
from alerts.demo.story import EVERYTHING, Follow, Reader

ADA = Reader("Ada", "ada@readers.example", "all", (Follow(EVERYTHING),))
BO = Reader("Bo", "bo@readers.example", "all", (Follow(EVERYTHING),))
DEBTS = {(ADA.address, "p1"), (ADA.address, "p2"), (BO.address, "p1")}
ALL = [Receipt(address, post_id) for address, post_id in sorted(DEBTS)]


def figures(receipts: list[Receipt]) -> tuple[int, int, int, int, bool]:
    account = settle(2, DEBTS, (ADA, BO), receipts)
    return account.received, account.missing, account.repeated, account.stray, account.adds_up


def test_each_once_adds_up() -> None:
    assert figures(ALL) == (3, 0, 0, 0, True)


def test_missing_repeated_and_stray_do_not() -> None:
    assert figures(ALL[1:]) == (2, 1, 0, 0, False)
    assert figures([*ALL, ALL[0], ALL[0]]) == (5, 0, 2, 0, False)
    assert figures([*ALL, Receipt(BO.address, "p2")]) == (4, 0, 0, 1, False)
    assert figures([*ALL, Receipt(ADA.address, None)]) == (4, 0, 0, 1, False)
    assert figures([*ALL, Receipt("eve@readers.example", "p1")]) == (4, 0, 0, 1, False)


def test_one_missing_is_not_made_up_for_by_one_too_many() -> None:
    assert figures([*ALL[:2], ALL[0]]) == (3, 1, 1, 0, False)


def test_rows_name_the_reader() -> None:
    ada, bo = settle(2, DEBTS, (ADA, BO), ALL[:2]).rows
    assert (ada.name, ada.owed, ada.received, ada.missing) == ("Ada", 2, 2, 0)
    assert (bo.name, bo.owed, bo.received, bo.missing) == ("Bo", 1, 0, 1)


@given(st.lists(st.sampled_from([*ALL, Receipt(BO.address, "p2"), Receipt("eve@x.example", None)])))
def test_figures_tile_what_was_received(receipts: list[Receipt]) -> None:
    account = settle(2, DEBTS, (ADA, BO), receipts)
    assert account.received == len(receipts)
    assert account.owed - account.missing + account.repeated + account.stray == len(receipts)
    assert account.adds_up == (sorted(receipts, key=str) == sorted(ALL, key=str))


def test_speed_of_nothing_is_none() -> None:
    assert speed([]) is None


def test_speed_gives_fastest_median_slowest() -> None:
    measured = speed([3.0, 1.0, 2.0])
    assert measured is not None
    assert (measured.fastest, measured.median, measured.slowest) == (1.0, 2.0, 3.0)
