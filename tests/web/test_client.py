"""rtchat.js in a real browser: nothing that is written is lost, nothing is shown twice.

Each test has a channel and people of its own, on one pod behind a network that can be cut; those
that end a pod have one for themselves. At the end of each the tabs are held against the log.
"""

import asyncio
import contextlib
import os
import sys
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import httpx2
import pytest

from tests.people import People, Person
from tests.pods import Pod, Pods
from tests.web.conversing import Server
from tests.web.seats import POLICY, TIMES, Network, Seat, agrees, log_of, soon

Room = Callable[..., Awaitable[int]]


@pytest.fixture(scope="module")
async def network(unlimited: Pod) -> AsyncIterator[Network]:
    """The way to a pod."""
    network = Network(unlimited.url)
    async with network.proxy:
        yield network


@pytest.fixture(scope="module")
async def crowd(unlimited: Pod) -> AsyncIterator[People]:
    async with People(unlimited.database_url) as people:
        yield people


@pytest.fixture
async def rest(network: Network) -> AsyncIterator[httpx2.AsyncClient]:
    host, port = network.proxy.target
    async with httpx2.AsyncClient(base_url=f"http://{host}:{port}", timeout=20) as http:
        yield http


async def channel_of(http: httpx2.AsyncClient, owner: Person, *others: Person) -> int:
    """Make a channel with these members."""
    members = [person.id for person in others]
    body = {"type": "private", "name": "seats", "members": members}
    answer = await http.post("/channels", json=body, headers=owner.headers)
    assert answer.status_code == 201, answer.text
    return int(answer.json()["id"])


@contextlib.asynccontextmanager
async def browser_of(chromium: Any, worker: str = "worker-src 'self'; ") -> AsyncIterator[Any]:
    """A browser profile in which any origin has the page `/seat`."""
    context = await chromium.new_context()
    policy = {"content-security-policy": POLICY.format(worker=worker)}

    async def seat(route: Any) -> None:
        page = "<!doctype html><title>seat</title>"
        await route.fulfill(body=page, content_type="text/html", headers=policy)

    await context.route("**/seat", seat)
    yield context
    await context.close()


@pytest.fixture
async def browser(chromium: Any) -> AsyncIterator[Any]:
    async with browser_of(chromium) as context:
        yield context


@pytest.fixture(autouse=True)
def mended(network: Network) -> Any:
    """However a test ended, the next one's network is whole."""
    yield
    network.proxy.refuses = network.proxy.swallows = False


class Desk:
    """A person with a channel, and tabs."""

    def __init__(self, browser: Any, network: Network, person: Person, channel: int) -> None:
        self.browser, self.network = browser, network
        self.person, self.channel = person, channel
        self.tabs = 0

    async def tab(self, cursor: int | None = 0, **how: Any) -> Seat:
        """Open another tab."""
        page = await self.browser.new_page()
        seat = Seat(page, self.network.url, self.person)
        if not self.tabs:
            await seat.signs_in(how.pop("token", None))
        self.tabs += 1
        await seat.begins(self.channel, cursor, **how)
        return seat


@pytest.fixture
async def desk(browser: Any, network: Network, crowd: People, rest: httpx2.AsyncClient) -> Desk:
    ann = await crowd.new("ann")
    return Desk(browser, network, ann, await channel_of(rest, ann))


# --- tabs


async def test_two_tabs_share_one_socket_and_see_everything_once(
    desk: Desk, network: Network, rest: httpx2.AsyncClient
):
    before = network.sockets
    one, two = await desk.tab(), await desk.tab()
    assert [await one.follows(), await two.follows()] == [{"head": 0}, {"head": 0}]
    await one.writes(10)
    two.asked = one.asked
    await two.writes(10)
    await one.sees(20)
    assert [await tab.does("client.shared") for tab in (one, two)] == [True, True]
    assert network.sockets == before + 1
    await agrees(rest, one)
    await agrees(rest, two)


