"""The registry of sockets: deadlines, and what pods tell each other of users and sessions."""

import asyncio
import time
from collections.abc import AsyncIterator

import pytest

from rtchat import notice, protocol
from rtchat.auth.client import UNKNOWN
from rtchat.batch import Op
from rtchat.bus.memory import Exchange, MemoryBus
from rtchat.errors import ChatError, Code
from rtchat.notice import Removed, SessionsEnded
from tests.world import World, world


@pytest.fixture
async def pods(database_url: str) -> AsyncIterator[tuple[World, World]]:
    exchange = Exchange()
    async with (
        world(database_url, MemoryBus(exchange)) as one,
        world(database_url, MemoryBus(exchange)) as two,
    ):
        yield one, two


async def test_expiry_is_announced_once_then_closes(database_url: str) -> None:
    """`expiring` comes `expiring_s` before the end with the time that is left; then 4202."""
    async with world(database_url, expiring_s=60) as pod:
        socket = pod.connect(await pod.person())
        socket.connection.expires = 1000
        connections = pod.services.connections
        connections.sweep(939, 0)
        assert socket.read() == []
        connections.sweep(941.5, 0)
        connections.sweep(950, 0)
        assert socket.read() == [{"t": "expiring", "in": 58}]
        counts = pod.services.reached.counts
        assert counts["access_token_s"] == 0
        connections.sweep(1000, 0)
        connections.sweep(1001, 0)
        assert socket.closed_with == 4202
        assert len(connections) == 0
        assert counts["access_token_s"] == 1


async def test_a_renewed_socket_is_announced_again(database_url: str) -> None:
    """Renewal starts the clock anew."""
    async with world(database_url) as pod:
        socket = pod.connect(await pod.person())
        socket.connection.expires = 1000
        pod.services.connections.sweep(990, 0)
        socket.connection.expires, socket.connection.warned = 2000, False
        pod.services.connections.sweep(1500, 0)
        pod.services.connections.sweep(1990, 0)
        assert [e["in"] for e in socket.read()] == [10, 10]
        assert socket.closed_with is None


async def test_short_tokens_are_announced_at_half_their_life(database_url: str) -> None:
    """Else each new one would be announced as soon as it is shown."""
    async with world(database_url, expiring_s=60, access_token_s=40) as pod:
        socket = pod.connect(await pod.person())
        socket.connection.expires = 1000
        pod.services.connections.sweep(979, 0)
        assert socket.read() == []
        pod.services.connections.sweep(980, 0)
        assert socket.read() == [{"t": "expiring", "in": 20}]


async def test_what_was_accepted_is_answered_before_the_end(database_url: str) -> None:
    """But not waited for without a bound."""
    async with world(database_url) as pod:
        socket = pod.connect(await pod.person())
        socket.connection.expires = 1000
        socket.connection.unanswered = 1
        pod.services.connections.sweep(1001, 0)
        assert socket.closed_with is None
        pod.services.connections.sweep(1002.1, 0)
        assert socket.closed_with == 4202


async def test_a_clock_that_is_set_changes_nobodys_time(database_url: str) -> None:
    """Neither forward, where all would end at once, nor back, where none would."""
    async with world(database_url) as pod:
        socket = pod.connect(await pod.person())
        for step in (3600, -3600):
            socket.connection.expires, socket.connection.warned = 1000, True
            pod.services.connections.clock_stepped(step)
            pod.services.connections.sweep(999 + step, 0)
            assert socket.closed_with is None
        pod.services.connections.sweep(1001 - 3600, 0)
        assert socket.closed_with == 4202


async def test_a_clock_that_is_set_gives_nobody_more_than_a_new_token(database_url: str) -> None:
    """It was slow, or the machine was suspended for days: those days were not left."""
    async with world(database_url, access_token_s=900, token_leeway_s=30) as pod:
        socket = pod.connect(await pod.person())
        socket.connection.expires = int(time.time()) + 800
        pod.services.connections.clock_stepped(2 * 86_400)
        assert socket.connection.expires <= time.time() + 930
        pod.services.connections.sweep(time.time() + 931, 0)
        assert socket.closed_with == 4202


