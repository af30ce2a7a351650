"""uvicorn's WebSocket protocol, with a link for ready-made frames and bounds on what clients send.

Owns: what is between the hub and the transport: the marks at which a socket counts as paused, and
the guard that nothing is written after a close. uvicorn writes each message as one whole frame and
never fragments, so a ready-made frame can only fall between two others; an uncompressed frame is
legal whatever was negotiated (RFC 7692 §6). And the rates of frames and fragments, which uvicorn
leaves open: 210 MB of pings that were never read cost it 200 MB.

Must never: wait for a client that takes nothing. uvicorn closes by `transport.close()`, which does
that for ever; here every close has a time after which the socket is dropped with what it kept.

The attributes used here are uvicorn's own; pyproject.toml therefore allows one minor of it at a
time, and tests/server/test_websocket.py is what a new one must pass.
"""

from typing import Any

from websockets.frames import CloseCode, Frame
from websockets.protocol import State

from rtchat.config import Config
from rtchat.errors import Close
from rtchat.headers import AnswerHeaders
from rtchat.reached import Reached
from rtchat.server.frames import payload_of, plain_text, pong
from rtchat.server.heartbeat import HeartbeatProtocol, Wheel
from rtchat.server.limits import Budget, Capacity

CONTROL_BURST_S = 10  # seconds' worth of control frames that may come at once
FRAMES_BURST_S = 5
# One read may bring 40,000. The others have their turn after so many; and where they were a flood,
# our close, with which the rest is dropped unread.
FRAMES_A_TURN = 64
LINGER_S = 1.0  # what is sent after our close is dropped for so long, so that the close is read


