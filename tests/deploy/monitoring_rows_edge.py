"""The dashboard's rows of what is around the log: Redis, clients, REST, the process, and weeks.

Owns: what these panels ask, and what good looks like in each (docs/benchmarks.md has the numbers).
"""

from tests.deploy.monitoring_panels import (
    BYTES,
    COUNT,
    PER_S,
    SHARE,
    Ask,
    Panel,
    Row,
    S,
    each,
    quantiles,
    stat,
)

BUS = Row(
    "Bus and cache",
    (
        Panel(
            "Links",
            "1: the links of all picked pods to that Redis stand. Good: 1. Empty without Redis.",
            COUNT,
            (Ask("min by (node) (rtchat_bus_node_up)", "{{node}}"),),
        ),
        Panel(
            "To Redis and back",
            "A heartbeat a second, for each node. Good: p99 below 10 ms in one region; an alert"
            " beyond 100.",
            S,
            quantiles("rtchat_bus_lag_seconds"),
            red=0.1,
        ),
        Panel(
            "Items",
            "Envelopes of channels and notices. What is published comes to every pod that has the"
            " channel's shard, its own too.",
            PER_S,
            (
                Ask("sum(rate(rtchat_bus_published_total[W]))", "published"),
                Ask("sum(rate(rtchat_bus_received_total[W]))", "received"),
            ),
        ),
        Panel(
            "Lost on the way",
            "Not published (no link, or its buffer full), refused by Redis, or not usable. Good:"
            " 0; what is lost is read from the log.",
            PER_S,
            (
                Ask("sum(rate(rtchat_bus_dropped_total[W]))", "dropped"),
                Ask("sum(rate(rtchat_bus_refused_total[W]))", "refused"),
                Ask("sum(rate(rtchat_bus_receiver_errors_total[W]))", "not usable"),
            ),
        ),
        Panel(
            "Links that came back",
            "In the window, by pod. Good: 0; a lost node is two.",
            COUNT,
            (each("increase(rtchat_bus_reconnects_total[W])"),),
        ),
        Panel(
            "Cache answers",
            "1: Redis answered when that pod last asked for a shared limit or a code. Good: 1. It"
            " stays as it was until somebody signs in.",
            COUNT,
            (Ask("min by (instance) (rtchat_cache_up)", "{{instance}}"),),
        ),
    ),
)

CLIENTS = Row(
    "Clients",
    (
        Panel(
            "Come and gone",
            "Sockets that signed in, and those that ended. Good: alike, but for a rollout.",
            PER_S,
            (
                Ask("sum(rate(rtchat_connections_opened_total[W]))", "signed in"),
                Ask("sum(rate(rtchat_closes_total[W]))", "ended"),
            ),
        ),
        Panel(
            "Closes",
            "By code (docs/errors.md). Everyday: 1000, 1001, 1005, 1006, 4202. 4101 no room, or the"
            " database is away; 4102 too slow; 4008 a flood; 1011 no pong, or the server failed;"
            " 4201 a drain, or another epoch.",
            PER_S,
            (Ask("sum by (code) (rate(rtchat_closes_total[W])) > 0", "{{code}}"),),
        ),
        Panel(
            "Stalls",
            "Times that a socket took no more. Each falls out of live and catches up. Good: few,"
            " and hardly any cut.",
            PER_S,
            (
                Ask("sum(rate(rtchat_stalls_total[W]))", "stalled"),
                Ask(
                    'sum(rate(rtchat_limit_reached_total{limit="slow_deadline_ms"}[W]))',
                    "cut",
                ),
            ),
        ),
        Panel(
            "Limits reached",
            "By setting (docs/limits.md). Everyday: access_token_s, session_s. Others are clients"
            " that do too much, or limits that are too low.",
            PER_S,
            (
                Ask(
                    "topk(10, sum by (limit) (rate(rtchat_limit_reached_total[W])) > 0)",
                    "{{limit}}",
                ),
            ),
        ),
        Panel(
            "Commands",
            "Of WebSockets, by type.",
            PER_S,
            (Ask("sum by (type) (rate(rtchat_commands_total[W]))", "{{type}}"),),
            stacked=True,
        ),
        Panel(
            "Room for clients",
            "Share of RTCHAT_CONNECTIONS_MAX that is taken, by pod. Good: half, as the autoscaler"
            " wants it; an alert beyond 80 %.",
            SHARE,
            (
                Ask(
                    "sum by (instance) (rtchat_connections + rtchat_guests)"
                    " / sum by (instance) (rtchat_connections_max > 0)",
                    "{{instance}}",
                ),
            ),
            red=0.8,
        ),
    ),
)

