"""One call over HTTP: asked, asked again where that is harmless, and its answer read.

Owns: an HTTP client that is kept open, and the reading of answers and problems. A call that is
marked so is repeated on errors that allow it and on broken links, with full jitter and the server's
hint, until `retry_s` is over. Must never: repeat one that is not marked.
"""

import asyncio
import random
import ssl as tls
from collections.abc import Callable
from typing import Any, Self, TypeVar
from urllib.parse import urlsplit

import httpx2
import msgspec
import orjson

from rtchat.client.errors import RefusedError, UnreachableError

T = TypeVar("T")
KEEP_S = 4.0  # the server closes an idle link after 5 s; a request must not meet that
RETRY_S, RETRY_CAP_S = 0.2, 5.0

_SCHEMES = {"ws": "ws", "http": "ws", "wss": "wss", "https": "wss"}


def endpoints(url: str) -> tuple[str, str]:
    """Derive the WebSocket's URL and that of REST from either: `ws://host/ws`, `http://host`."""
    parts = urlsplit(url)
    scheme = _SCHEMES.get(parts.scheme)
    if scheme is None or not parts.netloc:
        raise ValueError(f"{url!r} is not ws://host, wss://host, http://host or https://host")
    base = f"{parts.netloc}{parts.path.rstrip('/').removesuffix('/ws')}"
    return f"{scheme}://{base}/ws", f"{scheme.replace('ws', 'http')}://{base}"


class _Problem(msgspec.Struct, rename="camel"):
    code: str = ""
    detail: str = ""
    field: str | None = None
    retry_after: float | None = None


class Calls:
    """Calls to one server, with one user's token or none."""

    def __init__(
        self,
        url: str,
        token: str | Callable[[], str] | None = None,
        *,
        http: httpx2.AsyncClient | None = None,
        ssl: tls.SSLContext | None = None,
        trust_env: bool = True,
        retry_s: float = 15.0,
    ) -> None:
        self._base = endpoints(url)[1]
        self.token = token
        self._owned = http is None
        self._http = http or make_http(ssl=ssl, trust_env=trust_env)
        self._retry_s = retry_s

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    async def close(self) -> None:
        """End the HTTP client, if it is ours."""
        if self._owned:
            await self._http.aclose()

    async def call(
        self,
        method: str,
        path: str,
        answer: type[T] | None,
        body: dict[str, Any] | None = None,
        *,
        query: dict[str, Any] | None = None,
        again: bool = False,
    ) -> T:
        """Make a call; with `again`, until it has an answer or the time is over.

        Raises RefusedError or UnreachableError.
        """
        deadline = asyncio.get_running_loop().time() + self._retry_s
        for tries in range(1_000_000):
            wait_s = random.uniform(0, min(RETRY_CAP_S, RETRY_S * 2 ** min(tries, 8)))
            try:
                response = await self._request(method, path, body, query)
                if response.is_success:
                    return _read(response, answer)
                refusal = _problem(response)
                if not (again and refusal.retry):
                    raise refusal
                failure: Exception = refusal
                wait_s = max(wait_s, refusal.retry_after_s or 0.0)
            except httpx2.TransportError as error:
                failure = UnreachableError(f"{method} {path}: {type(error).__name__} {error}")
                failure.__cause__ = error
            if not again or asyncio.get_running_loop().time() + wait_s > deadline:
                raise failure
            await asyncio.sleep(wait_s)
        raise AssertionError("unreachable")

    async def _request(
        self, method: str, path: str, body: dict[str, Any] | None, query: dict[str, Any] | None
    ) -> httpx2.Response:
        headers = {}
        content = None
        if self.token is not None:
            token = self.token() if callable(self.token) else self.token
            headers["Authorization"] = f"Bearer {token}"
        if body is not None:
            headers["Content-Type"] = "application/json"
            content = orjson.dumps({k: v for k, v in body.items() if v is not None})
        params = {k: v for k, v in (query or {}).items() if v is not None}
        url = self._base + path
        return await self._http.request(
            method, url, content=content, headers=headers, params=params or None
        )


def make_http(
    *, ssl: tls.SSLContext | None = None, trust_env: bool = True, connections: int = 20
) -> httpx2.AsyncClient:
    """An HTTP client to share between many `Rest`."""
    return httpx2.AsyncClient(
        verify=True if ssl is None else ssl,
        trust_env=trust_env,
        timeout=httpx2.Timeout(15.0),
        limits=httpx2.Limits(
            max_connections=connections,
            max_keepalive_connections=connections,
            keepalive_expiry=KEEP_S,
        ),
    )


def _read(response: httpx2.Response, answer: type[T] | None) -> T:
    if answer is None:
        return None  # type: ignore[return-value]  # asked for by callers that return nothing
    return msgspec.json.decode(response.content, type=answer)


def _problem(response: httpx2.Response) -> RefusedError:
    try:
        problem = msgspec.json.decode(response.content, type=_Problem)
    except (msgspec.DecodeError, UnicodeError):  # not ours: a proxy's page
        problem = _Problem(detail=response.reason_phrase)
    return RefusedError(
        problem.code or f"http_{response.status_code}",
        problem.detail,
        field=problem.field,
        status=response.status_code,
        retry_after_s=problem.retry_after,
    )
