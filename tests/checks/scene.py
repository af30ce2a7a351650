"""People and channels that calls made by lot can meet: without them nearly all would be 404.

Owns: who is in the database, and the words that a generator may take instead of invented ones.
"""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import httpx2

from tests.people import People, Person

PASSWORD = "correct horse battery staple"
EMAIL = "fay@example.org"
CHANNELS = 12  # of each kind
MESSAGES = 6
SPARE = 60

Words = dict[str, Sequence[int | str]]


@dataclass(frozen=True, slots=True)
class Scene:
    """Ann asks; Bob must not see what is hers alone; Cal ends his sessions, and Dan signs out."""

    ann: Person
    bob: Person
    cal: Person
    dan: Person
    words: Words


async def set_up(url: str, people: People) -> Scene:
    """Put people into the database, and let them make channels over REST."""
    ann, bob, cal, dan, eve = [
        await people.new(name) for name in ("ann", "bob", "cal", "dan", "eve")
    ]
    crowd = await people.several(SPARE, "guest")
    async with httpx2.AsyncClient(base_url=url, timeout=20, trust_env=False) as http:
        await _post(http, "/auth/register", None, email=EMAIL, password=PASSWORD)
        own = await _channels(http, ann, [person.id for person in crowd])
        for channel in own:
            for number in range(MESSAGES):
                await _post(http, f"/channels/{channel}/messages", ann, content=f"line {number}")
        spare = [await _channel(http, ann, "public") for _ in range(SPARE)]
        others = [await _channel(http, bob, "public") for _ in range(SPARE)]
        joined = [await _channel(http, bob, "private", [ann.id]) for _ in range(SPARE)]
    ended = [(await people.again(cal)).session_id for _ in range(SPARE)]
    cal = await people.again(cal)  # by a session whose number nobody guesses, like 1
    tokens = [(await people.again(eve)).refresh_token for _ in range(SPARE)]
    words: Words = {
        "channel": own,
        "spare-channel": spare,
        "public-channel": others,
        "joined-channel": joined,
        "member": [person.id for person in crowd],
        "user": [person.id for person in (ann, bob, cal, dan, *crowd[:5])],
        "seq": [number + 1 for number in range(MESSAGES)],
        "provider": ["google", "corp", "microsoft"],
        "session": ended,
        "refresh-token": tokens,
        "email": [EMAIL],
        "new-email": [f"new-{number}@example.org" for number in range(SPARE)],
        "password": [PASSWORD],
    }
    return Scene(ann, bob, cal, dan, words)


async def _channels(http: httpx2.AsyncClient, owner: Person, members: list[int]) -> list[int]:
    return [
        await _channel(http, owner, kind, members)
        for kind in ("public", "private")
        for _ in range(CHANNELS)
    ]


async def _channel(
    http: httpx2.AsyncClient, owner: Person, kind: str, members: Sequence[int] = ()
) -> int:
    made = await _post(http, "/channels", owner, name=kind, type=kind, members=list(members))
    number: int = made["id"]
    return number


async def _post(http: httpx2.AsyncClient, path: str, who: Person | None, **body: Any) -> Any:
    answer = await http.post(path, json=body, headers=who.headers if who else {})
    assert answer.status_code == 201, answer.text
    return answer.json()


def set_up_now(url: str, database_url: str) -> Scene:
    """Do so from outside of a loop."""

    async def do() -> Scene:
        async with People(database_url) as people:
            return await set_up(url, people)

    return asyncio.run(do())
