"""The parts of the daemon that can run by themselves, each in processes of its own."""

from enum import StrEnum


class Role(StrEnum):
    """What one process does of the whole."""

    WEB = "web"  # the pages
    SEND = "send"  # alerts and notices
    POLL = "poll"  # the feeds, and their hubs


ALL = frozenset(Role)
