"""Every line of the table of rates, on a pod: its burst goes through, and one more is refused.

On REST 429 with Retry-After, on a WebSocket `rate_limited` with `after` (contract §4); and somebody
else goes on. S-58, S-57 (new connections), S-11 (taken addresses at registration), B-H32.
"""

import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack
from typing import Any, NamedTuple

import httpx2
import pytest
from websockets.asyncio.client import connect
from websockets.exceptions import InvalidStatus

from rtchat.api.rates import Limited
from tests.people import People, Person
from tests.pods import Pod, Pods
from tests.raw import PING, frame, handshake, raw
from tests.sockets import wire

SETTINGS: dict[str, Any] = {
    "trusted_proxies": "127.0.0.1",
    "sends_per_second": 1,
    "sends_burst": 4,
    "user_sends_factor": 2,
    "user_reads_per_second": 1,
    "user_changes_per_minute": 5,
    "user_creations_per_minute": 3,
    "user_connects_per_second": 1,
    "user_floods_per_minute": 6,
    "subs_per_second": 1,
    "user_subs_per_second": 1,
    "subs_max": 4,
    "ephemerals_per_second": 1,
    "ephemerals_burst": 4,
    "address_connects_per_second": 1,
    "address_registers_per_minute": 2,
    "address_sso_per_minute": 4,
    "address_logins_per_minute": 2,
    "user_password_changes_per_minute": 4,
    "user_refreshes_per_minute": 1,
    "address_failures_max": 30,  # 3 at once
}
# What goes through at once, and how many a second after that.
BURSTS = {
    Limited.READS: (10, 1.0),
    Limited.CHANGES: (5, 5 / 60),
    Limited.CREATIONS: (3, 3 / 60),
    Limited.CONNECTS: (10, 1.0),
    Limited.FLOODS: (3, 0.1),
    Limited.ADDRESS_CONNECTS: (20, 1.0),
    Limited.REGISTERS: (4, 2 / 60),
    Limited.SSO: (4, 4 / 60),
    Limited.LOGINS: (2, 2 / 60),
    Limited.PASSWORDS: (4, 4 / 60),
    Limited.SENDS: (8, 2.0),
    Limited.SUBS: (10, 1.0),
    Limited.USER_SUBS: (20, 1.0),
}


WRONG = {"email": "nobody@example.org", "password": "wrong horse battery"}


class Asker(NamedTuple):
    """Who asks, from where, and the channel he owns."""

    http: httpx2.AsyncClient
    pod: Pod
    person: Person
    address: str
    channel: int

    async def request(self, method: str, path: str, body: Any = None, *, known: bool = True) -> int:
        """Ask; returns 429 only with everything that belongs to it."""
        headers = {"X-Forwarded-For": self.address, **(self.person.headers if known else {})}
        answer = await self.http.request(method, path, json=body, headers=headers)
        if answer.status_code == 429:
            problem = answer.json()
            assert problem["code"] == "rate_limited"
            assert int(answer.headers["retry-after"]) >= problem["retryAfter"] > 0
        return answer.status_code

    async def flood(self) -> int:
        """Open a socket and send until it is closed with 4008; returns the handshake's status."""
        async with raw(self.pod.port) as client:
            await client.send(handshake(self.person))
            status = int((await client.until(b"\r\n\r\n"))[9:12])
            if status == 101:
                await client.send(frame(PING) * 1000)
                await client.rest()
                assert client.close_code() == 4008
        return status

    async def handshake(self, *, known: bool) -> int:
        """Open a socket; returns the status."""
        headers = {"X-Forwarded-For": self.address, **(self.person.headers if known else {})}
        try:
            async with connect(self.pod.ws_url, proxy=None, additional_headers=headers):
                return 101
        except InvalidStatus as refused:
            answer = refused.response
        assert (answer.status_code == 429) == ("Retry-After" in answer.headers)
        return answer.status_code


ACTIONS: dict[Limited, Callable[[Asker], Awaitable[int]]] = {
    Limited.READS: lambda a: a.request("GET", f"/channels/{a.channel}/messages"),
    Limited.CHANGES: lambda a: a.request("PATCH", "/users/me", {"status": "here"}),
    Limited.CREATIONS: lambda a: a.request("POST", "/channels", {"name": "x", "type": "public"}),
    Limited.CONNECTS: lambda a: a.handshake(known=True),
    Limited.FLOODS: lambda a: a.flood(),
    Limited.ADDRESS_CONNECTS: lambda a: a.handshake(known=False),
    Limited.REGISTERS: lambda a: a.request("POST", "/auth/register", {}, known=False),
    Limited.SSO: lambda a: a.request("GET", "/auth/oauth/nobody", known=False),
    Limited.LOGINS: lambda a: a.request("POST", "/auth/login", WRONG, known=False),
    Limited.PASSWORDS: lambda a: a.request("POST", "/auth/password", {}),
    Limited.SENDS: lambda a: a.request(
        "POST", f"/channels/{a.channel}/messages", {"content": "hi"}
    ),
}


