"""The settings of the edge: where the parts are, and the limits that clients meet.

Owns: a part of the one list of settings, `Config`; how they relate is asserted there.
"""

from typing import Annotated

from msgspec import Meta

from rtchat.addresses import ANY_PEER
from rtchat.config.kinds import number, text
from rtchat.config.rates import Rates

MS_MAX = 600_000
BYTES_MAX = 2**31


class Edge(Rates, frozen=True, kw_only=True):
    """What `Config` holds of the edge."""

    # --- where the parts are
    database_url: Annotated[
        str, text("PostgreSQL 15 or newer: postgresql://user:password@host/name", secret=True)
    ] = ""
    migrate_url: Annotated[
        str,
        text(
            "database URL of `rtchat migrate` and `rtchat epoch`: as the schema's owner, no pooler",
            secret=True,
        ),
    ] = ""
    redis_urls: Annotated[
        str, text("Redis or Valkey 7+, comma-separated; empty: one process, no Redis", secret=True)
    ] = ""
    tls_required: Annotated[
        int, number(0, 1, "1: PostgreSQL and Redis on other machines need verified TLS")
    ] = 1
    redis_cluster: Annotated[int, number(0, 1, "1: the URLs are seeds of a Redis Cluster")] = 0
    host: Annotated[str, text("address to listen on")] = "127.0.0.1"
    port: Annotated[int, number(0, 65535, "TCP port to listen on; 0: any free one")] = 8000
    internal_port: Annotated[
        int,
        number(
            0,
            65535,
            "TCP port of operators' paths, the next worker's one higher; 0: they are on `port`",
        ),
    ] = 0
    workers: Annotated[
        int, number(0, 256, "processes, each with limits of its own; 0: one a core; need Redis")
    ] = 1
    origins: Annotated[
        str, text("further web origins that may connect, comma-separated: https://chat.example")
    ] = ""

    trusted_proxies: Annotated[
        str,
        text(
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

    # --- traces
    trace_one_in: Annotated[
        int,
        number(
            0,
            10**9,
            "of so many entries of logs one is traced, the same on every pod; 1: all; 0: none",
        ),
    ] = 0

    # --- content
    content_max_chars: Annotated[
        int,
        number(
            1, 16_000, "longest message, code points; beyond: `too_long`", "message: `too_long`"
        ),
    ] = 4000
    name_max_chars: Annotated[
        int, number(8, 200, "longest user or channel name; beyond: `too_long`", "name: `too_long`")
    ] = 80
    emoji_max_chars: Annotated[
        int,
        number(1, 64, "longest reaction, code points; beyond: `too_long`", "reaction: `too_long`"),
    ] = 16
    reactions_max: Annotated[
        int,
        number(1, 1000, "different emoji of a message; beyond: `too_long`", "message: `too_long`"),
    ] = 20
    dm_max_members: Annotated[
        int, number(2, 50, "people in a dm; beyond: `too_long`", "dm: `too_long`")
    ] = 10
    new_channel_max_members: Annotated[
        int,
        number(
            2,
            1000,
            "people added while creating a channel; beyond: `too_long`",
            "request: `too_long`",
        ),
    ] = 100
    unread_max: Annotated[
        int,
        number(
            1,
            10_000,
            "unread messages are counted up to this",
            "channel and user: no more are counted",
        ),
    ] = 1000

    # --- HTTP
    body_max_bytes: Annotated[
        int,
        number(1024, 2**24, "largest request body; beyond: `too_large`", "request: `too_large`"),
    ] = 65_536
    body_drain_bytes: Annotated[
        int,
        number(
            0,
            2**26,
            "read and dropped of a body over the limit, then the link closes",
            "request: the connection is cut",
        ),
    ] = 4_194_304
    body_read_s: Annotated[
        int, number(1, 300, "a body must be whole within this, seconds", "request: `bad_json`")
    ] = 10
    hsts_s: Annotated[
        int, number(0, 63_072_000, "browsers stay with https for so long once they came by it")
    ] = 31_536_000
    header_max_bytes: Annotated[
        int, number(1024, 2**20, "a request's head; beyond: 431", "request: `too_large`")
    ] = 16_384
    header_read_s: Annotated[
        int,
        number(
            1,
            300,
            "a head must be whole within this, seconds",
            "connection: closed without an answer",
        ),
    ] = 5

    keep_alive_s: Annotated[
        int,
        number(
            1,
            600,
            "an idle HTTP connection is kept for so long; longer than a proxy in front keeps it",
            "connection: closed without an answer",
        ),
    ] = 5

    # --- connections
    connections_max: Annotated[
        int,
        number(0, 10**7, "connections, in all; beyond: 503", "process: `overloaded`, close 4101"),
    ] = 50_000
    connections_per_user: Annotated[
        int, number(0, 10**6, "sockets a user; beyond: 4101", "user: `overloaded`, close 4101")
    ] = 100
    connections_per_address: Annotated[
        int,
        number(
            0,
            10**6,
            "connections an address (behind a proxy all have one); beyond: 503",
            "address: `overloaded`",
        ),
    ] = 0
    sockets_per_address: Annotated[
        int,
        number(
            0,
            10**6,
            "WebSockets an address, where proxies are trusted; beyond: 503",
            "address: `overloaded`",
        ),
    ] = 1000
    guests_max: Annotated[
        int, number(0, 10**6, "sockets before their `auth`; beyond: 503", "process: `overloaded`")
    ] = 5000
    tcp_user_timeout_ms: Annotated[
        int,
        number(
            0,
            MS_MAX,
            "an answer that is not taken for this long is cut by the kernel",
            "connection: the connection is cut",
        ),
    ] = 60_000

    # --- WebSocket
    frame_max_bytes: Annotated[
        int,
        number(
            1024, 2**24, "largest message from a client; beyond: close 1009", "message: close 1009"
        ),
    ] = 65_536
    auth_deadline_ms: Annotated[
        int,
        number(
            100,
            60_000,
            "first frame must be a good `auth` by then; else close 4001",
            "socket: close 4001",
        ),
    ] = 5000
    heartbeat_s: Annotated[int, number(1, 600, "seconds between pings to a client")] = 25
    heartbeat_timeout_s: Annotated[
        int,
        number(1, 600, "a ping unanswered for this long closes the socket", "socket: close 1011"),
    ] = 20
    expiring_s: Annotated[
        int,
        number(
            1,
            600,
            "`expiring` comes this long before expiry, half of `access_token_s` before it at most",
        ),
    ] = 60
    subs_max: Annotated[
        int, number(0, 100_000, "subscriptions a connection", "socket: `too_long`")
    ] = 1000
    sends_per_second: Annotated[
        int, number(0, 10**6, "writes; beyond: `rate_limited`", "socket: `rate_limited`")
    ] = 20
    sends_burst: Annotated[
        int, number(1, 10**6, "writes at once, before that rate holds", "socket: `rate_limited`")
    ] = 40
    sends_in_flight: Annotated[
        int,
        number(
            1,
            100_000,
            "unanswered writes a connection; then it is read no further",
            "socket: it is read no further",
        ),
    ] = 256
    errors_per_second: Annotated[
        int, number(0, 10_000, "errors; beyond: close 4008", "socket: close 4008")
    ] = 20
    errors_burst: Annotated[
        int, number(1, 10_000, "errors before the rate above holds", "socket: close 4008")
    ] = 100
    commands_per_second: Annotated[
        int,
        number(
            0,
            10**6,
            "frames a connection (five times as many at once), where writes are limited;"
            " beyond: 4008",
            "socket: close 4008",
        ),
    ] = 200
    control_frames_per_second: Annotated[
        int, number(0, 10**5, "pings and pongs; ten times as many at once", "socket: close 4008")
    ] = 10
    fragments_max: Annotated[
        int, number(0, 10**5, "fragments a message; beyond: 4009", "message: close 4009")
    ] = 64

    # --- flow control towards clients
    write_high_bytes: Annotated[
        int,
        number(
            1024,
            BYTES_MAX,
            "unsent bytes at which a client falls out of live",
            "socket: it is read no further, and live delivery stops",
        ),
    ] = 262_144
    write_low_bytes: Annotated[
        int,
        number(
            0,
            BYTES_MAX,
            "unsent bytes at which it catches up again",
            "socket: it catches up, and is read again",
        ),
    ] = 65_536
    slow_deadline_ms: Annotated[
        int,
        number(
            100,
            MS_MAX,
            "a quarter of the low mark not taken in this: close 4102",
            "socket: close 4102",
        ),
    ] = 15_000
