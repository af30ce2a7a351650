"""From what was measured on one machine to what a larger load takes. Pure arithmetic.

Owns: the model. Work is counted in CPU time, for that adds up over cores and machines, where rates
do not. Must never: use a factor that no bench measured; what the model leaves out is said in NOTES.
"""

import math
from dataclasses import asdict, dataclass
from typing import Any

USED = 0.6  # how much of a core is planned for: the rest is for peaks, catching up, and a lost pod
POD_CONNECTIONS = 20_000  # on one pod, so that a pod's end moves no more than that

NOTES = (
    "A message costs its pod `us_per_message`, and `us_per_delivery` a member, as if alone.",
    "In a busy room several leave in one write, which costs a tenth of that.",
    "A further pod that hears a channel pays `us_per_envelope` a batch: parsed, and one write.",
    "PostgreSQL takes `database_us_per_message`, on as many cores as there are lanes at work.",
    "One channel is one row, and so one core's. Beyond one server: partitions by channel_id.",
    "Redis takes `redis_us_per_envelope` for each pod that hears it, on one core a node: shards.",
    "Left out: the network's cards and switches, and disks slower than this one's fsync.",
)


@dataclass(frozen=True, slots=True)
class Factors:
    """CPU time, in µs, as measured."""

    us_per_message: float
    us_per_delivery: float
    us_per_envelope: float
    database_us_per_message: float
    redis_us_per_envelope: float


@dataclass(frozen=True, slots=True)
class Load:
    """What is asked of an installation."""

    connections: int
    messages_per_s: int
    members: int  # who are connected, of the channel of an average message


def project(factors: Factors, load: Load) -> dict[str, Any]:
    """How many pods (one core each), Redis nodes and PostgreSQL cores it takes."""
    rate, each = load.messages_per_s, USED * 1e6
    apart = factors.us_per_message + load.members * factors.us_per_delivery
    pods = max(1, math.ceil(load.connections / POD_CONNECTIONS))
    while True:  # more pods hear an envelope, at most one for each member
        hearing = min(pods, load.members)
        work = rate * (apart + (hearing - 1) * factors.us_per_envelope)
        if work <= pods * each:
            break
        pods = max(pods + 1, min(math.ceil(work / each), 2 * pods))
    redis = rate * hearing * factors.redis_us_per_envelope
    return {
        **asdict(load),
        "deliveries_per_s": rate * load.members,
        "pods": pods,
        "pod_cpu": work / 1e6 / pods,
        "redis_nodes": math.ceil(redis / each) if pods > 1 else 0,
        "database_cores": rate * factors.database_us_per_message / each,
    }
