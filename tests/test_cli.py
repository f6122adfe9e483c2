"""The command line as a person or a script uses it: what is printed where, and the exit codes."""

import io
import json
import os
import re
import stat
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from email import message_from_bytes, policy
from pathlib import Path
from typing import Any

import dkim
import pytest
import structlog
from hypothesis import HealthCheck, given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st
from sqlmodel import col, select

from alerts.cli import main
from alerts.db import Database
from alerts.dispatch.announce import announce_entry
from alerts.models import Breaker, Feed, FeedState, Waiting
from alerts.schema import prepare
from build import NOW, a_feed, an_entry
from fakes import dns
from fakes.postgres import Server
from reference import commands

FEED = """<?xml version="1.0"?><rss version="2.0"><channel><title>Harbour news</title>
<link>https://news.example/</link><description>All of it</description>
<item><guid>1</guid><title>The ferry is late</title><link>https://news.example/1</link>
<description>It sails at \u2068nine\u2069.</description></item></channel></rss>"""


@dataclass(frozen=True, slots=True)
class Said:
    """What one command printed, and how it ended."""

    out: str
    err: str
    code: int

    @property
    def json(self) -> Any:
        return json.loads(self.out)


Run = Callable[..., Said]


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Iterator[Run]:
    """Runs commands in an empty folder, with no variable of ours set."""
    monkeypatch.chdir(tmp_path)
    for name in [name for name in os.environ if name.startswith("ALERTS_")]:
        monkeypatch.delenv(name)

    def command(*arguments: str, stdin: bytes = b"") -> Said:
        monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(stdin)))
        with pytest.raises(SystemExit) as ended:
            main(arguments)
        out, err = capsys.readouterr()
        return Said(out, err, int(ended.value.code or 0))

    yield command
    structlog.reset_defaults()


@pytest.fixture
def site(tmp_path: Path) -> Database:
    """The database that the commands use, with one entry announced to the readers of one topic."""
    database = Database(f"sqlite:///{tmp_path}/state/alerts.db")
    prepare(database)
    with database.begin() as session:
        an_entry(session, a_feed(session), title="The ferry \x1b[31mis late")
    database.close()
    return database


def announce(database: Database) -> None:
    with database.begin() as session:
        announce_entry(session, 1, NOW + timedelta(minutes=1))
    database.close()


def test_every_command_has_help_and_a_line_about_itself(run: Run) -> None:
    found = list(commands())
    assert len(found) > 30
    for words, command in found:
        assert command.help, words
        said = run(*words, "--help")
        assert said.code == 0
        assert command.help.split()[0] in said.out


def test_help_is_quick_because_nothing_heavy_is_imported() -> None:
    heavy = (
        "{'sqlalchemy', 'sqlmodel', 'pydantic', 'aiohttp', 'aiosmtplib', 'fastapi', 'jinja2', 'structlog'}"
    )
    code = f"import sys, alerts.cli; print(sorted({heavy} & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def moving_commands() -> list[list[str]]:
    """The commands that docs/how-to/postgresql.md gives for a move, in their order."""
    page = (Path(__file__).parents[1] / "docs" / "how-to" / "postgresql.md").read_text()
    section = page.partition("## Move there from SQLite")[2].partition("\n## ")[0]
    return [line.split() for line in re.findall(r"^ *alerts (.+)$", section, re.MULTILINE)]


def test_a_site_moves_to_postgresql_and_back_with_the_commands_of_its_page(
    run: Run, tmp_path: Path, postgres_server: Server
) -> None:
    there, back = moving_commands()
    run("topics", "add", "all", "--title", "Everything")
    run("subscribers", "add", "ana@example.org", "--topic", "all")
    with postgres_server.empty() as url:
        there[-1] = back[-1] = url
        moved = run(*there)
        assert moved.code == 0
        assert re.search(r"^subscriber +1 +[0-9a-f]{16} *$", moved.out, re.MULTILINE)
        old = run("subscribers", "list")
        assert (old.code, old.out) == (6, "")
        assert "This site was moved: it is at postgresql://postgres@" in old.err
        config = tmp_path / "config.toml"
        config.write_text(moved.out.partition("environment:\n")[2])
        [reader] = run("subscribers", "list", "--json").json
        assert reader["address"] == "ana@example.org"
        assert run(*there).code == 4, "it is there already"
        config.unlink()
        again = run(*there)
        assert (again.code, again.out.partition("\n\n")[2]) == (0, moved.out.partition("environment:\n\n")[2])
        assert run(*back).out == f"{tmp_path}/state/alerts.db is the site again.\n"
        assert [each["address"] for each in run("subscribers", "list", "--json").json] == ["ana@example.org"]
        config.write_text(moved.out.partition("environment:\n")[2])
        closed = run("subscribers", "list")
        assert (closed.code, closed.out) == (6, "")
        assert "was undone" in closed.err


