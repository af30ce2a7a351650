"""`rtchat chat`: the client in a terminal, and by lines where there is none.

Must never: take a password from the command line, which everybody on the machine can list, or end
with 0 where a message was not stored.
"""

import importlib.util
import sys
from typing import TYPE_CHECKING, BinaryIO
from urllib.parse import urlsplit

import click

from rtchat.addresses import of_this_machine
from rtchat.cli.outcome import Status, fail
from rtchat.cli.stdin import asked_password, lines_of_stdin, password_line
from rtchat.operate.terminal import printable

if TYPE_CHECKING:
    from rtchat.terminal.program import Wanted

URL = "http://localhost:8000"
HOW_TO_GET = "the screen needs the extra `chat`: pip install 'rtchat[chat]'"


@click.command()
@click.argument("url", required=False, metavar="[URL]")
@click.argument("channel", required=False, metavar="[ID|NAME]")
@click.option("--email", help="Sign in by password, as this; else as the time before.")
@click.option("--register", is_flag=True, help="Make the account of --email, and sign in.")
@click.option("--name", help="With --register: as people see it; else the address up to the @.")
@click.option("--follow", is_flag=True, help="Without a terminal: go on when the input has ended.")
def chat(
    url: str | None,
    channel: str | None,
    email: str | None,
    register: bool,
    name: str | None,
    follow: bool,
) -> None:
    """Talk to people: in a terminal full screen, else by lines.

    URL is the server's (http://localhost:8000); then a channel's number, or a name that no other
    has; a public one is joined. The password is asked for once: a refresh token is kept in
    $XDG_STATE_HOME/rtchat (~/.local/state/rtchat), readable for you alone, until /logout. /help
    says what may be typed.

    Where input or output is no terminal, each line of the input is sent to the channel as it is,
    and each message printed as a line; it ends with the input, when all is stored. With --email
    the first line then is the password, and nothing is kept.
    """
    if url is not None and "://" not in url:
        if channel is not None:
            raise click.UsageError(f"{url} is no URL: http://HOST:PORT")
        url, channel = None, url
    if (register or name is not None) and email is None:
        raise click.UsageError("--register and --name: --email says who.")
    terminal = sys.stdin.isatty() and sys.stdout.isatty()
    if terminal and importlib.util.find_spec("prompt_toolkit") is None:
        fail(f"{HOW_TO_GET}; without it `rtchat chat` goes by lines, as in a pipe", Status.WRONG)
    if not terminal and channel is None:
        raise click.UsageError("Without a terminal: name the channel.")
    from rtchat.terminal.program import Wanted

    _talk(
        Wanted(
            url=url or URL,
            channel=channel,
            email=email,
            register=register,
            name=name,
            follow=follow,
            source=None if terminal else lines_of_stdin(),
        )
    )


class _Terminal:
    """Asks whoever sits there; `source`: what else has the password."""

    def __init__(self, source: BinaryIO | None) -> None:
        self._source = source

    def email(self) -> str:
        """The address."""
        asked: str = click.prompt("Address", err=True)
        return asked

    def password(self, *, new: bool) -> str:
        """Without an echo; from a pipe the first line."""
        if self._source is None or sys.stdin.isatty():
            return asked_password(new=new)
        return password_line(self._source)

    def tell(self, words: str) -> None:
        """A line besides what is printed."""
        click.echo(f"rtchat: {printable(words)}", err=True)


def _talk(wanted: "Wanted") -> None:
    import asyncio

    from rtchat.client import ClosedError, OutcomeUnknownError, RefusedError, UnreachableError
    from rtchat.client.calls import endpoints
    from rtchat.terminal.finding import WrongError
    from rtchat.terminal.piped import NotTextError
    from rtchat.terminal.program import NotSignedInError, run

    try:
        way = urlsplit(endpoints(wanted.url)[1])
    except ValueError as error:
        fail(str(error), Status.WRONG)
    asking = _Terminal(wanted.source)
    if way.scheme == "http" and not of_this_machine(way.hostname or ""):
        asking.tell(f"the way to {way.hostname} is not encrypted; https://… is")
    try:
        asyncio.run(run(wanted, asking, click.echo))
    except (WrongError, NotTextError, NotSignedInError) as error:
        fail(str(error), Status.WRONG)
    except RefusedError as error:
        fail(f"refused: {error}", Status.AWAY if error.retry else Status.WRONG)
    except ClosedError as error:
        fail(f"the server sends us away: {error}", Status.WRONG)
    except (UnreachableError, OutcomeUnknownError) as error:
        fail(f"{wanted.url}: {error}", Status.AWAY)
    except OSError as error:
        fail(f"the sign-in cannot be kept: {error}", Status.WRONG)
    except KeyboardInterrupt:
        if not wanted.follow:
            raise
