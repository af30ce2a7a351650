"""Who is online, decided: pods, users and rooms in a network that loses, doubles and reorders.

The model knows where each socket is. Whatever happened: once the network is whole and the lists
were told again, every room says of every member with a socket somewhere that he is online, if he
was ever told of there, and of nobody else.
"""

import random
from itertools import count

import pytest

from rtchat.ephemeral.presence import CONFIRMED_BEATS, ROOMS_MAX, SEEK_S, Presence
from rtchat.ephemeral.word import Word

GRACE_S, BEAT_S, TICK_S = 8.0, 10.0, 0.5
USERS, CHANNELS, PODS = range(1, 9), range(1, 6), 3


class Pod:
    """A pod: the part to be tested, its sockets, and what its rooms were told."""

    def __init__(self, name: str, now: float, room_max: int = 100) -> None:
        self.presence = Presence(name, room_max=room_max, grace_s=GRACE_S, beat_s=BEAT_S)
        self.name = name
        self.sockets: dict[int, tuple[int, set[int]]] = {}  # by number: user, channels
        self.told: dict[int, dict[int, bool]] = {}  # by channel: what its room was told
        self.beat_at = now

    def subs(self, channel: int) -> list[int]:
        return [user for user, channels in self.sockets.values() if channel in channels]

    def has(self, user: int) -> bool:
        return any(mine == user for mine, _ in self.sockets.values())

    def note(self) -> None:
        """Take what is to be told, as sockets would hear it."""
        changes, self.presence.changes = self.presence.changes, {}
        for channel, statuses in changes.items():
            if self.subs(channel):
                self.told.setdefault(channel, {}).update(statuses)


