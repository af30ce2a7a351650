"""The provider's keys, and ID tokens: signed as they should be, or as none should."""

import base64
import hashlib
import hmac
import json
import secrets
from typing import Any

from cryptography.hazmat.primitives.asymmetric.padding import PKCS1v15
from cryptography.hazmat.primitives.hashes import SHA256
from joserfc import jws
from joserfc.jwk import ECKey, OKPKey, RSAKey

JSON = dict[str, Any]
Key = RSAKey | ECKey | OKPKey


def _named(key: Any) -> Any:
    """The same key with a kid of its own."""
    return type(key).import_key({**key.as_dict(private=True), "kid": secrets.token_hex(8)})


class Keys:
    """A realm's keys: one for each kind of algorithm."""

    def __init__(self) -> None:
        self.rsa = _named(RSAKey.generate_key(2048))
        self.ec = _named(ECKey.generate_key("P-256"))
        self.okp = _named(OKPKey.generate_key("Ed25519"))

    def of(self, alg: str) -> Key:
        """The key that signs with this algorithm."""
        key: Key = {"E": self.ec, "R": self.rsa, "P": self.rsa}[alg[0]]
        return self.okp if alg == "EdDSA" else key

    def rotate(self) -> None:
        """Sign with other keys from now on; the old ones are gone."""
        self.__init__()  # type: ignore[misc]  # everything of it is new

    def public(self, extra: JSON) -> JSON:
        """The JWKS; `extra`: members that every key gets."""
        keys = [self.rsa, self.ec, self.okp]
        return {"keys": [{**k.as_dict(private=False), "use": "sig", **extra} for k in keys]}


def sign(keys: Keys, claims: JSON, trick: JSON) -> str:
    """An ID token; `trick` has `alg`, `header` (members over the usual ones) and `forge`."""
    alg = trick.get("alg", "RS256")
    forge = trick.get("forge")
    if forge == "none":
        return _join({"alg": "none"}, claims, b"")
    if forge == "public key as a secret":
        head = {"alg": "HS256", "kid": keys.rsa.kid}
        return _hmac(head, claims, keys.rsa.as_pem(private=False))
    if forge == "client secret":
        return _hmac({"alg": "HS256", "kid": keys.rsa.kid}, claims, trick["secret"].encode())
    if forge == "another key":
        other = Keys().of(alg)
        return _signed({"alg": alg, "kid": keys.of(alg).kid}, claims, other, [alg])
    if forge == "a key of its own":
        other = Keys().rsa
        head = {"alg": alg, "jwk": other.as_dict(private=False)}
        return _signed(head, claims, other, [alg])
    if forge == "unknown crit":  # joserfc itself would not sign it
        head = {"alg": "RS256", "kid": keys.rsa.kid, "crit": ["x"], "x": 1}
        signed = f"{_b64(_json(head))}.{_b64(_json(claims))}"
        signature = keys.rsa.private_key.sign(signed.encode(), PKCS1v15(), SHA256())
        return f"{signed}.{_b64(signature)}"
    header = {"alg": alg, "kid": keys.of(alg).kid, **trick.get("header", {})}
    return _signed(header, claims, keys.of(alg), [alg])


def half_hash(text: str, alg: str) -> str:
    """OpenID Connect Core §3.1.3.6."""
    size = {"EdDSA": "512"}.get(alg, alg[2:])
    digest = hashlib.new(f"sha{size}", text.encode()).digest()
    return _b64(digest[: len(digest) // 2])


def _signed(header: JSON, claims: JSON, key: Key, algorithms: list[str]) -> str:
    return jws.serialize_compact({"typ": "JWT", **header}, _json(claims), key, algorithms)


def _hmac(header: JSON, claims: JSON, key: bytes) -> str:
    signed = f"{_b64(_json(header))}.{_b64(_json(claims))}"
    return f"{signed}.{_b64(hmac.digest(key, signed.encode(), 'sha256'))}"


def _join(header: JSON, claims: JSON, signature: bytes) -> str:
    return ".".join(_b64(part) for part in (_json(header), _json(claims), signature))


def _json(value: JSON) -> bytes:
    return json.dumps(value).encode()


def _b64(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()
