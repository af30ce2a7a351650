"""The writer: group commit, idempotency and faults, on a real PostgreSQL."""

import asyncio
import time
from collections.abc import AsyncIterator
from urllib.parse import urlsplit, urlunsplit

import asyncpg
import pytest

from rtchat.batch import Op, Write
from rtchat.errors import ChatError, Code
from rtchat.store.log import LogWriter
from tests.faults.proxy import FaultProxy
from tests.world import World, world


@pytest.fixture(scope="module")
def database_url(module_database_url: str) -> str:
    """One database for all: each test makes people and channels of its own."""
    return module_database_url


@pytest.fixture
async def pod(database_url: str) -> AsyncIterator[World]:
    async with world(database_url, write_timeout_ms=3000, lock_wait_ms=500) as w:
        yield w


class Sends:
    """Messages handed to a writer, and the order of what came back."""

    def __init__(self, pod: World) -> None:
        self._pod = pod
        self.writes: list[Write] = []
        self.answered: list[Write] = []

    def submit(
        self, user: int, channel: int, content: str, nonce: str | None = None
    ) -> "asyncio.Future[Write]":
        outcome: asyncio.Future[Write] = asyncio.get_running_loop().create_future()

        def done(writes: list[Write]) -> None:
            self.answered += writes
            outcome.set_result(writes[0])

        number = len(self.writes)
        write = Write(
            Op.SEND, channel, user, nonce or f"n{number}", done, given=nonce is not None,
            content=content,
        )  # fmt: skip
        self.writes.append(write)
        assert self._pod.writer is not None
        self._pod.writer.submit(write)
        return outcome


@pytest.fixture
def sends(pod: World) -> Sends:
    return Sends(pod)


async def test_writes_of_one_turn_are_numbered_in_order(pod: World, sends: Sends) -> None:
    """What one connection sends to one channel is numbered in the order of sending."""
    user = await pod.person()
    channel = await pod.channel(user)
    written = [await f for f in [sends.submit(user, channel, f"m{i}") for i in range(1200)]]
    assert [w.seq for w in written] == list(range(1, 1201))
    assert await pod.log(channel) == [(i + 1, f"m{i}") for i in range(1200)]


async def test_writes_that_wait_together_are_committed_together(pod: World, sends: Sends) -> None:
    """Group commit: a thousand writes in a few transactions, told by their common time stamps."""
    user = await pod.person()
    channel = await pod.channel(user)
    for outcome in [sends.submit(user, channel, "x") for _ in range(1000)]:
        await outcome
    batches = {w.ts for w in sends.answered}
    assert len(batches) <= 5


async def test_an_ack_comes_before_the_delivery(pod: World, sends: Sends) -> None:
    """On the sending connection the answer comes before the message itself."""
    user = await pod.person()
    channel = await pod.channel(user)
    socket = pod.connect(user)
    await socket.sub({channel: None})
    seen_at_ack: list[int] = []
    outcome = asyncio.get_running_loop().create_future()

    def done(writes: list[Write]) -> None:
        seen_at_ack.append(len([e for e in socket.unread if e.get("seq") == writes[0].seq]))
        outcome.set_result(None)

    assert pod.writer is not None
    pod.writer.submit(Write(Op.SEND, channel, user, "n", done, content="x"))
    await outcome
    assert seen_at_ack == [0]
    assert await socket.seqs(1) == [1]


async def test_a_bad_entry_fails_alone(pod: World, sends: Sends) -> None:
    """A value that the database refuses costs its own write only (validation would stop it)."""
    user = await pod.person()
    channel = await pod.channel(user)
    contents = [f"m{i}" for i in range(20)]
    contents[7] = "NUL \0 inside"
    written = [await f for f in [sends.submit(user, channel, c) for c in contents]]
    assert [w.error.code for w in written if w.error] == [Code.INTERNAL]
    assert written[7].error is not None
    good = [c for i, c in enumerate(contents) if i != 7]
    assert await pod.log(channel) == list(enumerate(good, 1))
    again = pod.services.writer.measures.again
    assert again["divided"] > 0
    assert again["cannot_store"] == 0, "the database could; one entry could not be"


