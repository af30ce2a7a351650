"""The command line as a whole: help, wrong settings, and the status that each verb ends with.

What each verb does has tests of its own in `tests/cli`.
"""

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import click
import pytest

import rtchat
from rtchat.cli import main
from rtchat.server.valkey import PrivateValkey
from tests.cli.running import DATABASE, clean, fails, read, run, run_in, run_sql
from tests.pods import SECRET_KEY
from tests.services import Given

TOKEN = "0123456789abcdef"
KEYS = {"secret_key": SECRET_KEY}


def leaves(group: click.Group, before: tuple[str, ...] = ()) -> Iterator[tuple[str, ...]]:
    """Every verb there is, as it is typed; a group that does something by itself among them."""
    for name, command in group.commands.items():
        if isinstance(command, click.Group):
            if command.invoke_without_command:
                yield (*before, name)
            yield from leaves(command, (*before, name))
        else:
            yield (*before, name)


# --- help


def test_help_names_the_commands():
    done = run("--help")
    assert done.status == 0
    for command in main.commands:
        assert f"\n  {command} " in done.out
    assert run("-h").out == done.out


@pytest.mark.parametrize("verb", list(leaves(main)), ids=" ".join)
def test_every_verb_explains_itself(verb: tuple[str, ...]):
    done = read(*verb, "--help")
    assert done.status == 0
    usage, words = done.out.split("\n\n")[:2]
    assert usage.startswith(f"Usage: rtchat {' '.join(verb)}")
    assert words.strip(), "what it does"


def test_the_version_is_the_packages():
    done = run("--version")
    assert (done.status, done.out.strip()) == (0, f"rtchat, version {rtchat.__version__}")


@pytest.mark.parametrize(
    "arguments", [["--help"], ["serve", "--help"], ["config"], ["completion", "bash"]]
)
def test_what_only_talks_loads_no_machinery(arguments: list[str]):
    """Neither drivers nor server: so that help comes at once."""
    code = (
        "import sys, rtchat.cli\n"
        f"try: rtchat.cli.main({arguments!r})\n"
        "except SystemExit: pass\n"
        "heavy = {'asyncpg', 'sqlalchemy', 'alembic', 'uvicorn', 'uvloop', 'redis', 'websockets',"
        " 'authlib', 'bcrypt', 'jwt', 'asyncio', 'httpx2', 'prometheus_client'}\n"
        "print('LOADED', sorted(heavy & set(sys.modules)))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], env=clean(), capture_output=True, text=True, check=True
    )
    assert done.stdout.splitlines()[-1] == "LOADED []"


@pytest.mark.parametrize(
    "arguments",
    [["nonsense"], ["serve", "--nonsense"], ["serve", "extra"], ["serve", "--port", "x"],
     ["serve", "--port", "65536"], ["serve", "--port", "-1"], ["serve", "--workers", "x"],
     ["serve", "--workers", "-1"], ["serve", "--workers", "257"], ["migrate", "extra"],
     ["drain", "--port", "0"], ["drain", "--hold", "601"], ["tail"], ["tail", "1", "--from", "0"],
     ["user", "list", "--limit", "0"], ["token", "mint"], ["completion", "cmd"]],
    ids=" ".join,
)  # fmt: skip
def test_a_wrong_command_line_ends_with_2(arguments: list[str]):
    fails(read(*arguments), 2)


@pytest.mark.parametrize(
    "arguments",
    [["user", "show", "\udcff"], ["tail", "\udcff\x1b"], ["serve", "--host", "\udcff"], ["\udcff"]],
)
def test_an_argument_that_is_no_utf_8_ends_with_2(arguments: list[str]):
    """It could be neither shown nor stored: here as Python has bytes that are none."""
    done = read(*arguments, database_url=DATABASE, secret_key=SECRET_KEY)
    fails(done, 2, "\\udcff")
    assert "\x1b" not in done.err


# --- settings that are wrong


@pytest.mark.parametrize("command", ["config", "serve", "migrate", "dev", "doctor", "stat"])
def test_an_unknown_variable_is_refused_with_the_nearest_name(command: str):
    """A slip of the pen leaves no limit at its default."""
    done = read(command, pool_maxx="9", database_url=DATABASE, secret_key=SECRET_KEY)
    assert done.status == 2
    for word in ("RTCHAT_POOL_MAXX", "RTCHAT_POOL_MAX?"):
        assert word in done.out + done.err


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


# --- the status of each verb


class Ends(NamedTuple):
    """What makes a verb end with 2 and with 3: arguments and settings; None: nothing does.

    With 2 and 3 it needs what is named in the words, too. How it ends with 0 is seen where its work
    is tested.
    """

    wrong: tuple[tuple[str, ...], dict[str, str], str] | None
    away: tuple[tuple[str, ...], dict[str, str], str] | None


NO_DATABASE = "RTCHAT_DATABASE_URL"
AWAY = "the database cannot be used"
THERE = {"database_url": DATABASE}


