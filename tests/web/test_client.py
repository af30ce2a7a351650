"""rtchat.js in a real browser: its tabs, its page's end, and who is signed in.

Each test has a channel and people of its own, on one pod. At the end of most the tabs are held
against the log: everything that was written is there once, and was seen once, in order.
"""

import asyncio
from typing import Any

import httpx2
import pytest

from tests.people import People
from tests.web.conversing import PATIENCE_S
from tests.web.desks import Desk, browser_of, channel_of
from tests.web.seats import Network, agrees, log_of, soon, subscriptions

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
    other = "rest.createChannel({ type: 'private', name: 'of one' })"
    await one.does(f"{other}.then(({{ id }}) => client.subscribe({{ [id]: 0 }}))")
    before, followed = network.sockets, await subscriptions(rest)
    await one.writes(20)
    await one.page.close()  # with writes under way
    async with asyncio.timeout(PATIENCE_S):
        while await subscriptions(rest) >= followed:  # the channel that only it followed
            await asyncio.sleep(0.02)
    two.asked = one.asked
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


# --- who is signed in


async def test_a_token_that_ends_soon_is_renewed_on_the_live_socket(
    desk: Desk, crowd: People, network: Network, rest: httpx2.AsyncClient
):
    token = crowd.tokens.sign(desk.person.id, desk.person.session_id, life_s=40)
    before = network.sockets, network.renewals
    tab = await desk.tab(token=token, share=False)
    await tab.follows()
    await soon(lambda: len(tab.sent("auth")) == 2)
    shown = [frame["token"] for frame in tab.sent("auth")]
    assert shown == [token, await tab.does("session.token()")]
    await tab.writes(3)
    await agrees(rest, tab)
    assert await tab.told("faults") == []
    assert (network.sockets, network.renewals) == (before[0] + 1, before[1] + 1)


async def test_a_token_that_has_ended_is_renewed_once_for_all_tabs(
    desk: Desk, crowd: People, network: Network, rest: httpx2.AsyncClient
):
    token = crowd.tokens.sign(desk.person.id, desk.person.session_id, now=1_000_000_000)
    before = network.renewals
    one = await desk.tab(token=token, share=False)
    two = await desk.tab(share=False)
    await one.follows()
    await two.follows()
    assert network.renewals - before == 1
    network.proxy.delay_s = 0.1  # both want another one before either has it
    async with asyncio.TaskGroup() as group:
        for tab in (one, two):
            group.create_task(tab.does("session.renew()"))
    network.proxy.delay_s = 0.0
    assert network.renewals - before == 2
    await one.does("rest.me()")
    await one.writes(3)
    await agrees(rest, one)


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
