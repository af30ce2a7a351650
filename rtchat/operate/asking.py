"""One GET to a server of rtchat's, from beside it: to one address, bounded in time and bytes.

Owns: how an answer is read, and the reasons for which there is none. Must never: follow a redirect
(the operators' token goes to the address that was asked, and nowhere else), or ask a proxy.
"""

import asyncio
from typing import NamedTuple

import httpx2

from rtchat.operate.terminal import printable

ANSWER_MAX_BYTES = 8 << 20  # metrics of a pod have some 50 KB


class Answer(NamedTuple):
    """What came back."""

    status: int
    text: str


class NoAnswerError(Exception):
    """Nothing came back that is an answer; `refused`: nobody listens there."""

    def __init__(self, reason: str, *, refused: bool = False) -> None:
        super().__init__(reason)
        self.refused = refused


def client() -> httpx2.AsyncClient:
    """What `get` asks with."""
    # Each question has a connection of its own: several processes on one port would be taken for
    # the one that got the first. `get` bounds the time of all of it.
    limits = httpx2.Limits(max_keepalive_connections=0)
    return httpx2.AsyncClient(trust_env=False, timeout=None, limits=limits)


async def get(
    http: httpx2.AsyncClient, url: str, within_s: float, address: str = "", token: str = ""
) -> Answer:
    """Ask for `url`; `address`: of the several that its host has. Raises NoAnswerError."""
    asked = httpx2.URL(url)
    headers = {"host": asked.netloc.decode()}
    if token:
        headers["authorization"] = f"Bearer {token}"
    # The certificate must be the name's all the same.
    more = {"sni_hostname": asked.host} if asked.scheme == "https" else {}
    try:
        where = asked.copy_with(host=address) if address else asked  # not all are fit for one
        async with (
            asyncio.timeout(within_s),
            http.stream("GET", where, headers=headers, extensions=more) as response,
        ):
            parts, size = [], 0
            async for part in response.aiter_bytes():
                parts.append(part)
                size += len(part)
                if size > ANSWER_MAX_BYTES:
                    raise NoAnswerError("an answer without an end")
            return Answer(response.status_code, b"".join(parts).decode(errors="replace"))
    except TimeoutError:
        raise NoAnswerError(f"no answer within {within_s:g} s") from None
    except httpx2.ConnectError as error:
        raise NoAnswerError(_said(error), refused=True) from None
    except (httpx2.HTTPError, httpx2.InvalidURL, ValueError) as error:
        raise NoAnswerError(_said(error)) from None


def _said(error: Exception) -> str:
    return printable(str(error).partition("\n")[0]) or type(error).__name__
