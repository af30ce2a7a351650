"""docs/settings.md: the list of settings as the code has it."""

from pathlib import Path

from rtchat.config import Config
from rtchat.settings import NAMES, PREFIX, is_secret, meta
from tests.docs.sections import code, filled, row, table

PAGE = Path(__file__).parents[2] / "docs" / "settings.md"


def document() -> str:
    """The page."""
    return filled(PAGE, {"settings": settings})


def settings() -> str:
    """Each setting: its default, its range, its words."""
    made = table("variable", "default", "from … to", "meaning, and what happens beyond it")
    return made + "".join(map(_setting, NAMES))


def _setting(name: str) -> str:
    about, default = meta(name), getattr(Config(), name)
    shown = "secret" if is_secret(name) else code(default) if default != "" else "empty"
    span = f"{about.ge:_} … {about.le:_}" if about.ge is not None else ""
    return row(code(PREFIX + name.upper()), shown, span, about.description or "")
