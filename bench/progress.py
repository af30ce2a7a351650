"""How far it is: a bar on a terminal that has rich, a line every few seconds elsewhere."""

import contextlib
import importlib
import sys
import time
from collections.abc import Callable, Iterator
from typing import Any

EVERY_S = 5.0
Advance = Callable[[], None]


@contextlib.contextmanager
def progress(what: str, total: int) -> Iterator[Advance]:
    """Show the way to `total`; the function that is given counts one."""
    rich = _rich() if sys.stderr.isatty() else None
    if rich is None:
        yield _Lines(what, total)
        return
    progress_module, console_module = rich
    console = console_module.Console(stderr=True)
    with progress_module.Progress(console=console, transient=True) as bar:
        task = bar.add_task(what, total=total)
        yield lambda: bar.advance(task)


def _rich() -> tuple[Any, Any] | None:
    """rich's modules; they come with rtchat[bench], and are not needed."""
    try:
        return importlib.import_module("rich.progress"), importlib.import_module("rich.console")
    except ImportError:
        return None


class _Lines:
    def __init__(self, what: str, total: int) -> None:
        self._what = what
        self._total = total
        self._done = 0
        self._next = time.monotonic() + EVERY_S

    def __call__(self) -> None:
        self._done += 1
        if time.monotonic() >= self._next:
            self._next += EVERY_S
            print(f"  {self._what}: {self._done:,} of {self._total:,}", file=sys.stderr, flush=True)
