"""Single sign-on as one tries it on one machine: plain http, a real browser, the Python client."""

from collections.abc import AsyncIterator
from typing import Any

import httpx2
import pytest

from rtchat.client import RefusedError, Rest
from rtchat.server.launch import free_port
from tests.oidc.browser import Browser, landed
from tests.oidc.conftest import settings
from tests.oidc.page import served
from tests.oidc.process import Idp
from tests.oidc.test_sign_in import somebody
from tests.pods import Pod, Pods


@pytest.fixture(scope="module")
def page_url() -> str:
    """A page beside the server: another origin of the same site."""
    return f"http://localhost:{free_port()}"


@pytest.fixture(scope="module")
async def local_pod(
    pods: Pods, module_database_url: str, idp: Idp, page_url: str
) -> AsyncIterator[Pod]:
    """A pod whose address browsers can go to, and that page's server."""
    port = free_port()
    local = settings(
        idp,
        port=port,
        public_url=f"http://localhost:{port}",
        sso_return_url=f"{page_url}/",
        origins=page_url,
        microsoft_client_id="",
        microsoft_client_secret="",
    )
    pod = await pods.start(module_database_url, **local)
    async with served(f"http://localhost:{port}", int(page_url.rpartition(":")[2])):
        yield pod
    pod.kill()


async def test_the_cookie_of_a_local_server_has_no_prefix(
    local_pod: Pod, web: httpx2.AsyncClient, page_url: str
):
    """Browsers take `__Host-` cookies by https only; the rest is as ever."""
    browser = Browser(web, f"http://localhost:{local_pod.port}", local_pod.url)
    await browser.begins("corp")
    assert (browser.cookie or "").startswith("rtchat-sso=")
    landing = await browser.arrives("corp", somebody())
    assert landing.page == f"{page_url}/"
    assert (await browser.exchanges(landing.told["code"])).status_code == 200


async def test_the_python_client_signs_in_links_and_unlinks(local_pod: Pod):
    async with httpx2.AsyncClient(timeout=20, trust_env=False) as http:
        rest = Rest(f"http://localhost:{local_pod.port}", http=http)
        person = Browser(http, "http://nowhere.example", local_pod.url)
        listed = {provider.name: provider for provider in (await rest.providers()).items}
        assert listed.keys() == {"google", "corp"}

        begun = await http.get(listed["corp"].url)
        back = await person.consents(begun.headers["location"], somebody())
        code = landed(await http.get(back)).told["code"]
        session = await rest.exchange(code)
        with pytest.raises(RefusedError, match="not_found"):
            await rest.exchange(code)

        rest.token = session.access_token
        assert [one.provider for one in (await rest.identities()).items] == ["corp"]
        with pytest.raises(RefusedError, match="conflict"):
            await rest.unlink("corp")
        url = await rest.link("google", page="/me?x=1")
        landing = landed(await http.get(await person.consents(url, somebody())))
        assert landing.told == {"x": "1", "linked": "google"}
        await rest.unlink("corp")
        assert [one.provider for one in (await rest.identities()).items] == ["google"]


@pytest.fixture
async def tab(chromium: Any, local_pod: Pod) -> AsyncIterator[Any]:
    """A tab that nobody has used."""
    context = await chromium.new_context()
    context.set_default_timeout(30_000)
    yield await context.new_page()
    await context.close()


async def test_from_the_button_to_hello_on_a_live_socket(tab: Any, page_url: str, local_pod: Pod):
    """A page, its button, the provider's page of consent, and back, signed in."""
    await tab.goto(f"{page_url}/")
    await tab.get_by_role("button", name="Sign in with Corp").click()
    await tab.get_by_role("heading", name="Who are you?").wait_for()
    cookies = {cookie["name"]: cookie for cookie in await tab.context.cookies()}
    assert cookies["rtchat-sso"]["httpOnly"]
    assert cookies["rtchat-sso"]["sameSite"] == "Lax"
    await tab.get_by_role("button", name="Ann").click()
    await tab.get_by_text("hello Ann").wait_for()
    assert tab.url == f"{page_url}/"
    assert await tab.context.cookies() == []


async def test_somebody_who_says_no_is_back_and_may_say_yes(tab: Any, page_url: str):
    await tab.goto(f"{page_url}/")
    await tab.get_by_role("button", name="Sign in with Google").click()
    await tab.get_by_role("button", name="Cancel").click()
    await tab.get_by_text("error: denied").wait_for()
    await tab.get_by_role("button", name="Sign in with Google").click()
    await tab.get_by_role("button", name="Bob").click()
    await tab.get_by_text("hello Bob").wait_for()
