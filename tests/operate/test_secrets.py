"""`rtchat doctor` on the settings: secrets, keys, files and links, without asking anybody."""

from pathlib import Path
from typing import Any

import pytest

from rtchat import settings
from rtchat.auth.keys import new
from rtchat.operate.finding import Cause, Finding, Level
from rtchat.operate.secrets import examine
from tests.pods import SECRET_KEY

ELSEWHERE = "postgresql://rtchat:geheim@db.example/rtchat"
CHECKS = ["settings", "secret", "keys", "secret files", "tls", "operators"]


@pytest.fixture(autouse=True)
def _no_variables(monkeypatch: pytest.MonkeyPatch):
    """Those of whoever runs the tests say nothing here."""
    for name in ("PGHOST", "PGSSLMODE", "PGSERVICE"):
        monkeypatch.delenv(name, raising=False)


def found(**given: Any) -> dict[str, Finding]:
    workers = int(given.get("workers", 1))
    variables = {f"RTCHAT_{name.upper()}": str(value) for name, value in given.items()}
    findings = examine(*settings.load(variables), workers)
    for finding in findings:
        assert finding.seen
        assert "geheim" not in str(finding)
        assert SECRET_KEY not in str(finding)
    return {finding.check: finding for finding in findings}


def good(**more: Any) -> dict[str, Finding]:
    given = {"secret_key": SECRET_KEY, "internal_token": "0123456789abcdef", "internal_port": 8001}
    return found(**{**given, **more})


def test_good_settings_are_good_in_every_respect():
    findings = good()
    assert list(findings) == CHECKS
    assert {finding.level for finding in findings.values()} == {Level.OK}, findings
    assert findings["settings"].seen.startswith("3 of ")


@pytest.mark.parametrize("secret", ["", "short", "x" * 64, "changeme-changeme-changeme-changeme-9"])
def test_a_secret_that_others_know_or_guess_is_wrong(secret: str):
    finding = good(secret_key=secret)["secret"]
    assert (finding.level, finding.cause) == (Level.FAIL, Cause.SETTING)
    assert "rtchat key new" in finding.mend


def test_old_secrets_are_held_to_the_same():
    assert "1 old ones" in good(secret_keys_old=SECRET_KEY[::-1])["secret"].seen
    assert "SECRET_KEYS_OLD" in good(secret_keys_old="short")["secret"].seen


def test_a_key_that_cannot_sign_is_wrong():
    assert "EdDSA signs" in good(signing_key=new("EdDSA"))["keys"].seen
    finding = good(signing_key="no key")["keys"]
    assert (finding.level, finding.cause) == (Level.FAIL, Cause.SETTING)


def test_a_secret_from_a_file_is_named_by_its_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """And warned of where everybody may read it."""
    file = tmp_path / "secret"
    file.write_text(SECRET_KEY)
    monkeypatch.setenv("RTCHAT_SECRET_KEY_FILE", str(file))
    for mode, level in ((0o400, Level.OK), (0o444, Level.WARN)):
        file.chmod(mode)
        findings = found(secret_key_file=file)
        assert findings["secret"].source == f"RTCHAT_SECRET_KEY, from {file}"
        assert findings["secret files"].level is level
        assert findings["secret files"].mend == (f"chmod 400 {file}" if level is Level.WARN else "")


@pytest.mark.parametrize(
    ("given", "level"),
    [
        ({"database_url": "postgresql://rtchat@127.0.0.1/rtchat"}, Level.OK),
        ({"database_url": ELSEWHERE}, Level.FAIL),
        ({"database_url": ELSEWHERE, "tls_required": 0}, Level.WARN),
        ({"database_url": f"{ELSEWHERE}?sslmode=verify-full"}, Level.OK),
        ({"database_url": f"{ELSEWHERE}?sslmode=verify-full&sslrootcert=/no/ca.pem"}, Level.FAIL),
        ({"redis_urls": "redis://:geheim@cache.example"}, Level.FAIL),
        ({"database_url": "postgresql://[::1/x"}, Level.FAIL),
    ],
)
def test_links_to_other_machines_are_verified(given: dict[str, Any], level: Level):
    finding = good(**given)["tls"]
    assert finding.level is level, finding
    assert finding.cause is (Cause.SETTING if level is Level.FAIL else None)


def test_operators_paths_are_apart_from_clients():
    assert good(internal_port=0)["operators"].level is Level.WARN
    assert "no token" in good(internal_token="")["operators"].seen


def test_several_workers_want_internal_ports_and_have_them():
    """Or whoever asks meets another of them each time; and the last one's is a port still."""
    shared = good(workers=2, internal_port=0)["operators"]
    assert (shared.level, "each call meets another" in shared.seen) == (Level.WARN, True)
    beyond = good(workers=2, internal_port=65535)["operators"]
    assert (beyond.level, beyond.cause) == (Level.FAIL, Cause.SETTING)


def test_several_workers_need_something_between_them():
    assert good(workers=2)["workers"].cause is Cause.SETTING
    assert "workers" not in good(workers=2, redis_urls="redis://127.0.0.1")
