"""The command line: what each command says, and the status it ends with."""

import asyncio
import os
import socket
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import asyncpg
import pytest
from click.testing import CliRunner

import rtchat
from rtchat.auth.keys import KeyRing
from rtchat.cli import main
from rtchat.config import Config
from rtchat.server.valkey import PrivateValkey
from tests.pods import SECRET_KEY, Pods
from tests.services import Given

DATABASE = "postgresql://ann:geheim@127.0.0.1:1/x"  # nobody listens there


@dataclass(frozen=True, slots=True)
class Run:
    """How a command ended."""

    status: int
    out: str
    err: str


def run(*arguments: str, **settings: str) -> Run:
    """Run `rtchat` with these settings (names in lower case, without the prefix) and no others."""
    variables = {f"RTCHAT_{name.upper()}": value for name, value in settings.items()}
    return run_in(variables, *arguments)


def run_in(variables: Mapping[str, str], *arguments: str) -> Run:
    """Run `rtchat` with these variables."""
    clean = {k: v for k, v in os.environ.items() if not k.startswith("RTCHAT_")}
    done = subprocess.run(
        [sys.executable, "-m", "rtchat", *arguments],
        env={**clean, **variables},
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    )
    return Run(done.returncode, done.stdout, done.stderr)


def read(*arguments: str, **settings: str) -> Run:
    """What `run` gives, without a process: for command lines that start nothing."""
    clean: dict[str, str | None] = {k: None for k in os.environ if k.startswith("RTCHAT_")}
    given = {f"RTCHAT_{name.upper()}": value for name, value in settings.items()}
    result = CliRunner().invoke(main, arguments, env={**clean, **given}, prog_name="rtchat")
    assert result.exception is None or isinstance(result.exception, SystemExit), result.exception
    return Run(result.exit_code, result.stdout, result.stderr)


def fails(done: Run, status: int, *words: str) -> None:
    """Check that a command failed with one helpful line, and gave no secret away."""
    assert done.status == status, (done.out, done.err)
    assert "Traceback" not in done.err
    for word in words:
        assert word in done.err, done.err
    assert "geheim" not in done.out + done.err


# --- help


def test_help_names_the_commands():
    done = run("--help")
    assert done.status == 0
    for command in ("dev", "serve", "migrate", "config", "key"):
        assert f"\n  {command} " in done.out
    assert run("-h").out == done.out


def test_every_command_explains_itself():
    for command in ("dev", "serve", "migrate", "config", "key"):
        done = read(command, "--help")
        assert done.status == 0
        assert f"rtchat {command}" in done.out


def test_the_version_is_the_packages():
    done = run("--version")
    assert (done.status, done.out.strip()) == (0, f"rtchat, version {rtchat.__version__}")


@pytest.mark.parametrize("arguments", [["--help"], ["serve", "--help"], ["config"]])
def test_what_only_talks_loads_no_machinery(arguments: list[str]):
    """Neither drivers nor server: so that help comes at once."""
    code = (
        "import sys, rtchat.cli\n"
        f"try: rtchat.cli.main({arguments!r})\n"
        "except SystemExit: pass\n"
        "heavy = {'asyncpg', 'sqlalchemy', 'alembic', 'uvicorn', 'uvloop', 'redis', 'websockets',"
        " 'authlib', 'bcrypt', 'jwt', 'asyncio'}\n"
        "print('LOADED', sorted(heavy & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1] == "LOADED []"


@pytest.mark.parametrize(
    "arguments",
    [["nonsense"], ["serve", "--nonsense"], ["serve", "extra"], ["serve", "--port", "x"],
     ["serve", "--port", "65536"], ["serve", "--port", "-1"], ["serve", "--workers", "x"],
     ["serve", "--workers", "-1"], ["serve", "--workers", "257"], ["migrate", "extra"]],
)  # fmt: skip
def test_a_wrong_command_line_ends_with_2(arguments: list[str]):
    fails(read(*arguments), 2)


# --- config


def test_config_shows_every_setting(tmp_path: Path):
    """Each with its value, where it came from and what it means; secrets are masked."""
    secret_file = tmp_path / "secret"
    secret_file.write_text("geheim-from-a-file\n")
    done = run(
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


# --- settings that are wrong


@pytest.mark.parametrize("command", ["config", "serve", "migrate", "dev"])
def test_an_unknown_variable_is_refused_with_the_nearest_name(command: str):
    """A slip of the pen leaves no limit at its default."""
    done = read(command, pool_maxx="9", database_url=DATABASE, secret_key=SECRET_KEY)
    fails(done, 2, "RTCHAT_POOL_MAXX", "RTCHAT_POOL_MAX?")


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"pool_max": "many"}, ["RTCHAT_POOL_MAX", "many"]),
        ({"pool_max": "0"}, ["RTCHAT_POOL_MAX", "1"]),
        ({"pool_max": "1001"}, ["RTCHAT_POOL_MAX", "1000"]),
        ({"pool_max": ""}, ["RTCHAT_POOL_MAX"]),
        ({"pool_max": "1.5"}, ["RTCHAT_POOL_MAX"]),
        ({"log_level": "loud"}, ["RTCHAT_LOG_LEVEL", "loud"]),
        ({"bus_prefix": "a b"}, ["RTCHAT_BUS_PREFIX"]),
        ({"write_low_bytes": "2000", "write_high_bytes": "1024"}, ["write_low_bytes"]),
        ({"content_max_chars": "16000"}, ["content_max_chars", "frame_max_bytes"]),
        ({"pool_max": "3", "pool_max_file": "/x"}, ["RTCHAT_POOL_MAX_FILE"]),
        ({"secret_key_file": "/no/such/file"}, ["RTCHAT_SECRET_KEY_FILE", "/no/such/file"]),
        ({"secret_key": "geheim" * 1000}, ["RTCHAT_SECRET_KEY"]),
    ],
    ids=lambda value: ",".join(value) if isinstance(value, dict) else "",
)
def test_a_wrong_setting_is_named(settings: dict[str, str], words: list[str]):
    """Which one, and what it should be; never the value of a secret."""
    fails(read("config", **settings), 2, *words)


