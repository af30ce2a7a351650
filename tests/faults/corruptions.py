"""Runs with one thing broken in each, as a broken server would leave them.

Owns: what each corruption is, and under which names a checker must tell it. `must` is told in every
case; `may` is a consequence that not every run shows; anything else is a false accusation.
"""

import random
from collections.abc import Callable
from typing import NamedTuple

from tests.faults.checker import check
from tests.faults.history import (
    ACK,
    END,
    LEFT,
    RECEIVED,
    REFUSED,
    RESET,
    SEND,
    SUBSCRIBED,
    Event,
    Row,
)
from tests.faults.synthetic import FIRST_USER, World
from tests.faults.verdict import Verdict

STEPS = 1500


class Run:
    """A valid run that a corruption may change."""

    def __init__(self, seed: int) -> None:
        world = World(seed).run(STEPS)
        self.random = random.Random(seed)
        self.history, self.rows, self.heads = world.history, world.rows, world.heads
        self.ends = {(event[2], event[4]) for event in world.history.events if event[0] == END}

    @property
    def events(self) -> list[Event]:
        return self.history.events

    def places(self, tag: str, **fields: object) -> list[int]:
        """Where the events of a tag stand that have these fields."""
        at = {"client": 2, "session": 3, "channel": 4, "seq": 5, "kind": 6}
        wanted = [(at[name], value) for name, value in fields.items()]
        return [
            place
            for place, event in enumerate(self.events)
            if event[0] == tag and all(event[index] == value for index, value in wanted)
        ]

    def one(self, tag: str, **fields: object) -> int:
        return self.random.choice(self.places(tag, **fields))

    def inner_delivery(self) -> tuple[int, int]:
        """Two places: of an entry, and of the next one in the same stream; neither is an end."""
        while True:
            place = self.one(RECEIVED, kind="msg")
            _, _, client, session, channel, seq, *_ = self.events[place]
            later = self.places(
                RECEIVED, client=client, session=session, channel=channel, seq=seq + 1
            )
            begun = self.places(SUBSCRIBED, client=client, session=session, channel=channel)
            if later and len(begun) == 1:
                return place, later[0]

    def change(self, place: int, index: int, value: object) -> None:
        event = self.events[place]
        self.events[place] = (*event[:index], value, *event[index + 1 :])

    def acked_row(self) -> tuple[int, Row]:
        """The place of an ack, and what is stored of it."""
        place = self.one(ACK)
        _, _, _, channel, nonce, *_ = self.events[place]
        return place, self.row(channel, nonce)

    def row(self, channel: int, nonce: str) -> Row:
        return next(row for row in self.rows if (row.channel, row.nonce) == (channel, nonce))

    def replace(self, old: Row, **fields: object) -> None:
        values = {name: getattr(old, name) for name in Row.__slots__} | fields
        self.rows[self.rows.index(old)] = Row(**values)

    def check(self) -> Verdict:
        return check(self.history, self.rows, self.heads, ends=self.ends)


def lost_row(run: Run) -> None:
    """A crash lost what was acked, and the numbers went on."""
    run.rows.remove(run.acked_row()[1])


def lost_last_row(run: Run) -> None:
    """A crash lost what was acked, and the head with it."""
    channel = run.events[run.one(END)][4]
    last = next(r for r in run.rows if (r.channel, r.seq) == (channel, run.heads[channel]))
    run.rows.remove(last)
    run.heads[last.channel] -= 1


def double_nonce(run: Run) -> None:
    """A retry made a second entry."""
    _, row = run.acked_row()
    seq = run.heads[row.channel] + 1
    run.rows.append(Row(row.channel, seq, "msg", row.user, row.nonce, row.content))
    run.heads[row.channel] = seq


def one_seq_twice(run: Run) -> None:
    """Two transactions took one number."""
    _, row = run.acked_row()
    run.history.send(0, FIRST_USER, row.channel, "second", "second")
    run.rows.append(Row(row.channel, row.seq, "msg", FIRST_USER, "second", "second"))


def swapped_body(run: Run) -> None:
    """Two messages of one batch got each other's content."""
    _, first = run.acked_row()
    second = next(row for row in run.rows if row.kind == "msg" and row.nonce != first.nonce)
    run.replace(first, content=second.content)
    run.replace(second, content=first.content)


def gap(run: Run) -> None:
    """A frame was lost between two others."""
    place, _ = run.inner_delivery()
    del run.events[place]


def duplicate(run: Run) -> None:
    """A frame came twice."""
    place, _ = run.inner_delivery()
    run.events.insert(place + 1, run.events[place])


