"""`rtchat doctor` on PostgreSQL: what can be provoked is, on real servers; the rest by values."""

import secrets
import signal
from collections.abc import Iterator
from typing import Any
from urllib.parse import urlsplit

import pytest

from rtchat.config import Config
from rtchat.operate.finding import Cause, Finding, Level
from rtchat.operate.postgres import examine, judge, place
from rtchat.server.postgres import EmbeddedPostgres
from rtchat.store import privileges
from rtchat.store.condition import Condition
from rtchat.store.migrate import behind, upgrade
from tests.cli.running import DATABASE, UNREADABLE, UNUSABLE, run_sql
from tests.services import Databases, temporary_directory

SOURCE = "RTCHAT_DATABASE_URL"


def found(url: str, workers: int = 1, **settings: Any) -> dict[str, Finding]:
    """What an examination finds, by check."""
    findings = examine(Config(database_url=url, **settings), SOURCE, workers)
    by_check = {finding.check: finding for finding in findings}
    assert len(by_check) == len(findings), "each check has one line"
    for finding in findings:
        assert finding.seen
        assert finding.source
        assert bool(finding.mend) == (finding.level is not Level.OK)
        assert "geheim" not in str(finding)
    return by_check


def levels(findings: dict[str, Finding]) -> dict[str, Level]:
    return {check: finding.level for check, finding in findings.items()}


@pytest.fixture
def server_url(database_url: str) -> Iterator[str]:
    """A database as the server's own role sees it, which has what it needs and no more."""
    role = f"server_{secrets.token_hex(4)}"
    run_sql(database_url, f"CREATE ROLE {role} LOGIN PASSWORD '{role}'")
    privileges.grant_at(database_url, role)
    parts = urlsplit(database_url)
    yield parts._replace(netloc=f"{role}:{role}@{parts.hostname}:{parts.port}").geturl()
    run_sql(database_url, f"DROP OWNED BY {role}", f"DROP ROLE {role}")


def test_a_good_server_is_good_in_every_respect(server_url: str):
    findings = found(server_url)
    assert set(levels(findings).values()) == {Level.OK}, findings
    assert list(findings) == [
        "postgresql", "migrations", "durability", "privileges", "connections", "clock",
    ]  # fmt: skip
    assert "PostgreSQL 1" in findings["postgresql"].seen
    assert findings["postgresql"].source == SOURCE


# --- it cannot be asked


@pytest.mark.parametrize(
    ("part", "mistake", "words"),
    [
        ("//rtchat:", "//rtchat:geheim", "password authentication failed"),
        ("/rtchat_test", "/no_such_rtchat_test", "does not exist"),
    ],
    ids=["password", "name"],
)
def test_a_wrong_url_is_told_by_what_the_server_says(
    part: str, mistake: str, words: str, database_url: str
):
    findings = found(database_url.replace(part, mistake))
    assert levels(findings) == {"postgresql": Level.FAIL}
    assert words in findings["postgresql"].seen
    assert findings["postgresql"].cause is Cause.DEPENDENCY


def test_a_port_where_nobody_listens():
    findings = found(DATABASE)
    assert "127.0.0.1:1/x" in findings["postgresql"].seen
    assert "ann:" not in findings["postgresql"].seen


@pytest.mark.parametrize("url", [*UNREADABLE, *UNUSABLE])
def test_a_url_that_cannot_be_read_is_a_wrong_setting(url: str):
    """And no piece of it is shown, which may be one of the password."""
    [finding] = found(url).values()
    assert (finding.level, finding.cause) == (Level.FAIL, Cause.SETTING)
    assert "escape / ? # @ [ in the password" in finding.seen
    assert url in UNUSABLE or place(url) == "a URL that cannot be read"


def test_a_place_has_no_password():
    assert place("postgresql://ann:geheim@db:5432/x?password=geheim") == "db:5432/x"
    assert place("postgres://ann:geheim@[::1]:5432,db-2/x") == "[::1]:5432,db-2/x"
    for url in ("postgresql:///x?host=/run&password=geheim", "postgresql://"):
        assert place(url).startswith("the host that its options or PGHOST name")
    assert place("postgresql://ann:24?password=ge@heim") == "a URL that cannot be read"


