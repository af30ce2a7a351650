"""HTTP itself: methods, paths, headers, and how errors look."""

import pytest

from tests.contract.rest import (
    JSON,
    Caller,
    answer,
    exchange,
    is_safe,
    no_content,
    problem,
    request,
)
from tests.pods import Pod

pytestmark = pytest.mark.usefixtures("calm")

# Every path of the contract's table, and the methods that it has.
METHODS = {
    "/auth/register": {"POST"},
    "/auth/login": {"POST"},
    "/auth/refresh": {"POST"},
    "/auth/logout": {"POST"},
    "/auth/providers": {"GET"},
    "/users/me": {"GET", "PATCH"},
    "/users": {"GET"},
    "/channels": {"GET", "POST"},
    "/channels/1": {"GET", "PATCH", "DELETE"},
    "/channels/1/join": {"POST"},
    "/channels/1/leave": {"POST"},
    "/channels/1/members": {"GET", "POST"},
    "/channels/1/members/1": {"PATCH", "DELETE"},
    "/channels/1/messages": {"GET", "POST"},
    "/channels/1/messages/1": {"GET", "PATCH", "DELETE"},
    "/healthz": {"GET"},
    "/ws": {"GET"},
    "/readyz": {"GET"},
}
ALL_METHODS = ("GET", "POST", "PUT", "PATCH", "DELETE", "TRACE", "PROPFIND", "LINK")


# --- methods


@pytest.mark.parametrize("path", METHODS)
async def test_a_path_has_the_methods_of_the_contract_and_no_others(ann: Caller, path: str):
    """S-53: 405 for the others, TRACE among them, with the ones that there are."""
    for method in ALL_METHODS:
        response = await ann.call(method, path)
        if method in METHODS[path]:
            assert response.status_code != 405, method
        else:
            problem(response, "method_not_allowed")
            assert METHODS[path] <= set(response.headers["allow"].split(", "))


@pytest.mark.parametrize("path", [path for path in METHODS if "GET" in METHODS[path]])
async def test_head_is_get_without_a_body(ann: Caller, path: str):
    """RFC 9110 §9.3.2: the same status and headers."""
    get, head = await ann.get(path), await ann.call("HEAD", path)
    assert head.status_code == get.status_code
    assert head.content == b""
    own = {"date", "x-request-id"}
    assert {k: v for k, v in head.headers.items() if k not in own} == {
        k: v for k, v in get.headers.items() if k not in own
    }


@pytest.mark.parametrize("path", METHODS)
async def test_options_tells_the_methods(nobody: Caller, path: str):
    """For anybody, without a body."""
    response = await nobody.call("OPTIONS", path)
    no_content(response)
    assert METHODS[path] <= set(response.headers["allow"].split(", "))


async def test_no_foreign_page_is_let_in(nobody: Caller):
    """S-50: no answer allows another origin to read it."""
    headers = {
        "Origin": "https://evil.example",
        "Access-Control-Request-Method": "POST",
        "Access-Control-Request-Headers": "authorization",
    }
    for method in ("OPTIONS", "GET"):
        response = await nobody.http.request(method, "/users/me", headers=headers)
        assert "access-control-allow-origin" not in response.headers
        assert "access-control-allow-credentials" not in response.headers


async def test_state_is_not_changed_by_get(ann: Caller):
    """S-52: logout, join and leave are no links."""
    channel = await ann.makes()
    for path in ("/auth/logout", f"/channels/{channel['id']}/leave"):
        problem(await ann.get(path), "method_not_allowed")
    answer(await ann.get("/users/me"))


async def test_a_method_is_not_overridden_by_a_header(ann: Caller):
    """B-H30: `X-HTTP-Method-Override` is nobody's business."""
    channel = await ann.makes()
    headers = ann.person.headers | {"X-HTTP-Method-Override": "DELETE"}
    answer(await ann.http.get(f"/channels/{channel['id']}", headers=headers))
    await ann.sees(channel)


# --- paths


@pytest.mark.parametrize(
    "path",
    [
        "/", "/nothing", "/%00", "/%ff%zz", "/%ff", "//", "//healthz", "/healthz/", "/healthz//",
        "/healthz;x", "/healthz;x=1", "/HEALTHZ", "/Healthz", "/healthz%00", "/healthz%20",
        "/healthz%0a", "/%20healthz", "/../healthz", "/./healthz", "/users/../healthz",
        "/users/%2e%2e/healthz", "/%2e%2e/healthz", "/%2e%2e%2f%2e%2e%2fetc/passwd",
        "/..%5c..%5cetc/passwd", "/users//me", "/users/me/", "/users/1",
        "/channels/1/", "/channels//messages", "/channels/1/nothing", "/channels/1/messages/",
        "/channels/1/members/1/x", "/channels/{id}", "/channels/%7Bid%7D", "/healthz.json",
        "/healthz%3fx", "/healthz%23x", "/\u0661", "/%d9%a1", "/.env", "/.git/config",
    ],
    ids=lambda path: f"B-H8 {path!a}",
)  # fmt: skip
async def test_a_path_matches_exactly_or_not_at_all(pod: Pod, ann: Caller, path: str):
    """B-H8: 404, whatever comes; no dots are followed, no slash is added."""
    line = f"GET {path} HTTP/1.1".encode().decode("latin-1")
    reply = await exchange(pod, request(line, token=ann.person.token))
    if path == "/" and reply.status in (200, 302):
        return  # the package's own page
    if path in ("/%ff%zz", "/\u0661") and reply.status == 400:
        return  # no URL at all
    assert reply.status == 404, reply
    assert reply.json["code"] == "not_found"


