"""One socket: from the handshake to its end.

Owns: the WebSocket, the first `hello`, and the watch for a dead link. The server pings every
`heartbeat` seconds (websockets answers by itself), so silence is news: after 1.4 of them the client
pings, after 2 the link is dropped. That costs one timer a socket; websockets' own keepalive would
cost a task and a ping each. Must never: come back by itself (that is `dialer`), or wait in `write`.

Two ways in. A whole text frame goes straight to `receiver`, while one is set and nothing waits for
`recv`; everything else waits for `recv`, which websockets bounds. The first saves a queue and a
switch of tasks, a third of the cost of a frame; the second is for a reader that must not get more
now, for fragments, and for a websockets that calls `process_event` no more.
"""

import asyncio
import ssl as tls
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal

import msgspec
from websockets.asyncio.client import ClientConnection, connect
from websockets.asyncio.server import broadcast
from websockets.exceptions import ConnectionClosed, InvalidHandshake, InvalidStatus
from websockets.frames import Frame, Opcode
from websockets.protocol import Event
from websockets.typing import BytesLike, Subprotocol

from rtchat.client.errors import ClientError
from rtchat.client.events import AnyEvent, Bye, Error, Hello, decode

SUBPROTOCOL = Subprotocol("rtchat.v1")
PING_AT, DEAD_AT = 1.4, 2.0  # in heartbeats of silence
CLOSE_TIMEOUT_S = 2.0
# Frames that wait decoded in websockets before it stops reading; its 16 toggle at every burst.
FRAMES_HIGH, FRAMES_LOW = 256, 64
_PING = b'{"t":"ping"}'
TEXT = Opcode.TEXT
_DATA = frozenset({Opcode.TEXT, Opcode.BINARY, Opcode.CONT})


class HandshakeError(ClientError):
    """The server answered, but gave no `hello`."""

    def __init__(self, status: int, code: str, retry_after_s: float | None = None) -> None:
        super().__init__(f"handshake refused: {status} {code}".rstrip())
        self.status = status
        self.code = code
        self.retry_after_s = retry_after_s


class LinkLostError(ClientError):
    """The socket has ended; `code` is the close code, if one was received."""

    def __init__(self, code: int | None, reason: str, back_in_s: float | None) -> None:
        super().__init__(f"link lost: {code} {reason}".rstrip())
        self.code = code
        self.reason = reason
        self.back_in_s = back_in_s  # what `bye` said


@dataclass(frozen=True, slots=True)
class Options:
    """How sockets are opened. `proxy` as websockets has it: True is the environment's."""

    open_timeout_s: float = 10.0
    proxy: str | Literal[True] | None = True
    ssl: tls.SSLContext | None = None
    max_frame_bytes: int = 2**20


class _Problem(msgspec.Struct):
    code: str = ""


class _Socket(ClientConnection):
    """websockets' connection, which can hand frames on at once, and knows when it last heard."""

    heard_at = 0.0
    waiting = 0  # messages that are for `recv`; what comes behind them must not overtake
    sink: Callable[[BytesLike], None] | None = None

    def data_received(self, data: bytes) -> None:
        self.heard_at = self.loop.time()
        super().data_received(data)

    def process_event(self, event: Event) -> None:
        if type(event) is Frame and event.opcode in _DATA:
            if self.sink is not None and not self.waiting and event.opcode is TEXT and event.fin:
                self.sink(event.data)
                return
            self.waiting += event.fin
        super().process_event(event)


