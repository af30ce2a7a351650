"""Passwords: bcrypt, off the event loop, bounded.

A password of any length and script counts whole: bcrypt reads 72 bytes at most and stops at none,
so it gets the base64 of a keyed SHA-384 of the password (64 bytes). The key is no secret; it keeps
these digests apart from other sites' (OWASP, Password Storage Cheat Sheet, "password shucking").
Cost 12 takes about 0.25 s, so hashing has threads of its own and a bounded queue before them.
"""

import asyncio
import base64
import hashlib
import hmac
import logging
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

import bcrypt

from rtchat.config import Config
from rtchat.errors import ChatError, Code

log = logging.getLogger(__name__)

T = TypeVar("T")
_DOMAIN = b"rtchat password v1"


class Passwords:
    """Hashes and checks passwords."""

    def __init__(self, config: Config) -> None:
        self._config = config
        self._threads = ThreadPoolExecutor(config.password_threads, thread_name_prefix="bcrypt")
        self._waiting = 0
        # Checked where there is no user or no password, so that this takes as long as a wrong one.
        self._dummy = bcrypt.hashpw(b"-", bcrypt.gensalt(config.bcrypt_cost)).decode()

    def close(self) -> None:
        """Drop what waits; what runs ends by itself."""
        self._threads.shutdown(wait=False, cancel_futures=True)

    def validate(self, password: str) -> None:
        """Raise ChatError unless this may become a password."""
        if len(password) < self._config.password_min_chars:
            raise ChatError(
                Code.BAD_FIELD,
                f"A password has at least {self._config.password_min_chars} characters.",
                field="password",
            )
        self._bound(password)

    async def hash(self, password: str) -> str:
        """Hash a password that was validated."""
        digest = _digest(password)
        salt = bcrypt.gensalt(self._config.bcrypt_cost)
        return (await self._run(lambda: bcrypt.hashpw(digest, salt))).decode()

    async def check(self, password: str, password_hash: str | None) -> bool:
        """Whether the password is right; as slow where there is no hash to check against."""
        self._bound(password)
        digest = _digest(password)
        stored = (password_hash or self._dummy).encode()
        try:
            right = await self._run(lambda: bcrypt.checkpw(digest, stored))
        except ValueError:
            log.exception("a stored password hash is damaged")
            return False
        return right and password_hash is not None

    def _bound(self, password: str) -> None:
        if len(password.encode("utf-8", "surrogatepass")) > self._config.password_max_bytes:
            raise ChatError(
                Code.TOO_LONG,
                f"A password has at most {self._config.password_max_bytes} bytes.",
                field="password",
            )

    async def _run(self, work: Callable[[], T]) -> T:
        if self._waiting >= self._config.password_queue:
            raise ChatError(Code.OVERLOADED, "Too many sign-ins at once.", after_ms=2000)
        self._waiting += 1
        try:
            return await asyncio.get_running_loop().run_in_executor(self._threads, work)
        finally:
            self._waiting -= 1


def _digest(password: str) -> bytes:
    keyed = hmac.digest(_DOMAIN, password.encode("utf-8", "surrogatepass"), hashlib.sha384)
    return base64.b64encode(keyed)
