"""The cache's way to Redis by TLS: the same URLs as the bus, the same refusals."""

import ssl
from pathlib import Path

import pytest

from rtchat.cache.redis import RedisCache
from rtchat.errors import ChatError, Code
from rtchat.server.valkey import PrivateValkey
from tests.bus.proxy import Proxy
from tests.certificates import Authority
from tests.services import Given


async def keeps(url: str, timeout_s: float = 5.0) -> bool:
    """Whether what is put can be taken; else it was `unavailable`."""
    cache = RedisCache([url], prefix="tls", timeout_s=timeout_s)
    try:
        await cache.put("key", b"value", 10)
        return await cache.take("key") == b"value"
    except ChatError as error:
        return error.code is not Code.UNAVAILABLE
    finally:
        await cache.close()


async def test_tls(
    valkey: PrivateValkey | Given, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """S-67: the right authority and the right name; else no value is sent, and no password."""
    authority, other = Authority(tmp_path), Authority(tmp_path, "another")
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(authority.issue("127.0.0.1"))
    trusted = f"ssl_ca_certs={authority.certificate}"
    async with Proxy(valkey.url, context) as proxy:
        assert await keeps(f"{proxy.url}?{trusted}")
        with_password = proxy.url.replace("//", "//:s3cret@")
        assert not await keeps(f"{with_password}?ssl_ca_certs={other.certificate}")
        by_name = with_password.replace("127.0.0.1", "localhost")
        assert not await keeps(f"{by_name}?{trusted}"), "another server's name"
    plain = valkey.url.replace("redis://", "rediss://")  # it waits for a line, and says nothing
    assert not await keeps(f"{plain}?{trusted}", timeout_s=0.5)
    assert "s3cret" not in caplog.text
