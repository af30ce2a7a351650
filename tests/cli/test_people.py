"""`rtchat user`: what operators do to people shows at the server, and nothing is given away."""

import asyncio
import os
import pty
import subprocess
import sys
import time
from typing import Any

import bcrypt
import httpx2
import pytest

from tests.cli.running import Run, clean, fails, read, read_to_end, run_sql, variables
from tests.contract.rest import problem
from tests.people import People
from tests.pods import Pod

PASSWORD = "correct horse battery"
MADE = "INSERT INTO users (email, name) VALUES ('Ann@example.org', 'Ann')"
OPENED = "INSERT INTO sessions (user_id, expires_at) SELECT id, now() + '1 day' FROM users"


@pytest.fixture(scope="module")
def url(module_database_url: str) -> str:
    """One database for all: each test makes people of its own."""
    return module_database_url


def user(url: str, *arguments: str, stdin: str | bytes | None = None) -> Run:
    return read("user", *arguments, stdin=stdin, database_url=url, bcrypt_cost="10")


def test_user_disable_and_enable(database_url: str):
    """S-31: told who it is and how many sessions ended; may be repeated."""
    run_sql(database_url, MADE, OPENED, OPENED)
    for command, words in (
        ("disable", "is disabled; sessions ended: 2"),
        ("disable", "is disabled; sessions ended: 0"),
        ("enable", "is enabled"),
    ):
        done = user(database_url, command, "ann@EXAMPLE.org")
        assert (done.status, words in done.out) == (0, True), done
        assert f'"event":"user {command}d"' in done.err
    fails(user(database_url, "disable", "bob@example.org"), 2, "no user bob@example.org")


def test_who_is_made_signs_in_like_who_signed_up(url: str):
    """The name is what stands before the @; the hash is one that sign-in checks."""
    done = user(url, "create", "bea@example.org", stdin=f"{PASSWORD}\n")
    assert (done.status, '"event":"registered"' in done.err) == (0, True), done
    assert PASSWORD not in done.out + done.err
    name, sessions = run_sql(
        url,
        "SELECT name FROM users WHERE email = 'bea@example.org'",
        "SELECT count(*) FROM sessions s JOIN users u ON u.id = user_id"
        " WHERE email = 'bea@example.org'",
    )
    assert (name, sessions) == ("bea", 0)
    again = user(url, "create", "BEA@example.org", stdin=f"{PASSWORD}\n")
    fails(again, 2, "email: This address is taken")


