"""Channels: create, list, look at, rename, delete, join, leave."""

from rtchat.api import types
from rtchat.api.call import Call
from rtchat.api.router import Answer


async def listing(call: Call) -> Answer:
    """List one's channels, or the public ones, by id."""
    query: types.ChannelQuery = call.query
    chat = call.services.chat
    read = chat.my_channels if query.scope == "mine" else chat.public_channels
    items = await read(call.user_id, query.cursor, query.limit)
    after = items[-1].id if len(items) == query.limit else None
    return 200, types.Channels(items=items, next=after)


async def create(call: Call) -> Answer:
    """Make a channel, or find the dm that these people have already."""
    body: types.CreateChannel = call.body
    channel, new = await call.services.chat.create_channel(
        call.user_id, body.name, body.type, body.members
    )
    return 201 if new else 200, channel


async def get(call: Call) -> Answer:
    """Look at a channel, with one's own role and read state in it."""
    return 200, await call.services.chat.channel(call.user_id, call.ids["id"])


async def rename(call: Call) -> Answer:
    """Give a channel another name; for its admins and owner."""
    body: types.RenameChannel = call.body
    return 200, await call.services.chat.rename(call.user_id, call.ids["id"], body.name)


async def drop(call: Call) -> Answer:
    """Delete a channel and all that is in it; for its admins and owner."""
    await call.services.chat.drop(call.user_id, call.ids["id"])
    return 204, None


async def join(call: Call) -> Answer:
    """Become a member of a public channel; no change for one who is."""
    return 200, await call.services.chat.join(call.user_id, call.ids["id"])


async def leave(call: Call) -> Answer:
    """Cease to be a member; no change for one who is none.

    An owner hands the channel over first (`conflict`). Nobody leaves a dm (`unsupported`).
    """
    await call.services.chat.leave(call.user_id, call.ids["id"])
    return 204, None
