"""Bad requests about things that are there or not, row by row: names (B-H20), changes (B-H25),
and doing the same twice (B-H27)."""

import secrets
from typing import Any

import pytest

from tests.contract.rest import JSON, Caller, answer, no_content, problem

pytestmark = pytest.mark.usefixtures("calm")

PASSWORD = "long enough to pass"
NO_NAMES = {
    "B-H20 empty": "",
    "B-H20 spaces": "   ",
    "B-H20 NUL": "a\0b",
    "B-H20 line break": "a\nb",
    "B-H20 U+202E": "a\u202eb",
    "B-H20 zero width": "a\u200bb",
    "B-H20 tag": "a\U000e0041b",
    "B-H20 81": "x" * 81,
    "B-H20 30 KB": "x" * 30_000,
}
NAMES = {
    "B-H20 one": ("x", "x"),
    "B-H20 80": ("x" * 80, "x" * 80),
    "B-H20 admin": ("admin", "admin"),
    "B-H20 NFD": ("jose\u0301", "jos\u00e9"),
    "B-H20 homoglyph": ("p\u0430ypal", "p\u0430ypal"),
    "B-H20 markup": ("<b onclick=x>&amp;", "<b onclick=x>&amp;"),
}


def account(name: str) -> JSON:
    return {
        "email": f"row-{secrets.token_hex(4)}@example.org", "password": PASSWORD, "name": name,
    }  # fmt: skip


@pytest.mark.parametrize("row", NO_NAMES)
async def test_what_is_no_name_registers_nobody(nobody: Caller, row: str):
    """S-74: 422, the field is named, and the address stays free."""
    body = account(NO_NAMES[row])
    problem(await nobody.post("/auth/register", body), "bad_field", "too_long", field="name")
    response = await nobody.post("/auth/login", {k: body[k] for k in ("email", "password")})
    problem(response, "unauthorized")


@pytest.mark.parametrize("row", NAMES)
async def test_a_name_is_a_text_and_grants_nothing(nobody: Caller, row: str):
    """Names need not be unique, none is reserved, and none becomes markup here."""
    given, kept = NAMES[row]
    session = answer(await nobody.post("/auth/register", account(given)), 201)
    assert session["user"]["name"] == kept


# --- changes


@pytest.fixture(scope="module")
async def channel(ann: Caller, bob: Caller) -> JSON:
    return await ann.makes("private", bob)


@pytest.fixture(scope="module")
async def said(ann: Caller, channel: JSON) -> JSON:
    return await ann.says(channel, "as it was")


@pytest.fixture
def callers(ann: Caller, bob: Caller, eve: Caller, nobody: Caller) -> dict[str, Caller]:
    return {"ann": ann, "bob": bob, "eve": eve, "nobody": nobody}


# Who asks, method, what of (c: the channel, m: the message, s: bob's place), body, status and code.
CHANGES: dict[str, tuple[str, str, str, Any, int, str]] = {
    "B-H25 no fields of oneself": ("ann", "PATCH", "/users/me", {}, 200, ""),
    "B-H25 no fields of a channel": ("ann", "PATCH", "c", {}, 200, ""),
    "B-H25 no fields of a member": ("ann", "PATCH", "s", {}, 422, "bad_field"),
    "B-H25 no fields of a message": ("ann", "PATCH", "m", {}, 422, "bad_field"),
    "B-H25 null content": ("ann", "PATCH", "m", {"content": None}, 422, "bad_field"),
    "B-H25 null role": ("ann", "PATCH", "s", {"role": None}, 422, "bad_field"),
    "B-H25 null name is no change": ("ann", "PATCH", "c", {"name": None}, 200, ""),
    "B-H25 unknown fields": ("ann", "PATCH", "c", {"lastSeq": 9, "createdBy": 1, "x": {}}, 200, ""),
    "B-H25 another's message": ("bob", "PATCH", "m", {"content": "mine"}, 403, "forbidden"),
    "B-H25 a foreign message": ("eve", "PATCH", "m", {"content": "mine"}, 404, "not_found"),
    "B-H25 a foreign channel": ("eve", "PATCH", "c", {"name": "mine"}, 404, "not_found"),
    "B-H25 a foreign member": ("eve", "PATCH", "s", {"role": "admin"}, 404, "not_found"),
    "B-H25 another user": ("eve", "PATCH", "/users/1", {"name": "x"}, 404, "not_found"),
    "B-H25 PUT": ("ann", "PUT", "c", {"name": "x"}, 405, "method_not_allowed"),
    "B-H25 nobody": ("nobody", "PATCH", "c", {"name": "x"}, 401, "unauthorized"),
}


@pytest.mark.parametrize("row", CHANGES)
async def test_a_change_is_made_whole_or_not_at_all(
    callers: dict[str, Caller], channel: JSON, said: JSON, row: str
):
    """What is refused, or names nothing to change, leaves everything as it was."""
    who, method, target, body, status, code = CHANGES[row]
    ann, bob = callers["ann"], callers["bob"]
    own = f"/channels/{channel['id']}"
    paths = {"c": own, "m": f"{own}/messages/{said['seq']}", "s": f"{own}/members/{bob.id}"}
    before = [answer(await ann.get(path)) for path in (own, paths["m"], f"{own}/members")]
    response = await callers[who].call(method, paths.get(target, target), body)
    assert response.status_code == status, response.text
    if code:
        problem(response, code)
    after = [answer(await ann.get(path)) for path in (own, paths["m"], f"{own}/members")]
    assert after == before


async def test_what_is_deleted_is_not_changed(ann: Caller):
    """B-H25, B-H27: 404 like what never was; the second deletion too."""
    gone = await ann.makes()
    await ann.says(gone, "x")
    path = f"/channels/{gone['id']}"
    no_content(await ann.delete(path))
    for method, target, body in (
        ("DELETE", path, None), ("PATCH", path, {"name": "x"}),
        ("PATCH", f"{path}/messages/1", {"content": "y"}), ("DELETE", f"{path}/messages/1", None),
        ("PATCH", f"{path}/members/{ann.id}", {"role": "admin"}), ("POST", f"{path}/join", None),
        ("POST", f"{path}/messages", {"content": "y"}),
    ):  # fmt: skip
        problem(await ann.call(method, target, body), "not_found")


async def test_a_retry_is_known_by_its_nonce(ann: Caller, bob: Caller):
    """B-H27: the same result for it, for a dm, for a join; an `Idempotency-Key` is nobody's."""
    channel = await ann.makes()
    path = f"/channels/{channel['id']}/messages"
    first = answer(await ann.post(path, {"content": "hi", "nonce": "n"}), 201)
    assert answer(await ann.post(path, {"content": "hi", "nonce": "n"})) == first
    problem(await ann.post(path, {"content": "ho", "nonce": "n"}), "nonce_conflict")
    key = ann.person.headers | {"Idempotency-Key": "k"}
    seqs = [
        answer(await ann.http.post(path, json={"content": "hi"}, headers=key), 201)["seq"]
        for _ in range(2)
    ]
    assert seqs == [2, 3]
    assert (await ann.makes("dm", bob))["id"] == (await ann.makes("dm", bob))["id"]
    for _ in range(2):
        answer(await bob.post(f"/channels/{channel['id']}/join"))
