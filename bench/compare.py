"""`python -m bench compare`: rtchat and what people would pick instead, on the same work.

Each round starts every server anew, one after the other, each on one core; rtchat stores and acks
every message and has its Redis bus on. Figures are medians of the rounds. Of the others only the
first stores; the table says what each does not do.
"""

import contextlib
import os
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import click
import uvloop

from bench import fanout, ingest, machine, rest, writer
from bench.load.process import LoadClient, LoadFailedError
from bench.outcome import Column, Outcome, Threshold, bench_options, failures_told, say
from bench.peers import measure
from bench.peers.listing import PEERS
from bench.peers.peer import PeerError, Running
from bench.ratios import COPY, OURS, Sample, judge, summary
from bench.rig import Rig, load_client, rig
from rtchat import __version__

DOES = "stores each message, acks after the commit, in order, resumes, publishes to other pods"
DOES_NOT = "deliver what is not stored"
GOAL_MEMBERS = 500  # of the room that the goals speak of
SENDERS, CHANNELS, IN_FLIGHT = 200, 50, 4
CONNECTIONS = 16  # that ask for pages
COPY_ROWS = 500  # a transaction
WORKS = ("fanout", "ingest", "rest")
WARMUP_S = 0.5

COLUMNS = (
    Column("work", "work"),
    Column("server", "server"),
    Column("per_s", "median/s"),
    Column("low", "lowest"),
    Column("high", "highest"),
    Column("server_us", "server µs each", "{:.2f}"),
    Column("ratio", "rtchat is", "{:.3g} ×"),
    Column("ratio_low", "at least", "{:.3g} ×"),
    Column("ratio_high", "at most", "{:.3g} ×"),
    Column("cpu_ratio", "by server CPU", "{:.3g} ×"),
    Column("client_cpu", "client CPU", "{:.0%}"),
    Column("wrong", "wrong"),
)


@dataclass(frozen=True, slots=True)
class Plan:
    """What each server is asked in each round."""

    works: frozenset[str]
    members: int
    flights: Sequence[int]
    seconds: float


@dataclass(slots=True)
class Comparison(Outcome):
    """The rows, with what each server is, and what became of the goals."""

    servers: dict[str, dict[str, str]] = field(default_factory=dict)
    left_out: dict[str, str] = field(default_factory=dict)
    goals: list[dict[str, Any]] = field(default_factory=list)

    def as_json(self) -> dict[str, Any]:
        """Everything, by name."""
        return {
            **Outcome.as_json(self),
            "servers": self.servers,
            "left_out": self.left_out,
            "goals": self.goals,
        }

    def judged(self, goals: list[dict[str, Any]]) -> None:
        """Take in what became of the goals, and say beside the table what there is to say."""
        self.goals = goals
        self.notes += [_told(goal) for goal in goals]
        for name, about in self.servers.items():
            versions = about["version"]
            self.notes.append(f"{name} does: {about['does']}; not: {about['does_not']}; {versions}")
        self.notes += [f"{name} is left out: {why}" for name, why in self.left_out.items()]


def _told(goal: dict[str, Any]) -> str:
    """A goal as a line."""
    mark = {True: "✓", False: "✗", None: "–"}[goal["reached"]]
    seen = "not measured" if goal["ratio"] is None else f"{goal['ratio']:.3g} ×"
    rival = goal.get("server", goal["against"])
    named = rival if rival == goal["against"] else f"{goal['against']} ({rival})"
    limited = ", which the load client held back" if goal.get("client_limit") else ""
    return f"{mark} {goal['goal']}: {seen}, wanted {goal['times']:g} × {named}{limited}"


def _ours(it: Rig, client: LoadClient, plan: Plan) -> Iterator[tuple[str, dict[str, Any]]]:
    """rtchat's rows, by work."""
    if "fanout" in plan.works:
        for flight in plan.flights:
            row = fanout.measure(it, client, plan.members, flight, plan.seconds, warmup_s=WARMUP_S)
            yield f"fanout-{flight}", row
    if "ingest" in plan.works:
        yield "ingest", ingest.measure(
            it, client, senders=SENDERS, channels=CHANNELS, in_flight=IN_FLIGHT,
            seconds=plan.seconds, warmup_s=WARMUP_S,
        )  # fmt: skip
    if "rest" in plan.works:
        guests = rest.Guests(it, CONNECTIONS)
        guests.write()
        pages = guests.requests("page")
        yield (
            "rest",
            rest.measure(client, pages, it.url, it.pids, seconds=plan.seconds, warmup_s=WARMUP_S),
        )


def _theirs(it: Running, client: LoadClient, plan: Plan) -> Iterator[tuple[str, dict[str, Any]]]:
    """A peer's rows, by work; those that need storage only where it stores."""
    if "fanout" in plan.works:
        for flight in plan.flights:
            yield (
                f"fanout-{flight}",
                measure.fanout(
                    it,
                    client,
                    members=plan.members,
                    in_flight=flight,
                    seconds=plan.seconds,
                    warmup_s=WARMUP_S,
                ),
            )
    if "ingest" in plan.works and it.database_url:
        yield "ingest", measure.ingest(
            it, client, senders=SENDERS, channels=CHANNELS, in_flight=IN_FLIGHT,
            seconds=plan.seconds, warmup_s=WARMUP_S,
        )  # fmt: skip
    if "rest" in plan.works and it.database_url:
        pages = rest.pages_of_peer(it, CONNECTIONS)
        yield (
            "rest",
            rest.measure(client, pages, it.url, it.pids, seconds=plan.seconds, warmup_s=WARMUP_S),
        )


