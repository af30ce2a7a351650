"""Do the targets have teeth? Each must find a fault that is put into what it looks at."""

import re
from typing import Any

import msgspec
import pytest
from hypothesis import Phase, given, settings

from rtchat import envelope, notice, protocol
from rtchat.api import http, router
from rtchat.auth.tokens import Tokens
from rtchat.commands import Command
from rtchat.room import Room
from tests.fuzz.targets import TARGETS

EXAMPLES = 500


def _key_error(text: str) -> Any:
    """Let out what no interface states."""
    if '"of"' in text:
        raise KeyError("of")
    return msgspec.json.decode(text, type=Command)


def _without_checks(data: bytes) -> Any:
    """Believe a notice whose lists are longer than one may be, or of another kind."""
    try:
        return msgspec.msgpack.decode(data)
    except msgspec.DecodeError as error:
        raise ValueError(str(error)) from None


def _any_envelope(cls: type, data: bytes) -> Any:
    """Believe every length."""
    head = envelope.HEADER.unpack_from(data)
    return envelope.Envelope(head[5], head[6], (len(data),), (), data)


_ANY: Any = classmethod(_any_envelope)


def _twice(self: Room, news: envelope.Envelope) -> bool:
    """Deliver what continues the room once more."""
    if news.first == self.cursor + 1:
        for write in list(self.live.values()):
            write(news.payload)
    return _offer(self, news)


_offer = Room.offer
MUTANTS: dict[str, tuple[str, Any, str, Any]] = {
    "a decoder that raises KeyError": ("frame", protocol, "_decode", _key_error),
    "a query that believes int()": (
        "query", http, "_DIGITS", re.compile(r"-?\w+"),
    ),
    "a path whose numbers are any text": (
        "path", router, "_NUMBER", re.compile(r".{1,16}"),
    ),
    "notices without their types": ("notice", notice, "_decode", _without_checks),
    "envelopes without their lengths": (
        "envelope", envelope.Envelope, "_parse", _ANY,
    ),
    "a room that delivers twice": ("room", Room, "offer", _twice),
}  # fmt: skip


@pytest.mark.parametrize("name", MUTANTS)
def test_a_fault_is_found(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """By its target, within some hundred examples."""
    target, owner, attribute, faulty = MUTANTS[name]
    monkeypatch.setattr(owner, attribute, faulty)

    @settings(max_examples=EXAMPLES, database=None, phases=[Phase.generate])
    @given(TARGETS[target].inputs)
    def run(data: bytes) -> None:
        TARGETS[target].run(data)

    with pytest.raises(Exception):  # noqa: B017, PT011  whatever it is, the target lets it out
        run()


def test_a_token_check_that_believes_everybody_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    """An identity that nobody signed."""
    good = TARGETS["token"].seeds[0].decode()
    check = Tokens.check

    def faulty(self: Tokens, token: str) -> Any:
        identity = check(self, good)
        return identity._replace(user_id=identity.user_id + 5)

    monkeypatch.setattr(Tokens, "check", faulty)
    with pytest.raises(AssertionError):
        TARGETS["token"].run(b"x")
