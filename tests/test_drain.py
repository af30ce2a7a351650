"""The drain in process: its slots, what happens at one, and who is let in no more."""

import asyncio
import time

import pytest

from rtchat.drain import window_s
from rtchat.errors import ChatError, Code
from rtchat.store import epoch
from tests.world import Socket, World, world


@pytest.fixture(scope="module")
def database_url(module_database_url: str) -> str:
    """One database for all: a drain leaves nothing in it."""
    return module_database_url


@pytest.mark.parametrize(
    ("sockets", "longest_s", "per_second", "window"),
    [
        (0, 20, 200, 0),
        (1, 20, 200, 0.005),
        (200, 20, 200, 1),
        (4000, 20, 200, 20),
        (100_000, 20, 200, 20),
        (5, 0, 1, 0),
    ],
)
def test_a_pod_with_few_sockets_needs_less_than_the_window(
    sockets: int, longest_s: float, per_second: int, window: float
):
    assert window_s(sockets, longest_s, per_second) == pytest.approx(window)


async def crowd(pod: World, count: int) -> list[Socket]:
    """So many sockets of one person."""
    user = await pod.person()
    return [pod.connect(user) for _ in range(count)]


async def ends(sockets: list[Socket]) -> list[int]:
    """The numbers of the sockets in the order in which they were closed."""
    order: list[int] = []
    while len(order) < len(sockets):
        await asyncio.sleep(0.001)
        for number, socket in enumerate(sockets):
            if socket.closed_with is not None and number not in order:
                order.append(number)
    return order


async def test_each_socket_goes_in_its_own_slot(database_url: str) -> None:
    """One after the other over the window, in another order than they came."""
    async with world(database_url, drain_s=1, drain_per_second=1) as pod:
        sockets = await crowd(pod, 40)
        began = time.monotonic()
        async with asyncio.TaskGroup() as group:
            order = group.create_task(ends(sockets))
            group.create_task(pod.app.drain())
            await asyncio.sleep(0.2)
            assert any(s.closed_with is None for s in sockets), "all at once is a storm"
        assert time.monotonic() - began >= 38 / 40  # the last slot begins at 39; clocks are coarse
        assert order.result() != sorted(order.result())
        assert {s.closed_with for s in sockets} == {4201}


async def test_bye_says_when_to_come_back(database_url: str) -> None:
    """A time of its own for each, within the setting; and nothing else is said."""
    async with world(database_url, drain_return_ms=500) as pod:
        sockets = await crowd(pod, 40)
        await pod.app.drain()
        said = [socket.read() for socket in sockets]
    assert all([e["t"] for e in events] == ["bye"] for events in said)
    times = [events[0]["in"] for events in said]
    assert all(0 <= t <= 500 for t in times)
    assert len(set(times)) > 10
    assert {events[0]["code"] for events in said} == {4201}


async def test_without_sockets_it_is_over_at_once(database_url: str) -> None:
    async with world(database_url) as pod:
        async with asyncio.timeout(1):
            await pod.app.drain()
        assert pod.services.drain.begun


async def test_a_second_call_joins_the_first(database_url: str) -> None:
    """Both return when everybody is gone; nobody hears `bye` twice."""
    async with world(database_url, drain_s=1, drain_per_second=20) as pod:
        sockets = await crowd(pod, 10)
        async with asyncio.TaskGroup() as group:
            for _ in range(2):
                group.create_task(pod.app.drain())
        assert [len(socket.read()) for socket in sockets] == [1] * 10
        assert len(pod.services.connections) == 0


async def test_who_is_cancelled_while_joining_does_not_stop_it(database_url: str) -> None:
    """The pre-stop call's client may go away."""
    async with world(database_url, drain_s=1, drain_per_second=20) as pod:
        sockets = await crowd(pod, 10)
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.05):
                await pod.app.drain()
        assert any(s.closed_with is None for s in sockets)
        await pod.app.drain()
        assert {s.closed_with for s in sockets} == {4201}


async def test_accepted_writes_are_answered_before_bye(database_url: str) -> None:
    """The socket waits for them, with its slot begun; others do not wait for it."""
    async with world(database_url) as pod:
        waiting, other = await crowd(pod, 2)
        connection = waiting.connection
        connection.unanswered = 1
        async with asyncio.TaskGroup() as group:
            group.create_task(pod.app.drain())
            while other.closed_with is None or not connection.leaving:
                await asyncio.sleep(0.001)
            assert waiting.closed_with is None
            connection.unanswered = 0
            assert connection.on_answered is not None
            connection.on_answered()
        ends_with: int | None = waiting.closed_with
        assert ends_with == 4201
        assert [event["t"] for event in waiting.read()] == ["bye"]


