"""What the tests of the embedded PostgreSQL share: asking it, and launchers to kill."""

import asyncio
import os
import subprocess
import sys
import time
from pathlib import Path

import asyncpg

ROOT = os.geteuid() == 0
REPOSITORY = Path(__file__).parents[2]
FAST = {"fsync": "off"}

# Starts a server on argv[1] and stays, for us to SIGKILL.
LAUNCHER = """
import sys, time
from pathlib import Path
from rtchat.server.postgres import EmbeddedPostgres
server = EmbeddedPostgres(Path(sys.argv[1]), {"fsync": "off"})
server.start()
print(server.pid, server.url, flush=True)
time.sleep(60)
"""


def ask(url: str, query: str) -> object:
    async def fetch() -> object:
        connection = await asyncpg.connect(url, timeout=5)
        try:
            return await connection.fetchval(query)
        finally:
            await connection.close()

    return asyncio.run(fetch())


def keep(url: str) -> object:
    return ask(url, "INSERT INTO kept VALUES (gen_random_uuid()) RETURNING token")


def is_kept(url: str, token: object) -> bool:
    return ask(url, f"SELECT count(*) FROM kept WHERE token = '{token}'") == 1


def launch(data: Path) -> subprocess.Popen[str]:
    command = [sys.executable, "-c", LAUNCHER, str(data)]
    return subprocess.Popen(command, cwd=REPOSITORY, stdout=subprocess.PIPE, text=True)


def wait_until(condition, seconds: float = 10.0) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "not in time"
        time.sleep(0.01)


def runs(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


def sigkill(process: subprocess.Popen[str]) -> None:
    process.kill()
    process.wait()
    assert process.stdout is not None
    process.stdout.close()
