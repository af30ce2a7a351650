"""`rtchat stat`, the part with I/O: which pods there are, and asking each for its metrics.

Owns: the addresses behind a name (a headless service has one a pod), looked up anew at each look,
and what was seen of each pod. Must never: show rates between two processes, wait for a slow pod
longer than `WITHIN_S`, or give the operators' token to anybody but the URLs that were asked for.
"""

import asyncio
import socket
from collections.abc import Callable, Iterable, Sequence
from typing import NamedTuple

import httpx2

from rtchat.config import Config
from rtchat.operate import asking, stat
from rtchat.operate.board import Looks
from rtchat.operate.terminal import printable
from rtchat.prestop import LOOPBACK

WITHIN_S = 3.0
PODS_MAX = 256
STARTS_KEPT = 256  # of processes at one address: no server has more workers
PATH = "/metrics"
ANOTHER = "another process than at the look before: it began anew, or several answer in turn"
SEVERAL = "several processes answer here in turn: name each one's RTCHAT_INTERNAL_PORT"


class Target(NamedTuple):
    """One pod: the URL to ask, and at which of its host's addresses."""

    url: str
    address: str

    @property
    def name(self) -> str:
        """As the table shows it."""
        port = httpx2.URL(self.url).port
        host = f"[{self.address}]" if ":" in self.address else self.address
        return f"{host}:{port}" if port else host


class WrongUrlError(Exception):
    """What was given is no URL of a server; the text says why."""


def urls(given: Sequence[str], config: Config, workers: int) -> list[str]:
    """The URLs to ask: those given, else those of the server that these settings would start.

    Raises WrongUrlError.
    """
    if given:
        return [_complete(one) for one in given]
    host = LOOPBACK.get(config.host, config.host)
    host = f"[{host}]" if ":" in host else host
    first = config.internal_port
    if workers > 1 and not first:
        raise WrongUrlError(
            f"each look would meet another of {workers} workers: set RTCHAT_INTERNAL_PORT, which"
            " gives each a port of its own"
        )
    ports = [first + number for number in range(workers)] if first else [config.port]
    if not ports[0]:
        raise WrongUrlError("RTCHAT_PORT is 0, any port: name the URL of the server")
    return [f"http://{host}:{port}{PATH}" for port in ports]


def _complete(text: str) -> str:
    try:
        url = httpx2.URL(text if "://" in text else f"http://{text}")
    except (httpx2.InvalidURL, ValueError) as error:
        raise WrongUrlError(f"{text} is no URL: {error}") from None
    reachable = url.host and url.host.isprintable() and " " not in text
    if url.scheme not in ("http", "https") or not reachable or (url.port or 1) > 65535:
        raise WrongUrlError(f"{text} is no URL of a server, as http://pod-1:8001")
    return str(url if url.path not in ("", "/") else url.copy_with(path=PATH))


class NobodyAnswersError(Exception):
    """There is nothing to show; the text says why, pod by pod."""


class Pod:
    """What was seen of one pod. Pure."""

    def __init__(self) -> None:
        self._before: stat.Scrape | None = None
        self._processes: list[float] = []  # that have answered, the last one last
        self._several = False

    def compared(self, now: stat.Scrape | str) -> stat.Delta | str | None:
        """What it did since the look before; why that is not known; None: there was none.

        Rates between two processes would be invented: the counters of the one say nothing of the
        other's. One that began anew has another start and keeps it; of several behind one address
        an earlier one answers again.
        """
        before, self._before = self._before, now if isinstance(now, stat.Scrape) else None
        if isinstance(now, str):
            return now
        process = now.process
        another = process is not None and bool(self._processes) and process != self._processes[-1]
        if process is not None and (another or not self._processes):
            self._several |= process in self._processes
            self._processes = [p for p in self._processes if p != process] + [process]
            del self._processes[:-STARTS_KEPT]
        if self._several:
            return SEVERAL
        if another:
            return ANOTHER
        return before and stat.delta(before, now)


class Watch:
    """The pods behind some URLs, from look to look."""

    def __init__(self, asked: Sequence[str], token: str) -> None:
        self._urls = list(asked)
        self._token = token
        self._pods: dict[Target, Pod] = {}

    async def look(self, http: httpx2.AsyncClient) -> Looks:
        """Ask all at once, and compare with the look before."""
        found: dict[Target, stat.Scrape | str] = {}
        targets = await self._targets()
        async with asyncio.TaskGroup() as group:
            for target, reason in targets[:PODS_MAX]:
                if reason:
                    found[target] = reason
                else:
                    group.create_task(self._ask(http, target, found))
        self._pods = {target: self._pods.get(target) or Pod() for target in found}
        seen = [(t.name, self._pods[t].compared(now)) for t, now in sorted(found.items())]
        if (beyond := len(targets) - PODS_MAX) > 0:
            seen.append((f"{beyond} more", f"not asked: {PODS_MAX} pods at most"))
        return seen

    async def follow(
        self, interval_s: float, show: Callable[[Looks], object], *, once: bool
    ) -> bool:
        """Look again and again, and show each; `once`: the first whose rates are known.

        Returns whether every pod answered. Raises NobodyAnswersError where none does at the start.
        """
        async with asking.client() as http:
            looks = await self.look(http)
            if not any(seen is None for _, seen in looks):
                reasons = "; ".join(f"{pod}: {seen}" for pod, seen in looks)
                raise NobodyAnswersError(f"no pod answers ({reasons})")
            while True:
                await asyncio.sleep(interval_s)
                looks = await self.look(http)
                show(looks)
                if once:
                    return not any(isinstance(seen, str) for _, seen in looks)

    async def _ask(
        self, http: httpx2.AsyncClient, target: Target, found: dict[Target, stat.Scrape | str]
    ) -> None:
        try:
            answer = await asking.get(http, target.url, WITHIN_S, target.address, self._token)
            if answer.status == 200:
                found[target] = stat.read(answer.text, asyncio.get_running_loop().time())
            else:
                found[target] = _MEANING.get(answer.status, f"status {answer.status}")
        except (asking.NoAnswerError, ValueError) as error:
            found[target] = printable(str(error))

    async def _targets(self) -> list[tuple[Target, str]]:
        """Each pod, or a URL and why it leads to none."""
        targets: dict[Target, str] = {}
        for url in self._urls:
            parts = httpx2.URL(url)
            try:
                async with asyncio.timeout(WITHIN_S):
                    addresses = await _addresses(parts.host, parts.port or 80)
            except (OSError, TimeoutError) as error:
                said = getattr(error, "strerror", None) or "no answer in time"
                targets[Target(url, parts.host)] = f"its name cannot be looked up: {said}"
                continue
            targets |= {Target(url, address): "" for address in addresses}
        return list(targets.items())


async def _addresses(host: str, port: int) -> list[str]:
    found = await asyncio.get_running_loop().getaddrinfo(host, port, type=socket.SOCK_STREAM)
    return one_family((family, str(where[0])) for family, _, _, _, where in found)


def one_family(found: Iterable[tuple[int, str]]) -> list[str]:
    """All addresses of a name that are of one family: a pod with two would be there twice."""
    by_family: dict[int, set[str]] = {}
    for family, address in found:
        by_family.setdefault(family, set()).add(address)
    return sorted(by_family.get(socket.AF_INET) or by_family.get(socket.AF_INET6) or ())


_MEANING = {
    401: "it has another RTCHAT_INTERNAL_TOKEN",
    404: "no metrics there: it has no RTCHAT_INTERNAL_TOKEN, or they are on its internal port",
}