def test_what_a_move_is_not_given_rightly_is_said(run: Run) -> None:
    for words, code, reason in (
        (("sqlite:///other.db",), 2, "postgresql://user:password@host/database"),
        (("nowhere",), 2, "postgresql://user:password@host/database"),
        (("--force", "postgresql://h/d"), 2, "--undo"),
        (("--undo", "postgresql://h/d"), 4, "was not moved"),
        (("postgresql://u:hunter2@127.0.0.1:1/d",), 6, "The database cannot be used"),
    ):
        said = run("db", "move", *words)
        assert (said.code, said.out) == (code, ""), said.err
        assert reason in said.err
        assert "hunter2" not in said.err


def test_a_stranger_signs_readers_up_and_sees_them(run: Run) -> None:
    assert run("topics", "add", "all", "--title", "Everything").code == 0
    assert (
        run("topics", "add", "ferries", "--word", "ferry", "--without", "opera", "--feed", "harbour").code
        == 0
    )
    added = run("subscribers", "add", "Ana@example.org", "--topic", "all", "--topic", "ferries")
    assert (added.out, added.code) == ("1 new of 1 readers.\n", 0)
    assert run("subscribers", "add", "ana@example.org").out == "0 new of 1 readers.\n"
    assert run("subscribers", "follow", "ana@example.org", "all", "--frequency", "flash").code == 0
    [reader] = run("subscribers", "list", "--json").json
    assert {each["topic"]: each["frequency"] for each in reader["following"]} == {
        "all": "flash",
        "ferries": "every",
    }
    assert reader["created_at"].endswith("Z")
    assert "Ana@example.org" in run("subscribers", "show", "ana@example.org").out
    assert "all (flash)" in run("subscribers", "list", "--topic", "all").out
    assert [each["followers"] for each in run("topics", "list", "--json").json] == [1, 1]
    assert run("topics", "show", "ferries", "--json").json["rule"]["words_in"] == ["ferry"]


def test_a_reader_leaves_is_suppressed_and_erased(run: Run) -> None:
    run("topics", "add", "all")
    run("subscribers", "add", "ana@example.org", "--topic", "all")
    assert (
        "1 subscriptions ended" in run("subscribers", "unsubscribe", "ana@example.org", "--topic", "all").out
    )
    assert "no mail" in run("subscribers", "suppress", "ana@example.org", "--cause", "complaint").out
    assert "suppressed: complaint" in run("subscribers", "show", "ana@example.org").out
    assert run("subscribers", "erase", "ana@example.org").code == 0
    assert run("subscribers", "show", "ana@example.org").code == 3
    again = run("subscribers", "add", "ana@example.org", "--topic", "all")
    assert "1 suppressed" in again.out
    assert "may be mailed" in run("subscribers", "suppress", "ana@example.org", "--undo").out
    assert run("subscribers", "show", "ana@example.org", "--json").json["suppressed"] == ""


def test_many_addresses_come_from_standard_input_and_bad_lines_are_named_by_number(run: Run) -> None:
    run("topics", "add", "all")
    lines = [f"reader{number}@example.org" for number in range(2_500)]
    lines[1_200] = "no address at all"
    lines[1_201] = ""
    stdin = "\n".join(lines).encode() + b"\nlate@example.org\xff\n"
    said = run("subscribers", "add", "--stdin", "--topic", "all", stdin=stdin)
    assert said.code == 2
    assert said.out == "2498 new of 2498 readers.\n"
    assert "line 1201:" in said.err
    assert "line 2501:" in said.err
    assert "no address at all" not in said.err
    assert "late" not in said.err
    assert run("topics", "show", "all", "--json").json["followers"] == 2_498


