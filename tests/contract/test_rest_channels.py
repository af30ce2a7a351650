"""Channels: making, listing, looking at, renaming, deleting, joining and leaving them."""

import secrets
from typing import Any

import pytest

from tests.contract.conftest import SignIn
from tests.contract.rest import (
    JSON,
    Caller,
    answer,
    is_channel,
    is_time,
    no_content,
    problem,
)

pytestmark = pytest.mark.usefixtures("calm")

MISSING = 999_999_999


async def roles(caller: Caller, channel: JSON) -> dict[int, str]:
    """Who is in a channel, as what."""
    page = answer(await caller.get(f"/channels/{channel['id']}/members", limit=200))
    return {member["user"]["id"]: member["role"] for member in page["items"]}


# --- making


@pytest.mark.parametrize("channel_type", ["public", "private"])
async def test_a_new_channel_is_its_makers(ann: Caller, channel_type: str):
    """201 and the channel: the maker owns it, its log is empty."""
    channel = answer(await ann.post("/channels", {"name": "tea", "type": channel_type}), 201)
    is_channel(channel)
    expected = {
        "name": "tea", "type": channel_type, "createdBy": ann.id, "role": "owner",
        "lastSeq": 0, "readSeq": 0, "unread": 0,
    }  # fmt: skip
    assert channel | expected == channel
    assert channel["createdAt"] == channel["updatedAt"]
    assert await ann.sees(channel) == channel
    assert await roles(ann, channel) == {ann.id: "owner"}


async def test_a_channel_is_made_with_members(ann: Caller, bob: Caller, eve: Caller):
    """Those listed are members; the maker and doubles among them do no harm."""
    body = {"name": "tea", "type": "private", "members": [bob.id, ann.id, eve.id, bob.id]}
    channel = answer(await ann.post("/channels", body), 201)
    assert await roles(ann, channel) == {ann.id: "owner", bob.id: "member", eve.id: "member"}
    assert (await bob.sees(channel))["role"] == "member"


async def test_a_channel_with_somebody_unknown_is_not_made(ann: Caller):
    """All or nothing."""
    before = answer(await ann.get("/channels", limit=200))["items"]
    body = {"name": "tea", "type": "private", "members": [MISSING]}
    problem(await ann.post("/channels", body), "not_found", field="members")
    assert answer(await ann.get("/channels", limit=200))["items"] == before


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({"type": "public"}, "name"),
        ({"type": "public", "name": None}, "name"),
        ({"type": "public", "name": ""}, "name"),
        ({"type": "public", "name": " \t"}, "name"),
        ({"type": "public", "name": "a\0"}, "name"),
        ({"type": "public", "name": "a\u202eb"}, "name"),
        ({"type": "public", "name": 1}, "name"),
        ({"type": "public", "name": ["x"]}, "name"),
        ({"type": "public", "name": "x" * 81}, "name"),
        ({"name": "x"}, "type"),
        ({"name": "x", "type": "Public"}, "type"),
        ({"name": "x", "type": "secret"}, "type"),
        ({"name": "x", "type": None}, "type"),
        ({"name": "x", "type": 1}, "type"),
        ({"name": "x", "type": "public", "members": 1}, "members"),
        ({"name": "x", "type": "public", "members": None}, "members"),
        ({"name": "x", "type": "public", "members": {"1": 1}}, "members"),
        ({"name": "x", "type": "public", "members": ["1"]}, "members"),
        ({"name": "x", "type": "public", "members": [0]}, "members"),
        ({"name": "x", "type": "public", "members": [-1]}, "members"),
        ({"name": "x", "type": "public", "members": [1.5]}, "members"),
        ({"name": "x", "type": "public", "members": [True]}, "members"),
        ({"name": "x", "type": "public", "members": [None]}, "members"),
        ({"name": "x", "type": "public", "members": [2**53]}, "members"),
        ({"name": "x", "type": "public", "members": [2**63]}, "members"),
        ({"name": "x", "type": "public", "members": [2**64]}, "members"),
        ({"name": "x", "type": "public", "members": list(range(1, 102))}, "members"),
        ({"name": "x", "type": "public", "members": list(range(1, 2002))}, "members"),
    ],
    ids=lambda value: ascii(value)[:60],
)
async def test_a_new_channel_says_what_is_wrong_with_it(ann: Caller, body: JSON, field: str):
    problem(await ann.post("/channels", body), "bad_field", "too_long", field=field)


