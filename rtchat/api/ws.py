"""The WebSocket endpoint: the handshake, authentication, and handing over to a `Conversation`.

Owns: who gets a socket (path, origin, token), and how it ends. Must never: accept a browser from a
foreign page (RFC 6455 §10.2), take a token from the URL, or leave anything behind when it returns.
"""

import asyncio
import itertools
import logging
from typing import NamedTuple

from rtchat import commands, protocol
from rtchat.api.asgi import Receive, Scope, Send, address_of, client_of, header, path_of
from rtchat.api.call import Services
from rtchat.api.conversation import Conversation, greeting
from rtchat.api.http import problem_of
from rtchat.api.link import AsgiLink
from rtchat.api.rates import Limited
from rtchat.api.rest import identify
from rtchat.auth.tokens import Identity
from rtchat.commands import Ref
from rtchat.connection import LINK_EXTENSION, Connection, Link
from rtchat.errors import ChatError, Close, Code
from rtchat.headers import AnswerHeaders
from rtchat.model import User

log = logging.getLogger(__name__)

PATH = "/ws"
_ABNORMAL = 1006  # no close frame came (RFC 6455 §7.4.1)
CLOSE_TIMEOUT_S = 1.0  # for a close frame to leave; then the socket is dropped


class RefusedError(Exception):
    """The socket was opened, but its client may not stay."""

    def __init__(self, error: ChatError, code: Close, ref: Ref = None) -> None:
        super().__init__(error.message)
        self.error = error
        self.code = code
        self.ref = ref


class _Guest(NamedTuple):
    identity: Identity
    user: User
    ref: Ref = None  # of its `auth` frame


class Session:
    """A signed-in socket's time here: what its link and its connection tell goes to the parts."""

    __slots__ = ("_connection", "_ending", "_send", "_services", "conversation")

    def __init__(self, services: Services, connection: Connection, user: User, send: Send) -> None:
        self._services = services
        self._connection = connection
        self._send = send
        self._ending: asyncio.Task[None] | None = None
        self.conversation = Conversation(services, connection)
        connection.on_close = self._closed
        connection.link.listener = self
        connection.write(greeting(services, connection, user))

    def begin(self, client: str) -> None:
        """Let the others know of it."""
        connection = self._connection
        log.info(
            "connected",
            extra={"connection": connection.id, "user": connection.user_id, "client": client},
        )
        self._services.connections.add(connection)
        self._services.connections.measures.opened += 1
        self._services.sessions.close_if_ended(connection)

    async def end(self) -> None:
        """The conversation is over: leave nothing behind."""
        connection = self._connection
        connection.closed = True
        self._forget()
        connection.on_close = _nothing  # or only the collector frees the two
        if self._ending is not None:  # the server drops the socket when we return: after the close
            await asyncio.wait([self._ending])
        log.info("disconnected", extra={"connection": connection.id, "user": connection.user_id})

    # --- what its link tells

    def take(self, text: str) -> bool:
        return self.conversation.take(text)

    def paused(self) -> None:
        self._services.connections.measures.stalls += 1
        self._services.hub.paused(self._connection)

    def resumed(self) -> None:
        self._services.hub.resumed(self._connection)
        self.conversation.go_on()

    def lost(self) -> None:
        if not self._connection.closed:
            self._services.connections.left(_ABNORMAL)
        self._connection.closed = True
        self._forget()
        self.conversation.go_on()  # it was held back, and would have waited for the sweep

    def _closed(self, code: int, reason: str) -> None:
        self._forget()
        self.conversation.go_on()
        connection = self._connection
        self._services.rates.ended(connection.user_id, code)
        self._services.connections.ended(code)
        end = close(connection.link, self._send, code, reason, stuck=connection.paused)
        self._ending = self._services.tasks.start(end)

    def _forget(self) -> None:
        self._services.connections.discard(self._connection)
        self._services.hub.leave(self._connection)


def _nothing(code: int, reason: str) -> None:
    """It has ended; nothing more is to be done."""


