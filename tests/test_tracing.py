"""Traces: every pod finds the same ids and chooses the same entries, and spans tell what was."""

import asyncio
import itertools
import time
from collections.abc import Sequence
from typing import Any

import pytest
from hypothesis import given, strategies as st

from rtchat import protocol
from rtchat.batch import Op, Write
from rtchat.config import Config
from rtchat.envelope import Envelope
from rtchat.model import Kind, LogEntry
from rtchat.room import Room
from rtchat.tracing import STEP_NS, Sample, Source, Span, Traces, between, trace_of
from tests.costs import room_of
from tests.world import world

EPOCH = "0123456789abcdef"
CHANNEL = 17
SECOND = 1_000_000_000
BOOT_NS = 1_763_800_000 * SECOND  # what the wall's clock said when the other began


class Pod:
    """What one pod makes of its traces, at times that are set."""

    def __init__(self, name: str = "pod-a", epoch: str = EPOCH, **settings: Any) -> None:
        self.spans: list[Span] = []
        self.ns = SECOND
        self.wall_ns = BOOT_NS  # ahead
        config = Config(**{"trace_one_in": 1, **settings})
        self.traces = Traces(
            config,
            name,
            lambda: epoch,
            self.spans.append,
            now=lambda: self.ns,
            wall=lambda: self.ns + self.wall_ns,
        )

    def stored(self, writes: Sequence[Write]) -> list[Span]:
        """A batch that was accepted at 1.5 s: begun at 2 s, committed at 3 s, acked at 4 s."""
        for write in writes:
            write.deadline = 1.5 + 10  # write_timeout_ms
        self.ns = 3 * SECOND
        self.traces.stored(2 * SECOND, len(writes))
        self.ns = 5 * SECOND
        self.traces.answered(writes, 4 * SECOND)
        return self.spans

    def offered(self, room: Room, envelope: Envelope, source: Source) -> list[Span]:
        before = len(self.spans)
        self.traces.offered(room, envelope, source)
        return self.spans[before:]


def write(seq: int | None = 1, op: Op = Op.SEND, channel: int = CHANNEL, user: int = 42) -> Write:
    made = Write(op, channel, user, "nonce-1", lambda _: None, content="in confidence")
    made.seq = seq
    return made


def envelope(first: int, count: int) -> Envelope:
    entries = [
        LogEntry(CHANNEL, first + n, Kind.MESSAGE, 42, None, "in confidence", 1)
        for n in range(count)
    ]
    (made,) = protocol.pack(entries, 1 << 20)
    return made


# --- ids


def test_ids_are_the_same_whatever_pod_and_version_makes_them():
    trace = trace_of("epoch", 17, 3)
    assert (f"{trace.id:032x}", f"{trace.root:016x}") == (
        "302462988583e64d1edd6ac6f758c762",
        "0a2f84d6cb54b724",
    )


def test_every_entry_of_every_history_has_a_trace_of_its_own():
    places = [(e, c, s) for e in ("a", "b") for c in (1, 11, 111) for s in (1, 11, 111)]
    traces = [trace_of(*place) for place in places]
    assert len({trace.id for trace in traces}) == len({trace.root for trace in traces}) == 18


# --- which are traced

numbers = st.integers(1, 2**53 - 1)


@given(numbers, numbers, st.integers(1, 10**9), st.integers(1, 10**9))
def test_pods_agree_and_whoever_traces_fewer_traces_of_the_same(
    channel: int, seq: int, one_in: int, fewer: int
):
    assert Sample(one_in).has(channel, seq) == Sample(one_in).has(channel, seq)
    assert bool(Sample(one_in).of(channel, range(seq, seq + 1))) == Sample(one_in).has(channel, seq)
    if Sample(max(one_in, fewer)).has(channel, seq):
        assert Sample(min(one_in, fewer)).has(channel, seq)


@given(numbers, numbers)
def test_one_in_one_is_all(channel: int, seq: int):
    assert Sample(1).has(channel, seq)


@pytest.mark.parametrize("one_in", [2, 10, 100, 1000])
@pytest.mark.parametrize("channel", [1, 2, 17, 123_456_789])
def test_of_a_channel_one_in_so_many_is_traced_and_never_a_run(channel: int, one_in: int):
    seqs = range(1, 100 * one_in + 1)
    chosen = Sample(one_in).of(channel, seqs)
    assert 95 <= len(chosen) <= 105
    gaps = [b - a for a, b in itertools.pairwise(chosen)]
    assert max(gaps) <= 3 * one_in
    assert one_in == 2 or min(gaps) > 1


@pytest.mark.parametrize("seq", [1, 2, 3])
def test_of_channels_with_a_few_entries_one_in_so_many_is_traced_as_well(seq: int):
    chosen = [channel for channel in range(1, 10_001) if Sample(100).has(channel, seq)]
    assert 90 <= len(chosen) <= 110


# --- the pod that commits


def test_a_write_has_a_root_from_acceptance_to_ack_and_what_is_below():
    pod = Pod(lanes=4)
    send, queue, commit = pod.stored([write()])
    trace = trace_of(EPOCH, CHANNEL, 1)
    assert {span.trace for span in pod.spans} == {trace}
    entry = {"rtchat.channel": CHANNEL, "rtchat.seq": 1}
    assert send == ("send", trace, True, at(1.5), at(4), {**entry, "rtchat.user": 42})
    assert queue == ("queue", trace, False, at(1.5), at(2), entry)
    assert commit == (
        "commit", trace, False, at(2), at(3), {**entry, "rtchat.rows": 1, "rtchat.lane": 1},
    )  # fmt: skip


def at(seconds: float) -> int:
    return BOOT_NS + round(seconds * SECOND)


