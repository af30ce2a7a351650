"""The outbox: what is sent when. Frames go to a list; the loop's clock is the real one."""

import asyncio

import pytest

from rtchat.client.errors import ClosedError, OutcomeUnknownError, RefusedError
from rtchat.client.events import Ack, Error
from rtchat.client.outbox import IN_FLIGHT_MAX, Outbox, Write
from tests.client.talk import until


class Bench:
    """An outbox, the frames that it sent, and what a server would answer."""

    def __init__(self, window: int = 1, per_second: float = 0) -> None:
        self.sent: list[int] = []
        self.outbox = Outbox(window)
        self.per_second = per_second
        self.open()

    def open(self) -> None:
        """A new socket."""
        self.outbox.opened(lambda frame: self.sent.append(int(frame)), self.per_second)

    def add(self, *refs: int, channel: int = 1) -> list[Write]:
        """Hand in writes, whose frame is their number."""
        loop = asyncio.get_running_loop()
        writes = [Write(channel, f"n{r}", r, b"%d" % r, loop.create_future()) for r in refs]
        for write in writes:
            self.outbox.add(write)
        return writes

    def ack(self, *refs: int) -> None:
        """Acknowledge."""
        for ref in refs:
            assert self.outbox.acked(Ack(ref=ref, ch=1, seq=ref, ts=0))

    def refuse(self, ref: int, code: str, after: int | None = None) -> None:
        """Refuse; with `after`, for the time being."""
        error = Error(ref=ref, code=code, retry=after is not None, after=after)
        assert self.outbox.refused(error)


async def test_one_at_a_time_by_default() -> None:
    """A channel's next write leaves when the one before is answered; channels do not wait."""
    bench = Bench()
    first, second = bench.add(1, 2)
    bench.add(3, channel=2)
    assert bench.sent == [1, 3]
    bench.ack(1)
    assert bench.sent == [1, 3, 2]
    assert first.answer.result().seq == 1
    assert not second.answer.done()


async def test_a_window_sends_ahead() -> None:
    """With a window, so many are unanswered at once; after a lost socket all go again, in order."""
    bench = Bench(window=3)
    bench.add(1, 2, 3, 4)
    assert bench.sent == [1, 2, 3]
    bench.ack(2)
    assert bench.sent == [1, 2, 3, 4]
    bench.outbox.lost()
    bench.add(5)
    bench.open()
    assert bench.sent[4:] == [1, 3, 4]
    bench.ack(1)
    assert bench.sent[-1] == 5


async def test_tries_are_counted() -> None:
    """An ack says how often its write was sent."""
    bench = Bench()
    (write,) = bench.add(1)
    bench.open()
    bench.ack(1)
    assert write.answer.result().tries == 2


async def test_a_final_refusal_frees_the_channel() -> None:
    """The refused write fails with its code, and the next one goes."""
    bench = Bench()
    first, _ = bench.add(1, 2)
    bench.refuse(1, "forbidden")
    with pytest.raises(RefusedError, match="forbidden"):
        await first.answer
    assert bench.sent == [1, 2]


async def test_nothing_overtakes_a_refused_write() -> None:
    """After `retry` the whole client waits as long as it is told, then begins with one write."""
    bench = Bench()
    bench.add(1, 2)
    bench.add(3, channel=2)
    bench.ack(3)
    bench.refuse(1, "overloaded", after=50)
    bench.add(4, channel=3)
    assert bench.sent == [1, 3], "nothing is sent while the server wants rest"
    await until(lambda: len(bench.sent) > 2, within_s=1)
    assert bench.sent[2:] == [1], "one, to see whether it is over"
    bench.ack(1)
    assert sorted(bench.sent[3:]) == [2, 4], "each ack allows one more"
    assert bench.outbox.retried == {"overloaded": 1}


async def test_an_internal_error_holds_its_own_channel_only() -> None:
    """One channel's trouble does not stop the others."""
    bench = Bench()
    bench.add(1, 2)
    bench.refuse(1, "internal", after=30)
    bench.add(3, channel=2)
    assert bench.sent == [1, 3]
    await until(lambda: len(bench.sent) > 2, within_s=1)
    assert bench.sent[2:] == [1]


async def test_the_known_rate_is_kept_after_rate_limited() -> None:
    """Once refused for its rate, a client sends no faster than `hello` allows."""
    bench = Bench(window=10, per_second=50)
    bench.add(*range(1, 11))
    loop = asyncio.get_running_loop()
    for ref in range(6, 11):
        bench.refuse(ref, "rate_limited", after=20)
    bench.ack(*range(1, 6))
    began = loop.time()
    for count in range(1, 6):
        await until(lambda n=count: len(bench.sent) == 10 + n, within_s=1)
        bench.ack(bench.sent[-1])
    assert bench.sent[10:] == [6, 7, 8, 9, 10]
    # A timer that is late has the next one wait less; the rate is kept all the same.
    assert loop.time() - began > 0.075, "four at 50 a second, behind the first"


async def test_in_flight_is_bounded_and_channels_take_turns() -> None:
    """So many writes are unanswered at once; a freed place goes to a channel that waits."""
    bench = Bench()
    for channel in range(IN_FLIGHT_MAX + 2):
        bench.add(channel, channel + 1000, channel=channel)
    assert bench.sent == list(range(IN_FLIGHT_MAX))
    bench.ack(0)
    assert bench.sent[-1] == IN_FLIGHT_MAX, "a channel that has waited, not the one just served"


async def test_given_up_writes_are_forgotten() -> None:
    """A late answer to a write that nobody waits for is nobody's; the next one goes."""
    bench = Bench()
    first, _ = bench.add(1, 2)
    bench.outbox.give_up(first)
    assert bench.sent == [1, 2]
    assert not bench.outbox.acked(Ack(ref=1, ch=1, seq=1, ts=0))
    assert len(bench.outbox) == 1


async def test_at_the_end_unsent_and_unknown_differ() -> None:
    """What was sent may be stored, and says so; what never left fails as closed."""
    bench = Bench()
    sent, unsent = bench.add(1, 2)
    bench.outbox.close(ClosedError("revoked", 4004))
    with pytest.raises(OutcomeUnknownError):
        await sent.answer
    with pytest.raises(ClosedError):
        await unsent.answer
