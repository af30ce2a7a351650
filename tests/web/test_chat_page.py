"""The chat's page in a real browser: hostile content, keys, phones, what it loads, from where."""

import re
from typing import Any

import pytest

from rtchat import web
from tests.faults.proxy import FaultProxy, Pipe
from tests.people import People
from tests.pods import Pod
from tests.watched import DESKTOP, PHONE, width_of
from tests.web.visiting import Visit, channel_of, chat, crowd, rest, said, visit

__all__ = ["chat", "crowd", "rest", "visit"]  # fixtures

WEIGHT_MAX = 100_000  # bytes of all that the page loads, not compressed
SMALL = {"width": 320, "height": 640}

HOSTILE = [
    "<script>alert(1)</script><img src=x onerror=alert(2)>",
    "javascript:alert(1) https://user:word@a.example/ [x](javascript:alert(2))",
    "\u202egnp.exe\u202e \u2066 then this",
    "w" * 4000,
    "\n" * 300 + "end",
    "Z\u0351\u036b\u0343\u036a\u0302\u036b" * 300,
]


@pytest.mark.parametrize("size", [DESKTOP, PHONE, SMALL], ids=lambda size: str(size["width"]))
async def test_hostile_names_and_messages_are_text_and_stay_in_their_place(
    visit: Visit, crowd: People, rest: Any, size: dict[str, int]
):
    ann = await crowd.new("<b>Mallory</b> " + "M" * 60)
    channel, _ = await channel_of(rest, ann)
    await said(rest, channel, ann, *HOSTILE)
    reader = await visit()
    await reader.page.set_viewport_size(size)
    await reader.comes(ann)
    await reader.reads("end")
    texts = await reader.messages.locator(".text").evaluate_all(
        "(all) => all.map((one) => one.textContent)"
    )
    assert texts == HOSTILE
    assert await reader.messages.locator("a, script, img, b").count() == 0
    assert await width_of(reader.page) == size["width"]
    inside = "(log) => log.scrollWidth === log.clientWidth"
    assert await reader.messages.evaluate(inside)


async def test_by_keys_alone(visit: Visit, crowd: People, rest: Any):
    ann = await crowd.new("keys")
    first, one = await channel_of(rest, ann)
    _, two = await channel_of(rest, ann)
    await said(rest, first, ann, "a message")
    at = await (await visit()).comes(ann)
    await at.reads("a message")
    focused = (
        "document.activeElement.getAttribute('aria-label') ?? document.activeElement.className"
    )
    assert await at.page.evaluate(focused) == f"Message #{one}"
    await at.page.keyboard.press("Alt+ArrowDown")
    await at.page.get_by_role("heading", level=1, name=two).wait_for()
    await at.page.keyboard.press("Alt+ArrowUp")
    await at.reads("a message")
    await at.page.keyboard.press("Shift+Tab")
    assert await at.page.evaluate(focused) == "Messages"
    while not await at.page.get_by_role("toolbar").count():  # it is loaded when it is needed
        await at.page.keyboard.press("ArrowUp")
    await at.page.keyboard.press("Tab")
    assert await at.page.evaluate(focused) == "Add a reaction"
    await at.page.keyboard.press("Escape")
    assert await at.page.evaluate(focused) == f"Message #{one}"


async def test_on_a_phone_the_channels_are_in_a_drawer(visit: Visit, crowd: People, rest: Any):
    ann = await crowd.new("phone")
    _, one = await channel_of(rest, ann)
    _, two = await channel_of(rest, ann)
    phone = await visit(has_touch=True, is_mobile=True)
    await phone.page.set_viewport_size(PHONE)
    await phone.comes(ann)
    await phone.page.get_by_role("heading", level=1, name=one).wait_for()
    assert not await phone.channels.is_visible()
    await phone.clicks("Channels")
    await phone.opens_channel(two)
    await phone.channels.wait_for(state="hidden")
    await phone.writes("from the train")
    await phone.reads("from the train")
    small = "(all) => all.filter((one) => one.offsetParent && one.offsetHeight < 44).length"
    assert (
        await phone.page.locator("header button.icon-button, .composer button").evaluate_all(small)
        == 0
    )
    size = "Number.parseFloat(getComputedStyle(document.querySelector('textarea')).fontSize)"
    assert await phone.page.evaluate(size) >= 16  # below, phones zoom in


async def test_what_the_page_loads_is_small(visit: Visit, chat: Pod, crowd: People, rest: Any):
    """Counted on the way, where what its worker loads passes, too."""
    ann = await crowd.new("light")
    channel, _ = await channel_of(rest, ann)
    await said(rest, channel, ann, "hello")
    asked: set[str] = set()

    def count(pipe: Pipe, data: bytes) -> bytes:
        asked.update(path.decode() for path in re.findall(rb"GET ([^ ?]+)[^ ]* HTTP/1.1\r\n", data))
        return data

    proxy = FaultProxy(chat.url)
    proxy.strike = count
    async with proxy:
        light = await (await visit(proxy.url)).comes(ann)
        await light.reads("hello")
        await light.writes("hello again")
        await light.reads("hello again")
    weights = {asset.path: len(web.read(asset)) for asset in web.ASSETS if asset.path in asked}
    assert {"/", "/chat/app.js", "/rtchat.js", "/client/worker.js", "/client/link.js"} <= set(
        weights
    )
    assert sum(weights.values()) < WEIGHT_MAX, weights


async def test_below_a_prefix_everything_is_asked_below_it(visit: Visit):
    """What a proxy does that hands /team/… on as /…"""
    visitor = await visit()

    async def hand_on(route: Any) -> None:
        url = route.request.url.replace(f"{visitor.origin}/team/", f"{visitor.origin}/", 1)
        await route.fulfill(response=await route.fetch(url=url))

    await visitor.page.route(f"{visitor.origin}/team/**", hand_on)
    await visitor.page.goto(f"{visitor.origin}/team/")
    await visitor.page.get_by_role("heading", name="Sign in").wait_for()
    await visitor.page.wait_for_load_state("networkidle")
    await visitor.page.unroute_all(behavior="wait")
    asked = [url for url in visitor.asked if not url.startswith("data:")]
    assert [url for url in asked if not url.startswith(f"{visitor.origin}/team/")] == []
