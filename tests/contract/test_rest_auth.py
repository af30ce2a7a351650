"""Registering and signing in: addresses, passwords, and what a session looks like."""

import asyncio
import secrets
import time

import asyncpg
import jwt
import pytest

from tests.contract.rest import JSON, Caller, answer, is_session, problem
from tests.people import People
from tests.pods import Pod
from tests.sockets import wire

pytestmark = pytest.mark.usefixtures("calm")

PASSWORD = "correct horse battery"
SMILE = "\N{GRINNING FACE}"


def new_email(local: str = "ann") -> str:
    return f"{local}-{secrets.token_hex(4)}@example.org"


async def register(nobody: Caller, **fields: object) -> JSON:
    body = {"email": new_email(), "password": PASSWORD, **fields}
    return answer(await nobody.post("/auth/register", body), 201)


async def test_registering_gives_a_session(nobody: Caller):
    """201 and a Session, whose user is who was registered."""
    email = new_email()
    session = await register(nobody, email=email, name="Ann")
    is_session(session)
    assert session["user"]["email"] == email
    assert session["user"]["name"] == "Ann"
    assert session["user"]["status"] == ""


async def test_the_access_token_of_a_session_is_good(nobody: Caller):
    """The bearer token from registering says who one is."""
    session = await register(nobody)
    headers = {"Authorization": f"Bearer {session['accessToken']}"}
    me = answer(await nobody.http.get("/users/me", headers=headers))
    assert me["id"] == session["user"]["id"]


async def test_the_scheme_of_the_authorization_header_has_no_case(nobody: Caller):
    """RFC 9110 §11.1: the scheme is compared without case."""
    session = await register(nobody)
    headers = {"Authorization": f"bEARER {session['accessToken']}"}
    answer(await nobody.http.get("/users/me", headers=headers))


async def test_a_name_may_be_left_out(nobody: Caller):
    """`name?`: somebody without one has a name all the same."""
    assert (await register(nobody))["user"]["name"]
    assert (await register(nobody, name=None))["user"]["name"]


@pytest.mark.parametrize("local", ["o'brien", "ann+chat", "a" * 55, "عن"])
async def test_any_address_may_register_without_a_name(nobody: Caller, local: str):
    """What stands in for a missing name is the server's business, and fails nobody's sign-up."""
    email = new_email(local)
    assert (await register(nobody, email=email))["user"]["email"] == email


async def test_an_address_of_invisible_characters_is_itself_at_fault(nobody: Caller):
    """The field that is named is one that was sent."""
    body = {"email": new_email("\u200bann"), "password": PASSWORD}
    problem(await nobody.post("/auth/register", body), "bad_field", field="email")


async def test_an_address_is_taken_whatever_its_case(nobody: Caller):
    """`Bob@` and `bob@` are one address: 409, and the field is named."""
    email = new_email("bob")
    await register(nobody, email=email)
    for twin in (email, email.upper(), email.title()):
        response = await nobody.post("/auth/register", {"email": twin, "password": PASSWORD})
        problem(response, "conflict", field="email")


async def test_one_of_many_wins_an_address(nobody: Caller):
    """20 at once with one address: one 201, the others 409."""
    email = new_email()
    async with asyncio.TaskGroup() as group:
        tasks = [
            group.create_task(nobody.post("/auth/register", {"email": email, "password": PASSWORD}))
            for _ in range(20)
        ]
    statuses = sorted(task.result().status_code for task in tasks)
    assert statuses == [201] + [409] * 19


async def test_login_gives_another_session(nobody: Caller):
    """200 and a Session of its own, with tokens of its own; the address without case."""
    email = new_email()
    first = await register(nobody, email=email)
    second = answer(
        await nobody.post("/auth/login", {"email": email.upper(), "password": PASSWORD})
    )
    is_session(second)
    assert second["user"] | {"lastActive": None} == first["user"] | {"lastActive": None}
    assert second["accessToken"] != first["accessToken"]
    assert second["refreshToken"] != first["refreshToken"]
    sids = [
        jwt.decode(s["accessToken"], options={"verify_signature": False})["sid"]
        for s in (first, second)
    ]
    assert sids[0] != sids[1]


async def test_unknown_address_and_wrong_password_look_alike(nobody: Caller):
    """S-11: nobody learns from an answer which addresses have accounts."""
    email = new_email()
    await register(nobody, email=email)
    wrong = await nobody.post("/auth/login", {"email": email, "password": "not the password"})
    unknown = await nobody.post("/auth/login", {"email": new_email(), "password": PASSWORD})
    problem(wrong, "unauthorized")
    assert wrong.content == unknown.content
    assert wrong.status_code == unknown.status_code


