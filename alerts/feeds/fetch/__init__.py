"""From a URL to a page: one conditional GET, guarded, paced and bounded; no database, no judgement of the content."""

from alerts.feeds.fetch.fetcher import (
    Fetcher,
    Guard,
    Limits,
    NotModified,
    Page,
    Validators,
    retry_after,
)

__all__ = ["Fetcher", "Guard", "Limits", "NotModified", "Page", "Validators", "retry_after"]
