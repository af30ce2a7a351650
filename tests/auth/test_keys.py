"""Keys of access tokens: each has a name and one algorithm, several are believed, one signs."""

import json
import socket
import time
import warnings
from typing import Any

import jwt
import pytest
from joserfc.errors import SecurityWarning
from joserfc.jwk import ECKey, JWKRegistry, OKPKey, RSAKey

from rtchat.auth.keys import ALGORITHMS, KeyRing, new
from rtchat.auth.tokens import Tokens
from rtchat.config import Config
from rtchat.errors import ChatError, Code, StartError

SECRET = "kM3vX9qLr7TzWb2NfYh8sJc5DgPa4Eu6"
OTHER = "Zt5uHn8wQb1xKc4vRf7yLm0pSd3gAe9j"
PEMS: dict[str, RSAKey | OKPKey | ECKey] = {
    "EdDSA": OKPKey.generate_key("Ed25519"),
    "RS256": RSAKey.generate_key(2048),
    "ES256": ECKey.generate_key("P-256"),
}


def private(name: str) -> str:
    return PEMS[name].as_pem(private=True).decode()


def public(name: str) -> str:
    return PEMS[name].as_pem(private=False).decode()


def tokens(**settings: Any) -> Tokens:
    return Tokens(Config(**{"secret_key": SECRET, **settings}))


def believes(checker: Tokens, token: str) -> bool:
    try:
        return checker.check(token)[:2] == (42, 7)
    except ChatError as error:
        if error.code is not Code.UNAUTHORIZED:
            raise
        return False


def header_of(token: str) -> dict[str, Any]:
    return jwt.get_unverified_header(token)


# --- what signs


@pytest.mark.parametrize("algorithm", PEMS)
def test_a_key_signs_with_its_own_algorithm_under_its_own_name(algorithm: str):
    """The name is the RFC 7638 thumbprint."""
    signer = tokens(signing_key=private(algorithm))
    token = signer.sign(42, 7)
    assert header_of(token) == {
        "alg": algorithm, "typ": "at+jwt", "kid": PEMS[algorithm].thumbprint()
    }  # fmt: skip
    assert believes(signer, token)


def test_a_secret_has_a_name_that_tells_nothing_of_it():
    kid = header_of(tokens().sign(42, 7))["kid"]
    assert kid == header_of(tokens().sign(42, 7))["kid"]
    assert kid != header_of(tokens(secret_key=OTHER).sign(42, 7))["kid"]
    assert SECRET not in repr(tokens().keys.signing)
    assert len(kid) == 16


@pytest.mark.parametrize("algorithm", ALGORITHMS)
def test_a_fresh_key_can_be_used(algorithm: str):
    made = new(algorithm)
    assert made != new(algorithm)
    setting = "secret_key" if algorithm == "HS256" else "signing_key"
    signer = tokens(**{setting: made})
    assert signer.keys.signing.algorithm == algorithm
    assert believes(signer, signer.sign(42, 7))


# --- what is believed


@pytest.mark.parametrize("half", [private, public])
@pytest.mark.parametrize("algorithm", PEMS)
def test_verification_keys_believe_and_do_not_sign(algorithm: str, half: Any):
    token = tokens(signing_key=private(algorithm)).sign(42, 7)
    everything = "\n".join(half(name) for name in PEMS)
    checker = tokens(verification_keys=everything)
    assert believes(checker, token)
    assert checker.keys.signing.algorithm == "HS256"
    assert not believes(tokens(), token)


def test_old_secrets_believe_and_do_not_sign():
    token = tokens(secret_key=OTHER).sign(42, 7)
    assert not believes(tokens(), token)
    for olds in (OTHER, f"{'x1Y2z3A4' * 4},{OTHER}", f"{OTHER}\n{'x1Y2z3A4' * 4}\n"):
        checker = tokens(secret_keys_old=olds)
        assert believes(checker, token)
        assert header_of(checker.sign(42, 7)) == header_of(tokens().sign(42, 7))


def test_where_a_pair_signs_the_secret_does_not_count():
    """Unless it is named among the old ones, as while changing over."""
    token = tokens().sign(42, 7)
    assert not believes(tokens(signing_key=private("EdDSA")), token)
    assert believes(tokens(signing_key=private("EdDSA"), secret_keys_old=SECRET), token)


