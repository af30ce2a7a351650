"""rtchat.js in a real browser while the network breaks, the machine sleeps and the server ends.

Nothing that was written is lost, and nothing is shown twice: at the end of each test the tabs are
held against the log. Tests that end a pod have one for themselves.
"""

import asyncio
import os
import sys
from typing import Any

import httpx2
import pytest

from tests.people import People
from tests.pods import Pod, Pods
from tests.web.conversing import Server
from tests.web.desks import Desk, browser_of, channel_of
from tests.web.seats import TIMES, Network, agrees, log_of

# Neither timers nor messages come through while it runs.
STANDS_STILL = "(ms) => { const end = performance.now() + ms; while (performance.now() < end); }"

# A Chromium that has failed to connect many times holds the next try back for up to 5 s.
PATIENT = {"helloMs": 7_000}


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


async def test_after_a_sleep_the_link_is_looked_at_at_once(
    desk: Desk, network: Network, rest: httpx2.AsyncClient
):
    """Nothing in the page ran for a while, as in a laptop that slept, and the link died meanwhile;
    only the jump of its clock can tell."""
    tab = await desk.tab(share=False, heartbeatMs=600_000)
    await tab.follows()
    await tab.writes(5)
    network.proxy.swallows = True
    await tab.does(STANDS_STILL, TIMES["lateMs"] + 100)
    await tab.is_in("waiting")
    network.proxy.swallows = False
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
        one, two = await desk.tab(**PATIENT), await desk.tab(**PATIENT)
        async with browser_of(chromium) as other:
            three = await Desk(other, network, bob, channel).tab(**PATIENT)
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
