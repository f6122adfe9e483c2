"""Named points at which the kill test ends the process: `ALERTS_FAILPOINT=name:3`, at the third pass.

Without the variable a point costs one comparison.
"""

import os
import signal
import threading

NAMES = (
    "announce.before_commit",
    "claim.before_commit",
    "claim.committed",
    "open.before_commit",
    "open.committed",
    "body.committed",
    "smtp.mail",
    "smtp.rcpt",
    "smtp.data",
    "journal.begun",
    "smtp.content",
    "smtp.replied",
    "journal.received",
    "record.before_commit",
    "record.committed",
    "close.before_commit",
    "close.committed",
    "fold.before_commit",
    "fold.committed",
    "notice.claimed",
    "notice.opening",
    "notice.opened",
    "notice.replied",
    "notice.settling",
    "notice.settled",
)
# Of `alerts db move`, which no daemon passes; it folds journals as well.
MOVE_NAMES = (
    "move.drained",
    "move.marked",
    "move.copying",
    "move.copied",
    "move.verifying",
    "move.verified",
    "move.closed",
    "move.opened",
)

_name, _, _count = os.environ.get("ALERTS_FAILPOINT", "").partition(":")
_left = int(_count or "1")
_lock = threading.Lock()


def reach(name: str) -> None:
    """Kills this process if it was told to die here; SIGKILL, so that nothing can tidy up."""
    if name != _name:
        return
    global _left  # noqa: PLW0603 - one counter a process, as the environment is
    with _lock:
        _left -= 1
        if _left == 0:
            os.kill(os.getpid(), signal.SIGKILL)