class Link:
    """An open, signed-in socket."""

    def __init__(self, socket: _Socket, hello: Hello) -> None:
        self.hello = hello
        self._paused = False
        self._receiver: Callable[[AnyEvent], bool] | None = None
        self._failure: Exception | None = None  # of the receiver
        self._socket = socket
        self._sockets = (socket,)
        self._back_in_s: float | None = None
        self._loop = asyncio.get_running_loop()
        self._opened_at = self._loop.time()
        self._watch = self._loop.call_later(hello.heartbeat * PING_AT, self._check)

    @classmethod
    async def open(cls, url: str, token: str, options: Options) -> "Link":
        """Connect and sign in. Raises HandshakeError, LinkLostError, OSError or TimeoutError."""
        async with asyncio.timeout(options.open_timeout_s):
            socket = await _connect(url, token, options)
            try:
                return cls(socket, await _greeting(socket))
            except BaseException:
                socket.transport.abort()
                raise

    @property
    def age_s(self) -> float:
        """How long ago it was opened, in seconds."""
        return self._loop.time() - self._opened_at

    def write(self, frame: bytes) -> None:
        """Send one frame without waiting; nothing happens on a socket that is ending.

        The caller bounds how much is unanswered, and with it what can pile up here.
        """
        broadcast(self._sockets, frame, text=True)

    async def recv(self) -> AnyEvent:
        """The next frame that did not go to the receiver. Raises LinkLostError.

        Raises also what the receiver raised; then the link has ended.
        """
        try:
            event = decode(await self._socket.recv(decode=False))
        except ConnectionClosed:
            raise self._failure or _lost(self._socket, self._back_in_s) from None
        self._socket.waiting -= 1
        self._note(event)
        return event

    def receive(self, receiver: Callable[[AnyEvent], bool] | None) -> None:
        """Hand frames to `receiver` from here on, once nothing waits for `recv` any more.

        When it returns true, enough came for now, and what follows waits for `recv` again.
        """
        self._receiver = receiver
        self._socket.sink = None if receiver is None else self._hand_over

    def _hand_over(self, data: BytesLike) -> None:
        assert self._receiver is not None
        try:
            event = decode(data)
            self._note(event)
            if self._receiver(event):
                self._socket.sink = None
        except Exception as error:  # noqa: BLE001  raised by `recv`, to whoever runs the link
            self._failure = error
            self.abort()

    def _note(self, event: AnyEvent) -> None:
        if type(event) is Bye:
            self._back_in_s = event.in_ms / 1000

    def pause(self) -> None:
        """Tell that nobody reads: silence is no news now."""
        self._paused = True

    def resume(self) -> None:
        """Tell that somebody reads again."""
        self._paused = False
        self._socket.heard_at = self._loop.time()

    async def close(self) -> None:
        """End it in good order, or after 2 s anyway."""
        self.receive(None)
        self._watch.cancel()
        await self._socket.close()

    def abort(self) -> None:
        """End it now."""
        self.receive(None)
        self._watch.cancel()
        self._socket.transport.abort()

    def _check(self) -> None:
        heartbeat = self.hello.heartbeat
        silent = 0.0 if self._paused else self._loop.time() - self._socket.heard_at
        if silent >= heartbeat * DEAD_AT:
            self._socket.transport.abort()
            return
        next_s = heartbeat * PING_AT - silent
        if next_s <= 0:
            self.write(_PING)
            next_s = heartbeat * DEAD_AT - silent
        self._watch = self._loop.call_later(max(next_s, 0.01), self._check)


async def _connect(url: str, token: str, options: Options) -> _Socket:
    more: dict[str, Any] = {} if options.ssl is None else {"ssl": options.ssl}
    try:
        socket = await connect(
            url,
            subprotocols=[SUBPROTOCOL],
            additional_headers={"Authorization": f"Bearer {token}"},
            compression=None,  # it costs three times the CPU of a frame, and the server offers none
            proxy=options.proxy,
            open_timeout=None,
            ping_interval=None,
            close_timeout=CLOSE_TIMEOUT_S,
            max_size=options.max_frame_bytes,
            max_queue=(FRAMES_HIGH, FRAMES_LOW),
            create_connection=_Socket,
            **more,
        )
    except InvalidStatus as error:
        raise _refused(error) from None
    except (InvalidHandshake, EOFError) as error:
        raise LinkLostError(None, str(error), None) from error
    assert isinstance(socket, _Socket)
    return socket


async def _greeting(socket: _Socket) -> Hello:
    """Wait for `hello`; an error instead of it is why there will be none."""
    try:
        event = decode(await socket.recv(decode=False))
        socket.waiting -= 1
        if isinstance(event, Hello):
            return event
        if isinstance(event, Error):
            raise HandshakeError(0, event.code)
        raise LinkLostError(None, f"{type(event).__name__} instead of hello", None)
    except ConnectionClosed:
        raise _lost(socket, None) from None


def _lost(socket: _Socket, back_in_s: float | None) -> LinkLostError:
    return LinkLostError(socket.close_code, socket.close_reason or "", back_in_s)


def _refused(error: InvalidStatus) -> HandshakeError:
    response = error.response
    try:
        code = msgspec.json.decode(response.body or b"{}", type=_Problem).code
    except msgspec.DecodeError:  # a proxy's page
        code = ""
    after = response.headers.get("Retry-After", "")
    return HandshakeError(response.status_code, code, float(after) if after.isdecimal() else None)
