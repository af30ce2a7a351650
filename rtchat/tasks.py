"""Background tasks with an owner.

Owns: the tasks that one part of the server started. A task is kept until it ends (asyncio itself
holds only a weak reference), a failure is logged once, and `close` cancels and awaits what is left,
within a bound: what does not end then is named. Must never: swallow a failure, or hold up the end
of the process. Nothing here survives a crash.
"""

import asyncio
import logging
from collections.abc import Coroutine
from typing import Any, TypeVar

log = logging.getLogger(__name__)

CLOSE_S = 3.0  # for what was cancelled to end

T = TypeVar("T")


class Tasks:
    """The tasks of one owner, who closes them."""

    def __init__(self, owner: str) -> None:
        self._owner = owner
        self._tasks: set[asyncio.Task[Any]] = set()

    def __len__(self) -> int:
        return len(self._tasks)

    def start(self, coroutine: Coroutine[Any, Any, T]) -> "asyncio.Task[T]":
        """Run `coroutine` from the next turn of the loop on; its failure is logged here."""
        task = asyncio.get_running_loop().create_task(coroutine)
        self._tasks.add(task)
        task.add_done_callback(self._ended)
        return task

    def _ended(self, task: "asyncio.Task[Any]") -> None:
        self._tasks.discard(task)
        if not task.cancelled() and (error := task.exception()) is not None:
            log.error(
                "task failed",
                exc_info=error,
                extra={"owner": self._owner, "task": _name(task)},
            )

    async def close(self) -> None:
        """Cancel what still runs and wait until it has ended, for a while."""
        tasks = list(self._tasks)
        for task in tasks:
            task.cancel()
        if not tasks:
            return
        _, left = await asyncio.wait(tasks, timeout=CLOSE_S)
        if left:
            names = sorted(map(_name, left))
            log.error("tasks do not end", extra={"owner": self._owner, "tasks": names})


def _name(task: "asyncio.Task[Any]") -> str:
    return getattr(task.get_coro(), "__qualname__", "?")
