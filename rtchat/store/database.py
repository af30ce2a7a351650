"""Connections to PostgreSQL: a pool for reads, and connections of their own for the writer.

Owns: opening, timeouts, and turning asyncpg's exceptions into the two that the rest knows: a
`ChatError` (`unavailable`) for whoever asked, and for the writer what it can do next. Must never:
wait without a bound, or need the database to be there at the start. No session state is relied upon
(no SET, no LISTEN, no advisory lock), so a transaction-mode pooler may stand in between; set
`statement_cache` to 0 behind an old one.
"""

import asyncio
import logging
import random
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine, Iterator
from contextlib import asynccontextmanager, contextmanager
from typing import Any, TypeAlias

import asyncpg
from asyncpg import exceptions as pg
from asyncpg.pool import PoolConnectionProxy
from asyncpg.transaction import Transaction

from rtchat.config import Config
from rtchat.errors import ChatError, Code, StartError, spread_ms
from rtchat.measures import WAIT_S, Histogram
from rtchat.tasks import Tasks

log = logging.getLogger(__name__)

Connection: TypeAlias = asyncpg.Connection
AnyConnection: TypeAlias = asyncpg.Connection | PoolConnectionProxy
Record: TypeAlias = asyncpg.Record

# What a lost link, a restart, a full or a read-only server look like from here.
UNAVAILABLE = (
    OSError,
    TimeoutError,
    pg.InterfaceError,
    pg.InternalClientError,  # what a statement gets on a connection that was just killed
    pg.PostgresConnectionError,
    pg.InsufficientResourcesError,
    pg.PostgresSystemError,  # an I/O error
    pg.InternalServerError,  # among others: a file that cannot grow, by a limit and not by its disk
    pg.OperatorInterventionError,
    pg.ReadOnlySQLTransactionError,
    pg.TransactionRollbackError,  # serialization, deadlock: where a database's default is stricter
    pg.IdleInTransactionSessionTimeoutError,  # this process was frozen with a transaction open
    pg.InFailedSQLTransactionError,  # never expected; a fresh connection is out of it
)
# Settings that decide whether a commit survives a crash (docs: "Reliability and the WAL").
DURABILITY = ("fsync", "full_page_writes")
START_WAIT_S = 2.0  # for the first answer; whoever starts us is told of a mistake found by then
AGAIN_S = 0.5  # between tries after that, and up to half more or less
COMPLAIN_EVERY = 20  # tries
QUIET_S = 2.0  # after a statement's answer the database is known to be there for so long
SILENT_S = 5.0  # without any answer it is known to be away
LOOK_S = 10.0  # between looks at its settings, where somebody wants to know
GIVE_BACK_S = 0.5  # for a statement that was cancelled to end; then its connection is cut

UNREADABLE = (
    "RTCHAT_DATABASE_URL cannot be read: postgresql://user:password@host:5432/name, where of a"
    " password the signs / ? # @ [ ] % : are written as %2F and so on"
)

Begin = Callable[[AnyConnection], Awaitable[None]]


async def _nothing(_: AnyConnection) -> None:
    """There is nothing to read at the start."""


