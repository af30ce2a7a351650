"""Fixtures of single sign-on: one provider, and a pod that knows some of its realms."""

from collections.abc import AsyncIterator, Callable, Iterator
from typing import Any

import httpx2
import pytest

from tests.calm import calm as still_calm
from tests.oidc.browser import Browser
from tests.oidc.process import Idp, run_idp
from tests.oidc.provider import CLIENT_ID, CLIENT_SECRET
from tests.pods import Pod, Pods
from tests.services import Databases

PUBLIC = "https://chat.example"
# What a provider says of itself is asked for each time, so that each test finds it as it is told;
# one second is enough for what answers at all.
SETTINGS = {
    "public_url": PUBLIC,
    "microsoft_client_id": CLIENT_ID,
    "microsoft_client_secret": CLIENT_SECRET,
    "sso_metadata_s": 0,
    "sso_call_timeout_ms": 1000,
}

NewBrowser = Callable[[], Browser]


def settings(idp: Idp, **more: Any) -> dict[str, Any]:
    """Of a pod with two providers of one realm each, and Microsoft's `common`."""
    return {
        **SETTINGS,
        "oidc_providers": idp.setting("google", "corp"),
        "microsoft_authority": f"{idp.url}/entra",
        **more,
    }


@pytest.fixture(scope="session")
def idp() -> Iterator[Idp]:
    """The provider; a realm is to be left as it should be."""
    with run_idp() as process:
        yield process


@pytest.fixture(scope="session")
def sso_pod(databases: Databases, pods: Pods, idp: Idp) -> Iterator[Pod]:
    """A pod with providers, on a database of the session's; not to be stopped."""
    with databases.fresh() as url:
        pod = pods.spawn(url, **settings(idp)).wait()
        yield pod
        pod.kill()


@pytest.fixture(scope="module")
async def calm(sso_pod: Pod) -> AsyncIterator[None]:
    """Whatever a module sends: afterwards the pod is as it was before, and well."""
    async with still_calm(sso_pod):
        yield


@pytest.fixture(scope="session")
async def web() -> AsyncIterator[httpx2.AsyncClient]:
    """What all browsers speak HTTP with; nothing of it is theirs."""
    limits = httpx2.Limits(keepalive_expiry=2)  # the server closes what is idle for 5 s
    async with httpx2.AsyncClient(timeout=30, limits=limits, trust_env=False) as client:
        yield client


@pytest.fixture
def new_browser(sso_pod: Pod, web: httpx2.AsyncClient) -> NewBrowser:
    """Browsers that have never been at `sso_pod`."""
    return lambda: Browser(web, PUBLIC, sso_pod.url)


@pytest.fixture
def browser(new_browser: NewBrowser) -> Browser:
    """Such a browser."""
    return new_browser()