class Fleet:
    """Pods, a network between them, and the members of channels."""

    def __init__(self, seed: int, *, lossy: bool = True) -> None:
        self.random = random.Random(seed)
        self.lossy = lossy
        self.now = 0.0
        self.names = map(str, count(1))
        self.numbers = count(1)
        self.pods: list[Pod] = [self.new_pod() for _ in range(PODS)]
        self.flying: list[tuple[float, Pod, int, Word]] = []
        self.seeking: list[tuple[float, Pod, int, list[int]]] = []
        self.members = {c: {u for u in USERS if self.random.random() < 0.7} for c in CHANNELS}

    def new_pod(self) -> Pod:
        return Pod(next(self.names), self.now)

    # --- what users do

    def connect(self, pod: Pod, user: int) -> int:
        number = next(self.numbers)
        if not pod.has(user):
            pod.presence.back(user)
        pod.sockets[number] = user, set()
        return number

    def subscribe(self, pod: Pod, number: int, channel: int) -> None:
        user, channels = pod.sockets[number]
        if user in self.members[channel]:
            channels.add(channel)
            pod.presence.came(channel, user, len(pod.subs(channel)))
            online, gone = pod.presence.listing(channel)
            told = pod.told.setdefault(channel, {})
            told.update(dict.fromkeys(gone, False))
            told.update(dict.fromkeys(online, True))

    def unsubscribe(self, pod: Pod, number: int, channel: int) -> None:
        user, channels = pod.sockets[number]
        channels.discard(channel)
        pod.presence.unsubscribed(channel, user)
        if not pod.subs(channel):
            pod.presence.closed(channel)
            pod.told.pop(channel, None)

    def disconnect(self, pod: Pod, number: int) -> None:
        user, channels = pod.sockets[number]
        for channel in list(channels):
            self.unsubscribe(pod, number, channel)
        del pod.sockets[number]
        if not pod.has(user):
            pod.presence.left(user, self.now)

    def remove(self, channel: int, user: int) -> None:
        """By an entry of the log: every pod with the room has it, in time; the others by a notice
        that is not lost here (a list that is told again checks it, in the teller)."""
        self.members[channel].discard(user)
        for pod in self.pods:
            for _, channels in filter(lambda s: s[0] == user, pod.sockets.values()):
                channels.discard(channel)
            pod.presence.ended(channel, user)
            pod.told.get(channel, {}).pop(user, None)
            if not pod.subs(channel):
                pod.presence.closed(channel)
                pod.told.pop(channel, None)

    def kill(self, pod: Pod, *, orderly: bool) -> None:
        self.pods.remove(pod)
        if orderly:
            for other in self.pods:
                other.presence.parted(pod.name, self.now)
        self.pods.append(self.new_pod())

    # --- the network and the clock

    def publish(self, pod: Pod) -> None:
        for channel, draft in pod.presence.take_drafts(1000).items():
            people = list(draft.online), list(draft.gone)
            size = len(pod.subs(channel))
            word = Word(pod.name, [], [], *people, draft.whole, draft.asks, size)
            for other in self.pods:
                if self.lossy and self.random.random() < 0.2:
                    continue
                times = 2 if self.lossy and self.random.random() < 0.1 else 1
                for _ in range(times):
                    delay = self.random.uniform(0, 2) if self.lossy else 0
                    self.flying.append((self.now + delay, other, channel, word))
        for user, channels in pod.presence.take_seeking().items():
            for other in self.pods:
                if not (self.lossy and self.random.random() < 0.2):
                    self.seeking.append((self.now, other, user, sorted(channels)))

    def deliver(self) -> None:
        due = [item for item in self.flying if item[0] <= self.now]
        self.flying = [item for item in self.flying if item[0] > self.now]
        for _, pod, channel, word in due:
            if pod in self.pods and pod.subs(channel):
                pod.presence.heard(channel, word, self.now)
        seeking, self.seeking = self.seeking, []
        for _, pod, user, channels in seeking:
            if pod in self.pods and pod.has(user):
                mine = [c for c in channels if user in self.members[c]]
                pod.presence.take_over(user, mine)

    def tick(self, step_s: float = TICK_S) -> None:
        self.now += step_s
        for pod in list(self.pods):
            if self.now >= pod.beat_at:
                pod.beat_at = self.now + BEAT_S
                for other in self.pods:
                    if not (self.lossy and self.random.random() < 0.4):
                        other.presence.beat(pod.name, self.now)
            pod.presence.tick(self.now)
            self.publish(pod)
        self.deliver()
        for pod in self.pods:
            pod.note()

    def settle(self) -> None:
        """A whole network, lists told again as often as a list is believed, and some time."""
        self.lossy = False
        for pod in self.pods:
            pod.presence.ask_again()
        for _ in range(4):
            for pod in self.pods:
                for channel in CHANNELS:
                    if users := pod.subs(channel):
                        pod.presence.refresh(channel, set(users), len(users), self.now)
            for _ in range(60):
                self.tick(CONFIRMED_BEATS * BEAT_S / 150)

    # --- what must hold

    def check(self) -> None:
        online = {user for pod in self.pods for user, _ in pod.sockets.values()}
        for pod in self.pods:
            for channel in CHANNELS:
                if not pod.subs(channel):
                    continue
                told = {u for u, on in pod.told.get(channel, {}).items() if on}
                followed = {u for p in self.pods for u in p.subs(channel)}
                assert told <= online & self.members[channel], (pod.name, channel, "not online")
                assert followed <= told, (pod.name, channel, "not told of")
                assert told == pod.presence.listing(channel)[0], (pod.name, channel)

    def act(self, *, kills: bool = True) -> None:
        pod = self.random.choice(self.pods)
        chance = self.random.random()
        number = self.random.choice(list(pod.sockets)) if pod.sockets else None
        if number is None or chance < 0.2:
            self.connect(pod, self.random.choice(USERS))
        elif chance < 0.6:
            self.subscribe(pod, number, self.random.choice(CHANNELS))
        elif chance < 0.7:
            self.unsubscribe(pod, number, self.random.choice(CHANNELS))
        elif chance < 0.9:
            self.disconnect(pod, number)
        elif chance < 0.95:
            channel, user = self.random.choice(CHANNELS), self.random.choice(USERS)
            if user in self.members[channel]:
                self.remove(channel, user)
            else:
                self.members[channel].add(user)
        elif chance < 0.97 and kills:
            self.kill(pod, orderly=self.random.random() < 0.5)


@pytest.mark.parametrize("seed", range(60))
def test_all_pods_agree_with_the_truth_in_the_end(seed: int):
    fleet = Fleet(seed)
    for _ in range(300):
        for _ in range(fleet.random.randrange(3)):
            fleet.act()
        fleet.tick()
    fleet.settle()
    fleet.check()


