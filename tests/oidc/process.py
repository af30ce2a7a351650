"""Starting the provider, and telling it how to misbehave."""

import json
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import httpx2

from rtchat.server.launch import end_with_parent
from tests.oidc.provider import CLIENT_ID, CLIENT_SECRET
from tests.pods import ROOT


class Idp:
    """The provider's process, seen from a test."""

    def __init__(self, url: str) -> None:
        self.url = url
        self._http = httpx2.Client(timeout=10, trust_env=False)

    def close(self) -> None:
        self._http.close()

    def issuer(self, realm: str) -> str:
        """What its tokens name."""
        return f"{self.url}/{realm}"

    def tells(self, realm: str, **tricks: Any) -> None:
        """Let a realm misbehave from now on; without any trick, be as it should be."""
        answer = self._http.put(f"{self.url}/control/{realm}", json=tricks)
        assert answer.status_code == 200

    def asked(self, realm: str) -> dict[str, Any]:
        """How often each of its parts was asked since it was told, and what it sent."""
        found: dict[str, Any] = self._http.get(f"{self.url}/control/{realm}").json()
        return found

    @contextmanager
    def misbehaving(self, realm: str, **tricks: Any) -> Iterator[None]:
        """So inside, and as it should be behind it."""
        self.tells(realm, **tricks)
        try:
            yield
        finally:
            self.tells(realm)

    def setting(self, *realms: str, **more: Any) -> str:
        """`oidc_providers`: a realm each, of its own name."""
        return json.dumps(
            [
                {
                    "name": realm,
                    "title": realm.capitalize(),
                    "issuer": self.issuer(realm),
                    "clientId": CLIENT_ID,
                    "clientSecret": CLIENT_SECRET,
                    **more,
                }
                for realm in realms
            ]
        )


@contextmanager
def run_idp() -> Iterator[Idp]:
    """Run the provider on a free port."""
    process = subprocess.Popen(
        [sys.executable, "-m", "tests.oidc", "0"],
        cwd=ROOT,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        text=True,
        start_new_session=True,
        preexec_fn=end_with_parent(signal.SIGKILL),
    )
    try:
        assert process.stdout is not None
        with process.stdout as said:
            idp = Idp(said.readline().strip())
            yield idp
            idp.close()
    finally:
        process.kill()
        process.wait()
