"""`python -m bench latency`: how long acks and deliveries take while messages come steadily.

An open loop: each message is due at a time of its own, and its latency counts from there, whatever
the server did meanwhile (no coordinated omission). `--share 0.5` first finds the peak of the same
senders (as `ingest` does) and then asks for half of it.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import click

from bench.ingest import CONTENT_BYTES, measure as measure_ingest
from bench.load.process import LoadClient
from bench.outcome import Column, Outcome, Threshold, bench_options, failures_told, say
from bench.rig import Rig, load_client, rig

COLUMNS = (
    Column("wanted_per_second", "asked/s"),
    Column("per_second", "sent/s"),
    Column("ack_p50_ms", "ack p50 ms", "{:.2f}"),
    Column("ack_p99_ms", "p99", "{:.2f}"),
    Column("ack_p999_ms", "p99.9", "{:.2f}"),
    Column("ack_max_ms", "max", "{:.1f}"),
    Column("delivery_p50_ms", "delivery p50 ms", "{:.2f}"),
    Column("delivery_p99_ms", "p99", "{:.2f}"),
    Column("delivery_p999_ms", "p99.9", "{:.2f}"),
    Column("server_cpu", "server CPU", "{:.0%}"),
    Column("client_cpu", "client CPU", "{:.0%}"),
    Column("late_ms", "late ms", "{:.1f}"),
    Column("unanswered", "unanswered"),
    Column("undelivered", "undelivered"),
)


def measure(
    it: Rig,
    client: LoadClient,
    *,
    per_second: float,
    senders: int,
    channels: int,
    seconds: float,
    warmup_s: float = 1.0,
) -> dict[str, Any]:
    """One row: senders in turn over channels, and an observer in each channel."""
    people, observers = it.people(senders), it.people(channels)
    ids = it.channels([[*people[n::channels], observers[n]] for n in range(channels)])
    members = [it.member(p, channel=ids[n % channels]) for n, p in enumerate(people)]
    members += [
        it.member(observer, subs={channel: None}, observe=True)
        for observer, channel in zip(observers, ids, strict=True)
    ]
    row = client.run(
        "latency",
        say,
        url=it.url,
        dialect="rtchat",
        members=members,
        watched=it.pids,
        per_second=per_second,
        seconds=seconds,
        warmup_s=warmup_s,
        content_bytes=CONTENT_BYTES,
    )
    acks, deliveries = row.pop("acks"), row.pop("deliveries")
    return {
        "server": "rtchat",
        **row,
        **{f"ack_{name}": figure for name, figure in acks.items()},
        **{f"delivery_{name}": figure for name, figure in deliveries.items()},
    }


@click.command(context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
@click.option("--rate", "rates", multiple=True, type=click.FloatRange(1),
              help="Messages a second; may be given again.")  # fmt: skip
@click.option("--share", default=0.5, show_default=True, type=click.FloatRange(0.01, 1),
              help="Without --rate: this share of the peak, which is found first.")  # fmt: skip
@click.option("--senders", default=200, show_default=True, type=click.IntRange(1, 20_000))
@click.option("--channels", default=50, show_default=True, type=click.IntRange(1, 20_000))
@click.option("--seconds", default=10.0, show_default=True, help="Measured time of each row.")
@bench_options
def main(
    rates: Sequence[float],
    share: float,
    senders: int,
    channels: int,
    seconds: float,
    json_path: Path | None,
    thresholds: Sequence[Threshold],
) -> None:
    """How long an ack and a delivery take while messages come at a fixed rate."""
    outcome = Outcome("latency", "milliseconds from when a message is due, open loop", COLUMNS)
    with failures_told(), rig() as it, load_client() as client:
        if not rates:
            say("looking for the peak, 4 in flight")
            found = measure_ingest(
                it, client, senders=senders, channels=channels, in_flight=4, seconds=4.0
            )
            peak = found["acked_per_s"]
            outcome.notes.append(
                f"peak, 4 in flight: {peak:,.0f} acked a second; {share:.0%} of it"
            )
            rates = [peak * share]
        for rate in rates:
            say(f"{rate:,.0f} messages a second")
            row = measure(
                it, client, per_second=rate, senders=senders, channels=channels, seconds=seconds
            )
            outcome.add(row)
    outcome.finish(json_path, thresholds)


if __name__ == "__main__":
    main()
