"""A new user's name and address, of whatever a provider says: nobody is kept out by it."""

from typing import Any

from hypothesis import given, strategies as st

from rtchat.auth.sso.profile import NAMES, profile_of
from rtchat.names import clean_name, is_email

ANYTHING = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(),
    lambda inner: st.lists(inner),
    max_leaves=3,
)
CLAIMS = st.dictionaries(
    st.sampled_from([*NAMES, "email_verified", "x"]), st.text(max_size=200) | ANYTHING
)


@given(CLAIMS)
def test_any_claims_make_a_name_and_perhaps_an_address(claims: dict[str, Any]):
    profile = profile_of(claims, 80, "Corp user")
    assert clean_name(profile.name, 80) == profile.name
    if profile.email is not None:
        assert is_email(profile.email)
        assert profile.email.encode()
        assert claims["email_verified"] in (True, "true")


@given(st.text(max_size=300))
def test_a_name_that_may_be_one_is_taken_as_it_is(name: str):
    try:
        clean = clean_name(name, 300)
    except Exception:  # noqa: BLE001  whatever it is, it is no name
        return
    assert profile_of({"name": name}, 300, "x").name == " ".join(clean.split())


@given(st.lists(st.sampled_from("ab\u202e\u200b\u0301\u00e9 \t\x00\ud800"), max_size=20))
def test_what_a_name_may_not_hold_is_left_out(characters: list[str]):
    name = profile_of({"name": "".join(characters)}, 8, "Corp user").name
    assert clean_name(name, 8 if name != "Corp use" else 9) == name


def test_the_fallback_is_cut_too():
    assert profile_of({}, 8, "A provider with a long title user").name == "A provid"


def test_an_address_counts_only_where_it_is_verified():
    claims = {"email": "ann@idp.example"}
    for verified in (None, False, "false", 0, 1, "yes", [True]):
        assert profile_of({**claims, "email_verified": verified}, 80, "x").email is None
    for verified in (True, "true"):
        assert (
            profile_of({**claims, "email_verified": verified}, 80, "x").email == "ann@idp.example"
        )
