"""Who may do what: the contract's table, every cell of it, and channels that nobody may know of."""

from dataclasses import dataclass

import httpx2
import pytest

from tests.contract.conftest import SignIn
from tests.contract.rest import JSON, Caller, answer, no_content, problem

pytestmark = pytest.mark.usefixtures("calm")

MISSING = 999_999_999
# The table of §2, by rows: an outsider of a public channel, a member, an admin, an owner.
TABLE: dict[str, tuple[int | str, int | str, int | str, int | str]] = {
    "see": (200, 200, 200, 200),
    "join": (200, 200, 200, 200),
    "history": ("forbidden", 200, 200, 200),
    "read one": ("forbidden", 200, 200, 200),
    "list members": ("forbidden", 200, 200, 200),
    "send": ("forbidden", 201, 201, 201),
    "edit own": ("forbidden", 200, 200, 200),
    "delete own": ("forbidden", 204, 204, 204),
    "add member": ("forbidden", 201, 201, 201),
    "delete others'": ("forbidden", "forbidden", 204, 204),
    "remove member": ("forbidden", "forbidden", 204, 204),
    "rename": ("forbidden", "forbidden", 200, 200),
    "make admin": ("forbidden", "forbidden", 200, 200),
    "delete channel": ("forbidden", "forbidden", 204, 204),
    "hand over": ("forbidden", "forbidden", "forbidden", 200),
    # Not in the table: an edit is its author's.
    "edit others'": ("forbidden", "forbidden", "forbidden", "forbidden"),
}
COLUMNS = ("outsider of public", "member", "admin", "owner")
HIDDEN = ("outsider of private", "outsider of dm")


def request_of(
    operation: str, path: str, victim: int, newcomer: int, own: int = 1, theirs: int = 1
) -> tuple[str, str, JSON | None]:
    """The request that an operation is, on the channel at `path`."""
    member = f"{path}/members/{victim}"
    return {
        "see": ("GET", path, None),
        "join": ("POST", f"{path}/join", None),
        "history": ("GET", f"{path}/messages", None),
        "read one": ("GET", f"{path}/messages/{theirs}", None),
        "list members": ("GET", f"{path}/members", None),
        "send": ("POST", f"{path}/messages", {"content": "hi", "nonce": "n"}),
        "edit own": ("PATCH", f"{path}/messages/{own}", {"content": "edited"}),
        "delete own": ("DELETE", f"{path}/messages/{own}", None),
        "edit others'": ("PATCH", f"{path}/messages/{theirs}", {"content": "edited"}),
        "delete others'": ("DELETE", f"{path}/messages/{theirs}", None),
        "add member": ("POST", f"{path}/members", {"userId": newcomer}),
        "remove member": ("DELETE", member, None),
        "rename": ("PATCH", path, {"name": "renamed"}),
        "make admin": ("PATCH", member, {"role": "admin"}),
        "hand over": ("PATCH", member, {"role": "owner"}),
        "delete channel": ("DELETE", path, None),
    }[operation]


@dataclass
class Cast:
    """The people of every scene."""

    owner: Caller
    admin: Caller
    member: Caller
    victim: Caller
    outsider: Caller

    async def scene(self, role: str) -> tuple[Caller, JSON]:
        """A fresh channel, and somebody who stands so with it."""
        channel_type = role.rpartition(" ")[2] if role.startswith("outsider") else "private"
        insiders = (self.admin, self.member, self.victim)
        channel = await self.owner.makes(channel_type, *insiders)
        if channel_type != "dm":
            path = f"/channels/{channel['id']}/members/{self.admin.id}"
            answer(await self.owner.patch(path, {"role": "admin"}))
        actor = self.outsider if role.startswith("outsider") else getattr(self, role)
        assert isinstance(actor, Caller)
        return actor, channel


@pytest.fixture(scope="module")
async def cast(sign_in: SignIn) -> Cast:
    names = ("owner", "admin", "member", "victim", "outsider")
    return Cast(*[await sign_in(name) for name in names])


