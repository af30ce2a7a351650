"""What is said of a token by the settings alone: each way in which it is not good, by its name."""

import base64
import json
import math
import time
from typing import Any

import jwt
import pytest
from hypothesis import example, given, strategies as st

from rtchat.auth.keys import KeyRing, new
from rtchat.auth.tokens import TYPE, Tokens
from rtchat.config import Config
from rtchat.errors import ChatError
from rtchat.operate.tokens import described, ids, is_time, moment, read
from tests.pods import SECRET_KEY

CONFIG = Config(secret_key=SECRET_KEY)
NOW = int(time.time())
CLAIMS = {
    "iss": "rtchat", "aud": "rtchat", "sub": "1", "sid": "2", "jti": "x", "iat": NOW,
    "exp": NOW + 86_400,  # longer than any run of the suite takes
}  # fmt: skip


def signed(config: Config = CONFIG, typ: str = TYPE, kid: str | None = None, **claims: Any) -> str:
    key = KeyRing(config).signing
    headers = {"typ": typ, "kid": kid or key.kid}
    found = {name: value for name, value in {**CLAIMS, **claims}.items() if value is not None}
    return jwt.encode(found, key.signs, algorithm=key.algorithm, headers=headers)


def test_one_that_pods_sign_is_good():
    token = Tokens(CONFIG).sign(17, 4)
    claims, reasons = read(token, CONFIG)
    assert reasons == []
    assert ids(claims) == (17, 4)


@pytest.mark.parametrize(
    ("token", "words"),
    [
        ("nonsense", "no JSON Web Token"),
        ("a.b.c", "no JSON Web Token"),
        (signed(exp=NOW - 40), "it expired 40 s ago"),
        (signed(iat=NOW + 100, exp=NOW + 200), "of the future by 100 s"),
        (signed(iss="elsewhere"), "iss is 'elsewhere', and RTCHAT_TOKEN_ISSUER is 'rtchat'"),
        (signed(aud="others"), "aud is 'others', and RTCHAT_TOKEN_AUDIENCE is 'rtchat'"),
        (signed(typ="JWT"), "its type is 'JWT', not 'at+jwt'"),
        (signed(Config(secret_key=SECRET_KEY[::-1])), "and the settings believe"),
        (signed(kid="another"), "key 'another' signed it"),
        (signed(sid=None), "a claim is missing"),
        (signed(sub="x"), "a claim is missing or of another type"),
        (signed()[:-4] + "AAAA", "the signature is not good"),
    ],
    ids=lambda value: value.replace(" ", "-")[:30] if " " in value else "",
)
def test_what_is_wrong_is_named(token: str, words: str):
    _, reasons = read(token, CONFIG, now=NOW)
    assert any(words in reason for reason in reasons), reasons


def test_everything_that_is_wrong_is_named_at_once():
    token = signed(iss="elsewhere", aud="others", typ="JWT", exp=NOW - 100)
    assert len(read(token, CONFIG, now=NOW).reasons) == 4


def test_a_key_that_signed_before_is_believed_and_another_algorithm_is_not():
    old = Config(secret_key=SECRET_KEY)
    now = Config(secret_key=SECRET_KEY[::-1], signing_key=new("EdDSA"), secret_keys_old=SECRET_KEY)
    assert read(signed(old), now).reasons == []
    head = base64.urlsafe_b64encode(
        json.dumps({"typ": TYPE, "alg": "none", "kid": KeyRing(old).signing.kid}).encode()
    ).decode()
    _, reasons = read(f"{head.rstrip('=')}.{signed(old).split('.')[1]}.", now)
    assert any("it says 'none', and its key signs with HS256" in reason for reason in reasons)


def test_what_a_stranger_wrote_into_a_token_is_printable():
    claims, _ = read(signed(sub="1\x1b[2J", iss="\u202e"), CONFIG)
    assert dict(described(claims))["user"] == "1\\x1b[2J"
    assert dict(described(claims))["issuer"] == "\\u202e"
    assert ids(claims) == (None, 2)


NUMBERS = st.one_of(
    st.integers(-(10**400), 10**400),
    st.floats(),  # NaN and the infinite among them, which JSON does not know and Python reads
    st.sampled_from([10**400, -(10**400), 253402300800, math.inf, math.nan, True]),
)


@given(issued=NUMBERS, expires=NUMBERS)
@example(issued=10**400, expires=10**400)
@example(issued=NOW, expires=math.inf)
@example(issued=math.nan, expires=math.nan)
def test_any_number_may_stand_where_a_time_should(issued: float, expires: float):
    """What cannot be written as a time is not shown as one; the verdict is that of pods."""
    token = signed(iat=issued, exp=expires)
    claims, reasons = read(token, CONFIG, now=NOW)
    shown = dict(described(claims))
    for name, claim in (("issued", issued), ("expires", expires)):
        assert (name in shown) == is_time(claim)
    try:
        Tokens(CONFIG).check(token)
        refused = False
    except (ChatError, OverflowError):
        refused = True
    assert bool(reasons) == refused
    assert moment(0) == "1970-01-01T00:00:00.000Z"
