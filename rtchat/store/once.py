"""A connection for one command of the command line, beside the server's pool.

Owns: opening it with time limits, and saying what went wrong in words for an operator. It relies on
no pool and keeps nothing; what the command did not commit is not done. Must never: pass on what an
error of the URL says, which quotes parts of it.
"""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import TypeVar

import asyncpg
from asyncpg import exceptions as pg

from rtchat.errors import StartError
from rtchat.links import ESCAPE, place
from rtchat.store.database import UNAVAILABLE, AnyConnection

T = TypeVar("T")
TIMEOUT_S = 10.0  # for a person at a terminal, each step
UNUSABLE = (
    f"the database's URL cannot be used; {ESCAPE},"
    " or mend its options (sslmode=verify-full&sslrootcert=/path/to/ca.pem)"
)


class UrlError(StartError):
    """The URL itself is wrong: no waiting mends it."""


def run(url: str, what: str, work: Callable[[AnyConnection], Awaitable[T]]) -> T:
    """Do `work` at the database of `url`; `what` says what it is. Raises StartError."""
    return asyncio.run(_run(url, what, work))


def reach(url: str) -> None:
    """See whether the database lets us in. Raises StartError."""

    async def nothing(_: AnyConnection) -> None:
        """To be let in is enough."""

    run(url, "reaching the database", nothing)


async def _run(url: str, what: str, work: Callable[[AnyConnection], Awaitable[T]]) -> T:
    async with connected(url) as connection:
        try:
            return await work(connection)
        except (*UNAVAILABLE, pg.PostgresError) as error:
            raise StartError(f"{what} failed: {said(error)}") from error


@asynccontextmanager
async def connected(url: str, timeout_s: float = TIMEOUT_S) -> AsyncIterator[AnyConnection]:
    """Open a connection and cut it at the end; `timeout_s`: each step. Raises StartError."""
    if place(url) is None:
        raise UrlError(f"the database's URL cannot be read; {ESCAPE}")
    try:
        connection = await asyncpg.connect(
            url, timeout=timeout_s, command_timeout=timeout_s, statement_cache_size=0
        )
    except (*UNAVAILABLE, pg.PostgresError, ValueError) as error:
        # What such an error says quotes the URL, password and all. A certificate's is both.
        if isinstance(error, ValueError) and not isinstance(error, OSError):
            raise UrlError(UNUSABLE) from None
        raise StartError(f"the database cannot be used: {said(error)}") from error
    try:
        yield connection
    finally:
        connection.terminate()


def said(error: BaseException) -> str:
    """What an error says; where it says nothing, what it is."""
    late = isinstance(error, TimeoutError)
    return str(error) or ("no answer in time" if late else type(error).__name__)
