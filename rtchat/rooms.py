"""The rooms that are open on this pod, and their way to the log and to the other pods.

Owns: opening and closing rooms, and the tasks that fill their holes and check their heads. The
order of entries is the room's business (`room`), plain code; the waiting happens here.

The bus is a hint, the log the truth: an envelope that does not continue a room waits `reorder_ms`
for the missing one, then the hole is read from the log; the head check finds a lost last message,
which no hole reveals. The head check also finds that the log is another one than before: by its
epoch, or by a head that went back. Then rooms are closed, tails and all, and whoever was in them is
told to start over.

Must never: deliver what is not committed, go past a hole, let a connection's own message reach it
before its ack, or deliver anything of one history under the epoch of another. A crash loses
nothing: clients resume on any pod.
"""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Iterator, Sequence

from rtchat import protocol
from rtchat.bus import Bus
from rtchat.bus.seldom import Seldom
from rtchat.config import Config
from rtchat.envelope import BadEnvelopeError, ControlKind, Envelope, history_of, joined
from rtchat.errors import ChatError, Code
from rtchat.measures import Delivering
from rtchat.room import PURGED_SEQ, OnControl, OnEnded, Room, State, Tails, nobody
from rtchat.store.messages import Heads, MessageStore
from rtchat.tasks import Tasks
from rtchat.tracing import Source, Traces

log = logging.getLogger(__name__)

Settled = Callable[[int, float], Awaitable[None]]
OnMoved = Callable[[Room], None]
OnReset = Callable[[Room, int], None]
LOOK_MS = 100  # no two looks at all heads are nearer; who needs one is told to wait so long
NAMED_MAX = 10  # channels that one line of the log names


