"""The server, asked by lot what OpenAPI says that it takes: it answers as is announced there."""

import copy
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx2
import pytest

from tests.checks.fuzzing import Asker, Report, fuzz, leaving, nobody, signed_in
from tests.checks.scene import Scene, set_up_now
from tests.oidc.conftest import settings
from tests.oidc.process import run_idp
from tests.pods import Pod, Pods

pytestmark = pytest.mark.timeout(240)  # ten seconds each, where nothing else wants the cores

# Of each operation in each phase: a few here, where all of them are asked, and all cases that the
# phase of coverage knows; `python -m tests.checks` makes up more.
FEW = 5
SOME = 15  # of one operation, which asks little

# What no request that is made up can bring to a good end, and what does it instead.
NEVER = {
    "GET /openapi.json": "is what the program asks for to begin with, and leaves alone then",
    "GET /ws": "wants an upgrade: tests/contract/test_ws_handshake",
    "GET /auth/oauth/{provider}/callback": "wants a provider's state: tests/oidc/test_sign_in",
    "POST /auth/oauth/exchange": "wants what a sign-in ends with: tests/oidc/test_sign_in",
}
UNLINK = "DELETE /auth/identities/{provider}"  # wants a linked identity: tests/oidc/test_linking


@pytest.fixture(scope="module")
def asked_pod(pods: Pods, module_database_url: str) -> Iterator[Pod]:
    """A pod that knows providers, for the runs of this module; nothing fails in it."""
    with run_idp() as idp:
        pod = pods.spawn(module_database_url, **settings(idp)).wait()
        yield pod
        pod.kill()
        assert pod.events("request failed") == [], "a handler failed"


@pytest.fixture(scope="module")
def scene(asked_pod: Pod) -> Scene:
    """Who is there."""
    return set_up_now(asked_pod.url, asked_pod.database_url)


@pytest.fixture
def run(asked_pod: Pod, scene: Scene, tmp_path: Path):
    """Let somebody ask; nothing of what is answered may be wrong."""

    def run(asker: Asker, examples: int) -> Report:
        report = fuzz(asked_pod.url, asker, scene.words, tmp_path, examples=examples)
        assert report.status == 0, report.output
        return report

    return run


@pytest.fixture(scope="module")
def openapi(asked_pod: Pod) -> dict[str, Any]:
    """What the server says of itself."""
    found: dict[str, Any] = httpx2.get(f"{asked_pod.url}/openapi.json", trust_env=False).json()
    return found


def operations(openapi: dict[str, Any], *, guarded: bool) -> set[str]:
    """The operations that want a token, or those that want none."""
    return {
        f"{method.upper()} {path}"
        for path, methods in openapi["paths"].items()
        for method, operation in methods.items()
        if (operation["security"] == [{"bearer": []}]) is guarded
    }


def test_nobody(run, openapi: dict[str, Any]) -> None:
    """Without a token: what needs none is answered, and nothing else.

    The first run, because the words for addresses and refresh tokens are good once.
    """
    report = run(nobody(), FEW)
    assert report.cases > 1000
    assert report.accepted & operations(openapi, guarded=True) == set()
    assert operations(openapi, guarded=False) - report.accepted == NEVER.keys()


def test_somebody_who_is_signed_in(
    run, asked_pod: Pod, scene: Scene, openapi: dict[str, Any]
) -> None:
    """All but what ends the session: behind that, every answer would be the same 401."""
    report = run(signed_in(scene), FEW)
    assert report.cases > 1000
    ending = {"DELETE /auth/sessions/{id}"}
    assert operations(openapi, guarded=True) - report.accepted == ending | {UNLINK}
    me = httpx2.get(f"{asked_pod.url}/users/me", headers=scene.ann.headers, trust_env=False)
    assert me.status_code == 200, "the session has ended on the way"


def test_somebody_who_ends_sessions(run, scene: Scene) -> None:
    report = run(leaving(scene.cal, "/auth/sessions/{id}"), SOME)
    assert report.accepted == {"DELETE /auth/sessions/{id}"}


def test_somebody_who_signs_out(run, scene: Scene) -> None:
    report = run(leaving(scene.dan, "/auth/logout"), SOME)
    assert report.accepted == {"POST /auth/logout"}


def test_a_document_that_is_wrong_is_found_out(
    asked_pod: Pod, scene: Scene, openapi: dict[str, Any], tmp_path: Path
) -> None:
    """One status less than there are: so silence means something."""
    lying = copy.deepcopy(openapi)
    del lying["paths"]["/auth/sessions/{id}"]["delete"]["responses"]["404"]
    document = tmp_path / "lying.json"
    document.write_text(json.dumps(lying))
    asker = leaving(scene.cal, "/auth/sessions/{id}")
    report = fuzz(asked_pod.url, asker, scene.words, tmp_path, document=document, examples=SOME)
    assert report.status == 1
    assert report.failures == {"UndefinedStatusCode"}