def test_the_root_is_named_by_the_operation():
    pod = Pod()
    pod.stored([write(1, Op.JOIN), write(2, Op.EDIT)])
    assert [span.name for span in pod.spans if span.root] == ["join", "edit"]


def test_what_made_no_entry_here_has_no_trace():
    """Refused, nothing to change, or stored by another try, whose root it would double."""
    known = write(3)
    known.known = True
    assert Pod().stored([write(None, Op.SET_ROLE), known]) == []


def test_acceptance_that_the_loop_tells_late_does_not_turn_the_queue_around():
    pod = Pod()
    writes = [write()]
    writes[0].deadline = 2.0004 + 10
    pod.ns = 3 * SECOND
    pod.traces.stored(2 * SECOND, 1)
    pod.traces.answered(writes, 4 * SECOND)
    _, queue, _ = pod.spans
    assert (queue.start_ns, queue.end_ns) == (at(2), at(2))


def test_an_envelope_is_published_once_for_each_traced_entry_in_it():
    pod = Pod(trace_one_in=10)
    made = envelope(1, 100)
    pod.ns = 3 * SECOND
    pod.traces.published(made, 2 * SECOND)
    chosen = Sample(10).of(CHANNEL, range(1, 101))
    assert [span.attributes["rtchat.seq"] for span in pod.spans] == chosen
    assert {span.name for span in pod.spans} == {"publish"}
    assert {(span.start_ns, span.end_ns) for span in pod.spans} == {(at(2), at(3))}
    assert pod.spans[0].attributes["rtchat.entries"] == 100
    assert pod.spans[0].attributes["rtchat.bytes"] == len(made.payload)


# --- every pod that delivers


def test_pods_that_know_nothing_of_each_other_deliver_in_one_trace():
    one, two = Pod("pod-a"), Pod("pod-b")
    (here,) = one.offered(room_of(3)[0], envelope(1, 1), Source.COMMIT)
    (there,) = two.offered(room_of(0)[0], envelope(1, 1), Source.BUS)
    assert here.trace == there.trace == trace_of(EPOCH, CHANNEL, 1)
    assert not here.root
    assert not there.root
    told = {"rtchat.channel": CHANNEL, "rtchat.seq": 1, "rtchat.entries": 1}
    assert here.attributes == {
        **told, "rtchat.pod": "pod-a", "rtchat.source": "commit", "rtchat.subscribers": 3,
    }  # fmt: skip
    assert there.attributes == {
        **told, "rtchat.pod": "pod-b", "rtchat.source": "bus", "rtchat.subscribers": 0,
    }  # fmt: skip


def test_what_waited_behind_a_hole_is_delivered_with_what_fills_it():
    pod, (room, _) = Pod(), room_of(1)
    assert pod.offered(room, envelope(2, 2), Source.BUS) == []
    spans = pod.offered(room, envelope(1, 1), Source.LOG)
    assert [span.attributes["rtchat.seq"] for span in spans] == [1, 2, 3]
    assert {span.attributes["rtchat.entries"] for span in spans} == {3}


def test_an_envelope_that_is_known_is_not_delivered_again():
    pod, (room, people) = Pod(), room_of(1)
    assert len(pod.offered(room, envelope(1, 2), Source.COMMIT)) == 2
    assert pod.offered(room, envelope(1, 2), Source.BUS) == []
    assert len(people[0].written) == 1


async def test_what_the_bus_did_not_bring_is_delivered_from_the_log(database_url: str) -> None:
    """Two pods that do not hear each other."""
    spans: list[Span] = []
    async with world(database_url) as one, world(database_url) as two:
        user = await one.person()
        channel = await one.channel(user)
        hub = two.services.hub
        hub.rooms.traces = Traces(
            Config(trace_one_in=1),
            "pod-b",
            lambda: hub.epoch,
            spans.append,
            now=time.monotonic_ns,
            wall=time.time_ns,
        )
        await hub.rooms.open([channel])
        (seq,) = await one.send(user, channel, "hello")
        hub.rooms.look_soon()
        async with asyncio.timeout(10):
            while not spans:
                await asyncio.sleep(0.01)
        assert [span.attributes["rtchat.source"] for span in spans] == ["log"]
        assert spans[0].trace == trace_of(one.services.hub.epoch, channel, seq)


def test_another_history_has_other_traces():
    one, two = Pod(epoch="before"), Pod(epoch="after")
    assert one.stored([write()])[0].trace != two.stored([write()])[0].trace


# --- what is in a span, and when


def test_nothing_that_a_user_wrote_is_in_a_span():
    pod, (room, _) = Pod(), room_of(1)
    pod.stored([write()])
    pod.traces.published(envelope(1, 1), 0)
    pod.offered(room, envelope(1, 1), Source.COMMIT)
    assert len(pod.spans) == 5
    assert not any("confidence" in repr(span) or "nonce" in repr(span) for span in pod.spans)


def test_a_wall_clock_that_is_set_moves_later_traces_and_none_that_is_read_late():
    pod = Pod()
    pod.stored([write(1)])
    pod.wall_ns += STEP_NS - 1
    pod.stored([write(2)])
    pod.wall_ns += 3600 * SECOND
    pod.stored([write(3)])
    starts = [span.start_ns for span in pod.spans if span.root]
    assert starts == [at(1.5), at(1.5), at(1.5) + 3600 * SECOND + STEP_NS - 1]


def test_of_readings_of_two_clocks_the_quickest_counts():
    times = iter([0, 1000, 2000, 2004, 2010, 9000, 9001, 9900, 9901, 9999])
    assert between(lambda: next(times), lambda: 50_000) == 50_000 - 2002
