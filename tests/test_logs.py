"""What reaches the log, and in which form."""

import json
import logging
from collections.abc import Iterator
from io import StringIO

import pytest
import structlog

from alerts import logs


@pytest.fixture
def lines() -> Iterator[StringIO]:
    """Sets logging up as the daemon does, and takes it back."""
    root, scheduler = logging.getLogger(), logging.getLogger("apscheduler")
    kept, level, quiet = list(root.handlers), root.level, scheduler.level
    output = StringIO()
    logs.configure(is_json=True, stream=output)
    yield output
    root.handlers[:] = kept
    root.setLevel(level)
    scheduler.setLevel(quiet)
    structlog.reset_defaults()


def test_a_librarys_warning_is_a_line_but_a_late_tick_is_none(lines: StringIO) -> None:
    logging.getLogger("asyncio").warning("a task was slow")
    logging.getLogger("apscheduler.scheduler").warning("Execution of job skipped")
    logging.getLogger("apscheduler.executors.default").error("Job raised an exception")
    written = [json.loads(line) for line in lines.getvalue().splitlines()]
    assert [line["event"] for line in written] == ["a task was slow", "Job raised an exception"]


def test_an_address_in_an_event_is_taken_out(lines: StringIO) -> None:
    structlog.get_logger().warning("row_quoted", error="duplicate key (ann@example.org)")
    assert json.loads(lines.getvalue())["error"] == "duplicate key (<address>)"
