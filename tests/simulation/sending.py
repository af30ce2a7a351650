"""The machine of sending: pods that write to one database, and people who retry.

Each pod's writer, its lane and the decisions are the real ones; the database (`database`) and time
are models, and the machine says which step of which transaction is carried out, answered, or fails.
"""

import itertools
import sys
from collections.abc import Callable
from typing import Any

from asyncpg import exceptions as pg
from hypothesis import strategies as st
from hypothesis.stateful import initialize

from rtchat.batch import Op, Write
from rtchat.errors import ChatError, Code
from rtchat.model import Role
from tests.simulation import database as databases
from tests.simulation.database import MEMBERS, OWNER, POISON, has_entry
from tests.simulation.machines import Machine, one_of, step
from tests.simulation.senders import CONFIG, Request, Sender, is_of
from tests.simulation.turns import ErrorLog, PromiseError, Questions, TurnLoop

CHANNELS = (1, 2)
HEALED_S = 15.0  # the longest life of a write, and more than the waits for locks and connections
FOREVER_S = 1e9

PODS, EITHER, PICKS = (0, 1), (False, True), range(60)  # PICKS: of what there is then
# What the server says, and what becomes of a connection.
NO = [pg.DeadlockDetectedError("no"), pg.QueryCanceledError("no"), pg.DiskFullError("no")]
BROKEN = ConnectionResetError("broken")


