"""The documents as a server serves them, and as the command line prints them."""

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from typing import Any

import httpx2
import msgspec
import pytest

from rtchat.api import asyncapi, openapi
from rtchat.config import Config
from tests.pods import UNLIMITED, Pod, Pods

DOCUMENTS = [("openapi", openapi), ("asyncapi", asyncapi)]


SETTINGS: dict[str, Any] = {
    "content_max_chars": 77,
    "subs_max": 5,
    "public_url": "http://localhost:8431/chat",
}


@pytest.fixture(scope="module")
def other(pods: Pods, pod: Pod) -> Iterator[Pod]:
    """A server with settings of its own."""
    started = pods.spawn(pod.database_url, **SETTINGS).wait()
    yield started
    started.kill()


@pytest.mark.parametrize(("name", "maker"), DOCUMENTS)
async def test_a_document_is_that_of_the_servers_settings(name: str, maker: Any, other: Pod):
    limits: dict[str, Any] = {**UNLIMITED, **SETTINGS, "port": 0}
    async with httpx2.AsyncClient(base_url=other.url, trust_env=False) as http:
        response = await http.get(f"/{name}.json")
    made = maker.document(Config(**limits))
    assert response.json() == json.loads(msgspec.json.encode(made))
    assert b"77" in response.content


@pytest.mark.parametrize(("name", "maker"), DOCUMENTS)
async def test_a_document_is_served_to_anybody(name: str, maker: Any, http: httpx2.AsyncClient):
    response = await http.get(f"/{name}.json")
    assert response.status_code == 200
    assert response.headers["content-type"] == "application/json"
    assert response.json().keys() == maker.document(Config()).keys()
    assert int(response.headers["content-length"]) < len(response.content), "compressed"
    again = await http.get(f"/{name}.json", headers={"if-none-match": response.headers["etag"]})
    assert (again.status_code, again.content) == (304, b"")
    plain = await http.get(f"/{name}.json", headers={"accept-encoding": "identity"})
    assert plain.content == response.content


@pytest.mark.parametrize(("name", "maker"), DOCUMENTS)
def test_a_document_is_printed_for_the_settings_at_hand(name: str, maker: Any):
    settings = {"RTCHAT_CONTENT_MAX_CHARS": "77"}
    clean = {k: v for k, v in os.environ.items() if not k.startswith("RTCHAT_")}
    done = subprocess.run(
        [sys.executable, "-m", "rtchat", name],
        env={**clean, **settings},
        capture_output=True,
        check=True,
    )
    assert json.loads(done.stdout) == maker.document(Config(content_max_chars=77))
    assert b"77" in done.stdout


@pytest.mark.parametrize(("name", "maker"), DOCUMENTS)
def test_a_document_says_nothing_of_secrets(name: str, maker: Any):
    config = Config(secret_key="s3cret" * 8, internal_token="internal" * 4)
    text = msgspec.json.encode(maker.document(config))
    assert b"s3cret" not in text
    assert b"internalinternal" not in text
