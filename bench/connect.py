"""`python -m bench connect`: how many clients a second may come, and come back.

Each connects, signs in by its handshake, subscribes to a channel with a cursor a few entries
behind, and is there when the last of them has come. Then the server is killed under all of them,
and they come back to another one at once, to which every room is new.
"""

import asyncio
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import asyncpg
import click

from bench.load.process import LoadClient
from bench.outcome import Column, Outcome, Threshold, bench_options, failures_told, say
from bench.rig import PRESENCE, Rig, load_client, rig

WARM_CLIENTS = 50  # come before, so that statements are prepared and rooms open
SEND_S = 0.3

COLUMNS = (
    Column("phase", "phase"),
    Column("clients", "clients"),
    Column("at_once", "at once"),
    Column("connected_per_s", "clients/s"),
    Column("server_ms", "server ms each", "{:.3f}"),
    Column("per_core_s", "clients/s a core"),
    Column("p50_ms", "p50 ms", "{:.1f}"),
    Column("p99_ms", "p99 ms", "{:.1f}"),
    Column("server_cpu", "server CPU", "{:.0%}"),
    Column("client_cpu", "client CPU", "{:.0%}"),
)


def measure(
    it: Rig, client: LoadClient, *, clients: int, channels: int, at_once: int, behind: int
) -> list[dict[str, Any]]:
    """Two rows: a storm on the first pod, and one on the second, after the first was killed."""
    people = it.people(clients)
    ids = it.channels([people[n::channels] or [people[0]] for n in range(channels)])
    heads = _fill(it, client, [it.member(people[n % clients], channel=ids[n], subs={})
                               for n in range(channels)], ids)  # fmt: skip
    members = []
    for number, person in enumerate(people):
        channel = ids[number % channels]
        head = heads[channel]
        cursor = max(0, head - behind)
        last = head if head > cursor else None
        members.append(it.member(person, subs={channel: cursor}, last=last))
    asked: dict[str, Any] = {"dialect": "rtchat", "connect_at_once": at_once}
    first, second = it.pods
    client.run("connect", say, url=first.url, members=members[:WARM_CLIENTS], **asked)
    found = client.run(
        "connect",
        say,
        url=first.url,
        members=members,
        watched=[first.pid],
        kill=first.pid,
        back_url=second.url,
        back_watched=[second.pid],
        **asked,
    )
    first.process.wait()
    titles = {"first": "come", "back": "come back"}
    return [{"phase": titles[phase], "at_once": at_once, **row} for phase, row in found.items()]


def _fill(
    it: Rig, client: LoadClient, senders: list[dict[str, Any]], ids: list[int]
) -> dict[int, int]:
    """Let every channel have some entries; returns their heads."""
    client.run(
        "ingest", say, url=it.url, dialect="rtchat", members=senders, in_flight=4, seconds=SEND_S,
        warmup_s=0.1, content_bytes=100,
    )  # fmt: skip

    async def read() -> dict[int, int]:
        connection = await asyncpg.connect(it.database_url)
        try:
            rows = await connection.fetch(
                "SELECT id, last_seq FROM channels WHERE id = ANY($1)", ids
            )
            return {row["id"]: row["last_seq"] for row in rows}
        finally:
            await connection.close()

    with asyncio.Runner() as runner:
        return runner.run(read())


@click.command(context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
@click.option("--clients", default=4000, show_default=True, type=click.IntRange(10, 15_000),
              help="How many come.")  # fmt: skip
@click.option("--channels", default=100, show_default=True, type=click.IntRange(1, 15_000),
              help="Channels that they are spread over.")  # fmt: skip
@click.option("--at-once", "crowds", multiple=True, type=click.IntRange(1, 15_000),
              default=[200], show_default=True,
              help="How many are on their way at a time; may be given again.")  # fmt: skip
@click.option("--behind", default=5, show_default=True, type=click.IntRange(0, 1000),
              help="Entries that each has missed.")  # fmt: skip
@bench_options
def main(
    clients: int,
    channels: int,
    crowds: Sequence[int],
    behind: int,
    json_path: Path | None,
    thresholds: Sequence[Threshold],
) -> None:
    """How many clients a second may come, and come back."""
    outcome = Outcome("connect", "clients a second: connect, sign in, subscribe, resume", COLUMNS)
    with failures_told(), load_client() as client:
        for at_once in crowds:
            say(f"{clients:,} clients, {at_once} at once")
            with rig(2, settings=PRESENCE) as it:
                for row in measure(
                    it, client, clients=clients, channels=channels, at_once=at_once, behind=behind
                ):
                    outcome.add(row)
    outcome.finish(json_path, thresholds)


if __name__ == "__main__":
    main()