@pytest.mark.parametrize(
    ("arguments", "code", "words"),
    [
        (("subscribers", "add", "nobody"), 2, "@-sign"),
        (("subscribers", "add"), 2, "one address"),
        (("subscribers", "add", "ana@example.org", "--topic", "nowhere"), 3, "no topic nowhere"),
        (("subscribers", "add", "ana@example.org", "--frequency", "often"), 2, "often"),
        (("subscribers", "show", "ana@example.org"), 3, "No subscriber"),
        (("topics", "show", "nowhere"), 3, "no topic nowhere"),
        (("topics", "add", "odd", "--word", "--"), 2, "no letter"),
        (("feeds", "show", "nowhere"), 3, "no feed nowhere"),
        (("feeds", "add", "ftp://news.example/"), 2, "http"),
        (("feeds", "check", "no-such-file"), 2, "cannot be read"),
        (("entries", "show", "7"), 3, "no entry 7"),
        (("entries", "flash", "7"), 3, "no entry 7"),
        (("entries", "list", "--feed", "nowhere"), 3, "no feed nowhere"),
        (("preview", "7"), 3, "no entry 7"),
        (("explain", "ana@example.org", "7"), 3, "No subscriber"),
        (("--config", "nowhere.toml", "topics", "list"), 2, "no such file"),
        (("smtp", "misjudge"), 2, "misjudge"),
    ],
)
def test_a_mistake_ends_in_a_clear_line_and_its_code(
    run: Run, arguments: tuple[str, ...], code: int, words: str
) -> None:
    said = run(*arguments)
    assert said.code == code
    assert words in said.err
    assert "Traceback" not in said.err
    assert said.out == ""


@pytest.mark.parametrize("command", [("topics", "list"), ("run",), ("run", "--only", "send")])
def test_a_database_that_is_not_to_be_had_is_said(
    run: Run, monkeypatch: pytest.MonkeyPatch, command: tuple[str, ...]
) -> None:
    monkeypatch.setenv("ALERTS_DATABASE__URL", "postgresql://alerts:hunter2@127.0.0.1:1/alerts")
    monkeypatch.setenv("ALERTS_SECRET", "0123456789abcdef0123456789abcdef")
    said = run(*command)
    assert said.code == 6
    assert said.err.startswith("alerts: The database cannot be used")
    assert "hunter2" not in said.err


def test_an_empty_postgresql_database_is_upgraded_by_its_command_only(
    run: Run, monkeypatch: pytest.MonkeyPatch, postgres_url: str
) -> None:
    monkeypatch.setenv("ALERTS_DATABASE__URL", postgres_url)
    monkeypatch.setenv("ALERTS_SECRET", "0123456789abcdef0123456789abcdef")
    assert run("db", "upgrade").code == 0
    assert run("topics", "add", "all").code == 0
    assert [each["slug"] for each in run("topics", "list", "--json").json] == ["all"]


def test_the_configuration_is_checked_shown_and_applied(run: Run, tmp_path: Path) -> None:
    path = tmp_path / "config.toml"
    path.write_text(
        '[[feed]]\nname = "live"\nurl = "https://news.example/live"\nkey_words = ["breaking"]\n'
        '[[topic]]\nslug = "all"\ntitle = "Everything"\n[transport.main]\npassword = "hunter2"\n'
    )
    assert "1 feeds and 1 topics" in run("config", "check").out
    shown = run("config", "show").out
    assert "transport.main.password = (set)\n" in shown
    assert 'feed.live.key_words = ["breaking"]\n' in shown
    assert "hunter2" not in shown + run("config", "show", "--json").out
    assert run("config", "apply").out == "feeds added: live\ntopics added: all\n"
    assert run("config", "apply").out == "Nothing to change.\n"
    path.write_text('[[topic]]\nslug = "all"\ntitle = "All of it"\n')
    assert run("config", "apply").out == "feeds paused: live\ntopics changed: all\n"
    assert [each["state"] for each in run("feeds", "list", "--json").json] == ["paused"]
    path.write_text("[web]\nport = 99999\n")
    said = run("config", "check")
    assert (said.code, said.err) == (
        2,
        "alerts: config.toml: web.port = 99999: write a number from 0 to 65535\n",
    )


def test_feeds_are_added_paused_and_removed(run: Run) -> None:
    assert run("feeds", "add", "https://www.news.example/storm/live", "--interval", "5").out == (
        "Added the feed news-example-live.\n"
    )
    assert run("feeds", "add", "https://news.example/other", "--name", "other").code == 0
    assert run("feeds", "add", "https://news.example/other", "--name", "again").code == 4
    assert run("feeds", "show", "news-example-live", "--json").json["draft"]["interval"] == 5
    assert run("feeds", "pause", "other").code == 0
    assert "paused" in run("feeds", "show", "other").out
    assert run("feeds", "resume", "other").code == 0
    assert run("feeds", "release", "other").code == 4
    assert run("feeds", "remove", "other").code == 0
    assert [each["draft"]["name"] for each in run("feeds", "list", "--json").json] == ["news-example-live"]


