"""What the launchers of PostgreSQL and Valkey share: child processes that do not outlive us.

Owns: how a child is started, waited for, signalled and ended, which port it gets, lock files.
Must never: run while a server's event loop serves (everything here blocks); start a child from
another thread than the main one (Linux ends a child with the *thread* that forked it); hand our
environment, which holds secrets, to a child that may run as another user.
Lost in a crash of ours: nothing. On Linux the kernel then signals the children (PR_SET_PDEATHSIG);
elsewhere they stay, hold their lock file, and the next start says so.
"""

import contextlib
import ctypes
import fcntl
import os
import secrets
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

# What a child gets of our environment: enough to find its libraries, nothing of PG* or RTCHAT_*.
PASSED_ON = ("PATH", "LD_LIBRARY_PATH")
# Below the ephemeral ports (Linux: from 32768): a client that retries a dead ephemeral port on
# loopback may be given that same port for its own end, connect to itself, and keep it occupied.
# Ports of cluster buses (ours + 10000) stay below 65536.
PORTS = range(15_000, 30_000)
PR_SET_PDEATHSIG = 1  # linux/prctl.h
TAIL_LINES = 12


class LaunchError(Exception):
    """A server that cannot be started; the text says what is wrong, where, and how to mend it."""


@dataclass(frozen=True, slots=True)
class Account:
    """The user that a child runs as, where that is not the user who starts it."""

    uid: int
    gid: int
    name: str


def spawn(
    command: Sequence[str | Path],
    *,
    output: int,
    account: Account | None = None,
    stdin: int = subprocess.DEVNULL,
    keep: Sequence[int] = (),
    dies_by: signal.Signals = signal.SIGINT,
    environ: Mapping[str, str] = os.environ,
) -> subprocess.Popen[bytes]:
    """Start a child in a session of its own, so that Ctrl-C reaches us and not it.

    It gets `dies_by` when we die, and inherits the descriptors of `keep`.
    """
    assert threading.current_thread() is threading.main_thread(), "start servers in the main thread"
    environment = {name: environ[name] for name in PASSED_ON if name in environ}
    try:
        return subprocess.Popen(  # noqa: S603  # no shell, and every word of the command is ours
            command,
            stdin=stdin,
            stdout=output,
            stderr=subprocess.STDOUT,
            cwd="/",
            env={**environment, "LC_ALL": "C.UTF-8", "TZ": "UTC"},
            user=account.uid if account else None,
            group=account.gid if account else None,
            extra_groups=[] if account else None,
            pass_fds=keep,
            start_new_session=True,
            preexec_fn=end_with_parent(dies_by),  # runs after the change of user, which undoes it
        )
    except PermissionError as error:
        if account is None:
            raise
        raise LaunchError(
            f"{command[0]} cannot be started as user {account.name}: {error.strerror}. Where root"
            " may not change its user (a container without the capabilities SETUID and SETGID),"
            " start rtchat as an ordinary user."
        ) from error


def end_with_parent(signum: signal.Signals) -> Callable[[], None] | None:
    """What a child is to call first, so that it gets `signum` when we die; Linux has it."""
    if sys.platform != "linux":
        return None
    prctl = ctypes.CDLL(None).prctl  # looked up before the fork: nothing is loaded after it
    parent = os.getpid()

    def in_child() -> None:
        prctl(PR_SET_PDEATHSIG, int(signum), 0, 0, 0)
        if os.getppid() != parent:  # it died between the fork and the line above
            os._exit(1)

    return in_child


def run(
    command: Sequence[str | Path],
    *,
    account: Account | None = None,
    text: str = "",
    keep: Sequence[int] = (),
    timeout_s: float = 120.0,
) -> str:
    """Run a program to its end, with `text` as its input, and return its output."""
    child = spawn(
        command, output=subprocess.PIPE, account=account, stdin=subprocess.PIPE, keep=keep
    )
    try:
        output, _ = child.communicate(text.encode(), timeout=timeout_s)
    except BaseException as error:
        child.kill()
        child.communicate()
        if isinstance(error, subprocess.TimeoutExpired):
            raise LaunchError(f"{command[0]} did not end within {timeout_s:g} s") from error
        raise
    answer = output.decode(errors="replace")
    if child.returncode != 0:
        raise LaunchError(f"{command[0]} failed ({child.returncode}):\n{last_lines(answer)}")
    return answer


def ask(program: Path | str, option: str) -> str:
    """Return what a program says of itself; nothing when it cannot run here (another libc, say)."""
    try:
        done = subprocess.run(  # noqa: S603  # no shell; the program is the one being asked for
            [program, option], capture_output=True, text=True, timeout=10, check=False
        )
    except (OSError, subprocess.TimeoutExpired):
        return ""
    return done.stdout


def end(child: subprocess.Popen[bytes], *steps: tuple[signal.Signals, float]) -> bool:
    """Send each signal and wait so many seconds, until the child is gone and reaped. Is it?"""
    for signum, wait_s in steps:
        child.send_signal(signum)
        with contextlib.suppress(subprocess.TimeoutExpired):
            child.wait(wait_s)
            return True
    return False


def signal_tree(pid: int, signum: signal.Signals) -> None:
    """Signal a child of ours, then its own children (without Linux' /proc: the child alone)."""
    children: list[str] = []
    with contextlib.suppress(OSError):  # no /proc, or the child is gone
        children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    for target in (pid, *map(int, children)):
        with contextlib.suppress(ProcessLookupError):
            os.kill(target, signum)


def free_port(preferred: int | None = None) -> int:
    """Find a TCP port of 127.0.0.1 on which nobody listens: `preferred` where possible."""
    picks = [PORTS[secrets.randbelow(len(PORTS))] for _ in range(100)]
    for port in picks if preferred is None else [preferred, *picks]:
        with socket.socket() as probe, contextlib.suppress(OSError):
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind(("127.0.0.1", port))
            return port
    raise LaunchError(f"no free TCP port on 127.0.0.1 among 100 of {PORTS[0]} to {PORTS[-1]}")


def lock(descriptor: int, wait_s: float = 0.0) -> bool:
    """Take the exclusive lock of an open file, for as long as anyone holds the descriptor."""
    deadline = time.monotonic() + wait_s
    while True:
        with contextlib.suppress(BlockingIOError):
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return True
        if time.monotonic() >= deadline:
            return False
        time.sleep(0.02)


def last_lines(text: str) -> str:
    """Return the end of a log, indented for an error message."""
    return "\n".join(f"  {line}" for line in text.splitlines()[-TAIL_LINES:]) or "  (no output)"
