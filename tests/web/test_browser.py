"""The pages in a real browser, on a real pod: to read, signed in, to try, and on the wire.

What every test adds, as it ends: no error in the console, no violation of the policy, and every
request went to the pod.
"""

import json
import re
from typing import Any

import httpx2
import pytest

from rtchat import web
from tests.people import People
from tests.watched import PHONE, width_of
from tests.web.tab import PASSWORD, Tab

# Texts of an open operation's answers, but for the colours of code, that stand out too little from
# what is behind them (WCAG 2, 1.4.3).
FAINT = """(() => {
  const numbers = (colour) => colour.match(/[\\d.]+/g).map(Number)
  const over = ([r, g, b, a = 1], back) => [r, g, b].map((c, n) => a * c + (1 - a) * back[n])
  const behind = (element) => {
    if (!element) return [255, 255, 255]
    const own = numbers(getComputedStyle(element).backgroundColor)
    return own[3] === 0 ? behind(element.parentElement) : over(own, behind(element.parentElement))
  }
  const light = (rgb) => rgb
    .map((c) => c / 255)
    .map((c) => (c <= 0.04045 ? c / 12.92 : ((c + 0.055) / 1.055) ** 2.4))
    .reduce((sum, c, n) => sum + c * [0.2126, 0.7152, 0.0722][n], 0)
  const contrast = (element) => {
    const back = behind(element)
    const [low, high] = [light(over(numbers(getComputedStyle(element).color), back)), light(back)]
      .sort((a, b) => a - b)
    return (high + 0.05) / (low + 0.05)
  }
  const says = (element) => [...element.childNodes].some((n) => n.nodeType === 3 && n.data.trim())
  return [...document.querySelectorAll(".opblock.is-open .responses-wrapper *")]
    .filter((element) => !element.closest(".microlight") && says(element))
    .filter((element) => element.checkVisibility() && contrast(element) < 4.5)
    .map((element) => `${element.className || element.localName}: ${element.textContent}`)
})()"""


# --- to read


async def test_every_operation_is_shown(docs: Tab, http: httpx2.AsyncClient):
    document = (await http.get("/openapi.json")).json()
    shown = await docs.page.locator(".opblock").count()
    assert shown == sum(len(methods) for methods in document["paths"].values())
    assert not await docs.page.locator("#loading").count()


async def test_every_frame_and_code_is_shown(tab: Tab, http: httpx2.AsyncClient):
    document = (await http.get("/asyncapi.json")).json()
    await tab.opens("/docs/ws")
    assert await tab.page.locator(".frame").count() == len(document["components"]["messages"])
    for code in document["x-error-codes"]:
        assert await tab.page.locator(f"#error-{code}").count() == 1
    for code in document["x-close-codes"]:
        assert await tab.page.locator(f"#close-{code}").count() == 1
    fields = tab.page.locator("#client-send .fields")
    assert "RTCHAT_CONTENT_MAX_CHARS" in await fields.inner_text()
    inner = tab.page.locator("#server-hello .fields")
    assert "limits.frameBytes" in await inner.inner_text()


async def test_every_link_within_the_page_leads_somewhere(tab: Tab):
    await tab.opens("/docs/ws")
    lost = await tab.page.evaluate("""[...document.querySelectorAll('a[href^="#"]')]
        .map((link) => link.getAttribute("href").slice(1))
        .filter((id) => !document.getElementById(id))""")
    assert lost == []


async def fits_a_phone(tab: Tab) -> None:
    """Nobody need scroll sideways, signed in or not, and the document is in reach."""
    assert await width_of(tab.page) == PHONE["width"]
    assert await tab.page.locator(".top").get_by_role("link", name=re.compile("json$")).is_visible()
    await tab.makes_an_account()
    assert await width_of(tab.page) == PHONE["width"]


async def test_the_operations_fit_a_phone(docs: Tab):
    await docs.page.set_viewport_size(PHONE)
    await fits_a_phone(docs)


@pytest.mark.parametrize("tab", [{"viewport": PHONE}], indirect=True, ids=["phone"])
async def test_the_frames_fit_a_phone(tab: Tab):
    await tab.opens("/docs/ws")
    await fits_a_phone(tab)


async def test_colours_follow_the_system(docs: Tab):
    """Dark is what it is loaded in."""
    for scheme, back in (
        ("dark", "rgb(28, 32, 34)"),
        ("light", "rgb(255, 255, 255)"),
        ("dark", "rgb(28, 32, 34)"),
    ):
        await docs.page.emulate_media(color_scheme=scheme)
        rule = ".dark-mode" if scheme == "dark" else ":not(.dark-mode)"
        await docs.page.locator(f"html{rule}").wait_for()
        found = await docs.page.evaluate("getComputedStyle(document.body).backgroundColor")
        assert found == back