def test_a_document_is_checked_before_it_is_a_feed(run: Run, tmp_path: Path) -> None:
    path = tmp_path / "feed.xml"
    path.write_text(FEED)
    found = run("feeds", "check", str(path), "--json").json
    assert set(found) == {
        "format",
        "is_live_blog",
        "title",
        "url",
        "coverage_start",
        "coverage_end",
        "identity",
        "warnings",
        "entries",
    }
    assert [each["title"] for each in found["entries"]] == ["The ferry is late"]
    assert "The ferry is late" in run("feeds", "check", str(path)).out
    path.write_text("no feed")
    said = run("feeds", "check", str(path), "--json")
    assert (set(said.json), said.code, said.err) == ({"error"}, 2, "")
    assert run("feeds", "check", "http://127.0.0.1:1/", "--json").code == 5


def test_a_bomb_is_checked_like_any_document(run: Run, tmp_path: Path) -> None:
    path = tmp_path / "feed.json"
    path.write_bytes(b"[" + b"[" * 200_000)
    assert run("feeds", "check", str(path)).code == 2
    path.write_bytes(bytes(10_000_001))
    said = run("feeds", "check", str(path))
    assert (said.code, said.err) == (2, "alerts: The file is larger than 10,000,000 bytes.\n")


@given(
    st.binary(max_size=300)
    | st.text(max_size=200).map(lambda text: f'{{"items": [{{"id": "{text}"}}]}}'.encode())
)
@hypothesis_settings(
    max_examples=20, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None
)
def test_no_bytes_make_a_check_fail_otherwise_than_with_a_line(run: Run, tmp_path: Path, body: bytes) -> None:
    path = tmp_path / "document"
    path.write_bytes(body)
    said = run("feeds", "check", str(path), "--json")
    assert said.code in (0, 2)
    assert ("error" in said.json) is (said.code == 2)


def test_entries_are_listed_shown_and_marked(run: Run, site: Database) -> None:
    run("topics", "add", "all")
    run("subscribers", "add", "ana@example.org", "--topic", "all", "--frequency", "flash")
    assert "\x1b" not in run("entries", "list").out
    [entry] = run("entries", "list", "--json").json
    assert (entry["feed"], entry["is_key_event"]) == ("harbour", None)
    assert "The evening ferry leaves" in run("entries", "show", "1").out
    assert "alert 1 carries it" in run("entries", "flash", "1").out
    assert "alert 1 carries it" in run("entries", "flash", "1").out
    assert run("entries", "show", "1", "--json").json["key_event_by"] == "operator"
    [alert] = run("status", "--json").json
    assert (alert["lane"], alert["state"]) == ("flash", "released")
    assert "flash" in run("status").out


def test_the_feeds_are_listed_with_health_next_poll_and_why(run: Run, tmp_path: Path) -> None:
    run("feeds", "add", "https://news.example/live", "--name", "harbour", "--no-follow", "--no-push")
    run("feeds", "add", "https://news.example/old", "--name", "old", "--ignore-robots")
    database = Database(f"sqlite:///{tmp_path}/state/alerts.db")
    now = datetime.now(UTC)
    with database.begin() as session:
        harbour, old = session.exec(select(Feed).order_by(col(Feed.name))).all()
        harbour.polled_at, harbour.changed_at = now, now - timedelta(minutes=3, seconds=1)
        harbour.next_poll_at, harbour.poll_reason = now + timedelta(minutes=30, seconds=20), "live"
        harbour.identity_health = "good: each has an id"
        old.state, old.state_reason = FeedState.RESTING, "ended, and quiet for 1 d since"
    database.close()
    listed = run("feeds", "list").out
    assert all(len(line) <= 100 for line in listed.splitlines())
    assert [line.split(maxsplit=2)[0] for line in listed.splitlines()] == ["feed", "harbour", "old"]
    assert all(words in listed for words in ("3 min ago", "in 30 min", "live", "good", "quiet for 1 d"))
    [first, second] = run("feeds", "list", "--json").json
    assert (first["health"], first["poll_reason"], first["needs"]) == ("good", "live", "")
    assert (second["needs"], second["next_poll_at"]) == ("ended, and quiet for 1 d since", None)
    assert (first["draft"]["follow_moves"], first["draft"]["use_push"]) == (False, False)
    assert second["draft"]["obey_robots"] is False
    said = run("status").out
    assert "Feeds: 1 active, 1 resting." in said
    assert "look at old: resting: ended, and quiet for 1 d since" in said
    assert "harbour" not in said
    assert run("feeds", "poll", "harbour").out == "The feed harbour is due now.\n"
    assert "asked for by cli:" in run("feeds", "list").out
    assert run("feeds", "poll", "old").code == 4


