"""The server's database role: what it is given is what the server needs, and nothing else."""

import asyncio
import re
import secrets
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator
from typing import Any, NamedTuple
from urllib.parse import urlsplit

import asyncpg
import httpx2
import pytest
from asyncpg import exceptions as pg

from rtchat.config import Config
from rtchat.errors import StartError
from rtchat.store import privileges
from rtchat.store.channels import ChannelStore
from rtchat.store.database import Database
from rtchat.store.schema import metadata
from tests.contract.rest import Caller, answer, no_content
from tests.people import People
from tests.pods import ROOT, Pod, Pods
from tests.services import Databases
from tests.sockets import wire

PASSWORD = "correct horse battery"


class Roles(NamedTuple):
    """One database, reached as its owner, as the server's role, and as the superuser."""

    owner_url: str
    server_url: str
    admin_url: str
    server: str


def as_role(url: str, role: str) -> str:
    parts = urlsplit(url)
    return parts._replace(netloc=f"{role}:{role}@{parts.hostname}:{parts.port}").geturl()


def execute(url: str, *statements: str) -> None:
    async def run() -> None:
        connection = await asyncpg.connect(url)
        for statement in statements:
            await connection.execute(statement)
        await connection.close()

    with asyncio.Runner() as runner:
        runner.run(run())


def migrate(url: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "rtchat", "migrate", *arguments],
        env={"RTCHAT_DATABASE_URL": url, "PATH": ""},
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=50,
    )


@pytest.fixture(scope="module")
def roles(databases: Databases) -> Iterator[Roles]:
    """A database whose owner migrated it and granted the server's role what it needs."""
    name = secrets.token_hex(4)
    owner, server = f"owner_{name}", f"Server-{name}"  # a name that wants quoting
    with databases.fresh(migrated=False) as url:
        execute(
            url,
            f"CREATE ROLE {owner} LOGIN PASSWORD '{owner}'",
            f"CREATE ROLE \"{server}\" LOGIN PASSWORD '{server}'",
            f"ALTER DATABASE {urlsplit(url).path[1:]} OWNER TO {owner}",
        )
        made = Roles(as_role(url, owner), as_role(url, server), url, server)
        done = migrate(made.owner_url, "--grant", server)
        assert done.returncode == 0, done.stderr
        yield made
        execute(url, f'DROP OWNED BY "{server}"', f'DROP ROLE "{server}"')
    execute(databases.url, f"DROP ROLE {owner}")


@pytest.fixture(scope="module")
async def server_pod(roles: Roles, pods: Pods) -> AsyncIterator[Pod]:
    """A pod that serves as that role."""
    pod = await pods.start(roles.server_url)
    yield pod
    pod.kill()


def statements() -> dict[str, set[str]]:
    """What the server's own SQL does to each table, besides reading."""
    found: dict[str, set[str]] = {}
    patterns = {
        "INSERT": r"INSERT INTO (\w+)|copy_records_to_table\(\s*\"(\w+)\"",
        "UPDATE": r"UPDATE (\w+) (?:AS \w+ |\w )?SET\b|INSERT INTO (\w+)[^;\"]*DO UPDATE",
        "DELETE": r"DELETE FROM (\w+)",
    }
    for path in (ROOT / "rtchat" / "store").glob("*.py"):
        text = re.sub(
            r"\"\s*\n\s*f?\"", "", path.read_text()
        )  # strings that go on in the next line
        for verb, pattern in patterns.items():
            for groups in re.findall(pattern, text):
                table = next(filter(None, groups)) if isinstance(groups, tuple) else groups
                found.setdefault(table, set()).add(verb)
    return found


def test_the_table_of_privileges_is_the_schema_and_what_the_statements_do() -> None:
    """Every table stands in it, with the verbs that `store` uses and no other."""
    assert set(privileges.PRIVILEGES) == set(metadata.tables) | {"alembic_version"}
    needed = statements()
    needed["log_epochs"].remove("INSERT")  # `rtchat epoch renew`, by the schema's owner
    for table, granted in privileges.PRIVILEGES.items():
        assert set(granted) == needed.get(table, set()) | {"SELECT"}, table


