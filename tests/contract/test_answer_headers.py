"""What every answer carries, over the whole route table: good ones, errors, and refusals (S-49).

And which pages may read them (S-50), which cookies there are (S-51), and that none of them tells
what it was made by (S-61).
"""

import re
from collections.abc import AsyncIterator

import httpx2
import pytest

from rtchat.api.routes import INTERNAL_ROUTES, ROUTES
from rtchat.web import CHAT_CSP, HTML, PAGE_CSP
from tests.contract.rest import Caller, Reply, exchange, request
from tests.people import People, Person
from tests.pods import Pod, Pods
from tests.raw import handshake

pytestmark = pytest.mark.usefixtures("calm")

PAGE = "https://chat.example"
TOKEN = "t" * 20
# Which have a policy of their own: see tests/web.
PAGES = {"/": CHAT_CSP, "/docs": PAGE_CSP, "/docs/ws": PAGE_CSP}
SAFE = {
    "x-content-type-options": "nosniff",
    "content-security-policy": "default-src 'none'; frame-ancestors 'none'",
    "referrer-policy": "no-referrer",
    "cross-origin-resource-policy": "same-origin",
}
# Public, and read by others again and again.
CACHEABLE = {"/.well-known/jwks.json", "/openapi.json", "/asyncapi.json", *PAGES}
PATHS = sorted({route.path for route in (*ROUTES, *INTERNAL_ROUTES)})


@pytest.fixture(scope="module")
async def listed(pods: Pods, pod: Pod) -> AsyncIterator[Pod]:
    """A pod that one page may read from."""
    listed = await pods.start(
        pod.database_url, origins=PAGE, internal_token=TOKEN, trusted_proxies="127.0.0.1"
    )
    yield listed
    listed.kill()


@pytest.fixture(scope="module")
async def page(listed: Pod) -> AsyncIterator[httpx2.AsyncClient]:
    """A browser's view of it: requests of that page."""
    async with httpx2.AsyncClient(base_url=listed.url, headers={"Origin": PAGE}) as client:
        yield client


def target(path: str) -> str:
    """A path of the table with something in its places that nobody has."""
    return re.sub(r"\{\w+:word\}", "nobody", re.sub(r"\{\w+\}", "999999999", path))


def is_safe(answer: httpx2.Response, path: str = "") -> None:
    """The headers of every answer."""
    told = {name: answer.headers.get(name) for name in SAFE}
    is_page = path in PAGES and answer.headers.get("content-type") == HTML
    policy = {"content-security-policy": PAGES[path].decode()} if is_page else {}
    assert told == SAFE | policy
    kind = answer.headers.get("content-type", "application/json")
    assert kind in ("application/json", "application/problem+json") or "charset=" in kind
    if path not in CACHEABLE or answer.status_code >= 400:
        assert answer.headers["cache-control"] == "no-store"
    assert not {"server", "x-powered-by", "via"} & answer.headers.keys()
    for cookie in answer.headers.get_list("set-cookie"):
        flags = {part.strip().lower() for part in cookie.split(";")[1:]}
        assert {"httponly", "path=/"} <= flags
        assert {"samesite=lax", "samesite=strict"} & flags
        assert not any(flag.startswith("domain=") for flag in flags)


@pytest.mark.parametrize("path", PATHS)
async def test_every_route_answers_with_them(page: httpx2.AsyncClient, people: People, path: str):
    """Whoever asks, by whichever method, with whatever body."""
    somebody = await people.new("somebody")
    for method in ("GET", "HEAD", "POST", "PATCH", "DELETE", "OPTIONS", "PUT", "TRACE"):
        for headers in ({}, somebody.headers):
            answer = await page.request(method, target(path), headers=headers)
            is_safe(answer, path)
            assert answer.status_code // 100 != 3  # S-36: who is sent on is sent by a provider
            assert answer.headers["access-control-allow-origin"] == PAGE
            assert "origin" in answer.headers["vary"]
            cookies = "true" if path.startswith("/auth/") else None
            assert answer.headers.get("access-control-allow-credentials") == cookies


async def test_errors_of_every_kind_have_them(page: httpx2.AsyncClient, people: People):
    """400, 401, 403, 404, 405, 409, 413, 415, 422: readable by the page, as what they are."""
    ann, bob = await people.several(2)
    made = await page.post("/channels", json={"name": "x", "type": "public"}, headers=ann.headers)
    own = f"/channels/{made.json()['id']}"
    kind = {"Content-Type": "application/json"}
    asked = {
        400: page.post("/channels", content=b"{", headers=ann.headers | kind),
        401: page.get("/users/me"),
        403: page.get(f"{own}/messages", headers=bob.headers),
        404: page.get("/nothing"),
        405: page.put("/users/me", headers=ann.headers),
        409: page.post(f"{own}/leave", headers=ann.headers),
        413: page.post("/channels", content=b" " * 70_000, headers=ann.headers | kind),
        415: page.post("/channels", content=b"{}", headers=ann.headers),
        422: page.post("/channels", json={}, headers=ann.headers),
    }
    for status, asking in asked.items():
        answer = await asking
        assert answer.status_code == status
        is_safe(answer)
        assert answer.headers["access-control-allow-origin"] == PAGE


