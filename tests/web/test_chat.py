"""The chat at `/` in a real browser, as people use it.

Every test ends with no error in the console, none of the policy, and nobody asked but the pod. What
the page decides without a browser has its tests in `state.mjs`.
"""

import itertools
import json
import re
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import httpx2
import pytest

from rtchat import web
from tests.faults.proxy import FaultProxy, Pipe
from tests.people import People, Person
from tests.pods import Pod, Pods
from tests.web.conftest import PATIENCE_MS
from tests.web.tab import DESKTOP, PHONE, width_of
from tests.web.visitor import Visitor

WEIGHT_MAX = 100_000  # bytes of all that the page loads, not compressed
SMALL = {"width": 320, "height": 640}

Visit = Callable[..., Awaitable[Visitor]]
numbers = itertools.count(1)


@pytest.fixture(scope="module")
async def chat(pods: Pods, module_database_url: str) -> AsyncIterator[Pod]:
    """A pod on which nobody has been."""
    pod = await pods.start(module_database_url)
    yield pod
    pod.kill()


@pytest.fixture(scope="module")
async def crowd(chat: Pod) -> AsyncIterator[People]:
    async with People(chat.database_url) as people:
        yield people


@pytest.fixture
async def rest(chat: Pod) -> AsyncIterator[httpx2.AsyncClient]:
    async with httpx2.AsyncClient(base_url=chat.url, timeout=20) as http:
        yield http


@pytest.fixture
async def visit(chromium: Any, chat: Pod) -> AsyncIterator[Visit]:
    """Visitors, each with a browser profile; at the end none has done what nobody must."""
    visitors: list[Visitor] = []
    contexts: list[Any] = []

    async def visit(url: str = "", **settings: Any) -> Visitor:
        context = await chromium.new_context(viewport=DESKTOP, **settings)
        contexts.append(context)
        context.set_default_timeout(PATIENCE_MS)
        visitor = Visitor(await context.new_page(), url or chat.url)
        await visitor.watch()
        visitors.append(visitor)
        return visitor

    yield visit
    found = [(visitor.errors, visitor.strangers()) for visitor in visitors]
    for context in contexts:
        await context.close()
    assert found == [([], set())] * len(visitors)


async def channel_of(http: httpx2.AsyncClient, owner: Person, *others: Person) -> tuple[int, str]:
    """A channel with these members, and its name, which no other has."""
    name = f"room-{next(numbers)}"
    body = {"type": "private", "name": name, "members": [person.id for person in others]}
    answer = await http.post("/channels", json=body, headers=owner.headers)
    assert answer.status_code == 201, answer.text
    return int(answer.json()["id"]), name


async def said(http: httpx2.AsyncClient, channel: int, person: Person, *texts: str) -> None:
    """Write over REST."""
    for text in texts:
        body = {"content": text}
        answer = await http.post(f"/channels/{channel}/messages", json=body, headers=person.headers)
        assert answer.status_code == 201, answer.text


# --- from sign-up to conversation


async def test_two_people_from_sign_up_to_conversation(visit: Visit):
    ann = await (await visit()).comes()
    await ann.signs_up("Ann Reyes", "ann@example.org", "short")
    await ann.sees("at least 8 characters")
    password = ann.page.get_by_label("Password")
    assert await password.get_attribute("aria-invalid") == "true"
    assert ann.take_refusals(422) == 1
    await password.fill("correct horse battery")
    await password.press("Enter")

    await ann.clicks("Make #general")  # nobody has made a channel yet
    await ann.writes("Anybody here?")
    await ann.reads("Anybody here?")

    bob = await (await visit()).comes()
    await bob.signs_up("Bob", "bob@example.org")
    await bob.clicks("Join general")
    await bob.reads("Anybody here?")
    await bob.writes("Me, from the other browser.")
    await ann.sees("Bob joined")
    heard = await ann.reads("Me, from the other browser.")
    assert await heard.locator(".author").inner_text() == "Bob"
    assert await bob.page.title() == "#general – rtchat"

    await ann.clicks("Ann Reyes")
    await ann.clicks("Sign out")
    await ann.page.get_by_role("heading", name="Sign in").wait_for()
    await ann.page.get_by_label("E-mail").fill("ann@example.org")
    await ann.page.get_by_label("Password").fill("correct horse battery")
    await ann.page.get_by_label("Password").press("Enter")
    await ann.reads("Anybody here?")


