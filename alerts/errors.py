"""The one tree of errors: what a caller may do about each is said in its class."""

from datetime import timedelta


class AlertsError(Exception):
    """Something a person can act on; its text says what to do and names no reader's data."""

    exit_code = 1


class ConfigError(AlertsError):
    """A setting is wrong: the text names the place, the reason and what to write instead."""

    exit_code = 2


class Refused(AlertsError):
    """The input cannot be taken as it is; sending it again unchanged will not help."""

    exit_code = 2


class NotAFeed(Refused):
    """The bytes hold no feed that we can read."""


class NotFound(AlertsError):
    """What was named does not exist."""

    exit_code = 3


class Conflict(AlertsError):
    """What was asked for clashes with what is there already."""

    exit_code = 4


class FetchFailed(AlertsError):
    """A feed could not be fetched this time; a later poll may succeed, no sooner than `retry_after`."""

    exit_code = 5

    def __init__(self, text: str, *, retry_after: timedelta | None = None) -> None:
        super().__init__(text)
        self.retry_after = retry_after


class Gone(FetchFailed):
    """The server says that a feed is gone for good; polling it again is pointless."""


class LeaseLost(AlertsError):
    """A batch is no longer ours: another worker may have it; touch nothing of it any more."""


class OpenedLongAgo(AlertsError):
    """A mail waited too long for its turn: whether its reader may have it is to be asked anew."""


class Unavailable(AlertsError):
    """The database, or the right to use it, is not to be had now."""

    exit_code = 6
