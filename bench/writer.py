"""`python -m bench writer`: how fast rows get into the log, by statement and by batch size.

On the real schema, with fsync and synchronous_commit on, one connection, one batch a transaction.
`copy` is bare COPY as asyncpg does it, the yardstick; `writer` is the server's own transaction:
lock, read, decide, COPY, heads, commit. Each begins with messages as the server has them, so that
what it takes to make rows of them counts too.
"""

import contextlib
import itertools
import os
import struct
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Sequence
from dataclasses import dataclass, field
from io import BytesIO
from pathlib import Path
from typing import Any

import asyncpg
import click
import uvloop

from bench import machine
from bench.crowd import open_channels
from bench.outcome import Column, Outcome, Threshold, bench_options, failures_told, say
from rtchat.batch import Op, Write
from rtchat.config import Config
from rtchat.model import Kind, LogEntry
from rtchat.store.log import COLUMNS as FIELDS, LogWriter, rows_of
from tests.services import Databases, run_postgres

SIZES = (1, 10, 50, 100, 200, 500, 1000, 2000, 4000)
CHANNELS = 50
CONTENT = "x" * 100
_EPOCH_US = 946_684_800_000_000  # PostgreSQL counts from 2000
_HEAD = b"PGCOPY\n\xff\r\n\0" + bytes(8)
_FIXED = struct.Struct(">hiqiqihiqi")  # column count, then (length, value) up to a null target
_TIME = struct.Struct(">iqi")

COLUMNS = (
    Column("variant", "variant", "{}"),
    Column("batch", "rows a batch"),
    Column("rows_per_s", "rows/s"),
    Column("of_copy", "of bare COPY", "{:.2f}"),
    Column("python_us_per_row", "Python µs/row", "{:.1f}"),
    Column("batch_p50_ms", "batch p50 ms", "{:.2f}"),
    Column("batches", "batches"),
)


@dataclass
class Bench:
    """A connection, and messages for it: of one user, in turn over some channels."""

    connection: asyncpg.Connection
    channels: list[int]
    user_id: int
    numbers: Iterator[int] = field(default_factory=itertools.count)
    seqs: dict[int, int] = field(default_factory=dict)
    rows: int = 0

    def entries(self, count: int) -> list[LogEntry]:
        """The next messages."""
        self.rows += count
        return [self._entry(next(self.numbers)) for _ in range(count)]

    def _entry(self, number: int) -> LogEntry:
        channel = self.channels[number % len(self.channels)]
        seq = self.seqs[channel] = self.seqs.get(channel, 0) + 1
        now = time.time_ns() // 1_000_000
        return LogEntry(
            channel, seq, Kind.MESSAGE, self.user_id, None, CONTENT, now, f"n{number}"
        )  # fmt: skip

    def writes(self, count: int) -> list[Write]:
        """The same as wishes to send them, each with a client's nonce."""
        self.rows += count
        return [
            Write(Op.SEND, self.channels[n % len(self.channels)], self.user_id, f"n{n}", _ignore,
                  given=True, content=CONTENT)
            for n in itertools.islice(self.numbers, count)
        ]  # fmt: skip


def _ignore(_: list[Write]) -> None:
    """Nobody waits for the answers."""


# --- the ways, each of one batch


async def copy(it: Bench, entries: Sequence[LogEntry]) -> None:
    """COPY, encoded by asyncpg."""
    await it.connection.copy_records_to_table("messages", records=rows_of(entries), columns=FIELDS)


async def copy_binary(it: Bench, entries: Sequence[LogEntry]) -> None:
    """COPY, encoded here."""
    source = BytesIO(b"".join([_HEAD, *map(_encoded, entries), b"\xff\xff"]))
    await it.connection.copy_to_table("messages", source=source, columns=FIELDS, format="binary")


def _encoded(e: LogEntry) -> bytes:
    content, nonce = (e.content or "").encode(), (e.nonce or "").encode()
    return b"".join(
        (
            _FIXED.pack(8, 8, e.channel_id, 8, e.seq, 2, e.kind, 8, e.user_id, -1),
            len(content).to_bytes(4, "big"),
            content,
            _TIME.pack(8, e.ts * 1000 - _EPOCH_US, len(nonce)),
            nonce,
        )
    )


async def unnest(it: Bench, entries: Sequence[LogEntry]) -> None:
    """INSERT … SELECT, a column an array."""
    await it.connection.execute(
        f"INSERT INTO messages ({', '.join(FIELDS)}) SELECT * FROM unnest($1::bigint[],"
        " $2::bigint[], $3::smallint[], $4::bigint[], $5::bigint[], $6::text[],"
        " $7::timestamptz[], $8::text[])",
        *map(list, zip(*rows_of(entries), strict=True)),
    )


