"""One HTTP request in process: what the server's side of ASGI is given, and what it sent."""

import asyncio
import json
from typing import Any

from rtchat.api.asgi import Event, Scope

Headers = list[tuple[bytes, bytes]]
JSON: Headers = [(b"content-type", b"application/json")]


class Exchange:
    """A client that sends `events` and then is silent, and keeps what it is sent."""

    def __init__(
        self,
        *events: Event,
        method: str = "POST",
        headers: Headers = JSON,
        query: bytes = b"",
    ) -> None:
        self.scope: Scope = {
            "type": "http", "method": method, "path": "/", "query_string": query,
            "headers": headers,
        }  # fmt: skip
        self._events = list(events)
        self.sent: list[Event] = []

    async def receive(self) -> Event:
        """The next event; for ever none when there is no more."""
        if not self._events:
            await asyncio.Event().wait()
        return self._events.pop(0)

    async def send(self, event: Event) -> None:
        """Keep what the application sends."""
        self.sent.append(event)

    @property
    def unread(self) -> int:
        """How many events nobody asked for."""
        return len(self._events)

    @property
    def status(self) -> int:
        """The answer's status."""
        status: int = self.sent[0]["status"]
        return status

    @property
    def headers(self) -> dict[str, str]:
        """The answer's headers, each of which stands once."""
        pairs = [(key.decode(), value.decode()) for key, value in self.sent[0]["headers"]]
        assert len(dict(pairs)) == len(pairs)
        return dict(pairs)

    @property
    def body(self) -> bytes:
        """The answer's body, which must be whole and as long as announced."""
        start, *parts = self.sent
        assert start["type"] == "http.response.start"
        assert all(part["type"] == "http.response.body" for part in parts)
        assert [part.get("more_body", False) for part in parts] == [True] * (len(parts) - 1) + [
            False
        ]
        return b"".join(part["body"] for part in parts)

    @property
    def json(self) -> Any:
        """The answer's JSON."""
        assert self.headers["content-length"] == str(len(self.body))
        return json.loads(self.body)


def body(data: bytes, *, more: bool = False) -> Event:
    """A part of the request's body."""
    return {"type": "http.request", "body": data, "more_body": more}


GONE: Event = {"type": "http.disconnect"}
