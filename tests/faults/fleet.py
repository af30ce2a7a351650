"""The servers of a fault run: PostgreSQL, Valkey, and pods, each behind proxies of its own.

Owns: the processes and the proxies, and a second thread whose event loop carries the proxies and
the clients: starting and killing servers blocks, and must not stop the load. Its own methods are
called in the main thread (a child lives as long as the thread that started it).
"""

import asyncio
import contextlib
import secrets
import signal
import threading
from collections.abc import Callable, Coroutine, Iterator, Sequence
from concurrent.futures import Future
from pathlib import Path
from typing import Any, TypeVar

import asyncpg
import uvloop

from rtchat.config import Config
from rtchat.server.launch import free_port
from rtchat.server.postgres import EmbeddedPostgres
from rtchat.server.valkey import PrivateValkey
from rtchat.settings import NAMES
from tests.faults.pod import Act, Point, signal_of
from tests.faults.proxy import FaultProxy
from tests.pods import UNLIMITED, Pod, Pods
from tests.services import POSTGRES_SETTINGS, Databases, temporary_directory

T = TypeVar("T")
# Limits of rate that other tests switch off: these clients keep to them, also when all come back.
PRODUCTION = {name: getattr(Config(), name) for name in UNLIMITED}
CALL_S = 60.0
# Short and small, so that a run meets each limit; otherwise a pod is as it is in production.
SETTINGS = {
    "heartbeat_s": 5,
    "heartbeat_timeout_s": 5,
    "drain_s": 2,
    "slow_deadline_ms": 4000,
    "write_high_bytes": 32_768,
    "write_low_bytes": 8192,
}


class LoopThread:
    """An event loop in a thread of its own."""

    def __init__(self) -> None:
        self._runner = asyncio.Runner(loop_factory=uvloop.new_event_loop)
        self._ready = threading.Event()
        self._stop: asyncio.Event | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._thread = threading.Thread(target=self._run, name="load", daemon=True)
        self._thread.start()
        self._ready.wait()

    def _run(self) -> None:
        with self._runner as runner:
            runner.run(self._main())

    async def _main(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._stop = asyncio.Event()
        self._ready.set()
        await self._stop.wait()

    def begin(self, work: Coroutine[Any, Any, T]) -> "Future[T]":
        """Start something there; its result comes by the future."""
        assert self._loop is not None
        return asyncio.run_coroutine_threadsafe(work, self._loop)

    def call(self, work: Coroutine[Any, Any, T], within_s: float = CALL_S) -> T:
        """Run something there and wait for it."""
        return self.begin(work).result(within_s)

    def do(self, call: Callable[[], object]) -> None:
        """Call something short there, and wait until it is done."""

        async def doing() -> None:
            call()

        self.call(doing())

    def close(self) -> None:
        """End the loop and whatever still runs in it."""
        assert self._loop is not None
        assert self._stop is not None
        self._loop.call_soon_threadsafe(self._stop.set)
        self._thread.join(10)


class Member:
    """One place in the fleet: its proxies stay, the pod in it comes and goes."""

    def __init__(self, number: int, database: FaultProxy, redis: FaultProxy) -> None:
        self.number = number
        self.database = database
        self.redis = redis
        self.port = free_port()  # the same for each pod in it: clients know where it was
        self.pod: Pod | None = None

    @property
    def running(self) -> Pod:
        """The pod in it."""
        assert self.pod is not None
        return self.pod

    @property
    def url(self) -> str:
        """Where REST is, or was last."""
        return f"http://127.0.0.1:{self.port}"

    @property
    def ws_url(self) -> str:
        """Where its WebSocket is, or was last."""
        return f"ws://127.0.0.1:{self.port}/ws"

    def serves(self) -> bool:
        """Whether the pod that was started last listens."""
        return self.running.serves()

    def stopped(self) -> bool:
        """Whether the pod was stopped, by what was armed."""
        status = Path(f"/proc/{self.running.pid}/stat").read_text()
        return status.rpartition(") ")[2][:1] == "T"


class Fleet:
    """`with running(…) as fleet`. Everything runs; faults are methods."""

    def __init__(
        self,
        postgres: EmbeddedPostgres,
        valkey: PrivateValkey,
        database_url: str,
        pods: Pods,
        loop: LoopThread,
        **settings: Any,
    ) -> None:
        self.postgres = postgres
        self.valkey = valkey
        self.database_url = database_url
        self.loop = loop
        self.members: list[Member] = []
        self._pods = pods
        self._settings = {
            **PRODUCTION,
            **{name: value for name, value in SETTINGS.items() if name in NAMES},
            "bus_prefix": f"faults-{secrets.token_hex(4)}",
            **settings,
        }

    def start(self, count: int) -> None:
        """Start so many pods."""
        for number in range(count):
            proxies = FaultProxy(self.database_url), FaultProxy(self.valkey.url)
            for proxy in proxies:
                self.loop.call(proxy.start())
            self.members.append(Member(number, *proxies))
        for member in self.members:
            self.spawn(member)
        for member in self.members:
            member.running.wait()

    def spawn(self, member: Member, **settings: Any) -> Pod:
        """Start a pod in this place, without waiting; it may have settings of its own."""
        member.pod = self._pods.spawn(
            member.database.url,
            module="tests.faults.pod",
            redis_urls=member.redis.url,
            port=member.port,
            **{**self._settings, **settings},
        )
        return member.pod

    def close(self) -> None:
        """Take the proxies down."""
        for member in self.members:
            for proxy in (member.database, member.redis):
                self.loop.call(proxy.close())

    def heal(self) -> None:
        """Undo what a fault that did not come to its end may have left."""
        for store in (self.postgres, self.valkey):
            store.stop()  # whatever state it is in
            store.start()
        for member in self.members:
            if member.running.process.poll() is None:
                member.running.signal(signal.SIGCONT)
            for proxy in (member.database, member.redis):
                proxy.swallows, proxy.delay_s, proxy.strike = False, 0.0, None
                self.loop.do(proxy.cut)

    def arm(self, member: Member, point: Point, act: Act) -> None:
        """Let it strike at a point of its next batch."""
        member.running.signal(signal_of(point, act))


@contextlib.contextmanager
def services() -> Iterator[tuple[EmbeddedPostgres, PrivateValkey]]:
    """A PostgreSQL and a Valkey that may be killed."""
    with (
        temporary_directory() as data,
        EmbeddedPostgres(data / "data", POSTGRES_SETTINGS) as postgres,
        PrivateValkey() as valkey,
    ):
        yield postgres, valkey


@contextlib.contextmanager
def running(
    directory: Path,
    stores: tuple[EmbeddedPostgres, PrivateValkey],
    *,
    pods: int = 3,
    sql: Sequence[str] = (),
    **settings: Any,
) -> Iterator[Fleet]:
    """Start pods on a new database, changed by `sql`; end them, and what they need."""
    postgres, valkey = stores
    with contextlib.ExitStack() as stack:
        url = stack.enter_context(Databases(postgres.url).fresh())
        loop = LoopThread()
        stack.callback(loop.close)
        loop.call(_execute(url, sql))
        directory.mkdir(exist_ok=True)
        source = Pods(directory)
        stack.callback(source.close)
        fleet = Fleet(postgres, valkey, url, source, loop, **settings)
        stack.callback(fleet.close)
        fleet.start(pods)
        yield fleet


async def _execute(url: str, statements: Sequence[str]) -> None:
    connection = await asyncpg.connect(url)
    try:
        for statement in statements:
            await connection.execute(statement)
    finally:
        await connection.close()
