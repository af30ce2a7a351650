"""`GET /metrics`: for whom it is there, and that each number says what happened."""

import asyncio
import secrets
import shutil
import subprocess
from collections.abc import AsyncIterator, Iterator
from typing import Any

import httpx2
import pytest

from rtchat.api import openapi
from rtchat.api.families import FAMILIES, Kind
from rtchat.config import Config
from rtchat.errors import Close
from rtchat.reached import counted
from tests.contract.metrics import Series, by, limits, parse, rose, scrape, value
from tests.contract.rest import Caller, problem
from tests.people import People, Person
from tests.pods import Pod, Pods
from tests.raw import TEXT, frame, handshake, raw
from tests.sockets import wire

TOKEN = "sixteen letters!"


@pytest.fixture(scope="module")
def own_pods(module_database_url: str, pods: Pods, valkey: Any) -> Iterator[tuple[Pod, Pod]]:
    """Two pods for operators, with Redis between them."""
    settings = {
        "redis_urls": valkey.url,
        "bus_prefix": f"metrics-{secrets.token_hex(4)}",
        "internal_token": TOKEN,
        "content_max_chars": 100,
    }
    pair = pods.spawn(module_database_url, **settings), pods.spawn(module_database_url, **settings)
    for pod in pair:
        pod.wait()
    yield pair
    for pod in pair:
        pod.kill()


@pytest.fixture
def own_pod(own_pods: tuple[Pod, Pod]) -> Pod:
    return own_pods[0]


@pytest.fixture
async def operator(own_pod: Pod) -> AsyncIterator[httpx2.AsyncClient]:
    async with httpx2.AsyncClient(base_url=own_pod.url, trust_env=False) as client:
        yield client


@pytest.fixture
async def own_people(module_database_url: str) -> AsyncIterator[People]:
    async with People(module_database_url) as people:
        yield people


@pytest.fixture
async def own_ann(own_people: People) -> Person:
    return await own_people.new("ann")


@pytest.fixture
async def channel(operator: httpx2.AsyncClient, own_ann: Person) -> int:
    return int((await Caller(operator, own_ann).makes())["id"])


async def asked(http: httpx2.AsyncClient, token: str, method: str = "GET") -> httpx2.Response:
    """Ask with this token."""
    return await http.request(method, "/metrics", headers={"Authorization": f"Bearer {token}"})


async def until(pod: Pod, name: str, expected: float, **labels: str) -> Series:
    """Scrape until a series has this value; what follows a close, say, follows it soon."""
    async with asyncio.timeout(10):
        while value(series := await scrape(pod, TOKEN), name, **labels) != expected:
            await asyncio.sleep(0.05)
    return series


class Changes:
    """What rose between two scrapes, by name and labels."""

    def __init__(self, before: Series, after: Series) -> None:
        self._rose = rose(before, after)

    def __call__(self, name: str, **labels: str) -> float:
        return self._rose.get((name, frozenset(labels.items())), 0)


# --- for whom it is there


async def test_the_token_opens_it(operator: httpx2.AsyncClient):
    answer = await asked(operator, TOKEN)
    assert answer.status_code == 200
    assert answer.headers["content-type"] == "text/plain; version=0.0.4; charset=utf-8"
    assert answer.headers["cache-control"] == "no-store"
    assert by(parse(answer.text), "rtchat_limit_reached_total", "limit").keys() == set(counted())


async def test_head_has_the_head_alone(operator: httpx2.AsyncClient):
    answer = await asked(operator, TOKEN, "HEAD")
    assert (answer.status_code, answer.content) == (200, b"")


async def test_nothing_else_opens_it(operator: httpx2.AsyncClient, ann: Caller):
    for headers in (
        {},
        ann.person.headers,
        {"Authorization": TOKEN},
        {"Authorization": f"Basic {TOKEN}"},
        {"Authorization": f"Bearer {TOKEN}!"},
        {"Authorization": f"Bearer {TOKEN[:-1]}"},
    ):
        problem(await operator.get("/metrics", headers=headers), "unauthorized")
    problem(await asked(operator, TOKEN, "POST"), "method_not_allowed")


async def test_without_the_setting_there_is_no_such_path(nobody: Caller):
    for token in ("another", TOKEN):
        answer = await nobody.http.get("/metrics", headers={"Authorization": f"Bearer {token}"})
        problem(answer, "not_found")


def test_it_is_documented_where_it_is_served():
    assert "/metrics" in openapi.document(Config(internal_token=TOKEN))["paths"]
    assert "/metrics" not in openapi.document(Config())["paths"]