async def test_a_wrong_password_is_told(visit: Visit):
    eve = await (await visit()).comes()
    await eve.page.get_by_label("E-mail").fill("nobody@example.org")
    await eve.page.get_by_label("Password").fill("not this one")
    await eve.page.locator("form").get_by_role("button", name="Sign in").click()
    await eve.page.get_by_role("alert").filter(has_text=re.compile(r"\w")).wait_for()
    assert eve.take_refusals(401) == 1


async def test_channels_are_made_found_renamed_left(visit: Visit, crowd: People):
    ann, bob = await crowd.several(2, "someone")
    owner = await (await visit()).comes(ann)
    await owner.clicks("New channel")
    await owner.page.get_by_label("Name").fill("plans")
    await owner.clicks("Make the channel")
    await owner.page.get_by_role("heading", level=1, name="plans").wait_for()

    other = await (await visit()).comes(bob)
    await other.clicks("Find channels to join")
    await other.page.get_by_role("dialog").get_by_role("button", name="Join plans").click()
    await other.page.get_by_role("heading", level=1, name="plans").wait_for()
    await owner.sees(f"{bob.name} joined")

    await owner.clicks("Members and settings")
    await owner.page.get_by_label("Name of the channel").fill("better plans")
    await owner.clicks("Rename")
    await other.page.get_by_role("heading", level=1, name="better plans").wait_for()
    await owner.page.get_by_label(f"Role of {bob.name}").select_option("admin")
    await owner.sees("admin")
    await owner.page.keyboard.press("Escape")
    opener = "document.activeElement.getAttribute('aria-label')"
    assert await owner.page.evaluate(opener) == "Members and settings"

    await other.clicks("Members and settings")
    await other.clicks("Leave the channel")
    await other.page.get_by_role("dialog").get_by_role("button", name="Leave", exact=True).click()
    await owner.sees(f"{bob.name} left")
    await other.channels.get_by_role("link", name="better plans").wait_for(state="detached")


async def test_a_direct_message_reaches_who_it_is_for(visit: Visit, crowd: People):
    ann, bob = await crowd.new("Anna"), await crowd.new("Bobby")
    writer = await (await visit()).comes(ann)
    reader = await (await visit()).comes(bob)
    await writer.clicks("New direct message")
    await writer.page.get_by_role("searchbox", name="To").fill("Bobb")
    await writer.clicks("Choose Bobby")
    await writer.clicks("Start the conversation")
    await writer.writes("Just between us.")
    await reader.opens_channel("Anna")
    await reader.reads("Just between us.")


# --- messages


async def test_a_message_is_edited_and_deleted(visit: Visit, crowd: People, rest: Any):
    ann, bob = await crowd.several(2, "writer")
    await channel_of(rest, ann, bob)
    writer = await (await visit()).comes(ann)
    reader = await (await visit()).comes(bob)
    await writer.writes("Helo")
    await reader.reads("Helo")
    await writer.reads("Helo")
    await writer.writing.press("ArrowUp")
    assert await writer.writing.input_value() == "Helo"
    await writer.writes("Hello")
    row = await reader.reads("Hello (edited)")
    assert await row.locator("a").count() == 0
    await writer.does_to(await writer.reads("Hello"), "Delete")
    await writer.page.get_by_role("dialog").get_by_role("button", name="Delete").click()
    await reader.sees("This message was deleted.")


