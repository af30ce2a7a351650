"""`rtchat migrate` and `epoch`."""

import pytest

from tests.cli.running import DATABASE, UNREADABLE, UNUSABLE, fails, read, run_sql
from tests.pods import SECRET_KEY


def test_the_epoch_is_shown_and_renewed(database_url: str):
    """It says which one took the place of which, and what will happen."""
    shown = read("epoch", database_url=database_url)
    assert shown.status == 0
    renewed = read("epoch", "renew", database_url=database_url)
    assert renewed.status == 0
    assert "every pod notices" in renewed.err
    now = read("epoch", database_url=database_url).out.strip()
    assert renewed.out.strip() == f"the epoch was {shown.out.strip()} and is {now}"
    assert now != shown.out.strip()


@pytest.mark.parametrize("arguments", [["epoch"], ["epoch", "renew"]])
def test_the_epoch_needs_a_schema(arguments: list[str], database_url: str):
    """Status 3; it tells which command mends that, and of which database it speaks."""
    run_sql(database_url, "DROP SCHEMA public CASCADE")
    done = read(*arguments, database_url=database_url)
    fails(done, 3, "rtchat migrate", "RTCHAT_DATABASE_URL", "rtchat doctor")


def test_migrate_brings_the_newest_schema_and_may_be_repeated(database_url: str):
    """Status 0 both times."""
    run_sql(database_url, "DROP SCHEMA public CASCADE", "CREATE SCHEMA public")
    for _ in range(2):
        done = read("migrate", database_url=database_url)
        assert done.status == 0, done.err
        assert "newest schema" in done.out
    assert run_sql(database_url, "SELECT count(*) FROM log_epochs") == [1]


def test_migrate_has_a_url_of_its_own(database_url: str):
    """Where the other one leads to a pooler."""
    done = read("migrate", database_url=DATABASE, migrate_url=database_url)
    assert done.status == 0, done.err


def test_a_url_from_a_file_is_named_by_its_file(tmp_path):
    """So that whoever reads the failure knows which file to correct."""
    file = tmp_path / "url"
    file.write_text(DATABASE)
    done = read("migrate", migrate_url_file=str(file))
    fails(done, 3, f"RTCHAT_MIGRATE_URL, from {file}")


def test_migrate_without_its_database_ends_with_3():
    """Something that rtchat depends on is not there."""
    fails(read("migrate", database_url=DATABASE), 3, "the database cannot be used")


PASSWORD = "correct horse battery"
VERBS = [
    "migrate",
    "epoch renew",
    "user list",
    "user create ann@example.org",
    "channel list",
    "tail 1",
]


@pytest.mark.parametrize("url", [*UNREADABLE, *UNUSABLE])
def test_a_wrong_url_ends_with_2_and_nothing_of_it_is_shown(url: str):
    """In whatever way it is wrong: parsers quote what of the password they stumble over."""
    for verb in VERBS:
        done = read(*verb.split(), stdin=PASSWORD, database_url=url)
        fails(done, 2, "RTCHAT_DATABASE_URL", "escape / ? # @ [ in the password")
        done = read(*verb.split(), stdin=PASSWORD, migrate_url=url, tls_required="0")
        fails(done, 2, "escape / ? # @ [ in the password")


@pytest.mark.parametrize("verb", [*VERBS, "serve"])
def test_a_redis_url_that_cannot_be_read_is_a_wrong_setting_too(verb: str):
    """It is looked at with the others: whether the ways there are safe."""
    given = {"database_url": DATABASE, "secret_key": SECRET_KEY}
    done = read(*verb.split(), redis_urls="redis://:gehe[geheim@h:1", **given)
    fails(done, 2, "RTCHAT_REDIS_URLS")


@pytest.mark.parametrize("arguments", [["migrate"], ["epoch", "renew"], ["user", "list"]])
def test_no_verb_goes_to_another_machine_without_tls(arguments: list[str]):
    """As `rtchat serve` does not: the owner's password would be on that way."""
    elsewhere = "postgresql://owner:secret@192.0.2.1/rtchat"
    done = read(*arguments, migrate_url=elsewhere, database_url=elsewhere)
    fails(done, 2, "RTCHAT_MIGRATE_URL", "sslmode=verify-full", "RTCHAT_TLS_REQUIRED=0")
    assert "secret" not in done.err
