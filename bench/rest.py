"""`python -m bench rest`: how many REST requests a second are answered, and what each costs.

Keep-alive connections, each with one request under way: the newest page of 50 messages, a channel,
a message to store, a sign-in (bcrypt at its default cost, so one core's limit of 4 a second). With
`--peer` the page is also asked of FastAPI (bench/peers/fastapi_store), round by round in turn.
"""

import asyncio
import contextlib
import json
import statistics
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import asyncpg
import click
import jwt

from bench import machine
from bench.crowd import Person, write_log
from bench.load.process import LoadClient
from bench.outcome import Column, Outcome, Threshold, bench_options, failures_told, say
from bench.peers.measure import seed
from bench.peers.peer import Running
from bench.peers.python import SECRET_KEY, FastAPIStore
from bench.rig import Rig, load_client, rig
from rtchat.auth.passwords import Passwords
from rtchat.config import Config

PEER = "FastAPI"
WHAT = ("page", "channel", "post", "login")
LOG = 1000  # messages of a channel that is read
CHANNELS = 20
LOGINS_AT_ONCE = 4  # they wait for each other: a password takes 0.25 s of one core
PASSWORD = "correct horse battery"

COLUMNS = (
    Column("what", "request"),
    Column("server", "server"),
    Column("connections", "connections"),
    Column("per_s", "answers/s"),
    Column("p50_ms", "p50 ms", "{:.2f}"),
    Column("p99_ms", "p99 ms", "{:.2f}"),
    Column("server_us", "server µs each"),
    Column("server_cpu", "server CPU", "{:.0%}"),
    Column("client_cpu", "client CPU", "{:.0%}"),
    Column("answer_bytes", "bytes"),
    Column("rate_ratio", "× peer's rate", "{:.2f}"),
    Column("cost_ratio", "× cheaper", "{:.2f}"),
)
Requests = list[list[list[str | None]]]  # by connection: method, path, token, body


class Guests:
    """Who asks, and what there is to ask for."""

    def __init__(
        self, it: Rig, connections: int, log: int = LOG, *, channels: int = CHANNELS
    ) -> None:
        self._it = it
        self.people = it.people(connections)
        self.channels = it.channels([self.people] * min(channels, connections))
        self._log = log

    def write(self) -> None:
        """Give each channel its messages; once."""
        users = [person.id for person in self.people]
        for channel in self.channels:
            asyncio.run(write_log(self._it.database_url, channel, users, self._log))

    def requests(self, what: str) -> Requests:
        """What each connection asks."""
        if what == "login":
            return self._logins()
        return [self._of(person, what) for person in self.people]

    def _of(self, person: Person, what: str) -> list[list[str | None]]:
        token = person.token()
        message = json.dumps({"content": "x" * 100})
        each: dict[str, list[str | None]] = {
            "page": ["GET", "/channels/{}/messages?limit=50", token, None],
            "channel": ["GET", "/channels/{}", token, None],
            "post": ["POST", "/channels/{}/messages", token, message],
        }
        method, path, *rest = each[what]
        assert path is not None
        return [[method, path.format(channel), *rest] for channel in self.channels]

    def _logins(self) -> Requests:
        emails = asyncio.run(_give_password(self._it.database_url, self.people[:LOGINS_AT_ONCE]))
        bodies = (json.dumps({"email": email, "password": PASSWORD}) for email in emails)
        return [[["POST", "/auth/login", None, body]] for body in bodies]


async def _give_password(database_url: str, people: Sequence[Person]) -> list[str]:
    """Let these people sign in; returns their addresses."""
    passwords = Passwords(Config())
    try:
        hashed = await passwords.hash(PASSWORD)
    finally:
        passwords.close()
    connection = await asyncpg.connect(database_url)
    try:
        rows = await connection.fetch(
            "UPDATE users SET password_hash = $2 WHERE id = ANY($1) RETURNING email",
            [person.id for person in people],
            hashed,
        )
    finally:
        await connection.close()
    return [row["email"] for row in rows]


