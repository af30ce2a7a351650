"""The way out: where calls may go, by which addresses, and that a name's certificate is its own.

What a provider answers, and how much of it is read, is in tests/oidc/test_misbehaviour.
"""

import asyncio
import ssl
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import httpx2
import msgspec
import pytest

from rtchat.auth.sso.outbound import Outbound, ProviderError, Slots, may_reach
from rtchat.config import Config
from rtchat.providers import Provider
from tests.certificates import Authority

LOOPBACK = ["127.0.0.1", "127.9.9.9", "::1", "::ffff:127.0.0.1"]
LINK_LOCAL = ["169.254.169.254", "fe80::1", "fe80::1%eth0", "::ffff:169.254.169.254"]
PRIVATE = ["10.0.0.1", "172.16.0.1", "192.168.1.1", "100.64.0.1", "fd00::1", "::ffff:10.0.0.1"]
PRIVATE += ["fec0::1", "2002:a00:1::1"]
OTHER = ["0.0.0.0", "::", "224.0.0.1", "255.255.255.255", "ff02::1", "rubbish", ""]
PUBLIC = ["93.184.215.14", "2606:2800:21f:cb07:6820:80da:af6b:8b2c", "::ffff:8.8.8.8"]


def provider(issuer: str = "https://id.example", *, private: bool = False) -> Provider:
    return Provider(
        name="corp", title="Corp", issuer=issuer, client_id="an id", private_network=private
    )


@pytest.mark.parametrize("address", [*LOOPBACK, *LINK_LOCAL, *PRIVATE, *OTHER])
def test_s_37_no_address_of_this_machine_or_network_is_called(address: str):
    assert not may_reach(address, provider())


@pytest.mark.parametrize("address", PUBLIC)
def test_public_addresses_are_called(address: str):
    assert may_reach(address, provider())
    assert may_reach(address, provider(private=True))


@pytest.mark.parametrize("address", PRIVATE)
def test_a_provider_of_this_network_is_called_where_that_is_set_up(address: str):
    assert may_reach(address, provider(private=True))


@pytest.mark.parametrize("address", [*LOOPBACK, *LINK_LOCAL, *OTHER])
def test_but_never_this_machine_or_a_clouds_metadata(address: str):
    assert not may_reach(address, provider(private=True))


def test_a_provider_on_this_machine_leads_nowhere_else():
    local = provider("http://127.0.0.1:9400/corp")
    assert [
        a for a in (*LOOPBACK, *LINK_LOCAL, *PRIVATE, *OTHER, *PUBLIC) if may_reach(a, local)
    ] == (LOOPBACK)


# --- calls


@asynccontextmanager
async def outbound(to: Provider, slots: Slots | None = None) -> AsyncIterator[Outbound]:
    calls = Outbound(Config(sso_call_timeout_ms=2000), to, slots or Slots(10))
    yield calls
    await calls.close()


@asynccontextmanager
async def server(tls: ssl.SSLContext | None = None) -> AsyncIterator[tuple[int, list[str]]]:
    """Answers `{}`; the port, and the `Host` of each request."""
    hosts = []

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = (await reader.readuntil(b"\r\n\r\n")).decode()
        hosts.append(head.lower().partition("host: ")[2].partition("\r")[0])
        writer.write(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\nconnection: close\r\n\r\n{}")
        writer.close()

    async with await asyncio.start_server(answer, "127.0.0.1", 0, ssl=tls) as listening:
        yield listening.sockets[0].getsockname()[1], hosts


@pytest.fixture
def tls(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[str], ssl.SSLContext]:
    """Certificates of an authority that is trusted, for a name."""
    authority = Authority(tmp_path)
    monkeypatch.setenv("SSL_CERT_FILE", str(authority.certificate))

    def of(name: str) -> ssl.SSLContext:
        context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        context.load_cert_chain(authority.issue(name))
        return context

    return of


async def test_the_certificate_must_be_the_names(tls: Callable[[str], ssl.SSLContext]):
    """Though the connection goes to an address that was looked up before."""
    async with server(tls("localhost")) as (port, hosts):
        url = f"https://localhost:{port}"
        async with outbound(provider(url)) as calls:
            assert await calls.get(f"{url}/x", dict[str, str]) == {}
        assert hosts == [f"localhost:{port}"]


@pytest.mark.parametrize("name", ["evil.example", "127.0.0.1"])
async def test_another_names_certificate_is_refused(
    tls: Callable[[str], ssl.SSLContext], name: str
):
    async with server(tls(name)) as (port, hosts):
        url = f"https://localhost:{port}"
        async with outbound(provider(url)) as calls:
            with pytest.raises(ProviderError, match="ConnectError"):
                await calls.get(f"{url}/x", dict[str, str])
    assert hosts == []


async def test_an_unknown_authority_is_refused(
    tls: Callable[[str], ssl.SSLContext], monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.delenv("SSL_CERT_FILE")
    async with server(tls("localhost")) as (port, hosts):
        url = f"https://localhost:{port}"
        async with outbound(provider(url)) as calls:
            with pytest.raises(ProviderError, match="ConnectError"):
                await calls.get(f"{url}/x", dict[str, str])
    assert hosts == []


async def test_a_name_that_leads_to_this_machine_is_not_called():
    """Whatever a document says: the address is looked up and judged, not the name."""
    async with server() as (port, hosts), outbound(provider()) as calls:
        for url in (f"https://localhost:{port}/", f"https://127.0.0.1:{port}/"):
            with pytest.raises(ProviderError, match="address"):
                await calls.get(url, dict[str, str])
    assert hosts == []


@pytest.mark.parametrize(
    "url", ["http://id.example/", "ftp://id.example/", "//id.example/", "https://u:p@id.example/"]
)
async def test_what_is_no_web_url_is_not_called(url: str):
    async with outbound(provider()) as calls:
        assert not calls.may_ask(url)
        with pytest.raises(ProviderError):
            await calls.get(url, dict[str, str])


async def test_a_name_that_nobody_has_is_away():
    async with outbound(provider()) as calls:
        with pytest.raises(ProviderError) as told:
            await calls.get("https://no-such-name.invalid/", dict[str, str])
    assert told.value.away


async def test_calls_at_once_are_bounded():
    """Beyond, nobody waits."""
    slots = Slots(2)
    async with outbound(provider(), slots) as calls:
        async with calls.call(), calls.call():
            with pytest.raises(ProviderError, match="too many") as told:
                async with calls.call():
                    raise AssertionError("not reached")
            assert told.value.away
        async with calls.call():
            free = True
    assert free


@pytest.mark.parametrize(
    ("error", "away"),
    [
        (TimeoutError(), True),
        (httpx2.ReadError("cut"), True),
        (msgspec.DecodeError("x"), False),
        (RecursionError(), False),
    ],
)
async def test_whatever_goes_wrong_in_a_call_is_said_in_one_way(error: Exception, away: bool):
    async with outbound(provider()) as calls:
        with pytest.raises(ProviderError) as told:
            async with calls.call():
                raise error
    assert told.value.away is away