async def test_scrapes_do_not_fill_the_log_but_strangers_are_seen(
    operator: httpx2.AsyncClient, own_pod: Pod
):
    await asked(operator, TOKEN)
    request = (await asked(operator, "a stranger's token")).headers["x-request-id"]
    async with asyncio.timeout(10):  # a line is written after its answer
        while not [line for line in own_pod.events("request") if line["request"] == request]:
            await asyncio.sleep(0.02)
    scrapes = [line for line in own_pod.events("request") if line["path"] == "/metrics"]
    assert {line["status"] for line in scrapes} <= {401, 405}, "of none that was well"
    assert TOKEN not in own_pod.log()


# --- what it is like


async def test_every_family_of_the_table_is_there_with_its_kind(operator: httpx2.AsyncClient):
    text = (await asked(operator, TOKEN)).text
    for family in FAMILIES:
        name = family.name.removesuffix("_total") if family.kind is Kind.COUNTER else family.name
        assert f"# TYPE {family.name} {family.kind}\n" in text or f"# TYPE {name} " in text
        assert f" {family.help}\n" in text
    assert "process_resident_memory_bytes " in text
    assert "python_gc_collections_total{" in text


def test_promtool_finds_nothing_to_complain_about(own_pod: Pod):
    """Names, units, help: as Prometheus' own conventions have them."""
    promtool = shutil.which("promtool")
    if promtool is None:
        pytest.skip("promtool (Debian: prometheus) is not installed")
    with httpx2.Client(trust_env=False) as http:
        text = http.get(f"{own_pod.url}/metrics", headers={"Authorization": f"Bearer {TOKEN}"}).text
    done = subprocess.run(
        [promtool, "check", "metrics"], input=text, capture_output=True, text=True, timeout=20
    )
    assert (done.returncode, done.stdout + done.stderr) == (0, "")


@pytest.mark.parametrize("wrong", ["a{b} 1", 'a{limit="b"} x', 'rtchat_info{version="1"} 1'])
async def test_text_that_is_none_is_noticed(operator: httpx2.AsyncClient, wrong: str):
    text = (await asked(operator, TOKEN)).text
    with pytest.raises((AssertionError, ValueError)):
        parse(f"{text}{wrong}\n{wrong}\n")


# --- that the numbers are true


async def test_sockets_are_counted_from_beginning_to_end(own_pod: Pod, own_ann: Person):
    before = await until(own_pod, "rtchat_connections", 0)
    async with wire(own_pod.ws_url, own_ann), wire(own_pod.ws_url) as guest:
        there = await until(own_pod, "rtchat_guests", 1)
        assert value(there, "rtchat_connections") == 1
        assert value(there, "rtchat_connections_paused") == 0
        await guest.send({"t": "auth", "token": "none"})
        await guest.socket.wait_closed()
    changes = Changes(before, await until(own_pod, "rtchat_connections", 0))
    assert changes("rtchat_connections_opened_total") == 1
    assert changes("rtchat_closes_total", code="1000") == 1
    assert changes("rtchat_closes_total", code="4001") == 1
    assert changes("rtchat_errors_total", via="websocket", code="unauthorized") == 1


async def test_a_clients_own_close_codes_make_no_series_each(own_pod: Pod, own_ann: Person):
    """Nor does one pass for ours: 4102 would say that a client was too slow."""
    before = await until(own_pod, "rtchat_connections", 0)
    for code in (3000, 3001, 4102, 4999):
        async with wire(own_pod.ws_url, own_ann) as socket:
            await socket.socket.close(code)
    after = await until(own_pod, "rtchat_connections", 0)
    changes = Changes(before, after)
    assert changes("rtchat_closes_total", code="other") == 4
    assert changes("rtchat_closes_total", code="4102") == 0
    assert not {"3000", "3001", "4999"} & by(after, "rtchat_closes_total", "code").keys()


async def test_every_code_of_ours_has_a_series_before_its_first_close(own_pod: Pod):
    """Or the first one is no rise: there was nothing before it."""
    codes = by(await scrape(own_pod, TOKEN), "rtchat_closes_total", "code").keys()
    assert {str(int(close)) for close in Close} | {"1000", "1001", "1005", "1006", "other"} <= codes


@pytest.mark.parametrize("signed_in", [True, False])
async def test_an_end_without_a_close_frame_is_told_apart(
    own_pod: Pod, own_ann: Person, signed_in: bool
):
    """Of a guest, too."""
    before = await until(own_pod, "rtchat_connections", 0)
    async with raw(own_pod.port) as client:
        await client.upgrade(own_ann if signed_in else None)
        name = "rtchat_connections" if signed_in else "rtchat_guests"
        await until(own_pod, name, 1)
    after = await until(own_pod, name, 0)
    assert Changes(before, after)("rtchat_closes_total", code="1006") == 1


