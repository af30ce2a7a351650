"""A pod of the local overlay without a cluster: its commands with its settings, as processes here.

Owns: what a kubelet would do with the manifests, in small: Secrets become files, the migration runs
as its Job says, `serve` as the Deployment says, probes are asked, the pre-stop hook comes before
SIGTERM. What differs: ports, names of roles and addresses of the stores, of which other tests have
their own; and the hook's hold, which only takes time.
"""

import os
import re
import secrets
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import httpx2

from rtchat.server.binaries import find_postgres
from rtchat.server.launch import end_with_parent, free_port
from tests.deploy import needed
from tests.deploy.cluster_files import K8S, Object, documents, one, pod_templates, read
from tests.deploy.cluster_numbers import environment

LOCAL = K8S / "overlays" / "local"
EXAMPLE = K8S / "secrets.example.yaml"
WITHIN_S = 30.0  # busy cores; mostly a second
POLL_S = 0.05


def fresh_secrets() -> dict[str, dict[str, str]]:
    """The Secrets that the local overlay's script prints, by name."""
    printed = subprocess.run([LOCAL / "secrets.sh"], capture_output=True, text=True, check=True)
    return {each["metadata"]["name"]: each["stringData"] for each in documents(printed.stdout)}


def example_secrets() -> dict[str, dict[str, str]]:
    """The Secrets of the example, by name."""
    return {each["metadata"]["name"]: each["stringData"] for each in read(EXAMPLE)}


def mount(values: Mapping[str, Mapping[str, str]], at: Path) -> None:
    """Write Secrets as a kubelet does: a folder each, a file each key."""
    for name, keys in values.items():
        (at / name).mkdir()
        for key, value in keys.items():
            (at / name / key).write_text(value)
            (at / name / key).chmod(0o440)


def mounted(variables: Mapping[str, str], at: Path) -> dict[str, str]:
    """The variables, with the mounts of a pod below that folder."""
    return {k: v.replace("/run/secrets/", f"{at}/") for k, v in variables.items()}


class LocalPod:
    """The objects of a build, on a PostgreSQL whose superuser's URL is given."""

    def __init__(self, things: list[Object], admin_url: str, redis_url: str, folder: Path) -> None:
        self._things = things
        self._admin = urlsplit(admin_url)
        self._folder = folder
        own = secrets.token_hex(4)
        self.owner, self.role, self.database = f"owner_{own}", f"pod_{own}", f"rtchat_{own}"
        values = fresh_secrets()
        self.token = values["rtchat"]["internal-token"]
        values["rtchat"] |= {
            "database-url": self._at_server(values["rtchat"]["database-url"], self.role),
            "redis-urls": redis_url,
        }
        values["rtchat-migrate"] = {
            "migrate-url": self._at_server(values["rtchat-migrate"]["migrate-url"], self.owner)
        }
        mount(values, folder)
        self.ports = {"http": free_port(), "internal": free_port()}
        self.process: subprocess.Popen[bytes] | None = None

    def _at_server(self, url: str, role: str) -> str:
        """A URL of the overlay's, at the database that is there, as a role of this test's own."""
        server = self._admin
        where = f"{role}:{urlsplit(url).password}@{server.hostname}:{server.port}"
        return server._replace(netloc=where, path=f"/{self.database}").geturl()

    def make_roles(self) -> None:
        """What the image of PostgreSQL does with roles.sql."""
        text = (LOCAL / "roles.sql").read_text().replace("/run/secrets", str(self._folder))
        text = text.replace("rtchat_owner", self.owner).replace(
            "ROLE rtchat ", f"ROLE {self.role} "
        )
        text = text.replace("DATABASE rtchat ", f"DATABASE {self.database} ")
        beside = find_postgres().directory / "psql"
        psql = str(beside) if beside.exists() else shutil.which("psql")
        if psql is None:
            needed.skip_or_fail("PostgreSQL's programs are here, and psql is not among them")
        subprocess.run(
            [psql, "--no-psqlrc", self._admin.geturl()],
            input=text, text=True, check=True, capture_output=True,
        )  # fmt: skip

    def _environ(self, owner: str) -> dict[str, str]:
        given = mounted(environment(self._things, owner), self._folder)
        if owner == "Deployment/rtchat":
            given["RTCHAT_PORT"] = str(self.ports["http"])
            given["RTCHAT_INTERNAL_PORT"] = str(self.ports["internal"])
            if {"RTCHAT_TEST_DATABASE_URL", "RTCHAT_TEST_REDIS_URL"} & os.environ.keys():
                given["RTCHAT_TLS_REQUIRED"] = "0"
        return {"PATH": os.environ["PATH"], **given}

    def _command(self, words: list[str]) -> list[str]:
        assert words[0] == "rtchat", words
        return [sys.executable, "-m", "rtchat", *words[1:]]

    def run(self, owner: str, words: list[str]) -> subprocess.CompletedProcess[str]:
        """Run a command with the variables of that owner's container, to its end."""
        command = self._command(words)
        environ = self._environ(owner)
        return subprocess.run(command, env=environ, capture_output=True, text=True, timeout=50)

    def migrate(self) -> subprocess.CompletedProcess[str]:
        """What the Job does."""
        words = pod_templates(self._things)["Job/rtchat-migrate"]["spec"]["containers"][0][
            "command"
        ]
        assert words[-2:] == ["--grant", "rtchat"], words
        return self.run("Job/rtchat-migrate", [*words[:-1], self.role])

    @property
    def container(self) -> Object:
        """The container that serves."""
        found: Object = one(self._things, "Deployment")["spec"]["template"]["spec"]["containers"][0]
        return found

    def start(self) -> None:
        """What the Deployment does, until the startup probe has its answer."""
        with (self._folder / "log").open("wb") as log:
            self.process = subprocess.Popen(
                self._command(self.container["command"]),
                env=self._environ("Deployment/rtchat"),
                stdout=log, stderr=log, preexec_fn=end_with_parent(signal.SIGKILL),
            )  # fmt: skip
        until = time.monotonic() + WITHIN_S
        while (answer := self.probe("startupProbe")) is None or answer.status_code != 200:
            assert self.process.poll() is None, self.log
            assert time.monotonic() < until, self.log
            time.sleep(POLL_S)

    @property
    def log(self) -> str:
        """What it has said."""
        return (self._folder / "log").read_text()

    def get(self, port: str, path: str, **more: Any) -> httpx2.Response:
        """Ask it, by a port's name."""
        return httpx2.get(f"http://127.0.0.1:{self.ports[port]}{path}", timeout=20, **more)

    def probe(self, name: str) -> httpx2.Response | None:
        """Ask what a probe asks; None: nobody listens."""
        asked = self.container[name]["httpGet"]
        try:
            return self.get(asked["port"], asked["path"])
        except httpx2.TransportError:
            return None

    def pre_stop(self) -> subprocess.CompletedProcess[str]:
        """What the hook does, without holding."""
        words = self.container["lifecycle"]["preStop"]["exec"]["command"]
        words = [re.sub(r"^[0-9]+$", "0", word) for word in words]
        return self.run("Deployment/rtchat", words)

    def stop(self) -> int:
        """SIGTERM, and what it ends with."""
        assert self.process is not None
        self.process.terminate()
        return self.process.wait(WITHIN_S)

    def kill(self) -> None:
        """Let nothing of it remain."""
        if self.process is not None and self.process.poll() is None:
            self.process.kill()
            self.process.wait()
