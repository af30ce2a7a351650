"""Ways to break rooms and what stands around them, each as small as a slip of the pen.

Each is a class in the place of the real one. A machine that does not find one of them is no test.
"""

import asyncio
from collections.abc import Sequence
from typing import Any

from rtchat.catchup import CatchUp
from rtchat.config import Config
from rtchat.connection import Connection
from rtchat.envelope import Control, Envelope
from rtchat.errors import ChatError
from rtchat.events import Head
from rtchat.hub import Hub
from rtchat.model import LogEntry
from rtchat.protocol import pack
from rtchat.room import Room, State, Subscription, Tails, weight
from rtchat.rooms import Rooms
from rtchat.store.channels import Standing
from rtchat.store.messages import MessageStore


class KeepsOldEnvelopes(Room):
    """Delivers again what is behind the cursor."""

    __slots__ = ()

    def offer(self, envelope: Envelope) -> bool:
        if envelope.last <= self.cursor:
            self._fan_out(envelope.payload, 0)
            return False
        return super().offer(envelope)


class RepeatsOverlaps(Room):
    """Delivers the whole of an envelope that begins behind the cursor."""

    __slots__ = ()

    def offer(self, envelope: Envelope) -> bool:
        if self.is_open and envelope.first <= self.cursor < envelope.last:
            self._advance(envelope)
            return True
        return super().offer(envelope)


class JumpsOverHoles(Room):
    """Delivers what is ahead before the hole is filled."""

    __slots__ = ()

    def offer(self, envelope: Envelope) -> bool:
        if self.is_open and self.cursor + 1 < envelope.first < 1000:
            self._advance(envelope)
            return True
        return super().offer(envelope)


class ForgetsHeads(Room):
    """Keeps what is ahead and does not look for what is missing."""

    __slots__ = ()

    def offer(self, envelope: Envelope) -> bool:
        head = self.head
        moved = super().offer(envelope)
        self.head = max(head, self.cursor)
        return moved


class HoldsWithoutBound(Room):
    """Keeps whatever is ahead."""

    __slots__ = ()

    def _hold(self, envelope: Envelope) -> None:
        self._held_max = 10**9
        super()._hold(envelope)


class CountsHeldBytesTwice(Room):
    """Does not count that what was held is gone."""

    __slots__ = ()

    def _take_held(self) -> None:
        before = self._held_bytes
        super()._take_held()
        self._held_bytes = before


class EndsNobody(Room):
    """Does not look at controls."""

    __slots__ = ()

    def _end(self, control: Control, seq: int) -> None:
        pass


class EndsTooLate(Room):
    """Ends a membership behind the envelope in which it ended."""

    __slots__ = ()

    def _advance(self, envelope: Envelope) -> None:
        bare = Envelope(envelope.channel_id, envelope.first, envelope.lengths, (), envelope.payload)
        super()._advance(bare)
        for control in envelope.controls:
            self._end(control, envelope.first + control.index)


class EndsTheReturned(Room):
    """Ends who had come back by the time of subscribing."""

    __slots__ = ()

    def _end(self, control: Control, seq: int) -> None:
        for sub in [*self.live, *self.others]:
            sub.since = 0
        super()._end(control, seq)


class ForgetsTheJoining(Room):
    """Does not note that the membership of somebody who is joining has ended."""

    __slots__ = ()

    def _end(self, control: Control, seq: int) -> None:
        joining = [s for s in self.others if s.state is State.JOINING]
        super()._end(control, seq)
        for sub in joining:
            sub.ended_at = 0


class FallsBehindLate(Room):
    """Takes a subscription out of live with the cursor that it had at first."""

    __slots__ = ()

    def fall_behind(self, sub: Subscription) -> None:
        cursor = sub.cursor
        super().fall_behind(sub)
        sub.cursor = cursor


class StaysLive(Room):
    """Leaves who falls behind in the fan-out."""

    __slots__ = ()

    def fall_behind(self, sub: Subscription) -> None:
        super().fall_behind(sub)
        self.live[sub] = sub.receiver.write


class TailBeginsOneLate(Room):
    """Skips one entry where the tail begins."""

    __slots__ = ()

    def tail_after(self, cursor: int, max_bytes: int) -> tuple[bytes, int] | None:
        found = super().tail_after(cursor, max_bytes)
        return found and (super().tail_after(cursor + 1, max_bytes) or found)


class TailTooShort(Room):
    """Believes that its tail reaches further back than it does."""

    __slots__ = ()

    def tail_after(self, cursor: int, max_bytes: int) -> tuple[bytes, int] | None:
        if not self.has_tail or cursor >= self.cursor:
            return None
        return super().tail_after(max(cursor, self._tail[self._shed].first - 1), max_bytes)


