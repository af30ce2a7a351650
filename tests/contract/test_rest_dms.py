"""Direct messages: one channel for each set of people, fixed for ever."""

import asyncio
from typing import Any

import pytest

from tests.contract.conftest import SignIn
from tests.contract.rest import JSON, Caller, answer, is_channel, problem

pytestmark = pytest.mark.usefixtures("calm")


def dm(*members: Caller) -> JSON:
    return {"type": "dm", "members": [member.id for member in members]}


async def roles(caller: Caller, channel: JSON) -> dict[int, str]:
    page = answer(await caller.get(f"/channels/{channel['id']}/members"))
    return {member["user"]["id"]: member["role"] for member in page["items"]}


async def test_a_dm_has_no_name_and_no_owner(ann: Caller, bob: Caller):
    """201; its members are the asker and those listed, all alike."""
    channel = answer(await ann.post("/channels", dm(bob)), 201)
    is_channel(channel)
    assert (channel["name"], channel["type"], channel["role"]) == (None, "dm", "member")
    assert channel["createdBy"] == ann.id
    assert await roles(bob, channel) == {ann.id: "member", bob.id: "member"}


async def test_there_is_one_dm_for_each_set_of_people(sign_in: SignIn):
    """200 and the one that exists, whoever asks, in whatever order, doubles or not."""
    one, two, three = [await sign_in(name) for name in ("one", "two", "three")]
    first = answer(await one.post("/channels", dm(two, three)), 201)
    for asker, others in (
        (one, (two, three)),
        (one, (three, two)),
        (two, (one, three)),
        (three, (one, three, two, one)),
    ):
        again = answer(await asker.post("/channels", dm(*others)), 200)
        is_channel(again)
        assert again["id"] == first["id"]
        assert again["role"] == "member"
    pair = answer(await one.post("/channels", dm(two)), 201)
    assert pair["id"] != first["id"]


async def test_of_many_at_once_one_makes_the_dm(sign_in: SignIn):
    """20 at once from both sides: one 201, the others 200, one channel."""
    one, two = await sign_in("one"), await sign_in("two")
    async with asyncio.TaskGroup() as group:
        tasks = [
            group.create_task(asker.post("/channels", dm(other)))
            for asker, other in ((one, two), (two, one))
            for _ in range(10)
        ]
    responses = [task.result() for task in tasks]
    assert sorted(response.status_code for response in responses) == [200] * 19 + [201]
    assert len({response.json()["id"] for response in responses}) == 1


async def test_a_dm_has_ten_people_at_most(sign_in: SignIn):
    """The asker counts."""
    people = [await sign_in(f"p{number}") for number in range(11)]
    answer(await people[0].post("/channels", dm(*people[1:10])), 201)
    problem(await people[0].post("/channels", dm(*people[1:])), "too_long", field="members")


@pytest.mark.parametrize(
    ("more", "field"),
    [
        ({"name": "named"}, "name"),
        ({"name": ""}, "name"),
        ({"members": []}, "members"),
        ({"members": [999_999_999]}, "members"),
    ],
)
async def test_a_dm_says_what_is_wrong_with_it(
    ann: Caller, bob: Caller, more: dict[str, Any], field: str
):
    """A dm has people and no name; nobody in it is unknown."""
    problem(
        await ann.post("/channels", dm(bob) | more), "bad_field", "unsupported", "not_found",
        field=field,
    )  # fmt: skip


async def test_a_dm_with_oneself_only_is_with_nobody(ann: Caller):
    problem(await ann.post("/channels", dm(ann)), "bad_field", field="members")


@pytest.mark.parametrize(
    ("method", "path", "body"),
    [
        ("POST", "/join", None),
        ("POST", "/leave", None),
        ("POST", "/members", {"userId": "eve"}),
        ("POST", "/members", {"userId": "bob"}),
        ("DELETE", "/members/bob", None),
        ("DELETE", "/members/ann", None),
    ],
)
async def test_the_people_of_a_dm_are_fixed(
    ann: Caller, bob: Caller, eve: Caller, method: str, path: str, body: JSON | None
):
    """Nobody joins, leaves, is added or removed: `unsupported`, and nothing has changed."""
    channel = answer(await ann.post("/channels", dm(bob)))
    named = {"ann": ann.id, "bob": bob.id, "eve": eve.id}
    for name, user_id in named.items():
        path = path.replace(name, str(user_id))
    body = {"userId": named[body["userId"]]} if body else None
    response = await ann.call(method, f"/channels/{channel['id']}{path}", body)
    problem(response, "unsupported")
    assert await roles(ann, channel) == {ann.id: "member", bob.id: "member"}
    assert await ann.sees(channel) == channel


@pytest.mark.parametrize(
    ("method", "path", "body"),
    [
        ("PATCH", "", {"name": "named"}),
        ("DELETE", "", None),
        ("PATCH", "/members/{bob}", {"role": "admin"}),
        ("PATCH", "/members/{bob}", {"role": "owner"}),
        ("PATCH", "/members/{ann}", {"role": "owner"}),
    ],
)
async def test_nobody_rules_a_dm(
    ann: Caller, bob: Caller, method: str, path: str, body: JSON | None
):
    """No name, no deletion, no roles."""
    channel = answer(await ann.post("/channels", dm(bob)))
    path = path.format(ann=ann.id, bob=bob.id)
    response = await ann.call(method, f"/channels/{channel['id']}{path}", body)
    problem(response, "forbidden", "unsupported")
    assert await ann.sees(channel) == channel


async def test_both_sides_talk_in_a_dm(sign_in: SignIn):
    """It is a channel like others for what is said in it."""
    one, two = await sign_in("one"), await sign_in("two")
    channel = answer(await one.post("/channels", dm(two)), 201)
    await one.says(channel, "hi")
    await two.says(channel, "hi yourself")
    page = await one.reads(channel)
    assert [message["content"] for message in page["items"]] == ["hi", "hi yourself"]
