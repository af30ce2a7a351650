"""Signing in to the chat by a provider: the button, the way back, and a refusal told in words."""

from collections.abc import AsyncIterator, Iterator
from typing import Any

import pytest

from rtchat.server.launch import free_port
from tests.browser.conftest import town_of
from tests.browser.person import Person
from tests.browser.town import Town
from tests.oidc.conftest import settings
from tests.oidc.process import Idp, run_idp
from tests.pods import Pods


@pytest.fixture(scope="module")
def idp() -> Iterator[Idp]:
    """The provider."""
    with run_idp() as process:
        yield process


@pytest.fixture(scope="module")
async def local_town(
    chromium: Any, pods: Pods, module_database_url: str, idp: Idp
) -> AsyncIterator[Town]:
    """A chat that knows two providers, at an address to which they can lead back."""
    port = free_port()
    public = f"http://localhost:{port}"
    local = settings(idp, port=port, public_url=public)
    local.update(microsoft_client_id="", microsoft_client_secret="")
    pod = await pods.start(module_database_url, **local)
    async with town_of(chromium, pod) as town:
        town.root = public
        yield town
    pod.kill()


def leave_out_provider(person: Person) -> None:
    """Its page is no part of the chat, and has no icon."""
    person.asked = [url for url in person.asked if url.startswith(person.root)]
    person.take_refusals(404)


async def test_from_the_button_to_the_chat(local_town: Town):
    """Signed in, with nothing of it in the address or in cookies."""
    carl = await local_town.stranger("Carl")
    await carl.comes()
    await carl.follows("Continue with Corp")
    await carl.sees("Who are you?", role="heading")
    await carl.presses("Ann")
    await carl.sees("Welcome, Ann", role="heading")
    assert carl.page.url.rstrip("/") == local_town.root
    assert await carl.page.context.cookies() == []
    leave_out_provider(carl)


async def test_who_says_no_is_told_so_and_may_say_yes(local_town: Town, idp: Idp):
    dora = await local_town.stranger("Dora")
    await dora.comes()
    await dora.follows("Continue with Google")
    await dora.presses("Cancel")
    await dora.sees("The sign-in was cancelled.")
    assert dora.page.url.rstrip("/") == local_town.root

    with idp.misbehaving("google", token={"body": "error"}):
        await dora.follows("Continue with Google")
        await dora.presses("Bob")
        await dora.sees("The sign-in service cannot be reached now.")

    await dora.follows("Continue with Google")
    await dora.presses("Bob")
    await dora.sees("Welcome, Bob", role="heading")
    leave_out_provider(dora)
