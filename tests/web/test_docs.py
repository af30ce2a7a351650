"""Pages and assets over HTTP: their types, their policy, compressed, and kept by browsers."""

import httpx2
import pytest

from rtchat import web

BUNDLE = next(asset for asset in web.ASSETS if asset.file.endswith("swagger-ui-bundle.js"))
SCRIPT = next(asset for asset in web.ASSETS if asset.file == "docs/session.js")
VERSION = web.version().decode()


async def test_a_worker_may_load_and_reach_its_own_server_and_nothing_else(
    http: httpx2.AsyncClient,
):
    """It lives under its script's policy, not under its page's."""
    policy = (await http.get(web.WORKER.path)).headers["content-security-policy"]
    assert dict(part.split(" ", 1) for part in policy.split("; ")) == {
        "default-src": "'none'",
        "script-src": "'self'",
        "connect-src": "'self'",
        "frame-ancestors": "'none'",
    }


@pytest.mark.parametrize("asset", web.ASSETS, ids=lambda asset: asset.path)
async def test_every_asset_is_served_as_what_it_is(http: httpx2.AsyncClient, asset: web.Asset):
    answer = await http.get(asset.path)
    assert answer.status_code == 200
    assert answer.content == web.read(asset)
    assert answer.headers["content-type"] == asset.media_type
    assert answer.headers["x-content-type-options"] == "nosniff"


async def test_a_page_has_a_policy_of_its_own(http: httpx2.AsyncClient):
    for path, policy in (("/", web.CHAT_CSP), ("/docs", web.PAGE_CSP), ("/docs/ws", web.PAGE_CSP)):
        answer = await http.get(path)
        assert answer.headers["content-security-policy"].encode() == policy
        assert answer.headers["cross-origin-opener-policy"] == "same-origin"
        assert answer.headers["cache-control"] == "no-cache"
    other = await http.get(SCRIPT.path)
    assert other.headers["content-security-policy"].startswith("default-src 'none'")


async def test_answers_are_compressed_for_whoever_reads_that(http: httpx2.AsyncClient):
    for accept in ("gzip", "br, gzip;q=0.5", "GZIP"):
        answer = await http.get(BUNDLE.path, headers={"accept-encoding": accept})
        assert answer.headers["content-encoding"] == "gzip"
        assert int(answer.headers["content-length"]) < 500_000
        assert answer.content == web.read(BUNDLE)  # the client has decompressed it


async def test_and_are_as_they_are_for_others(http: httpx2.AsyncClient):
    for accept in ("identity", "br", "gzip;q=0", "gzip; q=0.0, br", ""):
        answer = await http.get(SCRIPT.path, headers={"accept-encoding": accept})
        assert "content-encoding" not in answer.headers
        assert answer.headers["vary"] == "accept-encoding, origin"
        assert answer.content == web.read(SCRIPT)


async def test_what_a_browser_has_is_not_sent_again(http: httpx2.AsyncClient):
    etag = (await http.get(SCRIPT.path)).headers["etag"]
    for known in (etag, f'"other", {etag}', "*"):
        answer = await http.get(SCRIPT.path, headers={"if-none-match": known})
        assert (answer.status_code, answer.content) == (304, b"")
        assert answer.headers["etag"] == etag
        assert "content-type" not in answer.headers
    answer = await http.get(SCRIPT.path, headers={"if-none-match": '"other"'})
    assert answer.status_code == 200


async def test_only_this_version_is_kept_for_ever(http: httpx2.AsyncClient):
    """In a rolling update a page of the new pod may ask the old one."""
    kept = {}
    for query in (f"?v={VERSION}", "", "?v=000000000000", f"?v={VERSION}&x=1"):
        kept[query] = (await http.get(SCRIPT.path + query)).headers["cache-control"]
    assert kept.pop(f"?v={VERSION}") == "public, max-age=31536000, immutable"
    assert set(kept.values()) == {"no-cache"}
    page = await http.get(f"/docs?v={VERSION}")
    assert page.headers["cache-control"] == "no-cache"


async def test_head_and_other_methods(http: httpx2.AsyncClient):
    head = await http.head("/docs")
    assert (head.status_code, head.content) == (200, b"")
    assert int(head.headers["content-length"]) > 0
    assert (await http.post("/docs")).status_code == 405
    for path in ("/docs/", "/docs/none.js", "/docs/manifest.json", "/docs/icon.svg/"):
        assert (await http.get(path)).status_code == 404
