"""docs/deploy/nginx, started for real in front of two pods: what goes through, what does not, and
that nothing is lost when a pod behind it dies or is sent away.
"""

import asyncio
import random
import re
import secrets
import signal
import socket
import ssl
import subprocess
import time
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import httpx2
import msgspec
import pytest

from rtchat.api.types import Problem
from rtchat.app import App
from rtchat.config import Config
from rtchat.errors import ERRORS, Code
from rtchat.server import run
from rtchat.server.valkey import PrivateValkey
from rtchat.settings import NAMES
from tests.certificates import Authority
from tests.chromium import launched
from tests.deploy.containers_nginx import SOURCE, Nginx
from tests.faults.checker import check
from tests.faults.crowd import Crowd, Load
from tests.faults.fleet import Fleet, Member, running
from tests.faults.history import ACK, read_log
from tests.faults.proxy import FaultProxy
from tests.faults.run import QUIET_S, texts
from tests.faults.text import render
from tests.people import People, Person
from tests.services import Given
from tests.sockets import wire
from tests.web.tab import Tab

TOKEN = "sixteen letters!"
OPERATOR = {"Authorization": f"Bearer {TOKEN}"}
LOAD = Load(clients=12, channels=3, per_client=2, sends_per_second=60.0)
CHANNEL = {"name": "x", "type": "public"}
MEBIBYTE = 1 << 20


@pytest.fixture(scope="module")
def fleet(
    postgres: Given, valkey: PrivateValkey | Given, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Fleet]:
    """Two pods that trust a proxy on loopback. Their operators' paths are on the clients' port."""
    directory = tmp_path_factory.mktemp("behind")
    settings = {"trusted_proxies": "127.0.0.1", "internal_token": TOKEN}
    with running(directory, (postgres, valkey), pods=2, **settings) as pods:  # type: ignore[arg-type]  # only their URLs are asked for
        yield pods


@pytest.fixture(scope="module")
def proxy(fleet: Fleet, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Nginx]:
    ports = [member.port for member in fleet.members]
    with Nginx(tmp_path_factory.mktemp("nginx"), ports) as nginx:
        yield nginx


@pytest.fixture(scope="module")
async def ann(fleet: Fleet) -> Person:
    async with People(fleet.database_url) as people:
        return await people.new("ann")


@pytest.fixture
async def http(proxy: Nginx, ann: Person) -> AsyncIterator[httpx2.AsyncClient]:
    """Through the proxy, as Ann."""
    headers = ann.headers
    async with httpx2.AsyncClient(base_url=proxy.url, headers=headers, trust_env=False) as client:
        yield client


def told(answer: httpx2.Response, code: Code) -> None:
    """An answer of nginx's own, in the form of rtchat's."""
    problem = msgspec.json.decode(answer.content, type=Problem)
    info = ERRORS[code]
    assert answer.headers["content-type"] == "application/problem+json"
    assert (answer.status_code, problem.status) == (info.status, info.status)
    assert (problem.code, problem.title) == (code, info.title)
    assert problem.type == f"urn:rtchat:error:{code.value}"
    assert (
        (problem.retry_after is not msgspec.UNSET)
        == info.retry
        == ("retry-after" in answer.headers)
    )
    assert "x-request-id" not in answer.headers, "it came to a pod"


async def line_of(fleet: Fleet, request: str) -> dict[str, Any]:
    """What a pod's log has of a request; it is written behind the answer."""
    while True:
        for member in fleet.members:
            for line in member.running.events("request"):
                if line["request"] == request:
                    return line
        await asyncio.sleep(0.01)


# --- what goes through


@pytest.mark.parametrize("tls", [False, True], ids=["plain", "tls"])
def test_nginx_takes_the_files(tmp_path: Path, tls: bool) -> None:
    certificate = Authority(tmp_path).issue("127.0.0.1") if tls else None
    nginx = Nginx(tmp_path / "nginx", (9, 9), certificate)
    tested = subprocess.run(nginx.command("-t"), capture_output=True, text=True, check=False)
    said = tested.stderr + nginx.errors()
    assert tested.returncode == 0, said
    assert "[warn]" not in said, said


