"""The client of docs/examples, which was written from the documents alone, loses nothing.

Owns: what is asked of a conversation of two such programs (`conversing`) over a stop of the server
in good order and a kill, both while they write; and worse clients, with which the same check finds
what is wrong.
"""

import functools
import itertools
import json
import re
import shutil
from pathlib import Path
from typing import Any

import pytest

from rtchat.api import asyncapi
from rtchat.config import Config
from tests import documented
from tests.docs.conversing import EXAMPLES, Conversation, Server, converse, faults, node
from tests.pods import Pods

FILES = sorted(EXAMPLES.glob("*.mjs"))
# What a client may do wrong: in which file, what stands there instead of what, what is found.
WORSE = {
    "a new nonce at each try": (
        "outbox.mjs",
        "this.#send(frameOf(write), write);",
        "this.#send({ ...frameOf(write), nonce: crypto.randomUUID() }, write);",
        "stored twice",
    ),
    "an outbox for one connection": (
        "outbox.mjs",
        "for (const write of this.writes) write.underWay = false;",
        "this.#writes.clear();",
        "not acked once each, in order",
    ),
    "cursors for one connection": (
        "client.mjs",
        "else this.#subscribe([...this.followed]);",
        "else for (const ch of this.followed.keys()) this.follow(ch);",
        "not every entry once, in order",
    ),
}


class Commands:
    """The commands of the AsyncAPI document, closed: a field that is not named is one too many."""

    def __init__(self) -> None:
        document = asyncapi.document(Config())
        self._schemas = documented.Schemas(document)
        messages = document["components"]["messages"]
        taken = [op for op in document["operations"].values() if op["action"] == "receive"]
        names = [told["$ref"].rpartition("/")[2] for op in taken for told in op["messages"]]
        self._payloads = {
            messages[name]["name"]: messages[name]["payload"]["$ref"].removeprefix("#")
            for name in names
        }

    def check(self, frame: dict[str, Any]) -> None:
        """Hold a frame of a client's to the schema of its `t`."""
        documented.require(frame["t"] in self._payloads, "no command", frame)
        self._schemas.check(self._payloads[frame["t"]], frame)


@functools.cache
def commands() -> Commands:
    return Commands()


needs_websocket = pytest.mark.skipif(
    not node(), reason="node is not on PATH, or has no WebSocket (22 has; 20 with an option)"
)


@pytest.fixture(scope="module")
async def held(pods: Pods, module_database_url: str) -> Conversation:
    """A conversation over a stop in good order, and a kill."""
    server = Server(pods, module_database_url)
    return await converse(server, EXAMPLES / "converse.mjs", Server.stop, Server.die)


@needs_websocket
def test_nothing_is_lost_doubled_or_out_of_order(held: Conversation) -> None:
    """Every write was acked once, and both saw every entry once: 1, 2, 3 … as REST has them."""
    assert faults(held) == set()
    assert len(held.log) == sum(len(speaker.asked) for speaker in held.speakers) >= 100


@needs_websocket
def test_both_came_back_twice_with_writes_unanswered(held: Conversation) -> None:
    """The kill struck when writes were stored and not acked: their retries were told so."""
    for speaker in held.speakers:
        changes = [state for state, _ in itertools.groupby(speaker.states)]
        assert changes == ["connected", "away", "connected", "away", "connected", "stopped"]
    assert all(count > 0 for count in held.unanswered)
    assert any(ack["dup"] for speaker in held.speakers for ack in speaker.acks)


@needs_websocket
def test_every_frame_is_one_of_the_document(held: Conversation) -> None:
    """Those that the programs sent, and those that came, with no field that it does not name."""
    for speaker in held.speakers:
        socket = documented.Socket()
        for way, frame in speaker.frames:
            if way == "received":
                socket.received(frame)
                continue
            if frame["t"] == "auth":
                socket = documented.Socket()
            commands().check(frame)
            socket.sent(json.dumps(frame))
        assert {f["t"] for way, f in speaker.frames if way == "sent"} == {"auth", "sub", "send"}
        received = {f["t"] for way, f in speaker.frames if way == "received"}
        assert received >= {"hello", "ok", "ack", "msg", "bye"}


@needs_websocket
@pytest.mark.parametrize("wrong", WORSE)
async def test_the_check_finds_a_worse_client(
    wrong: str, pods: Pods, database_url: str, tmp_path: Path
) -> None:
    name, good, bad, fault = WORSE[wrong]
    shutil.copytree(EXAMPLES, tmp_path, dirs_exist_ok=True)
    text = (tmp_path / name).read_text()
    assert text.count(good) == 1
    (tmp_path / name).write_text(text.replace(good, bad))
    server = Server(pods, database_url)
    held = await converse(server, tmp_path / "converse.mjs", Server.die)
    assert fault in faults(held)


@pytest.mark.parametrize("path", FILES, ids=[path.name for path in FILES])
def test_it_needs_no_package(path: Path) -> None:
    """Only its own files, and what comes with node; and no part of it is fetched from anywhere."""
    text = path.read_text()
    imported = re.findall(r"""\b(?:from|import|require)\s*\(?\s*['"]([^'"]+)['"]""", text)
    own = {f"./{path.name}" for path in FILES}
    assert [name for name in imported if name not in own and not name.startswith("node:")] == []
    assert "https://" not in text
