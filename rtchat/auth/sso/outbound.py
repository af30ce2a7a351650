"""The only way out to a provider: guarded, bounded, and the same for every call.

Owns: which hosts may be spoken to, and how much time and how many bytes that may take. A provider's
document names further hosts, so every address is looked up here and checked before the connection
goes to just that address: none inside this network (server-side request forgery), and no second
look-up that could answer otherwise. No redirect is followed, no compressed answer unpacked, no
proxy asked. Lost in a crash: nothing.

Sources: OWASP ASVS 5.0 §13.2.4, §15.3.2; OWASP, Server-Side Request Forgery Prevention.
"""

import asyncio
import ipaddress
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from typing import TypeVar

import httpx2
import msgspec

from rtchat.config import Config
from rtchat.providers import Provider, is_web_url

T = TypeVar("T")
ADDRESSES_MAX = 4  # of one host that are tried, one after the other
HEADERS = {"accept": "application/json", "accept-encoding": "identity", "user-agent": "rtchat"}

_Address = ipaddress.IPv4Address | ipaddress.IPv6Address


class ProviderError(Exception):
    """A provider cannot be asked, or did what none should; the text is for our log only.

    `away` tells that the same may succeed later; `limit` is the setting whose limit was reached.
    """

    def __init__(self, reason: str, *, away: bool = False, limit: str = "") -> None:
        super().__init__(reason)
        self.away = away
        self.limits = (limit,) if limit else ()


class Slots:
    """Calls to all providers at once, of which there are only so many."""

    def __init__(self, limit: int) -> None:
        self._free = limit

    @contextmanager
    def one(self) -> Iterator[None]:
        """Hold one. Raises ProviderError where none is free."""
        if not self._free:
            raise ProviderError("too many calls at once", away=True, limit="sso_calls_max")
        self._free -= 1
        try:
            yield
        finally:
            self._free += 1


class Outbound:
    """Calls to one provider."""

    def __init__(self, config: Config, provider: Provider, slots: Slots) -> None:
        self._provider = provider
        self._slots = slots
        self._timeout_s = config.sso_call_timeout_ms / 1000
        self.transport = GuardedTransport(provider, config.sso_answer_max_bytes)
        self._http = httpx2.AsyncClient(
            transport=self.transport, headers=HEADERS, timeout=self._timeout_s, trust_env=False
        )

    async def close(self) -> None:
        """End what is under way."""
        await self._http.aclose()

    async def get(self, url: str, answer: type[T]) -> T:
        """Ask for JSON of this type. Raises ProviderError."""
        async with self.call():
            response = await self._http.get(url)
            if response.status_code != 200:
                away = response.status_code == 429 or response.status_code >= 500
                raise ProviderError(f"status {response.status_code}", away=away)
            return msgspec.json.decode(response.content, type=answer)

    @asynccontextmanager
    async def call(self) -> AsyncIterator[None]:
        """Bound what is done inside. Raises ProviderError for whatever goes wrong there."""
        try:
            with self._slots.one():
                async with asyncio.timeout(self._timeout_s):
                    yield
        except (TimeoutError, httpx2.TimeoutException):
            text = "no whole answer in time"
            raise ProviderError(text, away=True, limit="sso_call_timeout_ms") from None
        except httpx2.HTTPError as error:
            said = str(error).partition("\n")[0]
            raise ProviderError(f"{type(error).__name__}: {said}", away=True) from None
        except (ValueError, RecursionError) as error:  # msgspec's and json's errors among them
            raise ProviderError(f"no such answer as it should be: {type(error).__name__}") from None

    def may_ask(self, url: str) -> bool:
        """Whether this URL, which the provider's document names, is one to call."""
        return is_web_url(url, local=self._provider.local)


class GuardedTransport(httpx2.AsyncBaseTransport):
    """Speaks to checked addresses only, and stops reading where an answer is too large."""

    def __init__(self, provider: Provider, max_bytes: int) -> None:
        self._provider = provider
        self._max_bytes = max_bytes
        # No connection is kept: one to an address would be taken for another name at it.
        limits = httpx2.Limits(max_keepalive_connections=0)
        self._inner = httpx2.AsyncHTTPTransport(limits=limits)  # heeds SSL_CERT_FILE

    async def aclose(self) -> None:
        """Close what is open."""
        await self._inner.aclose()

    async def handle_async_request(self, request: httpx2.Request) -> httpx2.Response:
        """Send it to the first address that takes it."""
        url = request.url
        if not is_web_url(str(url), local=self._provider.local):
            raise ProviderError("a URL that may not be called")
        failure: Exception | None = None
        for address in await self._addresses(url.host, url.port or 443):
            try:
                response = await self._inner.handle_async_request(_to(request, address))
            except httpx2.ConnectError as error:
                failure = error
                continue
            return await self._guarded(response)
        raise failure or ProviderError("its name has no address", away=True)

    async def _addresses(self, host: str, port: int) -> list[str]:
        loop = asyncio.get_running_loop()
        try:
            found = await loop.getaddrinfo(host, port, proto=6)  # TCP
        except OSError:
            raise ProviderError("its name cannot be looked up", away=True) from None
        addresses = list(dict.fromkeys(str(entry[4][0]) for entry in found))
        for address in addresses:
            if not may_reach(address, self._provider):
                raise ProviderError("its name leads to an address that may not be called")
        return addresses[:ADDRESSES_MAX]

    async def _guarded(self, response: httpx2.Response) -> httpx2.Response:
        wrong = None
        if 300 <= response.status_code < 400:
            wrong = "it redirects"
        elif response.headers.get("content-encoding", "identity") != "identity":
            wrong = "it compresses"
        if wrong is not None:
            await response.aclose()
            raise ProviderError(wrong)
        assert isinstance(response.stream, httpx2.AsyncByteStream)
        return httpx2.Response(
            response.status_code,
            headers=response.headers,
            stream=_Bounded(response.stream, self._max_bytes),
            extensions=response.extensions,
        )


class _Bounded(httpx2.AsyncByteStream):
    """A body of so many bytes at most."""

    def __init__(self, stream: httpx2.AsyncByteStream, max_bytes: int) -> None:
        self._stream = stream
        self._left = max_bytes

    async def __aiter__(self) -> AsyncIterator[bytes]:
        async for part in self._stream:
            self._left -= len(part)
            if self._left < 0:
                raise ProviderError("an answer that is too large", limit="sso_answer_max_bytes")
            yield part

    async def aclose(self) -> None:
        await self._stream.aclose()


def _to(request: httpx2.Request, address: str) -> httpx2.Request:
    """The same request to this address; its certificate must be the name's all the same."""
    return httpx2.Request(
        request.method,
        request.url.copy_with(host=address),
        headers=request.headers,  # `Host` among them
        stream=request.stream,
        extensions={**request.extensions, "sni_hostname": request.url.host},
    )


def may_reach(text: str, provider: Provider) -> bool:
    """Whether calls to this provider may go to this address."""
    try:
        address: _Address = ipaddress.ip_address(text)
    except ValueError:  # with a zone: an address of this network
        return False
    inside = False
    if isinstance(address, ipaddress.IPv6Address):
        inside = address.is_site_local  # RFC 3879; Python holds these for global ones
        address = address.ipv4_mapped or address.sixtofour or address
    if provider.local:
        return address.is_loopback
    inside = inside or not address.is_global
    if address.is_multicast or (inside and not provider.private_network):
        return False
    # Link-local is where clouds hand out a machine's own credentials; 0.0.0.0 is this machine too.
    return not (
        address.is_loopback
        or address.is_link_local
        or address.is_unspecified
        or address.is_reserved
    )
