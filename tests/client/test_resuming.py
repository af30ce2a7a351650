"""What a client asks on a new link, and again where the server cannot answer yet."""

import asyncio
from typing import Any

import orjson
import pytest

from rtchat.client.connection import Link
from rtchat.client.errors import ClosedError, RefusedError
from rtchat.client.events import AnyEvent, Error, Hello, Limits, Ok, Removed, Reset, decode
from rtchat.client.subscriptions import CHANNELS_MAX, RETRIED, LastSeq, Subscriptions, parts
from rtchat.client.wire import Wire
from rtchat.errors import ERRORS
from tests.client.talk import until


class PaperLink(Link):
    """A link that keeps what is written."""

    def __init__(self, **limits: int) -> None:
        hello = decode(
            orjson.dumps(
                {"t": "hello", "session": "1", "exp": 2**40, "epoch": "e", "heartbeat": 25,
                 "user": {"id": 1, "email": "a@example.org", "name": "Ann", "status": "online"},
                 "limits": limits}
            )
        )  # fmt: skip
        assert isinstance(hello, Hello)
        self.hello = hello
        self.frames: list[dict[str, Any]] = []
        self.sizes: list[int] = []

    def write(self, frame: bytes) -> None:
        self.frames.append(orjson.loads(frame))
        self.sizes.append(len(frame))


class Following:
    """A client's subscriptions, its wire, and what came out."""

    def __init__(self, cursors: dict[int, int], last_seq: LastSeq | None = None) -> None:
        self.wire = Wire()
        self.events: list[AnyEvent] = []
        self.subscriptions = Subscriptions(self.wire, self.events.append, last_seq)
        self._cursors = cursors

    async def follow(self) -> None:
        """Subscribe over a first link, and lose it."""
        link = self.connect()
        asking = asyncio.get_running_loop().create_task(
            self.subscriptions.subscribe(self._cursors, None)
        )
        while not asking.done():
            await asyncio.sleep(0)
            for frame in link.frames:
                self.answer(frame, {c: {"head": 5000} for c in frame["ch"]})
            link.frames.clear()
        await asking
        self.wire.down()

    def connect(self, **limits: int) -> PaperLink:
        link = PaperLink(**limits)
        self.wire.up(link)
        self.subscriptions.resume(link)
        return link

    def answer(self, frame: dict[str, Any], standings: dict[str, dict[str, Any]]) -> None:
        ok = decode(orjson.dumps({"t": "ok", "ref": frame["ref"], "ch": standings}))
        assert isinstance(ok, Ok)
        self.wire.on_ok(ok)

    def refuse(self, frame: dict[str, Any], code: str, *, retry: bool) -> None:
        self.wire.on_error(Error(ref=frame["ref"], code=code, message="", retry=retry, after=10))


