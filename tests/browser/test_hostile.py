"""Hostile content: as a message, a name, a channel, a title and a reaction, it is text."""

import re
from collections.abc import AsyncIterator
from typing import Any

import pytest

from tests.browser.conftest import town_of
from tests.browser.hostile import LINK, MARKUP, NAMES, SHAPES
from tests.browser.person import Person
from tests.browser.town import Town
from tests.pods import Pods
from tests.watched import width_of

SMALL = {"width": 320, "height": 640}
LARGE = {"width": 1280, "height": 800}
# Every part that is wider than its place, or sticks out of the window.
STICKING_OUT = """[...document.querySelectorAll("body *")]
  .filter((one) => one.checkVisibility() && !one.closest(".unseen, .skip, nav"))
  .filter((one) => one.getBoundingClientRect().right > innerWidth + 1)
  .map((one) => `${one.localName}.${one.className}`)"""


@pytest.fixture(scope="module")
async def hostile_town(
    chromium: Any, pods: Pods, module_database_url: str
) -> AsyncIterator[tuple[Town, list[Person], list[str]]]:
    """People and channels of hostile names, and what was said in the last of them."""
    pod = await pods.start(module_database_url)
    async with town_of(chromium, pod) as town:
        people = [await town.citizen(name) for name in NAMES]
        *_, channel = [await town.channel(name, *people) for name in NAMES]
        said = [*MARKUP, *SHAPES, LINK]
        for number, text in enumerate(said):
            await town.write(channel, people[number % len(people)], text)
        yield town, people, said
    pod.kill()


@pytest.mark.parametrize("window", [SMALL, LARGE], ids=["small", "large"])
async def test_hostile_words_and_names_are_text_in_their_place(
    hostile_town: tuple[Town, list[Person], list[str]], window: dict[str, int]
):
    town, people, said = hostile_town
    reader = await town.device(people[0], viewport=window)
    await reader.comes(at="/#3")
    await reader.is_in(NAMES[-1])
    await reader.reads(LINK)
    assert await reader.texts() == said
    assert {row.by for row in await reader.rows()} == set(NAMES)
    assert await reader.log.locator("a").evaluate_all("(all) => all.map((a) => a.protocol)") == [
        "http:",
        "https:",
    ]
    assert await reader.log.locator("a:not([rel='noopener noreferrer'])").count() == 0
    assert await reader.page.locator("body script, body style, body img[src=x]").count() == 0
    assert await width_of(reader.page) == window["width"]
    assert await reader.page.evaluate(STICKING_OUT) == []
    assert await reader.composer.is_visible()
    assert await reader.page.evaluate("window.ran ?? null") is None


@pytest.mark.parametrize("window", [SMALL, LARGE], ids=["small", "large"])
async def test_hostile_names_stay_in_dialogs_and_the_title(
    hostile_town: tuple[Town, list[Person], list[str]], window: dict[str, int]
):
    town, people, _ = hostile_town
    reader = await town.device(people[1], viewport=window)
    await reader.comes(at="/#1")
    await reader.is_in(NAMES[0])
    await reader.has_title(re.compile(re.escape(f"#{NAMES[0]} – rtchat") + "$"))
    await reader.looks_at_members()
    for name in NAMES:
        await reader.dialog.get_by_text(name).first.wait_for()
    lines = reader.dialog.get_by_role("listitem")
    assert max(await lines.evaluate_all("(all) => all.map((one) => one.offsetHeight)")) < 250
    inside = "(one) => one.scrollWidth <= one.clientWidth"
    assert await reader.dialog.evaluate(inside)
    assert await width_of(reader.page) == window["width"]
    assert await reader.page.evaluate("window.ran ?? null") is None


async def test_a_word_as_a_reaction_is_refused_and_an_emoji_of_many_parts_is_not(
    hostile_town: tuple[Town, list[Person], list[str]],
):
    """What others see beside a message cannot be made a text."""
    town, people, _ = hostile_town
    reader = await town.device(people[2])
    await reader.comes(at="/#3")
    await reader.reads(LINK)
    await reader.reaches_for(LINK, "Add a reaction")
    await reader.fills("Another emoji", "<b>!</b>")
    await reader.page.keyboard.press("Enter")
    await reader.sees("Not added", role="")
    await reader.presses("Discard")
    await reader.reaches_for(LINK, "Add a reaction")
    await reader.fills("Another emoji", "👩‍👩‍👧‍👦")
    await reader.page.keyboard.press("Enter")
    await reader.message(LINK).get_by_role("button", name="👩‍👩‍👧‍👦 1").wait_for()


async def test_a_way_to_a_script_in_the_address_is_not_taken(
    hostile_town: tuple[Town, list[Person], list[str]],
):
    town, people, _ = hostile_town
    reader = await town.device(people[0])
    await reader.comes(at="/?error=<script>window.ran=9</script>#<img src=x onerror=window.ran=9>")
    await reader.is_in(NAMES[0])
    assert await reader.page.evaluate("window.ran ?? null") is None
