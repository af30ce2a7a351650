"""What Prometheus asks for: the counters of this process, as text.

Owns: the families' names and help. Must never: be answered without the operators' token, or put
what came from a client into a label. Each worker answers for itself.
"""

from collections.abc import Mapping

from rtchat.api.call import Call
from rtchat.api.router import Answer

MEDIA_TYPE = "text/plain; version=0.0.4; charset=utf-8"
LIMITS = "rtchat_limit_reached_total"
LIMITS_HELP = "Answers and closes that told of a limit, by its setting."


async def metrics(call: Call) -> Answer:
    """Tell how often each limit was reached, in Prometheus' text format."""
    return 200, exposition(call.services.reached.counts)


def exposition(counts: Mapping[str, int]) -> bytes:
    """The counters in Prometheus' text format 0.0.4; names of settings need no escaping."""
    lines = [f"# HELP {LIMITS} {LIMITS_HELP}", f"# TYPE {LIMITS} counter"]
    lines += [f'{LIMITS}{{limit="{limit}"}} {count}' for limit, count in counts.items()]
    return "\n".join([*lines, ""]).encode()