@pytest.mark.parametrize("scheme", ["dark", "light"])
async def test_an_answer_can_be_read(docs: Tab, scheme: str):
    """Contrast is 4.5 and more (WCAG AA); and no column is for nothing."""
    await docs.page.emulate_media(color_scheme=scheme)
    operation = await docs.opened("/auth/login")
    assert await operation.locator("table.headers td").count() > 0
    assert await docs.page.evaluate(FAINT) == []
    links = operation.locator(".response-col_links")
    assert await links.count() > 0
    assert not any([await link.is_visible() for link in await links.all()])


async def test_what_is_against_the_policy_would_be_seen(tab: Tab):
    """The browser keeps to it, and tells: of styles and scripts inline, and of another host."""
    await tab.opens("/docs/ws")
    await tab.page.evaluate("""async () => {
        document.body.setAttribute("style", "color: red")
        document.head.append(Object.assign(document.createElement("script"), { text: "evil = 1" }))
        await fetch("http://chat.example/").catch(() => null)
    }""")
    for directive in ("style-src-attr", "script-src-elem", "connect-src"):
        await tab.logs(f"policy: {directive}")
    assert await tab.page.evaluate("typeof evil") == "undefined"
    tab.errors.clear()


# --- signed in


async def test_an_account_is_made_and_an_operation_tried(docs: Tab):
    email = await docs.makes_an_account()
    await docs.opened("/users/me")
    assert (await docs.gets_an_answer("/users/me", email)).startswith("200")


async def test_a_token_may_be_pasted_instead(docs: Tab, people: People):
    """Whoever signs in by a provider has no password to give here."""
    ann = await people.new("ann")
    await docs.operation("/users/me").locator(".authorization__btn").click()
    await docs.page.get_by_label("auth-bearer-value").fill(ann.token)
    buttons = docs.page.locator(".auth-btn-wrapper")
    await buttons.get_by_role("button", name="Apply").click()
    await buttons.get_by_role("button", name="Close").click()
    await docs.opened("/users/me")
    assert (await docs.gets_an_answer("/users/me", ann.email)).startswith("200")


async def test_a_wrong_password_is_said_and_the_right_one_taken(
    docs: Tab, http: httpx2.AsyncClient
):
    """And a name is text, whatever stands in it."""
    name = "<img src=x onerror=alert(1)>"
    account = {"email": "markup@example.org", "password": PASSWORD, "name": name}
    assert (await http.post("/auth/register", json=account)).status_code == 201
    await docs.fills_in(account["email"], "wrong horse battery")
    await docs.clicks("Sign in")
    await docs.page.get_by_role("status").filter(has_text="wrong").wait_for()
    assert docs.take_refusals(401) == 1
    await docs.fills_in(account["email"])
    await docs.page.get_by_role("textbox", name="Password").press("Enter")
    await docs.sees(f"Signed in as {name}")
    assert await docs.page.locator("#account img").count() == 0
    await docs.clicks("Sign out")
    await docs.page.get_by_label("E-mail").wait_for()
    assert await docs.page.evaluate("sessionStorage.length") == 0


async def test_an_address_that_is_taken_is_marked(tab: Tab, http: httpx2.AsyncClient):
    account = {"email": "taken@example.org", "password": PASSWORD}
    await http.post("/auth/register", json=account)
    await tab.opens("/docs/ws")
    await tab.fills_in(account["email"])
    await tab.clicks("Make an account")
    await tab.page.locator("#account .bad").wait_for()
    assert tab.take_refusals(409) == 1
    await tab.fills_in("short@example.org", "short")
    await tab.clicks("Make an account")
    await tab.page.locator("input[name=password][aria-invalid]").wait_for()
    assert tab.take_refusals(422) == 1


async def test_tokens_are_renewed_on_the_page_and_on_its_socket(tab: Tab):
    await tab.page.clock.install()
    await tab.opens("/docs/ws")
    await tab.makes_an_account()
    await tab.connects()
    token = "JSON.parse(Object.values(sessionStorage)[0]).accessToken"
    first = await tab.page.evaluate(token)
    async with tab.page.expect_response("**/auth/refresh") as renewed:
        await tab.page.clock.fast_forward("14:30")
    assert (await renewed.value).status == 200
    await tab.gets("ok", '"exp"')
    assert await tab.page.evaluate(token) != first


async def test_a_duplicated_tab_goes_on_with_what_the_other_one_got(tab: Tab, chromium: Any):
    """Both begin with one refresh token; used twice it would end the session."""
    await tab.page.clock.install()
    await tab.opens("/docs/ws")
    await tab.makes_an_account()
    entry = await tab.page.evaluate("Object.entries(sessionStorage)[0]")
    other = await tab.page.context.new_page()
    await other.add_init_script(f"sessionStorage.setItem(...{json.dumps(entry)})")
    await other.goto(f"{tab.origin}/docs/ws")
    await other.get_by_text("Signed in as").wait_for()
    asked: list[str] = []
    tab.page.context.on("request", lambda request: asked.append(request.url))
    await tab.page.clock.fast_forward("14:30")  # in both: it is the browser's
    renewed = "(before) => Object.values(sessionStorage).find((held) => held !== before)"
    held = [await page.wait_for_function(renewed, arg=entry[1]) for page in (tab.page, other)]
    assert await held[0].json_value() == await held[1].json_value()
    assert [url for url in asked if url.endswith("/auth/refresh")] == [f"{tab.origin}/auth/refresh"]


