"""Who is online, as the rooms of this pod are told. Pure: the clock is passed in, the I/O returned.

Owns: for each small room, which users each pod has in it, and what of that is still to be told.

A user is online while any pod has a socket of his, and a `presence` event names no channel, so what
a room is told must be true of him as a whole:
- he *comes* to a room with a subscription there that is live. To unsubscribe changes nothing: he is
  online still, and the pod tells the room when that ends.
- he *leaves* a pod when his last socket there has been gone for the grace: who reloads a page, or
  is sent away by a pod that stops, does not flicker. Before its end the pod *seeks* him: another
  pod that has a socket of his takes over his rooms, whether that socket follows them or not.
- a pod that is not heard for three beats is lost. Whom only that one had is *doubtful* and sought,
  and offline when no pod took over in time.
- who ceases to be a member is forgotten in silence. That he is gone is the log's to say.

A room with more subscribers than `room_max` takes no part: who comes to it is not told of. Of those
who were told of before, it hears that they go.

Words may be lost, come twice, or late. A pod that opens a room asks who is there; each tells the
whole list seldom, and again after the bus has lost something; and a list that is not confirmed for
long is doubtful. All of it is lost in a crash, and asked for again.

Must never: tell a room of somebody who was never in it, or keep more than `room_max` users of a pod
for a room, `ROOMS_MAX` left rooms of a user, or rooms that nobody here has to do with.
"""

from collections.abc import Collection, Iterable
from dataclasses import dataclass

from rtchat.ephemeral.crowd import DOUBTFUL, Crowd, Draft, There
from rtchat.ephemeral.word import Word

SEEK_S = 1.5  # for a pod to take over; who comes to one later, and follows nothing, is missed
ROOMS_MAX = 1000  # of a user, without a subscription here
MISSED_MAX = 100  # pods that were given up, and may have lived
CONFIRMED_BEATS = 75  # a list that was not told whole for so long is doubtful


@dataclass(slots=True)
class _Doubt:
    """Users of a room who are offline at `until`, unless a pod has told of them by then."""

    seek_at: float
    until: float
    channel_id: int
    users: set[int]
    sought: bool = False


