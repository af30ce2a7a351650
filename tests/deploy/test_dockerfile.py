"""The Dockerfile: what the image has and has not, how it starts, is looked at and stops.

What needs no Docker is done for real: the health check's command against a pod, and rtchat as
process 1. All of it together, in a clean root: `python -m tests.deploy.clean_root`.
"""

import os
import re
import signal
import socket
import subprocess
import sys
import time
import tomllib
from collections.abc import Iterator
from importlib import metadata
from pathlib import Path

import click
import pytest
from packaging.markers import Marker
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from rtchat import settings
from rtchat.cli import main
from rtchat.config import Config
from rtchat.server.launch import free_port
from rtchat.server.valkey import PrivateValkey
from tests.deploy import containers_dockerfile as dockerfile, needed
from tests.pods import ROOT, SETTINGS, Pod
from tests.services import Given

TEXT = dockerfile.DOCKERFILE.read_text()
STAGES = dockerfile.read(TEXT)
FINAL = STAGES[-1]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())
ENV = {name: value for step in FINAL.all("ENV") for name, value in step.pairs.items()}
COMPILERS = re.compile(r"\b(apt|apt-get|apk|gcc|g\+\+|cc|clang|make|cargo|build-essential|pip)\b")
PINNED = re.compile(r"(?P<name>[\w.-]+)==(?P<version>\S+)(?: ; (?P<marker>[^\\]+?))? \\")
# The oldest patch release of each version that rtchat says it runs on: 3.11.2 is Debian 12's.
PYTHONS = ("3.11.0", "3.11.2", "3.11.14", "3.12.0", "3.13.0", "3.14.0")


def seconds(flag: str) -> float:
    return float(flag.removesuffix("s"))


# --- what it is made of


def test_it_passes_the_linter() -> None:
    hadolint = needed.program("hadolint", "pip install -e '.[deploy]'")
    linted = subprocess.run([hadolint, dockerfile.DOCKERFILE], capture_output=True, text=True)
    assert (linted.returncode, linted.stdout) == (0, ""), linted


def test_the_base_is_one_and_pinned() -> None:
    """By its full version; `python:3.13` would be another one tomorrow."""
    names = {stage.name for stage in STAGES}
    [base] = {stage.image for stage in STAGES} - names
    python = re.fullmatch(r"python:(3\.\d+)\.\d+-slim-(bookworm|trixie)", base)
    assert python, base
    wanted = PROJECT["project"]["requires-python"]
    assert Requirement(f"python{wanted}").specifier.contains(f"{python[1]}.0")


def test_the_image_has_no_compiler_and_no_installer() -> None:
    """Nor has what it is built on; all that comes of the build stage is the environment."""
    for stage in dockerfile.chain(STAGES, FINAL):
        for step in stage.all("RUN"):
            assert not COMPILERS.search(step.rest), step.rest
    [copied] = FINAL.all("COPY")
    assert (copied.flags, copied.rest) == ({"from": "build"}, "/opt/rtchat /opt/rtchat")
    [made] = [s.rest for s in STAGES[1].all("RUN") if "venv" in s.rest]
    assert "venv --without-pip /opt/rtchat" in made


def test_what_is_installed_is_locked() -> None:
    """Each pip takes hashed files of the locks, or what was just built, and keeps no cache."""
    runs = [step.rest for stage in STAGES for step in stage.all("RUN")]
    commands = [command for run in runs for command in run.split(" && ") if "/pip " in command]
    assert len(commands) == 4
    for command in commands:
        assert "--no-cache-dir" in command
        locked = "--require-hashes" in command and "--only-binary :all:" in command
        assert locked or "--no-deps" in command, command
    assert not any("[" in command for command in commands), "no extra is installed"


def locked(name: str) -> dict[str, tuple[str, str | None]]:
    """Version and marker of each package in a lock."""
    lines = (ROOT / ".ci" / name).read_text().splitlines()
    found: dict[str, tuple[str, str | None]] = {}
    for line in lines:
        if not line.startswith(("#", "    --hash=sha256:")):
            pinned = PINNED.fullmatch(line)
            assert pinned, line
            found[canonicalize_name(pinned["name"])] = pinned["version"], pinned["marker"]
    return found


def test_what_the_wheel_is_built_with_is_locked() -> None:
    versions = locked("build.lock")
    for asked in map(Requirement, PROJECT["build-system"]["requires"]):
        assert versions[canonicalize_name(asked.name)][0] in asked.specifier
    assert "https://" not in (ROOT / ".ci" / "build.lock").read_text()


