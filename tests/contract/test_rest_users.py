"""Oneself, and finding others."""

import secrets
from typing import Any

import httpx2
import pytest

from tests.contract.conftest import SignIn
from tests.contract.rest import JSON, Caller, answer, is_user, problem
from tests.people import People

pytestmark = pytest.mark.usefixtures("calm")


async def found(caller: Caller, **query: Any) -> list[JSON]:
    """Who is found; everybody without an address, as others see them."""
    page = answer(await caller.get("/users", **query))
    assert set(page) == {"items"}
    for user in page["items"]:
        is_user(user)
    items: list[JSON] = page["items"]
    return items


def ids(users: list[JSON]) -> list[int]:
    return [user["id"] for user in users]


# --- oneself


async def test_i_am_who_my_token_says(ann: Caller):
    """The address is there for oneself."""
    me = answer(await ann.get("/users/me"))
    is_user(me, own=True)
    assert me["id"] == ann.id
    assert me["email"] == ann.person.email
    assert me["name"] == "ann"


async def test_name_and_status_can_be_changed(sign_in: SignIn):
    """What is given changes, the rest stays."""
    me = await sign_in("eva")
    changed = answer(await me.patch("/users/me", {"name": "Eva Lu"}))
    is_user(changed, own=True)
    assert (changed["name"], changed["status"]) == ("Eva Lu", "")
    changed = answer(await me.patch("/users/me", {"status": "away"}))
    assert (changed["name"], changed["status"]) == ("Eva Lu", "away")
    changed = answer(await me.patch("/users/me", {"name": "Eva", "status": ""}))
    assert (changed["name"], changed["status"]) == ("Eva", "")
    assert answer(await me.get("/users/me")) == changed


async def test_a_change_of_nothing_changes_nothing(ann: Caller):
    """`{name?, status?}`: neither has to be there."""
    before = answer(await ann.get("/users/me"))
    assert answer(await ann.patch("/users/me", {})) == before


async def test_only_name_and_status_can_be_changed(ann: Caller, bob: Caller):
    """S-46: whatever else is in the body is no part of the change."""
    before = answer(await ann.get("/users/me"))
    body = {
        "id": bob.id, "email": "other@example.org", "passwordHash": "x", "password_hash": "x",
        "lastActive": "2000-01-01T00:00:00.000Z", "createdAt": None, "role": "admin",
    }  # fmt: skip
    assert answer(await ann.patch("/users/me", body)) == before
    assert answer(await bob.get("/users/me"))["name"] == "bob"


@pytest.mark.parametrize(
    ("name", "kept"),
    [
        ("  Ann ", "Ann"),
        ("Анна", "Анна"),
        ("Jose\u0301", "José"),
        ("👩\u200d💻 Ann", "👩\u200d💻 Ann"),
        ("x" * 80, "x" * 80),
        ("Robert'); DROP TABLE users;--", "Robert'); DROP TABLE users;--"),
        ("<b>ann</b>", "<b>ann</b>"),
        ("%n", "%n"),
    ],
)
async def test_names_of_all_scripts_are_kept(sign_in: SignIn, name: str, kept: str):
    """Without outer blanks, composed (NFC), otherwise as they were written."""
    me = await sign_in("eva")
    assert answer(await me.patch("/users/me", {"name": name}))["name"] == kept
    assert answer(await me.get("/users/me"))["name"] == kept


@pytest.mark.parametrize(
    "name",
    [
        "", " ", "\u2003", "\u200b", "\u200d", "\u0301", "a\0b", "a\nb", "a\r\nERROR", "a\tb",
        "a\u202eb", "a\u2066b", "\ufeffann", "a\u2028b", "\u00ad", "a\u0085b", "\x1b[31mred",
    ],
    ids=ascii,
)  # fmt: skip
async def test_a_name_that_hides_or_reorders_text_is_refused(ann: Caller, name: str):
    """S-74: one name cannot pass for another, nor break a line of a log."""
    problem(await ann.patch("/users/me", {"name": name}), "bad_field", field="name")
    body = {"email": "x@example.org", "password": "long enough", "name": name}
    problem(await ann.post("/auth/register", body), "bad_field", field="name")


async def test_name_and_status_have_limits(ann: Caller):
    """80 characters for a name, 140 for a status; beyond: `too_long`."""
    problem(await ann.patch("/users/me", {"name": "x" * 81}), "too_long", field="name")
    problem(await ann.patch("/users/me", {"status": "x" * 141}), "too_long", field="status")
    problem(await ann.patch("/users/me", {"status": "a\0b"}), "bad_field", field="status")
    assert answer(await ann.patch("/users/me", {"status": "😀" * 140}))["status"] == "😀" * 140


