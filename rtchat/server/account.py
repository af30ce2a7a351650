"""Who runs an embedded server, and the directory that it works in.

Owns: the choice of the operating-system user (PostgreSQL refuses root), and the checks that this
user can reach what it needs. An ordinary user runs the server itself and none of this applies.
Must never: create users, or change the mode or the owner of what it did not make itself; follow a
symbolic link that another user may have laid while we are root.
"""

import contextlib
import os
import pwd
from pathlib import Path

from rtchat.server.launch import Account, LaunchError

CLUSTER = "pg"  # PostgreSQL's own directory, inside ours
SERVER_USERS = ("postgres", "nobody")


def default_data_dir() -> Path:
    """Return where data is kept by default: beside an ordinary user's work, in /var for root."""
    if os.geteuid() != 0:
        return Path(".rtchat")
    if os.access("/var/lib", os.W_OK):  # not on a read-only file system
        return Path("/var/lib/rtchat")
    fallback = Path("/var/tmp/rtchat")  # noqa: S108  # anyone may have made it, so:
    if fallback.exists() and fallback.stat().st_uid != 0:
        raise LaunchError(
            f"{fallback} belongs to another user than root; name a data directory yourself"
        )
    return fallback


def account_for(data: Path) -> Account | None:
    """Choose the user for a server on `data`: None is whoever we are.

    For root it is the owner of what is there already, else the first of `SERVER_USERS`.
    """
    if os.geteuid() != 0:
        return None
    for path in (data / CLUSTER, data):
        with contextlib.suppress(FileNotFoundError):
            info = path.stat()
            if info.st_uid != 0:
                return Account(info.st_uid, info.st_gid, _name(info.st_uid) or str(info.st_uid))
    for name in SERVER_USERS:
        with contextlib.suppress(KeyError):
            entry = pwd.getpwnam(name)
            return Account(entry.pw_uid, entry.pw_gid, name)
    raise LaunchError(
        f"PostgreSQL refuses to run as root, and this system has none of the users"
        f" {', '.join(SERVER_USERS)} to run it as. Start rtchat as an ordinary user, or set"
        " RTCHAT_DATABASE_URL to a server that runs already."
    )


def _name(uid: int) -> str | None:
    try:
        return pwd.getpwuid(uid).pw_name
    except KeyError:
        return None


def require_name(account: Account | None) -> None:
    """Refuse a user id without a name: `initdb` looks its own user up."""
    uid = account.uid if account else os.geteuid()
    if _name(uid) is None:
        raise LaunchError(
            f"user id {uid} has no entry in /etc/passwd, so PostgreSQL cannot make a database"
            " directory. Run as a user that has one (in a container: `--user nobody`), or add an"
            " entry for it, or set RTCHAT_DATABASE_URL to a server that runs already."
        )


def make_directory(data: Path, account: Account | None) -> None:
    """Make `data` if it is not there, and see that the server's user can work below it."""
    if not data.exists():
        data.mkdir(parents=True)
        data.chmod(0o711 if account else 0o700)  # another user has to pass, not to look
    info = data.stat()
    if not os.access(data, os.W_OK | os.X_OK):
        raise LaunchError(
            f"{data} belongs to {_name(info.st_uid) or info.st_uid}, and we may not write to it."
            " Start rtchat as that user, or name another data directory."
        )
    if info.st_mode & 0o002:
        raise LaunchError(
            f"{data} can be written by every user of this machine; choose or make a directory of"
            " its own for the data"
        )
    if account and (step := blocked_by(data, account)):
        raise LaunchError(
            f"{data} cannot hold the data: we are root, PostgreSQL therefore runs as"
            f" {account.name}, and {account.name} may not pass through {step}. Choose another"
            f" directory (the default for root is {default_data_dir()}), or let others pass with"
            f" `chmod o+x {step}`, or start rtchat as an ordinary user."
        )


def blocked_by(path: Path, account: Account) -> Path | None:
    """Find the first step on the way to `path` that `account` may not enter or execute.

    Judged by owner and mode bits; access lists are not read.
    """
    for step in (*reversed(path.parents), path):
        info = step.stat()
        if info.st_uid == account.uid:
            needed = 0o100
        elif info.st_gid == account.gid:
            needed = 0o010
        else:
            needed = 0o001
        if not info.st_mode & needed:
            return step
    return None


def open_private(path: Path, flags: int, account: Account | None) -> int:
    """Open a file that only the server's user may read, making it where needed."""
    descriptor = os.open(path, flags | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
    if account:
        os.fchown(descriptor, account.uid, account.gid)
    return descriptor
