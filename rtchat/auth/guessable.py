"""Passwords that somebody would guess: those many people have, and those made of what is known.

Owns: the list of common passwords, which is zxcvbn's (30 000, of leaks), and the test against words
of the context (NIST SP 800-63B §3.1.1.2, OWASP ASVS 6.2.4 and 6.2.11). Pure but for reading the
list, once. Must never: rate a password in any other way; there are no rules of composition.
"""

import functools
import importlib.util
from collections.abc import Iterable
from pathlib import Path

SERVICE = "rtchat"
WORD_MIN_CHARS = 3  # shorter ones are parts of everything


@functools.cache
def common_passwords() -> str:
    """The common passwords in lower case, each between line breaks.

    The file of the list is run by itself, and what stays is one text of 0.25 MB: a set of them has
    3 MB, and the package, imported, 13. Reading takes 30 ms, once; to look into it 0.2 ms at most.
    """
    package = importlib.util.find_spec("zxcvbn")
    assert package is not None
    assert package.origin is not None
    path = Path(package.origin).with_name("frequency_lists.py")
    spec = importlib.util.spec_from_file_location("rtchat_common_passwords", path)
    assert spec is not None
    assert spec.loader is not None
    lists = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(lists)
    return "\n".join(["", *lists.FREQUENCY_LISTS["passwords"], ""]).lower()


def reason_against(password: str, email: str | None, name: str | None) -> str | None:
    """Say why somebody would guess this password; None: nothing speaks against it."""
    bare = password.strip().lower()
    if "\n" not in bare and f"\n{bare}\n" in common_passwords():
        return "This password is one of the most common ones."
    if _is_made_of(bare, _words(email, name)):
        return "This password is made of your name, your address, or the name of this service."
    return None


def _words(email: str | None, name: str | None) -> set[str]:
    local, _, domain = (email or "").lower().rpartition("@")
    shown = (name or "").lower()
    words = {SERVICE, local, domain, *domain.split("."), shown, *shown.split()}
    return {word for word in words if len(word) >= WORD_MIN_CHARS}


def _is_made_of(bare: str, words: Iterable[str]) -> bool:
    """Whether there is one of the words, and nothing else but digits and signs."""
    rest = bare
    for word in sorted(words, key=len, reverse=True):  # the longest first: it may hold another
        rest = rest.replace(word, "")
    return rest != bare and not any(c.isalpha() for c in rest)
