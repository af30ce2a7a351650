"""`rtchat stat` and `rtchat tail`: following pods, and following a channel, until Ctrl+C.

Must never: import asyncio before a command runs (help comes at once), or send a terminal anything
that came from outside and is not printable.
"""

import contextlib
import sys
import time

import click

from rtchat import settings
from rtchat.cli.outcome import Status, database, fail, fail_at, load
from rtchat.errors import StartError
from rtchat.operate.terminal import printable


@click.command()
@click.argument("urls", nargs=-1, metavar="[URL]...")
@click.option(
    "--interval", type=click.FloatRange(0.2, 3600), default=1.0, help="Seconds between looks."
)
@click.option("--once", is_flag=True, help="Two looks, one table, and the end.")
@click.option("--json", "as_json", is_flag=True, help="A line of JSON a look.")
def stat(urls: tuple[str, ...], interval: float, once: bool, as_json: bool) -> None:
    """Show what pods do, once a second: sockets, writes, delivery, queues, the loop, the bus.

    URL is one pod's (http://pod-1:8001), or a name behind which all pods are; without one, the
    server that these settings would start. On a terminal a table, else a line for all pods
    together. RTCHAT_INTERNAL_TOKEN must be set. Ctrl+C ends it.
    """
    config, _ = load()
    if not config.internal_token:
        fail("RTCHAT_INTERNAL_TOKEN (or RTCHAT_INTERNAL_TOKEN_FILE) is not set", Status.WRONG)
    import asyncio

    from rtchat.operate import watch
    from rtchat.operate.board import CLEAR, Looks, Style, shown

    style = Style.JSON if as_json else Style.TABLE if once else Style.LINE
    if style is Style.LINE and sys.stdout.isatty():
        style = Style.SCREEN

    before = CLEAR if style is Style.SCREEN else ""  # once there is a table to show

    def show(looks: Looks) -> None:
        nonlocal before
        click.echo(before + shown(looks, style, time.time(), time.strftime("%T")))
        before = ""

    try:
        targets = watch.urls(urls, config, settings.worker_count(config))
        watching = watch.Watch(targets, config.internal_token)
        with contextlib.suppress(KeyboardInterrupt):
            all_answer = asyncio.run(watching.follow(interval, show, once=once))
            sys.exit(Status.WELL if all_answer else Status.AWAY)
    except watch.WrongUrlError as error:
        fail(str(error), Status.WRONG)
    except watch.NobodyAnswersError as error:
        fail(f"{error}; start them, or name others: rtchat stat URL", Status.AWAY)


@click.command()
@click.argument("channel", metavar="ID|NAME")
@click.option("--from", "start", type=click.IntRange(1), metavar="SEQ", help="Begin with this one.")
@click.option("--last", type=click.IntRange(0), metavar="N", help="Begin with the last N entries.")
@click.option(
    "--interval",
    type=click.FloatRange(0.1, 60),
    default=0.5,
    help="Seconds between looks at the log, while nothing comes.",
)
@click.option("--once", is_flag=True, help="End at the head, instead of waiting for what comes.")
@click.option("--json", "as_json", is_flag=True, help="A line of JSON an entry, content exact.")
def tail(
    channel: str, start: int | None, last: int | None, interval: float, once: bool, as_json: bool
) -> None:
    """Follow a channel's log, straight from the database: an entry a line, in order, none missing.

    From the head on, without --from or --last. What was edited or deleted since is shown as it is
    now. Reads only: a role with SELECT on channels, members, messages and users is enough for
    RTCHAT_DATABASE_URL. Ctrl+C ends it.
    """
    if start is not None and last is not None:
        raise click.UsageError("--from and --last: name one of them.")
    url, source = database(*load())
    import asyncio

    from rtchat.operate import tail as log
    from rtchat.operate.people import UnknownError
    from rtchat.store.following import Line

    following = log.Tail(url, channel, log.From(start, last), interval, once_only=once)
    terminal = sys.stdout.isatty()

    def show(item: Line | log.Note) -> None:
        if isinstance(item, log.Note):
            click.echo(f"rtchat: {printable(item)}", err=True)
        elif as_json:
            click.echo(log.as_json(item, ascii_only=terminal))
        else:
            click.echo(log.as_text(item))

    try:
        with contextlib.suppress(KeyboardInterrupt):
            asyncio.run(following.show(show))
    except UnknownError as error:
        fail(str(error), Status.WRONG)
    except StartError as error:
        fail_at(error, source)
