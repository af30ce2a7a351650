"""What Prometheus is shown to see each alert fire, and be silent where it should be.

Owns: for each alert what is changed of two healthy pods: far enough, and not quite. Each case says
all that fires then, so an alert that fires along unasked is noticed.
"""

from collections.abc import Mapping
from typing import NamedTuple

from tests.deploy.monitoring_series import (
    HEALTHY,
    MINUTES,
    Series,
    ack,
    again,
    errors,
    event,
    late,
    level,
    limit,
    rising,
    seconds,
)

W, C = "warning", "critical"


class Case(NamedTuple):
    """One state of things after `minutes`."""

    alert: str
    words: str
    changes: Series  # of the first pod
    fires: Mapping[tuple[str, str], int] = {}  # all alerts, by name and severity: how often
    both: bool = False  # of the second pod as well
    minutes: int = 40


GONE: Series = {**dict.fromkeys(HEALTHY), "up": level(0)}  # a pod that does not answer
NONE: Series = dict.fromkeys(HEALTHY)  # and one that Prometheus does not know
UP_AND_DOWN = f"1000+0x28 2000+0x3 2060+0x3 2120+0x{MINUTES - 36}"  # three starts in 30 minutes

_PODS = (
    Case("RtchatAbsent", "no pod is known", NONE, {("RtchatAbsent", C): 1}, both=True),
    Case("RtchatAbsent", "no pod has been known for 4 minutes", NONE, both=True, minutes=4),
    Case(
        "RtchatPodDown",
        "one of two is gone",
        GONE,
        {("RtchatPodDown", W): 1, ("RtchatPodsTooFew", C): 1},
    ),
    Case("RtchatPodDown", "one is gone for a minute", {"up": late("1+0", 0, 1)}),
    Case(
        "RtchatPodsTooFew",
        "both drain, and none comes",
        {"rtchat_draining": late("0+0", 1, 5)},
        {("RtchatPodsTooFew", C): 1},
        both=True,
    ),
    Case("RtchatPodsTooFew", "one of two drains", {"rtchat_draining": late("0+0", 1, 2)}),
    Case(
        "RtchatDrainingLong",
        "somebody drained a pod by hand",
        {"rtchat_draining": level(1)},
        {("RtchatDrainingLong", W): 1, ("RtchatPodsTooFew", C): 1},
    ),
    Case("RtchatDrainingLong", "it ends", {"rtchat_draining": "0+0x30 1+0x1 0+0x15"}),
    Case(
        "RtchatRestarting",
        "three starts in half an hour",
        {"process_start_time_seconds": UP_AND_DOWN},
        {("RtchatRestarting", W): 1},
    ),
    Case(
        "RtchatRestarting",
        "two starts: a change, and back",
        {"process_start_time_seconds": "1000+0x28 2000+0x3 2060+0x15"},
    ),
    Case(
        "RtchatScrapeIncomplete",
        "something else answers there",
        {**NONE, "up": level(1)},
        {("RtchatScrapeIncomplete", W): 1, ("RtchatPodsTooFew", C): 1},
    ),
    Case("RtchatScrapeIncomplete", "both are pods", {}),
    Case(
        "RtchatInternalErrors",
        "one, five minutes ago",
        {errors("internal"): late("0+0", 1, 5)},
        {("RtchatInternalErrors", W): 1},
    ),
    Case("RtchatInternalErrors", "one, half an hour ago", {errors("internal"): "0+0x9 1+0x35"}),
)

