"""Signing in by a provider, from the button to the session (contract §2)."""

import secrets
from typing import Any

import pytest

from tests.contract.rest import answer, is_session, problem
from tests.oidc.browser import Browser, landed
from tests.oidc.conftest import PUBLIC, NewBrowser, settings
from tests.oidc.process import Idp
from tests.oidc.provider import CONSUMERS, TENANT
from tests.pods import Pod, Pods

JSON = dict[str, Any]
OTHER_TENANT = "3aa4a235-b6e2-48d5-9195-7fcf05b459b0"
PROVIDERS = ["google", "corp", "microsoft"]


def somebody(**changes: Any) -> JSON:
    """Claims of somebody new."""
    name = secrets.token_hex(4)
    claims = {
        "sub": f"sub-{name}",
        "name": "Ann Lee",
        "email": f"{name}@idp.example",
        "email_verified": True,
        "tid": TENANT,
    }
    return {key: value for key, value in {**claims, **changes}.items() if value is not None}


async def me(browser: Browser, session: JSON) -> JSON:
    bearer = {"authorization": f"Bearer {session['accessToken']}"}
    return answer(await browser._ask("GET", f"{PUBLIC}/users/me", None, headers=bearer))


async def test_the_providers_that_are_set_up_are_listed(browser: Browser):
    listed = answer(await browser.get(f"{PUBLIC}/auth/providers"))["items"]
    assert {item["name"] for item in listed} == set(PROVIDERS)
    for item in listed:
        assert item["url"] == f"{PUBLIC}/auth/oauth/{item['name']}"
        assert item["title"]


@pytest.mark.parametrize("provider", PROVIDERS)
async def test_from_the_button_to_a_session(browser: Browser, provider: str):
    """Code, PKCE, state and nonce: the provider refuses without (tests/oidc/provider)."""
    claims = somebody()
    session = await browser.signs_in(provider, claims)
    is_session(session)
    user = await me(browser, session)
    assert user["name"] == "Ann Lee"
    assert user["email"] == claims["email"]
    assert user["id"] == session["user"]["id"]
    assert browser.cookie is None, "the exchange ends the sign-in"


@pytest.mark.parametrize("provider", PROVIDERS)
async def test_who_comes_again_is_the_same_user(new_browser: NewBrowser, provider: str):
    """Whatever else the provider says by then: (issuer, subject) is who it is."""
    claims = somebody()
    first = await new_browser().signs_in(provider, claims)
    changed = {**claims, "name": "Ann Other", "email": somebody()["email"]}
    second = await new_browser().signs_in(provider, changed)
    assert second["user"]["id"] == first["user"]["id"]
    assert second["user"]["name"] == "Ann Lee"
    assert second["accessToken"] != first["accessToken"]


async def test_the_same_subject_at_two_providers_is_two_users(new_browser: NewBrowser):
    """S-34."""
    claims = somebody()
    first = await new_browser().signs_in("google", claims)
    second = await new_browser().signs_in("corp", {**claims, "email": somebody()["email"]})
    assert second["user"]["id"] != first["user"]["id"]


async def test_the_same_subject_of_two_tenants_is_two_users(new_browser: NewBrowser):
    claims = somebody(email=None)
    users = {
        (await new_browser().signs_in("microsoft", {**claims, "tid": tid}))["user"]["id"]
        for tid in (TENANT, OTHER_TENANT, CONSUMERS)
    }
    assert len(users) == 3


@pytest.mark.parametrize(
    "address",
    [
        pytest.param({"email": None}, id="none"),
        pytest.param({"email_verified": False}, id="unverified"),
        pytest.param({"email_verified": None}, id="not said to be verified"),
        pytest.param({"email_verified": "false"}, id="a text that says no"),
        pytest.param({"email": "no address"}, id="no address"),
        pytest.param({"email": "a" * 250 + "@idp.example"}, id="too long"),
        pytest.param({"email": "\ud800@idp.example"}, id="not to be stored"),
        pytest.param({"email": ["x@idp.example"]}, id="a list"),
    ],
)
async def test_an_address_that_is_not_vouched_for_is_not_taken_over(
    browser: Browser, address: JSON
):
    """The user has none then: null."""
    session = await browser.signs_in("corp", somebody(**address))
    assert session["user"]["email"] is None
    assert (await me(browser, session))["email"] is None


@pytest.mark.parametrize(
    ("claims", "name"),
    [
        ({"name": "  Ann\t Lee "}, "Ann Lee"),
        ({"name": "x" * 500}, "x" * 80),
        ({"name": "a\u202eb\u200bc\x00"}, "abc"),
        ({"name": "\u202e", "preferred_username": "annl"}, "annl"),
        ({"name": 7, "preferred_username": "ann@corp.example"}, "ann"),
        ({"name": None, "email": "the.ann-{}@idp.example"}, "the.ann"),
        ({"name": None, "email": None}, "Corp user"),
        ({"name": "", "preferred_username": [], "email": None}, "Corp user"),
        ({"name": "\ud800", "email": None}, "Corp user"),
    ],
)
async def test_no_name_keeps_anybody_out(browser: Browser, claims: JSON, name: str):
    if claims.get("email"):
        claims = {**claims, "email": claims["email"].format(secrets.token_hex(4))}
    session = await browser.signs_in("corp", somebody(**claims))
    assert session["user"]["name"].startswith(name)
    assert len(session["user"]["name"]) <= 80


