"""Access tokens: which ones the server believes, and how a request carries them."""

import base64
import json
import time
from typing import Any

import jwt
import pytest

from tests.contract.conftest import SignIn
from tests.contract.rest import Caller, Reply, answer, exchange, no_content, problem, request
from tests.people import People
from tests.pods import SECRET_KEY, Pod

pytestmark = pytest.mark.usefixtures("calm")

LEEWAY_S = 30


def raw_jwt(header: Any, payload: Any, signature: bytes = b"") -> str:
    """A token as anybody can write one."""
    parts = [json.dumps(part).encode() for part in (header, payload)] + [signature]
    return ".".join(base64.urlsafe_b64encode(part).rstrip(b"=").decode() for part in parts)


class Forge:
    """Makes tokens with the server's own key, right but for what is changed."""

    def __init__(self, people: People, person_id: int, session_id: int) -> None:
        self.key: bytes = people.tokens.keys.signing.signs
        self.kid = people.tokens.keys.signing.kid
        self.now = int(time.time())
        self.claims: dict[str, Any] = {
            "iss": "rtchat", "aud": "rtchat", "sub": str(person_id), "sid": str(session_id),
            "jti": "a-number", "iat": self.now, "exp": self.now + 600,
        }  # fmt: skip

    def __call__(
        self, *, header: dict[str, Any] | None = None, without: str = "", **claims: Any
    ) -> str:
        given = {k: v for k, v in (self.claims | claims).items() if k != without}
        header = {"typ": "at+jwt", "kid": self.kid} | (header or {})
        return jwt.api_jws.encode(json.dumps(given).encode(), self.key, "HS256", headers=header)


@pytest.fixture(scope="module")
def forge(people: People, ann: Caller) -> Forge:
    return Forge(people, ann.id, ann.person.session_id)


async def ask(nobody: Caller, token: str) -> Any:
    return await nobody.http.get("/users/me", headers={"Authorization": f"Bearer {token}"})


async def test_a_token_of_ours_is_believed(nobody: Caller, forge: Forge, ann: Caller):
    """What the forge leaves unchanged is good: the refusals below are for what they change."""
    assert answer(await ask(nobody, forge()))["id"] == ann.id


NO_IDS: list[Any] = [
    "",
    "0",
    "-1",
    "1.0",
    "1_0",
    "\u0661",
    "1e3",
    str(2**53),
    "9" * 400,
    "x",
    1,
    None,
]
NO_TIMES: list[Any] = ["soon", None, [], {}, float("nan")]
CHANGES: list[Any] = [
    *[pytest.param({"without": c}, id=f"no {c}") for c in ("iss", "aud", "sub", "sid", "jti")],
    pytest.param({"without": "exp"}, id="no exp"),
    pytest.param({"without": "iat"}, id="no iat"),
    *[pytest.param({"exp": value}, id=f"exp {value!r}") for value in NO_TIMES],
    pytest.param({"iat": "now"}, id="iat text"),
    pytest.param({"iat": int(time.time()) + 600}, id="iat in ten minutes"),
    pytest.param({"nbf": int(time.time()) + 600}, id="nbf in ten minutes"),
    pytest.param({"aud": "other"}, id="other aud"),
    pytest.param({"aud": 1}, id="aud a number"),
    pytest.param({"iss": "other"}, id="other iss"),
    pytest.param({"iss": ["rtchat"]}, id="iss a list"),
    *[
        pytest.param({claim: value}, id=f"{claim} {value!r}")
        for claim in ("sub", "sid")
        for value in NO_IDS
    ],
    *[pytest.param({"header": {"typ": t}}, id=f"typ {t}") for t in ("JWT", "rt+jwt", "ticket", "")],
    pytest.param({"header": {"crit": ["x"], "x": 1}}, id="unknown crit"),
]  # fmt: skip


@pytest.mark.parametrize("change", CHANGES)
async def test_every_claim_is_required_and_checked(
    nobody: Caller, forge: Forge, change: dict[str, Any]
):
    """S-18 to S-22: signed with the right key, and still not an access token of this server's."""
    problem(await ask(nobody, forge(**change)), "unauthorized")


async def test_an_expired_token_is_told_from_a_bad_one(nobody: Caller, forge: Forge):
    """S-23: `token_expired` asks for a refresh; clocks may differ by 30 s."""
    past: dict[str, Any] = {"iat": forge.now - 900}
    answer(await ask(nobody, forge(exp=forge.now - LEEWAY_S + 10, **past)))
    problem(await ask(nobody, forge(exp=forge.now - LEEWAY_S - 30, **past)), "token_expired")
    problem(await ask(nobody, forge(exp=0, **past)), "token_expired")
    answer(await ask(nobody, forge(iat=forge.now + LEEWAY_S - 10)))
    problem(await ask(nobody, forge(iat=forge.now + LEEWAY_S + 30)), "unauthorized")


async def test_only_our_key_and_algorithm_sign(nobody: Caller, forge: Forge):
    """S-16, S-17: no `none`, no other algorithm, no other key, not the secret itself."""
    claims, at = forge.claims, {"typ": "at+jwt"}
    other = b"another key of thirty-two bytes!!"
    for token in (
        raw_jwt({"alg": "none", **at}, claims),
        raw_jwt({"alg": "None", **at}, claims),
        raw_jwt({**at}, claims),
        raw_jwt({"alg": "HS256", **at}, claims),
        raw_jwt({"alg": "HS256", **at}, claims, b"signed"),
        raw_jwt({"alg": "RS256", **at}, claims, b"signed"),
        jwt.encode(claims, other, "HS256", at),
        jwt.encode(claims, SECRET_KEY, "HS256", at),
        jwt.encode(claims, forge.key + forge.key, "HS512", at),
    ):
        problem(await ask(nobody, token), "unauthorized")


