"""How to bring about each documented error of REST: a recipe for each code, some by operation.

Owns: the table of recipes. A recipe asks a real server and returns its answer; whether that is the
error that was wanted is the test's to say.
"""

import asyncio
import time
from collections.abc import Awaitable, Callable
from typing import Any

import httpx2

from rtchat.api.router import Route
from rtchat.errors import Code
from tests import documented
from tests.contract.provoking import (
    SECRET,
    Ask,
    Scene,
    World,
    a_person_at_a_provider,
    address_of,
    forwarded,
    good,
    operation_of,
)
from tests.contract.rest import Reply, exchange
from tests.pods import Pod
from tests.raw import handshake

PROBLEM = "application/problem+json"
Recipe = Callable[[World, Route], Awaitable[Reply]]

MISSING = 2**53 - 1
TRIES = 40  # within which every rate of `provoking.TIGHT` is reached
PATIENCE_S = 15.0
# What is too long in a body or a query.
LONG: dict[str, dict[str, str]] = {
    "POST /auth/register": {"name": "n" * 81},
    "POST /auth/login": {"password": "p" * 1025},
    "POST /auth/refresh": {"refreshToken": "t" * 257},
    "POST /auth/logout": {"refreshToken": "t" * 257},
    "POST /auth/oauth/exchange": {"code": "c" * 257},
    "POST /auth/password": {"newPassword": "p" * 1025},
    "PATCH /users/me": {"status": "s" * 141},
    "GET /users": {"q": "q" * 255},
    "POST /channels": {"name": "n" * 81},
    "PATCH /channels/{id}": {"name": "n" * 81},
    "POST /channels/{id}/messages": {"content": "c" * 4001},
    "PATCH /channels/{id}/messages/{seq}": {"content": "c" * 4001},
}


def altered(change: Callable[[Ask, Route, World, Scene], Ask]) -> Recipe:
    """Ask the pod that is well, with a request that is not."""

    async def recipe(world: World, route: Route) -> Reply:
        scene = await world.scene()
        return await exchange(world.pod, change(good(route, scene), route, world, scene).bytes())

    return recipe


def changed(**changes: Any) -> Recipe:
    """The same, with this for that."""
    return altered(lambda ask, *_: ask.but(**changes))


def put(**fields: Any) -> Recipe:
    """The same, with this in its body."""
    return altered(lambda ask, *_: ask.but(body={**ask.body, **fields}))


# --- what nobody has to be known for


def _bad_message(ask: Ask, route: Route, *_: object) -> Ask:
    return ask.but(body=[]) if route.body is not None else ask.but(lines=("Host: another",))


def _bad_field(ask: Ask, route: Route, *_: object) -> Ask:
    if route.body is not None:
        return ask.but(body={**ask.body, list(ask.body)[-1]: {}})
    name = route.query.__struct_encode_fields__[0] if route.query is not None else "limit"
    return ask.but(query=f"{name}=1&{name}=1")


def _too_long(ask: Ask, route: Route, *_: object) -> Ask:
    fields = LONG[operation_of(route)]
    if route.body is not None:
        return ask.but(body={**ask.body, **fields})
    return ask.but(query="&".join(f"{name}={value}" for name, value in fields.items()))


def _large_body(ask: Ask, route: Route, *_: object) -> Ask:
    if route.body is not None:
        return ask.but(raw_body=b"x" * 70_000)
    chunks = b"1\r\nx\r\n" * 1100  # of a body that nobody asked for
    return ask.but(lines=("Transfer-Encoding: chunked",), raw_body=chunks)


TOO_LARGE: dict[int, Recipe] = {
    413: altered(_large_body),
    414: altered(lambda ask, *_: ask.but(query=f"x={'x' * 8000}")),
    431: changed(lines=(f"X: {'x' * 20_000}",)),
}


# --- who asks