async def test_a_write_without_an_answer_does_not_hold_its_socket_for_ever(
    database_url: str,
) -> None:
    async with world(database_url) as pod:
        (waiting,) = await crowd(pod, 1)
        waiting.connection.unanswered = 1
        async with asyncio.timeout(pod.services.drain.longest_s):
            await pod.app.drain()
        assert waiting.closed_with == 4201
        assert [event["t"] for event in waiting.read()] == ["bye"]


async def test_a_stuck_client_is_not_waited_for(database_url: str) -> None:
    """Nothing more is written to it, and its unanswered writes do not keep it."""
    async with world(database_url) as pod:
        stuck = pod.connect(await pod.person(), high=0)
        stuck.write(b"\x81\x02{}")
        assert stuck.connection.paused
        stuck.connection.unanswered = 1
        async with asyncio.timeout(1):
            await pod.app.drain()
        assert (stuck.closed_with, stuck.unread) == (4201, [{}])


async def test_hurrying_sends_away_whoever_is_left(database_url: str) -> None:
    """Then the drain is over, too."""
    async with world(database_url, drain_s=20, drain_per_second=1) as pod:
        sockets = await crowd(pod, 20)
        async with asyncio.timeout(5), asyncio.TaskGroup() as group:
            group.create_task(pod.app.drain())
            await asyncio.sleep(0.05)
            pod.app.hurry()
        assert {s.closed_with for s in sockets} == {4201}
        assert [len(socket.read()) for socket in sockets] == [1] * 20


async def test_who_leaves_of_himself_is_not_waited_for(database_url: str) -> None:
    async with world(database_url, drain_s=20, drain_per_second=1) as pod:
        sockets = await crowd(pod, 20)
        async with asyncio.timeout(5), asyncio.TaskGroup() as group:
            group.create_task(pod.app.drain())
            await asyncio.sleep(0.05)
            for socket in sockets:
                socket.leave()


async def test_signing_in_is_interrupted(database_url: str) -> None:
    """Who is on the way in when it begins is told, and so is who comes later."""
    async with world(database_url) as pod:
        entered = asyncio.Event()

        async def sign_in() -> str:
            try:
                async with pod.services.drain.entering():
                    entered.set()
                    await asyncio.Event().wait()
            except ChatError as error:
                return error.code
            return "in"

        async with asyncio.TaskGroup() as group:
            signing_in = group.create_task(sign_in())
            await entered.wait()
            await pod.app.drain()
        assert signing_in.result() is Code.DRAINING
        assert await sign_in() is Code.DRAINING


async def test_signing_in_keeps_its_own_deadline(database_url: str) -> None:
    """A timeout inside is no drain."""
    async with world(database_url) as pod:
        with pytest.raises(TimeoutError):
            async with pod.services.drain.entering(), asyncio.timeout(0):
                await asyncio.sleep(1)
        async with pod.services.drain.entering():
            pass  # and who is in has nothing to fear
        assert not pod.services.drain.begun


async def test_who_is_sent_back_for_another_epoch_goes_in_its_slot_too(database_url: str) -> None:
    """All pods see a new epoch at the same time: all sockets at once would be a storm. The pod
    stays ready, and who comes meanwhile stays."""
    async with world(database_url, drain_s=1, drain_per_second=1, head_check_ms=600_000) as pod:
        sockets = await crowd(pod, 40)
        user = await pod.person()
        channel = await pod.channel(user)
        follower = pod.connect(user)
        await follower.sub({channel: None})
        async with pod.services.database.connection() as connection:
            now = (await epoch.renew(connection)).now
        pod.services.hub.rooms.look_soon()
        told = await follower.until(lambda events: any(e["t"] == "reset" for e in events))
        assert told[0] == {"t": "reset", "ch": channel, "head": 0, "epoch": now}
        await asyncio.sleep(0.1)
        assert any(s.closed_with is None for s in sockets), "all at once is a storm"
        async with pod.services.drain.entering():
            newcomer = pod.connect(user)
        assert not pod.services.drain.begun
        everybody = [*sockets, follower]
        assert await ends(everybody) != list(range(41))
        assert {s.closed_with for s in everybody} == {4201}
        assert [e["t"] for e in sockets[0].read()] == ["bye"]
        await asyncio.sleep(0.05)
        assert newcomer.closed_with is None


@pytest.mark.parametrize(("per_second", "count"), [(1, 1), (1000, 0)])
async def test_a_window_that_is_too_short_is_counted(
    database_url: str, per_second: int, count: int
):
    """Once, as `drain_s`: three sockets fit into none, or into one long enough."""
    async with world(database_url, drain_s=1 - count, drain_per_second=per_second) as pod:
        await crowd(pod, 3)
        await pod.services.drain.run()
        assert pod.services.reached.counts["drain_s"] == count