async def test_a_socket_that_takes_nothing_is_seen(
    own_pods: tuple[Pod, Pod], pods: Pods, own_ann: Person, channel: int
):
    """While it stalls, and as an end without a close frame when it is lost so."""
    pod = await pods.start(
        own_pods[0].database_url, internal_token=TOKEN, write_high_bytes=20_000,
        write_low_bytes=10_000, sends_per_second=0,
    )  # fmt: skip
    before = await scrape(pod, TOKEN)
    async with wire(pod.ws_url, own_ann) as sender:
        async with raw(pod.port, rcvbuf=4096) as client:
            await client.upgrade(own_ann)
            sub = f'{{"t":"sub","ref":1,"ch":{{"{channel}":null}}}}'
            await client.send(frame(TEXT, sub.encode()))
            await client.until(b'"head"')
            while not value(await scrape(pod, TOKEN), "rtchat_connections_paused"):
                for number in range(50):
                    said = {"t": "send", "ref": number, "ch": channel, "content": "x" * 3000}
                    await sender.send(said)
                await sender.until(t="ack", ref=49)
        after = await until(pod, "rtchat_connections", 1)
    changes = Changes(before, after)
    assert changes("rtchat_stalls_total") >= 1
    assert changes("rtchat_closes_total", code="1006") == 1
    pod.kill()


async def test_what_never_reaches_the_application_is_counted_too(own_pod: Pod):
    before = await scrape(own_pod, TOKEN)
    async with raw(own_pod.port) as client:
        await client.send(b"GET / HTTP/1.1\r\nhost: x\r\nx: " + b"x" * 20_000)
        await client.until(b" 431 ")
    async with raw(own_pod.port) as client:
        await client.send(handshake(None, "Origin: https://elsewhere.example"))
        await client.until(b" 403 ")
    changes = Changes(before, await scrape(own_pod, TOKEN))
    assert changes("rtchat_errors_total", via="server", code="too_large") == 1
    assert changes("rtchat_errors_total", via="handshake", code="forbidden") == 1


async def test_a_message_is_counted_on_its_way(own_pod: Pod, own_ann: Person, channel: int):
    before = await scrape(own_pod, TOKEN)
    async with wire(own_pod.ws_url, own_ann) as socket:
        await socket.ask({"t": "sub", "ref": 1, "ch": {str(channel): None}})
        said = {"t": "send", "ch": channel, "content": "x", "nonce": "n"}
        for ref in (2, 3):  # the second time with a known nonce
            await socket.send({**said, "ref": ref})
            await socket.until(t="ack", ref=ref)
        await socket.ask({"t": "ping", "ref": 4})
        there = await scrape(own_pod, TOKEN)
    assert value(there, "rtchat_rooms") >= 1
    assert value(there, "rtchat_subscriptions", state="live") == 1
    assert value(there, "rtchat_subscriptions", state="catching_up") == 0
    assert value(there, "rtchat_writer_queue_rows") == 0
    changes = Changes(before, there)
    assert by(rose(before, there), "rtchat_commands_total", "type") == {
        "sub": 1,
        "send": 2,
        "ping": 1,
    }
    assert changes("rtchat_acks_total") == 2
    assert changes("rtchat_duplicates_total") == 1
    assert changes("rtchat_refusals_total") == 0
    assert changes("rtchat_ack_seconds_count") == 2
    assert 0 < changes("rtchat_ack_seconds_sum") < 20
    assert changes("rtchat_batch_rows_count") == changes("rtchat_commit_seconds_count") == 2
    assert changes("rtchat_batch_rows_sum") == 2
    assert changes("rtchat_deliveries_total", path="live") == 1
    assert changes("rtchat_delivered_bytes_total") > 50
    assert changes("rtchat_bus_published_total") >= 1


async def test_what_is_read_to_catch_up_is_told_apart(
    own_pod: Pod, operator: httpx2.AsyncClient, own_ann: Person, channel: int
):
    for _ in range(3):
        await Caller(operator, own_ann).says({"id": channel}, "before")
    before = await scrape(own_pod, TOKEN)
    async with wire(own_pod.ws_url, own_ann) as socket:
        await socket.send({"t": "sub", "ref": 1, "ch": {str(channel): 0}})
        await socket.until(t="msg", seq=3)
        changes = Changes(before, await scrape(own_pod, TOKEN))
    assert changes("rtchat_deliveries_total", path="catch_up") == 3
    assert changes("rtchat_deliveries_total", path="live") == 0


