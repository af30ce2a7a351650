"""Disabling users: by an address in any case, or by the id of who has none."""

import asyncio

import asyncpg
import pytest

from rtchat.auth.disable import Done, set_disabled


async def disable(url: str, who: str, *, disabled: bool = True) -> Done | None:
    return await asyncio.to_thread(set_disabled, url, who, disabled=disabled)


async def test_a_user_without_an_address_is_disabled_by_id(database_url: str):
    """S-31: whoever came by a provider that vouches for no address."""
    connection = await asyncpg.connect(database_url)
    try:
        for name in ("Eve", "Ann"):
            await connection.execute("INSERT INTO users (name) VALUES ($1)", name)
        await connection.execute(
            "INSERT INTO sessions (user_id, expires_at) SELECT id, now() + '1 day' FROM users"
        )
        eve = await connection.fetchval("SELECT id FROM users WHERE name = 'Eve'")
        done = await disable(database_url, str(eve))
        assert done is not None
        assert (done.user_id, len(done.session_ids)) == (eve, 1)
        standing = await connection.fetchval("SELECT count(*) FROM sessions WHERE ended_at IS NULL")
        assert standing == 1, "Ann's"
    finally:
        await connection.close()
    assert await disable(database_url, str(eve), disabled=False) == Done(eve, [])


@pytest.mark.parametrize("who", ["79", "077", "0", "9" * 30, "", "77 ", "٧٧", "eve@example.org"])
async def test_whoever_is_not_there_is_nobody(module_database_url: str, who: str):
    assert await disable(module_database_url, who) is None
