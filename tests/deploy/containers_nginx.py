"""nginx on loopback with the very files of docs/deploy/nginx, in front of pods of a test.

Owns: the process, and the few replacements that a machine of many tests needs: ports, addresses of
pods, and where nginx writes. Each must be found as often as expected, so that a changed file cannot
slip past. Must never: change how the proxy behaves.
"""

import json
import os
import re
import signal
import socket
import subprocess
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Self

from rtchat.server.launch import end_with_parent, free_port
from tests.deploy import needed

SOURCE = Path(__file__).parents[2] / "docs" / "deploy" / "nginx"
START_S = 20.0
SERVER = re.compile(r"^server (pod-\d+):8000 resolve (.*);$", re.MULTILINE)


def program() -> str:
    """Where nginx is; skips the test where it is not."""
    return needed.program("nginx", "Debian: apt-get install nginx-light")


def replaced(text: str, old: str, new: str, times: int) -> str:
    """`text` with another word in the place of one that is there so many times."""
    assert text.count(old) == times, f"{old!r} is there {text.count(old)} times, not {times}"
    return text.replace(old, new)


class Nginx:
    """One nginx; `with Nginx(directory, ports_of_pods) as proxy`."""

    def __init__(
        self, directory: Path, pods: Sequence[int], certificate: Path | None = None
    ) -> None:
        """`certificate`: with TLS, by this file of certificate and key."""
        self.directory = directory
        self.port, self.health_port = free_port(), free_port()
        self.tls = certificate is not None
        directory.mkdir(exist_ok=True)
        self._write_main()
        self._write_listen(certificate)
        self._write_pods(pods)
        self._process: subprocess.Popen[bytes] | None = None

    def _write_main(self) -> None:
        text = (SOURCE / "nginx.conf").read_text()
        text = replaced(text, "/tmp/", f"{self.directory}/", 6)
        text = replaced(text, "/dev/stderr", f"{self.directory}/errors.log", 1)
        text = replaced(text, "/dev/stdout", f"{self.directory}/access.log", 1)
        text = replaced(text, "127.0.0.1:8090", f"127.0.0.1:{self.health_port}", 1)
        # As many connections as a laptop has files for.
        text = replaced(text, "worker_rlimit_nofile 131072;\n", "", 1)
        text = replaced(text, "worker_connections 65536;", "worker_connections 512;", 1)
        (self.directory / "nginx.conf").write_text(text)

    def _write_listen(self, certificate: Path | None) -> None:
        text = (SOURCE / ("tls.conf" if certificate else "plain.conf")).read_text()
        text = replaced(text, "listen 8080 ", f"listen 127.0.0.1:{self.port} ", 1)
        if certificate is not None:
            for name in ("/run/secrets/tls_certificate", "/run/secrets/tls_key"):
                text = replaced(text, name, str(certificate), 1)
        (self.directory / "listen.conf").write_text(text)

    def _write_pods(self, ports: Sequence[int]) -> None:
        lines = SERVER.findall((SOURCE / "pods.conf").read_text())
        assert len(lines) == len(ports) == 2, "one line of pods.conf for each pod"
        servers = [
            f"server 127.0.0.1:{port} {options};\n"
            for port, (_, options) in zip(ports, lines, strict=True)
        ]
        (self.directory / "pods.conf").write_text("".join(servers))

    @property
    def url(self) -> str:
        """Where REST is."""
        return f"{'https' if self.tls else 'http'}://127.0.0.1:{self.port}"

    @property
    def ws_url(self) -> str:
        """Where the WebSocket is."""
        return f"{'wss' if self.tls else 'ws'}://127.0.0.1:{self.port}/ws"

    def command(self, *arguments: str) -> list[str]:
        """nginx on these files. As root its workers stay root, who owns the directory."""
        user = "user root;" if os.geteuid() == 0 else ""
        return [
            program(), "-e", f"{self.directory}/errors.log", "-p", str(self.directory),
            "-c", f"{self.directory}/nginx.conf", "-g", f"daemon off; {user}", *arguments,
        ]  # fmt: skip

    def __enter__(self) -> Self:
        self._process = subprocess.Popen(
            self.command(),
            stdin=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,  # what it says is in errors.log, too
            start_new_session=True,
            preexec_fn=end_with_parent(signal.SIGTERM),
        )
        deadline = time.monotonic() + START_S
        while not self._listens():
            assert self._process.poll() is None, self.errors()
            assert time.monotonic() < deadline, f"it does not listen in time: {self.errors()}"
            time.sleep(0.01)
        return self

    def __exit__(self, *_: object) -> None:
        assert self._process is not None
        self._process.terminate()
        self._process.wait(20)

    def _listens(self) -> bool:
        with socket.socket() as probe:
            return probe.connect_ex(("127.0.0.1", self.port)) == 0

    def errors(self) -> str:
        """What it had to say."""
        path = self.directory / "errors.log"
        return path.read_text() if path.exists() else ""

    def lines(self) -> list[dict[str, Any]]:
        """Its log of requests."""
        text = (self.directory / "access.log").read_text()
        return [json.loads(line) for line in text.splitlines()]
