"""What findings make of the exit status, and where a value is said to come from."""

import json

import pytest

from rtchat.operate.finding import Cause, away, ok, origin, warn, worst, wrong

OK, WARN = ok("a", "seen", "there"), warn("b", "seen", "there", "mend")
WRONG, AWAY = wrong("c", "seen", "there", "mend"), away("d", "seen", "there", "mend")


@pytest.mark.parametrize(
    ("findings", "cause"),
    [
        ([], None),
        ([OK, WARN], None),
        ([OK, AWAY], Cause.DEPENDENCY),
        ([WRONG, OK], Cause.SETTING),
        ([AWAY, WRONG, WARN], Cause.SETTING),  # it may be why the other thing is not there
    ],
)
def test_a_wrong_setting_comes_first_and_warnings_do_not_count(findings, cause):
    assert worst(findings) is cause


def test_programs_get_every_part():
    assert json.loads(json.dumps([one.as_dict() for one in (OK, WRONG)])) == [
        {"check": "a", "level": "ok", "seen": "seen", "from": "there", "mend": None, "cause": None},
        {
            "check": "c", "level": "fail", "seen": "seen", "from": "there", "mend": "mend",
            "cause": "setting",
        },
    ]  # fmt: skip


def test_a_value_comes_from_a_variable_a_file_or_nowhere():
    sources = {"a": "RTCHAT_A", "b": "/run/secrets/b", "c": "default"}
    assert [origin(name, sources) for name in sources] == [
        "RTCHAT_A",
        "RTCHAT_B, from /run/secrets/b",
        "RTCHAT_C, not set",
    ]