async def test_only_the_listed_fields_make_a_channel(ann: Caller, bob: Caller):
    """S-46: ids, times, counters and owners are the server's."""
    body = {
        "name": "x", "type": "public", "id": 1, "createdBy": bob.id, "created_by": bob.id,
        "lastSeq": 99, "last_seq": 99, "role": "member", "createdAt": "2000-01-01T00:00:00.000Z",
        "dmKey": "1,2", "dm_key": "1,2", "deletedAt": "2000-01-01T00:00:00.000Z",
    }  # fmt: skip
    channel = answer(await ann.post("/channels", body), 201)
    is_channel(channel)
    assert (channel["createdBy"], channel["lastSeq"], channel["role"]) == (ann.id, 0, "owner")
    assert channel["id"] != 1 or ann.id == 1


# --- listing


async def walk(caller: Caller, **query: Any) -> list[JSON]:
    """Follow `next` to the end."""
    items: list[JSON] = []
    cursor: dict[str, int] = {}
    while True:
        page = answer(await caller.get("/channels", **query, **cursor))
        assert set(page) == {"items", "next"}
        assert len(page["items"]) <= query.get("limit", 50)
        items += page["items"]
        if page["next"] is None:
            return items
        assert page["items"], "an empty page ends the walk"
        cursor = {"cursor": page["next"]}


@pytest.mark.parametrize("limit", [1, 2, 3, 5, 50])
async def test_my_channels_are_listed_page_by_page(sign_in: SignIn, limit: int):
    """Each once, whatever the size of the pages: all I am a member of, and nothing else."""
    me, other = await sign_in("me"), await sign_in("other")
    mine = [
        await me.makes("public"),
        await me.makes("private"),
        await other.makes("private", me),
        await me.makes("dm", other),
        await other.makes("public", me),
    ]
    await other.makes("public")
    await other.makes("private")
    gone = await me.makes()
    no_content(await me.delete(f"/channels/{gone['id']}"))
    listed = await walk(me, scope="mine", limit=limit)
    for channel in listed:
        is_channel(channel)
        assert channel["role"] is not None
    assert sorted(c["id"] for c in listed) == sorted(c["id"] for c in mine)
    assert await walk(me, limit=limit) == listed, "`mine` is the default"


async def test_public_channels_are_listed_for_everybody(sign_in: SignIn, eve: Caller):
    """With `role` null for who is no member; private ones and dms are not there."""
    me = await sign_in("me")
    public = await me.makes("public")
    hidden = {(await me.makes("private"))["id"], (await me.makes("dm", eve))["id"]}
    listed = {c["id"]: c for c in await walk(eve, scope="public", limit=200)}
    is_channel(listed[public["id"]])
    assert listed[public["id"]]["role"] is None
    assert not hidden & set(listed)
    assert all(channel["type"] == "public" for channel in listed.values())


@pytest.mark.parametrize(
    "query",
    [
        {"scope": "all"}, {"scope": ""}, {"scope": "mine "}, {"scope": "mine\n"}, {"limit": "0"},
        {"limit": "-1"}, {"limit": "201"}, {"limit": "1000000000"}, {"limit": "abc"},
        {"limit": "1.5"}, {"limit": ""}, {"limit": "\u0661"}, {"limit": "1_0"}, {"limit": " 1"},
        {"cursor": "-1"}, {"cursor": "abc"}, {"cursor": str(2**53)}, {"cursor": str(2**63)},
        {"cursor": "1e3"}, {"cursor": "null"}, {"cursor": ""}, {"cursor": "1'--"},
    ],
    ids=ascii,
)  # fmt: skip
async def test_a_listing_says_what_is_wrong_with_it(ann: Caller, query: dict[str, str]):
    field = next(iter(query))
    problem(await ann.get("/channels", **query), "bad_field", field=field)


# --- looking


async def test_a_public_channel_may_be_looked_at_by_all(ann: Caller, eve: Caller):
    """`role` is null for a non-member."""
    channel = await ann.makes("public")
    seen = await eve.sees(channel)
    is_channel(seen)
    assert seen["role"] is None
    assert seen["name"] == channel["name"]


async def test_unread_counts_what_others_wrote(ann: Caller, bob: Caller):
    """From the moment of joining on; one's own messages are read."""
    channel = await ann.makes("public")
    await ann.says(channel, "before")
    joined = answer(await bob.post(f"/channels/{channel['id']}/join"))
    assert joined["unread"] == 0
    assert joined["readSeq"] == joined["lastSeq"]
    await ann.says(channel, "one")
    await ann.says(channel, "two")
    await bob.says(channel, "mine")
    assert (await bob.sees(channel))["unread"] == 2
    assert (await ann.sees(channel))["unread"] == 1


# --- renaming


