"""The two processes beside the supervisor: the sink, which must not die, and the daemon, which will."""

import json
import os
import secrets
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Self

from alerts.audience.tokens import derive
from chaos import audit
from chaos.status import Status
from fakes.process import dying_with_parent

CONNECTIONS = 8
_TESTS = Path(__file__).resolve().parents[1]
_DRAIN_SECONDS = 40
_LOG_TAIL = 4000

_CONFIG = """\
state_dir = "{folder}/state"
secret = "{secret}"

[site]
base_url = "http://localhost:8025"
sender = "alerts@example.org"

[database]
url = "{database}"

[transport.main]
host = "127.0.0.1"
port = {port}
connections = {connections}

[sending]
lease = 5
retry_first = 1
retry_most = 2

[web]
enabled = false
"""


class Sink:
    """The SMTP process and its log, read as it grows."""

    def __init__(self, folder: Path, delay: float, *, pipelining: bool = True, doors: int = 1) -> None:
        self._log = folder / "sink.jsonl"
        self._log.touch()
        self._read_to = 0
        self.status = Status.create(folder / "status")
        files: list[str | Path] = ["--log", self._log, "--status", folder / "status"]
        manners = [
            "--delay",
            str(delay),
            "--doors",
            str(doors),
            "--pipelining" if pipelining else "--no-pipelining",
        ]
        self._process = subprocess.Popen(
            [sys.executable, "-m", "chaos.sink", *files, *manners],
            env=os.environ | {"PYTHONPATH": str(_TESTS)},
            stdout=subprocess.PIPE,
            preexec_fn=dying_with_parent(signal.SIGKILL),  # noqa: PLW1509 - it only calls the kernel
        )
        assert self._process.stdout is not None
        self.ports: list[int] = json.loads(self._process.stdout.readline())["ports"]
        self.port = self.ports[0]

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._process.terminate()
        self._process.wait()
        assert self._process.stdout is not None
        self._process.stdout.close()
        self.status.close()

    def news(self) -> Iterator[audit.Line]:
        """Gives what was written to the log since the last call."""
        with self._log.open("rb") as file:
            file.seek(self._read_to)
            for line in file:
                if not line.endswith(b"\n"):
                    break
                self._read_to += len(line)
                yield audit.parse(line.decode())


class Site:
    """An installation of ours: a configuration, and one daemon process at a time."""

    def __init__(self, folder: Path, database: str, port: int) -> None:
        self._folder = folder
        self._config = folder / "config.toml"
        self._starts = 0
        self._process: subprocess.Popen[bytes] | None = None
        secret = secrets.token_hex(32)
        self.keys = derive(secret.encode(), [])
        self._facts = {"folder": folder, "secret": secret, "port": port}
        self._write(database)

    def start(self, failpoint: str = "") -> None:
        """Starts the daemon; it says all it has to say into a file of its own."""
        self._starts += 1
        environment = _environment()
        if failpoint:
            environment["ALERTS_FAILPOINT"] = failpoint
        with self._log().open("wb") as log:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "alerts.cli", "--config", self._config, "run"],
                env=environment,
                stdout=log,
                stderr=subprocess.STDOUT,
                stdin=subprocess.DEVNULL,
                preexec_fn=dying_with_parent(signal.SIGKILL),  # noqa: PLW1509 - it only calls the kernel
            )

    def move(self, url: str) -> str:
        """Moves to another database; gives what the command said if it failed."""
        done = subprocess.run(
            [sys.executable, "-m", "alerts.cli", "--config", self._config, "db", "move", url],
            env=_environment(),
            capture_output=True,
            text=True,
            check=False,
        )
        self._write(url)
        return f"{done.stdout}{done.stderr}" if done.returncode else ""

    def kill(self) -> float:
        """Kills the daemon as the kernel does; gives when, once it is gone."""
        assert self._process is not None
        self._process.kill()
        self._process.wait()
        return time.monotonic()

    def has_killed_itself(self) -> bool:
        """Tells whether the daemon has come to its failpoint."""
        assert self._process is not None
        return self._process.poll() == -signal.SIGKILL

    def drain(self) -> int:
        """Asks the daemon to end, and gives its exit status."""
        assert self._process is not None
        self._process.terminate()
        return self._process.wait(timeout=_DRAIN_SECONDS)

    def is_running(self) -> bool:
        return self._process is not None and self._process.poll() is None

    def last_words(self) -> str:
        """The end of what the last daemon said."""
        return self._log().read_bytes()[-_LOG_TAIL:].decode(errors="replace")

    def close(self) -> None:
        if self.is_running():
            self.kill()

    def _write(self, database: str) -> None:
        self._config.write_text(_CONFIG.format(**self._facts, database=database, connections=CONNECTIONS))

    def _log(self) -> Path:
        return self._folder / f"daemon-{self._starts}.log"


def _environment() -> dict[str, str]:
    return {name: value for name, value in os.environ.items() if not name.startswith("ALERTS_")}
