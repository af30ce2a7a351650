"""`rtchat doctor` on this machine: files, backlog, cores, and who is at the ports."""

import asyncio
import contextlib
import errno
import resource
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from threading import Thread

import pytest

from rtchat.config import Config
from rtchat.operate.finding import Cause, Finding, Level
from rtchat.operate.machine import (
    BACKLOG,
    Listener,
    examine,
    judge_backlog,
    judge_cores,
    judge_files,
    judge_port,
    versions,
)
from rtchat.server import run
from tests.cli.answering import served
from tests.cli.running import clean
from tests.pods import Pod

BESIDES = 204  # what the defaults keep of open files for what is no client


def of(findings: list[Finding], check: str) -> Finding:
    [one] = [finding for finding in findings if finding.check == check]
    return one


def at(host: str = "127.0.0.1", port: int = 0, internal_port: int = 0) -> Finding:
    """What is said of the (last) port."""
    config = Config(host=host, port=port, internal_port=internal_port)
    return [finding for finding in examine(config, 1) if finding.check == "port"][-1]


# --- limits


@pytest.mark.parametrize(
    ("files", "wanted", "level", "words"),
    [
        (65_536, 50_000, Level.OK, "50_000 connections fit"),
        (50_000 + BESIDES, 50_000, Level.OK, "50_000 connections fit"),
        (50_000 + BESIDES - 1, 50_000, Level.WARN, "49_999 of 50_000 connections fit"),
        (100, 50_000, Level.WARN, "1 of 50_000 connections fit"),
        (65_536, 0, Level.WARN, "connections without a limit"),
        (resource.RLIM_INFINITY, 50_000, Level.OK, "no limit"),
    ],
)
def test_connections_need_open_files(files: int, wanted: int, level: Level, words: str):
    finding = judge_files(Config(connections_max=wanted), files)
    assert (finding.level, words in finding.seen) == (level, True), finding


def test_a_low_limit_of_open_files_is_told_and_how_to_raise_it():
    """Of a process whose limit is low."""
    code = (
        "from rtchat.config import Config\n"
        "from rtchat.operate.machine import examine\n"
        "[line] = [f for f in examine(Config(port=0), 1) if f.check == 'open files']\n"
        "print(line.level, line.seen, line.mend)\n"
    )
    done = subprocess.run(
        ["sh", "-c", f'ulimit -n 300 && exec "{sys.executable}" -c "$0"', code],
        env=clean(), capture_output=True, text=True, timeout=30, check=True,
    )  # fmt: skip
    assert done.stdout.startswith("warn 300 may be open")
    assert "50204 or more" in done.stdout


@pytest.mark.parametrize(
    ("somaxconn", "level"), [(128, Level.WARN), (BACKLOG, Level.OK), (None, Level.WARN)]
)
def test_the_backlog_holds_a_storm(somaxconn: int | None, level: Level):
    assert judge_backlog(somaxconn).level is level


def test_the_backlog_is_what_the_server_asks_for():
    asked = Path(run.__file__).read_text()
    assert f"backlog={BACKLOG}," in asked


def test_the_backlog_is_read_from_the_kernel(tmp_path: Path):
    file = tmp_path / "somaxconn"
    file.write_text("17\n")
    assert "somaxconn 17;" in of(examine(Config(port=0), 1, file), "backlog").seen
    file.write_text("nonsense")
    assert of(examine(Config(port=0), 1, file), "backlog").level is Level.WARN


def test_workers_want_cores():
    assert judge_cores(2, 2).level is Level.OK
    assert judge_cores(3, 2).level is Level.WARN


def test_this_python_has_what_speed_depends_on():
    finding = versions()
    assert finding.level is Level.OK
    for name in ("Python 3.", "uvloop ", "uvicorn ", "asyncpg ", "hiredis "):
        assert name in finding.seen


# --- ports


