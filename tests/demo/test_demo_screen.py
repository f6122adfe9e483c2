"""The demo's terminal: readable without colours, drawn as a picture that loads nothing."""

import re
from io import StringIO
from pathlib import Path

from rich.console import Console

from alerts.demo.audit import Account, Row, Speed
from alerts.demo.screen import Addresses, Mailed, Screen
from alerts.demo.script import READERS, STORY
from alerts.demo.story import End, Silent

GOOD = Account(
    2, (Row("Ada", "every entry", 2, 2, (), 0, 0), Row("Bruno", "key events only", 1, 1, (), 0, 0))
)
WIDE = Account(33, tuple(Row(reader.name, reader.choice, 29, 29, (), 0, 0) for reader in READERS))
BAD = Account(2, (Row("Ada", "every entry", 2, 3, ("p1",), 2, 0),))
SPEED = Speed(0.05, 0.5, 1.25)
WHERE = Addresses("http://127.0.0.1:1/live", "http://127.0.0.1:2", "127.0.0.1:3", "http://127.0.0.1:4/")


def told(account: Account, *, lost: tuple[str, ...] = ()) -> tuple[Screen, str]:
    output = StringIO()
    screen = Screen(Console(file=output, width=80), READERS)
    screen.open(WHERE, READERS, STORY.headline)
    for change in STORY.changes:
        screen.desk(change.at, change, "" if isinstance(change, End) else STORY.post(change.post_id).title)
        if isinstance(change, Silent):
            screen.quiet(change.at + 2, change, 0)
    screen.mailed(71.96, Mailed("A [red]title[/red]", "", ("Ada", "Bruno"), True, 0.5, 0.012))
    screen.verdict(account, lost, SPEED, SPEED)
    return screen, output.getvalue()


def test_a_dumb_terminal_gets_plain_text() -> None:
    _, text = told(GOOD)
    assert "\x1b" not in text
    assert all(each in text for each in (WHERE.page, WHERE.inbox, WHERE.smtp))


def test_lines_fit_into_eighty_columns() -> None:
    _, text = told(WIDE)
    assert all(re.search(rf"{reader.name} +{reader.choice} +29", text) for reader in READERS)
    assert max(map(len, text.splitlines()[:-1])) <= 80


def test_a_mail_is_told_with_its_readers_and_its_speed() -> None:
    _, text = told(GOOD)
    assert re.search(
        r"1:12\.0  FLASH +A \[red\]title\[/red\]\n +→ Ada, Bruno +0\.50 s .* 12 ms of it ours", text
    )


def test_verdict_says_the_sums() -> None:
    _, text = told(GOOD)
    assert "It adds up: 2 entries, mails owed 3, mails received 3, missing 0, repeated 0, extra 0" in text
    assert re.search(r"Together +2 entries +3 +3 +0 +0 +0", text)


def test_verdict_names_what_is_missing() -> None:
    _, text = told(BAD, lost=("Ada, Some title",))
    assert "Missing: Ada, Some title" in text
    assert (
        "It does not add up: 2 entries, mails owed 2, mails received 3, missing 1, repeated 2, extra 0"
        in text
    )


def test_picture_shows_the_run_and_loads_nothing(tmp_path: Path) -> None:
    screen, _ = told(GOOD)
    screen.picture(tmp_path / "demo.svg", "make demo")
    picture = (tmp_path / "demo.svg").read_text(encoding="utf-8")
    assert "It&#160;adds&#160;up" in picture
    assert "@font-face" not in picture
    assert not re.search(
        r"(?:href|src|url)\s*[=(]\s*[\"']?https?:", picture.replace(WHERE.page, "").replace(WHERE.inbox, "")
    )
