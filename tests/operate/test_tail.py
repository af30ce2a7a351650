"""`rtchat tail`: every entry in order, none missing, whatever becomes of the database meanwhile."""

import json
import secrets
import signal
import subprocess
import time
from collections.abc import Iterator
from typing import Any
from urllib.parse import urlsplit

import pytest

from tests.cli.running import Run, fails, read, run_sql, running

MESSAGE, EDIT, DELETE, JOIN, LEAVE, RENAME, DROP = 1, 2, 3, 6, 7, 8, 9
ENTRY = """
WITH n AS (UPDATE channels SET last_seq = last_seq + 1 WHERE id = 1 RETURNING last_seq)
INSERT INTO messages (channel_id, seq, kind, user_id, target, content, timestamp, nonce)
SELECT 1, last_seq, {kind}, 1, {target}, {content}, now(), gen_random_uuid()::text FROM n
"""

READ_BY_NOW = (
    "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database()"
    " AND query LIKE 'COMMIT%' AND state = 'idle' AND pid <> pg_backend_pid()"
)


def entry(kind: int, content: str | None = None, target: int | None = None) -> str:
    """The statement that puts the next entry into the channel's log."""
    said = "NULL" if content is None else f"convert_from('\\x{content.encode().hex()}', 'UTF8')"
    return ENTRY.format(kind=kind, target=target or "NULL", content=said)


@pytest.fixture
def url(database_url: str) -> str:
    """A database with a channel."""
    run_sql(
        database_url,
        "INSERT INTO users (email, name) VALUES ('ann@example.org', 'Ann')",
        "INSERT INTO channels (name, type, created_by) VALUES ('general', 'public', 1)",
    )
    return database_url


def tail(url: str, *arguments: str) -> Run:
    return read("tail", "--once", *arguments, database_url=url)


def test_every_kind_of_entry_has_its_line(url: str):
    """As it is now: an edit changes the line of its message, a deletion both."""
    run_sql(
        url, entry(JOIN, target=1), entry(MESSAGE, "hello"), entry(MESSAGE, "mended"),
        entry(MESSAGE, ""), entry(EDIT, "mended", 3), entry(EDIT, "", 4), entry(DELETE, target=4),
        entry(RENAME, "general"), entry(LEAVE, target=1), entry(DROP),
        "UPDATE messages SET edited_at = '2026-01-02 03:04:05Z' WHERE seq = 3",
        "UPDATE messages SET deleted_at = '2026-01-02 03:04:05Z' WHERE seq IN (4, 6)",
    )  # fmt: skip
    done = tail(url, "general", "--from", "1")
    assert (done.status, done.err) == (0, "")
    assert [line.split(None, 1)[1].split(None, 3) for line in done.out.splitlines()] == [
        ["1", "join", "1", "Ann  user 1"],
        ["2", "message", "1", "Ann  hello"],
        ["3", "message", "1", "Ann  mended  [edited 2026-01-02T03:04:05.000Z]"],
        ["4", "message", "1", "Ann  [deleted 2026-01-02T03:04:05.000Z]"],
        ["5", "edit", "1", "Ann  of 3: mended"],
        ["6", "edit", "1", "Ann  of 4: [deleted]"],
        ["7", "delete", "1", "Ann  of 4"],
        ["8", "rename", "1", "Ann  general"],
        ["9", "leave", "1", "Ann  user 1"],
        ["10", "drop", "1", "Ann"],
    ]


def seqs(done: Run) -> list[int]:
    return [json.loads(line)["seq"] for line in done.out.splitlines()]


def test_it_begins_where_it_is_told_to(url: str):
    """At the head where nothing is said; across as many pages as it takes."""
    many = f"""INSERT INTO messages (channel_id, seq, kind, user_id, content, timestamp, nonce)
        SELECT 1, n, {MESSAGE}, 1, 'x', now(), n::text FROM generate_series(1, 450) n"""
    run_sql(url, many, "UPDATE channels SET last_seq = 450")
    assert seqs(tail(url, "1", "--json")) == []
    assert seqs(tail(url, "1", "--json", "--last", "3")) == [448, 449, 450]
    assert seqs(tail(url, "1", "--json", "--from", "449")) == [449, 450]
    assert seqs(tail(url, "1", "--json", "--last", "9999")) == list(range(1, 451))
    assert seqs(tail(url, "1", "--json", "--from", "451")) == []
    fails(tail(url, "1", "--from", "1", "--last", "1"), 2, "--from and --last")


def test_content_is_exact_for_programs_and_harmless_for_terminals(url: str):
    """A line is one entry, whatever stands in it."""
    content = 'a\n2026  2  message\x1b[2J\x9b\u202e\u2028"\\n 👩\u200d🔬'
    run_sql(url, entry(MESSAGE, content))
    [line] = tail(url, "1", "--last", "1").out.splitlines()
    assert line.endswith('a\\n2026  2  message\\x1b[2J\\x9b\\u202e\\u2028"\\n 👩\u200d🔬')
    assert json.loads(tail(url, "1", "--last", "1", "--json").out)["content"] == content


