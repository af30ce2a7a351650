"""The page itself: what it weighs, whom it asks, what it may do, and where it can be mounted."""

import json
import re
from typing import Any

from rtchat import web
from tests.browser.town import Town
from tests.faults.proxy import FaultProxy, Pipe

CSP = "content-security-policy"
WEIGHT_MAX = 100_000  # bytes of all that the page loads, not compressed


async def test_what_it_loads_until_a_channel_is_open_is_small(town: Town):
    """Counted on the way, where what its worker loads passes, too."""
    asked: set[str] = set()

    def count(_: Pipe, data: bytes) -> bytes:
        asked.update(path.decode() for path in re.findall(rb"GET ([^ ?]+)[^ ]* HTTP/1.1\r\n", data))
        return data

    proxy = FaultProxy(town.root)
    proxy.strike = count
    async with proxy:
        pia = await town.citizen("Pia", root=proxy.url)
        channel = await town.channel(town.name("light"), pia)
        await town.write(channel, pia, "hello")
        await pia.comes()
        await pia.reads("hello")
        await pia.says("hello again")
        await pia.has_sent("hello again")
        pia.assert_clean()
        await pia.page.goto("about:blank")  # else it tells that the server is gone
    weights = {asset.path: len(web.read(asset)) for asset in web.ASSETS if asset.path in asked}
    assert {
        "/",
        "/chat/app.js",
        "/rtchat.js",
        "/client/worker.js",
        "/client/link.js",
    } <= weights.keys()
    assert sum(weights.values()) < WEIGHT_MAX, weights


async def test_it_may_load_and_ask_only_what_is_its_own(town: Town):
    """No markup from text, no frame around it, and nobody else hears of it."""
    quinn = await town.stranger("Quinn")
    answer = await quinn.page.goto(f"{town.root}/")
    headers = await answer.all_headers()
    policy = dict(part.strip().partition(" ")[::2] for part in headers[CSP].split(";"))
    assert policy.pop("default-src") == "'none'"
    assert policy.pop("require-trusted-types-for") == "'script'"
    assert policy.pop("frame-ancestors") == policy.pop("base-uri") == "'none'"
    assert set(policy.values()) <= {"'self'", "'none'", "rtchat"}
    assert headers["x-content-type-options"] == "nosniff"
    assert headers["referrer-policy"] in ("no-referrer", "same-origin")


async def test_below_a_prefix_all_is_asked_below_it(town: Town):
    """Behind a proxy that hands /team/… on as /…: signed in, with a channel open, and all told."""
    rita = await town.stranger("Rita")

    async def hand_on(route: Any) -> None:
        url = route.request.url.replace(f"{town.root}/team/", f"{town.root}/", 1)
        await route.fulfill(response=await route.fetch(url=url))

    await rita.page.route(f"{town.root}/team/**", hand_on)
    await rita.page.add_init_script("delete window.SharedWorker")  # out of Playwright's sight
    await rita.page.route_web_socket("**/team/ws", lambda socket: None)
    await rita.page.goto(f"{town.root}/team/")
    await rita.signs_up(f"{town.name('rita')}@example.org")
    await rita.sees("Welcome, Rita", role="heading")
    await rita.makes(town.name("below"))
    asked = [url for url in rita.asked if not url.startswith("data:")]
    below = re.compile(rf"(http|ws)://{re.escape(town.root.partition('://')[2])}/team/")
    assert [url for url in asked if not below.match(url)] == []
    await rita.page.unroute_all(behavior="wait")


async def test_a_message_that_is_refused_stays_until_it_is_sent_again(town: Town):
    """Over a reload too; what is discarded is gone."""
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

    sam = await town.citizen("Sam")
    await town.channel(town.name("refused"), sam)
    await sam.page.add_init_script("delete window.SharedWorker")  # out of Playwright's sight
    await sam.page.route_web_socket("**/ws", between)
    await sam.comes()
    await sam.says("Once more")
    await sam.sees("Not sent: Not just now.")
    await sam.page.reload()
    await sam.sees("Not sent: Not just now.")
    refusing[0] = False
    await sam.presses("Try again")
    await sam.has_sent("Once more")
    refusing[0] = True
    await sam.says("Never mind")
    await sam.presses("Discard")
    await sam.page.get_by_text("Never mind").wait_for(state="detached")