async def test_a_place_that_is_broken_costs_the_others_nothing(pod: World, sends: Sends) -> None:
    """Corrupted pages, unreadable blocks: what touches them is refused, the rest is stored."""
    user = await pod.person()
    channel = await pod.channel(user)
    database = pod.services.database
    for number, state in enumerate(("XX002", "58030")):
        place = f"broken_{number}"
        await database.execute(
            f"CREATE FUNCTION {place}() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN"
            f" RAISE EXCEPTION 'unreadable' USING ERRCODE = '{state}'; END $$;"
            f"CREATE TRIGGER {place} BEFORE INSERT ON messages FOR EACH ROW"
            f" WHEN (NEW.content = '{place}') EXECUTE FUNCTION {place}()"
        )
        try:
            contents = ["fine"] * 3 + [place] + ["fine"] * 6
            written = [await f for f in [sends.submit(user, channel, c) for c in contents]]
        finally:
            await database.execute(f"DROP FUNCTION {place} CASCADE")
        refused = [w for w in written if w.error]
        assert [(w.content, w.error.code) for w in refused if w.error] == [
            (place, Code.UNAVAILABLE)
        ]
    assert [seq for seq, _ in await pod.log(channel)] == list(range(1, 19))


async def test_a_known_nonce_is_answered_with_its_first_entry(pod: World, sends: Sends) -> None:
    """A retry finds its first copy, in the same batch and in a later one."""
    user = await pod.person()
    channel = await pod.channel(user)
    first, again = [
        await f for f in [sends.submit(user, channel, "x", nonce="once") for _ in range(2)]
    ]
    later = await sends.submit(user, channel, "x", nonce="once")
    assert [(w.seq, w.ts, w.dup) for w in (first, again, later)] == [
        (1, first.ts, False),
        (1, first.ts, True),
        (1, first.ts, True),
    ]
    other = await sends.submit(user, channel, "y", nonce="once")
    assert other.error is not None
    assert other.error.code is Code.NONCE_CONFLICT
    assert await pod.log(channel) == [(1, "x")]


async def test_a_locked_channel_delays_itself_only(
    pod: World, sends: Sends, database_url: str
) -> None:
    """While another pod holds a channel, the lane's others go on; it follows, in order."""
    user = await pod.person()
    held = await pod.channel(user)
    free = next(c for c in [await pod.channel(user) for _ in range(2)] if c % 2 == held % 2)
    other = await asyncpg.connect(database_url)
    transaction = other.transaction()
    await transaction.start()
    await other.execute("SELECT 1 FROM channels WHERE id = $1 FOR NO KEY UPDATE", held)
    waiting = [sends.submit(user, held, f"h{i}") for i in range(3)]
    try:
        for i in range(20):
            assert (await sends.submit(user, free, f"f{i}")).seq == i + 1
        assert not any(f.done() for f in waiting)
    finally:
        await transaction.rollback()
        await other.close()
    assert [(await f).seq for f in waiting] == [1, 2, 3]


async def test_a_channel_locked_for_too_long_is_answered_unavailable(
    pod: World, sends: Sends, database_url: str
) -> None:
    """No write waits without a bound."""
    user = await pod.person()
    channel = await pod.channel(user)
    other = await asyncpg.connect(database_url)
    transaction = other.transaction()
    await transaction.start()
    await other.execute("SELECT 1 FROM channels WHERE id = $1 FOR NO KEY UPDATE", channel)
    try:
        write = await sends.submit(user, channel, "late")
    finally:
        await transaction.rollback()
        await other.close()
    assert write.error is not None
    assert write.error.code is Code.UNAVAILABLE
    assert (await sends.submit(user, channel, "next")).seq == 1


