"""A machine of its own in the network: a namespace, joined to ours by a cable that can lose what goes over it.

Linux as root, with iproute2. Packets to `host` are dropped while it is `lost`, without a word to either end,
which no proxy can do: a proxy's kernel acknowledges what it is sent.
"""

import itertools
import os
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass

_numbers = itertools.count(1)


class CannotMake(Exception):
    """No namespace is to be had on this machine; the text says why."""


@dataclass(frozen=True, slots=True)
class Namespace:
    """`near` is always reached from inside, `far` only while it is not lost."""

    name: str
    cable: str
    near: str
    far: str

    @property
    def prefix(self) -> list[str]:
        """What a command begins with that is to run inside."""
        return ["ip", "netns", "exec", self.name]

    def lose(self) -> None:
        """Drops all packets to `far`, and with them the acknowledgements of those it sent."""
        _ip("addr", "del", f"{self.far}/32", "dev", self.cable)

    def find(self) -> None:
        _ip("addr", "add", f"{self.far}/32", "dev", self.cable)


@contextmanager
def namespace() -> Iterator[Namespace]:
    """Gives a namespace for the length of the block; raises CannotMake with the reason."""
    if os.geteuid() or shutil.which("ip") is None:
        raise CannotMake("network namespaces need root, and the command `ip`")
    number = next(_numbers)
    name = f"alerts{os.getpid()}-{number}"
    cable, plug = f"al{os.getpid()}n{number}", f"al{os.getpid()}m{number}"  # at most 15 characters
    net = f"10.199.{number}"
    made = Namespace(name, cable, near=f"{net}.1", far=f"{net}.9")
    inside = ["-n", name]
    try:
        _ip("netns", "add", name)
        _ip("link", "add", cable, "type", "veth", "peer", "name", plug)
        _ip("link", "set", plug, "netns", name)
        _ip("addr", "add", f"{made.near}/30", "dev", cable)
        _ip("link", "set", cable, "up")
        _ip(*inside, "addr", "add", f"{net}.2/30", "dev", plug)
        _ip(*inside, "link", "set", plug, "up")
        _ip(*inside, "link", "set", "lo", "up")
        # By way of `near`, or the kernel would soon notice that nobody answers for the address.
        _ip(*inside, "route", "add", f"{made.far}/32", "via", made.near)
        made.find()
        yield made
    finally:
        with suppress(CannotMake):
            _ip("link", "del", cable)
        with suppress(CannotMake):
            _ip("netns", "del", name)


def _ip(*words: str) -> None:
    done = subprocess.run(["ip", *words], capture_output=True, text=True, check=False)
    if done.returncode:
        raise CannotMake(f"ip {' '.join(words)}: {done.stderr.strip()}")
