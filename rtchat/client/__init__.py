"""The Python client of rtchat (asyncio), for users, tests and benches.

    import asyncio
    from rtchat.client import Client, Msg, Renewing, Rest

    async def main():
        async with Rest("http://localhost:8000") as rest:
            session = await rest.login("ann@example.org", "correct horse")
            async with Client("ws://localhost:8000", tokens=Renewing(rest, session)) as client:
                await client.subscribe({17: None})
                ack = await client.send(17, "hello")  # returns when it is stored, as ack.seq
                async for event in client.events():
                    if isinstance(event, Msg):
                        print(event.seq, event.user, event.content)

    asyncio.run(main())

One message, each step in the file of that name: `client` takes it, `outbox` keeps it in order until
it is acknowledged, `wire` is where to write, `connection` is one socket, `dialer` brings the next
one (`backoff` says when). What comes in: `events` decodes, `subscriptions` lets each entry through
once and in order, `stream` holds it until it is taken. `rest` is the HTTP side (`calls` one call of
it, `renewing` its tokens), `model` its values. `sync` is all of it for scripts without asyncio.
"""

from rtchat.client.calls import make_http
from rtchat.client.client import Client
from rtchat.client.connection import Options
from rtchat.client.dialer import Tokens
from rtchat.client.errors import (
    ClientError,
    ClosedError,
    OutcomeUnknownError,
    RefusedError,
    UnreachableError,
)
from rtchat.client.events import (
    Ack,
    Added,
    AnyEvent,
    Chan,
    Del,
    Edit,
    Entry,
    Error,
    Event,
    Expiring,
    Hello,
    Join,
    Leave,
    Msg,
    Presence,
    React,
    Read,
    Removed,
    Reset,
    Typing,
    Unknown,
    UnknownEntry,
)
from rtchat.client.model import Channel, LiveSession, Member, Message, Reaction, Session, User
from rtchat.client.renewing import Renewing
from rtchat.client.rest import Rest
from rtchat.client.stream import Events

__all__ = [
    "Ack",
    "Added",
    "AnyEvent",
    "Chan",
    "Channel",
    "Client",
    "ClientError",
    "ClosedError",
    "Del",
    "Edit",
    "Entry",
    "Error",
    "Event",
    "Events",
    "Expiring",
    "Hello",
    "Join",
    "Leave",
    "LiveSession",
    "Member",
    "Message",
    "Msg",
    "Options",
    "OutcomeUnknownError",
    "Presence",
    "React",
    "Reaction",
    "Read",
    "RefusedError",
    "Removed",
    "Renewing",
    "Reset",
    "Rest",
    "Session",
    "Tokens",
    "Typing",
    "Unknown",
    "UnknownEntry",
    "UnreachableError",
    "User",
    "make_http",
]
