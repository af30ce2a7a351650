"""What comes on standard input: a password, a token. Never an argument, which all may list.

Must never: show what it read, or store something else than was sent, as bytes that are no UTF-8
would be.
"""

import sys
from typing import BinaryIO

import click

from rtchat.cli.outcome import Status, fail

PASSWORD_MAX_BYTES = 65_536


def text_of_stdin(what: str, max_bytes: int) -> str:
    """All of it, `max_bytes` at most. Ends the process where it is no UTF-8."""
    return _decoded(what, sys.stdin.buffer.read(max_bytes))


def asked_password(*, new: bool) -> str:
    """Asked for at the terminal, a new one twice."""
    try:
        asked: str = click.prompt("Password", hide_input=True, confirmation_prompt=new, err=True)
        asked.encode()
    except UnicodeError:
        fail("the password is no UTF-8, as this terminal sends it", Status.WRONG)
    return asked


def lines_of_stdin() -> BinaryIO:
    """Standard input, for a thread that may wait for a line of it when the process ends: the object
    of Python's own is locked by then, and its end would be an abort."""
    return open(sys.stdin.fileno(), "rb", closefd=False)


def password_line(source: BinaryIO) -> str:
    """The next line; what follows is left there."""
    return without_end(_decoded("the password", source.readline(PASSWORD_MAX_BYTES)))


def without_end(line: str) -> str:
    """A line as it was meant."""
    return line.removesuffix("\n").removesuffix("\r")


def _decoded(what: str, read: bytes) -> str:
    try:
        return read.decode()
    except UnicodeDecodeError as error:
        fail(f"{what} on standard input is no UTF-8, at byte {error.start}", Status.WRONG)