@pytest.mark.parametrize("python", PYTHONS)
def test_the_lock_is_complete_on_each_python(python: str) -> None:
    """What the locked packages ask for is locked as well, and where they ask for it."""
    versions = locked("requirements.lock")
    environment = {
        "python_version": python.rpartition(".")[0], "python_full_version": python,
        "sys_platform": "linux", "platform_system": "Linux", "os_name": "posix",
        "platform_machine": "aarch64", "platform_python_implementation": "CPython",
        "implementation_name": "cpython", "implementation_version": python, "extra": "",
    }  # fmt: skip
    asked = [Requirement(line) for line in PROJECT["project"]["dependencies"]]
    seen: set[str] = set()
    while asked:
        requirement = asked.pop()
        name = canonicalize_name(requirement.name)
        extras = ("", *requirement.extras)
        version, marker = versions[name]
        assert version in requirement.specifier, requirement
        assert marker is None or Marker(marker).evaluate(environment), f"{name} is left out"
        if name in seen:
            continue
        seen.add(name)
        try:
            lines = metadata.requires(name) or []
        except metadata.PackageNotFoundError:  # one that this Python needs not
            continue
        for each in map(Requirement, lines):
            applies = [
                each.marker is None or each.marker.evaluate({**environment, "extra": extra})
                for extra in extras
            ]
            if any(applies):
                asked.append(each)
    assert len(seen) > 25


def test_the_build_gets_what_it_copies_and_no_more() -> None:
    """.dockerignore lets in what COPY names; that is all that the wheel is made of."""
    sources = {
        source
        for stage in STAGES
        for step in stage.all("COPY")
        if not step.flags
        for source in step.rest.split()[:-1]
    }
    lines = (ROOT / ".dockerignore").read_text().splitlines()
    rules = [line for line in lines if line and not line.startswith("#")]
    assert rules[0] == "*"
    assert {rule[1:] for rule in rules if rule.startswith("!")} == sources
    wheel = PROJECT["tool"]["hatch"]["build"]["targets"]["wheel"]
    own = {PROJECT["project"]["readme"], *wheel["packages"], *wheel["force-include"]}
    licences = {path.partition("/")[0] for path in PROJECT["project"]["license-files"]}
    assert own | licences | {"pyproject.toml"} <= sources
    assert all((ROOT / source).exists() for source in sources)


# --- how it runs


def test_it_runs_as_nobody_in_particular() -> None:
    """A number, which Kubernetes can tell from root's, and after it no step that changes files."""
    assert re.fullmatch(r"([1-9]\d{3,}):\1", FINAL.last("USER").rest)
    user = FINAL.steps.index(FINAL.last("USER"))
    assert not [step for step in FINAL.steps[user:] if step.word in ("RUN", "COPY")]
    [made] = FINAL.all("RUN")
    number = FINAL.last("USER").rest.partition(":")[0]
    assert f"--uid {number} --gid {number}" in made.rest
    assert "nologin" in made.rest


def test_it_starts_rtchat_by_no_shell() -> None:
    entry, words = FINAL.last("ENTRYPOINT").listed, FINAL.last("CMD").listed
    assert entry == ["rtchat"]
    assert entry[0] in PROJECT["project"]["scripts"]
    assert words is not None
    assert isinstance(main, click.Group)
    assert words[0] in main.commands
    assert {"migrate", "drain"} <= main.commands.keys()
    assert FINAL.last("STOPSIGNAL").rest == "SIGTERM"


def test_its_settings_are_rtchats() -> None:
    """Each is known and fits; the ports are the exposed ones; operators have one of their own."""
    given = {name: value for name, value in ENV.items() if name.startswith("RTCHAT_")}
    config, _ = settings.load(given)
    assert config.host == "0.0.0.0"
    assert config.internal_port
    assert FINAL.last("EXPOSE").rest.split() == [str(config.port), str(config.internal_port)]
    assert ENV["PATH"].startswith("/opt/rtchat/bin:")


def test_bytecode_is_made_while_it_is_built() -> None:
    """Of Python's library and of the environment: nothing can be written later."""
    assert ENV["PYTHONDONTWRITEBYTECODE"] == "1"
    runs = [step.rest for stage in STAGES for step in stage.all("RUN")]
    compiled = [run for run in runs if "compileall" in run]
    assert len(compiled) == 2
    assert all("--invalidation-mode unchecked-hash" in run for run in compiled)


def checked(port: int) -> int:
    """The exit status of the health check's command."""
    command = FINAL.last("HEALTHCHECK").listed
    assert command is not None
    assert command[0] == "python"
    environ = {**os.environ, "RTCHAT_PORT": str(port), "http_proxy": "http://127.0.0.1:9"}
    ran = subprocess.run(
        [sys.executable, *command[1:]], env=environ, capture_output=True, check=False, timeout=20
    )
    return ran.returncode


