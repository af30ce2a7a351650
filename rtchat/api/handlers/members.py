"""The members of a channel."""

from rtchat.api import types
from rtchat.api.call import Call
from rtchat.api.router import Answer
from rtchat.errors import ChatError, Code
from rtchat.model import Role


async def listing(call: Call) -> Answer:
    """List the members, by user id."""
    query: types.MemberQuery = call.query
    items = await call.services.chat.members(
        call.user_id, call.ids["id"], query.cursor, query.limit
    )
    after = items[-1].user.id if len(items) == query.limit else None
    return 200, types.Members(items=items, next=after)


async def add(call: Call) -> Answer:
    """Make somebody a member; no change, not even of the role, for one who is.

    Only admins and owner make admins.
    """
    body: types.AddMember = call.body
    if body.role is Role.OWNER:
        raise ChatError(Code.BAD_FIELD, "Ownership is handed over to a member.", field="role")
    member, new = await call.services.chat.add_member(
        call.user_id, call.ids["id"], body.user_id, body.role
    )
    return 201 if new else 200, member


async def set_role(call: Call) -> Answer:
    """Change a member's role, or hand the channel over: `owner`, by the owner only."""
    body: types.SetRole = call.body
    member = await call.services.chat.set_role(
        call.user_id, call.ids["id"], call.ids["userId"], body.role
    )
    return 200, member


async def remove(call: Call) -> Answer:
    """Remove a member, for admins and owner; oneself: leave."""
    await call.services.chat.remove_member(call.user_id, call.ids["id"], call.ids["userId"])
    return 204, None
