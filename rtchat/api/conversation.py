"""One signed-in socket's conversation: hello, then commands by a table until it ends.

Owns: dispatch, the answers, and the limits of one connection: its rate of writes and of errors,
and how much may be unanswered or unread before it is read no further. Must never: let one command's
failure end the socket, or one connection's load delay another's.
"""

import asyncio
import logging
from collections.abc import Awaitable, Callable
from typing import Any

from rtchat import commands, events, protocol
from rtchat.api.asgi import Receive
from rtchat.api.call import Services
from rtchat.api.rates import Limited
from rtchat.batch import Write
from rtchat.connection import Connection
from rtchat.errors import ERRORS, ChatError, Close, Code
from rtchat.limits import Bucket
from rtchat.model import User

log = logging.getLogger(__name__)


def greeting(services: Services, connection: Connection, user: User) -> bytes:
    """The `hello` of a connection."""
    config = services.config
    return protocol.hello(
        session=connection.session_id,
        user=user,
        exp=connection.expires,
        epoch=services.hub.epoch,
        heartbeat_s=config.heartbeat_s,
        limits=events.Limits(
            frame_bytes=config.frame_max_bytes,
            content_chars=config.content_max_chars,
            subs=config.subs_max,
            sends_per_second=config.sends_per_second,
        ),
    )


