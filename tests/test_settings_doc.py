"""docs/settings.md is the list of settings as the code has it.

Write it anew after a change: `python -m tests.test_settings_doc`.
"""

from pathlib import Path

from rtchat.config import Config
from rtchat.settings import NAMES, PREFIX, is_secret, meta

DOCUMENT = Path(__file__).parents[1] / "docs" / "settings.md"
HEAD = """# Settings

Each is a variable, or a file that the variable with `_FILE` behind its name names. `rtchat config`
shows the values of a process. What has a limit is answered as stated where the limit is reached;
0 switches a limit of rate or number off where 0 is allowed. Pools and queues are per process.

| variable | default | from … to | meaning, and what happens beyond it |
|---|---|---|---|
"""


def line(name: str) -> str:
    about, default = meta(name), getattr(Config(), name)
    shown = "secret" if is_secret(name) else f"`{default}`" if default != "" else "empty"
    span = f"{about.ge:_} … {about.le:_}" if about.ge is not None else ""
    words = (about.description or "").replace("|", "\\|")
    return f"| `{PREFIX}{name.upper()}` | {shown} | {span} | {words} |\n"


def document() -> str:
    return HEAD + "".join(map(line, NAMES))


def test_the_table_of_settings_is_that_of_the_code() -> None:
    """S-73: every limit is documented, with its default."""
    assert DOCUMENT.read_text() == document(), "python -m tests.test_settings_doc"


if __name__ == "__main__":
    DOCUMENT.write_text(document())
