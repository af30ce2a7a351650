"""The documents of the interface, for the configuration that this process runs with.

What makes them describes the route table, in which these stand; so it is imported when it is asked
for, and like the pages they are made in a thread (15 ms and the imports), once, and kept.
"""

from importlib import import_module

import msgspec

from rtchat import web
from rtchat.api.call import Call
from rtchat.api.handlers.docs import ASK_FIRST, hand_out, kept
from rtchat.api.router import Answer


async def openapi(call: Call) -> Answer:
    """Describe REST: this document.

    OpenAPI 3.1, with the limits that this server runs with.
    """
    return await _answer(call, "rtchat.api.openapi")


async def asyncapi(call: Call) -> Answer:
    """Describe the WebSocket.

    AsyncAPI 3.0: every frame, error code and close code, with the limits that this server runs
    with.
    """
    return await _answer(call, "rtchat.api.asyncapi")


async def _answer(call: Call, maker: str) -> Answer:
    config, root_path = call.services.config, call.scope.get("root_path", "")

    def make() -> web.Served:
        return web.packed(msgspec.json.encode(import_module(maker).document(config, root_path)))

    served = await kept((maker, config, root_path), make)
    return hand_out(call, served, [(b"cache-control", ASK_FIRST)])