class FrameProtocol(HeartbeatProtocol):
    """One WebSocket. `for_config` makes the class that uvicorn is given."""

    drain_bytes = 4_194_304
    fragments_max = 64
    control_per_second = 10
    frames_per_second = 200
    frames_burst = 1000
    capacity = Capacity(0, 0)

    __slots__ = (
        "_control", "_dropped", "_early", "_fragments", "_frames", "_need", "_open", "_owed_pong",
        "_rest",
    )  # fmt: skip

    def __init__(self, *args: Any) -> None:
        super().__init__(*args)
        now, control = self.loop.time(), self.control_per_second
        self._control = Budget(control, control * CONTROL_BURST_S, now)
        self._frames = Budget(self.frames_per_second, self.frames_burst, now)
        self._open = False  # between the 101 and the end: frames are heard
        self._fragments = 0  # of the message that is coming in; 0: none is
        self._rest: bytearray | None = None  # the beginning of a frame
        self._need = 0  # bytes, for `_rest` to be looked at again
        self._early = b""  # what came before the 101
        self._dropped = 0  # bytes that came after our close
        self._owed_pong = b""

    @classmethod
    def for_config(
        cls, config: Config, capacity: Capacity, reached: Reached
    ) -> "type[FrameProtocol]":
        """Make the class with the limits of `config`.

        A limit of frames would be one of writes as well, so it follows theirs.
        """
        sends, frames = config.sends_per_second, config.commands_per_second
        frames = max(frames, 2 * sends) if frames and sends else 0
        limits = {
            "high_bytes": config.write_high_bytes,
            "low_bytes": config.write_low_bytes,
            "drain_bytes": config.body_drain_bytes,
            "fragments_max": config.fragments_max,
            "control_per_second": config.control_frames_per_second,
            "frames_per_second": frames,
            "frames_burst": max(frames * FRAMES_BURST_S, 2 * config.sends_burst),
            "capacity": capacity,
            "common": AnswerHeaders(config),
            "reached": reached,
            "wheel": Wheel(),
            "ping_every_s": config.heartbeat_s,
            "pong_within_s": config.heartbeat_timeout_s,
        }
        return type("FrameProtocol", (cls,), limits)

    # --- the connection

    def connection_lost(self, exc: Exception | None) -> None:
        paused = not self.writable.is_set()
        self._open = False
        if self.handshake_complete and self.conn.close_rcvd is None:
            # Without a close frame (RFC 6455 §7.1.5); uvicorn would say 1005, that one had no code.
            self.queue.put_nowait(
                {"type": "websocket.disconnect", "code": CloseCode.ABNORMAL_CLOSURE}
            )
        super().connection_lost(exc)
        self.capacity.leave(self._address)
        if self._end_timer is not None:
            self._end_timer.cancel()
        if paused and self._link is not None and self._link.listener is not None:
            self._link.listener.lost()

    def shutdown(self) -> None:
        """Close, unless the client closed before us: then uvicorn would have nothing to say."""
        if self.handshake_complete and not self.close_sent and self.conn.state is not State.OPEN:
            self.stop_keepalive()
            self.drop()
            return
        super().shutdown()

    def pause_writing(self) -> None:
        super().pause_writing()
        if self._link is not None and self._link.listener is not None:
            self._link.listener.paused()

    def resume_writing(self) -> None:
        super().resume_writing()
        if self._owed_pong and not self.close_sent:
            self.transport.write(self._owed_pong)
        self._owed_pong = b""
        if self._link is not None and self._link.listener is not None:
            self._link.listener.resumed()

    async def send(self, message: Any) -> None:
        """What uvicorn does; but whoever floods is heard no more, also where it is the application
        that says so: else each frame on its way would be parsed before the answer to our close."""
        if message["type"] == "websocket.close" and message.get("code") == Close.FLOOD:
            self._end(Close.FLOOD, message.get("reason") or "")
        else:
            await super().send(message)

    # --- bytes in

    def data_received(self, data: bytes) -> None:
        if self._open:
            self._hear(data)
        elif not self.handshake_complete:
            self._early += data
            if len(self._early) > self.high_bytes:
                self.drop()
        else:
            self._dropped += len(data)
            if self._dropped > self.drain_bytes:
                self.drop()

    def start_keepalive(self) -> None:
        """The 101 has been sent; a client need not have waited for it."""
        super().start_keepalive()
        self._open = True
        early, self._early = self._early, b""
        if early:
            self.data_received(early)

    # --- frames in

    def _hear(self, data: bytes) -> None:
        """Serve the frames that are whole, one by one so that a limit can act between them.

        `websockets` gets each by itself, and so stands between two of them all the time. Texts of
        one frame do not go there, nor do pongs: it takes 7 µs for one, this way 1.
        """
        if self._rest is not None:
            self._rest += data
            if len(self._rest) < self._need:
                return
            data, self._rest = bytes(self._rest), None
        at, end, left = 0, len(data), FRAMES_A_TURN
        while self._open and at < end and left:
            left -= 1
            start, stop = payload_of(data, at)
            if stop - start > self.config.ws_max_size:
                super().data_received(data[at:])  # which refuses it by its header
                return
            if stop > end:
                self._keep(data[at:], stop - at)
                return
            text = plain_text(data, at, start, stop)
            if text is None or self._fragments or self.conn.state is not State.OPEN:
                payload = pong(data, at, start, stop)
                if payload is None:
                    super().data_received(data[at:stop])
                else:
                    self.take_pong(payload)
            elif self._may(self._frames):
                self._take(text)
            at = stop
        if self._open and at < end:
            self._rest, self._need = bytearray(data[at:]), 0
            self.transport.pause_reading()  # or it would come faster than it is heard
            self.loop.call_soon(self._hear_on)

    def _hear_on(self) -> None:
        """It is our turn again."""
        if self.transport.is_closing():
            return
        if not self.read_paused:
            self.transport.resume_reading()
        if self._open:
            self._hear(b"")

    def read_on(self) -> None:
        """The application takes more; first what has come is heard."""
        if self._rest is None or self._need:
            super().read_on()

    def _keep(self, begin: bytes, need: int) -> None:
        """Wait for the rest of a frame, of which so many bytes are needed."""
        if len(begin) > 1 and begin[1] < 128:  # unmasked, perhaps no WebSocket at all
            super().data_received(begin)  # which refuses it by that
        else:
            self._rest, self._need = bytearray(begin), need

    def _take(self, text: str) -> None:
        """Give a text to the application: on the spot, or where that is not now by `receive`."""
        if self.close_sent:
            return
        listener = None if self._link is None else self._link.listener
        if listener is not None and self.queue.empty() and listener.take(text):
            return
        self.queue.put_nowait({"type": "websocket.receive", "text": text})
        if not self.read_paused:
            self.read_paused = True
            self.transport.pause_reading()

    def handle_text(self, event: Frame) -> None:
        self._fragments = 0 if event.fin else 1
        if self._may(self._frames):
            super().handle_text(event)

    def handle_bytes(self, event: Frame) -> None:
        self._fragments = 0 if event.fin else 1
        if self._may(self._frames):
            super().handle_bytes(event)

    def handle_cont(self, event: Frame) -> None:
        self._fragments += 1
        if self.fragments_max and self._fragments > self.fragments_max:
            self.reached.count("fragments_max")
            self._end(Close.PROTOCOL_ERROR, "too many fragments")
            return
        if event.fin:
            self._fragments = 0
        if self._may(self._frames):
            super().handle_cont(event)

    def send_receive_event_to_app(self) -> None:
        """Hand a message on that came to `websockets`; uvicorn logs a traceback where it is no
        UTF-8, as often as a client likes."""
        if self.curr_msg_data_type != "text":
            super().send_receive_event_to_app()
            return
        parts, self.frames = self.frames, []
        if self.close_sent:
            return
        try:
            text = b"".join(parts).decode()
        except UnicodeDecodeError:
            self.conn.send_close(CloseCode.INVALID_DATA)
            self.handle_parser_exception()
            return
        self._take(text)

    def handle_ping(self) -> None:
        """Answer, unless the answer would only wait: then the last one is kept (RFC 6455 §5.5.3).

        A client that pings and never reads thus costs one pong.
        """
        if not self._may(self._control):
            return
        if self.writable.is_set() or self.conn.state is not State.OPEN:
            super().handle_ping()
        elif output := self.conn.data_to_send():
            self._owed_pong = output[-1]

    def take_pong(self, payload: bytes) -> None:
        if self._may(self._control):
            super().take_pong(payload)

    def _may(self, budget: Budget) -> bool:
        if self._open and not budget.spend(self.loop.time):
            control = budget is self._control
            self.reached.count("control_frames_per_second" if control else "commands_per_second")
            self._end(Close.FLOOD, "too many frames")
        return self._open

    def _end(self, code: Close, reason: str) -> None:
        """Close for what the client sent, and hear no more of it."""
        if not self._open:
            return
        self._open = False
        self.stop_keepalive()
        while not self.queue.empty():  # nothing of it was answered, so nothing is promised
            self.queue.get_nowait()
        self.queue.put_nowait({"type": "websocket.disconnect", "code": code, "reason": reason})
        if self.close_sent or self.conn.state is not State.OPEN or not self.writable.is_set():
            self.drop()
            return
        self.conn.send_close(code, reason)
        self._say_close()

    def handle_parser_exception(self) -> None:
        """What came is not WebSocket, not UTF-8 or too big; `conn` has the close for it."""
        self._open = False
        sent = self.conn.close_sent
        code, reason = (sent.code, sent.reason) if sent is not None else (1006, "")
        if code == Close.TOO_BIG:
            self.reached.count("frame_max_bytes")
        self.queue.put_nowait({"type": "websocket.disconnect", "code": code, "reason": reason})
        self._say_close()

    def _say_close(self) -> None:
        """Send the close, and take in what is on its way: a reset would overtake the close."""
        self.transport.write(b"".join(self.conn.data_to_send()))
        self.close_sent = True
        if self.read_paused:
            self.read_paused = False
            self.transport.resume_reading()
        if self.transport.can_write_eof():
            self.transport.write_eof()
        self.close_timer = self.loop.call_later(LINGER_S, self.drop)
