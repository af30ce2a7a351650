"""The listener for operators: their paths are on it and nowhere else, and nothing else is."""

import asyncio
import socket
from collections.abc import Iterator
from typing import Any

import httpx2
import pytest

from rtchat import settings
from rtchat.api import openapi
from rtchat.config import Config, ConfigError
from tests.contract.metrics import parse
from tests.contract.rest import problem
from tests.pods import Pod, Pods
from tests.sockets import wire

TOKEN = "sixteen letters!"
BEARER = {"Authorization": f"Bearer {TOKEN}"}


def free_ports(count: int) -> int:
    """The first of so many ports, one behind the other, that nobody has at the moment."""
    while True:
        with socket.create_server(("127.0.0.1", 0)) as found:
            first: int = found.getsockname()[1]
        try:
            for port in range(first, first + count):
                socket.create_server(("127.0.0.1", port)).close()
        except (OSError, OverflowError):
            continue
        return first


@pytest.fixture(scope="module")
def internal() -> int:
    return free_ports(1)


@pytest.fixture(scope="module")
def own_pod(module_database_url: str, pods: Pods, internal: int) -> Iterator[Pod]:
    pod = pods.spawn(
        module_database_url, internal_token=TOKEN, internal_port=internal, connections_max=1
    ).wait()
    yield pod
    pod.kill()


async def asked(url: str, method: str = "GET") -> httpx2.Response:
    async with httpx2.AsyncClient(trust_env=False) as http:
        return await http.request(method, url, headers=BEARER)


async def test_operators_are_served_there(own_pod: Pod, internal: int):
    at = f"http://127.0.0.1:{internal}"
    assert (await asked(f"{at}/metrics")).status_code == 200
    assert (await asked(f"{at}/healthz")).json() == {"status": "ok"}
    assert (await asked(f"{at}/readyz")).json() == {"status": "ready"}


async def test_the_token_is_wanted_there_too(own_pod: Pod, internal: int):
    """Whoever reaches the network of pods is not an operator yet."""
    async with httpx2.AsyncClient(trust_env=False) as http:
        problem(await http.get(f"http://127.0.0.1:{internal}/metrics"), "unauthorized")
        problem(await http.post(f"http://127.0.0.1:{internal}/internal/drain"), "unauthorized")


@pytest.mark.parametrize("path", ["/metrics", "/internal/drain"])
async def test_they_are_not_where_clients_are(own_pod: Pod, path: str):
    method = "GET" if path == "/metrics" else "POST"
    problem(await asked(f"{own_pod.url}{path}", method), "not_found")


async def test_health_is_where_clients_are_too(own_pod: Pod):
    assert (await asked(f"{own_pod.url}/healthz")).status_code == 200
    assert (await asked(f"{own_pod.url}/readyz")).status_code == 200


@pytest.mark.parametrize(
    "path", ["/", "/channels", "/users/me", "/auth/login", "/docs", "/openapi.json", "/ws"]
)
async def test_clients_are_not_served_there(own_pod: Pod, internal: int, path: str):
    answer = await asked(f"http://127.0.0.1:{internal}{path}")
    assert (answer.status_code, answer.json()["code"]) == (404, "not_found")


async def test_there_is_no_websocket_there(own_pod: Pod, internal: int):
    with pytest.raises(Exception, match="404"):
        async with wire(f"ws://127.0.0.1:{internal}"):
            pytest.fail("a socket was opened")


async def test_options_tell_of_that_listener_alone(own_pod: Pod, internal: int):
    reader, writer = await asyncio.open_connection("127.0.0.1", internal)
    writer.write(b"OPTIONS * HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n")
    told = (await reader.read()).decode()
    writer.close()
    [allow] = [line for line in told.splitlines() if line.lower().startswith("allow:")]
    assert {word.strip() for word in allow[6:].split(",")} == {"GET", "HEAD", "OPTIONS", "POST"}


async def test_each_worker_has_an_internal_port_of_its_own(
    module_database_url: str, pods: Pods, valkey: Any
):
    """A scrape then reaches the worker that it names, and not whichever takes the connection."""
    first = free_ports(2)
    pod = pods.spawn(
        module_database_url,
        internal_token=TOKEN,
        internal_port=first,
        workers=2,
        redis_urls=valkey.url,
    ).wait()
    scrapes = {"method": "GET", "route": "/metrics", "status": "200"}
    for port, before in ((first, 0), (first, 1), (first + 1, 0), (first, 2)):
        series = parse((await asked(f"http://127.0.0.1:{port}/metrics")).text)
        assert series.get(("rtchat_requests_total", frozenset(scrapes.items())), 0) == before
    drained = await asked(f"http://127.0.0.1:{first + 1}/internal/drain", "POST")
    assert drained.json() == {"status": "drained"}, "of all workers, whichever was asked"
    pod.kill()


async def test_a_flood_of_clients_does_not_take_a_pods_health_away(own_pod: Pod, internal: int):
    """Beyond what is kept for probes, connections are cut; those of operators have their own."""
    flood = [await asyncio.open_connection("127.0.0.1", own_pod.port) for _ in range(100)]
    for _ in range(20):
        for path in ("/healthz", "/metrics"):
            assert (await asked(f"http://127.0.0.1:{internal}{path}")).status_code == 200
    for _, writer in flood:
        writer.close()


def test_a_taken_internal_port_is_said(module_database_url: str, pods: Pods):
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        pod = pods.spawn(module_database_url, internal_port=port, internal_token=TOKEN)
        assert pod.process.wait(20) == 3
    assert f"cannot listen on 127.0.0.1:{port}" in pod.log()


@pytest.mark.parametrize(
    ("port", "internal_port", "workers"), [(8000, 8000, 1), (8002, 8000, 3), (8000, 65_535, 2)]
)
def test_no_worker_has_the_port_of_clients_or_none(port: int, internal_port: int, workers: int):
    """Their number is the real one: 0 in the settings stands for the machine's cores."""
    config = Config(port=port, internal_port=internal_port, workers=0)
    with pytest.raises(ConfigError, match="RTCHAT_INTERNAL_PORT"):
        settings.require_ports(config, workers)
    settings.require_ports(Config(port=8000, internal_port=8001), 4)


def test_the_document_has_what_clients_are_served():
    both = openapi.document(Config(internal_token=TOKEN, internal_port=9000))
    assert "/metrics" not in both["paths"]
    assert "operator" not in both["components"]["securitySchemes"]
