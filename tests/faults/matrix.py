"""The fault matrix: every fault that we thought of, and the test that causes it, or why none does.

Owns: one table, `MATRIX`. `python -m tests.faults.matrix` puts it into docs/guarantees.md;
`test_matrix` checks that every test it names exists, and that the page is up to date.
"""

from dataclasses import dataclass
from pathlib import Path

from tests.faults import text
from tests.faults.catalogue import FAULTS

ROOT = Path(__file__).parents[2]
PAGE = ROOT / "docs" / "guarantees.md"


@dataclass(frozen=True, slots=True)
class Line:
    """One fault. `tests`: file and function, below `tests/`. Without any: why."""

    fault: str
    tests: tuple[str, ...] = ()
    why: str = ""


F, B, S = "faults/test_", "bus/test_", "server/test_"

# What runs under load cause stands in `catalogue`; here is what has a test of its own.
MATRIX: dict[str, Line] = {
    "F1": Line("a pod killed before COMMIT"),
    "F2": Line("a pod killed after COMMIT, before publishing"),
    "F3": Line("a pod killed after publishing"),
    "F4": Line("a pod stopped in its transaction"),
    "F5": Line("a pod stopped between commit and publishing"),
    "F6": Line("a pod's event loop blocked for 3 s"),
    "F7": Line(
        "a pod out of memory",
        (
            f"{F}memory.py::test_an_allocation_that_fails_breaks_no_promise",
            f"{F}memory.py::test_a_pod_at_its_limit_refuses_or_dies",
        ),
    ),
    "F8": Line(
        "SIGTERM",
        (
            f"{F}drain.py::test_until_its_slot_everything_goes_on",
            f"{F}drain.py::test_the_slots_are_spread_evenly",
            "test_prestop.py::test_rtchat_drain_holds_sigterm_back",
        ),
    ),
    "F9": Line("SIGTERM with a stuck client", (f"{F}drain.py::test_stuck_clients_do_not_hold_it",)),
    "F10": Line(
        "Redis killed, back empty", (f"{B}redis_faults.py::test_a_server_killed_and_started_again",)
    ),
    "F11": Line(
        "Redis stopped", (f"{B}fault_rows.py::test_f11_a_redis_frozen_for_long_repeats_nothing",)
    ),
    "F12": Line("links to Redis half open", (f"{B}silence.py::test_a_half_open_link_is_noticed",)),
    "F13": Line(
        "subscribers killed by Redis, over and over",
        (f"{B}redis_faults.py::test_subscribers_that_the_server_kills_over_and_over",),
    ),
    "F14": Line(
        "a pod too slow for Redis",
        (f"{B}fault_rows.py::test_f14_a_pod_too_slow_for_redis_is_cut_and_told",),
    ),
    "F15": Line(
        "Redis answers OOM, NOPERM, LOADING",
        (
            f"{B}fault_rows.py::test_f15_a_refusal_is_counted_and_harmless",
            f"{B}fault_rows.py::test_f15_a_redis_without_memory_still_carries_the_bus",
            f"{B}fault_rows.py::test_f15_a_redis_that_is_loading_is_waited_for",
        ),
    ),
    "F16": Line(
        "Redis fails over, or is emptied",
        (
            f"{B}fault_rows.py::test_f16_flushall_changes_nothing",
            f"{B}cluster_faults.py::test_a_replica_takes_over_from_a_killed_primary",
        ),
    ),
    "F17": Line("PostgreSQL killed"),
    "F18": Line(
        "PostgreSQL restarted, backends terminated",
        ("test_writer.py::test_a_killed_backend_costs_nothing",),
    ),
    "F19": Line(
        "PostgreSQL stopped, or its links half open",
        (f"{F}overload.py::test_a_hanging_database_holds_nobody_for_long",),
    ),
    "F20": Line("a connection reset in the middle of a COPY"),
    "F21": Line(
        "the answer to COMMIT lost",
        ("test_writer.py::test_a_lost_answer_to_commit_is_resolved_by_its_nonce",),
    ),
    "F22": Line("COMMIT itself lost"),
    "F23": Line(
        "overlapping batches in opposite orders",
        (f"{F}batches.py::test_opposite_orders_do_not_deadlock",),
    ),
    "F24": Line(
        "a database whose default isolation is serializable",
        (
            f"{F}sessions_of_sql.py::test_sends_do_not_care_for_the_default_isolation",
            f"{F}sessions_of_sql.py::test_sessions_do_not_care_either",
        ),
    ),
    "F25": Line(
        "the disk full",
        (
            f"{F}database_limits.py::test_a_disk_that_is_full",
            f"{F}database_limits.py::test_a_file_that_may_not_grow",
        ),
    ),
    "F26": Line(
        "PostgreSQL turns read-only; connections lead to an old primary",
        (
            f"{F}database_limits.py::test_a_database_that_turns_read_only",
            f"{F}database_limits.py::test_connections_to_the_primary_of_yesterday",
        ),
    ),
    "F27": Line("no connection left", (f"{F}database_limits.py::test_no_free_connection_left",)),
    "F28": Line(
        "a transaction-mode pooler in between",
        (f"{F}sessions_of_sql.py::test_nothing_relies_on_what_a_session_remembers",),
        "a proxy that does the same is run; PgBouncer 1.18 itself was tried by hand",
    ),
    "F29": Line("a slow client", (f"{F}slow_clients.py::test_a_client_that_never_reads",)),
    "F30": Line(
        "a client half open",
        (
            f"{F}neighbours.py::test_a_half_open_client_is_gone_in_time",
            f"{F}slow_clients.py::test_a_silent_client_is_dropped_though_something_waits_for_it",
            f"{F}slow_clients.py::test_a_peer_whose_window_stays_closed_is_cut_by_the_kernel",
        ),
    ),
    "F31": Line(
        "a client gone before its ack",
        (f"{F}nonces.py::test_whoever_missed_an_ack_gets_it_from_the_other_pod",),
    ),
    "F32": Line(
        "one nonce at once on two pods", (f"{F}nonces.py::test_one_nonce_at_once_on_two_pods",)
    ),
    "F33": Line(
        "a nonce used again much later",
        (f"{F}nonces.py::test_a_removed_author_still_learns_what_became_of_it",),
    ),
    "F34": Line(
        "clocks of pods apart",
        (
            f"{F}clocks.py::test_tokens_are_good_within_the_leeway_and_clear_beyond",
            f"{F}clocks.py::test_order_and_nonces_ask_no_clock",
        ),
    ),
    "F35": Line(
        "a pod's clock stepping back", (f"{F}clocks.py::test_a_clock_that_steps_back_ends_nobody",)
    ),
    "F36": Line(
        "a token that expires on an open socket",
        (f"{F}access.py::test_a_token_ends_its_socket_unless_it_is_renewed",),
    ),
    "F37": Line(
        "a session ended while connected: logout, reuse, revoked, another password, disabled",
        (f"{F}access.py::test_the_end_of_a_session_closes_its_sockets",),
    ),
    "F38": Line(
        "a member removed while connected",
        (
            f"{F}removal.py::test_a_removed_member_hears_and_says_no_more",
            f"{F}removal.py::test_a_hundred_removals_under_a_stream_of_sends",
        ),
    ),
    "F39": Line(
        "a channel deleted while connected",
        (f"{F}removal.py::test_a_deleted_channel_takes_only_its_own_sends_along",),
    ),
    "F40": Line(
        "a user or channel gone in the middle of a batch",
        (
            f"{F}batches.py::test_a_user_who_vanishes_mid_batch_costs_nobody_else",
            f"{F}batches.py::test_a_channel_that_vanishes_before_its_batch_costs_no_other",
        ),
    ),
    "F41": Line("the writer's queue full", (f"{F}overload.py::test_a_full_queue_refuses_at_once",)),
    "F42": Line(
        "a hot channel", (f"{F}neighbours.py::test_a_hot_channel_leaves_a_quiet_one_alone",)
    ),
    "F43": Line(
        "a flood by one user",
        (
            f"{F}neighbours.py::test_a_flood_is_slowed_down_and_then_ended",
            f"{F}server_limits.py::test_frames_without_an_end",
        ),
    ),
    "F44": Line(
        "envelopes out of order",
        (f"{B}fault_rows.py::test_f44_envelopes_out_of_order_are_delivered_in_order",),
    ),
    "F45": Line(
        "forged and repeated envelopes",
        (f"{B}fault_rows.py::test_f45_forged_and_repeated_envelopes_are_harmless",),
    ),
    "F46": Line(
        "pods of two schemas",
        (
            f"{F}rolling.py::test_migrating_again_holds_up_nobody",
            f"{F}rolling.py::test_pods_of_this_version_serve_on_the_next_schema",
        ),
    ),
    "F47": Line(
        "a migration from several places at once",
        ("store/test_schema.py::test_pods_may_migrate_together",),
    ),
    "F48": Line(
        "the signing key changed",
        (f"{F}rotation.py::test_a_rotation_under_load_signs_nobody_out",),
    ),
    "F49": Line(
        "no stores at the start",
        (
            f"{F}start.py::test_a_pod_starts_without_its_database",
            f"{F}start.py::test_neither_database_nor_redis",
        ),
    ),
    "F50": Line("a backup restored", (f"{F}epoch.py::test_a_restored_backup_under_running_pods",)),
    "F51": Line(
        "no file descriptors left",
        (
            f"{F}server_limits.py::test_at_the_limit_of_open_files_a_pod_lives_on",
            f"{F}server_limits.py::test_without_any_descriptor_left_accepting_goes_on_later",
        ),
    ),
    "F52": Line(
        "one of several workers killed, or stuck, or their supervisor killed",
        (
            f"{S}workers.py::test_one_that_ends_is_started_again",
            f"{S}workers.py::test_one_that_is_stuck_does_not_hold_the_end",
            f"{S}workers.py::test_without_their_supervisor_they_drain_and_end",
        ),
    ),
    "G4": Line("envelopes lost, in the middle and at the end"),
    "G5": Line(
        "coming back with any cursor, on any pod",
        (
            f"{F}resume.py::test_who_comes_back_gets_what_it_missed",
            f"{F}resume.py::test_ten_thousand_entries_come_back_too",
        ),
    ),
    "G6": Line(
        "joining while others send",
        (
            f"{F}join_race.py::test_six_hundred_joins_under_a_stream_are_dense",
            f"{F}join_race.py::test_the_first_joins_of_a_room_are_dense",
        ),
    ),
    "G11": Line(
        "every pod replaced in turn",
        (f"{F}drain.py::test_under_load_nothing_is_lost_and_nothing_is_twice",),
    ),
    "G12": Line(
        "everybody comes back at once", (f"{F}storm.py::test_a_storm_is_served_by_the_tails",)
    ),
}


def under_load(row: str) -> list[str]:
    """The faults of this row that runs cause while clients talk."""
    return [fault.name for fault in FAULTS.values() if fault.row == row]


def table() -> str:
    """The matrix as Markdown."""
    lines = ["| | fault | under load | in a test of its own |", "|---|---|---|---|"]
    for row, line in MATRIX.items():
        runs = ", ".join(f"**`{n}`**" if FAULTS[n].smoke else f"`{n}`" for n in under_load(row))
        tests = ", ".join(f"`{name}`" for name in line.tests)
        lines.append(
            f"| {row} | {line.fault} | {runs} | {'; '.join(filter(None, (tests, line.why)))} |"
        )
    return "\n".join(lines)


if __name__ == "__main__":
    text.replace_in(PAGE, "matrix", table())
