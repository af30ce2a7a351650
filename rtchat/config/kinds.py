"""What a setting is made of: a number within limits or a text of bounded length, with its words."""

from msgspec import Meta


class ConfigError(Exception):
    """A setting that is missing, unknown or out of its limits; the text says how to mend it."""


def number(ge: float, le: float, doc: str) -> Meta:
    """A number from `ge` to `le`; `doc` tells its unit and what happens at the limit."""
    return Meta(ge=ge, le=le, description=doc)


def text(doc: str, *, secret: bool = False, max_length: int = 4096) -> Meta:
    """A text of up to so many characters; a secret one is never shown."""
    return Meta(max_length=max_length, description=doc, extra={"secret": secret})
