"""Somebody at a terminal: `rtchat chat` behind a real one (pty), read as it would be seen (pyte).

Owns: the process, and what its screen shows. Waits for what is to be seen, never for time.
"""

import fcntl
import os
import pty
import select
import signal
import struct
import subprocess
import sys
import termios
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pyte

from tests.cli.running import clean, heed_ctrl_c
from tests.pods import ROOT

WITHIN_S = 20.0
PASSWORD = "correct horse"
# What a terminal may be told by what draws on it: what moves, colours, clears and switches modes.
# A title, a clipboard, a question that the terminal would answer into the input: none of these.
HARMLESS = frozenset("ABCDGHJKPXdfhlmr@LMu")


class Seat:
    """A terminal of some size, with `rtchat chat` in it."""

    def __init__(self, home: Path, *arguments: str, columns: int = 80, rows: int = 24) -> None:
        self.screen = pyte.Screen(columns, rows)
        self._stream = pyte.ByteStream(self.screen)
        self.told = b""  # everything that came
        self._near, far = pty.openpty()
        fcntl.ioctl(far, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))
        environment = {**clean(), "HOME": str(home), "TERM": "xterm-256color", "LANG": "C.UTF-8"}
        environment["PROMPT_TOOLKIT_NO_CPR"] = "1"
        environment.pop("XDG_STATE_HOME", None)
        self.process = subprocess.Popen(
            [sys.executable, "-m", "rtchat", "chat", *arguments],
            stdin=far, stdout=far, stderr=far, cwd=ROOT, env=environment,
            start_new_session=True, preexec_fn=_own_terminal,
        )  # fmt: skip
        os.close(far)

    # --- what it shows

    @property
    def lines(self) -> list[str]:
        """What is seen now, without blanks at the ends."""
        return [line.rstrip() for line in self.screen.display]

    @property
    def text(self) -> str:
        """The same as one text."""
        return "\n".join(self.lines)

    def count(self, text: str) -> int:
        """How often something is seen."""
        return self.text.count(text)

    def sees(self, *texts: str, within_s: float = WITHIN_S) -> "Seat":
        """Wait until all of it is seen."""
        return self.until(lambda: all(text in self.text for text in texts), str(texts), within_s)

    def until(
        self, condition: Callable[[], bool], what: str = "", within_s: float = WITHIN_S
    ) -> "Seat":
        """Wait until what is seen is so."""
        deadline = time.monotonic() + within_s
        while not condition():
            left = deadline - time.monotonic()
            assert left > 0, f"not seen: {what}\n{self.text}"
            self._read(left)
        return self

    def _read(self, within_s: float) -> bool:
        ready, _, _ = select.select([self._near], [], [], min(within_s, 0.2))
        if not ready:
            return True
        try:
            part = os.read(self._near, 65_536)
        except OSError:  # Linux's way of saying that the other side has closed it
            return False
        self.told += part
        self._stream.feed(part)
        return bool(part)

    # --- what somebody does

    def type(self, text: str) -> "Seat":
        """Press these keys."""
        os.write(self._near, text.encode())
        return self

    def line(self, text: str) -> "Seat":
        """Type a line."""
        return self.type(f"{text}\r")

    def signs_in(self, *, new: bool = False) -> "Seat":
        """Answer the question for the password."""
        self.sees("Password:").line(PASSWORD)
        if new:
            self.sees("Repeat for confirmation:").line(PASSWORD)
        return self

    def resize(self, columns: int, rows: int) -> None:
        """Pull the window."""
        fcntl.ioctl(self._near, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))
        self.screen.resize(rows, columns)
        self.process.send_signal(signal.SIGWINCH)

    def terminated(self) -> None:
        """SIGTERM, as at the end of a login."""
        self.process.terminate()

    def interrupted(self) -> None:
        """Ctrl+C."""
        self.type("\x03")

    def ended(self) -> int:
        """Wait for the end of the process; its status."""
        deadline = time.monotonic() + WITHIN_S
        while self._read(1) and time.monotonic() < deadline:
            pass
        return self.process.wait(WITHIN_S)

    def close(self) -> None:
        """Leave."""
        self.process.kill()
        self.process.wait()
        os.close(self._near)


def _own_terminal() -> None:
    """In the child: its standard input is the terminal that it is controlled by."""
    heed_ctrl_c()
    fcntl.ioctl(0, termios.TIOCSCTTY, 0)


@contextmanager
def seated(home: Path, *arguments: str, columns: int = 80, rows: int = 24) -> Iterator[Seat]:
    """Somebody for a while."""
    home.mkdir(exist_ok=True)
    seat = Seat(home, *arguments, columns=columns, rows=rows)
    try:
        yield seat
    finally:
        seat.close()
