"""Marks of reading on a real database: stored together, never back, in nobody's way."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence

import msgspec
import pytest

from rtchat.config import Config
from rtchat.ephemeral.marks import TRIES, Mark, Marks
from rtchat.errors import ChatError, Code
from rtchat.store.channels import Stored
from tests.world import World, world

Hold = Callable[[], Awaitable[None]]


@pytest.fixture
async def pod(module_database_url: str) -> AsyncIterator[World]:
    async with world(module_database_url) as w:
        yield w


def marks_of(pod: World, **settings: int) -> tuple[Marks, list[Mark]]:
    """Marks, and those that were stored."""
    stored: list[Mark] = []
    config = msgspec.structs.replace(Config(), **{"read_flush_ms": 10, **settings})
    return Marks(config, pod.services.channels, stored.extend), stored


async def empty(marks: Marks) -> None:
    async with asyncio.timeout(20):
        while len(marks):
            await asyncio.sleep(0.01)


async def read_seq(pod: World, user: int, channel: int) -> int | None:
    view = await pod.services.channels.view(user, channel)
    assert view is not None
    return view.read_seq


async def test_a_mark_goes_forward_and_to_the_head_at_most(pod: World) -> None:
    """Answered in the order of the question: seen, and where it stands if it moved."""
    ann, bob = await pod.person(), await pod.person()
    one, two = await pod.channel(ann, bob), await pod.channel(ann)
    await pod.send(ann, one, "a", "b", "c")
    mark = pod.services.channels.mark_read
    asked = sorted([(ann, one, 2), (bob, one, 99), (bob, two, 1)], key=lambda m: (m[1], m[0]))
    found = dict(zip(asked, await mark(asked), strict=True))
    assert found[ann, one, 2] == Stored(seen=True, read_seq=2)
    assert found[bob, one, 99] == Stored(seen=True, read_seq=3)
    assert found[bob, two, 1] == Stored(seen=False, read_seq=None), "no member"
    assert await mark([(ann, one, 1)]) == [Stored(seen=True, read_seq=None)]
    assert await read_seq(pod, ann, one) == 2


async def test_of_many_marks_the_furthest_is_stored_and_told_once(pod: World) -> None:
    """Also where they come in another order."""
    ann = await pod.person()
    channel = await pod.channel(ann)
    await pod.send(ann, channel, "a", "b", "c")
    marks, stored = marks_of(pod)
    for seq in (1, 3, 2):
        marks.note(Mark(ann, channel, seq, 7))
    await empty(marks)
    assert stored == [Mark(ann, channel, 3, 7)]
    await marks.close()


async def test_who_asked_for_more_than_there_is_hears_where_the_mark_is(pod: World) -> None:
    """So it has no connection that knows it already."""
    ann = await pod.person()
    channel = await pod.channel(ann)
    await pod.send(ann, channel, "a")
    marks, stored = marks_of(pod)
    marks.note(Mark(ann, channel, 5, 7))
    await empty(marks)
    assert stored == [Mark(ann, channel, 1, None)]
    await marks.close()


async def test_marks_of_nobody_are_given_up(pod: World) -> None:
    """Who is no member any more, or never was."""
    ann = await pod.person()
    channel = await pod.channel(ann)
    marks, stored = marks_of(pod)
    marks.note(Mark(2**50, channel, 1, 7))
    await empty(marks)
    assert stored == []
    await marks.close()


async def test_a_row_that_is_locked_is_passed_over_and_tried_again(pod: World) -> None:
    """Its writer waits for nothing of ours, and the other marks wait for nobody."""
    ann, bob = await pod.person(), await pod.person()
    channel = await pod.channel(ann, bob)
    await pod.send(ann, channel, "a")
    marks, stored = marks_of(pod, read_flush_ms=50)
    async with pod.services.database.transaction() as held:
        await held.execute("SELECT FROM members WHERE user_id = $1 FOR UPDATE", ann)
        for user in (ann, bob):
            marks.note(Mark(user, channel, 1, 7))
        async with asyncio.timeout(20):
            while not stored:
                await asyncio.sleep(0.01)
        assert stored == [Mark(bob, channel, 1, 7)]
        assert len(marks) == 1
        # As the writer does: it gets the row of the mark that was stored at once.
        await held.execute("SELECT FROM members WHERE user_id = $1 FOR UPDATE NOWAIT", bob)
    await empty(marks)
    assert stored[1:] == [Mark(ann, channel, 1, 7)]
    assert TRIES * 0.05 > 0.5, "longer than a batch of the writer's"
    await marks.close()


async def test_locked_rows_are_tried_once_a_round(
    pod: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also where they are more than a batch: else all tries were over before the lock was."""
    ann, bob = await pod.person(), await pod.person()
    channel = await pod.channel(ann, bob)
    await pod.send(ann, channel, "a")
    monkeypatch.setattr("rtchat.ephemeral.marks.BATCH", 1)
    marks, stored = marks_of(pod, read_flush_ms=60_000)
    for user in (ann, bob):
        marks.note(Mark(user, channel, 1, 7))
    async with pod.services.database.transaction() as held:
        await held.execute("SELECT FROM members WHERE channel_id = $1 FOR UPDATE", channel)
        await marks._flush()
        assert [waiting.tries for waiting in marks._waiting.values()] == [1, 1]
    await marks.close()
    assert {mark.user for mark in stored} == {ann, bob}


