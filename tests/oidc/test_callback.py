"""The way back from a provider: a state is good once, for its browser and provider, for a while.

Whatever is wrong with it is answered 400 with one and the same text, and leads nowhere (B-H29).
"""

import asyncio
import secrets
import signal
from typing import Any
from urllib.parse import quote

import pytest

from rtchat.server.valkey import PrivateValkey
from tests.contract.rest import answer, exchange, problem, request
from tests.oidc.browser import Browser, landed
from tests.oidc.conftest import PUBLIC, NewBrowser, settings
from tests.oidc.process import Idp
from tests.oidc.test_sign_in import somebody
from tests.pods import Pod, Pods

pytestmark = pytest.mark.usefixtures("calm")

CALLBACK = f"{PUBLIC}/auth/oauth/google/callback"
REFUSED = "This sign-in cannot go on here. Begin it again."


def is_refused(response: Any) -> None:
    """400, one text for all, no way on, and the browser keeps what it has."""
    assert problem(response, "bad_message")["detail"] == REFUSED
    assert "location" not in response.headers
    assert "set-cookie" not in response.headers


async def back_from(browser: Browser, provider: str = "google") -> str:
    """Somebody consents; the URL that leads back."""
    return await browser.consents(await browser.begins(provider), somebody())


def changed(url: str, **query: str | None) -> str:
    """The URL with other parameters: None leaves one out."""
    path, _, text = url.partition("?")
    pairs = dict(pair.split("=", 1) for pair in text.split("&"))
    pairs |= {name: quote(value) for name, value in query.items() if value is not None}
    kept = {name: value for name, value in pairs.items() if query.get(name, "") is not None}
    return f"{path}?{'&'.join(f'{name}={value}' for name, value in kept.items())}"


@pytest.mark.parametrize(
    "query",
    [
        pytest.param("", id="nothing"),
        pytest.param("code=x", id="no state"),
        pytest.param("state=&code=x", id="empty state"),
        pytest.param(f"state={'x' * 43}&code=x", id="unknown state"),
        pytest.param(f"state={'x' * 7000}&code=x", id="long state"),
        pytest.param("state=%2e%2e%2f&code=x", id="a path for a state"),
        pytest.param("state=*&code=x", id="a pattern for a state"),
        pytest.param("error=access_denied", id="error, no state"),
        pytest.param(f"error=%3Cb%3E&state={'x' * 43}", id="error, unknown state"),
        pytest.param(f"redirect_uri=https://evil.example&state={'x' * 43}", id="redirect_uri"),
    ],
)
async def test_b_h29_what_no_sign_in_began(browser: Browser, query: str):
    await browser.begins("google")
    is_refused(await browser.get(f"{CALLBACK}?{query}"))


@pytest.mark.parametrize("query", ["state=a&state=b&code=x", "state=%00", "code=%ff&state=x"])
async def test_b_h29_a_query_that_cannot_be_read(browser: Browser, query: str):
    problem(await browser.get(f"{CALLBACK}?{query}"), "bad_field")


async def test_b_h29_a_state_of_1_mb(sso_pod: Pod):
    """More than a request's line may have: refused before anything looks at it."""
    line = f"GET /auth/oauth/google/callback?state={'x' * 2**20} HTTP/1.1"
    assert (await exchange(sso_pod, request(line))).status in (414, 431)


async def test_s_33_a_state_is_good_once(browser: Browser):
    back = await back_from(browser)
    assert landed(await browser.get(back)).told.keys() == {"code"}
    is_refused(await browser.get(back))


async def test_s_33_a_state_is_good_once_of_many_at_once(browser: Browser):
    back = await back_from(browser)
    async with asyncio.TaskGroup() as group:
        tasks = [group.create_task(browser.get(back)) for _ in range(10)]
    assert sorted(task.result().status_code for task in tasks) == [302] + [400] * 9


