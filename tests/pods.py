"""Pods: `rtchat serve` in processes of their own, with a real database, over real sockets.

Owns: the child process, its log, and finding out where it listens. A pod does not outlive the tests
(on Linux, not even when they are killed). At their end, every answer in the logs must be one that
its route documents.
"""

import asyncio
import contextlib
import json
import os
import secrets
import signal
import subprocess
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from rtchat.server.launch import end_with_parent
from tests import documented

# What all pods of a test session sign tokens with, so that a token of one is good at the others.
SECRET_KEY = secrets.token_urlsafe(48)
ROOT = Path(__file__).parents[1]
START_S = 30.0  # two busy cores, several pods at once; mostly it takes one second
POLL_S = 0.02

# Tests and benches do in a second what people do in minutes. These limits have tests of their own.
UNLIMITED = {
    "user_reads_per_second": 0,
    "user_changes_per_minute": 0,
    "user_creations_per_minute": 0,
    "user_connects_per_second": 0,
    "user_floods_per_minute": 0,
    "user_sends_factor": 0,
    "subs_per_second": 0,
    "user_subs_per_second": 0,
    "address_registers_per_minute": 0,
    "address_logins_per_minute": 0,
    "user_password_changes_per_minute": 0,
    "user_refreshes_per_minute": 0,
    "address_sso_per_minute": 0,
    # Comes to every subscription at times of its own; tests of it switch it on.
    "presence": 0,
}
SETTINGS = {
    "RTCHAT_SECRET_KEY": SECRET_KEY,
    "RTCHAT_HOST": "127.0.0.1",
    "RTCHAT_PORT": "0",
    "RTCHAT_LOG_FORMAT": "json",
    "RTCHAT_BCRYPT_COST": "10",  # the lowest that the settings allow: 60 ms a password
}


class PodError(AssertionError):
    """A pod did not do what it should; the text ends with its log."""


