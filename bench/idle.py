"""`python -m bench idle`: what connections take that do nothing.

Each row has a server of its own, since memory that was given back is not seen from outside: so many
connections, signed in and subscribed to so many channels, answer its heartbeats. Memory is what the
process grew by, divided by them.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import click

from bench.load.process import LoadClient
from bench.outcome import Column, Outcome, Threshold, bench_options, failures_told, say
from bench.rig import PRESENCE, Rig, load_client, rig

CHANNELS = 100
WARM_CLIENTS = 100  # come and go before, so that what is made once is there

COLUMNS = (
    Column("connections", "connections"),
    Column("subs", "channels each", "{:d}"),
    Column("rss_kb", "RSS KB each", "{:.1f}"),
    Column("pss_kb", "PSS KB each", "{:.1f}"),
    Column("rss_mb", "RSS MB in all"),
    Column("idle_cpu", "server CPU", "{:.1%}"),
    Column("pings", "pings"),
    Column("left", "still there"),
)


def measure(
    it: Rig,
    client: LoadClient,
    *,
    connections: int,
    subs: int,
    seconds: float,
    settle_s: float = 3.0,
) -> dict[str, Any]:
    """One row."""
    people = it.people(connections)
    ids = it.channels(
        [
            [p for n, p in enumerate(people) if (c - n) % CHANNELS < subs] or people[:1]
            for c in range(CHANNELS)
        ]
    )
    members = [
        it.member(p, subs={ids[(n + k) % len(ids)]: None for k in range(subs)})
        for n, p in enumerate(people)
    ]
    asked: dict[str, Any] = {"url": it.url, "dialect": "rtchat", "watched": it.pids}
    client.run("idle", say, members=members[:WARM_CLIENTS], settle_s=0.5, seconds=0.1, **asked)
    found = client.run("idle", say, members=members, settle_s=settle_s, seconds=seconds, **asked)
    return {"subs": subs, "idle_cpu": found["server_cpu"], **found}


@click.command(context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
@click.option("--connections", "counts", multiple=True, type=click.IntRange(10, 50_000),
              default=[1000, 10_000], show_default=True,
              help="How many there are; may be given again.")  # fmt: skip
@click.option("--subs", "spreads", multiple=True, type=click.IntRange(0, 100),
              default=[0, 1, 10], show_default=True,
              help="Channels that each is subscribed to; may be given again.")  # fmt: skip
@click.option("--seconds", default=30.0, show_default=True,
              help="Idle time over which CPU is measured; a heartbeat takes 25.")  # fmt: skip
@bench_options
def main(
    counts: Sequence[int],
    spreads: Sequence[int],
    seconds: float,
    json_path: Path | None,
    thresholds: Sequence[Threshold],
) -> None:
    """What connections take that do nothing."""
    outcome = Outcome("idle", "memory and CPU of connections that do nothing", COLUMNS)
    with failures_told(), load_client() as client:
        for connections in counts:
            for subs in spreads:
                say(f"{connections:,} connections, {subs} channels each")
                with rig(settings=PRESENCE) as it:
                    row = measure(it, client, connections=connections, subs=subs, seconds=seconds)
                outcome.add(row)
    outcome.finish(json_path, thresholds)


if __name__ == "__main__":
    main()
