"""`python -m bench attack`: what an attack from one machine does to everybody else's acks.

A steady flow of well-behaved senders is measured without, then with each attack, then with all of
them at once. The pod has its default limits. Attackers have a process of their own, at a lower
priority than the rest, on the cores that are not the server's.
"""

import asyncio
import contextlib
import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import click

from bench import machine
from bench.attackers import ATTACKS
from bench.crowd import write_log
from bench.load.process import ROOT, LoadClient, LoadFailedError
from bench.outcome import Column, Outcome, Threshold, bench_options, failures_told, say
from bench.rig import Rig, load_client, rig
from rtchat.config import Config
from tests.pods import UNLIMITED
from tests.raw import peak_mb, rss_mb

LEAD_S = 3.0  # for an attack to be in full swing
LOG = 20_000  # messages, for readers that do not read
ATTACKERS = 100
CONTENT_BYTES = 100
DEFAULT = Config()
SETTINGS: dict[str, Any] = {  # a bench's pod lacks these limits
    name: getattr(DEFAULT, name)
    for name in (
        "sends_per_second", "sends_burst", "sends_in_flight", "connections_max", *UNLIMITED
    )
}  # fmt: skip
ALL = "all at once"

COLUMNS = (
    Column("attack", "attack"),
    Column("says", "what"),
    Column("opened_per_s", "connections/s"),
    Column("mb_per_s", "MB/s", "{:.1f}"),
    Column("calm_p50_ms", "ack p50 ms without", "{:.2f}"),
    Column("ack_p50_ms", "with", "{:.2f}"),
    Column("p50_ratio", "×", "{:.2f}"),
    Column("calm_p99_ms", "ack p99 ms without", "{:.2f}"),
    Column("ack_p99_ms", "with", "{:.2f}"),
    Column("p99_ratio", "×", "{:.2f}"),
    Column("unanswered", "unanswered"),
    Column("undelivered", "undelivered"),
    Column("grown_mb", "RSS +MB", "{:.0f}"),
    Column("calm_cpu", "server CPU without", "{:.0%}"),
    Column("server_cpu", "with", "{:.0%}"),
    Column("attacker_cpu", "attacker CPU", "{:.0%}"),
    Column("ends", "how their connections ended"),
)


class Flow:
    """Well-behaved people: they send in turn over channels, and one in each observes."""

    def __init__(self, it: Rig, senders: int, channels: int) -> None:
        self.it = it
        self._people, self._observers = it.people(senders), it.people(channels)
        self.channels = it.channels(
            [[*self._people[n::channels], self._observers[n]] for n in range(channels)]
        )
        self._runs = 0

    def measure(self, client: LoadClient, per_second: float, seconds: float) -> dict[str, Any]:
        """How long their acks and deliveries take."""
        self._runs += 1
        members = [
            self._member(person, channel=self.channels[n % len(self.channels)])
            for n, person in enumerate(self._people)
        ]
        members += [
            self._member(observer, subs={channel: None}, observe=True)
            for observer, channel in zip(self._observers, self.channels, strict=True)
        ]
        row = client.run(
            "latency", url=self.it.url, dialect="rtchat", members=members, watched=self.it.pids,
            per_second=per_second, seconds=seconds, warmup_s=0.5, content_bytes=CONTENT_BYTES,
        )  # fmt: skip
        acks = row.pop("acks")
        return {**row, **{f"ack_{name}": figure for name, figure in acks.items()}}

    def _member(self, person: Any, **what: Any) -> dict[str, Any]:
        run = f"{self.it.run}-{self._runs}-{person.id}"  # nonces of a run are its own
        return self.it.member(person, **what) | {"run": run}