NO_IDS = [
    "0", "-1", "+1", "01", "1e3", "1.0", "1.", "1_0", "%201", "1%20", "1%00", "%00", "0x1",
    "%D9%A1", "%EF%BC%91", "%C2%B2", "null", "true", "NaN", "me", "1,2", "1;2", "1'", "$1",
    "c0ffee00-0000-4000-8000-000000000000", str(2**53), str(2**63 - 1), str(2**63), str(2**64),
    "9" * 400, "%F0%9F%91%8D", "%ED%A0%80", "*", "..",
]  # fmt: skip


@pytest.mark.parametrize(
    "number",
    [*NO_IDS, str(2**31), str(2**31 - 1), str(2**53 - 1)],
    ids=lambda number: f"B-H23 {number[:24]}",
)
async def test_a_number_in_a_path_is_an_id_or_nothing(pod: Pod, ann: Caller, number: str):
    """B-H23: digits of ASCII, below 2**53; all else is 404, and none a 500."""
    channel = (await ann.makes())["id"]
    for path in (
        f"/channels/{number}",
        f"/channels/{number}/messages",
        f"/channels/{channel}/messages/{number}",
        f"/channels/{number}/members",
    ):
        reply = await exchange(pod, request(f"GET {path} HTTP/1.1", token=ann.person.token))
        assert reply.status in (404, 422), (path, reply)
    path = f"/channels/{channel}/members/{number}"
    reply = await exchange(pod, request(f"DELETE {path} HTTP/1.1", token=ann.person.token))
    assert reply.status in (404, 422), (path, reply)


@pytest.mark.parametrize(
    "query",
    ["%00", "q=%00", "q=%ff", "q=%zz", "=", "&&&", "q", "q=a&q=b", "limit=1&" * 200, "q=%ED%A0%80",
     "x" * 6000, "q=a;limit=1", "\xff=\xfe", "q=\x7f"],
    ids=lambda value: ascii(value)[:20],
)  # fmt: skip
async def test_any_query_string_is_answered(pod: Pod, ann: Caller, query: str):
    """Never a 500, whatever its bytes."""
    reply = await exchange(pod, request(f"GET /users?{query} HTTP/1.1", token=ann.person.token))
    assert reply.status in (200, 400, 422), reply


# --- headers


async def test_an_accept_header_changes_nothing(ann: Caller):
    """B-H14: JSON is what there is."""
    for accept in ("application/xml", "text/html", "image/*;q=0.1", "nonsense", ""):
        headers = ann.person.headers | {"Accept": accept}
        answer(await ann.http.get("/users/me", headers=headers))
        problem(await ann.http.get("/nothing", headers=headers), "not_found")


async def test_conditions_and_ranges_are_ignored(ann: Caller):
    """B-H28: every answer is whole and fresh."""
    garbage = {
        "If-None-Match": '*, "x", W/"', "If-Modified-Since": "yesterday", "Range": "bytes=9-1,x",
        "Cookie": "a=b; a=c; =; \"", "X-Forwarded-For": ",".join(["1.2.3.4"] * 1000),
        "X-Forwarded-Proto": "gopher", "Forwarded": "for=\"[::1%25eth0]\"",
    }  # fmt: skip
    answer(await ann.http.get("/users/me", headers=ann.person.headers | garbage))


async def test_an_answer_does_not_tell_how_the_server_is_made(nobody: Caller):
    """S-61: no `Server`, no version, no language."""
    response = await nobody.get("/nothing")
    is_safe(response)
    assert "x-powered-by" not in response.headers


async def test_problems_are_of_one_form(ann: Caller, nobody: Caller):
    """RFC 9457: `type` names the code, `title` is the same whenever the code is."""
    problems: list[JSON] = [
        problem(await ann.get("/nothing"), "not_found"),
        problem(await ann.get("/channels/999999999"), "not_found"),
        problem(await nobody.get("/users/me"), "unauthorized"),
        problem(await nobody.get("/channels"), "unauthorized"),
        problem(await ann.call("TRACE", "/users/me"), "method_not_allowed"),
        problem(await ann.post("/channels", {"name": "x", "type": "x"}), "bad_field"),
        problem(await ann.patch("/users/me", {"name": ""}), "bad_field"),
    ]
    titles: dict[str, set[str]] = {}
    types: dict[str, set[str]] = {}
    for body in problems:
        titles.setdefault(body["code"], set()).add(body["title"])
        types.setdefault(body["code"], set()).add(body["type"])
    assert all(len(values) == 1 for values in (*titles.values(), *types.values()))
    assert len({*map(frozenset, types.values())}) == len(types)
