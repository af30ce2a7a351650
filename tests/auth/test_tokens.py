"""Access tokens: only what this server signed for this use, still alive and whole, is believed."""

import base64
import hmac
import json
import time
from typing import Any

import pytest
from hypothesis import given, settings, strategies as st

from rtchat.auth.tokens import CHECKED_MAX, TOKEN_MAX_CHARS, Identity, Tokens
from rtchat.config import Config
from rtchat.errors import ChatError, Code
from rtchat.model import ID_MAX

SECRET = "kM3vX9qLr7TzWb2NfYh8sJc5DgPa4Eu6"
CONFIG = Config(secret_key=SECRET, access_token_s=900, token_leeway_s=30)
TOKENS = Tokens(CONFIG)
NOW = int(time.time())


def refusal(token: str, tokens: Tokens = TOKENS) -> str:
    with pytest.raises(ChatError) as caught:
        tokens.check(token)
    return caught.value.code.value


def part(content: Any) -> str:
    """A token's header, payload or signature: bytes as they are, anything else as JSON."""
    if not isinstance(content, bytes):
        content = json.dumps(content).encode()
    return base64.urlsafe_b64encode(content).decode().rstrip("=")


def sign(
    header: Any, payload: Any, key: bytes = TOKENS.keys.signing.signs, algorithm: str = "sha256"
) -> str:
    """A token by hand: nothing is checked on the way."""
    text = f"{part(header)}.{part(payload)}"
    return f"{text}.{part(hmac.digest(key, text.encode(), algorithm))}"


HEADER = {"alg": "HS256", "typ": "at+jwt", "kid": TOKENS.keys.signing.kid}
CLAIMS = {
    "iss": "rtchat", "aud": "rtchat", "sub": "42", "sid": "7", "jti": "j", "iat": NOW,
    "exp": NOW + 900,
}  # fmt: skip


def claiming(**claims: Any) -> str:
    """A token with these claims besides the usual ones."""
    return sign(HEADER, CLAIMS | claims)


def test_a_token_says_who_which_session_and_until_when():
    token = TOKENS.sign(42, 7, NOW)
    assert TOKENS.check(token) == Identity(user_id=42, session_id=7, expires=NOW + 900)
    assert TOKENS.life_s == 900


def test_a_token_that_was_good_once_ends_all_the_same():
    """The signature is checked once; whether it has expired, every time."""
    tokens = Tokens(CONFIG)
    token = tokens.sign(42, 7, time.time() - 900 - 20)
    assert tokens.check(token) is tokens.check(token)
    tokens._leeway_s = 0
    assert refusal(token, tokens) == "token_expired"


def test_a_token_that_was_good_once_is_not_when_the_clock_goes_back():
    tokens = Tokens(CONFIG)
    token = tokens.sign(42, 7, time.time() + 20)
    assert tokens.check(token).user_id == 42
    tokens._leeway_s = 0
    assert refusal(token, tokens) == "unauthorized"


def test_tokens_are_remembered_up_to_a_number():
    """And those that are forgotten are as good as before."""
    tokens = Tokens(CONFIG)
    signed = [tokens.sign(n, 7) for n in range(1, CHECKED_MAX + 3)]
    assert [tokens.check(token).user_id for token in signed] == list(range(1, CHECKED_MAX + 3))
    assert len(tokens._checked) == 2
    assert tokens.check(signed[0]).user_id == 1


def test_a_token_made_by_hand_as_ours_are_is_one():
    """So that the refusals below are about the one thing that each of them changes."""
    assert TOKENS.check(sign(HEADER, CLAIMS)) == Identity(42, 7, NOW + 900)


def test_two_tokens_are_never_the_same():
    assert TOKENS.sign(42, 7, NOW) != TOKENS.sign(42, 7, NOW)


@pytest.mark.parametrize("number", [1, 2**31, 2**53 - 1])
def test_ids_of_any_size_survive(number: int):
    assert TOKENS.check(TOKENS.sign(number, number))[:2] == (number, number)


def test_every_pod_with_the_same_secret_believes_it():
    assert Tokens(CONFIG).check(TOKENS.sign(42, 7)).user_id == 42
    other = Tokens(Config(secret_key=SECRET[::-1]))
    assert refusal(TOKENS.sign(42, 7), other) == "unauthorized"


# --- time


def test_a_tokens_times_are_allowed_some_skew():
    assert TOKENS.check(TOKENS.sign(42, 7, time.time() - 900 - 20)).user_id == 42
    assert TOKENS.check(TOKENS.sign(42, 7, time.time() + 20)).user_id == 42


def test_an_old_token_has_expired():
    """Which is another answer than for a bad one: a client refreshes, and comes back."""
    assert refusal(TOKENS.sign(42, 7, time.time() - 900 - 40)) == "token_expired"
    assert refusal(claiming(exp=NOW - 3600)) == "token_expired"


def test_a_token_of_the_future_is_not_believed():
    with pytest.raises(ChatError, match="not valid yet") as refused:
        TOKENS.check(TOKENS.sign(42, 7, time.time() + 60))
    assert refused.value.code is Code.UNAUTHORIZED
    assert refusal(claiming(nbf=NOW + 3600)) == "unauthorized"


