"""The clients that are compared, each a process that sends one mail each to readers and says what it cost."""

import json
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from importlib.metadata import version
from importlib.util import find_spec
from pathlib import Path

from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa

from alerts.mail.compose import compose, eml, fillings
from bench import mail, sinks
from bench.install import Tools
from bench.processes import ROOT, Cores, Failed, Run, run_client, run_program

WARM = 300  # a compiler that learns as it runs is given time to
_SECONDS = 240
_CHECKED = 60
_PEERS = ROOT / "bench" / "peers"


@dataclass(frozen=True, slots=True)
class Client:
    """A way to send; `rate` is about how many mails a second, to choose how many are measured."""

    name: str
    program: str
    way: str
    rate: int


OURS = Client("alerts", "ours.py", "plain", 20_000)
OURS_SIGNED = Client("alerts, signed by 1 thread", "ours.py", "signed-1", 3_000)
OURS_SIGNED_BY_TWO = Client("alerts, signed by 2 threads", "ours.py", "signed-2", 3_000)
SMTP_SOURCE = Client("smtp-source", "smtp-source", "", 10_000)
NODEMAILER = Client("nodemailer pool", "nodemailer.js", "message", 1_000)
NODEMAILER_RAW = Client("nodemailer pool, raw bytes", "nodemailer.js", "raw", 2_500)
NODEMAILER_SIGNED = Client("nodemailer pool, its DKIM", "nodemailer.js", "signed", 400)
AIOSMTPLIB = Client("aiosmtplib pool, EmailMessage", "pooled.py", "message", 300)
AIOSMTPLIB_BYTES = Client("aiosmtplib pool, sendmail of bytes", "pooled.py", "bytes", 1_800)
SMTPLIB = Client("smtplib threads, EmailMessage", "threaded.py", "message", 300)
SMTPLIB_BYTES = Client("smtplib threads, sendmail of bytes", "threaded.py", "bytes", 4_000)


@dataclass(frozen=True, slots=True)
class Sizes:
    """How much is measured."""

    rounds: int
    large_rounds: int  # of what takes long: a hundred thousand readers
    seconds: float  # about how long one client sends in one round
    readers: tuple[int, ...]
    naive: int  # readers of the naive service, which is slow
    workers_readers: int  # for each daemon


