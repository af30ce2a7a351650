"""The table of rates, and the one place that REST and WebSocket ask whether it is too often.

Owns: the buckets of users and addresses. Must never: ask Redis on the way of a message. A rate that
keeps a pod from too much work is counted in the pod, which is what it protects: a user on three
pods has three times as much. One that keeps an attacker from something (accounts, guesses at codes)
is counted in the cache, over all pods. Lost in a crash: the counts, which are short.
"""

import asyncio
import logging
import math
from collections import Counter
from collections.abc import Hashable
from dataclasses import dataclass
from enum import Enum, StrEnum
from typing import Any

from rtchat.addresses import counted_as, of_this_machine
from rtchat.cache import Cache
from rtchat.config import Config
from rtchat.errors import ChatError, Close, Code
from rtchat.limits import Bucket, Buckets, Held, Limit, Rate

log = logging.getLogger(__name__)

FLOOD_CLOSES = frozenset({Close.FLOOD, Close.PROTOCOL_ERROR})
_TOLD = (Rate(1 / 60, 1),)  # one log line a minute for each user or address that goes on


class Limited(StrEnum):
    """What is limited by rate, as logs call it."""

    READS = "reads"
    CHANGES = "changes"
    CREATIONS = "creations"
    CONNECTS = "connects"
    ADDRESS_CONNECTS = "connects of an address"
    FLOODS = "floods"
    REGISTERS = "registrations"
    LOGINS = "logins"
    PASSWORDS = "password changes"
    REFRESHES = "refreshes"
    SSO = "single sign-on"
    OWN_SENDS = "sends of a connection"
    SENDS = "sends"
    SUBS = "subscriptions"
    USER_SUBS = "subscriptions of a user"
    EPHEMERALS = "marks and typing"


READS, CHANGES, CREATIONS = Limited.READS, Limited.CHANGES, Limited.CREATIONS
REGISTERS, SSO, SENDS = Limited.REGISTERS, Limited.SSO, Limited.SENDS
LOGINS, PASSWORDS, REFRESHES = Limited.LOGINS, Limited.PASSWORDS, Limited.REFRESHES
CONNECTS, ADDRESS_CONNECTS, FLOODS = (
    Limited.CONNECTS,
    Limited.ADDRESS_CONNECTS,
    Limited.FLOODS,
)


class Whose(Enum):
    """Of whom a rate is."""

    USER = "user"
    ADDRESS = "address"
    CONNECTION = "connection"


@dataclass(frozen=True, slots=True)
class RateLimit:
    """One line of the table."""

    whose: Whose
    setting: str  # per second or per minute, by the end of its name
    burst: float | str  # so many times that number go through at once; or the setting of that
    everywhere: bool = False  # counted over all pods
    times: str = ""  # a setting that both are multiplied by

    def rate(self, config: Config) -> Rate:
        """What the configuration makes of it."""
        number = float(getattr(config, self.setting))
        unit_s = 60 if self.setting.endswith("_per_minute") else 1
        burst = getattr(config, self.burst) if isinstance(self.burst, str) else number * self.burst
        factor = getattr(config, self.times) if self.times else 1
        return Rate(number / unit_s * factor, max(1.0, float(burst * factor)))

    @property
    def settings(self) -> tuple[str, ...]:
        """The settings that are this limit's, and no other's."""
        if self.times:
            return (self.times,)
        return (self.setting, self.burst) if isinstance(self.burst, str) else (self.setting,)


RATES: dict[Limited, RateLimit] = {
    Limited.READS: RateLimit(Whose.USER, "user_reads_per_second", 10),
    Limited.CHANGES: RateLimit(Whose.USER, "user_changes_per_minute", 1),
    Limited.CREATIONS: RateLimit(Whose.USER, "user_creations_per_minute", 1),
    Limited.CONNECTS: RateLimit(Whose.USER, "user_connects_per_second", 10),
    # As many at once as may stand (`sockets_per_address`): after a pod's end they all come back.
    Limited.FLOODS: RateLimit(Whose.USER, "user_floods_per_minute", 0.5),
    Limited.ADDRESS_CONNECTS: RateLimit(Whose.ADDRESS, "address_connects_per_second", 20),
    Limited.REGISTERS: RateLimit(Whose.ADDRESS, "address_registers_per_minute", 2, everywhere=True),
    Limited.LOGINS: RateLimit(Whose.ADDRESS, "address_logins_per_minute", 1, everywhere=True),
    Limited.PASSWORDS: RateLimit(Whose.USER, "user_password_changes_per_minute", 1),
    Limited.REFRESHES: RateLimit(Whose.USER, "user_refreshes_per_minute", 4),
    Limited.SSO: RateLimit(Whose.ADDRESS, "address_sso_per_minute", 1, everywhere=True),
    Limited.OWN_SENDS: RateLimit(Whose.CONNECTION, "sends_per_second", "sends_burst"),
    Limited.SENDS: RateLimit(
        Whose.USER, "sends_per_second", "sends_burst", times="user_sends_factor"
    ),
    Limited.SUBS: RateLimit(Whose.CONNECTION, "subs_per_second", 10),
    Limited.USER_SUBS: RateLimit(Whose.USER, "user_subs_per_second", 20),
    Limited.EPHEMERALS: RateLimit(Whose.CONNECTION, "ephemerals_per_second", "ephemerals_burst"),
}


