"""One HTTP exchange: reading a bounded body, writing JSON or a problem (RFC 9457).

Must never: read a body past its limit into memory, or show a client more of an unexpected error
than its request's number.
"""

import asyncio
import functools
import math
import re
from collections.abc import Iterable
from typing import Any
from urllib.parse import parse_qsl

import msgspec
import msgspec.inspect

from rtchat.api.asgi import Event, Headers, Receive, Scope, Send, header
from rtchat.api.types import Problem
from rtchat.config import Config
from rtchat.errors import ERRORS, ChatError, Code
from rtchat.headers import AnswerHeaders
from rtchat.protocol import explain, require_json

JSON = b"application/json"
PROBLEM = b"application/problem+json"
_DIGITS = re.compile(r"0|[1-9][0-9]{0,16}")


class Disconnected(Exception):  # noqa: N818  no error: the client has gone
    """The client went away before its request was whole."""


class TooLargeError(ChatError):
    """A body over the limit, of which more is on its way."""


class TooSlowError(ChatError):
    """A body that does not come to its end."""


async def read_body(scope: Scope, receive: Receive, config: Config) -> bytes:
    """Read the request's body. Raises ChatError, or Disconnected."""
    _require_json(scope)
    if _announced(scope) > config.body_max_bytes:
        raise _too_large(config)
    parts: list[bytes] = []
    size = 0
    try:
        async with asyncio.timeout(config.body_read_s):
            while True:
                event = await receive()
                if event["type"] == "http.disconnect":
                    raise Disconnected
                parts.append(event.get("body", b""))
                size += len(parts[-1])
                if size > config.body_max_bytes:
                    raise _too_large(config)
                if not event.get("more_body", False):
                    return b"".join(parts)
    except TimeoutError:
        text = "The body did not arrive in time."
        raise TooSlowError(Code.BAD_JSON, text, limit="body_read_s") from None


def _announced(scope: Scope) -> int:
    """The length that the request names; 0 where it names none (the body is counted anyway)."""
    length = header(scope, b"content-length") or ""
    if not (length.isascii() and length.isdigit()):
        return 0
    return int(length[:18])  # 18 digits are over any limit, and Python reads no thousands of them


def _too_large(config: Config) -> TooLargeError:
    text = f"At most {config.body_max_bytes} bytes."
    return TooLargeError(Code.TOO_LARGE, text, limit="body_max_bytes")


def _require_json(scope: Scope) -> None:
    kind, _, parameters = (header(scope, b"content-type") or "").partition(";")
    charset = parameters.strip().lower().replace('"', "")
    if kind.strip().lower() != "application/json" or charset not in ("", "charset=utf-8"):
        raise ChatError(Code.UNSUPPORTED_MEDIA_TYPE, "A body is application/json, in UTF-8.")
    if (header(scope, b"content-encoding") or "identity").lower() != "identity":
        raise ChatError(Code.UNSUPPORTED_MEDIA_TYPE, "A body is not encoded.")


def decode(decoder: "msgspec.json.Decoder[Any]", body: bytes) -> Any:
    """Decode and check a body. Raises ChatError with the field at fault."""
    try:
        return decoder.decode(body.decode())  # msgspec itself does not look into ignored fields
    except msgspec.ValidationError as error:
        require_json(body)
        raise explain(error) from None
    except (msgspec.DecodeError, UnicodeError, RecursionError):
        raise ChatError(Code.BAD_JSON) from None


@functools.cache
def _numbers(query_type: Any) -> frozenset[str]:
    """Which parameters of a query are numbers."""
    fields = msgspec.inspect.type_info(query_type).fields  # type: ignore[attr-defined]
    return frozenset(field.encode_name for field in fields if _is_number(field.type))


def _is_number(kind: msgspec.inspect.Type) -> bool:
    match kind:
        case msgspec.inspect.Metadata():  # what a description is wrapped in
            return _is_number(kind.type)
        case msgspec.inspect.UnionType():
            return any(map(_is_number, kind.types))
        case _:
            return isinstance(kind, msgspec.inspect.IntType)