_WRITES = (
    Case("RtchatAcksSlow", "0.1 to 0.2 s", ack("0.2"), {("RtchatAcksSlow", W): 1}, both=True),
    Case(
        "RtchatAcksSlow",
        "1 to 2 s",
        ack("2.0"),
        {("RtchatAcksSlow", W): 1, ("RtchatAcksSlow", C): 1},
        both=True,
    ),
    Case("RtchatAcksSlow", "0.05 to 0.1 s", ack("0.1"), both=True),
    Case("RtchatAcksSlow", "slow, but only six a minute", ack("2.0", 6), both=True),
    Case(
        "RtchatTurnedAway",
        "one in 50",
        {errors("unavailable"): rising(48)},
        {("RtchatTurnedAway", C): 1},
    ),
    Case(
        "RtchatTurnedAway",
        "nothing else is asked for",
        {
            errors("overloaded"): rising(30),
            "rtchat_commands_total": level(1),
            "rtchat_request_seconds_count": level(1),
        },
        {("RtchatTurnedAway", C): 1},
        both=True,
    ),
    Case("RtchatTurnedAway", "one in 200", {errors("overloaded"): rising(12)}),
    Case(
        "RtchatDatabaseAway",
        "for two minutes",
        {"rtchat_database_up": late("1+0", 0, 2), "rtchat_writer_lanes_connected": level(0)},
        {("RtchatDatabaseAway", C): 1},
    ),
    Case("RtchatDatabaseAway", "in this minute", {"rtchat_database_up": late("1+0", 0, 0)}),
    Case(
        "RtchatLanesAway",
        "one of four",
        {"rtchat_writer_lanes_connected": level(3)},
        {("RtchatLanesAway", C): 1},
    ),
    Case(
        "RtchatLanesAway",
        "all are back",
        {"rtchat_writer_lanes_connected": "4+0x30 0+0x0 4+0x15"},
    ),
    Case(
        "RtchatCannotStore",
        "the disk is full",
        {again("cannot_store"): late("0+0", 3, 3)},
        {("RtchatCannotStore", C): 1},
    ),
    Case("RtchatCannotStore", "it was full", {again("cannot_store"): "0+0x20 3+0x25"}),
    Case(
        "RtchatQueueFilling",
        "rows",
        {"rtchat_writer_queue_rows": level(10001)},
        {("RtchatQueueFilling", W): 1},
    ),
    Case(
        "RtchatQueueFilling",
        "bytes",
        {"rtchat_writer_queue_bytes": level(17e6)},
        {("RtchatQueueFilling", W): 1},
    ),
    Case(
        "RtchatQueueFilling",
        "less than half",
        {"rtchat_writer_queue_rows": level(9999), "rtchat_writer_queue_bytes": level(16e6)},
    ),
    Case(
        "RtchatCommitsSlow",
        "0.05 to 0.1 s",
        seconds("rtchat_commit_seconds", "0.1"),
        {("RtchatCommitsSlow", W): 1},
    ),
    Case("RtchatCommitsSlow", "0.02 to 0.05 s", seconds("rtchat_commit_seconds", "0.05")),
    Case("RtchatCommitsSlow", "six a minute", seconds("rtchat_commit_seconds", "1.0", 6)),
    Case(
        "RtchatCommitAnswersLost",
        "one a minute",
        {again("commit_unknown"): rising(1)},
        {("RtchatCommitAnswersLost", W): 1},
    ),
    Case(
        "RtchatCommitAnswersLost",
        "a failover",
        {again("commit_unknown"): late("0+0", 4, 8)},
    ),
    Case(
        "RtchatPoolWaits",
        "0.5 to 1 s",
        seconds("rtchat_pool_wait_seconds", "1.0", 200),
        {("RtchatPoolWaits", W): 1},
    ),
    Case("RtchatPoolWaits", "0.2 to 0.5 s", seconds("rtchat_pool_wait_seconds", "0.5", 200)),
)

_REDIS = (
    Case(
        "RtchatBusAway",
        "for five minutes, with all that then is dropped and read",
        {
            "rtchat_bus_connected": late("1+0", 0, 5),
            "rtchat_bus_dropped_total": f"0+0x34 0+600x{MINUTES - 35}",
            "rtchat_holes_filled_total": f"0+0x34 0+600x{MINUTES - 35}",
            "rtchat_head_check_finds_total": f"0+0x34 0+600x{MINUTES - 35}",
        },
        {("RtchatBusAway", W): 1},
    ),
    Case("RtchatBusAway", "for a minute", {"rtchat_bus_connected": late("1+0", 0, 1)}),
    Case(
        "RtchatBusSlow",
        "0.1 to 0.2 s",
        seconds("rtchat_bus_lag_seconds", "0.2", 60),
        {("RtchatBusSlow", W): 1},
    ),
    Case("RtchatBusSlow", "0.05 to 0.1 s", seconds("rtchat_bus_lag_seconds", "0.1", 60)),
    Case(
        "RtchatBusDropping",
        "Redis refuses",
        {"rtchat_bus_refused_total": rising(60)},
        {("RtchatBusDropping", W): 1},
    ),
    Case(
        "RtchatBusDropping",
        "the buffer is full",
        {"rtchat_bus_dropped_total": rising(1)},
        {("RtchatBusDropping", W): 1},
    ),
    Case("RtchatBusDropping", "once", {"rtchat_bus_dropped_total": "0+0x29 5+0x15"}),
    Case(
        "RtchatBusReconnecting",
        "two links, once in two minutes",
        {"rtchat_bus_reconnects_total": rising(1)},
        {("RtchatBusReconnecting", W): 1},
    ),
    Case(
        "RtchatBusReconnecting",
        "six nodes that restart once each",
        {
            **{f'rtchat_bus_node_up{{node="redis-{n}"}}': level(1) for n in range(1, 7)},
            "rtchat_bus_reconnects_total": late("0+0", 12, 8),
        },
    ),
    Case(
        "RtchatHolesFilled",
        "one entry in ten items",
        {"rtchat_holes_filled_total": rising(120)},
        {("RtchatHolesFilled", W): 1},
    ),
    Case("RtchatHolesFilled", "one in 50", {"rtchat_holes_filled_total": rising(24)}),
    Case(
        "RtchatHeadChecksFind",
        "nothing comes, and everything is found",
        {
            "rtchat_bus_received_total": level(5),
            "rtchat_head_check_finds_total": rising(6),
        },
        {("RtchatHeadChecksFind", W): 1},
    ),
    Case("RtchatHeadChecksFind", "one in 50", {"rtchat_head_check_finds_total": rising(24)}),
    Case(
        "RtchatHeadChecksFind",
        "one pod without Redis finds what it is just about to deliver",
        {
            'rtchat_bus_node_up{node="redis-1"}': None,
            "rtchat_bus_received_total": level(0),
            "rtchat_head_check_finds_total": rising(6),
        },
    ),
    Case(
        "RtchatCacheAway",
        "for a while",
        {"rtchat_cache_up": level(0)},
        {("RtchatCacheAway", W): 1},
    ),
    Case("RtchatCacheAway", "for four minutes", {"rtchat_cache_up": late("1+0", 0, 4)}),
)

