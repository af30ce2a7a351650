"""Who may stay: tokens that expire and sessions that end close their sockets, on every pod.

Rows F36 and F37 of the fault matrix. With Valkey the word of an ended session takes milliseconds;
without it each pod finds the end in the database, which it asks every 1.5 s; so it does of users
who were disabled, of which no word is sent.
"""

import asyncio
import contextlib
import functools
import signal
import time
from collections.abc import AsyncIterator, Iterator
from typing import Any

import pytest
from websockets.exceptions import ConnectionClosed, InvalidStatus

from rtchat.auth.disable import set_disabled
from rtchat.server.valkey import PrivateValkey
from tests.faults.scene import Scene, answers, eventually, message, scene, within
from tests.people import Person
from tests.pods import Pods
from tests.sockets import Wire, wire

SLACK_S = 2.0  # what busy cores may add
REVOKED, EXPIRED = 4004, 4202


@pytest.fixture(scope="module")
def private_valkey() -> Iterator[PrivateValkey]:
    """One that may be killed."""
    with PrivateValkey() as server:
        yield server


@pytest.fixture(scope="module")
async def two(
    pods: Pods, module_database_url: str, private_valkey: PrivateValkey
) -> AsyncIterator[Scene]:
    """Two pods that warn two seconds before a token's end."""
    url = private_valkey.url
    async with scene(pods, module_database_url, 2, redis_urls=url, expiring_s=2) as made:
        yield made


@contextlib.contextmanager
def state_of(server: PrivateValkey, state: str) -> Iterator[None]:
    """Valkey as usual, frozen or dead."""
    try:
        if state == "frozen":
            server.send_signal(signal.SIGSTOP)
        elif state == "killed":
            server.kill()
        yield
    finally:
        if state == "frozen":
            server.send_signal(signal.SIGCONT)
        elif state == "killed":
            server.start()


def token_for(made: Scene, person: Person, left_s: float) -> str:
    """A token of this person's session that lives so long still."""
    tokens = made.people.tokens
    return tokens.sign(person.id, person.session_id, time.time() + left_s - tokens.life_s)


# --- F36: a token expires


@contextlib.asynccontextmanager
async def by_frame(made: Scene, token: str) -> AsyncIterator[tuple[Wire, dict[str, Any]]]:
    """A socket that was opened with this token, and its `hello`."""
    async with wire(made.pod.ws_url) as one:
        yield one, await one.ask({"t": "auth", "ref": None, "token": token})


async def test_a_token_ends_its_socket_unless_it_is_renewed(two: Scene) -> None:
    """F36: `expiring` before, sends acked, then 4202; with `auth` in between the socket goes on."""
    async with asyncio.TaskGroup() as group:  # at once: both mostly wait
        group.create_task(left_alone(two))
        group.create_task(renewed_once(two))


async def left_alone(two: Scene) -> None:
    """Warned once; what is sent before the end is acked; closed at the end."""
    ann = await two.people.new()
    channel = await two.channel(ann)
    sent: list[float] = []
    async with by_frame(two, token_for(two, ann, 4.0)) as (one, hello):

        async def talk() -> None:
            with contextlib.suppress(ConnectionClosed):
                while True:
                    sent.append(time.time())
                    await one.send(message(len(sent) - 1, channel, "x"))
                    await asyncio.sleep(0.02)

        async with asyncio.TaskGroup() as group:
            group.create_task(talk())
            code, frames = await one.closed()
    ended = time.time()
    assert code == EXPIRED
    warned = [f for f in frames if f["t"] == "expiring"]
    assert [0 < f["in"] <= 2 for f in warned] == [True]
    assert -0.1 < ended - hello["exp"] < 1 + SLACK_S
    acked = {f["ref"] for f in frames if f["t"] == "ack"}
    before = [ref for ref, at in enumerate(sent) if at < hello["exp"] - 0.5]
    assert len(before) > 20
    assert acked >= set(before)
    assert [f for f in frames if f["t"] == "error"] == []


