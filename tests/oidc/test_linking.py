"""Several ways to sign in as one user: linked by who is signed in, never by an address."""

import asyncio
from typing import Any

import asyncpg
import pytest

from tests.contract.rest import answer, is_time, no_content, problem
from tests.oidc.browser import Browser, Landing, landed
from tests.oidc.conftest import PUBLIC, NewBrowser
from tests.oidc.test_sign_in import somebody
from tests.pods import Pod

pytestmark = pytest.mark.usefixtures("calm")

JSON = dict[str, Any]
PASSWORD = "correct horse 7 battery"


class Somebody:
    """A user and the browser in which they are signed in."""

    def __init__(self, browser: Browser, session: JSON) -> None:
        self.browser = browser
        self.session = session
        self.bearer = {"authorization": f"Bearer {session['accessToken']}"}

    @property
    def id(self) -> int:
        found: int = self.session["user"]["id"]
        return found

    async def call(self, method: str, path: str) -> Any:
        return await self.browser._ask(method, PUBLIC + path, None, headers=self.bearer)

    async def linked(self) -> list[str]:
        items = answer(await self.call("GET", "/auth/identities"))["items"]
        for item in items:
            assert set(item) == {"provider", "linkedAt"}
            is_time(item["linkedAt"])
        return [item["provider"] for item in items]

    async def links(self, provider: str, claims: JSON, path: str = "") -> Landing:
        """Begin with a bearer token, go on in the browser."""
        begun = answer(await self.call("POST", f"/auth/oauth/{provider}/link{path}"))
        assert set(begun) == {"url"}
        back = await self.browser.consents(begun["url"], claims)
        return landed(await self.browser.get(back))


async def registered(browser: Browser, **more: Any) -> Somebody:
    """Somebody with a password."""
    body = {"email": somebody()["email"], "password": PASSWORD, **more}
    return Somebody(browser, answer(await browser.post("/auth/register", body), 201))


async def came_by(browser: Browser, provider: str, claims: JSON) -> Somebody:
    """Somebody with an identity."""
    return Somebody(browser, await browser.signs_in(provider, claims))


async def test_an_address_in_use_is_not_a_way_in(new_browser: NewBrowser):
    """Whoever registered it may never have proved to own it; the way out is told (409)."""
    claims = somebody()
    await registered(new_browser(), email=claims["email"].upper())
    browser = new_browser()
    landing = await browser.arrives("corp", claims)
    assert landing.told.keys() == {"error", "code"}
    assert landing.told["error"] == "email_taken"
    told = problem(await browser.exchanges(landing.told["code"]), "conflict")
    assert "link" in told["detail"]
    problem(await browser.exchanges(landing.told["code"]), "not_found")


async def test_an_address_of_another_identity_is_not_a_way_in_either(new_browser: NewBrowser):
    """S-34: the same address at two providers is two people, until they say otherwise."""
    claims = somebody()
    await came_by(new_browser(), "google", claims)
    landing = await new_browser().arrives("corp", {**claims, "sub": "another"})
    assert landing.told["error"] == "email_taken"


async def test_who_is_signed_in_links_and_then_comes_by_either(new_browser: NewBrowser):
    ann = await registered(new_browser())
    claims = somebody()
    assert await ann.linked() == []
    assert (await ann.links("corp", claims)).told == {"linked": "corp"}
    assert ann.browser.cookie is None
    assert await ann.linked() == ["corp"]
    assert (await new_browser().signs_in("corp", claims))["user"]["id"] == ann.id
    no_content(await ann.call("DELETE", "/auth/identities/corp"))
    assert await ann.linked() == []
    assert (await new_browser().signs_in("corp", somebody(sub=claims["sub"])))["user"][
        "id"
    ] != ann.id


async def test_linking_again_changes_nothing(new_browser: NewBrowser):
    ann = await registered(new_browser())
    claims = somebody()
    for _ in range(2):
        assert (await ann.links("corp", claims, "?next=/me")).told == {"linked": "corp"}
    assert await ann.linked() == ["corp"]


async def test_an_identity_of_somebody_else_is_not_linked(new_browser: NewBrowser):
    claims = somebody()
    bob = await came_by(new_browser(), "corp", claims)
    ann = await registered(new_browser())
    landing = await ann.links("corp", claims)
    assert landing.told["error"] == "identity_taken"
    problem(await ann.browser.exchanges(landing.told["code"]), "conflict")
    assert await ann.linked() == []
    assert await bob.linked() == ["corp"]


async def test_one_identity_at_each_provider(new_browser: NewBrowser):
    ann = await came_by(new_browser(), "corp", somebody())
    landing = await ann.links("corp", somebody())
    assert landing.told["error"] == "already_linked"
    problem(await ann.browser.exchanges(landing.told["code"]), "conflict")
    assert (await ann.links("google", somebody())).told == {"linked": "google"}
    assert await ann.linked() == ["corp", "google"]


async def test_the_last_way_in_stays(new_browser: NewBrowser, sso_pod: Pod):
    """Without a password, one identity; with both of two unlinked at once, one."""
    ann = await came_by(new_browser(), "corp", somebody())
    problem(await ann.call("DELETE", "/auth/identities/corp"), "conflict")
    await ann.links("google", somebody())
    connection = await asyncpg.connect(sso_pod.database_url)
    try:
        async with asyncio.TaskGroup() as group, connection.transaction():
            # Both wait for the user's row.
            await connection.execute("SELECT FROM users WHERE id = $1 FOR UPDATE", ann.id)
            tasks = [
                group.create_task(ann.call("DELETE", f"/auth/identities/{provider}"))
                for provider in ("corp", "google")
            ]
            await asyncio.sleep(0.3)
            assert not any(task.done() for task in tasks)
    finally:
        await connection.close()
    assert sorted(task.result().status_code for task in tasks) == [204, 409]
    assert len(await ann.linked()) == 1


