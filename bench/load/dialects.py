"""What is said to each server: how a connection joins a room, sends, and what comes back.

One class a protocol; `foreign` has those of other servers, and the table of all. A dialect knows
bytes, not sockets.
"""

from collections.abc import Mapping, Sequence
from typing import Any

Member = Mapping[str, Any]  # what the parent process tells of one connection: token, channels, …


class Dialect:
    """A WebSocket protocol in which every message is one text frame; others say what differs."""

    text = True
    counts_frames = True  # one frame is one message: they are counted by their headers

    def __init__(self, options: Mapping[str, Any]) -> None:
        self.options = options

    def path(self, member: Member) -> str:
        """The path of the handshake."""
        return "/ws"

    def headers(self, member: Member) -> dict[str, str]:
        """Further headers of the handshake."""
        return {}

    def steps(self, member: Member) -> Sequence[tuple[bytes | None, bytes]]:
        """What to say after the 101, and by which bytes in a payload its answer is known."""
        return ()

    def refused(self, payload: bytes) -> bool:
        """Whether this payload says that something went wrong."""
        return False

    def message(self, member: Member, number: int, content: bytes) -> bytes:
        """The payload that sends `content`; `number` comes back in the ack, where there is one."""
        raise NotImplementedError

    def acked(self, payload: bytes) -> bool:
        """Whether this payload is an ack."""
        return False

    def number(self, payload: bytes) -> int:
        """The number that an ack carries."""
        raise NotImplementedError

    def deliveries(self, payload: bytes) -> int:
        """How many messages this payload delivers."""
        return 1


class Rtchat(Dialect):
    """rtchat's own protocol. A member: token, subs (channel to cursor or null), channel (to send),
    or channels (to send to, in turn); `last`, the seq of the entry that it resumes up to.

    The numbers have ten digits, so that every frame of a run is as long as the next.
    """

    _ACK = b'{"t":"ack","ref":'
    _MSG = b'{"t":"msg"'
    _ERROR = b'{"t":"error"'

    def headers(self, member: Member) -> dict[str, str]:
        return {"Authorization": f"Bearer {member['token']}"}

    def steps(self, member: Member) -> Sequence[tuple[bytes | None, bytes]]:
        steps: list[tuple[bytes | None, bytes]] = [(None, b'{"t":"hello"')]
        subs = ",".join(
            f'"{channel}":{"null" if cursor is None else cursor}'
            for channel, cursor in member.get("subs", {}).items()
        )
        if subs:
            steps.append((b'{"t":"sub","ref":0,"ch":{%s}}' % subs.encode(), b'{"t":"ok","ref":0'))
        if member.get("last") is not None:
            steps.append((None, b'"seq":%d,' % member["last"]))
        return steps

    def refused(self, payload: bytes) -> bool:
        if payload.startswith(b'{"t":"ok"'):  # of a sub, in which a channel was refused
            return b'"error":"' in payload
        return payload.startswith((self._ERROR, b'{"t":"bye"'))

    def message(self, member: Member, number: int, content: bytes) -> bytes:
        number += 1_000_000_000
        return b'{"t":"send","ref":%d,"ch":%d,"content":"%s","nonce":"%s-%d"}' % (
            number,
            spread[number % len(spread)]
            if (spread := member.get("channels"))
            else member["channel"],
            content,
            member["run"].encode(),
            number,
        )

    def acked(self, payload: bytes) -> bool:
        return payload.startswith(self._ACK)

    def number(self, payload: bytes) -> int:
        return int(payload[17:27]) - 1_000_000_000

    def deliveries(self, payload: bytes) -> int:
        return payload.startswith(self._MSG)
