"""Failures are counted before they happen, over all pods, and never reach the owner's devices."""

from contextlib import AbstractAsyncContextManager
from typing import Any

import msgspec
import pytest

from rtchat.auth.throttle import DAY_S, Throttle, failures
from rtchat.cache.memory import MemoryCache
from rtchat.config import Config
from rtchat.errors import ChatError, Code
from rtchat.limits import Buckets

SETTINGS: dict[str, Any] = {
    "account_failures_max": 20,
    "address_failures_max": 100,
}  # 2 and 10 at once


class Attacked:
    """A throttle on a clock that stands still until it is moved."""

    def __init__(self, **settings: int) -> None:
        self.now = 1000.0
        self.after_ms: int | None = None  # what the last refusal told
        config = msgspec.structs.replace(Config(secret_key="s" * 40), **{**SETTINGS, **settings})
        self.throttle = Throttle(config, MemoryCache(1000, 1 << 20, lambda: self.now))

    async def attempt(
        self, account: str = "ann", address: str = "6.6.6.6", code: Code | None = Code.UNAUTHORIZED
    ) -> Code | None:
        """One attempt, whose answer would be `code`; returns the answer."""
        device = account.partition("/")[2] or None
        try:
            async with self.throttle.login(account.partition("/")[0], device, address):
                if code is not None:
                    raise ChatError(code)
        except ChatError as error:
            self.after_ms = error.after_ms
            return error.code
        return None


@pytest.mark.parametrize("a_day", [1, 10, 100, 1000])
def test_in_no_24_hours_more_failures_than_the_limit(a_day: int):
    """S-12, NIST SP 800-63B-4 §3.2.2: an attacker who comes as soon as he may, for three days."""
    buckets, now, times = Buckets(10), 0.0, list[float]()
    while now < 3 * DAY_S:
        wait_s = buckets.spend("ann", failures(a_day), now)
        if wait_s:
            now += wait_s
        else:
            times.append(now)
    most = max(sum(t <= other < t + DAY_S - 1 for other in times) for t in times)
    assert a_day / 2 <= most <= max(a_day, 2)


async def test_waits_grow():
    waits, buckets, now = list[float](), Buckets(10), 0.0
    for _ in range(200):
        wait_s = buckets.spend("ann", failures(100), now)
        now += wait_s
        waits.append(wait_s)
    found = [round(wait) for wait in waits if wait]
    assert found[0] == 5
    assert 60 in found
    assert found[-1] == DAY_S / 50


async def test_failures_count_for_the_account_from_wherever_they_come():
    pod = Attacked()
    answers = [await pod.attempt(address=f"6.6.6.{n}") for n in range(4)]
    assert answers == [Code.UNAUTHORIZED] * 2 + [Code.RATE_LIMITED] * 2
    assert pod.after_ms == 5000
    assert pod.throttle.refused == {"login": 2}
    assert await pod.attempt("bob") == Code.UNAUTHORIZED
    assert pod.after_ms is None


async def test_failures_count_for_the_address_whatever_account_they_are_for():
    pod = Attacked()
    answers = [await pod.attempt(f"user{n}") for n in range(12)]
    assert answers == [Code.UNAUTHORIZED] * 10 + [Code.RATE_LIMITED] * 2
    assert await pod.attempt("new", "2001:db8::1") == Code.UNAUTHORIZED
    for number in range(9):
        await pod.attempt(f"other{number}", f"2001:db8::{number:x}")
    assert await pod.attempt("last", "2001:db8::ffff") == Code.RATE_LIMITED, "a /64 is one"


async def test_a_refusal_by_one_limit_takes_nothing_of_the_other():
    pod = Attacked()
    for _ in range(50):
        await pod.attempt("ann")
    answers = [await pod.attempt(f"user{n}") for n in range(8)]
    assert answers == [Code.UNAUTHORIZED] * 8, "two of the address' ten went to ann"


@pytest.mark.parametrize("code", [None, Code.OVERLOADED, Code.UNAVAILABLE, Code.TOO_LONG])
async def test_what_is_no_failure_costs_nothing(code: Code | None):
    pod = Attacked()
    assert [await pod.attempt(code=code) for _ in range(200)] == [code] * 200


async def test_a_known_device_has_failures_of_its_own():
    """The owner is not locked out by strangers, nor a device by another one."""
    pod = Attacked()
    for _ in range(30):
        await pod.attempt("ann")
    assert await pod.attempt("ann", code=None) == Code.RATE_LIMITED
    assert await pod.attempt("ann/phone", code=None) is None
    answers = [await pod.attempt("ann/phone") for _ in range(3)]
    assert answers == [Code.UNAUTHORIZED] * 2 + [Code.RATE_LIMITED]
    assert await pod.attempt("ann/laptop", code=None) is None


async def test_many_known_devices_are_not_as_many_chances():
    """Whoever had the password once, and made a hundred devices known, does not guess the next."""
    pod = Attacked()
    answers = [await pod.attempt(f"ann/{n % 100}") for n in range(200)]
    assert answers.count(Code.UNAUTHORIZED) == 20
    assert await pod.attempt("bob/phone") == Code.UNAUTHORIZED


async def test_0_switches_it_off():
    pod = Attacked(account_failures_max=0, address_failures_max=0)
    assert {await pod.attempt() for _ in range(300)} == {Code.UNAUTHORIZED}


async def test_without_an_address_only_accounts_are_counted():
    pod = Attacked()
    assert {await pod.attempt(f"user{n}", "") for n in range(50)} == {Code.UNAUTHORIZED}


async def test_refreshes_and_passwords_have_failures_of_their_own():
    throttle = Attacked().throttle

    async def fail(attempt: AbstractAsyncContextManager[None]) -> Code:
        with pytest.raises(ChatError) as refused:
            async with attempt:
                raise ChatError(Code.UNAUTHORIZED)
        return refused.value.code

    of_address = [await fail(throttle.refresh("6.6.6.6")) for _ in range(11)]
    of_user = [await fail(throttle.password(7, "6.6.6.6")) for _ in range(3)]
    assert of_address == [Code.UNAUTHORIZED] * 10 + [Code.RATE_LIMITED]
    assert of_user == [Code.UNAUTHORIZED] * 2 + [Code.RATE_LIMITED]