async def test_a_provider_that_was_dropped_is_no_way_in(new_browser: NewBrowser, sso_pod: Pod):
    ann = await came_by(new_browser(), "corp", somebody())
    connection = await asyncpg.connect(sso_pod.database_url)
    try:
        await connection.execute(
            "INSERT INTO identities (issuer, subject, provider, user_id)"
            " VALUES ('https://gone.example', 'x', 'gone', $1)",
            ann.id,
        )
    finally:
        await connection.close()
    problem(await ann.call("DELETE", "/auth/identities/corp"), "conflict")
    no_content(await ann.call("DELETE", "/auth/identities/gone"))


async def test_what_is_not_linked_is_not_found(new_browser: NewBrowser):
    ann = await registered(new_browser())
    for path in ("/auth/identities/corp", "/auth/identities/nobody"):
        problem(await ann.call("DELETE", path), "not_found")
    problem(await ann.call("POST", "/auth/oauth/nobody/link"), "not_found")


async def test_nobody_links_without_a_token(browser: Browser):
    problem(await browser.post("/auth/oauth/corp/link", {}), "unauthorized")
    problem(await browser.get(f"{PUBLIC}/auth/identities"), "unauthorized")


async def test_nobody_is_linked_by_a_link_that_somebody_sent(new_browser: NewBrowser):
    """Eve begins, and has Ann go to the provider: Ann's browser is not the one that began."""
    eve, ann = await registered(new_browser()), new_browser()
    begun = answer(await eve.call("POST", "/auth/oauth/corp/link"))
    back = await ann.consents(begun["url"], somebody())
    problem(await ann.get(back), "bad_message")
    assert await eve.linked() == []


async def test_who_has_signed_out_meanwhile_is_not_linked(new_browser: NewBrowser):
    ann = await registered(new_browser())
    begun = answer(await ann.call("POST", "/auth/oauth/corp/link"))
    claims = somebody()
    back = await ann.browser.consents(begun["url"], claims)
    body = {"refreshToken": ann.session["refreshToken"]}
    no_content(await ann.browser.post("/auth/logout", body))
    assert landed(await ann.browser.get(back)).told == {"error": "signed_out"}
    assert (await new_browser().signs_in("corp", claims))["user"]["id"] != ann.id


async def test_linking_takes_a_fresh_sign_in(new_browser: NewBrowser, sso_pod: Pod):
    """Or whoever got hold of an access token would have a way in that no password change ends."""
    ann = await registered(new_browser())
    connection = await asyncpg.connect(sso_pod.database_url)
    try:
        await connection.execute(
            "UPDATE sessions SET created_at = now() - interval '301 s' WHERE user_id = $1", ann.id
        )
    finally:
        await connection.close()
    refused = problem(await ann.call("POST", "/auth/oauth/corp/link"), "forbidden")
    assert "anew" in refused["detail"]
    body = {"email": ann.session["user"]["email"], "password": PASSWORD}
    again = Somebody(ann.browser, answer(await ann.browser.post("/auth/login", body)))
    assert (await again.links("corp", somebody())).told == {"linked": "corp"}


async def test_what_ends_the_session_in_that_moment_ends_the_linking(
    new_browser: NewBrowser, sso_pod: Pod
):
    """S-14: a password change holds the user's row while the provider vouches for the thief."""
    ann = await registered(new_browser())
    begun = answer(await ann.call("POST", "/auth/oauth/corp/link"))
    back = await ann.browser.consents(begun["url"], somebody())
    connection = await asyncpg.connect(sso_pod.database_url)
    try:
        async with connection.transaction():
            await connection.execute("SELECT FROM users WHERE id = $1 FOR NO KEY UPDATE", ann.id)
            arriving = asyncio.get_running_loop().create_task(ann.browser.get(back))
            await asyncio.sleep(0.5)
            assert not arriving.done()
            await connection.execute(
                "UPDATE sessions SET ended_at = now() WHERE user_id = $1", ann.id
            )
        assert landed(await arriving).told == {"error": "signed_out"}
        assert not await connection.fetchval(
            "SELECT count(*) FROM identities WHERE user_id = $1", ann.id
        )
    finally:
        await connection.close()


async def test_one_of_many_at_once_makes_the_user(new_browser: NewBrowser):
    """The same new identity in several tabs, and on several pods: one user, everybody signed in."""
    claims = somebody()
    async with asyncio.TaskGroup() as group:
        tasks = [
            group.create_task(new_browser().signs_in("corp", {**claims, **more}))
            for more in ({}, {}, {}, {"email_verified": False}, {"email_verified": False})
        ]
    assert len({task.result()["user"]["id"] for task in tasks}) == 1


async def test_who_is_disabled_does_not_come_in_by_a_provider(
    new_browser: NewBrowser, sso_pod: Pod
):
    claims = somebody()
    ann = await came_by(new_browser(), "corp", claims)
    connection = await asyncpg.connect(sso_pod.database_url)
    try:
        await connection.execute("UPDATE users SET disabled_at = now() WHERE id = $1", ann.id)
    finally:
        await connection.close()
    browser = new_browser()
    landing = await browser.arrives("corp", claims)
    problem(await browser.exchanges(landing.told["code"]), "unauthorized")