class Attackers:
    """Those who attack, as a child process for each attack."""

    def __init__(self, it: Rig, log: int = LOG) -> None:
        self._port = it.pods[0].port
        people = it.people(ATTACKERS)
        (self._channel,) = it.channels([people])
        self._tokens = [person.token() for person in people]
        asyncio.run(write_log(it.database_url, self._channel, [p.id for p in people[:5]], log))

    @contextlib.contextmanager
    def attack(
        self, names: Sequence[str], seconds: float, lead_s: float = LEAD_S
    ) -> Iterator[dict[str, Any]]:
        """Attack meanwhile; the dictionary has the figures afterwards."""
        asked = {
            "port": self._port, "tokens": self._tokens, "channel": self._channel,
            "seconds": seconds, "names": list(names), "seed": 1,
        }  # fmt: skip
        child = subprocess.Popen(
            [sys.executable, "-m", "bench.attackers"],
            cwd=ROOT,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            start_new_session=True,
        )
        figures: dict[str, Any] = {}
        try:
            if others := machine.other_cores():
                os.sched_setaffinity(child.pid, others)
            assert child.stdin is not None
            child.stdin.write(json.dumps(asked).encode() + b"\n")
            child.stdin.flush()
            time.sleep(lead_s)
            yield figures
            output, _ = child.communicate(timeout=seconds + 30)
            figures.update(json.loads(output))
        finally:
            child.kill()
            child.wait()


def row_of(
    flow: Flow, attackers: Attackers, client: LoadClient, name: str, rate: float, seconds: float
) -> dict[str, Any]:
    """One attack, or all: the same flow without and with it."""
    names = [*ATTACKS] if name == ALL else [name]
    pod = flow.it.pods[0]
    calm = flow.measure(client, rate, seconds)
    before = rss_mb(pod)
    lasts = LEAD_S + seconds + 3.0
    try:
        with attackers.attack(names, lasts) as told:
            row = flow.measure(client, rate, seconds)
    except LoadFailedError as error:
        row = {"ends": f"the well-behaved: {error}"}
        return {"attack": name, "says": row["ends"]}
    ends: dict[str, int] = {}
    for figures in told["attacks"].values():
        for end, count in figures["ends"].items():
            ends[end] = ends.get(end, 0) + count
    return {
        **row,
        "attack": name,
        "says": "" if name == ALL else ATTACKS[name].says,
        "calm_p50_ms": calm["ack_p50_ms"],
        "calm_cpu": calm["server_cpu"],
        "calm_p99_ms": calm["ack_p99_ms"],
        "p50_ratio": row["ack_p50_ms"] / calm["ack_p50_ms"],
        "p99_ratio": row["ack_p99_ms"] / calm["ack_p99_ms"],
        "opened_per_s": sum(f["opened"] for f in told["attacks"].values()) / lasts,
        "mb_per_s": sum(f["sent_bytes"] for f in told["attacks"].values()) / lasts / 1e6,
        "attacker_cpu": told["cpu_s"] / lasts,
        "grown_mb": peak_mb(pod) - before,
        "ends": ", ".join(f"{end} ×{count}" for end, count in sorted(ends.items())),
    }


@click.command(context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
@click.option("--attack", "names", multiple=True, type=click.Choice([*ATTACKS, ALL]),
              help="This one only; may be given again.")  # fmt: skip
@click.option("--rate", default=200.0, show_default=True, help="Messages a second of the others.")
@click.option("--senders", default=100, show_default=True, type=click.IntRange(1, 1000))
@click.option("--channels", default=20, show_default=True, type=click.IntRange(1, 1000))
@click.option("--seconds", default=5.0, show_default=True, help="Measured time of each half.")
@bench_options
def main(
    names: Sequence[str],
    rate: float,
    senders: int,
    channels: int,
    seconds: float,
    json_path: Path | None,
    thresholds: Sequence[Threshold],
) -> None:
    """What attacks do to everybody else's acks."""
    outcome = Outcome("attack", "ack latency of others, without and with an attack", COLUMNS)
    with failures_told(), rig(redis=False, settings=SETTINGS) as it, load_client() as client:
        flow, attackers = Flow(it, senders, channels), Attackers(it)
        flow.measure(client, rate, 1.0)  # whatever is done for the first time
        for name in names or [*ATTACKS, ALL]:
            say(name)
            outcome.add(row_of(flow, attackers, client, name, rate, seconds))
    outcome.finish(json_path, thresholds)


if __name__ == "__main__":
    main()
