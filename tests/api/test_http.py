"""One HTTP exchange: bodies are JSON and bounded, answers are JSON or a problem (contract §2)."""

import json
from typing import Any

import msgspec
import pytest

from rtchat.api.http import (
    Disconnected,
    Responder,
    TooLargeError,
    TooSlowError,
    decode,
    parse_query,
    read_body,
    to_json,
)
from rtchat.api.types import (
    AddMember,
    CreateChannel,
    HistoryQuery,
    Login,
    Logout,
    NewDm,
    NewPrivate,
    SendMessage,
    SetRole,
    UserQuery,
)
from rtchat.config import Config
from rtchat.errors import ERRORS, ChatError, Code
from rtchat.headers import AnswerHeaders
from rtchat.model import Role, User
from tests.api.exchange import GONE, JSON, Exchange, Headers, body

LIMIT = 2000
CONFIG = Config(body_max_bytes=LIMIT, content_max_chars=50)


def said(error: ChatError) -> tuple[str, str | None]:
    return error.code.value, error.field


# --- reading a body


async def read(exchange: Exchange, config: Config = CONFIG) -> bytes:
    return await read_body(exchange.scope, exchange.receive, config)


async def refusal(exchange: Exchange, config: Config = CONFIG) -> ChatError:
    with pytest.raises(ChatError) as caught:
        await read(exchange, config)
    return caught.value


def with_header(name: bytes, *values: bytes) -> Headers:
    others = [pair for pair in JSON if pair[0] != name]
    return others + [(name, value) for value in values]


async def test_a_body_is_read_whole_from_its_parts():
    exchange = Exchange(body(b'{"a"', more=True), body(b"", more=True), body(b":1}"))
    assert await read(exchange) == b'{"a":1}'


async def test_a_body_may_be_as_long_as_its_limit_and_no_longer():
    assert len(await read(Exchange(body(b"x" * LIMIT)))) == LIMIT
    assert len(await read(Exchange(body(b"x" * 999, more=True), body(b"x" * 1001)))) == LIMIT
    assert said(await refusal(Exchange(body(b"x" * (LIMIT + 1))))) == ("too_large", None)


@pytest.mark.parametrize("length", [b"2001", b"9" * 5000])
async def test_what_announces_too_much_is_refused_unread(length: bytes):
    exchange = Exchange(body(b"x"), headers=[*JSON, (b"content-length", length)])
    assert (await refusal(exchange)).code is Code.TOO_LARGE
    assert exchange.unread == 1


async def test_what_announces_just_its_limit_is_read():
    exchange = Exchange(body(b"x" * LIMIT), headers=[*JSON, (b"content-length", b"2000")])
    assert len(await read(exchange)) == LIMIT


async def test_what_announces_nothing_is_refused_once_it_is_too_much():
    exchange = Exchange(*[body(b"x" * 900, more=True) for _ in range(100)])
    assert isinstance(await refusal(exchange), TooLargeError)
    assert exchange.unread == 97


@pytest.mark.parametrize("length", [b"1e9", b"-1", b"+5", b"\xb2", b"", b"x"])
async def test_a_length_that_is_no_number_does_not_matter(length: bytes):
    """The body's own bytes are counted; a server in front of us has refused most of these."""
    exchange = Exchange(body(b"{}"), headers=[*JSON, (b"content-length", length)])
    assert await read(exchange) == b"{}"


@pytest.mark.parametrize(
    "kind",
    [b"application/json", b"Application/JSON", b"application/json; charset=utf-8",
     b"application/json;charset=UTF-8", b" application/json "],
)  # fmt: skip
async def test_json_in_utf_8_is_taken(kind: bytes):
    assert await read(Exchange(body(b"{}"), headers=with_header(b"content-type", kind))) == b"{}"


@pytest.mark.parametrize(
    "kinds",
    [(), (b"",), (b"text/plain",), (b"text/json",), (b"application/jsonx",), (b"application/xml",),
     (b"multipart/form-data; boundary=x",), (b"application/x-www-form-urlencoded",),
     (b"application/json; charset=utf-16",), (b"application/json; charset=latin-1",),
     (b"application/json", b"text/plain"), (b"\xff",)],
)  # fmt: skip
async def test_anything_else_is_an_unsupported_media_type(kinds: tuple[bytes, ...]):
    """Also so that no foreign page can send it without asking first (a CORS preflight)."""
    exchange = Exchange(body(b"{}"), headers=with_header(b"content-type", *kinds))
    assert (await refusal(exchange)).code is Code.UNSUPPORTED_MEDIA_TYPE
    assert exchange.unread == 1


