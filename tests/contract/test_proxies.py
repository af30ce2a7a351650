"""A pod behind trusted proxies sees clients; one without believes nobody (S-54, B-H30)."""

import json

import httpx2
import pytest

from tests.contract.test_ws_handshake import refused
from tests.people import People
from tests.pods import Pod, Pods
from tests.sockets import wire

FORWARDED = {"X-Forwarded-For": "6.6.6.6, 203.0.113.5", "X-Forwarded-Proto": "https"}


@pytest.fixture(scope="module")
async def proxied(pods: Pods, module_database_url: str) -> Pod:
    settings = {"trusted_proxies": "127.0.0.1", "sockets_per_address": 2}
    return await pods.start(module_database_url, **settings)


def clients(pod: Pod) -> list[str]:
    """Who asked, as the log has it."""
    return [line["client"] for line in pod.events("request")]


async def test_the_log_names_the_client_behind_a_trusted_proxy(proxied: Pod):
    async with httpx2.AsyncClient(base_url=proxied.url) as http:
        answer = await http.get("/auth/providers", headers=FORWARDED)
        assert "strict-transport-security" in answer.headers
        many = {"X-Forwarded-For": ", ".join(["6.6.6.6"] * 1000 + ["203.0.113.6"])}
        for headers in (many, {"X-Forwarded-For": "fe80::1%eth0"}, {"X-Forwarded-For": "\\x00"}):
            assert (await http.get("/auth/providers", headers=headers)).status_code == 200
    assert clients(proxied)[:2] == ["203.0.113.5", "203.0.113.6"]
    assert [client.partition(":")[0] for client in clients(proxied)[2:]] == ["127.0.0.1"] * 2


async def test_nobody_else_changes_who_they_are(pod: Pod, http: httpx2.AsyncClient):
    answer = await http.get("/auth/providers?forwarded", headers=FORWARDED)
    assert "strict-transport-security" not in answer.headers
    assert "203.0.113.5" not in json.dumps(pod.events("request"))
    assert "6.6.6.6" not in pod.log()


async def test_sockets_are_counted_by_the_clients_address(proxied: Pod):
    """S-57: cap + 1 is refused, and who leaves makes room."""
    async with People(proxied.database_url) as people:
        ann = await people.new("ann")
        headers = {**ann.headers, "X-Forwarded-For": "203.0.113.5"}
        one = wire(proxied.ws_url, None, additional_headers=headers)
        await one.__aenter__()
        async with wire(proxied.ws_url, None, additional_headers=headers):
            assert await refused(proxied.ws_url, additional_headers=headers) == 503
            guest = {"X-Forwarded-For": "203.0.113.5"}
            assert await refused(proxied.ws_url, additional_headers=guest) == 503
            elsewhere = {**ann.headers, "X-Forwarded-For": "203.0.113.6"}
            async with wire(proxied.ws_url, None, additional_headers=elsewhere) as socket:
                assert (await socket.recv())["t"] == "hello"
        await one.__aexit__(None, None, None)
        bad = {"Authorization": "Bearer nonsense", "X-Forwarded-For": "203.0.113.5"}
        for _ in range(3):
            assert await refused(proxied.ws_url, additional_headers=bad) == 401, "takes no place"
        async with wire(proxied.ws_url, None, additional_headers=headers) as socket:
            assert (await socket.recv())["t"] == "hello"