def _copy(number: int, it: Rig, plan: Plan) -> Sample:
    """The yardstick of ingest: this process, on the server's core, into the same database."""
    before = os.sched_getaffinity(0)
    os.sched_setaffinity(0, machine.server_cores() or before)
    try:
        row = uvloop.run(writer.measure(it.database_url, "copy", COPY_ROWS, plan.seconds))
    finally:
        os.sched_setaffinity(0, before)
    us = row["python_us_per_row"]
    return Sample(number, COPY, "ingest", row["rows_per_s"], us, 0.0, False, abs(row["missing"]))


# What a job counts, and what it calls the server's CPU for each.
_FIGURES = {
    "fanout": ("delivered_per_s", "server_us_per_delivery"),
    "ingest": ("acked_per_s", "server_us_per_ack"),
    "rest": ("per_s", "server_us"),
}


def _sample(number: int, server: str, work: str, row: dict[str, Any]) -> Sample:
    per_s, server_us = (row[name] for name in _FIGURES[work.partition("-")[0]])
    wrong = sum(abs(row.get(name, 0)) for name in ("missing", "lost", "unanswered"))
    return Sample(
        number, server, work, per_s, server_us, row["client_cpu"], row["client_limit"], wrong
    )


def one_round(
    number: int, servers: Sequence[str], plan: Plan, note: Callable[[str], None]
) -> Iterator[Sample]:
    """Every server once; every second round the other way round, so that none is always last.

    A peer that fails is told, and does not end what may have run for minutes; rtchat does.
    """
    for server in servers if number % 2 == 0 else reversed(servers):
        say(f"round {number + 1}: {server}")
        with load_client() as client:
            if server == OURS:
                with rig() as it:
                    for work, row in _ours(it, client, plan):
                        yield _sample(number, server, work, row)
                    if "ingest" in plan.works:
                        yield _copy(number, it, plan)
                continue
            try:
                with PEERS[server].start(machine.server_cores()) as running:
                    for work, row in _theirs(running, client, plan):
                        yield _sample(number, server, work, row)
            except (PeerError, LoadFailedError) as error:
                note(f"{server} failed in round {number + 1}: {error}")


@contextlib.contextmanager
def on_other_cores() -> Iterator[None]:
    """Leave the server's core to the server; what is started meanwhile stays away from it too."""
    before = os.sched_getaffinity(0)
    os.sched_setaffinity(0, machine.other_cores() or before)
    try:
        yield
    finally:
        os.sched_setaffinity(0, before)


def _chosen(only: Sequence[str]) -> tuple[list[str], frozenset[str]]:
    """The servers and works that are asked for; of the kind that nobody named, all."""
    servers = [name for name in (OURS, *PEERS) if name in only] or [OURS, *PEERS]
    return servers, frozenset(set(WORKS) & set(only) or WORKS)


@click.command(context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
@click.option("--rounds", default=3, show_default=True, type=click.IntRange(1, 100),
              help="How often each server is measured.")  # fmt: skip
@click.option("--seconds", default=4.0, show_default=True, help="Measured time of each figure.")
@click.option("--members", default=500, show_default=True, type=click.IntRange(1, 20_000),
              help="Members of the room of the fan-out.")  # fmt: skip
@click.option("--in-flight", "flights", multiple=True, type=click.IntRange(1, 1000),
              default=[1, 16, 64], show_default=True,
              help="Messages in flight in the fan-out; may be given again.")  # fmt: skip
@click.option("--only", multiple=True, type=click.Choice([OURS, *PEERS, *WORKS]),
              help="These servers or works only; may be given again.")  # fmt: skip
@bench_options
def main(
    rounds: int,
    seconds: float,
    members: int,
    flights: Sequence[int],
    only: Sequence[str],
    json_path: Path | None,
    thresholds: Sequence[Threshold],
) -> None:
    """rtchat and the servers that people would pick instead, on the same work.

    A threshold is about the rows of the table, as in --assert 'server=fastapi_store,
    work=fanout-64: ratio>=50'. Those on Node want `python -m bench.peers install` once.
    """
    servers, works = _chosen(only)
    outcome = Comparison("compare", "rtchat and others on the same work, a second", COLUMNS)
    for name in servers:
        _describe(outcome, name)
    if OURS in servers and "ingest" in works:
        does = f"puts rows into rtchat's own table, {COPY_ROWS} a transaction"
        about = {"version": "the same PostgreSQL", "does": does, "does_not": "serve anybody"}
        outcome.servers[COPY] = about
    measured = [name for name in servers if name not in outcome.left_out]
    plan = Plan(works, members, flights, seconds)
    samples: list[Sample] = []
    with failures_told(), on_other_cores():
        for number in range(rounds):
            samples += one_round(number, measured, plan, outcome.notes.append)
    for row in summary(samples):
        outcome.add(row)
    without_storage = [name for name in PEERS if not PEERS[name].stores]
    goals = judge(outcome.rows, without_storage) if members == GOAL_MEMBERS else []
    outcome.judged(goals)
    outcome.finish(json_path, thresholds)


def _describe(outcome: Comparison, name: str) -> None:
    """Take a server in, or the reason why it is left out."""
    if name == OURS:
        about = {"version": f"rtchat {__version__}", "does": DOES, "does_not": DOES_NOT}
        outcome.servers[name] = about
        return
    peer = PEERS[name]
    if reason := peer.available():
        outcome.left_out[name] = reason
    else:
        about = {"version": peer.version(), "does": peer.does, "does_not": peer.does_not}
        outcome.servers[name] = about


if __name__ == "__main__":
    main()
