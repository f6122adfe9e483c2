"""OpenDKIM, the verifier that many mail servers run: it reads mails from files and says what it thinks of each."""

import re
import shutil
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path

_HOLDS = re.compile(r"^opendkim: (\d+)\.eml: verification .* succeeded$", re.MULTILINE)


class NotInstalled(Exception):
    """OpenDKIM is not to be had here."""


def verify(folder: Path, mails: Sequence[bytes], records: Mapping[str, str]) -> list[bool]:
    """Says for each mail whether its signature holds, in one process; `records` are what DNS would have.

    Raises NotInstalled where there is no opendkim.
    """
    program = shutil.which("opendkim") or shutil.which("opendkim", path="/usr/sbin:/usr/local/sbin")
    if program is None:
        raise NotInstalled("opendkim is not installed")
    for number, mail in enumerate(mails):
        (folder / f"{number}.eml").write_bytes(mail)
    keys = folder / "records"
    keys.write_text("".join(f"{name} {record}\n" for name, record in records.items()))
    (folder / "opendkim.conf").write_text(f"Mode v\nTestPublicKeys {keys}\n")
    files = ",".join(f"{number}.eml" for number in range(len(mails)))
    done = subprocess.run(
        [program, "-x", "opendkim.conf", "-t", files], cwd=folder, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    holds = set(_HOLDS.findall(done.stdout))  # of a mail without From it says nothing at all
    return [str(number) in holds for number in range(len(mails))]
