"""The signing key is changed under load: nobody is signed out, and no socket closes for it.

Row F48 of the fault matrix. Each of the three steps (believe the new key, sign with it, drop the
old one) replaces one pod after the other, so that pods of two steps serve beside each other.
"""

import asyncio
import contextlib
import secrets
from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Any

import httpx2
import jwt

from rtchat.auth.keys import new
from rtchat.server.valkey import PrivateValkey
from tests.faults.scene import follow, message
from tests.people import People, Person
from tests.pods import SECRET_KEY, Pod, Pods
from tests.services import Given
from tests.sockets import Wire, wire

DRAINING = 4201
PAIR = new("EdDSA")
STEPS: tuple[dict[str, Any], ...] = (
    {},
    {"verification_keys": PAIR},
    {"signing_key": PAIR, "secret_keys_old": SECRET_KEY},
    {"signing_key": PAIR},
)


@dataclass
class Session:
    """What a client holds of one session."""

    token: str
    refresh_token: str

    @property
    def algorithm(self) -> str:
        return str(jwt.get_unverified_header(self.token)["alg"])


class Places:
    """Two places, each with a pod that comes and goes."""

    def __init__(self, pods: Pods, url: str, redis_url: str) -> None:
        self._pods, self._url = pods, url
        prefix = f"rotation-{secrets.token_hex(4)}"
        self._settings: dict[str, Any] = {"redis_urls": redis_url, "bus_prefix": prefix}
        self.running: list[Pod] = []
        self.http = httpx2.AsyncClient(timeout=20, limits=httpx2.Limits(keepalive_expiry=0))

    async def start(self, step: int) -> list[Pod]:
        """Two pods of this step, which nobody asks yet."""
        settings = {"drain_s": 1, **self._settings, **STEPS[step]}
        started = [self._pods.spawn(self._url, **settings) for _ in range(2)]
        return [await pod.listening() for pod in started]

    async def replace(self, place: int, pod: Pod) -> None:
        """Another pod takes the place; the one before drains."""
        before, self.running[place] = self.running[place], pod
        before.process.terminate()
        assert await before.ended() == 0

    async def me(self, pod: Pod, session: Session) -> int:
        headers = {"Authorization": f"Bearer {session.token}"}
        return (await self.http.get(f"{pod.url}/users/me", headers=headers)).status_code

    async def refresh(self, pod: Pod, session: Session) -> Session:
        body = {"refreshToken": session.refresh_token}
        answer = await self.http.post(f"{pod.url}/auth/refresh", json=body)
        assert answer.status_code == 200, answer.text
        got = answer.json()
        return Session(got["accessToken"], got["refreshToken"])

    async def keys(self, pod: Pod) -> list[str]:
        answer = await self.http.get(f"{pod.url}/.well-known/jwks.json")
        return [key["alg"] for key in answer.json()["keys"]]


@contextlib.asynccontextmanager
async def talking(places: Places, sessions: list[Session], seen: list[int]) -> AsyncIterator[None]:
    """Everybody asks something, again and again, of whichever pod runs."""
    over = asyncio.Event()

    async def talk(session: Session) -> None:
        while not over.is_set():
            for place in (0, 1):
                status = await places.me(places.running[place], session)
                seen.append(status)
            await asyncio.sleep(0.05)

    async with asyncio.TaskGroup() as group:
        for session in sessions:
            group.create_task(talk(session))
        yield
        over.set()


async def chat(one: Wire, channel: int, ref: int) -> None:
    await one.send(message(ref, channel, f"{ref}"))
    frames = await one.until(t="ack")
    assert frames[-1]["ref"] == ref


async def test_a_rotation_under_load_signs_nobody_out(
    pods: Pods, module_database_url: str, valkey: PrivateValkey | Given
):
    """F48, S-66: in every step each token is good on both pods, and sockets stay where they are."""
    places = Places(pods, module_database_url, valkey.url)
    places.running = await places.start(0)
    async with People(module_database_url) as people, places.http:
        crowd = await people.several(3)
        sessions = [Session(p.token, p.refresh_token) for p in crowd]
        headers = crowd[0].headers
        body = {"name": "x", "type": "public"}
        made = await places.http.post(
            f"{places.running[0].url}/channels", json=body, headers=headers
        )
        channel = made.json()["id"]
        for step, signs in ((1, "HS256"), (2, "EdDSA"), (3, "EdDSA")):
            seen: list[int] = []
            following = await places.start(step)
            async with talking(places, sessions, seen):
                for place in (0, 1):
                    await replaced(places, place, following[place], crowd[0], sessions[0], channel)
            assert len(seen) > 20
            assert set(seen) == {200}, f"step {step}: somebody was signed out"
            sessions = [
                await places.refresh(places.running[n % 2], s) for n, s in enumerate(sessions)
            ]
            assert {s.algorithm for s in sessions} == {signs}
            assert await places.keys(places.running[0]) == ["EdDSA"]
        old = Session(crowd[1].token, "")
        assert [await places.me(pod, old) for pod in places.running] == [401, 401]
        logs = "".join(pod.log() for pod in places.running)
        assert SECRET_KEY not in logs
        assert PAIR.splitlines()[1] not in logs
    for pod in places.running:
        pod.kill()


async def replaced(
    places: Places, place: int, pod: Pod, person: Person, session: Session, channel: int
) -> None:
    """Replace one pod: its own sockets are sent away to come back, the neighbour's go on."""
    now = Person(
        person.id, person.name, person.email, person.session_id, session.token, ""
    )  # with a token of the step before
    leaving, staying = places.running[place], places.running[1 - place]
    async with wire(leaving.ws_url, now) as gone, wire(staying.ws_url, now) as stays:
        await follow(stays, channel)
        await chat(stays, channel, 1)
        await places.replace(place, pod)
        code, frames = await gone.closed()
        assert code == DRAINING
        assert frames[-1]["t"] == "bye"
        await chat(stays, channel, 2)
        async with wire(places.running[place].ws_url, now) as back:
            await follow(back, channel)
            await chat(back, channel, 3)
