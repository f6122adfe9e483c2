"""What is kept of costly work: bounded by weight, whatever is asked for and by whom."""

from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field

from hypothesis import given
from hypothesis import strategies as st

from alerts.mail.kept import Kept


@dataclass
class Maker:
    """Makes numbers into text, and remembers which."""

    made: list[int] = field(default_factory=list)

    def get(self, kept: Kept[int, str], number: int, weight: int) -> str:
        def make() -> str:
            self.made.append(number)
            return str(number)

        return kept.get(number, weight, make)


@given(st.integers(0, 50), st.lists(st.tuples(st.integers(0, 9), st.integers(1, 20))))
def test_every_answer_is_right_and_what_is_kept_has_room(room: int, asked: list[tuple[int, int]]) -> None:
    kept, maker = Kept[int, str](room), Maker()
    weights: dict[int, int] = {}
    for number, weight in asked:
        own = weights.setdefault(number, weight)
        assert maker.get(kept, number, own) == str(number)
    # What still is there is not made again: so its weight can be counted.
    before = len(maker.made)
    there = [number for number in weights if _is_kept(kept, number)]
    assert len(maker.made) == before
    assert sum(weights[number] for number in there) <= room


def test_what_was_asked_for_lately_stays() -> None:
    kept, maker = Kept[int, str](3), Maker()
    for number in (1, 2, 3, 1, 4, 1, 3, 2):
        maker.get(kept, number, 1)
    assert maker.made == [1, 2, 3, 4, 2]


def test_threads_share_what_is_kept() -> None:
    kept, maker = Kept[int, str](40), Maker()
    numbers = [*range(80)] * 50
    with ThreadPoolExecutor(8) as pool:
        assert [*pool.map(lambda number: maker.get(kept, number, 1), numbers)] == [*map(str, numbers)]
    assert sum(_is_kept(kept, number) for number in range(80)) <= 40


class _MadeError(Exception):
    pass


def _is_kept(kept: Kept[int, str], number: int) -> bool:
    def fail() -> str:
        raise _MadeError

    try:
        kept.get(number, 1, fail)
    except _MadeError:
        return False
    return True