def parse_query(scope: Scope, query_type: Any) -> Any:
    """Decode and check a query string; a number is decimal digits, and nothing else.

    Raises ChatError with the parameter at fault.
    """
    numbers = _numbers(query_type)
    try:
        text = scope["query_string"].decode("ascii")
        pairs = parse_qsl(text, keep_blank_values=True, max_num_fields=100)
    except (ValueError, UnicodeError):
        raise ChatError(Code.BAD_FIELD, "The query string cannot be read.") from None
    values: dict[str, str | int] = {}
    for name, value in pairs:
        if name in values:
            raise ChatError(Code.BAD_FIELD, "This parameter stands twice.", field=name)
        if name not in query_type.__struct_encode_fields__:
            continue  # others' words, which nobody reads: Microsoft's errors have line breaks
        if not value.isprintable() or "\ufffd" in value:  # what stands for bytes that are no UTF-8
            raise ChatError(Code.BAD_FIELD, "Only printable UTF-8.", field=name)
        values[name] = value
        if name in numbers:
            if not _DIGITS.fullmatch(value):
                raise ChatError(Code.BAD_FIELD, "A number is decimal digits.", field=name)
            values[name] = int(value)
    try:
        return msgspec.convert(values, query_type)
    except msgspec.ValidationError as error:
        raise explain(error) from None


def to_json(answer: Any) -> bytes:
    """Write an answer, in the contract's names."""
    return msgspec.json.encode(answer)


def problem_of(error: ChatError) -> tuple[int, Headers, bytes]:
    """The status, headers and body that tell of an error."""
    info = ERRORS[error.code]
    after_s = None if error.after_ms is None else max(1, math.ceil(error.after_ms / 1000))
    headers: Headers = [(b"content-type", PROBLEM)]
    if after_s is not None:
        headers.append((b"retry-after", str(after_s).encode()))
    if info.status == 401:
        headers.append((b"www-authenticate", b"Bearer"))
    body = Problem(
        type=f"urn:rtchat:error:{error.code.value}",
        title=info.title,
        status=info.status,
        detail=error.message,
        code=error.code,
        field=msgspec.UNSET if error.field is None else error.field,
        retry_after=msgspec.UNSET if after_s is None else after_s,
    )
    return info.status, headers, to_json(body)


class Responder:
    """Answers one request, once."""

    def __init__(
        self, scope: Scope, receive: Receive, send: Send, request_id: str, common: AnswerHeaders
    ) -> None:
        self._scope = scope
        self._common = common
        self._receive = receive
        self._send = send
        self._request_id = request_id
        self.status = 0  # what was answered; 0: nothing yet
        self.last = False  # answer of its connection: the client may then reach another pod

    async def answer(
        self, status: int, body: Any = None, headers: Headers | None = None, kind: bytes = JSON
    ) -> None:
        """Send JSON (a problem has a type of its own), bytes that are of `kind`, or a status."""
        headers = headers or []
        if body is None:
            await self._write(status, b"", headers)
            return
        if isinstance(body, Problem):
            kind = PROBLEM
        data = body if isinstance(body, bytes) else to_json(body)
        await self._write(status, data, [(b"content-type", kind), *headers])

    async def allow(self, methods: Iterable[str]) -> None:
        """Answer OPTIONS."""
        allow = (b"allow", ", ".join(sorted(methods)).encode())
        await self._write(204, b"", [allow, *self._common.preflight(self._scope, methods)])

    async def problem(
        self, error: ChatError, *, drain_bytes: int = 0, methods: Iterable[str] = ()
    ) -> None:
        """Send an error. With `drain_bytes`, then drop what is still coming and close."""
        status, headers, body = problem_of(error)
        if methods:
            headers.append((b"allow", ", ".join(sorted(methods)).encode()))
        self.last |= isinstance(error, TooSlowError | TooLargeError)
        if isinstance(error, TooLargeError):
            await self._write(status, body, headers, more=True)
            await self._drain(drain_bytes)
            await self._send({"type": "http.response.body", "body": b""})
        else:
            await self._write(status, body, headers)

    async def _write(
        self, status: int, body: bytes, headers: Headers, *, more: bool = False
    ) -> None:
        self.status = status
        common = self._common.of(self._scope)
        own = {name for name, _ in headers}  # a page, say, has a policy of its own
        headers = [*headers, *(pair for pair in common if pair[0] not in own)]
        headers.append((b"x-request-id", self._request_id.encode()))
        if self.last:
            headers.append((b"connection", b"close"))
        if status not in (204, 304):
            headers.append((b"content-length", str(len(body)).encode()))
        await self._send({"type": "http.response.start", "status": status, "headers": headers})
        body = b"" if self._scope["method"] == "HEAD" else body
        await self._send({"type": "http.response.body", "body": body, "more_body": more})

    async def _drain(self, limit: int) -> None:
        """Drop what is on its way, so that the client reads the answer instead of a reset."""
        try:
            async with asyncio.timeout(5):
                while limit > 0:
                    event: Event = await self._receive()
                    limit -= len(event.get("body", b""))
                    if event["type"] == "http.disconnect" or not event.get("more_body", False):
                        return
        except TimeoutError:
            return
