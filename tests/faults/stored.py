"""The log against what the clients sent and were told: A1, A2, D1, N1, R1, O1. Pure.

Real-time order (R1) needs no knowledge of which write came first, only of pairs that cannot
overlap: an ack that was read before another message was written. Both moments are by one clock, a
send is noted before it is written and an ack after it is read, so no pair is accused wrongly.
"""

import sys
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from tests.faults.history import ACK, PERSON, REFUSED, RETRIED, SEND, Event, Row
from tests.faults.verdict import Anomaly, Findings

NONCE_TAKEN = "nonce_conflict"  # the one final refusal that says: this nonce is stored
CHUNK = 40
SENT = {"msg", "react"}  # kinds of entries that clients of a run send


@dataclass(slots=True)
class Ack:
    """An ack, as a client read it."""

    at: int
    client: int
    seq: int
    dup: bool


@dataclass(slots=True)
class Said:
    """One message of one user, by its nonce: every try, every answer, and what is stored."""

    at: int
    client: int
    user: int
    channel: int
    nonce: str
    contents: list[str]  # one, but for a test that uses a nonce twice
    session: int
    retried: bool = False
    acks: list[Ack] = field(default_factory=list)
    refusals: list[tuple[int, int, str]] = field(default_factory=list)  # at, client, code
    row: Row | None = None

    @property
    def refused(self) -> bool:
        """Whether it was refused for good."""
        conflict = len(set(self.contents)) > 1
        return any(code != NONCE_TAKEN or not conflict for _, _, code in self.refusals)


Key = tuple[int, int, str]  # channel, user, nonce


class Book:
    """All that was said, by (channel, user, nonce), in the order of the first tries."""

    def __init__(self, events: Iterable[Event], rows: Sequence[Row], found: Findings) -> None:
        self.users: dict[int, int] = {}  # client to user
        self.said: dict[Key, Said] = {}
        self._found = found
        notes = {
            SEND: self._send,
            ACK: self._answer,
            REFUSED: self._answer,
            RETRIED: self._retried,
            PERSON: self._person,
        }
        for event in events:
            note = notes.get(event[0])
            if note is not None:
                note(event)
        for row in rows:
            said = self.said.get((row.channel, row.user, row.nonce))
            if said is not None and said.row is None:
                said.row = row

    def _of(self, client: int, channel: int, nonce: str) -> Said | None:
        return self.said.get((channel, self.users.get(client, -1), nonce))

    def _person(self, event: Event) -> None:
        self.users[event[2]] = event[3]

    def _retried(self, event: Event) -> None:
        if said := self._of(*event[2:]):
            said.retried = True

    def _send(self, event: Event) -> None:
        _, at, client, user, channel, nonce, content, session = event
        self.users[client] = user
        key = channel, user, nonce
        if (said := self.said.get(key)) is None:
            self.said[key] = Said(at, client, user, channel, nonce, [content], session)
        else:
            said.retried = True
            said.contents.append(content)

    def _answer(self, event: Event) -> None:
        tag, at, client, channel, nonce, *answer = event
        said = self._of(client, channel, nonce)
        if said is None:
            what = f"{tag} {answer[0]} for nonce {nonce!r}"
            self._found.add(
                Anomaly("A1-unsent", channel, -1, client, expected="a send", found=what, at=at)
            )
        elif tag == ACK:
            said.acks.append(Ack(at, client, *answer))
        else:
            said.refusals.append((at, client, *answer))


def show(text: str) -> str:
    """Quote a text, cut if it is long."""
    return repr(text if len(text) <= CHUNK else f"{text[:CHUNK]}…")


def check_stored(
    book: Book, rows: Sequence[Row], heads: Mapping[int, int], found: Findings
) -> None:
    """Check the log; `found` gets what is wrong."""
    by_channel: dict[int, list[Row]] = {channel: [] for channel in heads}
    for row in rows:
        by_channel.setdefault(row.channel, []).append(row)
    for channel, entries in by_channel.items():
        entries.sort(key=lambda row: row.seq)
        _dense(channel, entries, heads.get(channel), found)
        _known(entries, book, found)
    by_place = {(row.channel, row.seq): row for row in rows}
    for said in book.said.values():
        _acks(said, by_place, found)
        _refused(said, found)
    _real_time(book, found)
    _socket_order(book, found)


def _dense(channel: int, entries: list[Row], head: int | None, found: Findings) -> None:
    """D1: one entry for each of 1..n, the head is n, no nonce twice."""
    last = 0
    nonces: dict[tuple[int, str], int] = {}
    for row in entries:
        if row.seq == last:
            found.add(Anomaly("D1-seq", channel, row.seq, expected="one entry", found="two"))
        elif row.seq != last + 1:
            missing = row.seq - last - 1
            what = f"{missing} missing before {row.seq}"
            expected = f"seq {last + 1}"
            found.add(
                Anomaly("D1-hole", channel, last + 1, expected=expected, found=what, number=missing)
            )
        last = row.seq
        first = nonces.setdefault((row.user, row.nonce), row.seq)
        if first != row.seq:
            what = f"nonce {row.nonce!r} of user {row.user} there, too"
            found.add(
                Anomaly("D1-nonce", channel, row.seq, expected=f"only seq {first}", found=what)
            )
    if head != last:
        found.add(Anomaly("D1-head", channel, last, expected=f"head {last}", found=f"head {head}"))


