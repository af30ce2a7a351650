"""What rtchat's benches ask, asked of a peer: the same jobs, in a room that nobody was in before.

A room of its own for each row: Nchan hands its newest messages to whoever comes later, and the
stored ones are counted by their room.
"""

import asyncio
import secrets
from typing import Any

import asyncpg

from bench.fanout import CONTENT_BYTES as FANOUT_BYTES
from bench.ingest import CONTENT_BYTES as INGEST_BYTES
from bench.load.process import LoadClient
from bench.peers.peer import Running

_ROOMS = range(100_000, 900_000)  # six digits, so that frames are of one length


def _rooms(count: int) -> list[int]:
    first = _ROOMS[secrets.randbelow(len(_ROOMS))]
    return list(range(first, first + count))


def fanout(
    it: Running,
    client: LoadClient,
    *,
    members: int,
    in_flight: int,
    seconds: float,
    warmup_s: float = 1.0,
) -> dict[str, Any]:
    """One row of `bench fanout`."""
    rooms = _rooms(1)
    row = client.run(
        "fanout",
        url=it.url,
        dialect=it.dialect,
        members=[{"channel": rooms[0], "user": n + 1} for n in range(members)],
        watched=list(it.pids),
        in_flight=in_flight,
        seconds=seconds,
        warmup_s=warmup_s,
        content_bytes=FANOUT_BYTES,
    )
    if not it.database_url:
        return row
    stored = _stored(it, rooms)
    return {**row, "stored": stored, "lost": row["sent_in_all"] - stored}


def ingest(
    it: Running,
    client: LoadClient,
    *,
    senders: int,
    channels: int,
    in_flight: int,
    seconds: float,
    warmup_s: float = 1.0,
) -> dict[str, Any]:
    """One row of `bench ingest`, of a peer that stores: senders that nobody listens to."""
    rooms = _rooms(channels)
    row = client.run(
        "ingest",
        url=it.url,
        dialect=it.dialect,
        members=[
            {"channel": rooms[n % channels], "user": n + 1, "listens": False}
            for n in range(senders)
        ],
        watched=list(it.pids),
        in_flight=in_flight,
        seconds=seconds,
        warmup_s=warmup_s,
        content_bytes=INGEST_BYTES,
    )
    stored = _stored(it, rooms)
    lost = row["sent_in_all"] - row["unanswered"] - stored
    return {**row, "channels": channels, "stored": stored, "lost": lost}


def _stored(it: Running, rooms: list[int]) -> int:
    """How many messages its database has of these rooms."""

    async def count() -> int:
        connection = await asyncpg.connect(it.database_url)
        try:
            found: int = await connection.fetchval(
                "SELECT count(*) FROM messages WHERE channel_id = ANY($1)", rooms
            )
            return found
        finally:
            await connection.close()

    with asyncio.Runner() as runner:
        return runner.run(count())


def seed(it: Running, *, channel: int, user: int, messages: int) -> None:
    """Give the peer that stores a channel with one member and so many messages."""

    async def write() -> None:
        connection = await asyncpg.connect(it.database_url)
        try:
            await connection.execute("INSERT INTO members VALUES ($1, $2)", channel, user)
            await connection.execute(
                "INSERT INTO messages (channel_id, user_id, content)"
                " SELECT $1::bigint, $2::bigint, repeat('x', $4) FROM generate_series(1, $3)",
                channel,
                user,
                messages,
                INGEST_BYTES,
            )
            await connection.execute("ANALYZE members, messages")
        finally:
            await connection.close()

    with asyncio.Runner() as runner:
        runner.run(write())
