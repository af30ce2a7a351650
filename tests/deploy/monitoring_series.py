"""Two healthy pods as series over time, in the notation of promtool's tests.

`a+bxn` begins at a and grows by b, n times, once a minute; what promtool reads is the same every 15
s, as pods are scraped. Owns: the healthy state, in which no alert fires; `monitoring_cases` changes
parts of it.
"""

import re
from collections.abc import Iterator, Mapping
from typing import NamedTuple

MINUTES = 45
EVERY_S = 15
LONG = 60  # minutes; beyond, a case is played apart from the others
PODS = ("pod-1:8001", "pod-2:8001")

W, C = "warning", "critical"
SIX_HOURS = 420  # and one more

Series = dict[str, str | None]  # by name and labels; None: there is none


class Case(NamedTuple):
    """One state of things after `minutes`."""

    alert: str
    words: str
    changes: Series  # of the first pod
    fires: Mapping[tuple[str, str], int] = {}  # all alerts, by name and severity: how often
    both: bool = False  # of the second pod as well
    minutes: int = 40
    alone: bool = False  # nothing else is known to Prometheus


def level(value: float) -> str:
    """That, all the time."""
    return f"{value:g}+0x{MINUTES}"


def rising(a_minute: float) -> str:
    """From 0, so much a minute."""
    return f"0+{a_minute:g}x{MINUTES}"


def late(before: str, value: float, minutes: int) -> str:
    """One level, and another one for the last so many minutes of 40 (and after)."""
    return f"{before}x{40 - minutes} {value:g}+0x{minutes + 4}"


def histogram(name: str, bounds: tuple[str, ...], *a_minute: float) -> Series:
    """So many a minute at most as large as each bound; the last number is of all."""
    total = f"{name}_count"
    return {
        **{
            f'{name}_bucket{{le="{bound}"}}': rising(count)
            for bound, count in zip((*bounds, "+Inf"), a_minute, strict=True)
        },
        total: rising(a_minute[-1]),
    }


SECONDS = ("0.02", "0.05", "0.1", "0.2", "0.5", "1.0", "2.0")


def seconds(name: str, all_below: str, a_minute: float = 600) -> Series:
    """All of them within one bucket: the one below this bound."""
    at = SECONDS.index(all_below)
    counts = [0.0 if number < at else a_minute for number in range(len(SECONDS))]
    return histogram(name, SECONDS, *counts, a_minute)


def quick(name: str, a_minute: float = 600) -> Series:
    """All of them below 0.02 s; without the buckets beyond, which say nothing then."""
    return histogram(name, SECONDS[:1], a_minute, a_minute)


def ack(all_below: str, a_minute: float = 600) -> Series:
    """Acks, all of them within one bucket, and their number."""
    return {
        **seconds("rtchat_ack_seconds", all_below, a_minute),
        "rtchat_acks_total": rising(a_minute),
    }


def errors(code: str) -> str:
    """Answers with this code."""
    return f'rtchat_errors_total{{via="websocket",code="{code}"}}'


def again(reason: str) -> str:
    """Batches, by why they were not stored as they were."""
    return f'rtchat_batches_again_total{{reason="{reason}"}}'


def limit(name: str) -> str:
    """Answers that told of this limit."""
    return f'rtchat_limit_reached_total{{limit="{name}"}}'


def event(name: str) -> str:
    """Security events."""
    return f'rtchat_auth_events_total{{event="{name}"}}'


HEALTHY: Series = {
    "up": level(1),
    'rtchat_info{version="1.0",python="3.13"}': level(1),
    "rtchat_draining": level(0),
    "rtchat_connections": level(5000),
    "rtchat_guests": level(3),
    "rtchat_connections_max": level(20000),
    "rtchat_commands_total": rising(900),
    "rtchat_request_seconds_count": rising(300),
    **{errors(code): level(0) for code in ("internal", "overloaded", "unavailable")},
    errors("rate_limited"): rising(6),
    **{limit(name): rising(2) for name in ("slow_deadline_ms", "heartbeat_timeout_s")},
    **quick("rtchat_ack_seconds"),
    "rtchat_acks_total": rising(600),
    "rtchat_writer_queue_rows": level(400),
    "rtchat_writer_queue_bytes": level(40000),
    "rtchat_writer_queue_max_rows": level(20_000),
    "rtchat_writer_queue_max_bytes": level(33_554_432),
    "rtchat_writer_lanes": level(4),
    "rtchat_writer_lanes_connected": level(4),
    again("commit_unknown"): level(0),
    again("cannot_store"): level(0),
    **quick("rtchat_commit_seconds"),
    "rtchat_database_up": level(1),
    **quick("rtchat_pool_wait_seconds", 200),
    "rtchat_bus_connected": level(1),
    'rtchat_bus_node_up{node="redis-1"}': level(1),
    "rtchat_bus_received_total": rising(1200),
    "rtchat_bus_dropped_total": level(0),
    "rtchat_bus_refused_total": level(0),
    "rtchat_bus_reconnects_total": level(0),
    "rtchat_holes_filled_total": rising(1),
    "rtchat_head_check_finds_total": rising(1),
    **quick("rtchat_bus_lag_seconds", 60),
    "rtchat_cache_up": level(1),
    **quick("rtchat_loop_lag_seconds", 240),
    "process_open_fds": level(5100),
    "process_max_fds": level(1048576),
    "process_resident_memory_bytes": level(130e6),
    "process_start_time_seconds": level(1000),
    event("login"): rising(30),
    event("login_failed"): rising(5),
    event("token_reused"): level(0),
    'kube_deployment_spec_replicas{deployment="rtchat"}': level(3),
    'kube_deployment_status_replicas_available{deployment="rtchat"}': level(3),
    'kube_pod_container_resource_limits{container="rtchat",resource="memory"}': level(1 << 30),
    'container_memory_working_set_bytes{container="rtchat"}': level(200e6),
}


def finer(values: str) -> str:
    """The same over time, every 15 s in place of every minute."""
    parts = 60 // EVERY_S

    def one(match: re.Match[str]) -> str:
        begin, grows, times = match.groups()
        return f"{begin}+{float(grows) / parts:.12g}x{(int(times) + 1) * parts - 1}"

    return re.sub(r"([\d.e]+)\+([\d.e]+)x(\d+)", one, values)


def series(changed: Series, namespace: str, both: bool, minutes: int) -> Iterator[tuple[str, str]]:
    """Two pods of a namespace, one of them (or both) with changes."""
    for number, pod in enumerate(PODS):
        changes = changed if both or not number else {}
        for name, values in {**HEALTHY, **changes}.items():
            of_all = name.startswith("kube_deployment_")
            if values is not None and not (of_all and number):
                stretched = values.replace(f"x{MINUTES}", f"x{max(MINUTES, minutes)}")
                metric, _, labels = name.partition("{")
                target = f'namespace="{namespace}"{_target(metric, pod)}'
                yield f"{metric}{{{target}{',' if labels else ''}{labels or '}'}", finer(stretched)


def _target(metric: str, pod: str) -> str:
    """The labels by which the series of one pod are told from another's."""
    if metric.startswith("kube_deployment_"):
        return ""  # of all pods
    if metric.startswith(("kube_", "container_")):
        return f',pod="{pod.partition(":")[0]}"'
    return f',job="rtchat",instance="{pod}"'