class Database:
    """The database of one process; opened and closed by `app`."""

    def __init__(self, config: Config) -> None:
        self._config = config
        self.waits = Histogram(WAIT_S)  # for a connection of the pool, seconds
        self._pool: asyncpg.Pool | None = None
        self._begun = False  # what the start needs was read
        self._tasks = Tasks("database")
        self._answered_at = self._looked_at = 0.0  # in the loop's time, once begun
        self._unsafe: list[str] = []  # settings, as of the last look at them
        self._look: asyncio.Task[None] | None = None

    async def open(self, begin: Begin = _nothing) -> None:
        """Open the pool, and let `begin` read what the start needs, over the first connection.

        Returns when that is done; or after a while, when the database cannot be reached. Then all
        is `unavailable` until it can and `begin` was run. Raises StartError for what only an
        operator can mend, if it is found by then (found later, it is logged and tried again).
        """
        config = self._config
        self._pool = await asyncpg.create_pool(
            config.database_url,
            min_size=0,
            max_size=config.pool_max,
            timeout=config.connect_timeout_ms / 1000,
            command_timeout=config.query_timeout_ms / 1000,
            statement_cache_size=config.statement_cache,
            max_inactive_connection_lifetime=300,
            server_settings={"application_name": "rtchat"},
            reset=_leave_as_it_is,
        )
        tried: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._tasks.start(self._reach(begin, tried))
        await asyncio.wait([tried], timeout=START_WAIT_S)
        if tried.done():
            tried.result()
        else:
            tried.cancel()

    async def _reach(self, begin: Begin, tried: asyncio.Future[None]) -> None:
        """Begin, however many tries it takes; `tried` is told of the first."""
        said, tries = "", 0
        while not self._begun:
            level, tries = logging.WARNING, tries + 1
            try:
                await self._begin(begin)
                reason = ""
            except StartError as error:
                if not tried.done():
                    tried.set_exception(error)
                    return
                level, reason = logging.ERROR, str(error)
            except Exception as error:
                if not isinstance(error, UNAVAILABLE):  # unforeseen; it may pass all the same
                    log.exception("the start failed")
                reason = f"{type(error).__name__}: {error}"
            if not tried.done():
                tried.set_result(None)
            if reason and (reason != said or tries % COMPLAIN_EVERY == 0):
                said = reason
                log.log(level, "the start waits for the database", extra={"reason": reason})
            if reason:
                await asyncio.sleep(AGAIN_S * random.uniform(0.5, 1.5))
        if said:
            log.info("the database is there", extra={"tries": tries})

    async def _begin(self, begin: Begin) -> None:
        assert self._pool is not None
        try:
            timeout = self._config.connect_timeout_ms / 1000
            async with self._pool.acquire(timeout=timeout) as connection:
                await begin(connection)
                unsafe = await _unsafe_settings(connection)
        except UNAVAILABLE as error:
            if isinstance(error, OSError) and isinstance(error, ValueError):  # of a certificate
                raise StartError(f"the database cannot be used: {error}") from error
            if isinstance(error, ValueError):
                raise StartError(UNREADABLE) from None
            raise
        except ValueError:  # its text, and its traceback, may hold a piece of the password
            raise StartError(UNREADABLE) from None
        except pg.PostgresError as error:
            raise StartError(f"the database cannot be used: {error}") from error
        _warn_of(unsafe)
        self._note_settings(unsafe)
        self._begun = True

    @property
    def pool(self) -> tuple[int, int]:
        """How many connections of the pool are lent, and how many wait to be."""
        if self._pool is None:
            return 0, 0
        idle = self._pool.get_idle_size()
        return self._pool.get_size() - idle, idle

    @property
    def answers(self) -> bool:
        """Whether it has answered lately, as far as anybody asked; probes see that somebody does.

        Not asked here: a scrape must not wait.
        """
        silent_s = asyncio.get_running_loop().time() - self._answered_at
        return self._begun and silent_s <= SILENT_S

    async def close(self) -> None:
        """Close the pool; a connection still at work is cut after a second."""
        await self._tasks.close()
        pool, self._pool, self._begun = self._pool, None, False
        if pool is not None:
            try:
                async with asyncio.timeout(1):
                    await pool.close()
            except TimeoutError:
                pool.terminate()

    @asynccontextmanager
    async def connection(self) -> AsyncIterator[AnyConnection]:
        """Lend a connection for one statement or one transaction.

        Raises ChatError(unavailable) when none is free in time, or when the link breaks meanwhile.
        """
        if self._pool is None or not self._begun:
            raise unreached()
        pool, timeout = self._pool, self._config.acquire_timeout_ms / 1000
        began = time.monotonic()
        try:
            c = await pool.acquire(timeout=timeout)
        except (*UNAVAILABLE, pg.PostgresError) as error:  # also: the password has changed, …
            raise unavailable(error, _late(error, self._limit_of_acquiring(pool))) from error
        finally:
            self.waits.observe(time.monotonic() - began)
        try:
            with translated():
                try:
                    yield c
                    self._answered_at = asyncio.get_running_loop().time()
                except pg.ReadOnlySQLTransactionError:  # a primary of yesterday, perhaps
                    await pool.expire_connections()
                    raise
        finally:
            await _give_back(pool, c)

    def _limit_of_acquiring(self, pool: asyncpg.Pool) -> str:
        """Whose time it was that ended first: that to connect is one part of the other."""
        config = self._config
        connecting = pool.get_size() < pool.get_max_size()
        first = config.connect_timeout_ms < config.acquire_timeout_ms
        return "connect_timeout_ms" if connecting and first else "acquire_timeout_ms"

    @asynccontextmanager
    async def transaction(self) -> AsyncIterator[AnyConnection]:
        """Lend a connection for one transaction, committed at the end of the block.

        READ COMMITTED, whatever the database's default is: what races is decided by row locks and
        by reading again under them. Raises ChatError(unavailable) as `connection` does.
        """
        async with self.connection() as c:
            work = c.transaction(isolation="read_committed")
            try:
                await work.start()
                yield c
                await work.commit()
            except (OSError, TimeoutError, asyncio.CancelledError):
                c.terminate()  # or its next borrower might be in this transaction still
                raise
            except BaseException:
                await _roll_back(work, c)
                raise

    def start(self, coroutine: Coroutine[Any, Any, None]) -> "asyncio.Task[None]":
        """Run what asks for many at once; it ends with the database."""
        return self._tasks.start(coroutine)

    async def reconnect(self) -> None:
        """Replace each connection of the pool before it is lent again."""
        if self._pool is not None:
            await self._pool.expire_connections()

    async def fetch(self, sql: str, *args: Any) -> list[Record]:
        """Run one statement and return its rows."""
        async with self.connection() as c:
            rows: list[Record] = await c.fetch(sql, *args)
            return rows

    async def fetchrow(self, sql: str, *args: Any) -> Record | None:
        """Run one statement and return its first row."""
        async with self.connection() as c:
            row: Record | None = await c.fetchrow(sql, *args)
            return row

    async def execute(self, sql: str, *args: Any) -> str:
        """Run one statement and return its tag."""
        async with self.connection() as c:
            tag: str = await c.execute(sql, *args)
            return tag

    async def dedicated(self) -> Connection:
        """Open a connection outside the pool, so that reads can never starve whoever owns it."""
        connection: Connection = await asyncpg.connect(
            self._config.database_url,
            timeout=self._config.connect_timeout_ms / 1000,
            command_timeout=self._config.query_timeout_ms / 1000,
            statement_cache_size=self._config.statement_cache,
            server_settings={"application_name": "rtchat writer"},
        )
        return connection

    async def probe(self, within_s: float) -> list[str]:
        """Name the settings that would let an acknowledged message die in a crash.

        Raises ChatError(unavailable) when the database has answered nothing for a while. Only where
        nobody else heard of it lately is it asked: over a connection of its own, for that all of
        the pool's are busy tells nothing of it; and once, however many probes come.
        """
        if not self._begun:
            raise unreached()
        loop = asyncio.get_running_loop()
        quiet = loop.time() - self._answered_at > QUIET_S or bool(self._unsafe)
        if quiet or loop.time() - self._looked_at > LOOK_S:
            if self._look is None or self._look.done():
                self._look = self._tasks.start(self._look_at_settings())
            if quiet:
                await asyncio.wait([self._look], timeout=within_s)
        if loop.time() - self._answered_at > SILENT_S:
            raise unreached()
        return self._unsafe

    async def _look_at_settings(self) -> None:
        try:
            async with asyncio.timeout(self._config.query_timeout_ms / 1000):
                connection = await self.dedicated()
                try:
                    self._note_settings(await _unsafe_settings(connection))
                    await connection.close()
                finally:
                    connection.terminate()
        except (*UNAVAILABLE, pg.PostgresError) as error:
            unavailable(error)

    def _note_settings(self, unsafe: list[str]) -> None:
        self._unsafe = unsafe
        self._looked_at = self._answered_at = asyncio.get_running_loop().time()


