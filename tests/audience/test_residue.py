"""Clearing a file's unallocated bytes beside who writes into it: nothing that is allocated may change."""

import random
import subprocess
import sys
from contextlib import closing
from pathlib import Path
from threading import Event, Thread
from typing import Any

import pytest

from alerts import residue

_sqlite: Any = vars(residue)["_sqlite"]  # the library that the daemon uses
Rows = dict[int, str]


def opened(path: Path) -> Any:
    return _sqlite.connect(path, timeout=30, isolation_level=None, check_same_thread=False)


def a_file(path: Path, *pragmas: str) -> None:
    with closing(opened(path)) as connection:
        for pragma in (*pragmas, "journal_mode = WAL"):
            connection.execute(f"PRAGMA {pragma}")
        connection.execute("CREATE TABLE word (id INTEGER PRIMARY KEY, text TEXT NOT NULL)")
        connection.execute("CREATE INDEX word_text ON word (text)")


def write(path: Path, dice: random.Random, rows: Rows, stop: Event) -> None:
    """Adds, changes and deletes rows, some of which take pages of their own, until told to stop."""
    with closing(opened(path)) as connection:
        while not stop.is_set():
            connection.execute("BEGIN IMMEDIATE")
            for _ in range(dice.randint(1, 400)):
                id_ = dice.randint(1, 3000)
                text = f"{dice.getrandbits(64):x}" * dice.choice((1, 1, 2, 20, 200, 900))
                if dice.random() < 0.5:
                    connection.execute("INSERT OR REPLACE INTO word VALUES (?, ?)", (id_, text))
                    rows[id_] = text
                else:
                    connection.execute("DELETE FROM word WHERE id = ?", (id_,))
                    rows.pop(id_, None)
            connection.execute("COMMIT")
            stop.wait(dice.random() / 200)


@pytest.mark.parametrize("seed", range(2))
def test_nothing_allocated_changes_beside_who_writes(tmp_path: Path, seed: int) -> None:
    path = tmp_path / "alerts.db"
    a_file(path)
    rows: Rows = {}
    stop = Event()
    writer = Thread(target=write, args=(path, random.Random(seed), rows, stop))
    writer.start()
    try:
        ends = [
            subprocess.run([sys.executable, "-m", "alerts.residue", str(path)], check=False).returncode
            for _ in range(6)
        ]
    finally:
        stop.set()
        writer.join()
    assert set(ends) <= {0, 75}
    assert 0 in ends, "it comes between"
    with closing(opened(path)) as connection:
        assert dict(connection.execute("SELECT id, text FROM word")) == rows
        assert connection.execute("PRAGMA integrity_check").fetchone() == ("ok",)


def test_a_file_that_vacuums_itself_is_left_alone(tmp_path: Path) -> None:
    path = tmp_path / "alerts.db"
    a_file(path, "auto_vacuum = FULL")
    with pytest.raises(ValueError, match="cannot be told apart"):
        residue.clear(path)