@pytest.fixture(scope="module")
async def limited(pods: Pods, module_database_url: str) -> Pod:
    return await pods.start(module_database_url, **SETTINGS)


NewAsker = Callable[[], Awaitable[Asker]]


@pytest.fixture(scope="module")
async def asker(limited: Pod) -> AsyncIterator[NewAsker]:
    """Somebody new, from an address of his own, with a channel."""
    async with People(limited.database_url) as people, AsyncExitStack() as stack:
        http = await stack.enter_async_context(httpx2.AsyncClient(base_url=limited.url, timeout=20))
        count = 0

        async def new() -> Asker:
            nonlocal count
            count += 1
            person = await people.new("ann")
            made = await http.post(
                "/channels", json={"name": "own", "type": "private"}, headers=person.headers
            )
            address = f"2001:db8:{count:x}::1"
            return Asker(http, limited, person, address, made.json()["id"])

        yield new


async def until_refused(
    action: Callable[[], Awaitable[int]], refusal: int = 429
) -> tuple[int, float]:
    """Repeat until it is refused: how often it went through, and in which time."""
    started = time.monotonic()
    for number in range(200):
        if await action() == refusal:
            return number, time.monotonic() - started
    raise AssertionError("never refused")


@pytest.mark.parametrize("what", ACTIONS, ids=lambda what: what.name)
async def test_the_burst_goes_through_and_one_more_is_told_to_wait(asker: NewAsker, what: Limited):
    somebody, other = await asker(), await asker()
    passed, took_s = await until_refused(lambda: ACTIONS[what](somebody))
    burst, per_second = BURSTS[what]
    made = what is Limited.CREATIONS  # the channel that he has was one
    assert burst - made <= passed <= burst + took_s * per_second + 1
    assert await ACTIONS[what](other) != 429, "somebody else"


async def test_on_a_socket_writes_are_refused_with_the_time_to_wait(asker: NewAsker):
    """First the connection's, then, over several connections and REST, the user's."""
    ann = await asker()
    frame = {"t": "send", "ch": ann.channel, "content": "hi"}

    async def burst(number: int) -> int:
        async with wire(ann.pod.ws_url, ann.person) as socket:
            for ref in range(number):
                await socket.send({**frame, "ref": ref})
            answers = [await socket.recv() for _ in range(number)]
        for answer in answers:
            if answer["t"] == "error":
                assert answer["code"] == "rate_limited"
                assert answer["retry"] is True
                assert 0 < answer["after"] <= 1000
        return [answer["t"] for answer in answers].count("ack")

    started = time.monotonic()
    passed = [await burst(6) for _ in range(4)]
    spare = (time.monotonic() - started) * 2 + 1
    assert 4 <= passed[0] <= 5 + spare, "sends_burst"
    assert 8 <= sum(passed) <= 8 + spare, "twice that, all his connections together"
    assert await until_refused(lambda: ACTIONS[Limited.SENDS](ann)) <= (spare + 2, 60)


async def test_subscribing_again_and_again_is_refused(asker: NewAsker):
    """By the channel, not by the frame; what one has stays."""
    ann = await asker()
    four = {str(ann.channel): None, **{str(2**40 + n): None for n in range(3)}}
    async with wire(ann.pod.ws_url, ann.person) as socket:
        passed, started = -1, time.monotonic()
        answer: dict[str, Any] = {"t": "ok"}
        while answer["t"] == "ok":
            passed += 1
            answer = await socket.ask({"t": "sub", "ref": 1, "ch": four})
        assert (answer["code"], answer["retry"]) == ("rate_limited", True)
        assert 0 < answer["after"] <= 4000
        assert 8 <= passed * 4 <= 10 + (time.monotonic() - started) + 1
        assert (await socket.ask({"t": "unsub", "ref": "u", "ch": [ann.channel]}))["t"] == "ok"
        await socket.alive()


async def test_a_user_subscribes_so_often_on_all_his_sockets(asker: NewAsker):
    """Each has a burst of its own, but not of what is the user's."""
    ann = await asker()
    four = {str(2**40 + n): None for n in range(4)}
    passed, started = 0, time.monotonic()
    answer: dict[str, Any] = {}
    for _ in range(6):
        async with wire(ann.pod.ws_url, ann.person) as socket:
            for _ in range(2):
                answer = await socket.ask({"t": "sub", "ref": 1, "ch": four})
                passed += 4 * (answer["t"] == "ok")
    assert (answer["code"], answer["retry"]) == ("rate_limited", True)
    assert 20 <= passed <= 20 + (time.monotonic() - started) + 4
    assert await ann.request("GET", "/users/me") == 200


