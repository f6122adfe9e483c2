"""Teasers: a page's latest post told twice, the first time cut short. Pure."""

import re
from collections import defaultdict
from collections.abc import Sequence

from alerts.feeds.compare.known import Keyed
from alerts.feeds.compare.wording import SHORT, normal
from alerts.feeds.formats.values import FeedEntry

_CUT_SHORT = re.compile(r"\s*\[?(?:\.\.\.|\u2026)\]?\s*$")


def teasers(window: Sequence[Keyed]) -> frozenset[str]:
    """Gives the keys of entries that are the headline and the beginning of another one's text."""
    cut = {keyed.key: beginning for keyed in window if (beginning := _beginning(keyed.entry))}
    if not cut:
        return frozenset()
    texts: dict[str, list[str]] = defaultdict(list)
    for keyed in window:
        if keyed.key not in cut:
            texts[normal(keyed.entry.title)].append(normal(keyed.entry.text))
    return frozenset(
        keyed.key
        for keyed in window
        if keyed.key in cut
        and any(text.startswith(cut[keyed.key]) for text in texts.get(normal(keyed.entry.title), ()))
    )


def _beginning(entry: FeedEntry) -> str:
    """Gives what stands before the ellipsis at a text's end; empty where there is none, or little before it."""
    before = _CUT_SHORT.sub("", entry.text)
    return normal(before) if before != entry.text and len(before) >= SHORT else ""
