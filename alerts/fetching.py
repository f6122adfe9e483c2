"""The fetcher that the settings describe: the daemon and `alerts feeds check` fetch alike."""

from alerts.config import PollingConfig
from alerts.feeds.fetch import Fetcher, Guard, Limits


def fetcher(polling: PollingConfig) -> Fetcher:
    """Makes the fetcher, to be entered as a context manager."""
    return Fetcher(
        polling.user_agent,
        Limits(polling.total_timeout, polling.body_limit),
        guard=Guard.of(polling.allow),
        host_rate=polling.host_rate,
        proxy=polling.proxy,
    )
