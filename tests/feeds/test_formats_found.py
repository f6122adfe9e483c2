"""A format is added by adding a file: the page that says so is followed to the letter."""

import json
import re
import shutil
import subprocess
import sys
from pathlib import Path
from textwrap import dedent
from types import ModuleType

import pytest

import alerts
from alerts.feeds.formats import FORMATS
from alerts.feeds.formats.source import Source

REPOSITORY = Path(alerts.__file__).parents[1]
PAGE = REPOSITORY / "docs/how-to/add-a-format.md"
WIRE = {
    "wire": "harbour",
    "state": "closed",
    "posts": [
        {
            "id": 7,
            "head": "Ferry leaves &amp; returns",
            "body": "<p>At nine.</p>",
            "at": "2026-11-22T08:01:00+01:00",
        },
        {"id": 6, "deleted": True},
        "no post",
    ],
}


def example() -> str:
    found = re.search(r"```python\n(.*?)```", PAGE.read_text("utf-8"), re.DOTALL)
    assert found
    return dedent(found[1])


def test_the_pages_example_is_found_and_reads_a_document(tmp_path: Path) -> None:
    shutil.copytree(REPOSITORY / "alerts", tmp_path / "alerts", ignore=shutil.ignore_patterns("__pycache__"))
    (tmp_path / "alerts/feeds/formats/harbour_wire.py").write_text(example(), "utf-8")
    wire = tmp_path / "wire.json"
    wire.write_text(json.dumps(WIRE), "utf-8")
    command = [sys.executable, "-m", "alerts.cli", "feeds", "check", "--json", str(wire)]
    run = subprocess.run(
        command, cwd=tmp_path, env={"PYTHONPATH": str(tmp_path)}, capture_output=True, text=True, check=False
    )
    assert run.returncode == 0, run.stderr
    found = json.loads(run.stdout)
    assert found["format"] == "harbour-wire"
    assert [(entry["title"], entry["text"], entry["published_at"]) for entry in found["entries"]] == [
        ("Ferry leaves & returns", "At nine.", "2026-11-22T07:01:00Z")
    ]


def test_the_pages_example_reports_what_is_deleted_and_leaves_others_alone() -> None:
    module = ModuleType("harbour_wire")
    exec(compile(example(), str(PAGE), "exec"), module.__dict__)
    parsed = module.parse(Source(json.dumps(WIRE).encode(), "https://news.example/wire", ""))
    assert (parsed.withdrawn, parsed.is_ended) == (("6",), True)
    for body in (b"", b"{}", b"[1]", b"<rss/>", b"<html></html>"):
        assert module.parse(Source(body, "https://news.example/", "")) is None


def test_every_format_has_a_name_and_is_asked_by_rank() -> None:
    names = {found.name for found in FORMATS}
    assert {"live-blog", "rss", "atom", "json-feed"} <= names
    assert [found.rank for found in FORMATS] == sorted(found.rank for found in FORMATS)


@pytest.mark.parametrize("body", [b"", b"{}", b"<cows/>", b"<html></html>", b"\xff\x00"])
def test_every_format_leaves_what_is_not_its_own(body: bytes) -> None:
    assert [found.parse(Source(body, "", "")) for found in FORMATS] == [None] * len(FORMATS)
