"""The table of metrics: every family that a process tells of, and where each is read.

Owns: names, kinds, help and labels, as Prometheus wants them, and docs/metrics.md has them. The
parts count in plain fields (`measures`), which are read here when somebody asks, so a scrape costs
and a message does not. Must never: have a label whose values clients choose, for each value is a
series that stays; or wait for anything.
"""

import platform
from collections import Counter
from collections.abc import Callable, Mapping
from enum import StrEnum
from typing import NamedTuple

import rtchat
from rtchat.api.call import Services
from rtchat.auth.events import NOTED, Event
from rtchat.commands import COMMANDS
from rtchat.connections import OTHER_CLOSE
from rtchat.errors import Close, Code
from rtchat.measures import Histogram
from rtchat.room import State

Values = Mapping[tuple[str, ...], float]


class Kind(StrEnum):
    """What Prometheus calls a family's type."""

    COUNTER = "counter"
    GAUGE = "gauge"
    HISTOGRAM = "histogram"


class Family(NamedTuple):
    """One line of the table. `read` gives a number, numbers by labels, or a histogram."""

    kind: Kind
    name: str
    help: str
    read: Callable[[Services], float | Values | Histogram]
    labels: tuple[str, ...] = ()


def _counter(
    name: str, text: str, read: Callable[[Services], float | Values], *labels: str
) -> Family:
    return Family(Kind.COUNTER, name, text, read, labels)


def _gauge(
    name: str, text: str, read: Callable[[Services], float | Values], *labels: str
) -> Family:
    return Family(Kind.GAUGE, name, text, read, labels)


def _histogram(name: str, text: str, read: Callable[[Services], Histogram]) -> Family:
    return Family(Kind.HISTOGRAM, name, text, read)


def _by(found: Mapping[str, float], *names: str) -> Values:
    """Each name with what was found of it, 0 where nothing was: an alert can then name it."""
    return {(name,): found.get(name, 0) for name in names}


def _subscriptions(services: Services) -> Values:
    found: Counter[State] = Counter()
    for room in services.hub.rooms:
        found[State.LIVE] += len(room.live)
        found.update(sub.state for sub in room.others)
    states = (State.LIVE, State.CATCHING_UP, State.JOINING)
    return {(state.name.lower(),): found[state] for state in states}


def _closes(services: Services) -> Values:
    found = services.connections.measures.closes
    # All from the start: a series that is born with its first close shows none of these as a rate.
    codes = sorted({1000, 1001, 1005, 1006, *Close, *found} - {OTHER_CLOSE})
    return {**{(str(int(c)),): found[c] for c in codes}, ("other",): found[OTHER_CLOSE]}


def _errors(services: Services) -> Values:
    asked = services.asked
    by = {
        "rest": asked.request_errors,
        "handshake": asked.handshake_errors,
        "websocket": asked.socket_errors,
        "server": services.reached.refused,
    }
    return {(via, code.value): found[code] for via, found in by.items() for code in Code}


def _pool(services: Services) -> Values:
    busy, idle = services.database.pool
    return {("busy",): busy, ("idle",): idle}


AGAIN = (
    "passed_over", "locked", "conflict", "connection", "commit_unknown", "cannot_store", "divided",
)  # fmt: skip

