"""Security events: what happens to sessions and passwords is told, by whom and why, and no more."""

import logging
import re
import secrets
from typing import Any

import httpx2
import pytest

from rtchat.auth.client import Client
from rtchat.auth.events import Ended, Event, Failed, note
from tests.contract.rest import answer, no_content, problem
from tests.pods import Pod

LOGGER = "rtchat.auth.events"
OLD, NEW = "correct horse battery", "staple battery horse"
AGENT = f"test-agent/{secrets.token_hex(4)}"


def told(pod: Pod, since: int) -> list[dict[str, Any]]:
    return [e for e in pod.events()[since:] if e.get("logger") == LOGGER]


@pytest.fixture
async def program(pod: Pod):
    """A client with a name of its own."""
    async with httpx2.AsyncClient(
        base_url=pod.url, headers={"User-Agent": AGENT}, timeout=20
    ) as http:
        yield http


async def test_a_sessions_life_is_told_step_by_step(program: httpx2.AsyncClient, pod: Pod):
    """S-64: sign-ins that succeed and fail, changes and ends, each with user, client and reason."""
    since = len(pod.events())
    email = f"ann-{secrets.token_hex(4)}@example.org"
    login = {"email": email, "password": OLD}
    made = answer(await program.post("/auth/register", json=login), 201)
    unknown = {"email": f"x{email}", "password": OLD}
    problem(await program.post("/auth/login", json=unknown), "unauthorized")
    problem(await program.post("/auth/login", json={**login, "password": NEW}), "unauthorized")
    other, third = [answer(await program.post("/auth/login", json=login)) for _ in range(2)]
    bearer = {"Authorization": f"Bearer {made['accessToken']}"}
    listed = answer(await program.get("/auth/sessions", headers=bearer))["items"]
    no_content(await program.delete(f"/auth/sessions/{listed[0]['id']}", headers=bearer))
    change = {"currentPassword": NEW, "newPassword": NEW + " 2"}
    problem(await program.post("/auth/password", json=change, headers=bearer), "forbidden")
    change["currentPassword"] = OLD
    no_content(await program.post("/auth/password", json=change, headers=bearer))
    refresh = {"refreshToken": made["refreshToken"]}
    answer(await program.post("/auth/refresh", json=refresh))
    problem(await program.post("/auth/refresh", json=refresh), "unauthorized")
    events = told(pod, since)
    assert [(e["event"], e.get("why")) for e in events] == [
        ("registered", None),
        ("login failed", "unknown"),
        ("login failed", "wrong"),
        ("login", None),
        ("login", None),
        ("session ended", "revoked"),
        ("password refused", None),
        ("password changed", None),
        ("session ended", "password"),
        ("token reused", None),
        ("session ended", "reuse"),
    ]
    user_id = made["user"]["id"]
    assert [e.get("user") for e in events] == [user_id, None, *[user_id] * 9]
    assert {(e["client"], e["agent"]) for e in events} == {("127.0.0.1", AGENT)}
    assert [e["event"] for e in events if "session" not in e] == ["login failed"] * 2
    assert {e["level"] for e in events if e["event"] == "token reused"} == {"warning"}
    text = str(events)
    for secret in (email, OLD, NEW, *(s["refreshToken"] for s in (made, other, third))):
        assert secret not in text


def test_the_key_that_signs_is_told_at_the_start_by_its_name(pod: Pod):
    """And nothing of the key itself."""
    (event,) = pod.events("signing key")
    assert event["alg"] == "HS256"
    assert event["believed"] == [event["kid"]]
    assert pod.settings["RTCHAT_SECRET_KEY"] not in pod.log()


def test_what_is_not_known_is_left_out(caplog: pytest.LogCaptureFixture):
    """Nothing is made up, and a value cannot pass for another field."""
    with caplog.at_level(logging.INFO):
        note(Event.SESSION_ENDED, session=7, why=Ended.DISABLED)
        note(Event.LOGIN_FAILED, Client("::1"), why=Failed.UNKNOWN)
    first, second = caplog.records
    assert (first.getMessage(), vars(first)["session"], vars(first)["why"]) == (
        "session ended", 7, "disabled",
    )  # fmt: skip
    assert not {"user", "client", "agent"} & vars(first).keys()
    assert vars(second)["client"] == "::1"
    assert not {"user", "session", "agent"} & vars(second).keys()


def test_every_word_is_plain():
    """Words that operators search for: lower case, without signs."""
    for vocabulary in (Event, Ended, Failed):
        for word in vocabulary:
            assert re.fullmatch(r"[a-z]+( [a-z]+)*", word.value), word
