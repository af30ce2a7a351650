"""What users do with channels: the operations behind REST and WebSocket alike.

Owns: checking what comes in, and the way of each operation: reads go to the store with the rules
asked on the way, changes go to the writer, which asks them again where nothing can change in
between. Must never: know of sockets, HTTP or SQL.
"""

import asyncio
import base64
import itertools
import secrets
from collections.abc import Sequence

from msgspec import UNSET

from rtchat.batch import Done, Op, Write
from rtchat.commands import Ref
from rtchat.config import Config
from rtchat.connections import Connections
from rtchat.errors import ChatError, Code
from rtchat.events import Reason
from rtchat.model import Channel, ChannelType, Member, Message, Role, rfc3339_from_ms
from rtchat.names import check_emoji, check_storable, check_text, clean_name
from rtchat.rules import Act, missing_channel, require
from rtchat.store.channels import ChannelStore
from rtchat.store.messages import MessageStore
from rtchat.writer import Writer

# Begins every nonce that a pod makes for a write that came without; no client's nonce may.
OWN_NONCE = "\x7f"


class Chat:
    """The operations on channels, each by a user whose identity is proven."""

    def __init__(
        self,
        config: Config,
        channels: ChannelStore,
        messages: MessageStore,
        writer: Writer,
        connections: Connections,
    ) -> None:
        self._config = config
        self._channels = channels
        self._messages = messages
        self._writer = writer
        self._connections = connections
        prefix = OWN_NONCE + base64.b64encode(secrets.token_bytes(9)).decode()
        self._nonces = (f"{prefix}{n:x}" for n in itertools.count())

    # --- messages

    def submit_message(
        self,
        user_id: int,
        channel_id: int,
        content: str,
        *,
        nonce: str | None,
        done: Done,
        ref: Ref = None,
    ) -> None:
        """Hand a message to the writer; `done` gets the outcome. Raises ChatError at once."""
        check_text(content, self._config.content_max_chars, "content")
        self._submit(Op.SEND, user_id, channel_id, nonce, done, ref, content)

    def submit_edit(
        self,
        user_id: int,
        channel_id: int,
        seq: int,
        content: str,
        *,
        nonce: str | None,
        done: Done,
        ref: Ref = None,
    ) -> None:
        """Hand an edit of message `seq` to the writer, as `submit_message` does."""
        check_text(content, self._config.content_max_chars, "content")
        self._submit(Op.EDIT, user_id, channel_id, nonce, done, ref, content, seq)

    def submit_deletion(
        self,
        user_id: int,
        channel_id: int,
        seq: int,
        *,
        nonce: str | None,
        done: Done,
        ref: Ref = None,
    ) -> None:
        """Hand a deletion of message `seq` to the writer, as `submit_message` does."""
        self._submit(Op.DELETE, user_id, channel_id, nonce, done, ref, target=seq)

    def submit_reaction(
        self,
        user_id: int,
        channel_id: int,
        seq: int,
        emoji: str,
        *,
        on: bool,
        nonce: str | None,
        done: Done,
        ref: Ref = None,
    ) -> None:
        """Hand a reaction to message `seq`, or its end, to the writer, as `submit_message` does."""
        check_emoji(emoji, self._config.emoji_max_chars)
        op = Op.REACT if on else Op.UNREACT
        self._submit(op, user_id, channel_id, nonce, done, ref, emoji, seq)

    def _submit(
        self,
        op: Op,
        user_id: int,
        channel_id: int,
        nonce: str | None,
        done: Done,
        ref: Ref,
        content: str | None = None,
        target: int | None = None,
    ) -> None:
        made = self._nonce(nonce)
        given = nonce is not None
        self._writer.submit(
            Write(
                op, channel_id, user_id, made, done,
                given=given, content=content, target=target, ref=ref,
            )
        )  # fmt: skip

    def _nonce(self, given: str | None) -> str:
        if given is None:
            return next(self._nonces)
        check_storable(given, "nonce")
        if given.startswith(OWN_NONCE):
            raise ChatError(Code.BAD_FIELD, "A nonce does not begin with U+007F.", field="nonce")
        return given

    async def send(
        self, user_id: int, channel_id: int, content: str, nonce: str | None
    ) -> tuple[Message, bool]:
        """Store a message. Returns it, and whether it is new: a known nonce finds its first one."""
        outcome: asyncio.Future[Write] = asyncio.get_running_loop().create_future()
        self.submit_message(user_id, channel_id, content, nonce=nonce, done=_resolver(outcome))
        write = await _result(outcome)
        assert write.seq is not None
        message = Message(
            id=f"{channel_id}:{write.seq}",
            channel_id=channel_id,
            seq=write.seq,
            user_id=user_id,
            content=content,
            timestamp=rfc3339_from_ms(write.ts),
            nonce=UNSET if nonce is None else nonce,
        )
        if not write.dup:
            return message, True
        # As it is by now: edited perhaps; and a former member gets what the retry itself carries.
        return await self._messages.one(channel_id, write.seq, user_id) or message, False

    async def edit(
        self, user_id: int, channel_id: int, seq: int, content: str, nonce: str | None
    ) -> Message:
        """Give a message other content. Returns it as it is then."""
        outcome: asyncio.Future[Write] = asyncio.get_running_loop().create_future()
        self.submit_edit(user_id, channel_id, seq, content, nonce=nonce, done=_resolver(outcome))
        await _result(outcome)
        return await self._message(user_id, channel_id, seq)

    async def delete(self, user_id: int, channel_id: int, seq: int) -> None:
        """Blank a message and its edits; its place in the log stays."""
        await self._write(Op.DELETE, channel_id, user_id, target=seq)

    async def history(
        self, user_id: int, channel_id: int, before: int | None, after: int | None, limit: int
    ) -> tuple[list[Message], bool]:
        """A page of messages, and whether there are more."""
        if before is not None and after is not None:
            raise ChatError(Code.BAD_FIELD, "Either before or after.", field="before")
        page = await self._messages.page(
            channel_id, user_id, before=before, after=after, limit=limit
        )
        if page is None:
            raise missing_channel()
        require(Act.TAKE_PART, page.type, page.role)
        return page.items, page.more

    async def message(self, user_id: int, channel_id: int, seq: int) -> Message:
        """One message."""
        await self._require(Act.TAKE_PART, user_id, channel_id)
        return await self._message(user_id, channel_id, seq)

    async def _message(self, user_id: int, channel_id: int, seq: int) -> Message:
        message = await self._messages.one(channel_id, seq, user_id)
        if message is None:
            raise ChatError(Code.NOT_FOUND, "There is no such message.")
        return message

    # --- channels

    async def create_channel(
        self, user_id: int, name: str | None, channel_type: ChannelType, members: Sequence[int]
    ) -> tuple[Channel, bool]:
        """Make a channel, or find the dm that these people have. Returns it and whether new."""
        others = list(dict.fromkeys(m for m in members if m != user_id))
        if channel_type is ChannelType.DM:
            channel_id, new = await self._create_dm(user_id, name, others)
        else:
            if name is None:
                raise ChatError(Code.BAD_FIELD, "A channel has a name.", field="name")
            if len(others) >= self._config.new_channel_max_members:
                text = f"At most {self._config.new_channel_max_members} members."
                raise _too_many(text, "new_channel_max_members")
            name = clean_name(name, self._config.name_max_chars)
            channel_id, new = (
                await self._channels.create(user_id, name, channel_type, others),
                True,
            )
        if new:
            self._connections.announce_added(channel_id, [user_id, *others])
        return await self.channel(user_id, channel_id), new

    async def _create_dm(
        self, user_id: int, name: str | None, others: list[int]
    ) -> tuple[int, bool]:
        if name is not None:
            raise ChatError(Code.BAD_FIELD, "A dm has no name.", field="name")
        if not others:
            raise ChatError(Code.BAD_FIELD, "A dm is with somebody.", field="members")
        if len(others) + 1 > self._config.dm_max_members:
            text = f"At most {self._config.dm_max_members} people in a dm."
            raise _too_many(text, "dm_max_members")
        return await self._channels.create_dm(user_id, [user_id, *others])

    async def channel(self, user_id: int, channel_id: int) -> Channel:
        """A channel as this user sees it."""
        channel = await self._channels.view(user_id, channel_id)
        if channel is None:
            raise missing_channel()
        require(Act.SEE, channel.type, channel.role)
        return channel

    async def my_channels(self, user_id: int, after: int, limit: int) -> list[Channel]:
        """Channels that this user is a member of, by id."""
        return await self._channels.mine(user_id, after, limit)

    async def public_channels(self, user_id: int, after: int, limit: int) -> list[Channel]:
        """Public channels, by id."""
        return await self._channels.public(user_id, after, limit)

    async def rename(self, user_id: int, channel_id: int, name: str | None) -> Channel:
        """Give a channel another name; None: no change."""
        if name is not None:
            name = clean_name(name, self._config.name_max_chars)
            await self._write(Op.RENAME, channel_id, user_id, content=name)
        return await self.channel(user_id, channel_id)

    async def drop(self, user_id: int, channel_id: int) -> None:
        """Delete a channel, with its log and for everybody."""
        await self._require(Act.MANAGE, user_id, channel_id)
        members = await self._channels.member_ids(channel_id)
        write = await self._write(Op.DROP, channel_id, user_id)
        assert write.seq is not None
        self._connections.announce_removed(channel_id, members, write.seq, "deleted")

    # --- members

    async def join(self, user_id: int, channel_id: int) -> Channel:
        """Become a member; no change for one who is."""
        write = await self._write(Op.JOIN, channel_id, user_id, target=user_id)
        if write.seq is not None:
            self._connections.announce_added(channel_id, [user_id])
        return await self.channel(user_id, channel_id)

    async def leave(self, user_id: int, channel_id: int) -> None:
        """Cease to be a member; no change for one who is none."""
        write = await self._write(Op.LEAVE, channel_id, user_id, target=user_id)
        if write.seq is not None:
            self._connections.announce_removed(channel_id, [user_id], write.seq, "left")

    async def members(self, user_id: int, channel_id: int, after: int, limit: int) -> list[Member]:
        """The members of a channel, by user id."""
        await self._require(Act.TAKE_PART, user_id, channel_id)
        return await self._channels.members(channel_id, after, limit)

    async def add_member(
        self, user_id: int, channel_id: int, target: int, role: Role
    ) -> tuple[Member, bool]:
        """Make somebody a member. Returns the member and whether it is new."""
        write = await self._write(Op.ADD, channel_id, user_id, target=target, role=role)
        if write.seq is not None:
            self._connections.announce_added(channel_id, [target])
        return await self._member(channel_id, target), write.seq is not None

    async def set_role(self, user_id: int, channel_id: int, target: int, role: Role) -> Member:
        """Change a member's role; `owner` hands the channel over."""
        await self._write(Op.SET_ROLE, channel_id, user_id, target=target, role=role)
        return await self._member(channel_id, target)

    async def remove_member(self, user_id: int, channel_id: int, target: int) -> None:
        """End somebody's membership."""
        write = await self._write(Op.REMOVE, channel_id, user_id, target=target)
        if write.seq is not None:
            reason: Reason = "left" if target == user_id else "removed"
            self._connections.announce_removed(channel_id, [target], write.seq, reason)

    async def _member(self, channel_id: int, user_id: int) -> Member:
        member = await self._channels.member(channel_id, user_id)
        if member is None:  # removed again in the meantime
            raise ChatError(Code.NOT_FOUND, "There is no such member.", field="userId")
        return member

    async def _require(self, act: Act, user_id: int, channel_id: int) -> None:
        standing = (await self._channels.standing(user_id, [channel_id])).of.get(channel_id)
        if standing is None:
            raise missing_channel()
        require(act, standing.type, standing.role)

    async def _write(
        self,
        op: Op,
        channel_id: int,
        user_id: int,
        *,
        content: str | None = None,
        target: int | None = None,
        role: Role | None = None,
    ) -> Write:
        outcome: asyncio.Future[Write] = asyncio.get_running_loop().create_future()
        self._writer.submit(
            Write(
                op,
                channel_id,
                user_id,
                next(self._nonces),
                _resolver(outcome),
                content=content,
                target=target,
                role=role,
            )
        )
        return await _result(outcome)


def _too_many(text: str, limit: str) -> ChatError:
    return ChatError(Code.TOO_LONG, text, field="members", limit=limit)


def _resolver(outcome: asyncio.Future[Write]) -> Done:
    def resolve(writes: list[Write]) -> None:
        if not outcome.done():  # whoever waited may have gone
            outcome.set_result(writes[0])

    return resolve


async def _result(outcome: asyncio.Future[Write]) -> Write:
    write = await outcome
    if write.error is not None:
        raise write.error
    return write
