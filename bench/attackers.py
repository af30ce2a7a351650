"""The attackers: bytes that no client would send, from a process of its own (`bench.attack`).

Owns: the table of attacks, each with the rate at which one machine sends it, and what became of
every connection. Must never: send faster than its rate, or the machine is measured instead of the
server. Reads one JSON line (port, tokens, channel, seconds, names) and writes one with its counts.
"""

import asyncio
import contextlib
import json
import os
import random
import resource
import struct
import sys
import time
from collections import Counter
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Any

from tests.raw import CONT, PING, TEXT, Raw, frame, handshake, raw

DRIP_S = 1.0
HOLD_S = 25.0  # longer than anything here is let live
TURN_S = 0.005  # they begin evenly
LATE_S = 0.02
NICE = 5  # whoever measures goes first


@dataclass
class Aim:
    """What an attacker knows, and what became of its connections."""

    port: int
    tokens: list[str]
    channel: int
    seconds: float
    random: random.Random
    ends: Counter[str] = field(default_factory=Counter)
    opened: int = 0
    sent_bytes: int = 0

    def handshake(self, *extra: str, signed_in: bool = True) -> bytes:
        """A socket's request, by anybody of ours."""
        bearer = f"Authorization: Bearer {self.random.choice(self.tokens)}"
        return handshake(None, *extra, *([bearer] if signed_in else []))


@dataclass(frozen=True)
class Attack:
    """What one connection does, how many begin a second, and how many there are at once."""

    says: str
    once: Callable[[Aim, Raw], Awaitable[object]]
    per_second: float
    at_once: int
    rcvbuf: int | None = None


# --- what one connection does


async def drip(aim: Aim, client: Raw) -> None:
    """A head that never comes to its end."""
    await client.send(b"GET /healthz HTTP/1.1\r\nHost: x\r\nX: ")
    ended = False
    while not ended:
        await asyncio.sleep(DRIP_S)
        ended = await client.flood(b"x", upto_bytes=client.sent + 1)


async def come_and_go(aim: Aim, client: Raw) -> None:
    """Nothing but the connection."""


async def linger(aim: Aim, client: Raw) -> None:
    """A connection that says nothing."""
    await client.rest()


async def guest(aim: Aim, client: Raw) -> None:
    """A socket that does not say who it is."""
    await client.send(aim.handshake(signed_in=False))
    await client.rest()


async def signed_in(aim: Aim, client: Raw) -> bool:
    """Whether the pod takes one of us in."""
    await client.send(aim.handshake())
    if not await heard(client, b'"hello"'):
        return False
    client.received.clear()
    return True


async def heard(client: Raw, what: bytes) -> bool:
    """Whether this comes before the end."""
    while what not in client.received:
        if not await client.recv():
            return False
    return True


def flooding(
    piece: bytes, upto_bytes: int, begin: bytes = b""
) -> Callable[[Aim, Raw], Awaitable[None]]:
    """Somebody who signs in and sends this as often as it goes."""

    async def flood(aim: Aim, client: Raw) -> None:
        if await signed_in(aim, client):
            await client.send(begin)
            await client.flood(piece, upto_bytes=client.sent + upto_bytes)
            await client.rest()

    return flood


async def too_many_sends(aim: Aim, client: Raw) -> None:
    """Good messages, far more than are allowed."""
    send = {"t": "send", "ref": 1, "ch": aim.channel, "content": "x" * 100}
    text = json.dumps(send).encode()
    await flooding(frame(TEXT, text) * 50, 1_000_000)(aim, client)


def announced(size: int) -> bytes:
    """The header of a frame that long."""
    return struct.pack("!BBQ4x", 0x80 | TEXT, 0xFF, size)


async def bomb_offer(aim: Aim, client: Raw) -> None:
    """Compression offered, and a compressed frame sent whatever the answer was."""
    await client.send(aim.handshake("Sec-WebSocket-Extensions: permessage-deflate"))
    if await heard(client, b'"hello"'):
        await client.send(bytes([frame(TEXT)[0] | 0x40]) + frame(TEXT, b"\xaa\x56" * 2000)[1:])
        await client.rest()


def body(*headers: str) -> bytes:
    """The head of a request with a body."""
    lines = ["POST /auth/login HTTP/1.1", "Host: x", "Content-Type: application/json", *headers]
    return "\r\n".join([*lines, "", ""]).encode()


async def big_body(aim: Aim, client: Raw) -> None:
    """4 MB where 64 KB are allowed."""
    await client.send(body("Content-Length: 4194304"))
    await client.flood(b"x" * 65_536, upto_bytes=client.sent + 4_194_304)
    await client.rest()