# --- it is not as it has to be


def test_without_a_schema_it_says_which_command_makes_one(databases: Databases):
    with databases.fresh(migrated=False) as url:
        findings = found(url)
    assert levels(findings)["migrations"] is Level.FAIL
    assert "rtchat migrate" in findings["migrations"].mend
    assert "privileges" not in findings or findings["privileges"].level is not Level.FAIL


def test_a_schema_that_the_role_may_not_see_is_told_apart(server_url: str, database_url: str):
    role = urlsplit(server_url).username
    run_sql(database_url, f"REVOKE SELECT ON alembic_version FROM {role}")
    findings = found(server_url)
    assert "may not look" in findings["migrations"].seen
    assert "alembic_version: SELECT" in findings["privileges"].seen


@pytest.mark.parametrize(
    ("revision", "level", "words"),
    [
        ("0002", Level.FAIL, "pending: 0003"),
        ("9999", Level.WARN, "of a newer rtchat"),
    ],
)
def test_what_is_pending_is_named(database_url: str, revision: str, level: Level, words: str):
    run_sql(database_url, f"UPDATE alembic_version SET version_num = '{revision}'")
    finding = found(database_url)["migrations"]
    assert (finding.level, words in finding.seen) == (level, True), finding


def test_the_steps_are_those_of_the_migrations():
    numbers = [step.number for step in behind(None) or []]
    assert numbers == sorted(numbers)
    assert numbers[0] == "0001"
    assert behind(numbers[-1]) == []
    assert behind("nonsense") is None


def test_a_role_that_lacks_something_is_told_what(server_url: str, database_url: str):
    role = urlsplit(server_url).username
    run_sql(database_url, f"REVOKE INSERT, DELETE ON messages FROM {role}")
    finding = found(server_url)["privileges"]
    assert (finding.level, finding.cause) == (Level.FAIL, Cause.DEPENDENCY)
    assert "messages: DELETE, INSERT" in finding.seen
    assert f"rtchat migrate --grant {role}" in finding.mend


def test_a_superuser_is_more_than_a_server_needs(database_url: str):
    finding = found(database_url)["privileges"]
    assert finding.level is Level.WARN
    assert "is a superuser" in finding.seen


def test_connections_are_counted_with_the_limits_of_role_and_database(
    server_url: str, database_url: str
):
    """By the tightest; of all workers together."""
    role = urlsplit(server_url).username
    assert found(server_url, lanes=4, pool_max=8)["connections"].level is Level.OK
    run_sql(database_url, f"ALTER ROLE {role} CONNECTION LIMIT 25")
    fits = found(server_url, lanes=4, pool_max=8)["connections"]
    assert "up to 13 connections" in fits.seen
    assert "25 are allowed" in fits.seen
    tight = found(server_url, workers=2, lanes=4, pool_max=8)["connections"]
    assert (tight.level, tight.cause) == (Level.FAIL, Cause.SETTING)
    assert "up to 26 connections" in tight.seen


def test_a_role_for_which_nothing_may_be_written_is_told(server_url: str, database_url: str):
    role = urlsplit(server_url).username
    run_sql(database_url, f"ALTER ROLE {role} SET default_transaction_read_only = on")
    finding = found(server_url)["writable"]
    assert (finding.level, "read-only" in finding.seen) == (Level.FAIL, True)


def test_a_database_that_does_not_know_every_text_is_told(databases: Databases):
    name = f"latin_{secrets.token_hex(4)}"
    plain = "ENCODING 'LATIN1' LOCALE_PROVIDER libc LOCALE 'C' TEMPLATE template0"
    run_sql(databases.url, f"CREATE DATABASE {name} {plain}")
    try:
        finding = found(urlsplit(databases.url)._replace(path=f"/{name}").geturl())["encoding"]
    finally:
        run_sql(databases.url, f"DROP DATABASE {name}")
    assert (finding.level, "LATIN1" in finding.seen) == (Level.FAIL, True)


