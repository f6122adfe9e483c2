"""The secret that a SQLite site makes for itself."""

import contextlib
import os
import secrets
from pathlib import Path

from alerts.errors import ConfigError, Unavailable

SECRET_LENGTH = 32  # characters, of any secret


def own_secret(path: Path) -> str:
    """Reads the generated secret; makes it first when there is none, readable by this user only.

    Of two processes that start at once, both end with the same secret.
    """
    if not path.exists():
        _create_once(path, secrets.token_hex(SECRET_LENGTH) + "\n")
    try:
        secret = path.read_text(encoding="ascii").strip()
    except (OSError, UnicodeDecodeError):
        raise Unavailable(f"{path} cannot be read: give this user the right to read it.") from None
    if len(secret) < SECRET_LENGTH:
        raise ConfigError(f"{path}: is damaged: bring it back from a backup, the links in sent mails need it")
    return secret


def _create_once(path: Path, text: str) -> None:
    """Writes the whole text under another name and links it, which fails when another was first."""
    draft = path.with_name(f".{path.name}.{secrets.token_hex(8)}")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        handle = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
        with os.fdopen(handle, "w", encoding="ascii") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        with contextlib.suppress(FileExistsError):
            os.link(draft, path)
    except OSError as error:
        raise Unavailable(
            f"{path} cannot be made ({error.strerror}): write a state_dir that is yours."
        ) from None
    finally:
        draft.unlink(missing_ok=True)