def _known(entries: list[Row], book: Book, found: Findings) -> None:
    """N1: each stored message and reaction was sent, as it is stored."""
    for row in entries:
        if row.kind not in SENT:
            continue
        said = book.said.get((row.channel, row.user, row.nonce))
        if said is None:
            what = f"{show(row.content)} of user {row.user}, nonce {row.nonce!r}"
            found.add(Anomaly("N1-unsent", row.channel, row.seq, expected="a send", found=what))
        elif row.content not in said.contents and not row.changed:
            found.add(
                Anomaly(
                    "N1-differs", row.channel, row.seq, said.client,
                    expected=show(said.contents[0]), found=show(row.content), at=said.at,
                )
            )  # fmt: skip


def _acks(said: Said, by_place: Mapping[tuple[int, int], Row], found: Findings) -> None:
    """A1: what was acked is stored where the ack says; A2: all acks of it say the same."""
    for ack in said.acks:
        row = by_place.get((said.channel, ack.seq))
        expected = f"{show(said.contents[0])} of user {said.user}, nonce {said.nonce!r}"
        if said.row is None:
            kind, what = "A1-lost", "not stored" if row is None else f"{show(row.content)} there"
        elif row is None or (row.user, row.nonce) != (said.user, said.nonce):
            kind, what = "A1-differs", f"stored as seq {said.row.seq}"
        elif row.content not in said.contents and not row.changed:
            kind, what = "A1-differs", show(row.content)
        else:
            continue
        found.add(
            Anomaly(
                kind, said.channel, ack.seq, ack.client,
                expected=expected, found=what, at=ack.at,
            )
        )  # fmt: skip
        break  # one message, one anomaly, however many acks it had
    for ack in said.acks[1:]:
        if ack.seq != said.acks[0].seq:
            expected = f"seq {said.acks[0].seq}, as acked before"
            what = f"seq {ack.seq}{', dup' if ack.dup else ''}"
            found.add(
                Anomaly(
                    "A2-seqs", said.channel, ack.seq, ack.client,
                    expected=expected, found=what, at=ack.at,
                )
            )  # fmt: skip


def _refused(said: Said, found: Findings) -> None:
    """N1: what was refused for good is neither stored nor acked."""
    if not said.refused:
        return
    at, client, code = said.refusals[0]
    if said.row is not None:
        found.add(
            Anomaly(
                "N1-refused", said.channel, said.row.seq, client,
                expected=f"not stored: {code}", found="stored", at=at,
            )
        )  # fmt: skip
    if said.acks:
        ack = said.acks[0]
        found.add(
            Anomaly(
                "N1-acked", said.channel, ack.seq, client,
                expected=f"no ack: {code}", found=f"acked as seq {ack.seq}", at=ack.at,
            )
        )  # fmt: skip


def _real_time(book: Book, found: Findings) -> None:
    """R1: who was acked before another was sent has the lower seq. One pass from the end."""
    stored = [(said.row.seq, said) for said in book.said.values() if said.row is not None]
    stored.sort(key=lambda pair: (pair[1].channel, -pair[0]))
    channel, earliest, by = -1, 0, (0, 0)
    for seq, said in stored:
        if said.channel != channel:
            channel, earliest = said.channel, sys.maxsize
        if earliest < said.at:
            after, acked_as = by
            expected = f"a seq above {acked_as}, which was acked {(said.at - after) / 1e6:.3f} ms"
            found.add(
                Anomaly(
                    "R1-order", channel, seq, said.client, said.session,
                    expected=f"{expected} before this was sent", found=f"seq {seq}", at=said.at,
                )
            )  # fmt: skip
        if said.acks and (acked := min(ack.at for ack in said.acks)) < earliest:
            earliest, by = acked, (acked, seq)


def _socket_order(book: Book, found: Findings) -> None:
    """O1: the sends of one socket that were written once are numbered in their order."""
    last: dict[tuple[int, int], int] = {}
    for said in book.said.values():
        if said.session == 0 or said.retried or said.row is None:
            continue
        key = said.session, said.channel
        before = last.get(key, 0)
        if said.row.seq < before:
            found.add(
                Anomaly(
                    "O1-order", said.channel, said.row.seq, said.client, said.session,
                    expected=f"a seq above {before}", found=f"seq {said.row.seq}", at=said.at,
                )
            )  # fmt: skip
        last[key] = max(before, said.row.seq)
