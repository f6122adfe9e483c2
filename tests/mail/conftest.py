"""What the wire is written on: each of its tests runs in asyncio's own loop, and in the daemon's where it is another."""

import asyncio
from collections.abc import Callable, Mapping

import pytest

from alerts import loops

_ON_THE_WIRE = {"test_smtp.py", "test_dialogue.py", "test_widths.py"}


def pytest_asyncio_loop_factories(
    config: pytest.Config,
    item: pytest.Item,
) -> Mapping[str, Callable[[], asyncio.AbstractEventLoop]]:
    loop = {"asyncio": asyncio.new_event_loop}
    if item.path.name in _ON_THE_WIRE and loops.quickest is not asyncio.new_event_loop:
        return loop | {"uvloop": loops.quickest}
    return loop