@pytest.fixture(scope="module")
def loose() -> Iterator[EmbeddedPostgres]:
    """A server that forgets in a crash, and has room for few."""
    settings = {
        "fsync": "off",
        "full_page_writes": "off",
        "synchronous_commit": "off",
        "max_connections": "14",
    }
    with (
        temporary_directory() as directory,
        EmbeddedPostgres(directory / "data", settings) as server,
    ):
        upgrade(server.url)
        yield server


def test_a_server_that_forgets_in_a_crash_is_told(loose: EmbeddedPostgres):
    finding = found(loose.url)["durability"]
    assert (finding.level, finding.cause) == (Level.FAIL, Cause.DEPENDENCY)
    assert "fsync and full_page_writes off" in finding.seen


def test_a_server_with_too_few_connections_is_told(loose: EmbeddedPostgres):
    """11 for others than superusers: one pod's 13 do not fit; 9 would."""
    assert found(loose.url, lanes=4, pool_max=8)["connections"].level is Level.FAIL
    assert found(loose.url, lanes=4, pool_max=4)["connections"].level is not Level.FAIL


def test_a_role_whose_commits_do_not_wait_is_warned_of(server_url: str, database_url: str):
    """Messages are safe all the same, for the writer sets it; the rest is not."""
    role = urlsplit(server_url).username
    run_sql(database_url, f"ALTER ROLE {role} SET synchronous_commit = off")
    finding = found(server_url)["durability"]
    assert (finding.level, "sign-outs" in finding.seen) == (Level.WARN, True)
    assert role is not None
    assert role in finding.source


# --- what cannot be provoked here


GOOD = Condition(
    180001, "18.1", "UTF8", False, False, "on", "on", "on", 100, 3, -1, -1, 5, "rtchat",
    (behind(None) or [])[-1].number, [], [], 0.0, 0.001,
)  # fmt: skip


def judged(check: str, **seen: Any) -> Finding:
    found = judge(GOOD._replace(**seen), Config(), "db/x", SOURCE, 1, 1.0)
    [finding] = [one for one in found if one.check == check]
    return finding


def test_a_version_that_is_too_old():
    finding = judged("postgresql", version=140019, shown_version="14.19")
    assert (finding.level, "14.19" in finding.seen) == (Level.FAIL, True)
    assert judged("postgresql", version=150000).level is Level.OK


def test_a_replica():
    finding = judged("writable", replica=True)
    assert (finding.level, "replica" in finding.seen) == (Level.FAIL, True)


@pytest.mark.parametrize(
    ("skew_s", "within_s", "level"),
    [
        (0.5, 0.01, Level.OK),
        (-3.0, 0.01, Level.WARN),
        (3.0, 2.0, Level.OK),  # the way there may be all of it
        (31.0, 0.1, Level.FAIL),
        (-31.0, 0.1, Level.FAIL),
    ],
)
def test_a_clock_that_disagrees(skew_s: float, within_s: float, level: Level):
    finding = judged("clock", skew_s=skew_s, within_s=within_s)
    assert finding.level is level
    assert ("ahead of" if skew_s > 0 else "behind") in finding.seen


@pytest.mark.parametrize(
    ("connected", "level"), [(0, Level.OK), (80, Level.OK), (90, Level.WARN), (97, Level.WARN)]
)
def test_other_clients_of_the_server_leave_less_room(connected: int, level: Level):
    assert judged("connections", connected=connected).level is level


def test_a_server_that_hangs_is_not_waited_for(loose: EmbeddedPostgres):
    """Frozen, it takes connections and says nothing."""
    loose.send_signal(signal.SIGSTOP)
    try:
        [finding] = examine(Config(database_url=loose.url), SOURCE, 1, within_s=0.3)
    finally:
        loose.send_signal(signal.SIGCONT)
    assert "no answer in time" in finding.seen