def swap(run: Run) -> None:
    """Two frames changed places."""
    first, second = run.inner_delivery()
    run.events[first], run.events[second] = run.events[second], run.events[first]


def tail_loss(run: Run) -> None:
    """The last entries never came to one subscriber."""
    while True:
        end = run.one(END)
        _, _, client, session, channel, cursor = run.events[end]
        last = run.places(RECEIVED, client=client, session=session, channel=channel, seq=cursor)
        if last:
            run.change(end, 5, cursor - 1)
            del run.events[last[0]]
            return


def phantom(run: Run) -> None:
    """Something was delivered that is not stored."""
    place = run.one(END)
    _, at, client, session, channel, cursor = run.events[place]
    made_up = (RECEIVED, at, client, session, channel, cursor + 1, "msg", 7, "made up")
    run.events.insert(place, made_up)


def rolled_back_publish(run: Run) -> None:
    """A batch was delivered, rolled back, and its seq given to another message."""
    place, _ = run.inner_delivery()
    run.change(place, 8, "rolled back")


def refused_but_stored(run: Run) -> None:
    """A client was told that its message never will be stored, and it is."""
    place = run.one(REFUSED)
    _, _, client, channel, nonce, _ = run.events[place]
    send = next(e for e in run.events if e[0] == SEND and e[2] == client and e[5] == nonce)
    seq = run.heads[channel] + 1
    run.rows.append(Row(channel, seq, "msg", send[3], nonce, send[6]))
    run.heads[channel] = seq


def refused_but_acked(run: Run) -> None:
    """An ack came, and a final refusal too."""
    place, _ = run.acked_row()
    _, at, client, channel, nonce, *_ = run.events[place]
    run.events.insert(place + 1, (REFUSED, at, client, channel, nonce, "forbidden"))


def two_seqs_for_one_nonce(run: Run) -> None:
    """A retry was acked with another seq."""
    place, _ = run.acked_row()
    _, at, client, channel, nonce, seq, _ = run.events[place]
    run.events.insert(place + 1, (ACK, at, client, channel, nonce, seq + 1, True))


def burnt_seq(run: Run) -> None:
    """A number was taken by a transaction that did not commit."""
    run.heads[2] += 1


def burnt_inner_seq(run: Run) -> None:
    """As before, and others were numbered behind it."""
    channel = 2
    seq = run.heads[channel] = run.heads[channel] + 2
    run.history.send(0, 100, channel, "late", "late")
    run.rows.append(Row(channel, seq, "msg", 100, "late", "late"))


def real_time_inversion(run: Run) -> None:
    """Somebody was answered, another one sent then, and got the lower number."""
    place = run.one(ACK)
    _, at, _, channel, nonce, seq, _ = run.events[place]
    before = next(
        row
        for row in run.rows
        if row.channel == channel and row.kind == "msg" and row.seq < seq and row.nonce != nonce
    )
    where = next(i for i, e in enumerate(run.events) if e[0] == SEND and e[5] == before.nonce)
    run.change(where, 1, at + 1)


def unordered_sends(run: Run) -> None:
    """Two sends of one socket, each written once, were numbered the other way round."""
    for nonce in ("first", "second"):
        run.history.send(0, 100, 1, nonce, nonce, session=99_999)
    for seq, nonce in enumerate(("second", "first"), run.heads[1] + 1):
        run.rows.append(Row(1, seq, "msg", 100, nonce, nonce))
    run.heads[1] += 2


def unknown_author(run: Run) -> None:
    """A message is stored that nobody sent."""
    _, row = run.acked_row()
    run.replace(row, nonce="another")


def ack_of_another(run: Run) -> None:
    """An ack names the seq of somebody else's message."""
    place, row = run.acked_row()
    others = [r.seq for r in run.rows if r.channel == row.channel and r.nonce != row.nonce]
    run.change(place, 5, run.random.choice(others))


def ack_without_send(run: Run) -> None:
    """An ack came for what this client never sent."""
    run.change(run.one(ACK), 4, "never sent")


def behind_the_leave(run: Run) -> None:
    """A member was removed, and heard what was said then."""
    _say_behind_leave(run, [])


def behind_the_leave_and_back(run: Run) -> None:
    """As before, and joined again later; the subscription is still the one from before."""
    _say_behind_leave(run, ["join"])


