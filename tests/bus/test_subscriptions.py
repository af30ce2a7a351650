"""Whatever is wanted, in whatever order it changes and connections break, the server comes to hold
exactly that, and nobody is told so too early or never.

The model is a server that works off commands in order and answers each topic once, as Redis does;
or a node of a cluster, which refuses what is not in its slots and takes away what leaves them.
"""

from collections import deque
from dataclasses import dataclass

import hypothesis.strategies as st
from hypothesis import settings
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from rtchat.bus.slots import slot_of
from rtchat.bus.subscriptions import PLAIN, SHARDED, Subscriptions, Waiter

BATCH, WINDOW = 3, 8
TAGS = [b"t:{%d}" % number for number in range(3)]
TOPICS = [TAGS[number % 3] + b"%d" % number for number in range(12)]
NOBODYS = TAGS[2]  # who asks for it elsewhere than at its owner is not told where that is
few = st.lists(st.sampled_from(TOPICS[:3]), max_size=3)
many = st.lists(st.sampled_from(TOPICS), max_size=12)
topics = few | many
tags = st.sampled_from(TAGS)


def tag_of(topic: bytes) -> bytes:
    return topic[: topic.index(b"}") + 1]


@dataclass(frozen=True)
class Refusal:
    """An error, which names the slot that it is about, or none."""

    slot: int | None


class Machine(RuleBasedStateMachine):
    words = PLAIN

    def __init__(self) -> None:
        super().__init__()
        self.subscriptions = Subscriptions(self.words, BATCH, WINDOW)
        self.wanted: set[bytes] = set()
        self.to_server: deque[tuple[bytes, ...]] = deque()
        self.from_server: deque[tuple[bytes, bytes] | Refusal] = deque()
        self.server: set[bytes] = set()
        self.owned = set(TAGS)
        self.waiting: list[set[bytes]] = []
        self.mistaken = 0  # replies that nobody asked for; each may be taken for one that was

    def is_held(self, topic: bytes) -> bool:
        """Whether the server holds it and no UNSUBSCRIBE is on its way to it."""
        gives_back = [words for words in self.to_server if words[0] == self.words.unsubscribe]
        return topic in self.server and not any(topic in words for words in gives_back)

    def is_told(self, topic: bytes) -> bool:
        """Whether it is known here, or about to be, that the server does not give this topic."""
        taken = (self.words.unsubscribed, topic)
        return topic in self.subscriptions._stranded or taken in self.from_server

    @rule(topics=topics)
    def subscribe(self, topics: list[bytes]) -> None:
        waits = set(topics)

        def done() -> None:
            assert all(self.is_held(topic) or self.is_told(topic) for topic in waits & self.wanted)
            self.waiting = [others for others in self.waiting if others is not waits]

        self.wanted |= waits
        waiter = Waiter(done)
        self.subscriptions.add(topics, waiter)
        if waiter.missing:
            self.waiting.append(waits)
        else:
            assert all(topic in self.server or self.is_told(topic) for topic in waits)

    @rule(topics=topics)
    def unsubscribe(self, topics: list[bytes]) -> None:
        self.want_no_longer(topics)
        self.subscriptions.remove(topics)

    def want_no_longer(self, topics: list[bytes]) -> None:
        self.wanted -= set(topics)
        for waits in self.waiting:
            waits -= set(topics)

    @rule()
    def send(self) -> None:
        for command in self.subscriptions.take():
            assert 1 <= len(command) - 1 <= BATCH
            self.to_server.append(command)
        assert sum(len(command) - 1 for command in self.to_server) <= WINDOW + self.mistaken

    @rule(number=st.integers(1, 3))
    def serve(self, number: int) -> None:
        for _ in range(min(number, len(self.to_server))):
            word, *topics = self.to_server.popleft()
            self.execute(word, topics)

    def execute(self, word: bytes, topics: list[bytes]) -> None:
        for topic in topics:
            is_in_vain = (topic in self.server) == (word == self.words.subscribe)
            assert not is_in_vain or self.words.sharded
            if word == self.words.subscribe:
                self.server.add(topic)
                self.from_server.append((self.words.subscribed, topic))
            else:
                self.server.discard(topic)
                self.from_server.append((self.words.unsubscribed, topic))

    @rule(number=st.integers(1, 5))
    def hear(self, number: int) -> None:
        for _ in range(min(number, len(self.from_server))):
            reply = self.from_server.popleft()
            assert not isinstance(reply, Refusal)
            assert self.subscriptions.answer(*reply)

    @rule(breaks=st.sampled_from([False, False, False, True]))
    def break_the_connection(self, breaks: bool) -> None:
        if not breaks:
            return
        self.to_server.clear()
        self.from_server.clear()
        self.server.clear()
        self.mistaken = 0
        waiting, self.waiting = self.waiting, []
        for waits in waiting:
            waits.clear()  # released without a confirmation
        self.waiting = waiting
        self.subscriptions.lost()
        assert self.waiting == []

    @invariant()
    def a_foreign_answer_is_noticed(self) -> None:
        assert not self.subscriptions.answer(self.words.subscribed, b"never asked for")

    def come_to_rest(self) -> None:
        for _ in range(len(TOPICS) + WINDOW):
            self.send()
            self.serve(5)
            self.hear(5)

    def teardown(self) -> None:
        ends = self.subscriptions.backlog_ends
        self.come_to_rest()
        assert self.subscriptions.settled
        assert self.subscriptions.answered <= ends
        assert self.server == self.wanted
        assert self.waiting == []
        assert len(self.subscriptions) == len(self.wanted)