async def test_a_tab_that_comes_later_gets_the_log_and_the_others_do_not_get_it_again(
    desk: Desk, network: Network, rest: httpx2.AsyncClient
):
    before = network.sockets
    one = await desk.tab()
    await one.writes(30)
    await one.sees(10)
    two, three = await desk.tab(cursor=3), await desk.tab(cursor=None)
    two.asked = three.asked = one.asked
    await two.follows()
    await three.follows()
    await one.writes(10)
    await agrees(rest, one)
    await agrees(rest, two, since=3)
    since = (await three.told("entries"))[0]["seq"] - 1
    assert since >= 10
    await agrees(rest, three, since=since)
    assert network.sockets == before + 1


async def test_a_closed_tab_is_forgotten_and_the_other_goes_on(
    desk: Desk, network: Network, rest: httpx2.AsyncClient
):
    one, two = await desk.tab(), await desk.tab()
    await two.follows()
    await one.writes(20)
    await one.page.close()  # with writes under way
    two.asked = one.asked
    before = network.sockets
    await two.writes(5)
    await agrees(rest, two)
    assert network.sockets == before
    await two.page.close()
    await soon(lambda: not network.open_sockets())  # nobody is left


async def test_without_sharing_another_tab_sends_what_a_closed_one_wrote(
    desk: Desk, network: Network, rest: httpx2.AsyncClient
):
    one, two = await desk.tab(share=False), await desk.tab(share=False)
    await one.follows()
    await two.follows()
    network.proxy.refuses = True
    network.proxy.cut()
    await two.is_in("waiting", "connecting")
    await one.writes(5)
    await one.page.close()
    assert await log_of(rest, desk.channel, desk.person) == []
    network.proxy.refuses = False
    two.asked = one.asked
    await agrees(rest, two)
    assert await two.does("client.shared") is False


async def test_a_page_that_may_have_no_worker_has_a_socket_itself(
    chromium: Any, network: Network, crowd: People, rest: httpx2.AsyncClient
):
    async with browser_of(chromium, worker="worker-src 'none'; ") as context:
        ann = await crowd.new("ann")
        tab = await Desk(context, network, ann, await channel_of(rest, ann)).tab()
        await tab.writes(3)
        await agrees(rest, tab)
        assert await tab.does("client.shared") is False


# --- the page ends


@pytest.mark.parametrize("share", [True, False], ids=["shared", "alone"])
async def test_a_reload_in_mid_send_loses_nothing(
    desk: Desk, rest: httpx2.AsyncClient, *, share: bool
):
    tab = await desk.tab(share=share)
    await tab.follows()
    await tab.writes(40)
    await tab.page.reload()
    await tab.begins(desk.channel, share=share)
    await tab.writes(5)
    await agrees(rest, tab)


async def test_what_was_refused_outlives_a_reload_until_it_is_discarded_or_written_again(
    desk: Desk, rest: httpx2.AsyncClient
):
    tab = await desk.tab()
    await tab.follows()
    refused = "client.send(999999, 'to nobody').acked.catch(({ code }) => code)"
    assert await tab.does(refused) == "not_found"
    assert await tab.does(refused) == "not_found"
    await tab.page.reload()
    await tab.begins(desk.channel)
    await tab.until("client.outbox.length === 2")
    failed = await tab.does("client.outbox")
    assert [(one["state"], one["error"]["code"]) for one in failed] == [("failed", "not_found")] * 2
    again = "client.retry(client.outbox[0].nonce).acked.catch(({ code }) => code)"
    assert await tab.does(again) == "not_found"
    await tab.until("client.outbox.length === 2")
    await tab.does("client.outbox.forEach(({ nonce }) => client.discard(nonce))")
    await tab.until("client.outbox.length === 0")
    await tab.page.reload()
    await tab.begins(desk.channel)
    await tab.follows()
    assert await tab.does("client.outbox") == []
    await agrees(rest, tab)


