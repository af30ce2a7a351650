"""Stock uvicorn in a process of its own, with an application that has the chat in it.

Owns: the child process, its log, and finding out where it listens, as `tests.pods` does for
`rtchat serve`. It does not outlive the tests (on Linux, not even when they are killed).
"""

import asyncio
import contextlib
import json
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Sequence
from pathlib import Path
from typing import Any

from rtchat.server.launch import end_with_parent
from tests.pods import POLL_S, ROOT, SETTINGS, START_S, UNLIMITED, PodError

RUNNING = re.compile(r"Uvicorn running on http://127\.0\.0\.1:(\d+)")


class Outer:
    """One `uvicorn …`; `url` and `ws_url` are the chat's, below `prefix`."""

    def __init__(
        self,
        arguments: Sequence[str],
        database_url: str,
        directory: Path,
        *,
        prefix: str = "",
        environ: dict[str, str] | None = None,
        settings: dict[str, Any] | None = None,
    ) -> None:
        """`directory`: where the application's modules are, and the log is written."""
        given = {f"RTCHAT_{n.upper()}": str(v) for n, v in (UNLIMITED | (settings or {})).items()}
        given = {**SETTINGS, "RTCHAT_DATABASE_URL": database_url, **given, **(environ or {})}
        if "RTCHAT_TEST_DATABASE_URL" in os.environ:
            given.setdefault("RTCHAT_TLS_REQUIRED", "0")  # a given server may be anywhere
        clean = {k: v for k, v in os.environ.items() if not k.startswith("RTCHAT_")}
        self.database_url = database_url
        self._prefix = prefix
        self._port = 0
        self._log_path = directory / f"{time.monotonic_ns()}.log"
        with self._log_path.open("wb") as output:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "uvicorn", *arguments, "--host=127.0.0.1", "--port=0"],
                cwd=directory,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                env={**clean, "PYTHONPATH": str(ROOT), **given},
                start_new_session=True,  # Ctrl+C is for pytest
                preexec_fn=end_with_parent(signal.SIGKILL),
            )

    @property
    def root(self) -> str:
        """Where the outer application is."""
        return f"http://127.0.0.1:{self._port}"

    @property
    def url(self) -> str:
        """Where the chat's REST is."""
        return self.root + self._prefix

    @property
    def ws_url(self) -> str:
        """Where the chat's WebSocket is."""
        return f"ws://127.0.0.1:{self._port}{self._prefix}/ws"

    def log(self) -> str:
        """Everything that it wrote so far."""
        return self._log_path.read_text(errors="replace")

    def events(self, name: str) -> list[dict[str, Any]]:
        """The lines of one event, where its log is JSON."""
        lines = []
        for text in self.log().splitlines():
            with contextlib.suppress(ValueError):  # half a line
                lines.append(json.loads(text))
        return [line for line in lines if line["event"] == name]

    async def listening(self) -> "Outer":
        """Wait until it serves. Raises PodError with its log."""
        deadline = time.monotonic() + START_S
        while not (found := RUNNING.search(self.log())):
            if self.process.poll() is not None or time.monotonic() > deadline:
                raise PodError(f"it does not listen; exit {self.process.poll()}:\n{self.log()}")
            await asyncio.sleep(POLL_S)
        self._port = int(found[1])
        return self

    async def ended(self, within_s: float) -> int:
        """Wait for its end; the exit status."""
        deadline = time.monotonic() + within_s
        while (status := self.process.poll()) is None:
            if time.monotonic() > deadline:
                raise PodError(f"it does not end in time:\n{self.log()}")
            await asyncio.sleep(POLL_S)
        return status

    async def stop(self, within_s: float = 10.0) -> str:
        """SIGTERM; returns the log at its end, which must be a clean one."""
        self.process.terminate()
        # uvicorn stops, and then lets the signal have its way.
        assert await self.ended(within_s) == -signal.SIGTERM
        log = self.log()
        assert "Application shutdown complete." in log
        assert "Traceback" not in log, log
        return log

    def kill(self) -> None:
        """SIGKILL, and block until it is gone."""
        self.process.kill()
        self.process.wait()


@contextlib.asynccontextmanager
async def outer(
    arguments: Sequence[str], database_url: str, directory: Path, **options: Any
) -> AsyncIterator[Outer]:
    """Run a uvicorn until it was stopped, or the block ends."""
    server = Outer(arguments, database_url, directory, **options)
    try:
        yield await server.listening()
    finally:
        server.kill()
