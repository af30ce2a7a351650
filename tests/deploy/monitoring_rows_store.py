"""The dashboard's rows of what matters most, and of writing, reading and delivering.

Owns: what these panels ask, and what good looks like in each (docs/benchmarks.md has the numbers).
"""

from tests.deploy.monitoring_panels import (
    BYTES,
    BYTES_PER_S,
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

OVERVIEW = Row(
    "Overview",
    (
        stat(
            "Pods",
            "Those that answer scrapes, and those of them that send their clients away. Good: all"
            " that were asked for, and nobody drains but in a rollout.",
            COUNT,
            Ask("sum(up)", "up"),
            Ask("sum(rtchat_draining)", "draining"),
        ),
        stat(
            "Alerts",
            "Firing, of k8s/monitoring/alerts.yml. Good: 0. Without those rules it is always 0.",
            COUNT,
            Ask(
                'count(ALERTS{alertname=~"Rtchat.+",alertstate="firing"}) or vector(0)',
                "firing",
            ),
            red=1,
        ),
        stat("Clients now", "Signed-in WebSockets.", COUNT, Ask("sum(rtchat_connections)", "")),
        stat(
            "Acks now",
            "Writes that are committed and answered. A pod with a core of its own reaches 36,000.",
            PER_S,
            Ask("sum(rate(rtchat_acks_total[W]))", ""),
        ),
        stat(
            "Ack p99",
            "Good: below 50 ms (44 at half of a pod's peak); an alert beyond 100.",
            S,
            quantiles("rtchat_ack_seconds")[1],
            red=0.1,
        ),
        stat(
            "Turned away",
            "Share of what clients ask for that is answered overloaded or unavailable. Good: 0; an"
            " alert beyond 1 %.",
            SHARE,
            Ask(
                'sum(rate(rtchat_errors_total{code=~"overloaded|unavailable"}[W]))'
                " / (sum(rate(rtchat_commands_total[W]))"
                " + sum(rate(rtchat_request_seconds_count[W])))",
                "",
            ),
            red=0.01,
        ),
        Panel(
            "Clients",
            "Signed in, and not yet signed in (guests; for moments each). Good: guests near 0;"
            " many are a storm of those who come back, or somebody who holds sockets open.",
            COUNT,
            (
                Ask("sum(rtchat_connections)", "signed in"),
                Ask("sum(rtchat_guests)", "guests"),
                Ask("sum(rtchat_connections_paused)", "take nothing"),
            ),
        ),
        Panel(
            "Subscriptions",
            "Good: nearly all live. Catching up is for moments, after a client came back or was"
            " slow.",
            COUNT,
            (Ask("sum by (state) (rtchat_subscriptions)", "{{state}}"),),
            stacked=True,
        ),
        Panel(
            "Acks",
            "Of writes, by pod. Good: pods share it as they share clients.",
            PER_S,
            (each("rate(rtchat_acks_total[W])"),),
            stacked=True,
        ),
        Panel(
            "Ack time",
            "From the acceptance of a write to its ack. Good: p50 1 to 20 ms, p99 below 50 ms.",
            S,
            quantiles("rtchat_ack_seconds"),
            red=0.1,
        ),
        Panel(
            "Deliveries",
            "Entries written to sockets. Good: catching up is a small part, except after a pod"
            " has ended.",
            PER_S,
            (Ask("sum by (path) (rate(rtchat_deliveries_total[W]))", "{{path}}"),),
            stacked=True,
        ),
        Panel(
            "Errors",
            "What clients were told, by code. Good: no overloaded, unavailable or internal; the"
            " others are clients' own, and have a level of their own everyday.",
            PER_S,
            (Ask("sum by (code) (rate(rtchat_errors_total[W])) > 0", "{{code}}"),),
        ),
    ),
)

WRITER = Row(
    "Writer",
    (
        Panel(
            "Commit time",
            "From the begin of a transaction to the answer to COMMIT. Good: 1 ms for a lone write,"
            " 4 to 8 for a batch of 500; an alert beyond 50.",
            S,
            quantiles("rtchat_commit_seconds"),
            red=0.05,
        ),
        Panel(
            "Writes in a transaction",
            "Batches grow by themselves under load, which is good: up to RTCHAT_BATCH_MAX_ROWS.",
            COUNT,
            (
                Ask(
                    "sum(rate(rtchat_batch_rows_sum[W])) / sum(rate(rtchat_batch_rows_count[W]))",
                    "mean",
                ),
                *quantiles("rtchat_batch_rows"),
            ),
        ),
        Panel(
            "Queue, writes",
            "Accepted and not answered, by pod. Good: two batches a lane at most (4,000); an alert"
            " beyond half of RTCHAT_QUEUE_MAX_ROWS.",
            COUNT,
            (each("rtchat_writer_queue_rows"),),
        ),
        Panel(
            "Queue, bytes",
            "Their content. Beyond RTCHAT_QUEUE_MAX_BYTES (32 MiB) writes are told overloaded.",
            BYTES,
            (each("rtchat_writer_queue_bytes"),),
        ),
        Panel(
            "Batches again",
            "Not stored as they were, by reason. Good: passed_over and locked now and then, where"
            " pods write to the same channels; cannot_store never, but at a failover.",
            PER_S,
            (Ask("sum by (reason) (rate(rtchat_batches_again_total[W]))", "{{reason}}"),),
        ),
        Panel(
            "Lanes without connection",
            "Good: 0. A lane is a part of the channels, which take no writes in that pod then.",
            COUNT,
            (
                Ask(
                    "sum by (instance) (rtchat_writer_lanes)"
                    " - sum by (instance) (rtchat_writer_lanes_connected)",
                    "{{instance}}",
                ),
            ),
        ),
        Panel(
            "Refused and repeated",
            "Writes that the writer answered with an error (forbidden, not found, a timeout), and"
            " those whose nonce was known: retries, which rise after every fault.",
            PER_S,
            (
                Ask("sum(rate(rtchat_refusals_total[W]))", "refused"),
                Ask("sum(rate(rtchat_duplicates_total[W]))", "repeated"),
            ),
        ),
        Panel(
            "Times that ran out",
            "How often a limit of time towards PostgreSQL was reached. Good: 0.",
            PER_S,
            (
                Ask(
                    "sum by (limit) (rate(rtchat_limit_reached_total{limit=~"
                    '"write_timeout_ms|query_timeout_ms|acquire_timeout_ms|connect_timeout_ms"}[W]))',
                    "{{limit}}",
                ),
            ),
            width=16,
        ),
    ),
)

DATABASE = Row(
    "Database",
    (
        Panel(
            "Answers",
            "1: PostgreSQL has answered that pod within 5 s. Good: 1 everywhere.",
            COUNT,
            (Ask("min by (instance) (rtchat_database_up)", "{{instance}}"),),
        ),
        Panel(
            "Connections for reads",
            "Share of RTCHAT_POOL_MAX that is lent, by pod. Good: well below 90 %; beyond, reads"
            " begin to wait (the panel beside).",
            SHARE,
            (
                Ask(
                    'sum by (instance) (rtchat_pool_connections{state="busy"})'
                    " / sum by (instance) (rtchat_pool_max)",
                    "{{instance}}",
                ),
            ),
            red=0.9,
        ),
        Panel(
            "Wait for a connection",
            "Good: below 10 ms. A new connection takes what TLS and signing in take; at 2 s reads"
            " are told unavailable.",
            S,
            quantiles("rtchat_pool_wait_seconds"),
            red=0.5,
        ),
    ),
)

ROOMS = Row(
    "Rooms and delivery",
    (
        Panel(
            "Rooms",
            "Channels that somebody follows, by pod. A channel is a room in each pod where it has"
            " a follower.",
            COUNT,
            (each("rtchat_rooms"),),
        ),
        Panel(
            "Deliveries an ack",
            "Live entries written for each write: how large the rooms are in which people write.",
            COUNT,
            (
                Ask(
                    'sum(rate(rtchat_deliveries_total{path="live"}[W]))'
                    " / sum(rate(rtchat_acks_total[W]))",
                    "entries",
                ),
            ),
        ),
        Panel(
            "Bytes delivered",
            "Frames of entries, by pod. Good: well below what the line carries.",
            BYTES_PER_S,
            (each("rate(rtchat_delivered_bytes_total[W])"),),
            stacked=True,
        ),
        Panel(
            "What the bus did not bring",
            "Entries read from the log in its place, and rooms that a check of heads found behind."
            " Good: 0, or nearly; with Redis away it is all that other pods store.",
            PER_S,
            (
                Ask("sum(rate(rtchat_holes_filled_total[W]))", "entries read"),
                Ask("sum(rate(rtchat_head_check_finds_total[W]))", "rooms behind"),
            ),
        ),
        Panel(
            "Checks of heads",
            "Of all rooms against the log, by pod. Good: one each 2 s (RTCHAT_HEAD_CHECK_MS); none"
            " means that the database does not answer.",
            PER_S,
            (each("rate(rtchat_head_checks_total[W])"),),
        ),
        Panel(
            "Recent frames kept",
            "For those who come back, by pod; bounded by RTCHAT_TAIL_MAX_BYTES (64 MiB). Being"
            " full is well.",
            BYTES,
            (each("rtchat_tail_bytes"),),
        ),
    ),
)
