"""uvicorn's HTTP protocol, with the bounds that it lacks.

Owns: how many bytes and headers a request's head may have and how long it may take, whether there
is room for a connection at all, and the answer where not. Without it one connection that sends
headers without an end takes 1.8 GB in 6 s, and one that sends nothing stays for ever. Must never:
cost a well-behaved request more than a few comparisons; know a path but those of the operators.

The attributes used here are uvicorn's own, as in `server/websocket.py`; tests/server/test_http.py
is what a new version must pass.
"""

import asyncio
import logging
import re
from typing import Any, cast

import httptools
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol, RequestResponseCycle

from rtchat.config import Config
from rtchat.headers import AnswerHeaders
from rtchat.paths import INTERNAL_EXTENSION
from rtchat.reached import Reached
from rtchat.server.limits import Capacity, Room
from rtchat.server.refusal import (
    BAD_HANDSHAKE,
    BAD_HOST,
    HEAD_TOO_LARGE,
    HEAD_UNFIT,
    MALFORMED,
    NO_ROOM,
    TOO_MANY_CHUNKS,
    UPGRADE_TOO_EARLY,
    URL_TOO_LONG,
    Refusal,
    answer,
)
from rtchat.server.websocket import FrameProtocol

log = logging.getLogger(__name__)

HEADERS_MAX = 100  # of a request, trailers included; `websockets` gives up at 128, and silently
UPGRADE_LINE_BYTES = 8000  # of one line of a handshake
URL_BYTES = 8000  # of any request (RFC 9112 §3: no less)
PARSED_BYTES = 2048  # at a time: what it passes over, as extensions of chunks, it does not tell
HOST = re.compile(rb"[A-Za-z0-9._~%!$&'()*+,;=:\[\]-]*")  # RFC 9110 §7.2, all its characters
FRAMING = (b"content-length", b"transfer-encoding")
CHUNKS_MAX = 1024  # of a body; each costs 4 µs, of a byte or of 64 KB: 3 s for 4 MB of the former
PIPELINE_MAX = 100  # requests that wait for the answers before them, 3 KB each; beyond: cut off
LINGER_S = 1.0  # what a client sends on is dropped for so long, so that it reads the answer
# Connections of operators: probes, scrapes, a drain. They have these to themselves, so that clients
# who flood their own port do not take a pod's health away.
INTERNAL_MAX = 64
SURPLUS_READ_S = 1.0  # for a head, where there is no room; a probe's is one packet
# Let in where there is no room: probes, and what wants the operators' token.
OPERATORS = (b"/healthz", b"/readyz", b"/internal/drain", b"/metrics")


class StoppedError(Exception):
    """The parser is to stop; why, stands in `_refusal`."""


