"""How often one host is asked: a token bucket for each, with the time as an argument; pure."""

from dataclasses import dataclass, field

_BURST = 5
_MANY = 1_000  # hosts; those that have rested are forgotten beyond it


@dataclass(slots=True)
class Pace:
    """Keeps requests to each host at `rate` a second in the long run; a few at once are always allowed.

    The bucket is kept as the moment at which it will be full again (the generic cell rate algorithm).
    """

    rate: float
    burst: int = _BURST
    _full_at: dict[str, float] = field(default_factory=dict)

    def take(self, host: str, at: float) -> float:
        """Takes the host's next turn at the moment `at`, in seconds, and gives how long to wait for it."""
        if len(self._full_at) > _MANY:
            self._full_at = {each: full for each, full in self._full_at.items() if full > at}
        step = 1 / self.rate
        full_at = max(self._full_at.get(host, at), at)
        self._full_at[host] = full_at + step
        return max(0.0, full_at - (self.burst - 1) * step - at)
