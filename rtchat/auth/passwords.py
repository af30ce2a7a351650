"""Passwords: bcrypt, off the event loop, bounded.

A password of any length and script counts whole: bcrypt reads 72 bytes at most and stops at none,
so it gets the base64 of a keyed SHA-384 of the password (64 bytes). The key is no secret; it keeps
these digests apart from other sites' (OWASP, Password Storage Cheat Sheet, "password shucking").
Cost 12 takes about 0.25 s, so hashing has threads of its own and a bounded queue before them. Owns:
what may become a password, and the queue. Must never: keep a password, or say one. A crash loses
what waits, whose askers are gone as well.
"""

import asyncio
import base64
import hashlib
import hmac
import logging
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

import bcrypt

from rtchat.auth.guessable import common_passwords, reason_against
from rtchat.config import Config
from rtchat.errors import ChatError, Code, spread_ms

log = logging.getLogger(__name__)

T = TypeVar("T")
_DOMAIN = b"rtchat password v1"
COST_OF_LAST = 8  # hashes that the measured cost is about


class Passwords:
    """Hashes and checks passwords."""

    def __init__(self, config: Config) -> None:
        self._config = config
        self._threads = ThreadPoolExecutor(config.password_threads, thread_name_prefix="bcrypt")
        self._waiting = 0
        # Checked where there is no user or no password, so that this takes as long as a wrong one.
        began = time.perf_counter()
        self._dummy = bcrypt.hashpw(b"-", bcrypt.gensalt(config.bcrypt_cost)).decode()
        self._cost_s = time.perf_counter() - began  # of one hash, lately
        self.runs = 0  # hashes made and checked
        self._threads.submit(common_passwords)  # 30 ms that no request then waits for

    @property
    def waiting(self) -> int:
        """How many are being hashed or wait for it."""
        return self._waiting

    def close(self) -> None:
        """Drop what waits; what runs ends by itself."""
        self._threads.shutdown(wait=False, cancel_futures=True)

    def validate(
        self, password: str, email: str | None, name: str | None, field: str = "password"
    ) -> None:
        """Raise ChatError unless this may become the password of somebody called so."""
        least = self._config.password_min_chars
        if len(password) < least:
            detail = f"A password has at least {least} characters."
            raise ChatError(Code.BAD_FIELD, detail, field=field, limit="password_min_chars")
        self._bound(password, field)
        if reason := reason_against(password, email, name):
            raise ChatError(Code.BAD_FIELD, reason, field=field)

    async def hash(self, password: str) -> str:
        """Hash a password that was validated."""
        digest = _digest(password)
        salt = bcrypt.gensalt(self._config.bcrypt_cost)
        return (await self._run(lambda: bcrypt.hashpw(digest, salt))).decode()

    def outdated(self, password_hash: str) -> bool:
        """Whether a hash was made at another cost than is set now."""
        return not password_hash.startswith(f"$2b${self._config.bcrypt_cost:02}$")

    async def check(
        self, password: str, password_hash: str | None, field: str = "password"
    ) -> bool:
        """Whether the password is right; as slow where there is no hash to check against."""
        self._bound(password, field)
        digest = _digest(password)
        stored = (password_hash or self._dummy).encode()
        try:
            right = await self._run(lambda: bcrypt.checkpw(digest, stored))
        except ValueError:
            log.exception("a stored password hash is damaged")
            return False
        return right and password_hash is not None

    def _bound(self, password: str, field: str) -> None:
        if len(password.encode("utf-8", "surrogatepass")) > self._config.password_max_bytes:
            raise ChatError(
                Code.TOO_LONG,
                f"A password has at most {self._config.password_max_bytes} bytes.",
                field=field,
                limit="password_max_bytes",
            )

    async def _run(self, work: Callable[[], T]) -> T:
        if self._waiting >= self._config.password_queue:
            raise ChatError(
                Code.OVERLOADED,
                "Too many sign-ins at once.",
                after_ms=spread_ms(self._wait_ms()),
                limit="password_queue",
            )
        self._waiting += 1
        try:
            return await asyncio.get_running_loop().run_in_executor(
                self._threads, self._timed, work
            )
        finally:
            self._waiting -= 1

    def _wait_ms(self) -> int:
        """How long the queue takes to empty, as far as lately seen."""
        return round(self._waiting / self._config.password_threads * self._cost_s * 1000)

    def _timed(self, work: Callable[[], T]) -> T:
        """In a thread: measure; of two that end at once either may be told, and either is right."""
        began = time.perf_counter()
        try:
            return work()
        finally:
            self.runs += 1
            self._cost_s += (time.perf_counter() - began - self._cost_s) / COST_OF_LAST


def _digest(password: str) -> bytes:
    keyed = hmac.digest(_DOMAIN, password.encode("utf-8", "surrogatepass"), hashlib.sha384)
    return base64.b64encode(keyed)
