"""What comes at an unlucky moment: a key, an address or a channel, while the page is busy."""

import asyncio
import re
from typing import Any

from tests.browser.town import Town
from tests.chromium import PATIENCE_MS


async def test_keys_that_are_pressed_while_their_listener_loads_are_not_lost(town: Town):
    vera = await town.citizen("Vera")
    channel = await town.channel(town.name("keys"), vera)
    await town.write(channel, vera, "one", "two", "three")
    loads = asyncio.Event()

    async def late(route: Any) -> None:
        await loads.wait()
        await route.continue_()

    await vera.page.route("**/chat/tools.js*", late)
    await vera.comes()
    await vera.has_sent("three")
    await vera.log.focus()
    await vera.page.keyboard.press("ArrowUp")
    await vera.page.keyboard.press("ArrowUp")
    loads.set()
    await vera.message("two").get_by_role("toolbar").wait_for()


async def test_an_address_that_is_changed_while_another_channel_is_drawn_is_gone_to(town: Town):
    will = await town.citizen("Will")
    first, second, third = [town.name("place") for _ in range(3)]
    await town.channel(first, will)
    await town.channel(second, will)
    wanted = await town.channel(third, will)
    await will.comes()
    await will.is_in(first)
    await will.channel(second).evaluate(
        """(link, wanted) => {
          link.click()
          location.hash = wanted
          document.dispatchEvent(new Event("visibilitychange")) // draws what is due
        }""",
        f"#{wanted}",
    )
    await will.is_in(third)
    assert will.page.url.endswith(f"#{wanted}")


async def test_who_makes_a_channel_can_write_however_late_the_answer_is(town: Town):
    """The hint that it is there may come first."""
    xena = await town.citizen("Xena")
    name = town.name("first")
    is_open = asyncio.Event()

    async def late(route: Any) -> None:
        answer = await route.fetch()
        if route.request.method == "POST":
            await is_open.wait()
        await route.fulfill(response=answer)

    await xena.comes()
    await xena.sees("Welcome, Xena", role="heading")
    await xena.page.route("**/channels", late)
    await xena.presses("New channel")
    await xena.fills("Name", name)
    await xena.presses("Make the channel")
    await xena.has_title(re.compile(f"^#{name} "))
    is_open.set()
    await xena.expect(xena.composer).to_be_focused(timeout=PATIENCE_MS)
    await xena.page.unroute_all(behavior="wait")
