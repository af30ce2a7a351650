"""What one connection should hear, what it does hear, and the commands that close the difference.

Owns: the wanted topics of one node, what was asked of the server, and who waits for an answer.
Pure: no socket, no clock; `take` returns the commands to send, `answer` is fed the replies.
Must never: lose a wanted topic, or call a topic confirmed before the reply to its *last* SUBSCRIBE.
Lost in a crash: all of it; the next process starts with what its clients want.

Order. Only the difference between what is wanted and what was asked is sent, so any mix of
subscribing and unsubscribing ends in what was wanted last. A server answers in order, one reply a
topic; a reply that is not the expected one means that we no longer know what the server holds: the
connection is given up, and the next one starts from the wanted topics.

Stranded. A node of a cluster may refuse a command whose slot is not its own, with one error for
all its topics, and takes topics away unasked when their slot leaves. Such topics are wanted and not
asked for until somebody who knows the cluster's map says `ask_again`, or `forget`.

What came unasked looks like the reply to an UNSUBSCRIBE that is on its way; that one is then
refused, one error too many. By the slot that most errors name it is not charged to the command of
another topic. Where no slot is named (CLUSTERDOWN), or it came back in between, the topics of the
next command are stranded wrongly, and its true replies, out of turn then, cost the connection.
"""

from collections import OrderedDict, deque
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass

from rtchat.bus.slots import slot_of


@dataclass(frozen=True, slots=True, kw_only=True)
class Words:
    """The words of one kind of pub/sub on the wire."""

    publish: bytes
    subscribe: bytes
    unsubscribe: bytes
    subscribed: bytes
    unsubscribed: bytes
    message: bytes
    sharded: bool  # a command's topics share their hash tag, and a server may send us elsewhere


PLAIN = Words(
    publish=b"PUBLISH",
    subscribe=b"SUBSCRIBE",
    unsubscribe=b"UNSUBSCRIBE",
    subscribed=b"subscribe",
    unsubscribed=b"unsubscribe",
    message=b"message",
    sharded=False,
)
SHARDED = Words(
    publish=b"SPUBLISH",
    subscribe=b"SSUBSCRIBE",
    unsubscribe=b"SUNSUBSCRIBE",
    subscribed=b"ssubscribe",
    unsubscribed=b"sunsubscribe",
    message=b"smessage",
    sharded=True,
)


class Waiter:
    """Someone who waits until a number of topics is confirmed. `done` is called once."""

    __slots__ = ("done", "missing")

    def __init__(self, done: Callable[[], None]) -> None:
        self.missing = 0
        self.done = done

    def one_less(self) -> None:
        """One of the topics needs no more waiting."""
        self.missing -= 1
        if self.missing == 0:
            self.done()


