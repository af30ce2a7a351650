"""The client: one user's conversation with the server, over as many sockets as it takes.

Owns: what its user sees, and the life of the parts behind it. Must never: come back where it is not
welcome, or hide that a write's outcome is unknown. Lost with the process: waiting events, and
writes without an ack; `cursors()`, `epoch` and the caller's own nonces are what a next process goes
on from.
"""

import asyncio
import contextlib
import secrets
from collections.abc import AsyncIterator, Callable, Iterable, Mapping
from typing import Any, Self

import orjson

from rtchat.client.calls import endpoints
from rtchat.client.connection import Options
from rtchat.client.dialer import Dialer, Tokens
from rtchat.client.errors import RefusedError, UnreachableError
from rtchat.client.events import Ack, AnyEvent, Hello
from rtchat.client.outbox import Outbox, Write
from rtchat.client.reader import Reader
from rtchat.client.rest import Rest
from rtchat.client.stream import Events
from rtchat.client.subscriptions import Subscriptions
from rtchat.client.wire import Wire


class Client:
    """A user's connection that comes back by itself. Use it with `async with`.

    `url`: ws:// or http://, with or without /ws. `token`, or `tokens`: a function, plain or async,
    that gives a new token whenever the one at hand will not do (see `Renewing`).
    `queue`: events that wait for `events()`; at the limit the socket is read no further, so acks
    wait too. `on_event`: called with each event instead, in the reader, where it must not block.
    `window`: unanswered writes of one channel; more than 1 is faster, and a write that is refused
    for the time being may then be overtaken by those already on their way. `timeout_s`: how long a
    command is tried. `resubscribe`: whether a channel that was `reset` is followed again, from the
    last seq that `rest` tells of.
    """

    def __init__(
        self,
        url: str,
        *,
        token: str | None = None,
        tokens: Tokens | None = None,
        on_event: Callable[[AnyEvent], None] | None = None,
        queue: int = 1000,
        window: int = 1,
        timeout_s: float = 30.0,
        resubscribe: bool = True,
        rest: Rest | None = None,
        options: Options | None = None,
    ) -> None:
        self.url, self._rest_url = endpoints(url)
        self.timeout_s = timeout_s
        self._nonce_prefix = secrets.token_urlsafe(8)
        self._dialer = Dialer(self.url, token, tokens, options or Options())
        self._events = Events(queue, on_event)
        self._wire = Wire()
        self._outbox = Outbox(window)
        self._subscriptions = Subscriptions(
            self._wire, self._events.put, self._last_seq if resubscribe else None
        )
        self._reader = Reader(
            self._dialer, self._wire, self._outbox, self._subscriptions, self._events
        )
        self._rest = rest
        self._own_rest: Rest | None = None  # made when first needed

    def __repr__(self) -> str:
        state = "ended" if self._wire.ended else "up" if self._wire.link else "down"
        return f"<Client {self.url} {state}, {len(self._subscriptions)} channels, {self._outbox!r}>"

    async def __aenter__(self) -> Self:
        self._reader.start()
        try:
            async with self._in_time():
                await self._wire.linked()
        except BaseException:
            await self.close()
            raise
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    async def close(self) -> None:
        """End for good. Writes without an answer fail: OutcomeUnknownError if they were sent."""
        await self._reader.close()
        await self._subscriptions.close()
        if self._own_rest is not None:
            await self._own_rest.close()

    @property
    def hello(self) -> Hello:
        """What the server said when the newest socket was opened."""
        assert self._reader.hello is not None, "use it with `async with`"
        return self._reader.hello

    @property
    def connected(self) -> bool:
        """Whether there is a socket now; while there is none, the client is bringing the next."""
        return self._wire.link is not None

    async def renew(self, token: str) -> None:
        """Go on with another token of the same user, on the socket that stands; see `Expiring`.

        A client with `tokens` does that by itself. Raises RefusedError for one that is not good,
        and UnreachableError where no answer came within `timeout_s`.
        """
        async with self._in_time():
            await self._reader.renew(token)

    @contextlib.asynccontextmanager
    async def _in_time(self) -> AsyncIterator[None]:
        try:
            async with asyncio.timeout(self.timeout_s):
                yield
        except TimeoutError:
            cause = self._dialer.last_error
            why = f": {cause}" if cause is not None else ""
            message = f"no answer of {self.url} in {self.timeout_s:g} s{why}"
            raise UnreachableError(message) from cause

    # --- writes

    async def send(
        self,
        channel: int,
        content: str,
        nonce: str | None = None,
        *,
        timeout_s: float | None = None,
    ) -> Ack:
        """Write a message and wait until it is committed.

        Calls on one channel are numbered in the order in which they were made. Each is tried again
        with the same nonce, over new sockets and after refusals that allow it, until it is
        acknowledged, refused for good (RefusedError), or given up, after `timeout_s` or with the
        client (OutcomeUnknownError; ClosedError if it was never sent).
        """
        return await self._write("send", channel, nonce, {"content": content}, timeout_s)

    async def edit(self, channel: int, of: int, content: str, nonce: str | None = None) -> Ack:
        """Give the message `of` new content; as `send` otherwise."""
        return await self._write("edit", channel, nonce, {"of": of, "content": content})

    async def delete(self, channel: int, of: int, nonce: str | None = None) -> Ack:
        """Delete the message `of`; as `send` otherwise."""
        return await self._write("del", channel, nonce, {"of": of})

    async def react(
        self, channel: int, of: int, emoji: str, *, on: bool = True, nonce: str | None = None
    ) -> Ack:
        """Set a reaction to the message `of`, or take it back; as `send` otherwise."""
        return await self._write("react", channel, nonce, {"of": of, "emoji": emoji, "on": on})

    def read(self, channel: int, seq: int) -> None:
        """Tell that one has read up to `seq`; forgotten while there is no link."""
        self._wire.tell({"t": "read", "ch": channel, "seq": seq})

    def typing(self, channel: int) -> None:
        """Tell that one is writing; forgotten while there is no link."""
        self._wire.tell({"t": "typing", "ch": channel})

    async def _write(
        self,
        kind: str,
        channel: int,
        nonce: str | None,
        fields: dict[str, Any],
        timeout_s: float | None = None,
    ) -> Ack:
        self._wire.require_open()
        ref = next(self._wire.refs)
        nonce = nonce or f"{self._nonce_prefix}{ref:x}"
        frame = orjson.dumps({"t": kind, "ref": ref, "ch": channel, **fields, "nonce": nonce})
        if len(frame) > self.hello.limits.frame_bytes:  # the server would close with 1009
            raise RefusedError("too_large", f"more than {self.hello.limits.frame_bytes} bytes")
        answer: asyncio.Future[Ack] = asyncio.get_running_loop().create_future()
        write = Write(channel, nonce, ref, frame, answer)
        self._outbox.add(write)
        try:
            async with asyncio.timeout(self.timeout_s if timeout_s is None else timeout_s):
                return await answer
        except TimeoutError:
            raise write.unknown() from None
        finally:
            if answer.cancelled():  # by the timeout, or with its caller
                self._outbox.give_up(write)

    # --- subscriptions and events

    async def subscribe(
        self, channels: Mapping[int, int | None] | Iterable[int], *, epoch: str | None = None
    ) -> dict[int, int]:
        """Follow channels, each from its cursor on (None: from its head, or from where it is).

        `epoch` is the one under which the cursors were kept; by default the present one. Returns
        each channel's head. Raises RefusedError if any is refused (`channels` says which and why);
        the others are followed. From the answer on their entries come out without hole or
        repetition, until `unsubscribe` or an event Removed or Reset. Raises UnreachableError where
        no answer came within `timeout_s`.
        """
        wanted = dict(channels) if isinstance(channels, Mapping) else dict.fromkeys(channels)
        async with self._in_time():
            ok = await self._subscriptions.subscribe(wanted, epoch)
        refused = {c: s.error for c, s in ok.ch.items() if s.error is not None}
        if refused:
            code = next(iter(refused.values()))
            raise RefusedError(code, f"channels {sorted(refused)}", channels=refused)
        return {c: s.head for c, s in ok.ch.items() if s.head is not None}

    def unsubscribe(self, channels: Iterable[int]) -> None:
        """Follow these no longer. Events that wait already still come out."""
        self._subscriptions.unsubscribe(channels)

    def cursors(self) -> dict[int, int]:
        """Each followed channel's last seq that was handed out: keep these, and `epoch`."""
        cursors = self._subscriptions.cursors()
        waiting = self._events.first_waiting()
        return {c: min(seq, waiting.get(c, seq + 1) - 1) for c, seq in cursors.items()}

    @property
    def epoch(self) -> str | None:
        """The history that the cursors belong to."""
        return self._subscriptions.epoch

    def events(self) -> Events:
        """The events, in order, for one consumer. Whoever subscribes reads them."""
        assert not self._events.direct, "this client hands its events to on_event"
        return self._events

    def stats(self) -> dict[str, int]:
        """Counts since the start; refusals that allowed a retry as `retried_<code>`."""
        return {
            "connects": self._reader.connects,
            "repeated": self._subscriptions.repeated,
            "gaps": self._subscriptions.gaps,
            "dropped": self._events.dropped,
            **{f"retried_{code}": n for code, n in self._outbox.retried.items()},
        }

    async def _last_seq(self, channel: int) -> int:
        """What REST says, asked as this user."""
        if self._rest is None:
            self._rest = self._own_rest = Rest(
                self._rest_url, token=lambda: self._dialer.token_at_hand
            )
        return (await self._rest.channel(channel)).last_seq