@pytest.mark.parametrize("seed", range(30))
def test_without_losses_words_are_enough(seed: int):
    """While pods live, no list is ever told again: rooms agree as soon as the grace is over."""
    fleet = Fleet(seed, lossy=False)
    for _ in range(5):
        for _ in range(40):
            fleet.act(kills=False)
            fleet.tick()
        for _ in range(round((GRACE_S + SEEK_S) / TICK_S)):
            fleet.tick()
        fleet.check()


@pytest.mark.parametrize("seed", range(10))
def test_without_losses_nobody_flickers(seed: int):
    """A room never hears that somebody is offline who has a socket, on whichever pod; unless it
    opened when he had been sought already, and nobody had found him."""
    fleet = Fleet(seed, lossy=False)
    since: dict[int, float] = {}  # when the user came online
    for _ in range(300):
        if fleet.random.random() < 0.5:
            fleet.act()
        before = {pod.name: {c: dict(t) for c, t in pod.told.items()} for pod in fleet.pods}
        online = {user for user in USERS if any(pod.has(user) for pod in fleet.pods)}
        since = {user: since.get(user, fleet.now) for user in online}
        fleet.tick()
        for pod in fleet.pods:
            for channel, told in pod.told.items():
                for user, on in told.items():
                    went = before[pod.name].get(channel, {}).get(user, False) and not on
                    late = fleet.now - since.get(user, fleet.now) <= SEEK_S + 2 * TICK_S
                    assert not went or late, (pod.name, channel, user)


@pytest.fixture
def alone() -> Presence:
    return Presence("me", room_max=3, grace_s=GRACE_S, beat_s=BEAT_S)


def test_a_room_that_is_full_takes_nobody_in(alone: Presence):
    """Who came before is told of when he goes."""
    assert all(alone.came(7, user, user) for user in (1, 2, 3))
    assert not alone.came(7, 4, 4)
    assert alone.changes[7] == {1: True, 2: True, 3: True}
    alone.changes.clear()
    for user in (1, 4):
        alone.unsubscribed(7, user)
        alone.left(user, 0.0)
    alone.tick(GRACE_S - SEEK_S)
    alone.tick(GRACE_S)
    assert alone.changes == {7: {1: False}}


def test_who_looked_into_a_room_and_is_online_counts_towards_a_full_room(alone: Presence):
    """Or those who look into one channel after the other would all be told of in each."""
    for user in range(1, 6):
        assert alone.came(7, user, 1) == (user <= 3)
        alone.unsubscribed(7, user)
    alone.take_over(6, [7])
    assert alone.listing(7)[0] == {1, 2, 3}
    assert alone.came(7, 1, 1), "has his place"
    alone.ended(7, 2)
    assert alone.came(7, 6, 2)


def test_others_count_towards_a_full_room(alone: Presence):
    """As far as they have told how many they are."""
    assert alone.came(7, 1, 1)
    alone.heard(7, Word("other", online=[2], subscribers=2), 0.0)
    assert alone.came(7, 3, 1)
    assert not alone.came(7, 4, 2)


def test_one_pod_cannot_tell_of_more_than_fit(alone: Presence):
    """Whatever the bus brings."""
    alone.came(7, 1, 1)
    alone.heard(7, Word("other", online=list(range(10, 1000)), subscribers=1), 0.0)
    assert len(alone.listing(7)[0]) == 1 + 3


def test_rooms_that_were_left_are_bounded(alone: Presence):
    """The first of them are forgotten, in silence."""
    for channel in range(1, ROOMS_MAX + 11):
        alone.came(channel, 1, 1)
        alone.unsubscribed(channel, 1)
    alone.changes.clear()
    alone.left(1, 0.0)
    alone.tick(GRACE_S - SEEK_S)
    alone.tick(GRACE_S)
    assert len(alone.changes) == ROOMS_MAX


def test_nothing_is_kept_of_rooms_that_are_over(alone: Presence):
    """Closed and left, or deleted."""
    for channel in (7, 8):
        alone.came(channel, 1, 1)
        alone.heard(channel, Word("other", online=[2], subscribers=1), 0.0)
    alone.unsubscribed(7, 1)
    alone.closed(7)
    alone.dropped(8)
    alone.left(1, 0.0)
    alone.tick(GRACE_S - SEEK_S)
    alone.tick(GRACE_S)
    alone.take_drafts(10)
    alone.tick(100.0)
    assert repr(alone) == "<Presence 0 rooms, 0 pods>"
    assert not alone.waits
