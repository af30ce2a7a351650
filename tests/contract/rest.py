"""Speaking REST as somebody, and the words in which tests check what comes back.

Written from the contract, not from the server's code: the statuses and the fields of every answer
stand here a second time on purpose. What the documents say of it is held to as well (`documented`).
"""

import asyncio
import json
import re
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

import httpx2

from rtchat.api.schemas import structs_in
from tests import documented
from tests.people import Person
from tests.pods import Pod

JSON = dict[str, Any]

STATUSES = {
    "bad_json": 400,
    "bad_message": 400,
    "unauthorized": 401,
    "token_expired": 401,
    "forbidden": 403,
    "not_found": 404,
    "method_not_allowed": 405,
    "conflict": 409,
    "nonce_conflict": 409,
    "too_large": 413,
    "unsupported_media_type": 415,
    "bad_field": 422,
    "too_long": 422,
    "unsupported": 422,
    "rate_limited": 429,
    "overloaded": 503,
    "unavailable": 503,
    "draining": 503,
    "internal": 500,
}
RETRY = {"rate_limited", "overloaded", "unavailable", "draining", "internal"}
ID_MAX = 2**53 - 1
# What would tell an attacker how the server is made.
TELLTALES = re.compile(
    r"Traceback|File \"|asyncpg|postgres|sqlstate|SELECT |INSERT |\$1|uvicorn|msgspec|\.py\b", re.I
)
_TIME = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z")


class Caller:
    """Somebody's requests; nobody's without a person."""

    def __init__(self, http: httpx2.AsyncClient, person: Person | None = None) -> None:
        self.http = http
        self._person = person
        documented.watch(http)

    @property
    def person(self) -> Person:
        """Who calls."""
        assert self._person is not None
        return self._person

    @property
    def id(self) -> int:
        """The caller's user id."""
        return self.person.id

    async def call(self, method: str, path: str, body: Any = None, **query: Any) -> httpx2.Response:
        """Send one request, with a JSON body where one is given."""
        return await self.http.request(
            method,
            path,
            params=query or None,
            headers=self._person.headers if self._person else None,
            **({} if body is None else {"json": body}),
        )

    async def get(self, path: str, **query: Any) -> httpx2.Response:
        return await self.call("GET", path, **query)

    async def post(self, path: str, body: Any = None) -> httpx2.Response:
        return await self.call("POST", path, body)

    async def patch(self, path: str, body: Any = None) -> httpx2.Response:
        return await self.call("PATCH", path, body)

    async def delete(self, path: str) -> httpx2.Response:
        return await self.call("DELETE", path)

    # --- what most tests begin with

    async def makes(self, channel_type: str = "public", *members: "Caller", **more: Any) -> JSON:
        """Make a channel; a dm has no name, and may be there already."""
        body = {"type": channel_type, "members": [member.id for member in members], **more}
        if channel_type == "dm":
            response = await self.post("/channels", body)
            return answer(response, 200 if response.status_code == 200 else 201)
        return answer(await self.post("/channels", {"name": "a channel", **body}), 201)

    async def says(self, channel: JSON, content: str, **more: Any) -> JSON:
        """Send a message."""
        body = {"content": content, **more}
        return answer(await self.post(f"/channels/{channel['id']}/messages", body), 201)

    async def sees(self, channel: JSON) -> JSON:
        """Look at a channel."""
        return answer(await self.get(f"/channels/{channel['id']}"))

    async def reads(self, channel: JSON, **query: Any) -> JSON:
        """Read a page of a channel's history."""
        return answer(await self.get(f"/channels/{channel['id']}/messages", **query))


def fields_of(body: Any) -> set[str]:
    """The fields that a body may have, of whichever form."""
    kinds = structs_in(body)
    tags = {kind.__struct_config__.tag_field for kind in kinds} - {None}  # type: ignore[attr-defined]
    return tags.union(*(kind.__struct_encode_fields__ for kind in kinds))  # type: ignore[attr-defined]


# --- answers


def answer(response: httpx2.Response, status: int = 200) -> JSON:
    """Check that this is a good answer, and return it."""
    assert response.status_code == status, (response.status_code, response.text)
    assert response.headers["content-type"] == "application/json"
    is_safe(response)
    body: JSON = response.json()
    assert isinstance(body, dict)
    return body


def no_content(response: httpx2.Response) -> None:
    """Check that this is a 204."""
    assert response.status_code == 204, (response.status_code, response.text)
    assert response.content == b""
    assert "content-type" not in response.headers
    is_safe(response)


def problem(response: httpx2.Response, *codes: str, field: str | None = None) -> JSON:
    """Check that this is an error as RFC 9457 and the contract have it, with one of `codes`."""
    assert response.headers.get("content-type") == "application/problem+json", response.text
    body: JSON = response.json()
    assert body["code"] in codes, body
    code = body["code"]
    assert response.status_code == body["status"] == STATUSES[code], body
    assert {"type", "title", "status", "detail", "code"} <= set(body)
    assert set(body) <= {"type", "title", "status", "detail", "code", "field", "retryAfter"}
    assert all(isinstance(body[key], str) for key in ("type", "title", "detail"))
    assert body["title"]
    if field is not None:
        assert body.get("field") == field, body
    assert ("retryAfter" in body) == ("retry-after" in response.headers)
    if "retryAfter" in body:
        assert code in RETRY, body
        assert body["retryAfter"] >= 1
        assert response.headers["retry-after"] == str(body["retryAfter"])
    if response.status_code == 401:
        assert response.headers["www-authenticate"].startswith("Bearer")
    assert not TELLTALES.search(response.text), response.text
    is_safe(response)
    return body


