"""What Schemathesis may not count as a failure, each with its reason; loaded by its process.

Owns: the exceptions. A check is never switched off for all: what a request did wrong is told by the
problem's `code` and `field`, and only that answer of that operation is passed over.
"""

from collections.abc import Mapping
from typing import Any, NamedTuple

import schemathesis
from schemathesis.openapi.checks import ObjectLevelAuthorizationViolation, RejectedPositiveData


class Refusal(NamedTuple):
    """An answer to a request that the schema allows."""

    operation: str
    code: str
    field: str | None = None


_DM = "whose members are fixed, if the channel is a dm"
_PRINTABLE = "printable characters only: which those are, Unicode says, and no pattern"
_VISIBLE = "a name without invisible characters: which those are, Unicode says"
_CONTENT = "more than white space, and no NUL: what is white space, Unicode says"
_INTEGER = "2.0 is an integer to JSON Schema, and none to the server"
_PROVIDER = "/auth/oauth/{provider}"

# What a schema allows and the server refuses, and why the schema cannot say it.
REFUSALS: Mapping[Refusal, str] = {
    Refusal("POST /channels/{id}/join", "unsupported"): _DM,
    Refusal("POST /channels/{id}/leave", "unsupported"): _DM,
    Refusal("POST /channels/{id}/members", "unsupported"): _DM,
    Refusal("DELETE /channels/{id}/members/{userId}", "unsupported"): _DM,
    Refusal("POST /channels", "bad_field", "members"): f"a dm with nobody else; {_INTEGER}",
    Refusal("POST /channels", "bad_field", "name"): _VISIBLE,
    Refusal("PATCH /channels/{id}", "bad_field", "name"): _VISIBLE,
    Refusal("PATCH /users/me", "bad_field", "name"): _VISIBLE,
    Refusal("POST /auth/register", "bad_field", "name"): _VISIBLE,
    Refusal("POST /auth/register", "bad_field", "email"): f"{_VISIBLE}, where the address gives it",
    Refusal("PATCH /users/me", "bad_field", "status"): "no NUL",
    Refusal("POST /channels/{id}/messages", "bad_field", "content"): _CONTENT,
    Refusal("PATCH /channels/{id}/messages/{seq}", "bad_field", "content"): _CONTENT,
    Refusal("POST /channels/{id}/members", "bad_field", "userId"): _INTEGER,
    Refusal("POST /auth/register", "bad_field", "password"): "too common, or made of the address",
    Refusal("POST /auth/password", "bad_field", "newPassword"): "too common, or made of the name",
    Refusal("POST /auth/password", "bad_field", "currentPassword"): "wanted where there is one",
    Refusal("GET /channels/{id}/messages", "bad_field", "before"): "one of two parameters at most",
    Refusal("GET /users", "bad_field", "q"): "one of two parameters, and not only blanks",
    Refusal("GET /ws", "bad_message"): "426 is all that it ever answers",
    Refusal(f"GET {_PROVIDER}/callback", "bad_message"): "a state that was not given out",
    Refusal(f"GET {_PROVIDER}", "bad_field", "next"): _PRINTABLE,
    Refusal(f"POST {_PROVIDER}/link", "bad_field", "next"): _PRINTABLE,
    Refusal(f"GET {_PROVIDER}/callback", "bad_field", "state"): _PRINTABLE,
    Refusal(f"GET {_PROVIDER}/callback", "bad_field", "code"): _PRINTABLE,
    Refusal(f"GET {_PROVIDER}/callback", "bad_field", "error"): _PRINTABLE,
    Refusal(f"GET {_PROVIDER}/callback", "bad_field", "iss"): _PRINTABLE,
}


def is_allowed(failure: Any, operation: str, answer: Any) -> bool:
    """Whether the server is right, and the check cannot know it."""
    if not isinstance(answer, dict):
        return False
    if isinstance(failure, ObjectLevelAuthorizationViolation):
        return answer.get("type") == "public"  # everybody may see such a channel
    if isinstance(failure, RejectedPositiveData):
        told = Refusal(operation, str(answer.get("code")), answer.get("field"))
        return told in REFUSALS
    return False


@schemathesis.hook
def filter_failure(context: Any, failure: Any, case: Any, response: Any) -> bool:
    """Whether a failure is one."""
    try:
        answer = response.json()
    except ValueError:
        return True
    return not is_allowed(failure, f"{case.method} {case.path}", answer)
