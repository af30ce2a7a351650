"""Servers in every trouble there is, and a good request for each route to bring to them.

Owns: the pods of `test_documented_errors.py`, what is wrong with each, and who asks. What is then
asked so that a certain error comes is in `provoking_rest` and `provoking_frames`.
"""

import asyncio
import contextlib
import json
import secrets
import signal
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass, field, replace
from typing import Any

import asyncpg
import httpx2

from rtchat.api.router import Route
from rtchat.api.routes import ROUTES
from rtchat.commands import COMMANDS
from tests.contract.rest import JSON, Reply, exchange, read_reply
from tests.faults.proxy import FaultProxy
from tests.oidc.browser import Browser
from tests.oidc.conftest import PUBLIC, settings
from tests.oidc.process import Idp
from tests.people import People, Person
from tests.pods import Pod, Pods
from tests.raw import Raw, handshake, raw
from tests.sockets import Wire, wire

PASSWORD = "correct horse 7 battery"
SECRET = "x" * 43  # as a state or a code would look
TOKEN = "operators-0123456789"
# Low enough that a few requests of somebody new are too many.
TIGHT: dict[str, Any] = {
    "trusted_proxies": "127.0.0.1",
    "sends_burst": 3,
    "sends_per_second": 1,
    "user_sends_factor": 1,
    "user_reads_per_second": 1,
    "user_changes_per_minute": 3,
    "user_creations_per_minute": 3,
    "user_connects_per_second": 1,
    "user_password_changes_per_minute": 3,
    "user_refreshes_per_minute": 1,
    "subs_per_second": 1,
    "ephemerals_per_second": 1,
    "ephemerals_burst": 3,
    "read_marks_max": 1,
    "read_flush_ms": 60_000,
    "address_registers_per_minute": 1,
    "address_logins_per_minute": 1,
    "address_sso_per_minute": 1,
    "connections_per_user": 1,
    "queue_max_rows": 1,
    "write_high_bytes": 16_384,
    "write_low_bytes": 4096,
    "slow_deadline_ms": 100,
    "internal_token": TOKEN,
}
TABLES = "users channels members messages reactions sessions refresh_tokens identities"


@dataclass(frozen=True)
class Scene:
    """Who asks, and about what: Ann, her public channel and her message in it."""

    ann: Person
    bob: Person  # another member
    channel: int


@dataclass(frozen=True)
class Ask:
    """A request, to be changed for the worse."""

    method: str
    path: str
    query: str = ""
    body: Any = None
    token: str | None = None
    address: str = ""  # where it comes from, to a pod that believes that
    lines: tuple[str, ...] = ()  # further ones of its head
    raw_body: bytes | None = None  # in the place of the other

    def but(self, **changes: Any) -> "Ask":
        """The same, except for this."""
        return replace(self, **changes)

    def bytes(self) -> bytes:
        """As it is sent."""
        target = f"{self.path}?{self.query}" if self.query else self.path
        lines = [f"{self.method} {target} HTTP/1.1", "Host: rtchat.test", *self.lines]
        if self.address:
            lines.append(forwarded(self.address))
        if self.token is not None:
            lines.append(f"Authorization: Bearer {self.token}")
        data = self.raw_body
        if data is None and self.body is not None:
            data = json.dumps(self.body).encode()
        told = {line.partition(":")[0].lower() for line in self.lines}
        if data is not None and "content-type" not in told:
            lines.append("Content-Type: application/json")
        if data is not None and "transfer-encoding" not in told:
            lines.append(f"Content-Length: {len(data)}")
        return "\r\n".join([*lines, "", ""]).encode("latin-1") + (data or b"")


BODIES: dict[str, Callable[[Scene], JSON]] = {
    "POST /auth/register": lambda _: {"email": a_new_address(), "password": PASSWORD},
    "POST /auth/login": lambda s: {"email": s.ann.email, "password": PASSWORD},
    "POST /auth/refresh": lambda s: {"refreshToken": s.ann.refresh_token},
    "POST /auth/logout": lambda s: {"refreshToken": s.ann.refresh_token},
    "POST /auth/oauth/exchange": lambda _: {"code": SECRET},
    "POST /auth/password": lambda _: {"newPassword": PASSWORD},
    "PATCH /users/me": lambda _: {"status": "here"},
    "POST /channels": lambda _: {"type": "public", "name": "another"},
    "PATCH /channels/{id}": lambda _: {"name": "renamed"},
    "POST /channels/{id}/members": lambda s: {"userId": s.bob.id},
    "PATCH /channels/{id}/members/{userId}": lambda _: {"role": "admin"},
    "POST /channels/{id}/messages": lambda _: {"content": "hi"},
    "PATCH /channels/{id}/messages/{seq}": lambda _: {"content": "ho"},
}
QUERIES = {
    "GET /users": "q=ann",
    "GET /auth/oauth/{provider}/callback": f"state={SECRET}&code=x",
}
COMMAND_FIELDS: dict[str, Callable[[Scene], JSON]] = {
    "auth": lambda s: {"token": s.ann.token},
    "sub": lambda s: {"ch": {str(s.channel): None}},
    "unsub": lambda s: {"ch": [s.channel]},
    "send": lambda s: {"ch": s.channel, "content": "hi"},
    "edit": lambda s: {"ch": s.channel, "of": 1, "content": "ho"},
    "del": lambda s: {"ch": s.channel, "of": 1},
    "react": lambda s: {"ch": s.channel, "of": 1, "emoji": "👍", "on": True},
    "read": lambda s: {"ch": s.channel, "seq": 1},
    "typing": lambda s: {"ch": s.channel},
    "ping": lambda _: {},
}


