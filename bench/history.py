"""`python -m bench history`: does reading back cost the same however long the log is?

One channel with 100 000 messages and more. `scroll` goes from the newest page to the oldest by
before-cursors, and checks that every message came once, in order. `page` asks for pages at several
depths from many connections. `catch up` lets sockets come back with old cursors, and checks that
each gets all that it missed, in order.
"""

import http.client
import json
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import click

from bench.crowd import Person
from bench.load.process import LoadClient
from bench.load.window import Window
from bench.outcome import Column, Outcome, Threshold, bench_options, failures_told, say
from bench.progress import progress
from bench.rest import Guests, measure as ask
from bench.rig import Rig, load_client, rig

SCROLL_LIMIT = 200  # the longest page that there is
PAGE_LIMIT = 50
PAGES = 40  # that each connection asks for at one depth, in turn
DEPTHS = (0.0, 0.25, 0.5, 0.75, 0.99)  # share of the log that lies above
CATCH_UP_S = 120.0

COLUMNS = (
    Column("what", "what"),
    Column("depth", "messages above"),
    Column("readers", "readers"),
    Column("per_s", "pages/s"),
    Column("entries_per_s", "entries/s"),
    Column("p50_ms", "p50 ms", "{:.2f}"),
    Column("p99_ms", "p99 ms", "{:.2f}"),
    Column("server_us", "server µs each", "{:.1f}"),
    Column("flat", "cost × shallowest", "{:.2f}"),
    Column("server_cpu", "server CPU", "{:.0%}"),
    Column("client_cpu", "client CPU", "{:.0%}"),
    Column("wrong", "wrong"),
)


class Log:
    """A channel with a long log, and its readers."""

    def __init__(self, it: Rig, messages: int, readers: int) -> None:
        self.it, self.head = it, messages
        guests = Guests(it, readers, messages, channels=1)
        guests.write()
        self.people: list[Person] = guests.people
        self.channel = guests.channels[0]

    @property
    def path(self) -> str:
        """Where its messages are."""
        return f"/channels/{self.channel}/messages"


def scroll(log: Log) -> dict[str, Any]:
    """Walk from the newest page to the oldest, alone."""
    parts = urlsplit(log.it.url)
    assert parts.hostname is not None
    connection = http.client.HTTPConnection(parts.hostname, parts.port, timeout=30)
    headers = {"authorization": f"Bearer {log.people[0].token()}"}
    window, times, cursor, wrong, more = Window(log.it.pids), list[float](), log.head + 1, 0, True
    with progress("scrolled", log.head) as advance:
        while more:
            began = time.perf_counter()
            connection.request(
                "GET", f"{log.path}?limit={SCROLL_LIMIT}&before={cursor}", headers=headers
            )
            answer = json.loads(connection.getresponse().read())
            times.append(time.perf_counter() - began)
            more = answer["hasMore"]
            seqs = [message["seq"] for message in answer["items"]]
            wrong += seqs != list(range(cursor - len(seqs), cursor))
            cursor = seqs[0] if seqs else 0
            for _ in seqs:
                advance()
    connection.close()
    figures, times = window.end(), sorted(times)
    return {
        **figures,
        "what": "scroll",
        "readers": 1,
        "per_s": len(times) / figures["seconds"],
        "entries_per_s": log.head / figures["seconds"],
        "p50_ms": times[len(times) // 2] * 1000,
        "p99_ms": times[int(len(times) * 0.99)] * 1000,
        "server_us": figures["server_cpu_s"] / len(times) * 1e6,
        "wrong": wrong + (cursor != 1),
    }


def pages(log: Log, client: LoadClient, above: int, *, seconds: float) -> dict[str, Any]:
    """Everybody asks for pages that have about so many messages above them."""
    top = log.head + 1 - above
    befores = [max(2, top - n * PAGE_LIMIT) for n in range(PAGES)]
    requests: list[list[list[str | None]]] = [
        [
            ["GET", f"{log.path}?limit={PAGE_LIMIT}&before={b}", person.token(), None]
            for b in befores
        ]
        for person in log.people
    ]
    row = ask(client, requests, log.it.url, log.it.pids, seconds=seconds)
    return {"what": "page", "depth": above, "readers": len(log.people), **row}


def catch_up(log: Log, client: LoadClient, missed: int) -> dict[str, Any]:
    """Everybody comes back at once, having missed so many messages."""
    member = {"channel": log.channel, "cursor": log.head - missed, "head": log.head}
    row = client.run(
        "catchup",
        url=log.it.url,
        dialect="rtchat",
        members=[log.it.member(person, **member) for person in log.people],
        watched=log.it.pids,
        deadline_s=CATCH_UP_S,
    )
    wrong = row["entries"] != missed * len(log.people)
    return {
        "what": "catch up",
        "depth": missed,
        **row,
        "p50_ms": row["arrived_p50_ms"],
        "p99_ms": row["arrived_max_ms"],
        "wrong": int(wrong),
    }


def with_flatness(rows: Sequence[dict[str, Any]]) -> Sequence[dict[str, Any]]:
    """Rows of one kind, the shallowest first: what each costs in multiples of that."""
    return [{**row, "flat": row["server_us"] / (rows[0]["server_us"] or 1e-9)} for row in rows]


@click.command(context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
@click.option("--messages", default=100_000, show_default=True, type=click.IntRange(1000, 10**7),
              help="How long the log is.")  # fmt: skip
@click.option("--readers", default=16, show_default=True, type=click.IntRange(1, 1000),
              help="Connections that ask for pages, or come back, at once.")  # fmt: skip
@click.option("--seconds", default=3.0, show_default=True, help="Measured time of each depth.")
@bench_options
def main(
    messages: int,
    readers: int,
    seconds: float,
    json_path: Path | None,
    thresholds: Sequence[Threshold],
) -> None:
    """Does reading back cost the same however long the log is?"""
    outcome = Outcome("history", "reading back in a long log", COLUMNS)
    with failures_told(), rig() as it, load_client() as client:
        say(f"writing {messages:,} messages")
        log = Log(it, messages, readers)
        say("scrolling back to the first")
        outcome.add(scroll(log))
        found = []
        for depth in DEPTHS:
            say(f"pages with {depth:.0%} of the log above")
            found.append(pages(log, client, int(messages * depth), seconds=seconds))
        for row in with_flatness(found):
            outcome.add(row)
        found = []
        for missed in (messages // 100, messages // 10, messages // 2):
            say(f"{readers} sockets come back, {missed:,} messages behind")
            found.append(catch_up(log, client, missed))
        for row in with_flatness(found):
            outcome.add(row)
    outcome.notes.append(
        "catch up: p50 and p99 are when half of the readers, and the last, arrived"
    )
    outcome.finish(json_path, thresholds)


if __name__ == "__main__":
    main()
