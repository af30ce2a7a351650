"""Random runs that keep every promise, as a model of the server and its clients would make them.

Owns: what a valid history may look like: lost acks, retries on other sockets, refusals, resumes,
unsubscriptions, people who leave and join again. The clock is the model's own, so a seed gives the
same run for ever.
"""

import random
from collections.abc import Iterator
from dataclasses import dataclass, field

from tests.faults.history import History, Row

CHANNELS = 3
FIRST_USER = 100  # so that a client's number is not its user's


@dataclass(eq=False)
class Message:
    """A message on its way."""

    client: int
    channel: int
    nonce: str
    content: str
    row: Row | None = None


@dataclass
class Reader:
    """A client: its socket, and the cursors that it holds."""

    client: int
    user: int
    session: int | None = None
    held: dict[int, int] = field(default_factory=dict)
    subscribed: set[int] = field(default_factory=set)
    member: set[int] = field(default_factory=lambda: set(range(1, CHANNELS + 1)))


class World:
    """A run, step by step: `step` does something that may happen, `finish` brings it to its end."""

    def __init__(self, seed: int, clients: int = 4) -> None:
        self.random = random.Random(seed)
        self.now = 1_000_000_000
        self.history = History(clock=self._tick)
        self.log: dict[int, list[Row]] = {channel: [] for channel in range(1, CHANNELS + 1)}
        self.people = [Reader(n, FIRST_USER + n) for n in range(clients)]
        self.waiting: list[Message] = []  # sent, not stored
        self.unanswered: list[Message] = []  # stored, without an ack that arrived
        self._numbers = 0
        for person in self.people:
            self.history.person(person.client, person.user)

    @property
    def rows(self) -> list[Row]:
        return [row for log in self.log.values() for row in log]

    @property
    def heads(self) -> dict[int, int]:
        return {channel: len(log) for channel, log in self.log.items()}

    def _tick(self) -> int:
        self.now += self.random.randint(0, 2_000_000)  # two events may have one moment
        return self.now

    def _number(self) -> int:
        self._numbers += 1
        return self._numbers

    def run(self, steps: int) -> "World":
        steps_and_weights = [
            (self.connect, 3), (self.close, 1), (self.send, 10), (self.store, 10), (self.ack, 10),
            (self.refuse, 1), (self.deliver, 40), (self.unsubscribe, 0.5), (self.move, 0.5),
            (self.mark, 0.3),
        ]  # fmt: skip
        choices, weights = zip(*steps_and_weights, strict=True)
        for step in self.random.choices(choices, weights, k=steps):
            step()
        self.finish()
        return self

    def connect(self) -> None:
        if away := [person for person in self.people if person.session is None]:
            person = self.random.choice(away)
            person.session = self._number()
            for channel in sorted(person.member):
                self.subscribe(person, channel)

    def subscribe(self, person: Reader, channel: int) -> None:
        assert person.session is not None
        start = self.random.choice([0, len(self.log[channel])])
        after = person.held.setdefault(channel, start)
        self.history.subscribed(person.client, person.session, channel, after)
        person.subscribed.add(channel)

    def close(self) -> None:
        if there := [person for person in self.people if person.session is not None]:
            person = self.random.choice(there)
            assert person.session is not None
            self.history.closed(person.client, person.session)
            person.session = None
            person.subscribed.clear()

    def send(self) -> None:
        person = self.random.choice(self.people)
        if person.session is not None and person.member:
            channel = self.random.choice(sorted(person.member))
            nonce, content = f"n{self._number()}", f"text {self._number()}"
            self.history.send(person.client, person.user, channel, nonce, content)
            self.waiting.append(Message(person.client, channel, nonce, content))

    def store(self) -> None:
        if message := self._one_of(self.waiting):
            user = FIRST_USER + message.client
            message.row = self.append(
                message.channel, "msg", user, nonce=message.nonce, content=message.content
            )
            self.unanswered.append(message)

    def append(
        self, channel: int, kind: str, user: int, *, nonce: str = "", content: str = ""
    ) -> Row:
        target = user if kind != "msg" else None
        seq = len(self.log[channel]) + 1
        row = Row(channel, seq, kind, user, nonce or f"\x7f{seq}", content, target, self.now)
        self.log[channel].append(row)
        return row

    def ack(self) -> None:
        """Acks arrive, or are lost for ever, or come again for a retry."""
        fate = self.random.random()
        if fate < 0.05:
            self._one_of(self.unanswered)
        elif message := self._one_of(self.unanswered):
            assert message.row is not None
            if fate < 0.3:
                self.history.retried(message.client, message.channel, message.nonce)
            self.history.ack(
                message.client, message.channel, message.nonce, message.row.seq, fate < 0.3
            )

    def refuse(self) -> None:
        if message := self._one_of(self.waiting):
            self.history.refused(message.client, message.channel, message.nonce, "too_long")

    def _one_of(self, messages: list[Message]) -> Message | None:
        return messages.pop(self.random.randrange(len(messages))) if messages else None

    def streams(self) -> Iterator[tuple[Reader, int, int]]:
        for person in self.people:
            if person.session is not None:
                for channel in sorted(person.subscribed):
                    yield person, person.session, channel

    def deliver(self) -> None:
        """Give one stream a few entries; whoever comes to the own leave hears no more."""
        if not (streams := list(self.streams())):
            return
        person, session, channel = self.random.choice(streams)
        number = self.random.randint(1, 5)
        self._deliver(person, session, channel, number)

    def _deliver(self, person: Reader, session: int, channel: int, number: int) -> None:
        start = person.held[channel]
        for row in self.log[channel][start : start + number]:
            user = row.user if row.target is None else row.target
            self.history.received(
                person.client, session, channel, row.seq, row.kind, user, row.content
            )
            person.held[channel] = row.seq

    def unsubscribe(self) -> None:
        if streams := list(self.streams()):
            person, session, channel = self.random.choice(streams)
            self.history.left(person.client, session, channel, "unsub")
            person.subscribed.discard(channel)

    def move(self) -> None:
        """Somebody leaves a channel, or joins it again; a leaver may hear what came before."""
        person = self.random.choice(self.people)
        channel = self.random.randint(1, CHANNELS)
        if channel not in person.member:
            self.append(channel, "join", person.user)
            person.member.add(channel)
            if person.session is not None:
                self.subscribe(person, channel)
            return
        if person.session is not None and channel in person.subscribed:
            if self.random.random() < 0.5:
                self._deliver(person, person.session, channel, len(self.log[channel]))
            self.append(channel, "leave", person.user)
            if person.held[channel] == len(self.log[channel]) - 1:
                self._deliver(person, person.session, channel, 1)
            self.history.left(person.client, person.session, channel, "left")
        else:
            self.append(channel, "leave", person.user)
        person.subscribed.discard(channel)
        person.member.discard(channel)

    def mark(self) -> None:
        self.history.mark(self.random.choice(["injected pod kill", "healed pod kill"]))

    def finish(self) -> None:
        """Heal: everybody comes back, and comes to the head."""
        self.history.mark("healed")
        for message in list(self.unanswered):
            assert message.row is not None
            self.history.ack(message.client, message.channel, message.nonce, message.row.seq, False)
        while any(person.session is None for person in self.people):
            self.connect()
        for person, session, channel in list(self.streams()):
            self._deliver(person, session, channel, len(self.log[channel]))
            self.history.end(person.client, session, channel, person.held[channel])
