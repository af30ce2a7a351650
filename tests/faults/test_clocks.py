"""Pods whose clocks are wrong: tokens have a leeway, everything else asks no pod's clock.

Rows F34 and F35 of the fault matrix.
"""

import asyncio
import contextlib
import secrets
import signal
import time
from collections.abc import AsyncIterator

import asyncpg
import pytest

from rtchat.server.valkey import PrivateValkey
from tests.faults.scene import Scene, answers, follow, message
from tests.people import People, Person
from tests.pods import Pods
from tests.services import Given
from tests.sockets import wire

SHIFTS = (0, 20, -20, 60, -60)
LEEWAY_S = 30


@pytest.fixture(scope="module")
async def shifted(
    pods: Pods, module_database_url: str, valkey: PrivateValkey | Given
) -> AsyncIterator[Scene]:
    """Pods whose clocks are right, 20 s and 60 s ahead and behind."""
    url, prefix = module_database_url, f"clocks-{secrets.token_hex(4)}"
    settings = {"redis_urls": valkey.url, "bus_prefix": prefix, "sends_per_second": 0}
    started = [
        pods.spawn(url, module="tests.faults.clock", test_clock_s=shift, **settings)
        for shift in SHIFTS
    ]
    for pod in started:
        await pod.listening()
    sql = await asyncpg.connect(url)
    async with People(url) as people:
        made = Scene(started, people, sql)
        yield made
        await made.close()
        await sql.close()


def signed(made: Scene, person: Person, ago_s: float) -> Person:
    """The same session with a token signed so long ago."""
    token = made.people.tokens.sign(person.id, person.session_id, time.time() - ago_s)
    return Person(
        person.id, person.name, person.email, person.session_id, token, person.refresh_token
    )


async def test_tokens_are_good_within_the_leeway_and_clear_beyond(shifted: Scene) -> None:
    """F34: up to 30 s apart a fresh token is good; from further ahead it is not valid yet."""
    for of, issuer in zip(SHIFTS, shifted.pods, strict=True):
        person = await shifted.people.new()
        body = {"refreshToken": person.refresh_token}
        fresh = (await shifted.call(None, "POST", "/auth/refresh", body, issuer)).json()
        token = fresh["accessToken"]
        holder = Person(person.id, "ann", person.email, person.session_id, token, "")
        for at, pod in zip(SHIFTS, shifted.pods, strict=True):
            answer = await shifted.call(holder, "GET", "/users/me", pod=pod)
            if of - at <= LEEWAY_S:
                assert answer.status_code == 200, (of, at)
                async with wire(pod.ws_url, holder) as one:
                    await one.alive()
            else:
                assert (answer.status_code, answer.json()["code"]) == (401, "unauthorized")
                assert "not valid yet" in answer.json()["detail"], (of, at)


async def test_order_and_nonces_ask_no_clock(shifted: Scene) -> None:
    """F34: numbers are dense, times are PostgreSQL's and do not fall, retries find their first."""
    ann = signed(shifted, await shifted.people.new(), 120)
    channel = await shifted.channel(ann)
    clock = "SELECT (extract(epoch FROM clock_timestamp()) * 1000)::bigint"
    before = await shifted.sql.fetchval(clock)
    async with contextlib.AsyncExitStack() as stack:
        sockets = [await stack.enter_async_context(wire(pod.ws_url, ann)) for pod in shifted.pods]
        reader = await stack.enter_async_context(wire(shifted.pods[3].ws_url, ann))
        await follow(reader, channel)
        seqs = []
        for number in range(40):
            ack = await sockets[number % 5].ask(message(1, channel, f"{number}", f"{number}"))
            again = await sockets[(number + 1) % 5].ask(
                message(1, channel, f"{number}", f"{number}")
            )
            assert (again["seq"], again["ts"], again["dup"]) == (ack["seq"], ack["ts"], True)
            seqs.append(ack["seq"])
        for number in range(40, 140):
            await sockets[number % 5].send(message(number, channel, f"{number}"))
        for place, one in enumerate(sockets):
            await answers(one, {n for n in range(40, 140) if n % 5 == place})
        heard = [await reader.recv() for _ in range(140)]
    after = await shifted.sql.fetchval(clock)
    assert seqs == list(range(1, 41))
    rows = await shifted.log(channel)
    assert [row["seq"] for row in rows] == [f["seq"] for f in heard] == list(range(1, 141))
    times = [row["ts"] for row in rows]
    assert times == sorted(times) == [f["ts"] for f in heard]
    assert before <= times[0] <= times[-1] <= after


async def test_a_clock_that_steps_back_ends_nobody(shifted: Scene) -> None:
    """F35: an hour back while running: sockets stay and work, timers go on, logouts arrive."""
    pod = shifted.pods[SHIFTS.index(20)]
    ann, bob = [signed(shifted, p, 60) for p in await shifted.people.several(2)]
    channel = await shifted.channel(ann, bob)
    async with contextlib.AsyncExitStack() as stack:
        crowd = [await stack.enter_async_context(wire(pod.ws_url, ann)) for _ in range(20)]
        leaving = await stack.enter_async_context(wire(pod.ws_url, bob))
        elsewhere = await stack.enter_async_context(wire(shifted.pod.ws_url, ann))
        await follow(crowd[0], channel)
        pod.signal(signal.SIGUSR1)
        assert (await elsewhere.ask(message(1, channel, "there")))["t"] == "ack"
        assert (await crowd[0].recv())["seq"] == 1
        began = time.monotonic()
        while time.monotonic() - began < 2.5:  # two sweeps, a head check, a look for ended sessions
            assert (await crowd[1].ask(message(2, channel, "here")))["t"] == "ack"
            await asyncio.sleep(0.1)
        for one in crowd[1:]:
            await one.alive()
        await shifted.call(None, "POST", "/auth/logout", {"refreshToken": bob.refresh_token})
        assert (await leaving.closed())[0] == 4004
        # Tokens of the right time are in its future now: an error, not a close.
        renewed = {"t": "auth", "ref": 3, "token": ann.token}
        assert (await crowd[2].ask(renewed))["code"] == "unauthorized"
        await crowd[2].alive()
        body = {"refreshToken": ann.refresh_token}
        own = (await shifted.call(None, "POST", "/auth/refresh", body, pod)).json()
        assert "exp" in await crowd[2].ask({**renewed, "token": own["accessToken"]})
    seqs = [row["seq"] for row in await shifted.log(channel)]
    assert seqs == list(range(1, len(seqs) + 1))
    assert "Traceback" not in pod.log()


async def test_a_token_ends_when_it_would_have(shifted: Scene) -> None:
    """F35: its pod's clock was set back by an hour; the socket gets no hour more for that."""
    pod = shifted.pods[SHIFTS.index(0)]
    ann = await shifted.people.new()
    life_s = shifted.people.tokens.life_s
    async with wire(pod.ws_url, signed(shifted, ann, life_s - 4)) as one:
        began = time.monotonic()
        pod.signal(signal.SIGUSR1)
        code, frames = await one.closed()
    assert code == 4202
    assert [f["t"] for f in frames] == ["expiring"]
    assert 2 < time.monotonic() - began < 4 + 3