class Sending(Machine):
    """Two pods, two channels, three people."""

    def __init__(self) -> None:
        super().__init__()
        self.loop = TurnLoop()
        self.errors = ErrorLog(self.loop, ignored=("a write cannot be stored",))
        self.questions = Questions()
        self.database = databases.Database(CHANNELS)
        self.pods = [self.new_pod(n) for n in (0, 1)]
        self.requests: list[Request] = []
        self.by_turns = False
        self.nonces = itertools.count()

    def new_pod(self, number: int) -> Sender:
        return Sender(number, self.loop, self.database, self.questions)

    def act(self, what: Callable[..., Any], *args: Any) -> None:
        self.loop.act(what, *args)
        if not self.by_turns:
            self.loop.settle()

    @initialize(by_turns=st.booleans())
    def begin(self, by_turns: bool) -> None:
        self.loop.settle()
        self.reply_to_all()  # to the writers' connecting
        self.by_turns = by_turns

    # --- requests

    @step(
        pod=PODS,
        channel=CHANNELS,
        user=MEMBERS,
        number=range(1, 7),
        given=EITHER,
        poison=[None, None, None, None, None, 0, 1],
    )
    def send(
        self, pod: int, channel: int, user: int, number: int, given: bool, poison: int | None
    ) -> None:
        """Some messages in a row on one connection; one of them is not to be stored, perhaps."""
        for i in range(number):
            content = POISON if i == poison else f"{next(self.nonces)}"
            self.submit(self.pods[pod], Op.SEND, channel, user, content, given=given)

    @step(pod=PODS, channel=CHANNELS, user=MEMBERS,
          op=[Op.REMOVE, Op.ADD, Op.ADD])  # fmt: skip
    def change_members(self, pod: int, channel: int, user: int, op: Op) -> None:
        self.submit(self.pods[pod], op, channel, OWNER, "", given=False, target=user)

    @step(pod=PODS, channel=CHANNELS, surely=[False, False, True])
    def drop(self, pod: int, channel: int, surely: bool) -> None:
        if surely and len(self.database.tables[channel].entries) > 8:
            self.submit(self.pods[pod], Op.DROP, channel, OWNER, "", given=False)

    @step(lambda self: self.requests, pod=PODS, pick=PICKS, other=[False] * 4 + [True])
    def again(self, pod: int, pick: int, other: bool) -> None:
        """The same nonce again, on any pod, at once or after its outcome is known or lost."""
        old = self.requests[-1 - pick % len(self.requests)]
        if old.op is Op.SEND and old.nonce[0] != "\x7f":
            content = "other" if other else old.content
            self.submit(
                self.pods[pod], Op.SEND, old.channel, old.user, content, given=True, nonce=old.nonce
            )

    def submit(
        self,
        pod: Sender,
        op: Op,
        channel: int,
        user: int,
        content: str,
        *,
        given: bool,
        nonce: str | None = None,
        target: int | None = None,
    ) -> Request | None:
        first = nonce is None
        if nonce is None:
            nonce = f"{'' if given else chr(127)}{next(self.nonces)}"
        acked = [r.seq for r in self.requests if r.channel == channel and r.seq is not None]
        request = Request(len(self.requests), pod, op, channel, user, nonce, content, first,
                          max(acked, default=0), target)  # fmt: skip
        write = Write(
            op, channel, user, nonce, lambda w: self.answered(request, *w), given=given,
            content=content if op is Op.SEND else None, target=target,
            role=Role.MEMBER if op is Op.ADD else None,
        )  # fmt: skip
        full = pod.writer._rows >= CONFIG.queue_max_rows
        try:
            self.act(self.accept, pod, write, request)
        except ChatError as error:
            if error.code is not Code.OVERLOADED or not full:
                raise PromiseError("refused without need") from error
            return None
        return request

    def accept(self, pod: Sender, write: Write, request: Request) -> None:
        pod.writer.submit(write)
        self.requests.append(request)
        pod.unanswered.add(request.number)
        pod.number_of.setdefault(request.nonce, request.number)

    def answered(self, request: Request, write: Write) -> None:
        """Hold an answer against what is stored."""
        if request.outcome:
            raise PromiseError(f"{request} is answered twice")
        request.pod.unanswered.discard(request.number)
        if write.error is not None:
            request.outcome = write.error.code.value
            if write.error.code is Code.INTERNAL and request.content != POISON:
                raise PromiseError(f"{request} fails for another's sake")
            return
        request.outcome, request.seq, request.dup = "ack", write.seq, write.dup
        if write.seq is None:
            if has_entry(request.op):
                raise PromiseError(f"{request} has no number")
            return
        entries = self.database.tables[request.channel].entries
        if write.seq > len(entries) or not is_of(entries[write.seq - 1], request):
            raise PromiseError(f"{request} is not what is stored")
        if request.first and write.seq <= request.floor:
            raise PromiseError(f"{request} is numbered before what was acknowledged before it")

    # --- what somebody waits for

    @step()
    def wait_until_all_is_settled(self) -> None:
        for sender in self.pods:
            for channel in CHANNELS:
                self.act(self.wait_until_settled, sender, channel)

    def wait_until_settled(self, sender: Sender, channel: int) -> None:
        """What was stored by this pod before the question has been answered behind it."""
        stored = [
            r for r in self.requests
            if r.pod is sender and r.channel == channel and r.first and not r.outcome
            and self.database.stored_by.get(r.key) is sender
        ]  # fmt: skip

        async def wait() -> None:
            await sender.writer.settled(channel, FOREVER_S)
            if open_ones := [r for r in stored if not r.outcome]:
                self.loop.broken(PromiseError(f"{open_ones} are not answered, and settled"))

        sender.waiting.append(self.loop.create_task(wait()))

    # --- the database

    def asked(self) -> bool:
        return len(self.questions) > 0

    @step(asked, pick=PICKS)
    def carry_out(self, pick: int) -> None:
        """A step is done, and not answered yet."""
        question = one_of(list(self.questions), pick)
        if not question.seen:
            question.read()

    @step(asked, pick=PICKS)
    def reply(self, pick: int) -> None:
        self.act(one_of(list(self.questions), pick).answer)

    @step(asked, rounds=range(1, 7))
    def reply_to_all(self, rounds: int = 1) -> None:
        for _ in range(rounds):
            for question in list(self.questions):
                self.act(question.answer)

    @step(asked, pick=PICKS, breaks=EITHER, stored=EITHER, what=NO)
    def fail(self, pick: int, breaks: bool, stored: bool, what: pg.PostgresError) -> None:
        """A step fails, or its connection does; a COMMIT perhaps only on the way back."""
        question = one_of(list(self.questions), pick)
        name = question.key[0]
        if name == "commit" and stored and not question.seen:
            question.read()
        if name == "open" or (name == "commit" and question.seen) or breaks:
            self.act(question.fail, BROKEN)
        elif name == "copy" or not isinstance(what, pg.DiskFullError):
            self.act(question.fail, what)

    @step(lambda self: self.database.orphans, pick=PICKS, late=EITHER)
    def notice_that_a_connection_broke(self, pick: int, late: bool) -> None:
        orphans = self.database.orphans
        self.database.resolve(one_of(orphans, pick), late=late)

    @step(lambda self: not self.loop.resting, turns=[1, 2, 10])
    def turn(self, turns: int) -> None:
        for _ in range(turns):
            self.loop.turn()

    @step(seconds=[0.001, 0.01, 0.6, 0.6, 10.0])
    def wait(self, seconds: float) -> None:
        self.loop.wait(seconds)

    @step(pod=PODS, surely=[False, False, True])
    def crash(self, pod: int, surely: bool) -> None:
        if surely:
            old = self.pods[pod]
            self.loop.settle()
            self.loop.act(old.end)
            self.loop.settle()
            for request in self.requests:
                if request.pod is old and not request.outcome:
                    request.outcome = "lost"
            self.pods[pod] = self.new_pod(pod)

    # --- what always holds

    def check(self) -> None:
        """Logs are dense. A write that was answered for its lateness may still be on its way."""
        for channel, table in self.database.tables.items():
            if [e.seq for e in table.entries] != list(range(1, table.head + 1)):
                raise PromiseError(f"channel {channel} has head {table.head}")
        for pod in self.pods if self.loop.resting else ():
            if not len(pod.unanswered) <= pod.writer._rows <= CONFIG.queue_max_rows:
                raise PromiseError(f"{pod.writer._rows} for {len(pod.unanswered)} unanswered")

    # --- and when all is well again, everything is answered

    def teardown(self) -> None:
        try:
            if sys.exc_info()[0] is None:
                self.heal()
                self.check_answers()
                self.check_orders()
        finally:
            self.errors.detach()
            self.loop.finish(pod.end for pod in self.pods)

    def heal(self) -> None:
        """Everything works from now on, and people retry what they do not know."""
        self.by_turns = False
        self.loop.settle()
        self.questions.at_once = True
        for transaction in list(self.database.orphans):
            self.database.resolve(transaction, late=True)
        for question in list(self.questions):
            self.act(question.answer)
        self.loop.wait(HEALED_S)
        known = {r.key for r in self.requests if r.outcome == "ack" or r.final}
        unknown = {r.key: r for r in self.requests if r.op is Op.SEND and r.content != POISON}
        for key, r in unknown.items():
            if key not in known and r.nonce[0] != "\x7f":
                self.submit(self.pods[0], Op.SEND, r.channel, r.user, r.content,
                            given=True, nonce=r.nonce)  # fmt: skip
                self.loop.wait(1.0)
                if self.requests[-1].outcome != "ack" and not self.requests[-1].final:
                    raise PromiseError(f"{self.requests[-1]}, though all is well")

    def check_answers(self) -> None:
        self.check()
        if unanswered := [r for r in self.requests if not r.outcome]:
            raise PromiseError(f"never answered: {unanswered}")
        if self.database.locks or len(self.questions):
            raise PromiseError(
                f"still under way: {self.database.locks}, {[q.key for q in self.questions]}"
            )
        if not all(task.done() for pod in self.pods for task in pod.waiting):
            raise PromiseError("settled was never said")
        acks: dict[tuple[int, int, str], set[int | None]] = {}
        for r in self.requests:
            if r.outcome == "ack":
                acks.setdefault(r.key, set()).add(r.seq)
        if two := {key: seqs for key, seqs in acks.items() if len(seqs) > 1}:
            raise PromiseError(f"two numbers for one nonce: {two}")
        self.check_what_is_stored()

    def check_what_is_stored(self) -> None:
        """Only what was sent, and nothing that was refused for ever.

        But where the channel is deleted between a lost answer and the next try, that finds nothing
        any more: deleting ends the promise (contract §1.4).
        """
        by_key: dict[tuple[int, int, str], list[Request]] = {}
        for r in self.requests:
            by_key.setdefault(r.key, []).append(r)
        for key, e in self.database.known.items():
            asked = [r for r in by_key.get(key, ()) if is_of(e, r)]
            refused = all(r.final for r in asked) and not self.database.tables[key[0]].deleted
            if not asked or refused:
                raise PromiseError(f"{e} is stored, and was not to be: {asked}")

    def check_orders(self) -> None:
        """What one connection sent, and its pod stored and told, is numbered as it was sent.

        Not what a retry on another pod has stored, which may have overtaken what was sent before;
        and not what made no entry at first (refused, or nothing to change), when the answer to that
        COMMIT was lost: decided again later, it may make one.
        """
        last: dict[tuple[Sender, int, int], Request] = {}
        for r in self.requests:
            own = r.first and self.database.stored_by.get(r.key) is r.pod
            if own and r.seq is not None and r.nonce not in self.database.without_entry:
                before = last.get((r.pod, r.user, r.channel))
                if before is not None and (before.seq or 0) >= r.seq:
                    raise PromiseError(f"{r} is numbered before {before}")
                last[r.pod, r.user, r.channel] = r