@pytest.mark.parametrize("coding", [b"gzip", b"br", b"deflate", b"gzip, identity"])
async def test_a_compressed_body_is_not_inflated(coding: bytes):
    exchange = Exchange(body(b"x"), headers=[*JSON, (b"content-encoding", coding)])
    assert (await refusal(exchange)).code is Code.UNSUPPORTED_MEDIA_TYPE


@pytest.mark.parametrize("before", [[], [body(b"{", more=True)]])
async def test_a_client_that_goes_away_is_no_error(before: list[Any]):
    with pytest.raises(Disconnected):
        await read(Exchange(*before, GONE))


async def test_a_body_must_arrive_in_time():
    """What is still on its way then is not waited for either."""
    hasty = Config(body_read_s=0)
    assert isinstance(await refusal(Exchange(body(b"{", more=True)), hasty), TooSlowError)


# --- decoding it


def decoded(body_type: Any, text: str | bytes) -> Any:
    data = text if isinstance(text, bytes) else text.encode()
    return decode(msgspec.json.Decoder(body_type), data)


def body_refusal(body_type: Any, text: str | bytes) -> tuple[str, str | None]:
    with pytest.raises(ChatError) as caught:
        decoded(body_type, text)
    return said(caught.value)


def test_a_body_has_the_contracts_names():
    assert decoded(AddMember, '{"userId":5}') == AddMember(user_id=5, role=Role.MEMBER)
    assert decoded(CreateChannel, '{"type":"dm","members":[1]}') == NewDm(members=[1])
    assert decoded(CreateChannel, '{"name":"n","type":"private"}') == NewPrivate(name="n")
    assert decoded(Logout, '{"refreshToken":"r"}') == Logout(refresh_token="r", all=False)


def test_unknown_fields_are_ignored():
    assert decoded(Login, '{"email":"a","password":"b","admin":true}').email == "a"


@pytest.mark.parametrize(
    "text",
    ["", " ", "nul", "{", "{}x", "[1,]", "{'a':1}", '{"email":1', b"\xff", b"\xef\xbb\xbf{}",
     "{}".encode("utf-16"), "[" * 100_000, '{"email":NaN}', r'{"email":"\ud800","password":""}',
     b'{"email":"\xed\xa0\x80","password":""}', '{"x":' * 2000],
)  # fmt: skip
def test_what_is_not_json_is_bad_json(text: str | bytes):
    assert body_refusal(Login, text) == ("bad_json", None)


@pytest.mark.parametrize("text", ["[]", "1", '"x"', "null", "true"])
def test_what_is_no_object_is_a_bad_message(text: str):
    assert body_refusal(Login, text) == ("bad_message", None)


@pytest.mark.parametrize(
    ("body_type", "text", "expected"),
    [
        (Login, "{}", ("bad_field", "email")),
        (Login, '{"email":"a"}', ("bad_field", "password")),
        (Login, '{"email":{"$ne":1},"password":"b"}', ("bad_field", "email")),
        (Login, '{"email":["a"],"password":"b"}', ("bad_field", "email")),
        (Login, '{"email":null,"password":"b"}', ("bad_field", "email")),
        (CreateChannel, '{"type":"secret"}', ("bad_field", "type")),
        (CreateChannel, '{"type":"dm","members":[0]}', ("bad_field", "members")),
        (CreateChannel, '{"type":"dm","members":[1.0]}', ("bad_field", "members")),
        (CreateChannel, '{"type":"dm","members":[]}', ("bad_field", "members")),
        (CreateChannel, '{"type":"dm","name":"n","members":[1]}', ("bad_field", "name")),
        (CreateChannel, '{"type":"public"}', ("bad_field", "name")),
        (AddMember, '{"userId":"5"}', ("bad_field", "userId")),
        (AddMember, "{}", ("bad_field", "userId")),
        (AddMember, f'{{"userId":{2**53}}}', ("bad_field", "userId")),
        (SetRole, '{"role":"king"}', ("bad_field", "role")),
        (SendMessage, '{"content":"a","nonce":""}', ("bad_field", "nonce")),
        (SendMessage, f'{{"content":"a","nonce":"{"x" * 65}"}}', ("too_long", "nonce")),
        (Logout, '{"all":"yes"}', ("bad_field", "all")),
    ],
)
def test_the_field_at_fault_is_named(body_type: type, text: str, expected: tuple[str, str]):
    assert body_refusal(body_type, text) == expected


