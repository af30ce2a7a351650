"""The bot and the bridge of docs/examples do what they say, killed in mid-work, as are servers.

Each is a process of its own, as a reader would run it. What must hold is looked up in the log at
the end: each command has one answer, each message one copy, in order.
"""

import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from rtchat.client import Message
from rtchat.client.sync import Rest
from rtchat.server.launch import free_port
from tests.cli.running import clean
from tests.pods import ROOT, Pod, Pods
from tests.services import Databases

EXAMPLES = ROOT / "docs" / "examples"
PASSWORD = "correct horse"
WITHIN_S = 30.0


class Server:
    """A pod that keeps its address over its deaths."""

    def __init__(self, pods: Pods, database_url: str) -> None:
        self._start: Callable[[], Pod] = lambda: pods.spawn(
            database_url, port=self._port, sends_per_second=0
        ).wait()
        self._port = free_port()
        self.pod = self._start()

    @property
    def url(self) -> str:
        """Where it is."""
        return self.pod.url

    def killed_and_started(self) -> None:
        """SIGKILL, and the next one at the same place."""
        self.pod.kill()
        self.pod = self._start()


@pytest.fixture
def servers(databases: Databases, pods: Pods) -> Iterator[Callable[[], Server]]:
    made: list[Server] = []
    urls = []

    def make() -> Server:
        fresh = databases.fresh()
        urls.append(fresh)
        made.append(Server(pods, fresh.__enter__()))
        return made[-1]

    yield make
    for server in made:
        server.pod.kill()
    for fresh in urls:
        fresh.__exit__(None, None, None)


class Program:
    """One of the examples, which may be killed and started again."""

    def __init__(self, name: str, *arguments: str, ready: int, **environment: str) -> None:
        self._command = [sys.executable, "-u", str(EXAMPLES / name), *arguments]
        path = os.pathsep.join(filter(None, [str(ROOT), os.environ.get("PYTHONPATH")]))
        self._environment = {**clean(), **environment, "PYTHONPATH": path}
        self._ready = ready
        self.start()

    def start(self) -> None:
        """Start it, and wait until it is at work."""
        self._process = subprocess.Popen(
            self._command, env=self._environment, stdout=subprocess.PIPE, text=True
        )
        assert self._process.stdout is not None
        for _ in range(self._ready):
            assert self._process.stdout.readline().endswith("ready\n")

    def kill(self) -> None:
        """SIGKILL."""
        self._process.kill()
        self._process.communicate()

    def works(self) -> bool:
        """Whether it has not ended."""
        return self._process.poll() is None


Account = Callable[[str, str], Rest]


@pytest.fixture
def account() -> Iterator[Account]:
    """Somebody on a server: REST on their behalf."""
    made: list[Rest] = []

    def make(url: str, name: str) -> Rest:
        made.append(Rest(url, trust_env=False))
        session = made[-1].register(f"{name.lower()}@example.org", PASSWORD, name)
        return made[-1].as_user(session.access_token)

    yield make
    for rest in made:
        rest.close()


def messages(rest: Rest, channel: int, done: Callable[[list[Message]], bool]) -> list[Message]:
    """All of a channel, when it is as it should become, or as it is in the end."""
    deadline = time.monotonic() + WITHIN_S
    while True:
        found = list(rest.messages(channel))
        if done(found) or time.monotonic() > deadline:
            return found
        time.sleep(0.05)


def answered(found: list[Message], bot: int) -> dict[str, int]:
    """How often each command was answered, by what the answer echoes."""
    counts: dict[str, int] = {}
    for message in found:
        if message.user_id == bot:
            counts[message.content] = counts.get(message.content, 0) + 1
    return counts


