"""How a WebSocket begins and what serves it: uvicorn's protocol, less what an idle one would keep.

Owns: what an instance consists of, taking a connection over from HTTP, and the application's way
in and out: `receive`, `send`, and the link for ready-made frames. Must never: read the head a
second time (httptools has), or keep it once the application has settled.

By uvicorn's own code an authenticated connection took 25 KB: five deques in a queue and two events,
3.8 KB; an instance's dict, 1.6; the handshake with all that refers to it, 5; a coroutine of each
layer, 0.3 each.

The attributes used here are uvicorn's own, as in `server/websocket.py`.
"""

import asyncio
import logging
from http import HTTPStatus
from typing import Any, Literal, cast
from urllib.parse import unquote

from uvicorn._types import WebSocketScope
from uvicorn.config import Config as UvicornConfig
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol
from uvicorn.protocols.utils import ClientDisconnected
from uvicorn.protocols.websockets.websockets_sansio_impl import WebSocketsSansIOProtocol
from uvicorn.server import ServerState
from websockets.datastructures import Headers
from websockets.http11 import Request
from websockets.protocol import Protocol
from websockets.server import ServerProtocol

from rtchat.config import Config
from rtchat.connection import LINK_EXTENSION, Listener
from rtchat.headers import AnswerHeaders
from rtchat.server import tcp
from rtchat.server.flow import Gate, Inbox
from rtchat.server.refusal import BAD_HANDSHAKE, BAD_VERSION, FAILED, Refusal, answer

log = logging.getLogger(__name__)

CLOSE_S = 5.0  # for a client to answer a close, and for the last bytes to leave


class ServerLink:
    """A `connection.Link` that writes frames to the transport as they are."""

    __slots__ = ("_protocol", "listener")

    def __init__(self, protocol: "UpgradedProtocol") -> None:
        self._protocol: UpgradedProtocol | None = protocol
        self.listener: Listener | None = None

    def write(self, frames: bytes) -> None:
        """Send whole frames; nothing after a close."""
        protocol = self._protocol
        if protocol is None:
            return
        if not (protocol.close_sent or protocol.disconnected or protocol.transport.is_closing()):
            try:
                protocol.transport.write(frames)
            except Exception:  # no memory, perhaps: the others of the fan-out must get theirs once
                log.exception("a client cannot be written to")
                self.abort()

    def taken(self) -> int:
        """What the client's kernel has acknowledged."""
        protocol = self._protocol
        if protocol is None or protocol.transport.is_closing():
            return 0
        told = tcp.told(protocol.transport)
        # Where the kernel does not say: the steps of our own buffer, 32 KB each.
        return -protocol.transport.get_write_buffer_size() if told is None else told.taken

    def waiting(self) -> int:
        """What the kernel has not taken from us."""
        protocol = self._protocol
        return 0 if protocol is None else protocol.transport.get_write_buffer_size()

    def abort(self) -> None:
        """Drop the socket and what it did not take."""
        if self._protocol is not None:
            self._protocol.drop()

    async def flush(self) -> None:
        """Nothing to wait for: the transport keeps the order."""

    def settle(self) -> None:
        """Let go of the handshake: 3 KB of names, values and their containers."""
        if self._protocol is not None:
            cast(dict[str, Any], self._protocol.scope).clear()

    def release(self) -> None:
        """Let go of both ends: who listens holds the link, and so does the protocol."""
        self._protocol = self.listener = None


