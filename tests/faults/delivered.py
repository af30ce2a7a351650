"""What came out of the sockets against the log: S1, S2, S3, M1, L1. Pure.

A stream is one subscription: a channel on a socket, from its `ok` to what ends it. Gap, duplicate
and reorder are told apart at the end of a stream: what was passed over and came later was out of
order, what never came is a gap.

Behind a user's own leave nothing may follow (M1), but who has joined again reads the whole log, the
own leave in it included. So a leave binds a stream if no join of that user comes after it, or if it
is younger than the stream: some message with a lower seq was sent after the stream's `ok`.
"""

import bisect
import sys
from collections.abc import Collection, Iterable, Mapping, Sequence

from tests.faults.history import CLOSED, END, LEFT, RECEIVED, RESET, SUBSCRIBED, Event, Row
from tests.faults.stored import Book, show
from tests.faults.verdict import Anomaly, Findings

Seen = tuple[str, int, str]  # kind, user and content, as a frame shows them
Place = tuple[int, int]  # client, channel
Ends = Collection[Place] | int | None

ABOUT_A_USER = {"join", "leave"}
REMOVED = {"left", "removed", "deleted"}  # the reasons of a `removed`; an unsub has another
WITHOUT_CONTENT = {"join", "leave", "del"}


class Stream:
    """A subscription of one socket, and what it has been sent."""

    __slots__ = ("_missing", "channel", "client", "cut", "missing_at", "next", "session")

    def __init__(self, client: int, session: int, channel: int, after: int, cut: int) -> None:
        self.client, self.session, self.channel = client, session, channel
        self.next = after + 1
        self.cut = cut  # the last seq that its user may have
        self.missing_at = 0
        self._missing: set[int] = set()

    @property
    def held(self) -> set[int]:
        """What a client may take for its cursor: one value, if all came in order."""
        return {self.next - 1, min(self._missing) - 1} if self._missing else {self.next - 1}

    def anomaly(self, kind: str, seq: int, expected: str, what: str, at: int) -> Anomaly:
        """Something wrong here."""
        return Anomaly(kind, self.channel, seq, self.client, self.session, expected, what, at)

    def out_of_order(self, seq: int, at: int) -> Anomaly | None:
        """Take an entry that is stored and not the next."""
        if seq > self.next:
            self._missing.update(range(self.next, seq))
            self.missing_at = at
            self.next = seq + 1
            return None
        expected = f"seq {self.next}"
        if seq in self._missing:
            self._missing.discard(seq)
            return self.anomaly("S1-reorder", seq, expected, f"seq {seq}, late", at)
        return self.anomaly("S1-duplicate", seq, expected, f"seq {seq} again", at)

    def gaps(self) -> Iterable[Anomaly]:
        """Tell what never came, by runs."""
        missing = sorted(self._missing)
        start = 0
        for place, seq in enumerate(missing, start=1):
            if place == len(missing) or missing[place] != seq + 1:
                yield Anomaly(
                    "S1-gap", self.channel, missing[start], self.client, self.session,
                    f"seqs {missing[start]} to {seq}", "never sent, later ones were",
                    self.missing_at, place - start,
                )  # fmt: skip
                start = place


class Membership:
    """When users left: the last seq that a stream may carry."""

    def __init__(self, book: Book, rows: Sequence[Row]) -> None:
        self._moves: dict[tuple[int, int], list[tuple[int, str]]] = {}  # (channel, user): seq, kind
        # Channel to seqs of messages, and the latest moment of sending up to each of them.
        self._born: dict[int, tuple[list[int], list[int]]] = {}
        for row in sorted(rows, key=lambda row: row.seq):
            if row.kind in ABOUT_A_USER and row.target is not None:
                moves = self._moves.setdefault((row.channel, row.target), [])
                moves.append((row.seq, row.kind))
            elif said := book.said.get((row.channel, row.user, row.nonce)):
                seqs, latest = self._born.setdefault(row.channel, ([], []))
                seqs.append(row.seq)
                latest.append(max(said.at, latest[-1] if latest else said.at))

    def cut(self, channel: int, user: int, after: int, at: int) -> int:
        """Tell the last seq that `user` may get from a subscription made at `at`."""
        moves = self._moves.get((channel, user), [])
        for place, (seq, kind) in enumerate(moves):
            if kind == "leave":
                final = not any(later == "join" for _, later in moves[place:])
                if final or (seq > after and self._younger(channel, seq, at)):
                    return seq
        return sys.maxsize

    def _younger(self, channel: int, seq: int, at: int) -> bool:
        """Whether the entry `seq` was certainly stored after `at`."""
        seqs, latest = self._born.get(channel, ([], []))
        place = bisect.bisect(seqs, seq)
        return place > 0 and latest[place - 1] > at