def a_new_address() -> str:
    return f"{secrets.token_hex(6)}@example.org"


def address_of(scene: Scene) -> str:
    """One that nobody else has, nor another one of its network."""
    return f"2001:db8:{scene.ann.id:x}::1"


def forwarded(address: str) -> str:
    """The line by which a proxy tells it."""
    return f"X-Forwarded-For: {address}"


def operation_of(route: Route) -> str:
    """What the documents call it: `METHOD /path/{parameter}`."""
    return f"{route.method} {route.template}"


def good(route: Route, scene: Scene) -> Ask:
    """The request that nothing is wrong with, but where the pod is in trouble."""
    name = operation_of(route)
    of_session = route.template.startswith("/auth/sessions")
    path = route.template.format(
        id=scene.ann.session_id if of_session else scene.channel,
        userId=scene.bob.id,
        seq=1,
        provider="corp",
    )
    body = BODIES[name](scene) if route.body is not None else None
    ask = Ask(route.method, path, QUERIES.get(name, ""), body, address=address_of(scene))
    return ask.but(token=scene.ann.token) if route.auth else ask


def command(t: str, scene: Scene) -> JSON:
    """The frame that nothing is wrong with."""
    return {"t": t, "ref": f"this {t}", **COMMAND_FIELDS[t](scene)}


# --- the world


@dataclass
class Drained:
    """What a pod answered in its last moments."""

    answers: dict[str, Reply] = field(default_factory=dict)  # by operation
    frames: dict[str, JSON] = field(default_factory=dict)  # by command
    close: int = 0


@dataclass
class Way:
    """Two sign-ins at a provider that were begun while all was well."""

    browser: Browser
    code: str  # to be traded
    another: Browser
    back: str  # where that one goes to


@dataclass
class World:
    """The pods, and who is there."""

    people: People
    sql: asyncpg.Connection
    web: httpx2.AsyncClient
    bob: Person
    pod: Pod  # well, with low limits
    full: Pod  # has one connection, which is all it takes
    away: Pod  # its database cannot be reached
    broken: Pod  # its database has lost its tables
    away_scene: Scene
    broken_scene: Scene
    away_wire: Wire
    broken_wire: Wire
    away_way: Way
    broken_way: Way
    mute: Raw  # a socket on `broken` that answers no ping
    drained: Drained

    async def scene(self) -> Scene:
        """Somebody new, in the database that all pods but the broken one share."""
        return await set_up(self.people, self.sql, self.bob)

    def browser(self) -> Browser:
        """One that has never been at `pod`."""
        return Browser(self.web, PUBLIC, self.pod.url)


_SCENE = """
WITH made AS (
  INSERT INTO channels (name, type, created_by, last_seq) VALUES ('a channel', 'public', $1, 1)
  RETURNING id
), joined AS (
  INSERT INTO members (channel_id, user_id, role)
  SELECT id, $1, 'owner' FROM made UNION ALL SELECT id, $2, 'member' FROM made
), said AS (
  INSERT INTO messages (channel_id, seq, kind, user_id, content, timestamp, nonce)
  SELECT id, 1, 1, $1, 'said', now(), 'first' FROM made
)
SELECT id FROM made
"""


async def set_up(people: People, sql: asyncpg.Connection, bob: Person) -> Scene:
    """Ann, and what is hers."""
    ann = await people.new("ann")
    return Scene(ann, bob, await sql.fetchval(_SCENE, ann.id, bob.id))


def a_person_at_a_provider() -> JSON:
    """What a provider says of somebody new."""
    name = secrets.token_hex(6)
    return {
        "sub": name, "name": "Ann", "email": f"{name}@idp.example", "email_verified": True
    }  # fmt: skip


async def begun(web: httpx2.AsyncClient, pod: Pod) -> Way:
    """Somebody comes back from a provider, and somebody else is about to."""
    one, two = Browser(web, PUBLIC, pod.url), Browser(web, PUBLIC, pod.url)
    landing = await one.arrives("corp", a_person_at_a_provider())
    back = await two.consents(await two.begins("corp"), a_person_at_a_provider())
    return Way(one, landing.told["code"], two, back)


