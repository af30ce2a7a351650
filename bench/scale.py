"""`python -m bench scale`: how cost grows with a room, with channels, and with pods.

The measure is the CPU time of the pods, of PostgreSQL and of Redis: it adds up where rates on one
machine do not. A message's own cost (taken in, stored, acked) is measured in a room with nobody but
its sender; what a room of many takes beyond that is its fan-out. Full rooms have many messages in
flight, which leave joined; the rows with one in flight show what each costs that comes alone.
"""

import asyncio
import contextlib
import socket
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import asyncpg
import click

from bench import fanout
from bench.load.process import LoadClient
from bench.load.window import cpu_s
from bench.outcome import Column, Outcome, Threshold, bench_options, failures_told, say
from bench.projection import NOTES, Factors, Load, project
from bench.rig import Rig, load_client, rig

ROOMS = (10, 100, 500, 1000, 5000)
CHANNELS = (1, 10, 100, 1000, 10_000)
PODS = (1, 2, 3, 4)
IN_FLIGHT = 64
SENDERS, SENDER_IN_FLIGHT = 200, 4
POD_MEMBERS = 500  # of a room that is spread over the pods
HEARD_CHANNELS = 1000  # so many that hardly two messages come in one envelope
LOADS = (
    Load(connections=10_000, messages_per_s=500, members=200),
    Load(connections=100_000, messages_per_s=5_000, members=200),
    Load(connections=1_000_000, messages_per_s=20_000, members=100),
    Load(connections=1_000_000, messages_per_s=1_000, members=20_000),
)

COLUMNS = (
    Column("part", "part"),
    Column("members", "members"),
    Column("in_flight", "in flight"),
    Column("channels", "channels"),
    Column("pods", "pods"),
    Column("messages_per_s", "messages/s"),
    Column("deliveries_per_s", "deliveries/s"),
    Column("us_per_message", "µs/message", "{:.1f}"),
    Column("us_per_delivery", "µs fan-out/delivery", "{:.3f}"),
    Column("database_us_per_message", "PostgreSQL µs/message", "{:.1f}"),
    Column("redis_us_per_message", "Redis µs/message", "{:.2f}"),
    Column("missing", "missing"),
    Column("connections", "connections"),
    Column("redis_nodes", "Redis nodes"),
    Column("database_cores", "PostgreSQL cores", "{:.1f}"),
)


def spent_by(pids: Sequence[int]) -> dict[int, float]:
    """The CPU seconds of those of these processes that are still there."""
    found: dict[int, float] = {}
    for pid in pids:
        with contextlib.suppress(OSError):  # backends of PostgreSQL come and go
            found[pid] = sum(cpu_s([pid]).values())
    return found


class Behind:
    """The CPU time of PostgreSQL and Redis, which are on this machine, since this was made."""

    def __init__(self, it: Rig) -> None:
        self._it = it
        self._before = self._spent()

    def us_per(self, messages: int) -> dict[str, float]:
        """Spread over so many messages; of who has ended since, nothing is known any more."""
        return {
            name: sum(s - self._before[name].get(pid, 0.0) for pid, s in spent.items())
            / max(1, messages)
            * 1e6
            for name, spent in self._spent().items()
        }

    def _spent(self) -> dict[str, dict[int, float]]:
        """The seconds of each process."""
        return {
            "database_us_per_message": spent_by(self._database()),
            "redis_us_per_message": spent_by(self._redis()),
        }

    def _database(self) -> list[int]:
        async def ask() -> list[int]:
            connection = await asyncpg.connect(self._it.database_url)
            try:
                mine = connection.get_server_pid()
                rows = await connection.fetch("SELECT pid FROM pg_stat_activity")
                return [row[0] for row in rows if row[0] != mine]
            finally:
                await connection.close()

        with asyncio.Runner() as runner:
            return runner.run(ask())

    def _redis(self) -> list[int]:
        url = urlsplit(self._it.redis_url)
        with socket.create_connection((url.hostname, url.port or 6379), timeout=5) as link:
            link.sendall(b"INFO server\r\n")
            said = b""
            while b"process_id:" not in said or not said.endswith(b"\r\n"):
                said += link.recv(65_536)
        return [int(said.partition(b"process_id:")[2].split(b"\r\n")[0])]


def room(
    it: Rig, client: LoadClient, members: int, seconds: float, in_flight: int = IN_FLIGHT
) -> dict[str, Any]:
    """One room, its members in turn on all pods; the sender is on the first."""
    people = it.people(members)
    channel = it.channels([people])[0]
    places = [_place(pod.url) for pod in it.pods]
    row = client.run(
        "fanout", say, url=it.url, dialect="rtchat", watched=it.pids, in_flight=in_flight,
        members=[
            it.member(p, subs={channel: None}, channel=channel, at=places[n % len(places)])
            for n, p in enumerate(people)
        ],
        seconds=seconds, warmup_s=1.0, content_bytes=fanout.CONTENT_BYTES,
    )  # fmt: skip
    return {
        "members": members,
        "in_flight": in_flight,
        "pods": len(it.pods),
        "messages_per_s": row["delivered_per_s"] / members,
        "deliveries_per_s": row["delivered_per_s"],
        "us_per_message": row["server_us_per_delivery"] * members,
        **{k: row[k] for k in ("missing", "server_cpu", "client_cpu", "client_limit", "seconds")},
    }