def _expired(ask: Ask, route: Route, world: World, scene: Scene) -> Ask:
    hour_ago = time.time() - 3600
    return ask.but(
        token=world.people.tokens.sign(scene.ann.id, scene.ann.session_id, now=hour_ago),
        body={"all": True} if operation_of(route) == "POST /auth/logout" else ask.body,
    )


def upgrading(change: Callable[[World, Scene], list[str]]) -> Recipe:
    """Ask for a WebSocket, with these lines."""

    async def recipe(world: World, _: Route) -> Reply:
        scene = await world.scene()
        return await exchange(world.pod, handshake(None, *change(world, scene)))

    return recipe


def _bearer(token: str) -> str:
    return f"Authorization: Bearer {token}"


async def as_an_outsider(world: World, route: Route) -> Reply:
    scene = await world.scene()
    eve = await world.people.new("eve")
    return await exchange(world.pod, good(route, scene).but(token=eve.token).bytes())


async def signed_in_long_ago(world: World, route: Route) -> Reply:
    scene = await world.scene()
    await world.sql.execute(
        "UPDATE sessions SET created_at = now() - interval '1 hour' WHERE id = $1",
        scene.ann.session_id,
    )
    return await exchange(world.pod, good(route, scene).bytes())


# --- what is there already, or is not


def _missing(ask: Ask, route: Route, _: World, scene: Scene) -> Ask:
    session = route.template.startswith("/auth/sessions")
    there = str(scene.ann.session_id if session else scene.channel)
    path = ask.path.replace("corp", "nobody").replace(f"/{there}", f"/{MISSING}", 1)
    return ask.but(path=path)


async def in_a_dm(world: World, route: Route) -> Reply:
    scene = await world.scene()
    dm = await world.sql.fetchval(
        "INSERT INTO channels (type, created_by, dm_key) VALUES ('dm', $1, $2) RETURNING id",
        scene.ann.id,
        f"{scene.bob.id},{scene.ann.id}",
    )
    for person in (scene.ann, scene.bob):
        await world.sql.execute(
            "INSERT INTO members (channel_id, user_id, role) VALUES ($1, $2, 'member')",
            dm,
            person.id,
        )
    dm_scene = Scene(scene.ann, scene.bob, dm)
    return await exchange(world.pod, good(route, dm_scene).bytes())


async def with_a_nonce_again(world: World, route: Route) -> Reply:
    ask = good(route, await world.scene())
    replies = [
        await exchange(world.pod, ask.but(body={**ask.body, **said, "nonce": "n"}).bytes())
        for said in ({"content": "one"}, {"content": "another"})
    ]
    return replies[1]


async def while_the_password_changes(world: World, route: Route) -> Reply:
    """Ours is set while the one that is asked for waits for the user's row."""
    scene = await world.scene()
    async with asyncio.TaskGroup() as group, world.sql.transaction():
        await world.sql.execute("SELECT FROM users WHERE id = $1 FOR UPDATE", scene.ann.id)
        asked = group.create_task(exchange(world.pod, good(route, scene).bytes()))
        await asyncio.sleep(0.3)
        await world.sql.execute("UPDATE users SET password_hash = 'x' WHERE id = $1", scene.ann.id)
    return asked.result()


async def of_the_last_identity(world: World, route: Route) -> Reply:
    scene = await world.scene()
    await world.sql.execute(
        "INSERT INTO identities (issuer, subject, provider, user_id)"
        " VALUES ('https://idp.example', $1, 'corp', $2)",
        scene.ann.email,
        scene.ann.id,
    )
    return await exchange(world.pod, good(route, scene).bytes())


async def of_ones_own_ownership(world: World, route: Route) -> Reply:
    scene = await world.scene()
    return await exchange(
        world.pod, good(route, Scene(scene.ann, scene.ann, scene.channel)).bytes()
    )


# --- by a provider


def reply_of(response: httpx2.Response) -> Reply:
    """The same answer, however it came."""
    return Reply(response.status_code, dict(response.headers), response.content)


