"""`python -m bench fanout`: how many deliveries a second one room gets.

One member of a room sends and keeps so many messages in flight; every message is stored before it
is delivered. A delivery is one message at one member.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import click

from bench.load.process import LoadClient
from bench.outcome import Column, Outcome, Threshold, bench_options, failures_told, say
from bench.rig import Rig, load_client, rig

CONTENT_BYTES = 72  # makes frames of about 145 bytes

COLUMNS = (
    Column("members", "members"),
    Column("in_flight", "in flight"),
    Column("delivered_per_s", "deliveries/s"),
    Column("sent_per_s", "messages/s"),
    Column("mb_per_s", "MB/s"),
    Column("server_us_per_delivery", "server µs/delivery", "{:.3f}"),
    Column("server_cpu", "server CPU", "{:.0%}"),
    Column("client_cpu", "client CPU", "{:.0%}"),
    Column("missing", "missing"),
    Column("lost", "lost"),
)


def measure(
    it: Rig, client: LoadClient, members: int, in_flight: int, seconds: float, warmup_s: float = 1.0
) -> dict[str, Any]:
    """One row: a new room of so many members, on the first pod."""
    people = it.people(members)
    channel = it.channels([people])[0]
    row = client.run(
        "fanout",
        say,
        url=it.url,
        dialect="rtchat",
        members=[it.member(p, subs={channel: None}, channel=channel) for p in people],
        watched=it.pids,
        in_flight=in_flight,
        seconds=seconds,
        warmup_s=warmup_s,
        content_bytes=CONTENT_BYTES,
    )
    stored = it.stored([channel])
    return {"server": "rtchat", **row, "stored": stored, "lost": row["sent_in_all"] - stored}


@click.command(context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
@click.option("--members", "sizes", multiple=True, type=click.IntRange(1, 20_000), default=[500],
              show_default=True, help="Members of the room; may be given again.")  # fmt: skip
@click.option("--in-flight", "flights", multiple=True, type=click.IntRange(1, 1000),
              default=[1, 16, 64], show_default=True,
              help="Messages in flight; may be given again.")  # fmt: skip
@click.option("--workers", default=1, show_default=True, type=click.IntRange(1, 64),
              help="Processes of the server; above 1 not kept on one core.")  # fmt: skip
@click.option("--seconds", default=5.0, show_default=True, help="Measured time of each row.")
@bench_options
def main(
    sizes: Sequence[int],
    flights: Sequence[int],
    workers: int,
    seconds: float,
    json_path: Path | None,
    thresholds: Sequence[Threshold],
) -> None:
    """How many deliveries a second one room gets, each message stored first."""
    outcome = Outcome("fanout", "deliveries a second in one room, each message stored", COLUMNS)
    with failures_told(), rig(workers=workers) as it, load_client() as client:
        for size in sizes:
            for in_flight in flights:
                say(f"{size:,} members, {in_flight} in flight")
                outcome.add(measure(it, client, size, in_flight, seconds))
    outcome.finish(json_path, thresholds)


if __name__ == "__main__":
    main()
