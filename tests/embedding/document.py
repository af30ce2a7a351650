"""The code of docs/embedding.md, as the document has it, so that it cannot rot.

Owns: which code blocks there are. One whose fence names a file (```` ```python fastapi_app.py ````)
is that file; one of `sh` is a command. Must never: mend what it reads.
"""

import re
import shlex
from pathlib import Path

DOCUMENT = Path(__file__).parents[2] / "docs" / "embedding.md"
TEXT = DOCUMENT.read_text()

_FILE = re.compile(r"^```\w+ (\S+)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
_SHELL = re.compile(r"^```sh\n(.*?)^```$", re.MULTILINE | re.DOTALL)

FILES: dict[str, str] = dict(_FILE.findall(TEXT))


def uvicorn_commands() -> list[list[str]]:
    """What the document tells to start, each without the program's name."""
    lines = "\n".join(_SHELL.findall(TEXT)).replace("\\\n", " ").splitlines()
    commands = [shlex.split(line, comments=True) for line in lines]
    return [words[1:] for words in commands if words[:1] == ["uvicorn"]]


def write_files(directory: Path) -> None:
    """Put the document's files where a command can find them."""
    for name, text in FILES.items():
        (directory / name).write_text(text)