async def said_and_reacted_to(pod: Pod, bob: Caller, channel: int) -> int:
    async with wire(pod.ws_url, bob.person) as socket:
        await socket.ask({"t": "sub", "ref": 1, "ch": {str(channel): 0}})
        await socket.send({"t": "send", "ref": 2, "ch": channel, "content": "hi"})
        seq: int = (await socket.until(t="ack", ref=2))[-1]["seq"]
        for ref, on in ((3, True), (4, False), (5, True)):
            about = {"ch": channel, "of": seq, "emoji": "👍", "on": on}
            await socket.send({"t": "react", "ref": ref, **about})
            await socket.until(t="ack", ref=ref)
    return seq


async def test_a_pod_serves_with_no_more_than_that(server_pod: Pod, roles: Roles) -> None:
    """Accounts, sessions, channels, members, messages and what becomes of them: as that role."""
    async with httpx2.AsyncClient(base_url=server_pod.url, timeout=20) as http:
        account = {"email": "ann@example.org", "password": PASSWORD, "name": "Ann"}
        answer(await http.post("/auth/register", json=account), 201)
        session = answer(await http.post("/auth/login", json=account))
        renewed = {"refreshToken": session["refreshToken"]}
        bearer = answer(await http.post("/auth/refresh", json=renewed))["accessToken"]
        signed_in = {"Authorization": f"Bearer {bearer}"}
        changed = {"currentPassword": PASSWORD, "newPassword": PASSWORD[::-1]}
        no_content(await http.post("/auth/password", json=changed, headers=signed_in))
        answer(await http.get("/auth/sessions", headers=signed_in))
        answer(await http.get("/auth/identities", headers=signed_in))
        async with People(roles.admin_url) as people:
            ann, bob = [Caller(http, await people.new(name)) for name in ("ann", "bob")]
        answer(await ann.patch("/users/me", {"status": "here"}))
        channel = await ann.makes("public")
        path = f"/channels/{channel['id']}"
        answer(await bob.post(f"{path}/join"))
        answer(await ann.patch(f"{path}/members/{bob.id}", {"role": "admin"}))
        seq = await said_and_reacted_to(server_pod, bob, channel["id"])
        message = f"{path}/messages/{seq}"
        answer(await bob.patch(message, {"content": "ho"}))
        no_content(await ann.delete(message))
        answer(await ann.patch(path, {"name": "renamed"}))
        await bob.reads(channel)
        answer(await bob.get(f"{path}/members"))
        no_content(await ann.delete(f"{path}/members/{bob.id}"))
        await ann.makes("dm", bob)
        no_content(await ann.delete(path))
        no_content(await bob.post("/auth/logout", {"all": True}))
        assert (await http.get("/readyz")).status_code == 200
    logged = [e for e in server_pod.events() if e["logger"].startswith("rtchat.store")]
    complaints = [e for e in logged if e["level"] in ("warning", "error")]
    assert complaints == []


async def test_what_was_deleted_is_purged(server_pod: Pod, roles: Roles) -> None:
    """The housekeeping too, which a pod does a minute later."""
    async with People(roles.admin_url) as people:
        ann = await people.new("ann")
    async with httpx2.AsyncClient(base_url=server_pod.url, timeout=20) as http:
        caller = Caller(http, ann)
        channel = await caller.makes("public")
        await caller.says(channel, "hi")
        no_content(await caller.delete(f"/channels/{channel['id']}"))
    database = Database(Config(database_url=roles.server_url))
    await database.open()
    try:
        while await ChannelStore(database, 10).purge_dropped(0.0, 100):
            pass
        found = await database.fetch("SELECT FROM channels WHERE id = $1", channel["id"])
        assert found == []
    finally:
        await database.close()


@pytest.mark.parametrize(
    "statement",
    [
        "CREATE TABLE mine (id int)",
        "CREATE SCHEMA mine",
        "CREATE FUNCTION f() RETURNS int LANGUAGE sql AS 'SELECT 1'",
        "CREATE ROLE other",
        "DROP TABLE messages",
        "ALTER TABLE users ADD COLUMN x int",
        "CREATE INDEX ON users (name)",
        "TRUNCATE messages",
        "DELETE FROM users",
        "UPDATE alembic_version SET version_num = '9999'",
        "INSERT INTO log_epochs DEFAULT VALUES",
        "SELECT rolpassword FROM pg_authid",
        "SELECT pg_read_file('/etc/passwd')",
        "COPY users TO PROGRAM 'cat'",
        "ALTER SYSTEM SET fsync = off",
        "SET ROLE pg_database_owner",
    ],
)
async def test_the_servers_role_may_do_nothing_else(roles: Roles, statement: str) -> None:
    """S-68: no DDL, no other table, no file, no other role."""
    connection = await asyncpg.connect(roles.server_url)
    try:
        with pytest.raises(pg.InsufficientPrivilegeError):
            await connection.execute(statement)
    finally:
        await connection.close()


