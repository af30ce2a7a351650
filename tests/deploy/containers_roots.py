"""Roots in which the Dockerfile's steps run without Docker: a Debian of their own, or a folder.

Owns: making a root for each stage, running RUN and COPY in it, and starting a command in it as a
container would be started. Must never: write outside of its directory. What a crash leaves is that
directory; mounts are in namespaces that end with their process.
"""

import contextlib
import os
import re
import shlex
import shutil
import subprocess
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from tests.deploy.containers_dockerfile import Stage, Step

ROOT = Path(__file__).parents[2]
SUITE = "bookworm"
PACKAGES = "python3,python3-venv,ca-certificates"  # what python:…-slim-bookworm has, by Debian
# How this machine reaches the registry of packages: for the build, as Docker's builds have its own.
NETWORK_FILES = ("/etc/resolv.conf", "/etc/pip.conf", "/etc/ssl/certs/ca-certificates.crt")
NETWORK_VARIABLES = ("PIP_INDEX_URL", "PIP_CERT", "PIP_DEFAULT_TIMEOUT", "PIP_CONFIG_FILE")
# A container's view: its own processes, /dev/shm, and a root that nobody may write.
ISOLATED = ["unshare", "--mount", "--pid", "--fork", "--kill-child"]
MOUNTS = "mount -t proc proc {root}/proc && mount -t tmpfs tmpfs {root}/dev/shm"
OF_ITS_OWN, READ_ONLY = "mount --bind {root} {root}", "mount -o remount,ro,bind {root}"


class Debian:
    """Roots made by debootstrap: for root, on Debian and its kin."""

    isolated = True

    def __init__(self, directory: Path, mirror: str | None) -> None:
        self._directory = directory
        base = directory / "debian"
        if not (base / "usr/local/bin/python").is_symlink():
            shutil.rmtree(base, ignore_errors=True)
            options = ["--variant=minbase", f"--include={PACKAGES}", SUITE, str(base)]
            subprocess.run(["debootstrap", *options, *([mirror] if mirror else [])], check=True)
            (base / "usr/local/bin/python").symlink_to("/usr/bin/python3")

    def make(self, stage: Stage, stages: Mapping[str, Path]) -> Path:
        """A root for a stage: a copy of the one that it begins with."""
        root = self._directory / stage.name
        shutil.rmtree(root, ignore_errors=True)
        source = stages.get(stage.image, self._directory / "debian")
        subprocess.run(["cp", "-a", "--reflink=auto", source, root], check=True)
        return root

    def can(self, step: Step) -> bool:
        """Whether a step can be run: all of them."""
        return True

    def run(self, root: Path, command: str, environ: Mapping[str, str], at: str) -> None:
        """RUN, with this machine's network."""
        network = {name: os.environ[name] for name in NETWORK_VARIABLES if name in os.environ}
        with _borrowed(root):
            inside = f"cd {at} && {command}"
            self._isolate(root, [MOUNTS], ["sh", "-c", inside], {**environ, **network}).wait_well()

    def start(
        self,
        root: Path,
        words: list[str],
        environ: Mapping[str, str],
        user: str,
        secrets: Path,
        **options: Any,
    ) -> "Started":
        """Start as process 1, with a read-only root, without rights; secrets below /run/secrets."""
        (root / "run/secrets").mkdir(parents=True, exist_ok=True)
        given = f"mount --bind {secrets} {{root}}/run/secrets"
        mounts = [OF_ITS_OWN, MOUNTS, given, READ_ONLY]
        uid, _, gid = user.partition(":")
        less = [
            "setpriv", f"--reuid={uid}", f"--regid={gid}", f"--groups={secrets.stat().st_gid}",
            "--no-new-privs", "--bounding-set=-all", "--inh-caps=-all",
        ]  # fmt: skip
        return self._isolate(root, mounts, [*less, *words], environ, **options)

    def path(self, root: Path, path: str) -> str:
        """A path of the image, as its processes see it."""
        return path

    def _isolate(
        self,
        root: Path,
        mounts: list[str],
        words: list[str],
        environ: Mapping[str, str],
        **options: Any,
    ) -> "Started":
        steps = " && ".join(mounts).format(root=shlex.quote(str(root)))
        given = [f"{name}={value}" for name, value in environ.items()]
        inside = shlex.join(["chroot", str(root), "/usr/bin/env", "-i", *given, *words])
        return Started([*ISOLATED, "sh", "-ec", f"{steps} && exec {inside}"], **options)


