"""Two people in one channel: what one does, the other sees, at once and in words."""

import re

from tests.browser.pair import Pair

MUCH = 270  # messages: more than the page holds of a channel


async def test_typing_is_told_until_the_message_is_there(pair: Pair):
    await pair.ann.types("I think")
    await pair.bob.sees(re.compile(r"^Ann is typing"))
    await pair.ann.composer.press("Enter")
    await pair.bob.reads("I think")
    await pair.bob.page.get_by_text(re.compile("is typing")).wait_for(state="detached")


async def test_presence_is_told_and_ends_with_the_page(pair: Pair):
    carl = await pair.town.citizen("Carl")
    name = pair.town.name("room")
    await pair.town.channel(name, pair.ann, carl)
    await pair.ann.opens(name)
    await pair.ann.sees("2 members, 1 online")
    await carl.comes()
    await pair.ann.sees("2 members, 2 online")
    await carl.page.context.close()
    await pair.ann.sees("2 members, 1 online")


async def test_unread_messages_are_counted_until_they_are_read_on_any_device(pair: Pair):
    """In the sidebar, in the title, and on another device of the same person."""
    phone = await pair.town.device(pair.bob)
    await phone.comes()
    for device in (pair.bob, phone):
        await device.opens(await pair.elsewhere(device))
    for number in (1, 2):
        await pair.ann.says(f"news {number}")
    for device in (pair.bob, phone):
        await device.sees(re.compile(rf"^{pair.room}\s?, 2 unread messages"), role="link")
        await device.has_title(re.compile(r"^\(2\) "))
    await pair.bob.opens(pair.room)
    await pair.bob.sees("New messages", role="heading")
    for device in (pair.bob, phone):
        await device.sees(pair.room, role="link")
        await device.has_title(re.compile("^#"))


async def test_much_that_came_while_one_was_elsewhere_begins_at_the_line(pair: Pair):
    """Though the channel was open before, and a part of what came is in memory."""
    await pair.ann.says("before")
    await pair.bob.reads("before")
    await pair.elsewhere(pair.bob)
    for number in range(1, MUCH + 1):
        await pair.town.write(pair.channel, pair.ann, f"news {number}")
    await pair.bob.sees(re.compile(rf"^{pair.room}\s?, {MUCH} unread messages"), role="link")
    await pair.bob.channel(pair.room).click()
    line = pair.bob.log.get_by_role("heading", name="New messages")
    await pair.bob.expect(line).to_be_in_viewport()
    next_to_it = line.locator("xpath=ancestor::li/following-sibling::li[1]")
    assert re.search(r"\bnews 1\b", await next_to_it.inner_text())
    await pair.bob.presses(re.compile("^Jump to latest"))
    await pair.bob.has_title(re.compile("^#"))


async def test_a_reaction_is_counted_and_taken_back(pair: Pair):
    await pair.ann.says("Cake?")
    await pair.bob.reads("Cake?")
    await pair.bob.reaches_for("Cake?", "Add a reaction")
    await pair.bob.presses("React with 🎉")
    mine = pair.ann.message("Cake?").get_by_role("button", name=re.compile("^🎉 1: Bob"))
    await mine.click()
    both = pair.bob.message("Cake?").get_by_role("button", name="🎉 2: you and Ann")
    await both.wait_for()
    assert await both.get_attribute("aria-pressed") == "true"
    await both.click()
    await pair.ann.message("Cake?").get_by_role("button", name=re.compile("^🎉 1: you")).wait_for()


async def test_an_edit_is_seen_and_marked(pair: Pair):
    await pair.ann.says("Tee at five")
    await pair.ann.has_sent("Tee at five")
    await pair.ann.composer.press("ArrowUp")
    await pair.ann.says("Tea at five")
    for person in (pair.ann, pair.bob):
        await person.reads("Tea at five (edited)")
        assert await person.texts() == ["Tea at five (edited)"]


async def test_a_deletion_is_asked_about_and_leaves_a_mark(pair: Pair):
    await pair.ann.says("The code is 1234")
    await pair.bob.reads("The code is 1234")
    await pair.ann.reaches_for("The code is 1234", "Delete")
    await pair.ann.dialog.get_by_role("button", name="Cancel").click()
    await pair.ann.reaches_for("The code is 1234", "Delete")
    await pair.ann.dialog.get_by_role("button", name="Delete", exact=True).click()
    for person in (pair.ann, pair.bob):
        await person.reads("This message was deleted.")
        assert [row.state for row in await person.rows()] == ["deleted"]
        await person.page.get_by_text("1234").wait_for(state="detached")


async def test_somebody_cannot_change_what_another_said(pair: Pair):
    await pair.ann.says("Mine")
    await pair.bob.message("Mine").hover()
    await pair.bob.message("Mine").get_by_role("button", name="Add a reaction").wait_for()
    assert await pair.bob.message("Mine").get_by_role("button", name="Edit").count() == 0
    assert await pair.bob.message("Mine").get_by_role("button", name="Delete").count() == 0


