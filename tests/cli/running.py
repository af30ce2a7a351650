"""Running `rtchat` as operators do: with some settings and no others, in a process or in this one.

Owns: what a command may give away when it fails: one helpful line, no traceback, no secret.
"""

import asyncio
import logging
import os
import signal
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from typing import Any

import asyncpg
from click.testing import CliRunner

from rtchat.cli import main

DATABASE = "postgresql://ann:geheim@127.0.0.1:1/x"  # nobody listens there

# What people make of a URL whose password they did not escape, or of another program's.
UNREADABLE = (
    "postgresql://rtchat:geheim/geheim@127.0.0.1:1/x",
    "postgresql://rtchat:24/geheim@127.0.0.1:1/x",
    "postgresql://rtchat:geheim?geheim@127.0.0.1:1/x",
    "postgresql://rtchat:24?geheim=@127.0.0.1:1/x",
    "postgresql://rtchat:geheim#geheim@127.0.0.1:1/x",
    "postgresql://rtchat:24#geheim@127.0.0.1:1/x",
    "postgresql://rtchat:gehe@geheim@127.0.0.1:1/x",
    "postgresql://rtchat:gehe[geheim@127.0.0.1:1/x",
    "postgresql://rtchat:geheim\u2100@127.0.0.1:1/x",
    "rtchat:geheim@127.0.0.1:1/x",
    "postgresql:/rtchat:geheim@127.0.0.1:1/x",
    "postgresql:rtchat:geheim@127.0.0.1:1/x",
    "host=127.0.0.1 port=1 user=rtchat password=geheim",
    "postgresql://rtchat:geheim@127.0.0.1:1x/x",
    "postgresql://rtchat:geheim@127.0.0.1:99999/x",
    "postgresql://rtchat:geheim@127.0.0.1:1,/x",
    "postgresql://rtchat:geheim@127.0.0.1:1/x?sslmode",
    "mysql://rtchat:geheim@127.0.0.1:1/x",
    "geheim",
)
# Nothing is wrong with the URL itself, but an option has no such value.
UNUSABLE = (
    "postgresql://rtchat:pw@127.0.0.1:1/x?sslmode=geheim",
    "postgresql://rtchat:pw@127.0.0.1:1/x?target_session_attrs=geheim",
)


@dataclass(frozen=True, slots=True)
class Run:
    """How a command ended."""

    status: int
    out: str
    err: str


def variables(settings: Mapping[str, str]) -> dict[str, str]:
    """Settings (names in lower case, without the prefix) as variables."""
    return {f"RTCHAT_{name.upper()}": value for name, value in settings.items()}


def clean() -> dict[str, str]:
    """This process' environment without rtchat's variables."""
    return {k: v for k, v in os.environ.items() if not k.startswith("RTCHAT_")}


def run(*arguments: str, **settings: str) -> Run:
    """Run `rtchat` with these settings and no others."""
    return run_in(variables(settings), *arguments)


def run_in(given: Mapping[str, str], *arguments: str) -> Run:
    """Run `rtchat` with these variables."""
    done = subprocess.run(
        [sys.executable, "-m", "rtchat", *arguments],
        env={**clean(), **given},
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    )
    return Run(done.returncode, done.stdout, done.stderr)


def read(*arguments: str, stdin: str | bytes | None = None, **settings: str) -> Run:
    """What `run` gives, without a process: for command lines that start nothing."""
    unset: dict[str, str | None] = {k: None for k in os.environ if k.startswith("RTCHAT_")}
    environment = {**unset, **variables(settings)}
    with _own_logging():
        result = CliRunner().invoke(
            main, arguments, env=environment, prog_name="rtchat", input=stdin
        )
    assert result.exception is None or isinstance(result.exception, SystemExit), result.exception
    return Run(result.exit_code, result.stdout, result.stderr)


@contextmanager
def _own_logging() -> Iterator[None]:
    """Leave the log as it was: a command sets up that of its process."""
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    try:
        yield
    finally:
        logging.captureWarnings(capture=False)
        root.handlers[:] = handlers
        root.setLevel(level)


def running(*arguments: str, **settings: str) -> "AbstractContextManager[subprocess.Popen[str]]":
    """`rtchat` in a process of its own, whose output can be read while it runs."""
    return running_in({**clean(), **variables(settings)}, *arguments)


@contextmanager
def running_in(
    environment: Mapping[str, str], *arguments: str
) -> Iterator["subprocess.Popen[str]"]:
    """The same, in this environment."""
    process = subprocess.Popen(
        [sys.executable, "-m", "rtchat", *arguments],
        env=environment, text=True, encoding="utf-8", start_new_session=True,
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
        preexec_fn=heed_ctrl_c,
    )  # fmt: skip
    try:
        with process:
            yield process
            process.kill()
    finally:
        process.kill()


def heed_ctrl_c() -> None:
    """In a child, before it begins: tests that run in the background pass on that it is ignored."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)


def fails(done: Run, status: int, *words: str) -> None:
    """Check that a command failed with one helpful line, and gave no secret away."""
    assert done.status == status, (done.out, done.err)
    assert "Traceback" not in done.err
    for word in words:
        assert word in done.err, done.err
    assert "geheim" not in done.out + done.err


def read_to_end(near: int, unless: bytes = b"\0") -> bytes:
    """What a terminal shows until the other side has closed it, or asks for what is not given."""
    told = b""
    try:
        while unless not in told and (part := os.read(near, 4096)):
            told += part
    except OSError:  # Linux's way of saying so
        pass
    os.close(near)
    return told


def run_sql(url: str, *statements: str) -> list[Any]:
    """Run statements; the first value of each, where it has one. Not from inside a running loop."""

    async def execute() -> list[Any]:
        connection = await asyncpg.connect(url)
        try:
            return [await connection.fetchval(statement) for statement in statements]
        finally:
            await connection.close()

    with asyncio.Runner() as runner:
        return runner.run(execute())
