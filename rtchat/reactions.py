"""The reactions to one batch's messages: as they stood, and what the batch makes of them. Pure.

Owns: how many different emoji a message may have, and that what is stored in the end is what the
entries say one after the other. Must never: need all who reacted to a message; thousands may have.
"""

from rtchat.errors import ChatError, Code

Message = tuple[int, int]  # channel and seq
Reaction = tuple[int, int, str, int]  # channel and seq of the message, emoji, user


class Reactions:
    """Read under the channels' locks with `stands`, then changed entry by entry.

    What is to be stored: `removed` goes first, then `added` comes, each with the seq of the entry
    since which it stands; one that stood before goes on as it was.
    """

    __slots__ = ("_most", "_users", "added", "removed")

    def __init__(self, most: int) -> None:
        self._most = most
        self._users: dict[Message, dict[str, set[int]]] = {}
        self.removed: set[Reaction] = set()
        self.added: dict[Reaction, int] = {}

    def stands(self, reaction: Reaction) -> None:
        """Note one that is stored: of each emoji all, or more than the batch could remove."""
        self._users_of(reaction).add(reaction[3])

    def add(self, reaction: Reaction, seq: int) -> None:
        """Somebody reacts. Raises ChatError(too_long) where that is one emoji too many."""
        emojis = self._users.get(reaction[:2], {})
        if reaction[2] not in emojis and len(emojis) >= self._most:
            text = f"At most {self._most} different reactions to a message."
            raise ChatError(Code.TOO_LONG, text, field="emoji", limit="reactions_max")
        self._users_of(reaction).add(reaction[3])
        self.added.setdefault(reaction, seq)

    def remove(self, reaction: Reaction) -> None:
        """Somebody takes a reaction back, whether it stands or not."""
        users = self._users_of(reaction)
        users.discard(reaction[3])
        if not users:
            del self._users[reaction[:2]][reaction[2]]
        self.added.pop(reaction, None)
        self.removed.add(reaction)

    def forget(self, channel_id: int, seq: int) -> None:
        """The message is deleted, and with it all that stood before the batch."""
        for reaction in [r for r in self.added if r[:2] == (channel_id, seq)]:
            del self.added[reaction]

    def _users_of(self, reaction: Reaction) -> set[int]:
        return self._users.setdefault(reaction[:2], {}).setdefault(reaction[2], set())