async def test_a_row_that_is_locked_at_the_end_is_tried_again(
    pod: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """For a moment, as long as the pod has it."""
    ann = await pod.person()
    channel = await pod.channel(ann)
    await pod.send(ann, channel, "a")
    monkeypatch.setattr("rtchat.ephemeral.marks.CLOSE_S", 20)
    marks, _ = marks_of(pod, read_flush_ms=60_000)
    locked, tried = asyncio.Event(), asyncio.Event()
    store = pod.services.channels.mark_read

    async def telling(asked: Sequence[tuple[int, int, int]]) -> list[Stored]:
        found = await store(asked)
        tried.set()
        return found

    monkeypatch.setattr(pod.services.channels, "mark_read", telling)
    marks.note(Mark(ann, channel, 1, 7))

    async def hold() -> None:
        async with pod.services.database.transaction() as held:
            await held.execute("SELECT FROM members WHERE channel_id = $1 FOR UPDATE", channel)
            locked.set()
            await tried.wait()

    async def close() -> None:
        await locked.wait()
        await marks.close()

    async with asyncio.TaskGroup() as both:
        both.create_task(hold())
        both.create_task(close())
    assert await read_seq(pod, ann, channel) == 1


async def test_beyond_the_bound_the_answer_is_overloaded(pod: World) -> None:
    """A mark that waits already may still move."""
    marks, _ = marks_of(pod, read_marks_max=1, read_flush_ms=60_000)
    marks.note(Mark(1, 1, 1, 7))
    marks.note(Mark(1, 1, 2, 7))
    with pytest.raises(ChatError) as refused:
        marks.note(Mark(1, 2, 1, 7))
    assert (refused.value.code, refused.value.limits) == (Code.OVERLOADED, ("read_marks_max",))
    await marks.close()


async def test_the_last_marks_are_stored_at_the_end(pod: World) -> None:
    """However long the time between two batches."""
    ann = await pod.person()
    channel = await pod.channel(ann)
    await pod.send(ann, channel, "a")
    marks, _ = marks_of(pod, read_flush_ms=60_000)
    marks.note(Mark(ann, channel, 1, 7))
    await marks.close()
    assert await read_seq(pod, ann, channel) == 1


async def test_without_the_database_marks_wait(pod: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """And are stored when it is back."""
    ann = await pod.person()
    channel = await pod.channel(ann)
    await pod.send(ann, channel, "a")
    marks, stored = marks_of(pod)
    channels = pod.services.channels
    tried = asyncio.Event()

    async def away(_: object) -> list[Stored]:
        tried.set()
        raise ChatError(Code.UNAVAILABLE)

    with monkeypatch.context() as patch:
        patch.setattr(channels, "mark_read", away)
        marks.note(Mark(ann, channel, 1, 7))
        async with asyncio.timeout(20):
            await tried.wait()
    await empty(marks)
    assert stored == [Mark(ann, channel, 1, 7)]
    await marks.close()
