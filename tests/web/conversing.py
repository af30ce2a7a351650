"""Two programs on rtchat.js that converse in one channel, while their server comes and goes.

Owns: the server, which comes back on the same port; the programs, what they were told to write and
what they said of it; and `faults`, which finds every loss, double, gap and disorder. What waits
here waits for something that is seen, within a bound.
"""

import asyncio
import contextlib
import functools
import json
import secrets
import shutil
import signal
import subprocess
import time
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx2
import pytest

from rtchat.server.launch import free_port
from rtchat.tasks import Tasks
from tests import documented
from tests.faults.pod import Act, Point, signal_of
from tests.pods import ROOT, Pod, Pods

JSON = dict[str, Any]

PROGRAM = Path("docs/examples/converse.mjs")
CLIENT = Path("rtchat/web")
NAMES = ("ann", "bob")
EVERY_S = 0.02  # between two messages of one author
SOME = 20  # acks that each has had before its server goes, and after it came back
PATIENCE_S = 15.0
SILENCE_S = 1.5  # nothing new for so long: nothing more will come
TIMES = {"backOffMs": 50, "backOffMaxMs": 400}  # a tenth of the guide's, and less
SETTINGS: JSON = {"sends_per_second": 0, "drain_return_ms": 100}


@functools.cache
def node() -> tuple[str, ...]:
    """How to run a program that needs a WebSocket; empty where it cannot be."""
    if shutil.which("node") is not None:
        for options in ((), ("--experimental-websocket",)):
            command = ("node", "--no-warnings", *options)
            asked = [*command, "-p", "typeof WebSocket"]
            told = subprocess.run(asked, capture_output=True, text=True, check=False)
            if told.stdout.strip() == "function":
                return command
    return ()


needs_websocket = pytest.mark.skipif(
    not node(), reason="node is not on PATH, or has no WebSocket (22 has; 20 with an option)"
)


class Server:
    """`rtchat serve`, which is stopped or killed and started again on the same port."""

    def __init__(self, pods: Pods, database_url: str) -> None:
        self._pods, self._database_url = pods, database_url
        self._port = free_port()
        self.pod: Pod = self._spawn()

    def _spawn(self) -> Pod:
        # As it ships, but for the point at which it can be told to die.
        module, port = "tests.faults.pod", self._port
        return self._pods.spawn(self._database_url, module=module, port=port, **SETTINGS)

    async def start(self) -> None:
        """Start it again."""
        self.pod = self._spawn()
        await self.pod.listening()

    async def stop(self) -> None:
        """In good order, as an operator does."""
        self.pod.signal(signal.SIGTERM)
        assert await self.pod.ended() == 0, self.pod.log()

    async def die(self) -> None:
        """By SIGKILL, when writes are stored and before anyone has been told."""
        self.pod.signal(signal_of(Point.AFTER_COMMIT, Act.DIE))
        assert await self.pod.ended() == -signal.SIGKILL, self.pod.log()

    @contextlib.asynccontextmanager
    async def rest(self) -> AsyncIterator[httpx2.AsyncClient]:
        """A client of its REST, whose answers are held to the document."""
        async with httpx2.AsyncClient(base_url=self.pod.url, timeout=20) as http:
            documented.watch(http)
            yield http


@dataclass
class Speaker:
    """One program: what it was told to write, and what it said."""

    name: str
    user: int
    asked: list[str] = field(default_factory=list)
    acks: list[JSON] = field(default_factory=list)
    entries: list[JSON] = field(default_factory=list)
    states: list[str] = field(default_factory=list)
    followed: list[JSON] = field(default_factory=list)  # what each channel was told
    frames: list[tuple[str, JSON]] = field(default_factory=list)  # sent or received, in order
    odd: list[JSON] = field(default_factory=list)  # whatever else it said
    heard: float = 0.0  # when it said something last
    process: asyncio.subprocess.Process | None = None

    @property
    def connected(self) -> bool:
        return self.states[-1:] == ["online"]

    async def start(self, program: Path, url: str, **how: Any) -> None:
        self.process = await asyncio.create_subprocess_exec(
            *node(), program, url, stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE
        )
        self._do(do="start", times=TIMES, frames=True, **how)

    def _do(self, **command: Any) -> None:
        assert self.process is not None
        assert self.process.stdin is not None
        self.process.stdin.write(f"{json.dumps(command)}\n".encode())

    async def talk(self) -> None:
        """Number messages, one after the other, answers or not."""
        while True:
            self.asked.append(f"{self.name} {len(self.asked) + 1}")
            self._do(do="send", content=self.asked[-1])
            await asyncio.sleep(EVERY_S)

    async def listen(self) -> None:
        """Note what it says, up to its end."""
        assert self.process is not None
        assert self.process.stdout is not None
        async for line in self.process.stdout:
            said = json.loads(line)
            if "frame" in said:
                self.frames.append((said["way"], said["frame"]))
                continue
            self.heard = time.monotonic()
            if "entry" in said:
                self.entries.append(said["entry"])
            elif "sent" in said:
                self.acks.append(said["sent"])
            elif "state" in said:
                self.states.append(said["state"])
            elif "followed" in said:
                self.followed.append(said["followed"])
            else:
                self.odd.append(said)

    async def stop(self) -> int:
        """Let it come to its end, by command; returns its exit status."""
        assert self.process is not None
        self._do(do="stop")
        async with asyncio.timeout(PATIENCE_S):
            return await self.process.wait()

    async def kill(self) -> None:
        if self.process is not None and self.process.returncode is None:
            self.process.kill()
            await self.process.wait()