async def test_s_33_a_state_is_good_in_its_browser_only(new_browser: NewBrowser):
    """Or somebody could be signed in as somebody else by a link (RFC 6749 §10.12)."""
    ann, eve = new_browser(), new_browser()
    back = await back_from(ann)
    await eve.begins("google")
    is_refused(await eve.get(back))
    is_refused(await ann.get(back))  # it was shown to somebody else, and is used up


@pytest.mark.parametrize(
    "cookie",
    [
        pytest.param(None, id="none"),
        pytest.param("__Host-rtchat-sso=", id="empty"),
        pytest.param(f"__Host-rtchat-sso={'x' * 43}", id="another"),
        pytest.param('__Host-rtchat-sso="{}"', id="quoted"),
        pytest.param("__Host-rtchat-sso={}; __Host-rtchat-sso={}", id="twice"),
        pytest.param("rtchat-sso={}", id="without its prefix"),
        pytest.param(f"__Host-rtchat-sso={'x' * 5000}", id="5 KB"),
        pytest.param(";;=;,\t=", id="rubbish"),
    ],
)
async def test_b_h31_a_cookie_that_is_not_the_one(browser: Browser, cookie: str | None):
    back = await back_from(browser)
    assert browser.cookie is not None
    value = browser.cookie.partition("=")[2]
    browser.cookie = cookie.replace("{}", value) if cookie else None
    is_refused(await browser.get(back))


async def test_a_cookie_among_others_is_found(browser: Browser):
    back = await back_from(browser)
    browser.cookie = f'a="x;y"; {browser.cookie}; theme=dark'
    assert landed(await browser.get(back)).told.keys() == {"code"}


async def test_s_35_a_state_is_good_at_its_own_providers_callback_only(browser: Browser, idp: Idp):
    """And the code goes to nobody."""
    back = await back_from(browser, "google")
    idp.tells("corp")
    idp.tells("google")
    is_refused(await browser.get(back.replace("/google/", "/corp/")))
    assert "token" not in idp.asked("corp")["asked"]
    assert "token" not in idp.asked("google")["asked"]


async def test_s_35_a_code_of_another_provider_is_refused(browser: Browser):
    """It is redeemed where the state was made for, which does not know it."""
    stolen = await back_from(browser, "corp")
    code = stolen.partition("code=")[2].partition("&")[0]
    is_refused(await browser.get(changed(await back_from(browser, "google"), code=code)))
    assert landed(await browser.get(stolen)).told.keys() == {"code"}


async def test_s_33_a_code_is_good_for_the_sign_in_that_it_was_made_for(new_browser: NewBrowser):
    """A stolen code brought into another sign-in: PKCE, at the provider, tells them apart."""
    ann, eve = new_browser(), new_browser()
    code = (await back_from(ann)).partition("code=")[2].partition("&")[0]
    is_refused(await eve.get(changed(await back_from(eve), code=code)))


@pytest.mark.parametrize("code", [None, "", "x" * 4097, "unknown", "a&b"])
async def test_b_h29_a_code_that_is_none(browser: Browser, code: str | None):
    is_refused(await browser.get(changed(await back_from(browser), code=code)))


@pytest.mark.parametrize("realm", ["corp", "evil"])
async def test_s_35_an_answer_that_names_another_issuer(browser: Browser, idp: Idp, realm: str):
    """RFC 9207, also where nobody announced it; and the code goes to nobody."""
    back = changed(await back_from(browser), iss=idp.issuer(realm))
    idp.tells("google")
    is_refused(await browser.get(back))
    assert "token" not in idp.asked("google")["asked"]


async def test_s_35_an_answer_that_names_its_issuer(browser: Browser, idp: Idp):
    announced = {"says": {"authorization_response_iss_parameter_supported": True}}
    issuer = idp.issuer("google")
    with idp.misbehaving("google", discovery=announced, callback={"iss": issuer}):
        landing = await browser.arrives("google", somebody())
    assert landing.told.keys() == {"code"}


