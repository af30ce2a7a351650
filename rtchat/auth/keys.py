"""The keys of access tokens: one that signs, and all whose signatures are believed.

Owns: reading keys, their names and their floors. A key is known by its `kid`, has one algorithm and
takes no other (RFC 8725 §3.1), so neither can be chosen by whoever brings a token. Must never: show
a secret, read a file or fetch anything because a token names it. Nothing here changes after the
start: keys are rotated by starting pods anew, in three steps (docs/protocol.md, "Keys").
"""

import base64
import hashlib
import hmac
import re
import secrets
import warnings
from dataclasses import dataclass, field
from typing import Any

from joserfc.errors import JoseError, SecurityWarning
from joserfc.jwk import ECKey, OKPKey, RSAKey

from rtchat.config import Config
from rtchat.errors import StartError

HMAC_MIN_BYTES = 32  # RFC 7518 §3.2
RSA_MIN_BITS = 2048  # RFC 7518 §3.3
ALGORITHMS = ("EdDSA", "RS256", "ES256", "HS256")
_BLOCK = re.compile(r"-----BEGIN ([A-Z ]+)-----.+?-----END \1-----", re.DOTALL)
_KINDS = {("RSA", ""): "RS256", ("OKP", "Ed25519"): "EdDSA", ("EC", "P-256"): "ES256"}


@dataclass(frozen=True, slots=True)
class Key:
    """One key. `jwk` is its public half as clients may see it (RFC 7517); a secret has none."""

    kid: str
    algorithm: str
    verifies: Any = field(repr=False)
    signs: Any = field(repr=False, default=None)  # None: only the public half is here
    jwk: dict[str, str] | None = None


class KeyRing:
    """The keys of one process. Raises StartError, in words that tell how to mend it."""

    def __init__(self, config: Config) -> None:
        old = [_from_secret(secret) for secret in config.old_secrets]
        given = [_from_pem(pem, "VERIFICATION_KEYS") for pem in _blocks(config.verification_keys)]
        self.signing = _from_secret(config.secret_key)
        if config.signing_key:
            self.signing = _from_pem(config.signing_key, "SIGNING_KEY")
            if self.signing.signs is None:
                raise StartError("RTCHAT_SIGNING_KEY is a public key: only a private one can sign")
        self._keys: dict[str, Key] = {}
        for key in (self.signing, *given, *old):
            self._keys.setdefault(key.kid, key)

    def get(self, kid: str | None) -> Key | None:
        """The key of this name.

        Tokens of rtchat before keys had names carry none: the secret that signs now signed those as
        well, so nobody is signed out while pods are brought up to date.
        """
        if kid is None:
            return self.signing if self.signing.algorithm == "HS256" else None
        return self._keys.get(kid)

    @property
    def kids(self) -> list[str]:
        """The names of all keys that are believed, the signing one first."""
        return list(self._keys)

    def public(self) -> list[dict[str, str]]:
        """The public halves of all that have one, for others who check our tokens (RFC 7517 §5)."""
        return [key.jwk for key in self._keys.values() if key.jwk is not None]


def new(algorithm: str) -> str:
    """Make a fresh key: PEM (PKCS #8), or for HS256 a text to be used as the secret."""
    if algorithm == "HS256":
        return secrets.token_urlsafe(48)
    if algorithm == "RS256":
        pem = RSAKey.generate_key(3072).as_pem(private=True)
    elif algorithm == "ES256":
        pem = ECKey.generate_key("P-256").as_pem(private=True)
    else:
        pem = OKPKey.generate_key("Ed25519").as_pem(private=True)
    return pem.decode()


def derive(secret: str, purpose: str) -> bytes:
    """One secret is configured; each use gets a key of its own, 32 bytes."""
    return hmac.digest(secret.encode(), purpose.encode(), hashlib.sha256)


def _from_secret(secret: str) -> Key:
    if len(secret.encode()) < HMAC_MIN_BYTES:
        raise StartError(f"a secret that signs tokens needs {HMAC_MIN_BYTES} bytes or more")
    key = derive(secret, "access token")
    kid = base64.urlsafe_b64encode(derive(secret, "key id")[:12]).decode()
    return Key(kid, "HS256", key, key)


def _blocks(text: str) -> list[str]:
    blocks = [match.group() for match in _BLOCK.finditer(text)]
    if text.count("-----BEGIN") != len(blocks) or bool(text) != bool(blocks):
        raise StartError(_unreadable("VERIFICATION_KEYS"))
    return blocks


def _from_pem(pem: str, setting: str) -> Key:
    for kind in (RSAKey, OKPKey, ECKey):
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore", SecurityWarning)  # of a short key: refused below
                found = kind.import_key(pem)
        except (JoseError, ValueError, TypeError):  # another kind's, or none; the last: encrypted
            continue
        break
    else:
        raise StartError(_unreadable(setting))
    jwk = {name: str(value) for name, value in found.as_dict(private=False).items()}
    algorithm = _KINDS.get((jwk["kty"], jwk.get("crv", "")))
    if algorithm is None:
        raise StartError(f"RTCHAT_{setting} has a key of another kind than {_WANTED}")
    if isinstance(found, RSAKey) and found.raw_value.key_size < RSA_MIN_BITS:
        raise StartError(f"RTCHAT_{setting} has an RSA key of less than {RSA_MIN_BITS} bits")
    kid = found.thumbprint()
    public = {**jwk, "kid": kid, "use": "sig", "alg": algorithm}
    return Key(kid, algorithm, found.public_key, found.private_key, public)


_WANTED = "Ed25519, RSA or P-256"


def _unreadable(setting: str) -> str:
    return (
        f"RTCHAT_{setting} is no PEM text of a key that can be read ({_WANTED}, not encrypted);"
        " make one with: rtchat key new --alg EdDSA"
    )