@dataclass
class Conversation:
    """What came of it."""

    speakers: list[Speaker]
    unanswered: list[int] = field(default_factory=list)  # writes, at each end of the server
    log: list[JSON] = field(default_factory=list)  # as REST has it

    def __str__(self) -> str:
        return "; ".join(
            f"{s.name}: {len(s.asked)} asked, {len(s.acks)} acked, {len(s.entries)} entries,"
            f" {s.states[-5:]}, {s.odd[:5]}"
            for s in self.speakers
        )

    async def until(self, condition: Callable[[], bool]) -> None:
        """Wait until something is seen."""
        deadline = time.monotonic() + PATIENCE_S
        while not condition():
            assert time.monotonic() < deadline, str(self)
            await asyncio.sleep(0.01)


async def converse(
    server: Server, *ends: Callable[[Server], Awaitable[None]], root: Path = ROOT
) -> Conversation:
    """Let two of them talk, while the server ends in these ways and comes back."""
    await server.pod.listening()
    tasks = Tasks("conversing")
    async with server.rest() as http:
        accounts = [await _registered(http, name) for name in NAMES]
        headers = {"Authorization": f"Bearer {accounts[0]['accessToken']}"}
        members = [account["user"]["id"] for account in accounts[1:]]
        body = {"type": "private", "name": "both", "members": members}
        channel = (await http.post("/channels", json=body, headers=headers)).json()["id"]
    held = Conversation([Speaker(n, a["user"]["id"]) for n, a in zip(NAMES, accounts, strict=True)])
    try:
        for speaker, account in zip(held.speakers, accounts, strict=True):
            who = {"email": account["user"]["email"], "password": account["password"]}
            await speaker.start(root / PROGRAM, server.pod.url, channel=channel, cursor=0, **who)
        listening = [tasks.start(speaker.listen()) for speaker in held.speakers]
        await _all_acked(held)
        talking = [tasks.start(speaker.talk()) for speaker in held.speakers]
        for end in ends:
            await _all_acked(held, SOME)
            await end(server)
            held.unanswered.append(sum(len(s.asked) - len(s.acks) for s in held.speakers))
            await server.start()
        await _all_acked(held, SOME)
        for talk in talking:
            talk.cancel()
        await held.until(lambda: _is_settled(held))
        assert [await speaker.stop() for speaker in held.speakers] == [0, 0]
        await asyncio.wait(listening, timeout=PATIENCE_S)
    finally:
        for speaker in held.speakers:
            await speaker.kill()
        await tasks.close()
    async with server.rest() as http:
        held.log = await _log(http, channel, headers)
    server.pod.kill()
    return held


async def _registered(http: httpx2.AsyncClient, name: str) -> JSON:
    email, password = f"{name}-{secrets.token_hex(4)}@example.org", "a horse of course"
    body = {"email": email, "password": password, "name": name}
    answer = await http.post("/auth/register", json=body)
    assert answer.status_code == 201, answer.text
    return {**answer.json(), "password": password}


async def _all_acked(held: Conversation, more: int = 0) -> None:
    """Wait until each is connected, and had so many acks more."""
    await held.until(lambda: all(speaker.connected for speaker in held.speakers))
    wanted = [(speaker, len(speaker.acks) + more) for speaker in held.speakers]
    await held.until(lambda: all(len(speaker.acks) >= count for speaker, count in wanted))


def _is_settled(held: Conversation) -> bool:
    """Whether all was answered and seen; or nothing happens any more."""
    total = sum(len(speaker.asked) for speaker in held.speakers)
    complete = all(len(s.acks) == len(s.asked) and len(s.entries) == total for s in held.speakers)
    return complete or all(time.monotonic() - s.heard > SILENCE_S for s in held.speakers)


async def _log(http: httpx2.AsyncClient, channel: int, headers: dict[str, str]) -> list[JSON]:
    log: list[JSON] = []
    more = True
    while more:
        after = log[-1]["seq"] if log else 0
        path = f"/channels/{channel}/messages?after={after}&limit=200"
        page = (await http.get(path, headers=headers)).json()
        log += page["items"]
        more = page["hasMore"]
    return log


def faults(held: Conversation) -> set[str]:
    """What went wrong, by name."""
    log = {entry["seq"]: (entry["userId"], entry["content"]) for entry in held.log}
    told = Counter(content for _, content in log.values())
    asked = Counter(content for speaker in held.speakers for content in speaker.asked)
    found: set[str] = set()
    if told - asked:
        found.add("stored twice")
    if asked - told:
        found.add("not stored")
    if list(log) != list(range(1, len(log) + 1)):
        found.add("a gap in the log")
    for speaker in held.speakers:
        found.update(_faults_of(speaker, log))
    return found


def _faults_of(speaker: Speaker, log: dict[int, tuple[int, str]]) -> Iterator[str]:
    acks = [frame for way, frame in speaker.frames if way == "received" and frame["t"] == "ack"]
    if [ack["content"] for ack in speaker.acks] != speaker.asked or len(acks) != len(speaker.asked):
        yield "not acked once each, in order"
    seqs = [ack["seq"] for ack in speaker.acks]
    if seqs != sorted(set(seqs)):
        yield "an author's order is not the log's"
    if any(log.get(a["seq"]) != (speaker.user, a["content"]) for a in speaker.acks):
        yield "an ack of something else"
    if [entry["seq"] for entry in speaker.entries] != list(log):
        yield "not every entry once, in order"
    if any(log.get(e["seq"]) != (e["user"], e["content"]) for e in speaker.entries):
        yield "an entry of something else"
    if speaker.odd:
        yield f"said {speaker.odd[:3]}"
