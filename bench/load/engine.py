"""One epoll loop and its connections: thousands of sockets, one buffer, no object per frame.

Owns: sockets, opening them (TCP, the WebSocket's handshake, a dialect's first words) a bounded
number at a time, and partial writes. Must never: block, or decide what a job does.
"""

import base64
import errno
import hashlib
import select
import socket
import time
from collections import deque
from collections.abc import Callable, Iterable, Sequence
from typing import Any

from bench.load.dialects import Dialect, Member
from bench.load.frames import BINARY, CLOSE, PING, PONG, TEXT, Stream, client_frame, messages

BUFFER_BYTES = 1 << 18
POLL_S = 0.05
_KEY = base64.b64encode(b"rtchat load test").decode()
_ACCEPT = base64.b64encode(
    hashlib.sha1(f"{_KEY}258EAFA5-E914-47DA-95CA-C5AB0DC85B11".encode()).digest()
)


class LoadError(Exception):
    """The server did something that the bench cannot count."""


class Conn:
    """One WebSocket. `on_piece` gets every piece of bytes that comes once it is open."""

    __slots__ = (
        "_engine", "_out", "fd", "head", "member", "on_piece", "on_ready", "opened_at", "sock",
        "steps", "stream",
    )  # fmt: skip

    def __init__(self, engine: "Engine", sock: socket.socket, member: Member) -> None:
        self._engine = engine
        self._out = b""
        self.sock = sock
        self.fd = sock.fileno()
        self.member = member
        self.stream = Stream()
        self.head = b""
        self.steps: list[tuple[bytes | None, bytes]] = []
        self.opened_at = time.perf_counter()
        self.on_piece: Callable[[Conn, bytes], None] = _unheard
        self.on_ready: Callable[[Conn], None] = _unready

    def send(self, frames: bytes) -> None:
        """Send whole frames; what the socket does not take now follows when it can."""
        if self._out:
            self._out += frames
            return
        try:
            sent = self.sock.send(frames)
        except BlockingIOError:
            sent = 0
        if sent < len(frames):
            self._out = frames[sent:]
            self._engine.watch(self, select.EPOLLIN | select.EPOLLOUT)

    def send_when_open(self, data: bytes) -> None:
        """Send this as soon as TCP is connected."""
        self._out = data
        self._engine.watch(self, select.EPOLLIN | select.EPOLLOUT)

    def go_on(self) -> None:
        """The socket takes bytes again."""
        out, self._out = self._out, b""
        self._engine.watch(self, select.EPOLLIN)
        if out:
            self.send(out)

    @property
    def unsent(self) -> int:
        """Bytes that the socket did not take yet."""
        return len(self._out)


def _unheard(_: Conn, __: bytes) -> None:
    raise LoadError("bytes on a connection that is not open")


def _unready(_: Conn) -> None:
    """Nobody waits for it."""


