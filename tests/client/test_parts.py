"""The client's small parts: the close-code table, decoding, the queue, URLs, REST's retries."""

import asyncio

import pytest

from rtchat.client import (
    Client,
    ClosedError,
    Msg,
    RefusedError,
    Rest,
    Typing,
    Unknown,
    UnknownEntry,
)
from rtchat.client.backoff import BASE_S, CAP_S, Backoff, Verdict, judge
from rtchat.client.calls import endpoints
from rtchat.client.events import Known, Ok, decode
from rtchat.client.stream import Events
from rtchat.errors import Close
from tests.people import People
from tests.pods import Pod


def test_every_close_code_has_a_verdict() -> None:
    """The server's own list of codes: by the hundred, 4202 with a new token."""
    verdicts = {
        **{code: Verdict.BACK_OFF for code in Close if code < 4000},
        **{code: Verdict.GIVE_UP for code in Close if 4000 <= code < 4100},
        **{code: Verdict.BACK_OFF for code in Close if 4100 <= code < 4200},
        Close.RESTART: Verdict.AT_ONCE,
        Close.DRAINING: Verdict.AT_ONCE,
        Close.TOKEN_EXPIRED: Verdict.RENEW,
    }
    assert {code: judge(code) for code in Close} == verdicts
    assert judge(None) is judge(1006) is judge(4301) is Verdict.BACK_OFF


def test_back_off_is_full_jitter() -> None:
    """Delays fill the interval from 0 to a doubling bound, up to 30 s, behind the server's hint."""
    for failures in range(12):
        bound = min(CAP_S, BASE_S * 2**failures)
        delays = [_after(failures).delay() for _ in range(300)]
        assert 0 <= min(delays) < 0.1 * bound
        assert 0.9 * bound < max(delays) <= bound
    for failures, bound in ((0, BASE_S), (3, 8 * BASE_S), (10, CAP_S)):
        hinted = [_after(failures).delay(Verdict.BACK_OFF, 8.2) - 8.2 for _ in range(300)]
        assert -1e-6 < min(hinted) < 0.1 * bound
        assert 0.9 * bound < max(hinted) <= bound + 1e-6


@pytest.mark.parametrize("verdict", [Verdict.AT_ONCE, Verdict.RENEW])
def test_at_once_is_so_twice_in_a_series(verdict: Verdict) -> None:
    """From the third in a row on it grows, too: a server that sends all away is not hammered."""
    for failures, bound in ((0, BASE_S), (1, BASE_S), (2, 2 * BASE_S), (5, 16 * BASE_S)):
        delays = [_after(failures).delay(verdict) for _ in range(300)]
        assert min(delays) < 0.1 * bound
        assert 0.9 * bound < max(delays) <= bound
    assert _after(12).delay(verdict) <= CAP_S


def test_only_a_long_connection_ends_a_series() -> None:
    """After 10 s of life the delays begin anew; who is let in and cut off again backs off still."""
    backoff = _after(10)
    backoff.lived(10)
    assert backoff.delay() <= BASE_S
    delays = []
    for _ in range(50):
        backoff = Backoff()
        for _ in range(8):
            backoff.delay()
            backoff.lived(9.9)
        delays.append(backoff.delay())
    assert max(delays) > BASE_S * 2**5


def _after(failures: int) -> Backoff:
    backoff = Backoff()
    for _ in range(failures):
        backoff.delay()
    return backoff


def test_unknown_fields_and_types_are_no_error() -> None:
    """The contract lets a server add both."""
    raw = b'{"t":"msg","ch":1,"seq":2,"user":3,"content":"hi","ts":4,"mood":"fine"}'
    assert decode(raw) == Msg(ch=1, seq=2, user=3, content="hi", ts=4)
    for raw, kind in [
        (b'{"t":"poll","ch":1}', "poll"),
        (b'{"t":7}', ""),
        (b"[", ""),
        (b"\xff", ""),
    ]:
        assert decode(raw) == Unknown(t=kind, raw=raw)


def test_an_entry_of_an_unknown_kind_has_its_place_in_the_log() -> None:
    """Or the next one would seem to come too early, and the client came back for ever."""
    raw = b'{"t":"pin","ch":1,"seq":3,"of":2}'
    entry = decode(raw)
    assert entry == UnknownEntry(t="pin", ch=1, seq=3, raw=raw)
    for raw in (b'{"t":"ack","ch":1,"seq":3}', b'{"t":"read","ch":1,"seq":3}'):
        assert not isinstance(decode(raw), UnknownEntry)
    for raw in (b'{"t":"pin","ch":"1","seq":3}', b'{"t":"pin","ch":1,"seq":true}'):
        assert isinstance(decode(raw), Unknown)


def test_every_struct_has_its_own_tag() -> None:
    """The union decodes each of the contract's types."""
    tags = [kind.__struct_config__.tag for kind in Known.__args__]
    assert len(tags) == len(set(tags)) == 20
    standing = decode(b'{"t":"ok","ref":2,"ch":{"17":{"head":5},"18":{"error":"not_found"}}}')
    assert isinstance(standing, Ok)
    assert (standing.ch[17].head, standing.ch[18].error) == (5, "not_found")