# --- the network and the machine


@pytest.mark.parametrize("share", [True, False], ids=["shared", "alone"])
async def test_a_dead_link_is_noticed_and_nothing_is_lost(
    desk: Desk, network: Network, rest: httpx2.AsyncClient, *, share: bool
):
    tab = await desk.tab(share=share)
    await tab.follows()
    await tab.writes(10)
    network.proxy.swallows = True  # no connection is closed, and nothing arrives
    await tab.writes(10)
    await tab.is_in("waiting")
    network.proxy.swallows = False
    await tab.writes(10)
    await agrees(rest, tab)
    whys = {state["why"] for state in await tab.told("states") if "why" in state}
    assert whys == {"The connection was lost."}


async def test_a_frozen_page_comes_back_by_itself(
    desk: Desk, network: Network, rest: httpx2.AsyncClient, crowd: People, chromium: Any
):
    tab = await desk.tab(share=False)
    await tab.follows()
    await tab.writes(5)
    protocol = await tab.page.context.new_cdp_session(tab.page)
    await protocol.send("Page.setWebLifecycleState", {"state": "frozen"})
    network.proxy.cut()  # meanwhile the link has gone
    await asyncio.sleep((TIMES["lateMs"] + 100) / 1000)
    await protocol.send("Page.setWebLifecycleState", {"state": "active"})
    await tab.writes(5)
    await agrees(rest, tab)


async def test_an_offline_browser_says_so_and_comes_back_at_once(
    desk: Desk, browser: Any, rest: httpx2.AsyncClient, network: Network
):
    tab = await desk.tab(share=False, backOffMs=60_000, backOffMaxMs=60_000)
    await tab.follows()
    await browser.set_offline(True)
    network.proxy.cut()
    await tab.is_in("offline")
    await tab.writes(3)
    await browser.set_offline(False)
    await agrees(rest, tab)  # within the patience of tests, and not after a minute


# --- who is signed in


async def test_a_token_that_ends_is_renewed_on_the_live_socket(
    desk: Desk, crowd: People, network: Network, rest: httpx2.AsyncClient
):
    token = crowd.tokens.sign(desk.person.id, desk.person.session_id, life_s=2)
    before = network.sockets, network.renewals
    one = await desk.tab(token=token)
    two = await desk.tab()
    await one.follows()
    await two.follows()
    await one.until("JSON.parse(localStorage.getItem(localStorage.key(0))).renewAt > 0")
    await soon(lambda: network.renewals > before[1])
    await asyncio.sleep(3.5)  # the first token has ended, and the server has seen that
    await one.writes(3)
    await agrees(rest, one)
    assert network.sockets - before[0] == 1
    assert network.renewals - before[1] == 1


async def test_a_token_that_has_ended_is_renewed_once_for_all_tabs(
    desk: Desk, crowd: People, network: Network, rest: httpx2.AsyncClient
):
    token = crowd.tokens.sign(desk.person.id, desk.person.session_id, now=1_000_000_000)
    before = network.renewals
    one = await desk.tab(token=token, share=False)
    two = await desk.tab(share=False)
    await one.follows()
    await two.follows()
    await one.does("rest.me()")
    await one.writes(3)
    await agrees(rest, one)
    assert network.renewals - before == 1


async def test_signing_out_ends_every_tab(desk: Desk, rest: httpx2.AsyncClient):
    one, two = await desk.tab(), await desk.tab()
    await one.follows()
    await two.follows()
    await one.does("session.signOut()")
    for tab in (one, two):
        await tab.is_in("ended")
        assert await tab.does("client.state.code") == "signed_out"
        assert await tab.does("session.user") is None


async def test_a_session_that_was_ended_elsewhere_signs_out_here(
    desk: Desk, rest: httpx2.AsyncClient
):
    tab = await desk.tab()
    await tab.follows()
    body = {"refreshToken": desk.person.refresh_token}
    assert (await rest.post("/auth/logout", json=body)).status_code == 204
    await tab.is_in("ended")
    await tab.until("session.user === null")
    assert "Sign in again" in await tab.does("session.ended")


