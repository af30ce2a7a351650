"""The composition root: builds every part in order, and is the ASGI application.

Owns: which parts there are, who knows whom, and the order of starting and stopping. Only this file
knows all of them. The app is valid ASGI: under rtchat's own server frames go out ready-made, under
any other through `send`. In another application, that one's lifespan is ours: docs/embedding.md
says how, and what of this file it may rely on. Must never: make anything when it is imported, or
set up logging, which belongs to whoever runs the process.
"""

import asyncio
import logging
import random
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager

from rtchat import settings
from rtchat.addresses import Proxies
from rtchat.api.asgi import Receive, Scope, Send
from rtchat.api.call import Services
from rtchat.api.metrics import register
from rtchat.api.proxies import Behind
from rtchat.api.rates import RateLimits
from rtchat.api.rest import Rest
from rtchat.api.ws import WebSocketEndpoint
from rtchat.auth.accounts import Accounts
from rtchat.auth.keys import KeyRing
from rtchat.auth.passwords import Passwords
from rtchat.auth.sessions import Sessions
from rtchat.auth.sso.flow import SingleSignOn
from rtchat.auth.throttle import Throttle
from rtchat.auth.tokens import Tokens
from rtchat.bus import Bus, WatchedBus
from rtchat.bus.memory import Exchange, MemoryBus
from rtchat.bus.redis import RedisBus
from rtchat.cache import Cache
from rtchat.cache.memory import MemoryCache
from rtchat.cache.redis import RedisCache
from rtchat.chat import Chat
from rtchat.config import Config
from rtchat.connections import Connections
from rtchat.drain import Drain
from rtchat.envelope import Envelope
from rtchat.ephemeral.teller import Teller
from rtchat.errors import ChatError, StartError
from rtchat.hub import Hub
from rtchat.lag import Lag
from rtchat.measures import Asked
from rtchat.reached import Reached
from rtchat.rooms import Rooms
from rtchat.store import privileges
from rtchat.store.channels import ChannelStore
from rtchat.store.database import AnyConnection, Database
from rtchat.store.log import LogWriter
from rtchat.store.messages import MessageStore
from rtchat.store.users import UserStore
from rtchat.tasks import Tasks
from rtchat.tracing import Traces
from rtchat.writer import OnCommit, Writer

log = logging.getLogger(__name__)

SETTLE_S = 2.0  # for accepted writes to be answered, where the server did not see to that
HOUSEKEEPING_S = 10.0
PURGE_AFTER_S = 60.0  # longer than any pod takes to hear that a channel is gone
PURGE_ROWS = 1000


class NotRunningError(RuntimeError):
    """The app was asked for something, and nobody runs it. A mistake of the application's."""

    def __init__(self) -> None:
        super().__init__(
            "rtchat is not running. A mounted application gets no lifespan of its own: let that of"
            " the application around it run it, as in FastAPI(lifespan=chat.lifespan), or with"
            " `async with chat.running(): yield` in a lifespan that does more"
        )


