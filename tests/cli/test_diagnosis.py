"""`rtchat doctor`: the whole look, its lines, its JSON, and the status that it ends with."""

import json
import logging

import pytest

from rtchat.server.valkey import PrivateValkey
from tests.cli.answering import answering
from tests.cli.running import DATABASE, UNREADABLE, Run, read, run
from tests.pods import SECRET_KEY
from tests.services import Given

GOOD = {
    "secret_key": SECRET_KEY,
    "internal_token": "0123456789abcdef",
    "port": "0",
    "connections_max": "10",
    "tls_required": "0",
}


def doctor(*arguments: str, **settings: str) -> Run:
    return read("doctor", *arguments, **{**GOOD, **settings})


def test_all_is_looked_at_in_the_order_of_mending(database_url: str, valkey: PrivateValkey | Given):
    """Status 0, though a superuser's role is warned of; nothing goes to standard error."""
    done = run("doctor", **GOOD, database_url=database_url, redis_urls=valkey.url)
    assert (done.status, done.err) == (0, ""), done
    lines = [line for line in done.out.splitlines() if line[:1].strip()]
    checks = [line[6:20].strip() for line in lines[:-1]]
    assert checks == [
        "settings", "secret", "keys", "secret files", "tls", "operators",
        "postgresql", "migrations", "durability", "privileges", "connections", "clock",
        "redis", "pubsub buffers", "bus", "python", "open files", "backlog", "cores", "port",
    ]  # fmt: skip
    assert {line[:6].strip() for line in lines[:-1]} == {"ok", "warn"}
    at = next(n for n, line in enumerate(done.out.splitlines()) if "privileges" in line)
    assert done.out.splitlines()[at + 1].startswith("      mend: ")
    assert lines[-1].endswith(" 0 fail")


@pytest.mark.parametrize(
    ("settings", "status", "failed"),
    [
        ({}, 0, set()),
        ({"database_url": DATABASE}, 3, {"postgresql"}),
        ({"redis_urls": "redis://:geheim@127.0.0.1:1"}, 3, {"redis"}),
        ({"secret_key": "short"}, 2, {"secret"}),
        ({"secret_key": "short", "database_url": DATABASE}, 2, {"secret", "postgresql"}),
        ({"database_url": ""}, 2, {"postgresql"}),
        ({"database_url": UNREADABLE[0]}, 2, {"tls", "postgresql"}),
        ({"redis_urls": "redis://:geheim/x@127.0.0.1"}, 2, {"tls", "redis"}),
        ({"workers": "2", "internal_port": "65535"}, 2, {"operators", "workers"}),
    ],
)
def test_programs_get_json_and_the_status(
    database_url: str, settings: dict[str, str], status: int, failed: set[str]
):
    """2 where a setting is wrong, 3 where only something else is; both in the document, too."""
    done = doctor("--json", **{"database_url": database_url, **settings})
    assert (done.status, done.err) == (status, "")
    document = json.loads(done.out)
    assert document["status"] == status
    assert {f["check"] for f in document["findings"] if f["level"] == "fail"} == failed
    for finding in document["findings"]:
        assert finding["seen"]
        assert finding["from"]
        assert (finding["mend"] is None) == (finding["level"] == "ok")
    assert "geheim" not in done.out


@pytest.mark.parametrize("url", UNREADABLE)
def test_no_piece_of_a_password_is_shown(url: str, caplog: pytest.LogCaptureFixture):
    """Not in a line, not in the document, not in the log."""
    for arguments in ([], ["--json"]):
        done = doctor(*arguments, database_url=url, migrate_url=url)
        assert (done.status, done.err) == (2, "")
        assert "geheim" not in done.out + caplog.text
        assert "RTCHAT_DATABASE_URL" in done.out


def test_what_a_stranger_on_the_port_says_is_printable():
    """As it is for programs; a terminal obeys none of it."""
    health = b'{"status":"ok"}'
    ready = b'{"code":"a\\u001b[2J","detail":"\\u202e"}'
    with answering({b"/healthz": [(200, health)], b"/readyz": [(503, ready)]}) as port:
        done = doctor(port=str(port))
    assert "not ready: a\\x1b[2J: \\u202e" in done.out


def test_settings_that_cannot_be_read_are_a_finding():
    done = doctor("--json", pool_maxx="1")
    assert done.status == 2
    [finding] = json.loads(done.out)["findings"]
    assert "RTCHAT_POOL_MAX?" in finding["seen"]


def test_the_log_is_as_before_behind_it(caplog: pytest.LogCaptureFixture):
    """What is tried speaks of each failure by itself; here findings do."""
    doctor("--json", redis_urls="redis://127.0.0.1:1")
    assert logging.root.manager.disable == logging.NOTSET
    assert caplog.records == []
