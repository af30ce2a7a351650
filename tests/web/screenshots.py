"""Take README's pictures of the chat: `python -m tests.web.screenshots [FOLDER]`.

A real pod, people who are invented, and a talk that is held over REST and the WebSocket while the
page is open. Needs Chromium and the extra `browser`. The pictures say nothing that a test could
not; what the page must do is in tests/browser.
"""

import asyncio
import json
import sys
import tempfile
from pathlib import Path
from typing import Any

import httpx2
import websockets

from tests.browser.person import Person as Visitor, signed_in
from tests.chromium import launched
from tests.people import People, Person
from tests.pods import ROOT, Pod, Pods
from tests.services import Databases, run_postgres

FOLDER = ROOT / "docs" / "images"
DESKTOP = {"width": 1280, "height": 800}
PHONE = {"width": 390, "height": 844}
ANN, MARA, TOMAS, JOON = "Ann Reyes", "Mara Lindqvist", "Tomás Vidal", "Joon Park"

TALK: list[tuple[str, str]] = [
    (TOMAS, "Morning! The ferry timetable for June is in, 214 departures."),
    (MARA, "Thanks. I'll load it into staging first."),
    (MARA, "Loaded. Two departures have no pier:\n  07:40 Northholm\n  18:15 Saltö"),
    (ANN, "Saltö uses pier 3 until the works are done, I asked them on Monday."),
    (TOMAS, "And Northholm is on 1, as ever. Both are corrected in the sheet."),
    (JOON, "I can move the import to tonight, after the last boat."),
    (MARA, "Good. The checks are at https://ferries.example/staging/checks, all green but one."),
    (ANN, "That one is mine: it still expects the winter fares."),
    (ANN, "Fixed. Shall we say 23:30?"),
    (JOON, "23:30 it is. I'll write here when it is through."),
]
READ = 6  # so many she has seen
REACTION = (5, MARA, "❤")  # to which of them, from whom


class Talker:
    """Somebody who talks over the WebSocket."""

    def __init__(self, pod: Pod, person: Person) -> None:
        self.pod, self.person = pod, person
        self.socket: Any = None

    async def connects(self, *channels: int) -> None:
        """Follow these channels."""
        self.socket = await websockets.connect(
            self.pod.ws_url, additional_headers=self.person.headers
        )
        await self.socket.recv()
        await self.asks({"t": "sub", "ch": {str(channel): None for channel in channels}})

    async def asks(self, frame: dict[str, Any]) -> dict[str, Any]:
        """Send a frame, and wait for its answer."""
        await self.socket.send(json.dumps({**frame, "ref": 1}))
        while True:
            answer: dict[str, Any] = json.loads(await self.socket.recv())
            if answer.get("ref") == 1:
                assert answer["t"] != "error", answer
                return answer

    async def tells(self, frame: dict[str, Any]) -> None:
        """Send a frame that is not answered."""
        await self.socket.send(json.dumps(frame))


async def channel(http: httpx2.AsyncClient, owner: Person, **made: Any) -> int:
    """Make a channel."""
    answer = await http.post("/channels", json=made, headers=owner.headers)
    return int(answer.raise_for_status().json()["id"])


async def held(pod: Pod, people: People) -> tuple[Person, dict[str, Talker], int]:
    """Hold the talk; who looks at it, who talks, and where."""
    persons = {name: await people.new(name) for name in (ANN, MARA, TOMAS, JOON)}
    ids = [person.id for person in persons.values()]
    ann = persons[ANN]
    talkers = {name: Talker(pod, person) for name, person in persons.items()}
    async with httpx2.AsyncClient(base_url=pod.url) as http:
        main = await channel(http, ann, type="public", name="timetable", members=ids)
        rest = [
            await channel(http, ann, type="public", name="general", members=ids),
            await channel(http, ann, type="public", name="fares", members=ids),
            await channel(http, ann, type="private", name="on call", members=ids),
            await channel(http, ann, type="dm", members=[persons[MARA].id]),
            await channel(http, ann, type="dm", members=[persons[TOMAS].id, persons[JOON].id]),
        ]
    for name, talker in talkers.items():
        await talker.connects(main, *(rest[:4] if name != TOMAS else rest[:3]))
    for author, text in TALK:
        await talkers[author].asks({"t": "send", "ch": main, "content": text})
    for author, where, text in (
        (TOMAS, rest[1], "Children travel free on Sundays in June."),
        (JOON, rest[1], "Noted, the poster says so too."),
        (MARA, rest[3], "Coffee at ten?"),
    ):
        await talkers[author].asks({"t": "send", "ch": where, "content": text})
    return ann, talkers, main


async def taken(pod: Pod, people: People, folder: Path) -> None:
    """Take the pictures."""
    ann, talkers, main = await held(pod, people)
    at, who, emoji = REACTION
    await talkers[ANN].tells({"t": "read", "ch": main, "seq": READ})
    react = {"t": "react", "ch": main, "of": at, "emoji": emoji, "on": True}
    await talkers[who].asks(react)
    await talkers[TOMAS].asks(react)
    typing = {"t": "typing", "ch": main}
    async with launched() as browser:
        looks: tuple[tuple[str, Any, str], ...] = (
            ("chat", DESKTOP, "light"),
            ("chat-dark", DESKTOP, "dark"),
            ("chat-phone", PHONE, "light"),
        )
        for name, size, scheme in looks:
            context = await browser.new_context(
                viewport=size,
                color_scheme=scheme,
                is_mobile=size is PHONE,
                has_touch=size is PHONE,
                storage_state=signed_in(ann, pod.url),
            )
            visitor = Visitor(await context.new_page(), pod.url, ann.name, ann)
            await visitor.comes(at=f"/#{main}")
            await visitor.reads(TALK[-1][1])
            await talkers[JOON].tells(typing)
            await visitor.sees("is typing")
            await visitor.sees("4 online")
            await visitor.page.screenshot(path=folder / f"{name}.png")
            await context.close()
            await asyncio.sleep(3)  # typing is told every few seconds


def main() -> None:
    """Start what it takes, and take them."""
    folder = Path(sys.argv[1]) if len(sys.argv) > 1 else FOLDER
    folder.mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory() as logs, run_postgres() as postgres:
        databases, pods = Databases(postgres.url), Pods(Path(logs))
        with databases.fresh() as url:
            pod = pods.spawn(url, presence=1).wait()

            async def take() -> None:
                async with People(url) as people:
                    await taken(pod, people, folder)

            asyncio.run(take())
            pods.close()
        databases.close()


if __name__ == "__main__":
    main()
