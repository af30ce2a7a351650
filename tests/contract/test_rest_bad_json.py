"""What is no JSON, no object, or not what belongs in a field: an answer each time, never a 500."""

import json
from typing import Any

import httpx2
import pytest

from tests.contract.rest import JSON, TELLTALES, Caller, answer, problem

pytestmark = pytest.mark.usefixtures("calm")

CASES: dict[str, bytes] = {
    "nothing": b"",
    "blanks": b" \t\r\n ",
    "half a word": b"nul",
    "open object": b"{",
    "open string": b'{"content":"hi',
    "open list": b'{"content":[',
    "two values": b'{"content":"hi"}x',
    "two objects": b'{"content":"hi"}{"content":"hi"}',
    "trailing comma": b'{"content":"hi",}',
    "comma in a list": b'{"x":[1,],"content":"hi"}',
    "single quotes": b"{'content':'hi'}",
    "no quotes": b"{content:1}",
    "a comment": b'{"content":"hi"/* there */}',
    "a line comment": b'{"content":"hi"}// there',
    "leading zero": b'{"x":01,"content":"hi"}',
    "plus": b'{"x":+1,"content":"hi"}',
    "bare fraction": b'{"x":.5,"content":"hi"}',
    "bare point": b'{"x":1.,"content":"hi"}',
    "hexadecimal": b'{"x":0x1,"content":"hi"}',
    "NaN": b'{"x":NaN,"content":"hi"}',
    "Infinity": b'{"x":-Infinity,"content":"hi"}',
    "undefined": b'{"x":undefined,"content":"hi"}',
    "True": b'{"x":True,"content":"hi"}',
    "a control in a string": b'{"content":"a\nb"}',
    "an unknown escape": b'{"content":"\\x41"}',
    "half an escape": b'{"content":"\\u12"}',
    "a lone high surrogate": b'{"content":"\\ud800"}',
    "a lone low surrogate": b'{"content":"\\udc00"}',
    "surrogates reversed": b'{"content":"\\ude00\\ud83d"}',
    "a surrogate in UTF-8": b'{"content":"\xed\xa0\x80"}',
    "no UTF-8": b'{"content":"\xff\xfe"}',
    "overlong UTF-8": b'{"content":"\xc0\xaf"}',
    "cut UTF-8": b'{"content":"\xf0\x9f\x98"}',
    "no UTF-8 in an ignored name": b'{"\xff":1,"content":"hi"}',
    "no UTF-8 in an ignored value": b'{"x":"\xff","content":"hi"}',
    "a byte order mark": b'\xef\xbb\xbf{"content":"hi"}',
    "UTF-16": '{"content":"hi"}'.encode("utf-16"),
    "UTF-32": '{"content":"hi"}'.encode("utf-32-le"),
    "NULs": b"\0" * 100,
    "NUL behind": b'{"content":"hi"}\0',
    "very deep and open": b"[" * 60_000,
    "a form": b"content=hi",
    "XML": b"<content>hi</content>",
    "two lines": b'{"content":"hi"}\n{"content":"ho"}',
}  # fmt: skip


async def post(caller: Caller, path: str, body: bytes) -> httpx2.Response:
    headers = caller.person.headers | {"Content-Type": "application/json"}
    return await caller.http.post(path, content=body, headers=headers)


@pytest.fixture(scope="module")
async def path(ann: Caller) -> str:
    """Where messages are sent to."""
    return f"/channels/{(await ann.makes())['id']}/messages"


@pytest.mark.parametrize("case", CASES, ids=lambda case: f"B-H19 {case}")
async def test_what_is_no_json_is_bad_json(ann: Caller, path: str, case: str):
    """B-H19, W50 to W56: 400, and nothing was sent."""
    before = answer(await ann.get(path, limit=1))
    problem(await post(ann, path, CASES[case]), "bad_json")
    assert answer(await ann.get(path, limit=1)) == before


@pytest.mark.parametrize("target", ["/auth/login", "/auth/register", "/auth/refresh", "/channels"])
async def test_bad_json_is_bad_everywhere(ann: Caller, target: str):
    """The same answer from every path that takes a body."""
    for case in ("nothing", "open object", "a lone high surrogate", "UTF-16", "very deep and open"):
        problem(await post(ann, target, CASES[case]), "bad_json", "bad_field")


@pytest.mark.parametrize(
    "body",
    [b"[]", b"1", b'"x"', b"null", b"true", b"[{}]", b"-0"],
    ids=lambda body: f"B-H19 {body.decode()}",
)
async def test_what_is_no_object_is_a_bad_message(ann: Caller, path: str, body: bytes):
    """W53."""
    for target in (path, "/auth/login", "/auth/register", "/channels"):
        problem(await post(ann, target, body), "bad_message")


async def test_depth_where_nobody_looks_is_no_failure(ann: Caller, path: str):
    """W55: passed over or bad JSON: how deep is too deep is Python's limit, 1,000 in 3.11 and what
    fits onto the stack in 3.14."""
    for depth in (10, 500, 1000, 1100, 5000, 30_000):
        body = b'{"x":' + b"[" * depth + b"]" * depth + b',"content":"hi"}'
        response = await post(ann, path, body)
        if response.status_code != 201:
            problem(response, "bad_json")
        fits = min(depth, 5000)  # else the body would be too long
        objects = b'{"x":' * fits + b"1" + b"}" * fits
        problem(await post(ann, path, objects), "bad_json", "bad_field")