class ClusterMachine(Machine):
    """The server is a node of a cluster; its slots leave and come back."""

    words = SHARDED

    def execute(self, word: bytes, topics: list[bytes]) -> None:
        [tag] = {tag_of(topic) for topic in topics}  # anything else is CROSSSLOT
        if tag in self.owned:
            super().execute(word, topics)
        else:
            slot = slot_of(tag_of(topics[0])[3:-1].decode())
            self.from_server.append(Refusal(None if tag == NOBODYS else slot))

    @rule(tag=tags)
    def a_slot_leaves(self, tag: bytes) -> None:
        self.owned.discard(tag)
        for topic in sorted(self.server):
            if tag_of(topic) == tag:
                self.server.discard(topic)
                self.mistaken += 1
                self.from_server.append((SHARDED.unsubscribed, topic))

    @rule(tag=tags)
    def a_slot_comes(self, tag: bytes) -> None:
        self.owned.add(tag)

    @rule()
    def the_map_says_it_is_here(self) -> None:
        self.subscriptions.ask_again()

    @rule(tag=tags)
    def the_map_says_it_is_elsewhere(self, tag: bytes) -> None:
        """True or not: a map may be old."""
        topics = [topic for topic in TOPICS if tag_of(topic) == tag]
        self.want_no_longer(topics)
        self.subscriptions.forget(topics)

    @rule(number=st.integers(1, 5))
    def hear(self, number: int) -> None:
        """What `Node` does."""
        for _ in range(min(number, len(self.from_server))):
            reply = self.from_server.popleft()
            self.hear_one(reply)
            for waits in self.waiting:  # who waited for those was let go: told later, if not now
                waits.difference_update(self.subscriptions._stranded)
            if not self.from_server:
                return

    def hear_one(self, reply: tuple[bytes, bytes] | Refusal) -> None:
        if isinstance(reply, Refusal):
            self.subscriptions.refused(reply.slot)
        elif self.subscriptions.answer(*reply):
            pass
        elif reply[0] == SHARDED.unsubscribed:
            self.subscriptions.taken_away(reply[1])
        else:
            self.break_the_connection(breaks=True)

    def teardown(self) -> None:
        self.owned |= set(TAGS)
        self.come_to_rest()
        for _ in range(2):  # what was on its way at first may have stranded something once more
            self.subscriptions.ask_again()
            self.come_to_rest()
        assert self.subscriptions.settled
        assert not self.subscriptions.stranded
        assert self.wanted <= self.server
        assert self.waiting == []
        assert len(self.subscriptions) == len(self.wanted)


TestSubscriptions = Machine.TestCase
TestSubscriptions.settings = settings(max_examples=200, stateful_step_count=40, deadline=None)
TestSubscriptionsInACluster = ClusterMachine.TestCase
TestSubscriptionsInACluster.settings = settings(
    max_examples=150, stateful_step_count=40, deadline=None
)


def test_only_the_answer_to_the_last_subscribe_confirms():
    subscriptions = Subscriptions(PLAIN, BATCH, WINDOW)
    confirmed: list[str] = []
    subscriptions.add([b"1"], Waiter(lambda: confirmed.append("taken back")))
    subscriptions.take()
    subscriptions.remove([b"1"])
    assert confirmed == ["taken back"]
    subscriptions.take()
    subscriptions.add([b"1"], Waiter(lambda: confirmed.append("last")))
    subscriptions.take()
    assert subscriptions.answer(b"subscribe", b"1")
    assert subscriptions.answer(b"unsubscribe", b"1")
    assert "last" not in confirmed
    assert subscriptions.answer(b"subscribe", b"1")
    assert "last" in confirmed


def test_a_reconnected_link_asks_in_the_order_of_wanting():
    subscriptions = Subscriptions(PLAIN, BATCH, WINDOW)
    subscriptions.add(TOPICS[:4])
    subscriptions.take()
    subscriptions.lost()
    assert subscriptions.take() == [(b"SUBSCRIBE", *TOPICS[:3]), (b"SUBSCRIBE", TOPICS[3])]


