"""The pre-stop call, from outside: what `rtchat drain` asks of the server beside it.

Owns: where that server is, how long to wait for it, and what its answers mean. Must never: reach
past this machine, or wait longer than the server's own bound. Blocking; a process of its own.
"""

import http.client
import time

from rtchat.config import Config

EXTRA_S = 5.0  # beyond the window: the server's bound is drain_s + 3
# What a server that listens everywhere is called from beside it.
LOOPBACK = {"": "127.0.0.1", "0.0.0.0": "127.0.0.1", "::": "::1"}  # noqa: S104


class PreStopError(Exception):
    """The drain did not come to its end; the text says why."""


def port_of(config: Config) -> int:
    """Where the server beside this command takes the call; of several workers the first one's
    internal port, for whichever takes it drains all. 0: not known, it listens on any free one."""
    return config.internal_port or config.port


def request_drain(config: Config, port: int, hold_s: float) -> str:
    """Ask for the drain, wait until it is over, and for `hold_s` at least; returns what to say.

    The time is held whatever came of the call: it is for endpoints elsewhere, which still route
    here, and to which a pod that did not answer says nothing of being gone.
    """
    began = time.monotonic()
    try:
        status, answer = _post(config, port)
    finally:
        time.sleep(max(0.0, began + hold_s - time.monotonic()))
    if status != 200:
        raise PreStopError(f"the server does not drain: {_MEANING.get(status, status)} {answer}")
    return f"drained in {time.monotonic() - began:.1f} s"


_MEANING = {
    202: "its window is over, and some clients are still there;",
    401: "it has another RTCHAT_INTERNAL_TOKEN;",
    404: "it has no RTCHAT_INTERNAL_TOKEN, or another RTCHAT_INTERNAL_PORT;",
}


def _post(config: Config, port: int) -> tuple[int, str]:
    host = LOOPBACK.get(config.host, config.host)
    timeout_s = config.drain_s + EXTRA_S
    connection = http.client.HTTPConnection(host, port, timeout=timeout_s)
    headers = {"Authorization": f"Bearer {config.internal_token}"}
    try:
        connection.request("POST", "/internal/drain", headers=headers)
        response = connection.getresponse()
        return response.status, response.read(4096).decode(errors="replace")
    except (OSError, http.client.HTTPException) as error:
        raise PreStopError(
            f"no answer from {host}:{port}: {str(error) or type(error).__name__}"
        ) from None
    finally:
        connection.close()
