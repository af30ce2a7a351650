"""Questions that come together, asked in one statement.

Owns: who waits for which answer. A thousand clients that come back at once ask the same few things
of different rows; one statement for many costs a tenth of one for each. Questions of one turn of
the loop go together; while `UNDER_WAY` statements are, the next one collects.

A question is asked after it came, never answered from a statement that was under way before. Who
gives up waiting ends nobody else's, and neither does a question that cannot be answered: then each
is asked alone. Must never: let one statement that hangs hold back all others, or ask more than
`at_most` at once. A crash loses questions, whose askers are gone as well.
"""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from typing import Generic, TypeVar

from rtchat.errors import ChatError
from rtchat.store.database import Database, unreached

UNDER_WAY = 2  # statements of a kind; one that hangs, for as long as it may, leaves the other

K = TypeVar("K")
V = TypeVar("V")


class Together(Generic[K, V]):
    """Asks for many. `ask` gets questions and returns their answers, in that order."""

    def __init__(
        self, database: Database, ask: Callable[[Sequence[K]], Awaitable[Sequence[V]]], at_most: int
    ) -> None:
        self._database = database
        self._ask = ask
        self._at_most = at_most
        self._waiting: list[tuple[K, asyncio.Future[V]]] = []
        self._planned = False  # a statement begins with the next turn
        self._asking = 0  # statements under way

    async def get(self, question: K) -> V:
        """The answer. Raises what `ask` raises."""
        answer: asyncio.Future[V] = asyncio.get_running_loop().create_future()
        self._waiting.append((question, answer))
        self._plan()
        return await answer

    def _plan(self) -> None:
        if self._waiting and not self._planned and self._asking < UNDER_WAY:
            self._planned = True
            asyncio.get_running_loop().call_soon(self._send)

    def _send(self) -> None:
        asked, self._waiting = self._waiting[: self._at_most], self._waiting[self._at_most :]
        self._planned = False
        self._asking += 1

        def done(_: object) -> None:  # also of one that never began
            self._asking -= 1
            _release(asked)
            self._plan()

        self._database.start(self._answer(asked)).add_done_callback(done)
        self._plan()

    async def _answer(self, asked: list[tuple[K, asyncio.Future[V]]]) -> None:
        asked = [(question, answer) for question, answer in asked if not answer.done()]
        if asked and not await self._try(asked):
            for one in asked:
                await self._try([one])

    async def _try(self, asked: list[tuple[K, asyncio.Future[V]]]) -> bool:
        """Ask. False: it failed, and not because the database is away, so it may be one's fault."""
        try:
            answers = await self._ask([question for question, _ in asked])
        except ChatError as error:
            _release(asked, error.limits)
            return True
        except Exception as error:  # noqa: BLE001  its asker gets it
            if len(asked) > 1:
                return False
            for _, answer in asked:
                if not answer.done():
                    answer.set_exception(error)
            return True
        for (_, answer), value in zip(asked, answers, strict=True):
            if not answer.done():
                answer.set_result(value)
        return True


def _release(asked: list[tuple[K, asyncio.Future[V]]], limits: tuple[str, ...] = ()) -> None:
    """Tell whoever still waits that the database is away, each with a time of its own to return."""
    for _, answer in asked:
        if not answer.done():
            answer.set_exception(unreached(limits))