async def test_the_last_of_two_equal_names_counts(ann: Caller, path: str):
    """W57: what was checked is what is stored."""
    message = answer(await post(ann, path, b'{"content":"one","content":"two"}'), 201)
    assert message["content"] == "two"
    problem(await post(ann, path, b'{"content":"one","content":""}'), "bad_field", field="content")


async def test_unknown_fields_are_ignored(ann: Caller, path: str):
    """W59: an old server takes what a new client sends."""
    body: JSON = {
        "content": "hi",
        "x": None,
        "": 1,
        "__proto__": {},
        "constructor": [],
        "a" * 10_000: 1,
    }
    answer(await ann.post(path, body), 201)


NUMBERS = [b"1e400", b"-1e400", b"9" * 5000, b"1e3", b"1.0", b"-0", b"0", b"18446744073709551616"]


@pytest.mark.parametrize("number", NUMBERS, ids=lambda value: value[:8].decode())
async def test_numbers_that_are_no_ids(ann: Caller, path: str, number: bytes):
    """W60: 2**53 and more, fractions, exponents: 422 (or no JSON), wherever an id is wanted."""
    members = path.replace("messages", "members")
    response = await post(ann, members, b'{"userId":' + number + b"}")
    if response.status_code == 400:
        problem(response, "bad_json")
    else:
        problem(response, "bad_field", "not_found", field="userId")
    body = b'{"name":"x","type":"public","members":[' + number + b"]}"
    response = await post(ann, "/channels", body)
    if response.status_code == 400:
        problem(response, "bad_json")
    else:
        problem(response, "bad_field", "not_found", field="members")


# --- every field of every body, with everything that may be wrong with it

ODD: list[Any] = [
    None, True, False, 0, 1, -1, 1.5, 2**63, 2**64, [], [1], ["x"], {}, {"$ne": 1}, "", " ", "\0",
    "a\0b", "x" * 300, "x" * 30_000, "\u202e", "\ufffe", "😀" * 1000, "'; DROP TABLE users; --",
    "%s%n", "{0}", "../../etc/passwd", "\r\nX-Injected: 1",
]  # fmt: skip
FIELDS: list[tuple[str, str, str, JSON]] = [
    ("POST", "/auth/register", "email", {"password": "x" * 7}),  # too short: nothing is hashed
    ("POST", "/auth/register", "password", {"email": "no address"}),
    ("POST", "/auth/register", "name", {"email": "a@example.org", "password": "x" * 7}),
    ("POST", "/auth/refresh", "refreshToken", {}),
    ("POST", "/auth/logout", "refreshToken", {}),
    ("POST", "/auth/oauth/exchange", "code", {}),
    ("PATCH", "/users/me", "name", {}),
    ("PATCH", "/users/me", "status", {}),
    ("POST", "/channels", "name", {"type": "public"}),
    ("POST", "/channels", "type", {"name": "x"}),
    ("POST", "/channels", "members", {"name": "x", "type": "private"}),
    ("PATCH", "/channels/{id}", "name", {}),
    ("POST", "/channels/{id}/messages", "content", {}),
    ("POST", "/channels/{id}/messages", "nonce", {"content": "hi"}),
    ("PATCH", "/channels/{id}/messages/1", "content", {}),
    ("PATCH", "/channels/{id}/messages/1", "nonce", {"content": "hi"}),
    ("POST", "/channels/{id}/members", "userId", {}),
    ("POST", "/channels/{id}/members", "role", {"userId": 999_999_999}),
    ("PATCH", "/channels/{id}/members/999999999", "role", {}),
]


@pytest.mark.parametrize(("method", "target", "field", "rest"), FIELDS)
async def test_any_value_in_any_field_is_answered(
    ann: Caller, path: str, method: str, target: str, field: str, rest: JSON
):
    """Taken or refused, but never a 500, and nothing of the server's insides in the answer."""
    target = target.replace("{id}", path.split("/")[2])
    for value in ODD:
        response = await ann.call(method, target, rest | {field: value})
        assert response.status_code < 500, (value, response.text)
        if response.status_code >= 400:
            # What was sent may come back, and is no telltale.
            said = json.dumps(response.json()).replace(json.dumps(value), "")
            assert not TELLTALES.search(said), said
        assert "x-injected" not in response.headers


@pytest.mark.parametrize(
    ("method", "target", "required"),
    [
        ("POST", "/auth/register", {"email", "password"}),
        ("POST", "/auth/login", {"email", "password"}),
        ("POST", "/auth/refresh", {"refreshToken"}),
        ("POST", "/channels", {"type", "name"}),
        ("POST", "/channels/1/messages", {"content"}),
        ("PATCH", "/channels/1/messages/1", {"content"}),
        ("POST", "/channels/1/members", {"userId"}),
        ("PATCH", "/channels/1/members/1", {"role"}),
    ],
)
async def test_a_missing_field_is_named(ann: Caller, method: str, target: str, required: set[str]):
    """B-H25: 422, and one of those that are required."""
    body = problem(await ann.call(method, target, {}), "bad_field")
    assert body["field"] in required