# --- the query string


def query(query_type: type, text: bytes) -> Any:
    return parse_query(Exchange(query=text).scope, query_type)


def query_refusal(query_type: type, text: bytes) -> tuple[str, str | None]:
    with pytest.raises(ChatError) as caught:
        query(query_type, text)
    return said(caught.value)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (b"", HistoryQuery()),
        (b"limit=1", HistoryQuery(limit=1)),
        (b"limit=200&before=5", HistoryQuery(limit=200, before=5)),
        (b"after=0", HistoryQuery(after=0)),
        (b"after=%35", HistoryQuery(after=5)),
        (b"unknown=x&&limit=7&", HistoryQuery(limit=7)),
    ],
)
def test_parameters_are_read(text: bytes, expected: HistoryQuery):
    assert query(HistoryQuery, text) == expected


def test_text_in_a_parameter_is_utf_8():
    assert query(UserQuery, b"q=Jos%C3%A9+%F0%9F%91%8D").q == "José \U0001f44d"


@pytest.mark.parametrize(
    "value",
    ["0", "-1", "201", "1000000000", "abc", "", "1.5", "1.0", "1e2", "+5", "%2B5", "%205", "5%20",
     "05", "1_0", "%D9%A5", "0x10", "true", "null", "9" * 5000],
)  # fmt: skip
def test_a_limit_is_decimal_digits_within_its_bounds(value: str):
    assert query_refusal(HistoryQuery, f"limit={value}".encode()) == ("bad_field", "limit")


@pytest.mark.parametrize(
    "value", ["-1", "abc", "", "1.0", "1e3", "1e400", "-0", "null", "none", str(2**53), str(2**64)]
)
@pytest.mark.parametrize("name", ["before", "after"])
def test_a_cursor_is_the_decimal_digits_of_a_seq(name: str, value: str):
    assert query_refusal(HistoryQuery, f"{name}={value}".encode()) == ("bad_field", name)


@pytest.mark.parametrize(
    ("text", "field"),
    [
        (b"limit=5&limit=6", "limit"),
        (b"q=%00", "q"),
        (b"q=a%0Ab", "q"),
        (b"q=%ff", "q"),
        (b"q=%1b[2J", "q"),
        (b"q=\xc3\xa9", None),
        (b"&".join(b"a%d=1" % i for i in range(101)), None),
    ],
)
def test_a_query_that_cannot_be_read_one_way_only_is_refused(text: bytes, field: str | None):
    assert query_refusal(UserQuery, text) == ("bad_field", field)


def test_a_long_parameter_is_too_long():
    assert query_refusal(UserQuery, b"q=" + b"x" * 255) == ("too_long", "q")


# --- answering


def responder(exchange: Exchange, config: Config = CONFIG) -> Responder:
    common = AnswerHeaders(config)
    return Responder(exchange.scope, exchange.receive, exchange.send, "0123abcd", common)


async def test_an_answer_is_json_in_the_contracts_names():
    exchange, user = Exchange(), User(id=42, name="é", status="", last_active=None)
    await responder(exchange).answer(201, user)
    assert (exchange.status, exchange.headers["content-type"]) == (201, "application/json")
    assert exchange.json == {"id": 42, "name": "é", "status": "", "lastActive": None}
    assert "é".encode() in to_json(user)


async def test_an_answer_is_kept_by_nobody_and_taken_for_nothing_else():
    exchange = Exchange()
    await responder(exchange).answer(200, {})
    assert exchange.headers["cache-control"] == "no-store"
    assert exchange.headers["x-content-type-options"] == "nosniff"
    assert exchange.headers["x-request-id"] == "0123abcd"