class Folder:
    """A directory that stands for `/`: without root, a Python of this machine, no isolation."""

    isolated = False

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self._own = directory / "bin"
        self._own.mkdir(parents=True, exist_ok=True)
        with contextlib.suppress(FileExistsError):
            (self._own / "python").symlink_to(sys.executable)

    def make(self, stage: Stage, stages: Mapping[str, Path]) -> Path:
        """One folder for all stages: an environment of Python cannot be moved."""
        return self._directory / "root"

    def can(self, step: Step) -> bool:
        """Whether a step can be run: what changes the system itself cannot."""
        return "/opt/" in step.rest or step.word == "COPY"

    def run(self, root: Path, command: str, environ: Mapping[str, str], at: str) -> None:
        """RUN, with the image's paths replaced by those below the folder."""
        cwd = root / at.lstrip("/")
        cwd.mkdir(parents=True, exist_ok=True)
        text = re.sub(r"(?<!\S)/opt/", f"{root}/opt/", command)
        Started(["sh", "-ec", text], cwd=cwd, env=self._environ(root, environ)).wait_well()

    def start(
        self,
        root: Path,
        words: list[str],
        environ: Mapping[str, str],
        user: str,
        secrets: Path,
        **options: Any,
    ) -> "Started":
        """Start as whoever runs this."""
        own = self._environ(root, environ)
        own = {k: v.replace("/run/secrets", str(secrets)) for k, v in own.items()}
        program = shutil.which(words[0], path=own["PATH"])
        assert program is not None, words
        return Started([program, *words[1:]], env=own, cwd=root, **options)

    def path(self, root: Path, path: str) -> str:
        """A path of the image, as its processes see it."""
        return f"{root}{path}"

    def _environ(self, root: Path, environ: Mapping[str, str]) -> dict[str, str]:
        outside = {k: v for k, v in os.environ.items() if not k.startswith(("RTCHAT_", "PYTHON"))}
        path = environ["PATH"].replace("/opt/rtchat", f"{root}/opt/rtchat")
        return {**outside, **environ, "PATH": f"{path}:{self._own}"}


class Started:
    """A process of a root."""

    def __init__(self, command: list[str], **options: Any) -> None:
        self._below = command[0] == ISOLATED[0]
        self.process: subprocess.Popen[bytes] = subprocess.Popen(command, **options)

    def wait_well(self) -> None:
        """Wait for its end, which is to be a good one."""
        assert self.process.wait() == 0, self.process.args

    @property
    def pid(self) -> int:
        """Its process 1 (below `unshare`), or itself."""
        path = Path(f"/proc/{self.process.pid}/task/{self.process.pid}/children")
        return int(path.read_text().split()[0]) if self._below else self.process.pid


@contextlib.contextmanager
def _borrowed(root: Path) -> Iterator[None]:
    """Give a build this machine's network settings, and take them back: the image has none."""
    kept: dict[Path, bytes | None] = {}
    for name in NETWORK_FILES:
        if Path(name).exists():
            inside = root / name.lstrip("/")
            kept[inside] = inside.read_bytes() if inside.exists() else None
            inside.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(name, inside)
    try:
        yield
    finally:
        for inside, before in kept.items():
            if before is None:
                inside.unlink()
            else:
                inside.write_bytes(before)


def copy(step: Step, root: Path, at: str, stages: Mapping[str, Path]) -> None:
    """COPY, from the checkout or from another stage."""
    *sources, target = step.rest.split()
    begin = stages[step.flags["from"]] if "from" in step.flags else ROOT
    into = root / (target if target.startswith("/") else f"{at}/{target}").lstrip("/")
    for source in sources:
        found = begin / source.lstrip("/")
        # A file goes into a directory; of a directory it is what is in it that goes.
        end = into / found.name if found.is_file() else into
        if found == end:  # one folder for all stages
            continue
        end.parent.mkdir(parents=True, exist_ok=True)
        if found.is_file():
            shutil.copy2(found, end)
        else:
            ignored = shutil.ignore_patterns("__pycache__", "*.pyc") if begin == ROOT else None
            shutil.copytree(found, end, symlinks=True, ignore=ignored, dirs_exist_ok=True)
