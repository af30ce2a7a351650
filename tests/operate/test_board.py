"""What is shown of looks at pods: a table, a line, a record; and nothing that was not seen."""

import json

from rtchat.operate.board import FIRST, HEADS, Looks, Style, cells, line, record, shown, table
from rtchat.operate.stat import Delta, Row, delta, read

POD = """
rtchat_connections 12345
rtchat_bus_connected 0
rtchat_acks_total {acks}
"""


def pod(acks: int = 5) -> Delta:
    return delta(read(POD.format(acks=0), 1.0), read(POD.format(acks=acks), 2.0))


def test_a_table_has_a_line_a_pod_and_one_for_several():
    looks: Looks = [("a:1", pod()), ("long-name:2", pod(7)), ("c:3", "no answer"), ("d:4", None)]
    heads, first, second, dead, new, both = table(looks)
    assert heads.split() == ["pod", *" ".join(HEADS.values()).split()]
    assert first.split()[:2] == ["a:1", "12,345"]
    assert len(first) == len(second) == len(heads)
    assert dead == "c:3          no answer"
    assert new == f"d:4          {FIRST}"
    assert both.split()[:4] == ["all", "2", "24,690", "-"]
    assert len(table(looks[:1])) == 2, "one pod needs no sum"


def test_a_line_is_of_all_that_answer():
    assert line([("a", pod()), ("b", "no answer")]).startswith("1 of 2 pods  conn 12,345  live -  ")
    assert line([("b", "no answer")]) == "0 of 1 pods answer"


def test_a_record_has_null_for_what_was_not_seen():
    found = record([("a", pod()), ("b", "no answer"), ("c", None)])
    assert json.loads(json.dumps(found)) == found
    assert [one["pod"] for one in found["pods"]] == ["a", "b", "c"]
    assert (found["pods"][0]["acks"], found["pods"][0]["live"]) == (5, None)
    assert [one.get("error") for one in found["pods"]] == [None, "no answer", FIRST]
    assert found["all"]["acks"] == 5
    assert record([("b", "no answer")])["all"] is None


def test_each_style_is_for_somebody_else():
    looks: Looks = [("a", pod())]
    lines = table(looks)
    assert shown(looks, Style.TABLE, 1.5, "12:00:00") == "\n".join(lines)
    assert shown(looks, Style.LINE, 1.5, "12:00:00").startswith("12:00:00  1 of 1 pods  conn ")
    assert json.loads(shown(looks, Style.JSON, 1.23456, "")) == {"time": 1.235, **record(looks)}
    screen = shown(looks, Style.SCREEN, 1.5, "")
    assert screen.startswith("\x1b[H")
    assert screen.count("\x1b[K") == len(lines)
    assert screen.endswith("\x1b[J")


def test_numbers_are_as_long_as_they_need_to_be():
    shown = Row(0, 9.96, 10.4, 1234567, 3, 0.04, 12.34, None, 1, 0, 0.5, 1)
    assert cells(shown) == [
        "0", "10.0", "10", "1,234,567", "3", "0.0", "12.3", "-", "1", "0.0", "0.5", "up",
    ]  # fmt: skip
