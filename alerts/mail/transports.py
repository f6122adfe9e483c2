"""A transport: a relay's connections, kept open, and the mails that wait for one; and several of them."""

import asyncio
import ssl
from collections import Counter
from collections.abc import Collection, Mapping
from contextlib import suppress
from time import monotonic
from typing import cast

import aiosmtplib
import structlog

from alerts.mail.dialogue import CLOSING, Dialogue, End
from alerts.mail.line import Line
from alerts.mail.smtp import (
    Mail,
    Outcome,
    Replied,
    Server,
    Unsent,
    connect,
    drop,
    quit_politely,
    tls_context,
    trouble,
)
from alerts.mail.widths import Widths

log = structlog.get_logger()

_IDLE_SECONDS = 30.0  # servers drop idle clients after minutes; a goodbye is better than a reset
_TRIES = 3  # how often a mail that certainly did not go out is given to another connection
_WAIT_FIRST, _WAIT_MOST = 0.5, 30.0
_LOST_SECONDS = 0.1
_NO_RIDERS_SECONDS = 3600.0
_IN_VAIN = 3  # connections in a row, after which a relay that greets us and answers no mail counts as down
_PUT_OFF = 5  # senders in a row, after which a relay that says "not now" to each counts as down


class Transport:
    """Hands mails to one relay over at most `server.connections` kept connections.

    `widths` sets how many mails of a domain may be on the wire at once.
    """

    def __init__(self, server: Server, widths: Mapping[str, int] | None = None) -> None:
        self.server = server
        self.name = server.name
        self._context: ssl.SSLContext | None = tls_context(server)
        self._waiting = Line()
        # A connection has one mail's content on its way, and may have the next one's envelope.
        self._widths = Widths(widths or {}, 2 * server.connections)
        self._opening: set[asyncio.Task[None]] = set()
        self._standing: dict[Dialogue, aiosmtplib.SMTP] = {}
        self._idle: dict[Dialogue, asyncio.TimerHandle] = {}
        self._leaving: set[asyncio.Task[None]] = set()
        self._failures = 0
        self._down_until = 0.0
        self._full_until = 0.0
        self._riders_from = 0.0
        self._groups_from = 0.0
        self._in_vain = 0
        self._put_off = 0
        self._is_closed = False

    def submit(self, mail: Mail) -> None:
        """Takes a mail; its `settle` is called once, in this loop and perhaps at once, with what became of it."""
        if self._is_closed:
            self.tell(mail, Unsent("the transport was closed"))
        elif not self._standing and self.down_for():
            self.tell(mail, Unsent("transport is down"))
        else:
            self._waiting.add(mail)
            self._put_to_work()

    def let_go(self) -> None:
        """Tells the mails that wait here that they were not sent: others may bring them, and this relay says nothing."""
        self._refuse_waiting(Unsent("the relay says nothing"))

    def expect_mail(self) -> None:
        """Has a connection opened where none stands: a first mail can be made in the round trips that it takes."""
        if not (self._standing or self._opening or self._is_closed or self.down_for()):
            self._grow()

    def down_for(self) -> float:
        """Seconds until a relay that is out of reach is asked again; nobody is opened for it meanwhile."""
        return max(0.0, self._down_until - monotonic())

    @property
    def is_on_trial(self) -> bool:
        """Whether it failed us last: few mails are enough to see whether it still does."""
        return self._failures > 0 or self._is_doubted

    @property
    def is_up(self) -> bool:
        """Whether mails may be given to it: a relay that answered for none lately gets more once it answers for these.

        Else all who have mails would wait for it, and nobody would bring theirs to another.
        """
        is_awaited = self._is_doubted and (self._waiting or any(each.is_busy for each in self._standing))
        return not self.down_for() and not is_awaited

    def paces(self) -> Mapping[str, float]:
        """Gives the mails a second that get through to the domains whose mails had to wait for one another."""
        return self._widths.paces()

    async def close(self) -> None:
        """Ends all connections; mails still waiting are told that they were not sent."""
        self._is_closed = True
        self._refuse_waiting(Unsent("the transport was closed"))
        for dialogue in [*self._standing]:
            if dialogue.is_busy:
                dialogue.end("closed")
            else:
                self._leave(dialogue)
        while self._opening:  # a cancellation can be lost: up to 3.11 by a wait_for that ends as it comes
            for task in self._opening:
                task.cancel()
            await asyncio.wait(self._opening, timeout=_LOST_SECONDS)
        await asyncio.gather(*self._leaving, return_exceptions=True)

    # --- what a dialogue asks and says -------------------------------------------------------------------

    @property
    def takes_riders(self) -> bool:
        """Whether an envelope may ride behind a content."""
        return not self._riders_from or self._riders_from <= monotonic()

    def take_no_riders(self) -> None:
        """Sends envelopes by themselves for a while: it costs a round trip a mail, and works everywhere."""
        if self.takes_riders:
            log.warning("transport_takes_no_riders", transport=self.name)
        self._riders_from = monotonic() + _NO_RIDERS_SECONDS

    def take_no_groups(self) -> None:
        """Sends one command at a time for a while, over the connections that are opened from now on."""
        if self._groups_from <= monotonic():
            log.warning("transport_takes_no_groups", transport=self.name)
        self._groups_from = monotonic() + _NO_RIDERS_SECONDS

    def next_mail(self) -> Mail | None:
        """Gives the mail that waits longest, of those whose destination has room; what goes first before all others."""
        if self._widths.by_domain:
            return self._widths.next_mail(self._waiting)
        return self._waiting.next()

    def tell(self, mail: Mail, outcome: Outcome) -> None:
        """Says what became of a mail; a defect in who hears it must not end the connection."""
        try:
            is_asked_slower = mail.settle(outcome)
        except Exception:
            log.exception("outcome_not_taken")
            is_asked_slower = False
        if isinstance(outcome, Replied):
            self._hear(outcome)
        if is_asked_slower:
            self._widths.narrow(mail, [each for dialogue in self._standing for each in dialogue.mails])
        elif self._widths.by_domain:
            is_accepted = isinstance(outcome, Replied) and outcome.code < 300  # noqa: PLR2004 - RFC 5321, 4.2.1
            self._widths.leaves(mail, self._waiting, is_accepted=is_accepted)
        else:
            return
        if self._widths.ready or self._waiting:
            self._put_to_work()

    def give_back(self, mail: Mail, reason: str, *, is_sent_away: bool) -> None:
        """Lets another connection have a mail that certainly did not go out, a few times."""
        if self._widths.by_domain:
            self._widths.leaves(mail, self._waiting)
        mail.tries += not is_sent_away
        if self._is_closed or mail.tries >= _TRIES:
            self.tell(mail, Unsent(reason))
        else:
            self._waiting.put_back(mail)

    def rests(self, dialogue: Dialogue) -> None:
        """Keeps a connection for a while that has nothing to do."""
        loop = asyncio.get_running_loop()
        self._idle[dialogue] = loop.call_later(_IDLE_SECONDS, self._leave, dialogue)

    def ended(self, dialogue: Dialogue, how: End) -> None:
        """Forgets a connection that is gone; what waits may need another."""
        self._forget(dialogue)
        match how:
            case End.SOUND:
                self._in_vain = 0
            case End.IN_VAIN:
                self._in_vain += 1
            case End.SILENT:  # the next would be waited for as long again, with all that waits behind it
                self._in_vain = _IN_VAIN
        if self._is_doubted and not self._is_closed:
            self._relent(Unsent("transport is down: it answers no mail"))
        self._put_to_work()

    # --- connections -----------------------------------------------------------------------------------------

    def _put_to_work(self) -> None:
        """Has a connection for what waits: one that rests, or one more."""
        if self._idle:
            dialogue, timer = self._idle.popitem()
            timer.cancel()
            dialogue.start()
        elif self._may_grow() and len(self._waiting) + self._widths.ready > len(self._opening):
            self._grow()

    def _grow(self) -> None:
        task = asyncio.create_task(self._open(), name=f"smtp-{self.name}")
        self._opening.add(task)
        task.add_done_callback(self._opening.discard)

    def _may_grow(self) -> bool:
        """Whether one more connection may be tried; a relay that refused one beside others is given time.

        One that is doubted is tried with one at a time.
        """
        if self._is_closed or len(self._standing) + len(self._opening) >= self.server.connections:
            return False
        if self._is_doubted and (self._standing or self._opening):
            return False
        return not self._standing or self._full_until <= monotonic()

    async def _open(self) -> None:
        """Opens one more connection; the last attempt of several that fail says that the relay is down."""
        if self._down_until > monotonic() and not self._standing:
            self._refuse_waiting(Unsent("transport is down"))
            return
        try:
            client = await connect(self.server, self._context)
        except Exception as error:  # noqa: BLE001 - also a host name that cannot be one: no mail may stay untold
            self._opened()
            self._relent(Unsent(f"transport is down: {trouble(error)}"))
            return
        self._opened()
        self._set_up(client)

    def _opened(self) -> None:
        """Forgets the attempt that runs, before what comes of it asks whether another may be made."""
        self._opening.discard(cast("asyncio.Task[None]", asyncio.current_task()))

    def _relent(self, problem: Unsent) -> None:
        """Asks a relay that failed us no more for a while, or for no more than what stands."""
        if self._standing:
            self._set_full()
        elif not self._opening:
            self._set_down(problem)

    def _set_up(self, client: aiosmtplib.SMTP) -> None:
        if self._is_closed:
            drop(client)
            return
        self._down_until = 0.0
        if not self._is_doubted:
            self._set_back()
        dialogue = Dialogue(
            cast("asyncio.Transport", client.transport),
            self,
            is_pipelined=client.supports_extension("pipelining") and self._groups_from <= monotonic(),
            takes_utf8=client.supports_extension("smtputf8"),
            reply_timeout=self.server.reply_timeout.total_seconds(),
            final_timeout=self.server.final_timeout.total_seconds(),
        )
        self._standing[dialogue] = client
        dialogue.start()

    @property
    def _is_doubted(self) -> bool:
        """Whether the relay connects and takes no mail: each would cost it three connections, or be put off."""
        return self._in_vain >= _IN_VAIN or self._put_off >= _PUT_OFF

    def _hear(self, replied: Replied) -> None:
        """Learns of the relay from its word on a mail; "not now" at MAIL, before anybody is named, is about itself."""
        if replied.stage == "MAIL" and 400 <= replied.code < 500:  # noqa: PLR2004 - RFC 5321, 4.2.1
            self._put_off += replied.code != CLOSING
            if self._put_off >= _PUT_OFF and not self.down_for():
                self._set_down(Unsent("transport is down: it puts off each mail"))
        elif self._in_vain or self._put_off:
            self._believe()

    def _believe(self) -> None:
        """Trusts the relay again: it had a word on a mail."""
        self._in_vain = self._put_off = 0
        self._set_back()
        for _ in range(self.server.connections):
            self._put_to_work()

    def _set_back(self) -> None:
        """Forgets how often the relay was down: it is up."""
        if self._failures:
            log.info("transport_up", transport=self.name)
            self._failures, self._full_until = 0, 0.0

    def _set_full(self) -> None:
        """Leaves the mails to the connections that stand: the relay allows no more than those."""
        if self._full_until <= monotonic():
            log.warning("transport_is_full", transport=self.name, connections=len(self._standing))
        self._full_until = monotonic() + _WAIT_MOST

    def _set_down(self, problem: Unsent) -> None:
        wait = min(_WAIT_FIRST * 2**self._failures, _WAIT_MOST)
        self._failures = min(self._failures + 1, 10)
        self._down_until = monotonic() + wait
        log.warning("transport_down", transport=self.name, reason=problem.reason, retry_in=wait)
        self._refuse_waiting(problem)

    def _refuse_waiting(self, problem: Unsent) -> None:
        for mail in [*self._widths.drain(), *self._waiting.drain()]:
            self.tell(mail, problem)

    def _leave(self, dialogue: Dialogue) -> None:
        """Says goodbye to a server that there is no mail for."""
        client = self._standing[dialogue]
        self._forget(dialogue)
        if client.protocol is None:
            drop(client)
            return
        dialogue.hand_over(client.protocol)
        task = asyncio.create_task(quit_politely(client), name=f"smtp-quit-{self.name}")
        self._leaving.add(task)
        task.add_done_callback(self._leaving.discard)

    def _forget(self, dialogue: Dialogue) -> None:
        self._standing.pop(dialogue, None)
        with suppress(KeyError):
            self._idle.pop(dialogue).cancel()