def at_the_database(*arguments: str, **settings: str) -> Ends:
    """A verb that needs the database, and nothing else that could be missing."""
    given = {**THERE, **settings}
    return Ends((arguments, settings, NO_DATABASE), (arguments, given, "RTCHAT_DATABASE_URL"))


def only_wrong(setting: str) -> Ends:
    """A verb that depends on nothing but its settings."""
    return Ends(((), {setting: "nonsense"}, f"RTCHAT_{setting.upper()}"), None)


ENDS: dict[tuple[str, ...], Ends] = {
    ("dev",): Ends(
        (("--workers", "300"), {}, "--workers"),
        (("--data", "/proc/no"), {"port": "0"}, "--data"),
    ),
    ("serve",): Ends(
        ((), KEYS, NO_DATABASE), ((), {**KEYS, **THERE, "host": "192.0.2.1"}, "192.0.2.1")
    ),
    ("drain",): Ends(
        ((), {}, "RTCHAT_INTERNAL_TOKEN"),
        ((), {"internal_token": TOKEN, "port": "1"}, "RTCHAT_PORT; start it, or name another"),
    ),
    ("migrate",): at_the_database(),
    ("epoch",): at_the_database(),
    ("epoch", "renew"): at_the_database(),
    ("user", "list"): at_the_database(),
    ("user", "show"): at_the_database("1"),
    ("user", "create"): at_the_database("ann@example.org"),
    ("user", "password"): at_the_database("1"),
    ("user", "sessions"): at_the_database("1"),
    ("user", "end-sessions"): at_the_database("1"),
    ("user", "disable"): at_the_database("1"),
    ("user", "enable"): at_the_database("1"),
    ("channel", "list"): at_the_database(),
    ("channel", "show"): at_the_database("1"),
    ("token", "mint"): at_the_database("1", **KEYS),
    ("token", "check"): Ends(((), {}, "RTCHAT_SECRET_KEY"), None),  # 3: in tests/cli/test_tokens
    ("key", "new"): Ends((("--alg", "none"), {}, "--alg"), None),
    ("stat",): Ends(
        ((), {}, "RTCHAT_INTERNAL_TOKEN"),
        (("127.0.0.1:1",), {"internal_token": TOKEN}, "no pod answers"),
    ),
    ("tail",): at_the_database("1"),
    ("chat",): Ends(((), {}, "name the channel"), None),  # 3: in tests/cli/test_chat
    ("doctor",): Ends(None, None),  # in tests/cli/test_diagnosis: it has no failure in one line
    ("config",): only_wrong("pool_max"),
    ("openapi",): only_wrong("pool_max"),
    ("asyncapi",): only_wrong("pool_max"),
    ("completion",): Ends((("cmd",), {}, "bash"), None),
}
PASSWORD = "correct horse battery\n"


def test_every_verb_stands_in_the_table():
    assert set(leaves(main)) == ENDS.keys()


@pytest.mark.parametrize("verb", [v for v, ends in ENDS.items() if ends.wrong], ids=" ".join)
def test_what_is_wrong_ends_with_2(verb: tuple[str, ...]):
    ends = ENDS[verb].wrong
    assert ends is not None
    arguments, settings, words = ends
    fails(read(*verb, *arguments, stdin=PASSWORD, **settings), 2, words)


# Those that would serve do it in a process of their own.
@pytest.mark.parametrize("verb", [v for v, ends in ENDS.items() if ends.away], ids=" ".join)
def test_what_is_not_there_ends_with_3(verb: tuple[str, ...]):
    ends = ENDS[verb].away
    assert ends is not None
    arguments, settings, words = ends
    if verb in {("serve",), ("dev",)}:
        fails(run(*verb, *arguments, **settings), 3, words)
    else:
        done = read(*verb, *arguments, stdin=PASSWORD, **settings)
        fails(done, 3, words)
        assert DATABASE not in settings.values() or AWAY in done.err or "migration" in done.err


def test_what_nobody_foresaw_ends_with_1():
    """Here: a full disk under the output."""
    with Path("/dev/full").open("w") as full:
        done = subprocess.run(
            [sys.executable, "-m", "rtchat", "config"],
            env=clean(), stdout=full, stderr=subprocess.PIPE, text=True, timeout=30, check=False,
        )  # fmt: skip
    assert (done.returncode, "No space left" in done.stderr) == (1, True), done.stderr


# --- several workers, whose ends are one


def test_several_workers_without_redis_are_refused(database_url: str):
    """Status 2; it says what to set, and what goes without."""
    done = read("serve", "--workers", "2", database_url=database_url, secret_key=SECRET_KEY)
    fails(done, 2, "RTCHAT_REDIS_URLS", "redis://", "--workers 1", "rtchat dev")


def test_workers_that_cannot_start_end_all_with_their_status(
    database_url: str, valkey: PrivateValkey | Given
):
    """As one process would end: with 3, at once, and the reason; here an old schema."""
    settings = {"database_url": database_url, "secret_key": SECRET_KEY, "redis_urls": valkey.url}
    run_sql(database_url, "DROP SCHEMA public CASCADE", "CREATE SCHEMA public")
    fails(run("serve", "--workers", "2", port="0", **settings), 3, "rtchat migrate")
