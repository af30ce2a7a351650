"""How far it is: a bar on a terminal that has rich, a line every few seconds elsewhere."""

import contextlib
import sys
import time
from collections.abc import Callable, Iterator

EVERY_S = 5.0
Advance = Callable[[], None]


@contextlib.contextmanager
def progress(what: str, total: int) -> Iterator[Advance]:
    """Show the way to `total`; the function that is given counts one."""
    if sys.stderr.isatty():
        with contextlib.suppress(ImportError):
            from rich.console import Console
            from rich.progress import Progress

            with Progress(console=Console(stderr=True), transient=True) as bar:
                task = bar.add_task(what, total=total)
                yield lambda: bar.advance(task)
            return
    yield _Lines(what, total)


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
