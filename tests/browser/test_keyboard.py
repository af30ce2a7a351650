"""The chat without a pointer, and for those who listen to it."""

from typing import Any

from tests.browser.person import PASSWORD, Person
from tests.browser.town import Town

FOCUSED = """(() => {
  const {activeElement: at} = document
  return at.ariaLabel ?? at.labels?.[0]?.textContent ?? at.textContent
})()"""
# What each change of the part that is read out says.
LISTEN = """(live) => {
  window.heard = []
  new MutationObserver(() => live.textContent && window.heard.push(live.textContent))
    .observe(live, {childList: true, characterData: true, subtree: true})
}"""


async def focused(person: Person) -> Any:
    """The name of what has the focus."""
    return await person.page.evaluate(FOCUSED)


async def goes_to(person: Person, name: str, key: str = "Tab") -> None:
    """Press a key until the focus is there; the test's time bounds it."""
    while await focused(person) != name:
        await person.page.keyboard.press(key)


async def signs_up(person: Person, email: str) -> None:
    """Make an account."""
    keys = person.page.keyboard
    await person.comes()
    await person.sees("Sign in", role="heading")
    await goes_to(person, "Make an account")
    await keys.press("Enter")
    await goes_to(person, "Name")
    for text in (person.name, email, PASSWORD):
        await keys.type(text)
        await keys.press("Tab")
    await keys.press("Shift+Tab")
    await keys.press("Enter")
    await person.sees(f"Welcome, {person.name}", role="heading")
    begin = person.page.get_by_role("main").get_by_role("button").first
    await person.expect(begin).to_be_focused()


async def makes(person: Person, room: str) -> None:
    """A channel; afterwards one can write."""
    keys = person.page.keyboard
    await goes_to(person, "New channel")
    await keys.press("Enter")
    await person.dialog.wait_for()
    await goes_to(person, "Name")
    await keys.type(room)
    await keys.press("Enter")
    await person.is_in(room)
    assert await focused(person) == f"Message #{room}"


async def reacts(person: Person, text: str, emoji: str) -> None:
    """To the newest message."""
    keys = person.page.keyboard
    await goes_to(person, "Messages", "Shift+Tab")
    await keys.press("ArrowUp")
    await person.page.get_by_role("toolbar").wait_for()
    await goes_to(person, "Add a reaction")
    await keys.press("Enter")
    await goes_to(person, f"React with {emoji}")
    await keys.press("Enter")
    await person.message(text).get_by_role("button", name=f"{emoji} 1: you").wait_for()
    await keys.press("Escape")
    assert (await focused(person)).startswith("Message #")


async def test_a_whole_conversation_by_keys_alone(town: Town):
    """From making an account to another channel, without a click."""
    leo = await town.stranger("Leo")
    keys = leo.page.keyboard
    await signs_up(leo, f"{town.name('leo')}@example.org")
    rooms = [town.name("keys") for _ in range(2)]
    for room in rooms:
        await makes(leo, room)
    await keys.type("Helo")
    await keys.press("Enter")
    await leo.has_sent("Helo")
    await keys.press("ArrowUp")
    await keys.press("End")
    await keys.type(" world")
    await keys.press("Enter")
    await leo.reads("Helo world (edited)")
    await reacts(leo, "Helo world", "✅")

    await goes_to(leo, "Members and settings", "Shift+Tab")
    await keys.press("Enter")
    await leo.dialog.get_by_role("listitem").first.wait_for()
    await keys.press("Escape")
    await leo.page.get_by_role("dialog").wait_for(state="detached")
    assert await focused(leo) == "Members and settings"
    for key, room in zip(("Alt+ArrowUp", "Alt+ArrowDown"), rooms, strict=True):
        await keys.press(key)
        await leo.is_in(room)


async def test_what_is_typed_nowhere_is_written_in_the_channel(town: Town):
    """A click on what has no use takes the focus away, and one goes on typing."""
    olga = await town.citizen("Olga")
    room = town.name("nowhere")
    await town.channel(room, olga)
    await olga.comes()
    await olga.is_in(room)
    await olga.page.get_by_role("heading", level=1, name=room).click()
    assert await olga.page.evaluate("document.activeElement === document.body")
    await olga.page.keyboard.type("here")
    assert await olga.composer.input_value() == "here"
    await olga.presses("New direct message")
    await olga.page.keyboard.press("Tab")
    await olga.page.keyboard.type("x")
    assert await olga.composer.input_value() == "here"


async def test_new_messages_of_others_are_read_out_and_history_is_not(town: Town):
    mia, nils = await town.citizen("Mia"), await town.citizen("Nils")
    room = town.name("heard")
    channel = await town.channel(room, mia, nils)
    await town.write(channel, nils, "from before")
    await mia.comes()
    await mia.reads("from before")
    await mia.page.locator("[aria-live=polite]").evaluate(LISTEN)
    assert await mia.log.get_attribute("aria-live") == "off"  # or all would be read that is drawn
    await mia.says("my own")
    await mia.has_sent("my own")
    await town.write(channel, nils, "to be read out")
    await mia.reads("to be read out")
    await mia.page.locator("[aria-live=polite]").filter(has_text="to be read out").wait_for()
    assert await mia.page.evaluate("heard") == ["Nils: to be read out"]