@pytest.mark.parametrize("path", ["/healthz", "/users/me", "/nothing", "/ws"])
async def test_browsers_that_came_by_https_are_told_to_stay(page: httpx2.AsyncClient, path: str):
    """S-49, RFC 6797: by the word of a proxy that is trusted, also with errors; else nothing."""
    for proto, told in (("https", "max-age=31536000"), ("http", None), ("gopher", None)):
        answer = await page.get(path, headers={"X-Forwarded-Proto": proto})
        assert answer.headers.get("strict-transport-security") == told


async def test_a_handshake_by_https_is_its_own_pages(listed: Pod, people: People):
    """S-38: behind TLS a page of plain http is a foreign one, and its refusal insists on https."""
    ann = await people.new("ann")
    proxied = "X-Forwarded-Proto: https"
    reply = await exchange(listed, handshake(ann, "Origin: http://x", proxied))
    assert reply.status == 403
    assert reply.headers["strict-transport-security"] == "max-age=31536000"
    assert (await exchange(listed, handshake(ann, "Origin: https://x", proxied))).status == 101
    assert (await exchange(listed, handshake(ann, "Origin: http://x"))).status == 101


async def test_a_preflight_lets_a_listed_page_ask(page: httpx2.AsyncClient):
    """As a browser sends it, without a token; 204, and what may be asked for."""
    asking = {
        "Access-Control-Request-Method": "PATCH",
        "Access-Control-Request-Headers": "authorization,content-type",
    }
    answer = await page.options("/users/me", headers=asking)
    assert answer.status_code == 204
    assert "PATCH" in answer.headers["access-control-allow-methods"].split(", ")
    assert answer.headers["access-control-allow-headers"] == "authorization, content-type"
    assert 0 < int(answer.headers["access-control-max-age"]) <= 7200
    is_safe(answer)


@pytest.mark.parametrize(
    "origin",
    ["null", "https://evil.example", "https://chat.example.evil.example", "http://chat.example",
     "https://chat.example:444", "https://CHAT.example", "https://chat.example.", "*"],
    ids=lambda origin: f"S-50 {origin}",
)  # fmt: skip
async def test_no_other_page_is_let_in(listed: Pod, people: People, origin: str):
    """Neither to ask beforehand, nor to read, nor to open a socket."""
    ann = await people.new("ann")
    asking = {"Origin": origin, "Access-Control-Request-Method": "GET"}
    async with httpx2.AsyncClient(base_url=listed.url, headers=asking) as client:
        for answer in (
            await client.options("/users/me"),
            await client.get("/users/me", headers=ann.headers),
            await client.get("/nothing"),
        ):
            assert not [name for name in answer.headers if name.startswith("access-control-")]
            assert "origin" in answer.headers["vary"]
    assert (await exchange(listed, handshake(ann, f"Origin: {origin}"))).status == 403


REFUSED = {
    400: b"nonsense\r\n\r\n",
    403: handshake(None, "Origin: https://evil.example"),
    404: handshake(path="/nowhere"),
    414: request(f"GET /{'x' * 9000} HTTP/1.1"),
    426: handshake().replace(b"Version: 13", b"Version: 8"),
    431: request("GET / HTTP/1.1", "x: " + "y" * 20_000),
}


@pytest.mark.parametrize("status", REFUSED)
async def test_what_the_server_refuses_itself_has_them(listed: Pod, status: int):
    """Handshakes, and heads that never reach the routes."""
    has_them(await exchange(listed, REFUSED[status]), status)


async def test_a_full_pod_refuses_with_them(pods: Pods, pod: Pod):
    """503, before anybody was asked who they are."""
    full = await pods.start(pod.database_url, connections_max=1, origins=PAGE)
    async with httpx2.AsyncClient(base_url=full.url) as first:
        await first.get("/healthz")
        reply = await exchange(full, request("GET /users/me HTTP/1.1", f"Origin: {PAGE}"))
        has_them(reply, 503)
        assert reply.headers["access-control-allow-origin"] == PAGE  # it may see when to come again
        assert reply.headers["retry-after"] == "5"
    full.kill()


def has_them(reply: Reply, status: int) -> None:
    assert reply.status == status
    assert {name: reply.headers.get(name) for name in SAFE} == SAFE
    assert reply.headers["cache-control"] == "no-store"
    assert reply.headers["content-type"] == "application/problem+json"
    assert "server" not in reply.headers


async def test_health_and_readiness_give_no_detail(nobody: Caller):
    """S-65: a word, and nothing of versions, hosts or parts."""
    assert (await nobody.get("/healthz")).json() == {"status": "ok"}
    assert (await nobody.get("/readyz")).json() == {"status": "ready"}


async def test_what_is_for_operators_is_not_there_for_others(listed: Pod, pod: Pod, ann: Caller):
    """S-65: the pre-stop call wants its token, and without the setting there is none."""
    person: Person = ann.person
    async with httpx2.AsyncClient() as client:
        for headers in ({}, person.headers, {"Authorization": f"Bearer {TOKEN}x"}):
            answer = await client.post(f"{listed.url}/internal/drain", headers=headers)
            assert answer.status_code == 401
            answer = await client.post(f"{pod.url}/internal/drain", headers=headers)
            assert answer.status_code == 404
        for path in ("/metrics", "/internal", "/debug", "/admin"):
            assert (await client.get(f"{pod.url}{path}")).status_code == 404