async def test_a_killed_backend_costs_nothing(pod: World, sends: Sends, database_url: str) -> None:
    """The writer's connections are cut again and again: every write is stored once."""
    user = await pod.person()
    channel = await pod.channel(user)
    other = await asyncpg.connect(database_url)
    outcomes = []
    for i in range(300):
        outcomes.append(sends.submit(user, channel, f"m{i}"))
        if i % 60 == 30:
            await other.execute(
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
                " WHERE application_name = 'rtchat writer' AND datname = current_database()"
            )
        await asyncio.sleep(0.001)
    assert [(await f).error for f in outcomes] == [None] * 300
    assert await pod.log(channel) == [(i + 1, f"m{i}") for i in range(300)]
    await other.close()


async def test_too_many_waiting_writes_are_refused_at_once(database_url: str) -> None:
    """A full queue answers `overloaded` with a time to wait, and what it has it keeps."""
    async with world(database_url, queue_max_rows=10) as pod:
        user = await pod.person()
        channel = await pod.channel(user)
        sends = Sends(pod)
        accepted = [sends.submit(user, channel, f"m{i}") for i in range(10)]
        with pytest.raises(ChatError) as refused:
            sends.submit(user, channel, "one too many")
        assert refused.value.code is Code.OVERLOADED
        assert refused.value.after_ms
        assert [(await f).seq for f in accepted] == list(range(1, 11))
        assert (await sends.submit(user, channel, "later")).seq == 11


async def test_drain_answers_what_was_accepted(pod: World, sends: Sends) -> None:
    """Stopping loses nothing that was accepted, and accepts nothing more."""
    user = await pod.person()
    channel = await pod.channel(user)
    accepted = [sends.submit(user, channel, f"m{i}") for i in range(50)]
    assert pod.writer is not None
    await pod.writer.drain(5)
    assert all(f.done() for f in accepted)
    with pytest.raises(ChatError) as refused:
        sends.submit(user, channel, "too late")
    assert refused.value.code is Code.DRAINING


async def test_two_pods_share_a_channel_without_holes(database_url: str) -> None:
    """However many pods write, a channel's seqs are 1, 2, 3 … and each is given once."""
    async with world(database_url) as one, world(database_url) as two:
        user = await one.person()
        channel = await one.channel(user)
        senders = [Sends(one), Sends(two)]
        outcomes = []
        for i in range(200):
            outcomes.append(senders[i % 2].submit(user, channel, f"m{i}", nonce=f"n{i}"))
            await asyncio.sleep(0.0005)
        seqs = [(await f).seq for f in outcomes]
        assert sorted(s for s in seqs if s) == list(range(1, 201))
        for start in (0, 1):  # each pod's own, in the order of sending
            own = seqs[start::2]
            assert own == sorted(s for s in own if s)


async def test_a_lost_answer_to_commit_is_resolved_by_its_nonce(database_url: str) -> None:
    """The row is stored, the answer is cut: it is found again, acked once, stored once."""
    async with FaultProxy(database_url) as proxy, world(proxy.url, lanes=1) as pod:
        user = await pod.person()
        channel = await pod.channel(user)
        sends = Sends(pod)
        assert (await sends.submit(user, channel, "before")).seq == 1
        proxy.drop_reply_to(b"COMMIT")
        mine = sends.submit(user, channel, "mine")
        given = sends.submit(user, channel, "given", nonce="given")
        results = [await mine, await given]
        assert [w.error for w in results] == [None, None]
        assert proxy.struck == 1
        assert [w.seq for w in results] == [2, 3]
        assert await pod.log(channel) == [(1, "before"), (2, "mine"), (3, "given")]


async def test_a_dead_link_is_waited_for_once(database_url: str) -> None:
    """What timed out on it is not followed by a ROLLBACK, which would time out as well."""
    async with FaultProxy(database_url) as proxy, world(proxy.url, query_timeout_ms=1500) as pod:
        user = await pod.person()
        channel = await pod.channel(user)
        log = LogWriter(pod.services.config, await pod.services.database.dedicated())
        proxy.swallows = True
        began = time.monotonic()
        write = Write(Op.SEND, channel, user, "n", lambda _: None, content="x")
        with pytest.raises(TimeoutError):
            await log.store([write], wait=False)
        assert time.monotonic() - began < 2.8
        assert not log.usable