def _place(url: str) -> tuple[str | None, int | None]:
    parts = urlsplit(url)
    return parts.hostname, parts.port


def rooms(
    it: Rig, client: LoadClient, sizes: Sequence[int], seconds: float, in_flight: int
) -> list[dict[str, Any]]:
    """Rooms of each size; `us_per_delivery` is what its members cost, one by one."""
    rows = [room(it, client, 1, seconds, in_flight)]
    for size in sizes:
        say(f"a room of {size:,}, {in_flight} in flight")
        row = room(it, client, size, seconds, in_flight)
        spread = row["us_per_message"] - rows[0]["us_per_message"]
        rows.append({**row, "us_per_delivery": spread / (size - 1)})
    return [{"part": "room", **row} for row in rows]


def channels(
    it: Rig, client: LoadClient, spread: int, seconds: float, *, heard: bool = False
) -> dict[str, Any]:
    """The same senders and messages in flight, over so many channels.

    `heard`: somebody on the second pod follows all, and that pod's CPU time is counted.
    """
    say(f"{spread:,} channels")
    people, hearers = it.people(SENDERS), it.people(int(heard))
    owners = [people[n::spread] or [people[n % SENDERS]] for n in range(spread)]
    ids = it.channels([[*group, *hearers] for group in owners])
    own = [ids[n::SENDERS] or [ids[n % spread]] for n in range(SENDERS)]
    behind = Behind(it)
    row = client.run(
        "ingest", say, url=it.url, dialect="rtchat", watched=it.pids[heard:],
        in_flight=SENDER_IN_FLIGHT,
        members=[
            it.member(p, subs={}, channel=own[n][0], channels=own[n]) for n, p in enumerate(people)
        ] + [it.member(p, subs=dict.fromkeys(ids), at=_place(it.pods[1].url)) for p in hearers],
        seconds=seconds, warmup_s=1.0, content_bytes=100,
    )  # fmt: skip
    return {
        "part": "heard" if heard else "channels",
        "channels": spread,
        "messages_per_s": row["acked_per_s"],
        "us_per_message": row["server_us_per_ack"],
        "missing": row["sent_in_all"] - row["unanswered"] - it.stored(ids),
        **{k: row[k] for k in ("server_cpu", "client_cpu", "client_limit", "seconds")},
        **behind.us_per(row["sent_in_all"]),
    }


def factors(rows: Sequence[dict[str, Any]]) -> Factors:
    """What the projection needs, out of the rows that were measured."""
    widest = [row for row in rows if row["part"] == "channels"][-1]
    lone = [row for row in rows if row["part"] == "room" and row["in_flight"] == 1][-1]
    (heard,) = [row for row in rows if row["part"] == "heard"]
    return Factors(
        us_per_message=widest["us_per_message"],
        us_per_delivery=lone["us_per_delivery"],
        us_per_envelope=heard["us_per_message"],
        database_us_per_message=widest["database_us_per_message"],
        redis_us_per_envelope=heard["redis_us_per_message"],
    )


@click.command(context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
@click.option("--members", "sizes", multiple=True, type=click.IntRange(2, 20_000), default=ROOMS,
              show_default=True, help="Members of a room; may be given again.")  # fmt: skip
@click.option("--channels", "spreads", multiple=True, type=click.IntRange(1, 50_000),
              default=CHANNELS, show_default=True,
              help="Channels that the senders write to; may be given again.")  # fmt: skip
@click.option("--pods", "fleets", multiple=True, type=click.IntRange(1, 16), default=PODS,
              show_default=True, help="Pods on this machine; may be given again.")  # fmt: skip
@click.option("--seconds", default=4.0, show_default=True, help="Measured time of each row.")
@bench_options
def main(
    sizes: Sequence[int],
    spreads: Sequence[int],
    fleets: Sequence[int],
    seconds: float,
    json_path: Path | None,
    thresholds: Sequence[Threshold],
) -> None:
    """How cost grows with a room, with channels and with pods, and what that says of more."""
    outcome = Outcome("scale", "how the cost of a message and of a delivery grows", COLUMNS)
    with failures_told(), load_client() as client:
        with rig() as it:
            for row in rooms(it, client, sorted(sizes), seconds, IN_FLIGHT):
                outcome.add(row)
            for row in rooms(it, client, [POD_MEMBERS], seconds, 1):
                outcome.add(row)
            for spread in sorted(spreads):
                outcome.add(channels(it, client, spread, seconds))
        for count in sorted(fleets):
            say(f"{count} pods")
            with rig(count) as it:
                row = room(it, client, POD_MEMBERS, seconds)
                outcome.add({"part": "pods", **row})
        with rig(2) as it:
            outcome.add(channels(it, client, HEARD_CHANNELS, seconds, heard=True))
    found = factors(outcome.rows)
    for load in LOADS:
        outcome.add({"part": "projected", **project(found, load)})
    told = ", ".join(f"{name} {value:.2f}" for name, value in asdict(found).items())
    outcome.notes += [f"the projection's factors: {told}", *NOTES]
    outcome.finish(json_path, thresholds)


if __name__ == "__main__":
    main()
