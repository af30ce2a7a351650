"""Ten thousand messages of history: scrolled through to the first, and back."""

import re
from collections.abc import AsyncIterator
from typing import Any

import asyncpg
import pytest

from rtchat.model import Kind
from tests.browser.conftest import town_of
from tests.browser.person import Person
from tests.browser.town import Town
from tests.browser.way import Way, walk
from tests.pods import Pod

COUNT = 10_000
READ = 9_700  # by Bob: with so many unread, one begins where one left off
ROWS_MAX = 300  # in the page at once, of whatever kind
SLIP_PX = 2.0
WINDOW = {"width": 1000, "height": 1500}

FILL = (  # some of one line, some of two, one each minute
    "INSERT INTO messages (channel_id, seq, kind, user_id, content, timestamp, nonce)"
    " SELECT $1, seq, $2, $3, 'message ' || seq || repeat(E'\\nand more', (seq % 7 = 0)::int),"
    " now() - make_interval(mins => ($4 - seq)::int), 'filled ' || seq"
    " FROM generate_series(1::bigint, $4) AS seq"
)


@pytest.fixture(scope="module")
async def long_town(chromium: Any, chat_pod: Pod) -> AsyncIterator[Town]:
    async with town_of(chromium, chat_pod) as town:
        yield town


@pytest.fixture(scope="module")
async def people(long_town: Town, chat_pod: Pod) -> tuple[Person, Person, int]:
    """Anneliese, who has said and read all of it, Bobby, who has read a part, and the channel."""
    ann = await long_town.citizen("Anneliese", viewport=WINDOW)
    bob = await long_town.citizen("Bobby", viewport=WINDOW)
    channel = await long_town.channel("archive", ann, bob)
    connection = await asyncpg.connect(chat_pod.database_url)
    try:
        await connection.execute(FILL, channel, int(Kind.MESSAGE), ann.account.id, COUNT)
        await connection.execute("UPDATE channels SET last_seq = $2 WHERE id = $1", channel, COUNT)
        for person, seq in ((ann, COUNT), (bob, READ)):
            await connection.execute(
                "UPDATE members SET read_seq = $3 WHERE channel_id = $1 AND user_id = $2",
                channel,
                person.account.id,
                seq,
            )
    finally:
        await connection.close()
    return ann, bob, channel


@pytest.fixture(scope="module")
async def way_up(people: tuple[Person, Person, int]) -> tuple[Person, Way]:
    """Ann's way from the newest message to the first."""
    ann, *_ = people
    await ann.comes()
    await ann.is_in("archive")
    await ann.reads(f"message {COUNT}")
    return ann, await walk(ann, -0.8)


async def test_every_message_is_met_on_the_way_to_the_first(way_up: tuple[Person, Way]):
    _, way = way_up
    assert way.seen[0] > COUNT - 100  # it opens at the newest
    assert sorted(way.seen) == list(range(1, COUNT + 1))
    assert way.disorders == []


async def test_what_one_reads_stays_where_it_is_when_older_messages_come(
    way_up: tuple[Person, Way],
):
    _, way = way_up
    assert way.loads > COUNT / 200  # the most that a page of history holds
    # Of some hundred loads: where the machine stood still in mid-draw, one may be seen to slip.
    slips = [slip for slip in way.slips if abs(slip) > SLIP_PX]
    assert len(slips) <= 1, slips


async def test_the_page_holds_a_bounded_part_of_it(way_up: tuple[Person, Way]):
    _, way = way_up
    assert way.rows <= ROWS_MAX


async def test_the_way_down_is_as_the_way_up(way_up: tuple[Person, Way]):
    ann, _ = way_up
    way = await walk(ann, 0.8, until=1500)
    assert set(range(100, 1500)) <= set(way.seen)
    assert (way.disorders, [slip for slip in way.slips if abs(slip) > SLIP_PX]) == ([], [])
    assert way.loads >= 1000 / 200


async def test_what_comes_while_one_reads_history_is_counted_and_one_click_away(
    way_up: tuple[Person, Way], people: tuple[Person, Person, int], long_town: Town
):
    ann, _ = way_up
    _, bob, channel = people
    before = await ann.rows()
    await long_town.write(channel, bob, "are you there?")
    await ann.presses(re.compile(r"^Jump to latest \(1 new\)$"))
    await ann.reads("are you there?")
    await ann.button(re.compile("^Jump to latest")).wait_for(state="hidden")
    after = await ann.rows()
    assert after[-1].text == "are you there?"
    assert after[0].seq > before[-1].seq
    way = await walk(ann, 0.8)  # there is nothing below
    assert way.loads == 0


async def test_much_that_is_unread_begins_at_the_line_of_what_is_new(
    people: tuple[Person, Person, int],
):
    _, bob, _ = people
    await bob.comes()
    await bob.is_in("archive")
    line = bob.log.get_by_role("heading", name="New messages")
    await line.wait_for()
    next_to_it = line.locator("xpath=ancestor::li/following-sibling::li[1]")
    assert f"message {READ + 1}" in await next_to_it.inner_text()
    assert await line.evaluate(
        "(line) => line.getBoundingClientRect().top < innerHeight / 2", timeout=1000
    )
    await bob.presses("Jump to latest (99+ new)")
    await bob.reads(f"message {COUNT}")
