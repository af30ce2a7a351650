"""What a setting is made of: a number within limits or a text of bounded length, with its words."""

from msgspec import Meta


class ConfigError(Exception):
    """A setting that is missing, unknown or out of its limits; the text says how to mend it."""


def number(ge: float, le: float, doc: str, limit: str = "") -> Meta:
    """A number from `ge` to `le`; `doc` tells its unit and what happens at the limit.

    `limit` tells of a limit the same for docs/limits.md: whose it is, and what is answered there,
    as "socket: `rate_limited`, close 4008", where error codes and close codes are so marked.
    """
    of, _, at = limit.partition(": ")
    return Meta(ge=ge, le=le, description=doc, extra={"of": of, "at": at} if limit else None)


def text(doc: str, *, secret: bool = False, max_length: int = 4096) -> Meta:
    """A text of up to so many characters; a secret one is never shown."""
    return Meta(max_length=max_length, description=doc, extra={"secret": secret})
