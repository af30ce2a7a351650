"""The machine that a bench runs on: what it is, and which cores belong to whom.

The server gets one core of its own and everything else (load client, PostgreSQL, Redis) the others,
where there are two or more; so a server's figures are those of one core.
"""

import importlib.metadata
import os
import platform
import shlex
import sys
import time
from pathlib import Path
from typing import Any

CORES = frozenset(os.sched_getaffinity(0))  # at our start; later on a bench narrows its own
PACKAGES = ("rtchat", "uvicorn", "uvloop", "websockets", "asyncpg", "redis", "orjson", "msgspec")


def server_cores() -> set[int]:
    """The cores for the server; empty where there is but one."""
    return {min(CORES)} if len(CORES) > 1 else set()


def other_cores() -> set[int]:
    """The cores for all else; empty where there is but one."""
    return set(CORES) - {min(CORES)}


def pin(pid: int, cores: set[int]) -> None:
    """Keep a process, with all its threads, on these cores."""
    if cores:
        for thread in Path(f"/proc/{pid}/task").iterdir():
            os.sched_setaffinity(int(thread.name), cores)


def memory_kb(pid: int, kind: str = "VmRSS") -> int:
    """A figure of /proc/PID/status, KB."""
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith(f"{kind}:"):
            return int(line.split()[1])
    raise ValueError(f"no {kind} of {pid}")


def about() -> dict[str, Any]:
    """What somebody needs to know to believe a figure, or to see it again."""
    return {
        "command": shlex.join(["python", "-m", *sys.orig_argv[2:]])
        if sys.orig_argv[1:2] == ["-m"]
        else shlex.join(sys.argv),
        "date": time.strftime("%Y-%m-%d %H:%M UTC", time.gmtime()),
        "machine": {
            "cpu": _cpu(),
            "cores": len(CORES),
            "memory_gb": round(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 1e9, 1),
            "system": f"{platform.system()} {platform.release()}",
            "load": [round(x, 2) for x in os.getloadavg()],
        },
        "versions": {
            "python": platform.python_version(),
            **{name: _version(name) for name in PACKAGES},
        },
    }


def _version(package: str) -> str:
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return "none"


def _cpu() -> str:
    for line in Path("/proc/cpuinfo").read_text().splitlines():
        if line.startswith("model name"):
            return line.partition(":")[2].strip()
    return platform.machine()