async def test_a_session_that_was_ended_elsewhere_is_said_to_be(tab: Tab, http: httpx2.AsyncClient):
    await tab.page.clock.install()
    await tab.opens("/docs/ws")
    await tab.makes_an_account()
    token = await tab.page.evaluate("JSON.parse(Object.values(sessionStorage)[0]).accessToken")
    headers = {"Authorization": f"Bearer {token}"}
    assert (await http.post("/auth/logout", json={"all": True}, headers=headers)).status_code == 204
    await tab.page.clock.fast_forward("14:30")
    await tab.sees("The session has ended. Sign in again.")
    assert tab.take_refusals(401) == 1


# --- on the wire


async def test_frames_go_out_and_come_in(tab: Tab):
    await tab.opens("/docs/ws")
    await tab.makes_an_account()
    await tab.connects()
    await tab.gets("hello", "limits")
    await tab.clicks("New channel")
    await tab.sees("made the private channel")
    await tab.sends("sub")
    await tab.gets("ok", '"head"')
    await tab.sends("send")
    await tab.gets("ack")
    await tab.gets("msg", "anybody here?")
    await tab.sends("edit")
    await tab.gets("edit")
    await tab.page.get_by_label("Frame to send").fill('{"t":"nonsense"}')
    await tab.page.get_by_label("Frame to send").press("Control+Enter")
    await tab.gets("error", "unknown_type")
    await tab.clicks("Disconnect")
    await tab.sees("Not connected; closed 1000")
    assert "eyJ" not in await tab.page.locator("#console").inner_text()


async def test_a_close_is_told_with_what_to_do(tab: Tab):
    await tab.opens("/docs/ws")
    await tab.makes_an_account()
    await tab.connects()
    await tab.clicks("Sign out")
    await tab.sees("closed 4004 session revoked: do not come back as you are")


async def test_what_to_try_is_chosen_where_one_reads_it(tab: Tab):
    await tab.opens("/docs/ws")
    await tab.page.locator("#client-ping").get_by_role("button", name="Try it: ping").click()
    editor = tab.page.get_by_label("Frame to send")
    assert '"ping"' in await editor.input_value()
    assert await editor.evaluate("(element) => element === document.activeElement")


async def test_the_list_of_frames_is_bounded(tab: Tab):
    await tab.opens("/docs/ws")
    kept = await tab.page.evaluate(
        """async (version) => {
          const { Transcript } = await import(`/docs/transcript.js?v=${version}`)
          const list = new Transcript()
          for (let n = 0; n < 5000; n++) list.add("in", `{"t":"msg","n":${n}}` + " ".repeat(99999))
          await new Promise((resolve) => requestAnimationFrame(() => setTimeout(resolve)))
          const texts = [...list.list.children].map((entry) => entry.textContent)
          return [texts.length, Math.max(...texts.map((text) => text.length)), texts.at(-1)]
        }""",
        web.version().decode(),
    )
    assert kept[0] == 200
    assert kept[1] < 20_000
    assert '"n":4999' in kept[2]


# --- mounted elsewhere


async def test_below_a_prefix_everything_is_asked_below_it(tab: Tab):
    """What a proxy does that hands /chat/… on as /…; signed in on one page, so on the other."""

    async def hand_on(route: object) -> None:
        request = route.request  # type: ignore[attr-defined]
        url = request.url.replace(f"{tab.origin}/chat/", f"{tab.origin}/", 1)
        await route.fulfill(response=await route.fetch(url=url))  # type: ignore[attr-defined]

    await tab.page.route(f"{tab.origin}/chat/**", hand_on)
    await tab.opens("/chat/docs/ws")
    await tab.makes_an_account()
    interfaces = tab.page.get_by_label("Interfaces")
    await interfaces.get_by_role("link", name="REST").click()
    await tab.page.locator(".opblock").first.wait_for()
    await tab.sees("Signed in as")
    await tab.opened("/auth/register")
    await tab.page.locator(".samples pre", has_text=f"API={tab.origin}/chat\n").wait_for()
    await interfaces.get_by_role("link", name="WebSocket").click()
    await tab.page.locator(".frame").first.wait_for()
    await tab.sees("Signed in as")
    asked = [url for url in tab.asked if not url.startswith("data:")]
    assert [url for url in asked if not url.startswith(f"{tab.origin}/chat/")] == []