def test_stopped_and_slow_destinations_are_shown_and_resumed(run: Run, site: Database) -> None:
    now = datetime(2026, 11, 22, 8, 0, tzinfo=UTC)
    stop: dict[str, Any] = {
        "faults": 5,
        "fault_at": now,
        "opened_at": now,
        "retry_at": now + timedelta(minutes=1),
    }
    why: dict[str, Any] = {
        "reason": "sender_fault: blocked or listed",
        "code": 550,
        "reply": "5.7.1 your host is blocked",
    }
    with site.begin() as session:
        session.add(Breaker(transport="main", domain="ill.example", **stop, **why))
        session.add(Breaker(transport="main", domain="", **stop))
        session.add(Breaker(transport="main", domain="well.example", faults=2, fault_at=now))
        for first, domain in ((1, "ill.example"), (501, "ill.example"), (1, "slow.example")):
            session.add(Waiting(domain=domain, alert_id=1, first_id=first, rank=1, readers=20))
    site.close()
    said = run("status").out
    assert "look at ill.example: stopped by main since 2026-11-22 08:00:00Z, 40 wait" in said
    assert "slow.example is served in turns: 20 wait" in said
    assert "well.example" not in said
    listed = run("destinations", "list").out
    assert all(words in listed for words in ("(all)", "ill.example", "your host is blocked", "40"))
    found = run("destinations", "list", "--json").json
    assert [(each["domain"], each["owed"]) for each in found] == [
        ("(all)", 0),
        ("ill.example", 40),
        ("slow.example", 20),
    ]
    assert run("destinations", "resume", "Ill.example").out == "Mail goes to Ill.example again.\n"
    assert run("destinations", "resume", "ill.example").code == 3
    assert run("destinations", "resume").code == 2
    assert run("destinations", "resume", "--transport", "main").code == 0
    left = run("destinations", "list", "--json").json
    assert [(each["domain"], each["state"]) for each in left] == [
        ("ill.example", "in turns"),
        ("slow.example", "in turns"),
    ], "the daemon wakes who waited within a second"


def test_an_entry_is_previewed_and_explained(run: Run, site: Database, tmp_path: Path) -> None:
    run("topics", "add", "all")
    run("subscribers", "add", "ana@example.org", "--topic", "all")
    announce(site)
    said = run("preview", "1", "--out", str(tmp_path / "out"))
    assert said.code == 0
    mail = message_from_bytes((tmp_path / "out" / "entry-1.eml").read_bytes(), policy=policy.default)
    assert "ferry" in mail["Subject"]
    assert "ferry" in (tmp_path / "out" / "entry-1.html").read_text()
    assert run("explain", "ana@example.org", "1").out.count("\n") > 1
    assert run("explain", "ana@example.org", "1", "--json").json["entry_id"] == 1


def test_a_dkim_key_is_made_once_for_its_user_only_and_told_with_its_record(
    run: Run, site: Database, tmp_path: Path
) -> None:
    said = run("dkim", "keygen", "2026a", "--domain", "news.example")
    assert said.code == 0
    path = tmp_path / "dkim-2026a.pem"
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    written = path.read_bytes()
    again = run("dkim", "keygen", "2026a")
    assert (again.code, again.out) == (4, "")
    assert "never overwritten" in again.err
    assert path.read_bytes() == written
    lines = [line.strip() for line in said.out.splitlines()]
    text = next(line.removeprefix("value").strip() for line in lines if line.startswith("value"))
    zone = next(line for line in lines if " IN TXT " in line)
    assert zone.startswith("2026a._domainkey.news.example. IN TXT ( ")
    assert "".join(re.findall(r'"([^"]*)"', zone)) == text
    config = said.out[said.out.index("  [dkim.2026a]") :]
    (tmp_path / "config.toml").write_text('[site]\nsender = "alerts@news.example"\n' + config)
    [key] = run("dkim", "check", "--json").json
    assert (key["record"], key["name"], key["bits"]) == (text, "2026a._domainkey.news.example", 2048)
    assert (key["signs"], key["is_in_dns"]) == (False, None)
    assert "But dkim: no RSA key signs" in run("dkim", "check").out
    assert "but dkim: no RSA key signs" in run("config", "check").out
    assert "BEGIN" not in run("config", "show").out


