"""python-socketio on ASGI: rooms and `emit`, as its documentation has them."""

import time
from typing import Any

import socketio

# The load client speaks no Engine.IO pings; no run is as long as this.
sio = socketio.AsyncServer(async_mode="asgi", ping_interval=3600)
app = socketio.ASGIApp(sio)


@sio.event
async def join(sid: str, data: dict[str, Any]) -> str:
    """Enter a room; the answer is the acknowledgement."""
    await sio.save_session(sid, {"user": data["user"]})
    await sio.enter_room(sid, data["room"])
    return "joined"


@sio.event
async def send(sid: str, data: dict[str, Any]) -> None:
    """Say something to a room."""
    session = await sio.get_session(sid)
    message = {
        "ch": data["room"],
        "seq": data["ref"],
        "user": session["user"],
        "content": data["content"],
        "ts": int(time.time() * 1000),
    }
    await sio.emit("msg", message, room=data["room"])