async def test_rest_goes_through_to_both_pods(
    http: httpx2.AsyncClient, fleet: Fleet, ann: Person, proxy: Nginx
) -> None:
    """Each kind of request, and afterwards a line of JSON for each, without its query."""
    made = await http.post("/channels", json={"name": "through", "type": "public"})
    assert made.status_code == 201
    path = f"/channels/{made.json()['id']}"
    said = await http.post(f"{path}/messages", json={"content": "hello", "nonce": "1"})
    assert said.status_code == 201
    for _ in range(4):
        assert (await http.get(f"{path}/messages?limit=7")).json()["items"] == [said.json()]
    assert (await http.patch(path, json={"name": "renamed"})).status_code == 200
    assert (await http.delete(path)).status_code == 204
    for member in fleet.members:
        assert "GET" in [line["method"] for line in member.running.events("request")]
    lines = [line for line in proxy.lines() if line["path"] == f"{path}/messages"]
    assert [line["method"] for line in lines] == ["POST", *["GET"] * 4]
    for line in lines:
        assert (await line_of(fleet, line["request"]))["path"] == line["path"]
    assert "limit=7" not in (proxy.directory / "access.log").read_text()


async def test_sockets_cross_pods(
    fleet: Fleet, proxy: Nginx, ann: Person, http: httpx2.AsyncClient
) -> None:
    """A socket on each pod, by the fewest that it has; what one says the other hears."""
    channel = (await http.post("/channels", json={"name": "both", "type": "public"})).json()["id"]
    async with wire(proxy.ws_url, ann) as one, wire(proxy.ws_url, ann) as other:
        for each in (one, other):
            await each.ask({"t": "sub", "ref": 1, "ch": {str(channel): 0}})
        await one.send({"t": "send", "ref": 2, "ch": channel, "content": "across"})
        heard = [(await each.until(t="msg"))[-1] for each in (one, other)]
        assert [frame["content"] for frame in heard] == ["across", "across"]
    while len(lines := [line for line in proxy.lines() if line["path"] == "/ws"]) < 2:
        await asyncio.sleep(0.01)  # a socket's line comes at its end
    assert len({line["pod"] for line in lines}) == 2, lines


async def test_a_page_goes_through(proxy: Nginx) -> None:
    """In a browser: the page's own requests, an account, its socket; Origin is what Host says."""
    async with launched() as browser:
        page = await browser.new_page()
        page.set_default_timeout(20_000)
        tab = Tab(page, proxy.url)
        await tab.watch()
        await tab.opens("/docs/ws")
        await tab.makes_an_account()
        await tab.connects()
        await tab.sends("ping")
        await tab.gets("pong")
        assert (tab.errors, tab.strangers()) == ([], set())


async def test_tls_ends_here(fleet: Fleet, ann: Person, tmp_path: Path) -> None:
    """REST and a socket over https; the pods know of it (HSTS is for https alone)."""
    authority = Authority(tmp_path)
    trust = ssl.create_default_context(cafile=str(authority.certificate))
    ports = [member.port for member in fleet.members]
    with Nginx(tmp_path / "nginx", ports, authority.issue("127.0.0.1")) as nginx:
        async with httpx2.AsyncClient(verify=trust, trust_env=False) as http:
            answer = await http.get(f"{nginx.url}/users/me", headers=ann.headers)
        assert answer.status_code == 200
        assert "strict-transport-security" in answer.headers
        origin = {"Origin": f"https://127.0.0.1:{nginx.port}", **ann.headers}
        async with wire(nginx.ws_url, None, additional_headers=origin, ssl=trust) as socket_:
            assert (await socket_.recv())["t"] == "hello"


# --- what does not


async def test_nobody_says_who_they_are(
    proxy: Nginx, fleet: Fleet, http: httpx2.AsyncClient
) -> None:
    """Forged addresses and schemes are replaced: a pod has the one that nginx saw."""
    forged = {
        "X-Forwarded-For": "203.0.113.9", "X-Real-IP": "203.0.113.9", "X-Forwarded-Proto": "https",
        "Forwarded": "for=203.0.113.9", "X-Forwarded-Host": "evil.example",
    }  # fmt: skip
    answer = await http.get("/users/me", headers=forged)
    assert answer.status_code == 200
    assert "strict-transport-security" not in answer.headers, "it came by http"
    assert (await line_of(fleet, answer.headers["x-request-id"]))["client"] == "127.0.0.1"
    pod = fleet.members[0]
    straight = await http.get(f"{pod.url}/users/me", headers=forged)  # as the test's own proof
    assert (await line_of(fleet, straight.headers["x-request-id"]))["client"] == "203.0.113.9"