async def test_marks_and_typing_share_what_a_socket_may(asker: NewAsker):
    """What goes through is not answered; another socket has a burst of its own."""
    ann = await asker()
    for _ in range(2):
        started = time.monotonic()
        async with wire(ann.pod.ws_url, ann.person) as socket:
            for ref in range(6):
                t = {"t": "typing"} if ref % 2 else {"t": "read", "seq": 0}
                await socket.send({**t, "ref": ref, "ch": ann.channel})
            await socket.send({"t": "ping", "ref": "behind"})
            *refused, _ = await socket.until(ref="behind")
            spare = time.monotonic() - started + 1
            assert {answer["code"] for answer in refused} <= {"rate_limited"}
            assert all(0 < answer["after"] <= 1000 for answer in refused)
            assert 2 - spare <= len(refused) <= 2


async def test_a_token_that_comes_in_a_frame_counts_too(asker: NewAsker):
    """`connects` of a user: closed with 4101, come back after a back-off."""
    ann = await asker()

    async def enter() -> int:
        async with wire(ann.pod.ws_url) as socket:
            await socket.send({"t": "auth", "token": ann.person.token})
            answer = await socket.recv()
            if answer["t"] == "hello":
                return 101
            assert (answer["code"], answer["retry"]) == ("rate_limited", True)
            assert answer["after"] > 0
            return (await socket.closed())[0]

    for _ in range(10):
        assert await ann.handshake(known=True) in (101, 429)
    assert (await until_refused(enter, 4101))[0] < 10


async def test_taken_addresses_are_found_out_slowly(asker: NewAsker):
    """S-11: registering tells that an address is taken, so often and no more."""
    ann = await asker()
    body = {"email": "taken@example.org", "password": "right horse battery"}

    async def register() -> int:
        return await ann.request("POST", "/auth/register", body, known=False)

    assert await register() == 201
    answers = [await register() for _ in range(5)]
    assert answers[0] == 409
    assert answers[-1] == 429
    assert answers.count(409) <= 4


async def refresh(asker: Asker, token: str) -> httpx2.Response:
    return await asker.http.post(
        "/auth/refresh",
        json={"refreshToken": token},
        headers={"X-Forwarded-For": asker.address},
    )


async def test_a_session_does_not_refresh_without_end(asker: NewAsker):
    """Each refresh is stored until the session is over; and what is refused uses no token up."""
    ann, other = await asker(), await asker()
    token, passed, started = ann.person.refresh_token, 0, time.monotonic()
    while (answer := await refresh(ann, token)).status_code == 200:
        token, passed = answer.json()["refreshToken"], passed + 1
    assert answer.status_code == 429
    assert 4 <= passed <= 4 + (time.monotonic() - started) / 60 + 1
    assert (await refresh(other, other.person.refresh_token)).status_code == 200
    async with People(ann.pod.database_url) as people:
        assert people._pool is not None
        used = await people._pool.fetchval(
            "SELECT count(used_at) FROM refresh_tokens WHERE session_id = $1", ann.person.session_id
        )
    assert used == passed


async def test_nobody_is_signed_out_by_the_failures_of_others_at_the_address(asker: NewAsker):
    """Guessers of refresh tokens are throttled; whoever has one goes on."""
    ann = await asker()
    passed, _ = await until_refused(lambda: _status(refresh(ann, "made-up")))
    assert 3 <= passed <= 5
    assert (await refresh(ann, ann.person.refresh_token)).status_code == 200
    assert (await refresh(ann, ann.person.refresh_token)).status_code == 401, "it was used"
    assert (await refresh(ann, ann.person.refresh_token)).status_code == 429, "nobody's any more"


async def test_a_known_device_signs_in_from_a_flooded_address(asker: NewAsker):
    """And has a rate of its own, for a right password costs as much as a wrong one."""
    ann = await asker()
    body = {"email": "known@example.org", "password": "right horse battery"}
    headers = {"X-Forwarded-For": ann.address}
    made = await ann.http.post("/auth/register", json=body, headers=headers)
    cookie = {"Cookie": made.headers["set-cookie"].partition(";")[0]}
    await until_refused(lambda: ACTIONS[Limited.LOGINS](ann))

    def login(**more: str) -> Awaitable[httpx2.Response]:
        ann.http.cookies.clear()
        return ann.http.post("/auth/login", json=body, headers={**headers, **more})

    assert (await login()).status_code == 429
    assert (await login(**cookie)).status_code == 200
    assert (await until_refused(lambda: _status(login(**cookie))))[0] <= 3
    elsewhere = {**cookie, "X-Forwarded-For": "2001:db8:ffff::1"}
    assert (await login(**elsewhere)).status_code == 429


async def _status(asked: Awaitable[httpx2.Response]) -> int:
    return (await asked).status_code


async def test_who_is_limited_stands_in_the_log_once(asker: NewAsker, limited: Pod):
    """S-64."""
    ann = await asker()
    await until_refused(lambda: ACTIONS[Limited.READS](ann))
    for _ in range(5):
        await ACTIONS[Limited.READS](ann)
    told = [line for line in limited.events("rate limited") if line["user"] == ann.person.id]
    assert len(told) == 1
    assert told[0]["limit"] == "reads"
    assert told[0]["client"] == ann.address
