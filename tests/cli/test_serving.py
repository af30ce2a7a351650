"""`rtchat serve` and `dev` where they cannot serve, and where they end. `drain`: test_prestop."""

import socket
from collections.abc import Iterator

import pytest

from rtchat.server.valkey import PrivateValkey
from tests.cli.running import DATABASE, UNREADABLE, fails, read, run, run_sql
from tests.pods import SECRET_KEY, Pods
from tests.services import Given, temporary_directory


@pytest.fixture
def taken() -> Iterator[str]:
    """A port on which somebody else listens."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        yield str(listener.getsockname()[1])


def test_serve_needs_a_database():
    """It says so, how to name one, and that there is another command for trying out."""
    fails(read("serve"), 2, "RTCHAT_DATABASE_URL", "postgresql://", "rtchat dev")


@pytest.mark.parametrize(
    ("part", "mistake", "words"),
    [
        ("//rtchat:", "//rtchat:geheim", ["password"]),
        ("/rtchat_test", "/no_such_rtchat_test", ["does not exist"]),
    ],
    ids=["password", "name"],
)
def test_serve_with_a_wrong_database_ends_in_time(
    part: str, mistake: str, words: list[str], database_url: str
):
    """Status 3, for what waiting does not mend; it says which, without the password."""
    url = database_url.replace(part, mistake)
    done = run("serve", database_url=url, secret_key=SECRET_KEY, port="0", log_format="json")
    fails(done, 3, "the database cannot be used", *words)


@pytest.mark.parametrize("verb", ["serve", "dev"])
def test_a_url_that_cannot_be_read_is_named_and_not_shown(verb: str):
    """Status 2, before anything is started: no waiting mends it."""
    for url in UNREADABLE:
        done = read(verb, database_url=url, secret_key=SECRET_KEY)
        fails(done, 2, "RTCHAT_DATABASE_URL", "escape / ? # @ [")


@pytest.mark.parametrize("verb", ["serve", "dev"])
@pytest.mark.parametrize(
    "urls",
    [
        "foo://:geheim@127.0.0.1", "redis://:geheim/geheim@127.0.0.1", "127.0.0.1:6379",
        "redis://127.0.0.1?no_such_option=geheim", "rediss://127.0.0.1?ssl_ca_certs=/no/ca.pem",
        "redis://127.0.0.1,redis://127.0.0.1",
    ],
)  # fmt: skip
def test_a_redis_url_that_cannot_be_used_is_a_wrong_setting(verb: str, urls: str):
    """As `rtchat doctor` has it."""
    given = {"database_url": DATABASE, "secret_key": SECRET_KEY}
    fails(read(verb, redis_urls=urls, **given), 2, "RTCHAT_REDIS_URLS")


def test_internal_ports_beyond_the_last_port_are_a_wrong_setting():
    given = {"database_url": DATABASE, "internal_port": "65535", "workers": "2"}
    for verb in ("serve", "dev"):
        done = read(verb, secret_key=SECRET_KEY, redis_urls="redis://127.0.0.1", **given)
        fails(done, 2, "RTCHAT_INTERNAL_PORT", "65535")


def test_serve_on_a_taken_port_ends_in_time(
    database_url: str, taken: str, valkey: PrivateValkey | Given
):
    """Status 3, in the log's form; it names the port. With several workers, too."""
    settings = {"database_url": database_url, "secret_key": SECRET_KEY, "log_format": "json"}
    for more in ({}, {"workers": "2", "redis_urls": valkey.url}):
        done = run("serve", "--port", taken, **settings, **more)
        fails(done, 3, f"cannot listen on 127.0.0.1:{taken}", '"event":"start failed"')


def test_dev_on_a_taken_port_says_so_plainly(taken: str):
    """Status 3, at once: before it starts a database. One line for people, and what to do."""
    with temporary_directory() as directory:
        done = run("dev", "--port", taken, "--data", str(directory / "data"), log_format="json")
        assert not (directory / "data").exists()
    fails(done, 3, f"rtchat: cannot listen on 127.0.0.1:{taken}", "--port 0")
    assert done.err.count("\n") == 1


def test_serve_on_an_old_schema_ends_in_time(database_url: str):
    """Status 3; it tells which command mends that."""
    run_sql(database_url, "DROP SCHEMA public CASCADE", "CREATE SCHEMA public")
    done = run("serve", database_url=database_url, secret_key=SECRET_KEY, port="0")
    fails(done, 3, "rtchat migrate")


def test_serve_ends_well_at_sigterm(database_url: str, pods: Pods):
    """Status 0, soon, and the log tells it."""
    pod = pods.spawn(database_url).wait()
    assert pod.stop(within_s=10) == 0
    assert pod.events("stopping")
    assert "Traceback" not in pod.log()


def test_the_command_line_comes_before_the_environment(database_url: str, taken: str):
    """A port in the environment that would be refused, and one that is free."""
    settings = {"database_url": database_url, "secret_key": SECRET_KEY, "port": "1"}
    fails(run("serve", "--port", taken, **settings), 3, taken)


def test_serve_refuses_keys_that_cannot_be_used():
    """S-15, S-17: before anything is started, whichever setting it is."""
    for setting, value, words in (
        ("signing_key", "no key", "RTCHAT_SIGNING_KEY"),
        ("verification_keys", "no key", "RTCHAT_VERIFICATION_KEYS"),
        ("secret_keys_old", "changeme-changeme-changeme-changeme-9", "RTCHAT_SECRET_KEYS_OLD"),
    ):
        given = {"database_url": DATABASE, "secret_key": SECRET_KEY, setting: value}
        fails(read("serve", **given), 2, words, "rtchat key new")