def test_a_rotation_in_three_steps_believes_everybody_all_the_way():
    """Announce, sign, drop: pods of each step believe those of the one before and behind it."""
    steps = [
        tokens(),
        tokens(verification_keys=public("EdDSA")),
        tokens(signing_key=private("EdDSA"), secret_keys_old=SECRET),
        tokens(signing_key=private("EdDSA")),
    ]
    for before, after in ((0, 1), (1, 2), (2, 3)):
        assert believes(steps[before], steps[after].sign(42, 7))
        assert believes(steps[after], steps[before].sign(42, 7))
    assert not believes(steps[0], steps[2].sign(42, 7)), "this is why the first step is needed"


# --- a token chooses nothing


def forged(claims: dict[str, Any], key: Any, algorithm: str, **header: Any) -> str:
    given = {"typ": "at+jwt", **header}
    return jwt.encode(claims, key, algorithm=algorithm, headers=given)


def claims() -> dict[str, Any]:
    now = int(time.time())
    return {
        "iss": "rtchat", "aud": "rtchat", "sub": "42", "sid": "7", "jti": "j", "iat": now,
        "exp": now + 900,
    }  # fmt: skip


KIDS: list[Any] = ["", "x", "../../../etc/passwd", "' OR 1=1 --", "http://127.0.0.1/", "\0", "é"]


@pytest.mark.parametrize("kid", KIDS)
def test_an_unknown_name_is_no_key(kid: str):
    """S-21: also where the signature is right by a key that has another name."""
    ring = tokens()
    token = forged(claims(), ring.keys.signing.signs, "HS256", kid=kid)
    assert not believes(ring, token)


def test_a_name_of_another_type_is_no_key():
    ring = tokens()
    bad: tuple[Any, ...] = (5, None, [], {})
    for kid in bad:
        signs = jwt.api_jws.PyJWS()
        head = json.dumps({"alg": "HS256", "typ": "at+jwt", "kid": kid}).encode()
        text = jwt.utils.base64url_encode(head) + b"." + jwt.utils.base64url_encode(b"{}")
        signature = signs.get_algorithm_by_name("HS256").sign(text, ring.keys.signing.signs)
        token = text + b"." + jwt.utils.base64url_encode(signature)
        assert not believes(ring, token.decode())


def test_without_a_name_only_the_signing_secret_is_meant():
    """Tokens of the version before; a pair has always had a name."""
    ring = tokens(secret_keys_old=OTHER)
    assert believes(ring, forged(claims(), ring.keys.signing.signs, "HS256"))
    old = tokens(secret_key=OTHER).keys.signing
    assert not believes(ring, forged(claims(), old.signs, "HS256"))
    pair = tokens(signing_key=private("EdDSA"))
    assert not believes(pair, forged(claims(), PEMS["EdDSA"].private_key, "EdDSA"))


def test_a_public_key_is_not_a_secret():
    """S-16: what everybody knows, used as the key of HS256 under the pair's name."""
    ring = tokens(signing_key=private("RS256"))
    key = ring.keys.signing
    head = {"typ": "at+jwt", "kid": key.kid, "alg": "HS256"}
    algorithm = jwt.algorithms.HMACAlgorithm(jwt.algorithms.HMACAlgorithm.SHA256)
    parts = [jwt.utils.base64url_encode(json.dumps(p).encode()) for p in (head, claims())]
    text = b".".join(parts)
    for guess in (public("RS256").encode(), public("RS256").strip().encode(), key.kid.encode()):
        signature = jwt.utils.base64url_encode(algorithm.sign(text, guess))
        assert not believes(ring, (text + b"." + signature).decode())


@pytest.mark.parametrize("bearer", PEMS)
def test_a_key_of_the_ring_signs_only_under_its_own_name(bearer: str):
    """Whose private half one has, one may not speak for another."""
    ring = tokens(verification_keys="".join(public(name) for name in PEMS))
    for name, pair in PEMS.items():
        token = forged(claims(), PEMS[bearer].private_key, bearer, kid=pair.thumbprint())
        assert believes(ring, token) == (name == bearer)


