"""`rtchat channel`."""

import pytest

from tests.cli.running import fails, read, run_sql

PEOPLE = "INSERT INTO users (name) VALUES (E'Ann\\u0085x'), ('Bob')"
CHANNELS = """INSERT INTO channels (name, type, created_by, last_seq, dm_key, deleted_at) VALUES
    ('general', 'public', 1, 7, NULL, NULL), ('Genera_', 'private', 1, 0, NULL, NULL),
    ('twin', 'public', 1, 0, NULL, NULL), ('twin', 'public', 1, 0, NULL, NULL),
    (NULL, 'dm', 1, 0, '1,2', NULL), ('gone', 'public', 1, 0, NULL, now())"""
MEMBERS = "INSERT INTO members (channel_id, user_id, role) VALUES (1, 2, 'owner'), (1, 1, 'member')"


@pytest.fixture(scope="module")
def url(module_database_url: str) -> str:
    run_sql(module_database_url, PEOPLE, CHANNELS, MEMBERS)
    return module_database_url


def rows(url: str, *arguments: str) -> list[list[str]]:
    done = read("channel", *arguments, database_url=url)
    assert done.status == 0, done
    return [line.split() for line in done.out.splitlines()]


def test_channels_are_listed(url: str):
    """Those that are there: id, type, name, members, head."""
    heads, *found = rows(url, "list")
    assert heads == ["id", "type", "name", "members", "head", "made"]
    assert [row[:5] for row in found] == [
        ["1", "public", "general", "2", "7"],
        ["2", "private", "Genera_", "0", "0"],
        ["3", "public", "twin", "0", "0"],
        ["4", "public", "twin", "0", "0"],
        ["5", "dm", "none", "0", "0"],
    ]
    assert [row[0] for row in rows(url, "list", "--query", "GENERA")[1:]] == ["1", "2"]
    assert [row[0] for row in rows(url, "list", "--query", "genera_")[1:]] == ["2"]
    assert [row[0] for row in rows(url, "list", "--limit", "1")[1:]] == ["1"]


def test_a_channel_is_shown_with_its_members(url: str):
    """By name or id; who may do most first, and nothing in a name that a terminal obeys."""
    for which in ("general", "1"):
        shown = rows(url, "show", which)
        assert ["head", "7"] in shown
        assert ["deleted", "no"] in shown
        assert shown[-2:] == [["2", "owner", "Bob"], ["1", "member", "Ann\\x85x"]]
    assert ["deleted", "no"] not in rows(url, "show", "6")


def test_lists_that_go_on_say_so_and_where(url: str):
    """Of channels by their ids; of members in their order, which roles come first in."""
    first = read("channel", "list", "--limit", "4", database_url=url)
    assert "goes on with --after 4" in first.err
    rest = read("channel", "list", "--limit", "4", "--after", "4", database_url=url)
    assert ([line.split()[0] for line in rest.out.splitlines()[1:]], rest.err) == (["5"], "")
    owner = read("channel", "show", "1", "--limit", "1", database_url=url)
    assert (owner.out.splitlines()[-1].split()[:2], "--after 2" in owner.err) == (
        ["2", "owner"],
        True,
    )
    member = read("channel", "show", "1", "--limit", "1", "--after", "2", database_url=url)
    assert (member.out.splitlines()[-1].split()[:2], member.err) == (["1", "member"], "")


@pytest.mark.parametrize(
    ("which", "words"),
    [("99", "no channel 99"), ("gone", "no channel 'gone'"), ("twin", "by its id (3, 4)")],
)
def test_what_names_no_channel_or_several_is_refused(url: str, which: str, words: str):
    fails(read("channel", "show", which, database_url=url), 2, words)