@contextlib.asynccontextmanager
async def troubled(pods: Pods, url: str, broken_url: str, idp: Idp) -> AsyncIterator[World]:
    """Start the pods, and bring each into its trouble."""
    idp.tells("gone", discovery={"body": "error"})
    providers = settings(idp, oidc_providers=idp.setting("corp", "gone"))
    async with contextlib.AsyncExitStack() as stack:
        enter = stack.enter_async_context
        proxy = await enter(FaultProxy(url))
        pod = pods.spawn(url, **providers, **TIGHT)
        broken = pods.spawn(
            broken_url, **providers, heartbeat_s=1, heartbeat_timeout_s=3, auth_deadline_ms=60_000
        )
        away = pods.spawn(
            proxy.url, **providers, write_timeout_ms=150, lock_wait_ms=100, acquire_timeout_ms=500
        )
        full = pods.spawn(url, connections_max=1, header_read_s=300, internal_token=TOKEN)
        leaving = pods.spawn(url, **providers, header_read_s=30)
        people, others = await enter(People(url)), await enter(People(broken_url))
        sql, broken_sql = await asyncpg.connect(url), await asyncpg.connect(broken_url)
        stack.push_async_callback(sql.close)
        stack.push_async_callback(broken_sql.close)
        bob = await people.new("bob")
        for one in (pod, broken, away, full, leaving):
            stack.callback(one.kill)
            await one.listening()
        web = await enter(httpx2.AsyncClient(timeout=30, trust_env=False))
        await enter(raw(full.port))
        away_scene = await set_up(people, sql, bob)
        broken_scene = await set_up(others, broken_sql, await others.new("bob"))
        world = World(
            people, sql, web, bob, pod, full, away, broken, away_scene, broken_scene,
            away_wire=await enter(wire(away.ws_url, away_scene.ann)),
            broken_wire=await enter(wire(broken.ws_url, broken_scene.ann)),
            away_way=await begun(web, away),
            broken_way=await begun(web, broken),
            mute=await (await enter(raw(broken.port))).upgrade(),
            drained=await drained(leaving, lambda: set_up(people, sql, bob), url),
        )  # fmt: skip
        proxy.refuses = True
        proxy.cut()
        broken.fails = True
        for table in TABLES.split():
            await broken_sql.execute(f"ALTER TABLE {table} RENAME TO lost_{table}")
        yield world


# --- the last moments of a pod


async def drained(pod: Pod, new_scene: Callable[[], Awaitable[Scene]], url: str) -> Drained:
    """Let a pod end, and ask it everything then, which it refuses or not.

    A write that waits for a lock of ours holds up first the sockets' part of the drain, until its
    socket is gone, and then the writer's.
    """
    told = Drained()
    routes = [r for r in ROUTES if r.path not in ("/ws", "/readyz")]
    asked = [good(route, await new_scene()).bytes() for route in routes]
    links = [await asyncio.open_connection("127.0.0.1", pod.port) for _ in routes]
    scene = await new_scene()
    held = await asyncpg.connect(url)
    async with held.transaction():
        await held.execute("SELECT FROM channels WHERE id = $1 FOR UPDATE", scene.channel)
        await _sent_away(pod, scene, told)
        while await _listens(pod):
            await asyncio.sleep(0.01)
        for route, ask, link in zip(routes, asked, links, strict=True):
            told.answers[operation_of(route)] = await _answered(ask, *link)
    await held.close()
    return told


async def _sent_away(pod: Pod, scene: Scene, told: Drained) -> None:
    async with wire(pod.ws_url, scene.ann) as busy, wire(pod.ws_url, scene.bob) as idle:
        await busy.send({**command("send", scene), "ref": "accepted"})
        await busy.alive()  # so it was read
        pod.signal(signal.SIGTERM)
        told.close, _ = await idle.closed()
        told.answers["GET /readyz"] = await exchange(pod, Ask("GET", "/readyz").bytes())
        told.answers["GET /ws"] = await exchange(pod, handshake(scene.ann))
        while (await busy.ask({"t": "ping", "ref": "slot?"}))["t"] == "pong":
            await asyncio.sleep(0.005)
        # Now the slot of `busy` has come, too, and it has two seconds from there: all at once.
        asked = {t: command(t, scene) for t in (str(k.__struct_config__.tag) for k in COMMANDS)}
        for frame in asked.values():
            await busy.send(frame)
        for t, frame in asked.items():
            told.frames[t] = await busy.recv()
            assert told.frames[t].get("ref") == frame.get("ref"), told.frames[t]


async def _answered(
    ask: bytes, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
) -> Reply:
    writer.write(ask)
    async with asyncio.timeout(10):
        reply = await read_reply(reader)
    writer.close()
    return reply


async def _listens(pod: Pod) -> bool:
    try:
        _, writer = await asyncio.open_connection("127.0.0.1", pod.port)
    except OSError:
        return False
    writer.close()
    return True