REST = Row(
    "REST and sign-in",
    (
        Panel(
            "Requests",
            "A second, by status. Good: no 5xx.",
            PER_S,
            (Ask("sum by (status) (rate(rtchat_requests_total[W]))", "{{status}}"),),
            stacked=True,
        ),
        Panel(
            "Request time",
            "Of all requests together. Good: p50 below 10 ms; a sign-in takes 0.2 s on purpose, and"
            " makes the p99 where few others are asked for.",
            S,
            quantiles("rtchat_request_seconds"),
        ),
        Panel(
            "Requests by route",
            "The ten most asked for.",
            PER_S,
            (
                Ask(
                    "topk(10, sum by (method, route) (rate(rtchat_requests_total[W])))",
                    "{{method}} {{route}}",
                ),
            ),
        ),
        Panel(
            "Security events",
            "As the log has them. Good: more login than login_failed, and no token_reused.",
            PER_S,
            (Ask("sum by (event) (rate(rtchat_auth_events_total[W]))", "{{event}}"),),
        ),
        Panel(
            "Passwords waiting",
            "Being hashed, or waiting for it, by pod. Good: a few; beyond RTCHAT_PASSWORD_QUEUE"
            " (32) sign-ins are told overloaded.",
            COUNT,
            (each("rtchat_passwords_waiting"),),
        ),
        Panel(
            "Passwords hashed",
            "By pod. A thread does about four a second (RTCHAT_PASSWORD_THREADS,"
            " RTCHAT_BCRYPT_COST).",
            PER_S,
            (each("rate(rtchat_passwords_hashed_total[W])"),),
        ),
    ),
)

PROCESS = Row(
    "Process",
    (
        Panel(
            "Loop lag",
            "How late the event loop is (p99), by pod; everything waits so much longer. Good: below"
            " 20 ms; an alert beyond 100.",
            S,
            quantiles("rtchat_loop_lag_seconds", by="instance"),
            red=0.1,
        ),
        Panel(
            "CPU",
            "Cores taken, by pod. A process uses one at most: beyond 0.8 acks wait, beyond 0.9 it"
            " is full.",
            COUNT,
            (each("rate(process_cpu_seconds_total[W])"),),
        ),
        Panel(
            "Memory",
            "Resident, by pod. Good: about 75 MB, 8.8 KB a client, and bounded queues: level.",
            BYTES,
            (each("process_resident_memory_bytes"),),
        ),
        Panel(
            "Open files",
            "Share of what the process may open. Good: well below 80 %.",
            SHARE,
            (
                Ask(
                    "sum by (instance) (process_open_fds) / sum by (instance) (process_max_fds)",
                    "{{instance}}",
                ),
            ),
            red=0.8,
        ),
        Panel(
            "Running for",
            "Since the start of the process, by pod. Good: it falls to 0 at rollouts only.",
            S,
            (Ask("time() - max by (instance) (process_start_time_seconds)", "{{instance}}"),),
        ),
        stat(
            "Versions",
            "Pods of each version. Good: one, but in a rollout.",
            COUNT,
            Ask("count by (version, python) (rtchat_info)", "{{version}} on {{python}}"),
            width=8,
        ),
    ),
)

_ACKS = "sum by (le) (job_le:rtchat_ack_seconds_bucket:rate5m)"
WEEKS = Row(
    "Over weeks (by the recording rules of k8s/monitoring/alerts.yml; all pods of the picked jobs)",
    (
        Panel(
            "Ack time",
            "For ranges over which a rate of every bucket would be too much to compute.",
            S,
            (
                Ask(f"histogram_quantile(0.5, {_ACKS})", "p50"),
                Ask(f"histogram_quantile(0.99, {_ACKS})", "p99"),
            ),
        ),
        Panel(
            "Acks, deliveries and clients",
            "How it grows.",
            PER_S,
            (
                Ask("sum(job:rtchat_acks:rate5m)", "acks"),
                Ask("sum(job_path:rtchat_deliveries:rate5m)", "deliveries"),
                Ask("sum(job:rtchat_connections:sum)", "clients"),
            ),
        ),
        Panel(
            "Turned away",
            "Share of what is asked for that is answered overloaded or unavailable. Good: below 0.1"
            " % of a month.",
            SHARE,
            (
                Ask(
                    'sum(job_code:rtchat_errors:rate5m{code=~"overloaded|unavailable"})'
                    " / sum(job:rtchat_asked:rate5m)",
                    "turned away",
                ),
            ),
        ),
    ),
    closed=True,
)