class Pod:
    """One `rtchat serve`, started by making this object; `listening` waits until it serves."""

    def __init__(
        self,
        database_url: str,
        log_path: Path,
        settings: Mapping[str, Any],
        module: str = "rtchat",
    ) -> None:
        """`module`: what Python runs; another one may change the pod before it begins."""
        settings = {**UNLIMITED, **settings}
        given = {f"RTCHAT_{name.upper()}": str(value) for name, value in settings.items()}
        self.settings = {**SETTINGS, "RTCHAT_DATABASE_URL": database_url, **given}
        self.database_url = database_url
        self.log_path = log_path
        self.fails = False  # whether a test lets its handlers fail, and wants `internal`
        self._port: int | None = None
        if "RTCHAT_TEST_DATABASE_URL" in os.environ or "RTCHAT_TEST_REDIS_URL" in os.environ:
            self.settings.setdefault("RTCHAT_TLS_REQUIRED", "0")  # given servers may be anywhere
        clean = {k: v for k, v in os.environ.items() if not k.startswith("RTCHAT_")}
        with log_path.open("wb") as output:
            self.process = subprocess.Popen(
                [sys.executable, "-m", module, "serve"],
                cwd=ROOT,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                env={**clean, **self.settings},
                start_new_session=True,  # Ctrl+C is for pytest, which then stops the pods
                preexec_fn=end_with_parent(signal.SIGKILL),
            )

    def __repr__(self) -> str:
        return f"<Pod {self.pid} port={self._port} exit={self.process.poll()} {self.log_path}>"

    # --- where it is

    @property
    def pid(self) -> int:
        """Its process id."""
        return self.process.pid

    @property
    def port(self) -> int:
        """The port that it listens on."""
        assert self._port is not None, "wait() or listening() first"
        return self._port

    @property
    def url(self) -> str:
        """Where REST is."""
        return f"http://127.0.0.1:{self.port}"

    @property
    def ws_url(self) -> str:
        """Where the WebSocket is."""
        return f"ws://127.0.0.1:{self.port}/ws"

    def wait(self, within_s: float = START_S) -> "Pod":
        """Block until it serves. Raises PodError with its log."""
        deadline = time.monotonic() + within_s
        while not self._serves(deadline):
            time.sleep(POLL_S)
        return self

    async def listening(self, within_s: float = START_S) -> "Pod":
        """Wait until it serves, while the loop goes on. Raises PodError with its log."""
        deadline = time.monotonic() + within_s
        while True:
            if self._serves(deadline):
                return self
            await asyncio.sleep(POLL_S)

    def serves(self) -> bool:
        """Whether it listens already."""
        for line in self.events("listening"):
            self._port = line["port"]
            return True
        return False

    def _serves(self, deadline: float) -> bool:
        if self.serves():
            return True
        if self.process.poll() is not None:
            raise PodError(f"it ended with {self.process.returncode}:\n{self.log()}")
        if time.monotonic() > deadline:
            raise PodError(f"it does not listen in time:\n{self.log()}")
        return False

    # --- what it says

    def log(self) -> str:
        """Everything that it wrote so far."""
        return self.log_path.read_text(errors="replace")

    def events(self, name: str | None = None) -> list[dict[str, Any]]:
        """The lines of its log, or those of one event."""
        lines = []
        for text in self.log().splitlines():
            with contextlib.suppress(ValueError):  # half a line, or none of the logger's
                line = json.loads(text)
                if name is None or line.get("event") == name:
                    lines.append(line)
        return lines

    def wrong_lines(self) -> list[str]:
        """Those that tell of an answer which its route does not document."""
        with self.log_path.open(errors="replace") as lines:
            return documented.wrong_lines(lines, fails=self.fails)

    def workers(self) -> dict[int, int]:
        """The process of each worker that was started last, by its number."""
        return {line["worker"]: line["pid"] for line in self.events("worker started")}

    # --- how it ends

    def signal(self, number: int) -> None:
        """Send a signal, without waiting."""
        self.process.send_signal(number)

    async def ended(self, within_s: float = 15.0) -> int:
        """Wait for its end, while the loop goes on; returns the exit status."""
        deadline = time.monotonic() + within_s
        while (status := self.process.poll()) is None:
            if time.monotonic() > deadline:
                raise PodError(f"it does not end in time:\n{self.log()}")
            await asyncio.sleep(POLL_S)
        return status

    def stop(self, within_s: float = 15.0) -> int:
        """SIGTERM, and block until its end; returns the exit status. Does nothing twice."""
        self.process.terminate()
        try:
            return self.process.wait(within_s)
        except subprocess.TimeoutExpired:
            self.kill()
            raise PodError(f"SIGTERM does not end it:\n{self.log()}") from None

    def kill(self) -> None:
        """SIGKILL, and block until it is gone."""
        self.process.kill()
        self.process.wait()


class Pods:
    """Starts pods, and ends what is left of them."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self._pods: list[Pod] = []

    def spawn(self, database_url: str, module: str = "rtchat", **settings: Any) -> Pod:
        """Start a pod without waiting for it; a setting `name` becomes `RTCHAT_NAME`."""
        log_path = self._directory / f"pod-{len(self._pods)}.log"
        pod = Pod(database_url, log_path, settings, module)
        self._pods.append(pod)
        return pod

    async def start(self, database_url: str, **settings: Any) -> Pod:
        """Start a pod and wait until it serves."""
        return await self.spawn(database_url, **settings).listening()

    def close(self) -> None:
        """End all, as fast as they can: what they do at SIGTERM has tests of its own.

        Raises AssertionError where one has answered what its route does not document.
        """
        for pod in self._pods:
            pod.kill()
        wrong = [f"{pod}: {line}" for pod in self._pods for line in pod.wrong_lines()]
        assert not wrong, "\n".join(["undocumented answers:", *wrong[:20]])