async def act(cast: Cast, actor: Caller, channel: JSON, operation: str) -> httpx2.Response:
    """Try one operation of the table."""
    own = theirs = (await cast.victim.says(channel, "theirs"))["seq"]
    if operation in ("edit own", "delete own") and actor is not cast.outsider:
        own = (await actor.says(channel, "own"))["seq"]
    path = f"/channels/{channel['id']}"
    return await actor.call(
        *request_of(operation, path, cast.victim.id, cast.outsider.id, own, theirs)
    )


@pytest.mark.parametrize("role", COLUMNS + HIDDEN)
@pytest.mark.parametrize("operation", TABLE)
async def test_the_table_of_who_may_do_what(cast: Cast, operation: str, role: str):
    """Every operation by everybody, on a channel of its own."""
    actor, channel = await cast.scene(role)
    response = await act(cast, actor, channel, operation)
    expected = "not_found" if role in HIDDEN else TABLE[operation][COLUMNS.index(role)]
    if isinstance(expected, str):
        problem(response, expected)
    elif expected == 204:
        no_content(response)
    else:
        answer(response, expected)


@pytest.mark.parametrize("operation", [name for name in TABLE if name != "see"])
async def test_what_was_forbidden_has_not_happened(cast: Cast, operation: str):
    """A refusal changes nothing: not the channel, not its members, not its messages."""
    _, channel = await cast.scene("member")
    insider, path = cast.owner, f"/channels/{channel['id']}"
    refused = await act(cast, cast.outsider, channel, operation)
    problem(refused, "not_found")
    seen = await insider.sees(channel)
    assert {**seen, "unread": 0} == {**channel, "unread": 0, "lastSeq": seen["lastSeq"]}
    assert seen["lastSeq"] == channel["lastSeq"] + 1, "the victim's own message, and no more"
    page = answer(await insider.get(f"{path}/messages"))
    assert [message["content"] for message in page["items"]] == ["theirs"]
    members = answer(await insider.get(f"{path}/members"))["items"]
    assert cast.outsider.id not in [member["user"]["id"] for member in members]


@pytest.mark.parametrize("operation", TABLE)
async def test_foreign_and_missing_channels_answer_exactly_alike(cast: Cast, operation: str):
    """S-43: private, dm, deleted and missing: same status, same headers, same bytes."""
    outsider = cast.outsider
    private, dm = (
        await cast.owner.makes("private", cast.victim),
        await cast.owner.makes("dm", cast.victim),
    )
    deleted = await cast.owner.makes("public", cast.victim)
    for channel in (private, dm, deleted):
        await cast.victim.says(channel, "secret")
    no_content(await cast.owner.delete(f"/channels/{deleted['id']}"))
    seen = set()
    for channel_id in (private["id"], dm["id"], deleted["id"], MISSING, 2**53 - 1):
        response = await blind(cast, outsider, channel_id, operation)
        problem(response, "not_found")
        hidden = {"date", "x-request-id"}
        headers = tuple((k, v) for k, v in response.headers.items() if k not in hidden)
        seen.add((response.status_code, headers, response.content))
    assert len(seen) == 1, seen


async def blind(cast: Cast, actor: Caller, channel_id: int, operation: str) -> httpx2.Response:
    """Try one operation on a channel of which one knows the number only."""
    path = f"/channels/{channel_id}"
    return await actor.call(*request_of(operation, path, cast.victim.id, MISSING))


async def test_leaving_what_one_may_not_see_answers_alike_too(cast: Cast):
    """Leaving may be repeated, but tells nobody what exists."""
    private = await cast.owner.makes("private")
    responses = [
        await cast.outsider.post(f"/channels/{channel_id}/leave")
        for channel_id in (private["id"], MISSING)
    ]
    for response in responses:
        problem(response, "not_found")
    assert responses[0].content == responses[1].content


async def test_nobody_without_a_token_may_do_anything(cast: Cast, nobody: Caller):
    """401 before anything is told of the channel."""
    channel = await cast.owner.makes("public", cast.victim)
    for operation in TABLE:
        for channel_id in (channel["id"], MISSING):
            problem(await blind(cast, nobody, channel_id, operation), "unauthorized")
    problem(await nobody.get("/channels"), "unauthorized")
    problem(await nobody.post("/channels", {"name": "x", "type": "public"}), "unauthorized")