def is_safe(response: httpx2.Response) -> None:
    """Check the headers that every answer carries, and those that none does."""
    documented.check_response(response)
    assert response.headers["x-content-type-options"] == "nosniff"
    assert response.headers["cache-control"] == "no-store"
    assert response.headers["content-security-policy"].startswith("default-src 'none'")
    assert response.headers["referrer-policy"] == "no-referrer"
    assert response.headers["cross-origin-resource-policy"] == "same-origin"
    assert "strict-transport-security" not in response.headers  # it did not come by https
    assert "server" not in response.headers


# --- values


def is_id(value: Any) -> None:
    assert type(value) is int
    assert 1 <= value <= ID_MAX


def is_time(value: Any) -> datetime:
    """RFC 3339, UTC, with milliseconds, and not far from now."""
    assert isinstance(value, str)
    assert _TIME.fullmatch(value), value
    moment = datetime.fromisoformat(value)
    age = datetime.now(moment.tzinfo) - moment
    assert timedelta(seconds=-5) < age < timedelta(hours=1), value
    return moment


def is_user(value: JSON, *, own: bool = False) -> None:
    assert set(value) == {"id", "name", "status", "lastActive"} | ({"email"} if own else set())
    is_id(value["id"])
    assert isinstance(value["name"], str)
    assert isinstance(value["status"], str)
    if value["lastActive"] is not None:
        is_time(value["lastActive"])


def is_channel(value: JSON) -> None:
    assert set(value) == {
        "id", "name", "type", "createdBy", "createdAt", "updatedAt",
        "role", "lastSeq", "readSeq", "unread",
    }  # fmt: skip
    is_id(value["id"])
    is_id(value["createdBy"])
    assert is_time(value["createdAt"]) <= is_time(value["updatedAt"])
    assert value["type"] in ("public", "private", "dm")
    assert (value["name"] is None) == (value["type"] == "dm")
    assert value["role"] in ("owner", "admin", "member", None)
    assert type(value["lastSeq"]) is int
    if value["role"] is not None:
        assert type(value["readSeq"]) is int
        assert type(value["unread"]) is int


def is_member(value: JSON) -> None:
    assert set(value) == {"user", "role", "joinedAt"}
    is_user(value["user"])
    assert value["role"] in ("owner", "admin", "member")
    is_time(value["joinedAt"])


def is_message(value: JSON) -> None:
    required = {"id", "channelId", "seq", "userId", "content", "timestamp"}
    optional = {"nonce", "editedAt", "deletedAt", "reactions"}
    assert required <= set(value) <= required | optional
    is_id(value["channelId"])
    is_id(value["seq"])
    is_id(value["userId"])
    assert value["id"] == f"{value['channelId']}:{value['seq']}"
    assert isinstance(value["content"], str)
    for moment in {"timestamp", "editedAt", "deletedAt"} & set(value):
        is_time(value[moment])


def is_session(value: JSON) -> None:
    assert set(value) == {"user", "accessToken", "tokenType", "expiresIn", "refreshToken"}
    is_user(value["user"], own=True)
    assert value["tokenType"] == "Bearer"
    assert type(value["expiresIn"]) is int
    assert 0 < value["expiresIn"] <= 900
    assert len(value["refreshToken"]) >= 22  # 128 bits in base64


# --- below HTTP clients' good manners


@dataclass(frozen=True, slots=True)
class Reply:
    """What came back on a raw connection."""

    status: int
    headers: dict[str, str]
    body: bytes

    @property
    def json(self) -> JSON:
        value: JSON = json.loads(self.body)
        return value


async def exchange(pod: Pod, *parts: bytes, within_s: float = 10) -> Reply:
    """Send bytes as they are, and read one answer; what goes wrong while sending is no matter."""
    reader, writer = await asyncio.open_connection("127.0.0.1", pod.port)
    try:
        async with asyncio.timeout(within_s):
            for part in parts:
                writer.write(part)
                await writer.drain()
            reply = await read_reply(reader)
    finally:
        writer.close()
    documented.check_raw(b"".join(parts), reply.status, reply.headers, reply.body)
    return reply


async def read_reply(reader: asyncio.StreamReader) -> Reply:
    """Read one answer off a connection."""
    head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1")
    first, *lines = head.split("\r\n")[:-2]
    headers = {}
    for line in lines:
        name, _, value = line.partition(":")
        headers[name.strip().lower()] = value.strip()
    body = await reader.readexactly(int(headers.get("content-length", 0)))
    return Reply(int(first.split(" ")[1]), headers, body)


def request(line: str, *headers: str, token: str = "") -> bytes:
    """The head of a request, each line as given."""
    bearer = [f"Authorization: Bearer {token}"] if token else []
    return "\r\n".join([line, "Host: rtchat.test", *bearer, *headers, "", ""]).encode("latin-1")
