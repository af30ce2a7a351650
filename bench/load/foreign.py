"""The dialects of the servers that rtchat is compared with, and the table of all dialects.

A member: channel (a number: the room), user (a number; optional), listens (false: it only sends;
optional, where the server can do that). What members of a room get is as long for each server as it
can be made: about 145 bytes with 72 bytes of content.
"""

from collections.abc import Sequence

from bench.load.dialects import Dialect, Member, Rtchat

_FIRST = 1_000_000_000  # numbers have ten digits, so that every frame is as long as the next


def _user(member: Member) -> int:
    user: int = member.get("user", 1)
    return user


class Plain(Dialect):
    """JSON over `/ws/<room>/<user>`: FastAPI and `ws`. Only the one that stores acks."""

    _ACK = b'{"t":"ack","ref":'
    _MSG = b'{"t":"msg"'

    def path(self, member: Member) -> str:
        silent = "" if member.get("listens", True) else "?listens=false"
        return f"/ws/{member['channel']}/{_user(member)}{silent}"

    def steps(self, member: Member) -> Sequence[tuple[bytes | None, bytes]]:
        return [(None, b'{"t":"joined"')]

    def message(self, member: Member, number: int, content: bytes) -> bytes:
        return b'{"ref":%d,"content":"%s"}' % (_FIRST + number, content)

    def acked(self, payload: bytes) -> bool:
        return payload.startswith(self._ACK)

    def number(self, payload: bytes) -> int:
        return int(payload[17:27]) - _FIRST

    def deliveries(self, payload: bytes) -> int:
        return payload.startswith(self._MSG)


class SocketIO(Dialect):
    """Socket.IO 5 over Engine.IO 4, WebSocket from the beginning."""

    def path(self, member: Member) -> str:
        return "/socket.io/?EIO=4&transport=websocket"

    def steps(self, member: Member) -> Sequence[tuple[bytes | None, bytes]]:
        join = b'420["join",{"room":%d,"user":%d}]' % (member["channel"], _user(member))
        return [(None, b'"pingInterval"'), (b"40", b'40{"sid"'), (join, b'430["joined"]')]

    def refused(self, payload: bytes) -> bool:
        return payload.startswith((b"41", b"44"))

    def message(self, member: Member, number: int, content: bytes) -> bytes:
        return b'42["send",{"room":%d,"ref":%d,"content":"%s"}]' % (
            member["channel"],
            _FIRST + number,
            content,
        )

    def deliveries(self, payload: bytes) -> int:
        return payload.startswith(b'42["msg"')


def _whole(member: Member, number: int, content: bytes) -> bytes:
    """A message as members get it, for servers that pass on what they are given."""
    return b'{"t":"msg","ch":%d,"seq":%d,"user":%d,"content":"%s","ts":1763800000123}' % (
        member["channel"],
        _FIRST + number,
        _user(member),
        content,
    )


class Nats(Dialect):
    """The NATS protocol; a WebSocket frame is a piece of it, of any number of messages."""

    text = False
    counts_frames = False

    def path(self, member: Member) -> str:
        return "/"

    def steps(self, member: Member) -> Sequence[tuple[bytes | None, bytes]]:
        connect = b'CONNECT {"verbose":false,"pedantic":false,"protocol":1}\r\n'
        return [
            (None, b"INFO"),
            (connect + b"SUB room.%d 1\r\nPING\r\n" % member["channel"], b"PONG"),
        ]

    def refused(self, payload: bytes) -> bool:
        return payload.startswith(b"-ERR")

    def message(self, member: Member, number: int, content: bytes) -> bytes:
        whole = _whole(member, number, content)
        return b"PUB room.%d %d\r\n%s\r\n" % (member["channel"], len(whole), whole)

    def deliveries(self, payload: bytes) -> int:
        return payload.count(b"MSG room.")


class Nchan(Dialect):
    """A location that publishes what comes and subscribes who came."""

    def path(self, member: Member) -> str:
        return f"/room/{member['channel']}"

    def message(self, member: Member, number: int, content: bytes) -> bytes:
        return _whole(member, number, content)


class Centrifugo(Dialect):
    """Centrifugo's JSON protocol: lines, of which a frame may carry several."""

    counts_frames = False

    def path(self, member: Member) -> str:
        return "/connection/websocket"

    def steps(self, member: Member) -> Sequence[tuple[bytes | None, bytes]]:
        subscribe = b'{"id":2,"subscribe":{"channel":"room%d"}}' % member["channel"]
        return [(b'{"id":1,"connect":{}}', b'"id":1,'), (subscribe, b'"id":2,')]

    def refused(self, payload: bytes) -> bool:
        return b'"error":{' in payload[:100]

    def message(self, member: Member, number: int, content: bytes) -> bytes:
        return b'{"id":%d,"publish":{"channel":"room%d","data":%s}}' % (
            _FIRST + number,
            member["channel"],
            _whole(member, number, content),
        )

    def deliveries(self, payload: bytes) -> int:
        return payload.count(b'{"push":{"channel":')


DIALECTS: dict[str, type[Dialect]] = {
    "rtchat": Rtchat,
    "plain": Plain,
    "socketio": SocketIO,
    "nats": Nats,
    "nchan": Nchan,
    "centrifugo": Centrifugo,
}
