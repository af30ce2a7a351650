"""The log of a few channels in memory, as the stores read it: a list each, committed in order."""

from collections.abc import Sequence

from rtchat import protocol
from rtchat.model import ChannelType, Kind, LogEntry, Role
from rtchat.store.channels import ChannelStore, Standing, Standings
from rtchat.store.messages import Heads, MessageStore
from tests.simulation.turns import Questions

BY = 99  # who removes people
EPOCH = "1"


class ChannelLog:
    """The truth about one channel: what is committed, and who is a member by it."""

    def __init__(self, channel_id: int, members: Sequence[int]) -> None:
        self.id = channel_id
        self.entries: list[LogEntry] = []
        self.texts: list[str] = []  # of each entry's frame
        self.founders = frozenset(members)
        self.members = set(members)
        self.ends: list[tuple[int, int]] = []  # seq and user of each end of a membership; 0: all
        self.dropped = False
        self.purged = 0  # how many of the first rows are gone
        self.gone = False  # and the channel's own row

    @property
    def head(self) -> int:
        """The last seq."""
        return len(self.entries)

    def commit(self, wishes: Sequence[tuple[Kind, int]]) -> list[LogEntry]:
        """Append what can be: (kind, who it is about). A negative number leaves by itself."""
        before = self.head
        for kind, who in wishes:
            user = abs(who)
            if self.dropped or (
                kind is not Kind.MESSAGE
                and kind is not Kind.DROP
                and (user in self.members) is (kind is Kind.JOIN)
            ):
                continue  # fmt: skip
            self._append(kind, user, BY if who > 0 else user)
        return self.entries[before:]

    def _append(self, kind: Kind, user: int, by: int) -> None:
        seq = self.head + 1
        if kind is Kind.JOIN:
            self.members.add(user)
        elif kind is Kind.LEAVE:
            self.members.discard(user)
            self.ends.append((seq, user))
        elif kind is Kind.DROP:
            self.members.clear()
            self.dropped = True
            self.ends.append((seq, 0))
        content = f"{seq}" if kind is Kind.MESSAGE else None
        self.entries.append(LogEntry(self.id, seq, kind, by, user, content, 0))
        self.texts += protocol.payloads(protocol.entry(self.entries[-1])) or [""]

    def end_of(self, user: int, since: int) -> int | None:
        """The seq that ends what `user` was at `since`."""
        return next((seq for seq, whose in self.ends if seq > since and whose in (user, 0)), None)

    def was_member(self, user: int, at: int) -> bool:
        """Whether `user` was a member behind the entry `at`."""
        member = user in self.founders
        for e in self.entries[:at]:
            if e.kind is Kind.DROP:
                return False
            if e.target == user and e.kind in (Kind.JOIN, Kind.LEAVE):
                member = e.kind is Kind.JOIN
        return member

    def purge(self, rows: int) -> None:
        """Remove the first rows of a dropped channel; at last itself."""
        self.purged = min(self.purged + rows, self.head)
        self.gone = self.purged == self.head

    def page(self, after: int, upto: int | None, limit: int) -> list[LogEntry]:
        """The rows that are there."""
        return self.entries[max(after, self.purged) : upto][:limit]


Logs = dict[int, ChannelLog]


class ModelChannels(ChannelStore):
    """Memberships, as one pod reads them."""

    def __init__(self, pod: int, logs: Logs, questions: Questions) -> None:
        self._pod, self._logs, self._questions = pod, logs, questions

    async def standing(self, user_id: int, channel_ids: Sequence[int]) -> Standings:
        """Role and head of each of these channels that exists."""
        channels = sorted(channel_ids)
        return await self._questions.ask(
            ("standing", self._pod, user_id, *channels),
            lambda: Standings(EPOCH, False, self._standing(user_id, channels)),
        )

    def _standing(self, user: int, channels: list[int]) -> dict[int, Standing]:
        return {
            c: Standing(
                ChannelType.PRIVATE,
                Role.MEMBER if user in self._logs[c].members else None,
                self._logs[c].head,
            )
            for c in channels
            if not self._logs[c].dropped
        }


class ModelMessages(MessageStore):
    """Entries and heads, as one pod reads them."""

    def __init__(self, pod: int, logs: Logs, questions: Questions) -> None:
        self._pod, self._logs, self._questions = pod, logs, questions

    async def entries(
        self, channel_id: int, after: int, upto: int | None, limit: int
    ) -> list[LogEntry]:
        """The entries with after < seq <= upto, in order, `limit` at most."""
        return await self._questions.ask(
            ("entries", self._pod, channel_id, after, upto or 0),
            lambda: self._logs[channel_id].page(after, upto, limit),
        )

    async def heads(self, channel_ids: list[int]) -> Heads:
        """The last seq of each of these channels that still has a log."""
        channels = sorted(channel_ids)
        return await self._questions.ask(
            ("heads", self._pod, *channels),
            lambda: Heads(EPOCH, False, self._heads(channels)),
        )

    def _heads(self, channels: list[int]) -> dict[int, int]:
        return {c: self._logs[c].head for c in channels if not self._logs[c].gone}
