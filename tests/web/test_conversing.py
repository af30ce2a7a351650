"""rtchat.js in Node loses nothing.

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
from tests.pods import ROOT, Pods
from tests.web.conversing import (
    CLIENT,
    PROGRAM,
    Conversation,
    Server,
    converse,
    faults,
    needs_websocket,
)

FILES = [ROOT / CLIENT / "rtchat.js", *sorted((ROOT / CLIENT / "client").glob("*.js"))]
# What a client may do wrong: in which file, what stands there instead of what, what is found.
WORSE = {
    "a new nonce at each try": (
        "outbox.js",
        "this.#send?.(frameOf(one.write),",
        "this.#send?.({ ...frameOf(one.write), nonce: String(Math.random()) },",
        "stored twice",
    ),
    "an outbox for one connection": (
        "outbox.js",
        "this.#pace.underWay = 0",
        "this.#lanes.clear()",
        "not acked once each, in order",
    ),
    "cursors for one connection": (
        "follows.js",
        "return wanted.length && !(least >= Math.min(...known)) ? least : null",
        "return wanted.length && least === 0 ? least : null",
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


@pytest.fixture(scope="module")
async def held(pods: Pods, module_database_url: str) -> Conversation:
    """A conversation over a stop in good order, and a kill."""
    server = Server(pods, module_database_url)
    return await converse(server, Server.stop, Server.die)


@needs_websocket
def test_nothing_is_lost_doubled_or_out_of_order(held: Conversation) -> None:
    """Every write was acked once, and both saw every entry once: 1, 2, 3 … as REST has them."""
    assert faults(held) == set()
    assert len(held.log) == sum(len(speaker.asked) for speaker in held.speakers) >= 100


@needs_websocket
def test_both_came_back_twice_with_writes_unanswered(held: Conversation) -> None:
    """The kill struck when writes were stored and not acked: their retries were told so."""
    for speaker in held.speakers:
        told = [state for state in speaker.states if state != "connecting"]
        changes = [state for state, _ in itertools.groupby(told)]
        assert changes == ["online", "waiting", "online", "waiting", "online", "stopped"]
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
    for part in (PROGRAM.parent, CLIENT / "client"):
        shutil.copytree(ROOT / part, tmp_path / part)
    shutil.copy(ROOT / CLIENT / "rtchat.js", tmp_path / CLIENT)
    file = tmp_path / CLIENT / "client" / name
    text = file.read_text()
    assert text.count(good) == 1
    file.write_text(text.replace(good, bad))
    held = await converse(Server(pods, database_url), Server.die, root=tmp_path)
    assert fault in faults(held)


@pytest.mark.parametrize("path", FILES, ids=[path.name for path in FILES])
def test_it_needs_no_package(path: Path) -> None:
    """Only its own files, and what a browser or node has; nothing is fetched from anywhere."""
    text = path.read_text()
    imported = re.findall(r"""\b(?:from|import|require)\s*\(?\s*['"]([^'"]+)['"]""", text)
    own = {file.resolve() for file in FILES} | {(ROOT / CLIENT / "rtchat.js").resolve()}
    assert [name for name in imported if (path.parent / name).resolve() not in own] == []
    assert "https://" not in text
