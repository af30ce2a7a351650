"""`python -m bench NAME …`: one command for each question; without a name, which there are."""

import importlib
import signal
import sys

import click

COMMANDS = {
    "connect": "clients a second: connect, sign in, subscribe, resume",
    "fanout": "deliveries a second in one room",
    "history": "reading back in a long log: pages, scrolling, catching up",
    "idle": "memory and CPU of connections that do nothing",
    "ingest": "messages a second, stored and acked",
    "latency": "how long an ack and a delivery take at a fixed rate",
    "attack": "what attacks do to everybody else's acks",
    "compare": "rtchat beside the servers that people would pick instead",
    "profile": "where a loaded pod's time goes",
    "writer": "rows a second into the log, by statement and batch size",
    "scale": "how cost grows with members, channels and pods",
    "replay": "days of real chat, byte for byte",
    "all": "every bench once",
    "report": "one page of what was measured",
    "page": "what the chat page takes and gives, in a real browser",
    "rest": "REST requests a second, and what each costs",
}


class _Lazy(click.Group):
    """Imports a command when it is asked for."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, name: str) -> click.Command | None:
        if name not in COMMANDS:
            return None
        command: click.Command = importlib.import_module(f"bench.{name}").main
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        with formatter.section("Benches"):
            formatter.write_dl(list(COMMANDS.items()))


@click.command(cls=_Lazy, context_settings={"help_option_names": ["-h", "--help"]})
def main() -> None:
    """Measure rtchat; `python -m bench NAME --help` tells more of each."""
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # so that what was started ends too


if __name__ == "__main__":
    sys.exit(main())
