"""The WebSocket's path, asked for without an upgrade."""

from rtchat.api import types
from rtchat.api.call import Call
from rtchat.api.router import Answer
from rtchat.errors import Code


async def upgrade_required(call: Call) -> Answer:
    """Open a WebSocket; asked for without an upgrade, this says so.

    The handshake is a GET with `Upgrade: websocket`, answered 101, or with one of these errors.
    """
    # RFC 9110 §15.5.22
    call.headers += [(b"upgrade", b"websocket"), (b"connection", b"upgrade")]
    return 426, types.Problem(
        type=f"urn:rtchat:error:{Code.BAD_MESSAGE.value}",
        title="Upgrade Required",
        status=426,
        detail="This is where a WebSocket begins; ask for the upgrade to one.",
        code=Code.BAD_MESSAGE,
    )
