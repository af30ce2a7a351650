"""Children do not outlive us, learn no secrets, and are ended even when they resist."""

import os
import signal
import socket
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from rtchat.server.launch import (
    PORTS,
    LaunchError,
    ask,
    end,
    free_port,
    last_lines,
    lock,
    run,
    signal_tree,
    spawn,
)


def shell(script: str, output: int = subprocess.DEVNULL) -> subprocess.Popen[bytes]:
    return spawn(["/bin/sh", "-c", script], output=output)


def test_child_gets_a_clean_environment() -> None:
    environ = {"PATH": os.environ["PATH"], "PGHOST": "x", "RTCHAT_SECRET_KEY": "x"}
    child = spawn(["/usr/bin/env"], output=subprocess.PIPE, environ=environ)
    output, _ = child.communicate(timeout=5)
    names = {line.partition("=")[0] for line in output.decode().splitlines()}
    assert names == {"PATH", "LC_ALL", "TZ"}


def test_child_has_its_own_session() -> None:
    """Ctrl-C in our terminal must not reach it: we drain first, then end it."""
    child = shell("sleep 60")
    assert os.getsid(child.pid) == child.pid
    assert end(child, (signal.SIGKILL, 5.0))


def test_children_are_started_in_the_main_thread_alone() -> None:
    errors: list[BaseException] = []

    def start() -> None:
        try:
            shell("true")
        except AssertionError as error:
            errors.append(error)

    thread = threading.Thread(target=start)
    thread.start()
    thread.join()
    assert len(errors) == 1


def test_end_goes_on_to_the_next_signal_when_one_is_ignored() -> None:
    child = shell("trap '' INT; echo up; sleep 60 & wait", subprocess.PIPE)
    assert child.stdout is not None
    child.stdout.readline()  # the trap is set
    pid = child.pid
    assert not end(child, (signal.SIGINT, 0.1))
    signal_tree(pid, signal.SIGKILL)
    assert end(child, (signal.SIGKILL, 5.0))
    child.stdout.close()


def test_signal_reaches_the_children_of_a_child() -> None:
    child = shell("sleep 60 & echo $!; wait", subprocess.PIPE)
    assert child.stdout is not None
    grandchild = int(child.stdout.readline())
    signal_tree(child.pid, signal.SIGKILL)
    child.wait(5)
    assert child.stdout.read() == b""  # at its end only when both have closed it
    assert grandchild != child.pid
    child.stdout.close()


def test_signal_to_one_that_is_gone_is_no_error() -> None:
    child = shell("true")
    os.waitid(os.P_PID, child.pid, os.WEXITED | os.WNOWAIT)
    signal_tree(child.pid, signal.SIGSTOP)
    child.wait()


def test_run_returns_the_output_and_shows_it_in_the_error() -> None:
    assert run(["/bin/cat"], text="hello") == "hello"
    with pytest.raises(LaunchError, match=r"(?s)/bin/sh failed \(3\).*went wrong"):
        run(["/bin/sh", "-c", "echo went wrong >&2; exit 3"])


def test_run_is_bounded_in_time() -> None:
    with pytest.raises(LaunchError, match="did not end within"):
        run(["/bin/sleep", "60"], timeout_s=0.1)


def test_ask_returns_nothing_for_what_cannot_run(tmp_path: Path) -> None:
    (tmp_path / "program").write_text("not a program")
    assert ask(tmp_path / "program", "--version") == ""
    assert ask(tmp_path / "missing", "--version") == ""
    assert "Python" in ask(sys.executable, "--version")


def test_ports_stay_out_of_the_ephemeral_range() -> None:
    for _ in range(20):
        assert free_port() in PORTS
    assert PORTS[-1] < 32_768
    assert PORTS[-1] + 10_000 < 65_536


def test_preferred_port_is_given_when_free() -> None:
    port = free_port()
    assert free_port(port) == port
    with socket.socket() as occupant:
        occupant.bind(("127.0.0.1", port))
        occupant.listen()
        assert free_port(port) != port


def test_lock_lasts_as_long_as_anyone_has_the_descriptor(tmp_path: Path) -> None:
    """Which is how the end of all of PostgreSQL's processes is known."""
    ours, theirs = (os.open(tmp_path / "lock", os.O_RDWR | os.O_CREAT) for _ in range(2))
    assert lock(ours)
    child = spawn(["/bin/sleep", "60"], output=subprocess.DEVNULL, keep=[ours])
    os.close(ours)
    assert not lock(theirs, 0.1)
    assert end(child, (signal.SIGKILL, 5.0))
    assert lock(theirs)
    os.close(theirs)


def test_last_lines_are_the_last() -> None:
    text = last_lines("\n".join(map(str, range(100))))
    assert text.startswith("  88\n")
    assert text.endswith("  99")
    assert last_lines("") == "  (no output)"
