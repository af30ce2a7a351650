"""One provider, as it is asked: its document and keys, and a code redeemed for who somebody is.

Owns: how long what a provider says of itself is believed. Its document and keys are kept for
`sso_metadata_s`; a token of a key that is not among them has the keys fetched once more, not more
often than `KEYS_AGAIN_S`. Lost in a crash: these copies, which are asked for again.

Sources: OpenID Connect Discovery 1.0 §4; OpenID Connect Core 1.0 §3.1, §10.1.1; RFC 7636 (PKCE);
RFC 9207 (the issuer in the authorization response).
"""

import asyncio
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

import msgspec
from authlib.integrations.base_client import OAuthError
from authlib.integrations.httpx_client import AsyncOAuth2Client
from joserfc.jwk import KeySet

from rtchat.auth.sso import id_token
from rtchat.auth.sso.outbound import HEADERS, Outbound, ProviderError, Slots
from rtchat.config import Config
from rtchat.providers import Provider

KEYS_AGAIN_S = 10.0  # between two fetches of the keys for tokens whose key is unknown
TOKEN_MAX_CHARS = 65_536
TOKEN_AGE_MIN_S = 600  # of how old an ID token may be: Microsoft dates its 5 minutes back


class RefusedCodeError(Exception):
    """What came with the browser is not what this provider gave it; the text is for our log."""


class Metadata(msgspec.Struct, frozen=True):
    """A provider's document, as far as it is needed; the names are the standard's."""

    issuer: str
    authorization_endpoint: str
    token_endpoint: str
    jwks_uri: str
    id_token_signing_alg_values_supported: tuple[str, ...] = ("RS256",)
    token_endpoint_auth_methods_supported: tuple[str, ...] = ("client_secret_basic",)
    authorization_response_iss_parameter_supported: bool = False


class ProviderClient:
    """Asks one provider."""

    def __init__(
        self,
        config: Config,
        provider: Provider,
        slots: Slots,
        now: Callable[[], float] = time.monotonic,
    ) -> None:
        """`now`: seconds, for the age of what is kept."""
        self.provider = provider
        self.redirect_uri = f"{config.public_url}/auth/oauth/{provider.name}/callback"
        self._outbound = Outbound(config, provider, slots)
        self._max_age_s = config.sso_metadata_s
        self._token_max_age_s = max(config.sso_state_s, TOKEN_AGE_MIN_S)
        self._timeout_s = config.sso_call_timeout_ms / 1000
        self._now = now
        self._lock = asyncio.Lock()  # who waits for it finds what the one before has fetched
        self._metadata: tuple[Metadata, float] | None = None
        self._keys: tuple[KeySet, float] | None = None

    async def close(self) -> None:
        """End what is under way."""
        await self._outbound.close()

    # --- what it says of itself

    async def metadata(self) -> Metadata:
        """Its document. Raises ProviderError."""
        asked = self._now()
        async with self._turn():
            if self._metadata is None or self._metadata[1] + self._max_age_s <= asked:
                found = await self._outbound.get(self.provider.document_url, Metadata)
                self._check(found)
                self._metadata = found, self._now()
            return self._metadata[0]

    def _check(self, found: Metadata) -> None:
        if found.issuer != self.provider.issuer:
            raise ProviderError("its document names another issuer")
        for url in (found.authorization_endpoint, found.token_endpoint, found.jwks_uri):
            if not self._outbound.may_ask(url):
                raise ProviderError("its document names a URL that may not be called")

    async def _signing_keys(self, metadata: Metadata, *, unknown: bool = False) -> KeySet:
        """Its keys; with `unknown`, younger ones where they are not too young already."""
        asked = self._now()
        async with self._turn():
            life_s = min(KEYS_AGAIN_S, self._max_age_s) if unknown else self._max_age_s
            if self._keys is None or self._keys[1] + life_s <= asked:
                document = await self._outbound.get(metadata.jwks_uri, dict[str, Any])
                self._keys = id_token.keys_of(document), self._now()
            return self._keys[0]

    @asynccontextmanager
    async def _turn(self) -> AsyncIterator[None]:
        """One after the other, and not for ever: who is last does not wait for all before it."""
        try:
            async with asyncio.timeout(self._timeout_s):
                await self._lock.acquire()
        except TimeoutError:
            text = "it keeps others waiting"
            raise ProviderError(text, away=True, limit="sso_call_timeout_ms") from None
        try:
            yield
        finally:
            self._lock.release()

    # --- one sign-in

    async def authorization_url(self, state: str, nonce: str, verifier: str) -> str:
        """Where somebody proves who they are. Raises ProviderError."""
        metadata = await self.metadata()
        url, _ = self._client(metadata).create_authorization_url(
            metadata.authorization_endpoint, state=state, nonce=nonce, code_verifier=verifier
        )
        return str(url)

    async def claims(self, code: str, nonce: str, verifier: str, wall: float) -> dict[str, Any]:
        """Redeem a code, and believe the ID token that comes for it; `wall`: seconds since 1970.

        Raises RefusedCodeError or ProviderError.
        """
        metadata = await self.metadata()
        answer = await self._redeem(metadata, code, verifier)
        token, access_token = answer.get("id_token"), answer.get("access_token")
        if not (isinstance(token, str) and isinstance(access_token, str) and access_token):
            raise ProviderError("no ID token, or no access token with it")
        if len(token) > TOKEN_MAX_CHARS:
            raise ProviderError("an ID token that is too long")
        offered = metadata.id_token_signing_alg_values_supported
        expected = id_token.Expected(
            provider=self.provider,
            nonce=nonce,
            access_token=access_token,
            algorithms=tuple(alg for alg in id_token.ALGORITHMS if alg in offered),
            max_age_s=self._token_max_age_s,
        )
        if not expected.algorithms:
            raise ProviderError("it signs with no algorithm of ours")
        try:
            return id_token.check(token, await self._signing_keys(metadata), expected, wall)
        except id_token.UnknownKeyError:
            keys = await self._signing_keys(metadata, unknown=True)
            return id_token.check(token, keys, expected, wall)

    async def _redeem(self, metadata: Metadata, code: str, verifier: str) -> dict[str, Any]:
        async with self._outbound.call():
            try:
                answer: dict[str, Any] = await self._client(metadata).fetch_token(
                    metadata.token_endpoint,
                    grant_type="authorization_code",
                    code=code,
                    code_verifier=verifier,
                )
            except OAuthError as error:
                if error.error == "invalid_grant":
                    raise RefusedCodeError("the provider refuses the code") from None
                raise ProviderError(f"it refuses to redeem: {str(error.error)[:64]!r}") from None
            return answer

    def _client(self, metadata: Metadata) -> Any:
        """A client for one sign-in: it remembers the tokens that it gets."""
        methods = metadata.token_endpoint_auth_methods_supported
        basic = "client_secret_basic" in methods or "client_secret_post" not in methods
        secret = self.provider.client_secret
        method = ("client_secret_basic" if basic else "client_secret_post") if secret else "none"
        return AsyncOAuth2Client(
            client_id=self.provider.client_id,
            client_secret=secret or None,
            token_endpoint_auth_method=method,
            scope=self.provider.scopes,
            redirect_uri=self.redirect_uri,
            code_challenge_method="S256",
            headers=HEADERS,
            timeout=self._timeout_s,
            trust_env=False,
            transport=self._outbound.transport,
        )
