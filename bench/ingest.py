"""`python -m bench ingest`: how many messages a second are stored and acked.

Senders, spread over channels, keep so many unanswered messages each; an ack means committed, with
fsync and synchronous_commit on. Nobody is subscribed, unless `--listeners` asks for it.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import click

from bench.load.process import LoadClient
from bench.outcome import Column, Outcome, Threshold, bench_options, failures_told, say
from bench.rig import Rig, load_client, rig

CONTENT_BYTES = 100

COLUMNS = (
    Column("senders", "senders"),
    Column("channels", "channels"),
    Column("in_flight", "in flight"),
    Column("acked_per_s", "acked/s"),
    Column("delivered_per_s", "deliveries/s"),
    Column("server_us_per_ack", "server µs/ack", "{:.1f}"),
    Column("server_cpu", "server CPU", "{:.0%}"),
    Column("client_cpu", "client CPU", "{:.0%}"),
    Column("unanswered", "unanswered"),
    Column("lost", "lost"),
)


def measure(
    it: Rig,
    client: LoadClient,
    *,
    senders: int,
    channels: int,
    in_flight: int,
    seconds: float,
    listeners: int = 0,
    warmup_s: float = 1.0,
) -> dict[str, Any]:
    """One row: new senders, in turn over new channels, each with so many subscribed listeners."""
    people = it.people(senders)
    rooms = [people[n::channels] or [people[n % senders]] for n in range(channels)]
    hearers = it.people(listeners)
    ids = it.channels([[*room, *hearers] for room in rooms])
    members = [
        it.member(person, channel=ids[n % channels], subs={}) for n, person in enumerate(people)
    ]
    members += [it.member(person, subs=dict.fromkeys(ids)) for person in hearers]
    row = client.run(
        "ingest",
        say,
        url=it.url,
        dialect="rtchat",
        members=members,
        watched=it.pids,
        in_flight=in_flight,
        seconds=seconds,
        warmup_s=warmup_s,
        content_bytes=CONTENT_BYTES,
    )
    stored = it.stored(ids)
    return {
        "server": "rtchat",
        **row,
        "channels": channels,
        "stored": stored,
        "lost": row["sent_in_all"] - row["unanswered"] - stored,
    }


@click.command(context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
@click.option("--senders", default=200, show_default=True, type=click.IntRange(1, 20_000),
              help="Connections that send.")  # fmt: skip
@click.option("--channels", "spreads", multiple=True, default=[50], show_default=True,
              type=click.IntRange(1, 20_000),
              help="Channels that they are spread over; may be given again.")  # fmt: skip
@click.option("--in-flight", "flights", multiple=True, type=click.IntRange(1, 1000),
              default=[1, 4, 16], show_default=True,
              help="Unanswered messages of each sender; may be given again.")  # fmt: skip
@click.option("--listeners", default=0, show_default=True, type=click.IntRange(0, 1000),
              help="Connections that are subscribed to every channel.")  # fmt: skip
@click.option("--workers", default=1, show_default=True, type=click.IntRange(1, 64),
              help="Processes of the server; above 1 not kept on one core.")  # fmt: skip
@click.option("--seconds", default=5.0, show_default=True, help="Measured time of each row.")
@bench_options
def main(
    senders: int,
    spreads: Sequence[int],
    flights: Sequence[int],
    listeners: int,
    workers: int,
    seconds: float,
    json_path: Path | None,
    thresholds: Sequence[Threshold],
) -> None:
    """How many messages a second are stored and acked."""
    outcome = Outcome("ingest", "messages a second, stored and acked", COLUMNS)
    with failures_told(), rig(workers=workers) as it, load_client() as client:
        for channels in spreads:
            for in_flight in flights:
                say(f"{senders} senders over {channels} channels, {in_flight} in flight each")
                row = measure(
                    it, client, senders=senders, channels=channels, in_flight=in_flight,
                    seconds=seconds, listeners=listeners,
                )  # fmt: skip
                outcome.add(row)
    outcome.finish(json_path, thresholds)


if __name__ == "__main__":
    main()
