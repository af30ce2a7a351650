"""Background tasks end with their owner, and no failure goes unsaid."""

import asyncio
import contextlib
import gc
import logging
from collections.abc import AsyncIterator

import pytest

from rtchat.tasks import Tasks


@pytest.fixture
async def tasks() -> AsyncIterator[Tasks]:
    made = Tasks("the owner")
    yield made
    await made.close()
    assert len(made) == 0


async def test_a_task_gives_its_result(tasks: Tasks):
    async def work() -> int:
        return 5

    assert await tasks.start(work()) == 5


async def test_a_task_is_kept_until_it_ends(tasks: Tasks):
    """asyncio itself would let it be collected."""
    go_on, done = asyncio.Event(), asyncio.Event()

    async def work() -> None:
        await go_on.wait()
        done.set()

    tasks.start(work())
    assert len(tasks) == 1
    await asyncio.sleep(0)
    gc.collect()
    go_on.set()
    await done.wait()
    await asyncio.sleep(0)
    assert len(tasks) == 0


async def test_a_failure_is_logged_once_with_its_owner(
    tasks: Tasks, caplog: pytest.LogCaptureFixture
):
    async def work() -> None:
        raise LookupError("what happened")

    task = tasks.start(work())
    with pytest.raises(LookupError):
        await task
    await asyncio.sleep(0)
    (record,) = caplog.records
    assert (record.levelno, record.getMessage()) == (logging.ERROR, "task failed")
    assert vars(record)["owner"] == "the owner"
    assert vars(record)["task"].endswith("work")
    assert record.exc_info
    assert isinstance(record.exc_info[1], LookupError)


async def test_one_failure_does_not_end_the_others(tasks: Tasks, caplog: pytest.LogCaptureFixture):
    async def fail() -> None:
        raise LookupError

    async def wait() -> None:
        await asyncio.Event().wait()

    tasks.start(fail())
    other = tasks.start(wait())
    await asyncio.sleep(0.01)
    assert not other.done()
    assert len(caplog.records) == 1


async def test_closing_cancels_what_is_left_and_waits_for_it(caplog: pytest.LogCaptureFixture):
    tasks, steps = Tasks("owner"), []

    async def work() -> None:
        try:
            await asyncio.Event().wait()
        finally:
            await asyncio.sleep(0.01)
            steps.append("cleaned up")

    task = tasks.start(work())
    await asyncio.sleep(0)
    await tasks.close()
    assert steps == ["cleaned up"]
    assert task.cancelled()
    assert len(tasks) == 0
    assert caplog.records == []


async def test_a_failure_while_closing_is_logged_and_closing_goes_on(
    caplog: pytest.LogCaptureFixture,
):
    tasks = Tasks("owner")

    async def work() -> None:
        try:
            await asyncio.Event().wait()
        finally:
            raise LookupError

    tasks.start(work())
    await asyncio.sleep(0)
    await tasks.close()
    assert [record.getMessage() for record in caplog.records] == ["task failed"]


async def test_closing_is_bounded_and_names_what_does_not_end(
    caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
):
    """One stubborn task must not keep the process from its end."""
    monkeypatch.setattr("rtchat.tasks.CLOSE_S", 0.05)
    tasks, go_on = Tasks("owner"), asyncio.Event()

    async def stubborn() -> None:
        while not go_on.is_set():
            with contextlib.suppress(asyncio.CancelledError):
                await go_on.wait()

    task = tasks.start(stubborn())
    await asyncio.sleep(0)
    async with asyncio.timeout(5):
        await tasks.close()
    (record,) = caplog.records
    assert record.getMessage() == "tasks do not end"
    assert [name.rpartition(".")[2] for name in vars(record)["tasks"]] == ["stubborn"]
    go_on.set()
    await task


async def test_closing_nothing_is_nothing():
    tasks = Tasks("owner")
    await tasks.close()
    await tasks.close()
