"""How often passwords and tokens may be guessed: failures of an account, a device, an address.

Owns: the buckets that failures are taken from, over all pods. Each attempt is counted before the
password is looked at, so that many at once do not get past it, and given back unless it failed: who
knows the password is never throttled by using it. Must never: let a stranger's failures reach the
owner on a known device (a lock-out would be a weapon), or tell whether an account exists. Lost when
Redis restarts: the failures so far, but for what each pod has counted by itself.

The source of the bound is NIST SP 800-63B-4 §3.2.2: no more than 100 failures in a row.
"""

import logging
import math
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager

from rtchat.addresses import counted_as
from rtchat.auth.devices import Devices
from rtchat.cache import Cache
from rtchat.config import Config
from rtchat.errors import ChatError, Code
from rtchat.limits import Limit, Rate

log = logging.getLogger(__name__)

DAY_S = 86_400
DEVICES = 10  # the known devices of an account may fail so many times as often as one
# What costs: the answers that tell a guesser that he was wrong. Others are no fault of his.
_FAILURES = {Code.UNAUTHORIZED, Code.TOKEN_EXPIRED, Code.FORBIDDEN}


def failures(a_day: int) -> Limit:
    """At most `a_day` failures in any 24 hours, with waits that grow. 0: no limit.

    A tenth goes through at once, then one every 5 s; after a quarter one a minute; after a half,
    the other half is spread over the day.
    """
    if not a_day:
        return ()
    return (
        Rate(1 / 5, max(1.0, a_day / 10)),
        Rate(1 / 60, max(1.0, a_day / 4)),
        Rate(a_day / 2 / DAY_S, max(1.0, a_day / 2)),
    )


class Throttle:
    """Lets attempts through, or says when to come again."""

    def __init__(self, config: Config, cache: Cache) -> None:
        self.devices = Devices(config)
        self.refused: Counter[str] = Counter()  # by what was attempted
        self._cache = cache
        self._of_account = failures(config.account_failures_max)
        self._of_devices = failures(config.account_failures_max * DEVICES)
        self._of_address = failures(config.address_failures_max)

    def login(
        self, account: str, device: str | None, address: str
    ) -> AbstractAsyncContextManager[None]:
        """Around an attempt to sign in. Raises ChatError(rate_limited) before it begins.

        `account` is what `devices` calls it. On a known device only that device's failures count,
        and those of all that are known: who once had the password may have made many.
        """
        if device is not None:
            known = {f"device:{device}": self._of_account, f"devices:{account}": self._of_devices}
            return self._attempt("login", known, address)
        buckets = {f"account:{account}": self._of_account, **self._from("login", address)}
        return self._attempt("login", buckets, address)

    def refresh(self, address: str) -> AbstractAsyncContextManager[None]:
        """Around a refresh."""
        return self._attempt("refresh", self._from("refresh", address), address)

    def password(self, user_id: int, address: str) -> AbstractAsyncContextManager[None]:
        """Around a password change, which tells whether the current one was right."""
        return self._attempt("password", {f"password:{user_id}": self._of_account}, address)

    def _from(self, what: str, address: str) -> dict[str, Limit]:
        """An address' bucket. A server that tells no addresses would have one for all."""
        return {f"{what}:{counted_as(address)}": self._of_address} if address else {}

    @asynccontextmanager
    async def _attempt(
        self, what: str, buckets: dict[str, Limit], address: str
    ) -> AsyncIterator[None]:
        await self._take(what, buckets, address)
        try:
            yield
        except ChatError as error:
            if error.code not in _FAILURES:
                await self._give_back(buckets)
            raise
        await self._give_back(buckets)

    async def _take(self, what: str, buckets: dict[str, Limit], address: str) -> None:
        taken: dict[str, Limit] = {}
        for key, limit in buckets.items():
            wait_s = await self._cache.spend(f"failures:{key}", limit)
            if wait_s:
                self.refused[what] += 1
                await self._give_back(taken)
                log.warning(
                    "attempt throttled",
                    extra={
                        "attempt": what,
                        "bucket": key,
                        "client": address,
                        "wait_s": math.ceil(wait_s),
                    },
                )
                of_address = limit is self._of_address
                raise ChatError(
                    Code.RATE_LIMITED,
                    "Too many failed attempts.",
                    after_ms=math.ceil(wait_s * 1000),
                    limit="address_failures_max" if of_address else "account_failures_max",
                )
            taken[key] = limit

    async def _give_back(self, buckets: dict[str, Limit]) -> None:
        for key, limit in buckets.items():
            await self._cache.spend(f"failures:{key}", limit, cost=-1)
