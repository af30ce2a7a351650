"""Over a network that loses, doubles, delays and reorders, with readers of any pace, at random:

every subscriber gets the entries behind its cursor densely, in order and once; whoever is removed
gets nothing behind the removal; and when the network is well again, everybody gets everything.

The machine does with a room what the hub and its catching up do, one step at a time.
"""

from collections.abc import Callable
from dataclasses import dataclass

from hypothesis import Phase, settings, strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from rtchat import protocol
from rtchat.envelope import ControlKind, Envelope
from rtchat.measures import Delivering
from rtchat.model import Kind, LogEntry
from rtchat.room import Room, State, Subscription, Tails, Write, weight

PEOPLE = (1, 2, 3)
TAIL_BYTES, HELD_BYTES, PAGE = 1_200, 1_000, 3


class Log:
    """The truth: what is committed, and who is a member by it."""

    def __init__(self) -> None:
        self.entries: list[LogEntry] = []
        self.members = set(PEOPLE)
        self.ends: list[tuple[int, int]] = []  # seq and user of each end of a membership; 0: all
        self.dropped = False

    @property
    def head(self) -> int:
        return len(self.entries)

    def append(self, kind: Kind, user: int) -> None:
        seq = self.head + 1
        if kind is Kind.JOIN:
            self.members.add(user)
        elif kind is Kind.LEAVE:
            self.members.discard(user)
            self.ends.append((seq, user))
        elif kind is Kind.DROP:
            self.members.clear()
            self.dropped = True
            self.ends.append((seq, 0))
        content = f"{seq}" if kind is Kind.MESSAGE else None
        self.entries.append(LogEntry(17, seq, kind, 1, user, content, 0))

    def append_messages(self, number: int) -> None:
        for _ in range(number):
            self.append(Kind.MESSAGE, 1)

    def page(self, after: int, up_to: int | None = None) -> list[LogEntry]:
        return self.entries[after:up_to][:PAGE]

    def end_of(self, user: int, since: int) -> int | None:
        """The seq that ends what `user` was at `since`."""
        ends = [seq for seq, whose in self.ends if seq > since and whose in (user, 0)]
        return min(ends, default=None)


class Reader:
    """One socket and its subscription."""

    def __init__(self, user_id: int) -> None:
        self.user_id = user_id
        self.write: Write = self._keep
        self.received = b""
        self.start = 0
        self.paused = False
        self.ended_by: int | None = None

    def _keep(self, frames: bytes) -> None:
        assert self.ended_by is None, "written to after the end"
        self.received += frames


@dataclass
class Joining:
    """A subscription whose membership is being read."""

    reader: Reader
    sub: Subscription
    read: tuple[bool, int] | None = None  # a member? and the head


@dataclass
class Page:
    """A page of the log on its way to one reader."""

    reader: Reader
    cursor: int
    entries: list[LogEntry]


