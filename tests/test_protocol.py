"""What clients send: the contract's frames (§3) are understood, all else is refused as it says.

Names with W… are those of the rows in the security design's table of bad inputs. What the server
sends is in test_protocol_frames.
"""

import json

import pytest
from hypothesis import given, settings, strategies as st

from rtchat import protocol
from rtchat.commands import Auth, Command, Ping, Send, Sub, Unsub
from rtchat.errors import ChatError, Code
from rtchat.model import ID_MAX, Kind, LogEntry
from tests.wire import events


def refusal(text: str) -> tuple[str, str | None]:
    """The code and the field with which a frame is refused."""
    with pytest.raises(ChatError) as caught:
        protocol.decode(text)
    return caught.value.code.value, caught.value.field


def outcome(text: str) -> Command | ChatError:
    """What becomes of a frame. Nothing else may happen to it."""
    try:
        return protocol.decode(text)
    except ChatError as error:
        return error


def send(ch: str = "17", content: str = '"hi"', nonce: str = '"n"') -> str:
    """A `send` with these pieces of JSON in it."""
    return f'{{"t":"send","ref":4,"ch":{ch},"content":{content},"nonce":{nonce}}}'


# --- what is understood

FROM_CLIENTS = [
    ('{"t":"auth","ref":1,"token":"abc"}', Auth(ref=1, token="abc")),
    (
        '{"t":"sub","ref":2,"ch":{"17":1204,"18":null},"epoch":"e"}',
        Sub(ref=2, ch={17: 1204, 18: None}, epoch="e"),
    ),
    ('{"t":"unsub","ref":3,"ch":[17]}', Unsub(ref=3, ch=[17])),
    (
        '{"t":"send","ref":4,"ch":17,"content":"hi","nonce":"n"}',
        Send(ref=4, ch=17, content="hi", nonce="n"),
    ),
    ('{"t":"ping","ref":9}', Ping(ref=9)),
]


@pytest.mark.parametrize(("text", "command"), FROM_CLIENTS)
def test_the_contracts_frames_are_understood(text: str, command: Command):
    assert protocol.decode(text) == command


@pytest.mark.parametrize(
    ("text", "command"),
    [
        ('{"t":"auth","token":"abc"}', Auth(token="abc")),
        ('{"t":"sub","ch":{}}', Sub(ch={})),
        ('{"t":"unsub","ch":[]}', Unsub(ch=[])),
        ('{"t":"send","ch":17,"content":"hi"}', Send(ch=17, content="hi")),
        ('{"t":"ping"}', Ping()),
        (' {"ref" : null,\n\t"t" : "ping" } ', Ping()),
    ],
)
def test_ref_nonce_and_epoch_may_be_left_out(text: str, command: Command):
    assert protocol.decode(text) == command


@pytest.mark.parametrize("ref", [0, -1, ID_MAX, -ID_MAX, "", "a", "x" * 64, "\U0001f44d" * 64])
def test_a_ref_is_an_integer_or_a_short_string(ref: int | str):
    text = json.dumps({"t": "ping", "ref": ref})
    assert protocol.decode(text).ref == ref
    assert protocol.ref_of(text) == ref


def test_w59_w75_unknown_fields_are_ignored():
    """Those that a forger would like to set included."""
    text = '{"t":"send","ch":17,"content":"hi","seq":5,"user":1,"ts":0,"id":"x","deep":[{"a":[]}]}'
    assert protocol.decode(text) == Send(ch=17, content="hi")


def test_w57_of_two_equal_keys_the_last_counts():
    assert protocol.decode('{"t":"send","ch":1,"ch":2,"content":"hi"}') == Send(ch=2, content="hi")


@pytest.mark.parametrize("types", [("send", "ping"), ("ping", "send"), ("ping", "admin")])
def test_w57_a_frame_is_never_of_two_types(types: tuple[str, str]):
    text = '{{"t":"{}","ch":17,"content":"hi","t":"{}"}}'.format(*types)
    assert refusal(text) == ("unknown_type", "t")


# --- what is refused

