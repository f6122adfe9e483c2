"""The receipt journal: what this host knows of mails that the database does not know yet.

One append-only file per lease, in a folder per process whose lock file the kernel frees when the process
dies. A line is written before a mail's content goes out (`b`), and one when its reply has come (`a`, `r`),
before the connection's next mail is completed. So after a kill -9 a mail with a reply is known, a mail
without a beginning was not sent, and only a beginning without a reply is in doubt: one per connection.
The write reaches the kernel, which outlives the process; nothing here waits for the disk.
"""

import errno
import fcntl
import json
import os
import re
import shutil
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Self

import structlog

from alerts.dispatch.receipts import Receipt, Settled
from alerts.errors import Unavailable
from alerts.failpoints import reach

log = structlog.get_logger()

_LIFE = "lock"  # held while the folder's process lives
_HEIR = "heir"  # held by who reads the folder of a dead one
_FILE = re.compile(r"^(\d+)-(\d+)-(\d+)\.journal$")


@dataclass(frozen=True, slots=True)
class Left:
    """What one lease's journal says of the mails it began."""

    path: Path
    worker: str
    alert_id: int
    first_id: int
    epoch: int
    receipts: tuple[Receipt, ...]
    in_doubt: frozenset[int]  # begun, and no reply was read


@dataclass(slots=True)
class Journal:
    """The open file of one lease."""

    path: Path
    _handle: int = field(repr=False)

    def begin(self, subscriber_id: int) -> None:
        """Writes down that this reader's content is about to go out."""
        self._append(b"b%d\n" % subscriber_id)
        reach("journal.begun")

    def receive(self, receipt: Receipt) -> None:
        """Writes down what the server said; nearly always the same, so that has a short form."""
        if receipt.settled is Settled.ACCEPTED and receipt.domain.isascii():
            line = b"a%d %d %b\n" % (receipt.subscriber_id, receipt.code, receipt.domain.encode("ascii"))
            self._append(line)
        else:
            self._append(self._in_words(receipt))
        reach("journal.received")

    @staticmethod
    def _in_words(receipt: Receipt) -> bytes:
        words = [receipt.settled, receipt.reason, receipt.code, receipt.reply, receipt.domain]
        return b"r%d %s\n" % (receipt.subscriber_id, json.dumps(words).encode())

    def _append(self, line: bytes) -> None:
        """Writes the whole line or, when the disk is full, none of it; OSError then."""
        written = os.write(self._handle, line)
        if written != len(line):
            os.ftruncate(self._handle, os.fstat(self._handle).st_size - written)
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    def remove(self) -> None:
        """Forgets the file: all it says is in the database, or is another worker's to say."""
        self.path.unlink(missing_ok=True)
        self.close()

    def close(self) -> None:
        if self._handle >= 0:
            os.close(self._handle)
            self._handle = -1