async def test_s_35_an_answer_without_the_issuer_that_is_announced(browser: Browser, idp: Idp):
    announced = {"says": {"authorization_response_iss_parameter_supported": True}}
    with idp.misbehaving("google", discovery=announced):
        is_refused(await browser.get(await back_from(browser)))


async def test_s_35_microsofts_answer_names_the_tenant_of_its_token(browser: Browser, idp: Idp):
    other = "3aa4a235-b6e2-48d5-9195-7fcf05b459b0"
    back = await back_from(browser, "microsoft")
    is_refused(await browser.get(changed(back, iss=f"{idp.url}/entra/{other}/v2.0")))


async def test_b_h29_errors_are_bound_like_codes(new_browser: NewBrowser):
    """An error without its browser says nothing, and uses up the state."""
    ann, eve = new_browser(), new_browser()
    back = await ann.consents(await ann.begins("google"), None)
    is_refused(await eve.get(back))
    is_refused(await ann.get(back))


# --- where it leads


@pytest.mark.parametrize(
    ("wanted", "page"),
    [
        ("/rooms", "/rooms"),
        ("/rooms?tab=a%20b&x=1", "/rooms"),
        ("/r/ooms-1_2.~", "/r/ooms-1_2.~"),
        *((wanted, "/") for wanted in (
            "//evil.example", "/\\evil.example", "\\evil.example", "https:evil.example",
            "https://evil.example", "javascript:alert(1)", "data:text/html,x", "evil.example",
            "///evil.example", "/x\\y", "/x y", "/x#y", "/ä", "", "/" + "x" * 512,
            f"{PUBLIC}.evil.example/", f"{PUBLIC}@evil.example/",
        )),
    ],
)  # fmt: skip
async def test_s_36_nobody_is_led_to_a_foreign_page(browser: Browser, wanted: str, page: str):
    landing = await browser.arrives("google", somebody(), next=wanted)
    assert landing.page == PUBLIC + page
    assert landing.told["code"]
    if "tab" in wanted:
        assert landing.url.startswith(f"{PUBLIC}/rooms?tab=a%20b&x=1&code=")


async def test_s_36_the_redirect_uri_is_ours_whatever_the_host(browser: Browser):
    """Made of `public_url`, not of what a request says."""
    headers = {"host": "evil.example", "x-forwarded-host": "evil.example"}
    url = f"{PUBLIC}/auth/oauth/google"
    response = await browser._ask("GET", url, None, headers=headers)
    assert quote(CALLBACK, safe="") in response.headers["location"]
    assert "evil" not in response.headers["location"]


async def test_s_51_the_cookie_is_for_this_host_https_and_no_script(browser: Browser):
    response = await browser.get(f"{PUBLIC}/auth/oauth/google")
    name, _, rest = response.headers["set-cookie"].partition("=")
    value, *attributes = rest.split("; ")
    assert name == "__Host-rtchat-sso"
    assert len(value) == 43
    assert set(attributes) == {"Path=/", "Max-Age=660", "HttpOnly", "SameSite=Lax", "Secure"}


async def test_two_tabs_of_one_browser_do_not_disturb_each_other(browser: Browser):
    first = await browser.consents(await browser.begins("google"), somebody())
    second = await browser.consents(await browser.begins("corp"), somebody())
    assert landed(await browser.get(first)).told.keys() == {"code"}
    assert landed(await browser.get(second)).told.keys() == {"code"}


# --- the exchange


async def test_s_72_a_code_is_good_once_in_its_browser(new_browser: NewBrowser):
    """B-H26: used, foreign, cut, in another case: one text."""
    ann, eve = new_browser(), new_browser()
    await eve.begins("google")
    code = (await ann.arrives("google", somebody())).told["code"]
    assert len(code) == 43  # 256 bits
    cookie = ann.cookie
    wrong = [code[:-1], code.swapcase(), code + "A", "", "x" * 43, "x" * 256, "*", "ä"]
    said = {problem(await ann.exchanges(other), "not_found")["detail"] for other in wrong}
    answer(await ann.exchanges(code))
    ann.cookie = cookie
    said.add(problem(await ann.exchanges(code), "not_found")["detail"])
    code = (await ann.arrives("google", somebody())).told["code"]
    said.add(problem(await eve.exchanges(code), "not_found")["detail"])
    said.add(problem(await ann.exchanges(code), "not_found")["detail"])
    assert said == {"This code is not valid."}


