"""`rtchat doctor` on this machine: open files, the backlog, ports, versions, cores.

Owns: the looks and what they mean. Must never: keep a port that it tried.
"""

import asyncio
import errno
import json
import platform
import resource
import socket
from importlib import metadata
from pathlib import Path
from typing import NamedTuple

import httpx2
from msgspec.structs import replace

from rtchat import settings
from rtchat.config import Config
from rtchat.operate import asking
from rtchat.operate.finding import Finding, away, ok, warn, wrong
from rtchat.operate.terminal import printable
from rtchat.prestop import LOOPBACK
from rtchat.server.limits import fitting
from rtchat.server.listeners import bind

WITHIN_S = 2.0
BACKLOG = 4096  # what the server asks for (server/run)
SOMAXCONN = Path("/proc/sys/net/core/somaxconn")
_MANY = 1 << 40  # open files


class Listener(NamedTuple):
    """What is at one port of ours."""

    setting: str
    port: int
    health: asking.Answer | None  # None: no answer that is HTTP
    ready: asking.Answer | None
    connects: bool
    error: OSError | None  # why it cannot be listened on, where nobody does


def examine(config: Config, workers: int, somaxconn: Path = SOMAXCONN) -> list[Finding]:
    """Look, and say what was found."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    try:
        backlog: int | None = int(somaxconn.read_text())
    except (OSError, ValueError):  # no Linux, or no /proc
        backlog = None
    return [
        versions(),
        judge_files(config, hard if soft != resource.RLIM_INFINITY else soft),
        judge_backlog(backlog),
        judge_cores(workers, settings.usable_cores()),
        *(judge_port(found, config.host) for found in asyncio.run(_listeners(config, workers))),
    ]


def versions() -> Finding:
    """Which Python this is, and the parts that speed depends on."""
    words = f"Python {platform.python_version()}"
    missing = []
    for name in ("uvloop", "uvicorn", "asyncpg", "hiredis"):
        try:
            words += f", {name} {metadata.version(name)}"
        except metadata.PackageNotFoundError:
            missing.append(name)
    source = f"{platform.python_implementation()} on {platform.system()} {platform.machine()}"
    if missing:
        mend = "install rtchat anew: pip install --force-reinstall rtchat"
        return away("python", f"{words}; missing: {', '.join(missing)}", source, mend)
    return ok("python", words, source)


def judge_files(config: Config, files: int) -> Finding:
    """Whether so many connections as are allowed find open files. The server raises the soft
    limit to the hard one by itself."""
    source = "RLIMIT_NOFILE (hard), and RTCHAT_CONNECTIONS_MAX"
    wanted = config.connections_max
    if files == resource.RLIM_INFINITY:
        return ok("open files", "no limit", source)
    others = _MANY - fitting(replace(config, connections_max=0), _MANY)
    words = f"{files:_} may be open; {others} are kept for what is no client"
    fits = max(1, files - others)
    if not wanted or fits < wanted:
        bound = f"{wanted:_} connections" if wanted else "connections without a limit"
        needed = f"{wanted + others} or more" if wanted else "what you expect"
        mend = f"ulimit -Hn, LimitNOFILE= (systemd) or the container's nofile: {needed}"
        return warn("open files", f"{words}: {fits:_} of {bound} fit", source, mend)
    return ok("open files", f"{words}: {wanted:_} connections fit", source)


def judge_backlog(somaxconn: int | None) -> Finding:
    """Whether a storm of reconnects finds a queue to wait in."""
    source = str(SOMAXCONN)
    if somaxconn is None:
        return warn("backlog", "not seen on this system", source, "see its limit of listen()")
    words = f"somaxconn {somaxconn}; the server asks for {BACKLOG}"
    if somaxconn < BACKLOG:
        mend = f"sysctl net.core.somaxconn={BACKLOG} (in a container: its own sysctls)"
        return warn("backlog", f"{words}, and in a storm connects beyond wait", source, mend)
    return ok("backlog", words, source)


def judge_cores(workers: int, cores: int) -> Finding:
    """Whether workers have cores; one process uses one."""
    words, source = f"{workers} to run on {cores} core(s)", "RTCHAT_WORKERS, and the kernel"
    if workers > cores:
        return warn("cores", words, source, "fewer workers, or more cores: RTCHAT_WORKERS=auto")
    return ok("cores", words, source)


async def _listeners(config: Config, workers: int) -> list[Listener]:
    ports = [("RTCHAT_PORT", config.port)]
    if config.internal_port:
        own = range(config.internal_port, config.internal_port + workers)
        # Those beyond the last port are told by `operate.secrets`.
        ports += [("RTCHAT_INTERNAL_PORT", port) for port in own if port <= settings.PORT_MAX]
    async with asking.client() as http, asyncio.TaskGroup() as group:
        looks = [group.create_task(_listener(http, config.host, *one)) for one in ports]
    return [look.result() for look in looks]


async def _listener(http: httpx2.AsyncClient, host: str, setting: str, port: int) -> Listener:
    """Ask whoever is there; where nobody is, see whether it could be listened on."""
    if not port:
        return Listener(setting, port, None, None, False, None)
    near = LOOPBACK.get(host, host)
    url = f"http://{f'[{near}]' if ':' in near else near}:{port}"
    try:
        health = await asking.get(http, f"{url}/healthz", WITHIN_S)
        ready = await asking.get(http, f"{url}/readyz", 2 * WITHIN_S)
        return Listener(setting, port, health, ready, True, None)
    except asking.NoAnswerError as error:
        if not error.refused:
            return Listener(setting, port, None, None, True, None)
    try:
        for one in bind(host, port):
            one.close()
    except OSError as error:
        return Listener(setting, port, None, None, False, error)
    return Listener(setting, port, None, None, False, None)


def judge_port(seen: Listener, host: str) -> Finding:
    """Whether the server can listen there, or does already."""
    where = f"{host}:{seen.port}"
    source = f"RTCHAT_HOST, {seen.setting}"
    who = f"ss -ltnp 'sport = :{seen.port}'"
    other = f"end what has it, or hangs ({who}), or set another {seen.setting}"
    if not seen.port:
        return ok("port", "any free one", source)
    if seen.health is not None and _says(seen.health, "status") == "ok":
        if seen.ready is not None and seen.ready.status == 200:
            return ok("port", f"rtchat serves on {where}, and is ready", source)
        told = [_says(seen.ready, field) for field in ("code", "detail")]
        why = ": ".join(word for word in told if word) or "without a reason"
        mend = "mend what fails above; one that drains is about to end"
        return warn("port", f"rtchat serves on {where}, and is not ready: {why}", source, mend)
    if seen.connects:
        return away(
            "port", f"what listens on {where} does not answer as rtchat does", source, other
        )
    if seen.error is None:
        return ok("port", f"{where} is free", source)
    words = f"{where}: {seen.error.strerror or seen.error}"
    if seen.error.errno == errno.EADDRINUSE:
        return away("port", words, source, other)
    mend = f"RTCHAT_HOST: an address of this machine; {seen.setting}: 1024 or more"
    if isinstance(seen.error, socket.gaierror):
        mend = "RTCHAT_HOST: an address of this machine, or a name that leads to one"
    return wrong("port", words, source, mend)


def _says(answer: asking.Answer | None, field: str) -> str:
    """A field of a JSON answer; empty where it is none."""
    try:
        found = json.loads(answer.text) if answer else None
    except ValueError:
        return ""
    return printable(str(found.get(field, ""))) if isinstance(found, dict) else ""
