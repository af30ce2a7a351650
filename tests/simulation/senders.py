"""Who writes: a pod's writer on the model database, and what its clients asked and were told."""

import asyncio
from dataclasses import dataclass

from rtchat import writer as writers
from rtchat.batch import Op
from rtchat.config import Config
from rtchat.envelope import Envelope
from rtchat.errors import ERRORS, Code
from rtchat.model import LogEntry
from tests.simulation import database as databases
from tests.simulation.turns import PromiseError, Questions, TurnLoop

CONFIG = Config(lanes=1, batch_max_rows=4, queue_max_rows=12, lock_skips=1)


@dataclass(eq=False)
class Request:
    """One wish of one client, and its answer."""

    number: int
    pod: "Sender"
    op: Op
    channel: int
    user: int
    nonce: str
    content: str
    first: bool  # nobody has used this nonce before
    floor: int  # the highest seq of the channel that had been acknowledged
    target: int | None = None
    outcome: str = ""  # "ack", "lost" with its pod, or an error's code
    seq: int | None = None
    dup: bool = False

    @property
    def key(self) -> tuple[int, int, str]:
        """What names the write."""
        return self.channel, self.user, self.nonce

    @property
    def final(self) -> bool:
        """Whether it is refused for ever."""
        return self.outcome not in ("", "ack", "lost") and not ERRORS[Code(self.outcome)].retry


class Sender:
    """One pod's writer."""

    def __init__(
        self, number: int, loop: TurnLoop, database: databases.Database, questions: Questions
    ) -> None:
        self.number = number
        self.loop = loop
        self.unanswered: set[int] = set()  # numbers of requests
        self.number_of: dict[str, int] = {}  # of the first request with a nonce
        self.announced: dict[int, int] = {}
        self.waiting: list[asyncio.Task[None]] = []  # until something is settled
        self._database, self._questions = database, questions
        self.writer = writers.Writer(CONFIG, self._open, self._commit, self._known)
        loop.act(self.writer.start)

    async def _open(self) -> databases.ModelLog:
        await self._questions.ask(("open", self.number), lambda: None)
        rows = CONFIG.batch_max_rows
        return databases.ModelLog(self, self.number, rows, self._database, self._questions)

    def _commit(self, envelope: Envelope) -> None:
        channel = envelope.channel_id
        stored = self._database.tables[channel].entries
        for seq in range(envelope.first, envelope.last + 1):
            if seq > len(stored):
                raise PromiseError(f"{channel}:{seq} is announced and not stored")
            if self.number_of.get(stored[seq - 1].nonce or "") in self.unanswered:
                raise PromiseError(f"{channel}:{seq} is announced before its answer")
            if seq <= self.announced.get(channel, 0):
                raise PromiseError(f"{channel}:{seq} is announced behind {self.announced[channel]}")
            self.announced[channel] = seq

    def _known(self, channel: int, seq: int) -> None:
        if seq > len(self._database.tables[channel].entries):
            raise PromiseError(f"{channel}:{seq} is said to be known")

    def end(self) -> None:
        """It dies, and whoever waits for something with it."""
        for task in self.waiting:
            task.cancel()
        self.loop.create_task(self.writer.close())


def is_of(entry: LogEntry, request: Request) -> bool:
    """Whether this entry is what the request asked for."""
    content = request.content if request.op is Op.SEND else None
    return (entry.user_id, entry.nonce, entry.content, entry.target) == (
        request.user, request.nonce, content, request.target
    )  # fmt: skip