def test_what_is_to_be_first_is_asked_for_first():
    subscriptions = Subscriptions(SHARDED, 2, len(TOPICS))
    subscriptions.add(TOPICS[:3])
    subscriptions.add_first(TOPICS[6])
    asked = [(b"SSUBSCRIBE", TOPICS[6], TOPICS[0]), *((b"SSUBSCRIBE", t) for t in TOPICS[1:3])]
    assert subscriptions.take() == asked
    subscriptions.lost()
    assert subscriptions.take() == asked
    for topic in (TOPICS[1], TOPICS[6]):
        subscriptions.taken_away(topic)
    subscriptions.ask_again()
    assert subscriptions.take() == [(b"SSUBSCRIBE", TOPICS[6]), (b"SSUBSCRIBE", TOPICS[1])]


def test_a_failed_attempt_to_connect_changes_nothing():
    subscriptions = Subscriptions(PLAIN, BATCH, WINDOW)
    subscriptions.add(TOPICS[:2])
    subscriptions.lost()
    subscriptions.lost()
    assert subscriptions.take() == [(b"SUBSCRIBE", *TOPICS[:2])]


def test_subscribing_and_taking_it_back_before_sending_asks_nothing():
    subscriptions = Subscriptions(PLAIN, BATCH, WINDOW)
    subscriptions.add(TOPICS)
    subscriptions.remove(TOPICS)
    assert subscriptions.take() == []
    assert subscriptions.settled


def test_a_command_names_topics_of_one_slot():
    subscriptions = Subscriptions(SHARDED, BATCH, len(TOPICS))
    subscriptions.add(TOPICS)
    assert subscriptions.take() == [
        (b"SSUBSCRIBE", *batch)
        for tag in range(3)
        for batch in (TOPICS[tag::3][:3], TOPICS[tag::3][3:])
    ]


def test_who_waits_for_what_is_refused_waits_no_longer():
    subscriptions = Subscriptions(SHARDED, BATCH, WINDOW)
    let_go: list[str] = []
    subscriptions.add(TOPICS[:1], Waiter(lambda: let_go.append("refused")))
    subscriptions.add(TOPICS[1:2], Waiter(lambda: let_go.append("confirmed")))
    subscriptions.take()
    subscriptions.refused()
    assert let_go == ["refused"]
    assert subscriptions.answer(b"ssubscribe", TOPICS[1])
    assert let_go == ["refused", "confirmed"]
    assert subscriptions.stranded
    assert subscriptions.take() == [], "it is not asked for until somebody knows more"
    subscriptions.add(TOPICS[:1], Waiter(lambda: let_go.append("tried again")))
    assert subscriptions.take() == [(b"SSUBSCRIBE", TOPICS[0])]


def test_an_error_left_over_from_a_race_with_the_server_means_nothing():
    """The server took the topic away just when it was given back: the reply came unasked."""
    subscriptions = Subscriptions(SHARDED, BATCH, WINDOW)
    subscriptions.add(TOPICS[:1])
    subscriptions.take()
    assert subscriptions.answer(b"ssubscribe", TOPICS[0])
    subscriptions.remove(TOPICS[:1])
    assert subscriptions.take() == [(b"SUNSUBSCRIBE", TOPICS[0])]
    assert subscriptions.answer(b"sunsubscribe", TOPICS[0])
    subscriptions.refused()
    assert subscriptions.settled
    assert not subscriptions.stranded


def given_back_just_when_taken_away() -> Subscriptions:
    """As above, and the next command, of another slot, is on its way when the error comes."""
    subscriptions = Subscriptions(SHARDED, BATCH, WINDOW)
    subscriptions.add(TOPICS[:1])
    subscriptions.take()
    assert subscriptions.answer(b"ssubscribe", TOPICS[0])
    subscriptions.remove(TOPICS[:1])
    subscriptions.take()
    assert subscriptions.answer(b"sunsubscribe", TOPICS[0])
    subscriptions.add(TOPICS[1:2])
    assert subscriptions.take() == [(b"SSUBSCRIBE", TOPICS[1])]
    return subscriptions


def test_an_error_left_over_is_not_charged_to_another_slots_command():
    subscriptions = given_back_just_when_taken_away()
    subscriptions.refused(slot_of("0"))
    assert not subscriptions.stranded
    assert subscriptions.answer(b"ssubscribe", TOPICS[1])
    assert subscriptions.settled
    subscriptions.remove(TOPICS[1:2])
    subscriptions.take()
    subscriptions.refused(slot_of("1"))
    assert subscriptions.settled, "its own slot's error is"


def test_an_error_left_over_that_names_no_slot_costs_the_connection_and_mends_itself():
    subscriptions = given_back_just_when_taken_away()
    subscriptions.refused(None)
    assert not subscriptions.answer(b"ssubscribe", TOPICS[1]), "out of turn: the link is dropped"
    subscriptions.lost()
    assert subscriptions.take() == [(b"SSUBSCRIBE", TOPICS[1])]
