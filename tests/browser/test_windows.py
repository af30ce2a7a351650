"""Windows of all sizes: nothing sticks out, what is pressed is large enough, the drawer works."""

from typing import Any

import pytest

from tests.browser.town import Town
from tests.watched import PHONE, width_of

SMALL = {"width": 320, "height": 640}
DESKTOP = {"width": 1280, "height": 800}
LEAST_PX = 24  # WCAG 2.2, 2.5.8
PRIMARY_PX = 44  # on a phone, of what is pressed all the time

# Too small to be pressed; a link or button in a sentence may be as high as its line.
NARROW = """([selector, least]) => [...document.querySelectorAll(selector)]
  .filter((one) => one.checkVisibility() && !one.matches(".link, .text a, .skip"))
  .map((one) => [one, one.getBoundingClientRect()])
  .filter(([, {width, height}]) => width < least || height < least)
  .map(([one, {width, height}]) => `${one.ariaLabel ?? one.textContent}: ${width} × ${height}`)"""
PRIMARY = "header button.icon-button, .composer button, .channel, .send, .first"


async def assert_all_in_reach(page: Any, window: dict[str, int]) -> None:
    assert await width_of(page) == window["width"]
    found = await page.evaluate(NARROW, ["button, a, input, select, [role=button]", LEAST_PX])
    assert found == []
    if window["width"] < 500:
        assert await page.evaluate(NARROW, [PRIMARY, PRIMARY_PX]) == []


@pytest.mark.parametrize("window", [SMALL, PHONE, DESKTOP], ids=["small", "phone", "desktop"])
async def test_everything_is_in_reach(town: Town, window: dict[str, int]):
    """Signing in, nowhere yet, in a channel, in its details, and back."""
    is_small = window["width"] < 500
    looks: dict[str, Any] = {
        "reduced_motion": "reduce",
        "viewport": window,
        "has_touch": is_small,
        "is_mobile": is_small,
    }
    stranger = await town.stranger("Otto", **looks)
    await stranger.comes()
    await stranger.sees("Sign in", role="heading")
    await assert_all_in_reach(stranger.page, window)

    otto = await town.citizen("Otto", **looks)
    await otto.comes()
    await otto.sees("Welcome, Otto", role="heading")
    await assert_all_in_reach(otto.page, window)

    await otto.page.goto("about:blank")
    room, other = town.name("room"), town.name("other")
    channel = await town.channel(room, otto)
    await town.channel(other, otto)
    await town.write(channel, otto, "hello", "https://example.org/ and on")
    await otto.comes(at=f"/#{channel}")
    await otto.reads("https://example.org/ and on")
    await assert_all_in_reach(otto.page, window)
    size = await otto.composer.evaluate("(one) => parseFloat(getComputedStyle(one).fontSize)")
    assert size >= 16 or not is_small  # phones zoom in on less
    bottom = await otto.composer.evaluate("(one) => one.getBoundingClientRect().bottom")
    assert window["height"] - 40 < bottom <= window["height"]

    await otto.presses("Members and settings")
    await otto.dialog.get_by_role("listitem").first.wait_for()
    await assert_all_in_reach(otto.page, window)
    await otto.closes()

    if is_small:
        assert not await otto.sidebar.is_visible()
        await otto.presses("Channels")
        await otto.sidebar.wait_for()
        await assert_all_in_reach(otto.page, window)
        await otto.page.keyboard.press("Escape")
        await otto.sidebar.wait_for(state="hidden")
        await otto.presses("Channels")
    await otto.opens(other)
    assert await otto.sidebar.is_visible() != is_small
    await otto.says("sent from here")
    await otto.has_sent("sent from here")


SCREEN: dict[str, Any] = {"viewport": PHONE, "has_touch": True, "is_mobile": True}


async def test_a_phone_tells_what_is_unread_beside_the_button_for_channels(town: Town):
    nora, mia = await town.citizen("Nora", **SCREEN), await town.citizen("Mia")
    here, there = town.name("here"), town.name("there")
    channel, other = [await town.channel(name, nora, mia) for name in (here, there)]
    await nora.comes(at=f"/#{channel}")
    await nora.is_in(here)
    await town.write(other, mia, "one", "two")
    menu = nora.button("Channels, 2 unread messages")
    await menu.wait_for()
    badge, title = menu.locator(".badge"), nora.page.locator("h1")
    await badge.evaluate("(one) => void (one.dataset.text = '99+')")
    boxes = [await one.bounding_box() for one in (badge, title)]
    assert boxes[0]["x"] + boxes[0]["width"] < boxes[1]["x"]
    await menu.click()
    await nora.opens(there)
    await nora.reads("two")
    await nora.button("Channels").wait_for()


async def test_on_a_phone_buttons_go_when_a_message_is_done_with(town: Town):
    """Reactions are in one line; a message that is deleted offers nothing more."""
    olga = await town.citizen("Olga", **SCREEN)
    channel = await town.channel(town.name("touched"), olga)
    await town.write(channel, olga, "a slip", "a thought")
    await olga.comes(at=f"/#{channel}")
    tools = olga.page.get_by_role("toolbar", name="Message")

    await olga.message("a thought").tap()
    await tools.get_by_role("button", name="Add a reaction").tap()
    assert await tools.evaluate("(bar) => bar.offsetHeight") < 2 * PRIMARY_PX
    assert await olga.page.evaluate(NARROW, [".tools > *", LEAST_PX]) == []
    await tools.get_by_role("button", name="React with").first.tap()
    await tools.wait_for(state="detached")

    await olga.message("a thought").tap()
    await tools.get_by_role("button", name="Edit").tap()
    await tools.wait_for(state="detached")
    await olga.page.keyboard.press("Escape")

    await olga.message("a slip").tap()
    await tools.get_by_role("button", name="Delete").tap()
    await olga.dialog.get_by_role("button", name="Delete").tap()
    await olga.reads("This message was deleted.")
    assert not await tools.is_visible()
    assert await olga.page.evaluate("document.activeElement.matches('.msg')")


async def test_who_is_in_no_channel_reaches_the_account_on_a_phone(town: Town):
    petra = await town.citizen("Petra", **SCREEN)
    await petra.comes()
    await petra.presses("Your account")
    await petra.presses("Sign out")
    await petra.sees("Sign in", role="heading")
