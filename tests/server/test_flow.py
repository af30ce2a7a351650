"""One reader's events, and a gate for those who write."""

import asyncio

from rtchat.server.flow import Gate, Inbox
from rtchat.tasks import Tasks


async def test_events_come_out_in_order():
    inbox = Inbox()
    for event in ("one", "two"):
        inbox.put_nowait(event)
    assert [inbox.get_nowait(), inbox.get_nowait(), inbox.empty()] == ["one", "two", True]


async def test_an_event_wakes_whoever_waits():
    inbox = Inbox()
    arrival = inbox.arrival(asyncio.get_running_loop())
    inbox.put_nowait("one")
    inbox.put_nowait("two")  # two in a turn wake once
    await arrival
    assert inbox.get_nowait() == "one"


async def test_an_event_waits_for_a_reader_who_gave_up():
    inbox = Inbox()
    inbox.arrival(asyncio.get_running_loop()).cancel()
    inbox.put_nowait("one")
    assert inbox.get_nowait() == "one"


async def test_a_gate_is_open_at_first():
    gate = Gate()
    await gate.wait()
    assert gate.is_set()


async def test_a_gate_that_opens_lets_all_through():
    gate, tasks = Gate(), Tasks("test")
    gate.clear()
    gate.clear()
    waiting = [tasks.start(gate.wait()) for _ in range(3)]
    await asyncio.sleep(0)
    waiting[0].cancel()
    await asyncio.sleep(0)
    assert not any(task.done() for task in waiting[1:])
    gate.set()
    await asyncio.wait(waiting)
    assert [task.cancelled() for task in waiting] == [True, False, False]


async def test_a_gate_that_was_shut_again_in_the_same_turn_stays_shut():
    gate, tasks = Gate(), Tasks("test")
    gate.clear()
    waiting = tasks.start(gate.wait())
    await asyncio.sleep(0)
    gate.set()
    gate.clear()
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    assert not waiting.done()
    gate.set()
    await waiting