def test_an_expired_token_with_a_bad_signature_is_just_bad():
    """Nothing in it is looked at before the signature."""
    assert refusal(sign(HEADER, CLAIMS | {"exp": NOW - 3600}, b"x" * 32)) == "unauthorized"


# --- whatever could be left open


@pytest.mark.parametrize("claim", ["iss", "aud", "sub", "sid", "jti", "iat", "exp"])
def test_every_claim_that_is_read_is_required(claim: str):
    without = {name: value for name, value in CLAIMS.items() if name != claim}
    assert refusal(sign(HEADER, without)) == "unauthorized"
    assert refusal(claiming(**{claim: None})) == "unauthorized"


@pytest.mark.parametrize(
    "claims",
    [
        {"iss": "other"},
        {"iss": ["rtchat"]},
        {"aud": "other"},
        {"aud": []},
        {"aud": ""},
        {"exp": "soon"},
        {"iat": "now"},
        {"exp": [NOW + 900]},
    ],
)
def test_claims_of_another_kind_are_not_believed(claims: dict[str, Any]):
    assert refusal(claiming(**claims)) == "unauthorized"


@pytest.mark.parametrize(
    "number",
    ["", "0", "-1", "+1", "1.5", "1e3", " 1", "1 ", "1_0", "\u0661", "\u00b2", "x", str(ID_MAX + 1),
     "9" * 5000, 42, 42.0, True, None, [], {}],
)  # fmt: skip
@pytest.mark.parametrize("claim", ["sub", "sid"])
def test_ids_are_decimal_digits_of_an_id(claim: str, number: object):
    assert refusal(claiming(**{claim: number})) == "unauthorized"


@pytest.mark.parametrize("typ", ["JWT", "at+JWT", "application/at+jwt", "", None, 5])
def test_a_token_of_another_type_is_for_another_use(typ: object):
    assert refusal(sign({**HEADER, "typ": typ}, CLAIMS)) == "unauthorized"


def test_the_configured_secret_itself_signs_nothing():
    """Each use has a key of its own."""
    assert refusal(sign(HEADER, CLAIMS, SECRET.encode())) == "unauthorized"


@pytest.mark.parametrize("algorithm", ["HS384", "HS512"])
def test_only_one_algorithm_is_ours(algorithm: str):
    token = sign({**HEADER, "alg": algorithm}, CLAIMS, algorithm=algorithm.replace("HS", "sha"))
    assert refusal(token) == "unauthorized"


@pytest.mark.parametrize("algorithm", ["none", "None", "NONE", "", "RS256", "HS256 ", None, 5, []])
def test_no_algorithm_of_the_bearers_choice(algorithm: object):
    header = {**HEADER, "alg": algorithm}
    assert refusal(sign(header, CLAIMS)) == "unauthorized"
    assert refusal(f"{part(header)}.{part(CLAIMS)}.") == "unauthorized"


def test_a_key_that_the_token_brings_is_not_used():
    own = {"kty": "oct", "k": part(b"x" * 32)}
    for more in ({"jwk": own}, {"kid": "../../dev/null"}, {"jku": "https://evil.example"}):
        assert refusal(sign(HEADER | more, CLAIMS, b"x" * 32)) == "unauthorized"


def test_a_token_that_was_changed_anywhere_is_refused():
    token = TOKENS.sign(42, 7)
    for at in range(0, len(token) - 1, 3):  # of the last character two bits mean nothing
        changed = "A" if token[at] != "A" else "B"
        assert refusal(token[:at] + changed + token[at + 1 :]) == "unauthorized"


@pytest.mark.parametrize(
    "token",
    ["", ".", "..", "...", "a.b.c", " ", "Bearer x", "\0", "\ud800", "é.é.é", "x" * 100_000,
     f"{part(b'[1]')}.{part(b'[1]')}.x", f"{part(b'null')}.{part(b'{}')}.x",
     f"{part(b'[' * 5000)}.{part(b'{}')}.x", f"{part(b'{' * 5)}.{part(b'{}')}.x"],
)  # fmt: skip
def test_garbage_is_refused(token: str):
    assert refusal(token) == "unauthorized"


@pytest.mark.parametrize("payload", [b"[1]", b"5", b"null", b"[" * 3000, b"\xff", b"", b"{}x"])
def test_a_payload_that_is_no_object_is_refused_though_signed(payload: bytes):
    assert refusal(sign(HEADER, payload)) == "unauthorized"


def test_length_is_bounded_before_anything_is_read():
    long, longer = claiming(x="x" * 5000), claiming(x="x" * TOKEN_MAX_CHARS)
    assert len(long) < TOKEN_MAX_CHARS
    assert TOKENS.check(long).user_id == 42
    assert refusal(longer) == "unauthorized"


@settings(max_examples=100, deadline=None, derandomize=True)
@given(st.text() | st.lists(st.binary(max_size=40).map(part), min_size=3, max_size=3).map(".".join))
def test_whatever_comes_is_refused_and_nothing_else_happens(token: str):
    assert refusal(token) == "unauthorized"