@pytest.mark.parametrize(
    "path",
    ["/metrics", "/metrics?x", "//metrics", "/x/../metrics", "/%6detrics", "/internal/drain",
     "/internal", "/internal//drain", "/internal%2fdrain", "/./internal/drain"],
)  # fmt: skip
async def test_operators_paths_are_not_here(proxy: Nginx, fleet: Fleet, path: str) -> None:
    """With the token, which the pods themselves would take on this very port."""
    verb = "POST" if "internal" in path else "GET"
    raw = f"{verb} {path} HTTP/1.1\r\nhost: x\r\ncontent-length: 0\r\nconnection: close\r\n"
    raw += f"authorization: {OPERATOR['Authorization']}\r\n\r\n"
    with socket.create_connection(("127.0.0.1", proxy.port)) as line:
        line.sendall(raw.encode())
        answer = b"".join(iter(lambda: line.recv(65536), b""))
    assert answer.startswith(b"HTTP/1.1 404 "), answer
    async with httpx2.AsyncClient(trust_env=False) as http:
        straight = await http.get(f"{fleet.members[0].url}/metrics", headers=OPERATOR)
    assert straight.status_code == 200


async def test_what_is_too_large_is_told_by_the_pods(http: httpx2.AsyncClient) -> None:
    """Bodies, paths and heads over rtchat's limits get its own words; nginx' are far above."""
    limits = Config()
    large = {"content": "x" * (limits.body_max_bytes + 1)}
    for answer in (
        await http.post("/channels/1/messages", json=large),
        await http.get("/users/me?" + "x" * 9000),
        await http.get("/users/me", headers={"Cookie": "x" * limits.header_max_bytes}),
    ):
        assert answer.json()["code"] == "too_large", answer.text
        assert answer.headers["content-security-policy"], "a pod's answer"
    told(await http.post("/channels/1/messages", content=b"x" * 2 * MEBIBYTE), Code.TOO_LARGE)
    assert (await http.get("/users/me", headers={"Cookie": "x" * 8192})).status_code == 200


async def test_without_a_pod_it_says_so(tmp_path: Path) -> None:
    """A code that clients know: they come again."""
    with Nginx(tmp_path / "nginx", (9, 9)) as nginx:
        async with httpx2.AsyncClient(trust_env=False) as http:
            told(await http.get(f"{nginx.url}/users/me"), Code.UNAVAILABLE)
            told(await http.get(f"{nginx.url}/metrics"), Code.NOT_FOUND)
            ready = await http.get(f"http://127.0.0.1:{nginx.health_port}/readyz")
            assert ready.status_code == 502


async def test_its_health_is_the_pods(proxy: Nginx) -> None:
    at = f"http://127.0.0.1:{proxy.health_port}"
    async with httpx2.AsyncClient(trust_env=False) as http:
        assert (await http.get(f"{at}/readyz")).json() == {"status": "ready"}
        assert (await http.get(f"{at}/users/me")).status_code == 404


# --- numbers that must agree


def test_times_and_sizes_fit_rtchats() -> None:
    """The defaults of the settings, and of the server, that nginx.conf names in its comments."""
    text = (SOURCE / "nginx.conf").read_text()
    limits = Config()

    def value(directive: str, within: str = "server") -> float:
        """In seconds or bytes."""
        block = text.partition(within)[2]
        number, unit = re.search(rf"\b{directive} (?:4 )?(\d+)([a-z]+);", block).groups()  # type: ignore[union-attr]  # what is not there fails here
        return float(number) * {"s": 1, "k": 1024, "m": MEBIBYTE}[unit]

    served = run.uvicorn_config(App(Config(secret_key=secrets.token_hex(32))), limits)
    assert value("keepalive_timeout", "upstream rest") < served.timeout_keep_alive
    silent_s = limits.heartbeat_s + limits.heartbeat_timeout_s
    assert value("proxy_read_timeout", "location = /ws") > silent_s
    assert value("proxy_read_timeout") > limits.write_timeout_ms / 1000
    assert value("proxy_read_timeout") > 3 * limits.sso_call_timeout_ms / 1000
    assert limits.body_max_bytes < value("client_max_body_size") < limits.body_drain_bytes
    assert value("large_client_header_buffers") > limits.header_max_bytes
    assert value("client_header_timeout") <= limits.header_read_s
    assert value("client_body_timeout") <= limits.body_read_s
    for name in re.findall(r"RTCHAT_[A-Z_]+", text):
        assert name.removeprefix("RTCHAT_").lower() in NAMES, name