@pytest.fixture(autouse=True)
def soon(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("rtchat.client.subscriptions.AGAIN_S", 0.01)


async def test_a_channel_that_is_unavailable_keeps_its_cursor_and_is_asked_for_again() -> None:
    """Over the same link; what is refused for good comes out as Removed."""
    following = Following({17: 1204, 18: 3, 19: 8})
    await following.follow()
    link = following.connect()
    (first,) = link.frames
    following.answer(
        first, {"17": {"error": "unavailable"}, "18": {"error": "forbidden"}, "19": {"head": 9}}
    )
    assert following.subscriptions.cursors() == {17: 1204, 19: 8}
    assert following.events == [Removed(ch=18, reason="refused")]
    await until(lambda: len(link.frames) == 2)
    assert link.frames[1]["ch"] == {"17": 1204}


async def test_a_command_that_is_unavailable_is_asked_again_on_the_same_link() -> None:
    """Dropping the socket would bring it back to a server that has trouble enough."""
    following = Following({17: 1204})
    await following.follow()
    link = following.connect()
    following.refuse(link.frames[0], "unavailable", retry=True)
    await until(lambda: len(link.frames) == 2)
    assert link.frames[1]["ch"] == {"17": 1204}
    following.refuse(link.frames[1], "unavailable", retry=True)
    following.wire.down()  # meanwhile the link is lost: the next one has its own question
    newer = following.connect()
    await asyncio.sleep(1.2)
    assert (len(link.frames), len(newer.frames)) == (2, 1)


async def test_what_is_refused_for_good_ends_the_client() -> None:
    following = Following({17: 1204})
    await following.follow()
    link = following.connect()
    with pytest.raises(ClosedError):
        following.refuse(link.frames[0], "bad_message", retry=False)


async def test_a_reset_channel_is_followed_again_by_a_server_that_is_coming_up() -> None:
    """After a restore, where everybody asks at once: a refusal for now is not the last word."""
    answers: list[int | RefusedError] = [
        RefusedError("unavailable", status=503),
        RefusedError("rate_limited", status=429, retry_after_s=0.01),
        6,
    ]

    async def last_seq(_: int) -> int:
        answer = answers.pop(0)
        if isinstance(answer, RefusedError):
            raise answer
        return answer

    following = Following({17: 1204}, last_seq)
    await following.follow()
    link = following.connect()
    following.subscriptions.on_reset(Reset(ch=17, head=6))
    await until(lambda: len(link.frames) == 2)
    assert link.frames[1]["ch"] == {"17": 6}
    following.answer(link.frames[1], {"17": {"head": 6}})
    assert following.events == [Reset(ch=17, head=6, last_seq=6)]
    assert following.subscriptions.cursors() == {17: 6}


async def test_many_channels_are_resumed_in_frames_that_fit() -> None:
    """Not more than the server takes in one, in bytes and in channels."""
    cursors = {10**12 + n: 10**9 + n for n in range(2 * CHANNELS_MAX + 1)}
    following = Following(cursors)
    await following.follow()
    for limits in ({}, {"frameBytes": 2048}):
        link = following.connect(**limits)
        assert max(link.sizes) <= link.hello.limits.frame_bytes
        assert max(len(frame["ch"]) for frame in link.frames) <= CHANNELS_MAX
        asked = {int(c): cursor for frame in link.frames for c, cursor in frame["ch"].items()}
        assert asked == cursors
        following.wire.down()


def test_a_wish_is_cut_into_as_few_frames_as_it_takes() -> None:
    assert list(parts({}, Limits())) == []
    assert list(parts({1: None, 2: 7}, Limits())) == [{1: None, 2: 7}]
    assert len(list(parts(dict.fromkeys(range(CHANNELS_MAX)), Limits()))) == 1


async def test_subscribing_waits_for_a_channel_that_is_unavailable() -> None:
    """What stands is followed at once; the answer is for all."""
    following = Following({})
    link = following.connect()
    loop = asyncio.get_running_loop()
    asking = loop.create_task(following.subscriptions.subscribe({1: 4, 2: 7}, None))
    await until(lambda: len(link.frames) == 1)
    following.answer(link.frames[0], {"1": {"head": 5}, "2": {"error": "unavailable"}})
    assert following.subscriptions.cursors() == {1: 4}
    await until(lambda: len(link.frames) == 2)
    assert link.frames[1]["ch"] == {"2": 7}
    following.answer(link.frames[1], {"2": {"head": 9}})
    ok = await asking
    assert {c: standing.head for c, standing in ok.ch.items()} == {1: 5, 2: 9}
    assert following.subscriptions.cursors() == {1: 4, 2: 7}


async def test_a_link_that_is_lost_answers_nothing() -> None:
    """Its channels are resumed by the next one."""
    following = Following({17: 1204})
    await following.follow()
    following.connect()
    following.wire.down()
    assert following.subscriptions.cursors() == {17: 1204}
    assert following.events == []


def test_what_is_asked_again_is_what_the_contract_allows_to_retry() -> None:
    assert {code.value for code, info in ERRORS.items() if info.retry} == RETRIED
