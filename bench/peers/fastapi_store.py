"""FastAPI, SQLAlchemy and Redis: a chat that stores each message, publishes it, and sends it on.

An INSERT and a commit for each message through the async session, a PUBLISH on Redis, and one task
that hears Redis and sends to every local member of the room. The REST endpoint looks up who asks
(a JWT, then the membership) and answers with pydantic models.
"""

import asyncio
import os
from collections import defaultdict
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from datetime import datetime
from typing import Annotated

import jwt
from fastapi import Depends, FastAPI, HTTPException, Query, WebSocket, WebSocketDisconnect
from fastapi.security import HTTPAuthorizationCredentials, HTTPBearer
from pydantic import AliasGenerator, BaseModel, ConfigDict
from pydantic.alias_generators import to_camel
from redis import asyncio as redis
from sqlalchemy import BigInteger, Index, func, select
from sqlalchemy.ext.asyncio import AsyncSession, async_sessionmaker, create_async_engine
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column
from sqlalchemy.types import DateTime

CAMEL = AliasGenerator(serialization_alias=to_camel)

engine = create_async_engine(os.environ["DATABASE_URL"])
Session = async_sessionmaker(engine, expire_on_commit=False)
broker = redis.from_url(os.environ["REDIS_URL"], decode_responses=True)


class Base(DeclarativeBase):
    """All tables."""


class Member(Base):
    """Who belongs to which channel."""

    __tablename__ = "members"

    channel_id: Mapped[int] = mapped_column(BigInteger, primary_key=True)
    user_id: Mapped[int] = mapped_column(BigInteger, primary_key=True)


class Message(Base):
    """One message."""

    __tablename__ = "messages"
    __table_args__ = (Index("messages_by_channel", "channel_id", "id"),)

    id: Mapped[int] = mapped_column(BigInteger, primary_key=True)
    channel_id: Mapped[int] = mapped_column(BigInteger)
    user_id: Mapped[int] = mapped_column(BigInteger)
    content: Mapped[str]
    timestamp: Mapped[datetime] = mapped_column(
        DateTime(timezone=True), server_default=func.clock_timestamp()
    )


class MessageOut(BaseModel):
    """A message as clients see it."""

    model_config = ConfigDict(from_attributes=True, alias_generator=CAMEL)

    id: int
    channel_id: int
    user_id: int
    content: str
    timestamp: datetime


class Page(BaseModel):
    """Some messages of a channel, oldest first."""

    model_config = ConfigDict(alias_generator=CAMEL)

    items: list[MessageOut]
    has_more: bool


class Incoming(BaseModel):
    """What a client sends."""

    ref: int
    content: str


class Delivery(BaseModel):
    """What the members of a room get."""

    t: str = "msg"
    ch: int
    seq: int
    user: int
    content: str
    ts: int


class Rooms:
    """The local members of each room."""

    def __init__(self) -> None:
        self.members: dict[str, list[WebSocket]] = defaultdict(list)

    async def broadcast(self, room: str, text: str) -> None:
        for ws in list(self.members[room]):
            with suppress(WebSocketDisconnect, RuntimeError):
                await ws.send_text(text)

    async def hear(self) -> None:
        """Send on what Redis says, for ever."""
        async with broker.pubsub() as pubsub:
            await pubsub.psubscribe("room:*")
            async for message in pubsub.listen():
                if message["type"] == "pmessage":
                    await self.broadcast(message["channel"], message["data"])


rooms = Rooms()


@asynccontextmanager
async def lifespan(_: FastAPI) -> AsyncIterator[None]:
    """Make the tables, and hear Redis for as long as the server runs."""
    async with engine.begin() as connection:
        await connection.run_sync(Base.metadata.create_all)
    hearing = asyncio.create_task(rooms.hear())  # noqa: TID251  no part of rtchat
    yield
    hearing.cancel()
    await engine.dispose()


app = FastAPI(lifespan=lifespan)


@app.websocket("/ws/{channel_id}/{user_id}")
async def chat(ws: WebSocket, channel_id: int, user_id: int, listens: bool = True) -> None:
    """A member of a room: everything of the room, and an ack for everything that it says."""
    room = f"room:{channel_id}"
    await ws.accept()
    if listens:
        rooms.members[room].append(ws)
    try:
        await ws.send_json({"t": "joined", "ch": channel_id})
        while True:
            incoming = Incoming.model_validate_json(await ws.receive_text())
            async with Session() as session:
                message = Message(channel_id=channel_id, user_id=user_id, content=incoming.content)
                session.add(message)
                await session.commit()
            await ws.send_json({"t": "ack", "ref": incoming.ref, "id": message.id})
            delivery = Delivery(
                ch=channel_id,
                seq=message.id,
                user=user_id,
                content=message.content,
                ts=int(message.timestamp.timestamp() * 1000),
            )
            await broker.publish(room, delivery.model_dump_json())
    except WebSocketDisconnect:
        pass
    finally:
        if listens:
            rooms.members[room].remove(ws)


async def current_user(
    bearer: Annotated[HTTPAuthorizationCredentials, Depends(HTTPBearer())],
) -> int:
    """Who asks, by a JWT."""
    try:
        claims = jwt.decode(bearer.credentials, os.environ["SECRET_KEY"], algorithms=["HS256"])
    except jwt.InvalidTokenError:
        raise HTTPException(401, "Invalid token") from None
    return int(claims["sub"])


async def database() -> AsyncIterator[AsyncSession]:
    """A session for one request."""
    async with Session() as session:
        yield session


@app.get("/channels/{channel_id}/messages")
async def history(
    channel_id: int,
    user_id: Annotated[int, Depends(current_user)],
    session: Annotated[AsyncSession, Depends(database)],
    limit: Annotated[int, Query(ge=1, le=200)] = 50,
) -> Page:
    """The newest messages of a channel."""
    if await session.get(Member, (channel_id, user_id)) is None:
        raise HTTPException(403, "Not a member")
    newest = (
        select(Message)
        .where(Message.channel_id == channel_id)
        .order_by(Message.id.desc())
        .limit(limit + 1)
    )
    found = (await session.scalars(newest)).all()
    items = [MessageOut.model_validate(message) for message in reversed(found[:limit])]
    return Page(items=items, has_more=len(found) > limit)