class Subscriptions:
    """The subscriptions of one node, over all its connections."""

    def __init__(self, words: Words, batch_topics: int, window_topics: int) -> None:
        self.answered = 0  # replies so far, with those that an error stood for
        self._words = words
        self._asked = 0  # replies that will have come once all commands sent are answered
        self._batch_topics = batch_topics
        self._window_topics = window_topics
        self._wanted: dict[bytes, None] = {}  # in the order of wanting, which restoring keeps
        self._first = b""  # but for this one
        self._sent: dict[bytes, int] = {}  # asked for and not taken back: at which reply it stands
        self._dirty: OrderedDict[bytes, None] = OrderedDict()  # may differ between the two above
        self._stranded: dict[bytes, None] = {}  # wanted, and not to be had here for now
        self._expected: deque[tuple[bytes, bytes]] = deque()
        self._ends: deque[int] = deque()  # the last reply of each command not wholly answered
        self._waiters: dict[bytes, list[Waiter]] = {}

    def __len__(self) -> int:
        return len(self._wanted)

    def add(self, topics: Iterable[bytes], waiter: Waiter | None = None) -> None:
        """Want these topics. `waiter.missing` counts those not confirmed yet."""
        for topic in topics:
            if topic not in self._wanted or topic in self._stranded:
                self._wanted[topic] = None
                self._stranded.pop(topic, None)
                self._dirty[topic] = None
            if waiter is not None and not self._confirmed(topic):
                waiter.missing += 1
                self._waiters.setdefault(topic, []).append(waiter)

    def add_first(self, topic: bytes) -> None:
        """Want this one before all others, now and whenever they are asked for again."""
        self._first = topic
        self.add([topic])
        self._put_first()

    def remove(self, topics: Iterable[bytes]) -> None:
        """Want them no longer; who still waits for one of them need not."""
        for topic in topics:
            if topic in self._wanted:
                del self._wanted[topic]
                self._stranded.pop(topic, None)
                if topic in self._sent:
                    self._dirty[topic] = None
                else:
                    self._dirty.pop(topic, None)
                self._release(topic)

    def forget(self, topics: Iterable[bytes]) -> None:
        """Want them no longer and ask nothing: their slot has left this node."""
        for topic in topics:
            self._wanted.pop(topic, None)
            self._stranded.pop(topic, None)
            self._dirty.pop(topic, None)
            self._sent.pop(topic, None)
            self._release(topic)

    def ask_again(self) -> None:
        """Want what is stranded from this node after all."""
        self._dirty.update(self._stranded)
        self._stranded.clear()
        self._put_first()

    def take(self) -> list[tuple[bytes, ...]]:
        """The commands to send now, oldest wish first, as many as fit into the window.

        The window bounds what a server holds for us while we come back with everything: 10,000
        confirmations are 0.5 MB, where 600,000 at once would pass the 32 MB at which it hangs up.
        (In a cluster it is one more for each topic that was taken away just when we gave it back.)
        """
        subscribe: list[bytes] = []
        unsubscribe: list[bytes] = []
        room = self._window_topics - len(self._expected)
        while self._dirty and len(subscribe) + len(unsubscribe) < room:
            topic, _ = self._dirty.popitem(last=False)
            if topic in self._wanted and topic not in self._sent:
                subscribe.append(topic)
            elif topic not in self._wanted and self._sent.pop(topic, None) is not None:
                unsubscribe.append(topic)
        words = self._words
        gone = [(words.unsubscribe, *batch) for batch in self._batches(unsubscribe)]
        come = [(words.subscribe, *batch) for batch in self._batches(subscribe)]
        for _, *topics in gone:
            for topic in topics:
                self._expect(words.unsubscribed, topic)
            self._ends.append(self._asked)
        for _, *topics in come:
            for topic in topics:
                self._sent[topic] = self._expect(words.subscribed, topic)
            self._ends.append(self._asked)
        return [*gone, *come]

    def answer(self, kind: bytes, topic: bytes) -> bool:
        """Note one reply. False: it is not the expected one."""
        if not self._expected or self._expected[0] != (kind, topic):
            return False
        self._expected.popleft()
        self._count()
        if self._sent.get(topic) == self.answered:
            self._release(topic)
        return True

    def refused(self, slot: int | None = None) -> None:
        """Note an error in place of the replies to the oldest command; its topics are stranded.

        If nothing is expected, or only from another slot than the error's, it is left over from a
        topic that was taken away just when we gave it back.
        """
        if self._ends and slot in (None, _slot_of(self._expected[0][1])):
            end = self._ends[0]
            while self.answered < end:
                _, topic = self._expected.popleft()
                self._count()
                if self._sent.get(topic) == self.answered:
                    self.taken_away(topic)

    def taken_away(self, topic: bytes) -> None:
        """Note that the server ended this subscription by itself."""
        if self._sent.pop(topic, None) is not None:
            self._dirty.pop(topic, None)
            if topic in self._wanted:
                self._stranded[topic] = None
                self._release(topic)

    def lost(self) -> None:
        """The connection is gone: everything wanted is to be asked for again; nobody waits."""
        if self._sent or self._expected or self._stranded:
            self._sent.clear()
            self._stranded.clear()
            self._expected.clear()
            self._ends.clear()
            self.answered = self._asked
            self._dirty = OrderedDict.fromkeys(self._wanted)
            self._put_first()
        for topic in list(self._waiters):
            self._release(topic)

    @property
    def has_room(self) -> bool:
        """Whether `take` is worth calling again: there are wishes, and half a window is free."""
        return bool(self._dirty) and 2 * len(self._expected) <= self._window_topics

    @property
    def stranded(self) -> bool:
        """Whether something is wanted that this node does not give."""
        return bool(self._stranded)

    @property
    def settled(self) -> bool:
        """Whether the server has answered all that was asked, and there is no more to ask."""
        return not self._dirty and not self._expected

    @property
    def asking(self) -> bool:
        """Whether an answer is still to come."""
        return bool(self._expected)

    @property
    def backlog_ends(self) -> int:
        """The value of `answered` at which all that is wanted now is confirmed, at the latest."""
        return self._asked + len(self._dirty)

    def _put_first(self) -> None:
        if self._first in self._dirty:
            self._dirty.move_to_end(self._first, last=False)

    def _confirmed(self, topic: bytes) -> bool:
        return self._sent.get(topic, self.answered + 1) <= self.answered

    def _expect(self, kind: bytes, topic: bytes) -> int:
        self._expected.append((kind, topic))
        self._asked += 1
        return self._asked

    def _count(self) -> None:
        self.answered += 1
        if self.answered == self._ends[0]:
            self._ends.popleft()

    def _release(self, topic: bytes) -> None:
        for waiter in self._waiters.pop(topic, ()):
            waiter.one_less()

    def _batches(self, topics: list[bytes]) -> Iterator[list[bytes]]:
        """Cut into what one command may name; a cluster refuses topics of two slots in one."""
        for group in _by_tag(topics) if self._words.sharded else [topics]:
            for at in range(0, len(group), self._batch_topics):
                yield group[at : at + self._batch_topics]


def _slot_of(topic: bytes) -> int:
    return slot_of(topic[topic.index(b"{") + 1 : topic.index(b"}")].decode())


def _by_tag(topics: list[bytes]) -> Iterable[list[bytes]]:
    groups: dict[bytes, list[bytes]] = {}
    for topic in topics:
        groups.setdefault(topic[: topic.index(b"}")], []).append(topic)
    return groups.values()
