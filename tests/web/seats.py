"""Tabs of a real Chromium that talk by rtchat.js, behind a network that can be cut.

Owns: a page under the policy that the client asks for, what a tab wrote, saw and was told, and
`agrees`, which holds all of it against the log as REST has it. What waits here waits for something
that is seen, within a bound.
"""

import asyncio
import json
import time
from collections.abc import Callable
from typing import Any

import httpx2

from tests.faults.proxy import FaultProxy, Pipe
from tests.people import Person
from tests.web.conversing import PATIENCE_S

JSON = dict[str, Any]

INTERNAL_TOKEN = "for-the-metrics-of-the-tests-of-the-client"
POLICY = (
    "default-src 'none'; script-src 'self'; connect-src 'self'; {worker}"
    "require-trusted-types-for 'script'; trusted-types rtchat"
)
# Of a link that is dead this tells in half a second, as the real ones do in half a minute.
TIMES = {
    "heartbeatMs": 150,
    "probeMs": 200,
    "wokenMs": 200,
    "lateMs": 400,
    "tickMs": 50,
    "helloMs": 800,
    "backOffMs": 20,
    "backOffMaxMs": 100,
}
BEGIN = """async ({share, times, channel, cursor}) => {
  const { Client, Rest, Session } = await import("./rtchat.js")
  const session = new Session(), client = new Client({ session, share, times })
  const told = { entries: [], acks: [], states: [], faults: [], resets: [], failed: [] }
  const note = (name, list) => client.addEventListener(name, ({detail}) => list.push(detail))
  note("entry", told.entries)
  note("ack", told.acks)
  note("state", told.states)
  note("fault", told.faults)
  note("reset", told.resets)
  Object.assign(globalThis, { Client, Session, session, client, rest: new Rest(session), told })
  client.start()
  globalThis.followed = client.subscribe({ [channel]: cursor })
}"""


class Network:
    """What lies between the tabs and their pod; and how many sockets and renewals went over it."""

    def __init__(self, url: str) -> None:
        self.proxy = FaultProxy(url)
        self.sockets = 0  # that were opened so far
        self.renewals = 0
        self._sockets: set[Pipe] = set()
        self.proxy.strike = self._count

    @property
    def url(self) -> str:
        return self.proxy.url

    def open_sockets(self) -> set[Pipe]:
        """Those that are open now."""
        return self._sockets & self.proxy.pipes

    def _count(self, pipe: Pipe, data: bytes) -> bytes:
        if data.startswith(b"GET /ws "):
            self.sockets += 1
            self._sockets.add(pipe)
        if data.startswith(b"POST /auth/refresh "):
            self.renewals += 1
        return data


