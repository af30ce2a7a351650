"""Centrifugo: a channel is a room; clients subscribe to it and publish into it over JSON."""

import json
from collections.abc import Sequence
from pathlib import Path

from bench.peers.programs import Program
from rtchat.server.launch import ask


class Centrifugo(Program):
    """Centrifugo 6, its engine in memory."""

    name = "Centrifugo"
    does = "sends to every subscriber of a channel; pods through Redis"
    does_not = "store; history only in memory, where configured"
    dialect = "centrifugo"
    program = "centrifugo"

    def version(self) -> str:
        return ask(self.path() or self.program, "version").strip()

    def configuration(self, port: int) -> str:
        return json.dumps(
            {
                "http_server": {"address": "127.0.0.1", "port": port},
                # Whoever connects may subscribe and publish, without a token.
                "client": {"insecure": True},
                "log": {"level": "warn"},
            }
        )

    def command(self, file: Path) -> Sequence[str | Path]:
        return ["--config", file.rename(file.with_suffix(".json"))]
