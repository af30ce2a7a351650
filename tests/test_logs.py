"""A log line is one line, whatever was logged; and it says when, how grave, what, and by whom."""

import json
import logging
import re
import subprocess
import sys
from typing import Any

import pytest
from hypothesis import given, settings, strategies as st

from rtchat.logs import JsonFormatter, TextFormatter

PROPERTY = settings(max_examples=100, deadline=None, derandomize=True)
FORGED = "a\r\n2026-01-31 ERROR forged\x1b[2J\u2028\x00"


def record(event: str = "event", error: BaseException | None = None, **extra: Any):
    made = logging.makeLogRecord(
        {"name": "rtchat.part", "levelname": "WARNING", "msg": event, "created": 1763800000.1234}
    )
    made.exc_info = (type(error), error, error.__traceback__) if error is not None else None
    vars(made).update(extra)
    return made


def json_line(*args: Any, **extra: Any) -> dict[str, Any]:
    text = JsonFormatter().format(record(*args, **extra))
    assert not [character for character in text if character < " "]
    line: dict[str, Any] = json.loads(text)
    return line


def text_line(*args: Any, **extra: Any) -> str:
    return TextFormatter().format(record(*args, **extra))


# --- JSON


def test_a_line_of_json_has_time_level_event_logger_and_what_was_passed():
    assert json_line("connected", user=42, client="::1") == {
        "time": "2025-11-22T08:26:40.123Z", "level": "warning", "event": "connected",
        "logger": "rtchat.part", "user": 42, "client": "::1",
    }  # fmt: skip


def test_an_exception_is_in_the_line_with_its_traceback():
    try:
        raise LookupError(FORGED)
    except LookupError as error:
        line = json_line(error=error)
    assert "Traceback" in line["error"]
    assert "LookupError" in line["error"]


def test_arguments_are_put_into_the_event():
    made = record("%s happened")
    made.args = ("it",)
    assert json.loads(JsonFormatter().format(made))["event"] == "it happened"


values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text() | st.binary(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text() | st.integers(), inner),
    max_leaves=5,
)


@PROPERTY
@given(st.text(), values)
def test_whatever_is_logged_makes_one_line(event: str, value: Any):
    assert "value" in json_line(event, value=value)


@pytest.mark.parametrize(
    "value", [FORGED, b"\xff", object(), float("nan"), {1: {2}}, ValueError("x"), "\ud800", 2**70]
)
def test_what_json_does_not_know_makes_a_line_too(value: object):
    """A line that cannot be written is an event that nobody hears of."""
    assert "value" in json_line(value=value)


def test_no_value_forges_a_line():
    line = json_line(FORGED, name_of_user=FORGED)
    assert line["event"] == line["name_of_user"] == FORGED


# --- text


def test_a_line_of_text_is_for_people():
    assert text_line("connected", user=42, client="::1") == (
        "08:26:40.123 warning connected user=42 client=::1"
    )


def test_a_terminal_gets_no_control_characters_from_a_value():
    line = text_line(FORGED, name_of_user=FORGED)
    assert line.isprintable()
    assert "forged" in line


def test_nor_from_an_exceptions_words():
    """They often repeat what somebody sent."""
    try:
        raise LookupError(FORGED)
    except LookupError as error:
        text = text_line(error=error)
    assert "LookupError" in text
    assert all(line.isprintable() for line in text.split("\n"))
    assert not re.search(r"^2026", text, re.MULTILINE), "a forged line"


# --- the whole set-up, in a process of its own

PROGRAM = """
import logging, sys, warnings
from rtchat.logs import configure
configure(sys.argv[1], sys.argv[2], *map(int, sys.argv[3:]))
logging.getLogger("rtchat.x").info("connected", extra={"user": 42})
logging.getLogger("uvicorn.error").info("noise")
logging.getLogger("uvicorn.error").warning("heard")
logging.getLogger("uvicorn.error").warning('%s - "WebSocket %s" 403', "::1:9", "/ws?token=secret")
warnings.warn("watch out")
logging.getLogger("rtchat.x").debug("details")
"""


def run(*arguments: str) -> list[str]:
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM, *arguments], capture_output=True, text=True, check=True
    )
    assert done.stdout == ""
    return done.stderr.splitlines()


def test_everybodys_lines_have_one_form_and_go_to_standard_error():
    lines = [json.loads(line) for line in run("info", "json")]
    assert [line["event"] for line in lines[:2]] == ["connected", "heard"]
    assert lines[0]["user"] == 42
    assert "watch out" in lines[2]["event"]
    assert len(lines) == 3


def test_a_worker_says_which_one_it_is_in_every_line():
    """Libraries' lines included; a process that is alone says nothing of the kind."""
    lines = [json.loads(line) for line in run("info", "json", "3")]
    assert [line["worker"] for line in lines] == [3, 3, 3]
    assert all("worker" not in json.loads(line) for line in run("info", "json"))


def test_the_level_is_the_lowest_that_is_written():
    assert [json.loads(line)["level"] for line in run("error", "json")] == []
    assert "details" in [json.loads(line)["event"] for line in run("debug", "json")]


@pytest.mark.parametrize("form", ["json", "text", "auto"])
def test_no_query_string_is_ever_logged(form: str):
    """People put tokens there."""
    assert not [line for line in run("debug", form) if "secret" in line]


def test_without_a_terminal_auto_is_json():
    assert all(line.startswith("{") for line in run("info", "auto"))
    assert not any(line.startswith("{") for line in run("info", "text"))
