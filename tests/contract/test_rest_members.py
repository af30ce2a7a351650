"""The members of a channel: listing, adding, roles, handing over, removing."""

import asyncio
from typing import Any

import pytest

from tests.contract.conftest import SignIn
from tests.contract.rest import JSON, Caller, answer, is_member, no_content, problem
from tests.people import People

pytestmark = pytest.mark.usefixtures("calm")

MISSING = 999_999_999


def members_of(channel: JSON) -> str:
    return f"/channels/{channel['id']}/members"


async def roles(caller: Caller, channel: JSON) -> dict[int, str]:
    page = answer(await caller.get(members_of(channel), limit=200))
    return {member["user"]["id"]: member["role"] for member in page["items"]}


async def make_admin(owner: Caller, channel: JSON, caller: Caller) -> None:
    answer(await owner.patch(f"{members_of(channel)}/{caller.id}", {"role": "admin"}))


# --- listing


@pytest.mark.parametrize("limit", [1, 2, 3, 4, 50])
async def test_members_are_listed_page_by_page(ann: Caller, bob: Caller, eve: Caller, limit: int):
    """Each once, by id, whatever the size of the pages; no address among them."""
    channel = await ann.makes("private", bob, eve)
    listed: list[JSON] = []
    cursor: dict[str, int] = {}
    while True:
        response = await bob.get(members_of(channel), limit=limit, **cursor)
        assert "@" not in response.text
        page = answer(response)
        assert set(page) == {"items", "next"}
        assert len(page["items"]) <= limit
        listed += page["items"]
        if page["next"] is None:
            break
        cursor = {"cursor": page["next"]}
    for member in listed:
        is_member(member)
    assert [(m["user"]["id"], m["user"]["name"], m["role"]) for m in listed] == [
        (ann.id, "ann", "owner"), (bob.id, "bob", "member"), (eve.id, "eve", "member"),
    ]  # fmt: skip


@pytest.mark.parametrize(
    "query",
    [
        {"limit": "0"}, {"limit": "-1"}, {"limit": "201"}, {"limit": "x"}, {"limit": "1.5"},
        {"cursor": "-1"}, {"cursor": "x"}, {"cursor": str(2**63)}, {"cursor": "1_0"},
    ],
    ids=ascii,
)  # fmt: skip
async def test_a_listing_says_what_is_wrong_with_it(ann: Caller, query: dict[str, str]):
    channel = await ann.makes()
    problem(await ann.get(members_of(channel), **query), "bad_field", field=next(iter(query)))


# --- adding


async def test_any_member_adds_members(ann: Caller, bob: Caller, eve: Caller):
    """201 and the Member, one entry in the log; again: 200 and no change."""
    channel = await ann.makes("private", bob)
    added = answer(await bob.post(members_of(channel), {"userId": eve.id}), 201)
    is_member(added)
    assert (added["user"]["id"], added["role"]) == (eve.id, "member")
    assert (await ann.sees(channel))["lastSeq"] == channel["lastSeq"] + 1
    assert answer(await bob.post(members_of(channel), {"userId": eve.id}), 200) == added
    assert (await eve.sees(channel))["lastSeq"] == channel["lastSeq"] + 1


async def test_adding_a_member_again_keeps_the_role(ann: Caller, bob: Caller):
    """200 and the Member as it is: adding is no way to change a role."""
    channel = await ann.makes("private", bob)
    body = {"userId": bob.id, "role": "admin"}
    assert answer(await ann.post(members_of(channel), body), 200)["role"] == "member"
    assert answer(await ann.post(members_of(channel), {"userId": ann.id}), 200)["role"] == "owner"


async def test_owners_and_admins_add_admins(ann: Caller, bob: Caller, eve: Caller):
    """Who may make an admin may add one."""
    channel = await ann.makes("private", bob)
    body = {"userId": eve.id, "role": "admin"}
    problem(await bob.post(members_of(channel), body), "forbidden")
    await make_admin(ann, channel, bob)
    assert answer(await bob.post(members_of(channel), body), 201)["role"] == "admin"
    assert await roles(eve, channel) == {ann.id: "owner", bob.id: "admin", eve.id: "admin"}


