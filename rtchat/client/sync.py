"""The client for scripts, notebooks and the REPL: the same methods, blocking, without asyncio.

    from rtchat.client import Msg
    from rtchat.client.sync import Client, Renewing, Rest

    with Rest("http://localhost:8000") as rest:
        session = rest.login("ann@example.org", "correct horse")
        with Client("ws://localhost:8000", tokens=Renewing(rest, session)) as client:
            client.subscribe({17: None})
            client.send(17, "hello")
            for event in client.events(timeout_s=60):
                if isinstance(event, Msg):
                    print(event.seq, event.user, event.content)

Owns: one background thread with an event loop, for all objects of the process, which begins with
the first and ends with the interpreter, as does what was left open; a fork makes objects of its
own. Each method is that of the asynchronous class, called there and waited for; errors are the
same. Several threads may call at once, but one at a time takes events. Ctrl+C ends the wait and
gives the call up, as its timeout would. Must never: do by itself what the asynchronous client does,
or lose an event that an interrupted wait had taken.
"""

import asyncio
import atexit
import functools
import os
import threading
import weakref
from collections import deque
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from typing import Any, Concatenate, Generic, ParamSpec, Protocol, Self, TypeVar

import rtchat.client as aio

P = ParamSpec("P")
T = TypeVar("T")
__all__ = ["Client", "Renewing", "Rest"]
CLOSE_S = 5.0  # at the interpreter's end, for each that is still open


class _Background:
    """The thread with the loop, and what is open on it."""

    def __init__(self) -> None:
        self.loop = asyncio.new_event_loop()
        self._process = os.getpid()
        self.open: weakref.WeakSet[_Blocking[Any]] = weakref.WeakSet()
        self._thread = threading.Thread(target=self.loop.run_forever, name="rtchat", daemon=True)
        self._thread.start()
        atexit.register(self.end)

    @property
    def here(self) -> bool:
        """Whether this process has that thread; a fork has none of its parent's."""
        return os.getpid() == self._process

    def call(self, function: Callable[[], Awaitable[T]]) -> T:
        """Call it there and wait for what it gives; whatever ends the wait ends the work."""
        assert threading.current_thread() is not self._thread, "a callback must not block"
        if not self.here:  # nobody would ever do it
            raise RuntimeError("made before a fork: its thread is the parent's; make one here")

        async def work() -> T:
            return await function()

        future = asyncio.run_coroutine_threadsafe(work(), self.loop)
        try:
            return future.result()
        except BaseException:
            future.cancel()
            raise

    def do(self, function: Callable[[], T]) -> T:
        """Call there what does not wait."""

        async def done() -> T:
            return function()

        return self.call(done)

    def end(self) -> None:
        """Close what is open, and end the thread."""
        if not self.here:
            return
        for one in list(self.open):
            self.call(functools.partial(_ended, one.aio.close()))
        self.loop.call_soon_threadsafe(self.loop.stop)
        self._thread.join(CLOSE_S)


async def _ended(closing: Awaitable[None]) -> None:
    try:
        async with asyncio.timeout(CLOSE_S):
            await closing
    except TimeoutError:  # nobody is left to wait for it
        pass


_starting = threading.Lock()
_running: dict[int, _Background] = {}  # by process: a fork has no thread of its parent's


def _background() -> _Background:
    with _starting:
        return _running.get(os.getpid()) or _running.setdefault(os.getpid(), _Background())


class _Closing(Protocol):
    async def close(self) -> None: ...


A = TypeVar("A", bound=_Closing)


class _Blocking(Generic[A]):
    """Something asynchronous, used from outside of its loop. `aio` is that."""

    def __init__(self, make: Callable[[], A]) -> None:
        self.background = _background()
        self.aio: A = self.background.do(make)
        self.background.open.add(self)

    def __repr__(self) -> str:
        return f"{self.aio!r}"

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """As the asynchronous one's `close`; without it, the interpreter's end closes.

        In a fork nothing happens: it is the parent's.
        """
        if self.background.here:
            self.background.open.discard(self)
            self.background.call(self.aio.close)


def _like(
    made: Callable[P, Any],
) -> Callable[[Callable[..., None]], Callable[Concatenate[Any, P], None]]:
    """Takes what that one takes."""

    def decorate(begin: Callable[..., None]) -> Callable[Concatenate[Any, P], None]:
        return functools.wraps(made.__init__)(begin)

    return decorate


def _call(method: Callable[Concatenate[Any, P], Awaitable[T]]) -> Callable[Concatenate[Any, P], T]:
    """The same, waited for."""

    def blocking(self: Any, /, *args: P.args, **more: P.kwargs) -> T:
        one: _Blocking[Any] = self
        return one.background.call(lambda: method(one.aio, *args, **more))

    return functools.update_wrapper(blocking, method)


def _do(method: Callable[Concatenate[Any, P], T]) -> Callable[Concatenate[Any, P], T]:
    """The same, on the loop: it touches the socket."""

    def blocking(self: Any, /, *args: P.args, **more: P.kwargs) -> T:
        one: _Blocking[Any] = self
        return one.background.do(lambda: method(one.aio, *args, **more))

    return functools.update_wrapper(blocking, method)


def _each(
    method: Callable[Concatenate[Any, P], AsyncIterator[T]],
) -> Callable[Concatenate[Any, P], Iterator[T]]:
    """The same, one after the other; a page is asked for when it is reached."""

    def blocking(self: Any, /, *args: P.args, **more: P.kwargs) -> Iterator[T]:
        one: _Blocking[Any] = self
        items = method(one.aio, *args, **more)

        async def more_of_it() -> list[T]:
            return [item] if (item := await anext(items, None)) is not None else []

        while found := one.background.call(more_of_it):
            yield from found

    return functools.update_wrapper(blocking, method)


