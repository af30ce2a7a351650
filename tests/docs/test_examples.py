"""The examples of docs/api.md and of the OpenAPI document run, in each language, and say the truth.

Each language gets an empty server of its own and is told the whole story, sample by sample, in one
interpreter. What it prints is compared with what the documents show: all but moments, tokens, and
what a client calls itself.
"""

import json
import re
from collections.abc import Iterator
from typing import Any
from urllib.parse import parse_qsl, urlsplit

import httpx2
import pytest

from rtchat.api.examples import EXAMPLES, URL
from rtchat.api.router import Route
from rtchat.api.routes import ROUTES
from rtchat.api.samples import Example, curl, javascript, python
from rtchat.server.launch import free_port
from tests.docs.shells import SHELLS, Bash, JavaScript, Python, Shell, missing
from tests.oidc.browser import Browser
from tests.oidc.process import Idp, run_idp
from tests.pods import Pod, Pods
from tests.services import Databases

WRITERS = {Bash: curl, Python: python, JavaScript: javascript}
CAL = {"sub": "cal-3", "name": "Cal", "email": "cal@example.org", "email_verified": True}

_MOMENT = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z")
_OTHER_EACH_TIME = ("accessToken", "refreshToken", "agent")
_AT_THE_PROVIDER = re.compile(
    r"https?://[^/]+/(corp/)?authorize\?response_type=code&[^\s\"]*state=\S+"
)


@pytest.fixture(scope="module")
def idp() -> Iterator[Idp]:
    with run_idp() as process:
        yield process


@pytest.fixture
def server(databases: Databases, pods: Pods, idp: Idp) -> Iterator[Pod]:
    """A server on which nobody has ever been, with a provider to sign in at."""
    port = free_port()
    settings: dict[str, Any] = {
        "port": port,
        "public_url": f"http://localhost:{port}",
        "oidc_providers": idp.setting("corp"),
    }
    with databases.fresh() as url:
        pod = pods.spawn(url, **settings).wait()
        yield pod
        pod.kill()


# --- what is equal


def is_like(shown: Any, came: Any, name: str = "") -> bool:
    """Whether an answer is as the documents show it."""
    if isinstance(shown, dict):
        same_names = isinstance(came, dict) and list(shown) == list(came)
        return same_names and all(is_like(shown[key], came[key], key) for key in shown)
    if isinstance(shown, list):
        return isinstance(came, list) and len(shown) == len(came) and all(map(is_like, shown, came))
    if name in _OTHER_EACH_TIME:
        return isinstance(came, str) and bool(came)
    if isinstance(shown, str) and _MOMENT.fullmatch(shown):
        return isinstance(came, str) and _MOMENT.fullmatch(came) is not None
    return bool(shown == came) and type(shown) is type(came)


def plain(output: str, api: str) -> str:
    """What was printed, with the documents' address and without what is random in URLs."""
    output = output.replace(api, URL)
    if _AT_THE_PROVIDER.search(output):
        return _AT_THE_PROVIDER.sub("https://id.example/authorize…", output)
    return re.sub(r"\?code=[\w.…-]+", "?code=…", output)


def same(example: Example, output: str, api: str) -> bool:
    """Whether a sample printed what the documents show."""
    shown, came = plain(example.shown_output(), api), plain(output, api)
    if not shown.startswith("{"):
        return shown == came
    shown, came = (re.sub(r'authorize…["}]*', 'authorize…"}', text) for text in (shown, came))
    return is_like(json.loads(shown), json.loads(came))


# --- telling the story


@pytest.mark.parametrize("shell", SHELLS, ids=lambda shell: shell.language)
async def test_every_example_prints_what_the_documents_show(shell: type[Shell], server: Pod):
    if why := missing(shell):
        pytest.skip(why)
    api = f"http://localhost:{server.port}"
    wrong = []
    async with (
        httpx2.AsyncClient(trust_env=False) as web,
        shell() as here,
    ):
        assert await here.run(here.begin.format(api=api)) == ""
        browser = Browser(web, api, server.url)
        for example in EXAMPLES:
            output = await here.run(WRITERS[shell](example))
            if not same(example, output, api):
                wrong.append(f"{example.name}: {example.shown_output()}\n  came: {output}")
            await _play_the_browser(example, output, here, browser)
    assert not wrong, "\n".join(wrong)


async def _play_the_browser(example: Example, output: str, here: Shell, browser: Browser) -> None:
    """Do at the provider what a person does, and hand on what the browser is told."""
    if example.name not in ("sso-begin", "sso-finish"):
        return
    url = output.partition(" ")[2]
    back = await browser.consents(url, CAL) if example.name == "sso-begin" else url
    for name, value in parse_qsl(urlsplit(back).query):
        if name in ("code", "state"):
            await here.run(here.assign(name.upper(), value))


def test_a_wrong_answer_is_noticed():
    """The comparison itself."""
    assert is_like({"at": "2026-01-31T12:00:00.000Z"}, {"at": "2030-12-31T23:59:59.999Z"})
    assert is_like({"accessToken": "a"}, {"accessToken": "b"})
    for shown, came in (
        ({"id": 1}, {"id": 2}),
        ({"id": 1}, {"id": True}),
        ({"id": 1}, {"id": 1, "more": 1}),
        ({"a": 1, "b": 2}, {"b": 2, "a": 1}),
        ({"items": [1]}, {"items": []}),
        ({"at": "2026-01-31T12:00:00.000Z"}, {"at": "2026-01-31T12:00:00Z"}),
        ({"accessToken": "a"}, {"accessToken": ""}),
        ({"name": "a"}, {"name": "b"}),
    ):
        assert not is_like(shown, came)


# --- the story itself


@pytest.mark.parametrize("route", ROUTES, ids=lambda route: f"{route.method} {route.path}")
def test_every_operation_has_an_example_of_each_good_answer(route: Route):
    path = route.path.replace(":word", "")
    shown = {e.status for e in EXAMPLES if (e.method, e.path) == (route.method, path)}
    assert shown == route.answers.keys() - {304}


def test_examples_have_names_of_their_own_and_their_routes_bodies():
    assert len({example.name for example in EXAMPLES}) == len(EXAMPLES)
    routes = {(route.method, route.path.replace(":word", "")): route for route in ROUTES}
    for example in EXAMPLES:
        route = routes[example.method, example.path]
        assert (example.body is not None) == (route.body is not None), example.name
        if route.decoder is not None:
            route.decoder.decode(json.dumps(example.shown_body()))
        if route.auth:
            assert example.who is not None, example.name