async def test_a_sign_in_opens_a_session_of_its_own(new_browser: NewBrowser):
    """S-29: nothing that was known before is good for anything afterwards."""
    browser = new_browser()
    claims = somebody()
    back = await browser.consents(await browser.begins("google"), claims)
    known = browser.cookie
    landing = landed(await browser.get(back))
    session = answer(await browser.exchanges(landing.told["code"]))
    browser.cookie = known
    problem(await browser.exchanges(landing.told["code"]), "not_found")
    problem(await browser.get(back), "bad_message")
    assert known is not None
    assert known.partition("=")[2] not in (session["accessToken"], session["refreshToken"])


async def test_somebody_who_says_no_is_back_on_the_page(browser: Browser, idp: Idp):
    """Our own short word; the provider's text is not passed on, and nothing of it goes on."""
    landing = await browser.arrives("google", None)
    assert landing.page == f"{PUBLIC}/"
    assert landing.told == {"error": "denied"}
    told = {"error_description": "AADSTS65004: declined\r\nTrace ID: 1", "session_state": "\u2028"}
    with idp.misbehaving("corp", callback=told):
        landing = await browser.arrives("corp", None)
    assert landing.told == {"error": "denied"}, "as Microsoft says it, in several lines"
    assert browser.cookie is None


@pytest.mark.parametrize(
    ("error", "told"),
    [
        ("server_error", "unavailable"),
        ("temporarily_unavailable", "unavailable"),
        ("<script>alert(1)</script>", "failed"),
        ("", "failed"),
    ],
)
async def test_a_providers_error_becomes_a_word_of_ours(
    browser: Browser, idp: Idp, error: str, told: str
):
    with idp.misbehaving("google", callback={"error": error, "code": None}):
        landing = await browser.arrives("google", somebody())
    assert landing.told == {"error": told}
    await browser.signs_in("google", somebody())


async def test_a_provider_that_is_not_set_up_is_not_found(browser: Browser):
    for path in ("/auth/oauth/nobody", "/auth/oauth/nobody/callback?state=x"):
        problem(await browser.get(PUBLIC + path), "not_found")


async def test_s_64_sign_ins_are_security_events(browser: Browser, sso_pod: Pod):
    """Who, from where, by whom, and which session; of one that failed, why."""
    session = await browser.signs_in("corp", somebody())
    user = session["user"]["id"]
    noted = {e["event"]: e for e in sso_pod.events() if e.get("user") == user and "agent" in e}
    assert noted["registered"]["provider"] == "corp"
    assert noted["login"]["session"]
    assert noted["login"]["client"].startswith("127.0.0.1")
    await browser.arrives("corp", None)
    failed = sso_pod.events("login failed")[-1]
    assert (failed["provider"], failed["reason"]) == ("corp", "denied")


async def test_no_code_no_state_and_no_token_is_logged(browser: Browser, sso_pod: Pod):
    """ASVS 16.2.5."""
    url = await browser.begins("google")
    cookie = browser.cookie
    back = await browser.consents(url, somebody())
    landing = landed(await browser.get(back))
    session = answer(await browser.exchanges(landing.told["code"]))
    said = sso_pod.log()
    assert '"logger":"httpx2"' not in said
    assert "/auth/oauth/google/callback" in said
    assert cookie is not None
    secrets_of_it = [
        cookie.partition("=")[2],
        back.partition("state=")[2].partition("&")[0],
        back.partition("code=")[2].partition("&")[0],
        landing.told["code"],
        session["accessToken"],
        session["refreshToken"],
    ]
    for secret in secrets_of_it:
        assert len(secret) >= 22
        assert secret not in said


@pytest.mark.parametrize(
    ("tenant", "good", "refused"),
    [
        ("organizations", [TENANT, OTHER_TENANT], [CONSUMERS]),
        ("consumers", [CONSUMERS], []),
        (TENANT, [TENANT], []),
    ],
)
async def test_microsofts_tenants(
    database_url: str,
    pods: Pods,
    idp: Idp,
    new_browser: NewBrowser,
    tenant: str,
    good: list[str],
    refused: list[str],
):
    """Who may sign in, by the tenant that is set up; and no other tenant's token will do."""
    pod = await pods.start(database_url, **settings(idp, microsoft_tenant=tenant))
    browser = new_browser()
    browser._at = pod.url
    for tid in good:
        await browser.signs_in("microsoft", somebody(tid=tid))
    for tid in refused:
        landing = await browser.arrives("microsoft", somebody(tid=tid))
        assert landing.told == {"error": "failed"}
    foreign = f"{idp.url}/entra/{'0' * 8}-0000-0000-0000-{'0' * 12}/v2.0"
    with idp.misbehaving(f"entra/{tenant}/v2.0", id_token={"claims": {"iss": foreign}}):
        landing = await browser.arrives("microsoft", somebody(tid=good[0]))
    assert landing.told == {"error": "failed"}
    pod.kill()
