"""A name and an address for a new user, of claims that may hold anything.

Owns: that nobody is kept out by an odd name, and that an address is taken over only where the
provider says that it has verified it. Pure.
"""

import unicodedata
from typing import Any, NamedTuple

from rtchat.errors import ChatError
from rtchat.names import clean_name, is_email

NAMES = ("name", "preferred_username", "nickname", "given_name", "email")
READ_MAX_CHARS = 1000  # of a claim; the rest could not be shown anyway


class Profile(NamedTuple):
    """What a new user begins with."""

    name: str
    email: str | None


def profile_of(claims: dict[str, Any], max_chars: int, fallback: str) -> Profile:
    """The profile of an ID token's claims; a name has `max_chars` code points at most."""
    email = claims.get("email")
    said = claims.get("email_verified")
    verified = said is True or said == "true"  # some write it as a text
    usable = isinstance(email, str) and email.isprintable() and is_email(email)
    known = email if usable and verified else None
    for claim in NAMES:
        value = claims.get(claim)
        if not isinstance(value, str):
            continue
        name = _name(value.partition("@")[0] if claim != "name" else value, max_chars)
        if name is not None:
            return Profile(name, known)
    return Profile(fallback[:max_chars], known)


def _name(value: str, max_chars: int) -> str | None:
    """This as a name: cut, without what a name may not hold; None where nothing is left."""
    value = unicodedata.normalize("NFC", " ".join(value[:READ_MAX_CHARS].split()))
    kept = "".join(c for c in value if _is_name(f"a{c}", max_chars))[:max_chars]
    return clean_name(kept, max_chars) if _is_name(kept, max_chars) else None


def _is_name(text: str, max_chars: int) -> bool:
    try:
        clean_name(text, max_chars)
    except ChatError:
        return False
    return True
