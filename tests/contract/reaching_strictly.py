"""Pods that are stricter than those of `provoking`, and how to reach what they limit.

Owns: their settings, and a recipe for each limit that no documented error's recipe reaches. What
limit is reached by which recipe stands in `reaching`.
"""

import asyncio
import contextlib
import secrets
from collections.abc import AsyncIterator, Callable, Coroutine, Iterable
from dataclasses import dataclass, replace
from typing import Any, TypeVar

from rtchat.api.routes import ROUTES
from rtchat.errors import Close, Code
from tests.contract import provoking_rest
from tests.contract.provoking import (
    PASSWORD,
    TOKEN,
    Ask,
    World,
    a_new_address,
    command,
    operation_of,
)
from tests.contract.rest import JSON, Reply, exchange
from tests.oidc.conftest import settings
from tests.oidc.process import Idp
from tests.people import Person
from tests.pods import Pod, Pods
from tests.raw import TEXT, frame, handshake, raw
from tests.sockets import wire

T = TypeVar("T")
BY_OPERATION = {operation_of(route): route for route in ROUTES}
# Lower than people could live with, each; what stands in `provoking.TIGHT` is left as it is.
STRICT: dict[str, Any] = {
    "internal_token": TOKEN,
    "trusted_proxies": "127.0.0.1",
    "sessions_per_user": 1,
    "password_queue": 1,
    "account_failures_max": 1,
    "address_failures_max": 1,
    "address_connects_per_second": 1,
    "user_floods_per_minute": 1,
    "user_subs_per_second": 1,
    "reactions_max": 1,
    "dm_max_members": 2,
    "new_channel_max_members": 2,
    "body_read_s": 1,
    "sockets_per_address": 3,
    "guests_max": 2,
    "auth_deadline_ms": 300,
    "subs_max": 6,
    "errors_per_second": 1,
    "errors_burst": 1,
    "commands_per_second": 1,
    "write_timeout_ms": 300,
    "lock_wait_ms": 100,
    "queue_max_bytes": 65_536,
    "batch_max_bytes": 65_536,
    "sends_per_second": 0,
    "sso_calls_max": 1,
    "sso_answer_max_bytes": 65_536,
}


@dataclass
class Reach:
    """The pods, and who is there."""

    world: World
    strict: Pod
    narrow: Pod  # has one connection an address
    slow: Pod  # waits for nobody for long

    @property
    def strictly(self) -> World:
        """The world, where a recipe asks the strict pod."""
        return replace(self.world, pod=self.strict)


Recipe = Callable[[Reach], Coroutine[Any, Any, Pod]]


@contextlib.asynccontextmanager
async def stricter(world: World, pods: Pods, url: str, idp: Idp) -> AsyncIterator[Reach]:
    """Start the other pods."""
    idp.tells("slow", discovery={"body": "slow"})
    idp.tells("slow2", discovery={"body": "slow"})
    idp.tells("huge", discovery={"body": "huge"})
    named = idp.setting("corp", "slow", "slow2", "huge")
    strict = pods.spawn(url, **settings(idp, oidc_providers=named), **STRICT)
    narrow = pods.spawn(url, connections_per_address=1, internal_token=TOKEN)
    slow = pods.spawn(
        url, **settings(idp, oidc_providers=named), internal_token=TOKEN, pool_max=1,
        acquire_timeout_ms=200, query_timeout_ms=700, heartbeat_s=1, heartbeat_timeout_s=1,
        sso_flows_max=2,
    )  # fmt: skip
    made = Reach(world, strict, narrow, slow)
    try:
        for pod in (strict, narrow, slow):
            await pod.listening()
        yield made
    finally:
        for pod in (strict, narrow, slow):
            pod.kill()


# --- on the strict pod


def an_address() -> str:
    """A line that tells of an address which nobody has had."""
    part = secrets.token_hex(2)
    return f"X-Forwarded-For: 2001:db8:{part}:{secrets.token_hex(2)}::1"


async def ask(pod: Pod, path: str, body: JSON, **more: Any) -> Reply:
    """Post, from an address of its own unless told otherwise."""
    more.setdefault("lines", (an_address(),))
    return await exchange(pod, Ask("POST", path, body=body, **more).bytes())


async def at_once(work: Iterable[Coroutine[Any, Any, T]]) -> list[T]:
    """Do all of it, and return what came of each."""
    async with asyncio.TaskGroup() as group:
        tasks = [group.create_task(one) for one in work]
    return [task.result() for task in tasks]


