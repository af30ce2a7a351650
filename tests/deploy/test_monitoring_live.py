"""The rules and the dashboard in a real Prometheus, which scrapes a real pod that is in use."""

import asyncio
import contextlib
import json
import re
import secrets
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import httpx2
import pytest

from rtchat.server.launch import free_port
from tests.contract.rest import Caller
from tests.deploy.monitoring_files import ALERTS, BOARD
from tests.deploy.monitoring_prometheus import Prometheus, filled, running
from tests.deploy.monitoring_rules import records
from tests.deploy.monitoring_traffic import move, register
from tests.deploy.monitoring_vocabulary import Metric, differences, recorded, vocabulary
from tests.people import People
from tests.pods import Pod, Pods

PATIENCE_S = 40.0  # on two busy cores; mostly all is there after three seconds
TOKEN = secrets.token_hex(16)
Use = Callable[[], Awaitable[None]]


@pytest.fixture(scope="module")
def internal() -> int:
    """The port of the pod that operators, and so Prometheus, use."""
    return free_port()


@pytest.fixture(scope="module")
def url(internal: int, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Started before all else, for it lets five seconds pass before it scrapes."""
    directory: Path = tmp_path_factory.mktemp("prometheus")
    with running(f"127.0.0.1:{internal}", TOKEN, ALERTS, directory) as found:
        yield found


@pytest.fixture(scope="module")
def own_pod(
    url: str, internal: int, module_database_url: str, pods: Pods, valkey: Any
) -> Iterator[Pod]:
    settings = {"redis_urls": valkey.url, "bus_prefix": f"sight-{secrets.token_hex(4)}"}
    operators: dict[str, Any] = {"internal_token": TOKEN, "internal_port": internal}
    pod = pods.spawn(module_database_url, **operators, **settings).wait()
    yield pod
    pod.kill()


@pytest.fixture(scope="module")
async def use(own_pod: Pod, module_database_url: str) -> AsyncIterator[Use]:
    """Somebody who uses the pod, once now and as often as it is called."""
    async with (
        People(module_database_url) as people,
        httpx2.AsyncClient(base_url=own_pod.url, trust_env=False, timeout=20) as http,
    ):
        await register(http)
        ann = await people.new("ann")
        channel = int((await Caller(http, ann).makes())["id"])

        async def use() -> None:
            await move(own_pod, http, ann, channel)

        await use()
        yield use


@pytest.fixture
async def seen(url: str) -> AsyncIterator[Prometheus]:
    async with httpx2.AsyncClient(base_url=url, trust_env=False, timeout=20) as http:
        yield Prometheus(http)


def expressions() -> dict[str, str]:
    """Those of the dashboard, by themselves: what they are for."""
    loaded = json.loads(BOARD.read_text())
    panels = [each for panel in loaded["panels"] for each in (panel, *panel.get("panels", ()))]
    found = {
        filled(target["expr"]): panel["title"]
        for panel in panels
        for target in panel.get("targets", ())
    }
    notes = loaded["annotations"]["list"]
    return found | {filled(note["target"]["expr"]): note["name"] for note in notes}


async def test_every_expression_of_the_dashboard_finds_something(use: Use, seen: Prometheus):
    """A number at least, for each: but for drains, as nobody drains the pod."""
    missing = {each: title for each, title in expressions().items() if title != "Drain"}
    try:
        async with asyncio.timeout(PATIENCE_S):
            while missing:
                await use()
                missing = {e: t for e, t in missing.items() if not await seen.values(e)}
                await asyncio.sleep(0.2)
    except TimeoutError:
        pytest.fail(f"these find nothing: {missing}")
    [drain] = [each for each, title in expressions().items() if title == "Drain"]
    assert await seen.values(drain) == []


async def shown(seen: Prometheus, known: Mapping[str, Metric], expected: list[str]) -> list[str]:
    """How pods differ from what is known, once that is as expected, or after a while."""
    found = ["nothing was looked at"]
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(PATIENCE_S):
            while (found := differences(await seen.series(), known)) != expected:
                await asyncio.sleep(0.1)
    return found


@pytest.mark.usefixtures("use")
async def test_pods_have_what_the_checks_take_for_granted(seen: Prometheus):
    assert await shown(seen, {**vocabulary(), **recorded(records())}, []) == []


@pytest.mark.usefixtures("use")
async def test_what_pods_have_otherwise_is_noticed(seen: Prometheus):
    known: Mapping[str, Metric] = {
        **{name: metric for name, metric in vocabulary().items() if name != "rtchat_rooms"},
        "rtchat_room": vocabulary()["rtchat_rooms"],
        "rtchat_deliveries_total": vocabulary()["rtchat_closes_total"],
        "rtchat_errors_total": vocabulary()["rtchat_errors_total"]._replace(
            labels={"via": {"rest", "handshake", "server"}, "code": None}
        ),
    }
    expected = [
        "rtchat_deliveries_total has a label path",
        "rtchat_errors_total has via websocket",
        "rtchat_room is nowhere",
        "rtchat_rooms is not known",
    ]
    assert await shown(seen, known, expected) == expected


@pytest.mark.usefixtures("use")
async def test_the_variables_find_jobs_and_pods(internal: int, seen: Prometheus):
    queries = {
        variable["name"]: variable["query"]["query"]
        for variable in json.loads(BOARD.read_text())["templating"]["list"]
        if variable["type"] == "query"
    }
    asked = {
        name: re.fullmatch(r"label_values\((.+), (\w+)\)", query) for name, query in queries.items()
    }

    async def values(name: str) -> list[str]:
        match = asked[name]
        assert match is not None, queries[name]
        return await seen.label_values(match[2], filled(match[1]))

    async with asyncio.timeout(PATIENCE_S):
        while await values("job") != ["rtchat"]:
            await asyncio.sleep(0.1)
    assert await values("instance") == [f"127.0.0.1:{internal}"]
    assert await values("namespace") == []  # this one has none, and all of none are picked


@pytest.mark.usefixtures("use")
async def test_all_rules_are_evaluated_and_nothing_fires(seen: Prometheus):
    """Nothing that fires at once; what waits for minutes is shown by cases instead."""
    async with asyncio.timeout(PATIENCE_S):
        while any(rule["health"] == "unknown" for rule in await seen.rules()):
            await asyncio.sleep(0.1)
    found = await seen.rules()
    assert {rule["health"] for rule in found} == {"ok"}, found
    assert [rule["name"] for rule in found if rule.get("state") == "firing"] == []
    assert len(found) > 35
