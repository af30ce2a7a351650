"""What Prometheus is shown to see each alert fire, and be silent where it should be.

Owns: for each alert what is changed of two healthy pods: far enough, and not quite. Each case says
all that fires then, so an alert that fires along unasked is noticed.
"""

from tests.deploy.monitoring_cases_edge import CLIENTS, PROCESS, REDIS
from tests.deploy.monitoring_series import (
    HEALTHY,
    MINUTES,
    SIX_HOURS,
    C,
    Case,
    Series,
    W,
    ack,
    again,
    errors,
    late,
    level,
    limit,
    rising,
    seconds,
)

GONE: Series = {**dict.fromkeys(HEALTHY), "up": level(0)}  # a pod that does not answer
NONE: Series = dict.fromkeys(HEALTHY)  # and one that Prometheus does not know
# A whole installation that was there, and of which Prometheus forgets 12 minutes before the end.
TAKEN_AWAY: Series = {
    name: values and values.replace(f"x{MINUTES}", f"x{SIX_HOURS - 13}")
    for name, values in HEALTHY.items()
}
UP_AND_DOWN = f"1000+0x28 2000+0x3 2060+0x3 2120+0x{MINUTES - 36}"  # three starts in 30 minutes

_AVAILABLE = 'kube_deployment_status_replicas_available{deployment="rtchat"}'
_NOBODY_CUT: Series = {
    limit(name): level(0) for name in ("slow_deadline_ms", "heartbeat_timeout_s")
}
_PODS = (
    Case("RtchatAbsent", "no pod is known", NONE, {("RtchatAbsent", C): 1}, both=True, alone=True),
    Case("RtchatAbsent", "none for 4 minutes", NONE, both=True, minutes=4, alone=True),
    Case(
        "RtchatAbsent",
        "one of several installations is gone",
        TAKEN_AWAY,
        {("RtchatAbsent", C): 1},
        both=True,
        minutes=SIX_HOURS,
    ),
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
    Case(
        "RtchatReplicasMissing",
        "one of three is there, and Prometheus knows of no other",
        {_AVAILABLE: level(1)},
        {("RtchatReplicasMissing", C): 1},
    ),
    Case("RtchatReplicasMissing", "two of three", {_AVAILABLE: level(2)}),
    Case(
        "RtchatReplicasMissing",
        "none is ready, for PostgreSQL is away",
        {_AVAILABLE: level(0), "rtchat_database_up": level(0)},
        {("RtchatDatabaseAway", C): 2},
        both=True,
    ),
    Case(
        "RtchatClientsGone",
        "nobody finds the way any more",
        {**_NOBODY_CUT, "rtchat_connections": late("5000+0", 0, 8)},
        {("RtchatClientsGone", C): 1},
        both=True,
    ),
    Case("RtchatClientsGone", "a third leaves", {"rtchat_connections": late("5000+0", 1700, 8)}),
    Case(
        "RtchatClientsGone",
        "all, for three minutes",
        {"rtchat_connections": late("5000+0", 0, 3)},
        both=True,
    ),
    Case(
        "RtchatClientsGone",
        "all of 80, at the end of a day",
        {**_NOBODY_CUT, "rtchat_connections": late("40+0", 0, 8)},
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
        "RtchatTurnedAway",
        "everything, for half a minute, which is over",
        {errors("unavailable"): "0+0x33 600+0x11"},
        both=True,
        minutes=37,
    ),
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
        {again("cannot_store"): "0+0x34 0+30x10"},
        {("RtchatCannotStore", C): 1},
    ),
    Case(
        "RtchatCannotStore",
        "a failover refused two batches, and is over",
        {again("cannot_store"): late("0+0", 2, 2)},
    ),
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

CASES = _PODS + _WRITES + REDIS + PROCESS + CLIENTS