def test_its_health_check_tells_the_living_from_the_dead(pod: Pod) -> None:
    assert checked(pod.port) == 0
    assert checked(free_port()) == 1


def test_its_health_check_comes_to_an_end() -> None:
    flags, command = FINAL.last("HEALTHCHECK").flags, FINAL.last("HEALTHCHECK").rest
    own = re.search(r"timeout=(\d+)", command)
    assert own
    assert float(own[1]) < seconds(flags["timeout"]) < seconds(flags["interval"])


# --- process 1


@pytest.fixture(scope="module")
def namespaces() -> None:
    """Whether this machine lets us be process 1 of something."""
    needed.program(FIRST[0], "Linux: util-linux")
    tried = subprocess.run([*FIRST, "true"], capture_output=True, text=True, check=False)
    if tried.returncode:
        needed.skip_or_fail(f"no namespace of processes is to be had: {tried.stderr.strip()}")


# Whoever is not root gets one of users as well, where the kernel allows it.
FIRST = ["unshare", "--pid", "--fork", "--kill-child", "--mount-proc"]
FIRST += [] if os.geteuid() == 0 else ["--map-root-user"]


class Process1:
    """`rtchat serve` as process 1, as a container has it."""

    def __init__(self, url: str, redis: str, log: Path, workers: int) -> None:
        self.log, self.port = log, free_port()
        own = {
            "RTCHAT_DATABASE_URL": url, "RTCHAT_REDIS_URLS": redis, "RTCHAT_PORT": str(self.port),
            "RTCHAT_TLS_REQUIRED": "0", "RTCHAT_BUS_PREFIX": f"first-{workers}",
        }  # fmt: skip
        clean = {k: v for k, v in os.environ.items() if not k.startswith("RTCHAT_")}
        with log.open("wb") as output:
            self.process = subprocess.Popen(
                [*FIRST, sys.executable, "-m", "rtchat", "serve", "--workers", str(workers)],
                cwd=ROOT, env={**clean, **SETTINGS, **own}, stdout=output, stderr=output,
            )  # fmt: skip

    def wait(self, what: str, times: int) -> None:
        """Until its log has this so often."""
        deadline = time.monotonic() + 30
        while self.log.read_text().count(what) < times:
            assert self.process.poll() is None, self.log.read_text()
            assert time.monotonic() < deadline, self.log.read_text()
            time.sleep(0.01)

    @property
    def pid(self) -> int:
        """Seen from here."""
        return int(children(self.process.pid)[0])


def children(pid: int) -> list[str]:
    return Path(f"/proc/{pid}/task/{pid}/children").read_text().split()


@pytest.fixture(params=[1, 2], ids=["alone", "with two workers"])
def first(
    request: pytest.FixtureRequest,
    namespaces: None,
    module_database_url: str,
    valkey: PrivateValkey | Given,
    tmp_path: Path,
) -> Iterator[Process1]:
    one = Process1(module_database_url, valkey.url, tmp_path / "log", request.param)
    one.wait('"listening"', request.param)
    yield one
    one.process.kill()
    one.process.wait()


def test_as_process_1_it_obeys_sigterm(first: Process1) -> None:
    """The kernel drops signals for process 1 that it does not handle; and who else would reap?"""
    if workers := children(first.pid):
        os.kill(int(workers[0]), signal.SIGKILL)
        first.wait('"listening"', 3)
        assert workers[0] not in children(first.pid), "it is reaped"
    os.kill(first.pid, signal.SIGTERM)
    assert first.process.wait(Config().shutdown_s + 5) == 0, first.log.read_text()
    assert '"drained"' in first.log.read_text()


def test_as_process_1_a_command_without_handlers_obeys_sigterm(namespaces: None) -> None:
    """Else whoever stops a migration that waits, or a server that just begins, waits as well."""
    with socket.create_server(("127.0.0.1", 0)) as silent:
        url = f"postgresql://rtchat@127.0.0.1:{silent.getsockname()[1]}/rtchat"
        clean = {k: v for k, v in os.environ.items() if not k.startswith("RTCHAT_")}
        one = subprocess.Popen(
            [*FIRST, sys.executable, "-m", "rtchat", "migrate"],
            cwd=ROOT, env={**clean, "RTCHAT_DATABASE_URL": url}, stderr=subprocess.PIPE, text=True,
        )  # fmt: skip
        silent.settimeout(30)
        connection, _ = silent.accept()  # it waits for the answer now
        with connection:
            os.kill(int(children(one.pid)[0]), signal.SIGTERM)
            _, said = one.communicate(timeout=30)
    assert (one.returncode, said) == (128 + signal.SIGTERM, "")