async def test_only_hints_are_dropped() -> None:
    """From half of the limit on hints are dropped and counted; entries are all kept."""
    events = Events(4)
    for seq in range(1, 5):
        events.put(Typing(ch=1, user=1))
        events.put(Msg(ch=1, seq=seq, user=1, content="", ts=0))
    assert (len(events), events.dropped, events.full) == (5, 3, True)
    events.put(UnknownEntry("poll", 2, 7, b""))
    assert events.first_waiting() == {1: 1, 2: 7}


async def test_the_reader_waits_for_room() -> None:
    """At the limit it waits until half is taken."""
    events = Events(4)
    for seq in range(4):
        events.put(Msg(ch=1, seq=seq, user=1, content="", ts=0))
    waiting = asyncio.get_running_loop().create_task(events.room())
    await asyncio.sleep(0)
    await anext(events)
    await asyncio.sleep(0)
    assert not waiting.done()
    await anext(events)
    await waiting


async def test_the_end_comes_last() -> None:
    """What was received comes out before the iteration ends, or raises."""
    for error in (None, ClosedError("revoked", 4004)):
        events = Events(4)
        events.put(Typing(ch=1, user=1))
        events.end(error)
        assert isinstance(await anext(events), Typing)
        with pytest.raises(StopAsyncIteration if error is None else ClosedError):
            await anext(events)


def test_urls() -> None:
    """Both URLs come from either; what has no scheme of ours is refused."""
    for url in ("ws://h:1", "http://h:1/", "ws://h:1/ws"):
        assert endpoints(url) == ("ws://h:1/ws", "http://h:1")
    assert endpoints("wss://h/chat/ws") == ("wss://h/chat/ws", "https://h/chat")
    for url in ("h:1", "ftp://h", "ws://"):
        with pytest.raises(ValueError, match="is not"):
            endpoints(url)


async def test_rest_problems_carry_their_code(people: People, pod: Pod) -> None:
    """A problem becomes RefusedError with code, status and field."""
    ann = await people.new()
    async with Rest(pod.url, ann.token, trust_env=False) as rest:
        assert (await rest.me()).email == ann.email
        with pytest.raises(RefusedError) as caught:
            await rest.create_channel(None)
        assert (caught.value.code, caught.value.status, caught.value.field) == (
            "bad_field", 422, "name",
        )  # fmt: skip
        with pytest.raises(RefusedError, match="not_found"):
            await rest.join(2**52)


async def test_rest_workflow(people: People, pod: Pod) -> None:
    """Register, refresh, join, list, send once by nonce, leave."""
    ann = await people.new()
    async with Rest(pod.url, ann.token, trust_env=False) as rest:
        channel = await rest.create_channel("general")
        session = await rest.register(f"new-{ann.id}@example.org", "correct horse", "Bob")
        again = await rest.login(f"new-{ann.id}@example.org", "correct horse")
        again = await rest.refresh(again.refresh_token)
        bob = rest.as_user(again.access_token)
        assert (await bob.join(channel.id)).role == "member"
        assert [m.user.name for m in (await bob.members(channel.id)).items] == [ann.name, "Bob"]
        message = await bob.send(channel.id, "hi", "n1")
        assert await bob.send(channel.id, "hi", "n1") == message
        assert (await bob.channels()).items[0].last_seq == message.seq
        await bob.leave(channel.id)
        with pytest.raises(RefusedError, match="forbidden"):
            await bob.history(channel.id)
        assert session.user.id == again.user.id


async def test_rest_looks_after_sessions_and_passwords(people: People, pod: Pod) -> None:
    """List one's sessions, end one, change the password, which ends the others; then all."""
    ann = await people.new()
    email, old, new = f"own-{ann.id}@example.org", "correct horse", "staple battery"
    async with Rest(pod.url, trust_env=False) as rest:
        first, second, third = [
            await rest.register(email, old),
            await rest.login(email, old),
            await rest.login(email, old),
        ]
        mine = rest.as_user(third.access_token)
        page = await mine.sessions(limit=2)
        assert [s.current for s in page.items] == [True, False]
        (oldest,) = (await mine.sessions(cursor=page.next)).items
        await mine.end_session(oldest.id)
        with pytest.raises(RefusedError, match="not_found"):
            await mine.end_session(oldest.id)
        with pytest.raises(RefusedError, match="unauthorized"):
            await rest.refresh(first.refresh_token)
        with pytest.raises(RefusedError) as caught:
            await mine.change_password(new, new)
        assert (caught.value.code, caught.value.field) == ("forbidden", "currentPassword")
        await mine.change_password(old, new)
        with pytest.raises(RefusedError, match="unauthorized"):
            await rest.refresh(second.refresh_token)
        assert [s.current for s in (await mine.sessions()).items] == [True]
        await rest.login(email, new)
        await mine.logout_all()
        with pytest.raises(RefusedError, match="unauthorized"):
            await mine.sessions()


async def test_repr_says_how_it_stands(people: People, pod: Pod) -> None:
    """One line for whoever looks."""
    ann = await people.new()
    async with Client(pod.ws_url, token=ann.token) as client:
        assert repr(client).endswith("up, 0 channels, <Outbox 0 unanswered, 0 in flight>>")
    assert " ended, " in repr(client)