class Engine:
    """The loop."""

    def __init__(self, dialect: Dialect, host: str, port: int) -> None:
        self._dialect = dialect
        self._host, self._port = host, port
        self._epoll = select.epoll()
        self._conns: dict[int, Conn] = {}
        self._buffer = bytearray(BUFFER_BYTES)
        self._view = memoryview(self._buffer)
        self.on_closed: Callable[[Conn, str], None] = _closed
        self.opening = 0
        self.bytes_in = 0

    def __len__(self) -> int:
        return len(self._conns)

    # --- opening

    def open_all(
        self,
        members: Sequence[Member],
        *,
        at_once: int = 256,
        within_s: float = 120.0,
        on_open: Callable[[Conn], None] = _unready,
    ) -> list[Conn]:
        """Open one connection for each member and say the dialect's first words; in that order."""
        waiting = deque(members)
        ready: dict[int, Conn] = {}
        order: list[int] = []

        def opened(conn: Conn) -> None:
            ready[id(conn)] = conn
            on_open(conn)

        deadline = time.monotonic() + within_s
        while len(ready) < len(members):
            while waiting and self.opening < at_once:
                order.append(id(self.open(waiting.popleft(), opened)))
            self.turn(POLL_S)
            if time.monotonic() > deadline:
                raise LoadError(
                    f"{len(ready)} of {len(members)} connections opened in {within_s} s"
                )
        return [ready[key] for key in order]

    def open(self, member: Member, on_ready: Callable[[Conn], None]) -> Conn:
        """Begin to open a connection; `on_ready` is called when it is a member of its rooms."""
        conn = self.dial(member, self._head, self._request(member))
        conn.on_ready = on_ready
        conn.steps = list(self._dialect.steps(member))
        self.opening += 1
        return conn

    def dial(self, member: Member, on_piece: Callable[[Conn, bytes], None], first: bytes) -> Conn:
        """Begin to connect, and send `first` as soon as that is done."""
        sock = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
        sock.setblocking(False)
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        status = sock.connect_ex(tuple(member.get("at", (self._host, self._port))))
        if status not in (0, errno.EINPROGRESS):
            raise LoadError(f"connect: {errno.errorcode[status]}")
        conn = Conn(self, sock, member)
        conn.on_piece = on_piece
        self._conns[conn.fd] = conn
        self._epoll.register(conn.fd, select.EPOLLIN)
        conn.send_when_open(first)
        return conn

    def _request(self, member: Member) -> bytes:
        lines = [
            f"GET {self._dialect.path(member)} HTTP/1.1",
            f"Host: {self._host}:{self._port}",
            "Upgrade: websocket",
            "Connection: Upgrade",
            f"Sec-WebSocket-Key: {_KEY}",
            "Sec-WebSocket-Version: 13",
            *(f"{name}: {value}" for name, value in self._dialect.headers(member).items()),
        ]
        return ("\r\n".join(lines) + "\r\n\r\n").encode()

    def _head(self, conn: Conn, piece: bytes) -> None:
        conn.head += piece
        head, end, rest = conn.head.partition(b"\r\n\r\n")
        if not end:
            return
        if not head.startswith(b"HTTP/1.1 101") or _ACCEPT not in head:
            raise LoadError(f"handshake refused: {conn.head[:300]!r}")
        conn.head = b""
        conn.on_piece = self._step
        self._say(conn)
        if rest or not conn.steps:
            self._step(conn, rest)

    def _say(self, conn: Conn) -> None:
        """Say what the next steps begin with, up to one that must be answered first."""
        if conn.steps and conn.steps[0][0] is not None:
            opcode = TEXT if self._dialect.text else BINARY
            conn.send(client_frame(conn.steps[0][0], opcode))
            conn.steps[0] = (None, conn.steps[0][1])

    def _step(self, conn: Conn, piece: bytes) -> None:
        for payload in messages(conn.stream, piece):
            if self._dialect.refused(payload):
                raise LoadError(f"refused: {payload[:300]!r}")
            if conn.steps and conn.steps[0][1] in payload:
                conn.steps.pop(0)
                self._say(conn)
        self.controls(conn)
        if not conn.steps:
            self.opening -= 1
            conn.on_piece = self._unasked
            conn.on_ready(conn)

    def _unasked(self, conn: Conn, piece: bytes) -> None:
        """What comes before a job hears: presence may, a message would be missing in its count."""
        for payload in messages(conn.stream, piece):
            if self._dialect.refused(payload) or self._dialect.deliveries(payload):
                raise LoadError(f"nobody hears yet: {payload[:300]!r}")
        self.controls(conn)

    # --- running

    def turn(self, timeout_s: float) -> None:
        """Wait for something, at most so long, and handle what is there."""
        conns, view = self._conns, self._view
        for fd, events in self._epoll.poll(timeout_s):
            conn = conns.get(fd)
            if conn is None:
                continue
            if events & ~select.EPOLLIN:
                if events & select.EPOLLOUT:
                    conn.go_on()
                if not events & select.EPOLLIN and events & (select.EPOLLHUP | select.EPOLLERR):
                    self.close(conn, "reset")
                    continue
            if events & select.EPOLLIN:
                try:
                    size = conn.sock.recv_into(view)
                except BlockingIOError:
                    continue
                except OSError as error:
                    self.close(conn, str(error))
                    continue
                if not size:
                    self.close(conn, "closed by the server")
                    continue
                self.bytes_in += size
                conn.on_piece(conn, bytes(view[:size]))

    def run(self, until: float, each_turn: Callable[[], Any] = lambda: None) -> None:
        """Turn until `until` (time.perf_counter)."""
        while (left := until - time.perf_counter()) > 0:
            self.turn(min(left, POLL_S))
            each_turn()

    def run_until(self, done: Callable[[], bool], within_s: float) -> None:
        """Turn until `done`, for so long at most."""
        until = time.perf_counter() + within_s
        while not done() and time.perf_counter() < until:
            self.turn(POLL_S)

    def controls(self, conn: Conn) -> None:
        """Answer the pings that came, and take a close as what it is."""
        if not conn.stream.controls:
            return
        for opcode, payload in conn.stream.controls:
            if opcode == PING:
                conn.send(client_frame(payload, PONG))
            elif opcode == CLOSE:
                code = int.from_bytes(payload[:2], "big")
                self.close(conn, f"close {code} {payload[2:].decode(errors='replace')}")
        conn.stream.controls.clear()

    def watch(self, conn: Conn, events: int) -> None:
        """Ask to hear of other events of this connection."""
        if conn.fd in self._conns:
            self._epoll.modify(conn.fd, events)

    def close(self, conn: Conn, why: str) -> None:
        """Drop a connection that the server has ended."""
        self.drop(conn)
        self.on_closed(conn, why)

    def drop(self, conn: Conn) -> None:
        """Drop a connection."""
        if self._conns.pop(conn.fd, None) is not None:
            if conn.on_piece in (self._head, self._step):
                self.opening -= 1
            self._epoll.unregister(conn.fd)
            conn.sock.close()

    def close_all(self, conns: Iterable[Conn] | None = None) -> None:
        """Drop these connections, or all."""
        for conn in list(self._conns.values() if conns is None else conns):
            self.drop(conn)


def _closed(conn: Conn, why: str) -> None:
    raise LoadError(f"a connection ended: {why}")
