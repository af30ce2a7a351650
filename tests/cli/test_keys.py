"""`rtchat key`."""

from typing import Any

import pytest

from rtchat.auth.keys import KeyRing
from rtchat.config import Config
from tests.cli.running import read
from tests.pods import SECRET_KEY


@pytest.mark.parametrize("algorithm", ["EdDSA", "RS256", "ES256", "HS256"])
def test_key_new_prints_a_key_and_nothing_else(algorithm: str):
    """So that it can be sent into the file that the setting names."""
    done = read("key", "new", "--alg", algorithm)
    assert (done.status, done.err) == (0, "")
    made: dict[str, Any] = {"secret_key": SECRET_KEY, "signing_key": ""}
    name = "secret_key" if algorithm == "HS256" else "signing_key"
    assert KeyRing(Config(**made | {name: done.out})).signing.algorithm == algorithm
