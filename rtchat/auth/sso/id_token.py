"""What a provider says of somebody, believed only when all of it is right.

Owns: the checks of an ID token. Signature and the registered claims are joserfc's and authlib's to
check; what they leave open is closed here: which keys and algorithms, whose issuer (Microsoft's
names a tenant), that `at_hash` is never passed over, how old a token may be. Pure; the clock and
the keys are passed in.

Sources: OpenID Connect Core 1.0 §2, §3.1.3.7, §3.1.3.8; RFC 8725; Microsoft identity platform,
"Access tokens: validate the issuer" (the issuer of a signing key).
"""

import re
from typing import Any, NamedTuple

from authlib.oidc.core import CodeIDToken
from joserfc import jwt
from joserfc.errors import InvalidKeyIdError, JoseError
from joserfc.jwk import JWKRegistry, KeySet, RSAKey

from rtchat.auth.sso.outbound import ProviderError
from rtchat.providers import TENANT, Provider

# Asymmetric ones only: with HMAC the public key, or the client's secret, could sign.
ALGORITHMS = (
    "RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "ES512", "EdDSA",
)  # fmt: skip
LEEWAY_S = 30
SUBJECT = re.compile(r"[ -~]{1,255}")  # OpenID Connect Core §2: ASCII, 255 characters at most
KEYS_MAX = 64
RSA_MIN_BITS = 2048  # RFC 7518 §3.3


class UnknownKeyError(ProviderError):
    """A token names a key that is not among those known; there may be newer ones."""


class Expected(NamedTuple):
    """What a token must fit: one sign-in at one provider."""

    provider: Provider
    nonce: str
    access_token: str
    algorithms: tuple[str, ...]  # of ours, those that the provider signs with
    max_age_s: int


def keys_of(document: dict[str, Any]) -> KeySet:
    """The keys of a JWKS that may sign; others, and those that cannot be read, are left out.

    Raises ProviderError where none is left.
    """
    listed = document.get("keys")
    keys = []
    for entry in listed[:KEYS_MAX] if isinstance(listed, list) else []:
        if not isinstance(entry, dict) or entry.get("kty") not in ("RSA", "EC", "OKP"):
            continue
        if entry.get("use", "sig") != "sig":
            continue
        if entry["kty"] == "RSA" and len(str(entry.get("n", ""))) * 6 < RSA_MIN_BITS:
            continue
        try:
            key = JWKRegistry.import_key(entry)
        except (JoseError, ValueError, TypeError, KeyError):
            continue
        if isinstance(key, RSAKey) and key.raw_value.key_size < RSA_MIN_BITS:
            continue
        keys.append(key)
    if not keys:
        raise ProviderError("no key that could sign")
    return KeySet(keys)


def check(token: str, keys: KeySet, expected: Expected, now: float) -> dict[str, Any]:
    """The claims of a token that is right in every respect; else raise ProviderError.

    UnknownKeyError: it names a key that is not there.
    """
    try:
        read = jwt.decode(token, keys, algorithms=expected.algorithms)
        claims = CodeIDToken(
            read.claims,
            read.header,
            options={
                "iss": {"essential": True},
                "aud": {"essential": True, "value": expected.provider.client_id},
                "nonce": {"essential": True},
            },
            params={
                "nonce": expected.nonce,
                "client_id": expected.provider.client_id,
                "access_token": expected.access_token,
            },
        )
        claims.validate(int(now), LEEWAY_S)
    except InvalidKeyIdError:
        raise UnknownKeyError("a token signed with an unknown key") from None
    except JoseError as error:  # its text may hold what the token says
        raise ProviderError(f"a bad ID token: {error.error} {_claim(error)}") from None
    except (ValueError, TypeError, RecursionError, OverflowError) as error:
        raise ProviderError(f"a bad ID token: {type(error).__name__}") from None
    found = dict(claims)
    _check_issuer(found, keys, read.header, expected.provider)
    _check_rest(found, expected, now)
    return found


def _claim(error: JoseError) -> str:
    return str(getattr(error, "claim", ""))


def _check_issuer(
    claims: dict[str, Any], keys: KeySet, header: dict[str, Any], provider: Provider
) -> None:
    """That this provider issued it, and with a key of that very issuer."""
    issuer, tenant = claims["iss"], None
    if TENANT in provider.issuer:
        tenant = claims.get("tid")
        if not isinstance(tenant, str):
            raise ProviderError("a bad ID token: no tid")
    if not provider.issued_by(issuer, tenant):
        raise ProviderError("a bad ID token: iss")
    # Of one tenant's keys, too, Microsoft may say that they are of any; then the token names it.
    of_key = keys.get_by_kid(header.get("kid")).get("issuer")
    named = tenant or str(claims.get("tid"))
    if isinstance(of_key, str) and of_key.replace(TENANT, named) != issuer:
        raise ProviderError("a bad ID token: its key is of another issuer")


def _check_rest(claims: dict[str, Any], expected: Expected, now: float) -> None:
    if not SUBJECT.fullmatch(claims["sub"]):
        raise ProviderError("a bad ID token: sub")
    if claims["iat"] < now - expected.max_age_s - LEEWAY_S:
        raise ProviderError("a bad ID token: iat")
    # Optional where a code is redeemed (OpenID Connect Core §3.1.3.6): Microsoft announces it, and
    # sends it from its authorization endpoint only. Authlib passes over an empty one.
    at_hash = claims.get("at_hash", "none")
    if not isinstance(at_hash, str) or not at_hash:
        raise ProviderError("a bad ID token: at_hash")