async def executemany(it: Bench, entries: Sequence[LogEntry]) -> None:
    """One INSERT a row, pipelined by asyncpg."""
    places = ", ".join(f"${n}" for n in range(1, len(FIELDS) + 1))
    await it.connection.executemany(
        f"INSERT INTO messages ({', '.join(FIELDS)}) VALUES ({places})", rows_of(entries)
    )


def _of_entries(way: Callable[[Bench, Sequence[LogEntry]], Awaitable[None]]) -> "Way":
    async def run(it: Bench, size: int) -> Callable[[], Awaitable[object]]:
        entries = it.entries(size)
        return lambda: way(it, entries)

    return run


async def _writer(it: Bench, size: int) -> Callable[[], Awaitable[object]]:
    log, writes = LogWriter(Config(), it.connection), it.writes(size)
    return lambda: log.store(writes, wait=False)


Way = Callable[[Bench, int], Awaitable[Callable[[], Awaitable[object]]]]
VARIANTS: dict[str, Way] = {
    "copy": _of_entries(copy),
    "copy_binary": _of_entries(copy_binary),
    "unnest": _of_entries(unnest),
    "executemany": _of_entries(executemany),
    "writer": _writer,
}


async def measure(url: str, variant: str, size: int, seconds: float) -> dict[str, Any]:
    """One row: batches of `size` for so long, on channels of their own; then they are counted."""
    async with _bench(url) as it:
        way, took, cpu_s = VARIANTS[variant], list[float](), 0.0
        until = time.perf_counter() + seconds
        while time.perf_counter() < until or len(took) < 3:
            batch = await way(it, size)
            began, cpu = time.perf_counter(), time.process_time()
            await batch()
            took.append(time.perf_counter() - began)
            cpu_s += time.process_time() - cpu
        stored = await it.connection.fetchval(
            "SELECT count(*) FROM messages WHERE channel_id = ANY($1)", it.channels
        )
    return {
        "variant": variant,
        "batch": size,
        "rows_per_s": it.rows / sum(took),
        "python_us_per_row": cpu_s / it.rows * 1e6,
        "batch_p50_ms": sorted(took)[len(took) // 2] * 1000,
        "batches": len(took),
        "missing": it.rows - stored,
    }


@contextlib.asynccontextmanager
async def _bench(url: str) -> AsyncIterator[Bench]:
    connection = await asyncpg.connect(url)
    try:
        user = await connection.fetchval(
            "INSERT INTO users (email, name) VALUES (gen_random_uuid()::text, 'x') RETURNING id"
        )
        channels = await open_channels(url, [[user]] * CHANNELS)
        yield Bench(connection, channels, user)
    finally:
        await connection.close()


@contextlib.contextmanager
def _database() -> Iterator[str]:
    """A PostgreSQL on the other cores, and this process on the server's."""
    before, own = os.sched_getaffinity(0), machine.server_cores()
    if others := machine.other_cores():
        os.sched_setaffinity(0, others)
    with contextlib.ExitStack() as stack:
        stack.callback(os.sched_setaffinity, 0, before)
        databases = Databases(stack.enter_context(run_postgres()).url)
        stack.callback(databases.close)
        url = stack.enter_context(databases.fresh())
        machine.pin(os.getpid(), own)
        yield url


@click.command(context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
@click.option("--variant", "variants", multiple=True, type=click.Choice(list(VARIANTS)),
              help="Only this one, beside `copy`; may be given again.")  # fmt: skip
@click.option("--batch", "sizes", multiple=True, type=click.IntRange(1, 10_000), default=SIZES,
              show_default=True, help="Rows a batch; may be given again.")  # fmt: skip
@click.option("--seconds", default=1.0, show_default=True, help="Measured time of each row.")
@bench_options
def main(
    variants: Sequence[str],
    sizes: Sequence[int],
    seconds: float,
    json_path: Path | None,
    thresholds: Sequence[Threshold],
) -> None:
    """How fast rows get into the log."""
    outcome = Outcome("writer", "rows a second into the log, on one connection", COLUMNS)
    chosen = [v for v in VARIANTS if v == "copy" or not variants or v in variants]
    with failures_told(), _database() as url:
        for size in sizes:
            bare = 0.0
            for variant in chosen:
                say(f"{variant}, {size} rows a batch")
                row = uvloop.run(measure(url, variant, size, seconds))
                bare = bare or row["rows_per_s"]
                outcome.add({**row, "of_copy": row["rows_per_s"] / bare})
    outcome.finish(json_path, thresholds)


if __name__ == "__main__":
    main()
