"""The one task of a client: it reads, and brings the next socket when one is lost.

Owns: which part gets which frame, in the order in which the frames came, and the order of things on
a new socket: subscriptions first, then the writes that are still unanswered. Must never: read on
while the queue of events is full, or end in silence: whatever ends it ends every part with it.
"""

import asyncio
import logging
from collections.abc import Callable
from typing import Any

from rtchat.client.connection import Link, LinkLostError
from rtchat.client.dialer import Dialer
from rtchat.client.errors import ClientError, ClosedError
from rtchat.client.events import (
    ENTRIES,
    Ack,
    AnyEvent,
    Bye,
    Error,
    Expiring,
    Hello,
    Ok,
    Pong,
    Removed,
    Reset,
)
from rtchat.client.outbox import Outbox
from rtchat.client.stream import Events
from rtchat.client.subscriptions import GapError, Subscriptions
from rtchat.client.wire import TryAgainError, Wire

log = logging.getLogger("rtchat.client")


class Reader:
    """Reads for one client."""

    def __init__(
        self,
        dialer: Dialer,
        wire: Wire,
        outbox: Outbox,
        subscriptions: Subscriptions,
        events: Events,
    ) -> None:
        self.hello: Hello | None = None  # of the newest link
        self.connects = 0
        self._dialer = dialer
        self._wire = wire
        self._outbox = outbox
        self._subscriptions = subscriptions
        self._events = events
        self._task: asyncio.Task[None] | None = None
        self._renewal: asyncio.Task[None] | None = None
        # Every other type is an event and nothing more.
        self._handlers: dict[type, Callable[[Any], object]] = {
            **dict.fromkeys(ENTRIES, subscriptions.on_entry),
            Removed: subscriptions.on_removed,
            Reset: subscriptions.on_reset,
            Ack: outbox.acked,
            Ok: wire.on_ok,
            Error: self._on_error,
            Expiring: self._on_expiring,
            Bye: _ignore,  # the link has read it
            Pong: _ignore,
        }

    def start(self) -> None:
        """Begin to dial."""
        self._task = asyncio.get_running_loop().create_task(self._run())

    async def close(self) -> None:
        """End everything, and the socket in good order."""
        link = self._wire.link
        self._end(ClosedError("closed by its user"), failed=False)
        tasks = [task for task in (self._renewal, self._task) if task is not None]
        for task in tasks:
            task.cancel()
        if tasks:
            await asyncio.wait(tasks)
        if link is not None:
            await link.close()

    async def renew(self, token: str) -> None:
        """Show a token, over as many sockets and refusals as it takes."""
        while True:
            try:
                await self._wire.ask({"t": "auth", "token": token}, _ignore)
            except LinkLostError:
                self._dialer.take(token)  # the next one begins with it
            except TryAgainError as error:
                await asyncio.sleep(error.after_s)
            else:
                self._dialer.take(token)
                return

    def _end(self, error: ClosedError, *, failed: bool = True) -> None:
        if self._wire.ended is None:
            self._wire.end(error)
            self._outbox.close(error)
            self._events.end(error if failed else None)

    async def _run(self) -> None:
        """Keep a link, until the client has ended."""
        try:
            while True:
                link = await self._dialer.dial()
                lost = await self._serve(link)
                link.abort()
                log.info("link lost", extra={"reason": str(lost)})
                await self._dialer.wait(lost, link.age_s)
        except ClosedError as error:
            self._end(error)
        except Exception as error:
            log.exception("the client failed")
            failure = ClosedError(f"{type(error).__name__}: {error}")
            failure.__cause__ = error
            self._end(failure)

    async def _serve(self, link: Link) -> LinkLostError:
        """Use a link until it is lost; returns how."""
        try:
            self._begin(link)
            while True:
                link.receive(self._handle)
                event = await link.recv()
                if self._events.full:
                    link.pause()
                    await self._events.room()
                    link.resume()
                self._handle(event)
        except LinkLostError as lost:
            return lost
        except GapError as gap:
            log.error("the server left something out: %s", gap)
            return LinkLostError(None, str(gap), None)
        except Exception:
            link.abort()
            raise
        finally:
            link.receive(None)
            self._outbox.lost()
            self._wire.down()

    def _handle(self, event: AnyEvent) -> bool:
        """Bring a frame to its part. Tells whether the queue is full."""
        self._handlers.get(type(event), self._events.put)(event)
        return self._events.full

    def _begin(self, link: Link) -> None:
        self.hello = link.hello
        self.connects += 1
        self._events.put(link.hello)
        self._wire.up(link)
        self._subscriptions.resume(link)
        self._outbox.opened(link.write, link.hello.limits.sends_per_second)

    def _on_error(self, error: Error) -> None:
        if not (self._outbox.refused(error) or self._wire.on_error(error)):
            self._events.put(error)

    def _on_expiring(self, expiring: Expiring) -> None:
        if not self._dialer.renews:
            self._events.put(expiring)
        elif self._renewal is None or self._renewal.done():
            self._renewal = asyncio.get_running_loop().create_task(self._renew())

    async def _renew(self) -> None:
        """Get a new token and show it, so that the socket stays."""
        try:
            token = await self._dialer.new_token()
            await self._wire.ask({"t": "auth", "token": token}, _ignore)
        except (ClientError, OSError, TimeoutError) as error:  # then 4202 comes, and renews
            log.warning("token not renewed", extra={"error": str(error)})


def _ignore(_: Any) -> None:
    pass