def measure(
    client: LoadClient,
    requests: Requests,
    url: str,
    pids: Sequence[int],
    *,
    seconds: float,
    warmup_s: float = 1.0,
) -> dict[str, Any]:
    """One row: all connections ask as fast as they are answered."""
    members = [{"requests": each} for each in requests]
    return client.run(
        "http", url=url, members=members, watched=list(pids), seconds=seconds, warmup_s=warmup_s
    )


@contextlib.contextmanager
def peer(connections: int) -> Iterator[tuple[Running, Requests]]:
    """FastAPI, and how its page is asked for."""
    with FastAPIStore().start(machine.server_cores()) as running:
        yield running, pages_of_peer(running, connections)


def pages_of_peer(running: Running, connections: int) -> Requests:
    """Give FastAPI as many channels and messages as rtchat has; returns how to ask for pages."""
    channels = range(1, min(CHANNELS, connections) + 1)
    for channel in channels:
        seed(running, channel=channel, user=1, messages=LOG)
    claims = {"sub": "1", "exp": int(time.time()) + 3600}
    token = jwt.encode(claims, SECRET_KEY, algorithm="HS256")
    asked: list[list[str | None]] = [
        ["GET", f"/channels/{channel}/messages?limit=50", token, None] for channel in channels
    ]
    return [asked] * connections


def _middle(rows: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """The round with the median rate."""
    return sorted(rows, key=lambda row: float(row["per_s"]))[(len(rows) - 1) // 2]


def _compared(ours: Sequence[dict[str, Any]], theirs: Sequence[dict[str, Any]]) -> dict[str, float]:
    """How we compare: the median over the rounds of what each round's pair says."""
    pairs = list(zip(ours, theirs, strict=True))
    return {
        "rate_ratio": statistics.median(a["per_s"] / b["per_s"] for a, b in pairs),
        "cost_ratio": statistics.median(b["server_us"] / a["server_us"] for a, b in pairs),
    }


@click.command(context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
@click.option("--what", "kinds", multiple=True, type=click.Choice(WHAT), default=WHAT,
              show_default=True, help="What is asked; may be given again.")  # fmt: skip
@click.option("--connections", default=16, show_default=True, type=click.IntRange(1, 5000),
              help="Keep-alive connections, one request under way on each.")  # fmt: skip
@click.option("--seconds", default=4.0, show_default=True, help="Measured time of each round.")
@click.option("--rounds", default=3, show_default=True, type=click.IntRange(1, 50),
              help="Of which the median is told.")  # fmt: skip
@click.option("--peer", "with_peer", is_flag=True, help="Ask FastAPI for the page too, in turn.")
@bench_options
def main(
    kinds: Sequence[str],
    connections: int,
    seconds: float,
    rounds: int,
    with_peer: bool,
    json_path: Path | None,
    thresholds: Sequence[Threshold],
) -> None:
    """How many REST requests a second are answered, and what each costs the server."""
    outcome = Outcome("rest", "REST answers a second, keep-alive", COLUMNS)
    with failures_told(), contextlib.ExitStack() as stack:
        it = stack.enter_context(rig(settings={"bcrypt_cost": Config().bcrypt_cost}))
        client = stack.enter_context(load_client())
        other = stack.enter_context(peer(connections)) if with_peer else None
        guests = Guests(it, connections)
        guests.write()
        for what in kinds:
            requests = guests.requests(what)
            ours: list[dict[str, Any]] = []
            theirs: list[dict[str, Any]] = []
            for number in range(1, rounds + 1):
                say(f"{what}, round {number} of {rounds}")
                ours.append(measure(client, requests, it.url, it.pids, seconds=seconds))
                if other is not None and what == "page":
                    running, asked = other
                    theirs.append(
                        measure(client, asked, running.url, running.pids, seconds=seconds)
                    )
            compared = _compared(ours, theirs) if theirs else {}
            outcome.add({"what": what, "server": "rtchat", **_middle(ours), **compared})
            if theirs:
                outcome.add({"what": what, "server": PEER, **_middle(theirs)})
    outcome.finish(json_path, thresholds)


if __name__ == "__main__":
    main()
