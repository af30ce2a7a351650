"""The AsyncAPI document is that of the frames: a type is a message, a command an operation."""

import re
from typing import Any

import msgspec
import pytest

from rtchat.api.asyncapi import document, name_of, tag_of
from rtchat.api.conversation import _AT_ONCE, _WAITING
from rtchat.api.openapi import document as openapi
from rtchat.commands import COMMANDS, UNREADABLE
from rtchat.config import Config
from rtchat.errors import CLOSES, ERRORS, Close, Code
from rtchat.events import ENTRIES, EVENTS, Error

DOCUMENT = document(Config())
MESSAGES = DOCUMENT["components"]["messages"]
each_frame = pytest.mark.parametrize("kind", [*COMMANDS, *EVENTS], ids=lambda kind: kind.__name__)


def test_every_frame_is_a_message_and_no_other():
    assert set(MESSAGES) == {name_of(kind) for kind in (*COMMANDS, *EVENTS)}
    assert len(MESSAGES) == len(COMMANDS) + len(EVENTS)
    assert set(DOCUMENT["channels"]["socket"]["messages"]) == set(MESSAGES)


def test_what_is_served_is_what_is_described():
    assert set(COMMANDS) == {*_AT_ONCE, *_WAITING}


@each_frame
def test_a_message_has_the_fields_of_its_frame(kind: type[msgspec.Struct]):
    message = MESSAGES[name_of(kind)]
    schema = DOCUMENT["components"]["schemas"][kind.__name__]
    assert message["name"] == tag_of(kind)
    assert message["payload"] == {"$ref": f"#/components/schemas/{kind.__name__}"}
    assert set(schema["properties"]) == {"t", *kind.__struct_encode_fields__}
    assert schema["properties"]["t"]["enum"] == [tag_of(kind)]
    assert ("correlationId" in message) is ("ref" in kind.__struct_fields__)
    assert message["examples"]
    for example in message["examples"]:
        assert type(msgspec.convert(example["payload"], kind, str_keys=True)) is kind


@pytest.mark.parametrize("command", COMMANDS, ids=tag_of)
def test_a_command_is_an_operation_with_its_answers_and_errors(command):
    operation = DOCUMENT["operations"][tag_of(command)]
    assert operation["action"] == "receive"
    assert operation["messages"] == [{"$ref": f"#/channels/socket/messages/{name_of(command)}"}]
    answers = [answer["$ref"].rpartition("/")[2] for answer in operation["reply"]["messages"]]
    assert answers == [*map(name_of, command.answers), name_of(Error)]
    assert operation["x-error-codes"] == sorted(command.errors)


def test_entries_and_notices_come_unasked():
    sent = {
        message["$ref"].rpartition("/")[2]
        for name in ("entries", "ephemeral", "notices")
        for message in DOCUMENT["operations"][name]["messages"]
    }
    answers = {name_of(answer) for command in COMMANDS for answer in command.answers}
    assert sent == {name_of(kind) for kind in EVENTS} - answers - {name_of(Error)}
    assert {name_of(kind) for kind in ENTRIES} <= sent


def test_every_error_code_of_a_frame_is_there_with_what_it_means():
    codes = UNREADABLE.union(*(command.errors for command in COMMANDS))
    assert set(DOCUMENT["x-error-codes"]) == codes
    for code, words in DOCUMENT["x-error-codes"].items():
        assert words["retry"] is ERRORS[Code(code)].retry
        assert words["description"] == ERRORS[Code(code)].meaning


def test_every_close_code_says_what_to_do():
    assert set(DOCUMENT["x-close-codes"]) == {str(int(close)) for close in Close}
    for code, words in DOCUMENT["x-close-codes"].items():
        info = CLOSES[Close(int(code))]
        assert (words["do"], words["description"]) == (info.do, info.meaning)


def test_limits_are_those_of_the_configuration():
    made = document(Config(content_max_chars=77, subs_max=5, heartbeat_s=11))
    schemas = made["components"]["schemas"]
    assert schemas["Send"]["properties"]["content"]["maxLength"] == 77
    assert schemas["Sub"]["properties"]["ch"]["maxProperties"] == 5
    assert "every 11 s" in made["info"]["description"]


def test_it_says_where_the_server_is():
    for config, root_path, told in (
        (Config(port=8431), "", ("localhost:8431", "ws", None)),
        (Config(), "/chat", ("localhost:8000", "ws", "/chat")),
        (Config(public_url="https://chat.example"), "/below", ("chat.example", "wss", None)),
        (Config(public_url="https://x.example/chat"), "", ("x.example", "wss", "/chat")),
    ):
        server = document(config, root_path)["servers"]["server"]
        assert (server["host"], server["protocol"], server.get("pathname")) == told
    assert DOCUMENT["channels"]["socket"]["address"] == "/ws"


def test_commands_tell_their_limits():
    told = {
        name: [limit["what"] for limit in operation["x-rate-limits"]]
        for name, operation in DOCUMENT["operations"].items()
        if "x-rate-limits" in operation
    }
    sends = ["sends of a connection", "sends"]
    subs = ["subscriptions", "subscriptions of a user"]
    writes = dict.fromkeys(("send", "edit", "del", "react"), sends)
    marks = ["marks and typing"]
    assert told == writes | {"read": marks, "typing": marks, "sub": subs}


OF_TIME: dict[str, Any] = {
    "auth_deadline_ms": 9000, "access_token_s": 61, "session_s": 6001, "sso_code_s": 59,
    "heartbeat_s": 11, "heartbeat_timeout_s": 12, "expiring_s": 13, "fresh_sign_in_s": 77,
}  # fmt: skip


@pytest.mark.parametrize("make", [document, openapi])
def test_no_words_stand_for_a_settings_number(make):
    """What a docstring says is true under every configuration."""
    text = msgspec.json.encode(make(Config(**OF_TIME))).decode()
    assert not re.search(r"\b(5|20|25|60|300) s(econds)?\b|15 minutes|[Ww]ithin a minute", text)


def test_no_text_has_a_place_left_open():
    assert not re.search(r"\{\w+\}", DOCUMENT["info"]["description"])