class Rooms:
    """The open rooms. `on_ended` is told of each subscription that the log ends, `on_moved` of each
    room that has got further, `on_reset` of each whose cursors are void, and of its log's head.
    `settled` is the writer's, and `on_epoch` told of another history once all rooms were reset;
    both are set by whoever builds the parts."""

    settled: Settled
    on_epoch: Callable[[], None]

    def __init__(
        self,
        config: Config,
        bus: Bus,
        messages: MessageStore,
        on_ended: OnEnded,
        on_moved: OnMoved,
        on_reset: OnReset,
    ) -> None:
        self._config = config
        self._bus = bus
        self._messages = messages
        self._on_ended = on_ended
        self._on_moved = on_moved
        self._on_reset = on_reset
        self._epoch = ""
        self._history = 0
        self._rooms: dict[int, Room] = {}
        self._opening: dict[int, asyncio.Task[ChatError | None]] = {}
        self._filling: set[Room] = set()
        self._heard: list[bytes] = []  # in this turn of the loop: what a read of each socket brings
        self._empty_since: dict[int, float] = {}
        self._tails = Tails(config.tail_max_bytes)
        self.measures = Delivering()
        self.traces: Traces | None = None  # set by whoever builds the parts
        # The teller's: words on a topic, members who are none any more, rooms shut, words lost.
        self.on_word: Callable[[bytes], None] = nobody
        self.on_control: OnControl = nobody
        self.on_shut: Callable[[int], None] = nobody
        self.on_restored: Callable[[], None] = nobody
        self._tasks = Tasks("rooms")
        self._seldom = Seldom(log)  # whoever may publish on the bus decides how often
        self._check_now = asyncio.Event()
        bus.on_envelope = self.receive
        bus.on_restored = self._restored

    def __repr__(self) -> str:
        return f"<Rooms {len(self._rooms)} open, {len(self._filling)} filling>"

    def __len__(self) -> int:
        return len(self._rooms)

    def __iter__(self) -> Iterator[Room]:
        return iter(list(self._rooms.values()))

    @property
    def epoch(self) -> str:
        """The epoch of all that is here; set before the first room opens."""
        return self._epoch

    @epoch.setter
    def epoch(self, epoch: str) -> None:
        self._epoch, self._history = epoch, history_of(epoch)

    @property
    def tail_bytes(self) -> int:
        """What the tails hold."""
        return self._tails.bytes

    def get(self, channel_id: int) -> Room | None:
        """The room of a channel, if it is open."""
        room = self._rooms.get(channel_id)
        return room if room is not None and room.is_open else None

    def start(self) -> None:
        """Begin to check heads."""
        self._tasks.start(self._watch())

    async def close(self) -> None:
        """Stop; the rooms are gone with it."""
        await self._tasks.close()

    # --- entries come in

    def deliver(self, envelope: Envelope) -> None:
        """Take what this pod has committed; what the bus brought before it goes first."""
        if self._heard:
            self._take_heard()
        self._offer(envelope, Source.COMMIT)

    def _offer(self, envelope: Envelope, source: Source) -> None:
        room = self._rooms.get(envelope.channel_id)
        if room is None:
            return
        traces = self.traces
        if room.offer(envelope) if traces is None else traces.offered(room, envelope, source):
            self._on_moved(room)
        if room.behind and room.is_open:
            self._fill_soon(room)

    def receive(self, data: bytes) -> None:
        """Take an envelope from the bus, at the end of this turn of the loop: what one read of a
        socket brings for a room leaves in one write a member, and a lone one waits for nothing.
        """
        if not self._heard:
            asyncio.get_running_loop().call_soon(self._take_heard)
        self._heard.append(data)

    def _take_heard(self) -> None:
        heard, self._heard = self._heard, []
        for envelope in joined(self._news(heard), self._config.write_low_bytes):
            try:
                self._offer(envelope, Source.BUS)
            except Exception:  # one room's trouble must not cost the others what came for them
                log.exception("delivering an envelope failed")

    def _news(self, heard: list[bytes]) -> Iterator[Envelope]:
        """Those that may move a room."""
        for data in heard:
            try:
                channel_id, last = Envelope.place(data)
                room = self._rooms.get(channel_id)
                if room is None or last <= room.cursor:
                    if last < 0 and room is not None:  # no envelope has so few entries
                        self.on_word(data)
                    continue
                envelope = Envelope.parse(data)
            except BadEnvelopeError as error:
                self._seldom.warning("not an envelope", why=str(error)[:200])
                continue
            except Exception:  # no memory, say: nor the others, nor what this pod commits now
                log.exception("reading an envelope failed")
                continue
            if envelope.history in (0, self._history):
                yield envelope
            # Else from a pod behind or ahead of us by an epoch: the head check brings the rest.

    def stamped(self, envelope: Envelope) -> bytes:
        """What the other pods are told of this."""
        return envelope.stamped(self._history)

    def note_head(self, channel_id: int, head: int) -> None:
        """Learn that a channel's log goes up to `head`, its entries perhaps having been lost."""
        room = self._rooms.get(channel_id)
        if room is not None and room.is_open:
            room.note_head(head)
            if room.behind:
                self._fill_soon(room)

    def _fill_soon(self, room: Room) -> None:
        if room not in self._filling:
            self._filling.add(room)
            self._tasks.start(self._fill(room))

    async def _fill(self, room: Room) -> None:
        """Wait a little for what may be on its way, then read the hole from the log."""
        try:
            await asyncio.sleep(self._config.reorder_ms / 1000)
            while room.behind and self._stands(room):
                if not await self._fill_page(room):
                    return
        except ChatError:
            pass  # the database is away; the next head check comes back to it
        finally:
            self._filling.discard(room)

    def _stands(self, room: Room) -> bool:
        return self._rooms.get(room.channel_id) is room

    async def _fill_page(self, room: Room) -> bool:
        cursor, head = room.cursor, room.head
        rows = self._config.catch_up_rows
        entries = await self._messages.entries(room.channel_id, cursor, None, rows)
        # Of these, what this pod wrote must be answered first: an ack comes before its `msg`.
        await self.settled(room.channel_id, self._config.write_timeout_ms / 1000)
        if not self._stands(room):
            return False  # closed meanwhile: what was read may be of another history
        if not entries:
            if room.cursor == cursor and room.head == head:
                self._seldom.warning("the log ends before what was announced", room=repr(room))
                room.forget_beyond(cursor)
            return True
        if entries[-1].seq - cursor != len(entries):
            self._drop(room)  # the channel was deleted and its log purged
            return False
        moved, lacking = False, room.lacks(entries[-1].seq)
        for envelope in protocol.pack(entries, self._config.write_low_bytes):
            if self.traces is None:
                moved |= room.offer(envelope)
            else:
                moved |= self.traces.offered(room, envelope, Source.LOG)
        if moved:
            self.measures.filled += lacking
            self._on_moved(room)
        return True

    async def _watch(self) -> None:
        """Check heads again and again, and at once when the bus may have lost something."""
        wait_ms = max(0, self._config.head_check_ms - LOOK_MS)
        while True:
            try:
                async with asyncio.timeout(wait_ms / 1000):
                    await self._check_now.wait()
            except TimeoutError:
                pass
            self._check_now.clear()
            self._close_empty_rooms()
            try:
                await self._check_heads()
            except ChatError:
                pass  # said by the database already; the rooms wait
            except Exception:  # without this check a lost message could stay lost
                log.exception("head check failed")
            await asyncio.sleep(LOOK_MS / 1000)  # clients may ask for one again and again

    def _restored(self) -> None:
        self._check_now.set()
        self.on_restored()

    def look_soon(self) -> None:
        """Check heads and epoch, within `LOOK_MS`: somebody saw what does not fit."""
        self._check_now.set()

    async def _check_heads(self) -> None:
        # The cursors of now: one that advances meanwhile may be ahead of what is being read.
        asked = {c: (room, room.cursor) for c, room in self._rooms.items() if room.is_open}
        found = await self._messages.heads(list(asked))
        self.measures.checks += 1
        if found.read_only:
            # A primary of yesterday, or one that nobody can write to: what it has is true, but
            # what it lacks says nothing. New connections find the way to the present one.
            await self._messages.reconnect()
        elif found.epoch != self.epoch:
            self._take_up(found, asked)
            return
        back = []
        for channel_id, (room, cursor) in asked.items():
            if not self._stands(room):
                continue
            head = found.of.get(channel_id)
            if head is not None and head >= cursor:
                self.measures.finds += head > room.head
                self.note_head(channel_id, head)
            elif found.read_only:
                continue
            elif head is None:
                self._drop(room)
            else:
                back.append(channel_id)
                self._reset(room, head)
        if back:
            log.error(
                "the log ends before what was delivered: if it was restored, or its database"
                " replaced, run `rtchat epoch renew`",
                extra={"channels": len(back), "among_them": back[:NAMED_MAX]},
            )

    def _take_up(self, found: Heads, asked: dict[int, tuple[Room, int]]) -> None:
        """Another history: none of what rooms hold is true any more. All in this turn."""
        if any(r.is_open and c not in asked for c, r in self._rooms.items()):
            self.look_soon()  # one that opened since the question; of those after it, none can
            return
        log.warning(
            "the log has a new epoch",
            extra={"before": self.epoch, "now": found.epoch, "rooms": len(asked)},
        )
        self.epoch = found.epoch
        for room in self:
            if not room.is_open:
                continue  # it will not open: its head is of another epoch than ours
            if (head := found.of.get(room.channel_id)) is None:
                self._drop(room)
            self._reset(room, head or 0)
        self.on_epoch()

    def _reset(self, room: Room, head: int) -> None:
        """Close a room whose cursors are void, with all that it keeps."""
        self._on_reset(room, head)
        self._shut([room.channel_id])

    # --- opening and closing

    async def open(self, channels: Sequence[int]) -> None:
        """Open these rooms, or wait until whoever opens them now has done so.

        Raises ChatError where the log cannot be asked.
        """
        fresh = [c for c in channels if c not in self._rooms]
        if fresh:
            # A task of our own: it must not end with the connection that happened to come first.
            task = self._tasks.start(self._open_fresh(fresh))
            for channel_id in fresh:
                self._rooms[channel_id] = Room(
                    channel_id,
                    self._on_ended,
                    self._tails,
                    self._config.reorder_max_bytes,
                    self.measures,
                    self.on_control,
                )
                self._opening[channel_id] = task
        for task in {self._opening[c] for c in channels if c in self._opening}:
            error = await asyncio.shield(task)
            if error is not None:
                raise error

    async def _open_fresh(self, channels: list[int]) -> ChatError | None:
        """In this order: hear the bus, then read the head, then open. Nothing falls in between."""
        heads: dict[int, int] = {}
        try:
            await self._bus.subscribe(channels)
            found = await self._messages.heads(channels)
            for channel_id in found.of:  # below these heads nothing of ours may be unanswered
                await self.settled(channel_id, self._config.write_timeout_ms / 1000)
            if found.read_only or found.epoch != self.epoch:
                self.look_soon()
            if found.epoch != self.epoch:
                return ChatError(Code.UNAVAILABLE, after_ms=LOOK_MS)
            heads = found.of
        except ChatError as error:
            return error
        finally:
            for channel_id in channels:
                del self._opening[channel_id]
                if channel_id in heads:
                    self._rooms[channel_id].open(heads[channel_id])
                    self._empty_since[channel_id] = asyncio.get_running_loop().time()
                    self.note_head(channel_id, heads[channel_id])
                else:
                    del self._rooms[channel_id]
            self._bus.unsubscribe([c for c in channels if c not in heads])
        return None

    def _drop(self, room: Room) -> None:
        """The channel is gone."""
        for sub in [*room.live, *room.others]:
            if sub.state is State.JOINING:
                sub.ended_at = PURGED_SEQ
            else:
                self._on_ended(sub, ControlKind.DELETED, PURGED_SEQ)

    def _close_empty_rooms(self) -> None:
        now = asyncio.get_running_loop().time()
        closing = []
        for channel_id, room in self._rooms.items():
            if not room.is_open or not room.empty:
                self._empty_since.pop(channel_id, None)
            elif now - self._empty_since.setdefault(channel_id, now) >= (
                self._config.room_linger_ms / 1000
            ):
                closing.append(channel_id)
        self._shut(closing)

    def _shut(self, channels: list[int]) -> None:
        for channel_id in channels:
            self._rooms.pop(channel_id).close()
            self._empty_since.pop(channel_id, None)
            self.on_shut(channel_id)
        if channels:
            self._bus.unsubscribe(channels)