def told(reply: Reply, status: int, code: Code) -> None:
    assert (reply.status, reply.json["code"]) == (status, code), reply


def making(kind: str) -> Recipe:
    """Make a channel with two others."""

    async def recipe(reach: Reach) -> Pod:
        scene = await reach.world.scene()
        eve = await reach.world.people.new("eve")
        body: JSON = {"type": kind, "members": [scene.bob.id, eve.id]}
        body |= {} if kind == "dm" else {"name": "a channel"}
        told(await ask(reach.strict, "/channels", body, token=scene.ann.token), 422, Code.TOO_LONG)
        return reach.strict

    return recipe


async def registering_shortly(reach: Reach) -> Pod:
    body = {"email": a_new_address(), "password": "short"}
    told(await ask(reach.strict, "/auth/register", body), 422, Code.BAD_FIELD)
    return reach.strict


async def many_passwords_at_once(reach: Reach) -> Pod:
    bodies = [{"email": a_new_address(), "password": PASSWORD} for _ in range(4)]
    replies = await at_once(ask(reach.strict, "/auth/login", body) for body in bodies)
    assert any(reply.status == 503 for reply in replies), replies
    return reach.strict


async def signing_in_twice(reach: Reach) -> Pod:
    body = {"email": a_new_address(), "password": PASSWORD}
    assert (await ask(reach.strict, "/auth/register", body)).status == 201
    assert (await ask(reach.strict, "/auth/login", body)).status == 200
    return reach.strict


async def guessing_one_account(reach: Reach) -> Pod:
    ann = await reach.world.people.new("ann")
    body = {"email": ann.email, "password": PASSWORD}
    told(await ask(reach.strict, "/auth/login", body), 401, Code.UNAUTHORIZED)
    told(await ask(reach.strict, "/auth/login", body), 429, Code.RATE_LIMITED)
    return reach.strict


async def guessing_at_one_address(reach: Reach) -> Pod:
    lines = (an_address(),)
    body = {"refreshToken": "nobody's"}
    told(await ask(reach.strict, "/auth/refresh", body, lines=lines), 401, Code.UNAUTHORIZED)
    told(await ask(reach.strict, "/auth/refresh", body, lines=lines), 429, Code.RATE_LIMITED)
    return reach.strict


async def after_its_session(reach: Reach) -> Pod:
    ann = await reach.world.people.new("ann")
    await reach.world.sql.execute(
        "UPDATE sessions SET expires_at = now() WHERE id = $1", ann.session_id
    )
    body = {"refreshToken": ann.refresh_token}
    told(await ask(reach.world.pod, "/auth/refresh", body), 401, Code.UNAUTHORIZED)
    return reach.world.pod


async def a_body_without_an_end(reach: Reach) -> Pod:
    line = "Content-Length: 10"
    head = Ask("POST", "/auth/refresh", lines=(line, "Content-Type: application/json"))
    told(await exchange(reach.strict, head.bytes()), 400, Code.BAD_JSON)
    return reach.strict


def refused(reply: Reply) -> None:
    told(reply, 503, Code.OVERLOADED)


async def as_a_guest_too_many(reach: Reach) -> Pod:
    async with contextlib.AsyncExitStack() as stack:
        for _ in range(2):
            await (await stack.enter_async_context(raw(reach.strict.port))).upgrade()
        refused(await exchange(reach.strict, handshake()))
    return reach.strict


async def one_more_from_there(reach: Reach) -> Pod:
    ann, line = await reach.world.people.new("ann"), an_address()
    async with contextlib.AsyncExitStack() as stack:
        for _ in range(3):
            client = await stack.enter_async_context(raw(reach.strict.port))
            await client.send(handshake(ann, line))
            await client.until(b'"hello"')
        refused(await exchange(reach.strict, handshake(ann, line)))
    return reach.strict


async def one_more_connection_from_there(reach: Reach) -> Pod:
    port, there = reach.narrow.port, "127.0.0.9"
    async with raw(port, address=there), raw(port, address=there) as second:
        await second.send(handshake())
        assert (await second.until(b"}")).startswith(b"HTTP/1.1 503")
    return reach.narrow


async def connecting_too_often(reach: Reach) -> Pod:
    told(await provoking_rest.too_often(reach.strictly, BY_OPERATION["GET /ws"]), 429,
         Code.RATE_LIMITED)  # fmt: skip
    return reach.strict


async def a_guest_who_says_nothing(reach: Reach) -> Pod:
    async with wire(reach.strict.ws_url) as socket:
        assert (await socket.closed())[0] == Close.NOT_AUTHENTICATED
    return reach.strict


