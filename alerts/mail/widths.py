"""How many mails of one destination are on the wire at once: halved when it asks for less, raised step by step.

A width is like the window of TCP. A destination that says "slow down" gets half of what was on its way; each
full width that it then accepts makes room for one more, until it is no limit any more, or the one that was set.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from time import monotonic

from alerts.mail.line import Line
from alerts.mail.smtp import Mail

_LEAST = 1.0
_ROUNDING = 1e-6  # three thirds make one
_REMEMBERED = 10.0  # seconds for which a destination that held mails up counts as slow
_FORGOTTEN = 600.0  # seconds without a mail, after which what a destination asked for holds no more
_TIDIED = 60.0  # seconds between two looks who that is
_NEW = 0.2  # the weight of the latest mail in the mean of how long one takes


@dataclass(slots=True)
class _Width:
    """One destination with a limit."""

    set_to: int | None  # by the operator
    now: float
    out: dict[Mail, float] = field(default_factory=dict)  # on the wire, since when
    aside: Line = field(default_factory=Line)
    forgiven: set[Mail] = field(
        default_factory=set
    )  # on the wire when it was narrowed: they say it once more
    seconds: float = 0.0  # that a mail takes
    held_at: float = -_REMEMBERED
    used_at: float = 0.0
    ready: int = 0  # of the mails aside, how many may go: as it is counted in the sum

    @property
    def room(self) -> int:
        """How many mails may be out."""
        return int(self.now + _ROUNDING)

    @property
    def has_room(self) -> bool:
        return len(self.out) < self.room


class Widths:
    """The destinations of one transport that have a limit, and their mails that wait aside.

    While none is in `by_domain` nothing here need be asked: nearly all mail goes so.
    """

    def __init__(self, set_to: Mapping[str, int], most: int) -> None:
        self.by_domain = {domain: _Width(each, float(each)) for domain, each in set_to.items()}
        self.ready = 0  # how many of the mails aside may go now
        self._most = most
        # By rank, those who have mails aside of which one may go: thousands of others are not asked at each mail.
        self._able: tuple[dict[str, _Width], dict[str, _Width]] = {}, {}
        self._tidied_at = monotonic()

    def next_mail(self, waiting: Line) -> Mail | None:
        """Gives the next mail whose destination has room; others step aside and let it pass.

        None passes a mail that goes first and may go.
        """
        for rank, line in enumerate(waiting.ranks):
            for width in self._able[rank].values():
                return self._sent(width, width.aside.ranks[rank].popleft())
            while line:
                mail = line.popleft()
                width_or_none = self.by_domain.get(mail.domain)
                if width_or_none is None:
                    return mail
                if width_or_none.has_room:
                    return self._sent(width_or_none, mail)
                width_or_none.aside.add(mail)
                width_or_none.held_at = monotonic()
        self._forget_quiet()
        return None

    def leaves(self, mail: Mail, waiting: Line, *, is_accepted: bool = False) -> None:
        """Hears that a mail is off the wire."""
        domain = mail.domain
        width = self.by_domain.get(domain)
        if width is None:
            return
        since = width.out.pop(mail, None)
        width.forgiven.discard(mail)
        if is_accepted:
            self._widen(domain, width, since, waiting)
        self._count(domain, width)

    def _widen(self, domain: str, width: _Width, since: float | None, waiting: Line) -> None:
        """Makes room for a little more, until it is no limit any more."""
        if since is not None:
            seconds = monotonic() - since
            width.seconds = seconds if not width.seconds else width.seconds * (1 - _NEW) + seconds * _NEW
        width.now += 1 / width.room
        if width.set_to is not None:
            width.now = min(width.now, float(width.set_to))
        elif width.now >= self._most:
            del self.by_domain[domain]
            waiting.put_back_all(width.aside)
            width.aside.drain()

    def narrow(self, mail: Mail, on_wire: Iterable[Mail]) -> None:
        """Halves a mail's destination, which asked us to slow down; `on_wire` are all mails that still are."""
        domain = mail.domain
        width = self.by_domain.get(domain)
        if width is None:
            self._forget_quiet()
            out = {each: monotonic() for each in on_wire if each.domain == domain}
            width = self.by_domain[domain] = _Width(None, float(len(out) + 1), out)
        width.used_at = monotonic()
        width.out.pop(mail, None)
        if mail in width.forgiven:
            width.forgiven.discard(mail)
            self._count(domain, width)
            return
        width.now = max(_LEAST, min(width.now, len(width.out) + 1) / 2)
        width.forgiven = set(width.out)
        self._count(domain, width)

    def paces(self) -> dict[str, float]:
        """Gives the mails a second that get through to destinations which held some up in the last seconds."""
        recently = monotonic() - _REMEMBERED
        return {
            domain: width.now / width.seconds
            for domain, width in self.by_domain.items()
            if width.seconds and width.held_at > recently
        }

    def drain(self) -> list[Mail]:
        """Gives all mails that wait aside, which are none of ours any more."""
        drained = [mail for width in self.by_domain.values() for mail in width.aside.drain()]
        for domain, width in self.by_domain.items():
            self._count(domain, width)
        return drained

    def _sent(self, width: _Width, mail: Mail) -> Mail:
        width.out[mail] = width.used_at = monotonic()
        self._count(mail.domain, width)
        return mail

    def _count(self, domain: str, width: _Width) -> None:
        """Notes how many of a destination's mails aside may go, after anything that changes it."""
        ready = min(len(width.aside), max(0, width.room - len(width.out)))
        self.ready += ready - width.ready
        width.ready = ready
        for able, of_rank in zip(self._able, width.aside.ranks, strict=True):
            if ready and of_rank:
                able[domain] = width
            else:
                able.pop(domain, None)

    def _forget_quiet(self) -> None:
        """Forgets the destinations that asked for less and have had no mail for long: most never get enough to widen."""
        now = monotonic()
        if now - self._tidied_at < _TIDIED:
            return
        self._tidied_at = now
        quiet = [
            domain
            for domain, each in self.by_domain.items()
            if each.set_to is None and not each.out and not each.aside and now - each.used_at > _FORGOTTEN
        ]
        for domain in quiet:
            del self.by_domain[domain]
