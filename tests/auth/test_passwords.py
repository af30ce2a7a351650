"""Passwords: all of one counts, checking takes as long without a user, waiting is bounded."""

import asyncio
import logging
import time
from collections.abc import AsyncIterator

import pytest

from rtchat.auth.passwords import Passwords
from rtchat.config import Config
from rtchat.errors import ChatError

LONG = "x" * 72  # as much as bcrypt itself would read


@pytest.fixture(scope="module")
async def passwords() -> AsyncIterator[Passwords]:
    """Real bcrypt, at the lowest cost that is allowed."""
    made = Passwords(Config(bcrypt_cost=10, password_queue=3))
    yield made
    made.close()


async def same(passwords: Passwords, password: str, other: str) -> bool:
    """Whether one password is taken for the other."""
    return await passwords.check(other, await passwords.hash(password))


def refusal(passwords: Passwords, password: str) -> tuple[str, str | None]:
    with pytest.raises(ChatError) as caught:
        passwords.validate(password, None, None)
    return caught.value.code.value, caught.value.field


@pytest.mark.parametrize(
    "password",
    ["correct horse", "пароль-на-русском", "\U0001f44d" * 64, "a\0b-with-nul", "\ud800-alone!",
     "  spaces around  ", "x" * 1024],
)  # fmt: skip
async def test_a_password_of_any_script_and_length_is_right(passwords: Passwords, password: str):
    passwords.validate(password, None, None)
    assert await same(passwords, password, password)


@pytest.mark.parametrize(
    ("password", "other"),
    [
        ("correct horse", "correct horsf"),
        ("correct horse", ""),
        ("Correct horse", "correct horse"),
        (LONG + "a", LONG + "b"),
        (LONG, LONG + "x"),
        ("before\0behind", "before\0other"),
        ("before\0behind", "before"),
        ("trailing ", "trailing"),
        ("\u00e9t\u00e9-\u00e9t\u00e9", "e\u0301te\u0301-e\u0301te\u0301"),
        ("x\ud800-alone", "x\ud801-alone"),
    ],
)
async def test_every_character_counts(passwords: Passwords, password: str, other: str):
    """Behind the 72nd byte and behind a NUL, too."""
    assert not await same(passwords, password, other)


async def test_a_hash_says_how_it_was_made_and_is_salted(passwords: Passwords):
    first, second = await passwords.hash("correct horse"), await passwords.hash("correct horse")
    assert first.startswith("$2b$10$")
    assert first != second


async def test_without_a_hash_nothing_is_right(passwords: Passwords):
    """Not even what the stand-in was made of."""
    for password in ("correct horse", "-", ""):
        assert not await passwords.check(password, None)


async def test_checking_takes_as_long_without_a_user(passwords: Passwords):
    """Or the time would tell which addresses are registered."""
    stored = await passwords.hash("correct horse")

    async def fastest(password_hash: str | None) -> float:
        times = []
        for _ in range(3):
            start = time.perf_counter()
            await passwords.check("wrong horse", password_hash)
            times.append(time.perf_counter() - start)
        return min(times)

    with_user, without = await fastest(stored), await fastest(None)
    assert 0.5 < with_user / without < 2.0


@pytest.mark.parametrize("stored", ["", "x", "$2b$10$tooshort", "$9z$10$" + "x" * 53, "é" * 60])
async def test_a_damaged_hash_matches_nothing_and_is_reported(
    passwords: Passwords, stored: str, caplog: pytest.LogCaptureFixture
):
    assert not await passwords.check("correct horse", stored)
    if stored:  # an empty one is none
        (record,) = caplog.records
        assert record.levelno == logging.ERROR
    assert "correct horse" not in caplog.text


def test_a_password_has_a_least_length_in_characters(passwords: Passwords):
    passwords.validate("8" * 7 + "x", None, None)
    passwords.validate("\U0001f44d" * 8, None, None)
    assert refusal(passwords, "7" * 7) == ("bad_field", "password")
    assert refusal(passwords, "") == ("bad_field", "password")


async def test_a_password_is_bounded_in_bytes(passwords: Passwords):
    """Before anything is computed: also when signing in."""
    assert refusal(passwords, "x" * 1025) == ("too_long", "password")
    assert refusal(passwords, "\U0001f44d" * 257) == ("too_long", "password")
    with pytest.raises(ChatError) as caught:
        await passwords.check("x" * 1025, None)
    assert caught.value.code.value == "too_long"


async def test_beyond_the_queue_the_answer_is_overloaded(passwords: Passwords):
    """And at once: it says when to come again."""
    first = [asyncio.get_running_loop().create_task(passwords.hash("correct")) for _ in range(3)]
    await asyncio.sleep(0)
    with pytest.raises(ChatError) as caught:
        await passwords.hash("correct horse")
    assert caught.value.code.value == "overloaded"
    wait_ms = 3 * passwords._cost_s * 1000  # three are before whoever comes now
    assert wait_ms - 1 <= (caught.value.after_ms or 0) <= 2 * wait_ms + 2
    assert len({await task for task in first}) == 3
    await passwords.hash("correct horse")


async def test_who_gives_up_waiting_frees_the_place(passwords: Passwords):
    tasks = [asyncio.get_running_loop().create_task(passwords.hash("correct")) for _ in range(3)]
    await asyncio.sleep(0)
    tasks[2].cancel()
    await asyncio.wait(tasks)
    assert tasks[2].cancelled()
    assert len(await passwords.hash("correct horse")) == 60


async def test_the_loop_turns_while_a_password_is_hashed(passwords: Passwords):
    task = asyncio.get_running_loop().create_task(passwords.hash("correct horse"))
    turns = 0
    while not task.done():
        await asyncio.sleep(0.001)
        turns += 1
    assert turns > 5


async def test_the_cost_of_a_hash_is_measured(passwords: Passwords):
    """So that the time to come again is that of this machine; and each run is counted."""
    before = passwords.runs
    passwords._cost_s = 100.0
    for _ in range(3):
        await passwords.hash("correct horse")
    assert 1 < passwords._cost_s < 80
    await passwords.check("correct horse", None)
    assert passwords.runs == before + 4
    passwords._cost_s = 0.1


async def test_a_hash_of_another_cost_is_outdated(passwords: Passwords):
    """Lower or higher; that it is right is another question."""
    assert not passwords.outdated(await passwords.hash("correct horse"))
    for cost in ("04", "09", "12", "1"):
        assert passwords.outdated(f"$2b${cost}$" + "x" * 53)
