"""Registering and signing in with what is no address, no password, and no code."""

import secrets
from typing import Any

import pytest

from tests.contract.rest import Caller, answer, problem

pytestmark = pytest.mark.usefixtures("calm")

GOOD = "long enough a password"
NO_ADDRESSES: list[str] = [
    "", " ", "ann", "@", "ann@", "@example.org", "a@b@example.org", "a b@example.org",
    " ann@example.org", "ann@example.org ", "ann@exam ple.org", "ann\0@example.org",
    "ann@example.org\0", "ann\n@example.org", "ann@example.org\r\nBcc: x@example.org",
    "ann\t@example.org", "ann@example.org\u2028", "x" * 65 + "@example.org",
    "x" * 300 + "@example.org", "ann@" + "x" * 300 + ".org", "ann@" + "x" * 60_000,
]  # fmt: skip
NO_TEXTS: list[Any] = [None, 1, 1.5, True, [], ["x"], {}, {"$ne": 1}]


@pytest.mark.parametrize("email", NO_ADDRESSES, ids=lambda value: f"B-H20 {ascii(value)[:30]}")
async def test_what_is_no_address_does_not_register(nobody: Caller, email: str):
    """B-H20: 422, and the field is named."""
    response = await nobody.post("/auth/register", {"email": email, "password": GOOD})
    problem(response, "bad_field", "too_long", field="email")


@pytest.mark.parametrize("email", NO_ADDRESSES, ids=lambda value: f"B-H20 {ascii(value)[:30]}")
async def test_what_is_no_address_does_not_sign_in(nobody: Caller, email: str):
    """As a wrong one, or refused as a field; never a 500."""
    response = await nobody.post("/auth/login", {"email": email, "password": GOOD})
    problem(response, "unauthorized", "bad_field", "too_long")


@pytest.mark.parametrize("value", NO_TEXTS, ids=lambda value: f"B-H22 {value!a}")
async def test_address_and_password_are_text(nobody: Caller, value: object):
    """B-H21, B-H22: 422 for every other type."""
    good = {"email": "ann@example.org", "password": GOOD}
    for path in ("/auth/login", "/auth/register"):
        for field in good:
            problem(await nobody.post(path, good | {field: value}), "bad_field", field=field)
    if value is not None:
        response = await nobody.post("/auth/register", good | {"name": value})
        problem(response, "bad_field", field="name")
    problem(await nobody.post("/auth/refresh", {"refreshToken": value}), "bad_field")


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("jose\u0301", "josé"),
        ("pa\u0443pal", "paypal"),
        ("straße", "strasse"),
        ("\u0130stanbul", "istanbul"),
        ("\u212aelvin", "kelvin"),
    ],
    ids=ascii,
)
async def test_addresses_that_look_alike_are_two_or_one_but_never_a_failure(
    nobody: Caller, one: str, other: str
):
    """B-H20: the second is somebody else's, or taken; each signs in with its own password."""
    mark = secrets.token_hex(4)
    emails = {f"{local}-{mark}@example.org": f"password of {local}" for local in (one, other)}
    made = []
    for email, password in emails.items():
        response = await nobody.post("/auth/register", {"email": email, "password": password})
        if response.status_code == 201:
            made.append((email, password, response.json()["user"]["id"]))
        else:
            problem(response, "conflict", "bad_field", field="email")
    assert made
    for email, password, user_id in made:
        session = answer(await nobody.post("/auth/login", {"email": email, "password": password}))
        assert session["user"]["id"] == user_id


async def test_only_the_listed_fields_make_an_account(nobody: Caller):
    """S-46: no id, no hash, no role of one's own choice."""
    email = f"x-{secrets.token_hex(4)}@example.org"
    body = {
        "email": email, "password": GOOD, "id": 1, "role": "admin", "passwordHash": "x",
        "password_hash": "x", "status": "hacked",
        "lastActive": "2000-01-01T00:00:00.000Z", "createdAt": "2000-01-01T00:00:00.000Z",
    }  # fmt: skip
    user = answer(await nobody.post("/auth/register", body), 201)["user"]
    assert user["status"] == ""
    assert user["lastActive"] is None or not user["lastActive"].startswith("2000")
    answer(await nobody.post("/auth/login", {"email": email, "password": GOOD}))


async def test_a_single_sign_on_code_that_is_not_known_is_refused(nobody: Caller):
    """B-H26: made up, empty, long, of another case: the same answer for all."""
    seen = set()
    for code in ("made-up", "MADE-UP", "x", "\0", secrets.token_urlsafe(32), "x" * 200):
        response = await nobody.post("/auth/oauth/exchange", {"code": code})
        problem(response, "unauthorized", "not_found", "bad_field")
        seen.add((response.status_code, response.content))
    assert len(seen) == 1


async def test_a_provider_that_is_not_set_up_is_not_there(nobody: Caller):
    """404, for its callback too, whatever comes with it."""
    for provider in ("google", "microsoft", "nobody", "%00"):
        problem(await nobody.get(f"/auth/oauth/{provider}"), "not_found")
        for query in ({}, {"code": "x", "state": "x"}, {"error": "access_denied"}):
            response = await nobody.get(f"/auth/oauth/{provider}/callback", **query)
            problem(response, "not_found", "bad_field")
