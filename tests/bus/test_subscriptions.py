"""Whatever is wanted, in whatever order it changes and connections break, the server comes to hold
exactly that, and nobody is told so too early or never.

The model is a server that works off commands in order and answers each topic once, as Redis does.
"""

from collections import deque

import hypothesis.strategies as st
from hypothesis import settings
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from rtchat.bus.subscriptions import (
    SUBSCRIBE,
    SUBSCRIBED,
    UNSUBSCRIBE,
    UNSUBSCRIBED,
    Subscriptions,
    Waiter,
)

BATCH, WINDOW = 3, 8
TOPICS = [b"%d" % number for number in range(12)]
few = st.lists(st.sampled_from(TOPICS[:3]), max_size=3)
many = st.lists(st.sampled_from(TOPICS), max_size=12)
topics = few | many


class Machine(RuleBasedStateMachine):
    def __init__(self) -> None:
        super().__init__()
        self.subscriptions = Subscriptions(BATCH, WINDOW)
        self.wanted: set[bytes] = set()
        self.to_server: deque[tuple[bytes, bytes]] = deque()
        self.from_server: deque[tuple[bytes, bytes]] = deque()
        self.server: set[bytes] = set()
        self.waiting: list[set[bytes]] = []

    @rule(topics=topics)
    def subscribe(self, topics: list[bytes]) -> None:
        waits = set(topics)

        def done() -> None:
            # Confirmed topics are held by the server, and no UNSUBSCRIBE is on its way to it.
            assert (waits & self.wanted) <= self.server
            assert not [topic for word, topic in self.to_server if topic in waits & self.wanted]
            self.waiting.remove(waits)

        self.wanted |= waits
        waiter = Waiter(done)
        self.subscriptions.add(topics, waiter)
        if waiter.missing:
            self.waiting.append(waits)
        else:
            assert waits <= self.server

    @rule(topics=topics)
    def unsubscribe(self, topics: list[bytes]) -> None:
        self.wanted -= set(topics)
        for waits in self.waiting:
            waits -= set(topics)
        self.subscriptions.remove(topics)

    @rule()
    def send(self) -> None:
        for word, *batch in self.subscriptions.take():
            assert 1 <= len(batch) <= BATCH
            self.to_server.extend((word, topic) for topic in batch)
        assert len(self.to_server) + len(self.from_server) <= WINDOW

    @rule(number=st.integers(1, 5))
    def serve(self, number: int) -> None:
        for _ in range(min(number, len(self.to_server))):
            word, topic = self.to_server.popleft()
            assert (topic in self.server) == (word == UNSUBSCRIBE), "no command is in vain"
            if word == SUBSCRIBE:
                self.server.add(topic)
                self.from_server.append((SUBSCRIBED, topic))
            else:
                self.server.discard(topic)
                self.from_server.append((UNSUBSCRIBED, topic))

    @rule(number=st.integers(1, 5))
    def hear(self, number: int) -> None:
        for _ in range(min(number, len(self.from_server))):
            assert self.subscriptions.answer(*self.from_server.popleft())

    @rule(breaks=st.sampled_from([False, False, False, True]))
    def break_the_connection(self, breaks: bool) -> None:
        if not breaks:
            return
        self.to_server.clear()
        self.from_server.clear()
        self.server.clear()
        waiting, self.waiting = self.waiting, []
        for waits in waiting:
            waits.clear()  # released without a confirmation
        self.waiting = waiting
        self.subscriptions.lost()
        assert self.waiting == []

    @invariant()
    def a_foreign_answer_is_noticed(self) -> None:
        assert not self.subscriptions.answer(SUBSCRIBED, b"never asked for")

    def teardown(self) -> None:
        ends = self.subscriptions.backlog_ends
        for _ in range(len(TOPICS) + WINDOW):
            self.send()
            self.serve(5)
            self.hear(5)
        assert self.subscriptions.settled
        assert self.subscriptions.answered <= ends
        assert self.server == self.wanted
        assert self.waiting == []
        assert len(self.subscriptions) == len(self.wanted)


TestSubscriptions = Machine.TestCase
TestSubscriptions.settings = settings(max_examples=300, stateful_step_count=40, deadline=None)


def test_only_the_answer_to_the_last_subscribe_confirms():
    subscriptions = Subscriptions(BATCH, WINDOW)
    confirmed: list[str] = []
    subscriptions.add([b"1"], Waiter(lambda: confirmed.append("taken back")))
    subscriptions.take()
    subscriptions.remove([b"1"])
    assert confirmed == ["taken back"]
    subscriptions.take()
    subscriptions.add([b"1"], Waiter(lambda: confirmed.append("last")))
    subscriptions.take()
    assert subscriptions.answer(SUBSCRIBED, b"1")
    assert subscriptions.answer(UNSUBSCRIBED, b"1")
    assert "last" not in confirmed
    assert subscriptions.answer(SUBSCRIBED, b"1")
    assert "last" in confirmed


def test_a_reconnected_link_asks_in_the_order_of_wanting():
    subscriptions = Subscriptions(BATCH, WINDOW)
    subscriptions.add(TOPICS[:4])
    subscriptions.take()
    subscriptions.lost()
    assert subscriptions.take() == [(SUBSCRIBE, *TOPICS[:3]), (SUBSCRIBE, TOPICS[3])]


def test_a_failed_attempt_to_connect_changes_nothing():
    subscriptions = Subscriptions(BATCH, WINDOW)
    subscriptions.add(TOPICS[:2])
    subscriptions.lost()
    subscriptions.lost()
    assert subscriptions.take() == [(SUBSCRIBE, *TOPICS[:2])]


def test_subscribing_and_taking_it_back_before_sending_asks_nothing():
    subscriptions = Subscriptions(BATCH, WINDOW)
    subscriptions.add(TOPICS)
    subscriptions.remove(TOPICS)
    assert subscriptions.take() == []
    assert subscriptions.settled
