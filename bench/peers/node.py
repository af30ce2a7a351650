"""The peers on Node: socket.io and `ws`. Their packages live in a cache directory of the user's.

The cache is named after what package.json says, so a new pin is a new directory.
"""

import contextlib
import hashlib
import json
import os
import shutil
import subprocess
from collections.abc import Collection, Iterator
from pathlib import Path

from bench.peers.peer import Peer, PeerError, Running, serving
from rtchat.server.launch import ask, free_port

INSTALL_S = 300.0


def cache_directory() -> Path:
    """Where packages of benches are kept between runs (XDG base directories)."""
    home = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(home) / "rtchat-bench"


class _OnNode(Peer):
    """A server.js of this folder with the packages of its package.json."""

    folder: str

    @property
    def _source(self) -> Path:
        return Path(__file__).parent / self.folder

    @property
    def _installed(self) -> Path:
        pins = (self._source / "package.json").read_bytes()
        return cache_directory() / f"{self.folder}-{hashlib.sha256(pins).hexdigest()[:12]}"

    def available(self) -> str | None:
        if shutil.which("node") is None:
            return "node is not on PATH"
        if not (self._installed / "complete").exists():
            return "its packages are not installed (python -m bench.peers install)"
        return None

    def version(self) -> str:
        packages = json.loads((self._source / "package.json").read_text())["dependencies"]
        node = ask("node", "--version").strip().removeprefix("v")
        return ", ".join([*(f"{name} {pin}" for name, pin in packages.items()), f"Node {node}"])

    def install(self) -> None:
        """Fetch the packages. Raises PeerError where npm or the network is missing."""
        if shutil.which("npm") is None:
            raise PeerError("npm is not on PATH")
        directory = self._installed
        directory.mkdir(parents=True, exist_ok=True)
        shutil.copy(self._source / "package.json", directory)
        command = ["npm", "install", "--no-audit", "--no-fund", "--ignore-scripts", "--silent"]
        try:
            done = subprocess.run(
                command, cwd=directory, capture_output=True, text=True, timeout=INSTALL_S
            )
        except subprocess.TimeoutExpired:
            raise PeerError(f"npm did not end within {INSTALL_S:g} s") from None
        if done.returncode != 0:
            raise PeerError(f"npm install failed: {(done.stderr or done.stdout).strip()[-500:]}")
        (directory / "complete").touch()

    @contextlib.contextmanager
    def start(self, cores: Collection[int] = ()) -> Iterator[Running]:
        port = free_port()
        environ = {"PORT": str(port), "NODE_PATH": str(self._installed / "node_modules")}
        command: list[str | Path] = [shutil.which("node") or "node", self._source / "server.js"]
        with serving(command, port, cores=cores, environ=environ) as child:
            yield Running(f"http://127.0.0.1:{port}", (child.pid,), self.dialect)


class SocketIONode(_OnNode):
    """socket.io."""

    name = "socket.io (Node)"
    does = "sends to every member"
    does_not = "store, ack, resume, more than one pod (without its Redis adapter)"
    dialect = "socketio"
    folder = "socketio_node"


class WsNode(_OnNode):
    """The `ws` package."""

    name = "ws (Node)"
    does = "sends to every member"
    does_not = "store, ack, resume, more than one pod"
    dialect = "plain"
    folder = "ws_node"
