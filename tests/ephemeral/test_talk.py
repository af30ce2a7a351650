"""What is told of typing and marks: what waits for the next tick, and what is dropped."""

from collections.abc import Callable

import msgspec

from rtchat.config import Config
from rtchat.ephemeral.talk import Talking, Talks
from rtchat.measures import Delivering, Telling
from rtchat.room import Room, Tails, nobody

CHANNEL, CLOSED = 7, 8
CONFIG = msgspec.structs.replace(Config(), typing_room_max=3, ephemeral_writes_max=10)


class Listener:
    """Whoever follows a room."""

    def __init__(self) -> None:
        self.user_id = 1
        self.write: Callable[[bytes], None] = nobody


def talking(subscribers: int = 1) -> Talking:
    """With one room, in which so many are."""
    room = Room(CHANNEL, nobody, Tails(1000), 1000, Delivering())
    for _ in range(subscribers):
        room.register(Listener())
    return Talking(CONFIG, Telling(), {CHANNEL: room}.get)


def said(talks: Talks) -> dict[int, tuple[list[int], dict[int, int]]]:
    return {channel: (list(talk.typing), talk.read) for channel, talk in talks.items()}


def test_what_is_said_here_is_told_here_and_to_the_others():
    """Once; what another pod said, and of a room that is not open here, in one place."""
    talk = talking()
    talk.note(CHANNEL, 1)
    talk.note(CHANNEL, 1)
    talk.heard(CHANNEL, 2, 9)
    talk.heard(CHANNEL, 2, 5)
    talk.note(CLOSED, 1)
    talk.heard(CLOSED, 2)
    assert talk
    assert said(talk.take_here()) == {CHANNEL: ([1], {2: 9})}
    assert said(talk.take_others()) == {CHANNEL: ([1], {}), CLOSED: ([1], {})}
    assert not talk


def test_a_large_room_is_told_nothing():
    """Nor are its people on other pods, as far as they are told from here."""
    talk = talking(subscribers=4)
    talk.note(CHANNEL, 1)
    talk.heard(CHANNEL, 2, 9)
    assert not talk


def test_beyond_the_bounds_it_is_dropped_and_counted():
    """So many people of a room, typing and reading apart; and so many rooms."""
    talk = talking()
    measures = talk._measures
    for user in range(1, 6):
        talk.heard(CHANNEL, user)
        talk.heard(CHANNEL, user, 1)
    talk.heard(CHANNEL, 3, 2)  # one who is there may read on
    assert measures.dropped == 4
    for channel in range(100, 115):
        talk.note(channel, 1)
    assert measures.dropped == 4 + 5
    assert len(talk.take_others()) == 10
    assert said(talk.take_here()) == {CHANNEL: ([1, 2, 3], {1: 1, 2: 1, 3: 2})}


def test_who_has_written_is_typing_no_more():
    """What he has read stands."""
    talk = talking()
    talk.note(CHANNEL, 1)
    talk.note(CHANNEL, 1, 9)
    talk.wrote(CHANNEL, 1)
    talk.wrote(CLOSED, 1)
    for talks in (talk.take_here(), talk.take_others()):
        assert said(talks) == {CHANNEL: ([], {1: 9})}


def test_nothing_is_told_of_who_is_a_member_no_more():
    """Nor of a channel that is deleted."""
    talk = talking()
    for user in (1, 2):
        talk.note(CHANNEL, user)
        talk.note(CHANNEL, user, 9)
    talk.ended(CHANNEL, 1)
    assert said(talk._here) == said(talk._others) == {CHANNEL: ([2], {2: 9})}
    talk.dropped(CHANNEL)
    assert not talk
