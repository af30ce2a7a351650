"""What comes on standard input: a password, a token. Never an argument, which all may list.

Must never: show what it read, or store something else than was sent, as bytes that are no UTF-8
would be.
"""

import sys

from rtchat.cli.outcome import Status, fail


def text_of_stdin(what: str, max_bytes: int) -> str:
    """All of it, `max_bytes` at most. Ends the process where it is no UTF-8."""
    read = sys.stdin.buffer.read(max_bytes)
    try:
        return read.decode()
    except UnicodeDecodeError as error:
        fail(f"{what} on standard input is no UTF-8, at byte {error.start}", Status.WRONG)
