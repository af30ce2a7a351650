"""`rtchat config`, `openapi` and `asyncapi`."""

import json
from pathlib import Path

import pytest

from tests.cli.running import DATABASE, read


def test_config_shows_every_setting(tmp_path: Path):
    """Each with its value, where it came from and what it means; secrets are masked."""
    secret_file = tmp_path / "secret"
    secret_file.write_text("geheim-from-a-file\n")
    done = read(
        "config",
        database_url=DATABASE,
        redis_urls="redis://:geheim@127.0.0.1",
        secret_key_file=str(secret_file),
        pool_max="9",
    )
    assert done.status == 0
    assert "geheim" not in done.out + done.err
    lines = done.out.splitlines()
    for name, value, source in (
        ("DATABASE_URL", "••••••", "RTCHAT_DATABASE_URL"),
        ("REDIS_URLS", "••••••", "RTCHAT_REDIS_URLS"),
        ("SECRET_KEY", "••••••", str(secret_file)),
        ("MIGRATE_URL", "", "default"),
        ("POOL_MAX", "9", "RTCHAT_POOL_MAX"),
        ("LANES", "4", "default"),
    ):
        at = lines.index(f"RTCHAT_{name}={value}  (from {source})")
        assert lines[at + 1].strip(), "what it means"
    lanes = lines[lines.index("RTCHAT_LANES=4  (from default)") + 1]
    assert "(1 to 64)" in lanes
    assert "default 4" in lanes


@pytest.mark.parametrize(("command", "version"), [("openapi", "3.1."), ("asyncapi", "3.0.")])
def test_a_document_is_one_of_json_and_nothing_else(command: str, version: str):
    """So that it can be sent into a file or another program."""
    done = read(command)
    assert (done.status, done.err) == (0, "")
    assert json.loads(done.out)[command].startswith(version)