NOT_JSON = {
    "W50": ["", " ", "\n\t\r"],
    "W52": [
        "nul", "{", "{}x", "[1,]", "{'a':1}", '{"t":"ping"}//c', '{"t":"ping"}/**/', "01", "+1",
        ".5", "1.", '{"t":"ping",}', '{"t":"ping"', '{"t":"ping"}{"t":"ping"}', '{t:"ping"}',
        '{"t":"ping","ref":01}', '{"t":"x"', '{"t":5]',
    ],
    "W54": ['\ufeff{"t":"ping"}', "\x00", '{"t":"ping"}\x00'],
    "W55": ["[" * 1025 + "]" * 1025, '{"t":"ping","x":' + "[" * 100_000, '{"x":' * 30_000],
    "W56": ["NaN", "Infinity", "-Infinity", "1e400", '{"t":"ping","x":NaN}',
            '{"t":"ping","x":-Infinity}', '{"t":"ping","ref":NaN}', '{"t":"ping","ref":1e400}',
            send(ch="1" * 5000)],
    "W67": [send(content=r'"\ud800"'), send(content=r'"\udc00\ud800"'),
            send(content='"\ud800"'), send(nonce=r'"\ud800"'), send(content='"\x07"')],
}  # fmt: skip


@pytest.mark.parametrize(
    "text",
    [pytest.param(text, id=f"{row}-{text[:24]!a}") for row in NOT_JSON for text in NOT_JSON[row]],
)
def test_what_is_not_json_is_bad_json(text: str):
    assert refusal(text) == ("bad_json", None)


@pytest.mark.parametrize("depth", [100, 1000, 20_000])
def test_w55_depth_in_an_ignored_field_never_crashes(depth: int):
    """It is ignored or refused, as deep as the parser goes."""
    found = outcome('{"t":"ping","x":' + "[" * depth + "]" * depth + "}")
    assert found == Ping() or (isinstance(found, ChatError) and found.code is Code.BAD_JSON)


@pytest.mark.parametrize("text", ["[]", '[{"t":"ping"}]', "1", '"x"', "null", "true", "-1.5"])
def test_w53_what_is_no_object_is_a_bad_message(text: str):
    assert refusal(text) == ("bad_message", None)


SERVER_TYPES = [
    "hello", "ok", "pong", "ack", "msg", "join", "leave", "chan", "presence", "reset", "added",
    "removed", "expiring", "error", "bye",
]  # fmt: skip


@pytest.mark.parametrize(
    "text",
    ["{}", '{"ref":1}', '{"t":null}', '{"t":5}', '{"t":true}', '{"t":[]}', '{"t":{}}', '{"t":""}',
     '{"t":"SEND"}', '{"t":"send "}', '{"t":"nope","ref":3}', '{"t":"' + "x" * 10_000 + '"}',
     '{"t":"missing required field `ch`"}', '{"t":"x - at `$.ch`"}', '{"t":"of length <= 1"}'],
)  # fmt: skip
def test_w58_an_unknown_type_is_an_unknown_type(text: str):
    """Whatever it says: no wording of the sender's is taken for the parser's."""
    assert refusal(text) == ("unknown_type", "t")


@pytest.mark.parametrize("t", SERVER_TYPES)
def test_w76_what_only_the_server_sends_is_unknown(t: str):
    assert refusal(f'{{"t":"{t}","ref":1,"ch":17,"seq":1,"user":1}}') == ("unknown_type", "t")


@pytest.mark.parametrize(
    "ch",
    ["null", '""', "0", "-0", "-1", "1.0", "1e3", "1.5", "true", '"1"', str(2**53), str(2**63),
     str(2**64), "1" + "0" * 30, "[]", "{}"],
)  # fmt: skip
def test_w60_a_channel_is_an_id(ch: str):
    assert refusal(send(ch=ch)) == ("bad_field", "ch")
    assert refusal(f'{{"t":"unsub","ch":[17,{ch}]}}') == ("bad_field", "ch")


def test_w60_the_largest_id_is_an_id():
    assert protocol.decode(send(ch=str(ID_MAX))) == Send(ref=4, ch=ID_MAX, content="hi", nonce="n")


@pytest.mark.parametrize(
    "ch",
    ['{"17":-1}', '{"17":1.5}', '{"17":"5"}', '{"17":true}', f'{{"17":{2**63}}}',
     f'{{"17":{2**64}}}', '{"0":1}', '{"-1":1}', '{"x":1}', '{"":1}', '{" 1":1}', '{"01":1}',
     '{"1.0":1}', '{"1e3":1}', '{"1_0":1}', '{"\u0661":1}', f'{{"{2**53}":1}}',
     f'{{"{2**64}":1}}', '{"$.t - at `$.t`":1}', "[]", "[17]", "17", "null"],
)  # fmt: skip
def test_w71_sub_takes_ids_and_cursors(ch: str):
    assert refusal(f'{{"t":"sub","ch":{ch}}}') == ("bad_field", "ch")


@pytest.mark.parametrize("content", ["null", "5", "true", "{}", "[]"])
def test_w64_content_is_a_string(content: str):
    assert refusal(send(content=content)) == ("bad_field", "content")


