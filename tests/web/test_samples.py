"""What the page adds to Swagger UI, in a real browser: samples, limits, and what is not tried.

As in test_browser, every test ends with no error in the console and none of the policy.
"""

from typing import Any

import httpx2
import pytest

from rtchat.api import openapi
from rtchat.config import Config
from tests.docs.shells import SHELLS, Shell, missing
from tests.watched import PHONE, width_of
from tests.web.tab import Tab

LANGUAGES = ["curl", "Python", "JavaScript"]
ACCOUNT = {"email": "ann@example.org", "password": "correct horse"}  # the samples'
NO_CLIPBOARD = (
    "Object.defineProperty(navigator, 'clipboard', { value: undefined, configurable: true })"
)


async def chosen(operation: Any) -> str:
    return str(await operation.locator(".samples").get_by_role("tab", selected=True).inner_text())


@pytest.mark.parametrize("path", ["/auth/register", "/channels/{id}/messages"])
async def test_an_opened_operation_has_its_samples(docs: Tab, http: httpx2.AsyncClient, path: str):
    operation = await docs.opened(path)
    assert await operation.locator(".samples").get_by_role("tab").all_inner_texts() == LANGUAGES
    told = next(iter((await http.get("/openapi.json")).json()["paths"][path].values()))
    for sample in told["x-codeSamples"]:
        await operation.locator(".samples").get_by_role("tab", name=sample["label"]).click()
        shown = await operation.locator(".samples pre").inner_text()
        assert shown.endswith(f"\n\n{sample['source']}")
        assert docs.origin in shown.partition("\n\n")[0]
    needs_token = await operation.get_by_text("TOKEN is what signing in gives").count()
    assert bool(needs_token) == bool(told["security"])


async def test_a_redirect_is_not_tried(docs: Tab):
    """The policy forbids the page to follow it."""
    for path in ("/auth/oauth/{provider}", "/auth/oauth/{provider}/callback"):
        operation = await docs.opened(path)
        assert await operation.locator(".untried").count() == 1
        assert await operation.get_by_role("button", name="Execute").count() == 0
    other = await docs.opened("/auth/providers")
    assert await other.locator(".untried").count() == 0
    assert await other.get_by_role("button", name="Execute").count() == 1


@pytest.mark.parametrize("path", ["/auth/register", "/auth/oauth/{provider}"])
async def test_on_a_phone_a_sample_scrolls_by_itself(docs: Tab, path: str):
    await docs.page.set_viewport_size(PHONE)
    operation = await docs.opened(path)
    assert await width_of(docs.page) == PHONE["width"]
    panel = operation.locator(".samples pre")
    assert await panel.evaluate("(element) => element.scrollWidth > element.clientWidth")


async def test_the_tabs_are_moved_through_by_keys(docs: Tab):
    operation = await docs.opened("/auth/register")
    await operation.locator(".samples").get_by_role("tab", name="curl").click()
    for key, name in (
        ("ArrowRight", "Python"),
        ("End", "JavaScript"),
        ("ArrowRight", "curl"),
        ("ArrowLeft", "JavaScript"),
        ("Home", "curl"),
    ):
        await docs.page.keyboard.press(key)
        assert await chosen(operation) == name
        assert await docs.page.evaluate("document.activeElement.textContent") == name
    for role in ("button", "tabpanel"):  # one tab is one stop
        await docs.page.keyboard.press("Tab")
        found = "document.activeElement.getAttribute('role') ?? document.activeElement.localName"
        assert await docs.page.evaluate(found) == role


# --- copied


async def copied(docs: Tab, language: str) -> str:
    """The sample of `login` as it comes out of the clipboard, into the editor of the body."""
    operation = await docs.opened("/auth/login")
    await operation.locator(".samples").get_by_role("tab", name=language).click()
    await operation.get_by_role("button", name="Copy", exact=True).click()
    await operation.get_by_role("button", name="Copied").wait_for()
    editor = operation.locator("textarea").first
    await editor.fill("")
    await editor.press("Control+V")
    return str(await editor.input_value())


@pytest.mark.parametrize("shell", SHELLS, ids=lambda shell: shell.language)
async def test_a_copied_sample_runs(docs: Tab, http: httpx2.AsyncClient, shell: type[Shell]):
    """With nothing before it."""
    if why := missing(shell):
        pytest.skip(why)
    assert (await http.post("/auth/register", json=ACCOUNT)).status_code in (201, 409)
    async with shell() as interpreter:
        said = await interpreter.run(await copied(docs, shell.language))
    assert ACCOUNT["email"] in said
    assert '"accessToken"' in said


async def test_a_sample_is_copied_where_pages_have_no_clipboard(docs: Tab):
    """On plain http, but for this machine."""
    await docs.page.evaluate(NO_CLIPBOARD)
    text = await copied(docs, "Python")
    assert text == await docs.page.locator(".samples pre").inner_text()
    await docs.page.evaluate("delete navigator.clipboard")


# --- once loaded, and loaded again


async def test_a_choice_and_the_limits_are_of_the_page_that_is_loaded(tab: Tab):
    """A language is chosen once for all operations, and kept; limits are the document's.

    The pod of the tests has none; one as it is without settings does.
    """
    await tab.opens("/docs")
    first = await tab.opened("/auth/register")
    assert await chosen(first) == "curl"
    setting = "Set by RTCHAT_ADDRESS_REGISTERS_PER_MINUTE."
    assert await first.locator(".rate").inner_text() == f"No limit of registrations. {setting}"
    await first.locator(".samples").get_by_role("tab", name="Python").click()
    second = await tab.opened("/auth/login")
    assert await chosen(second) == "Python"
    await second.locator(".samples").get_by_role("tab", name="JavaScript").click()
    assert await chosen(first) == "JavaScript"

    document = openapi.document(Config())
    await tab.page.route("**/openapi.json", lambda route: route.fulfill(json=document))
    await tab.opens("/docs")
    again = await tab.opened("/auth/register")
    assert await chosen(again) == "JavaScript"
    assert await again.locator(".rate").inner_text() == (
        "Limit of registrations: 0.5 a second, 60 at once, of each address, on all pods;"
        f" beyond it rate_limited. {setting}"
    )
