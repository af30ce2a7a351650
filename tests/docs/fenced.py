"""Blocks of code in a document, as a reader copies them."""

import re
from pathlib import Path

ROOT = Path(__file__).parents[2]
_BLOCK = re.compile(r"^```(\w*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)


def blocks(path: str, language: str) -> list[str]:
    """The blocks of one language, in order; `path` is from the top of the checkout."""
    text = (ROOT / path).read_text()
    return [code for fence, code in _BLOCK.findall(text) if fence == language]