async def chunked_body(aim: Aim, client: Raw) -> None:
    """4 MB in chunks of a byte."""
    await client.send(body("Transfer-Encoding: chunked"))
    await client.flood(b"1\r\nx\r\n" * 10_000, upto_bytes=client.sent + 4_194_304)
    await client.rest()


async def slow_reader(aim: Aim, client: Raw) -> None:
    """All of a long log, and then a busy channel, asked for and not read."""
    if await signed_in(aim, client):
        sub = {"t": "sub", "ref": 1, "ch": {str(aim.channel): 0}}
        await client.send(frame(TEXT, json.dumps(sub).encode()))
        await asyncio.sleep(HOLD_S)
        await client.rest()


DEEP = frame(TEXT, b'{"t":"ping","x":' + b"[" * 60_000)
ATTACKS: dict[str, Attack] = {
    "headers": Attack("half-open requests, a byte a second each", drip, 500, 3000),
    "connects": Attack("connect and close", come_and_go, 1000, 500),
    "silence": Attack("connect and say nothing", linger, 300, 2000),
    "guests": Attack("sockets that never sign in", guest, 300, 2000),
    "pings": Attack("pings without an end", flooding(frame(PING) * 500, 1_000_000), 50, 50),
    "bad JSON": Attack("bad JSON without an end", flooding(frame(TEXT, b"{") * 500, 10**6), 50, 50),
    "deep JSON": Attack("60 KB of brackets, again and again", flooding(DEEP, 10_000_000), 10, 10),
    "sends": Attack("sends over the limit", too_many_sends, 20, 20),
    "frames": Attack("frames of 1 MB", flooding(announced(2**20) + b"x" * 2**20, 2**21), 20, 20),
    "fragments": Attack(
        "fragments without an end",
        flooding(frame(CONT, fin=False) * 1000, 10**6, frame(TEXT, b"{", fin=False)),
        50,
        50,
    ),
    "deflate": Attack("compressed frames", bomb_offer, 50, 50),
    "bodies": Attack("bodies of 4 MB", big_body, 5, 10),
    "chunks": Attack("bodies of 4 MB, a byte a chunk", chunked_body, 5, 10),
    "slow readers": Attack("a log of 3 MB asked for, not read", slow_reader, 10, 60, rcvbuf=4096),
}


# --- at their rates


async def one(attack: Attack, aim: Aim) -> None:
    """One connection, from its begin to its end."""
    try:
        async with raw(aim.port, rcvbuf=attack.rcvbuf) as client:
            aim.opened += 1
            try:
                await attack.once(aim, client)
            finally:
                aim.sent_bytes += client.sent
                aim.ends[_end_of(client)] += 1
    except (OSError, TimeoutError) as error:
        aim.ends[type(error).__name__] += 1


def _end_of(client: Raw) -> str:
    """The status or the close code that it was told at last."""
    if client.received.startswith(b"HTTP/1.1 ") and client.received[9:12] != b"101":
        return client.received[9:12].decode()
    code = client.close_code()
    return "no word" if code is None else str(code)


async def attacking(attack: Attack, aim: Aim) -> None:
    """Begin connections at the attack's rate; those that are open at the end are dropped."""
    began, due, running = time.monotonic(), 0.0, set[asyncio.Task[None]]()
    while (now := time.monotonic() - began) < aim.seconds:
        while due < now * attack.per_second and len(running) < attack.at_once:
            due += 1
            task = asyncio.get_running_loop().create_task(one(attack, aim))
            running.add(task)
            task.add_done_callback(running.discard)
        due = max(due, (now - LATE_S) * attack.per_second)  # what is later is not made up for
        await asyncio.sleep(TURN_S)
    for task in list(running):
        task.cancel()
    while running:
        await asyncio.wait(list(running))


async def attack_all(names: list[str], aims: dict[str, Aim]) -> None:
    """All of them at once."""
    async with asyncio.TaskGroup() as tasks:
        for name in names:
            tasks.create_task(attacking(ATTACKS[name], aims[name]))


def main() -> None:
    """Do what the line on standard input says."""
    os.sched_setscheduler(0, os.SCHED_OTHER, os.sched_param(0))  # whatever the bench was given
    os.nice(NICE)
    asked: dict[str, Any] = json.loads(sys.stdin.readline())
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    names: list[str] = asked.pop("names")
    seed = random.Random(asked.pop("seed"))
    aims = {name: Aim(random=seed, **asked) for name in names}
    with contextlib.suppress(KeyboardInterrupt):
        asyncio.run(attack_all(names, aims))
    told = {
        name: {"opened": a.opened, "sent_bytes": a.sent_bytes, "ends": a.ends}
        for name, a in aims.items()
    }
    print(json.dumps({"attacks": told, "cpu_s": time.process_time()}), flush=True)


if __name__ == "__main__":
    main()
