"""Errors as responses: the statuses of each code, and one response for routes with the same."""

import pytest

from rtchat.api.problems import Problems, statuses_of
from rtchat.api.router import Answer, Route
from rtchat.errors import ERRORS, Code


async def handler(_: object) -> Answer:
    return 204, None


def route(**more: object) -> Route:
    return Route("POST", "/x", handler, {204: None}, **more)  # type: ignore[arg-type]


@pytest.mark.parametrize("code", [code for code in Code if code is not Code.TOO_LARGE])
def test_a_code_comes_with_its_status(code: Code):
    assert statuses_of(code) == [ERRORS[code].status]


def test_what_is_too_large_is_a_body_a_path_or_a_head():
    """A body too where no route asks for one."""
    assert statuses_of(Code.TOO_LARGE) == [413, 414, 431]


def test_routes_with_the_same_errors_share_their_responses():
    problems = Problems()
    first = problems.of(route())
    count = len(problems.responses)
    assert problems.of(route()) == first
    assert len(problems.responses) == count
    problems.of(route(errors=frozenset({Code.CONFLICT})))
    assert len(problems.responses) == count + 1


def test_a_response_tells_what_comes_with_it():
    problems = Problems()
    answers = problems.of(route(errors=frozenset({Code.UNAVAILABLE})))
    assert set(answers) == {"400", "401", "413", "414", "431", "503"}
    response = problems.responses["503_overloaded_unavailable"]
    assert set(response["headers"]) == {"X-Request-Id", "Retry-After"}
    for code in (Code.OVERLOADED, Code.UNAVAILABLE):
        assert ERRORS[code].meaning in response["description"]
        example = response["content"]["application/problem+json"]["examples"][code.value]["value"]
        assert (example["code"], example["status"], example["retryAfter"]) == (code.value, 503, 2)
    tokens = problems.responses["401_token_expired_unauthorized"]
    assert "WWW-Authenticate" in tokens["headers"]