async def test_one_sockets_trouble_saves_no_other_from_its_end(
    database_url: str, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """A file descriptor that is gone, say: it is logged, and all the others are looked at."""
    async with world(database_url) as pod:
        user = await pod.person()
        broken, *others = [pod.connect(user) for _ in range(10)]

        def taken() -> int:
            raise OSError(9, "Bad file descriptor")

        monkeypatch.setattr(broken, "taken", taken)
        broken.connection.paused_at = 1.0
        for socket in others:
            socket.connection.expires = 1000
        pod.services.connections.sweep(1001, 2)
        assert [socket.closed_with for socket in others] == [4202] * 9
        assert "sweeping a socket failed" in [r.getMessage() for r in caplog.records]
        assert broken.closed_with is None


# --- how many


async def test_a_user_has_room_for_so_many_sockets(database_url: str) -> None:
    """`connections_per_user`; other users are not concerned, and who leaves makes room."""
    async with world(database_url, connections_per_user=2) as pod:
        connections = pod.services.connections
        user, other = await pod.person(), await pod.person()
        sockets = [pod.connect(user) for _ in range(2)]
        with pytest.raises(ChatError) as caught:
            connections.require_room(user)
        assert caught.value.code is Code.OVERLOADED
        assert caught.value.after_ms
        connections.require_room(other)
        connections.require_room()
        sockets[0].leave()
        connections.require_room(user)


async def test_guests_are_counted_while_they_are_guests(database_url: str) -> None:
    """`guests_max` for those who have not signed in, `connections_max` for all together."""
    async with world(database_url, guests_max=1, connections_max=2) as pod:
        connections, user = pod.services.connections, await pod.person()
        connections.require_room()
        with connections.guest():
            with pytest.raises(ChatError, match="not signed in"):
                connections.require_room()
            pod.connect(user)
            with pytest.raises(ChatError, match="No more connections"):
                connections.require_room(user)
        connections.require_room()


async def test_an_address_has_room_for_so_many_sockets(database_url: str) -> None:
    """`sockets_per_address`, where proxies are trusted; a /64 of IPv6 is one address."""
    async with world(database_url, trusted_proxies="10.0.0.1", sockets_per_address=2) as pod:
        connections = pod.services.connections
        connections.enter("2001:db8::1")
        connections.enter("2001:db8::2")
        with pytest.raises(ChatError) as caught:
            connections.enter("2001:db8::3")
        assert caught.value.code is Code.OVERLOADED
        assert caught.value.after_ms
        connections.enter("203.0.113.5")
        connections.leave("2001:db8::1")
        connections.enter("2001:db8::3")


async def test_without_trusted_proxies_no_address_is_counted(database_url: str) -> None:
    """All sockets may come from one proxy that nobody told us of."""
    async with world(database_url, sockets_per_address=1) as pod:
        for _ in range(3):
            pod.services.connections.enter("203.0.113.5")
        assert not pod.services.connections._by_address


async def test_0_switches_limits_off(database_url: str) -> None:
    async with world(database_url, guests_max=0, connections_max=0, connections_per_user=0) as pod:
        connections, user = pod.services.connections, await pod.person()
        for _ in range(200):
            pod.connect(user)
        with connections.guest():
            connections.require_room()
            connections.require_room(user)


# --- slow clients


async def test_a_stuck_client_is_closed_at_the_deadline(database_url: str) -> None:
    """Counted from when it stopped taking."""
    async with world(database_url, slow_deadline_ms=15_000) as pod:
        socket = pod.connect(await pod.person(), high=10)
        socket.write(protocol.frame({"x": "x" * 100_000}))
        began = socket.connection.paused_at
        assert began is not None
        for after in (1.0, 14.9):
            pod.services.connections.sweep(0, began + after)
        assert socket.closed_with is None
        pod.services.connections.sweep(0, began + 15.1)
        assert socket.closed_with == 4102


@pytest.mark.parametrize(
    ("step", "every_s", "lives"),
    [
        (1100, 1, True),
        (16_400, 15, True),
        (65_536, 14, True),
        (65_536, 31, False),  # so long a silence is too long, whoever is silent
        (1000, 1, False),
        (8192, 15, False),
    ],
)
async def test_who_takes_a_little_all_the_time_is_not_stuck(
    database_url: str, step: int, every_s: int, lives: bool
) -> None:
    """A quarter of `write_low_bytes` a deadline, also in the steps of a window of 64 KB."""
    async with world(database_url, slow_deadline_ms=15_000, write_low_bytes=65_536) as pod:
        socket = pod.connect(await pod.person(), high=10)
        socket.write(protocol.frame({"x": "x" * 2_000_000}))
        began = socket.connection.paused_at
        assert began is not None
        pod.services.connections.sweep(0, began)
        for second in range(1, 900):
            if second % every_s == 0:
                socket.take(step)
            pod.services.connections.sweep(0, began + second)
        assert (socket.closed_with is None) is lives


async def test_who_took_much_may_be_silent_for_two_deadlines(database_url: str) -> None:
    """It may all lie unread in its kernel; however much, that is all."""
    async with world(database_url, slow_deadline_ms=15_000) as pod:
        socket = pod.connect(await pod.person(), high=10)
        socket.write(protocol.frame({"x": "x" * 2_000_000}))
        began = socket.connection.paused_at
        assert began is not None
        pod.services.connections.sweep(0, began)
        socket.take(1_000_000)
        for after in (1, 15.9, 30.9):
            pod.services.connections.sweep(0, began + after)
        assert socket.closed_with is None
        pod.services.connections.sweep(0, began + 31.1)
        assert socket.closed_with == 4102


async def test_what_is_written_meanwhile_is_no_progress(database_url: str) -> None:
    """The answers to its last commands come while it is paused."""
    async with world(database_url, slow_deadline_ms=15_000, write_low_bytes=65_536) as pod:
        socket = pod.connect(await pod.person(), high=10)
        socket.write(protocol.frame({"x": "x" * 100_000}))
        began = socket.connection.paused_at
        assert began is not None
        for step in range(10):
            socket.write(protocol.frame({"x": "x" * 3000}))
            pod.services.connections.sweep(0, began + step)
        pod.services.connections.sweep(0, began + 15.1)
        assert socket.closed_with == 4102


# --- sessions


async def test_an_ended_session_closes_its_sockets_on_every_pod(
    pods: tuple[World, World],
) -> None:
    """4004 there, and nothing to other sessions."""
    one, two = pods
    user = await one.person()
    gone, stays = [p.connect(user) for p in pods], two.connect(user)
    two.services.connections.discard(stays.connection)
    stays.connection.session_id = 2
    two.services.connections.add(stays.connection)
    one.services.connections.announce_ended([1])
    while gone[1].closed_with is None:
        await asyncio.sleep(0.01)
    assert [s.closed_with for s in gone] == [4004, 4004]
    assert stays.closed_with is None


async def test_a_session_that_ended_unheard_is_found_in_the_database(
    database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Logout on a pod whose word is lost holds here too, within the poll."""
    monkeypatch.setattr("rtchat.auth.sessions.POLL_S", 0.1)
    async with world(database_url) as pod:
        session = await pod.services.accounts.register(
            "ann@example.org", "correct horse", None, UNKNOWN
        )
        identity = pod.services.sessions.authenticate(session.access_token)
        socket = pod.connect(identity.user_id)
        pod.services.connections.discard(socket.connection)
        socket.connection.session_id = identity.session_id
        pod.services.connections.add(socket.connection)
        await pod.services.database.execute(
            "UPDATE sessions SET ended_at = now() WHERE id = $1", identity.session_id
        )
        began = time.monotonic()
        while socket.closed_with is None:
            await asyncio.sleep(0.02)
        assert time.monotonic() - began < 2
        assert socket.closed_with == 4004
        with pytest.raises(Exception, match="session has ended"):
            pod.services.sessions.authenticate(session.access_token)


@pytest.mark.parametrize("first", ["notice", "room"])
async def test_removed_is_told_once(database_url: str, first: str) -> None:
    """Whether the room ends the subscription first or the notice comes first."""
    async with world(database_url) as pod:
        owner, member = await pod.person(), await pod.person()
        channel = await pod.channel(owner, member)
        socket = pod.connect(member)
        await socket.sub({channel: None})
        told = notice.encode(Removed("another pod", channel, [member], 1, "removed"))
        if first == "notice":
            pod.services.connections.receive(told)
        # The entry alone, as it comes from the log or the bus; chat would send its notice too.
        await pod.services.chat._write(Op.REMOVE, channel, owner, target=member)
        if first == "room":
            pod.services.connections.receive(told)
        assert [e["t"] for e in socket.read()] == ["leave", "removed"]


async def test_garbage_on_the_control_topic_does_no_harm(database_url: str) -> None:
    """It is dropped, and the next notice is heard."""
    async with world(database_url) as pod:
        socket = pod.connect(await pod.person())
        for garbage in (b"", b"\xc1", b"garbage", notice.encode(SessionsEnded("x", [1]))[:-1]):
            pod.services.connections.receive(garbage)
        assert socket.closed_with is None
        pod.services.connections.receive(notice.encode(SessionsEnded("another pod", [1])))
        assert socket.closed_with == 4004
