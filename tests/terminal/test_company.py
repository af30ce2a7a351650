"""Who is there, who writes, and what was read elsewhere: as two people's terminals show it."""

import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.pods import Pod, Pods
from tests.services import Databases
from tests.terminal.conftest import Someone, accounts
from tests.terminal.seat import Seat, seated


@pytest.fixture(scope="module")
def pod(databases: Databases, pods: Pods) -> Iterator[Pod]:
    """One that tells who is online, and soon when somebody is not."""
    with databases.fresh() as url:
        pod = pods.spawn(url, presence=1, presence_grace_s=1).wait()
        yield pod
        pod.kill()


@pytest.fixture
def two(pod: Pod) -> Iterator[tuple[Someone, Someone]]:
    """Two people with a channel and a conversation."""
    with accounts(pod) as make:
        ann, bob = make("Ann"), make("Bob")
        ann.rest.create_channel("Agora", "public", [bob.id])
        ann.rest.create_channel(None, "dm", [bob.id])
        yield ann, bob


def unread(seat: Seat, label: str) -> str:
    """The number behind a channel in the list."""
    found = re.search(rf"{label} +(\d+)│", seat.text)
    return found[1] if found else ""


def test_one_sees_who_is_there_and_who_writes(
    pod: Pod, two: tuple[Someone, Someone], tmp_path: Path
) -> None:
    """A mark at people while they are there, and a line while they write."""
    ann, bob = two
    with seated(tmp_path / "a", pod.url, "Agora", "--email", ann.email, columns=100) as a:
        a.signs_in().sees("#Agora", "connected", " @Bob")
        with seated(tmp_path / "b", pod.url, "Agora", "--email", bob.email, columns=40) as b:
            b.signs_in().sees("#Agora", "connected")
            a.sees("●@Bob")
            b.type("let me see")
            a.sees("Bob is writing…")
            b.type("\r")
            a.sees("● Bob", "let me see").until(lambda: "writing" not in a.text)
            b.line("/members").sees("● Ann", "● Bob")
            b.line("/quit")
            assert b.ended() == 0
        a.until(lambda: "●" not in a.text)


def test_what_is_read_on_one_device_is_read_on_the_other(
    pod: Pod, two: tuple[Someone, Someone], tmp_path: Path
) -> None:
    """And at the next start, and after the server was away."""
    ann, bob = two
    agora = next(c.id for c in bob.rest.all_channels() if c.name == "Agora")
    here = seated(tmp_path / "a", pod.url, "--email", ann.email, columns=100)
    there = seated(tmp_path / "b", pod.url, "--email", ann.email, columns=100)
    with here as a, there as b:
        for seat in (a, b):
            seat.signs_in().sees("connected").line(f"/dm {bob.email}").sees("@Bob ")
        for number in range(3):
            bob.rest.send(agora, f"news {number}")
        for seat in (a, b):
            seat.until(lambda: unread(seat, "#Agora") == "3")  # noqa: B023  called at once
        b.line("/join Agora").sees("news 2")
        a.until(lambda: unread(a, "#Agora") == "")
        bob.rest.send(agora, "more news")
        b.sees("more news")
        a.until(lambda: unread(a, "#Agora") == "")
        for seat in (a, b):
            seat.line("/quit")
            assert seat.ended() == 0
        b.until(lambda: ann.rest.channel(agora).unread == 0)
    bob.rest.send(agora, "while away")
    with seated(tmp_path / "a", pod.url, columns=100) as a:
        a.sees("#Agora", "while away")