class Transports:
    """All relays that mail is handed to, each with its weight."""

    def __init__(self, weights: Mapping[Transport, int]) -> None:
        self._by_name = {transport.name: transport for transport in weights}
        self._weights = dict(weights)
        self._credit = dict.fromkeys(weights, 0.0)

    def get(self, name: str) -> Transport | None:
        """Gives the transport of that name, down or not."""
        return self._by_name.get(name)

    def paces(self) -> Mapping[str, float]:
        """Gives the mails a second, over all, to the domains whose mails had to wait for one another."""
        found: Counter[str] = Counter()
        for transport in self._weights:
            found.update(transport.paces())
        return found

    @property
    def names(self) -> Collection[str]:
        return self._by_name.keys()

    def is_any_up(self, *, but_not: Collection[str] = ()) -> bool:
        return bool(self._up(but_not))

    def up(self, *, but_not: Collection[str] = ()) -> list[str]:
        """Gives the names of those that can be reached, without those named."""
        return [transport.name for transport in self._up(but_not)]

    def choose(self, *, but_not: Collection[str] = ()) -> Transport | None:
        """Gives that of those that are up which is furthest behind its share; none while all are down."""
        return max(self._up(but_not), key=self._credit.__getitem__, default=None)

    def took(self, mails: Mapping[str, int], *, but_not: Collection[str] = ()) -> None:
        """Counts mails, by the transport that they were given to, towards the shares that the weights say.

        What is down meanwhile is owed nothing for it.
        """
        up = self._up(but_not)
        weight = sum(self._weights[each] for each in up)
        for transport in up:
            self._credit[transport] += sum(mails.values()) * self._weights[transport] / weight
        for name, count in mails.items():
            if (taker := self._by_name.get(name)) in up:
                self._credit[taker] -= count

    def _up(self, but_not: Collection[str]) -> list[Transport]:
        return [each for each in self._weights if each.name not in but_not and each.is_up]

    async def close(self) -> None:
        """Ends all connections of all."""
        await asyncio.gather(*(transport.close() for transport in self._weights))