class WebSocketEndpoint:
    """Serves `/ws`."""

    def __init__(self, services: Services) -> None:
        self._services = services
        self._headers = AnswerHeaders(services.config)
        self._ids = itertools.count(1)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one socket, from handshake to end."""
        if (await receive())["type"] != "websocket.connect":
            return
        try:
            guest = await self._admit(scope)
        except ChatError as error:
            self._services.reached.count(*error.limits)
            self._services.asked.handshake_errors[error.code] += 1
            await _deny(scope, send, error, self._headers)
            return
        address = address_of(scope)
        link, receive, send = self._link(scope, receive, send)
        try:
            chosen = protocol.SUBPROTOCOL if protocol.SUBPROTOCOL in scope["subprotocols"] else None
            await send({"type": "websocket.accept", "subprotocol": chosen})
            guest = await self._enter(guest, receive)
            if guest is None:
                return
            session = Session(self._services, self._connection(guest, link), guest.user, send)
            session.begin(client_of(scope))
            link.settle()
            del guest, scope  # what is named here stays as long as the socket
            try:
                await session.conversation.run(receive)
            finally:
                await session.end()
        except RefusedError as refused:
            self._services.reached.count(*refused.error.limits)
            self._services.asked.socket_errors[refused.error.code] += 1
            self._services.connections.ended(refused.code)
            draining = refused.code is Close.DRAINING
            bye = self._services.drain.bye
            link.write(bye() if draining else protocol.error(refused.ref, refused.error))
            await close(link, send, refused.code, refused.error.message)
        finally:
            link.release()
            self._services.connections.leave(address)

    def _connection(self, guest: _Guest, link: Link) -> Connection:
        """A connection for whoever has come in."""
        identity = guest.identity
        try:  # asked before, where the token came with the handshake; others may have come since
            self._services.connections.require_room(identity.user_id)
        except ChatError as error:
            raise RefusedError(error, Close.OVER_CAPACITY, guest.ref) from None
        return Connection(
            next(self._ids), identity.user_id, identity.session_id, identity.expires, link
        )

    async def _admit(self, scope: Scope) -> _Guest | None:
        """Decide about the handshake; None: admitted, the token is to come in an `auth` frame.

        Who is admitted has entered `connections`, and is to leave.
        """
        if path_of(scope) != PATH:
            raise ChatError(Code.NOT_FOUND)
        self._check_origin(scope)
        address = address_of(scope)
        if self._services.config.trusted_proxies:
            self._services.rates.spend_here(Limited.ADDRESS_CONNECTS, None, address)
        self._services.connections.enter(address)
        try:
            return await self._identify(scope)
        except BaseException:
            self._services.connections.leave(address)
            raise

    async def _identify(self, scope: Scope) -> _Guest | None:
        connections = self._services.connections
        async with self._services.drain.entering():
            if not any(key == b"authorization" for key, _ in scope["headers"]):
                connections.require_room()
                return None
            identity = identify(scope, self._services.sessions)
            self._services.rates.connect(identity.user_id, address_of(scope))
            connections.require_room(identity.user_id)
            return _Guest(identity, await self._services.sessions.user_of(identity))

    def _check_origin(self, scope: Scope) -> None:
        """A browser says from which page it comes; others send no `Origin` (RFC 6455 §4.1)."""
        origins = [value for key, value in scope["headers"] if key == b"origin"]
        if not origins:
            return
        origin = origins[0].decode("latin-1") if len(origins) == 1 else ""
        # Before a proxy that ends TLS and is not trusted ours is http, whatever the page's is.
        schemes = ("https",) if scope["scheme"] == "wss" else ("http", "https")
        own = {f"{scheme}://{header(scope, b'host')}" for scheme in schemes}
        if origin not in own and origin not in self._services.config.origin_list:
            raise ChatError(Code.FORBIDDEN, "This origin may not connect.")

    def _link(self, scope: Scope, receive: Receive, send: Send) -> tuple[Link, Receive, Send]:
        """The server's link, or one of our own, which is told of what is sent and received."""
        offered = scope.get("extensions", {}).get(LINK_EXTENSION)
        if offered is not None:
            return offered["link"], receive, send
        config = self._services.config
        link = AsgiLink(
            send,
            self._services.tasks,
            high_bytes=config.write_high_bytes,
            low_bytes=config.write_low_bytes,
        )
        return link, link.receiver(receive), link.send

    async def _enter(self, guest: _Guest | None, receive: Receive) -> _Guest | None:
        """Who it is at last; None: the client went away. While the pod drains nobody comes in."""
        try:
            async with self._services.drain.entering():
                if guest is None:
                    with self._services.connections.guest():
                        guest = await self._await_auth(receive)
                return guest
        except ChatError as error:
            raise RefusedError(error, Close.DRAINING) from None

    async def _await_auth(self, receive: Receive) -> _Guest | None:
        """Take the first frame, which must be a good `auth`; None: the client went away."""
        try:
            async with asyncio.timeout(self._services.config.auth_deadline_ms / 1000):
                event = await receive()
        except TimeoutError:
            late = ChatError(Code.UNAUTHORIZED, "No auth frame in time.", limit="auth_deadline_ms")
            raise RefusedError(late, Close.NOT_AUTHENTICATED) from None
        if event["type"] == "websocket.disconnect":
            self._services.connections.left(event.get("code", _ABNORMAL))
            return None
        text = event.get("text") or ""
        try:
            command = protocol.decode(text)
            if not isinstance(command, commands.Auth):
                raise ChatError(Code.UNAUTHORIZED, "The first frame is auth.")
            identity = self._services.sessions.authenticate(command.token)
            self._services.rates.connect(identity.user_id, "")
            user = await self._services.sessions.user_of(identity)
            return _Guest(identity, user, command.ref)
        except ChatError as error:
            close_code = _CLOSES.get(error.code, Close.NOT_AUTHENTICATED)
            raise RefusedError(error, close_code, protocol.ref_of(text)) from None


async def close(link: Link, send: Send, code: int, reason: str, *, stuck: bool = False) -> None:
    """Close a socket; drop it where the client does not even take that."""
    try:
        async with asyncio.timeout(0 if stuck else CLOSE_TIMEOUT_S):
            await link.flush()
            await send({"type": "websocket.close", "code": code, "reason": reason})
    except (TimeoutError, OSError, RuntimeError):  # the last: the client closed just before
        link.abort()


async def _deny(scope: Scope, send: Send, error: ChatError, common: AnswerHeaders) -> None:
    """Refuse the handshake, with the reason where the server can carry one."""
    if "websocket.http.response" not in scope.get("extensions", {}):
        await send({"type": "websocket.close"})
        return
    status, headers, body = problem_of(error)
    headers += common.of(scope)
    await send({"type": "websocket.http.response.start", "status": status, "headers": headers})
    await send({"type": "websocket.http.response.body", "body": body})


_CLOSES = {
    Code.TOKEN_EXPIRED: Close.TOKEN_EXPIRED,
    Code.UNAVAILABLE: Close.OVER_CAPACITY,
    Code.OVERLOADED: Close.OVER_CAPACITY,
    Code.RATE_LIMITED: Close.OVER_CAPACITY,
}