class Journals:
    """This process's folder of journals, and the way to those of the dead."""

    def __init__(self, root: Path, worker: str) -> None:
        self.root = root
        self.worker = worker
        self._folder = root / worker
        self._lock = -1
        self._open: set[Path] = set()

    def __enter__(self) -> Self:
        self._lock = _own(self._folder)
        return self

    def __exit__(self, *_: object) -> None:
        if not any(self._folder.glob("*.journal")):
            shutil.rmtree(self._folder, ignore_errors=True)
        os.close(self._lock)

    @contextmanager
    def open(self, name: str) -> Iterator[Journal]:
        """Gives the journal of the lease of that name; the file stays unless it is removed."""
        path = self._folder / f"{name}.journal"
        flags = os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC
        journal = Journal(path, os.open(path, flags, 0o600))
        self._open.add(path)
        try:
            yield journal
        finally:
            journal.close()
            self._open.discard(path)

    def in_hand(self) -> frozenset[tuple[int, int]]:
        """Gives the batches (alert, first id) whose journals are still written or to be read here.

        None of them may be taken over, even if its lease ran out: the journal knows what became of its mails.
        """
        names = [_FILE.match(path.name) for path in self._folder.glob("*.journal")]
        return frozenset((int(name[1]), int(name[2])) for name in names if name)

    def left(self) -> Iterator[Left]:
        """Gives each journal that nobody is writing: ours from before, and those of dead processes.

        Folders of the dead are removed once the caller has removed their files. Unavailable when another
        process reads such a folder: its leases may be taken over once that is done.
        """
        self._make_again()
        for folder in sorted(self.root.iterdir()):
            if folder == self._folder:
                yield from self._read(folder)
            elif folder.is_dir():
                with _inherited(folder) as is_heir:
                    if is_heir:
                        yield from self._read(folder)
                        if not any(folder.glob("*.journal")):
                            shutil.rmtree(folder, ignore_errors=True)

    def _make_again(self) -> None:
        """Makes our folder anew where somebody removed it, such as a cleaner of temporary files: else nothing was sent any more."""
        try:
            is_ours = os.path.samestat((self._folder / _LIFE).stat(), os.fstat(self._lock))
        except FileNotFoundError:
            is_ours = False
        if not is_ours:
            log.error("journals_were_removed", folder=str(self._folder))
            removed, self._lock = self._lock, _own(self._folder)
            os.close(removed)

    def _read(self, folder: Path) -> Iterator[Left]:
        for path in [each for each in sorted(folder.glob("*.journal")) if each not in self._open]:
            name = _FILE.match(path.name)
            if name:
                receipts, in_doubt = _parse(path.read_bytes())
                alert_id, first_id, epoch = map(int, name.groups())
                yield Left(path, folder.name, alert_id, first_id, epoch, receipts, in_doubt)


def _own(folder: Path) -> int:
    """Makes the folder of a process and locks it; an heir may take the new one for a dead one's, and remove it."""
    while True:
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        try:
            handle = _open(folder / _LIFE)
        except FileNotFoundError:
            continue
        fcntl.flock(handle, fcntl.LOCK_EX)
        if os.fstat(handle).st_nlink:
            return handle
        os.close(handle)


@contextmanager
def _inherited(folder: Path) -> Iterator[bool]:
    """Whether the folder's process is dead; then its one heir is who is in this block."""
    with ExitStack() as locks:
        if not _lock(locks, folder / _LIFE, fcntl.LOCK_SH):
            yield False
        elif not _lock(locks, folder / _HEIR, fcntl.LOCK_EX):
            raise Unavailable(f"Another process reads the journals of {folder.name}.")
        else:
            yield True


def _lock(locks: ExitStack, path: Path, kind: int) -> bool:
    """Takes a lock until the end of `locks`; says whether it was free, and there at all."""
    try:
        handle = _open(path)
    except FileNotFoundError:  # removed meanwhile: its process ended in order, or had an heir
        return False
    locks.callback(os.close, handle)
    try:
        fcntl.flock(handle, kind | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _open(path: Path) -> int:
    return os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)


def _parse(data: bytes) -> tuple[tuple[Receipt, ...], frozenset[int]]:
    """Reads whole lines only: a torn last line was never acted on.

    A line that makes no sense, as a lost machine can leave it, counts as not written.
    """
    begun: set[int] = set()
    receipts: dict[int, Receipt] = {}
    for line in data.split(b"\n")[:-1]:
        try:
            match line[:1]:
                case b"b":
                    begun.add(int(line[1:]))
                case b"a":
                    who, said, at = line[1:].decode("ascii").split(" ")
                    receipts[int(who)] = Receipt(int(who), Settled.ACCEPTED, "", int(said), "", at)
                case b"r":
                    number, _, words = line[1:].partition(b" ")
                    settled, reason, code, reply, domain = json.loads(words)
                    receipts[int(number)] = Receipt(
                        int(number), Settled(settled), reason, code, reply, domain
                    )
        except (ValueError, TypeError):
            log.warning("journal_line_unreadable")
    return tuple(receipts.values()), frozenset(begun - receipts.keys())
