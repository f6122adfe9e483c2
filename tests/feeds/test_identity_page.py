"""The page on identity and comparison names things as the code does."""

import re
from pathlib import Path

from alerts.feeds.compare import decide, history, known, matching, rule, times
from alerts.feeds.compare.identity import Health, Rule
from alerts.models import Entry, EntryAlias, Feed

PAGE = (Path(__file__).parents[2] / "docs/explanation/identity.md").read_text()
CODE = set(re.findall(r"`([^`\n]+)`", PAGE))


def test_the_passes_are_those_of_a_match_in_their_order() -> None:
    told = re.findall(r"^\| `(\w+)` \|", PAGE, re.MULTILINE)
    source = Path(matching.__file__).read_text()
    assert told == re.findall(r"= found\.(\w+)\(", source)


def test_rules_kinds_and_health_are_named() -> None:
    assert {*Rule, known.LOOSE, Health.DEGRADED} <= CODE


def test_columns_and_tables_exist() -> None:
    columns = {*Feed.model_fields, *Entry.model_fields, str(EntryAlias.__tablename__)}
    assert {
        "identity_unique",
        "identity_stable",
        "identity_health",
        "withdrawn_at",
        "entry_alias",
    } <= CODE & columns


def test_the_figures_are_the_codes() -> None:
    assert f"After {known.MAX_REVISIONS} of them" in PAGE
    assert times._MOVED_ON.total_seconds() == 600
    assert "by ten minutes" in PAGE
    assert history._LONG_AGO.total_seconds() == 3600
    assert "more than an hour ago" in PAGE
    assert history._BEYOND_BELIEF.days == 365
    assert "less than a year" in PAGE
    assert history._MEANWHILE.total_seconds() == 600
    assert "more than ten minutes before the move" in PAGE
    assert (history._LEAST_LINES, history._RESTATED) == (3, 0.8)
    assert "at least three lines, four fifths" in PAGE
    assert rule._LEAST_STABLE == 0.5
    assert decide.decide.__name__ in CODE
