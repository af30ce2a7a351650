"""Every setting: its type, unit, default, limits, and what happens at the limit.

Owns: the one list of settings, and how they relate; `settings` reads them. A limit of rate or
number is switched off by 0. Names end with their unit. Those of sign-in stand in `sign_in`, of
rates in `rates`, of what clients meet in `edge`, of what is told and not kept in `ephemeral`; here
are those of the parts behind.
"""

import re
from typing import Annotated

from msgspec import Meta

from rtchat.addresses import Proxies
from rtchat.config.edge import BYTES_MAX, MS_MAX
from rtchat.config.ephemeral import Ephemeral
from rtchat.config.kinds import ConfigError, number as _number, text as _text

__all__ = ["Config", "ConfigError"]

STOP_RESERVE_S = 7  # answers 2, writes 1.5, farewell 1, requests 1.5, parts 1: drain, server/run
INTERNAL_TOKEN_MIN_CHARS = 16
# As browsers write it (RFC 6454 §6.2): lower case, no path, no user, no pattern.
ORIGIN = re.compile(r"[a-z][a-z0-9+.-]*://([a-z0-9._-]+|\[[0-9a-f:.]+\])(:[0-9]{1,5})?")


class Config(Ephemeral, frozen=True, kw_only=True):
    """The values of one process, read once at start."""

    # --- the writer
    lanes: Annotated[int, _number(1, 64, "writer lanes, each with a connection of its own")] = 4
    batch_max_rows: Annotated[
        int,
        _number(1, 10_000, "writes in one transaction", "batch: the rest waits for the next one"),
    ] = 500
    batch_max_bytes: Annotated[
        int,
        _number(
            65_536, 2**26, "content in one transaction", "batch: the rest waits for the next one"
        ),
    ] = 1_048_576
    queue_max_rows: Annotated[
        int,
        _number(
            1,
            10_000_000,
            "writes waiting in this process; beyond: `overloaded`",
            "process: `overloaded`",
        ),
    ] = 20_000
    queue_max_bytes: Annotated[
        int,
        _number(
            65_536,
            BYTES_MAX,
            "content waiting in this process; beyond: `overloaded`",
            "process: `overloaded`",
        ),
    ] = 33_554_432
    write_timeout_ms: Annotated[
        int,
        _number(
            100,
            MS_MAX,
            "a write unresolved for this long is answered `unavailable`",
            "write: `unavailable`",
        ),
    ] = 10_000
    lock_skips: Annotated[
        int,
        _number(
            0,
            1000,
            "times a locked channel is passed over before its lock is waited for",
            "channel: its lock is waited for",
        ),
    ] = 3
    lock_wait_ms: Annotated[
        int, _number(1, MS_MAX, "longest wait for a channel's lock", "batch: it is tried again")
    ] = 1000

    # --- the database
    pool_max: Annotated[
        int,
        _number(
            1, 1000, "connections for reads, besides the lanes'", "process: the next one waits"
        ),
    ] = 8
    connect_timeout_ms: Annotated[
        int, _number(100, MS_MAX, "to open a connection", "connection: `unavailable`")
    ] = 5000
    acquire_timeout_ms: Annotated[
        int,
        _number(
            10, MS_MAX, "wait for a free connection; beyond: `unavailable`", "read: `unavailable`"
        ),
    ] = 2000
    query_timeout_ms: Annotated[
        int, _number(100, MS_MAX, "one statement", "statement: `unavailable`")
    ] = 5000
    idle_in_transaction_ms: Annotated[
        int,
        _number(
            100,
            MS_MAX,
            "a pod that freezes holding locks loses them after this",
            "transaction: PostgreSQL ends it, and it is tried again",
        ),
    ] = 2000
    statement_cache: Annotated[
        int,
        _number(
            0,
            10_000,
            "prepared statements a connection; 0 behind a pooler older than PgBouncer 1.21",
            "connection: the one unused longest goes",
        ),
    ] = 100

    # --- the hub
    head_check_ms: Annotated[
        int, _number(50, MS_MAX, "between checks of every room's head against the log")
    ] = 2000
    reorder_ms: Annotated[
        int,
        _number(
            0,
            1000,
            "a hole waits this long for its envelope, then the log is read",
            "room: the log is read",
        ),
    ] = 20
    reorder_max_bytes: Annotated[
        int,
        _number(
            1024,
            BYTES_MAX,
            "envelopes of one room that wait behind a hole",
            "room: dropped, and read from the log",
        ),
    ] = 1_048_576
    tail_max_bytes: Annotated[
        int,
        _number(
            0,
            BYTES_MAX,
            "recent frames that all rooms keep together",
            "process: the oldest go, and are read from the log",
        ),
    ] = 67_108_864
    catch_up_rows: Annotated[
        int,
        _number(1, 10_000, "entries a page that is read to catch up", "page: another page is read"),
    ] = 200
    room_linger_ms: Annotated[
        int,
        _number(
            10, MS_MAX, "a room without subscribers stays open for this long", "room: it closes"
        ),
    ] = 5000

    # --- the bus
    bus_prefix: Annotated[
        str, Meta(pattern="^[A-Za-z0-9_.-]{1,64}$", description="first part of every topic's name")
    ] = "rtchat"
    bus_shards: Annotated[
        int, _number(1, 16_384, "shards that channels are spread over; the same on every pod")
    ] = 64
    bus_queue_bytes: Annotated[
        int,
        _number(
            65_536,
            BYTES_MAX,
            "unsent bytes to one Redis; beyond: dropped and counted",
            "Redis: dropped, and read from the log",
        ),
    ] = 8_388_608

    # --- the cache
    cache_timeout_ms: Annotated[
        int,
        _number(
            10,
            10_000,
            "Redis must answer by then; else codes are `unavailable`",
            "call: `unavailable`, or each pod counts for itself",
        ),
    ] = 500
    cache_connections: Annotated[
        int, _number(1, 1000, "connections to each Redis", "Redis: the next call waits")
    ] = 8
    cache_entries_max: Annotated[
        int,
        _number(
            1000,
            10**7,
            "entries, and buckets of limits, in this process",
            "process: the one unused longest goes",
        ),
    ] = 100_000
    cache_max_bytes: Annotated[
        int,
        _number(
            65_536,
            BYTES_MAX,
            "entries of a process without Redis; the oldest go",
            "process: the oldest go",
        ),
    ] = 16_777_216
    cache_local_percent: Annotated[
        int, _number(1, 100, "of a shared limit, what each pod lets through while Redis is away")
    ] = 25

    # --- stopping
    drain_s: Annotated[
        int,
        _number(
            0,
            280,
            "longest window in which sockets are sent away one by one",
            "process: close 4201",
        ),
    ] = 20
    drain_per_second: Annotated[
        int, _number(1, 1_000_000, "sockets sent away, where that takes less than the window")
    ] = 200
    drain_return_ms: Annotated[
        int,
        _number(
            0,
            60_000,
            "clients are asked to come back at a random time within this",
            "socket: it is not told a later time",
        ),
    ] = 2000
    shutdown_s: Annotated[
        int,
        _number(
            STOP_RESERVE_S,
            300,
            "from the signal to the exit, stuck or not",
            "process: it ends, whoever is left",
        ),
    ] = 28  # Kubernetes kills after 30
    internal_token: Annotated[
        str,
        _text(
            "bearer token of `rtchat drain` and of `/metrics`; empty: no such paths", secret=True
        ),
    ] = ""

    def __post_init__(self) -> None:
        relations = {
            "write_low_bytes < write_high_bytes": self.write_low_bytes < self.write_high_bytes,
            # A message of the longest kind, every code point escaped as \uXXXX\uXXXX, fits a frame.
            "12 * content_max_chars + 1024 <= frame_max_bytes": (
                12 * self.content_max_chars + 1024 <= self.frame_max_bytes
            ),
            "12 * content_max_chars + 1024 <= body_max_bytes": (
                12 * self.content_max_chars + 1024 <= self.body_max_bytes
            ),
            "batch_max_bytes <= queue_max_bytes": self.batch_max_bytes <= self.queue_max_bytes,
            "expiring_s < access_token_s or access_token_s <= 60": (
                self.expiring_s < self.access_token_s or self.access_token_s <= 60
            ),
            "redis_cluster needs redis_urls": not self.redis_cluster or bool(self.redis_nodes),
            "lock_wait_ms < write_timeout_ms": self.lock_wait_ms < self.write_timeout_ms,
            # After the window: the last writes' answers, requests under way, the parts' end.
            f"drain_s + {STOP_RESERVE_S} <= shutdown_s": (
                self.drain_s + STOP_RESERVE_S <= self.shutdown_s
            ),
            f"internal_token is empty or has {INTERNAL_TOKEN_MIN_CHARS} characters or more": (
                not self.internal_token or len(self.internal_token) >= INTERNAL_TOKEN_MIN_CHARS
            ),
        }
        for relation, holds in relations.items():
            if not holds:
                raise ConfigError(f"these settings do not fit together: {relation} must hold")
        try:
            Proxies(self.trusted_proxies)
        except ValueError as error:
            raise ConfigError(f"RTCHAT_TRUSTED_PROXIES cannot be used: {error}") from None
        for origin in self.origin_list:
            if not ORIGIN.fullmatch(origin):
                raise ConfigError(f"origins: {origin!r} is not as in https://host or http://host:1")

    @property
    def redis_nodes(self) -> list[str]:
        """The Redis URLs, one a node."""
        return [url.strip() for url in self.redis_urls.split(",") if url.strip()]

    @property
    def origin_list(self) -> frozenset[str]:
        """The web origins that may connect besides the server's own."""
        return frozenset(o.strip().rstrip("/") for o in self.origins.split(",") if o.strip())