async def test_a_header_chooses_no_key(nobody: Caller, forge: Forge):
    """S-21: `jwk`, `jku`, `x5u` and `kid` are not looked at, wherever they point."""
    own = {"kty": "oct", "k": base64.urlsafe_b64encode(b"k" * 32).decode()}
    for hint in (
        {"jwk": own},
        {"jku": "http://127.0.0.1:9/keys"},
        {"x5u": "http://127.0.0.1:9/cert"},
        {"kid": "../../../../etc/passwd"},
        {"kid": "' OR 1=1 --"},
    ):
        header = {"typ": "at+jwt", **hint}
        token = jwt.encode(forge.claims, b"k" * 32, "HS256", header)
        problem(await ask(nobody, token), "unauthorized")


@pytest.mark.parametrize(
    "token",
    [
        "x", "a.b.c", "..", ".", "a.b", "a.b.c.d", "null", "é.é.é",
        raw_jwt({"alg": "HS256"}, [1]),
        raw_jwt([1], {}),
        raw_jwt("HS256", None),
        "[" * 2000 + ".x.y",
        base64.urlsafe_b64encode(b"[" * 5000).decode() + "..",
        "x" * 15_000,  # a head of more than 16 KB is another matter
    ],
    ids=lambda token: f"B-H18 {str(token)[:12]}",
)  # fmt: skip
async def test_what_is_no_token_is_refused(nobody: Caller, token: str):
    """B-H18: 401 for any text at all, and nothing else happens."""
    headers = {b"Authorization": b"Bearer " + token.encode("utf-8")}
    problem(await nobody.http.get("/users/me", headers=headers), "unauthorized")


async def test_a_changed_token_is_refused(nobody: Caller, ann: Caller):
    """Any character of the three parts counts."""
    token = ann.person.token
    for at in (3, len(token) // 2, len(token) - 8):
        changed = token[:at] + ("A" if token[at] != "A" else "B") + token[at + 1 :]
        problem(await ask(nobody, changed), "unauthorized")


async def test_an_ended_session_is_refused_however_its_token_is_written(
    nobody: Caller, sign_in: SignIn
):
    """S-24: it is the session that ended, not one way of writing its token."""
    cat = await sign_in("cat")
    no_content(await nobody.post("/auth/logout", {"refreshToken": cat.person.refresh_token}))
    for token in (cat.person.token, cat.person.token + "=", f" {cat.person.token}"):
        problem(await ask(nobody, token), "unauthorized")


# --- the header


async def send(pod: Pod, *headers: str) -> Reply:
    return await exchange(pod, request("GET /users/me HTTP/1.1", *headers))


@pytest.mark.parametrize(
    "headers",
    [
        [],
        ["Authorization:"],
        ["Authorization: Bearer"],
        ["Authorization: Bearer "],
        ["Authorization: Bearer  x"],
        ["Authorization: Basic YTpi"],
        ["Authorization: Digest username=a"],
        ["Authorization: Bearer \xff\xfe"],
        ["Authorization: {token}"],
        ["Authorization: Token {token}"],
        ["Authorization: Bearer {token}", "Authorization: Bearer {token}"],
        ["Authorization: Bearer {token}", "Authorization: Basic YTpi"],
        ["Authorization: Bearer {token}, Bearer {token}"],
        ["X-Authorization: Bearer {token}"],
        ["Cookie: access_token={token}"],
    ],
    ids=lambda headers: f"B-H17 {' + '.join(headers) or 'none'}",
)
async def test_a_request_without_one_bearer_token_is_nobodys(
    pod: Pod, ann: Caller, headers: list[str]
):
    """B-H17: 401, with the scheme that is asked for."""
    reply = await send(pod, *(h.replace("{token}", ann.person.token) for h in headers))
    assert reply.status == 401
    assert reply.json["code"] == "unauthorized"
    assert reply.headers["www-authenticate"].startswith("Bearer")


async def test_a_token_in_the_url_is_not_looked_at(pod: Pod, ann: Caller):
    """URLs land in logs: a token there is nobody's."""
    for name in ("token", "access_token", "authorization"):
        line = f"GET /users/me?{name}={ann.person.token} HTTP/1.1"
        assert (await exchange(pod, request(line))).status == 401
    assert ann.person.token not in pod.log()


async def test_a_very_long_token_is_refused(pod: Pod):
    """A megabyte is no token: 401, or refused as a header already."""
    try:
        reply = await send(pod, "Authorization: Bearer " + "x" * 1_000_000)
    except (ConnectionError, EOFError):
        return
    assert reply.status in (400, 401, 431)


# --- the keys


async def test_where_a_secret_signs_no_key_is_shown(nobody: Caller):
    """RFC 7517: a set without keys, which may be kept for a while."""
    response = await nobody.get("/.well-known/jwks.json")
    assert response.status_code == 200
    assert response.json() == {"keys": []}
    assert response.headers["cache-control"] == "public, max-age=300"
