"""The client without asyncio: the same, blocking; Ctrl+C and the end of a script included."""

import inspect
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from typing import Any

import pytest

from rtchat import client as aio
from rtchat.client import Hello, Msg, RefusedError, Reset, Session, UnreachableError
from rtchat.client.sync import Client, Renewing, Rest
from rtchat.server.launch import free_port
from tests.cli.running import clean, heed_ctrl_c
from tests.pods import ROOT, Pod

PASSWORD = "correct horse"


@pytest.fixture(scope="module")
def rest(pod: Pod) -> Iterator[Rest]:
    with Rest(pod.url, trust_env=False) as client:
        yield client


@pytest.fixture(scope="module")
def ann(rest: Rest) -> Session:
    return rest.register("sync-ann@example.org", PASSWORD, "Ann")


@pytest.fixture
def channel(rest: Rest, ann: Session) -> int:
    return rest.as_user(ann.access_token).create_channel("sync").id


def test_a_conversation(pod: Pod, rest: Rest, ann: Session, channel: int) -> None:
    """Send, hear, edit, and read what was said; the cursor follows what was handed out."""
    mine = rest.as_user(ann.access_token)
    with Client(pod.ws_url, token=ann.access_token) as client:
        assert client.hello.user.id == ann.user.id
        assert client.subscribe([channel]) == {channel: 0}
        acks = [client.send(channel, f"{n}") for n in range(3)]
        client.edit(channel, acks[0].seq, "zero")
        events = [client.take(5) for _ in range(3)]
        assert isinstance(events[0], Hello)
        assert [e.content for e in events if isinstance(e, Msg)] == ["0", "1"]
        assert client.cursors() == {channel: 2}
        assert len(list(client.events(timeout_s=0.1))) == 2, "the third, and the edit"
        assert client.cursors() == {channel: 4}
        assert client.stats()["connects"] == 1
    assert list(client.events()) == [], "closed by its user"
    assert [m.content for m in mine.messages(channel)] == ["zero", "1", "2"]
    assert [c.id for c in mine.all_channels() if c.id == channel] == [channel]


def test_errors_are_the_same(pod: Pod, rest: Rest, ann: Session) -> None:
    with pytest.raises(RefusedError) as caught:
        rest.login("nobody@example.org", PASSWORD)
    assert (caught.value.code, caught.value.status) == ("unauthorized", 401)
    client = Client(pod.ws_url, token=ann.access_token)
    with client, pytest.raises(RefusedError, match="not_found"):
        client.send(2**50, "x")
    nowhere = Client(f"ws://127.0.0.1:{free_port()}", token="x", timeout_s=0.2)
    with pytest.raises(UnreachableError), nowhere:
        pass


def test_tokens_are_renewed_and_given(pod: Pod, rest: Rest, channel: int) -> None:
    """By `Renewing`; by a function, which may block and call REST itself; and by hand."""
    kept: list[Session] = []
    session = rest.login("sync-ann@example.org", PASSWORD)
    renewing = Renewing(rest, session, kept.append)
    with Client(pod.ws_url, tokens=renewing) as client:
        client.send(channel, "with a provider")

    def given() -> str:
        return rest.login("sync-ann@example.org", PASSWORD).access_token

    with Client(pod.ws_url, tokens=given) as client:
        client.send(channel, "with a function")
        client.renew(given())
        with pytest.raises(RefusedError, match="unauthorized"):
            client.renew("no token")
    assert kept == [], "the first token was good"


def test_a_reset_channel_is_followed_again(
    pod: Pod, rest: Rest, ann: Session, channel: int
) -> None:
    """By way of the REST that was given, which is a blocking one."""
    mine: Any = rest.as_user(ann.access_token)
    with Client(pod.ws_url, token=ann.access_token, rest=mine) as client:
        client.subscribe({channel: 99})
        assert isinstance(client.take(5), Hello)
        reset = client.take(5)
        assert isinstance(reset, Reset)
        assert reset.last_seq == 0
        client.send(channel, "on")
        assert isinstance(client.take(5), Msg)


