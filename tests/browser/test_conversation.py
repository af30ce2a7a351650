"""Two people in two browsers: from an empty server to a conversation."""

from collections.abc import AsyncIterator
from typing import Any

import pytest

from tests.browser.conftest import town_of
from tests.browser.town import Town
from tests.pods import Pods


@pytest.fixture
async def empty_town(chromium: Any, pods: Pods, database_url: str) -> AsyncIterator[Town]:
    """A server that nobody has used."""
    pod = await pods.start(database_url)
    async with town_of(chromium, pod) as town:
        yield town
    pod.kill()


async def test_from_sign_up_to_conversation(empty_town: Town):
    """Who comes first makes the channel in one click; who comes second finds it and joins."""
    ann, bob = await empty_town.stranger("Ann"), await empty_town.stranger("Bob")
    await ann.comes()
    await ann.signs_up("ann@example.org")
    await ann.sees("Welcome, Ann", role="heading")
    await ann.presses("Make #general")
    await ann.is_in("general")
    await ann.says("Anybody here?")

    await bob.comes()
    await bob.signs_up("bob@example.org")
    await bob.presses("Join general")
    await bob.reads("Anybody here?")
    await bob.says("I am.")
    await ann.reads("Bob joined")
    await ann.reads("I am.")
    for number in range(5):
        speaker = (ann, bob)[number % 2]
        await speaker.says(f"line {number}")
        await speaker.has_sent(f"line {number}")

    said = ["Anybody here?", "I am.", *(f"line {number}" for number in range(5))]
    for person in (ann, bob):
        await person.reads("line 4")
        rows = await person.rows()
        assert [row.text for row in rows] == said
        assert [row.by for row in rows] == ["Ann", "Bob", "Ann", "Bob", "Ann", "Bob", "Ann"]
        assert [row.seq for row in rows] == sorted({row.seq for row in rows})


async def test_a_link_to_a_channel_that_one_is_not_in(town: Town):
    """A public one can be joined; of any other is told that it is not open to one."""
    uma, vera = await town.citizen("Uma"), await town.citizen("Vera")
    home, club, board = town.name("home"), town.name("club"), town.name("board")
    await town.channel(home, uma)
    public = await town.channel(club, vera)
    private = await town.channel(board, vera, type_="private")
    await uma.comes(at=f"/#{public}")
    await uma.presses(f"Join {club}")
    await uma.is_in(club)
    await uma.page.evaluate("(id) => void (location.hash = id)", private)
    await uma.sees(f"Channel {private} was deleted, or one has to be invited.")
    assert uma.take_refusals(404) == 1