async def renewed_once(two: Scene) -> None:
    """The socket outlives its first token, subscriptions and all; each end is warned of."""
    ann = await two.people.new()
    channel = await two.channel(ann)
    async with by_frame(two, token_for(two, ann, 2.0)) as (one, hello):
        await one.ask({"t": "sub", "ref": 1, "ch": {str(channel): None}})
        assert (await one.recv())["t"] == "expiring"
        renewed = await one.ask({"t": "auth", "ref": 2, "token": token_for(two, ann, 4.5)})
        assert hello["exp"] + 1 <= renewed["exp"] <= time.time() + 4.5
        await asyncio.sleep(max(0.0, hello["exp"] + 1.2 - time.time()))
        await one.send(message(3, channel, "still here"))
        code, frames = await one.closed()
    assert code == EXPIRED
    assert sorted(f["t"] for f in frames) == ["ack", "expiring", "msg"]


async def test_a_send_under_way_at_the_end_is_acked(two: Scene) -> None:
    """F36: accepted before the token's end and committed behind it: first the ack, then 4202."""
    ann = await two.people.new()
    channel = await two.channel(ann)
    async with by_frame(two, token_for(two, ann, 1.5)) as (one, hello):
        async with two.sql.transaction():
            await two.sql.execute("SELECT FROM channels WHERE id = $1 FOR UPDATE", channel)
            await one.send(message("under way", channel, "x"))
            await asyncio.sleep(max(0.0, hello["exp"] + 1.1 - time.time()))
        code, frames = await one.closed()
    assert code == EXPIRED
    assert [f["t"] for f in frames if f["t"] != "expiring"] == ["ack"]


async def test_an_expired_token_opens_nothing(two: Scene) -> None:
    """F36: past the leeway it is `token_expired`: 401 over REST and in the handshake, else 4202."""
    ann = await two.people.new()
    token = token_for(two, ann, -31)
    late = Person(ann.id, ann.name, ann.email, ann.session_id, token, ann.refresh_token)
    refused = await two.call(late, "GET", "/users/me")
    assert (refused.status_code, refused.json()["code"]) == (401, "token_expired")
    with pytest.raises(InvalidStatus) as denied:
        async with wire(two.pod.ws_url, late):
            raise AssertionError("let in")
    assert denied.value.response.status_code == 401
    async with wire(two.pod.ws_url) as one:
        await one.send({"t": "auth", "ref": 1, "token": token})
        code, frames = await one.closed()
    assert (code, frames[-1]["code"]) == (EXPIRED, "token_expired")


# --- F37: a session ends


async def refused_everywhere(made: Scene, ended: Person) -> bool:
    """Whether each pod refuses this person's token, over REST and WebSocket."""
    for pod in made.pods:
        if (await made.call(ended, "GET", "/users/me", pod=pod)).status_code != 401:
            return False
        with pytest.raises(InvalidStatus) as denied:
            async with wire(pod.ws_url, ended):
                return False
        assert denied.value.response.status_code == 401
    return True


async def sockets(stack: contextlib.AsyncExitStack, made: Scene, person: Person) -> list[Wire]:
    """A socket on each pod."""
    return [await stack.enter_async_context(wire(pod.ws_url, person)) for pod in made.pods]


async def all_revoked(ending: list[Wire]) -> None:
    for one in ending:
        assert await one.closed() == (REVOKED, [])


async def connect_again_and_again(made: Scene, person: Person, until: asyncio.Event) -> list[int]:
    """Open sockets one after the other, on both pods in turn; how each of them ended."""
    ends: list[int] = []

    async def one_end(number: int) -> None:
        try:
            async with wire(made.pods[number % 2].ws_url) as one:
                await one.send({"t": "auth", "ref": 1, "token": person.token})
                ends.append((await one.closed())[0])
        except InvalidStatus:
            ends.append(401)

    async with asyncio.TaskGroup() as group:
        number = 0
        while not until.is_set():
            group.create_task(one_end(number))
            number += 1
            await asyncio.sleep(0.003)
    return ends