async def of_a_taken_address(world: World, _: Route) -> Reply:
    scene, browser = await world.scene(), world.browser()
    claims = {**a_person_at_a_provider(), "email": scene.ann.email}
    landing = await browser.arrives("corp", claims)
    return reply_of(await browser.exchanges(landing.told["code"]))


async def of_somebody_disabled(world: World, _: Route) -> Reply:
    claims, browser = a_person_at_a_provider(), world.browser()
    landing = await browser.arrives("corp", claims)
    await world.sql.execute(
        "UPDATE users SET disabled_at = now() WHERE email = $1", claims["email"]
    )
    return reply_of(await browser.exchanges(landing.told["code"]))


# --- a pod in trouble


def _asked(route: Route, scene: Scene) -> bytes:
    return handshake(scene.ann) if route.path == "/ws" else good(route, scene).bytes()


async def of_a_full_pod(world: World, route: Route) -> Reply:
    return await exchange(world.full, _asked(route, world.away_scene))


async def without_the_database(world: World, route: Route) -> Reply:
    return await exchange(world.away, _asked(route, world.away_scene))


async def without_the_tables(world: World, route: Route) -> Reply:
    return await exchange(world.broken, _asked(route, world.broken_scene))


async def of_a_pod_that_leaves(world: World, route: Route) -> Reply:
    reply = world.drained.answers[operation_of(route)]
    if route.path != "/ws":
        asked = good(route, world.away_scene).bytes()
        documented.check_raw(asked, reply.status, reply.headers, reply.body)
    return reply


async def until_it_is_not_ready(world: World, route: Route) -> Reply:
    """It takes a while until it believes that."""
    async with asyncio.timeout(PATIENCE_S):
        while (reply := await without_the_database(world, route)).status == 200:
            await asyncio.sleep(0.1)
    return reply


async def too_often(world: World, route: Route) -> Reply:
    """From an address of its own, by somebody new, until it is enough."""
    scene = await world.scene()
    ask = good(route, scene).bytes()
    if route.path == "/ws":
        ask = handshake(scene.ann, forwarded(address_of(scene)))
    return await _until_refused(world.pod, lambda _: ask)


async def refreshed_too_often(world: World, route: Route) -> Reply:
    ask = good(route, await world.scene())

    def next_one(before: Reply | None) -> bytes:
        if before is None:
            return ask.bytes()
        return ask.but(body={"refreshToken": before.json["refreshToken"]}).bytes()

    return await _until_refused(world.pod, next_one)


async def _until_refused(pod: Pod, ask: Callable[[Reply | None], bytes]) -> Reply:
    reply: Reply | None = None
    for _ in range(TRIES):
        reply = await exchange(pod, ask(reply))
        if reply.status == 429:
            break
    assert reply is not None
    return reply


def of_a_sign_in(pod: str, *, trading: bool) -> Recipe:
    """Go on where all was well, on a pod where it is no more."""

    async def recipe(world: World, _: Route) -> Reply:
        way = getattr(world, f"{pod}_way")
        if trading:
            return reply_of(await way.browser.exchanges(way.code))
        return reply_of(await way.another.get(way.back))

    return recipe


# --- the tables

