"""A real Prometheus on loopback that scrapes a real pod and has our rules, asked over HTTP.

Owns: the child process and its configuration. It does not outlive the tests.
"""

import contextlib
import json
import signal
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx2

from rtchat.server.launch import end_with_parent, free_port
from tests.deploy import needed

EVERY = "250ms"
START_S = 30.0  # on two busy cores; mostly it takes half a second
# What Grafana puts in the place of its variables, here.
VARIABLES = {"$namespace": ".*", "$job": "rtchat", "$instance": ".*", "$__rate_interval": "1m"}


def program() -> str:
    """Where it is; skips where it is not."""
    return needed.program("prometheus", "Debian: prometheus")


def filled(expression: str) -> str:
    """An expression of the dashboard as Grafana would send it."""
    for name, value in VARIABLES.items():
        expression = expression.replace(name, value)
    return expression


class Prometheus:
    """Questions to it."""

    def __init__(self, http: httpx2.AsyncClient) -> None:
        self._http = http

    async def _get(self, path: str, **query: str) -> Any:
        answer = (await self._http.get(f"/api/v1/{path}", params=query)).json()
        assert answer["status"] == "success", (query, answer)
        return answer["data"]

    async def values(self, expression: str) -> list[float]:
        """What an expression comes to now: a number for each series, those that are none left out.

        Raises AssertionError where Prometheus does not understand it.
        """
        found = (await self._get("query", query=expression))["result"]
        numbers = [float(series["value"][1]) for series in found]
        return [number for number in numbers if number == number]

    async def series(self) -> list[dict[str, str]]:
        """All series of pods, by their labels."""
        found: list[dict[str, str]] = await self._get("series", **{"match[]": '{job="rtchat"}'})
        return found

    async def label_values(self, label: str, selector: str) -> list[str]:
        """What Grafana's `label_values(selector, label)` asks."""
        found: list[str] = await self._get(f"label/{label}/values", **{"match[]": selector})
        return found

    async def rules(self) -> list[dict[str, Any]]:
        """Every rule, with its health and what of it fires."""
        return [rule for group in (await self._get("rules"))["groups"] for rule in group["rules"]]


@contextlib.contextmanager
def running(pod: str, token: str, rules: Path, directory: Path) -> Iterator[str]:
    """Start one that scrapes this pod (host and port); its URL, once it answers."""
    (directory / "token").write_text(token)
    scraped = {
        "job_name": "rtchat",
        "authorization": {"credentials_file": str(directory / "token")},
        "static_configs": [{"targets": [pod]}],
    }
    settings = {
        "global": {"scrape_interval": EVERY, "evaluation_interval": EVERY},
        "rule_files": [str(rules)],
        "scrape_configs": [scraped],
    }
    (directory / "prometheus.json").write_text(json.dumps(settings))
    url = f"127.0.0.1:{free_port()}"
    log = directory / "prometheus.log"
    with log.open("wb") as output:
        process = subprocess.Popen(
            [
                program(),
                f"--config.file={directory / 'prometheus.json'}",
                f"--storage.tsdb.path={directory / 'data'}",
                f"--web.listen-address={url}",
                "--log.level=warn",
            ],
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            preexec_fn=end_with_parent(signal.SIGKILL),
        )
    try:
        _wait(f"http://{url}", process, log)
        yield f"http://{url}"
    finally:
        process.kill()
        process.wait()


def _wait(url: str, process: "subprocess.Popen[bytes]", log: Path) -> None:
    deadline = time.monotonic() + START_S
    with httpx2.Client(base_url=url, trust_env=False) as http:
        while True:
            assert process.poll() is None, log.read_text()
            assert time.monotonic() < deadline, log.read_text()
            with contextlib.suppress(httpx2.TransportError):
                if http.get("/-/ready").status_code == 200:
                    return
            time.sleep(0.05)