async def test_refusals_have_their_code(own_pod: Pod, own_ann: Person, channel: int):
    before = await scrape(own_pod, TOKEN)
    async with wire(own_pod.ws_url, own_ann) as socket:
        await socket.ask({"t": "send", "ref": 1, "ch": channel, "content": "x" * 101})
        await socket.ask({"t": "send", "ref": 2, "ch": 999_999_999, "content": "x"})
        await socket.ask({"t": "nonsense", "ref": 3})
    changes = Changes(before, await scrape(own_pod, TOKEN))
    for code in ("too_long", "not_found", "unknown_type"):
        assert changes("rtchat_errors_total", via="websocket", code=code) == 1
    assert changes("rtchat_refusals_total") == 1, "the writer's alone"
    assert changes("rtchat_limit_reached_total", limit="content_max_chars") == 1


async def test_requests_are_counted_by_route_and_not_by_path(
    own_pod: Pod, operator: httpx2.AsyncClient, own_ann: Person, channel: int
):
    before = await scrape(own_pod, TOKEN)
    ann = Caller(operator, own_ann)
    await ann.get(f"/channels/{channel}")
    await ann.get("/channels/999999999")
    await ann.get("/no/such/path")
    await operator.request("PATCH", "/made-up")
    await operator.get("/healthz")
    after = await scrape(own_pod, TOKEN)
    changes = Changes(before, after)
    route = {"method": "GET", "route": "/channels/{id}"}
    assert changes("rtchat_requests_total", status="200", **route) == 1
    assert changes("rtchat_requests_total", status="404", **route) == 1
    assert changes("rtchat_requests_total", status="404", method="", route="") == 2
    assert changes("rtchat_errors_total", via="rest", code="not_found") == 3
    assert changes("rtchat_request_seconds_count") == 2, "those of clients that have a route"


async def test_sign_ins_are_counted(own_pod: Pod, operator: httpx2.AsyncClient):
    before = await scrape(own_pod, TOKEN)
    nobody = {"email": "nobody@example.org", "password": "correct horse"}
    await operator.post("/auth/login", json=nobody)
    changes = Changes(before, await scrape(own_pod, TOKEN))
    assert changes("rtchat_auth_events_total", event="login_failed") == 1
    assert changes("rtchat_passwords_hashed_total") == 1


async def test_the_other_pod_hears_and_delivers(
    own_pods: tuple[Pod, Pod], own_ann: Person, channel: int
):
    here, there = own_pods
    async with wire(there.ws_url, own_ann) as hearing, wire(here.ws_url, own_ann) as saying:
        await hearing.ask({"t": "sub", "ref": 1, "ch": {str(channel): None}})
        before = await scrape(there, TOKEN)
        await saying.ask({"t": "send", "ref": 1, "ch": channel, "content": "over there"})
        await hearing.until(t="msg", content="over there")
        changes = Changes(before, await scrape(there, TOKEN))
    assert changes("rtchat_bus_received_total") >= 1
    assert changes("rtchat_deliveries_total", path="live") == 1
    assert changes("rtchat_acks_total") == 0


async def test_the_bus_and_the_loop_are_watched(own_pod: Pod):
    """A heartbeat a second, and four looks at the loop."""
    before = await scrape(own_pod, TOKEN)
    async with asyncio.timeout(10):
        while not Changes(before, after := await scrape(own_pod, TOKEN))(
            "rtchat_bus_lag_seconds_count"
        ):
            await asyncio.sleep(0.1)
    assert Changes(before, after)("rtchat_loop_lag_seconds_count") >= 1
    assert set(by(after, "rtchat_bus_node_up", "node").values()) == {1}
    for name in ("bus_connected", "cache_up", "database_up"):
        assert value(after, f"rtchat_{name}") == 1
    assert value(after, "rtchat_draining") == 0
    assert value(after, "rtchat_writer_lanes_connected") == value(after, "rtchat_writer_lanes")


async def test_what_is_told_of_a_limit_rises_by_one_for_each_answer(
    operator: httpx2.AsyncClient, own_pod: Pod, own_ann: Person, channel: int
):
    before = await limits(own_pod, TOKEN)
    for content in ("short", "x" * 100, "x" * 101, "x" * 1000):
        await Caller(operator, own_ann).post(f"/channels/{channel}/messages", {"content": content})
    after = await limits(own_pod, TOKEN)
    changed = {name: count - before[name] for name, count in after.items() if count != before[name]}
    assert changed == {"content_max_chars": 2}