async def test_a_lane_outlives_a_refusal_to_connect(
    database_url: str, pod: World, sends: Sends
) -> None:
    """Whatever the database says when the writer comes back, it tries on, and answers in time."""
    user = await pod.person()
    channel = await pod.channel(user)
    assert (await sends.submit(user, channel, "before")).seq == 1
    name = urlsplit(database_url).path.removeprefix("/")
    admin = await asyncpg.connect(urlunsplit(urlsplit(database_url)._replace(path="/postgres")))
    await admin.execute(f'ALTER DATABASE "{name}" ALLOW_CONNECTIONS false')  # 55000, for all
    try:
        await admin.execute(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
            " WHERE application_name = 'rtchat writer' AND datname = $1",
            name,
        )
        late = await sends.submit(user, channel, "refused")
        assert late.error is not None
        assert late.error.code is Code.UNAVAILABLE
    finally:
        await admin.execute(f'ALTER DATABASE "{name}" ALLOW_CONNECTIONS true')
        await admin.close()
    assert (await sends.submit(user, channel, "after")).seq == 2


async def test_joining_a_channel_that_is_deleted_leaves_nobody(pod: World) -> None:
    """In one batch: the channel goes with all its members, and can be purged."""
    owner, guest = await pod.person(), await pod.person()
    channel = await pod.channel(owner)
    done: list[Write] = []
    assert pod.writer is not None
    pod.writer.submit(Write(Op.JOIN, channel, guest, "1", done.extend, target=guest))
    pod.writer.submit(Write(Op.DROP, channel, owner, "2", done.extend))
    while len(done) < 2:
        await asyncio.sleep(0.005)
    assert [w.error for w in done] == [None, None]
    assert await pod.services.channels.member_ids(channel) == []
    while await pod.services.channels.purge_dropped(-1, 1000):
        pass
    assert await pod.log(channel) == []


async def test_only_what_was_stored_before_is_told_as_known(pod: World, sends: Sends) -> None:
    """A fresh nonce is no known one: its envelope leaves anyway."""
    user = await pod.person()
    channel = await pod.channel(user)
    first = await sends.submit(user, channel, "x", nonce="n")
    again = await sends.submit(user, channel, "x", nonce="n")
    assert [first.known, again.known] == [False, True]


async def test_a_slow_batch_is_answered_in_time_and_stored_all_the_same(database_url: str) -> None:
    """`unavailable`, once, while its transaction goes on; what came of it the retry tells."""
    link = FaultProxy(database_url)
    await link.start()
    async with world(link.url, write_timeout_ms=600, lock_wait_ms=200, lanes=1) as pod:
        sends = Sends(pod)
        user = await pod.person()
        channel = await pod.channel(user)
        await sends.submit(user, channel, "first")  # its connection stands
        link.delay_s = 0.2  # 0.4 s a request, of which a batch has five
        slow = sends.submit(user, channel, "x", nonce="n")
        await asyncio.sleep(0.05)
        waits = sends.submit(user, channel, "y", nonce="m")
        for outcome in (slow, waits):
            told = await outcome
            assert told.error is not None
            assert told.error.code is Code.UNAVAILABLE
        assert await pod.log(channel) == [(1, "first")]
        link.delay_s = 0.0
        again = await sends.submit(user, channel, "x", nonce="n")
        assert (again.seq, again.dup, again.error) == (2, True, None)
        assert await pod.log(channel) == [(1, "first"), (2, "x")]
        assert len(sends.answered) == 4
        measures = pod.services.writer.measures
        assert (measures.acks, measures.duplicates, measures.refusals) == (2, 1, 2), "as was told"
    await link.close()
