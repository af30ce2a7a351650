"""Whatever a pod was sent, nothing of it is left: what every module of bad inputs ends with.

Owns: what "well" means for a pod, as somebody sees it from outside: it answers, its log has no
complaint, its memory, its files and its connections are what they were. Linux only, by /proc.
"""

import contextlib
from collections.abc import AsyncIterator
from pathlib import Path

import httpx2

from tests.pods import Pod
from tests.raw import eventually, memory_mb, open_files

GROWTH_MB = 20
FILES_SLACK = 12  # connections to the database that were opened because they were needed
CLIENTS_SLACK = 2  # the session's own HTTP client keeps some open for its next request


def clients_of(pod: Pod) -> int:
    """How many established connections a pod has on its port, by the kernel's count."""
    lines = [line.split() for line in Path("/proc/net/tcp").read_text().splitlines()[1:]]
    local = f":{pod.port:04X}"
    return sum(line[1].endswith(local) and line[3] == "01" for line in lines)


def complaints(said: str) -> list[str]:
    """The lines of a log that no bad input may be the reason of."""
    return [line for line in said.splitlines() if "Traceback" in line or '"level":"error"' in line]


@contextlib.asynccontextmanager
async def calm(pod: Pod) -> AsyncIterator[None]:
    """What happens meanwhile leaves nothing behind, and the next request is fine."""
    said, files, clients = len(pod.log()), open_files(pod), clients_of(pod)
    before_mb = memory_mb(pod)
    yield
    async with httpx2.AsyncClient(base_url=pod.url, timeout=10) as http:
        assert (await http.get("/readyz")).status_code == 200
    await eventually(lambda: clients_of(pod) <= clients + CLIENTS_SLACK)
    await eventually(lambda: open_files(pod) <= files + FILES_SLACK)
    grown_mb = memory_mb(pod) - before_mb
    assert grown_mb <= GROWTH_MB, f"{grown_mb} MB more than before"
    assert not (found := complaints(pod.log()[said:])), found[:5]