class UpgradedProtocol(WebSocketsSansIOProtocol):
    """One WebSocket, from its upgrade on."""

    common = AnswerHeaders(Config())
    high_bytes = 262_144
    low_bytes = 65_536

    # What uvicorn's `__init__` gives every instance, where it is the same for all at first. With
    # that, the slots and no handshake an instance has less than 30 keys, which all share one table
    # of names: 0.3 KB instead of 1.6.
    logger = logging.getLogger("uvicorn.error")
    client: tuple[str, int] | None = None
    close_timeout = CLOSE_S
    close_timer: asyncio.TimerHandle | None = None
    initial_response = None
    handshake_initiated = handshake_complete = close_sent = disconnected = read_paused = False
    curr_msg_data_type: Literal["text", "bytes"] = "text"

    __slots__ = ("_address", "_end_timer", "_link")

    def __init__(
        self, config: UvicornConfig, server_state: ServerState, app_state: dict[str, Any]
    ) -> None:
        """In place of uvicorn's, which makes much that an idle connection keeps."""
        self.config = config
        self.app = config.loaded_app
        self.loop = asyncio.get_running_loop()
        self.connections = server_state.connections
        self.tasks = server_state.tasks
        self.default_headers = server_state.default_headers
        self.queue = cast("asyncio.Queue[Any]", Inbox())
        self.writable = cast(asyncio.Event, Gate())
        self.conn = ServerProtocol(max_size=config.ws_max_size, logger=self.logger)
        self.frames = []
        self._link: ServerLink | None = None  # while the application serves it
        self._end_timer: asyncio.TimerHandle | None = None
        self._address = ""  # as it was counted

    def take_over(self, http: HttpToolsProtocol, address: str) -> None:
        """Go on where HTTP ends: with a head that has been read, on a connection counted in."""
        self.connections.add(self)
        self._address = address
        self.transport = http.transport
        self.transport.set_write_buffer_limits(high=self.high_bytes, low=self.low_bytes)
        tcp.prepare(self.transport)
        self.transport.set_protocol(self)
        self.conn.parser = Protocol.parse(self.conn)  # behind the request, which httptools has read
        next(self.conn.parser)
        self._begin(http)

    def _begin(self, http: HttpToolsProtocol) -> None:
        """Answer a bad handshake; call the application for a good one."""
        headers = Headers()
        for name, value in http.headers:
            headers[name.decode("ascii")] = value.decode("latin-1")
        self.handshake_initiated = True
        self.response = self.conn.accept(Request(http.url.decode("ascii", "replace"), headers))
        if self.response.status_code != HTTPStatus.SWITCHING_PROTOCOLS:
            self._refuse(http.scheme)
            return
        link = self._link = ServerLink(self)
        path, _, query = http.url.partition(b"?")
        root = self.config.root_path
        listed = ",".join(headers.get_all("Sec-WebSocket-Protocol"))
        scope = cast(dict[str, Any], http.scope)
        scope.update(
            type="websocket",
            asgi={"version": self.config.asgi_version, "spec_version": "2.4"},
            path=root + unquote(path.decode("ascii", "replace")),
            raw_path=root.encode("ascii") + path,
            query_string=query,
            root_path=root,
            scheme="wss" if http.scheme == "https" else "ws",
            subprotocols=[name.strip() for name in listed.split(",")] if listed else [],
            extensions={
                "websocket.http.response": {},
                LINK_EXTENSION: {"version": 1, "link": link},
            },
        )
        del scope["method"]
        self.scope = cast(WebSocketScope, scope)
        self.queue.put_nowait({"type": "websocket.connect"})
        task = self.loop.create_task(self.run_asgi())
        task.add_done_callback(self.tasks.discard)
        self.tasks.add(task)

    def _refuse(self, scheme: str | None) -> None:
        """Say that this is no handshake; `websockets` has judged it, in words of its own."""
        fault = getattr(self.conn.handshake_exc, "name", "")
        refusal = BAD_VERSION if fault == "Sec-WebSocket-Version" else BAD_HANDSHAKE
        log.info("handshake refused", extra={"status": refusal.status, "client": self._address})
        self._answer(refusal, scheme)

    def send_500_response(self) -> None:
        """Say that the application failed, as it says of its own requests; uvicorn's is bare."""
        if not (self.handshake_complete or self.initial_response):
            self._answer(FAILED, self.scope["scheme"])

    def _answer(self, refusal: Refusal, scheme: str | None) -> None:
        self.handshake_complete = self.close_sent = True
        self.transport.write(answer(refusal, self.common.plain(scheme)))
        self.transport.close()

    async def run_asgi(self) -> None:
        """Serve it. uvicorn's is not called on: each coroutine stays as long as the socket."""
        try:
            await self.app(self.scope, self.receive, self.send)
            answered = self.handshake_complete or self.initial_response is not None
            if not (answered or self.disconnected):
                raise RuntimeError("the application returned without an answer")
        except ClientDisconnected:
            pass
        except Exception:
            log.exception("serving a socket failed")
            self.send_500_response()
        finally:
            if self._link is not None:
                self._link.release()
                self._link = None
            if self.close_timer is None:
                self.transport.close()
            if not self.disconnected:
                self._end_timer = self.loop.call_later(CLOSE_S, self.drop)

    async def receive(self) -> Any:
        inbox = cast(Inbox, self.queue)
        while inbox.empty():
            await inbox.arrival(self.loop)
        event = inbox.get_nowait()
        if self.read_paused and inbox.empty():
            self.read_paused = False
            self.read_on()
        return event

    def read_on(self) -> None:
        """The application takes more."""
        self.transport.resume_reading()

    async def send(self, message: Any) -> None:
        if message["type"] != "websocket.accept" or self.handshake_complete:
            await super().send(message)
        elif not (self.disconnected or self.transport.is_closing()):
            self._accept(message)

    def _accept(self, message: dict[str, Any]) -> None:
        answer = self.response.headers
        del answer["Date"]
        for name, value in [*self.default_headers, *message.get("headers", ())]:
            answer[name.decode("latin-1").lower()] = value.decode("latin-1")
        if message.get("subprotocol"):
            answer["Sec-WebSocket-Protocol"] = message["subprotocol"]
        self.handshake_complete = True
        self.conn.send_response(self.response)
        del self.response
        self.transport.write(b"".join(self.conn.data_to_send()))
        self.start_keepalive()

    def drop(self) -> None:
        """End it with what the client did not take; `close` would wait for that for ever."""
        if not self.disconnected:
            tcp.forget(self.transport)
        self.transport.abort()