async def test_nobody_is_added_as_owner(ann: Caller, bob: Caller):
    """Ownership is handed over, to a member."""
    channel = await ann.makes("private")
    problem(
        await ann.post(members_of(channel), {"userId": bob.id, "role": "owner"}), "bad_field",
        "forbidden", field="role",
    )  # fmt: skip
    assert await roles(ann, channel) == {ann.id: "owner"}


async def test_nobody_unknown_is_added(ann: Caller):
    channel = await ann.makes("private")
    problem(await ann.post(members_of(channel), {"userId": MISSING}), "not_found", field="userId")
    assert await ann.sees(channel) == channel


NO_IDS: list[Any] = [
    None, "1", 0, -1, 1.5, True, [], {}, 2**53, 2**63, 2**64, {"$ne": 1},
]  # fmt: skip
NO_ROLES: list[Any] = [None, "", "Admin", "root", 1, []]


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({}, "userId"),
        ({"userid": 1}, "userId"),
        *[({"userId": value}, "userId") for value in NO_IDS],
        *[({"userId": 1, "role": value}, "role") for value in NO_ROLES],
    ],
    ids=lambda value: ascii(value)[:40],
)
async def test_a_new_member_says_what_is_wrong_with_it(ann: Caller, body: JSON, field: str):
    channel = await ann.makes()
    problem(await ann.post(members_of(channel), body), "bad_field", field=field)


async def test_one_of_many_adds_a_member(ann: Caller, people: People):
    """20 at once: one 201, the others 200, one entry in the log."""
    channel = await ann.makes("private")
    body = {"userId": (await people.new("new")).id}
    async with asyncio.TaskGroup() as group:
        tasks = [group.create_task(ann.post(members_of(channel), body)) for _ in range(20)]
    assert sorted(task.result().status_code for task in tasks) == [200] * 19 + [201]
    assert (await ann.sees(channel))["lastSeq"] == channel["lastSeq"] + 1


# --- roles


async def test_admins_are_made_and_unmade(ann: Caller, bob: Caller, eve: Caller):
    """By the owner and by admins; no entry in the log."""
    channel = await ann.makes("private", bob, eve)
    path = members_of(channel)
    changed = answer(await ann.patch(f"{path}/{bob.id}", {"role": "admin"}))
    is_member(changed)
    assert (changed["user"]["id"], changed["role"]) == (bob.id, "admin")
    assert answer(await bob.patch(f"{path}/{eve.id}", {"role": "admin"}))["role"] == "admin"
    assert answer(await eve.patch(f"{path}/{bob.id}", {"role": "member"}))["role"] == "member"
    assert await roles(ann, channel) == {ann.id: "owner", bob.id: "member", eve.id: "admin"}
    assert (await ann.sees(channel))["lastSeq"] == channel["lastSeq"]


async def test_a_role_given_again_is_no_change(ann: Caller, bob: Caller):
    channel = await ann.makes("private", bob)
    for _ in range(2):
        response = await ann.patch(f"{members_of(channel)}/{bob.id}", {"role": "admin"})
        assert answer(response)["role"] == "admin"


async def test_ownership_is_handed_over(ann: Caller, bob: Caller):
    """To a member, by the owner; afterwards there is one owner, who may do what owners may."""
    channel = await ann.makes("private", bob)
    path = members_of(channel)
    changed = answer(await ann.patch(f"{path}/{bob.id}", {"role": "owner"}))
    assert (changed["user"]["id"], changed["role"]) == (bob.id, "owner")
    assert list((await roles(ann, channel)).values()).count("owner") == 1
    assert (await bob.sees(channel))["role"] == "owner"
    assert (await ann.sees(channel))["role"] != "owner"
    problem(await ann.patch(f"{path}/{ann.id}", {"role": "owner"}), "forbidden")
    answer(await bob.patch(f"{path}/{ann.id}", {"role": "owner"}))


