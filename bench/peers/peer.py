"""What a peer is, and its process: started on one core, waited for, ended.

Owns: the child processes of peers. Must never: end a process that it did not start. Everything here
blocks; it runs in the main thread, before the load and after it.
"""

import contextlib
import os
import signal
import socket
import subprocess
import time
from abc import ABC, abstractmethod
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path

from rtchat.server.launch import end, last_lines, spawn
from tests.services import temporary_directory

READY_S = 30.0  # FastAPI imports for 1 s on a free core
STOP_S = 5.0


class PeerError(Exception):
    """A peer that does not start; the text ends with its log."""


@dataclass(frozen=True, slots=True)
class Running:
    """A peer that serves: where, by which processes (for their CPU time), in which dialect."""

    url: str
    pids: tuple[int, ...]
    dialect: str
    database_url: str = ""  # of the peers that store


class Peer(ABC):
    """One server that people would pick. What it does and does not stands beside its figures."""

    name: str
    does: str
    does_not: str
    dialect: str
    stores = False

    @abstractmethod
    def available(self) -> str | None:
        """Why it cannot be run here; None when it can."""

    @abstractmethod
    def version(self) -> str:
        """What is run, with versions. Ask only where it is available."""

    @abstractmethod
    def start(self, cores: Collection[int] = ()) -> AbstractContextManager[Running]:
        """Run it on these cores (none: on ours), and end it. Its helpers stay on ours."""


@contextlib.contextmanager
def on_cores(cores: Collection[int]) -> Iterator[None]:
    """Children that are started meanwhile run on these cores; none: on ours."""
    before = os.sched_getaffinity(0)
    os.sched_setaffinity(0, cores or before)
    try:
        yield
    finally:
        os.sched_setaffinity(0, before)


@contextlib.contextmanager
def serving(
    command: Sequence[str | Path],
    port: int,
    *,
    cores: Collection[int],
    environ: Mapping[str, str] | None = None,
) -> Iterator[subprocess.Popen[bytes]]:
    """Run a server until the end of the block; it begins when its port answers."""
    words = [f"{name}={value}" for name, value in (environ or {}).items()]
    with temporary_directory() as directory, (directory / "log").open("w+b") as log:
        with on_cores(cores):
            child = spawn(
                ["/usr/bin/env", *words, *command], output=log.fileno(), dies_by=signal.SIGKILL
            )
        try:
            _wait(child, port, directory / "log")
            yield child
        finally:
            end(child, (signal.SIGTERM, STOP_S), (signal.SIGKILL, STOP_S))


def _wait(child: subprocess.Popen[bytes], port: int, log: Path) -> None:
    deadline = time.monotonic() + READY_S
    while time.monotonic() < deadline and child.poll() is None:
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), 1.0):
            return
        time.sleep(0.02)
    ended = child.poll()
    what = "is not ready in time" if ended is None else f"ended with {ended}"
    raise PeerError(f"{child.args!r} {what}:\n{last_lines(log.read_text(errors='replace'))}")


def process_tree(pid: int) -> tuple[int, ...]:
    """A process and its children (without Linux' /proc: itself)."""
    found = [pid]
    with contextlib.suppress(OSError):
        children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
        found += [each for child in children for each in process_tree(int(child))]
    return tuple(found)
