"""The demo from end to end, as real processes: it adds up, it notices a lost mail, it ends on Ctrl-C."""

import contextlib
import os
import re
import signal
import subprocess
import sys
import time
import urllib.parse
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from alerts.demo.script import READERS, STORY
from alerts.demo.story import owed

PACE = "8"
DEBTS = len(owed(STORY, READERS))


@dataclass(frozen=True, slots=True)
class Ended:
    code: int
    output: str
    errors: str
    left: list[Path]


def start(folder: Path, *arguments: str) -> subprocess.Popen[str]:
    folder.mkdir()
    return subprocess.Popen(
        [sys.executable, "-m", "alerts.cli", "demo", "--pace", PACE, *arguments],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        encoding="utf-8",
        env={**os.environ, "TMPDIR": str(folder), "TERM": "dumb", "COLUMNS": "100", "PYTHONUNBUFFERED": "1"},
        cwd=folder,
    )


def ended(process: subprocess.Popen[str], folder: Path) -> Ended:
    output, errors = process.communicate(timeout=60)
    return Ended(process.returncode, output, errors, [*folder.glob("alerts-demo-*")])


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Ended, Ended]]:
    """One run as it should be, one with a mail lost on the way, side by side: neither ports nor time clash."""
    folder = tmp_path_factory.mktemp("demo")
    good, bad = start(folder / "good", "--once"), start(folder / "bad", "--once", "--break")
    try:
        yield ended(good, folder / "good"), ended(bad, folder / "bad")
    finally:
        for process in (good, bad):
            process.kill()


@pytest.mark.slow
def test_demo_adds_up(runs: tuple[Ended, Ended]) -> None:
    good, _ = runs
    assert (good.code, good.errors) == (0, ""), good.output
    counted = f"{len(STORY.posts)} entries, mails owed {DEBTS}, mails received {DEBTS}, missing 0, repeated 0"
    assert counted in good.output
    assert good.left == []


@pytest.mark.slow
def test_demo_tells_what_was_seen_decided_and_mailed(runs: tuple[Ended, Ended]) -> None:
    good, _ = runs
    for post in STORY.fresh():
        assert post.title.split("anchrs")[0] in good.output
    assert "4 entries were there before us" in good.output
    assert "now a key event" in good.output.replace("a key event now", "now a key event")
    assert good.output.count("FLASH") >= 6
    assert good.output.count("quiet") == 4
    assert "too many" not in good.output


@pytest.mark.slow
def test_demo_notices_a_lost_mail(runs: tuple[Ended, Ended]) -> None:
    _, bad = runs
    assert (bad.code, bad.errors) == (1, ""), bad.output
    assert f"mails owed {DEBTS}, mails received {DEBTS - 1}, missing 1, repeated 0" in bad.output
    assert len(re.findall(r"^Missing: ", bad.output, re.MULTILINE)) == 1
    assert [each.name for each in sorted(bad.left[0].glob("*.log"))] == ["daemon.log", "smtp.log"]


@pytest.mark.slow
def test_who_watches_the_demo_can_sign_up_and_finds_the_mail_in_its_inbox(tmp_path: Path) -> None:
    process = start(tmp_path / "run")
    try:
        assert process.stdout is not None
        found: dict[str, str] = {}
        while len(found) < 2:
            line = process.stdout.readline()
            assert line, "the demo ended before it named its pages"
            found |= dict(re.findall(r"(Inbox|Sign up) +(http://\S+)", line))
        assert "Everything on Storm Odile" in read_until_there(found["Sign up"], "Everything")
        form = urllib.parse.urlencode({"address": "vi@visitor.example.org", "frequency.everything": "every"})
        with urllib.request.urlopen(f"{found['Sign up']}signup", form.encode(), timeout=5) as answer:
            assert b"Please look into your inbox" in answer.read()
        assert "vi@visitor.example.org" in read_until_there(found["Inbox"], "vi@visitor.example.org")
        process.send_signal(signal.SIGINT)
        process.communicate(timeout=20)
    finally:
        process.kill()


def read_until_there(url: str, text: str) -> str:
    """Reads a page of the demo until it is served and has the text."""
    for _ in range(100):
        with contextlib.suppress(OSError), urllib.request.urlopen(url, timeout=5) as page:
            got: str = page.read().decode()
            if text in got:
                return got
        time.sleep(0.1)
    raise AssertionError(f"{url} never showed {text}")


@pytest.mark.slow
def test_demo_ends_on_ctrl_c_without_a_traceback(tmp_path: Path) -> None:
    process = start(tmp_path / "run")
    try:
        assert process.stdout is not None
        inbox = ""
        while not inbox:
            line = process.stdout.readline()
            assert line, "the demo ended before it named its inbox"
            inbox = (re.findall(r"Inbox +(http://\S+)", line) or [""])[0]
        with urllib.request.urlopen(inbox, timeout=5) as page:
            assert b"readers" in page.read()
        time.sleep(1)  # somewhere in the story, not at a chosen point
        process.send_signal(signal.SIGINT)
        output, errors = process.communicate(timeout=20)
    finally:
        process.kill()
    assert (process.returncode, errors) == (130, "")
    assert "Stopped before the end of the story." in output
