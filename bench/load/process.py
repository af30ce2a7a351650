"""The load client, seen from the bench: a child process that is given jobs.

Owns: the child, its place on the machine's cores, and the time that a job may take. It ends with
the bench.
"""

import json
import os
import select
import subprocess
import sys
import time
from collections.abc import Callable, Collection
from pathlib import Path
from types import TracebackType
from typing import Any, Self

ROOT = Path(__file__).parents[2]
JOB_S = 300.0  # besides the time that a job is asked to measure


class LoadFailedError(Exception):
    """A job that could not be done; the text says why."""


class LoadClient:
    """A load client in a process of its own, pinned to `cores` where the machine allows."""

    def __init__(self, cores: Collection[int] = ()) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-m", "bench.load"],
            cwd=ROOT,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=False,
            start_new_session=True,  # Ctrl+C is for the bench, which then ends us
        )
        self._unread = b""
        if cores:
            os.sched_setaffinity(self._process.pid, cores)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    @property
    def pid(self) -> int:
        """Its process id."""
        return self._process.pid

    def run(
        self,
        job: str,
        tell: Callable[[str], None] = lambda _: None,
        *,
        within_s: float = JOB_S,
        **asked: Any,
    ) -> dict[str, Any]:
        """Do a job and return its figures. Raises LoadFailedError."""
        assert self._process.stdin is not None
        self._process.stdin.write(json.dumps({"job": job, **asked}).encode() + b"\n")
        self._process.stdin.flush()
        deadline = time.monotonic() + within_s + asked.get("seconds", 0.0)
        while True:
            said = json.loads(self._line(deadline))
            if "progress" in said:
                tell(said["progress"])
            elif "error" in said:
                raise LoadFailedError(said["error"])
            else:
                result: dict[str, Any] = said["result"]
                return result

    def _line(self, deadline: float) -> bytes:
        assert self._process.stdout is not None
        pipe = self._process.stdout.fileno()
        while b"\n" not in self._unread:
            left = deadline - time.monotonic()
            if left <= 0 or not select.select([pipe], [], [], left)[0]:
                raise LoadFailedError("the job took too long")
            piece = os.read(pipe, 1 << 16)
            if not piece:
                raise LoadFailedError(f"the load client ended with {self._process.wait()}")
            self._unread += piece
        line, _, self._unread = self._unread.partition(b"\n")
        return line

    def close(self) -> None:
        """End it."""
        for pipe in (self._process.stdin, self._process.stdout):
            if pipe is not None:
                pipe.close()
        try:
            self._process.wait(2)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
