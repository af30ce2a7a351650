"""One socket: from the handshake to its end.

Owns: the WebSocket, the first `hello`, and the watch for a dead link. The server pings every
`heartbeat` seconds (websockets answers by itself), so silence is news: after 1.4 of them the client
pings, after 2 the link is dropped. That costs one timer a socket; websockets' own keepalive would
cost a task and a ping each. Must never: come back by itself (that is `client`), or wait in `write`.
"""

import asyncio
import ssl as tls
from dataclasses import dataclass
from typing import Any, Literal

import msgspec
from websockets.asyncio.client import ClientConnection, connect
from websockets.asyncio.server import broadcast
from websockets.exceptions import ConnectionClosed, InvalidHandshake, InvalidStatus
from websockets.typing import Subprotocol

from rtchat.client.errors import ClientError
from rtchat.client.events import AnyEvent, Bye, Error, Hello, decode

SUBPROTOCOL = Subprotocol("rtchat.v1")
PING_AT, DEAD_AT = 1.4, 2.0  # in heartbeats of silence
CLOSE_TIMEOUT_S = 2.0
# Frames that wait decoded in websockets before it stops reading; its 16 toggle at every burst.
FRAMES_HIGH, FRAMES_LOW = 256, 64
_PING = b'{"t":"ping"}'


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
    """websockets' connection, which remembers when it last heard anything."""

    heard_at = 0.0

    def data_received(self, data: bytes) -> None:
        self.heard_at = self.loop.time()
        super().data_received(data)


class Link:
    """An open, signed-in socket."""

    def __init__(self, socket: _Socket, hello: Hello) -> None:
        self.hello = hello
        self.paused = False  # set by a reader that does not read: then silence is its own doing
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
        """The next frame. Raises LinkLostError."""
        try:
            event = decode(await self._socket.recv(decode=False))
        except ConnectionClosed:
            raise _lost(self._socket, self._back_in_s) from None
        if type(event) is Bye:
            self._back_in_s = event.in_ms / 1000
        return event

    def resume(self) -> None:
        """Tell that the reader reads again."""
        self.paused = False
        self._socket.heard_at = self._loop.time()

    async def close(self) -> None:
        """End it in good order, or after 2 s anyway."""
        self._watch.cancel()
        await self._socket.close()

    def abort(self) -> None:
        """End it now."""
        self._watch.cancel()
        self._socket.transport.abort()

    def _check(self) -> None:
        heartbeat = self.hello.heartbeat
        silent = 0.0 if self.paused else self._loop.time() - self._socket.heard_at
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