class PrependsAnything(Room):
    """Takes for the begin of its tail what ends somewhere before it."""

    __slots__ = ()

    def prepend(self, envelopes: Sequence[Envelope]) -> bool:
        if not self.is_open or not envelopes or envelopes[-1].last >= self.kept_from:
            return False
        self._tail[: self._shed] = envelopes
        self._shed = 0
        self._tails.added(self, *map(weight, envelopes))
        return True


class PrependsUncounted(Room):
    """Does not say that its tail has grown."""

    __slots__ = ()

    def prepend(self, envelopes: Sequence[Envelope]) -> bool:
        if not self.is_open or not envelopes or envelopes[-1].last + 1 != self.kept_from:
            return False
        self._tail[self._shed : self._shed] = envelopes
        return True


class KeepsItsTail(Room):
    """Gives up its tail at the end, and says nothing of it."""

    __slots__ = ()

    def close(self) -> None:
        self._held.clear()
        self._tail.clear()


class LeavesBehind(Room):
    """Leaves who goes in the room."""

    __slots__ = ()

    def remove(self, sub: Subscription) -> None:
        sub.state = State.ENDED


class ShedsNothing(Tails):
    """Tails without a bound."""

    def added(self, room: Room, *sizes: int) -> None:
        self._order.extend(room for _ in sizes)
        self.bytes += sum(sizes)


class _WithoutEnd(MessageStore):
    """Pages that end where the log does."""

    def __init__(self, messages: MessageStore) -> None:
        self._messages = messages

    async def entries(
        self, channel_id: int, after: int, upto: int | None, limit: int
    ) -> list[LogEntry]:
        return await self._messages.entries(channel_id, after, None, limit)


class WaitsForNobody(CatchUp):
    """Never says that the page is there for which others wait."""

    async def _page(self, room: Room, cursor: int) -> list[Envelope] | None:
        if room in self._joining or not self._joins(room, cursor):
            return await self._read(room, cursor)
        self._joining[room] = asyncio.get_running_loop().create_future()
        page = await self._read(room, cursor)
        del self._joining[room]
        room.prepend(page or ())
        return page


class ReadsPastTheRoom(CatchUp):
    """Catches up with the log, not with the room."""

    def __init__(self, config: Config, messages: MessageStore, *told: Any) -> None:
        super().__init__(config, _WithoutEnd(messages), *told)


class BelievesOldPages(CatchUp):
    """Writes a page though its reader has moved, or gone, while it was read."""

    async def _from_log(self, connection: Connection, sub: Subscription) -> None:
        rows = self._config.catch_up_rows
        room, after = sub.room, sub.cursor
        try:
            entries = await self._messages.entries(room.channel_id, after, room.cursor, rows)
        except ChatError:
            return
        for envelope in pack(entries, 100):
            sub.cursor = envelope.last
            connection.write(envelope.payload)


class IgnoresPauses(CatchUp):
    """Writes to who takes nothing."""

    def _from_tail(self, connection: Connection, sub: Subscription) -> None:
        while sub.cursor != sub.room.cursor:
            found = sub.room.tail_after(sub.cursor, self._config.write_low_bytes)
            if found is None:
                return
            frames, sub.cursor = found
            connection.write(frames)
        connection.catching_up.discard(sub)
        sub.room.go_live(sub)


class ChecksNoHeads(Rooms):
    """Waits for envelopes only."""

    async def _check_heads(self) -> None:
        pass


class FillsNoHoles(Rooms):
    """Waits for what is missing."""

    def _fill_soon(self, room: Room) -> None:
        pass


class DoesNotWaitForAnswers(Rooms):
    """Delivers what this pod has committed and not answered yet."""

    async def _at_once(self, *_: Any) -> None:
        pass

    settled = property(lambda self: self._at_once, lambda *_: None)


class TellsNobodyThatItMoved(Hub):
    """Whoever waits for the room to come to its cursor waits for ever."""

    def _moved(self, room: Room) -> None:
        pass


class LeavesAtOnce(Hub):
    """Takes a stuck socket out of the fan-out while that loops over it."""

    def paused(self, connection: Connection) -> None:
        super().paused(connection)
        self._leave_live(connection)


class StaysStuck(Hub):
    """Does not take a stuck socket out of the fan-out."""

    def _leave_live(self, connection: Connection) -> None:
        pass


class ForgetsToGoOn(Hub):
    """Does not catch up when a socket has drained."""

    def resumed(self, connection: Connection) -> None:
        connection.paused_at = None


class LetsAnybodyIn(Hub):
    """Does not look whether somebody has ceased to be a member while joining."""

    def _decide(self, sub: Subscription | None, standing: Standing | None) -> Head:
        if sub is not None:
            sub.ended_at = 0
        return super()._decide(sub, standing)


MUTANTS = [
    cls
    for cls in list(vars().values())
    if isinstance(cls, type) and cls.__module__ == __name__ and cls.__name__[0] != "_"
]
