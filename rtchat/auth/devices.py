"""Devices that an account has signed in on before, known by a cookie.

A guesser must not be able to lock the owner out, so who comes with a device's cookie is throttled
apart from strangers (OWASP, "Device Cookies"). A cookie says: on this device somebody once gave the
right password of this account. It signs nobody in. Nothing is stored: it is signed by a key made of
`secret_key`, and believed for as long as that secret, or an old one, is among the keys.
"""

import base64
import hashlib
import hmac
import secrets

from rtchat.auth.keys import derive
from rtchat.config import Config

LIFE_S = 365 * 86_400  # browsers keep a cookie for 400 days at most (RFC 6265bis §5.5)
_NAME = "rtchat-device"
_PARTS = 3
_COOKIES_MAX = 100


class Devices:
    """Names accounts without telling which, and issues and knows devices' cookies."""

    def __init__(self, config: Config) -> None:
        given = [config.secret_key, *config.old_secrets]
        self._keys = [derive(secret, "device") for secret in given]
        self._naming = derive(config.secret_key, "throttled account")

    def account(self, email: str) -> str:
        """A name for whatever account has this address, or would have it.

        Addresses that the database takes for one must be one here, or a guesser has a fresh start
        with each way of writing it; so more are taken for one: final sigma, dotted capital I.
        """
        folded = email.casefold().replace("\u0307", "")
        return _digest(self._naming, folded.encode("utf-8", "surrogatepass"))

    def find(self, cookies: str | None, account: str, now_s: float, *, secure: bool) -> str | None:
        """The device of this account that a `Cookie` header tells of; None: a stranger."""
        name = _name(secure=secure)
        for pair in (cookies or "").split(";", _COOKIES_MAX)[:_COOKIES_MAX]:
            found, _, value = pair.strip().partition("=")
            if found == name and (device := self._read(value, account, now_s)) is not None:
                return device
        return None

    def cookie(self, account: str, device: str | None, now_s: float, *, secure: bool) -> bytes:
        """A `Set-Cookie` for a device on which the right password was given; None: a new one."""
        device = device or secrets.token_urlsafe(16)
        expires = f"{int(now_s) + LIFE_S:x}"
        mac = self._mac(self._keys[0], account, device, expires)
        text = (
            f"{_name(secure=secure)}={device}.{expires}.{mac}; Path=/; Max-Age={LIFE_S}; HttpOnly;"
            f" SameSite=Lax{'; Secure' if secure else ''}"
        )
        return text.encode()

    def _read(self, value: str, account: str, now_s: float) -> str | None:
        parts = value.split(".", _PARTS)
        if not value.isascii() or len(parts) != _PARTS:
            return None
        device, expires, mac = parts
        macs = [self._mac(key, account, device, expires) for key in self._keys]
        if not any(hmac.compare_digest(mac, right) for right in macs):
            return None
        return device if int(expires, 16) > now_s else None

    def _mac(self, key: bytes, account: str, device: str, expires: str) -> str:
        return _digest(key, f"{account}.{device}.{expires}".encode())


def _name(*, secure: bool) -> str:
    # RFC 6265bis §4.1.3.2: only this host's own answers over TLS can have set it.
    return f"__Host-{_NAME}" if secure else _NAME


def _digest(key: bytes, text: bytes) -> str:
    return base64.urlsafe_b64encode(hmac.digest(key, text, hashlib.sha256)[:18]).decode()
