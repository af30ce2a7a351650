"""Locust: people who sign in, open a socket, join a channel, read back and chat.

    rtchat dev
    locust -f bench/locustfile.py --host http://localhost:8000
    locust -f bench/locustfile.py --host http://localhost:8000 --headless -u 50 -r 10 -t 30s

Runs against a server as it is, with its limits on. Accounts are kept from run to run; a password
costs the server 0.25 s, so signing in is spread: 50 people take some 20 s to arrive. `send` is
timed up to the ack, `delivery` up to when one's own message comes back; a message that is missing,
doubled or out of order is a failure (`log`). For rates at the limit of the server use the other
benches: this is one greenlet a person, and much slower than rtchat.
"""

import itertools
import json
import random
import time
from typing import Any

import gevent
import websocket
from gevent.event import AsyncResult
from gevent.lock import BoundedSemaphore
from locust import HttpUser, between, task
from locust.exception import StopUser

PASSWORD = "locust locust"
CHANNELS = [f"locust {n}" for n in range(1, 6)]
ANSWER_S = 20
WORDS = [
    "well",
    "hello",
    "everybody",
    "who",
    "has",
    "seen",
    "the",
    "quick",
    "brown",
    "fox",
    "today",
]


class RefusedError(Exception):
    """The server said no, or something that it never should."""


class Town:
    """What all people of this process share: who is who, and where to meet."""

    def __init__(self) -> None:
        self.numbers = itertools.count(1)
        # The server hashes one password at a time and lets 32 wait; other processes come as well.
        self.doors = BoundedSemaphore(4)
        self.square = BoundedSemaphore(1)
        self.new = False  # the last one who came had no account: so the next has none either
        self.channels: list[int] = []


TOWN = Town()


class Socket:
    """A WebSocket: frames out, answers by `ref`, and the log of one channel, checked."""

    def __init__(self, person: "Person", channel: int, cursor: int | None) -> None:
        self.channel, self.cursor = channel, cursor
        self._person = person
        self._refs = itertools.count(1)
        self._answers: dict[int, tuple[AsyncResult, float]] = {}  # and when it was asked for
        self._mine: dict[int, float] = {}  # when they were sent, until they are delivered
        url = person.host.replace("http", "ws", 1) + "/ws"
        self._socket = websocket.create_connection(
            url,
            header=[f"Authorization: Bearer {person.token}"],
            timeout=ANSWER_S,
            suppress_origin=True,
        )
        hello = json.loads(self._socket.recv())
        if hello["t"] != "hello":
            raise RefusedError(hello)
        self._socket.settimeout(None)
        self._reader = gevent.spawn(self._read)

    @property
    def open(self) -> bool:
        """Whether it still stands."""
        return not self._reader.ready()

    def ask(self, **command: Any) -> dict[str, Any]:
        """Send a command and wait for its answer. Raises RefusedError for an error."""
        ref = next(self._refs)
        answer = AsyncResult()
        self._answers[ref] = answer, time.perf_counter()
        try:
            self._socket.send(json.dumps({**command, "ref": ref}))
            said: dict[str, Any] = answer.get(timeout=ANSWER_S)
        finally:
            del self._answers[ref]
        if said["t"] == "error":
            raise RefusedError(said)
        return said

    def follow(self) -> None:
        """Subscribe to the channel, from the cursor on."""
        told = self.ask(t="sub", ch={str(self.channel): self.cursor})["ch"][str(self.channel)]
        if "error" in told:
            raise RefusedError(told)

    def close(self) -> None:
        """Leave."""
        self._reader.kill()
        self._socket.close()

    def _read(self) -> None:
        try:
            while text := self._socket.recv():
                self._take(json.loads(text))
        except (OSError, websocket.WebSocketException) as error:
            gone: Exception = RefusedError(f"the socket ended: {error}")
        else:
            gone = RefusedError("the server closed the socket")
        for answer, _ in self._answers.values():
            answer.set_exception(gone)

    def _take(self, event: dict[str, Any]) -> None:
        if event.get("ref") in self._answers:
            answer, asked_at = self._answers[event["ref"]]
            if event["t"] == "ack":
                self._mine[event["seq"]] = asked_at
            elif self.cursor is None and "ch" in event:
                self.cursor = event["ch"][str(self.channel)].get("head")
            answer.set(event)
        elif "seq" in event:
            before, self.cursor = self.cursor, event["seq"]
            if before is None or event["seq"] != before + 1:
                self._person.fire("log", error=RefusedError(f"{event['seq']} came after {before}"))
            if sent_at := self._mine.pop(event["seq"], None):
                self._person.fire("delivery", time.perf_counter() - sent_at)
        elif event["t"] == "expiring":
            gevent.spawn(self._person.renew)