class HttpProtocol(HttpToolsProtocol):
    """One HTTP connection. `for_config` makes the class that uvicorn is given."""

    head_max_bytes = 16_384
    head_read_s = 5.0
    drain_bytes = 4_194_304
    internal_port = 0
    capacity = Capacity(0, 0)
    internal_capacity = Capacity(INTERNAL_MAX, 0)
    common = AnswerHeaders(Config())
    reached: Reached  # of the class that is made
    _full = ""  # the limit by which there is no room

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._address = ""
        self._room = Room.FREE
        self._internal = False  # it came to the listener for operators
        self._lingers = False
        self._running: RequestResponseCycle | None = None  # `cycle` is the last one that waits
        # Whether what is read is no body (the parser keeps heads and trailers), and how much it is.
        self._keeping = True
        self._kept = 0
        self._chunks = 0  # of the body that comes in, and of those that wait before it
        self._timer: asyncio.TimerHandle | None = None  # until the head must be there
        self._refusal = MALFORMED
        self._deaf = False  # what still comes is dropped
        self._dropped = 0  # bytes that no request wanted

    @classmethod
    def for_config(
        cls, config: Config, capacity: Capacity, reached: Reached
    ) -> "type[HttpProtocol]":
        """Make the class with the limits of `config`."""
        limits = {
            "head_max_bytes": config.header_max_bytes,
            "head_read_s": float(config.header_read_s),
            "drain_bytes": config.body_drain_bytes,
            "internal_port": config.internal_port,
            "capacity": capacity,
            "internal_capacity": Capacity(INTERNAL_MAX, 0),
            "common": AnswerHeaders(config),
            "reached": reached,
        }
        return type("HttpProtocol", (cls,), limits)

    # --- the connection

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        self._address = self.client[0] if self.client else ""
        port = self.server[1] if self.server else None
        self._internal = bool(self.internal_port) and port == self.internal_port
        if self._internal:
            self.capacity = self.internal_capacity
        self._room = self.capacity.enter(self._address)
        if self._room is not Room.FREE:
            self._full = self.capacity.reached()
        if self._room is Room.NONE:
            self.reached.count(self._full)
            transport.abort()
        else:
            self._await_head()

    def connection_lost(self, exc: Exception | None) -> None:
        super().connection_lost(exc)
        if self._running is not None:
            self._running.disconnected = True
            self._running.message_event.set()
            self._running = None
        self.pipeline.clear()
        if self._lingers:
            self.capacity.lingered()
        else:
            self.capacity.leave(self._address)
        self._stop_timer()

    def _await_head(self) -> None:
        surplus = self._room is Room.SURPLUS
        read_s = min(self.head_read_s, SURPLUS_READ_S) if surplus else self.head_read_s
        self._timer = self.loop.call_later(read_s, self._abort)

    def _stop_timer(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _abort(self) -> None:
        self._timer = None
        self.transport.abort()

    def _start_asgi_task(self, cycle: RequestResponseCycle, app: Any) -> None:
        self._running = cycle
        super()._start_asgi_task(cycle, app)

    # --- bytes in

    def data_received(self, data: bytes) -> None:
        if self._deaf:
            self._drop(len(data))
            return
        self._unset_keepalive_if_required()
        for start in range(0, len(data), PARSED_BYTES):
            part = data[start : start + PARSED_BYTES]
            if self._keeping:
                self._kept += len(part)
            try:
                self.parser.feed_data(part)
            except httptools.HttpParserUpgrade as upgrade:
                self._upgrade(data[start + upgrade.args[0] :])
                return
            except httptools.HttpParserError:
                self._refuse(self._refusal)
                return
            if self._keeping and self._kept > self.head_max_bytes:
                self._refuse(HEAD_TOO_LARGE)
                return
        if not self._answering():  # part of a head, or of a body that nobody wants
            if self._timer is None:
                self._await_head()
            self._drop(len(data))

    def _answering(self) -> bool:
        cycle = cast(RequestResponseCycle | None, self.cycle)  # uvicorn's type leaves out the None
        return cycle is not None and not cycle.response_complete

    def _drop(self, count: int) -> None:
        self._dropped += count
        if self._dropped > self.drain_bytes + self.head_max_bytes:
            self.transport.abort()

    # --- what the parser finds

    def on_message_begin(self) -> None:
        super().on_message_begin()
        if self._internal:
            self.scope["extensions"] = {INTERNAL_EXTENSION: {}}

    def on_header(self, name: bytes, value: bytes) -> None:
        """What uvicorn does, and the limit; it is called too often to call on."""
        name = name.lower()
        if name == b"expect" and value.lower() == b"100-continue":
            self.expect_100_continue = True
        headers = self.headers
        headers.append((name, value))
        if len(headers) > HEADERS_MAX:
            self._stop(HEAD_UNFIT)

    def on_headers_complete(self) -> None:
        self._dropped = 0
        self._stop_timer()
        limit = self.head_max_bytes
        if self._kept > limit - PARSED_BYTES and self._head_bytes() > limit:
            self._stop(HEAD_TOO_LARGE)
        self._require_plain()
        surplus = self._room is Room.SURPLUS
        if surplus and self.url.partition(b"?")[0] not in OPERATORS:
            self._stop(NO_ROOM._replace(limit=self._full))
        if self.parser.should_upgrade() and self._longest_line() > UPGRADE_LINE_BYTES:
            self._stop(HEAD_UNFIT)
        if len(self.url) > URL_BYTES:
            self._stop(URL_TOO_LONG)
        self._kept = 0
        super().on_headers_complete()
        if not self.pipeline:
            self._chunks = 0
        if len(self.pipeline) > PIPELINE_MAX:
            self._stop(HEAD_UNFIT)
        if surplus and self._answering():
            self.cycle.keep_alive = False

    def _require_plain(self) -> None:
        """Refuse what another server on the way might understand otherwise (RFC 9112 §3.2, §6.1).

        That is a request of no or of several hosts, of another version, or in another coding.
        """
        version = self.parser.get_http_version()
        hosts = 0
        for name, value in self.headers:
            if name == b"host":
                hosts += 1
                if not HOST.fullmatch(value):
                    self._stop(BAD_HOST)
            elif name == b"transfer-encoding" and (value.lower() != b"chunked" or version == "1.0"):
                self._stop(MALFORMED)
        if version not in ("1.1", "1.0"):
            self._stop(MALFORMED)
        if hosts > 1 or (not hosts and version == "1.1"):
            self._stop(BAD_HOST)
        if version == "1.0" and self._get_upgrade() == b"websocket":
            self._stop(BAD_HANDSHAKE)

    def on_body(self, body: bytes) -> None:
        self._keeping = False
        super().on_body(body)

    def on_chunk_header(self) -> None:
        """Behind the last chunk's header come trailers, which are kept like headers."""
        if self._kept > self.head_max_bytes:
            self._stop(HEAD_TOO_LARGE)
        self._chunks += 1
        if self._chunks > CHUNKS_MAX:
            self._stop(TOO_MANY_CHUNKS)
        self._keeping, self._kept = True, 0

    def on_chunk_complete(self) -> None:
        """The next chunk's size may have extensions without an end."""
        self._keeping, self._kept = True, 0

    def on_message_complete(self) -> None:
        self._keeping, self._kept = True, 0
        super().on_message_complete()

    def _head_bytes(self) -> int:
        return len(self.url) + sum(len(name) + len(value) + 4 for name, value in self.headers)

    def _longest_line(self) -> int:
        lines = (len(name) + len(value) for name, value in self.headers)
        return max(len(self.url), max(lines, default=0))

    def _stop(self, refusal: Refusal) -> None:
        """End the parsing, from within one of its callbacks."""
        self._refusal = refusal
        raise StoppedError

    # --- upgrades

    def _should_upgrade(self) -> bool:
        """Only what a WebSocket's handshake is; anything else is answered as if it asked for none.

        (RFC 6455 §4.1: GET.) The listener for operators has no WebSocket.
        """
        websocket: bool = super()._should_upgrade()
        return websocket and self.scope["method"] == "GET" and not self._internal

    def _upgrade(self, behind: bytes) -> None:
        """The head is whole and asks for another protocol. `behind`: what came with it."""
        self._stop_timer()
        if not self._should_upgrade():
            self._deaf = True  # the parser is at its end, so the answer is this connection's last
            self.cycle.keep_alive = False
            return
        # The answers would come between frames, or be in their way: nobody would be told of a full
        # buffer, since the transport says so once.
        if self._answering() or self.flow.write_paused:
            self._refuse(UPGRADE_TOO_EARLY)
            return
        if any(name in FRAMING and value != b"0" for name, value in self.headers):
            self._refuse(BAD_HANDSHAKE)  # or a body's bytes were heard as frames
            return
        self.connections.discard(self)
        self.parser = None  # type: ignore[assignment]  # or only the collector frees the two
        websocket = cast(type[FrameProtocol], self.ws_protocol_class)(
            self.config, self.server_state, self.app_state
        )
        websocket.take_over(self, self._address)
        if behind:
            websocket.data_received(behind)

    # --- refusing

    def _refuse(self, refusal: Refusal) -> None:
        """Answer, take nothing more, close. An answer that is under way comes before that."""
        self._deaf = True
        self._stop_timer()
        cycle = self.cycle
        self.reached.refused[refusal.code] += 1
        if refusal.limit:
            self.reached.count(refusal.limit)
        log.info("request refused", extra={"status": refusal.status, "client": self._address})
        if self.pipeline:
            self.transport.abort()
            return
        if self._answering():
            if cycle.response_started or not cycle.more_body:
                cycle.keep_alive = False
                return
            cycle.disconnected = True  # of what it still waits for, nothing will come
            cycle.message_event.set()
        asked = {"scheme": self.scheme, "path": "", "headers": self.headers or []}
        common = self.common.of(asked)
        self.transport.write(answer(refusal, [*self.server_state.default_headers, *common]))
        if self._room is Room.SURPLUS:
            self._lingers = self.capacity.linger(self._address)
            if not self._lingers:
                self.transport.close()  # it has its answer, unless it goes on sending
                return
        if self.transport.can_write_eof():
            self.transport.write_eof()
        self._timer = self.loop.call_later(LINGER_S, self._abort)