class Bench:
    """What all comparisons share: the tools, the cores, the mail, and how much is measured."""

    def __init__(self, tools: Tools, cores: Cores, folder: Path, sizes: Sizes) -> None:
        self.tools = tools
        self.cores = cores
        self.folder = folder
        self.sizes = sizes
        self.signing_key = _signing_key()
        self.load = mail.write_load(folder, self.signing_key)
        (folder / "one.eml").write_bytes(_one_mail().replace(b"\r\n", b"\n"))  # as smtp-source reads it

    def missing(self, client: Client) -> str:
        """Says why a client is not to be had; nothing when it is."""
        if client.program == "smtp-source" and self.tools.smtp_source is None:
            return f"postfix is missing: {self.tools.missing.get('postfix', '')}"
        if client.program == "nodemailer.js" and self.tools.nodemailer is None:
            return f"nodemailer is missing: {self.tools.missing.get('nodemailer', '')}"
        return self.unsigned if client in {OURS_SIGNED, OURS_SIGNED_BY_TWO} else ""

    @property
    def unsigned(self) -> str:
        """Says why our mails cannot be signed; nothing when they can."""
        return "" if find_spec("alerts.mail.dkim") else "this version of alerts signs no mail"

    def peer(self, program: str, *told: object) -> list[str | Path]:
        """Gives the command of one of the programs in Python beside us."""
        return [sys.executable, _PEERS / program, *map(str, told)]

    def count(self, client: Client, most_a_second: float = float("inf")) -> int:
        """How many mails a client is given for one round."""
        return max(100, int(min(client.rate, most_a_second) * self.sizes.seconds))

    def run(
        self,
        client: Client,
        port: int,
        count: int,
        *,
        connections: int = 10,
        warm: int = WARM,
        on: frozenset[int] | None = None,
    ) -> Run:
        """Has a client send `count` mails to a port, after `warm` that are not measured."""
        where = self.cores.sender if on is None else on
        if client.program == "smtp-source":
            assert self.tools.smtp_source is not None
            command = [self.tools.smtp_source, *self._source_options(connections, count), f"127.0.0.1:{port}"]
            return run_program(command, where, count, _SECONDS)
        readers = mail.write_readers(self.folder, count + warm)
        told = (self.load, readers, port, connections, count, warm, client.way)
        if client.program == "nodemailer.js":
            command = ["node", _PEERS / client.program, *map(str, (self.tools.nodemailer, *told))]
        else:
            command = self.peer(client.program, *told)
        return run_client(command, where, _SECONDS)

    def sent(self, client: Client, count: int, warm: int = WARM) -> int:
        """How many mails a sink must have counted after `run`."""
        return count if client.program == "smtp-source" else count + warm

    def check(self, client: Client) -> None:
        """Has a client send a few mails, and compares each with what its reader is owed."""
        assert self.tools.sink is not None
        kept = self.folder / "kept"
        with sinks.lean_sink(self.tools.sink, self.cores.others, sinks.Manners(keep=kept)) as sink:
            self.run(client, sink.port, _CHECKED, warm=0)
        self._compare(client, list(sinks.read_kept(kept)))

    def check_plainly(self, client: Client) -> None:
        """The same with servers that offer no PIPELINING: ours, and aiosmtpd."""
        assert self.tools.sink is not None
        kept = self.folder / "kept"
        plain = sinks.Manners(keep=kept, pipelining=False)
        with sinks.lean_sink(self.tools.sink, self.cores.others, plain) as sink:
            self.run(client, sink.port, _CHECKED, warm=0)
        self._compare(client, list(sinks.read_kept(kept)))
        with sinks.aiosmtpd() as server:
            self.run(client, server.port, _CHECKED, warm=0)
        self._compare(client, server.mails)

    def _compare(self, client: Client, mails: Sequence[tuple[str, bytes]]) -> None:
        faults = {self._fault(client, to, wire) for to, wire in mails} - {""}
        recipients = {to for to, _ in mails}
        if len(mails) != _CHECKED or len(recipients) != _CHECKED or faults:
            raise Failed(
                f"{client.name}: {len(mails)} mails to {len(recipients)} of {_CHECKED}, wrong in: {faults}"
            )

    def _fault(self, client: Client, to: str, wire: bytes) -> str:
        if client is SMTP_SOURCE:  # it sends the same to everybody, with an empty line more at the end
            return "" if eml(wire).removesuffix(b"\r\n") == _one_mail() else "bytes"
        is_signed = client in {OURS_SIGNED, OURS_SIGNED_BY_TWO, NODEMAILER_SIGNED}
        if is_signed and not mail.is_signed(wire, self.signing_key):
            return "signature"
        return mail.fault(wire, to)

    def _source_options(self, connections: int, count: int) -> list[str | Path]:
        # -d keeps connections, -N makes each recipient another.
        addresses = ["-f", mail.SENDER, "-t", "@example.net"]
        return [
            "-4",
            "-d",
            "-N",
            "-s",
            str(connections),
            "-m",
            str(count),
            *addresses,
            "-F",
            self.folder / "one.eml",
        ]


def versions(tools: Tools) -> str:
    """Says which versions were compared."""
    said = [f"aiosmtplib {version('aiosmtplib')}"]
    if tools.nodemailer is not None:
        package = tools.nodemailer / "node_modules" / "nodemailer" / "package.json"
        node = _said(["node", "--version"]).removeprefix("v")
        said.append(f"nodemailer {json.loads(package.read_text())['version']} on Node.js {node}")
    if tools.smtp_source is not None:
        postconf = tools.smtp_source.with_name("postconf")
        said.append(f"Postfix {_said([postconf, '-d', '-h', 'mail_version'])}")
    return ", ".join(said)


def _said(command: Sequence[str | Path]) -> str:
    return subprocess.run(command, capture_output=True, text=True, check=False).stdout.strip()


def _one_mail() -> bytes:
    its = mail.reader(0)
    return eml(compose(mail.prepared(), fillings(its.address, its.message_id, its.token)))


def _signing_key() -> str:
    return (
        rsa.generate_private_key(public_exponent=65537, key_size=2048)
        .private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        )
        .decode("ascii")
    )