def test_the_bot_answers_each_command_once(
    servers: Callable[[], Server], account: Account, tmp_path: Path
) -> None:
    """Killed while it answers, its server too; and with a file from before."""
    server, file = servers(), tmp_path / "bot.json"
    ann, me = account(server.url, "Ann"), account(server.url, "Bot")
    bot_id, channel = me.me().id, ann.create_channel("general").id
    ann.send(channel, "!echo before it was there")
    bot = Program(
        "bot.py", server.url, "general", str(file),
        ready=1, BOT_EMAIL="bot@example.org", BOT_PASSWORD=PASSWORD,
    )  # fmt: skip
    oldest = file.read_text()
    wanted: dict[str, int] = {}
    for turn in range(3):
        for number in range(8):
            wanted[f"{turn}.{number}"] = 1
            ann.send(channel, f"!echo {turn}.{number}")
        messages(ann, channel, lambda found: f"{turn}.2" in answered(found, bot_id))  # noqa: B023
        if turn == 1:
            server.killed_and_started()
            assert bot.works()
        else:
            bot.kill()
            bot.start()
    whole = messages(ann, channel, lambda found: answered(found, bot_id) == wanted)
    assert answered(whole, bot_id) == wanted
    # A file that is far behind: all commands come again, among them one with another answer now.
    ann.send(channel, "!time")
    messages(ann, channel, lambda found: found[-1].user_id == bot_id)
    bot.kill()
    file.write_text(oldest)
    bot.start()
    ann.send(channel, "!echo last")
    whole = messages(ann, channel, lambda found: found[-1].content == "last")
    bot.kill()
    counts = answered(whole, bot_id)
    assert sum("it is" in text for text in counts) == 1
    assert {text: n for text, n in counts.items() if "it is" not in text} == {**wanted, "last": 1}


class Ends:
    """Somebody at each end of the bridge, and what should be said at the other one."""

    def __init__(self, account: Account, first: Server, second: Server) -> None:
        self.ann, self.cy = account(first.url, "Ann"), account(second.url, "Cy")
        self._bridges = [account(server.url, "Bridge").me().id for server in (first, second)]
        self.here = self.ann.create_channel("here").id
        self._there = self.cy.create_channel("there").id
        self.over: list[str] = []
        self.back: list[str] = []

    def say(self, text: str) -> None:
        """The same at both ends."""
        self.over.append(f"Ann: {text}")
        self.ann.send(self.here, text)
        self.back.append(f"Cy: {text}")
        self.cy.send(self._there, text)

    def wait(self, text: str) -> None:
        """Until that was carried over."""
        messages(self.cy, self._there, lambda found: f"Ann: {text}" in self._carried(found, 1))

    def check(self) -> None:
        """Each once and in order, at both ends."""
        over = messages(self.cy, self._there, lambda found: self._carried(found, 1) == self.over)
        assert self._carried(over, 1) == self.over
        back = messages(self.ann, self.here, lambda found: self._carried(found, 0) == self.back)
        assert self._carried(back, 0) == self.back

    def _carried(self, found: list[Message], end: int) -> list[str]:
        by = self._bridges[end]
        return [m.content for m in found if m.user_id == by and m.deleted_at is None]


def test_the_bridge_carries_over_each_message_once(
    servers: Callable[[], Server], account: Account, tmp_path: Path
) -> None:
    """Both ways between two servers, in order; edits and deletions follow; no loops."""
    first, second, file = servers(), servers(), tmp_path / "bridge.db"
    ends = Ends(account, first, second)
    bridge = Program(
        "bridge.py", str(file), first.url, "here", second.url, "there",
        ready=2, BRIDGE_EMAIL="bridge@example.org", BRIDGE_PASSWORD=PASSWORD,
    )  # fmt: skip
    oldest = file.read_bytes()
    for turn, server in enumerate((None, first, second)):
        for number in range(6):
            ends.say(f"{turn}.{number}")
        ends.wait(f"{turn}.2")
        if server is not None:
            server.killed_and_started()
        bridge.kill()
        bridge.start()
    bridge.kill()
    change_some(ends)
    bridge.start()
    ends.check()
    assert bridge.works()
    # A file that is far behind: all comes again, the changed and the deleted too.
    bridge.kill()
    file.write_bytes(oldest)
    bridge.start()
    ends.say("last")
    ends.check()
    assert bridge.works()
    bridge.kill()


def change_some(ends: Ends) -> None:
    """An old message is changed and another deleted; and so are new ones, at once."""
    ann, here = ends.ann, ends.here
    old = {message.content: message.seq for message in ann.messages(here)}
    ann.edit(here, old["0.0"], "0.0 again")
    ann.delete(here, old["0.1"])
    ann.edit(here, ann.send(here, "new").seq, "newer")
    ann.delete(here, ann.send(here, "never mind").seq)
    ends.over = ["Ann: 0.0 again", *ends.over[2:], "Ann: newer"]