@pytest.mark.parametrize("nonce", ["5", "true", '""', "[]"])
def test_w62_a_nonce_is_a_string_and_not_empty(nonce: str):
    assert refusal(send(nonce=nonce)) == ("bad_field", "nonce")


@pytest.mark.parametrize("nonce", ["x", "x" * 64, "\U0001f44d" * 64, "'; DROP TABLE messages;--"])
def test_w62_a_nonce_is_taken_exactly(nonce: str):
    command = protocol.decode(send(nonce=json.dumps(nonce)))
    assert isinstance(command, Send)
    assert command.nonce == nonce


@pytest.mark.parametrize(
    ("text", "field"),
    [
        (send(nonce='"' + "x" * 65 + '"'), "nonce"),
        ('{"t":"auth","token":"' + "x" * 8193 + '"}', "token"),
        ('{"t":"sub","ch":{},"epoch":"' + "x" * 65 + '"}', "epoch"),
        ('{"t":"ping","ref":"' + "x" * 65 + '"}', "ref"),
    ],
)
def test_a_string_past_its_limit_is_too_long(text: str, field: str):
    assert refusal(text) == ("too_long", field)


@pytest.mark.parametrize(
    ("text", "field"),
    [
        ('{"t":"send","content":"hi"}', "ch"),
        ('{"t":"send","ch":17}', "content"),
        ('{"t":"auth"}', "token"),
        ('{"t":"auth","token":5}', "token"),
        ('{"t":"sub"}', "ch"),
        ('{"t":"sub","ch":{},"epoch":5}', "epoch"),
        ('{"t":"unsub"}', "ch"),
        ('{"t":"ping","ref":1.5}', "ref"),
        ('{"t":"ping","ref":true}', "ref"),
        ('{"t":"ping","ref":{}}', "ref"),
        (f'{{"t":"ping","ref":{2**53}}}', "ref"),
    ],
)
def test_a_field_that_is_missing_or_wrong_is_named(text: str, field: str):
    assert refusal(text) == ("bad_field", field)


@pytest.mark.parametrize(
    "content",
    ["\ufffe\uffff\U0010ffff", "\u202e\u200b" + "a\u0301" * 1000, "\U0001f468\u200d\U0001f469",
     "\\. \\N \t\n \\\\x00 '\"", "<script>&amp;{{x}}\r\n\x1b[2J\x7f"],
)  # fmt: skip
def test_w68_w69_w70_content_arrives_exactly_as_sent(content: str):
    command = protocol.decode(json.dumps({"t": "send", "ch": 17, "content": content}))
    assert isinstance(command, Send)
    assert command.content == content
    entry = LogEntry(17, 1, Kind.MESSAGE, 42, None, content, 0)
    assert events(protocol.entry(entry))[0]["content"] == content


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner),
    max_leaves=10,
)
FIELDS = ("ref", "ch", "content", "nonce", "token", "epoch", "x")
near_commands = st.fixed_dictionaries(
    {"t": st.sampled_from(["auth", "sub", "unsub", "send", "ping"]) | json_values},
    optional=dict.fromkeys(FIELDS, json_values),
)
DECODING = (Code.BAD_JSON, Code.BAD_MESSAGE, Code.UNKNOWN_TYPE, Code.BAD_FIELD, Code.TOO_LONG)


@settings(max_examples=150, deadline=None, derandomize=True)
@given(st.text() | json_values.map(json.dumps) | near_commands.map(json.dumps))
def test_whatever_comes_is_a_command_or_an_error_for_the_client(text: str):
    error = outcome(text)
    if isinstance(error, ChatError):
        assert error.code in DECODING
        assert (error.field is None) is (error.code in (Code.BAD_JSON, Code.BAD_MESSAGE))
    ref = protocol.ref_of(text)
    assert ref is None or type(ref) in (int, str)


@pytest.mark.parametrize(
    ("text", "ref"),
    [
        ('{"t":"nope","ref":5}', 5),
        ('{"t":"send","ref":"a","ch":0}', "a"),
        ('{"t":"nope"}', None),
        ('{"t":"nope","ref":true}', None),
        ('{"t":"nope","ref":1.5}', None),
        (f'{{"t":"nope","ref":{2**53}}}', None),
        ('{"t":"nope","ref":"' + "x" * 65 + '"}', None),
        ("[]", None),
        ("{", None),
        ("\ud800", None),
        ("[" * 100_000, None),
    ],
)
def test_the_error_of_a_refused_frame_can_carry_its_ref(text: str, ref: int | str | None):
    assert protocol.ref_of(text) == ref
