"""What is published about the method's precision is what the bench measures."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def measured() -> str:
    done = subprocess.run(
        [sys.executable, "bench/likeness.py"], cwd=ROOT, capture_output=True, text=True, check=True
    )
    return done.stdout


def test_the_page_shows_what_the_bench_measures(measured: str) -> None:
    page = (ROOT / "docs" / "explanation" / "also-reported-by.md").read_text(encoding="utf-8")
    own, _, real = measured.partition("real: ")
    assert own in page
    assert real in page or "practice data is not there" in real


def test_what_is_grouped_is_nearly_always_right(measured: str) -> None:
    row = re.search(r"^ +0\.7 +(.*)$", measured, re.MULTILINE)
    assert row is not None
    precision, recall, of_words, _ = map(float, row[1].split())
    assert precision >= 0.9
    assert recall >= 0.5
    assert of_words < precision / 2
