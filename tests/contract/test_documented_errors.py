"""Every documented error is real: each is brought about on a server, by what the documents list.

What is added to the documents and cannot be brought about has no recipe, or its recipe fails. That
nothing else is ever answered is checked by all tests (`tests/documented.py`); here each trouble is
brought to those as well that do not document it, so that what the documents leave out is seen.
"""

from collections.abc import Iterator
from typing import Any, NamedTuple

import pytest

from rtchat.api import asyncapi, openapi
from rtchat.api.routes import INTERNAL_ROUTES, ROUTES
from rtchat.config import Config
from rtchat.errors import CLOSES, ERRORS, Close, Code
from rtchat.server.http import OPERATORS
from tests.contract import provoking, provoking_frames, provoking_rest
from tests.contract.provoking import World, operation_of

OPENAPI = openapi.document(Config())
ASYNCAPI = asyncapi.document(Config())
BY_OPERATION = {operation_of(route): route for route in ROUTES}


class Documented(NamedTuple):
    """One error of one operation."""

    operation: str
    status: int
    code: Code

    def __str__(self) -> str:
        return f"{self.operation} {self.status} {self.code}"


def errors_of(operation: str, status: int, response: Any) -> Iterator[Documented]:
    """The codes that a response may have."""
    if "$ref" in response:
        response = OPENAPI["components"]["responses"][response["$ref"].rpartition("/")[2]]
    schema = response.get("content", {}).get(provoking_rest.PROBLEM, {}).get("schema", {})
    if "allOf" in schema:
        codes = schema["allOf"][1]["properties"]["code"]["enum"]
    else:  # the one operation that answers with nothing but an error
        codes = ["bad_message"] if status == 426 else []
    for code in codes:
        yield Documented(operation, status, Code(code))


DOCUMENTED = [
    error
    for path, item in OPENAPI["paths"].items()
    for method, operation in item.items()
    for status, response in operation["responses"].items()
    for error in errors_of(f"{method.upper()} {path}", int(status), response)
]
COMMANDS = {
    t: [Code(code) for code in operation["x-error-codes"]]
    for t, operation in ASYNCAPI["operations"].items()
    if operation["action"] == "receive"
}
DOCUMENTED_FRAMES = [(t, code) for t, codes in COMMANDS.items() for code in codes]
UNREADABLE = [Code(code) for code in ASYNCAPI["operations"]["unreadable"]["x-error-codes"]]
ELSEWHERE = [
    (operation, code)
    for operation, route in BY_OPERATION.items()
    for code in provoking_rest.BY_CODE
    if not any(error.operation == operation and error.code is code for error in DOCUMENTED)
    and provoking_rest.elsewhere(route, code) is not None
]
ELSEWHERE_FRAMES = [
    (t, code) for t, codes in COMMANDS.items() for code in provoking_frames.BY_CODE
    if code not in codes
]  # fmt: skip
DOCUMENTED_CLOSES = [Close(int(code)) for code in ASYNCAPI["x-close-codes"]]


@pytest.mark.parametrize("error", DOCUMENTED, ids=str)
async def test_an_operation_answers_with_each_error_that_it_documents(
    world: World, error: Documented
):
    recipe = provoking_rest.recipe_of(error.operation, error.code, error.status)
    assert recipe is not None, "how can that come about?"
    reply = await recipe(world, BY_OPERATION[error.operation])
    assert (reply.status, reply.json["code"]) == (error.status, error.code), reply
    assert reply.json["status"] == error.status
    assert ("retryAfter" in reply.json) <= ERRORS[error.code].retry


@pytest.mark.parametrize(("t", "code"), DOCUMENTED_FRAMES)
async def test_a_command_is_refused_with_each_code_that_it_documents(
    world: World, t: str, code: Code
):
    recipe = provoking_frames.recipe_of(t, code)
    assert recipe is not None, "how can that come about?"
    answer = await recipe(world, t)
    assert (answer["t"], answer["code"]) == ("error", code)
    assert answer["retry"] is ERRORS[code].retry


@pytest.mark.parametrize("code", UNREADABLE)
async def test_what_is_no_command_is_refused_with_each_code(world: World, code: Code):
    answer = await provoking_frames.UNREADABLE[code](world, "")
    assert (answer["t"], answer["code"]) == ("error", code)


@pytest.mark.parametrize("close", sorted(provoking_frames.CLOSES), ids=lambda close: close.name)
async def test_a_socket_ends_with_each_code_that_is_documented(world: World, close: Close):
    assert await provoking_frames.CLOSES[close](world) == close


@pytest.mark.parametrize(("operation", "code"), ELSEWHERE)
async def test_an_operation_answers_with_nothing_that_it_does_not_document(
    world: World, operation: str, code: Code
):
    """In each trouble that others document: the recipe holds its answer to the documents."""
    route = BY_OPERATION[operation]
    recipe = provoking_rest.elsewhere(route, code)
    assert recipe is not None
    reply = await recipe(world, route)
    if reply.headers.get("content-type") == provoking_rest.PROBLEM:
        assert reply.json["code"] != code, reply


@pytest.mark.parametrize(("t", "code"), ELSEWHERE_FRAMES)
async def test_a_command_is_answered_with_nothing_that_it_does_not_document(
    world: World, t: str, code: Code
):
    answer = await provoking_frames.BY_CODE[code](world, t)
    assert answer.get("code") != code, answer


def test_every_close_has_its_recipe():
    """But those that are kept for others."""
    assert set(DOCUMENTED_CLOSES) == set(CLOSES)
    assert set(CLOSES) == provoking_frames.CLOSES.keys() | provoking_frames.NEVER_SENT
    assert not provoking_frames.CLOSES.keys() & provoking_frames.NEVER_SENT


def test_no_recipe_is_for_nothing():
    """One for what is documented no more would be an error that nobody is told of."""
    there = {(error.operation, error.code) for error in DOCUMENTED}
    assert provoking_rest.BY_OPERATION.keys() <= there
    assert provoking_rest.BY_CODE.keys() <= {code for _, code in there}
    assert provoking_rest.LONG.keys() == {op for op, code in there if code is Code.TOO_LONG}
    assert provoking_frames.BY_COMMAND.keys() <= set(DOCUMENTED_FRAMES)
    assert provoking_frames.UNREADABLE.keys() == set(UNREADABLE)
    assert provoking.BODIES.keys() == {name for name, r in BY_OPERATION.items() if r.body}
    assert provoking.COMMAND_FIELDS.keys() == COMMANDS.keys()


def test_who_is_let_in_without_room_never_hears_that_there_is_none():
    reserved = {r.path.encode() for r in (*ROUTES, *INTERNAL_ROUTES) if r.reserved}
    assert reserved == set(OPERATORS)
    without = {r.path.encode() for r in ROUTES if Code.OVERLOADED not in r.codes}
    assert without <= reserved
