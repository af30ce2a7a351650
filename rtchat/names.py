"""What may be a name or a text. Pure; every string that is stored has passed here."""

import re
import unicodedata

from rtchat.errors import ChatError, Code

EMAIL_MAX_CHARS = 254  # RFC 5321 §4.5.3.1.3, less the angle brackets
# Deliberately loose: something, one @, a domain with a dot or none; no blanks, no controls.
EMAIL = re.compile(r"[^\s@\x00-\x1f\x7f-\x9f]{1,64}@[^\s@\x00-\x1f\x7f-\x9f]{1,189}")


def clean_name(name: str, max_chars: int, field: str = "name") -> str:
    """Return a user's or channel's name without outer blanks, in NFC. Raises ChatError.

    Refused: an empty name, control characters, and the invisible ones that reorder or hide text
    (Unicode TR 36 §3), with which one name could pass for another.
    """
    name = unicodedata.normalize("NFC", name.strip())
    if not name:
        raise ChatError(Code.BAD_FIELD, "A name has at least one visible character.", field=field)
    if len(name) > max_chars:
        text = f"At most {max_chars} characters."
        raise ChatError(Code.TOO_LONG, text, field=field, limit="name_max_chars")
    if _hides(name):
        raise ChatError(Code.BAD_FIELD, "A name has no invisible characters.", field=field)
    if not any(unicodedata.category(c) not in ("Cf", "Zs", "Mn") for c in name):
        raise ChatError(Code.BAD_FIELD, "A name has at least one visible character.", field=field)
    return name


def _hides(text: str) -> bool:
    """Whether there is a character in it that shows nothing, or hides or moves others.

    Cc: controls; Cf: format (bidi, zero width); Cs: lone surrogates; Zl, Zp: line breaks. U+200D
    joins emoji, and is allowed for it.
    """
    return any(
        (unicodedata.category(c) in _INVISIBLE and c != "\u200d") or c in _BLANK for c in text
    )


_INVISIBLE = frozenset({"Cc", "Cf", "Cs", "Zl", "Zp"})
_BLANK = frozenset("\u115f\u1160\u2800\u3164\uffa0")  # letters and symbols that show nothing


def check_text(text: str, max_chars: int, field: str) -> None:
    """Raise ChatError unless `text` can be stored and returned exactly as it is."""
    if len(text) > max_chars:
        detail = f"At most {max_chars} characters."
        raise ChatError(Code.TOO_LONG, detail, field=field, limit="content_max_chars")
    if not text or text.isspace():
        raise ChatError(Code.BAD_FIELD, "Something other than white space.", field=field)
    check_storable(text, field)


def check_storable(text: str, field: str) -> None:
    """Raise ChatError when PostgreSQL could not keep `text`: NUL, or a lone surrogate."""
    if "\0" in text:
        raise ChatError(Code.BAD_FIELD, "No NUL character.", field=field)
    if not text.isascii():
        try:
            text.encode()
        except UnicodeEncodeError:
            raise ChatError(Code.BAD_FIELD, "No lone surrogates.", field=field) from None


def is_email(text: str) -> bool:
    """Whether this may be somebody's address; mail alone would tell whether it is."""
    return len(text) <= EMAIL_MAX_CHARS and EMAIL.fullmatch(text) is not None and not _hides(text)
