"""The fetcher and the readers that the settings describe: the daemon and `alerts feeds check` poll alike."""

import math

from alerts.config import PollingConfig
from alerts.feeds.fetch import Fetcher, Guard, Limits
from alerts.feeds.read.readers import Readers

_HOST_RATE = 2  # requests a second, where the operator names none


def fetcher(polling: PollingConfig) -> Fetcher:
    """Makes the fetcher, to be entered as a context manager."""
    return Fetcher(
        polling.user_agent,
        Limits(polling.total_timeout, polling.body_limit),
        guard=Guard.of(polling.allow),
        host_rate=polling.host_rate or _HOST_RATE,
        own_rate=polling.host_rate or math.inf,
        proxy=polling.proxy,
    )


def readers(polling: PollingConfig) -> Readers:
    """Makes the processes that read documents, to be entered as a context manager; they start when needed."""
    return Readers(polling.readers, polling.read_timeout, polling.read_memory)