@pytest.mark.parametrize("value", [1, True, [], {}, {"$ne": 1}])
async def test_name_and_status_are_text(ann: Caller, value: object):
    for field in ("name", "status"):
        problem(await ann.patch("/users/me", {field: value}), "bad_field", field=field)


# --- others


async def test_users_are_found_by_the_beginning_of_their_name(sign_in: SignIn):
    """Without case; the middle of a name does not count."""
    mark = secrets.token_hex(4)
    first, second = await sign_in(f"Zoe{mark} Adams"), await sign_in(f"zoe{mark} Brown")
    await sign_in(f"Ms Zoe{mark}")
    assert ids(await found(first, q=f"ZOE{mark}")) == [first.id, second.id]
    assert ids(await found(first, q=f"zoe{mark} b")) == [second.id]
    assert await found(first, q=f"oe{mark}") == []


async def test_users_are_found_by_their_whole_address(ann: Caller, bob: Caller):
    """Without case; part of an address finds nobody, so that addresses cannot be fished for."""
    email = bob.person.email
    assert ids(await found(ann, q=email)) == [bob.id]
    assert ids(await found(ann, q=f" {email.upper()} ")) == [bob.id]
    assert await found(ann, q=email[:-1]) == []
    assert await found(ann, q=email.partition("@")[2]) == []


async def test_nobody_elses_address_is_shown(ann: Caller, bob: Caller):
    """S-47: in no list of users is there an address, one's own included."""
    response = await ann.get("/users", ids=f"{ann.id},{bob.id}")
    assert "@" not in response.text
    assert ids(answer(response)["items"]) == [ann.id, bob.id]


async def test_wildcards_are_only_characters(sign_in: SignIn):
    """`%`, `_` and `\\` in what is looked for stand for themselves."""
    mark = secrets.token_hex(4)
    percent = await sign_in(f"%{mark}")
    underscore = await sign_in(f"_{mark}")
    backslash = await sign_in(f"\\{mark}")
    await sign_in(f"x{mark}")
    for caller, sign in ((percent, "%"), (underscore, "_"), (backslash, "\\")):
        assert ids(await found(percent, q=f"{sign}{mark}")) == [caller.id]
    assert await found(percent, q=f"%{mark[1:]}") == []


async def test_a_search_is_bounded(sign_in: SignIn, people: People):
    """20 by default, `limit` from 1 to 200, in the order of names."""
    mark = secrets.token_hex(4)
    made = [await people.new(f"{mark}-{number:02}") for number in range(25)]
    me = await sign_in("me")
    expected = [person.id for person in made]
    assert ids(await found(me, q=mark)) == expected[:20]
    assert ids(await found(me, q=mark, limit=3)) == expected[:3]
    assert ids(await found(me, q=mark, limit=200)) == expected


async def test_ids_find_those_that_exist(ann: Caller, bob: Caller):
    """Missing ones are left out, one named twice is there once."""
    assert ids(await found(ann, ids=f"{bob.id},999999999,{ann.id},{bob.id}")) == sorted(
        [ann.id, bob.id]
    )
    assert await found(ann, ids=str(2**53 - 1)) == []


@pytest.mark.parametrize(
    "query",
    [
        {}, {"q": ""}, {"q": " "}, {"q": "a", "ids": "1"}, {"q": "x" * 255}, {"q": "a\0"},
        {"q": "a\nb"}, {"ids": ""}, {"ids": "0"}, {"ids": "-1"}, {"ids": "1,"}, {"ids": ",1"},
        {"ids": "1,,2"}, {"ids": "1 ,2"}, {"ids": "a"}, {"ids": "1.0"}, {"ids": "\u0661"},
        {"ids": "1_0"}, {"ids": ",".join(["1"] * 201)}, {"ids": "9" * 17},
        {"ids": str(2**63)}, {"ids": "1,2\n"}, {"q": "a", "limit": "0"},
        {"q": "a", "limit": "201"}, {"q": "a", "limit": "-1"}, {"q": "a", "limit": "x"},
        {"q": "a", "limit": ""}, {"q": "a", "limit": "1e1"}, {"q": "a", "limit": "2.0"},
    ],
    ids=lambda query: ascii(query)[:40],
)  # fmt: skip
async def test_a_search_says_what_is_wrong_with_it(ann: Caller, query: dict[str, str]):
    """422 and a field; never a wrong guess."""
    problem(await ann.get("/users", **query), "bad_field", "too_long")


async def test_a_parameter_stands_once(ann: Caller):
    response = await ann.http.get("/users?q=a&q=b", headers=ann.person.headers)
    problem(response, "bad_field", field="q")


async def test_users_are_for_those_who_are_signed_in(nobody: Caller):
    response: httpx2.Response
    for response in (
        await nobody.get("/users/me"),
        await nobody.patch("/users/me", {"name": "x"}),
        await nobody.get("/users", q="a"),
    ):
        problem(response, "unauthorized")
