"""What the pages say is held to the code: their links, their commands, and what they claim to list."""

import ast
import re
import shlex
import tomllib
from collections.abc import Iterator
from pathlib import Path

import pytest
from sqlalchemy import Table, UniqueConstraint
from sqlmodel import SQLModel
from typer.main import get_command

from alerts import models
from alerts.cli import app

ROOT = Path(__file__).parents[1]
DOCS = ROOT / "docs"
PAGES = sorted([ROOT / "README.md", ROOT / "CHANGELOG.md", *ROOT.glob("bench/*.md"), *DOCS.rglob("*.md")])
TABLES = SQLModel.metadata.sorted_tables

_FENCE = re.compile(r"^ *```(\w*)\n(.*?)^ *```", re.DOTALL | re.MULTILINE)
_LINK = re.compile(r"\]\(([^)\s]+)\)")
_CODE = re.compile(r"`([^`\n]+)`")
_WORD = re.compile(r"[a-z][a-z-]*")
_LOUD = {"warning", "error", "exception", "critical"}


def _name(path: Path) -> str:
    return str(path.relative_to(ROOT))


@pytest.mark.parametrize("page", PAGES, ids=_name)
def test_relative_links_lead_somewhere(page: Path) -> None:
    assert [link for link in _links(page) if not _leads_somewhere(page, link)] == []


@pytest.mark.parametrize("page", PAGES, ids=_name)
def test_commands_exist_with_their_options(page: Path) -> None:
    assert [line for line in _commands(page) if not _is_command(line)] == []


def test_every_page_can_be_reached() -> None:
    reached, waiting = set[Path](), [ROOT / "README.md"]
    while waiting:
        page = waiting.pop()
        if page not in reached:
            reached.add(page)
            waiting += [target for link in _links(page) if (target := _target(page, link)) in PAGES]
    assert set(PAGES) - reached == set()


@pytest.mark.parametrize("page", PAGES, ids=_name)
def test_nothing_names_a_folder_of_somebodys_machine(page: Path) -> None:
    assert re.findall(r"(?:/tmp|/home|/root|/Users)/\S+", page.read_text()) == []


def test_the_picture_is_small_and_names_no_folder() -> None:
    picture = (DOCS / "demo.svg").read_text()
    assert len(picture) < 300_000
    assert re.findall(r"(?:/tmp|/home|/root|/Users)/", picture) == []


def test_every_warning_and_error_in_the_log_has_its_word() -> None:
    page = (DOCS / "how-to" / "operate.md").read_text()
    events = set(_loud_events())
    assert len(events) > 10, "the search finds events"
    assert {event for event in events if f"| `{event}` |" not in page} == set()


def test_no_event_is_described_that_is_not_logged() -> None:
    page = (DOCS / "how-to" / "operate.md").read_text()
    assert set(re.findall(r"^\| `(\w+)` \|", page, re.MULTILINE)) - set(_loud_events()) == set()


@pytest.mark.parametrize("table", TABLES, ids=lambda table: str(table.name))
def test_every_table_is_described_with_its_keys(table: Table) -> None:
    page = (DOCS / "reference" / "tables.md").read_text()
    section = re.search(rf"^## `{table.name}`$(.*?)(?=^## |\Z)", page, re.DOTALL | re.MULTILINE)
    assert section, "the page has no section for it"
    said = set(_CODE.findall(section[1]))
    unique = {
        column for each in table.constraints if isinstance(each, UniqueConstraint) for column in each.columns
    }
    assert {column.name for column in {*table.primary_key.columns, *unique}} - said == set()


def test_tables_that_do_not_exist_are_not_described() -> None:
    page = (DOCS / "reference" / "tables.md").read_text()
    assert set(re.findall(r"^## `(\w+)`$", page, re.MULTILINE)) == {table.name for table in TABLES}


def test_every_state_of_the_outbox_is_drawn() -> None:
    page = (DOCS / "explanation" / "outbox.md").read_text()
    states = {*models.AlertState, *models.DeliveryState}
    assert {state for state in states if not re.search(rf"\b{state}\b", page)} == set()


def test_decisions_are_numbered_without_a_gap() -> None:
    numbers = [int(path.name[:4]) for path in sorted((DOCS / "adr").glob("*.md"))]
    assert numbers == list(range(1, len(numbers) + 1))
    for path in (DOCS / "adr").glob("*.md"):
        assert path.read_text().startswith(f"# {int(path.name[:4])}. ")


def test_the_changelog_knows_the_version_that_is_being_made() -> None:
    version = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["version"]
    headings = re.findall(r"^## (.+)$", (ROOT / "CHANGELOG.md").read_text(), re.MULTILINE)
    assert headings[0] == "Unreleased" or headings[0].startswith(version)


def _links(page: Path) -> Iterator[str]:
    prose = _FENCE.sub("", page.read_text())
    yield from (link for link in _LINK.findall(prose) if not re.match(r"[a-z]+:", link))


def _target(page: Path, link: str) -> Path:
    path = link.partition("#")[0]
    return (page.parent / path).resolve() if path else page


def _leads_somewhere(page: Path, link: str) -> bool:
    target, _, anchor = link.partition("#")
    path = _target(page, target)
    return path.exists() and path.is_relative_to(ROOT) and (not anchor or anchor in _anchors(path))


def _anchors(page: Path) -> set[str]:
    """Gives the names of a page's headings, as they are made of their words on the usual sites."""
    headings = re.findall(r"^#+ (.+)$", page.read_text(), re.MULTILINE)
    return {re.sub(r"[^\w -]", "", heading.lower()).replace(" ", "-") for heading in headings}


def _commands(page: Path) -> Iterator[str]:
    """Gives what a reader may copy: lines of fenced blocks, and code within sentences, that call `alerts`."""
    text = page.read_text()
    for language, block in _FENCE.findall(text):
        if language in {"", "sh", "console"}:
            lines = block.replace("\\\n", " ").splitlines()
            yield from (line.strip().removeprefix("$ ") for line in lines)
    yield from _CODE.findall(_FENCE.sub("", text))


def _is_command(line: str) -> bool:
    """Whether a line is none of ours, or names a command that exists, with options that it has."""
    if not line.startswith("alerts "):
        return True
    words = [word for word in shlex.split(line, comments=True)[1:] if word not in {"...", "--help"}]
    command = get_command(app)
    while words and hasattr(command, "commands"):
        if words[0].startswith("--config"):
            words = words[2:]
            continue
        names = words.pop(0).split("|")  # `alerts feeds pause|resume` names two
        if not all(name in command.commands for name in names):
            return not _WORD.fullmatch(names[0])
        command = command.commands[names[0]]
    options = {option for parameter in command.params for option in parameter.opts}
    return all(word.partition("=")[0] in options for word in words if word.startswith("--"))


def _loud_events() -> Iterator[str]:
    for path in sorted((ROOT / "alerts").rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text())):
            match node:
                case ast.Call(
                    func=ast.Attribute(value=ast.Name(id="log"), attr=level),
                    args=[ast.Constant(value=event), *_],
                ) if level in _LOUD:
                    yield str(event)