class Delivery(RuleBasedStateMachine):
    def __init__(self) -> None:
        super().__init__()
        self.log = Log()
        self.tails = Tails(TAIL_BYTES)
        self.room = Room(17, self.on_ended, self.tails, HELD_BYTES, Delivering())
        self.head_read: int | None = None  # to open the room with
        self.network: list[Envelope] = []
        self.joining: list[Joining] = []
        self.readers: dict[Reader, Subscription] = {}
        self.pages: list[Page] = []

    def on_ended(self, sub: Subscription, kind: ControlKind, seq: int) -> None:
        (reader,) = [r for r, s in self.readers.items() if s is sub]
        assert seq == self.log.end_of(reader.user_id, sub.since)
        assert (kind is ControlKind.DELETED) is (self.log.entries[seq - 1].kind is Kind.DROP)
        reader.ended_by = seq
        self.room.remove(sub)

    @property
    def is_open(self) -> bool:
        return self.room.cursor >= 0

    def readers_in(self, state: State) -> list[Reader]:
        return [r for r, sub in self.readers.items() if sub.state is state]

    # --- entries are committed, and travel

    @initialize(
        old=st.integers(0, 4),
        new=st.integers(0, 4),
        heard=st.sets(st.integers(0, 3)),
        users=st.lists(st.sampled_from(PEOPLE), max_size=3),
    )
    def begin_somewhere(self, old: int, new: int, heard: set[int], users: list[int]) -> None:
        """The room hears the bus before its head is read; with `users` it is open and they live."""
        self.log.append_messages(old)
        self.head_read = self.log.head
        self.log.append_messages(new)
        for i, envelope in enumerate(protocol.pack(self.log.entries[old:], 0)):
            if i in heard:
                self.room.offer(envelope)
            else:
                self.network.append(envelope)
        if users:
            self.room.open(self.head_read)
        for user in users:
            self.subscribe(user)
            self.begin(lambda head: head)
        for reader in self.readers:
            self.from_the_tail(reader, 1000)

    @precondition(lambda self: not self.log.dropped)
    @rule(
        wishes=st.lists(
            st.tuples(
                st.sampled_from([Kind.MESSAGE, Kind.MESSAGE, Kind.LEAVE, Kind.JOIN]),
                st.sampled_from(PEOPLE),
            ),
            min_size=1, max_size=5,
        ),
        max_bytes=st.sampled_from([0, 100, 1000]),
        here=st.booleans(),
    )  # fmt: skip
    def commit(self, wishes: list[tuple[Kind, int]], max_bytes: int, here: bool) -> None:
        """By this pod, which hears of it first; or by another."""
        before = self.log.head
        for kind, user in wishes:
            if kind is Kind.MESSAGE or (user in self.log.members) is (kind is Kind.LEAVE):
                self.log.append(kind, user)
        for envelope in protocol.pack(self.log.entries[before:], max_bytes):
            if here:
                self.room.offer(envelope)
            self.network.append(envelope)

    @precondition(lambda self: not self.log.dropped and self.log.head > 10)
    @rule()
    def delete_the_channel(self) -> None:
        self.log.append(Kind.DROP, 0)
        self.network += protocol.pack(self.log.entries[-1:], 0)

    @precondition(lambda self: self.network)
    @rule(data=st.data(), stays=st.booleans())
    def deliver_any(self, data: st.DataObject, stays: bool) -> None:
        """In any order, and perhaps once more later."""
        i = data.draw(st.integers(0, len(self.network) - 1))
        self.room.offer(self.network[i] if stays else self.network.pop(i))

    @precondition(lambda self: self.network)
    @rule()
    def deliver_next(self) -> None:
        self.room.offer(self.network.pop(0))

    @precondition(lambda self: self.network)
    @rule(data=st.data())
    def lose(self, data: st.DataObject) -> None:
        self.network.pop(data.draw(st.integers(0, len(self.network) - 1)))

    # --- the room opens, learns of heads, and reads its holes from the log

    @precondition(lambda self: not self.is_open)
    @rule()
    def read_the_head(self) -> None:
        self.head_read = self.log.head

    @precondition(lambda self: not self.is_open and self.head_read is not None)
    @rule()
    def open(self) -> None:
        assert self.head_read is not None
        self.room.open(self.head_read)

    @precondition(lambda self: self.is_open)
    @rule(too_high=st.sampled_from([0, 0, 2]))
    def check_the_head(self, too_high: int) -> None:
        self.room.note_head(self.log.head + too_high)

    @precondition(lambda self: self.is_open and self.room.behind)
    @rule()
    def read_the_hole(self) -> None:
        entries = self.log.page(self.room.cursor)
        self.network += protocol.pack(entries, 100)
        if not entries:
            self.room.forget_beyond(self.room.cursor)

    # --- people subscribe, and their memberships are read meanwhile

    @precondition(lambda self: self.is_open)
    @rule(user=st.sampled_from(PEOPLE))
    def subscribe(self, user: int) -> None:
        reader = Reader(user)
        self.joining.append(Joining(reader, self.room.register(reader)))

    @precondition(lambda self: self.joining)
    @rule()
    def read_a_membership(self) -> None:
        for joining in self.joining:
            if joining.read is None:
                joining.read = (joining.reader.user_id in self.log.members, self.log.head)

    @precondition(lambda self: self.joining)
    @rule(data=st.data())
    def begin_anywhere(self, data: st.DataObject) -> None:
        self.begin(lambda head: data.draw(st.just(head) | st.integers(0, head)))

    def begin(self, cursor_at: Callable[[int], int]) -> None:
        """Answer the first who is joining, by what was read, now or a while ago."""
        self.read_a_membership()
        joining = self.joining.pop(0)
        assert joining.read is not None
        member, head = joining.read
        if not member or joining.sub.ended_at > head:
            self.room.remove(joining.sub)
            return
        self.room.note_head(head)
        joining.sub.since = head
        joining.reader.start = cursor_at(head)
        self.room.catch_up(joining.sub, joining.reader.start)
        self.readers[joining.reader] = joining.sub

    @precondition(lambda self: self.readers)
    @rule(data=st.data())
    def unsubscribe(self, data: st.DataObject) -> None:
        reader = data.draw(st.sampled_from(list(self.readers)))
        self.room.remove(self.readers.pop(reader))

    # --- readers catch up, and stop reading

    @rule(max_bytes=st.sampled_from([0, 150, 1000]))
    def catch_up_from_the_tail(self, max_bytes: int) -> None:
        for reader in self.readers_in(State.CATCHING_UP):
            if not reader.paused:
                self.from_the_tail(reader, max_bytes)

    def from_the_tail(self, reader: Reader, max_bytes: int) -> None:
        sub = self.readers[reader]
        if sub.cursor == self.room.cursor:
            self.room.go_live(sub)
        elif (found := self.room.tail_after(sub.cursor, max_bytes)) is not None:
            frames, sub.cursor = found
            reader.write(frames)

    @precondition(lambda self: self.readers_in(State.CATCHING_UP))
    @rule(data=st.data())
    def ask_the_log(self, data: st.DataObject) -> None:
        reader = data.draw(st.sampled_from(self.readers_in(State.CATCHING_UP)))
        cursor = self.readers[reader].cursor
        if cursor < self.room.cursor and not reader.paused:
            self.pages.append(Page(reader, cursor, self.log.page(cursor, self.room.cursor)))

    @precondition(lambda self: self.pages)
    @rule()
    def the_log_answers(self) -> None:
        page = self.pages.pop(0)
        sub = self.readers.get(page.reader)
        if sub is not None and sub.state is State.CATCHING_UP and sub.cursor == page.cursor:
            sub.cursor = page.entries[-1].seq
            page.reader.write(b"".join(map(protocol.entry, page.entries)))

    @precondition(lambda self: self.readers)
    @rule(data=st.data())
    def pause_or_resume(self, data: st.DataObject) -> None:
        reader = data.draw(st.sampled_from(list(self.readers)))
        reader.paused = not reader.paused
        if reader.paused and self.readers[reader].state is State.LIVE:
            self.room.fall_behind(self.readers[reader])

    # --- what always holds

    def last_received(self, reader: Reader) -> int:
        """The seq up to which the reader has exactly what the log says, whole frames only."""
        expected, seq = b"", reader.start
        while len(expected) < len(reader.received):
            expected += protocol.entry(self.log.entries[seq])
            seq += 1
        assert reader.received == expected
        return seq

    @invariant()
    def every_reader_has_a_dense_run(self) -> None:
        for reader, sub in self.readers.items():
            last = self.last_received(reader)
            end = self.log.end_of(reader.user_id, sub.since)
            assert end is None or last <= end
            if sub.state is State.CATCHING_UP:
                assert last == sub.cursor or self.log.dropped
            elif sub.state is State.LIVE:
                assert last == self.room.cursor

    @invariant()
    def the_room_knows_where_it_is(self) -> None:
        room = self.room
        assert room.cursor <= self.log.head
        assert room.cursor < 0 or room.head >= room.cursor
        assert len(room.live) == len(self.readers_in(State.LIVE))
        assert len(room.others) == len(self.readers_in(State.CATCHING_UP)) + len(self.joining)

    @invariant()
    def what_is_kept_is_bounded_and_counted(self) -> None:
        held = sum(map(weight, self.room._held.values()))
        assert self.room._held_bytes == held <= HELD_BYTES
        tail = sum(map(weight, self.room._tail[self.room._shed :]))
        assert self.tails.bytes == tail <= TAIL_BYTES

    @invariant()
    def a_hole_is_never_forgotten(self) -> None:
        """What waits behind a hole makes the room look for it."""
        assert not self.is_open or not self.room._held or self.room.behind

    def teardown(self) -> None:
        """With the network well again, everybody gets everything that is theirs."""
        self.network.clear()
        if not self.is_open:
            self.room.open(self.log.head)
        self.room.note_head(self.log.head)
        while self.room.behind:
            entries = self.log.page(self.room.cursor)
            for envelope in protocol.pack(entries, 100):
                self.room.offer(envelope)
            if not entries:
                self.room.forget_beyond(self.room.cursor)
        for reader in self.readers_in(State.CATCHING_UP):
            sub = self.readers[reader]
            for _ in range(self.log.head + 1):
                if sub.state is State.CATCHING_UP:
                    self.from_the_tail(reader, 100)
                if sub.state is State.CATCHING_UP and sub.cursor < self.room.cursor:
                    entries = self.log.page(sub.cursor, self.room.cursor)
                    sub.cursor = entries[-1].seq
                    reader.write(b"".join(map(protocol.entry, entries)))
        self.every_reader_has_a_dense_run()
        for reader, sub in self.readers.items():
            end = self.log.end_of(reader.user_id, sub.since)
            assert sub.state is (State.LIVE if end is None else State.ENDED)
            assert reader.ended_by == end


Delivery.TestCase.settings = settings(
    max_examples=150, stateful_step_count=50, deadline=None, derandomize=True,
    phases=(Phase.generate, Phase.shrink),
)  # fmt: skip
TestDelivery = Delivery.TestCase
