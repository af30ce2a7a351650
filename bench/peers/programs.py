"""Peers that are programs of the system: found on PATH, given a configuration, run on one core."""

import contextlib
import os
import shutil
import time
from abc import abstractmethod
from collections.abc import Collection, Iterator, Sequence
from pathlib import Path

from bench.peers.peer import READY_S, Peer, PeerError, Running, process_tree, serving
from rtchat.server.launch import free_port
from tests.services import temporary_directory

# Where Debian puts servers, which an ordinary user's PATH may lack.
_PATH = os.pathsep.join([os.environ.get("PATH", os.defpath), "/usr/sbin", "/usr/local/sbin"])


class Program(Peer):
    """A server that reads its configuration from a file."""

    program: str
    processes = 1

    def path(self) -> str | None:
        """Where the program is."""
        return shutil.which(self.program, path=_PATH)

    def available(self) -> str | None:
        return None if self.path() else f"{self.program} is not on PATH"

    @abstractmethod
    def configuration(self, port: int) -> str:
        """The whole configuration file: one WebSocket listener on loopback."""

    @abstractmethod
    def command(self, file: Path) -> Sequence[str | Path]:
        """How it is started on that file, in the foreground."""

    @contextlib.contextmanager
    def start(self, cores: Collection[int] = ()) -> Iterator[Running]:
        port = free_port()
        with temporary_directory() as directory:
            file = directory / f"{self.program}.conf"
            file.write_text(self.configuration(port))
            path = self.path()
            assert path is not None, "ask available() first"
            with serving([path, *self.command(file)], port, cores=cores) as child:
                pids = self._pids(child.pid)
                yield Running(f"http://127.0.0.1:{port}", pids, self.dialect)

    def _pids(self, pid: int) -> tuple[int, ...]:
        """All processes; a port may answer before the one that will serve is there."""
        deadline = time.monotonic() + READY_S
        while len(pids := process_tree(pid)) < self.processes:
            if time.monotonic() > deadline:
                raise PeerError(f"{self.name} has processes {pids}, not {self.processes}")
            time.sleep(0.02)
        return pids