async def test_a_refused_message_stays_until_it_is_sent_again(
    visit: Visit, crowd: People, rest: Any
):
    ann = await crowd.new("ann")
    await channel_of(rest, ann)
    refusing = [True]

    def between(socket: Any) -> None:
        server = socket.connect_to_server()

        def sent(text: str) -> None:
            frame = json.loads(text)
            if frame["t"] == "send" and refusing[0]:
                error = {"t": "error", "ref": frame["ref"], "code": "forbidden", "retry": False}
                socket.send(json.dumps({**error, "message": "Not just now."}))
            else:
                server.send(text)

        socket.on_message(sent)

    writer = await visit()
    # Sockets of a worker are out of Playwright's sight.
    await writer.page.add_init_script("delete window.SharedWorker")
    await writer.page.route_web_socket("**/ws", between)
    await writer.comes(ann)
    await writer.writes("Once more")
    await writer.sees("Not sent: Not just now.")
    await writer.page.reload()
    await writer.sees("Not sent: Not just now.")
    refusing[0] = False
    await writer.clicks("Try again")
    await writer.reads("Once more")
    refusing[0] = True
    await writer.writes("Never mind")
    await writer.clicks("Discard")
    await writer.page.get_by_text("Never mind").wait_for(state="detached")


async def test_what_is_unread_is_counted_until_it_is_seen(visit: Visit, crowd: People, rest: Any):
    ann, bob = await crowd.several(2, "reader")
    first, _ = await channel_of(rest, ann, bob)
    second, name = await channel_of(rest, ann, bob)
    await said(rest, first, bob, "seen")
    reader = await (await visit()).comes(ann)
    await reader.reads("seen")
    await said(rest, second, bob, "one", "two")
    link = reader.channels.get_by_role("link", name=f"{name}, private, 2 unread messages")
    await link.wait_for()
    assert (await reader.page.title()).startswith("(2) ")
    await reader.opens_channel(name)
    await reader.reads("two")
    await reader.sees("New messages")
    await link.wait_for(state="detached")
    await reader.page.wait_for_function("!document.title.startsWith('(')")


async def test_history_comes_back_by_scrolling_and_nothing_jumps(
    visit: Visit, crowd: People, rest: Any
):
    ann, bob = await crowd.several(2, "talker")
    channel, _ = await channel_of(rest, ann, bob)
    await said(rest, channel, bob, *(f"line {n}\n" * (n % 3 + 1) for n in range(1, 201)))
    reader = await (await visit()).comes(ann)
    await reader.page.locator(".new").wait_for()  # where one left off: at the beginning
    await reader.clicks("Jump to latest (99+ new)")
    await reader.reads("line 200")
    for first in (121, 41):
        await reader.page.locator(f"[data-key=m{first}]").scroll_into_view_if_needed()
        row = reader.page.locator(f"[data-key=m{first + 10}]")  # in sight
        top = "(row) => row.getBoundingClientRect().top"
        before = await row.evaluate(top)
        older = reader.page.locator(f"[data-key=m{max(first - 80, 1)}]")
        await older.wait_for(state="attached")
        assert await row.evaluate(top) == pytest.approx(before, abs=2)
    await said(rest, channel, bob, "meanwhile")
    await reader.clicks("Jump to latest (1 new)")
    await reader.reads("meanwhile")


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
    assert await width_of(reader) == size["width"]
    inside = "(log) => log.scrollWidth === log.clientWidth"
    assert await reader.messages.evaluate(inside)


# --- the page itself


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


async def test_below_a_prefix_everything_is_asked_below_it(visit: Visit, crowd: People, rest: Any):
    """What a proxy does that hands /team/… on as /…"""
    ann = await crowd.new("mounted")
    channel, _ = await channel_of(rest, ann)
    await said(rest, channel, ann, "hello")
    visitor = await visit()

    async def hand_on(route: Any) -> None:
        url = route.request.url.replace(f"{visitor.origin}/team/", f"{visitor.origin}/", 1)
        await route.fulfill(response=await route.fetch(url=url))

    await visitor.page.route(f"{visitor.origin}/team/**", hand_on)
    await visitor.page.goto(f"{visitor.origin}/team/")
    await visitor.page.get_by_role("heading", name="Sign in").wait_for()
    asked = [url for url in visitor.asked if not url.startswith("data:")]
    assert [url for url in asked if not url.startswith(f"{visitor.origin}/team/")] == []
