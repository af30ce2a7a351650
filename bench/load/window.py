"""A stretch of time that is measured: the clock, our own CPU, and that of the server."""

import os
import time
from collections.abc import Sequence
from typing import Any

_TICK_S = 1 / os.sysconf("SC_CLK_TCK")
LIMIT_SHARE = 0.9  # of a core: beyond it, it is the load client that was measured


def cpu_s(pids: Sequence[int]) -> dict[str, float]:
    """CPU seconds that these processes have used so far, in user and kernel mode."""
    user = system = 0.0
    for pid in pids:
        with open(f"/proc/{pid}/stat", "rb") as stat:
            fields = stat.read().rpartition(b")")[2].split()
        user += int(fields[11]) * _TICK_S
        system += int(fields[12]) * _TICK_S
    return {"user": user, "system": system}


class Window:
    """Begins when it is made; `end` tells what happened since."""

    def __init__(self, watched: Sequence[int]) -> None:
        self._watched = watched
        self._server = cpu_s(watched)
        self._own = time.process_time()
        self._began = time.perf_counter()

    def end(self) -> dict[str, Any]:
        """Seconds, CPU seconds of the server, and the share of a core that the client took."""
        seconds = time.perf_counter() - self._began
        own = time.process_time() - self._own
        now = cpu_s(self._watched)
        server = {kind: now[kind] - self._server[kind] for kind in now}
        total = sum(server.values())
        return {
            "seconds": seconds,
            "server_cpu_s": total,
            "server_cpu": total / seconds,
            "server_system_cpu": server["system"] / seconds,
            "client_cpu": own / seconds,
            "client_limit": own / seconds > LIMIT_SHARE,
        }