class App:
    """rtchat as an ASGI application."""

    def __init__(self, config: Config, bus: WatchedBus | None = None) -> None:
        """`bus`: another than the one that `config` asks for, as pods of one process share."""
        self.config = config
        self.reached = Reached()  # whatever ends and begins again, it counts on
        self.port: int | None = None
        self.writer: Writer | None = None
        self.bus = self._given_bus = bus
        self._behind = Behind(Proxies(config.trusted_proxies))
        self._services: Services | None = None  # of the latest run
        self._settled = False
        self._rest: Rest | None = None  # there while it runs, as `_ws`
        self._ws: WebSocketEndpoint | None = None

    # --- ASGI

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one scope. Raises NotRunningError outside of `running`."""
        if scope["type"] == "lifespan":
            await self._lifespan(receive, send)
        elif scope["type"] == "http":
            if self._rest is None:
                raise NotRunningError
            await self._rest(self._behind(scope), receive, send)
        elif scope["type"] == "websocket":
            if self._ws is None:
                raise NotRunningError
            await self._ws(self._behind(scope), receive, send)
        else:
            raise ValueError(f"unknown ASGI scope {scope['type']}")

    async def _lifespan(self, receive: Receive, send: Send) -> None:
        await receive()
        try:
            async with self.running():
                await send({"type": "lifespan.startup.complete"})
                await receive()
        except asyncio.CancelledError:
            log.warning("forced to end")  # a second signal: the parts were closed on the way out
            return
        except StartError as error:
            log.error("start failed", extra={"reason": str(error)})
            await send({"type": "lifespan.startup.failed", "message": str(error)})
            return
        await send({"type": "lifespan.shutdown.complete"})

    # --- the parts

    @property
    def services(self) -> Services:
        """The parts, for whoever acts beside the interface. Raises NotRunningError at first."""
        if self._services is None:
            raise NotRunningError
        return self._services

    @asynccontextmanager
    async def lifespan(self, _: object) -> AsyncIterator[None]:
        """`running`, as Starlette and FastAPI take it: `FastAPI(lifespan=chat.lifespan)`."""
        async with self.running():
            yield

    @asynccontextmanager
    async def running(self) -> AsyncIterator[Services]:
        """Build the parts, bottom first; end them, top first. Again and again, but not twice."""
        if self._rest is not None:
            raise RuntimeError("rtchat runs already: one lifespan is enough")
        async with AsyncExitStack() as stack:
            stack.callback(self._ended)
            services = await self._start(stack)
            self._services, self.writer, self._settled = services, services.writer, False
            self._rest, self._ws = Rest(services), WebSocketEndpoint(services)
            yield services
            log.info("stopping")
            if not self._settled:
                await services.drain.run()  # rtchat's own server and uvicorn left nobody
                await self.settle(SETTLE_S)
        log.info("stopped")

    async def _start(self, stack: AsyncExitStack) -> Services:
        config = self.config
        database = Database(config)
        stack.push_async_callback(database.close)
        bus = self.bus = self._given_bus or make_bus(config)
        stack.push_async_callback(bus.close)
        cache = make_cache(config, self.reached)
        stack.push_async_callback(cache.close)
        services = _build(config, database, bus, cache, self.reached, stack)

        async def begin(connection: AnyConnection) -> None:
            await privileges.require(connection)
            await services.hub.begin(connection)

        await database.open(begin)  # is it away, the start goes on all the same
        await bus.start()
        services.hub.start()
        services.writer.start()
        services.connections.start()
        services.teller.start()
        services.sessions.start()
        services.lag.start()
        services.tasks.start(_housekeeping(services))
        log.info("started", extra={"bus": type(bus).__name__, "lanes": config.lanes})
        return services

    def _ended(self) -> None:
        self._rest = self._ws = None

    def on_listening(self, port: int) -> None:
        """Told by the server once it accepts connections."""
        self.port = port
        log.info("listening", extra={"host": self.config.host, "port": port})

    async def drain(self) -> None:
        """Send every socket away in its slot; what is asked over REST is served on."""
        if self._services is not None:
            await self._services.drain.run()

    def drain_by(self, everywhere: Callable[[], Awaitable[None]]) -> None:
        """Let the pre-stop call do this, which drains this process and its neighbours."""
        if self._services is not None:
            self._services.drain.everywhere = everywhere

    def hurry(self) -> None:
        """Send away at once whoever is still there."""
        if self._services is not None:
            self._services.drain.hurry()

    async def settle(self, timeout_s: float) -> None:
        """Take no more writes, and answer those that were accepted."""
        self._settled = True
        if self.writer is not None:
            await self.writer.drain(timeout_s)


def create_app() -> App:
    """The app as the variables RTCHAT_… want it: `uvicorn --factory rtchat.app:create_app`.

    Raises ConfigError or StartError where they are not fit for production, as `rtchat serve` does;
    whoever wants another configuration has `App(Config(…))`.
    """
    config, _ = settings.load()
    settings.require_production(config)
    KeyRing(config)
    return App(config)


def make_bus(config: Config) -> WatchedBus:
    """The bus that the configuration asks for."""
    if config.redis_nodes:
        try:
            return RedisBus(
                config.redis_nodes,
                cluster=bool(config.redis_cluster),
                prefix=config.bus_prefix,
                shards=config.bus_shards,
                publish_buffer_bytes=config.bus_queue_bytes,
            )
        except (ValueError, OSError) as error:
            raise StartError(f"RTCHAT_REDIS_URLS cannot be used: {error}") from error
    return MemoryBus(Exchange())


def make_cache(config: Config, reached: Reached) -> Cache:
    """The cache that the configuration asks for: on the nodes of the bus, or in memory."""
    if not config.redis_nodes:
        return MemoryCache(config.cache_entries_max, config.cache_max_bytes)
    try:
        return RedisCache(
            config.redis_nodes,
            cluster=bool(config.redis_cluster),
            prefix=config.bus_prefix,
            timeout_s=config.cache_timeout_ms / 1000,
            connections=config.cache_connections,
            entries_max=config.cache_entries_max,
            local_share=config.cache_local_percent / 100,
            on_late=lambda: reached.count("cache_timeout_ms"),
        )
    except (ValueError, OSError) as error:
        raise StartError(f"RTCHAT_REDIS_URLS cannot be used: {error}") from error


def make_traces(config: Config, hub: Hub, stack: AsyncExitStack) -> Traces | None:
    """The traces that the configuration asks for; `stack` sends the last of them."""
    if not config.trace_one_in:
        return None
    from rtchat import otel  # 9 MB and 60 ms, of an extra that may be missing

    traces, exporter = otel.open_traces(config, lambda: hub.epoch)
    stack.push_async_callback(exporter.close)
    return traces


def _build(
    config: Config,
    database: Database,
    bus: WatchedBus,
    cache: Cache,
    reached: Reached,
    stack: AsyncExitStack,
) -> Services:
    """Make the parts and introduce them to each other; nothing runs yet."""
    users = UserStore(database)
    channels = ChannelStore(database, config.unread_max)
    messages = MessageStore(database)
    hub = Hub(config, bus, channels, messages)
    connections = Connections(config, bus, channels, users, reached)
    traces = hub.rooms.traces = make_traces(config, hub, stack)

    async def open_log() -> LogWriter:
        return LogWriter(config, await database.dedicated())

    on_commit = _passing_on(hub.rooms, bus, traces)
    writer = Writer(config, open_log, on_commit, hub.rooms.note_head, traces)
    hub.rooms.settled = writer.settled
    passwords = Passwords(config)
    sessions = Sessions(
        config,
        database,
        Tokens(config),
        reached,
        on_ended=connections.announce_ended,
        on_found=connections.end_sessions,
    )
    connections.on_sessions_ended = sessions.note_ended
    accounts = Accounts(config, database, passwords, sessions)
    sso = SingleSignOn(config, database, sessions, cache, reached)
    chat = Chat(config, channels, messages, writer, connections)
    teller = Teller(config, bus, hub.rooms, connections, channels)
    teller.introduce(hub)
    tasks = Tasks("app")
    drain = Drain(config, connections, tasks, reached)
    hub.rooms.on_epoch = drain.send_back  # `hello` is where clients learn of it

    stack.callback(passwords.close)
    lag = Lag()
    for part in (writer, connections, hub, teller, sessions, sso, tasks, lag):
        stack.push_async_callback(part.close)
    services = Services(
        config,
        database,
        users,
        channels,
        accounts,
        sessions,
        sso,
        chat,
        teller,
        hub,
        connections,
        tasks,
        drain,
        cache,
        Throttle(config, cache),
        RateLimits(config, cache),
        reached,
        Asked(),
        writer,
        bus,
        lag,
    )
    register(services)
    return services


def _passing_on(rooms: Rooms, bus: Bus, traces: Traces | None) -> OnCommit:
    """What becomes of an envelope once it is committed: to this pod first, then to the others."""

    def on_commit(envelope: Envelope) -> None:
        rooms.deliver(envelope)
        if bus.alone:  # the bytes, two copies of all that is sent, would be made for nobody
            return
        began_ns = 0 if traces is None else traces.now()
        bus.publish(envelope.channel_id, rooms.stamped(envelope))
        if traces is not None:
            traces.published(envelope, began_ns)

    return on_commit


async def _housekeeping(services: Services) -> None:
    """Remove what deleted channels and old sessions left, a little at a time."""
    while True:
        await asyncio.sleep(HOUSEKEEPING_S * random.uniform(0.5, 1.5))
        await _purge(lambda: services.channels.purge_dropped(PURGE_AFTER_S, PURGE_ROWS))
        await _purge(lambda: services.sessions.purge(PURGE_ROWS))


async def _purge(step: Callable[[], Awaitable[int]]) -> None:
    """Take steps until one finds nothing."""
    gone = 1
    while gone:
        try:
            gone = await step()
        except ChatError:
            return  # the database is away, and said so
        except Exception:
            log.exception("housekeeping failed")
            return
        await asyncio.sleep(0.1)  # senders come first
