"""When a destination says of too many addresses that they are dead, it is the relay that is ill."""

from collections.abc import Iterable

WINDOW = 200
# More than 5 % of the window: mass "no such user" is nearly always a broken relay or a policy.
MOST_DEAD = WINDOW * 5 // 100

DEAD = "d"
_NOT_DEAD = "."


def push(recent: str, results: Iterable[bool]) -> str:
    """Adds results (whether dead), newest last, and forgets all but the last `WINDOW`."""
    return (recent + "".join(DEAD if each else _NOT_DEAD for each in results))[-WINDOW:]


def is_distrusted(recent: str) -> bool:
    """Whether the dead are so many that they are not believed: nobody is suppressed meanwhile.

    A destination with a shorter history is measured against the whole window, so that the first dead
    address at a small one does not stop the rule that protects the sender's name.
    """
    return recent.count(DEAD) > MOST_DEAD