class Delivery:
    """Goes through the events of a run, in their order, once."""

    def __init__(
        self,
        book: Book,
        rows: Sequence[Row],
        heads: Mapping[int, int],
        found: Findings,
        *,
        resets: bool,
    ) -> None:
        self.received = self.subscriptions = self.resumes = self.resets = 0
        self.ended: set[Place] = set()
        self._users, self._heads, self._found = book.users, heads, found
        self._resets_allowed = resets
        self._members = Membership(book, rows)
        self._log: dict[int, dict[int, Seen]] = {}
        self._changed = {(row.channel, row.seq) for row in rows if row.changed}
        for row in rows:
            self._log.setdefault(row.channel, {})[row.seq] = as_seen(row)
        self._open: dict[int, dict[int, Stream]] = {}  # session to channel to stream
        self._removed: set[Place] = set()
        self._last: dict[Place, Stream] = {}  # what each client had last, open or not

    def run(self, events: Iterable[Event]) -> None:
        """Check them all."""
        received = self._received
        steps = {
            SUBSCRIBED: self._subscribed,
            LEFT: self._left,
            RESET: self._reset,
            CLOSED: self._closed,
            END: self._end,
        }
        for event in events:
            if event[0] == RECEIVED:
                received(event)
            elif (step := steps.get(event[0])) is not None:
                step(event)
        for streams in self._open.values():
            for stream in streams.values():
                self._finish(stream)

    def counts(self) -> dict[str, int]:
        """What was seen, in numbers."""
        return {
            "received": self.received,
            "subscriptions": self.subscriptions,
            "resumes": self.resumes,
            "resets": self.resets,
        }

    def _received(self, event: Event) -> None:
        _, at, client, session, channel, seq, kind, user, content = event
        self.received += 1
        stream = self._open.get(session, {}).get(channel)
        if stream is None:
            self._unasked(event)
            return
        stored = self._log.get(channel, {}).get(seq)
        if seq == stream.next:
            stream.next = seq + 1
        elif stored is not None and (wrong := stream.out_of_order(seq, at)) is not None:
            self._found.add(wrong)
        if seq > stream.cut:
            expected = f"nothing behind the leave of user {self._users[client]}, seq {stream.cut}"
            self._found.add(stream.anomaly("M1-leave", seq, expected, f"{kind}, seq {seq}", at))
        if stored is None or stored[2] != content or stored[0] != kind or stored[1] != user:
            self._compare(stream, stored, event)

    def _compare(self, stream: Stream, stored: Seen | None, event: Event) -> None:
        """S2, for what is not plainly the same."""
        _, at, _, _, channel, seq, kind, user, content = event
        what = f"{kind} of user {user}: {show(content)}"
        if stored is None:
            self._found.add(stream.anomaly("S2-phantom", seq, "a stored entry", what, at))
        elif stored[:2] == (kind, user) and (
            kind in WITHOUT_CONTENT or (channel, seq) in self._changed
        ):
            return
        else:
            expected = f"{stored[0]} of user {stored[1]}: {show(stored[2])}"
            self._found.add(stream.anomaly("S2-differs", seq, expected, what, at))

    def _unasked(self, event: Event) -> None:
        _, at, client, session, channel, seq, kind, *_ = event
        last = self._last.get((client, channel))
        ended = last is not None and last.session == session
        name = "M1-left" if ended else "S1-unasked"
        expected = "nothing: the subscription has ended" if ended else "nothing: not subscribed"
        found = f"{kind}, seq {seq}"
        self._found.add(Anomaly(name, channel, seq, client, session, expected, found, at))

    def _subscribed(self, event: Event) -> None:
        _, at, client, session, channel, after = event
        self.subscriptions += 1
        streams = self._open.setdefault(session, {})
        before = self._last.get((client, channel))
        moved = streams.get(channel)  # again, for a subscribed channel: its cursor is moved
        if moved is not None:
            self._finish(moved)
        cut = self._members.cut(channel, self._users.get(client, -1), after, at)
        stream = Stream(client, session, channel, after, cut)
        if (client, channel) in self._removed:  # a new member may begin anywhere
            self._removed.discard((client, channel))
        elif before is not None:
            self.resumes += 1
            held = before.held
            if after not in held and not (moved is not None and after < max(held)):
                expected = f"after {' or '.join(map(str, sorted(held)))}"
                self._found.add(stream.anomaly("S3-cursor", after, expected, f"after {after}", at))
        streams[channel] = self._last[client, channel] = stream

    def _take(self, session: int, channel: int) -> Stream | None:
        """End a stream."""
        stream = self._open.get(session, {}).pop(channel, None)
        if stream is not None:
            self._finish(stream)
        return stream

    def _finish(self, stream: Stream) -> None:
        for gap in stream.gaps():
            self._found.add(gap)

    def _left(self, event: Event) -> None:
        _, _, client, session, channel, reason = event
        self._take(session, channel)
        if reason in REMOVED:
            self._removed.add((client, channel))

    def _reset(self, event: Event) -> None:
        _, at, client, session, channel, head = event
        self.resets += 1
        stream = self._take(session, channel)
        self._last.pop((client, channel), None)
        if stream is None:
            what = f"reset to {head}"
            self._found.add(
                Anomaly("S1-unasked", channel, head, client, session, "nothing", what, at)
            )
        elif not self._resets_allowed:
            expected = f"the entries behind {max(stream.held)}"
            what = f"reset, head {head}"
            self._found.add(stream.anomaly("S1-reset", head, expected, what, at))

    def _closed(self, event: Event) -> None:
        for stream in self._open.pop(event[3], {}).values():
            self._finish(stream)

    def _end(self, event: Event) -> None:
        _, at, client, session, channel, cursor = event
        stream = self._open.get(session, {}).get(channel)
        self.ended.add((client, channel))
        if stream is None or cursor not in stream.held:
            held = "no subscription" if stream is None else f"cursor {max(stream.held)}"
            self._found.add(
                Anomaly("S3-cursor", channel, cursor, client, session, held, f"{cursor}", at)
            )
        head = self._heads.get(channel, 0)
        if cursor != head:
            kind = "L1-tail" if cursor < head else "L1-ahead"
            sent = cursor if stream is None else stream.next - 1  # a gap is counted as a gap
            self._found.add(
                Anomaly(
                    kind, channel, cursor, client, session,
                    f"cursor {head}", f"cursor {cursor}", at, max(1, abs(head - sent)),
                )
            )  # fmt: skip

    def check_ends(self, ends: Ends) -> None:
        """L1: nobody is missing; by default, of those subscribed when the history stops."""
        if isinstance(ends, int):
            if len(self.ended) < ends:
                what = f"{len(self.ended)}"
                self._found.add(
                    Anomaly(
                        "L1-no-end", expected=f"{ends} at the end", found=what,
                        number=ends - len(self.ended),
                    )
                )  # fmt: skip
            return
        still = {
            (stream.client, stream.channel)
            for streams in self._open.values()
            for stream in streams.values()
        }
        for client, channel in sorted((still if ends is None else set(ends)) - self.ended):
            self._found.add(
                Anomaly("L1-no-end", channel, -1, client, expected="there at the end", found="not")
            )


def as_seen(row: Row) -> Seen:
    """Tell how a stored entry looks in a frame: a join's or leave's user is whom it is about."""
    about = row.target if row.kind in ABOUT_A_USER and row.target is not None else row.user
    return row.kind, about, "" if row.kind in WITHOUT_CONTENT else row.content
