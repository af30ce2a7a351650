"""The messages of a channel."""

from rtchat.api import types
from rtchat.api.call import Call
from rtchat.api.router import Answer


async def history(call: Call) -> Answer:
    """Read a page of messages."""
    query: types.HistoryQuery = call.query
    items, more = await call.services.chat.history(
        call.user_id, call.ids["id"], query.before, query.after, query.limit
    )
    return 200, types.Messages(items=items, has_more=more)


async def send(call: Call) -> Answer:
    """Store a message; the answer comes when it is committed."""
    body: types.SendMessage = call.body
    message, new = await call.services.chat.send(
        call.user_id, call.ids["id"], body.content, body.nonce
    )
    return 201 if new else 200, message


async def get(call: Call) -> Answer:
    """Read one message."""
    return 200, await call.services.chat.message(call.user_id, call.ids["id"], call.ids["seq"])


async def edit(call: Call) -> Answer:
    """Give one of my messages other content."""
    body: types.EditMessage = call.body
    message = await call.services.chat.edit(
        call.user_id, call.ids["id"], call.ids["seq"], body.content, body.nonce
    )
    return 200, message


async def delete(call: Call) -> Answer:
    """Delete a message: its content, not its place."""
    await call.services.chat.delete(call.user_id, call.ids["id"], call.ids["seq"])
    return 204, None
