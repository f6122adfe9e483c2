"""A private Postfix on loopback: a real relay that takes everything and delivers it to nowhere, with a log."""

import os
import re
import shutil
import socket
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

_SENT = re.compile(r"to=<([^>]+)>, relay=none,.* status=sent")
_DAEMONS = (Path("/usr/lib/postfix/sbin"), Path("/usr/libexec/postfix"))

_MAIN = """\
compatibility_level = 3.6
queue_directory = {folder}/queue
data_directory = {folder}/data
command_directory = /usr/sbin
daemon_directory = {daemons}
mail_owner = postfix
setgid_group = postdrop
myhostname = relay.example.org
mydestination =
local_recipient_maps =
inet_interfaces = 127.0.0.1
inet_protocols = ipv4
mynetworks = 127.0.0.0/8
smtpd_relay_restrictions = permit_mynetworks, reject
smtpd_peername_lookup = no
default_transport = discard:
relay_transport = discard:
maillog_file = {folder}/log/mail.log
maillog_file_prefixes = {folder}/log
alias_maps =
alias_database =
"""

_MASTER = """\
127.0.0.1:{port} inet n - n - - smtpd
cleanup unix n - n - 0 cleanup
qmgr unix n - n 300 1 qmgr
rewrite unix - - n - - trivial-rewrite
bounce unix - - n - 0 bounce
defer unix - - n - 0 bounce
trace unix - - n - 0 bounce
error unix - - n - - error
retry unix - - n - - error
discard unix - - n - - discard
anvil unix - - n - 1 anvil
proxymap unix - - n - - proxymap
postlog unix-dgram n - n - 1 postlogd
"""


class CannotStart(Exception):
    """Postfix is not to be had here; the text says why."""


@dataclass(frozen=True, slots=True)
class Postfix:
    folder: Path
    port: int
    host: str = "127.0.0.1"

    def sent(self) -> list[str]:
        """Gives the recipient of each mail that its log says was sent, in that order."""
        log = self.folder / "log" / "mail.log"
        return _SENT.findall(log.read_text()) if log.exists() else []

    def complaints(self) -> list[str]:
        """Gives what it held against its client: bad pipelining, lost connections, warnings."""
        words = ("improper command pipelining", "lost connection", "warning:", "reject:", "fatal:")
        lines = (self.folder / "log" / "mail.log").read_text().splitlines()
        return [line for line in lines if any(word in line for word in words)]


@contextmanager
def postfix() -> Iterator[Postfix]:
    """Runs an instance in a folder of its own until the block ends; raises CannotStart where it cannot."""
    if os.geteuid() != 0:
        raise CannotStart("only root may start it")
    if shutil.which("postfix") is None:
        raise CannotStart("it is not installed")
    daemons = next((path for path in _DAEMONS if path.is_dir()), None)
    if daemons is None:
        raise CannotStart("its daemons are in no known place")
    folder = Path(tempfile.mkdtemp(prefix="alerts-postfix-"))
    port = _free_port()
    try:
        _write(folder, daemons, port)
        _run(folder, "start")
        yield Postfix(folder, port)
    finally:
        _run(folder, "stop", must=False)
        shutil.rmtree(folder, ignore_errors=True)


def _write(folder: Path, daemons: Path, port: int) -> None:
    folder.chmod(0o755)  # its daemons run as another user
    for name in ("etc", "queue", "data", "log"):
        (folder / name).mkdir()
    shutil.chown(folder / "data", "postfix")
    (folder / "etc" / "main.cf").write_text(_MAIN.format(folder=folder, daemons=daemons))
    (folder / "etc" / "master.cf").write_text(_MASTER.format(port=port))


def _run(folder: Path, verb: str, *, must: bool = True) -> None:
    # Not a pipe: its master keeps the output open for as long as it lives.
    with (folder / "log" / verb).open("w+") as output:
        command = ["postfix", "-c", str(folder / "etc"), verb]
        done = subprocess.run(command, stdin=subprocess.DEVNULL, stdout=output, stderr=output, check=False)
        output.seek(0)
        if must and done.returncode:
            raise CannotStart(output.read().strip() or f"postfix {verb} gave {done.returncode}")


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port
