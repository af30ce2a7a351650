"""`rtchat token`: what is minted opens the server until its session ends; a refusal says why."""

import asyncio

import httpx2
import pytest

from tests.cli.running import DATABASE, Run, fails, read, run_sql
from tests.contract.rest import problem
from tests.people import People
from tests.pods import SECRET_KEY, Pod


def token(url: str, *arguments: str, stdin: str | bytes | None = None, **settings: str) -> Run:
    given = {"database_url": url, "secret_key": SECRET_KEY, **settings}
    return read("token", *arguments, stdin=stdin, **given)


async def test_a_minted_token_opens_the_server_until_its_session_ends(
    pod: Pod, people: People, http: httpx2.AsyncClient
):
    """It stands in its user's list of sessions, and is revoked there like any other."""
    ann = await people.new()
    minted = await asyncio.to_thread(token, pod.database_url, "mint", ann.email, "--ttl", "60")
    assert minted.status == 0, minted
    assert '"event":"login"' in minted.err
    assert '"by":"operator"' in minted.err, "it was not the person"
    text = minted.out.strip()
    bearer = {"Authorization": f"Bearer {text}"}
    assert (await http.get("/users/me", headers=bearer)).json()["id"] == ann.id
    listed = (await http.get("/auth/sessions", headers=bearer)).json()["items"]
    [own] = [one for one in listed if one["current"]]
    assert own["agent"] == "rtchat token mint"
    good = await asyncio.to_thread(token, pod.database_url, "check", stdin=minted.out)
    assert (good.status, good.err) == (0, ""), good
    for words in (f"user     {ann.id}", f"session  {own['id']}", "expires", "it is good"):
        assert words in good.out
    assert (await http.delete(f"/auth/sessions/{own['id']}", headers=bearer)).status_code == 204
    problem(await http.get("/users/me", headers=bearer), "unauthorized")
    ended = await asyncio.to_thread(token, pod.database_url, "check", stdin=f"Bearer {text}")
    fails(ended, 2, f"session {own['id']} was ended at")


def test_a_token_lives_as_long_as_one_of_a_sign_in_at_most(database_url: str):
    """Longer, it could not be revoked; and its session does not outlive it."""
    run_sql(database_url, "INSERT INTO users (email, name) VALUES ('ann@example.org', 'Ann')")
    longer = token(database_url, "mint", "1", "--ttl", "61", access_token_s="60")
    fails(longer, 2, "RTCHAT_ACCESS_TOKEN_S", "revoked")
    for arguments, seconds in (([], 60), (["--ttl", "7"], 7)):
        assert token(database_url, "mint", "1", *arguments, access_token_s="60").status == 0
        lives = "SELECT (expires_at - created_at)::text FROM sessions ORDER BY id DESC LIMIT 1"
        assert run_sql(database_url, lives) == ["00:01:00" if seconds == 60 else "00:00:07"]


def test_nobody_is_minted_a_token_who_could_not_sign_in(database_url: str):
    run_sql(
        database_url,
        "INSERT INTO users (email, name, disabled_at) VALUES ('ann@example.org', 'Ann', now())",
    )
    fails(token(database_url, "mint", "1"), 2, "is disabled", "rtchat user enable 1")
    fails(token(database_url, "mint", "bob@example.org"), 2, "no user bob@example.org")
    assert run_sql(database_url, "SELECT count(*) FROM sessions") == [0]


def test_other_sessions_stay_however_many_there_are(database_url: str):
    """A look by an operator signs nobody out."""
    run_sql(
        database_url,
        "INSERT INTO users (email, name) VALUES ('ann@example.org', 'Ann')",
        "INSERT INTO sessions (user_id, expires_at) VALUES (1, now() + '1 day')",
    )
    assert token(database_url, "mint", "1", sessions_per_user="1").status == 0
    standing = "SELECT count(*) FROM sessions WHERE ended_at IS NULL"
    assert run_sql(database_url, standing) == [2]


def test_why_a_session_does_not_stand(database_url: str):
    """Expired, another's, gone with its row, of a user who was disabled."""
    run_sql(
        database_url,
        "INSERT INTO users (email, name) VALUES ('ann@example.org', 'Ann'), ('b@e.org', 'B')",
    )
    text = token(database_url, "mint", "1").out
    for change, words in (
        ("UPDATE users SET disabled_at = now()", "user 1 is disabled since"),
        ("UPDATE users SET disabled_at = NULL", ""),
        ("UPDATE sessions SET expires_at = now()", "session 1 expired at"),
        ("UPDATE sessions SET expires_at = now() + '1 day', user_id = 2", "is of another user"),
        ("TRUNCATE sessions CASCADE", "there is no session 1"),
    ):  # fmt: skip
        run_sql(database_url, change)
        checked = token(database_url, "check", stdin=text)
        assert checked.status == (2 if words else 0), checked
        assert words in checked.err


@pytest.mark.parametrize(
    ("stdin", "words"),
    [
        ("", "no token on standard input"),
        ("nonsense", "no JSON Web Token"),
        (b"eyJ\xff", "no UTF-8, at byte 3"),
    ],
)
def test_what_is_no_token_is_said_without_asking_the_database(stdin: str | bytes, words: str):
    fails(token(DATABASE, "check", stdin=stdin), 2, words)


def test_without_the_database_it_stays_open_whether_a_session_stands(database_url: str):
    """Status 3, with what the token says of itself; one that is bad by itself ends with 2."""
    run_sql(database_url, "INSERT INTO users (email, name) VALUES ('ann@example.org', 'Ann')")
    text = token(database_url, "mint", "1").out
    open_question = token(DATABASE, "check", stdin=text)
    fails(open_question, 3, "whether its session stands is not known", "RTCHAT_DATABASE_URL")
    assert "user     1" in open_question.out
    bad = token(DATABASE, "check", stdin=text, token_issuer="elsewhere")
    fails(bad, 2, "RTCHAT_TOKEN_ISSUER is 'elsewhere'")
