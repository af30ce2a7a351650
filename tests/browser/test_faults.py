"""What breaks under two people who write: a pod is killed, a tab reloaded, the network cut.

In the end both pages show exactly what the history has: nothing is lost, and nothing there twice.
"""

import secrets
from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Any

import pytest

from rtchat.server.valkey import PrivateValkey
from tests.browser.conftest import town_of
from tests.browser.pair import Pair
from tests.faults.proxy import FaultProxy
from tests.pods import Pod, Pods
from tests.services import Given


@dataclass
class Place:
    """Two people behind a proxy; which of two pods it leads to."""

    pair: Pair
    proxy: FaultProxy
    first: Pod
    second: Pod


@pytest.fixture(scope="module")
async def shared_place(
    chromium: Any, pods: Pods, module_database_url: str, valkey: PrivateValkey | Given
) -> AsyncIterator[Place]:
    """The proxy leads to the first pod."""
    settings = {"redis_urls": valkey.url, "bus_prefix": f"browser-{secrets.token_hex(4)}"}
    first, second = (pods.spawn(module_database_url, **settings) for _ in range(2))
    await first.listening()
    await second.listening()
    async with FaultProxy(first.url) as proxy, town_of(chromium, second) as town:
        town.root = proxy.url
        pair = await Pair.meet(town)
        yield Place(pair, proxy, first, second)
        for person in (pair.ann, pair.bob):
            person.take_absences()
    first.kill()
    second.kill()


@pytest.fixture
async def place(shared_place: Place) -> AsyncIterator[Place]:
    """The two, in a channel that is new; their pages are clean, but for a server that was away."""
    pair = shared_place.pair
    await pair.enter()
    yield shared_place
    for person in (pair.ann, pair.bob):
        person.take_absences()
        person.assert_clean()


async def agree(pair: Pair, *texts: str) -> None:
    """Wait until both show all of these as acknowledged; then both have what the server has."""
    for person in (pair.ann, pair.bob):
        for text in texts:
            await person.has_sent(text)
        shown = [(row.seq, row.text) for row in await person.rows()]
        assert shown == await pair.town.history(pair.channel, person)
        assert sorted(text for _, text in shown) == sorted(texts)


async def test_a_network_that_goes_and_comes_back(place: Place):
    """What is written meanwhile waits, is shown so, and is sent once."""
    pair, proxy = place.pair, place.proxy
    await pair.ann.says("before")
    await pair.bob.reads("before")
    proxy.refuses = True
    proxy.cut()
    for number in range(3):
        await pair.ann.says(f"into the void {number}")
    await pair.ann.told("Your messages wait here.")
    for number in range(3):
        await pair.ann.is_to_send(f"into the void {number}")
    proxy.refuses = False
    await pair.ann.tries_now()
    await pair.ann.is_connected()
    await agree(pair, "before", *(f"into the void {number}" for number in range(3)))


async def test_a_device_that_is_offline_says_so_and_goes_on_by_itself(place: Place):
    """Where tabs cannot share a socket, as on some phones; nobody presses a button."""
    pair = place.pair
    phone = await pair.town.device(pair.ann)
    await phone.page.add_init_script("delete window.SharedWorker")
    await phone.comes(at=f"/#{pair.channel}")
    await phone.is_connected()
    await phone.page.context.set_offline(True)  # which leaves sockets open, as no cable does
    place.proxy.cut()
    await phone.told("Offline: your messages wait here.")
    await phone.says("from the tunnel")
    await pair.bob.says("while you were away")
    await phone.is_to_send("from the tunnel")
    await phone.page.context.set_offline(False)
    await phone.is_connected()
    await phone.reads("while you were away")
    await agree(pair, "from the tunnel", "while you were away")
    phone.take_absences()


async def test_a_tab_that_is_reloaded_in_mid_send(place: Place):
    """The message had left, its acknowledgement had not come: it waits through the reload."""
    pair, proxy = place.pair, place.proxy
    proxy.swallows = True
    await pair.ann.says("sent into the dark")
    await pair.ann.is_to_send("sent into the dark")
    proxy.swallows = False
    proxy.cut()
    await pair.ann.page.reload()
    await agree(pair, "sent into the dark")


async def test_an_answer_that_is_lost_makes_no_second_message(place: Place):
    """The server has it, the acknowledgement is lost with the connection: sent again, it is one."""
    pair, proxy = place.pair, place.proxy

    def strike(pipe: Any, data: bytes) -> bytes:
        if data[:1] == b"\x81":  # a masked text frame of a client: the message
            pipe.cut_at_reply = True
            proxy.strike = None
        return data

    proxy.strike = strike
    await pair.ann.says("only once")
    await agree(pair, "only once")
    assert proxy.struck >= 1


async def test_a_pod_that_is_killed_and_another_one_in_its_place(place: Place):
    pair, proxy = place.pair, place.proxy
    said = []
    for number in range(3):
        for person in (pair.ann, pair.bob):
            said.append(f"word {number} of {person.name}")
            await person.says(said[-1])
    proxy.refuses = True
    place.first.kill()
    proxy.cut()
    for person in (pair.ann, pair.bob):
        await person.told("Your messages wait here.")
        said.append(f"word of {person.name} meanwhile")
        await person.says(said[-1])
        await person.is_to_send(said[-1])
    proxy.target = "127.0.0.1", place.second.port
    proxy.refuses = False
    for person in (pair.ann, pair.bob):
        await person.tries_now()
    await agree(pair, *said)