_SIX_HOURS = 420
_PROCESS = (
    Case(
        "RtchatLoopLag",
        "0.1 to 0.2 s",
        seconds("rtchat_loop_lag_seconds", "0.2", 240),
        {("RtchatLoopLag", W): 1},
    ),
    Case("RtchatLoopLag", "0.05 to 0.1 s", seconds("rtchat_loop_lag_seconds", "0.1", 240)),
    Case(
        "RtchatConnectionsNearLimit",
        "81 %",
        {"rtchat_connections": level(16200)},
        {("RtchatConnectionsNearLimit", W): 1},
    ),
    Case("RtchatConnectionsNearLimit", "79 %", {"rtchat_connections": level(15800)}),
    Case("RtchatConnectionsNearLimit", "no limit", {"rtchat_connections_max": level(0)}),
    Case(
        "RtchatFilesNearLimit",
        "5,100 of 6,000",
        {"process_max_fds": level(6000)},
        {("RtchatFilesNearLimit", W): 1},
    ),
    Case("RtchatFilesNearLimit", "5,100 of 7,000", {"process_max_fds": level(7000)}),
    Case(
        "RtchatMemoryGrows",
        "by 40 MB an hour",
        {"process_resident_memory_bytes": f"130e6+0.67e6x{_SIX_HOURS}"},
        {("RtchatMemoryGrows", W): 1},
        minutes=_SIX_HOURS,
    ),
    Case(
        "RtchatMemoryGrows",
        "with 15,000 clients who come",
        {
            "process_resident_memory_bytes": f"130e6+0.67e6x{_SIX_HOURS}",
            "rtchat_connections": f"0+36x{_SIX_HOURS}",
        },
        minutes=_SIX_HOURS,
    ),
    Case(
        "RtchatMemoryNearLimit",
        "900 MB",
        {"process_resident_memory_bytes": level(900e6)},
        {("RtchatMemoryNearLimit", W): 1},
    ),
    Case("RtchatMemoryNearLimit", "800 MB", {"process_resident_memory_bytes": level(800e6)}),
)

_CLIENTS = (
    Case(
        "RtchatClientsTooSlow",
        "20 a minute of 10,000",
        {limit("slow_deadline_ms"): rising(20)},
        {("RtchatClientsTooSlow", W): 1},
    ),
    Case("RtchatClientsTooSlow", "3 a minute", {limit("slow_deadline_ms"): rising(3)}),
    Case(
        "RtchatHeartbeatsMissed",
        "100 a minute of 10,000",
        {limit("heartbeat_timeout_s"): rising(100)},
        {("RtchatHeartbeatsMissed", W): 1},
    ),
    Case("RtchatHeartbeatsMissed", "20 a minute", {limit("heartbeat_timeout_s"): rising(20)}),
    Case(
        "RtchatRateLimited",
        "one in 13",
        {errors("rate_limited"): rising(180)},
        {("RtchatRateLimited", W): 1},
    ),
    Case("RtchatRateLimited", "one in 30", {errors("rate_limited"): rising(75)}),
    Case(
        "RtchatLoginsFail",
        "two a second",
        {event("login_failed"): rising(120)},
        {("RtchatLoginsFail", W): 1},
        both=True,
    ),
    Case(
        "RtchatLoginsFail",
        "a morning on which many sign in",
        {event("login_failed"): rising(60), event("login"): rising(240)},
        both=True,
    ),
    Case(
        "RtchatTokensReused",
        "eight in an hour",
        {event("token_reused"): "0+0x9 4+0x9 8+0x25"},
        {("RtchatTokensReused", W): 1},
    ),
    Case("RtchatTokensReused", "two", {event("token_reused"): late("0+0", 2, 10)}),
)

CASES = _PODS + _WRITES + _REDIS + _PROCESS + _CLIENTS