async def test_s_72_a_code_is_good_once_of_many_at_once(browser: Browser):
    code = (await browser.arrives("google", somebody())).told["code"]
    async with asyncio.TaskGroup() as group:
        tasks = [group.create_task(browser.exchanges(code)) for _ in range(10)]
    assert sorted(task.result().status_code for task in tasks) == [200] + [404] * 9


@pytest.mark.parametrize("body", [{}, {"code": None}, {"code": 7}, {"code": ["x"]}])
async def test_a_code_is_a_text(browser: Browser, body: Any):
    problem(await browser.post("/auth/oauth/exchange", body), "bad_field", field="code")


async def test_what_takes_too_long_is_begun_again(
    database_url: str, pods: Pods, idp: Idp, new_browser: NewBrowser
):
    """States and codes expire, and cookies with them; how many there are at once is bounded."""
    short = settings(idp, sso_state_s=1, sso_code_s=1, sso_flows_max=3)
    pod = await pods.start(database_url, **short)
    browser = new_browser()
    browser._at = pod.url
    back = await browser.consents(await browser.begins("google"), somebody())
    assert "Max-Age=2;" in (await browser.get(f"{PUBLIC}/auth/oauth/corp")).headers["set-cookie"]
    code = (await browser.arrives("google", somebody())).told["code"]
    problem(await browser.get(f"{PUBLIC}/auth/oauth/corp"), "overloaded")
    await asyncio.sleep(1.2)
    is_refused(await browser.get(back))
    problem(await browser.exchanges(code), "not_found")
    await browser.signs_in("google", somebody())
    pod.kill()


async def test_begun_on_one_pod_ended_on_another(
    database_url: str, pods: Pods, idp: Idp, new_browser: NewBrowser, valkey: Any
):
    """What is remembered in between is in Redis: any pod goes on, and each thing once."""
    shared = settings(idp, redis_urls=valkey.url, bus_prefix=f"sso-{secrets.token_hex(4)}")
    one, two = pods.spawn(database_url, **shared), pods.spawn(database_url, **shared)
    for pod in (one, two):
        await pod.listening()
    browser, eve = new_browser(), new_browser()
    back = await browser.consents(await browser.begins("google", on=one.url), somebody())
    is_refused(await eve.get(back.replace("state=", "state=x"), on=two.url))
    landing = landed(await browser.get(back, on=two.url))
    is_refused(await browser.get(back, on=one.url))
    code = landing.told["code"]
    answer(await browser.exchanges(code, on=one.url))
    problem(await browser.exchanges(code, on=two.url), "not_found")
    one.kill()
    two.kill()


async def test_without_redis_nobody_begins_and_afterwards_everybody_does(
    database_url: str, pods: Pods, idp: Idp, new_browser: NewBrowser
):
    """What cannot be remembered is not begun: 503, and when to come again."""
    with PrivateValkey() as valkey:
        pod = await pods.start(database_url, **settings(idp, redis_urls=valkey.url))
        browser = new_browser()
        browser._at = pod.url
        back = await browser.consents(await browser.begins("google"), somebody())
        valkey.send_signal(signal.SIGSTOP)
        refused = await browser.get(f"{PUBLIC}/auth/oauth/google")
        problem(refused, "unavailable")
        assert "set-cookie" not in refused.headers
        problem(await browser.get(back), "unavailable")
        valkey.send_signal(signal.SIGCONT)
        async with asyncio.timeout(20):
            while (await browser.get(f"{PUBLIC}/auth/oauth/google")).status_code != 302:
                await asyncio.sleep(0.2)
        await browser.signs_in("google", somebody())
        pod.kill()