class Rest(_Blocking[aio.Rest]):
    """REST, blocking."""

    @_like(aio.Rest)
    def __init__(self, *args: Any, **given: Any) -> None:
        super().__init__(lambda: aio.Rest(*args, **given))

    def as_user(self, token: str | Callable[[], str]) -> "Rest":
        """The same interface and HTTP client, for another user."""
        other = Rest.__new__(Rest)
        _Blocking.__init__(other, lambda: self.aio.as_user(token))
        return other

    register = _call(aio.Rest.register)
    login = _call(aio.Rest.login)
    refresh = _call(aio.Rest.refresh)
    logout = _call(aio.Rest.logout)
    logout_all = _call(aio.Rest.logout_all)
    sessions = _call(aio.Rest.sessions)
    all_sessions = _each(aio.Rest.all_sessions)
    end_session = _call(aio.Rest.end_session)
    change_password = _call(aio.Rest.change_password)
    providers = _call(aio.Rest.providers)
    exchange = _call(aio.Rest.exchange)
    link = _call(aio.Rest.link)
    identities = _call(aio.Rest.identities)
    unlink = _call(aio.Rest.unlink)
    me = _call(aio.Rest.me)
    update_me = _call(aio.Rest.update_me)
    find_users = _call(aio.Rest.find_users)
    users = _call(aio.Rest.users)
    create_channel = _call(aio.Rest.create_channel)
    channel = _call(aio.Rest.channel)
    channels = _call(aio.Rest.channels)
    all_channels = _each(aio.Rest.all_channels)
    rename_channel = _call(aio.Rest.rename_channel)
    delete_channel = _call(aio.Rest.delete_channel)
    join = _call(aio.Rest.join)
    leave = _call(aio.Rest.leave)
    members = _call(aio.Rest.members)
    all_members = _each(aio.Rest.all_members)
    add_member = _call(aio.Rest.add_member)
    set_role = _call(aio.Rest.set_role)
    remove_member = _call(aio.Rest.remove_member)
    history = _call(aio.Rest.history)
    messages = _each(aio.Rest.messages)
    messages_back = _each(aio.Rest.messages_back)
    message = _call(aio.Rest.message)
    send = _call(aio.Rest.send)
    edit = _call(aio.Rest.edit)
    delete = _call(aio.Rest.delete)


class Renewing(aio.Renewing):
    """As the asynchronous one; `on_session` is called in the background thread."""

    def __init__(
        self,
        rest: Rest,
        session: aio.Session,
        on_session: Callable[[aio.Session], None] | None = None,
    ) -> None:
        super().__init__(rest.aio, session, on_session)


class Client(_Blocking[aio.Client]):
    """A user's connection, blocking. `on_event` is called in the background thread."""

    @_like(aio.Client)
    def __init__(self, *args: Any, **given: Any) -> None:
        tokens = given.get("tokens")
        if tokens is not None and not isinstance(tokens, aio.Renewing):  # it may block
            given["tokens"] = functools.partial(asyncio.to_thread, tokens)
        if isinstance(given.get("rest"), Rest):
            given["rest"] = given["rest"].aio
        self._taken: deque[aio.AnyEvent] = deque()  # one at most, of a wait that was interrupted
        super().__init__(lambda: aio.Client(*args, **given))

    def __enter__(self) -> Self:
        self.background.call(self.aio.__aenter__)
        return self

    send = _call(aio.Client.send)
    edit = _call(aio.Client.edit)
    delete = _call(aio.Client.delete)
    react = _call(aio.Client.react)
    read = _do(aio.Client.read)
    typing = _do(aio.Client.typing)
    subscribe = _call(aio.Client.subscribe)
    unsubscribe = _do(aio.Client.unsubscribe)
    renew = _call(aio.Client.renew)
    stats = _do(aio.Client.stats)

    @property
    def hello(self) -> aio.Hello:
        """What the server said when the newest socket was opened."""
        return self.aio.hello

    @property
    def connected(self) -> bool:
        """Whether there is a socket now; while there is none, the client is bringing the next."""
        return self.aio.connected

    @property
    def epoch(self) -> str | None:
        """The history that the cursors belong to."""
        return self.aio.epoch

    def cursors(self) -> dict[int, int]:
        """Each followed channel's last seq that was handed out: keep these, and `epoch`."""
        cursors = self.background.do(self.aio.cursors)
        for event in self._taken:
            if isinstance(event, aio.Entry | aio.UnknownEntry):
                cursors[event.ch] = event.seq - 1
        return cursors

    def events(self, timeout_s: float | None = None) -> Iterator[aio.AnyEvent]:
        """The events, in order; until the client is closed, or nothing comes for `timeout_s`.

        Raises ClosedError where the server does not want this client back. What waits is bounded
        by `queue`, as for the asynchronous one.
        """
        while (event := self.take(timeout_s)) is not None:
            yield event

    def take(self, timeout_s: float | None = None) -> aio.AnyEvent | None:
        """The next event; None where none comes in time, or the client is closed."""
        if not self._taken:
            self.background.call(functools.partial(self._take, timeout_s))
        return self._taken.popleft() if self._taken else None

    async def _take(self, timeout_s: float | None) -> None:
        try:
            async with asyncio.timeout(timeout_s):
                event = await anext(self.aio.events(), None)
        except TimeoutError:
            return
        if event is not None:
            self._taken.append(event)