# --- a pod that goes


async def test_a_post_is_not_sent_twice(fleet: Fleet, ann: Person, tmp_path: Path) -> None:
    """Its answer is lost behind nginx: it is stored once, and the client told that it may be so."""
    broken, sound = fleet.members
    async with (
        FaultProxy(broken.url) as fault,
        httpx2.AsyncClient(headers=ann.headers, trust_env=False) as http,
    ):
        at, port = f"{sound.url}/channels", urlsplit(fault.url).port
        assert port is not None
        path = f"/channels/{(await http.post(at, json=CHANNEL)).json()['id']}/messages"
        with Nginx(tmp_path / "nginx", (port, sound.port)) as nginx:
            answers: list[httpx2.Response] = []
            fault.drop_reply_to(b"POST ")
            while not fault.struck:
                answers.append(await http.post(nginx.url + path, json={"content": "x"}))
            told(answers[-1], Code.UNAVAILABLE)
            assert [answer.status_code for answer in answers[:-1]] in ([], [201])
            fault.drop_request(b"GET ")
            while fault.struck < 2:  # what changes nothing is asked of the other pod
                page = await http.get(nginx.url + path)
                assert len(page.json()["items"]) == len(answers), "stored once each"


async def test_a_pod_that_is_not_there_costs_nothing(
    fleet: Fleet, ann: Person, tmp_path: Path
) -> None:
    """Nothing was sent to it, so a POST goes to the next one as well."""
    with Nginx(tmp_path / "nginx", (9, fleet.members[1].port)) as nginx:
        async with httpx2.AsyncClient(headers=ann.headers, trust_env=False) as http:
            posts = [await http.post(f"{nginx.url}/channels", json=CHANNEL) for _ in range(4)]
    assert [answer.status_code for answer in posts] == [201] * 4


@pytest.mark.timeout(120)
def test_nothing_is_lost_when_a_pod_goes(fleet: Fleet, proxy: Nginx) -> None:
    """One killed, the other one drained, under load; nginx is all that clients know of.

    The last test here: it leaves one pod.
    """
    rng = random.Random(1)
    crowd = Crowd(fleet.database_url, lambda: proxy.ws_url, texts(), LOAD, rng.randrange(1 << 30))
    killed, drained = fleet.members
    try:
        fleet.loop.call(crowd.begin())
        said(crowd, 10)
        killed.running.kill()
        said(crowd, 30)
        fleet.spawn(killed).wait()
        fleet.loop.do(lambda: crowd.reset_some(0.5))  # some come to the new one
        said(crowd, 30)
        fleet.loop.call(finds_another(proxy, drained, crowd.chatters[0].person))
        drained.running.signal(signal.SIGTERM)
        assert drained.running.process.wait(30) == 0
        said(crowd, 30)
    finally:
        fleet.loop.call(crowd.finish(QUIET_S))
    every_row, every_head = fleet.loop.call(read_log(fleet.database_url))
    rows = [row for row in every_row if row.channel in crowd.members]
    heads = {c: head for c, head in every_head.items() if c in crowd.members}
    ends = [(one.number, channel) for one in crowd.chatters for channel in one.channels]
    verdict = check(crowd.history, rows, heads, ends=ends, members=crowd.members, answered=True)
    assert verdict.ok, render(verdict)
    assert {place for one in crowd.chatters for _, place in one.places} == {proxy.ws_url}


async def finds_another(proxy: Nginx, drained: Member, person: Person) -> None:
    """A pod that has sent all its sockets away has the fewest, and takes none: nobody hears 503."""
    async with httpx2.AsyncClient(headers=OPERATOR, timeout=20, trust_env=False) as http:
        answer = await http.post(f"{drained.url}/internal/drain")
        assert answer.json() == {"status": "drained"}
    for _ in range(4):
        async with wire(proxy.ws_url, person) as one:
            await one.alive()


def said(crowd: Crowd, count: int) -> None:
    """Wait until so many more messages were acked."""
    wanted = acked(crowd) + count
    deadline = time.monotonic() + 30
    while acked(crowd) < wanted:
        assert time.monotonic() < deadline, "nobody gets an ack"
        time.sleep(0.02)


def acked(crowd: Crowd) -> int:
    return sum(event[0] == ACK for event in list(crowd.history.events))