async def test_renaming_is_an_entry_of_the_log(ann: Caller, bob: Caller):
    """The new name, a later `updatedAt`, one more seq."""
    channel = await ann.makes("private", bob)
    renamed = answer(await ann.patch(f"/channels/{channel['id']}", {"name": "  coffee "}))
    is_channel(renamed)
    assert renamed["name"] == "coffee"
    assert renamed["lastSeq"] == channel["lastSeq"] + 1
    assert is_time(renamed["updatedAt"]) > is_time(channel["updatedAt"])
    assert renamed["createdAt"] == channel["createdAt"]
    assert (await bob.sees(channel))["name"] == "coffee"


async def test_a_change_of_nothing_changes_nothing(ann: Caller):
    """`{name?}`: the name does not have to be there."""
    channel = await ann.makes()
    assert answer(await ann.patch(f"/channels/{channel['id']}", {})) == channel


async def test_only_the_name_can_be_changed(ann: Caller, bob: Caller):
    """S-46: not the type, the owner or the counters."""
    channel = await ann.makes("private")
    body = {"name": "new", "type": "public", "createdBy": bob.id, "lastSeq": 0, "role": "member"}
    changed = answer(await ann.patch(f"/channels/{channel['id']}", body))
    kept = ("id", "type", "createdBy", "createdAt", "role")
    assert [changed[key] for key in kept] == [channel[key] for key in kept]


@pytest.mark.parametrize("name", ["", " ", "a\0b", "a\u202eb", "a\nb", 1, [], {}])
async def test_a_bad_name_is_refused(ann: Caller, name: object):
    channel = await ann.makes()
    problem(
        await ann.patch(f"/channels/{channel['id']}", {"name": name}), "bad_field", field="name"
    )
    assert await ann.sees(channel) == channel


# --- deleting


async def test_a_deleted_channel_is_gone(ann: Caller, bob: Caller):
    """204, for everybody; again: 404."""
    channel = await ann.makes("public", bob)
    await bob.says(channel, "hi")
    no_content(await ann.delete(f"/channels/{channel['id']}"))
    for caller in (ann, bob):
        problem(await caller.get(f"/channels/{channel['id']}"), "not_found")
        problem(await caller.get(f"/channels/{channel['id']}/messages"), "not_found")
        listed = await walk(caller, limit=200) + await walk(caller, scope="public", limit=200)
        assert channel["id"] not in [c["id"] for c in listed]
    problem(await ann.delete(f"/channels/{channel['id']}"), "not_found")


# --- joining and leaving


async def test_joining_a_public_channel(ann: Caller, bob: Caller):
    """200 and the channel, with one entry more; again: no change."""
    channel = await ann.makes("public")
    joined = answer(await bob.post(f"/channels/{channel['id']}/join"))
    is_channel(joined)
    assert joined["role"] == "member"
    assert joined["lastSeq"] == channel["lastSeq"] + 1
    assert answer(await bob.post(f"/channels/{channel['id']}/join")) == joined
    assert answer(await ann.post(f"/channels/{channel['id']}/join"))["role"] == "owner"


async def test_leaving_a_public_channel(ann: Caller, bob: Caller):
    """204; again: 204 and no second entry."""
    channel = await ann.makes("public", bob)
    for _ in range(2):
        no_content(await bob.post(f"/channels/{channel['id']}/leave"))
        seen = await bob.sees(channel)
        assert (seen["role"], seen["lastSeq"]) == (None, 1)
    problem(await bob.get(f"/channels/{channel['id']}/messages"), "forbidden")


async def test_leaving_a_private_channel_hides_it(ann: Caller, bob: Caller):
    """Who has left sees it no more."""
    channel = await ann.makes("private", bob)
    no_content(await bob.post(f"/channels/{channel['id']}/leave"))
    problem(await bob.get(f"/channels/{channel['id']}"), "not_found")
    problem(await bob.post(f"/channels/{channel['id']}/join"), "not_found")


async def test_an_owner_hands_over_before_leaving(ann: Caller, bob: Caller):
    """409; after handing over 204, and the new owner is alone."""
    channel = await ann.makes("private", bob)
    path = f"/channels/{channel['id']}"
    problem(await ann.post(f"{path}/leave"), "conflict")
    problem(await ann.delete(f"{path}/members/{ann.id}"), "conflict")
    answer(await ann.patch(f"{path}/members/{bob.id}", {"role": "owner"}))
    no_content(await ann.post(f"{path}/leave"))
    assert await roles(bob, channel) == {bob.id: "owner"}


async def test_two_channels_may_have_one_name(ann: Caller):
    """An id tells them apart."""
    name = secrets.token_hex(4)
    one, other = await ann.makes(name=name), await ann.makes(name=name)
    assert one["id"] != other["id"]