def test_variables_of_others_are_left_alone():
    """Those of tests and benches, and of the rest of the world."""
    variables = {"RTCHAT_TEST_X": "1", "RTCHAT_BENCH_X": "1", "RTCHA_X": "1", "OTHER": "1"}
    assert run_in(variables, "config").status == 0


# --- serve


def test_serve_needs_a_database():
    """It says so, how to name one, and that there is another command for trying out."""
    fails(run("serve"), 2, "RTCHAT_DATABASE_URL", "postgresql://", "rtchat dev")


@pytest.mark.parametrize(
    "secret",
    ["", "short", "geheim", "x" * 64, "abcabcabc" * 8, "changeme-changeme-changeme-changeme",
     "your-secret-key-goes-here-0123456789", "this is an EXAMPLE, of thirty-two bytes and more"],
)  # fmt: skip
def test_serve_needs_a_secret_that_nobody_knows(secret: str):
    """S-15, S-17: none, short, of few letters, or a sample's; it tells how to make one."""
    done = read("serve", database_url=DATABASE, secret_key=secret)
    fails(done, 2, "RTCHAT_SECRET_KEY", "rtchat key new")
    assert not secret or secret not in done.err


@pytest.mark.parametrize(
    ("part", "mistake", "words"),
    [
        ("//rtchat:", "//rtchat:geheim", ["password"]),
        ("/rtchat_test", "/no_such_rtchat_test", ["does not exist"]),
        ("postgresql:", "nonsense:", ["postgresql"]),
    ],
    ids=["password", "name", "url"],
)
def test_serve_with_a_wrong_database_ends_in_time(
    part: str, mistake: str, words: list[str], database_url: str
):
    """Status 3, for what waiting does not mend; it says which, without the password."""
    url = database_url.replace(part, mistake)
    done = run("serve", database_url=url, secret_key=SECRET_KEY, port="0", log_format="json")
    fails(done, 3, "the database cannot be used", *words)


def test_serve_on_a_taken_port_ends_in_time(database_url: str):
    """Status 3; it names the port."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        done = run("serve", "--port", str(port), database_url=database_url, secret_key=SECRET_KEY)
    fails(done, 3, str(port))


def test_serve_on_an_old_schema_ends_in_time(database_url: str):
    """Status 3; it tells which command mends that."""
    run_sql(database_url, "DROP SCHEMA public CASCADE")
    run_sql(database_url, "CREATE SCHEMA public")
    done = run("serve", database_url=database_url, secret_key=SECRET_KEY, port="0")
    fails(done, 3, "rtchat migrate")


def test_several_workers_without_redis_are_refused(database_url: str):
    """Status 2; it says what to set, and what goes without."""
    done = read("serve", "--workers", "2", database_url=database_url, secret_key=SECRET_KEY)
    fails(done, 2, "RTCHAT_REDIS_URLS", "redis://", "--workers 1", "rtchat dev")


def test_workers_that_cannot_start_end_all_with_their_status(
    database_url: str, valkey: PrivateValkey | Given
):
    """As one process would end: with 3, at once, and the reason; here an old schema, then a port
    that is taken."""
    settings = {"database_url": database_url, "secret_key": SECRET_KEY, "redis_urls": valkey.url}
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = str(taken.getsockname()[1])
        fails(run("serve", "--workers", "2", "--port", port, **settings), 3, port)
    run_sql(database_url, "DROP SCHEMA public CASCADE")
    run_sql(database_url, "CREATE SCHEMA public")
    fails(run("serve", "--workers", "2", port="0", **settings), 3, "rtchat migrate")


def test_serve_ends_well_at_sigterm(database_url: str, pods: Pods):
    """Status 0, soon, and the log tells it."""
    pod = pods.spawn(database_url).wait()
    assert pod.stop(within_s=10) == 0
    assert pod.events("stopping")
    assert "Traceback" not in pod.log()


def test_the_command_line_comes_before_the_environment(database_url: str):
    """A port in the environment that would be refused, and one that is free."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = str(taken.getsockname()[1])
        settings = {"database_url": database_url, "secret_key": SECRET_KEY, "port": "1"}
        fails(run("serve", "--port", port, **settings), 3, port)