def described(what: Limited, config: Config) -> dict[str, Any]:
    """A limit of rate as both documents have it; 0 a second: none."""
    line = RATES[what]
    rate = line.rate(config)
    return {
        "what": str(what),
        "of": f"each {line.whose.value}, {'on all pods' if line.everywhere else 'in a pod'}",
        "perSecond": round(rate.per_second, 3),
        "burst": rate.burst,
        "code": Code.RATE_LIMITED.value,
        "setting": f"RTCHAT_{line.settings[0].upper()}",
    }


class RateLimits:
    """Lets things happen, or says when to come again."""

    def __init__(self, config: Config, cache: Cache) -> None:
        self.refused: Counter[Limited] = Counter()
        self._cache = cache
        self._loop = asyncio.get_running_loop()
        self._limits: dict[Limited, Limit] = {
            name: (line.rate(config),) for name, line in RATES.items()
        }
        self._buckets = Buckets(config.cache_entries_max)
        self._told = Buckets(config.cache_entries_max)
        self._senders = Held(self._limits[Limited.SENDS][0], config.cache_entries_max)
        self._subscribers = Held(self._limits[Limited.USER_SUBS][0], config.cache_entries_max)

    async def spend(self, what: Limited, user_id: int | None, address: str) -> None:
        """Count one. Raises ChatError(rate_limited) with the time to wait."""
        if RATES[what].everywhere:
            key = counted_as(address)
            if address and not of_this_machine(address):
                wait_s = await self._cache.spend(f"rate:{what.name}:{key}", self._limits[what])
                self._settle(what, key, wait_s, user_id, address)
        elif what is Limited.SENDS:
            assert user_id is not None
            self._settle(
                what, user_id, self.sender(user_id).take(self._loop.time()), user_id, address
            )
        else:
            self.spend_here(what, user_id, address)

    def spend_here(self, what: Limited, user_id: int | None, address: str) -> None:
        """Count one that this pod counts. Raises ChatError(rate_limited)."""
        by_user = RATES[what].whose is Whose.USER
        if not by_user and of_this_machine(address):  # a proxy that nobody named, or a test
            return
        key: Hashable = user_id if by_user else counted_as(address)
        wait_s = self._buckets.spend((what, key), self._limits[what], self._loop.time())
        self._settle(what, key, wait_s, user_id, address)

    def connect(self, user_id: int, address: str) -> None:
        """Count a user's socket that opens. Raises ChatError(rate_limited).

        Whoever was closed for floods waits: each socket has a burst of its own, and a thousand
        frames of it cost 5 ms.
        """
        key, limit, now = (Limited.FLOODS, user_id), self._limits[Limited.FLOODS], self._loop.time()
        wait_s = self._buckets.spend(key, limit, now)
        self._settle(Limited.FLOODS, user_id, wait_s, user_id, address)
        self._buckets.spend(key, limit, now, -1.0)
        self.spend_here(Limited.CONNECTS, user_id, address)

    def ended(self, user_id: int, code: int) -> None:
        """Count a user's socket that was closed with this code, where that says that it floods."""
        if code in FLOOD_CLOSES:
            key = (Limited.FLOODS, user_id)
            self._buckets.spend(key, self._limits[Limited.FLOODS], self._loop.time())

    def sender(self, user_id: int) -> Bucket:
        """The bucket of a user's writes, the same for all his connections here."""
        return self._senders.of(user_id, self._loop.time())

    def own(self, what: Limited) -> Bucket:
        """A bucket for what one connection does."""
        [rate] = self._limits[what]
        return Bucket(rate.per_second, rate.burst, self._loop.time())

    def subscribe(self, mine: Bucket, user_id: int, count: int) -> None:
        """Count subscriptions, the connection's and the user's. Raises ChatError(rate_limited)."""
        now = self._loop.time()
        for what, bucket in (
            (Limited.SUBS, mine),
            (Limited.USER_SUBS, self._subscribers.of(user_id, now)),
        ):
            if wait_s := bucket.take(now, count):
                raise self.refusal(what, user_id, wait_s, user_id, "")

    def refusal(
        self, what: Limited, key: Hashable, wait_s: float, user_id: int | None, address: str
    ) -> ChatError:
        """The error that tells to wait; counted, and logged once a minute for each key."""
        self.refused[what] += 1
        if not self._told.spend((what, key), _TOLD, self._loop.time()):
            log.warning(
                "rate limited",
                extra={"limit": str(what), "user": user_id, "client": address or None},
            )
        limits = RATES[what].settings
        return ChatError(Code.RATE_LIMITED, after_ms=math.ceil(wait_s * 1000), limit=limits)

    def _settle(
        self, what: Limited, key: Hashable, wait_s: float, user_id: int | None, address: str
    ) -> None:
        if wait_s:
            raise self.refusal(what, key, wait_s, user_id, address)