def test_several_threads_may_call(pod: Pod, ann: Session, channel: int) -> None:
    """Each gets its own answer."""
    seqs: list[int] = []
    with Client(pod.ws_url, token=ann.access_token, window=8) as client:

        def say(name: str) -> None:
            seqs.extend(client.send(channel, f"{name} {n}").seq for n in range(5))

        threads = [threading.Thread(target=say, args=(f"{n}",)) for n in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert sorted(seqs) == list(range(1, 21))


@pytest.mark.parametrize(("blocking", "asynchronous"), [(Rest, aio.Rest), (Client, aio.Client)])
def test_nothing_is_missing(blocking: Any, asynchronous: Any) -> None:
    """Each public method is there, with its words and its parameters."""
    for name, method in inspect.getmembers(asynchronous):
        if name.startswith("_") or name in ("call", "url"):
            continue
        there = getattr(blocking, name)
        assert inspect.getdoc(there), name
        if callable(method) and name not in ("events", "close"):
            assert inspect.signature(there) == inspect.signature(method), name
    assert "retry_s" in inspect.signature(Rest).parameters


# --- whole scripts

BEGIN = """
from rtchat.client.sync import Client
client = Client({url!r}, token={token!r}).__enter__()
client.subscribe({{ {channel}: 0 }})
"""


def script(pod: Pod, session: Session, channel: int, text: str) -> str:
    return BEGIN.format(url=pod.ws_url, token=session.access_token, channel=channel) + text


def test_a_script_ends_by_itself(pod: Pod, ann: Session, channel: int) -> None:
    """What it left open is closed, in good order, without a word."""
    code = script(pod, ann, channel, f"print(client.send({channel}, 'bye').seq)")
    done = subprocess.run(
        [sys.executable, "-W", "always", "-c", code],
        cwd=ROOT, env=clean(), capture_output=True, text=True, timeout=30, check=True,
    )  # fmt: skip
    assert (done.stdout, done.stderr) == ("1\n", "")


def test_a_fork_has_a_client_of_its_own(pod: Pod, ann: Session, channel: int) -> None:
    """It ends without its parent's, which goes on, and which it is refused."""
    text = f"""
import os, sys, warnings
from rtchat.client.sync import Rest
warnings.simplefilter('ignore', DeprecationWarning)
if not (child := os.fork()):
    try:
        client.take()
    except RuntimeError as error:
        print(error, flush=True)
    client.close()
    with Rest({pod.url!r}, token={ann.access_token!r}) as rest:
        print(rest.send({channel}, 'child').seq, flush=True)
    sys.exit(7)
print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), client.send({channel}, 'parent').seq)
"""
    done = subprocess.run(
        [sys.executable, "-c", script(pod, ann, channel, text)],
        cwd=ROOT, env=clean(), capture_output=True, text=True, timeout=30, check=True,
    )  # fmt: skip
    refusal = "made before a fork: its thread is the parent's; make one here"
    assert (done.stdout, done.stderr) == (f"{refusal}\n1\n7 2\n", "")


def test_ctrl_c_ends_a_wait_and_the_client_goes_on(pod: Pod, ann: Session, channel: int) -> None:
    """At the prompt of the interpreter too, where one calls again."""
    text = f"""
client.take()
try:
    print('waits', flush=True); client.take()
except KeyboardInterrupt:
    print(client.send({channel}, 'here still').seq, client.take(5).content)
"""
    process = subprocess.Popen(
        [sys.executable, "-c", script(pod, ann, channel, text)],
        cwd=ROOT, env=clean(), text=True, preexec_fn=heed_ctrl_c,
        stdout=subprocess.PIPE, stderr=subprocess.PIPE,
    )  # fmt: skip
    with process:
        assert process.stdout is not None
        assert process.stdout.readline() == "waits\n"
        process.send_signal(signal.SIGINT)
        out, err = process.communicate(timeout=30)
    assert (process.returncode, out, err) == (0, "1 here still\n", "")
