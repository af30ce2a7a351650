"""The documents of the interface, for the configuration that this process runs with.

What makes them describes the route table, in which these stand; so it is imported when asked for.
"""

from rtchat.api.call import Call
from rtchat.api.router import Answer


async def openapi(call: Call) -> Answer:
    """Describe REST: this document.

    OpenAPI 3.1, with the limits that this server runs with.
    """
    from rtchat.api.openapi import served

    return 200, served(call.services.config, call.scope.get("root_path", ""))


async def asyncapi(call: Call) -> Answer:
    """Describe the WebSocket.

    AsyncAPI 3.0: every frame, error code and close code, with the limits that this server runs
    with.
    """
    from rtchat.api.asyncapi import served

    return 200, served(call.services.config, call.scope.get("root_path", ""))
