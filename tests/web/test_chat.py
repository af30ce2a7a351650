"""The chat at `/` in a real browser, as people use it.

Every test ends with no error in the console, none of the policy, and nobody asked but the pod. What
the page decides without a browser has its tests in `state.mjs`.
"""

import json
import re
from typing import Any

import pytest

from tests.people import People
from tests.web.visiting import Visit, channel_of, chat, crowd, rest, said, visit

__all__ = ["chat", "crowd", "rest", "visit"]  # fixtures


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


async def test_reactions_are_added_counted_and_taken_back(visit: Visit, crowd: People, rest: Any):
    ann, bob = await crowd.new("Ann"), await crowd.new("Bob")
    channel, _ = await channel_of(rest, ann, bob)
    await said(rest, channel, ann, "done")
    one = await (await visit()).comes(ann)
    other = await (await visit()).comes(bob)
    await one.does_to(await one.reads("done"), "Add a reaction")
    await one.clicks("React with 🎉")
    await other.clicks("🎉 1: Ann")
    both = one.page.get_by_role("button", name="🎉 2: you and Bob")
    await both.wait_for()
    assert await both.get_attribute("aria-pressed") == "true"
    await both.click()
    await other.page.get_by_role("button", name="🎉 1: you").wait_for()


async def test_who_is_online_and_who_is_typing_is_told(visit: Visit, crowd: People, rest: Any):
    ann, bob = await crowd.new("Ann"), await crowd.new("Bob")
    await channel_of(rest, ann, bob)
    one = await (await visit()).comes(ann)
    await one.sees("2 members, 1 online")
    other = await (await visit()).comes(bob)
    await one.sees("2 members, 2 online")
    await other.writing.press_sequentially("Let me")
    await one.sees("Bob is typing …")
    await other.writes("Let me see")
    await one.reads("Let me see")
    await one.page.get_by_text("is typing").wait_for(state="detached")


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
    await reader.page.locator(".new + [data-key=m1]").wait_for()  # where one left off
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
