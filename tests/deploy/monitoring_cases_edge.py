"""What Prometheus is shown of Redis, of processes and of clients to see alerts fire, or be silent.

Owns: the cases of those alerts; `monitoring_cases` has the others, and puts them together.
"""

from tests.deploy.monitoring_series import (
    MINUTES,
    SIX_HOURS,
    Case,
    W,
    errors,
    event,
    late,
    level,
    limit,
    rising,
    seconds,
)

_WORKING_SET = 'container_memory_working_set_bytes{container="rtchat"}'
REDIS = (
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

PROCESS = (
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
        {"process_resident_memory_bytes": f"130e6+0.67e6x{SIX_HOURS}"},
        {("RtchatMemoryGrows", W): 1},
        minutes=SIX_HOURS,
    ),
    Case(
        "RtchatMemoryGrows",
        "with 15,000 clients who come",
        {
            "process_resident_memory_bytes": f"130e6+0.67e6x{SIX_HOURS}",
            "rtchat_connections": f"0+36x{SIX_HOURS}",
        },
        minutes=SIX_HOURS,
    ),
    Case(
        "RtchatMemoryNearLimit",
        "900 MB",
        {"process_resident_memory_bytes": level(900e6)},
        {("RtchatMemoryNearLimit", W): 1},
    ),
    Case("RtchatMemoryNearLimit", "800 MB", {"process_resident_memory_bytes": level(800e6)}),
    Case(
        "RtchatContainerNearLimit",
        "900 MB, of which the process says 500",
        {_WORKING_SET: level(900e6), "process_resident_memory_bytes": level(500e6)},
        {("RtchatContainerNearLimit", W): 1},
    ),
    Case("RtchatContainerNearLimit", "800 MB", {_WORKING_SET: level(800e6)}),
)

CLIENTS = (
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
