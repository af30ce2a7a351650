"""The servers that a bench runs against: started here, or running already.

Owns: the child processes and their directories, which go when the bench ends, well or not. Must
never: end a process that it did not start. Everything here blocks, and is done before the loop runs
and after it.

`dev` is what a newcomer starts: one process, its own PostgreSQL, the bus in memory. `pods` are what
production has: several `rtchat serve`, sharing one PostgreSQL and one Valkey.
"""

import contextlib
import os
import re
import resource
import secrets
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from rtchat.server.launch import last_lines
from tests.pods import SECRET_KEY, Pod
from tests.services import Databases, run_postgres, run_valkey, temporary_directory

START_S = 60.0
STOP_S = 20.0
_URL = re.compile(r"running on http://\S+?:(\d+)")


class StartError(Exception):
    """A server that does not start; the text ends with its log."""


@dataclass(frozen=True, slots=True)
class Target:
    """Where to go: one URL a pod, and what it takes to make people there."""

    name: str
    urls: tuple[str, ...]
    database_url: str
    secret_key: str


def raise_file_limit() -> None:
    """Allow as many open sockets as we may; children inherit it."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))


@contextlib.contextmanager
def dev() -> Iterator[Target]:
    """Run `rtchat dev` on a new directory."""
    with temporary_directory() as directory:
        data, log = directory / "data", directory / "log"
        with log.open("wb") as output, _child("dev", "--port", "0", "--data", data, to=output) as c:
            port = _wait_for_port(c, log)
            yield Target(
                "rtchat dev",
                (f"http://127.0.0.1:{port}",),
                embedded_url(data / "postgres"),
                (data / "secret_key").read_text().strip(),
            )


def embedded_url(directory: Path) -> str:
    """The URL of the PostgreSQL that `rtchat dev` runs on a directory (server/postgres.py)."""
    password = (directory / "password").read_text().strip()
    port = (directory / "port").read_text().strip()
    return f"postgresql://rtchat:{password}@127.0.0.1:{port}/rtchat"


@contextlib.contextmanager
def pods(count: int = 2) -> Iterator[Target]:
    """Run several `rtchat serve` on one PostgreSQL and one Valkey."""
    with contextlib.ExitStack() as stack:
        directory = stack.enter_context(temporary_directory())
        databases = Databases(stack.enter_context(run_postgres()).url)
        stack.callback(databases.close)
        url = stack.enter_context(databases.fresh())
        valkey = stack.enter_context(run_valkey())
        settings = {"redis_urls": valkey.url, "bus_prefix": f"bench-{secrets.token_hex(4)}"}
        started = []
        for number in range(count):
            pod = Pod(url, directory / f"pod-{number}.log", settings)
            stack.callback(pod.stop)
            started.append(pod)
        urls = tuple(pod.wait(START_S).url for pod in started)
        yield Target(f"{count} pods", urls, url, SECRET_KEY)


@contextlib.contextmanager
def _child(*arguments: str | Path, to: IO[bytes]) -> Iterator[subprocess.Popen[bytes]]:
    """Run `rtchat …` with settings of its own; SIGINT it at the end."""
    environ = {k: v for k, v in os.environ.items() if not k.startswith("RTCHAT_")}
    child = subprocess.Popen(
        [sys.executable, "-m", "rtchat", *arguments],
        stdin=subprocess.DEVNULL,
        stdout=to,
        stderr=subprocess.STDOUT,
        env=environ,
        start_new_session=True,  # Ctrl+C is for us, who then end it
    )
    try:
        yield child
    finally:
        child.send_signal(signal.SIGINT)
        try:
            child.wait(STOP_S)
        except subprocess.TimeoutExpired:
            child.kill()
            child.wait()


def _wait_for_port(child: subprocess.Popen[bytes], log: Path) -> int:
    deadline = time.monotonic() + START_S
    while time.monotonic() < deadline and child.poll() is None:
        if match := _URL.search(log.read_text(errors="replace")):
            return int(match[1])
        time.sleep(0.05)
    raise StartError(f"rtchat dev does not serve:\n{last_lines(log.read_text(errors='replace'))}")
