"""Every view of the chat, light and dark, before axe-core: nothing serious or critical."""

import os
import re
from collections.abc import AsyncIterator
from typing import Any

import pytest

from tests.browser.axe import grave_findings, missing
from tests.browser.conftest import town_of
from tests.browser.person import Person
from tests.browser.town import Town
from tests.pods import Pod
from tests.watched import PHONE

SCHEMES = ("light", "dark")
why = None if os.environ.get("RTCHAT_TEST_NODE") else missing()
pytestmark = pytest.mark.skipif(why is not None, reason=str(why))


async def assert_accessible(person: Person) -> None:
    """As it stands, in both colour schemes; what fades in has done so."""
    for scheme in SCHEMES:
        await person.page.emulate_media(color_scheme=scheme, reduced_motion="reduce")
        await person.page.evaluate(
            "Promise.all(document.getAnimations().map((one) => one.finished.catch(() => {})))"
        )
        found = await grave_findings(person.page)
        assert not found, f"{scheme}:\n" + "\n".join(found)


@pytest.fixture(scope="module")
async def busy(chromium: Any, chat_pod: Pod) -> AsyncIterator[tuple[Town, Person, str, int]]:
    """Somebody in a channel with all that a list may show; more is unread elsewhere."""
    async with town_of(chromium, chat_pod) as town:
        hugo, ines = await town.citizen("Hugo"), await town.citizen("Ines")
        room = town.name("busy")
        channel = await town.channel(room, hugo, ines)
        await town.channel("", ines, hugo, type_="dm")
        seqs = await town.write(
            channel, hugo, "A question?", "https://example.org/", "typo", "gone"
        )
        await town.write(channel, ines, "word " * 500, "an answer")
        other = await town.channel(town.name("elsewhere"), hugo, ines)
        await town.write(other, ines, "unread")
        await hugo.comes(at=f"/#{channel}")
        await hugo.reads("an answer")
        await hugo.reaches_for("an answer", "Add a reaction")
        await hugo.presses("React with 🎉")
        await hugo.sees("🎉 1: you", role="button")  # its line moves what is above
        await hugo.reaches_for("typo", "Edit")
        await hugo.says("no typo")
        await hugo.reads("(edited)")
        await hugo.reaches_for("gone", "Delete")
        await hugo.dialog.get_by_role("button", name="Delete", exact=True).click()
        await hugo.reads("This message was deleted.")
        assert len(seqs) == 4
        yield town, hugo, room, channel


async def test_signing_in_and_up(town: Town):
    joe = await town.stranger("Joe")
    await joe.comes()
    await joe.sees("Sign in", role="heading")
    await assert_accessible(joe)
    await joe.presses("Make an account")
    await joe.fills("E-mail", "joe@example.org")
    await joe.fills("Password", "short")
    await joe.presses("Make an account")
    await joe.sees("at least 8 characters")
    assert await joe.page.get_by_label("Password").get_attribute("aria-invalid") == "true"
    assert joe.take_refusals(422) == 1
    await assert_accessible(joe)


async def test_an_empty_chat(town: Town):
    kim = await town.citizen("Kim")
    await kim.comes()
    await kim.sees("Welcome, Kim", role="heading")
    await assert_accessible(kim)


async def test_a_busy_channel(busy: tuple[Town, Person, str, int]):
    _, hugo, *_ = busy
    await hugo.message("an answer").hover()
    await assert_accessible(hugo)


DIALOGS = {
    "members": "Members and settings",
    "a new channel": "New channel",
    "find channels": "Find channels to join",
    "a direct message": "New direct message",
}


@pytest.mark.parametrize("button", DIALOGS.values(), ids=DIALOGS.keys())
async def test_a_dialog(busy: tuple[Town, Person, str, int], button: str):
    _, hugo, *_ = busy
    await hugo.presses(button)
    await hugo.dialog.wait_for()
    try:
        await assert_accessible(hugo)
    finally:
        await hugo.closes()


async def test_the_account(busy: tuple[Town, Person, str, int]):
    _, hugo, *_ = busy
    await hugo.opens_account()
    await hugo.dialog.wait_for()
    await assert_accessible(hugo)
    await hugo.closes()


async def test_a_question_before_what_cannot_be_undone(busy: tuple[Town, Person, str, int]):
    _, hugo, *_ = busy
    await hugo.reaches_for("A question?", "Delete")
    await assert_accessible(hugo)
    await hugo.presses("Cancel")


async def test_a_phone_with_its_drawer(busy: tuple[Town, Person, str, int]):
    town, hugo, room, channel = busy
    phone = await town.device(hugo, viewport=PHONE, has_touch=True, is_mobile=True)
    await phone.comes(at=f"/#{channel}")
    await phone.reads("an answer")
    await assert_accessible(phone)
    await phone.presses(re.compile("^Channels"))
    await phone.channel(room).wait_for()
    await assert_accessible(phone)