@pytest.mark.parametrize(
    "password",
    [
        pytest.param("x7 Kq.w2", id="8 characters"),
        pytest.param(SMILE * 8, id="8 emoji"),
        pytest.param(SMILE * 64, id="64 emoji"),
        pytest.param(" a b  c d ", id="blanks outside and inside"),
        pytest.param("пароль моей бабушки", id="another script"),
        pytest.param("p" * 72 + "q", id="73 bytes"),
        pytest.param("long " * 200, id="1000 bytes"),
        pytest.param("with\0a NUL inside", id="NUL"),
    ],
)
async def test_a_password_of_any_form_is_kept_whole(nobody: Caller, password: str):
    """S-01 to S-04: counted in code points, no rules of composition; only itself signs in."""
    email = new_email()
    await register(nobody, email=email, password=password)
    answer(await nobody.post("/auth/login", {"email": email, "password": password}))
    wrong = await nobody.post("/auth/login", {"email": email, "password": password + "x"})
    problem(wrong, "unauthorized")


async def test_a_password_counts_beyond_what_bcrypt_reads(nobody: Caller):
    """S-04: equal in the first 72 bytes, different behind them, is another password."""
    email = new_email()
    await register(nobody, email=email, password="p" * 72 + "ONE")
    response = await nobody.post("/auth/login", {"email": email, "password": "p" * 72 + "TWO"})
    problem(response, "unauthorized")


@pytest.mark.parametrize("password", ["", "seven 7", SMILE * 7])
async def test_a_short_password_is_refused(nobody: Caller, password: str):
    """S-01: 8 code points at least."""
    response = await nobody.post("/auth/register", {"email": new_email(), "password": password})
    problem(response, "bad_field", field="password")


@pytest.mark.parametrize("path", ["/auth/register", "/auth/login"])
async def test_a_very_long_password_is_refused_before_it_is_hashed(nobody: Caller, path: str):
    """S-07: above 1024 bytes no time is spent on it."""
    started = time.perf_counter()
    for password in ("p" * 1025, SMILE * 257, "p" * 50_000):
        response = await nobody.post(path, {"email": new_email(), "password": password})
        problem(response, "too_long", field="password")
    assert time.perf_counter() - started < 1


async def test_a_password_is_stored_as_a_slow_hash(nobody: Caller, pod: Pod):
    """S-08: bcrypt at the cost that was set; and nothing of it in the log."""
    password = f"a password {secrets.token_hex(8)}"
    user = (await register(nobody, password=password))["user"]
    connection = await asyncpg.connect(pod.database_url)
    try:
        stored = await connection.fetchval(
            "SELECT password_hash FROM users WHERE id = $1", user["id"]
        )
    finally:
        await connection.close()
    assert stored.startswith("$2b$10$")
    assert len(stored) == 60
    assert password not in pod.log()
    assert stored not in pod.log()


async def test_more_sign_ins_than_can_wait_are_sent_away(nobody: Caller, people: People, pod: Pod):
    """Promise 6, S-09: the queue before hashing is bounded; beyond it 503, and when to come again.

    Meanwhile sockets are served: each message is acked.
    """
    ann = Caller(nobody.http, await people.new("ann"))
    channel = (await ann.makes())["id"]
    bodies = [{"email": new_email(), "password": PASSWORD} for _ in range(60)]
    async with wire(pod.ws_url, ann.person) as socket, asyncio.TaskGroup() as group:
        tasks = [group.create_task(nobody.post("/auth/login", body)) for body in bodies]
        acked = 0
        while not all(task.done() for task in tasks):
            ack = await socket.ask({"t": "send", "ref": acked, "ch": channel, "content": "x"})
            assert ack["t"] == "ack"
            acked += 1
            await asyncio.sleep(0.05)
        assert acked > 3
    responses = [task.result() for task in tasks]
    refused = [response for response in responses if response.status_code == 503]
    assert refused
    for response in refused:
        assert "retryAfter" in problem(response, "overloaded")
    for response in responses:
        problem(response, "overloaded", "unauthorized")


async def test_providers_are_listed(nobody: Caller):
    """None are set up here."""
    assert answer(await nobody.get("/auth/providers")) == {"items": []}
