"""NATS over WebSocket: a subject is a room, a client publishes to it."""

import re
from collections.abc import Sequence
from pathlib import Path

from bench.peers.programs import Program
from rtchat.server.launch import ask, free_port


class Nats(Program):
    """nats-server, core NATS (at most once)."""

    name = "NATS"
    does = "sends to every subscriber of a subject, passing bytes on; clusters"
    does_not = "store, resume (without JetStream), know users or members"
    dialect = "nats"
    program = "nats-server"

    def version(self) -> str:
        found = re.search(r"v[\d.]+", ask(self.path() or self.program, "--version"))
        return f"nats-server {found[0] if found else 'of unknown version'}"

    def configuration(self, port: int) -> str:
        return (
            f'listen: "127.0.0.1:{free_port()}"\n'
            f'websocket {{ listen: "127.0.0.1:{port}", no_tls: true }}\n'
        )

    def command(self, file: Path) -> Sequence[str | Path]:
        return ["--config", file]
