"""Schemas say what the types say, with the numbers of one configuration."""

import msgspec

from rtchat.api import types
from rtchat.api.schemas import schemas_of, structs_in, true_for
from rtchat.auth.sessions import Session
from rtchat.config import Config
from rtchat.events import Hello, Limits
from rtchat.model import Message, User


def components(*kinds: object, config: Config | None = None, sent: tuple[type, ...] = ()):
    return schemas_of(kinds, config or Config(), sent=sent)[1]


def test_a_bound_is_the_configurations_and_names_its_setting():
    config = Config(content_max_chars=77)
    content = components(types.SendMessage, config=config)["SendMessage"]["properties"]["content"]
    assert (content["minLength"], content["maxLength"]) == (1, 77)
    assert content["x-settings"] == {"maxLength": "RTCHAT_CONTENT_MAX_CHARS"}


def test_a_bound_may_be_one_less_than_a_setting():
    config = Config(dm_max_members=5)
    members = components(types.NewDm, config=config)["NewDm"]["properties"]["members"]
    assert (members["minItems"], members["maxItems"]) == (1, 4)


def test_a_limit_that_is_off_is_no_bound():
    made = true_for(Config(subs_max=0), {"type": "object", "maxProperties": "subs_max"})
    assert made == {"type": "object", "x-settings": {"maxProperties": "RTCHAT_SUBS_MAX"}}


def test_what_is_sent_is_always_there_unless_it_can_be_left_out():
    """A field with a default is optional in what comes in, and there in what goes out."""
    assert "tokenType" not in components(Session)["Session"]["required"]
    sent = components(Session, Message, sent=(Session, Message))
    assert set(sent["Session"]["required"]) == set(Session.__struct_encode_fields__)
    assert set(sent["Message"]["required"]) == {
        "id", "channelId", "seq", "userId", "content", "timestamp",
    }  # fmt: skip
    assert components(Hello, sent=(Hello,))["Hello"]["required"][0] == "t"


def test_a_reference_stands_alone():
    """Beside others a draft of JSON Schema that AsyncAPI has would not read it."""
    role = components(types.AddMember)["AddMember"]["properties"]["role"]
    assert role["allOf"] == [{"$ref": "#/components/schemas/Role"}]
    assert role["enum"] == ["admin", "member"]
    assert "$ref" not in role


def test_docstrings_lose_their_indentation():
    class Example(msgspec.Struct):
        """First line.

        Second paragraph.
        """

    assert components(Example)["Example"]["description"] == "First line.\n\nSecond paragraph."


def test_the_structs_of_a_type_are_found_through_all_it_is_made_of():
    assert structs_in(types.Users) == {types.Users, User}
    assert structs_in(types.CreateChannel) == {types.NewPublic, types.NewPrivate, types.NewDm}
    assert structs_in(Hello) == {Hello, User, Limits}
    assert structs_in(None) == set()
