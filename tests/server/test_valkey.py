"""The private Valkey is new enough, begins empty, is on loopback alone, and always goes away."""

import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
import redis

from rtchat.server.launch import LaunchError
from rtchat.server.valkey import PrivateValkey, find_valkey

REPOSITORY = Path(__file__).parents[2]


@pytest.fixture
def server() -> Iterator[PrivateValkey]:
    with PrivateValkey() as server:
        yield server


@pytest.fixture
def client(server: PrivateValkey) -> Iterator[redis.Redis]:
    with redis.Redis.from_url(server.url) as client:
        yield client


def listens(port: int) -> bool:
    with socket.socket() as link:
        return link.connect_ex(("127.0.0.1", port)) == 0


def test_speaks_sharded_publish_subscribe(client: redis.Redis) -> None:
    with client.pubsub() as subscriber:  # type: ignore[no-untyped-call]
        subscriber.ssubscribe("topic")
        assert subscriber.get_message(timeout=5)["type"] == "ssubscribe"
        assert client.spublish("topic", "hello") == 1
        assert subscriber.get_sharded_message(timeout=5)["data"] == b"hello"


def test_killed_and_started_it_is_empty_on_the_same_port(
    server: PrivateValkey, client: redis.Redis
) -> None:
    url, pid = server.url, server.pid
    client.set("key", "value")
    server.kill()
    with pytest.raises(redis.ConnectionError):
        client.ping()
    server.start()
    assert server.url == url
    assert server.pid != pid
    assert client.get("key") is None


def test_frozen_it_does_not_answer_and_can_be_stopped(server: PrivateValkey) -> None:
    server.send_signal(signal.SIGSTOP)
    with redis.Redis.from_url(server.url, socket_timeout=0.2, retry=None) as client:
        with pytest.raises(redis.TimeoutError):
            client.ping()
        server.send_signal(signal.SIGCONT)
        assert client.ping()
    server.send_signal(signal.SIGSTOP)
    begin = time.monotonic()
    server.stop()
    assert time.monotonic() - begin < 3


def test_listens_on_loopback_alone(server: PrivateValkey) -> None:
    assert server.port is not None
    for elsewhere in ("127.0.0.2", "::1"):
        with pytest.raises(OSError, match=r"refused|assign|unreachable"):
            socket.create_connection((elsewhere, server.port))


def test_connections_cannot_reach_the_disk(client: redis.Redis) -> None:
    """It has no password, and may run as root."""
    for command in ("CONFIG SET dir /etc", "MODULE LOAD /tmp/x.so", "DEBUG RELOAD"):
        with pytest.raises(redis.ResponseError, match=r"(?i)not allowed|protected|disabled"):
            client.execute_command(*command.split())  # type: ignore[no-untyped-call]


def test_stop_leaves_no_directory(client: redis.Redis, server: PrivateValkey) -> None:
    directory = Path(str(client.config_get("dir")["dir"]))
    assert directory.exists()
    server.stop()
    assert not directory.exists()


def test_settings_are_passed_on() -> None:
    """A cluster needs its second port free, too."""
    with (
        PrivateValkey({"cluster-enabled": "yes"}) as server,
        redis.Redis.from_url(server.url) as client,
    ):
        assert client.info("cluster")["cluster_enabled"] == 1


def test_nothing_runs_on_when_the_launcher_is_killed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    script = (
        "import time; from rtchat.server.valkey import PrivateValkey\n"
        "server = PrivateValkey(); server.start(); print(server.port, flush=True); time.sleep(60)"
    )
    command = [sys.executable, "-c", script]
    monkeypatch.setenv("TMPDIR", str(tmp_path))  # the directory stays behind
    with subprocess.Popen(command, cwd=REPOSITORY, stdout=subprocess.PIPE, text=True) as launcher:
        assert launcher.stdout is not None
        port = int(launcher.stdout.readline())
        assert listens(port)
        launcher.kill()
    deadline = time.monotonic() + 5
    while listens(port):
        assert time.monotonic() < deadline


def test_failed_start_shows_the_log() -> None:
    with pytest.raises(LaunchError, match=r"(?s)ended at its start.*maxmemory"):
        PrivateValkey({"maxmemory": "nonsense"}).start()


def test_given_binary_must_be_one(tmp_path: Path) -> None:
    with pytest.raises(LaunchError, match="RTCHAT_REDIS_BIN"):
        find_valkey({"RTCHAT_REDIS_BIN": str(tmp_path / "missing")})


def test_old_server_on_the_path_is_passed_over(tmp_path: Path) -> None:
    """Redis 6 has no sharded publish/subscribe."""
    for name, version in (("valkey-server", "v=6.2.14"), ("redis-server", "v=7.0.15")):
        program = tmp_path / name
        program.write_text(f"#!/bin/sh\necho 'Redis server {version} sha=00000000:0'\n")
        program.chmod(0o755)
    found = find_valkey({"PATH": str(tmp_path)})
    assert (found.version, found.origin) == ("7.0.15", "system")