@contextmanager
def listening(answer: bytes) -> Iterator[int]:
    """Something that is not rtchat, on a port: it says this to everybody."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readline()
        writer.write(answer)
        writer.close()

    with served(serve) as port:
        yield port


def test_a_free_port_is_free_and_stays_so():
    with socket.create_server(("127.0.0.1", 0)) as found:
        port = found.getsockname()[1]
    for _ in range(2):
        finding = at(port=port)
        assert (finding.level, finding.seen) == (Level.OK, f"127.0.0.1:{port} is free")
    assert at(port=0).seen == "any free one"


def test_a_server_that_serves_there_already_is_known(pod: Pod):
    """Which is how it is beside a running pod."""
    finding = at(port=pod.port)
    assert (finding.level, "is ready" in finding.seen) == (Level.OK, True), finding
    assert at(host="0.0.0.0", port=pod.port).level is Level.OK


async def test_one_that_is_not_ready_says_why(pods, database_url: str):
    pod = await pods.start(database_url, internal_token="0123456789abcdef")
    await asyncio.to_thread(drain, pod)
    finding = await asyncio.to_thread(at, "127.0.0.1", pod.port)
    assert (finding.level, "is not ready: draining" in finding.seen) == (Level.WARN, True), finding


def drain(pod: Pod) -> None:
    environment = {**clean(), "RTCHAT_INTERNAL_TOKEN": "0123456789abcdef"}
    command = [sys.executable, "-m", "rtchat", "drain", "--port", str(pod.port)]
    subprocess.run(command, env=environment, capture_output=True, timeout=30, check=True)


def test_every_worker_has_a_port_and_all_are_asked_at_once():
    """Here none is answered before all have asked. Ports beyond the last are told elsewhere."""
    ports = range(65_534, 65_536)
    with contextlib.ExitStack() as stack:
        listening = [stack.enter_context(socket.create_server(("127.0.0.1", p))) for p in ports]
        answers = Thread(target=answer_together, args=(listening,))
        answers.start()
        found = examine(Config(port=0, internal_port=ports[0]), 5)
        answers.join()
    told = [finding for finding in found if finding.check == "port"][1:]
    assert [finding.level for finding in told] == [Level.OK] * 2
    assert [str(port) in finding.seen for port, finding in zip(ports, told, strict=True)] == [
        True
    ] * 2


def answer_together(listening: list[socket.socket]) -> None:
    """Health first, then whether it is ready."""
    for word in ("ok", "ready"):
        asked = []
        for one in listening:
            one.settimeout(20)
            asked.append(one.accept()[0])
        for connection in asked:
            with connection:
                connection.recv(65_536)
                body = f'{{"status":"{word}"}}'
                head = (
                    f"HTTP/1.1 200 OK\r\ncontent-length: {len(body)}\r\nconnection: close\r\n\r\n"
                )
                connection.sendall(f"{head}{body}".encode())


@pytest.mark.parametrize(
    "answer",
    [
        b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nhi",
        b'HTTP/1.1 200 OK\r\ncontent-length: 14\r\n\r\n{"status":"up"}',
        b"SSH-2.0-OpenSSH_9.2\r\n",
        b"",
    ],
    ids=["a page", "another's health", "no HTTP", "nothing"],
)
def test_somebody_else_on_the_port_is_told(answer: bytes):
    """On the port of clients, and on that of operators."""
    with listening(answer) as port:
        for finding in (at(port=port), at(internal_port=port)):
            assert (finding.level, finding.cause) == (Level.FAIL, Cause.DEPENDENCY), finding
            assert "does not answer as rtchat does" in finding.seen
            assert str(port) in finding.mend


def test_an_address_that_is_not_ours_is_a_wrong_setting():
    for host, words in (("192.0.2.1", "192.0.2.1"), ("no-such-host.invalid", "no-such-host")):
        finding = at(host=host, port=12345)
        assert (finding.level, finding.cause) == (Level.FAIL, Cause.SETTING), finding
        assert words in finding.seen
        assert "RTCHAT_HOST" in finding.mend


def test_a_port_that_only_root_may_have_is_a_wrong_setting():
    """By its values: the tests may be root."""
    seen = Listener("RTCHAT_PORT", 80, None, None, False, PermissionError(errno.EACCES, "denied"))
    finding = judge_port(seen, "127.0.0.1")
    assert (finding.level, finding.cause) == (Level.FAIL, Cause.SETTING)
    assert "127.0.0.1:80: denied" in finding.seen
    assert "1024 or more" in finding.mend
