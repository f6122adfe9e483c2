"""Joins what the script, the page's log, the SMTP log and the daemon's log say, and tells it on the screen."""

import asyncio
from collections import defaultdict
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

from alerts.demo.audit import Account, Receipt, Speed, settle, speed
from alerts.demo.inbox import Inbox, Mail
from alerts.demo.screen import Mailed, Progress, Screen
from alerts.demo.site import LivePage
from alerts.demo.story import Change, End, Reader, Silent, Story, owed
from alerts.models import Lane

_TICK = 0.05
_GRACE = timedelta(seconds=10)
_AFTERMATH = timedelta(seconds=2)
_GATHER = timedelta(seconds=0.15)  # the mails about one post are told in one line
_QUIET_AFTER = 2  # polls


class Teller:
    """Tells one run of a story; `heard` takes the daemon's log events, in the event loop."""

    def __init__(
        self, story: Story, readers: Sequence[Reader], page: LivePage, inbox: Inbox, screen: Screen
    ) -> None:
        self._story = story
        self._readers = readers
        self._names = {reader.address: reader.name for reader in readers}
        self._page = page
        self._inbox = inbox
        self._screen = screen
        self._debts = owed(story, readers)
        self._to_do = sorted(story.changes, key=lambda change: change.at)
        self._watched: list[Silent] = []
        self._gathering: dict[str, list[Mail]] = defaultdict(list)
        self._told_mails = 0
        self._lanes: dict[int, str] = {}  # of alerts
        self._lane_of: dict[str, str] = {}  # of entries, by title

    async def tell(self, stop: asyncio.Event) -> None:
        """Tells what happens until the story is over and its mails are in, or `stop` is set.

        Mails that are missing are given up after ten seconds without any mail, and two pass in any case: a
        mail too many would come after the last one owed.
        """
        while not stop.is_set():
            now = datetime.now(UTC)
            self._tell_deeds()
            self._tell_silences()
            self._tell_mails(now)
            if self._page.second >= self._story.ends_at and self._is_settled(now):
                return
            await asyncio.sleep(_TICK)

    def _is_settled(self, now: datetime) -> bool:
        last = max([mail.received_at for mail in self._inbox.mails], default=self._page.timing.opened)
        quiet_since = max(last, self._page.timing.when(self._story.ends_at))
        return now - quiet_since >= (_GRACE if self.account().missing else _AFTERMATH)

    def progress(self) -> Progress:
        second = self._page.second
        shown = sum(post.at <= second for post in self._story.posts)
        return Progress(second, self._story.ends_at, shown, len(self._mails()))

    def account(self) -> Account:
        """Settles the SMTP server's log against the script."""
        receipts = [Receipt(mail.recipient, mail.marker(self._page.url)) for mail in self._mails()]
        return settle(len(self._story.posts), self._debts, self._readers, receipts)

    def _mails(self) -> list[Mail]:
        """Gives the mails of the story: who looks around and signs up gets others, which are no part of it."""
        own = {mail.recipient for mail in self._inbox.mails if mail.is_notice} - self._names.keys()
        return [mail for mail in self._inbox.mails if not mail.is_notice and mail.recipient not in own]

    def speeds(self) -> tuple[Speed | None, Speed | None]:
        """Gives the time from the page to the inbox, and from our poll to the inbox, over the mails owed."""
        waits = [wait for mail in self._mails() if (wait := self._wait(mail)) is not None]
        return speed(whole for whole, _ in waits), speed(ours for _, ours in waits)

    def lost(self) -> list[str]:
        """Names the mails that are missing, by reader and title."""
        return [
            f"{row.name}, {self._story.post(post_id).title}"
            for row in self.account().rows
            for post_id in row.missing_ids
        ]

    def heard(self, event: dict[str, Any]) -> None:
        """Takes one event of the daemon's log."""
        second, title = self._page.second, str(event.get("title", ""))
        match event["event"]:
            case "alert_announced":
                self._lanes[event["alert"]] = event["lane"]
            case "entry_new":
                self._lane_of[title] = self._lanes.get(event["alert"], "")
            case "entry_edited":
                self._screen.seen(second, "an edit, kept as a revision: ", title)
            case "entry_key_event":
                self._lane_of[title] = self._lanes.get(event["alert"], "")
                self._screen.seen(second, "a key event now: ", title)
            case "feed_polled" if "baseline" in event:
                self._screen.seen(
                    second, f"{event['baseline']} entries were there before us: they mail nobody"
                )
            case _ if event.get("level") in {"warning", "error", "critical"}:
                self._screen.said(second, event)

    def _tell_deeds(self) -> None:
        while self._to_do and self._to_do[0].at <= self._page.second:
            change = self._to_do.pop(0)
            self._screen.desk(change.at, change, self._title(change))
            if isinstance(change, Silent):
                self._watched.append(change)

    def _tell_silences(self) -> None:
        for change in tuple(self._watched):
            if len(self._page.polls_after(change.at)) > _QUIET_AFTER:
                self._watched.remove(change)
                self._screen.quiet(self._page.second, change, self._surplus(change))

    def _surplus(self, change: Silent) -> int:
        """Counts the mails about a post beyond the one that each reader is owed."""
        came = sum(mail.marker(self._page.url) == change.post_id for mail in self._mails())
        return max(0, came - sum(post_id == change.post_id for _, post_id in self._debts))

    def _tell_mails(self, now: datetime) -> None:
        mails = self._mails()
        for mail in mails[self._told_mails :]:
            self._gathering[mail.marker(self._page.url) or ""].append(mail)
        self._told_mails = len(mails)
        for post_id, mails in tuple(self._gathering.items()):
            if now - mails[0].received_at >= _GATHER:
                self._tell_post(post_id, self._gathering.pop(post_id))

    def _tell_post(self, post_id: str, mails: list[Mail]) -> None:
        waits = [wait for mail in mails if (wait := self._wait(mail)) is not None]
        whole, ours = max(waits, default=(0.0, 0.0))
        title = mails[0].subject
        reached = {mail.recipient for mail in mails}
        self._screen.mailed(
            self._page.second,
            Mailed(
                title=title,
                note=self._story.post(post_id).note if post_id else "",
                names=tuple(self._names.get(each, each) for each in sorted(reached, key=self._place)),
                is_flash=self._lane_of.get(title) == Lane.FLASH,
                wait=whole,
                ours=ours,
            ),
        )

    def _place(self, address: str) -> int:
        known = [*self._names]
        return known.index(address) if address in known else len(known)

    def _wait(self, mail: Mail) -> tuple[float, float] | None:
        """Gives the seconds a mail took from the page and from the poll that saw its post; None if not owed."""
        due = self._debts.get((mail.recipient, mail.marker(self._page.url) or ""))
        polls = [] if due is None else self._page.polls_after(due)
        if due is None or not polls:
            return None
        shown = self._page.timing.when(due)
        return (mail.received_at - shown).total_seconds(), (mail.received_at - polls[0].at).total_seconds()

    def _title(self, change: Change) -> str:
        return "" if isinstance(change, End) else self._story.post(change.post_id).title