@pytest.mark.parametrize(("state", "limit_s"), [("up", 2.0), ("frozen", 5.0), ("killed", 5.0)])
async def test_the_end_of_a_session_closes_its_sockets(
    two: Scene, private_valkey: PrivateValkey, state: str, limit_s: float
) -> None:
    """F37: logout, logout everywhere, a copied refresh token, a session that was ended from the
    list, another password and a disabled user: 4004 on both pods, in time.

    Also for sockets that sign in, or renew, in that very moment. Others of the user stay.
    """
    names = ("ann", "bob", "eve", "joe", "fay", "gus", "hal")
    ann, bob, eve, joe, fay, gus, hal = [await two.people.new(name) for name in names]
    elsewhere, bob2, joe2, fay2, gus2 = [
        await two.people.again(p) for p in (ann, bob, joe, fay, gus)
    ]
    async with contextlib.AsyncExitStack() as stack:
        out = (ann, bob, bob2, eve, fay, gus)
        unheard = await sockets(stack, two, hal)
        ending = [s for p in out for s in await sockets(stack, two, p)]
        staying = [s for p in (elsewhere, joe2, fay2, gus2) for s in await sockets(stack, two, p)]
        renewing = await stack.enter_async_context(wire(two.pods[1].ws_url, joe2))
        refreshed = await two.call(
            None, "POST", "/auth/refresh", {"refreshToken": eve.refresh_token}
        )
        assert refreshed.status_code == 200
        with state_of(private_valkey, state):
            over = asyncio.Event()
            async with asyncio.TaskGroup() as group:
                trying = group.create_task(connect_again_and_again(two, joe, over))
                await asyncio.sleep(0.2)
                ends = [
                    two.call(None, "POST", "/auth/logout", {"refreshToken": ann.refresh_token}),
                    two.call(bob, "POST", "/auth/logout", {"all": True}),
                    two.call(None, "POST", "/auth/refresh", {"refreshToken": eve.refresh_token}),
                    two.call(None, "POST", "/auth/logout", {"refreshToken": joe.refresh_token}),
                    two.call(fay2, "DELETE", f"/auth/sessions/{fay.session_id}"),
                    two.call(gus2, "POST", "/auth/password", {"newPassword": "a first one"}),
                    disable(two, hal),
                ]
                asked = [group.create_task(end) for end in ends]
                await renewing.send({"t": "auth", "ref": 1, "token": joe.token})
                statuses = [getattr(await answer, "status_code", None) for answer in asked]
                began = time.monotonic()
                await within(limit_s, all_revoked(ending))
                await within(2.0 + SLACK_S, all_revoked(unheard))
                await asyncio.sleep(0.3)
                over.set()
            assert statuses == [204, 204, 401, 204, 204, 204, None]
            assert set(trying.result()) <= {REVOKED, 4001, 401}
            assert REVOKED in trying.result()
            for gone in (*out, joe, hal):
                await eventually(functools.partial(refused_everywhere, two, gone))
            assert time.monotonic() - began < limit_s + SLACK_S
        code_or_ok = await _renewal(renewing)
        assert code_or_ok in (REVOKED, "unauthorized")
        for one in staying:
            await one.alive()


async def disable(made: Scene, person: Person) -> None:
    """As an operator does; no pod is told."""
    url = made.pod.database_url
    done = await asyncio.to_thread(set_disabled, url, person.email, disabled=True)
    assert done is not None
    assert person.session_id in done.session_ids


async def _renewal(one: Wire) -> int | str:
    """What became of a renewal with a token whose session ended meanwhile."""
    answer = await one.recv()
    if answer["t"] == "error":
        await one.alive()  # a bad renewal is an error, not a close
        return str(answer["code"])
    return (await one.closed())[0]


async def test_what_was_accepted_before_the_end_is_stored(two: Scene) -> None:
    """F37: a logout takes back nothing; nothing is stored twice by who comes back."""
    ann = await two.people.new()
    again = await two.people.again(ann)
    channel = await two.channel(ann)
    async with wire(two.pod.ws_url, ann) as one:
        for number in range(50):
            await one.send(message(number, channel, f"{number}", nonce=f"n{number}"))
        await two.call(None, "POST", "/auth/logout", {"refreshToken": ann.refresh_token})
        code, frames = await one.closed()
    assert code == REVOKED
    acked = {f["ref"]: f["seq"] for f in frames if f["t"] == "ack"}
    async with wire(two.pods[1].ws_url, again) as one:
        for number in range(50):
            await one.send(message(number, channel, f"{number}", nonce=f"n{number}"))
        second = await answers(one, set(range(50)))
    assert {ref: second[ref]["seq"] for ref in acked} == acked
    assert sorted(await two.texts(channel), key=int) == [f"{n}" for n in range(50)]
