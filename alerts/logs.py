"""One log line per event, as JSON or for a terminal; whatever looks like an address is taken out last."""

import logging
import re
import sys
from collections.abc import MutableMapping
from typing import Any, TextIO

import structlog

# The last line of defence: error texts of a database or a library may quote a row.
_ADDRESS = re.compile(r"[^\s<>\"'(),;:=\[\]]+@[^\s<>\"'(),;:\[\]]+")


def configure(*, is_json: bool, stream: TextIO | None = None) -> None:
    """Sets up structlog and the standard library's logging for the whole process."""
    output = stream or sys.stderr
    shared: list[structlog.typing.Processor] = [
        structlog.contextvars.merge_contextvars,
        structlog.processors.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        structlog.processors.format_exc_info,
        without_addresses,
    ]
    renderer: structlog.typing.Processor = (
        structlog.processors.JSONRenderer() if is_json else structlog.dev.ConsoleRenderer()
    )
    structlog.configure(
        processors=[*shared, renderer],
        logger_factory=structlog.PrintLoggerFactory(output),
        cache_logger_on_first_use=False,
    )
    handler = logging.StreamHandler(output)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=shared,
            processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, renderer],
        )
    )
    logging.basicConfig(level=logging.WARNING, handlers=[handler], force=True)
    # It warns, with times in the text, of each tick that finds the one before still at work: on a busy site
    # that is several a second, and each is made up for by the next.
    logging.getLogger("apscheduler").setLevel(logging.ERROR)


def without_addresses(
    _logger: object, _method: str, event: MutableMapping[str, Any]
) -> MutableMapping[str, Any]:
    """Puts `<address>` where a text of the event holds an email address."""
    return {
        key: _ADDRESS.sub("<address>", value) if isinstance(value, str) else value
        for key, value in event.items()
    }
