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


def check_emoji(text: str, max_chars: int) -> None:
    """Raise ChatError unless `text` is one emoji, in the form of Unicode TS 51 §1.4.9.

    Others' clients show it beside a message: it is no place for words, letters, markup or what
    nobody sees. Which of the pictures there are is not asked: new ones come each year.
    """
    if len(text) > max_chars:
        detail = f"At most {max_chars} characters."
        raise ChatError(Code.TOO_LONG, detail, field="emoji", limit="emoji_max_chars")
    if not _EMOJI.fullmatch(text):
        raise ChatError(Code.BAD_FIELD, "One emoji.", field="emoji")


# Where pictures are: Extended_Pictographic of Unicode 17, its gaps filled within the blocks that
# are for nothing else; not the letters and digits in circles and squares that no emoji is.
_PICTURE = (
    "[\u00a9\u00ae\u203c\u2049\u2122\u2139\u2194-\u2199\u21a9\u21aa\u231a\u231b\u2328\u23cf"
    "\u23e9-\u23f3\u23f8-\u23fa\u24c2\u25aa\u25ab\u25b6\u25c0\u25fb-\u25fe\u2600-\u2775"
    "\u2794-\u27bf\u2934\u2935\u2b05-\u2b07\u2b1b\u2b1c\u2b50\u2b55\u3030\u303d\u3297\u3299"
    "\U0001f000-\U0001f0ff\U0001f170\U0001f171\U0001f17e\U0001f17f\U0001f18e"
    "\U0001f191-\U0001f19a\U0001f201\U0001f202\U0001f21a\U0001f22f\U0001f232-\U0001f23a"
    "\U0001f250\U0001f251\U0001f300-\U0001f64f\U0001f680-\U0001f6ff\U0001f7e0-\U0001f7f0"
    "\U0001f90c-\U0001faff]"
)
_ELEMENT = f"{_PICTURE}[\ufe0f\U0001f3fb-\U0001f3ff]?"
_EMOJI = re.compile(
    f"{_ELEMENT}(\u200d{_ELEMENT})*"  # joined: a family, a profession
    "|[\U0001f1e6-\U0001f1ff]{2}"  # a flag: two regional indicators
    "|\U0001f3f4[\U000e0030-\U000e0039\U000e0061-\U000e007a]{3,6}\U000e007f"  # Scotland's
    "|[0-9#*]\ufe0f?\u20e3"  # a keycap
)


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
