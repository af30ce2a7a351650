"""The table of rates: what each line makes of its setting, and whom a bucket belongs to."""

import asyncio
import re
from pathlib import Path

import msgspec
import pytest

from rtchat.api.rates import (
    ADDRESS_CONNECTS,
    CONNECTS,
    FLOODS,
    LOGINS,
    RATES,
    READS,
    REFRESHES,
    REGISTERS,
    SENDS,
    Limited,
    RateLimits,
    Whose,
)
from rtchat.api.routes import ROUTES
from rtchat.cache.memory import MemoryCache
from rtchat.config import Config
from rtchat.config.rates import Rates
from rtchat.errors import ChatError, Code
from rtchat.limits import Held, Rate

NONE_MEANT = {  # reading one thing by its number is cheap; handlers count sign-ins and refreshes
    "/users/me", "/channels/{id}", "/channels/{id}/messages/{seq}",
    "/auth/login", "/auth/refresh", "/auth/logout", "/auth/providers", "/auth/sessions",
    "/auth/sessions/{id}", "/auth/identities", "/auth/identities/{provider:word}",
    "/.well-known/jwks.json", "/ws", "/healthz", "/readyz",
    "/openapi.json", "/asyncapi.json", "/", "/docs", "/docs/ws",  # made once, and kept
}  # fmt: skip


def limits(**settings: float) -> RateLimits:
    config = msgspec.structs.replace(Config(), **settings)
    return RateLimits(config, MemoryCache(1000, 1 << 20))


async def code_of(rates: RateLimits, what: Limited, user_id: int | None, address: str) -> str:
    try:
        await rates.spend(what, user_id, address)
    except ChatError as error:
        return str(error.code)
    return "ok"


def test_every_kind_has_a_line_and_every_setting_is_used():
    assert RATES.keys() == set(Limited)
    named = [setting for line in RATES.values() for setting in line.settings]
    assert len(named) == len(set(named))
    assert set(named) == {*Rates.__annotations__, "sends_per_second", "sends_burst"}


def test_the_documented_numbers_are_the_defaults():
    """S-73: docs/protocol.md, "Limits of rate"."""
    text = (Path(__file__).parents[2] / "docs/protocol.md").read_text()
    section = text.partition("## Limits of rate")[2].partition("\n## ")[0]
    rows = [line.split("|")[3:6] for line in section.splitlines() if line.startswith("| ")][1:]
    told = {
        re.findall("`(.+?)`", setting)[0]: (a_second, burst) for a_second, burst, setting in rows
    }
    found = {line.settings[0]: line.rate(Config()) for line in RATES.values()}
    assert {name: tuple(map(float, numbers)) for name, numbers in told.items()} == found


def test_every_route_has_a_limit_or_needs_none():
    without = {route.path for route in ROUTES if route.limit is None}
    assert without == NONE_MEANT
    spent = {route.path: route.spends for route in ROUTES if route.spends}
    assert spent == {
        "/auth/login": (LOGINS,),
        "/auth/refresh": (REFRESHES,),
        "/ws": (CONNECTS, ADDRESS_CONNECTS, FLOODS),
    }


def test_no_route_of_a_stranger_is_limited_by_user():
    for route in ROUTES:
        if route.limit is not None and not route.auth:
            assert RATES[route.limit].whose is Whose.ADDRESS, route.path


def test_60_a_second_of_the_costliest_read_is_too_much_by_default():
    """B-H32."""
    rate = RATES[READS].rate(Config())
    assert 0 < rate.per_second < 60
    assert rate.burst < 60 * 10


@pytest.mark.parametrize("line", RATES.values(), ids=[name.name for name in RATES])
def test_0_switches_a_line_off(line):
    off = msgspec.structs.replace(Config(), **{line.settings[0]: 0})
    assert line.rate(off).per_second == 0
    assert line.rate(Config()).per_second > 0, "on by default"


# Which have buckets of their own, and tests of these.
_APART = (Limited.SUBS, Limited.USER_SUBS, Limited.SENDS, Limited.OWN_SENDS)


@pytest.mark.parametrize("what", [what for what in Limited if what not in _APART])
async def test_burst_and_one_is_refused_with_the_time_to_wait(what: Limited):
    rates, line = limits(), RATES[what]
    burst = int(line.rate(Config()).burst)
    for _ in range(burst):
        await rates.spend(what, 1, "203.0.113.5")
    with pytest.raises(ChatError) as refused:
        await rates.spend(what, 1, "203.0.113.5")
    assert refused.value.code is Code.RATE_LIMITED
    assert refused.value.after_ms
    assert 0 < refused.value.after_ms <= 1000 / line.rate(Config()).per_second + 1
    assert rates.refused[what] == 1
    other = (2, "203.0.113.5") if line.whose is Whose.USER else (1, "203.0.113.6")
    assert await code_of(rates, what, *other) == "ok", "somebody else"


@pytest.mark.parametrize("address", ["127.0.0.1", "127.1.2.3", "::1", "::ffff:127.0.0.1"])
async def test_this_machines_own_addresses_have_no_limit(address: str):
    """What comes from there is all clients of a proxy that nobody named, or a test."""
    rates = limits()
    for what in (each for each, line in RATES.items() if line.whose is Whose.ADDRESS):
        for _ in range(int(RATES[what].rate(Config()).burst) + 10):
            assert await code_of(rates, what, None, address) == "ok"


async def test_one_users_writes_have_one_bucket_wherever_they_come_from():
    rates = limits(sends_per_second=1, sends_burst=2, user_sends_factor=3)
    held = rates.sender(1)
    assert rates.sender(1) is held
    now = asyncio.get_running_loop().time()
    assert [held.take(now) > 0 for _ in range(3)] == [False] * 3
    found = [await code_of(rates, SENDS, 1, "") for _ in range(4)]
    assert found == ["ok"] * 3 + ["rate_limited"]


async def test_where_one_connection_has_no_limit_a_user_has_none():
    rates = limits(sends_per_second=0)
    assert {await code_of(rates, SENDS, 1, "") for _ in range(500)} == {"ok"}


async def test_without_an_address_nobody_shares_one():
    rates = limits(address_registers_per_minute=1)
    assert {await code_of(rates, REGISTERS, None, "") for _ in range(9)} == {"ok"}


def test_all_sockets_of_an_address_may_come_back_at_once():
    """They do when their pod has gone; those behind one NAT would else wait for each other."""
    config = Config()
    assert RATES[Limited.ADDRESS_CONNECTS].rate(config).burst >= config.sockets_per_address
    assert RATES[Limited.CONNECTS].rate(config).burst >= config.connections_per_user


def test_a_held_bucket_stays_and_a_full_one_goes():
    held = Held(Rate(1, 5), entries_max=3)
    mine = held.of("me", 0.0)
    mine.take(0.0)
    for number in range(20):
        held.of(number, 0.0).take(0.0)
    assert len(held) <= 4
    assert held.of("me", 0.0) is mine
    for number in range(100, 110):
        held.of(number, 1000.0)
    assert len(held) <= 3, "those that were full again"
