"""Oneself, and finding others."""

from rtchat.api import types
from rtchat.api.call import Call
from rtchat.api.router import Answer
from rtchat.errors import ChatError, Code
from rtchat.names import check_storable, clean_name


async def me(call: Call) -> Answer:
    """Tell who one is."""
    user = await call.services.users.get(call.user_id)
    if user is None:
        raise ChatError(Code.UNAUTHORIZED)
    return 200, user


async def update_me(call: Call) -> Answer:
    """Change one's name or status."""
    body: types.UpdateUser = call.body
    name = body.name
    if name is not None:
        name = clean_name(name, call.services.config.name_max_chars)
    if body.status is not None:
        check_storable(body.status, "status")
    user = await call.services.users.update(call.user_id, name, body.status)
    if user is None:
        raise ChatError(Code.UNAUTHORIZED)
    return 200, user


async def find(call: Call) -> Answer:
    """Find users to write to, or names for ids: by `q` or by `ids`."""
    query: types.UserQuery = call.query
    store = call.services.users
    if query.ids is not None and query.q is None:
        return 200, types.Users(items=await store.several([int(i) for i in query.ids.split(",")]))
    if query.q is None or query.ids is not None:
        raise ChatError(Code.BAD_FIELD, "Either q or ids.", field="q")
    if not query.q.strip():
        raise ChatError(Code.BAD_FIELD, "At least one character.", field="q")
    return 200, types.Users(items=await store.search(query.q.strip(), query.limit))