class Conversation:
    """Reads one connection's commands and answers them."""

    __slots__ = (
        "_connection", "_ephemerals", "_errors", "_gate", "_idle", "_loop", "_sends", "_services",
        "_subs", "_user_sends",
    )  # fmt: skip

    def __init__(self, services: Services, connection: Connection) -> None:
        config = services.config
        self._services = services
        self._connection = connection
        self._loop = asyncio.get_running_loop()
        now = self._loop.time()
        self._sends = Bucket(config.sends_per_second, config.sends_burst, now)
        self._errors = Bucket(config.errors_per_second, config.errors_burst, now)
        self._user_sends: Bucket | None = None  # there from the first write on; idle ones have none
        self._subs: Bucket | None = None
        self._ephemerals: Bucket | None = None
        self._gate: asyncio.Future[None] | None = None  # there while reading is held back
        self._idle = False  # `run` waits for the next text

    async def run(self, receive: Receive) -> None:
        """Serve until the socket ends."""
        while not self._connection.closed:
            self._idle = True
            event = await receive()
            self._idle = False
            if event["type"] == "websocket.disconnect":
                if not self._connection.closed:  # by the server, or by the client
                    code = event.get("code", 1005)
                    self._services.rates.ended(self._connection.user_id, code)
                    self._services.connections.left(code)
                return
            if not await self._turn():
                return
            text = event.get("text")
            if text is None:
                self._connection.close(Close.UNSUPPORTED_DATA, "text frames only")
                return
            await self._handle(text)

    async def _turn(self) -> bool:
        """Wait until nothing holds us back. False: the socket has ended meanwhile."""
        while self._held_back() and not self._connection.closed:
            self._gate = self._loop.create_future()
            await self._gate
        return not self._connection.closed

    def take(self, text: str) -> bool:
        """Serve a text on the spot, without `receive`. False: not now, or it takes waiting.

        It saves a queue, a turn of the loop and two system calls: 4 of 45 µs a message.
        """
        if self._connection.closed:
            return True  # nothing of it will be answered
        if not self._idle or self._held_back():
            return False
        ref: commands.Ref = None
        try:
            try:
                command = protocol.decode(text)
            except ChatError:
                ref = protocol.ref_of(text)
                raise
            ref = command.ref
            serve = _AT_ONCE.get(type(command))
            if serve is None:
                return False
            self._services.asked.commands[type(command)] += 1
            self._require_staying()
            serve(self, command)
        except ChatError as error:
            self._refuse(ref, error)
        except Exception as error:  # noqa: BLE001  logged there
            self._fail(ref, error)
        return True

    def _held_back(self) -> bool:
        """Whether to read no further: too much is unanswered, or our answers are not read."""
        unanswered = self._connection.unanswered
        return unanswered >= self._services.config.sends_in_flight or self._connection.paused

    def go_on(self) -> None:
        """Look again whether to read on."""
        if self._gate is not None and not self._gate.done():
            self._gate.set_result(None)

    async def _handle(self, text: str) -> None:
        ref: commands.Ref = None
        try:
            try:
                command = protocol.decode(text)
            except ChatError:
                ref = protocol.ref_of(text)
                raise
            ref = command.ref
            self._services.asked.commands[type(command)] += 1
            self._require_staying()
            if (serve := _AT_ONCE.get(type(command))) is not None:
                serve(self, command)
            else:
                await _WAITING[type(command)](self, command)
        except ChatError as error:
            self._refuse(ref, error)
        except Exception as error:  # noqa: BLE001  logged there
            self._fail(ref, error)

    def _require_staying(self) -> None:
        if self._connection.leaving:
            raise ChatError(Code.DRAINING, after_ms=1000)

    def _fail(self, ref: commands.Ref, error: Exception) -> None:
        log.error("command failed", exc_info=error, extra={"connection": self._connection.id})
        self._refuse(ref, ChatError(Code.INTERNAL, after_ms=1000))

    def _refuse(self, ref: commands.Ref, error: ChatError) -> None:
        if self._connection.closed:
            return  # nobody is told
        own_fault = not ERRORS[error.code].retry or error.code is Code.RATE_LIMITED
        if own_fault and self._errors.take(self._loop.time()):
            self._services.reached.count("errors_per_second", "errors_burst")
            self._connection.close(Close.FLOOD, "too many errors")
        else:
            self._services.reached.count(*error.limits)
            self._services.asked.socket_errors[error.code] += 1
            self._connection.write(protocol.error(ref, error))

    # --- commands

    def send(self, command: commands.Send) -> None:
        """Hand a message to the writer."""
        self._spend()
        self._services.chat.submit_message(
            self._connection.user_id,
            command.ch,
            command.content,
            nonce=command.nonce,
            done=self._written,
            ref=command.ref,
        )
        self._connection.unanswered += 1
        self._services.teller.wrote(self._connection, command.ch)

    def edit(self, command: commands.Edit) -> None:
        """Hand an edit to the writer."""
        self._spend()
        self._services.chat.submit_edit(
            self._connection.user_id,
            command.ch,
            command.of,
            command.content,
            nonce=command.nonce,
            done=self._written,
            ref=command.ref,
        )
        self._connection.unanswered += 1

    def delete(self, command: commands.Del) -> None:
        """Hand a deletion to the writer."""
        self._spend()
        self._services.chat.submit_deletion(
            self._connection.user_id,
            command.ch,
            command.of,
            nonce=command.nonce,
            done=self._written,
            ref=command.ref,
        )
        self._connection.unanswered += 1

    def react(self, command: commands.React) -> None:
        """Hand a reaction to the writer."""
        self._spend()
        self._services.chat.submit_reaction(
            self._connection.user_id,
            command.ch,
            command.of,
            command.emoji,
            on=command.on,
            nonce=command.nonce,
            done=self._written,
            ref=command.ref,
        )
        self._connection.unanswered += 1

    def _spend(self) -> None:
        """Count a write, the connection's and the user's. Raises ChatError(rate_limited)."""
        now = self._loop.time()
        wait_s = self._sends.take(now)
        if wait_s:
            raise self._too_often(Limited.OWN_SENDS, wait_s)
        mine = self._user_sends
        if mine is None:
            mine = self._user_sends = self._services.rates.sender(self._connection.user_id)
        wait_s = mine.take(now)
        if wait_s:
            raise self._too_often(Limited.SENDS, wait_s)

    def _too_often(self, what: Limited, wait_s: float) -> ChatError:
        user_id = self._connection.user_id
        return self._services.rates.refusal(what, user_id, wait_s, user_id, "")

    def _written(self, writes: list[Write]) -> None:
        """Answer what was written: one piece of bytes, whatever their number."""
        connection = self._connection
        connection.unanswered -= len(writes)
        self.go_on()
        if connection.closed:
            return
        acks: list[bytes] = []
        for w in writes:
            if w.error is None:
                assert w.seq is not None
                acks.append(protocol.ack(w.ref, w.channel_id, w.seq, w.ts, dup=w.dup))
                continue
            connection.write(b"".join(acks))
            acks.clear()
            self._refuse(w.ref, w.error)
        connection.write(b"".join(acks))
        if connection.on_answered is not None and not connection.unanswered:
            connection.on_answered()

    async def sub(self, command: commands.Sub) -> None:
        """Subscribe."""
        connection = self._connection
        if self._subs is None:
            self._subs = self._services.rates.own(Limited.SUBS)
        self._services.rates.subscribe(self._subs, connection.user_id, len(command.ch))
        await self._services.hub.subscribe(
            connection,
            command.ch,
            command.epoch,
            lambda heads: connection.write(protocol.ok(command.ref, ch=heads)),
        )

    def unsub(self, command: commands.Unsub) -> None:
        """Unsubscribe."""
        self._services.hub.unsubscribe(self._connection, command.ch)
        self._connection.write(protocol.ok(command.ref))

    async def read(self, command: commands.Read) -> None:
        """Take a mark of reading."""
        self._spend_ephemeral()
        await self._services.teller.read(self._connection, command.ch, command.seq)

    async def typing(self, command: commands.Typing) -> None:
        """Take it that the user is typing."""
        self._spend_ephemeral()
        await self._services.teller.typing(self._connection, command.ch)

    def _spend_ephemeral(self) -> None:
        bucket = self._ephemerals
        if bucket is None:
            bucket = self._ephemerals = self._services.rates.own(Limited.EPHEMERALS)
        if wait_s := bucket.take(self._loop.time()):
            raise self._too_often(Limited.EPHEMERALS, wait_s)

    def ping(self, command: commands.Ping) -> None:
        """Answer."""
        self._connection.write(protocol.pong(command.ref))

    async def auth(self, command: commands.Auth) -> None:
        """Renew the expiry; the new token may be of another session of the same user.

        One that gives no more time is taken, too, but not warned of again: towards a session's end
        each renewal would lead to the next one, at once.
        """
        identity = self._services.sessions.authenticate(command.token)
        if identity.user_id != self._connection.user_id:
            raise ChatError(Code.FORBIDDEN, "This socket is another user's.", field="token")
        await self._services.sessions.user_of(identity)
        connections, connection = self._services.connections, self._connection
        if not connection.closed:
            connections.discard(connection)
            connection.session_id = identity.session_id
            connection.warned = connection.warned and identity.expires <= connection.expires
            connection.expires = identity.expires
            connections.add(connection)
            connection.write(protocol.ok(command.ref, exp=identity.expires))
            self._services.sessions.close_if_ended(connection)


_AT_ONCE: dict[type, Callable[[Conversation, Any], None]] = {
    commands.Unsub: Conversation.unsub,
    commands.Send: Conversation.send,
    commands.Edit: Conversation.edit,
    commands.Del: Conversation.delete,
    commands.React: Conversation.react,
    commands.Ping: Conversation.ping,
}
_WAITING: dict[type, Callable[[Conversation, Any], Awaitable[None]]] = {
    commands.Auth: Conversation.auth,
    commands.Sub: Conversation.sub,
    commands.Read: Conversation.read,
    commands.Typing: Conversation.typing,
}
