"""Whatever a handler fails with, its client learns a request's number and no more (S-61, S-62).

In process, on a real database: the routes here exist to fail.
"""

import asyncio
import json
import logging
from collections.abc import AsyncIterator

import msgspec
import pytest
import redis.exceptions
from asyncpg import exceptions as pg

from rtchat.api.call import Call
from rtchat.api.rest import Rest
from rtchat.api.router import Answer, Route, Router
from rtchat.errors import ChatError, Code
from tests.api.exchange import Exchange
from tests.contract.rest import TELLTALES
from tests.world import World, world

SECRET = "postgresql://rtchat:hunter2@db-7.internal/rtchat"  # as libraries put into their messages
FAILURES: list[BaseException] = [
    RuntimeError(SECRET),
    ValueError(SECRET),
    KeyError(SECRET),
    TypeError(SECRET),
    AttributeError(SECRET),
    AssertionError(SECRET),
    IndexError(SECRET),
    ZeroDivisionError(SECRET),
    NotImplementedError(SECRET),
    StopAsyncIteration(SECRET),
    UnicodeEncodeError("x", SECRET, 0, 1, "x"),
    OSError(2, SECRET, "/etc/rtchat/key"),
    ConnectionResetError(SECRET),
    PermissionError(SECRET),
    TimeoutError(SECRET),
    asyncio.IncompleteReadError(SECRET.encode(), 9),
    asyncio.QueueFull(SECRET),
    MemoryError(SECRET),
    RecursionError(SECRET),
    OverflowError(SECRET),
    EOFError(SECRET),
    pg.PostgresError(SECRET),
    pg.UniqueViolationError(SECRET),
    pg.UndefinedTableError(SECRET),
    pg.InternalClientError(SECRET),
    pg.InterfaceError(SECRET),
    redis.exceptions.ConnectionError(SECRET),
    redis.exceptions.ResponseError(SECRET),
    msgspec.ValidationError(SECRET),
    ExceptionGroup(SECRET, [ValueError(SECRET)]),
]


@pytest.fixture(scope="module")
async def pod(module_database_url: str) -> AsyncIterator[World]:
    async with world(module_database_url) as opened:
        yield opened


async def asked(pod: World, failure: BaseException) -> Exchange:
    """The answer of a route that fails so."""

    async def fail(_: Call) -> Answer:
        raise failure

    rest = Rest(pod.services)
    rest._router = Router([Route("GET", "/", fail, {200: None}, auth=False)])
    exchange = Exchange(method="GET")
    await rest(exchange.scope, exchange.receive, exchange.send)
    return exchange


@pytest.mark.parametrize("failure", FAILURES, ids=lambda failure: type(failure).__name__)
async def test_an_unexpected_failure_tells_nothing_of_itself(
    pod: World, failure: BaseException, caplog: pytest.LogCaptureFixture
):
    """500 `internal`, with a number under which the log has all of it."""
    with caplog.at_level(logging.ERROR):
        exchange = await asked(pod, failure)
    assert exchange.status == 500
    number = exchange.headers["x-request-id"]
    assert exchange.json == {
        "type": "urn:rtchat:error:internal", "title": "Internal error", "status": 500,
        "detail": f"Request {number} failed.", "code": "internal", "retryAfter": 1,
    }  # fmt: skip
    said = json.dumps([exchange.body.decode(), exchange.headers])
    assert not TELLTALES.search(said)
    assert "hunter2" not in said
    (line,) = [r for r in caplog.records if r.getMessage() == "request failed"]
    assert vars(line)["request"] == number
    assert line.exc_info is not None
    assert line.exc_info[1] is failure


@pytest.mark.parametrize("code", Code)
async def test_a_failure_that_was_expected_is_no_traceback(
    pod: World, code: Code, caplog: pytest.LogCaptureFixture
):
    """Each code with its status; the log has a line of the request and no error."""
    exchange = await asked(pod, ChatError(code))
    assert exchange.json["code"] == code.value
    assert not [r for r in caplog.records if r.levelno >= logging.ERROR]


async def test_an_end_that_was_asked_for_is_not_held_up(pod: World):
    """A cancelled request answers nothing and ends."""
    with pytest.raises(asyncio.CancelledError):
        await asked(pod, asyncio.CancelledError())
