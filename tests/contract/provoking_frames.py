"""How to bring about each documented error and close of the WebSocket: a recipe for each.

Owns: the tables of recipes. A recipe talks to a real server and returns its `error` or its close
code; whether that is what was wanted is the test's to say.
"""

import time
from collections.abc import Awaitable, Callable

from rtchat.errors import Close, Code
from tests.contract.provoking import Scene, World, command
from tests.contract.provoking_rest import MISSING, TRIES
from tests.contract.rest import JSON
from tests.people import Person
from tests.raw import CONT, PING, TEXT, Raw, eventually, frame, raw
from tests.sockets import Wire, wire

Recipe = Callable[[World, str], Awaitable[JSON]]
CloseRecipe = Callable[[World], Awaitable[int | None]]

WRONG: dict[str, JSON] = {
    "auth": {"token": 1.5},
    "sub": {"ch": 1.5},
    "unsub": {"ch": 1.5},
    "send": {"content": 1.5},
    "edit": {"content": 1.5},
    "del": {"of": 1.5},
    "react": {"emoji": "yes"},
    "read": {"seq": 1.5},
    "typing": {"ch": 1.5},
    "ping": {"ref": 1.5},
}
LONG: dict[str, JSON] = {
    "auth": {"token": "t" * 8193},
    "sub": {"epoch": "e" * 65},
    "unsub": {"ref": "r" * 65},
    "send": {"content": "c" * 4001},
    "edit": {"content": "c" * 4001},
    "del": {"nonce": "n" * 65},
    "react": {"emoji": "👍" * 17},
    "read": {"ref": "r" * 65},
    "typing": {"ref": "r" * 65},
    "ping": {"ref": "r" * 65},
}


SILENT = {"read", "typing"}  # not answered where they go well


async def first_answer(socket: Wire, frame: JSON) -> JSON:
    """What comes for this frame; `pong` where it is not answered."""
    if frame["t"] not in SILENT:
        return await socket.ask(frame)
    await socket.send(frame)
    await socket.send({"t": "ping", "ref": "behind"})
    frames = await socket.until(ref="behind")
    return frames[0]


async def answer_to(world: World, person: Person, *frames: JSON | str) -> JSON:
    """What comes back for the last of these frames, on a socket of this person's."""
    async with wire(world.pod.ws_url, person) as socket:
        answer: JSON = {}
        for one in frames:
            await socket.send(one)
            answer = await socket.recv()
            while answer["t"] == "msg":
                answer = await socket.recv()
        await socket.alive()
        return answer


def altered(change: Callable[[World, Scene, str], JSON]) -> Recipe:
    """A command that is not as it should be, on a socket that is."""

    async def recipe(world: World, t: str) -> JSON:
        scene = await world.scene()
        asked = {**command(t, scene), **change(world, scene, t)}
        return await answer_to(world, scene.ann, asked)

    return recipe


def said(text: str) -> Recipe:
    """What is no command."""

    async def recipe(world: World, _: str) -> JSON:
        return await answer_to(world, (await world.scene()).ann, text)

    return recipe


def expired(world: World, person: Person) -> str:
    """A token that was good an hour ago."""
    return world.people.tokens.sign(person.id, person.session_id, now=time.time() - 3600)


async def as_an_outsider(world: World, t: str) -> JSON:
    scene = await world.scene()
    return await answer_to(world, await world.people.new("eve"), command(t, scene))


async def with_a_nonce_again(world: World, t: str) -> JSON:
    scene = await world.scene()
    if t in SILENT:
        async with wire(world.pod.ws_url, scene.ann) as socket:
            return await first_answer(socket, {**command(t, scene), "nonce": "n"})
    first = {**command("send", scene), "nonce": "n"}
    another = {"content": "another"} if t in ("send", "edit") else {}
    again = {**command(t, scene), **another, "nonce": "n"}
    return await answer_to(world, scene.ann, first, again)


async def too_often(world: World, t: str) -> JSON:
    scene = await world.scene()
    many = {str(MISSING - number): None for number in range(5)}
    asked = {**command(t, scene), **({"ch": many} if t == "sub" else {})}
    answer: JSON = {}
    async with wire(world.pod.ws_url, scene.ann) as socket:
        for _ in range(TRIES):
            answer = await socket.ask(asked)
            if answer.get("code") == Code.RATE_LIMITED:
                break
    return answer