async def _unsafe_settings(connection: AnyConnection) -> list[str]:
    rows = await connection.fetch(
        "SELECT name FROM pg_settings WHERE name = ANY($1) AND setting = 'off'", list(DURABILITY)
    )
    return [row["name"] for row in rows]


def _warn_of(unsafe: list[str]) -> None:
    for name in unsafe:
        log.error(
            "database setting is unsafe: acknowledged messages may be lost in a crash",
            extra={"setting": name, "value": "off"},
        )


@contextmanager
def translated() -> Iterator[None]:
    """Let asyncpg's ways of saying "not now" leave as ChatError(unavailable)."""
    try:
        yield
    except UNAVAILABLE as error:
        raise unavailable(error, _late(error, "query_timeout_ms")) from error


def _late(error: BaseException, limit: str) -> tuple[str, ...]:
    """That limit, if an error says that its time was over: one of the kernel's has a number."""
    late = isinstance(error, TimeoutError) and error.errno is None
    return (limit,) if late else ()


def unavailable(error: BaseException, limits: tuple[str, ...] = ()) -> ChatError:
    """Log what the database said, and make what its asker is told."""
    log.warning("database unavailable", extra={"error": f"{type(error).__name__}: {error}"})
    return unreached(limits)


def unreached(limits: tuple[str, ...] = ()) -> ChatError:
    """Make what is told where the database cannot be asked."""
    return ChatError(Code.UNAVAILABLE, after_ms=spread_ms(1000), limit=limits)


async def _roll_back(work: Transaction, connection: AnyConnection) -> None:
    if not connection.is_in_transaction():
        return  # it never began, or COMMIT ended it
    try:
        await work.rollback()
    except (*UNAVAILABLE, pg.PostgresError):
        connection.terminate()


async def _give_back(pool: asyncpg.Pool, connection: PoolConnectionProxy) -> None:
    """End a loan. What was done has been done, and who was cancelled stays cancelled."""
    try:
        await pool.release(connection, timeout=GIVE_BACK_S)
    except (*UNAVAILABLE, pg.PostgresError) as error:  # asyncpg has cut it
        said = f"{type(error).__name__}: {error}"
        log.warning("a connection was lost while it was given back", extra={"error": said})


async def _leave_as_it_is(_: AnyConnection) -> None:
    """No reset between borrowers: nobody sets anything, and it would cost a round trip."""
