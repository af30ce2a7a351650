"""Comparisons: medians and ratios of rounds, and goals that are reached, missed or not measured."""

from bench.compare import _told
from bench.ratios import Goal, Sample, judge, summary

NAMES = ["node", "nats"]


def sample(number: int, server: str, work: str, per_s: float, **other: float) -> Sample:
    figures = {"server_us": 1.0, "client_cpu": 0.5, "client_limit": False, "wrong": 0, **other}
    return Sample(number, server, work, per_s, **figures)  # type: ignore[arg-type]


def rounds(server: str, *per_s: float, **other: float) -> list[Sample]:
    return [sample(n, server, "fanout-64", each, **other) for n, each in enumerate(per_s)]


def test_figures_are_medians_and_ratios_are_between_them() -> None:
    ours, theirs = summary(
        [*rounds("rtchat", 100, 200, 900), *rounds("node", 10, 40, 30, server_us=4.0)]
    )
    assert (ours["per_s"], ours["low"], ours["high"]) == (200, 100, 900)
    assert "ratio" not in ours
    assert theirs["per_s"] == 30
    assert theirs["ratio"] == 200 / 30
    assert (theirs["ratio_low"], theirs["ratio_high"]) == (5, 30), "round by round"
    assert theirs["cpu_ratio"] == 4


def test_what_went_wrong_in_any_round_shows() -> None:
    limited = sample(1, "node", "fanout-64", 10, client_limit=True, wrong=3)
    row = summary([*rounds("node", 10), limited])[0]
    assert (row["client_limit"], row["wrong"]) == (True, 3)


def test_without_rtchat_and_for_a_server_that_did_nothing_there_is_no_ratio() -> None:
    assert "ratio" not in summary(rounds("node", 10))[0]
    assert "ratio" not in summary([*rounds("rtchat", 10), *rounds("node", 0)])[1]


def test_a_goal_is_held_against_the_fastest_that_stores_nothing() -> None:
    rows = summary(
        [*rounds("rtchat", 100), *rounds("node", 10), *rounds("nats", 40), *rounds("store", 90)]
    )
    goals = [Goal("fanout-64", None, 2.5), Goal("fanout-64", None, 2.6)]
    reached, missed = judge(rows, NAMES, goals)
    assert reached["server"] == missed["server"] == "nats"
    assert (reached["reached"], missed["reached"]) == (True, False)
    assert reached["ratio"] == 2.5


def test_a_goal_whose_servers_were_not_measured_is_neither_reached_nor_missed() -> None:
    rows = summary(rounds("rtchat", 100))
    (verdict,) = judge(rows, NAMES, [Goal("fanout-64", "store", 2)])
    assert (verdict["ratio"], verdict["reached"]) == (None, None)


def test_a_goal_says_where_the_rival_was_held_back_by_the_load_client() -> None:
    rows = summary([*rounds("rtchat", 100), *rounds("node", 10, client_limit=True)])
    (verdict,) = judge(rows, NAMES, [Goal("fanout-64", None, 5)])
    assert (verdict["reached"], verdict["client_limit"]) == (True, True)
    assert _told(verdict).endswith("the fastest other (node), which the load client held back")
