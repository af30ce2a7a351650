"""The documents of the interface, for the configuration that this process runs with.

What makes them describes the route table, in which these stand; so it is imported when it is asked
for, and like the pages they are made in a thread (15 ms and the imports), once, and kept.
"""

from collections.abc import Callable
from typing import Any

import msgspec

from rtchat import web
from rtchat.api.call import Call
from rtchat.api.handlers.docs import ASK_FIRST, hand_out, kept
from rtchat.api.router import Answer
from rtchat.config import Config


async def openapi(call: Call) -> Answer:
    """Describe REST: this document.

    OpenAPI 3.1, with the limits that this server runs with.
    """

    def make(config: Config, root_path: str) -> dict[str, Any]:
        from rtchat.api.openapi import document

        return document(config, root_path)

    return await _answer(call, "openapi", make)


async def asyncapi(call: Call) -> Answer:
    """Describe the WebSocket.

    AsyncAPI 3.0: every frame, error code and close code, with the limits that this server runs
    with.
    """

    def make(config: Config, root_path: str) -> dict[str, Any]:
        from rtchat.api.asyncapi import document

        return document(config, root_path)

    return await _answer(call, "asyncapi", make)


async def _answer(call: Call, name: str, make: Callable[[Config, str], dict[str, Any]]) -> Answer:
    config, root_path = call.services.config, call.scope.get("root_path", "")
    served = await kept(
        (name, config, root_path),
        lambda: web.packed(msgspec.json.encode(make(config, root_path))),
    )
    return hand_out(call, served, [(b"cache-control", ASK_FIRST)])