async def test_ownership_is_handed_to_members_only(ann: Caller, bob: Caller):
    channel = await ann.makes("private")
    for user_id in (bob.id, MISSING):
        response = await ann.patch(f"{members_of(channel)}/{user_id}", {"role": "owner"})
        problem(response, "not_found")
    assert await roles(ann, channel) == {ann.id: "owner"}


async def test_one_owner_is_left_after_many_hand_overs(ann: Caller, sign_in: SignIn):
    """At once to several: the first is served, and who is no owner any more is refused."""
    others = [await sign_in(f"p{number}") for number in range(5)]
    channel = await ann.makes("private", *others)
    async with asyncio.TaskGroup() as group:
        tasks = [
            group.create_task(ann.patch(f"{members_of(channel)}/{other.id}", {"role": "owner"}))
            for other in others
        ]
    assert sorted(task.result().status_code for task in tasks) == [200] + [403] * 4
    assert list((await roles(ann, channel)).values()).count("owner") == 1


async def test_nobody_acts_on_an_owner(ann: Caller, bob: Caller):
    """Not an admin, and the owner's own way out is handing over."""
    channel = await ann.makes("private", bob)
    await make_admin(ann, channel, bob)
    path = f"{members_of(channel)}/{ann.id}"
    problem(await bob.delete(path), "forbidden")
    for role in ("member", "admin", "owner"):
        problem(await bob.patch(path, {"role": role}), "forbidden")
    for role in ("member", "admin"):
        problem(await ann.patch(path, {"role": role}), "forbidden", "conflict")
    assert (await roles(ann, channel))[ann.id] == "owner"


async def test_a_role_is_given_to_members_only(ann: Caller, bob: Caller):
    channel = await ann.makes("private")
    for user_id in (bob.id, MISSING):
        response = await ann.patch(f"{members_of(channel)}/{user_id}", {"role": "admin"})
        problem(response, "not_found")


@pytest.mark.parametrize("body", [{}, {"role": None}, {"role": ""}, {"role": "x"}, {"role": 1}])
async def test_a_role_says_what_is_wrong_with_it(ann: Caller, bob: Caller, body: JSON):
    channel = await ann.makes("private", bob)
    response = await ann.patch(f"{members_of(channel)}/{bob.id}", body)
    problem(response, "bad_field", field="role")


# --- removing


async def test_members_are_removed(ann: Caller, bob: Caller):
    """204 and one entry in the log; the removed one sees the private channel no more."""
    channel = await ann.makes("private", bob)
    no_content(await ann.delete(f"{members_of(channel)}/{bob.id}"))
    assert (await ann.sees(channel))["lastSeq"] == channel["lastSeq"] + 1
    assert await roles(ann, channel) == {ann.id: "owner"}
    problem(await bob.get(f"/channels/{channel['id']}"), "not_found")


async def test_removing_twice_finds_nobody(ann: Caller, bob: Caller):
    """B-H27: 404 the second time, as for somebody who never was there."""
    channel = await ann.makes("private", bob)
    no_content(await ann.delete(f"{members_of(channel)}/{bob.id}"))
    again = await ann.delete(f"{members_of(channel)}/{bob.id}")
    never = await ann.delete(f"{members_of(channel)}/{MISSING}")
    assert problem(again, "not_found") == problem(never, "not_found")


async def test_removing_oneself_is_leaving(ann: Caller, bob: Caller):
    """Every member may."""
    channel = await ann.makes("private", bob)
    no_content(await bob.delete(f"{members_of(channel)}/{bob.id}"))
    assert await roles(ann, channel) == {ann.id: "owner"}


async def test_a_removed_member_can_be_added_again(ann: Caller, bob: Caller):
    """As a member, whatever the role was before; what was written before is read again."""
    channel = await ann.makes("private", bob)
    await make_admin(ann, channel, bob)
    await ann.says(channel, "before")
    no_content(await ann.delete(f"{members_of(channel)}/{bob.id}"))
    again = answer(await ann.post(members_of(channel), {"userId": bob.id}), 201)
    assert again["role"] == "member"
    assert [m["content"] for m in (await bob.reads(channel))["items"]] == ["before"]