async def too_often_unanswered(world: World, t: str) -> JSON:
    """What goes through is not answered, or that too many marks wait."""
    scene = await world.scene()
    async with wire(world.pod.ws_url, scene.ann) as socket:
        for _ in range(TRIES):
            await socket.send(command(t, scene))
        return (await socket.until(code=Code.RATE_LIMITED))[-1]


async def behind_a_mark_that_waits(world: World, t: str) -> JSON:
    """One fits."""
    scene = await world.scene()
    async with wire(world.pod.ws_url, scene.ann) as socket:
        async with wire(world.pod.ws_url, scene.bob) as another:
            await another.send({**command(t, scene), "ref": "waits"})
            await another.send({"t": "ping", "ref": "behind"})
            await another.until(ref="behind")
        return await socket.ask(command(t, scene))


async def behind_a_write_that_waits(world: World, t: str) -> JSON:
    """The queue takes one."""
    scene = await world.scene()
    async with wire(world.pod.ws_url, scene.ann) as socket, world.sql.transaction():
        await world.sql.execute("SELECT FROM channels WHERE id = $1 FOR UPDATE", scene.channel)
        await socket.send({**command("send", scene), "ref": "waits"})
        return await first_answer(socket, command(t, scene))


async def without_the_database(world: World, t: str) -> JSON:
    return await world.away_wire.ask(command(t, world.away_scene))


async def without_the_tables(world: World, t: str) -> JSON:
    return await world.broken_wire.ask(command(t, world.broken_scene))


async def of_a_pod_that_leaves(world: World, t: str) -> JSON:
    return world.drained.frames[t]


# --- as the first frame


async def first(world: World, token: str) -> tuple[int, JSON]:
    """How a socket ends whose first frame has this token, and the frame before that."""
    async with wire(world.pod.ws_url) as socket:
        await socket.send({"t": "auth", "ref": "it", "token": token})
        answer = await socket.recv()
        if answer["t"] == "hello":
            return 0, answer
        code, _ = await socket.closed()
        return code, answer


async def in_too_often(world: World, t: str) -> JSON:
    scene = await world.scene()
    for _ in range(TRIES):
        _, answer = await first(world, scene.ann.token)
        if answer["t"] == "error":
            return answer
    raise AssertionError("never refused")


async def beside_another_socket(world: World, _: str) -> JSON:
    scene = await world.scene()
    async with wire(world.pod.ws_url, scene.ann):
        return (await first(world, scene.ann.token))[1]


# --- how a socket ends


def sending(*frames: bytes) -> CloseRecipe:
    """Send bytes on a socket that is signed in."""

    async def recipe(world: World) -> int | None:
        async with raw(world.pod.port) as client:
            await client.upgrade((await world.scene()).ann)
            await client.send(b"".join(frames))
            return await _ended(client)

    return recipe


async def binary(world: World) -> int | None:
    async with wire(world.pod.ws_url, (await world.scene()).ann) as socket:
        await socket.send(b"x")
        return (await socket.closed())[0]


async def _ended(client: Raw) -> int | None:
    await client.rest()
    return client.close_code()


async def signed_out(world: World) -> int | None:
    scene = await world.scene()
    async with wire(world.pod.ws_url, scene.ann) as socket:
        body = {"refreshToken": scene.ann.refresh_token}
        answer = await world.web.post(f"{world.pod.url}/auth/logout", json=body)
        assert answer.status_code == 204
        return (await socket.closed())[0]


async def not_reading(world: World) -> int | None:
    """Who takes nothing is cut: the code is decided, and stands behind what is not taken."""
    scene = await world.scene()
    await world.sql.execute(
        "INSERT INTO messages (channel_id, seq, kind, user_id, content, timestamp, nonce)"
        " SELECT $1, n, 1, $2, repeat('x', 4000), now(), n::text FROM generate_series(2, 500) n",
        scene.channel,
        scene.ann.id,
    )
    await world.sql.execute("UPDATE channels SET last_seq = 500 WHERE id = $1", scene.channel)
    async with raw(world.pod.port, rcvbuf=4096) as client:
        await client.upgrade(scene.ann)
        await client.send(frame(TEXT, b'{"t":"sub","ref":1,"ch":{"%d":0}}' % scene.channel))
        await eventually(lambda: world.pod.events("client too slow"))
        found = await _ended(client)
    return Close.TOO_SLOW if found is None else found