# --- epoch


def test_the_epoch_is_shown_and_renewed(database_url: str):
    """It says which one took the place of which, and what will happen."""
    shown = run("epoch", database_url=database_url)
    assert shown.status == 0
    renewed = run("epoch", "renew", database_url=database_url)
    assert renewed.status == 0
    assert "every pod notices" in renewed.err
    now = run("epoch", database_url=database_url).out.strip()
    assert renewed.out.strip() == f"the epoch was {shown.out.strip()} and is {now}"
    assert now != shown.out.strip()


@pytest.mark.parametrize("arguments", [["epoch"], ["epoch", "renew"]])
def test_the_epoch_needs_a_database(arguments: list[str], database_url: str):
    """Status 2 where none is named, 3 where it is not there or has no schema."""
    fails(read(*arguments), 2, "RTCHAT_DATABASE_URL")
    fails(run(*arguments, database_url=DATABASE), 3, "the database cannot be used")
    run_sql(database_url, "DROP SCHEMA public CASCADE")
    fails(run(*arguments, database_url=database_url), 3, "rtchat migrate")


# --- migrate


def run_sql(url: str, statement: str) -> None:
    async def execute() -> None:
        connection = await asyncpg.connect(url)
        await connection.execute(statement)
        await connection.close()

    with asyncio.Runner() as runner:
        runner.run(execute())


def test_migrate_brings_the_newest_schema_and_may_be_repeated(database_url: str):
    """Status 0 both times."""
    run_sql(database_url, "DROP SCHEMA public CASCADE")
    run_sql(database_url, "CREATE SCHEMA public")
    for _ in range(2):
        done = run("migrate", database_url=database_url)
        assert done.status == 0, done.err
        assert "newest schema" in done.out
    run_sql(database_url, "SELECT epoch FROM log_epochs")


def test_migrate_has_a_url_of_its_own(database_url: str):
    """Where the other one leads to a pooler."""
    done = run("migrate", database_url=DATABASE, migrate_url=database_url)
    assert done.status == 0, done.err


def test_migrate_needs_a_database():
    fails(run("migrate"), 2, "RTCHAT_DATABASE_URL")


@pytest.mark.parametrize("url", [DATABASE, "nonsense"])
def test_migrate_without_its_database_ends_with_3(url: str):
    """Something that rtchat depends on is not there."""
    fails(run("migrate", database_url=url), 3, "migration")


# --- keys


@pytest.mark.parametrize("algorithm", ["EdDSA", "RS256", "ES256", "HS256"])
def test_key_new_prints_a_key_and_nothing_else(algorithm: str):
    """So that it can be sent into the file that the setting names."""
    done = read("key", "new", "--alg", algorithm)
    assert (done.status, done.err) == (0, "")
    made: dict[str, Any] = {"secret_key": SECRET_KEY, "signing_key": ""}
    name = "secret_key" if algorithm == "HS256" else "signing_key"
    assert KeyRing(Config(**made | {name: done.out})).signing.algorithm == algorithm


def test_serve_refuses_keys_that_cannot_be_used():
    """S-15, S-17: before anything is started, whichever setting it is."""
    for setting, value, words in (
        ("signing_key", "no key", "RTCHAT_SIGNING_KEY"),
        ("verification_keys", "no key", "RTCHAT_VERIFICATION_KEYS"),
        ("secret_keys_old", "changeme-changeme-changeme-changeme-9", "RTCHAT_SECRET_KEYS_OLD"),
    ):
        given = {"database_url": DATABASE, "secret_key": SECRET_KEY, setting: value}
        fails(read("serve", **given), 2, words, "rtchat key new")


# --- users


def test_user_disable_and_enable(database_url: str):
    """S-31: told who it is and how many sessions ended; may be repeated."""
    run_sql(database_url, "INSERT INTO users (email, name) VALUES ('Ann@example.org', 'Ann')")
    opened = "INSERT INTO sessions (user_id, expires_at) SELECT id, now() + '1 day' FROM users"
    for _ in range(2):
        run_sql(database_url, opened)
    for command, words in (
        ("disable", "is disabled; 2 sessions have ended"),
        ("disable", "is disabled; 0 sessions have ended"),
        ("enable", "is enabled; 0 sessions have ended"),
    ):
        done = run("user", command, "ann@EXAMPLE.org", database_url=database_url)
        assert (done.status, words in done.out) == (0, True), done
        assert f'"event":"user {command}d"' in done.err
    missing = run("user", "disable", "bob@example.org", database_url=database_url)
    fails(missing, 2, "no user bob@example.org")


def test_user_disable_needs_its_database():
    for arguments in (["user", "disable", "ann@example.org"], ["user", "enable", "x"]):
        fails(run(*arguments), 2, "RTCHAT_DATABASE_URL")
        fails(run(*arguments, database_url=DATABASE), 3, "the database cannot be used")
