"""Lists on the command line: what an operator types, sees, and finds in the files."""

import csv
import io
import json
import stat
from pathlib import Path

import pytest

import test_cli
from test_cli import Run

run = test_cli.run  # the fixture

AGREED = ("--consent-source", "paper form", "--consent-date", "2026-01-02")
LIST = "address;topic;frequency\nana@example.org;all;daily\nnobody;all;every\nben@example.org;;\n"


@pytest.fixture(autouse=True)
def topics(run: Run) -> None:
    run("topics", "add", "all", "--title", "All")


def test_nothing_is_imported_while_a_line_is_refused(run: Run, tmp_path: Path) -> None:
    (tmp_path / "list.csv").write_text(LIST)
    said = run("subscribers", "import", "list.csv", "--topic", "all", *AGREED, "--refused", "refused.csv")
    assert said.code == 2
    assert "line 3: An email address must have an @-sign." in said.err
    assert "1 lines are refused, so nothing was imported" in said.err
    assert run("subscribers", "list").out == "No subscribers here.\n"
    assert run("subscribers", "imports").out == "No imports.\n"
    written = (tmp_path / "refused.csv").read_text()
    assert list(csv.reader(io.StringIO(written)))[1] == ["3", "An email address must have an @-sign."]


def test_a_dry_run_says_what_the_import_then_does(run: Run, tmp_path: Path) -> None:
    (tmp_path / "list.csv").write_text(LIST)
    command = ("subscribers", "import", "list.csv", "--topic", "all", "--skip-refused", *AGREED, "--json")
    would = run(*command, "--dry-run").json
    assert would["import"] is None
    assert run("subscribers", "list").out == "No subscribers here.\n"
    did = run(*command).json
    assert did["counts"] == would["counts"] == {"new readers": 2}
    assert did["file"]["delimiter"] == "semicolon"
    assert did["file"]["refused"] == 1
    assert "all (daily)" in run("subscribers", "list").out
    assert "applied" in run("subscribers", "imports").out
    undone = run("subscribers", "import", "--undo", str(did["import"]))
    assert "2 changes taken back, 0 left alone" in undone.out
    assert run("subscribers", "export").out.count("\n") == 1
    assert run("subscribers", "import", "--undo", str(did["import"])).code == 4
    assert run("subscribers", "import", "--resume", str(did["import"])).code == 4
    assert run("subscribers", "import", "--resume", "77").code == 3
    assert run("subscribers", "imports", "77").code == 3


def test_what_an_undoing_left_alone_is_listed(run: Run, tmp_path: Path) -> None:
    (tmp_path / "list.csv").write_text(LIST)
    number = run(
        *("subscribers", "import", "list.csv", "--topic", "all", "--skip-refused", *AGREED, "--json")
    ).json["import"]
    run("subscribers", "follow", "ana@example.org", "all", "--frequency", "flash")
    said = run("subscribers", "import", "--undo", str(number)).out
    assert "1 changes taken back, 1 left alone" in said
    assert "line 2: subscriber 1 has chosen for themselves since" in said
    assert "ana" not in said
    assert "has chosen for themselves" in run("subscribers", "imports", str(number)).out
    assert len(run("subscribers", "imports", str(number), "--json").json["left_alone"]) == 1


def test_standard_input_and_mailchimps_status(run: Run) -> None:
    text = b"Email Address,MEMBER_RATING,OPTIN_TIME,CONFIRM_TIME\nana@example.org,2,,2018-04-13 10:57:02\n"
    command = ("subscribers", "import", "-", "--topic", "all", "--consent-source", "old list")
    assert "--status" in run(*command, stdin=text).err
    assert run(*command, "--status", "subscribed", stdin=text).code == 0
    assert run(*command, "--status", "cleaned", "--no-opt-outs", "--json", stdin=text).json["file"] == {
        "format": "mailchimp",
        "encoding": "utf-8",
        "delimiter": "comma",
        "refused": 0,
        "said twice": 0,
        "opt-outs left out": 1,
    }
    assert "suppressed" in run(*command, "--status", "cleaned", stdin=text).out
    assert "suppressed: cleaned" in run("subscribers", "show", "ana@example.org").out


@pytest.mark.parametrize(
    ("arguments", "why"),
    [
        ((), "Name a file"),
        (("list.csv", "--undo", "1"), "Name a file"),
        (("missing.csv",), "cannot be read"),
        (("list.csv", "--consent-date", "soon"), "--consent-date"),
        (("list.csv", "--format", "xml"), "xml"),
    ],
)
def test_what_cannot_be_imported_is_said(
    run: Run, tmp_path: Path, arguments: tuple[str, ...], why: str
) -> None:
    (tmp_path / "list.csv").write_text(LIST)
    said = run("subscribers", "import", *arguments)
    assert said.code == 2
    assert why in said.err
    assert run("subscribers", "imports").out == "No imports.\n"


def test_an_export_is_private_and_audited_and_reads_back(run: Run, tmp_path: Path) -> None:
    text = b"address,topic,frequency\n=ana@example.org,all,weekly\nben@example.org,all,every\n"
    run("subscribers", "import", "-", *AGREED, stdin=text)
    run("subscribers", "unsubscribe", "ben@example.org")
    assert run("subscribers", "export", "--out", "out.csv").out == "1 lines.\n"
    out = tmp_path / "out.csv"
    assert stat.S_IMODE(out.stat().st_mode) == 0o600
    assert b'"\'=ana@example.org","all","weekly"' in out.read_bytes()
    assert run("subscribers", "import", "out.csv", "--json").json["counts"] == {"unchanged": 1}
    first, second = map(
        json.loads, run("subscribers", "export", "--format", "json", "--include-left").out.splitlines()
    )
    assert (first["address"], first["status"], second["status"]) == ("=ana@example.org", "active", "left")
    assert run("subscribers", "export", "--topic", "nowhere").code == 3


def test_all_that_is_kept_of_a_reader_is_printed(run: Run) -> None:
    run("subscribers", "add", "ana@example.org", "--topic", "all", "--frequency", "hourly")
    kept = run("subscribers", "data", "Ana@example.org").json
    assert kept["reader"]["address"] == "ana@example.org"
    assert kept["subscriptions"][0]["frequency"] == "hourly"
    assert run("subscribers", "data", "ben@example.org").code == 3


def test_who_is_erased_by_command_is_in_no_file(run: Run, tmp_path: Path) -> None:
    run("subscribers", "add", "ana-of-the-quay@example.org", "--topic", "all")
    files = [path for path in (tmp_path / "state").rglob("*") if path.is_file()]
    assert any(b"ana-of-the-quay" in path.read_bytes() for path in files)
    assert run("subscribers", "erase", "ana-of-the-quay@example.org").code == 0
    files = [path for path in (tmp_path / "state").rglob("*") if path.is_file()]
    assert not [path.name for path in files if b"ana-of-the-quay" in path.read_bytes().lower()]
    assert run("db", "rewrite").code == 0