def test_a_dkim_key_is_compared_with_dns(run: Run, tmp_path: Path) -> None:
    (tmp_path / "config.toml").write_text('[site]\nsender = "alerts@news.example"\n')
    text = run("dkim", "keygen", "2026e", "--ed25519").out
    record = re.search(r"IN TXT \( (.*) \)", text)
    assert record
    (tmp_path / "config.toml").write_text(
        '[site]\nsender = "alerts@news.example"\n[dkim.2026e]\nkey_file = "dkim-2026e.pem"\n'
    )
    with dns.server({"2026e._domainkey.news.example": [record[1]]}) as at:
        said = run("dkim", "check", "--server", at)
        assert (said.code, "DNS    right\n" in said.out) == (0, True)
    with dns.server({}) as at:
        said = run("dkim", "check", "--server", at, "--json")
        assert (said.code, said.json[0]["fault"]) == (1, "there is no record yet")


@pytest.mark.parametrize(
    ("arguments", "code", "words"),
    [
        (("dkim", "keygen", "2026_A", "--domain", "news.example"), 2, "A selector is"),
        (
            ("dkim", "keygen", "a", "--domain", "news.example", "--out", "no/such/folder"),
            6,
            "cannot be written",
        ),
        (("dkim", "keygen", "a", "--bits", "1024"), 2, "2048"),
        (("--config", "bad.toml", "dkim", "keygen", "a"), 2, "With --domain no configuration is read"),
    ],
)
def test_a_dkim_key_that_cannot_be_made_is_told(
    run: Run, tmp_path: Path, arguments: tuple[str, ...], code: int, words: str
) -> None:
    (tmp_path / "bad.toml").write_text('[dkim.a]\nkey_file = "dkim-a.pem"\n')
    said = run(*arguments)
    assert (said.code, said.out) == (code, "")
    assert words in said.err


def test_a_site_without_keys_says_that_its_mails_leave_unsigned(run: Run) -> None:
    assert "leave unsigned" in run("dkim", "check").out
    assert run("dkim", "check", "--json").json == []


def test_a_preview_is_signed_as_the_mails_would_be(run: Run, site: Database, tmp_path: Path) -> None:
    run("dkim", "keygen", "2026a", "--out", "key.pem")
    (tmp_path / "config.toml").write_text('[dkim.2026a]\nkey_file = "key.pem"\n')
    assert run("preview", "1").code == 0
    [key] = run("dkim", "check", "--json").json
    mail = (tmp_path / "entry-1.eml").read_bytes()
    assert dkim.verify(mail, dnsfunc=lambda *_, **__: key["record"].encode())


def test_replies_are_classified_one_or_many(run: Run) -> None:
    assert run("smtp", "classify", "550 5.1.1 <jo@reader.example>: no such user").out.startswith("dead: ")
    said = run("smtp", "classify", "--json", stdin=b"250 ok\n451 4.7.1 try later\n\xff\xfe\n")
    lines = [json.loads(line) for line in said.out.splitlines()]
    assert [set(line) for line in lines] == [{"verdict", "why"}] * 3
    assert lines[0]["verdict"] == "accepted"


def test_a_reader_of_our_output_may_leave_early(run: Run, tmp_path: Path) -> None:
    run("topics", "add", "all")
    script = f"{sys.executable} -m alerts.cli topics list --json | true; exit ${{PIPESTATUS[0]}}"
    done = subprocess.run(["bash", "-c", script], capture_output=True, text=True, cwd=tmp_path, check=False)
    assert "Traceback" not in done.stderr
    assert "BrokenPipe" not in done.stderr


def test_the_module_runs_as_a_program(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "alerts.cli", "--version"]
    done = subprocess.run(command, capture_output=True, text=True, cwd=tmp_path, check=True)
    assert done.stdout.startswith("alerts ")