class Person(HttpUser):
    """Somebody at a chat: mostly writes, now and then reads back, sometimes loses the line."""

    wait_time = between(1, 3)
    host: str
    token = ""
    refresh_token = ""
    socket: Socket | None = None

    def on_start(self) -> None:
        """Come in: account, channel, history, socket."""
        self.email = f"locust-{next(TOWN.numbers)}@example.org"
        with TOWN.doors:
            self.sign_in()
        self.channel = random.choice(self.channels())
        self.call("POST", f"/channels/{self.channel}/join", name="/channels/{id}/join")
        self.listen(self.read_back()["items"])

    def on_stop(self) -> None:
        """Go."""
        if self.socket is not None:
            self.socket.close()

    # --- signing in

    def sign_in(self) -> None:
        """Log in, or register where there is no account yet; the one that is likelier first."""
        ways = [("/auth/login", 401), ("/auth/register", 409)]
        for path, not_so in reversed(ways) if TOWN.new else ways:
            body = {"email": self.email, "password": PASSWORD}
            session = self.call("POST", path, body, not_so=not_so)
            if session is not None:
                TOWN.new = path == "/auth/register"
                self.token, self.refresh_token = session["accessToken"], session["refreshToken"]
                return
        raise StopUser

    def renew(self) -> None:
        """Get a new token, and tell the socket."""
        session = self.call("POST", "/auth/refresh", {"refreshToken": self.refresh_token})
        self.token, self.refresh_token = session["accessToken"], session["refreshToken"]
        if self.socket is not None:
            with self.measured("auth"):
                self.socket.ask(t="auth", token=self.token)

    # --- REST

    def call(
        self, method: str, path: str, body: Any = None, *, name: str = "", not_so: int = 0
    ) -> Any:
        """Ask over REST. None where the answer's status is `not_so`, which is no failure.

        Is the server busy, it says how long, and is asked again; that is no failure either.
        """
        headers = {"authorization": f"Bearer {self.token}"} if self.token else {}
        while True:
            with self.client.request(
                method, path, name=name or path, json=body, headers=headers, catch_response=True,
                timeout=ANSWER_S,
            ) as response:  # fmt: skip
                if response.status_code == not_so:
                    response.success()
                    return None
                if response.status_code != 503 or "retry-after" not in response.headers:
                    break
                response.success()
            gevent.sleep(float(response.headers["retry-after"]))
        if not response.ok:
            raise StopUser  # it is counted; without this nothing else would make sense
        return response.json()

    def channels(self) -> list[int]:
        """The public channels where people meet; whoever comes first makes them."""
        with TOWN.square:
            if not TOWN.channels:
                found: dict[str, int] = {}
                cursor: int | None = 0
                while cursor is not None:
                    path = f"/channels?scope=public&limit=200&cursor={cursor}"
                    page = self.call("GET", path, name="/channels")
                    found |= {channel["name"]: channel["id"] for channel in page["items"]}
                    cursor = page["next"]
                for name in CHANNELS:
                    if name not in found:
                        body = {"name": name, "type": "public"}
                        found[name] = self.call("POST", "/channels", body)["id"]
                TOWN.channels = [found[name] for name in CHANNELS]
        return TOWN.channels

    def read_back(self, before: int | None = None) -> Any:
        """A page of messages: the newest, or those before."""
        path = f"/channels/{self.channel}/messages?limit=50"
        path += f"&before={before}" if before is not None else ""
        return self.call("GET", path, name="/channels/{id}/messages")

    # --- the socket

    def measured(self, name: str) -> Any:
        """Measure what happens in the block; what it raises is counted as a failure."""
        return self.environment.events.request.measure("WS", name)

    def fire(self, name: str, seconds: float = 0.0, error: Exception | None = None) -> None:
        """Count what was measured elsewhere, or a failure."""
        self.environment.events.request.fire(
            request_type="WS", name=name, response_time=seconds * 1000, response_length=0,
            exception=error, context={},
        )  # fmt: skip

    def listen(self, messages: list[Any]) -> None:
        """Open the socket and follow the channel from the last of these messages on."""
        cursor = messages[-1]["seq"] if messages else None
        with self.measured("connect"):
            self.socket = Socket(self, self.channel, cursor)
        if self.socket is not None:
            with self.measured("sub"):
                self.socket.follow()

    @task(12)
    def chat(self) -> None:
        """Say something; the ack means that it is stored."""
        if self.socket is None or not self.socket.open:
            self.come_back()
            return
        content = " ".join(random.choices(WORDS, k=random.randint(1, 20)))
        with self.measured("send"):
            ack = self.socket.ask(t="send", ch=self.channel, content=content)
            if ack["t"] != "ack":
                raise RefusedError(ack)

    @task(3)
    def look_back(self) -> None:
        """Scroll a page or two."""
        page = self.read_back()
        if page["hasMore"]:
            self.read_back(page["items"][0]["seq"])

    @task(1)
    def look_around(self) -> None:
        """List one's channels, with what is unread."""
        self.call("GET", "/channels?scope=mine", name="/channels")

    @task(1)
    def come_back(self) -> None:
        """Lose the line, and go on from the cursor."""
        if self.socket is not None:
            self.socket.close()
            cursor, self.socket = self.socket.cursor, None
            self.listen([{"seq": cursor}] if cursor is not None else [])
        else:
            self.listen([])