def _say_behind_leave(run: Run, then: list[str]) -> None:
    end = run.one(END)
    _, at, client, session, channel, cursor = run.events[end]
    user, other = FIRST_USER + client, FIRST_USER
    added = [
        Row(channel, cursor + 1, "msg", other, "public", "public"),
        Row(channel, cursor + 2, "leave", user, "\x7fleave", "", user),
        Row(channel, cursor + 3, "msg", other, "secret", "secret"),
        *(Row(channel, cursor + 4, kind, user, "\x7fthen", "", user) for kind in then),
    ]
    run.rows += added
    run.heads[channel] += len(added)
    sends = [(SEND, at, 0, other, channel, text, text, 0) for text in ("public", "secret")]
    run.events[end : end + 1] = [
        *sends,
        *(
            (RECEIVED, at, client, session, channel, row.seq, row.kind, about, row.content)
            for row in added
            for about in [row.target or row.user]
        ),
    ]


def after_the_removal(run: Run) -> None:
    """Entries came after `removed`, or after the answer to an unsubscription."""
    place = run.one(LEFT)
    _, at, client, session, channel, _ = run.events[place]
    row = run.rows[0]
    run.events.insert(place + 1, (RECEIVED, at, client, session, channel, row.seq, "msg", 1, ""))


def wrong_cursor(run: Run) -> None:
    """The test client came back with a cursor that it did not hold."""
    while True:
        place = run.one(SUBSCRIBED)
        _, _, client, _, channel, after = run.events[place]
        earlier = [p for p in run.places(SUBSCRIBED, client=client, channel=channel) if p < place]
        if earlier and after > 0:
            run.change(place, 5, after - 1)
            return


def missing_end(run: Run) -> None:
    """Somebody did not come back."""
    del run.events[run.one(END)]


def needless_reset(run: Run) -> None:
    """A good cursor was refused."""
    end = run.one(END)
    _, at, client, session, channel, cursor = run.events[end]
    run.events[end] = (RESET, at, client, session, channel, cursor)


def never_subscribed(run: Run) -> None:
    """Entries came of a channel that was not asked for."""
    run.history.received(0, 77_777, 1, 1, "msg", 100, "")


class Told(NamedTuple):
    """The kinds of anomalies of a corruption."""

    must: set[str]
    may: frozenset[str] | set[str] = frozenset()


UNREAD = {"L1-tail", "L1-no-end"}  # an entry was added that nobody could read
CORRUPTIONS: dict[Callable[[Run], None], Told] = {
    lost_row: Told({"A1-lost", "D1-hole"}, {"S2-phantom"}),
    lost_last_row: Told({"S2-phantom", "L1-ahead"}, {"A1-lost", "M1-leave"}),
    double_nonce: Told({"D1-nonce"}, UNREAD),
    one_seq_twice: Told({"D1-seq"}, {"A1-differs", "S2-differs", "R1-order", "M1-leave"}),
    swapped_body: Told({"A1-differs", "N1-differs"}, {"S2-differs"}),
    gap: Told({"S1-gap"}),
    duplicate: Told({"S1-duplicate"}),
    swap: Told({"S1-reorder"}),
    tail_loss: Told({"L1-tail"}),
    phantom: Told({"S2-phantom"}, {"S3-cursor"}),
    rolled_back_publish: Told({"S2-differs"}),
    refused_but_stored: Told({"N1-refused"}, UNREAD),
    refused_but_acked: Told({"N1-acked", "N1-refused"}),
    two_seqs_for_one_nonce: Told({"A2-seqs"}, {"A1-differs"}),
    burnt_seq: Told({"D1-head"}, UNREAD),
    burnt_inner_seq: Told({"D1-hole"}, UNREAD),
    # The message seems to be sent later, and so an own leave behind it to be younger.
    real_time_inversion: Told({"R1-order"}, {"M1-leave"}),
    unordered_sends: Told({"O1-order"}, UNREAD),
    unknown_author: Told({"N1-unsent", "A1-lost"}),
    ack_of_another: Told({"A1-differs"}, {"A2-seqs"}),
    ack_without_send: Told({"A1-unsent"}),
    behind_the_leave: Told({"M1-leave", "L1-no-end"}, UNREAD),
    behind_the_leave_and_back: Told({"M1-leave", "L1-no-end"}, UNREAD),
    after_the_removal: Told({"M1-left"}),
    wrong_cursor: Told({"S3-cursor"}, {"S1-gap", "S1-duplicate"}),
    missing_end: Told({"L1-no-end"}),
    needless_reset: Told({"S1-reset", "L1-no-end"}),
    never_subscribed: Told({"S1-unasked"}),
}