# --- the server ends


async def test_tabs_go_on_over_a_drain_and_a_kill(chromium: Any, pods: Pods, database_url: str):
    server = Server(pods, database_url)
    await server.pod.listening()
    network = Network(server.pod.url)
    async with network.proxy, People(database_url) as people, browser_of(chromium) as context:
        ann, bob = await people.several(2)
        async with server.rest() as http:
            channel = await channel_of(http, ann, bob)
        desk = Desk(context, network, ann, channel)
        one, two = await desk.tab(), await desk.tab()
        async with browser_of(chromium) as other:
            three = await Desk(other, network, bob, channel).tab()
            for end in (Server.stop, Server.die):
                await one.follows()
                await two.follows()
                await three.follows()
                await one.writes(10)
                two.asked = one.asked
                async with asyncio.TaskGroup() as group:
                    group.create_task(end(server))
                    await two.writes(10)
                    await three.writes(10)
                await server.start()
                for tab in (one, two, three):
                    await tab.is_in("online")
            async with server.rest() as http:
                await agrees(http, one, three)
                await agrees(http, two, three)
    server.pod.kill()


async def test_it_keeps_to_the_servers_pace(
    chromium: Any, pod: Pod, people: People, http: httpx2.AsyncClient
):
    network = Network(pod.url)
    async with network.proxy, browser_of(chromium) as context:
        ann = await people.new("ann")
        tab = await Desk(context, network, ann, await channel_of(http, ann)).tab()
        await tab.writes(60)  # 20 a second are allowed, and 40 at once
        await agrees(http, tab)
        assert [state["name"] for state in await tab.told("states")] == ["connecting", "online"]


async def test_another_history_is_begun_anew(chromium: Any, pods: Pods, database_url: str):
    """The epoch changes, as after a restored backup: no cursor means anything any more."""
    server = Server(pods, database_url)
    await server.pod.listening()
    network = Network(server.pod.url)
    async with network.proxy, People(database_url) as people, browser_of(chromium) as context:
        ann = await people.new("ann")
        async with server.rest() as http:
            channel = await channel_of(http, ann)
        desk = Desk(context, network, ann, channel)
        one, two = await desk.tab(), await desk.tab()
        await one.follows()
        await two.follows()
        await one.writes(5)
        await one.sees(5)
        await two.sees(5)
        await server.stop()
        await renew_epoch(server.pod)
        await one.writes(1)  # which waits over it
        await server.start()
        for tab in (one, two):
            await tab.until("told.resets.length === 1 && client.epoch === client.hello.epoch")
            assert await tab.told("resets") == [{"ch": channel, "head": None}]
            assert await tab.does("client.cursors()") == {}
        await one.until("!client.outbox.length")
        stale = "([ch, epoch]) => client.subscribe({ [ch]: 3 }, epoch)"
        assert await two.does(stale, [channel, "another"]) == {str(channel): {"error": "reset"}}
        again = """async (ch) => {
          const { lastSeq } = await rest.channel(ch)
          return client.subscribe({ [ch]: lastSeq })
        }"""
        for tab in (one, two):
            assert await tab.does(again, channel) == {str(channel): {"head": 6}}
        await one.writes(1)
        async with server.rest() as http:
            for tab in (one, two):
                await tab.sees(7)
                assert [entry["seq"] for entry in await tab.told("entries")] == [1, 2, 3, 4, 5, 7]
            assert len(await log_of(http, channel, ann)) == 7
    server.pod.kill()


async def renew_epoch(pod: Pod) -> None:
    """As an operator does it."""
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "rtchat", "epoch", "renew"),
        env={**os.environ, **pod.settings},
        stdout=asyncio.subprocess.DEVNULL,
    )
    assert await process.wait() == 0
