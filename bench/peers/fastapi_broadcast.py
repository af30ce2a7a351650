"""FastAPI's ConnectionManager, as its WebSocket tutorial has it, with a list for each room.

Nothing is stored: what one says, every member of the room is sent.
"""

import time
from collections import defaultdict

from fastapi import FastAPI, WebSocket, WebSocketDisconnect
from pydantic import BaseModel

app = FastAPI()


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


class ConnectionManager:
    """The connections of each room."""

    def __init__(self) -> None:
        self.active_connections: dict[int, list[WebSocket]] = defaultdict(list)

    async def connect(self, room: int, websocket: WebSocket) -> None:
        await websocket.accept()
        self.active_connections[room].append(websocket)

    def disconnect(self, room: int, websocket: WebSocket) -> None:
        self.active_connections[room].remove(websocket)

    async def broadcast(self, room: int, message: str) -> None:
        for connection in self.active_connections[room]:
            await connection.send_text(message)


manager = ConnectionManager()


@app.websocket("/ws/{channel_id}/{user_id}")
async def chat(websocket: WebSocket, channel_id: int, user_id: int) -> None:
    """A member of a room."""
    await manager.connect(channel_id, websocket)
    try:
        await websocket.send_json({"t": "joined", "ch": channel_id})
        while True:
            incoming = Incoming.model_validate_json(await websocket.receive_text())
            delivery = Delivery(
                ch=channel_id,
                seq=incoming.ref,
                user=user_id,
                content=incoming.content,
                ts=int(time.time() * 1000),
            )
            await manager.broadcast(channel_id, delivery.model_dump_json())
    except WebSocketDisconnect:
        manager.disconnect(channel_id, websocket)
