"""A connection for one command of the command line, beside the server's pool.

Owns: opening it with time limits, and saying what went wrong in words for an operator. It relies on
no pool and keeps nothing; what the command did not commit is not done.
"""

import asyncio
from collections.abc import Awaitable, Callable
from typing import TypeVar

import asyncpg
from asyncpg import exceptions as pg

from rtchat.errors import StartError
from rtchat.store.database import UNAVAILABLE, AnyConnection

T = TypeVar("T")
TIMEOUT_S = 10.0  # for a person at a terminal, each step


def run(url: str, what: str, work: Callable[[AnyConnection], Awaitable[T]]) -> T:
    """Do `work` at the database of `url`; `what` says what it is. Raises StartError."""
    return asyncio.run(_run(url, what, work))


async def _run(url: str, what: str, work: Callable[[AnyConnection], Awaitable[T]]) -> T:
    try:
        connection = await asyncpg.connect(
            url, timeout=TIMEOUT_S, command_timeout=TIMEOUT_S, statement_cache_size=0
        )
    except (*UNAVAILABLE, pg.PostgresError, ValueError) as error:
        raise StartError(f"the database cannot be used: {error}") from error
    try:
        return await work(connection)
    except (*UNAVAILABLE, pg.PostgresError) as error:
        raise StartError(f"{what} failed: {error}") from error
    finally:
        connection.terminate()
