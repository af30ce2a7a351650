"""Every way into a Redis node works, and none of them shows its password."""

import ssl
from pathlib import Path

import pytest

from rtchat.bus.address import Address
from rtchat.bus.redis import RedisBus
from rtchat.server.valkey import PrivateValkey
from tests.bus.bus_pod import BusPod, until
from tests.bus.proxy import Proxy
from tests.certificates import Authority
from tests.services import Given


@pytest.fixture
def authority(tmp_path: Path) -> Authority:
    """Whom everybody trusts."""
    return Authority(tmp_path)


async def hears_itself(url: str, prefix: str) -> bool:
    pod = BusPod(RedisBus([url], prefix=prefix))
    try:
        await pod.bus.start()
        if pod.bus.connected:
            await pod.bus.subscribe([1])
            pod.bus.publish(1, b"hello")
            await pod.hears(b"hello")
            assert pod.restored == 0
        return pod.bus.connected
    finally:
        await pod.bus.close()


async def test_tls(valkey: PrivateValkey | Given, authority: Authority, tmp_path: Path):
    """S-67: the right authority and the right name, or nothing is said to that server."""
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(authority.issue("127.0.0.1"))
    trusted = f"ssl_ca_certs={authority.certificate}"
    other = Authority(tmp_path, "another")
    async with Proxy(valkey.url, context) as proxy:
        assert await hears_itself(f"{proxy.url}?{trusted}", "tls")
        assert not await hears_itself(proxy.url, "tls"), "a certificate that nobody vouches for"
        assert not await hears_itself(f"{proxy.url}?ssl_ca_certs={other.certificate}", "tls")
        by_name = proxy.url.replace("127.0.0.1", "localhost")
        assert not await hears_itself(f"{by_name}?{trusted}", "tls"), "another server's name"
        assert await hears_itself(f"{proxy.url}?ssl_cert_reqs=none", "tls")
    plain = valkey.url.replace("redis://", "rediss://")
    assert not await hears_itself(f"{plain}?{trusted}", "tls"), "a server without TLS"


async def test_a_unix_socket(tmp_path: Path):
    path = tmp_path / "valkey.sock"
    with PrivateValkey({"unixsocket": str(path)}):
        assert await hears_itself(f"unix://{path}", "unix")


def test_reads_what_redis_py_reads():
    address = Address.parse("redis://user:p%40ss@host:7000/3")
    assert (address.name, address.host, address.port) == ("host:7000", "host", 7000)
    assert address.tls is None
    assert address.greeting("me") == [
        (b"AUTH", b"user", b"p@ss"),
        (b"CLIENT", b"SETNAME", b"me"),
    ]
    assert Address.parse("redis://:p@host").greeting("me")[0] == (b"AUTH", b"p")
    assert Address.parse("redis://").name == "localhost:6379"
    assert Address.parse("rediss://host").tls is not None


def test_the_name_that_places_shards_does_not_change_with_the_password():
    assert Address.parse("redis://:old@host/1").name == Address.parse("rediss://:new@host").name


@pytest.mark.parametrize(
    "url",
    ["http://:s3cret@host", "redis://:s3cret/x@host", "redis://:s3cret@host?no_such_option=1"],
)
def test_a_bad_url_is_refused_without_being_shown(url: str):
    with pytest.raises(ValueError, match="URL") as caught:
        Address.parse(url)
    assert "s3cret" not in str(caught.value)
    assert caught.value.__suppress_context__


def test_a_password_is_not_part_of_the_representation():
    assert "s3cret" not in repr(Address.parse("redis://:s3cret@host"))


async def test_a_host_that_does_not_exist_is_tried_for_ever(caplog: pytest.LogCaptureFixture):
    bus = RedisBus(["redis://no-such-host.invalid"], backoff_base_ms=1, backoff_cap_ms=2)
    try:
        await bus.start()
        await until(lambda: next(iter(bus._nodes.values())).hearing.link._failures > 3)
        assert not bus.connected
    finally:
        await bus.close()