async def reacting_with_another(reach: Reach) -> Pod:
    scene = await reach.world.scene()
    async with wire(reach.strict.ws_url, scene.ann) as socket:
        assert (await socket.ask(command("react", scene)))["t"] == "ack"
        answer = await socket.ask({**command("react", scene), "emoji": "🎉"})
    assert answer["code"] == Code.TOO_LONG
    return reach.strict


async def more_channels_than_one_follows(reach: Reach) -> Pod:
    scene = await reach.world.scene()
    many = {str(number): None for number in range(1, 8)}
    async with wire(reach.strict.ws_url, scene.ann) as socket:
        answer = await socket.ask({**command("sub", scene), "ch": many})
    assert answer["code"] == Code.TOO_LONG
    return reach.strict


async def err(reach: Reach, person: Person) -> None:
    """Be closed for errors."""
    async with wire(reach.strict.ws_url, person) as socket:
        for _ in range(3):
            await socket.send("{")
        assert (await socket.closed())[0] == Close.FLOOD


async def erring(reach: Reach) -> Pod:
    await err(reach, await reach.world.people.new("ann"))
    return reach.strict


async def after_a_flood(reach: Reach) -> Pod:
    ann = await reach.world.people.new("ann")
    await err(reach, ann)
    told(await exchange(reach.strict, handshake(ann)), 429, Code.RATE_LIMITED)
    return reach.strict


async def talking_on_and_on(reach: Reach) -> Pod:
    async with raw(reach.world.pod.port) as client:
        await client.upgrade((await reach.world.scene()).ann)
        await client.send(frame(TEXT, b'{"t":"ping"}') * 2000)
        await client.rest()
        assert client.close_code() == Close.FLOOD
    return reach.world.pod


async def mute(reach: Reach) -> Pod:
    async with raw(reach.slow.port) as client:
        await client.upgrade((await reach.world.scene()).ann)
        await client.rest()
        assert client.close_code() == Close.FAILED
    return reach.slow


async def behind_a_lock(reach: Reach) -> Pod:
    scene = await reach.world.scene()
    async with reach.world.sql.transaction():
        await reach.world.sql.execute(
            "SELECT FROM channels WHERE id = $1 FOR UPDATE", scene.channel
        )
        path = f"/channels/{scene.channel}/messages"
        told(await ask(reach.strict, path, {"content": "hi"}, token=scene.ann.token), 503,
             Code.UNAVAILABLE)  # fmt: skip
    return reach.strict


async def much_behind_a_lock(reach: Reach) -> Pod:
    scene = await reach.world.scene()
    text = {**command("send", scene), "content": "x" * 4000}
    async with reach.world.sql.transaction(), wire(reach.strict.ws_url, scene.ann) as socket:
        await reach.world.sql.execute(
            "SELECT FROM channels WHERE id = $1 FOR UPDATE", scene.channel
        )
        for _ in range(20):
            await socket.send(text)
        assert (await socket.recv())["code"] == Code.OVERLOADED
    return reach.strict


# --- at a provider


def beginning(provider: str, code: Code) -> Recipe:
    """Begin to sign in there."""

    async def recipe(reach: Reach) -> Pod:
        ask = Ask("GET", f"/auth/oauth/{provider}", lines=(an_address(),))
        told(await exchange(reach.strict, ask.bytes()), 503, code)
        return reach.strict

    return recipe


async def beginning_at_two(reach: Reach) -> Pod:
    await at_once(beginning(name, Code.UNAVAILABLE)(reach) for name in ("slow", "slow2"))
    return reach.strict


async def beginning_again_and_again(reach: Reach) -> Pod:
    ask = Ask("GET", "/auth/oauth/corp", lines=(an_address(),)).bytes()
    statuses = [(await exchange(reach.slow, ask)).status for _ in range(3)]
    assert statuses == [302, 302, 503]
    return reach.slow


# --- the database


async def behind_a_locked_table(reach: Reach) -> Pod:
    ann = await reach.world.people.new("ann")
    request = Ask("GET", "/auth/sessions", token=ann.token).bytes()
    async with reach.world.sql.transaction():
        await reach.world.sql.execute("LOCK TABLE sessions IN ACCESS EXCLUSIVE MODE")
        replies = await at_once(exchange(reach.slow, request) for _ in range(2))
    for reply in replies:
        told(reply, 503, Code.UNAVAILABLE)
    return reach.slow
