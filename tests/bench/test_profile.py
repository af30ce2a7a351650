"""Samples of a pod's stacks are counted for the innermost frame that a slice knows."""

import pytest

from bench.profile import OTHER, shares, slice_of

LOOP = "main (rtchat/cli.py:1);run_forever (loop.c:33192);uv_run (core.c:452)"


@pytest.mark.parametrize(
    ("inner", "name"),
    [
        ("LogWriter.store (rtchat/store/log.py:86);decide (rtchat/batch.py:200)", "decided"),
        ("decide (rtchat/batch.py:200);PyDict_GetItem (libpython)", "decided"),
        ("Room._fan_out (rtchat/room.py:1);ServerLink.write (x.py:1);write (libc)", "written"),
        ("LogWriter._copy (rtchat/store/log.py:2);copy_records_to_table (asyncpg/c.py:1)", "COPY"),
        ("pack (rtchat/protocol.py:1);entry (rtchat/protocol.py:2)", "frames made"),
        ("decode (rtchat/protocol.py:5)", "commands"),
        ("uv__io_poll (linux.c:1);uv__read (stream.c:1);read (libc.so.6)", "bytes read"),
        ("uv__io_poll (linux.c:1);epoll_pwait (libc.so.6)", "asking"),
        ("uv__run_timers (timer.c:1)", OTHER),
    ],
)
def test_a_stack_belongs_to_one_slice(inner: str, name: str) -> None:
    assert slice_of(f"{LOOP};{inner}").startswith(name)


def test_shares_add_up_and_the_largest_comes_first() -> None:
    found = shares(f"{LOOP};epoll_pwait (libc) 1\n{LOOP};decide (rtchat/batch.py:1) 3\n")
    assert list(found.values()) == [0.75, 0.25]
    assert sum(found.values()) == 1
