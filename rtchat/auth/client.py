"""Where a request comes from, as far as sessions and security events tell it.

Owns: the one value that handlers pass on to `auth`. Must never: decide anything. Both parts come
from outside; `address` is as trustworthy as whoever read it made sure, `agent` is anybody's words.
"""

from typing import NamedTuple

AGENT_MAX_CHARS = 256


class Client(NamedTuple):
    """Whoever asks. Empty where it is not known, as on the command line."""

    address: str = ""
    agent: str = ""


UNKNOWN = Client()


def agent_from(user_agent: str | None) -> str:
    """What is kept of a `User-Agent` (RFC 9110 §10.1.5): printable, 256 characters at most."""
    return "".join(c for c in user_agent or "" if c.isprintable())[:AGENT_MAX_CHARS]