async def test_a_direct_conversation_begins_with_the_first_word(pair: Pair):
    dora = await pair.town.citizen("Dora")
    await pair.ann.presses("New direct message")
    await pair.ann.searches("To", "Choose", "Dora")
    await pair.ann.page.get_by_label("To", exact=True).press("Enter")
    await pair.ann.is_in("Dora")
    await pair.ann.says("Just for you")
    await dora.comes()
    await dora.opens("Ann")
    await dora.reads("Just for you")
    await dora.says("Thanks")
    await pair.ann.reads("Thanks")


async def test_who_is_invited_has_the_channel_at_once_and_who_is_removed_loses_it(pair: Pair):
    hall = pair.town.name("hall")
    await pair.ann.makes(hall, private=True)
    await pair.ann.looks_at_members()
    await pair.ann.searches("Add people", "Add", "Bob")
    await pair.ann.dialog.get_by_role("heading", name=re.compile("^2 members")).wait_for()
    await pair.ann.closes()
    await pair.bob.opens(hall)
    await pair.bob.says("Thanks for asking me in")
    await pair.ann.reads("Ann added Bob")
    await pair.ann.reads("Thanks for asking me in")

    await pair.ann.looks_at_members()
    await pair.ann.dialog.get_by_role("button", name="Remove Bob").click()
    await pair.ann.dialog.get_by_role("button", name="Remove", exact=True).click()
    await pair.bob.sees(f"{hall} is not open to you any more.")
    await pair.bob.channel(hall).wait_for(state="detached")
    await pair.ann.closes()
    await pair.ann.reads("Ann removed Bob")


async def test_whoever_becomes_an_admin_may_do_what_admins_may(pair: Pair):
    await pair.ann.looks_at_members()
    await pair.ann.dialog.get_by_label("Role of Bob").select_option("admin")
    line = pair.ann.dialog.get_by_role("listitem").filter(has_text="Bob")
    await line.locator(".told").filter(has_text="admin").wait_for()
    await pair.ann.closes()
    await pair.bob.page.reload()
    await pair.bob.looks_at_members()
    await pair.bob.fills("Name of the channel", pair.town.name("admins"))
    await pair.bob.presses("Rename")
    await pair.ann.reads("Bob renamed the channel")
    await pair.bob.closes()


async def test_a_new_name_is_everywhere(pair: Pair):
    new = pair.town.name("renamed")
    await pair.ann.looks_at_members()
    await pair.ann.fills("Name of the channel", new)
    await pair.ann.presses("Rename")
    await pair.ann.closes()
    for person in (pair.ann, pair.bob):
        await person.is_in(new)
        await person.channel(new).wait_for()
        await person.reads(f"Ann renamed the channel to {new}")
        await person.has_title(re.compile(f"^#{new} "))


async def test_who_leaves_is_told_of_and_can_come_back(pair: Pair):
    await pair.bob.looks_at_members()
    await pair.bob.presses("Leave the channel")
    await pair.bob.dialog.get_by_role("button", name="Leave", exact=True).click()
    await pair.bob.channel(pair.room).wait_for(state="detached")
    await pair.ann.reads("Bob left")
    await pair.bob.finds_and_joins(pair.room)
    await pair.ann.reads("Bob joined")


async def test_two_tabs_of_one_person_agree(pair: Pair):
    """They share a socket, and each shows what the other wrote; signing out is for both."""
    eve = await pair.town.citizen("Eve")
    room = pair.town.name("room")
    await pair.town.channel(room, pair.ann, eve)
    second = await pair.town.second_tab(eve)
    for tab in (eve, second):
        await tab.comes()
        await tab.opens(room)
    await eve.page.bring_to_front()  # what is behind is drawn once a second
    await eve.says("from one")
    await second.reads("from one")
    await second.says("from two")
    await eve.reads("from two")
    for tab in (eve, second):
        await tab.has_sent("from two")
        assert await tab.texts() == ["from one", "from two"]
    await eve.page.bring_to_front()
    await eve.signs_out()
    await second.sees("Sign in", role="heading")


async def test_a_wrong_password_is_told_and_the_right_one_lets_in(pair: Pair):
    email = f"{pair.town.name('gil')}@example.org"
    gil = await pair.town.stranger("Gil")
    await gil.comes()
    await gil.signs_up(email)
    await gil.sees("Welcome, Gil", role="heading")
    await gil.signs_out()
    await gil.signs_in(email, "not the password")
    await gil.page.get_by_role("alert").filter(has_text=re.compile(r"\w")).wait_for()
    assert gil.take_refusals(401) == 1
    await gil.presses("Make an account")
    await gil.expect(
        gil.page.get_by_role("alert").filter(has_text=re.compile(r"\w"))
    ).to_have_count(0)
    await gil.presses("Sign in")
    await gil.signs_in(email)
    await gil.sees("Welcome, Gil", role="heading")