class Presence:
    """Who is online in the rooms of the pod named `pod`."""

    def __init__(self, pod: str, *, room_max: int, grace_s: float, beat_s: float) -> None:
        self._pod = pod
        self._room_max = room_max
        self._grace_s = grace_s
        self._silence_s = 3 * beat_s
        self._confirmed_s = CONFIRMED_BEATS * beat_s
        self._crowds: dict[int, Crowd] = {}
        # Rooms of which he was told, and that no subscription may stand for any more.
        self._left_rooms: dict[int, dict[int, None]] = {}
        self._leaving: dict[int, float] = {}  # since when he has no socket here
        self._unsought: dict[int, None] = {}  # of these, in the same order
        self._doubts: list[_Doubt] = []
        self._pods: dict[str, float] = {}  # the others, and when each was heard
        self._missed: dict[str, None] = {}  # given up, perhaps too soon
        self.changes: dict[int, dict[int, bool]] = {}  # to be told here: channel, user, online?
        self._drafts: dict[int, Draft] = {}
        self._seeking: dict[int, set[int]] = {}

    def __repr__(self) -> str:
        return f"<Presence {len(self._crowds)} rooms, {len(self._pods)} pods>"

    @property
    def pods(self) -> Collection[str]:
        """The others that are heard."""
        return self._pods.keys()

    @property
    def waits(self) -> bool:
        """Whether something is to be told, or will be by the clock alone."""
        return bool(self.changes or self._drafts or self._leaving or self._doubts)

    # --- this pod's sockets

    def came(self, channel_id: int, user: int, subscribers: int) -> bool:
        """A subscription of his is live. Tells whether the room takes part."""
        crowd = self._crowds.get(channel_id)
        if crowd is None:
            if subscribers > self._room_max:
                return False
            crowd = self._crowds[channel_id] = Crowd()
        elif self._full(crowd, user) or (
            subscribers + sum(t.subscribers for t in crowd.elsewhere.values()) > self._room_max
        ):
            return False
        if not crowd.hears:
            crowd.hears = True
            draft = self._draft(channel_id)
            draft.asks = draft.whole = True  # what others asked meanwhile was not heard here
        self._enter(channel_id, crowd, user)
        return True

    def _full(self, crowd: Crowd, user: int) -> bool:
        """Whether he has no place: who is online and follows it no more has one, too."""
        return user not in crowd.here and len(crowd.here) >= self._room_max

    def _enter(self, channel_id: int, crowd: Crowd, user: int) -> None:
        if (rooms := self._left_rooms.get(user)) is not None:
            rooms.pop(channel_id, None)
        if user not in crowd.here:
            self._appear(channel_id, crowd, user)
            crowd.here.add(user)
            self._say_online(channel_id, user)

    def unsubscribed(self, channel_id: int, user: int) -> None:
        """One subscription of his has ended; there may be others."""
        crowd = self._crowds.get(channel_id)
        if crowd is None or user not in crowd.here:
            return
        rooms = self._left_rooms.setdefault(user, {})
        rooms[channel_id] = None
        if len(rooms) > ROOMS_MAX:
            self.ended(next(iter(rooms)), user)

    def back(self, user: int) -> None:
        """He has a socket here again."""
        self._leaving.pop(user, None)
        self._unsought.pop(user, None)

    def left(self, user: int, now: float) -> None:
        """His last socket here has ended."""
        self.back(user)  # to stand last
        self._leaving[user] = now
        self._unsought[user] = None

    def ended(self, channel_id: int, user: int) -> None:
        """He is a member no more: the room hears nothing of him."""
        if (rooms := self._left_rooms.get(user)) is not None:
            rooms.pop(channel_id, None)
            if not rooms:
                del self._left_rooms[user]
        crowd = self._crowds.get(channel_id)
        if crowd is None:
            return
        crowd.here.discard(user)
        crowd.gone.pop(user, None)
        for there in crowd.elsewhere.values():
            there.users.discard(user)
        self.changes.get(channel_id, {}).pop(user, None)
        if (draft := self._drafts.get(channel_id)) is not None:
            draft.online.discard(user)
            draft.gone.discard(user)
        self._tidy(channel_id, crowd)

    def dropped(self, channel_id: int) -> None:
        """The channel is deleted."""
        self._crowds.pop(channel_id, None)
        self._drafts.pop(channel_id, None)
        self.changes.pop(channel_id, None)

    def closed(self, channel_id: int) -> None:
        """The room is not open here any more: what others tell of it is not heard."""
        self.changes.pop(channel_id, None)
        if (crowd := self._crowds.get(channel_id)) is not None:
            crowd.hears = False
            crowd.elsewhere.clear()
            crowd.gone.clear()
            self._tidy(channel_id, crowd)

    def _tidy(self, channel_id: int, crowd: Crowd) -> None:
        if not (crowd.hears or crowd.here):
            del self._crowds[channel_id]

    def left_rooms(self) -> dict[int, list[int]]:
        """Users by rooms that are not open here: whether they are members still, nothing tells."""
        found: dict[int, list[int]] = {}
        for channel_id, crowd in self._crowds.items():
            if not crowd.hears:
                for user in crowd.here:
                    found.setdefault(user, []).append(channel_id)
        return found

    def listing(self, channel_id: int) -> tuple[set[int], Collection[int]]:
        """For who comes to a room: who is online, and who went last."""
        crowd = self._crowds.get(channel_id)
        return (crowd.everybody(), crowd.gone) if crowd is not None else (set(), ())

    def known(self, channel_id: int, users: set[int]) -> set[int]:
        """Which of these this room has online."""
        crowd = self._crowds.get(channel_id)
        return crowd.known(users) if crowd is not None else set()

    # --- the other pods

    def beat(self, pod: str, now: float) -> None:
        """Another pod was heard. One that had been given up has lost our words, and we its."""
        if pod != self._pod:
            self._pods[pod] = now
            if pod in self._missed:
                del self._missed[pod]
                self.ask_again()

    def ask_again(self) -> None:
        """Words were lost: tell whole lists, and ask for them."""
        for channel_id, crowd in self._crowds.items():
            draft = self._draft(channel_id)
            draft.whole, draft.asks = True, crowd.hears

    def heard(self, channel_id: int, word: Word, now: float) -> None:
        """Take another pod's word."""
        if word.origin == self._pod:
            return
        self.beat(word.origin, now)
        crowd = self._crowds.get(channel_id)
        if crowd is None or not crowd.hears:
            return
        if word.asks and crowd.here:
            self._draft(channel_id).whole = True
        there = crowd.elsewhere.setdefault(word.origin, There(now))
        there.subscribers = word.subscribers
        if word.whole:
            there.whole_at = now
            self._doubt(channel_id, crowd, there.users.difference(word.online), now)
            there.users.intersection_update(word.online)
        for user in word.online:
            if len(there.users) < self._room_max:
                self._appear(channel_id, crowd, user)
                there.users.add(user)
        for user in word.gone:
            if user in there.users:
                there.users.discard(user)
                self._disappear(channel_id, crowd, user)
        if not (there.users or there.subscribers):
            del crowd.elsewhere[word.origin]

    def parted(self, pod: str, now: float) -> None:
        """Another pod says that it stops: its users have their grace to come to others."""
        if pod in self._pods:
            self._lose(pod, now, now + self._grace_s)

    def _lose(self, pod: str, now: float, until: float) -> bool:
        """Doubt all that it told. Tells whether it had told anything."""
        told = False
        self._pods.pop(pod, None)
        for channel_id, crowd in self._crowds.items():
            if (there := crowd.elsewhere.pop(pod, None)) is not None:
                self._doubt(channel_id, crowd, there.users, now, until)
                told = True
        return told

    def take_over(self, user: int, channels: Iterable[int]) -> None:
        """Another pod seeks him, who has a socket here and is a member of these channels."""
        for channel_id in channels:
            crowd = self._crowds.setdefault(channel_id, Crowd())
            if not self._full(crowd, user):
                self._enter(channel_id, crowd, user)
                self._say_online(channel_id, user)  # where he was here: the word of it was lost
                self.unsubscribed(channel_id, user)

    # --- the clock

    def refresh(self, channel_id: int, users: Iterable[int], subscribers: int, now: float) -> None:
        """Tell the whole list of an open room, in which these users have live subscriptions."""
        for user in users:
            if not self.came(channel_id, user, subscribers):
                break
        crowd = self._crowds.get(channel_id)
        if crowd is None:
            return
        self._draft(channel_id).whole = True
        for pod, there in list(crowd.elsewhere.items()):
            if pod != DOUBTFUL and now - there.whole_at > self._confirmed_s:
                del crowd.elsewhere[pod]
                self._doubt(channel_id, crowd, there.users, now)

    def tick(self, now: float) -> None:
        """Do what is due."""
        for pod, at in list(self._pods.items()):
            if now - at > self._silence_s:
                if self._lose(pod, now, now + SEEK_S):
                    self._missed[pod] = None
                if len(self._missed) > MISSED_MAX:
                    del self._missed[next(iter(self._missed))]
        if self._leaving:
            self._let_go(now)
        if self._doubts:
            self._settle_doubts(now)

    def _let_go(self, now: float) -> None:
        """Of who has no socket here any more."""
        for user, since in list(self._leaving.items()):
            if now - since < self._grace_s:
                break
            if user not in self._unsought:  # else this pod was stalled: first he is sought
                del self._leaving[user]
                self._depart(user)
        for user in list(self._unsought):
            if now - self._leaving[user] < self._grace_s - SEEK_S:
                break
            del self._unsought[user]
            for channel_id in self._left_rooms.get(user, ()):
                self._seeking.setdefault(user, set()).add(channel_id)

    def _depart(self, user: int) -> None:
        for channel_id in self._left_rooms.pop(user, ()):
            crowd = self._crowds.get(channel_id)
            if crowd is None or user not in crowd.here:
                continue
            crowd.here.discard(user)
            draft = self._draft(channel_id)
            draft.online.discard(user)
            draft.gone.add(user)
            self._disappear(channel_id, crowd, user)
            self._tidy(channel_id, crowd)

    def _doubt(
        self,
        channel_id: int,
        crowd: Crowd,
        users: Iterable[int],
        now: float,
        until: float | None = None,
    ) -> None:
        """These were in a list that is not believed any more: they are gone unless others know."""
        users = set(users)
        if not users:
            return
        crowd.elsewhere.setdefault(DOUBTFUL, There(now)).users |= users
        until = now + SEEK_S if until is None else until
        self._doubts.append(_Doubt(until - SEEK_S, until, channel_id, users))

    def _settle_doubts(self, now: float) -> None:
        for doubt in self._doubts:
            crowd = self._crowds.get(doubt.channel_id)
            there = crowd.elsewhere.get(DOUBTFUL) if crowd is not None else None
            if crowd is None or there is None:
                doubt.users.clear()
                continue
            if not doubt.sought and now >= doubt.seek_at:
                doubt.sought = True
                for user in doubt.users & there.users:
                    self._seeking.setdefault(user, set()).add(doubt.channel_id)
            elif now >= doubt.until:
                for user in doubt.users & there.users:
                    there.users.discard(user)
                    self._disappear(doubt.channel_id, crowd, user)
                if not there.users:
                    del crowd.elsewhere[DOUBTFUL]
                doubt.users.clear()
        self._doubts = [doubt for doubt in self._doubts if doubt.users]

    # --- what is to be told

    def _appear(self, channel_id: int, crowd: Crowd, user: int) -> None:
        """Before he is added."""
        if crowd.hears and not crowd.knows(user):
            self.changes.setdefault(channel_id, {})[user] = True
            crowd.gone.pop(user, None)
        if (doubtful := crowd.elsewhere.get(DOUBTFUL)) is not None:
            doubtful.users.discard(user)

    def _disappear(self, channel_id: int, crowd: Crowd, user: int) -> None:
        """After he was taken away."""
        if crowd.hears and not crowd.knows(user):
            self.changes.setdefault(channel_id, {})[user] = False
            crowd.gone[user] = None
            if len(crowd.gone) > self._room_max:
                del crowd.gone[next(iter(crowd.gone))]

    def _draft(self, channel_id: int) -> Draft:
        draft = self._drafts.get(channel_id)
        if draft is None:
            draft = self._drafts[channel_id] = Draft()
        return draft

    def _say_online(self, channel_id: int, user: int) -> None:
        draft = self._draft(channel_id)
        draft.gone.discard(user)
        draft.online.add(user)

    def take_drafts(self, count: int) -> dict[int, Draft]:
        """The words to be said now, of so many channels at most."""
        taken: dict[int, Draft] = {}
        for channel_id in list(self._drafts)[:count]:
            draft = taken[channel_id] = self._drafts.pop(channel_id)
            if draft.whole:
                crowd = self._crowds.get(channel_id)
                draft.online = set(crowd.here) if crowd is not None else set()
        return taken

    def take_seeking(self) -> dict[int, set[int]]:
        """Users to be sought, with their rooms."""
        seeking, self._seeking = self._seeking, {}
        return seeking
