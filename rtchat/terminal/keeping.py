"""The way back in: a server's refresh token, kept for the next start.

Owns: one file a server below XDG's state directory (`$XDG_STATE_HOME/rtchat`, or
`~/.local/state/rtchat`), for its user alone (0600), with the address and the newest refresh token;
and its lock, for a token that two processes use ends the session. Must never: keep a password, or
leave half a file. A crash between a trade and its note costs a sign-in.
"""

import contextlib
import fcntl
import json
import os
from pathlib import Path
from typing import NamedTuple
from urllib.parse import quote


class Kept(NamedTuple):
    """What is kept of a sign-in."""

    email: str
    refresh_token: str


def directory() -> Path:
    """Where."""
    given = os.environ.get("XDG_STATE_HOME", "")
    base = Path(given) if given.startswith("/") else Path.home() / ".local" / "state"
    return base / "rtchat"


class Keeper:
    """The file of one server. Another process that has it leaves this one without."""

    def __init__(self, url: str) -> None:
        """`url`: REST's, as `client.calls.endpoints` gives it."""
        self._path = directory() / f"{quote(url, safe='')}.json"
        self._lock: int | None = None

    def __repr__(self) -> str:
        return f"<Keeper {self._path}>"

    def open(self) -> bool:
        """Take the lock, until the process ends. Raises OSError where nothing can be kept."""
        self._path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        lock = os.open(
            self._path.with_suffix(".lock"), os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600
        )
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(lock)
            return False
        self._lock = lock
        return True

    def read(self) -> Kept | None:
        """What is kept; None also where it cannot be read as that."""
        try:
            found = json.loads(self._path.read_bytes())
            return Kept(str(found["email"]), str(found["refreshToken"]))
        except (OSError, ValueError, KeyError, TypeError):
            return None

    def keep(self, kept: Kept) -> None:
        """Replace what is kept, on the disk before this returns."""
        assert self._lock is not None, "open() first"
        new = self._path.with_suffix(".new")
        with contextlib.suppress(FileNotFoundError):
            new.unlink()
        file = os.open(new, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
        with os.fdopen(file, "w") as out:
            json.dump({"email": kept.email, "refreshToken": kept.refresh_token}, out)
            out.flush()
            os.fsync(out.fileno())
        new.replace(self._path)

    def forget(self) -> None:
        """Keep nothing."""
        self._path.unlink(missing_ok=True)