async def mute(world: World) -> int | None:
    return await _ended(world.mute)


async def of_a_token(world: World, token: str) -> int | None:
    return (await first(world, token))[0]


async def beside_another(world: World) -> int | None:
    scene = await world.scene()
    async with wire(world.pod.ws_url, scene.ann):
        return (await first(world, scene.ann.token))[0]


async def of_an_expired_token(world: World) -> int | None:
    return (await first(world, expired(world, world.bob)))[0]


async def of_a_bad_token(world: World) -> int | None:
    return (await first(world, "nonsense"))[0]


async def sent_away(world: World) -> int | None:
    return world.drained.close


# --- the tables

UNREADABLE: dict[Code, Recipe] = {
    Code.BAD_JSON: said("{"),
    Code.BAD_MESSAGE: said("[]"),
    Code.UNKNOWN_TYPE: said('{"t":"nothing","ref":"it"}'),
}
BY_CODE: dict[Code, Recipe] = {
    Code.BAD_FIELD: altered(lambda _, __, t: WRONG[t]),
    Code.TOO_LONG: altered(lambda _, __, t: LONG[t]),
    Code.FORBIDDEN: as_an_outsider,
    Code.NOT_FOUND: altered(lambda *_: {"ch": MISSING}),
    Code.NONCE_CONFLICT: with_a_nonce_again,
    Code.RATE_LIMITED: too_often,
    Code.OVERLOADED: behind_a_write_that_waits,
    Code.UNAVAILABLE: without_the_database,
    Code.INTERNAL: without_the_tables,
    Code.DRAINING: of_a_pod_that_leaves,
}
BY_COMMAND: dict[tuple[str, Code], Recipe] = {
    ("auth", Code.UNAUTHORIZED): altered(lambda *_: {"token": "nonsense"}),
    ("auth", Code.TOKEN_EXPIRED): altered(
        lambda world, scene, _: {"token": expired(world, scene.ann)}
    ),
    ("auth", Code.FORBIDDEN): altered(lambda _, scene, __: {"token": scene.bob.token}),
    ("auth", Code.RATE_LIMITED): in_too_often,
    ("auth", Code.OVERLOADED): beside_another_socket,
    ("read", Code.RATE_LIMITED): too_often_unanswered,
    ("typing", Code.RATE_LIMITED): too_often_unanswered,
    ("read", Code.OVERLOADED): behind_a_mark_that_waits,
}
NEVER_SENT = {Close.RESTART, Close.FORBIDDEN}  # as their texts say
CLOSES: dict[Close, CloseRecipe] = {
    Close.PROTOCOL_BROKEN: sending(b"\xff\x80\0\0\0\0"),
    Close.UNSUPPORTED_DATA: binary,
    Close.BAD_TEXT: sending(frame(TEXT, b"\xff")),
    Close.TOO_BIG: sending(frame(TEXT, b"x" * 65_000, fin=False), frame(CONT, b"x" * 65_000)),
    Close.FAILED: mute,
    Close.NOT_AUTHENTICATED: of_a_bad_token,
    Close.SESSION_REVOKED: signed_out,
    Close.FLOOD: sending(frame(PING) * 1000),
    Close.PROTOCOL_ERROR: sending(frame(TEXT, b"x", fin=False), frame(CONT, fin=False) * 100),
    Close.OVER_CAPACITY: beside_another,
    Close.TOO_SLOW: not_reading,
    Close.DRAINING: sent_away,
    Close.TOKEN_EXPIRED: of_an_expired_token,
}


def recipe_of(t: str, code: Code) -> Recipe | None:
    """How to bring that about; None: nobody knows."""
    return BY_COMMAND.get((t, code)) or BY_CODE.get(code)
