"""The messages of a channel."""

from rtchat.api import types
from rtchat.api.call import Call
from rtchat.api.router import Answer


async def history(call: Call) -> Answer:
    """Read a page of messages, in the order of seq; the newest without `before` and `after`.

    One of the two at most. Only messages have a place here, so seqs may skip.
    """
    query: types.HistoryQuery = call.query
    items, more = await call.services.chat.history(
        call.user_id, call.ids["id"], query.before, query.after, query.limit
    )
    return 200, types.Messages(items=items, has_more=more)


async def send(call: Call) -> Answer:
    """Write a message; the answer comes when it is committed.

    With a nonce it may be sent again: 200 with the first one, never a second.
    """
    body: types.SendMessage = call.body
    message, new = await call.services.chat.send(
        call.user_id, call.ids["id"], body.content, body.nonce
    )
    return 201 if new else 200, message


async def get(call: Call) -> Answer:
    """Read one message."""
    return 200, await call.services.chat.message(call.user_id, call.ids["id"], call.ids["seq"])


async def edit(call: Call) -> Answer:
    """Give one of one's messages other content."""
    body: types.EditMessage = call.body
    message = await call.services.chat.edit(
        call.user_id, call.ids["id"], call.ids["seq"], body.content, body.nonce
    )
    return 200, message


async def delete(call: Call) -> Answer:
    """Delete a message: its content, not its place in the log.

    One's own; those of others for admins and owner.
    """
    await call.services.chat.delete(call.user_id, call.ids["id"], call.ids["seq"])
    return 204, None