class Seat:
    """A tab, who sits at it, and what was written there."""

    def __init__(self, page: Any, url: str, person: Person) -> None:
        self.page, self.url, self.person = page, url, person
        self.asked: list[str] = []
        self.errors: list[str] = []
        self._sent: list[JSON] = []
        page.on("pageerror", lambda error: self.errors.append(str(error)))
        page.on("websocket", lambda socket: socket.on("framesent", self._sends))

    def _sends(self, frame: str | bytes) -> None:
        self._sent.append(json.loads(frame))

    def sent(self, t: str) -> list[JSON]:
        """The frames of this type that the page itself has sent."""
        return [frame for frame in self._sent if frame["t"] == t]

    async def signs_in(self, token: str | None = None) -> None:
        """Keep a person's tokens where the client looks for them."""
        await self.page.goto(f"{self.url}/seat")
        held = {
            "user": {"id": self.person.id, "name": self.person.name},
            "accessToken": token or self.person.token,
            "refreshToken": self.person.refresh_token,
            "renewAt": (time.time() + 600) * 1000,
        }
        await self.page.evaluate(
            "([key, held]) => localStorage.setItem(key, held)",
            [f"rtchat {self.url}/", json.dumps(held)],
        )

    async def begins(
        self, channel: int, cursor: int | None = 0, *, share: bool = True, **times: int
    ) -> None:
        """Start the client, and follow a channel; the answer is not waited for."""
        if not self.page.url.startswith(self.url):
            await self.page.goto(f"{self.url}/seat")
        how = {"share": share, "times": TIMES | times, "channel": channel, "cursor": cursor}
        await self.page.evaluate(BEGIN, how)
        self.channel = channel

    async def follows(self) -> JSON:
        """Wait until it follows; what it was told."""
        answer = await self.does("followed")
        return dict(answer[str(self.channel)])

    async def writes(self, count: int) -> None:
        """Write so many messages at once; acks are not waited for."""
        more = [f"{self.person.name} {len(self.asked) + n}" for n in range(count)]
        self.asked += more
        await self.does(
            "async ([ch, texts]) => Promise.all(texts.map((text) => client.send(ch, text).stored))",
            [self.channel, more],
        )

    async def does(self, script: str, argument: Any = None) -> Any:
        """Run a script of the page's, to its end."""
        async with asyncio.timeout(PATIENCE_S):
            return await self.page.evaluate(script, argument)

    async def told(self, what: str) -> list[Any]:
        """The list of this name."""
        return list(await self.page.evaluate(f"told.{what}"))

    async def until(self, condition: str) -> None:
        """Wait for something of the page's."""
        deadline = time.monotonic() + PATIENCE_S
        while not await self.page.evaluate(f"!!({condition})"):
            if time.monotonic() > deadline:
                seen = await self.page.evaluate(
                    "JSON.stringify([client.state, client.outbox, client.cursors(), told.faults])"
                )
                raise AssertionError(f"{condition}: {seen}")
            await asyncio.sleep(0.02)

    async def is_in(self, *states: str) -> None:
        """Wait for one of these states."""
        await self.until(f"{list(states)}.includes(client.state.name)")

    async def sees(self, head: int) -> None:
        """Wait until it has come so far, and nothing is unanswered."""
        await self.until(f"client.cursors()[{self.channel}] >= {head} && !client.outbox.length")


async def soon(condition: Callable[[], bool]) -> None:
    """Wait for something of the network's."""
    async with asyncio.timeout(PATIENCE_S):
        while not condition():
            await asyncio.sleep(0.02)


async def subscriptions(http: httpx2.AsyncClient) -> int:
    """How many there are on the pod, of all sockets."""
    headers = {"Authorization": f"Bearer {INTERNAL_TOKEN}"}
    lines = (await http.get("/metrics", headers=headers)).text.splitlines()
    counts = [line.split()[-1] for line in lines if line.startswith("rtchat_subscriptions{")]
    assert counts, lines[:5]
    return sum(int(float(count)) for count in counts)


async def log_of(http: httpx2.AsyncClient, channel: int, person: Person) -> list[JSON]:
    """A channel's messages, as REST has them; a test writes less than a page."""
    path = f"/channels/{channel}/messages?limit=200"
    return list((await http.get(path, headers=person.headers)).json()["items"])


async def agrees(http: httpx2.AsyncClient, *seats: Seat, since: int = 0) -> None:
    """Hold the seats against the log: everything that was written is there once, in its author's
    order; everybody saw each entry once, in order; and nothing is left in an outbox."""
    asked = {seat.person.name: seat.asked for seat in seats}
    count = sum(len(texts) for texts in asked.values())
    for seat in seats:
        await seat.sees(count)
    log = await log_of(http, seats[0].channel, seats[0].person)
    assert [message["seq"] for message in log] == list(range(1, count + 1))
    for name, texts in asked.items():
        stored = [m["content"] for m in log if m["content"].startswith(f"{name} ")]
        assert stored == texts
    for seat in seats:
        seen = [(entry["seq"], entry["content"]) for entry in await seat.told("entries")]
        assert seen == [(m["seq"], m["content"]) for m in log if m["seq"] > since]
        assert seat.errors == []
