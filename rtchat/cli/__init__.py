"""The command line: parse, call, print. Each command imports what it needs when it runs.

Owns: which commands there are; each file beside this one holds a group of them. Must never: load
drivers or a server for what only talks, so that help and completion come at once.

Exit status (`outcome`): 0 well; 1 an unexpected failure; 2 the command line or a setting is wrong;
3 something that rtchat depends on (the database, the port) is not there.
"""

import os
import signal

import click

import rtchat
from rtchat.cli import (
    chat,
    completion,
    database,
    diagnosis,
    documents,
    keys,
    people,
    places,
    serving,
    tokens,
    watching,
)
from rtchat.operate.terminal import printable


class _Utf8(click.Group):
    """Takes arguments of UTF-8 only: what is none could be neither shown nor stored."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        for argument in args:
            try:
                argument.encode()
            except UnicodeEncodeError:
                raise click.UsageError(f"{printable(argument)} is no UTF-8.", ctx) from None
        return super().parse_args(ctx, args)


@click.group(
    cls=_Utf8, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100}
)
@click.version_option(rtchat.__version__, prog_name="rtchat")
def main() -> None:
    """A realtime chat server: every acknowledged message stored, ordered and delivered."""
    if os.getpid() == 1:
        # In a container the kernel drops a signal that process 1 has no handler for. A server has
        # its own only after 0.3 s, a migration never: whoever stops it would wait for the kill.
        signal.signal(signal.SIGTERM, lambda *_: os._exit(128 + signal.SIGTERM))


for _command in (
    serving.dev,
    serving.serve,
    serving.drain,
    database.migrate,
    database.epoch,
    people.user,
    places.channel,
    tokens.token,
    keys.key,
    watching.stat,
    watching.tail,
    chat.chat,
    diagnosis.doctor,
    documents.show_config,
    documents.openapi,
    documents.asyncapi,
    completion.completion,
):
    main.add_command(_command)