class Following:
    """A `rtchat tail --json` that runs."""

    def __init__(self, process: "subprocess.Popen[str]") -> None:
        assert process.stdout is not None
        assert process.stderr is not None
        self.process, self.out, self.err = process, process.stdout, process.stderr

    def next(self) -> dict[str, Any]:
        found: dict[str, Any] = json.loads(self.out.readline())
        return found

    def ended(self) -> int:
        return self.process.wait(20)


@pytest.fixture
def following(url: str) -> Iterator[Following]:
    """One that has shown the first entry already."""
    run_sql(url, entry(MESSAGE, "first"))
    settings = {"database_url": url}
    with running("tail", "1", "--json", "--last", "1", "--interval", "0.1", **settings) as process:
        found = Following(process)
        assert found.next()["content"] == "first"
        yield found


def test_what_comes_is_shown_until_ctrl_c(following: Following, url: str):
    for number in range(3):
        run_sql(url, entry(MESSAGE, str(number)))
        shown = following.next()
        assert (shown["seq"], shown["content"], shown["name"]) == (number + 2, str(number), "Ann")
    following.process.send_signal(signal.SIGINT)
    assert following.ended() == 0
    assert following.err.read() == ""


def test_it_comes_back_to_a_database_that_was_away_and_misses_nothing(
    following: Following, url: str
):
    cut = (
        "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity"
        " WHERE datname = current_database() AND pid <> pg_backend_pid()"
    )
    assert run_sql(url, cut, entry(MESSAGE, "meanwhile")) == [1, None]
    assert following.err.readline().startswith("rtchat: the database is away (")
    assert following.err.readline() == "rtchat: the database is there again\n"
    assert following.next()["content"] == "meanwhile"


def test_it_says_that_a_log_went_back_and_goes_on_from_there(following: Following, url: str):
    run_sql(url, entry(MESSAGE, "lost"))
    assert following.next()["seq"] == 2
    run_sql(url, "DELETE FROM messages WHERE seq = 2", "UPDATE channels SET last_seq = 1")
    assert "the log went back from 2 to 1" in following.err.readline()
    run_sql(url, entry(MESSAGE, "again"))
    assert following.next()["content"] == "again"


def test_beyond_the_head_it_waits_for_the_first_that_it_is_told_to_show(url: str):
    """Nothing has gone back: no entry before it is shown, however long it takes to come."""
    run_sql(url, entry(MESSAGE, "there already"))
    settings = {"database_url": url}
    arguments = ("--json", "--from", "4", "--interval", "0.1")
    with running("tail", "1", *arguments, **settings) as process:
        following = Following(process)
        while not run_sql(url, READ_BY_NOW)[0]:  # it has looked, at a head below
            time.sleep(0.02)
        for number in ("2", "3", "4"):
            run_sql(url, entry(MESSAGE, number))
        assert following.next()["seq"] == 4
        process.send_signal(signal.SIGINT)
        assert following.ended() == 0
        assert following.err.read() == ""
    done = tail(url, "1", "--from", "99")
    assert (done.status, done.out, done.err) == (0, "", "")


def test_it_ends_with_its_channel(following: Following, url: str):
    """Behind the last entry; or where all of it is gone already."""
    run_sql(url, entry(DROP), "UPDATE channels SET deleted_at = now()")
    assert following.next()["kind"] == "drop"
    assert following.ended() == 0


def test_it_ends_where_nothing_is_left(following: Following, url: str):
    run_sql(url, "DELETE FROM messages", "DELETE FROM channels")
    assert following.ended() == 0
    assert "the channel's log is gone" in following.err.read()


def test_a_role_that_may_read_is_enough_and_one_that_may_not_is_told(url: str):
    role = f"reader_{secrets.token_hex(4)}"
    parts = urlsplit(url)
    as_reader = parts._replace(netloc=f"{role}:{role}@{parts.hostname}:{parts.port}").geturl()
    run_sql(url, f"CREATE ROLE {role} LOGIN PASSWORD '{role}'", entry(MESSAGE, "hello"))
    try:
        fails(tail(as_reader, "1", "--last", "1"), 3, "permission denied", "RTCHAT_DATABASE_URL")
        run_sql(url, f"GRANT SELECT ON channels, members, users TO {role}")
        fails(tail(as_reader, "1", "--last", "1"), 3, "permission denied for table messages")
        run_sql(url, f"GRANT SELECT ON messages TO {role}")
        assert "hello" in tail(as_reader, "1", "--last", "1").out
    finally:
        run_sql(url, f"DROP OWNED BY {role}", f"DROP ROLE {role}")


def test_a_channel_that_is_not_there_is_refused(url: str):
    fails(tail(url, "2"), 2, "no channel 2")
    fails(tail(url, "nothing"), 2, "no channel 'nothing'")