def test_granting_again_takes_away_what_is_too_much(roles: Roles) -> None:
    """It may be repeated; what somebody else granted meanwhile is gone after it."""

    async def may() -> Any:
        connection = await asyncpg.connect(roles.admin_url)
        found = await connection.fetch(
            "SELECT table_name, array_agg(privilege_type::text ORDER BY privilege_type) AS may"
            " FROM information_schema.role_table_grants WHERE grantee = $1 GROUP BY table_name",
            roles.server,
        )
        await connection.close()
        return {row["table_name"]: tuple(row["may"]) for row in found}

    execute(roles.admin_url, f'GRANT ALL ON users, log_epochs TO "{roles.server}"')
    assert migrate(roles.owner_url, "--grant", roles.server).returncode == 0
    with asyncio.Runner() as runner:
        granted = runner.run(may())
    assert granted == {t: tuple(sorted(p)) for t, p in privileges.PRIVILEGES.items()}


async def test_a_role_that_lacks_something_is_told_how_to_get_it(roles: Roles) -> None:
    """Before a request finds out; the start ends with what to do."""
    admin = await asyncpg.connect(roles.admin_url)
    served = await asyncpg.connect(roles.server_url)
    try:
        await admin.execute(f'REVOKE UPDATE, DELETE ON sessions FROM "{roles.server}"')
        with pytest.raises(StartError, match=r"sessions: DELETE, UPDATE.*rtchat migrate --grant"):
            await privileges.require(served)
    finally:
        await admin.execute(f'GRANT UPDATE, DELETE ON sessions TO "{roles.server}"')
        await privileges.require(served)
        await admin.close()
        await served.close()


@pytest.mark.parametrize(
    ("role", "says"),
    [
        ("nobody-of-that-name", r"there is no role nobody-of-that-name: CREATE ROLE"),
        ("owner", r"owns the tables and may create in the schema.*another one"),
        ("admin", r"is a superuser.*another one"),
    ],
)
def test_a_role_that_could_take_more_gets_nothing(roles: Roles, role: str, says: str) -> None:
    """The error says why, and exit status 3."""
    urls = {"owner": roles.owner_url, "admin": roles.admin_url}
    name = (urlsplit(urls[role]).username or "") if role in urls else role
    done = migrate(roles.owner_url, "--grant", name)
    assert done.returncode == 3
    assert re.search(says, done.stderr), done.stderr


@pytest.mark.parametrize(
    ("give", "take"),
    [
        ("ALTER ROLE {} CREATEROLE", "ALTER ROLE {} NOCREATEROLE"),
        ("ALTER ROLE {} CREATEDB", "ALTER ROLE {} NOCREATEDB"),
        ("GRANT pg_write_all_data TO {}", "REVOKE pg_write_all_data FROM {}"),
        ("GRANT pg_execute_server_program TO {}", "REVOKE pg_execute_server_program FROM {}"),
    ],
)
def test_a_role_with_powers_over_the_server_gets_nothing(
    roles: Roles, give: str, take: str
) -> None:
    """By such a one it could give itself the rest: programs, files, other roles."""
    name = f'"{roles.server}"'
    execute(roles.admin_url, give.format(name))
    try:
        done = migrate(roles.owner_url, "--grant", roles.server)
    finally:
        execute(roles.admin_url, take.format(name))
    assert done.returncode == 3
    assert "powers over the server" in done.stderr
    assert migrate(roles.owner_url, "--grant", roles.server).returncode == 0


async def test_a_pod_warns_of_a_role_that_may_do_more(pod: Pod) -> None:
    """The session's pod serves as the superuser."""
    (warned,) = [e for e in pod.events() if "more than it needs" in e["event"]]
    assert (warned["level"], warned["excess"]) == ("warning", ["is a superuser"])