def test_a_key_that_comes_with_the_token_is_not_looked_at():
    """S-21, S-22: `jwk`, `jku`, `x5u` change nothing and fetch nothing; `crit` is refused."""
    ring = tokens()
    mine = OKPKey.generate_key("Ed25519")
    with socket.create_server(("127.0.0.1", 0)) as listener:
        url = f"http://127.0.0.1:{listener.getsockname()[1]}/keys"
        for hint in ({"jwk": mine.as_dict(private=False)}, {"jku": url}, {"x5u": url}):
            for kid in (ring.keys.signing.kid, mine.thumbprint()):
                token = forged(claims(), mine.private_key, "EdDSA", kid=kid, **hint)
                assert not believes(ring, token)
        listener.settimeout(0.2)
        with pytest.raises(TimeoutError):
            listener.accept()
    signs, kid = ring.keys.signing.signs, ring.keys.signing.kid
    assert not believes(ring, forged(claims(), signs, "HS256", kid=kid, crit=["x"], x=1))


def test_two_installations_with_other_names_do_not_believe_each_other():
    """`iss` and `aud` are settings."""
    for other in ({"token_issuer": "elsewhere"}, {"token_audience": "elsewhere"}):
        assert not believes(tokens(), tokens(**other).sign(42, 7))
        assert believes(tokens(**other), tokens(**other).sign(42, 7))


# --- what others see


def test_the_public_halves_are_shown_and_nothing_else():
    """RFC 7517: by them anybody can check a token; no secret and no private part is among them."""
    ring = tokens(
        signing_key=private("EdDSA"), verification_keys=private("RS256"), secret_keys_old=SECRET
    )
    shown = ring.keys.public()
    assert [key["alg"] for key in shown] == ["EdDSA", "RS256"]
    assert {key["kid"] for key in shown} < set(ring.keys.kids)
    private_parts = {"d", "p", "q", "dp", "dq", "qi", "k"}
    assert not any(private_parts & set(key) for key in shown)
    assert {key["use"] for key in shown} == {"sig"}
    token = ring.sign(42, 7)
    key = next(key for key in shown if key["kid"] == header_of(token)["kid"])
    outside: Any = JWKRegistry.import_key(dict(key)).public_key
    assert jwt.decode(token, outside, algorithms=["EdDSA"], audience="rtchat")["sub"] == "42"


def test_secrets_have_no_public_half():
    assert tokens(secret_keys_old=OTHER).keys.public() == []


# --- what is refused at the start


def weak_rsa() -> str:
    """1024 bits: no such key is made any more, but there are old ones."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", SecurityWarning)
        return RSAKey.generate_key(1024).as_pem(private=True).decode()


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"secret_key": "x" * 31}, "32 bytes"),
        ({"secret_keys_old": "short"}, "32 bytes"),
        ({"signing_key": weak_rsa()}, "2048 bits"),
        ({"verification_keys": weak_rsa()}, "2048 bits"),
        ({"signing_key": "garbage"}, "no PEM text.*rtchat key new"),
        ({"signing_key": public("EdDSA")}, "only a private one can sign"),
        ({"signing_key": private("EdDSA")[:60]}, "no PEM text"),
        ({"signing_key": OKPKey.generate_key("X25519").as_pem(private=True).decode()}, "Ed25519"),
        ({"signing_key": ECKey.generate_key("P-384").as_pem(private=True).decode()}, "P-256"),
        ({"verification_keys": "garbage"}, "VERIFICATION_KEYS is no PEM"),
        ({"verification_keys": public("EdDSA") + public("RS256")[:-40]}, "no PEM text"),
        (
            {
                "signing_key": OKPKey.generate_key("Ed25519")
                .as_pem(private=True, password="x")
                .decode()
            },
            "not encrypted",
        ),
    ],
)
def test_a_key_that_cannot_be_used_is_refused_at_the_start(settings: dict[str, Any], words: str):
    """S-17: in words that say which setting, what is wrong, and nothing of the key."""
    with pytest.raises(StartError, match=words) as caught:
        KeyRing(Config(**{"secret_key": SECRET, **settings}))
    assert not any(value in str(caught.value) for value in settings.values())