async def test_204_has_neither_body_nor_length():
    exchange = Exchange()
    await responder(exchange).answer(204)
    assert (exchange.status, exchange.body) == (204, b"")
    assert {"content-length", "content-type"}.isdisjoint(exchange.headers)


async def test_head_gets_the_headers_of_get():
    get, head = Exchange(method="GET"), Exchange(method="HEAD")
    for exchange in (get, head):
        await responder(exchange).answer(200, {"a": 1})
    assert head.headers == get.headers
    assert (get.body, head.body) == (b'{"a":1}', b"")


async def test_options_tells_the_methods():
    exchange = Exchange(method="OPTIONS")
    await responder(exchange).allow({"POST", "GET"})
    assert (exchange.status, exchange.headers["allow"]) == (204, "GET, POST")


async def problem(error: ChatError, **options: Any) -> Exchange:
    exchange = Exchange()
    await responder(exchange).problem(error, **options)
    return exchange


@pytest.mark.parametrize("code", Code)
async def test_an_error_is_a_problem_document(code: Code):
    """RFC 9457, with the contract's code."""
    exchange = await problem(ChatError(code, "Why."))
    assert exchange.status == ERRORS[code].status
    assert exchange.headers["content-type"] == "application/problem+json"
    assert exchange.json == {
        "type": f"urn:rtchat:error:{code.value}", "title": ERRORS[code].title,
        "status": ERRORS[code].status, "detail": "Why.", "code": code.value,
    }  # fmt: skip


async def test_a_problem_names_the_field_and_the_time_to_wait():
    exchange = await problem(ChatError(Code.RATE_LIMITED, field="content", after_ms=1))
    assert (exchange.json["field"], exchange.json["retryAfter"]) == ("content", 1)
    assert exchange.headers["retry-after"] == "1"


@pytest.mark.parametrize(("after_ms", "seconds"), [(0, 1), (1000, 1), (1001, 2), (60_000, 60)])
async def test_a_wait_is_rounded_up_to_seconds(after_ms: int, seconds: int):
    """0 would invite to come back at once."""
    exchange = await problem(ChatError(Code.OVERLOADED, after_ms=after_ms))
    assert exchange.json["retryAfter"] == seconds


@pytest.mark.parametrize("code", [Code.UNAUTHORIZED, Code.TOKEN_EXPIRED])
async def test_401_says_how_to_sign_in(code: Code):
    assert (await problem(ChatError(code))).headers["www-authenticate"] == "Bearer"


async def test_405_tells_the_methods():
    exchange = await problem(ChatError(Code.METHOD_NOT_ALLOWED), methods={"PUT", "GET"})
    assert exchange.headers["allow"] == "GET, PUT"


def too_large() -> TooLargeError:
    return TooLargeError(Code.TOO_LARGE, "At most 1024 bytes.")


async def test_a_body_over_its_limit_is_answered_then_drained_then_the_link_closes():
    """So that the client reads the answer, and not a reset (contract §2)."""
    exchange = Exchange(*[body(b"x" * 100, more=True) for _ in range(50)], body(b""), body(b"next"))
    await responder(exchange).problem(too_large(), drain_bytes=10_000)
    assert (exchange.status, exchange.headers["connection"]) == (413, "close")
    assert json.loads(exchange.body)["code"] == "too_large"
    assert exchange.unread == 1


async def test_after_a_body_that_did_not_end_the_link_closes():
    """What comes next on it would be taken for a request."""
    exchange = await problem(TooSlowError(Code.BAD_JSON))
    assert exchange.headers["connection"] == "close"
    assert "connection" not in (await problem(ChatError(Code.BAD_JSON))).headers


async def test_no_more_is_drained_than_said():
    exchange = Exchange(*[body(b"x" * 100, more=True) for _ in range(50)])
    await responder(exchange).problem(too_large(), drain_bytes=1000)
    assert exchange.unread == 40
    assert exchange.json["code"] == "too_large"


async def test_draining_ends_with_the_client():
    exchange = Exchange(body(b"x", more=True), GONE)
    await responder(exchange).problem(too_large(), drain_bytes=1000)
    assert exchange.body
