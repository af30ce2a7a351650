"""`GET /metrics`: for whom it is there, and what it is like."""

from collections.abc import AsyncIterator, Iterator

import httpx2
import pytest

from rtchat.api import openapi
from rtchat.api.handlers.metrics import exposition
from rtchat.config import Config
from rtchat.reached import counted
from tests.contract.metrics import parse, scrape
from tests.contract.rest import Caller, problem
from tests.people import People
from tests.pods import Pod, Pods

TOKEN = "sixteen letters!"


@pytest.fixture(scope="module")
def own_pod(module_database_url: str, pods: Pods) -> Iterator[Pod]:
    """A pod for operators too."""
    pod = pods.spawn(module_database_url, internal_token=TOKEN, content_max_chars=10).wait()
    yield pod
    pod.kill()


@pytest.fixture
async def operator(own_pod: Pod) -> AsyncIterator[httpx2.AsyncClient]:
    async with httpx2.AsyncClient(base_url=own_pod.url, trust_env=False) as client:
        yield client


async def asked(http: httpx2.AsyncClient, token: str, method: str = "GET") -> httpx2.Response:
    """Ask with this token."""
    return await http.request(method, "/metrics", headers={"Authorization": f"Bearer {token}"})


async def test_the_token_opens_it(operator: httpx2.AsyncClient):
    """Every series is there, with 0, before anything was reached."""
    answer = await asked(operator, TOKEN)
    assert answer.status_code == 200
    assert answer.headers["content-type"] == "text/plain; version=0.0.4; charset=utf-8"
    assert answer.headers["cache-control"] == "no-store"
    assert parse(answer.text) == dict.fromkeys(counted(), 0)


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
    before = len([line for line in own_pod.events("request") if line["path"] == "/metrics"])
    await asked(operator, TOKEN)
    await asked(operator, "a stranger's token")
    lines = [line for line in own_pod.events("request") if line["path"] == "/metrics"][before:]
    assert [line["status"] for line in lines] == [401]
    assert TOKEN not in own_pod.log()


async def test_what_is_told_of_a_limit_rises_by_one_for_each_answer(
    operator: httpx2.AsyncClient, own_pod: Pod, module_database_url: str
):
    async with People(module_database_url) as people:
        ann = Caller(operator, await people.new("ann"))
    channel = await ann.makes()
    before = await scrape(own_pod, TOKEN)
    for content in ("short", "as long as", "longer than", "much longer than that"):
        await ann.post(f"/channels/{channel['id']}/messages", {"content": content})
    after = await scrape(own_pod, TOKEN)
    rose = {name: count - before[name] for name, count in after.items() if count != before[name]}
    assert rose == {"content_max_chars": 2}


def test_the_text_is_what_prometheus_describes():
    assert exposition({"subs_max": 0, "sends_burst": 12}).decode() == (
        "# HELP rtchat_limit_reached_total"
        " Answers and closes that told of a limit, by its setting.\n"
        "# TYPE rtchat_limit_reached_total counter\n"
        'rtchat_limit_reached_total{limit="subs_max"} 0\n'
        'rtchat_limit_reached_total{limit="sends_burst"} 12\n'
    )


@pytest.mark.parametrize(
    "wrong", ["a 1", 'a{limit="b"} 1', 'rtchat_limit_reached_total{limit="b"} x']
)
def test_text_that_is_none_is_noticed(wrong: str):
    with pytest.raises(AssertionError):
        parse(exposition({"subs_max": 0}).decode() + wrong + "\n")