BY_CODE: dict[Code, Recipe] = {
    Code.BAD_JSON: changed(raw_body=b"{"),
    Code.BAD_MESSAGE: altered(_bad_message),
    Code.BAD_FIELD: altered(_bad_field),
    Code.TOO_LONG: altered(_too_long),
    Code.UNSUPPORTED_MEDIA_TYPE: changed(lines=("Content-Type: text/plain",)),
    Code.UNAUTHORIZED: changed(token=None),
    Code.TOKEN_EXPIRED: altered(_expired),
    Code.FORBIDDEN: as_an_outsider,
    Code.NOT_FOUND: altered(_missing),
    Code.UNSUPPORTED: in_a_dm,
    Code.NONCE_CONFLICT: with_a_nonce_again,
    Code.RATE_LIMITED: too_often,
    Code.OVERLOADED: of_a_full_pod,
    Code.UNAVAILABLE: without_the_database,
    Code.INTERNAL: without_the_tables,
    Code.DRAINING: of_a_pod_that_leaves,
}
BY_OPERATION: dict[tuple[str, Code], Recipe] = {
    ("POST /auth/register", Code.CONFLICT): altered(
        lambda ask, _, __, scene: ask.but(body={**ask.body, "email": scene.ann.email})
    ),
    ("POST /auth/login", Code.UNAUTHORIZED): put(password="another than that"),
    ("POST /auth/refresh", Code.UNAUTHORIZED): put(refreshToken="nobody's"),
    ("POST /auth/refresh", Code.RATE_LIMITED): refreshed_too_often,
    ("POST /auth/logout", Code.UNAUTHORIZED): changed(body={"all": True}),
    ("POST /auth/password", Code.FORBIDDEN): signed_in_long_ago,
    ("POST /auth/password", Code.CONFLICT): while_the_password_changes,
    ("GET /auth/oauth/{provider}", Code.UNAVAILABLE): changed(path="/auth/oauth/gone"),
    ("GET /auth/oauth/{provider}/callback", Code.BAD_MESSAGE): changed(),
    ("GET /auth/oauth/{provider}/callback", Code.UNAVAILABLE): of_a_sign_in("away", trading=False),
    ("GET /auth/oauth/{provider}/callback", Code.INTERNAL): of_a_sign_in("broken", trading=False),
    ("POST /auth/oauth/{provider}/link", Code.FORBIDDEN): signed_in_long_ago,
    ("POST /auth/oauth/exchange", Code.NOT_FOUND): put(code=SECRET),
    ("POST /auth/oauth/exchange", Code.CONFLICT): of_a_taken_address,
    ("POST /auth/oauth/exchange", Code.UNAUTHORIZED): of_somebody_disabled,
    ("POST /auth/oauth/exchange", Code.UNAVAILABLE): of_a_sign_in("away", trading=True),
    ("POST /auth/oauth/exchange", Code.INTERNAL): of_a_sign_in("broken", trading=True),
    ("DELETE /auth/identities/{provider}", Code.CONFLICT): of_the_last_identity,
    ("POST /channels", Code.NOT_FOUND): put(members=[MISSING]),
    ("POST /channels/{id}/leave", Code.CONFLICT): of_ones_own_ownership,
    ("DELETE /channels/{id}/members/{userId}", Code.CONFLICT): of_ones_own_ownership,
    ("GET /ws", Code.UNAUTHORIZED): upgrading(lambda *_: [_bearer("nonsense")]),
    ("GET /ws", Code.TOKEN_EXPIRED): upgrading(
        lambda world, scene: [
            _bearer(world.people.tokens.sign(scene.ann.id, scene.ann.session_id, now=0))
        ]
    ),
    ("GET /ws", Code.FORBIDDEN): upgrading(lambda *_: ["Origin: https://evil.example"]),
    ("GET /readyz", Code.UNAVAILABLE): until_it_is_not_ready,
}


def recipe_of(operation: str, code: Code, status: int) -> Recipe | None:
    """How to bring that about; None: nobody knows."""
    if code is Code.TOO_LARGE:
        return TOO_LARGE.get(status)
    if status == 426:
        return changed()  # all that this operation ever answers, where no upgrade is asked for
    return BY_OPERATION.get((operation, code)) or BY_CODE.get(code)


def elsewhere(route: Route, code: Code) -> Recipe | None:
    """What brings that about where it is documented; None: it makes no sense here."""
    if code is Code.UNAUTHORIZED:
        return changed(token="nonsense")
    of_a_channel = route.template.startswith("/channels/{id}")
    senseless = {
        Code.TOO_LONG: True,  # which is of a field, by its name
        Code.UNSUPPORTED: not of_a_channel,
        Code.NONCE_CONFLICT: route.body is None,
    }
    return None if senseless.get(code) else BY_CODE[code]
