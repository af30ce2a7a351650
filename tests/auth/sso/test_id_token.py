"""ID tokens of any form: only one that is right gives claims. Each wrong claim has its case in
tests/oidc/test_misbehaviour, over real HTTP.
"""

import time
from typing import Any

import pytest
from hypothesis import given, strategies as st
from joserfc import jwt
from joserfc.jwk import ECKey, RSAKey

from rtchat.auth.sso.id_token import ALGORITHMS, Expected, check, keys_of
from rtchat.auth.sso.outbound import ProviderError
from rtchat.providers import Provider

PROVIDER = Provider(name="corp", title="Corp", issuer="https://id.example", client_id="us")
NOW = 1_800_000_000.0
EXPECTED = Expected(PROVIDER, "n", "an access token", ALGORITHMS, max_age_s=600)
KEY = ECKey.generate_key("P-256")
KEYS = keys_of({"keys": [{**KEY.as_dict(private=False), "kid": "k"}]})
GOOD = {
    "iss": "https://id.example",
    "aud": "us",
    "sub": "ann",
    "nonce": "n",
    "iat": int(NOW),
    "exp": int(NOW) + 60,
}
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=9),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner),
    max_leaves=4,
)


def signed(claims: dict[str, Any], **header: Any) -> str:
    return jwt.encode({"alg": "ES256", "kid": "k", **header}, claims, KEY, ["ES256"])


def is_refused(token: str) -> bool:
    try:
        check(token, KEYS, EXPECTED, NOW)
    except ProviderError:
        return True
    return False


def test_a_good_one_gives_its_claims():
    assert check(signed(GOOD), KEYS, EXPECTED, NOW) == GOOD
    assert check(signed({**GOOD, "aud": ["us"], "azp": "us"}), KEYS, EXPECTED, NOW)["sub"] == "ann"


@pytest.mark.parametrize("late_s", [60 + 30, 600 + 31, 10**9, -31, -(10**9)])
def test_it_is_good_for_its_time_and_half_a_minute(late_s: int):
    token = signed({**GOOD, "exp": int(NOW) + 60})
    check(token, KEYS, EXPECTED, NOW + 89)
    check(token, KEYS, EXPECTED, NOW - 30)
    with pytest.raises(ProviderError):
        check(token, KEYS, EXPECTED, NOW + late_s)


def test_it_is_no_older_than_the_sign_in():
    old = {**GOOD, "exp": int(NOW) + 10_000}
    check(signed(old), KEYS, EXPECTED, NOW + 630)
    with pytest.raises(ProviderError, match="iat"):
        check(signed(old), KEYS, EXPECTED, NOW + 631)


@given(st.text(max_size=100) | st.text(st.sampled_from("abcdeyJ0.-_="), max_size=100))
def test_no_text_is_a_token(text: str):
    assert is_refused(text)


@given(st.integers(0, 400), st.sampled_from("AbC0._-="))
def test_no_token_with_another_character_is_one(at: int, character: str):
    """Nor one that decodes to the same bytes: what is signed is the text, and it is used once."""
    token = signed(GOOD)
    at %= token.rindex(".")
    changed = token[:at] + character + token[at + 1 :]
    assert changed == token or is_refused(changed)


@given(st.sampled_from(sorted(GOOD)), JSON)
def test_no_claim_may_be_anything_else(name: str, value: Any):
    """A subject alone is free, and a time within its bounds."""
    fine = (
        (name == "sub" and isinstance(value, str) and 0 < len(value) <= 255)
        or (name == "exp" and isinstance(value, int | float) and value > NOW - 30)
        or value == GOOD[name]
        or (name == "aud" and value == ["us"])
    )
    assert fine or is_refused(signed({**GOOD, name: value}))


@given(st.sampled_from(["at_hash", "azp", "nbf"]), JSON)
def test_no_optional_claim_may_be_of_another_kind(name: str, value: Any):
    empty = name == "azp" and not value
    past = name == "nbf" and isinstance(value, int | float) and value <= NOW + 30
    assert (
        empty or (past and not isinstance(value, bool)) or is_refused(signed({**GOOD, name: value}))
    )


@given(JSON)
def test_any_list_of_keys_is_read(value: Any):
    """What cannot sign is left out, and a list without any is an error of the provider's."""
    good = {**KEY.as_dict(private=False), "kid": "k"}
    for document in ({"keys": value}, {"keys": [value]}, {}):
        with pytest.raises(ProviderError):
            keys_of(document)
    assert len(keys_of({"keys": [value, {**good, "use": "enc"}, good]}).keys) == 1


@pytest.mark.filterwarnings("ignore:Key size")
def test_a_key_that_is_too_short_does_not_sign():
    short = RSAKey.generate_key(1024).as_dict(private=False)
    for keys in ([short], [{**short, "n": "AAAA" + str(short["n"]) * 3}]):
        with pytest.raises(ProviderError):
            keys_of({"keys": keys})


@pytest.mark.parametrize("entry", [{"kty": "oct", "k": "c2VjcmV0"}, {"kty": "AKP"}, {"kty": "RSA"}])
def test_a_secret_or_an_unknown_kind_of_key_does_not_sign(entry: dict[str, str]):
    with pytest.raises(ProviderError):
        keys_of({"keys": [entry]})


def test_the_clock_is_the_callers():
    """A token of today is long past at another time."""
    token = signed({**GOOD, "iat": int(time.time()), "exp": int(time.time()) + 60})
    assert check(token, KEYS, EXPECTED, time.time())
    assert is_refused(token)
