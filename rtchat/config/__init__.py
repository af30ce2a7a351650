"""Every setting: its type, unit, default, limits, and what happens at the limit.

Owns: the one list of settings, and how they relate; `settings` reads them. A limit of rate or
number is switched off by 0. Names end with their unit. (Those of sign-in stand in `sign_in`.)
"""

import re
from typing import Annotated

from msgspec import Meta

from rtchat.addresses import ANY_PEER, Proxies
from rtchat.config.kinds import ConfigError, number as _number, text as _text
from rtchat.config.rates import Rates

__all__ = ["Config", "ConfigError"]

STOP_RESERVE_S = 7  # answers 2, writes 1.5, farewell 1, requests 1.5, parts 1: drain, server/run
INTERNAL_TOKEN_MIN_CHARS = 16
MS_MAX = 600_000
# As browsers write it (RFC 6454 §6.2): lower case, no path, no user, no pattern.
ORIGIN = re.compile(r"[a-z][a-z0-9+.-]*://([a-z0-9._-]+|\[[0-9a-f:.]+\])(:[0-9]{1,5})?")
BYTES_MAX = 2**31


class Config(Rates, frozen=True, kw_only=True):
    """The values of one process, read once at start."""

    # --- where the parts are
    database_url: Annotated[
        str, _text("PostgreSQL 15 or newer: postgresql://user:password@host/name", secret=True)
    ] = ""
    migrate_url: Annotated[
        str,
        _text(
            "database URL of `rtchat migrate` and `rtchat epoch`: as the schema's owner, no pooler",
            secret=True,
        ),
    ] = ""
    redis_urls: Annotated[
        str, _text("Redis or Valkey 7+, comma-separated; empty: one process, no Redis", secret=True)
    ] = ""
    tls_required: Annotated[
        int, _number(0, 1, "1: PostgreSQL and Redis on other machines need verified TLS")
    ] = 1
    redis_cluster: Annotated[int, _number(0, 1, "1: the URLs are seeds of a Redis Cluster")] = 0
    host: Annotated[str, _text("address to listen on")] = "127.0.0.1"
    port: Annotated[int, _number(0, 65535, "TCP port to listen on; 0: any free one")] = 8000
    workers: Annotated[
        int, _number(0, 256, "processes, each with limits of its own; 0: one a core; need Redis")
    ] = 1
    origins: Annotated[
        str, _text("further web origins that may connect, comma-separated: https://chat.example")
    ] = ""

    trusted_proxies: Annotated[
        str,
        _text(
            "whose X-Forwarded-For and -Proto count: addresses and networks, comma-separated;"
            f" {ANY_PEER}: nobody else can connect"
        ),
    ] = ""

    # --- logging
    log_level: Annotated[str, Meta(pattern="^(debug|info|warning|error)$", description="level")] = (
        "info"
    )
    log_format: Annotated[
        str, Meta(pattern="^(auto|json|text)$", description="auto: text on a terminal, else JSON")
    ] = "auto"

    # --- content
    content_max_chars: Annotated[
        int, _number(1, 16_000, "longest message, code points; beyond: `too_long`")
    ] = 4000
    name_max_chars: Annotated[
        int, _number(8, 200, "longest user or channel name; beyond: `too_long`")
    ] = 80
    dm_max_members: Annotated[int, _number(2, 50, "people in a dm; beyond: `too_long`")] = 10
    new_channel_max_members: Annotated[
        int, _number(2, 1000, "people added while creating a channel; beyond: `too_long`")
    ] = 100
    unread_max: Annotated[int, _number(1, 10_000, "unread messages are counted up to this")] = 1000

    # --- HTTP
    body_max_bytes: Annotated[
        int, _number(1024, 2**24, "largest request body; beyond: `too_large`")
    ] = 65_536
    body_drain_bytes: Annotated[
        int, _number(0, 2**26, "read and dropped of a body over the limit, then the link closes")
    ] = 4_194_304
    body_read_s: Annotated[int, _number(1, 300, "a body must be whole within this, seconds")] = 10
    hsts_s: Annotated[
        int, _number(0, 63_072_000, "browsers stay with https for so long once they came by it")
    ] = 31_536_000
    header_max_bytes: Annotated[int, _number(1024, 2**20, "a request's head; beyond: 431")] = 16_384
    header_read_s: Annotated[int, _number(1, 300, "a head must be whole within this, seconds")] = 5

    # --- connections
    connections_max: Annotated[int, _number(0, 10**7, "connections, in all; beyond: 503")] = 50_000
    connections_per_user: Annotated[int, _number(0, 10**6, "sockets a user; beyond: 4101")] = 100
    connections_per_address: Annotated[
        int, _number(0, 10**6, "connections an address (behind a proxy all have one); beyond: 503")
    ] = 0
    sockets_per_address: Annotated[
        int, _number(0, 10**6, "WebSockets an address, where proxies are trusted; beyond: 503")
    ] = 1000
    guests_max: Annotated[int, _number(0, 10**6, "sockets before their `auth`; beyond: 503")] = 5000
    tcp_user_timeout_ms: Annotated[
        int, _number(0, MS_MAX, "an answer that is not taken for this long is cut by the kernel")
    ] = 60_000

    # --- WebSocket
    frame_max_bytes: Annotated[
        int, _number(1024, 2**24, "largest message from a client; beyond: close 1009")
    ] = 65_536
    auth_deadline_ms: Annotated[
        int, _number(100, 60_000, "first frame must be a good `auth` by then; else close 4001")
    ] = 5000
    heartbeat_s: Annotated[int, _number(1, 600, "seconds between pings to a client")] = 25
    heartbeat_timeout_s: Annotated[
        int, _number(1, 600, "a ping unanswered for this long closes the socket")
    ] = 20
    expiring_s: Annotated[int, _number(1, 600, "`expiring` comes this long before expiry")] = 60
    subs_max: Annotated[int, _number(0, 100_000, "subscriptions a connection")] = 1000
    sends_per_second: Annotated[int, _number(0, 10**6, "writes; beyond: `rate_limited`")] = 20
    sends_burst: Annotated[int, _number(1, 10**6, "writes at once, before that rate holds")] = 40
    sends_in_flight: Annotated[
        int, _number(1, 100_000, "unanswered writes a connection; then it is read no further")
    ] = 256
    errors_per_second: Annotated[int, _number(0, 10_000, "errors; beyond: close 4008")] = 20
    errors_burst: Annotated[int, _number(1, 10_000, "errors before the rate above holds")] = 100
    commands_per_second: Annotated[
        int, _number(0, 10**6, "frames a connection, where its writes are limited; beyond: 4008")
    ] = 200
    control_frames_per_second: Annotated[int, _number(0, 10**5, "pings and pongs")] = 10
    fragments_max: Annotated[int, _number(0, 10**5, "fragments a message; beyond: 4009")] = 64

    # --- flow control towards clients
    write_high_bytes: Annotated[
        int, _number(1024, BYTES_MAX, "unsent bytes at which a client falls out of live")
    ] = 262_144
    write_low_bytes: Annotated[
        int, _number(0, BYTES_MAX, "unsent bytes at which it catches up again")
    ] = 65_536
    slow_deadline_ms: Annotated[
        int, _number(100, MS_MAX, "a quarter of the low mark not taken in this: close 4102")
    ] = 15_000

    # --- the writer
    lanes: Annotated[int, _number(1, 64, "writer lanes, each with a connection of its own")] = 4
    batch_max_rows: Annotated[int, _number(1, 10_000, "writes in one transaction")] = 500
    batch_max_bytes: Annotated[int, _number(65_536, 2**26, "content in one transaction")] = (
        1_048_576
    )
    queue_max_rows: Annotated[
        int, _number(1, 10_000_000, "writes waiting in this process; beyond: `overloaded`")
    ] = 20_000
    queue_max_bytes: Annotated[
        int, _number(65_536, BYTES_MAX, "content waiting in this process; beyond: `overloaded`")
    ] = 33_554_432
    write_timeout_ms: Annotated[
        int, _number(100, MS_MAX, "a write unresolved for this long is answered `unavailable`")
    ] = 10_000
    lock_skips: Annotated[
        int, _number(0, 1000, "times a locked channel is passed over before its lock is waited for")
    ] = 3
    lock_wait_ms: Annotated[int, _number(1, MS_MAX, "longest wait for a channel's lock")] = 1000

    # --- the database
    pool_max: Annotated[int, _number(1, 1000, "connections for reads, besides the lanes'")] = 8
    connect_timeout_ms: Annotated[int, _number(100, MS_MAX, "to open a connection")] = 5000
    acquire_timeout_ms: Annotated[
        int, _number(10, MS_MAX, "wait for a free connection; beyond: `unavailable`")
    ] = 2000
    query_timeout_ms: Annotated[int, _number(100, MS_MAX, "one statement")] = 5000
    idle_in_transaction_ms: Annotated[
        int, _number(100, MS_MAX, "a pod that freezes holding locks loses them after this")
    ] = 2000
    statement_cache: Annotated[
        int, _number(0, 10_000, "prepared statements a connection; 0 behind a pooler")
    ] = 100

    # --- the hub
    head_check_ms: Annotated[
        int, _number(50, MS_MAX, "between checks of every room's head against the log")
    ] = 2000
    reorder_ms: Annotated[
        int, _number(0, 1000, "a hole waits this long for its envelope, then the log is read")
    ] = 20
    reorder_max_bytes: Annotated[
        int, _number(1024, BYTES_MAX, "envelopes of one room that wait behind a hole")
    ] = 1_048_576
    tail_max_bytes: Annotated[
        int, _number(0, BYTES_MAX, "recent frames that all rooms keep together")
    ] = 67_108_864
    catch_up_rows: Annotated[int, _number(1, 10_000, "entries a page that is read to catch up")] = (
        200
    )
    room_linger_ms: Annotated[
        int, _number(10, MS_MAX, "a room without subscribers stays open for this long")
    ] = 5000

    # --- the bus
    bus_prefix: Annotated[
        str, Meta(pattern="^[A-Za-z0-9_.-]{1,64}$", description="first part of every topic's name")
    ] = "rtchat"
    bus_shards: Annotated[
        int, _number(1, 16_384, "shards that channels are spread over; the same on every pod")
    ] = 64
    bus_queue_bytes: Annotated[
        int, _number(65_536, BYTES_MAX, "unsent bytes to one Redis; beyond: dropped and counted")
    ] = 8_388_608

    # --- the cache
    cache_timeout_ms: Annotated[
        int, _number(10, 10_000, "Redis must answer by then; else codes are `unavailable`")
    ] = 500
    cache_connections: Annotated[int, _number(1, 1000, "connections to each Redis")] = 8
    cache_entries_max: Annotated[
        int, _number(1000, 10**7, "entries, and buckets of limits, in this process")
    ] = 100_000
    cache_max_bytes: Annotated[
        int, _number(65_536, BYTES_MAX, "entries of a process without Redis; the oldest go")
    ] = 16_777_216
    cache_local_percent: Annotated[
        int, _number(1, 100, "of a shared limit, what each pod lets through while Redis is away")
    ] = 25

    # --- stopping
    drain_s: Annotated[
        int, _number(0, 280, "longest window in which sockets are sent away one by one")
    ] = 20
    drain_per_second: Annotated[
        int, _number(1, 1_000_000, "sockets sent away, where that takes less than the window")
    ] = 200
    drain_return_ms: Annotated[
        int, _number(0, 60_000, "clients are asked to come back at a random time within this")
    ] = 2000
    shutdown_s: Annotated[
        int, _number(STOP_RESERVE_S, 300, "from the signal to the exit, stuck or not")
    ] = 28  # Kubernetes kills after 30
    internal_token: Annotated[
        str, _text("bearer token of `rtchat drain`; empty: no such path", secret=True)
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