GROUPS: dict[str, tuple[Family, ...]] = {
    "Sockets": (
        _gauge("rtchat_connections", "Signed-in WebSockets.", lambda s: len(s.connections)),
        _gauge(
            "rtchat_guests",
            "WebSockets that have not signed in yet.",
            lambda s: s.connections.guests,
        ),
        _gauge(
            "rtchat_connections_paused",
            "Signed-in WebSockets that take nothing at the moment.",
            lambda s: sum(connection.paused for connection in s.connections),
        ),
        _gauge(
            "rtchat_connections_max",
            "TCP connections that fit: `connections_max`, or what open files allow; 0: no limit.",
            lambda s: s.reached.connections_max or s.config.connections_max,
        ),
        _counter(
            "rtchat_connections_opened_total",
            "WebSockets that signed in.",
            lambda s: s.connections.measures.opened,
        ),
        _counter(
            "rtchat_closes_total",
            "WebSockets that ended, guests too, by close code; 1006: none, other: a client's own.",
            _closes,
            "code",
        ),
        _counter(
            "rtchat_stalls_total",
            "Times that a WebSocket took no more of what it was sent.",
            lambda s: s.connections.measures.stalls,
        ),
    ),
    "What is asked": (
        _counter(
            "rtchat_commands_total",
            "Commands of WebSockets, by type.",
            lambda s: {
                (str(kind.__struct_config__.tag),): s.asked.commands[kind] for kind in COMMANDS
            },
            "type",
        ),
        _counter(
            "rtchat_requests_total",
            "REST requests; those to no route have neither method nor route, 499: the client left.",
            lambda s: {
                (m, route, str(code)): n for (m, route, code), n in s.asked.requests.items()
            },
            "method",
            "route",
            "status",
        ),
        _histogram(
            "rtchat_request_seconds",
            "Time to answer a REST request; without probes, scrapes and drains.",
            lambda s: s.asked.request_seconds,
        ),
        _counter(
            "rtchat_errors_total", "Errors that clients were told, by code.", _errors, "via", "code"
        ),
        _counter(
            "rtchat_limit_reached_total",
            "Answers and closes that told of a limit, by its setting.",
            lambda s: {(name,): n for name, n in s.reached.counts.items()},
            "limit",
        ),
    ),
    "Signing in": (
        _counter(
            "rtchat_auth_events_total",
            "Security events, as the log has them.",
            lambda s: {(e.value.replace(" ", "_"),): NOTED[e] for e in Event},
            "event",
        ),
        _gauge(
            "rtchat_passwords_waiting",
            "Passwords being hashed, or waiting for it.",
            lambda s: s.accounts.passwords.waiting,
        ),
        _counter(
            "rtchat_passwords_hashed_total",
            "Passwords hashed and checked.",
            lambda s: s.accounts.passwords.runs,
        ),
    ),
    "The writer": (
        _counter(
            "rtchat_acks_total",
            "Writes that were answered as committed, on WebSocket and REST.",
            lambda s: s.writer.measures.acks,
        ),
        _counter(
            "rtchat_duplicates_total",
            "Acks of writes whose nonce was known.",
            lambda s: s.writer.measures.duplicates,
        ),
        _counter(
            "rtchat_refusals_total",
            "Writes that the writer answered with an error.",
            lambda s: s.writer.measures.refusals,
        ),
        _histogram(
            "rtchat_ack_seconds",
            "Time from the acceptance of a write to its ack.",
            lambda s: s.writer.measures.ack_seconds,
        ),
        _histogram(
            "rtchat_batch_rows", "Writes in a transaction.", lambda s: s.writer.measures.batch_rows
        ),
        _histogram(
            "rtchat_commit_seconds",
            "Time of a transaction, from its begin to the answer to COMMIT.",
            lambda s: s.writer.measures.commit_seconds,
        ),
        _counter(
            "rtchat_batches_again_total",
            "Batches that were not stored as they were, by reason.",
            lambda s: _by(s.writer.measures.again, *AGAIN),
            "reason",
        ),
        _gauge(
            "rtchat_writer_queue_rows", "Writes accepted and not answered.", lambda s: s.writer.rows
        ),
        _gauge("rtchat_writer_queue_bytes", "Their content.", lambda s: s.writer.bytes),
        _gauge(
            "rtchat_writer_queue_max_rows",
            "The setting `queue_max_rows`.",
            lambda s: s.config.queue_max_rows,
        ),
        _gauge(
            "rtchat_writer_queue_max_bytes",
            "The setting `queue_max_bytes`.",
            lambda s: s.config.queue_max_bytes,
        ),
        _gauge(
            "rtchat_writer_lanes_connected",
            "Lanes that have their database connection.",
            lambda s: s.writer.lanes_connected,
        ),
        _gauge("rtchat_writer_lanes", "The setting `lanes`.", lambda s: s.config.lanes),
    ),
    "The database": (
        _gauge(
            "rtchat_database_up",
            "1: PostgreSQL has answered within 5 s.",
            lambda s: s.database.answers,
        ),
        _gauge("rtchat_pool_connections", "Connections for reads.", _pool, "state"),
        _gauge("rtchat_pool_max", "The setting `pool_max`.", lambda s: s.config.pool_max),
        _histogram(
            "rtchat_pool_wait_seconds",
            "Wait for a connection for reads.",
            lambda s: s.database.waits,
        ),
    ),
    "Rooms": (
        _gauge("rtchat_rooms", "Channels that somebody here follows.", lambda s: len(s.hub.rooms)),
        _gauge("rtchat_subscriptions", "Subscriptions, by state.", _subscriptions, "state"),
        _counter(
            "rtchat_deliveries_total",
            "Entries of logs written to sockets, live or catching up.",
            lambda s: {
                ("live",): s.hub.rooms.measures.live,
                ("catch_up",): s.hub.rooms.measures.caught_up,
            },
            "path",
        ),
        _counter(
            "rtchat_delivered_bytes_total",
            "Bytes of their frames.",
            lambda s: s.hub.rooms.measures.written_bytes,
        ),
        _counter(
            "rtchat_holes_filled_total",
            "Entries that the bus did not bring, read from the log.",
            lambda s: s.hub.rooms.measures.filled,
        ),
        _counter(
            "rtchat_head_checks_total",
            "Checks of all rooms against the log.",
            lambda s: s.hub.rooms.measures.checks,
        ),
        _counter(
            "rtchat_head_check_finds_total",
            "Rooms that such a check found behind.",
            lambda s: s.hub.rooms.measures.finds,
        ),
        _gauge(
            "rtchat_tail_bytes",
            "Recent frames kept, for who comes back.",
            lambda s: s.hub.rooms.tail_bytes,
        ),
    ),
    "What is ephemeral": (
        _counter(
            "rtchat_ephemeral_told_total",
            "Events of typing, marks and presence written to sockets.",
            lambda s: s.teller.measures.told,
        ),
        _counter(
            "rtchat_ephemeral_dropped_total",
            "Those that were too many, or whose socket was slow.",
            lambda s: s.teller.measures.dropped,
        ),
        _counter(
            "rtchat_ephemeral_words_total",
            "What pods told each other of them.",
            lambda s: {("sent",): s.teller.measures.said, ("received",): s.teller.measures.heard},
            "way",
        ),
        _gauge(
            "rtchat_read_marks_waiting",
            "Marks of reading that are not stored yet; `read_marks_max` at most.",
            lambda s: len(s.teller.marks),
        ),
    ),
    "The bus and the cache": (
        _gauge(
            "rtchat_bus_connected", "1: every link of the bus stands.", lambda s: s.bus.connected
        ),
        _gauge(
            "rtchat_bus_node_up",
            "1: the links to this Redis stand.",
            lambda s: {(name,): up for name, up in s.bus.nodes.items()},
            "node",
        ),
        _gauge(
            "rtchat_bus_unsent_bytes",
            "Published, and not taken by Redis yet; `bus_queue_bytes` a node at most.",
            lambda s: s.bus.unsent_bytes,
        ),
        _counter("rtchat_bus_published_total", "Items handed to Redis.", lambda s: s.bus.published),
        _counter(
            "rtchat_bus_received_total", "Items that came from Redis.", lambda s: s.bus.received
        ),
        _counter(
            "rtchat_bus_dropped_total",
            "Items not published: no link, or its buffer full.",
            lambda s: s.bus.dropped,
        ),
        _counter(
            "rtchat_bus_refused_total",
            "Items that Redis answered with an error.",
            lambda s: s.bus.refused,
        ),
        _counter(
            "rtchat_bus_reconnects_total",
            "Times that a link came back.",
            lambda s: s.bus.reconnects,
        ),
        _counter(
            "rtchat_bus_receiver_errors_total",
            "Items that could not be used.",
            lambda s: s.bus.receiver_errors,
        ),
        _histogram(
            "rtchat_bus_lag_seconds",
            "A heartbeat to Redis and back, once a second a node.",
            lambda s: s.bus.lag,
        ),
        _gauge(
            "rtchat_cache_up",
            "1: Redis answered when it was last asked for a shared limit or a code.",
            lambda s: s.cache.answers,
        ),
    ),
    "The process": (
        _histogram(
            "rtchat_loop_lag_seconds", "Lateness of the event loop.", lambda s: s.lag.seconds
        ),
        _gauge("rtchat_draining", "1: clients are being sent away.", lambda s: s.drain.begun),
        _gauge(
            "rtchat_info",
            "Always 1.",
            lambda s: {(rtchat.__version__, platform.python_version()): 1},
            "version",
            "python",
        ),
    ),
}
FAMILIES = tuple(family for group in GROUPS.values() for family in group)