@pytest.mark.parametrize(
    ("arguments", "password", "words"),
    [
        (["create", "nobody"], PASSWORD, "no e-mail address"),
        (["create", "cat@example.org"], b"\xff\xfe horse battery", "no UTF-8, at byte 0"),
        (["password", "1"], b"correct horse \xe4", "no UTF-8, at byte 14"),
        (["create", "cat@example.org"], "short", "at least 8 characters"),
        (["create", "cat@example.org"], "password123", "password:"),
        (["create", "cat@example.org", "--name", "\u202e"], PASSWORD, "name:"),
        (["create", "cat@example.org"], "x" * 2000, "at most 1024 bytes"),
        (["password", "cat@example.org"], PASSWORD, "no user cat@example.org"),
        (["password", "99999"], PASSWORD, "no user 99999"),
        (["show", "99999"], "", "rtchat user list"),
        (["sessions", "cat@example.org"], "", "no user cat@example.org"),
        (["end-sessions", "cat@example.org"], "", "no user cat@example.org"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)  # fmt: skip
def test_what_sign_up_would_refuse_is_refused(
    url: str, arguments: list[str], password: str | bytes, words: str
):
    """Status 2, what is wrong, and no user more."""
    typed = f"{password}\n" if isinstance(password, str) else password
    fails(user(url, *arguments, stdin=typed), 2, words)
    assert run_sql(url, "SELECT count(*) FROM users WHERE email LIKE 'cat@%'") == [0]


async def test_a_new_password_and_ended_sessions_show_at_the_server(
    pod: Pod, people: People, http: httpx2.AsyncClient
):
    """Whoever was in is out within two seconds, and comes in with the new one alone."""
    dan = await people.new("dan")
    others = []
    for command, why in (("end-sessions", "all"), ("password", "password")):
        others.append(await people.again(dan))
        done = await asyncio.to_thread(
            user, pod.database_url, command, str(dan.id), stdin=f"{PASSWORD}\n"
        )
        assert (done.status, "sessions have ended" in done.out) == (0, True), done
        assert f'"why":"{why}"' in done.err
    assert all([await refused_within(http, other.headers, 4.0) for other in others])
    login = {"email": dan.email, "password": PASSWORD}
    assert (await http.post("/auth/login", json=login)).status_code == 200


async def refused_within(
    http: httpx2.AsyncClient, headers: dict[str, str], within_s: float
) -> bool:
    """Whether a token is refused by then; two seconds are promised, and a busy machine has more."""
    until = time.monotonic() + within_s
    while (answer := await http.get("/users/me", headers=headers)).status_code == 200:
        if time.monotonic() > until:
            return False
    problem(answer, "unauthorized")
    return True


def test_sessions_are_listed_and_one_of_them_ended(database_url: str):
    agent = OPENED.replace("expires_at)", "expires_at, agent)").replace(" FROM", ", 'a\x1bb' FROM")
    expired = OPENED.replace("+ '1 day'", "- interval '1 s'")
    run_sql(database_url, MADE, OPENED, agent, expired)
    listed = user(database_url, "sessions", "ann@example.org")
    heads, newest, oldest = listed.out.splitlines()
    assert heads.split() == ["session", "opened", "refreshed", "ends", "agent"]
    assert newest.split()[0] == "2"
    assert newest.endswith("a\\x1bb"), "a terminal obeys nothing that an agent says"
    assert oldest.split()[0] == "1"
    ended = user(database_url, "end-sessions", "1", "--session", "2")
    assert (ended.status, "1 sessions have ended" in ended.out) == (0, True), ended
    for gone in ("2", "3", "4"):
        again = user(database_url, "end-sessions", "1", "--session", gone)
        fails(again, 2, f"no session {gone} that stands")
    assert user(database_url, "sessions", "1").out.splitlines()[1:] == [oldest]


def test_people_are_found_and_shown(database_url: str):
    """By the beginning of a name or a whole address; what LIKE would take for more is literal."""
    for name in ("Eve", "Evelyn", "E_e", "Bob"):
        run_sql(
            database_url,
            f"INSERT INTO users (email, name) VALUES ('{name}@example.org', '{name}')",
        )
    run_sql(
        database_url,
        "INSERT INTO identities (issuer, subject, provider, user_id)"
        " SELECT 'i', 's', 'google', id FROM users WHERE name = 'Eve'",
        "UPDATE users SET disabled_at = now() WHERE id = 4",
    )

    def names(*arguments: str) -> list[str]:
        lines = user(database_url, "list", *arguments).out.splitlines()
        assert lines[0].split()[:3] == ["id", "address", "name"]
        return [line.split()[2] for line in lines[1:]]

    assert names() == ["Eve", "Evelyn", "E_e", "Bob"]
    assert names("--limit", "2") == ["Eve", "Evelyn"]
    assert names("--query", "eve") == ["Eve", "Evelyn"]
    assert names("--query", "E_") == ["E_e"]
    assert names("--query", "BOB@example.org") == ["Bob"]
    assert user(database_url, "list", "--query", "bob").out.splitlines()[1].endswith("disabled")
    shown = {
        line.split()[0]: line.split(None, 1)[1:]
        for line in user(database_url, "show", "1").out.splitlines()
    }
    assert (shown["providers"], shown["password"], shown["disabled"]) == (
        ["google"],
        ["none"],
        ["no"],
    )
    assert shown["address"] == ["Eve@example.org"]


def test_who_was_made_was_never_seen(url: str):
    """Until somebody signs in as them; and the log says that an operator made them."""
    made = user(url, "create", "hal@example.org", stdin=PASSWORD)
    assert '"event":"registered"' in made.err
    assert '"by":"operator"' in made.err
    shown = user(url, "show", "hal@example.org").out.splitlines()
    assert [line.split() for line in shown if line.startswith("last seen")] == [
        ["last", "seen", "never"]
    ]
    for command in ("password", "end-sessions"):
        done = user(url, command, "hal@example.org", stdin=PASSWORD[::-1])
        assert done.status == 0
        assert done.err.count('"by":"operator"') == done.err.count('"event":')


def test_a_list_that_goes_on_says_so_and_where(database_url: str):
    """On standard error, so that what is sent on is the list alone."""
    for number in range(5):
        run_sql(database_url, f"INSERT INTO users (name) VALUES ('n{4 - number}')")
    one = "INSERT INTO sessions (user_id, expires_at) VALUES (1, now() + '1 day')"
    run_sql(database_url, *[one] * 5)
    for arguments, ids in (
        (["list"], "12345"), (["list", "--query", "n"], "12345"), (["sessions", "1"], "54321")
    ):  # fmt: skip
        walked: list[str] = []
        after: list[str] = []
        while True:
            done = user(database_url, *arguments, "--limit", "2", *after)
            walked += [line.split()[0] for line in done.out.splitlines()[1:]]
            if not done.err:
                break
            goes_on = f"it goes on with --after {walked[-1]}"
            assert done.err == f"rtchat: more: --limit 2 ends the list here; {goes_on}\n"
            after = ["--after", walked[-1]]
        assert "".join(walked) == ids
        assert len(after) == 2
        assert user(database_url, *arguments, "--limit", "5").err == ""


def test_an_address_that_is_none_is_told_before_a_password_is_asked_for(url: str):
    """Of a terminal: nobody types one twice in vain."""
    for arguments, words in (
        (["nobody"], b"no e-mail address"), (["hal@example.org", "--name", " "], b"name:")
    ):  # fmt: skip
        near, far = pty.openpty()
        given = variables({"database_url": url})
        process = subprocess.Popen(
            [sys.executable, "-m", "rtchat", "user", "create", *arguments],
            env={**clean(), **given}, stdin=far, stdout=far, stderr=far, start_new_session=True,
        )  # fmt: skip
        os.close(far)
        told = read_to_end(near, unless=b"Password")
        assert (process.wait(20), words in told, b"Password" in told) == (2, True, False), told


def test_a_password_is_asked_for_on_a_terminal_and_not_shown(url: str):
    """Twice, and neither time echoed."""
    near, far = pty.openpty()
    given = variables({"database_url": url, "bcrypt_cost": "10"})
    process = subprocess.Popen(
        [sys.executable, "-m", "rtchat", "user", "create", "fay@example.org"],
        env={**clean(), **given}, stdin=far, stdout=far, stderr=far, start_new_session=True,
    )  # fmt: skip
    os.close(far)
    told = b""
    for question in (b"Password: ", b"confirmation: "):
        while question not in told:
            told += os.read(near, 4096)
        os.write(near, f"{PASSWORD}\n".encode())
    told += read_to_end(near)
    assert process.wait(20) == 0, told
    assert PASSWORD.encode() not in told
    assert b"is there" in told


def test_the_hash_is_of_the_cost_that_is_set(url: str):
    user(url, "create", "gus@example.org", stdin=PASSWORD)
    hashed: list[Any] = run_sql(
        url, "SELECT password_hash FROM users WHERE email = 'gus@example.org'"
    )
    assert hashed[0].startswith("$2b$10$")
    assert not bcrypt.checkpw(PASSWORD.encode(), hashed[0].encode()), "not of the bare password"
