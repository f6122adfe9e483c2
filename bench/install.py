"""What the bench is compared with, as people install it: each from where it is published, in its own folder."""

import os
import shutil
import subprocess
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from bench.processes import ROOT

SOURCE = Path(__file__).with_name("sink.c")
_PATH = os.pathsep.join([os.environ.get("PATH", os.defpath), "/usr/sbin", "/usr/local/sbin"])
_SECONDS = 300
_POLICY = Path("/usr/sbin/policy-rc.d")


@dataclass(frozen=True, slots=True)
class Tools:
    """Paths of what is to be had; what is not is None, and `missing` says why."""

    sink: Path | None
    smtp_sink: Path | None
    smtp_source: Path | None
    nodemailer: Path | None  # the folder that has it in node_modules
    missing: dict[str, str]


def tools(cache: Path) -> Tools:
    """Gives what the bench needs beside itself, installed into `cache` where it is not there yet.

    Only Debian's postfix is put into the system, by root: it needs users of its own.
    """
    missing: dict[str, str] = {}
    cache.mkdir(parents=True, exist_ok=True)
    _try(missing, "postfix", _install_postfix)
    return Tools(
        sink=_try(missing, "our sink", lambda: _compiled(cache / "sink")),
        smtp_sink=_program("smtp-sink"),
        smtp_source=_program("smtp-source"),
        nodemailer=_try(missing, "nodemailer", lambda: _nodemailer(cache / "node")),
        missing=missing,
    )


def _try(missing: dict[str, str], what: str, make: Callable[[], Path | None]) -> Path | None:
    try:
        return make()
    except (_CannotInstall, OSError, subprocess.SubprocessError) as error:
        missing[what] = str(error)
        return None


class _CannotInstall(Exception):
    """It is not to be had here; the text says why."""


def _compiled(path: Path) -> Path:
    compiler = shutil.which("cc")
    if compiler is None:
        raise _CannotInstall("there is no C compiler")
    if not path.exists() or path.stat().st_mtime < SOURCE.stat().st_mtime:
        _run([compiler, "-std=gnu11", "-O2", "-o", path, SOURCE])
    return path


def _install_postfix() -> None:
    if _program("smtp-source") is not None:
        return
    if shutil.which("apt-get") is None or os.geteuid() != 0:
        raise _CannotInstall("it is not installed, and only root may install it (apt-get install postfix)")
    is_ours = not _POLICY.exists()
    if is_ours:  # or it would start at once, on port 25
        _POLICY.write_text("#!/bin/sh\nexit 101\n")
        _POLICY.chmod(0o755)
    try:
        choice = "postfix postfix/main_mailer_type select No configuration\n"
        _run(["debconf-set-selections"], choice)
        _run(["apt-get", "-qq", "update"])
        _run(["apt-get", "-qq", "install", "--yes", "--no-install-recommends", "postfix"])
    finally:
        if is_ours:
            _POLICY.unlink()


def _nodemailer(folder: Path) -> Path:
    if (folder / "node_modules" / "nodemailer").is_dir():
        return folder
    npm = shutil.which("npm")
    if npm is None or shutil.which("node") is None:
        raise _CannotInstall("there is no Node.js with npm")
    folder.mkdir(parents=True, exist_ok=True)
    quiet = ("--no-save", "--no-package-lock", "--no-audit", "--no-fund", "--ignore-scripts")
    _run([npm, "install", "--prefix", folder, *quiet, "nodemailer"])
    return folder


def _program(name: str) -> Path | None:
    found = shutil.which(name, path=_PATH)
    return Path(found) if found else None


def _run(command: Sequence[str | Path], said: str = "") -> None:
    done = subprocess.run(
        command,
        cwd=ROOT,
        env={**os.environ, "PATH": _PATH, "DEBIAN_FRONTEND": "noninteractive"},
        input=said,
        capture_output=True,
        text=True,
        timeout=_SECONDS,
        check=False,
    )
    if done.returncode:
        raise _CannotInstall(f"{command[0]} failed: {(done.stderr or done.stdout).strip()[-500:]}")
