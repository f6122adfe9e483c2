"""How well the method behind "also reported by" agrees with people: precision and recall on labelled pairs.

    .venv/bin/python bench/likeness.py

Each pair was labelled twice, blind: do the two texts tell the same piece of news? `pairs/own.jsonl` holds texts
of our own; `pairs/real.jsonl` names posts of two real live blogs by a hash of their headlines, and is left out
where the practice data is not there.
"""

import gzip
import hashlib
import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from alerts.feeds.compare import likeness
from alerts.feeds.compare.likeness import OTHER_FEED, SAME_FEED, Told, is_same_news, told
from alerts.feeds.formats import parse

PAIRS = Path(__file__).parent / "pairs"
PAGES = Path(__file__).resolve().parents[1] / "../shared/corpora/feeds/pages"
THRESHOLDS = (0.3, 0.4, 0.5, 0.6, OTHER_FEED, SAME_FEED, 0.9)


@dataclass(frozen=True, slots=True)
class Pair:
    one: Told
    other: Told
    labels: tuple[bool, bool]

    @property
    def is_same(self) -> bool:
        """What both labels agree on; where they differ, no."""
        return all(self.labels)


@dataclass(frozen=True, slots=True)
class Score:
    found: int
    right: int
    same: int

    @property
    def precision(self) -> float:
        return self.right / self.found if self.found else 1.0

    @property
    def recall(self) -> float:
        return self.right / self.same if self.same else 1.0


def own_pairs() -> Iterator[Pair]:
    for row in _rows("own.jsonl"):
        yield Pair(told(*row["one"]), told(*row["other"]), tuple(row["labels"]))


def real_pairs() -> Iterator[Pair]:
    """Gives the pairs of real posts; none where the practice data is not there."""
    pages: dict[str, dict[str, Told]] = {}
    for row in _rows("real.jsonl"):
        path = PAGES / row["page"]
        if not path.exists():
            return
        if row["page"] not in pages:
            entries = parse(gzip.decompress(path.read_bytes()), "https://news.example/", "text/html").entries
            pages[row["page"]] = {_mark(entry.title): told(entry.title, entry.text) for entry in entries}
        posts = pages[row["page"]]
        yield Pair(posts[row["one"]], posts[row["other"]], tuple(row["labels"]))


def score(pairs: list[Pair], is_same: Callable[[Pair], bool]) -> Score:
    found = [pair for pair in pairs if is_same(pair)]
    return Score(len(found), sum(pair.is_same for pair in found), sum(pair.is_same for pair in pairs))


def at(threshold: float) -> Callable[[Pair], bool]:
    """Gives the method with another threshold: the same guards, the likeness at least so high."""
    return lambda pair: (
        is_same_news(pair.one, pair.other, least=threshold)
        and likeness.likeness(pair.one, pair.other) >= threshold
    )


def words_alone(threshold: float) -> Callable[[Pair], bool]:
    return lambda pair: likeness.likeness(pair.one, pair.other) >= threshold


def main() -> None:
    for name, pairs in (("own", list(own_pairs())), ("real", list(real_pairs()))):
        if not pairs:
            print(f"{name}: the practice data is not there")
            continue
        agreed = sum(pair.labels[0] == pair.labels[1] for pair in pairs)
        same = sum(pair.is_same for pair in pairs)
        print(f"{name}: {len(pairs)} pairs, {same} the same news; the two labels agree on {agreed}")
        print("                       the method            words alone")
        print("likeness from     precision   recall    precision   recall")
        for threshold in THRESHOLDS:
            method, plain = score(pairs, at(threshold)), score(pairs, words_alone(threshold))
            print(
                f"{threshold:13.1f} {method.precision:13.2f} {method.recall:8.2f}"
                f" {plain.precision:12.2f} {plain.recall:8.2f}"
            )


def _rows(name: str) -> Iterator[dict[str, list[str]]]:
    yield from map(json.loads, (PAIRS / name).read_text(encoding="utf-8").splitlines())


def _mark(headline: str) -> str:
    return hashlib.sha256(headline.encode()).hexdigest()[:12]


if __name__ == "__main__":
    main()
