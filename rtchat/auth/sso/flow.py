"""A sign-in by a provider, from the button to the session: begin, finish, exchange.

Owns: what is remembered between these three requests, which may reach three different pods, and how
somebody whom a provider vouches for becomes a user. A state and a code work once and for a short
time, and only in the browser that began: it has a cookie, and the cache has what was made of the
cookie's, the state's and the code's secrets. A user is who has (issuer, subject), never who has an
address. Lost in a crash: sign-ins that were under way, to be begun again.

Sources: OpenID Connect Core 1.0 §3.1, §5.7; RFC 6749 §10.12; RFC 9207; RFC 9700 §2.1, §4.4.
"""

import logging
import time
from collections import deque
from collections.abc import Mapping
from typing import Any, NamedTuple, NoReturn

import msgspec

from rtchat.auth.client import Client
from rtchat.auth.sessions import Session, Sessions
from rtchat.auth.sso.oidc import ProviderClient, RefusedCodeError
from rtchat.auth.sso.outbound import ProviderError, Slots
from rtchat.auth.sso.pages import CODE, Failure, Pages, digest, new_secret, same
from rtchat.auth.sso.profile import profile_of
from rtchat.auth.tokens import Identity
from rtchat.cache import Cache
from rtchat.config import Config
from rtchat.errors import ChatError, Code
from rtchat.providers import Provider, providers_of
from rtchat.store.database import Database
from rtchat.store.identities import IdentityStore, Linked
from rtchat.store.users import UserStore

log = logging.getLogger(__name__)

PROVIDER_CODE_MAX_CHARS = 4096

# What a provider's error means to the page; any other one is `failed`.
PROVIDER_ERRORS = {
    "access_denied": Failure.DENIED,
    "server_error": Failure.UNAVAILABLE,
    "temporarily_unavailable": Failure.UNAVAILABLE,
}
# What the exchange says of a code that stands for no session: the way out.
CONFLICTS = {
    Failure.EMAIL_TAKEN: "The address belongs to another account here. Sign in to that one in the"
    " way you know, then link this provider to it.",
    Failure.IDENTITY_TAKEN: "This identity is linked to another account here. Sign in with it, and"
    " unlink it there first.",
    Failure.ALREADY_LINKED: "Another identity at this provider is linked to this account. Unlink"
    " that one first.",
}


class _Begun(msgspec.Struct, frozen=True):
    """What is remembered of a sign-in while somebody is at the provider."""

    provider: str
    browser: str  # digest of its cookie
    nonce: str
    verifier: str
    page: str
    link_to: tuple[int, int] | None = None  # the user and the session that want to link


class _Finished(msgspec.Struct, frozen=True):
    """What a code stands for."""

    browser: str
    user_id: int | None = None
    conflict: Failure | None = None


class Callback(NamedTuple):
    """What a provider sends back with somebody."""

    state: str | None
    code: str | None
    error: str | None
    iss: str | None


class Beginning(NamedTuple):
    """Where to send the browser, and the secret that its cookie has from now on."""

    url: str
    browser: str


class Landing(NamedTuple):
    """The page, with what it is told; `ended`: the browser's cookie is of no more use."""

    page: str
    ended: bool


class SingleSignOn:
    """Signs in, links and unlinks by the providers that are set up."""

    def __init__(
        self, config: Config, database: Database, sessions: Sessions, cache: Cache
    ) -> None:
        self.pages = Pages(config)
        self._config = config
        self._database = database
        self._users = UserStore(database)
        self._identities = IdentityStore(database)
        self._sessions = sessions
        self._cache = cache
        slots = Slots(config.sso_calls_max)
        self._clients = {
            name: ProviderClient(config, provider, slots)
            for name, provider in providers_of(config).items()
        }
        self._begun: deque[float] = deque()  # when the last ones were, to bound the cache

    async def close(self) -> None:
        """End the calls that are under way."""
        for client in self._clients.values():
            await client.close()

    @property
    def providers(self) -> Mapping[str, Provider]:
        """Those that are set up."""
        return {name: client.provider for name, client in self._clients.items()}

    # --- begin

    async def begin(
        self, name: str, page: str | None, browser: str | None, asker: Identity | None = None
    ) -> Beginning:
        """Remember a sign-in that begins; with `asker`, one that shall link to that user.

        Raises ChatError: not_found, overloaded, unavailable.
        """
        client = self._client(name)
        self._bound()
        browser = browser or new_secret()
        state, nonce, verifier = new_secret(), new_secret(), new_secret()
        try:
            url = await client.authorization_url(state, nonce, verifier)
        except ProviderError as error:
            _report(name, error)
            text = "This provider cannot be reached now."
            raise ChatError(Code.UNAVAILABLE, text, after_ms=5000) from None
        begun = _Begun(
            provider=name,
            browser=digest(browser),
            nonce=nonce,
            verifier=verifier,
            page=self.pages.page(page),
            link_to=(asker.user_id, asker.session_id) if asker else None,
        )
        life_s = float(self._config.sso_state_s)
        await self._cache.put(_key("state", state), msgspec.json.encode(begun), life_s)
        return Beginning(url, browser)

    def _client(self, name: str) -> ProviderClient:
        client = self._clients.get(name)
        if client is None:
            raise ChatError(Code.NOT_FOUND, "There is no such provider.")
        return client

    def _bound(self) -> None:
        limit, now = self._config.sso_flows_max, time.monotonic()
        while self._begun and self._begun[0] + self._config.sso_state_s <= now:
            self._begun.popleft()
        if limit and len(self._begun) >= limit:
            raise ChatError(Code.OVERLOADED, "Too many sign-ins at once.", after_ms=5000)
        if limit:
            self._begun.append(now)

    # --- finish

    async def finish(self, name: str, sent: Callback, browser: str | None) -> Landing:
        """End the provider's part: where the browser goes from here.

        Raises ChatError(bad_message), the same for whatever in the request is not as it was begun
        in this browser: there is no page to be trusted with more.
        """
        client = self._client(name)
        begun = await self._take("state", sent.state, _Begun)
        if begun is None or begun.provider != name or not same(browser, begun.browser):
            _refuse(name, "no such state in this browser")
        try:
            await self._check_issuer(client, sent.iss)
            if sent.error is not None:
                failure = PROVIDER_ERRORS.get(sent.error, Failure.FAILED)
                log.info("sign-in ended at provider", extra={"provider": name, "why": failure})
                return self._end(begun, error=failure)
            if not sent.code or len(sent.code) > PROVIDER_CODE_MAX_CHARS:
                _refuse(name, "no code")
            claims = await client.claims(sent.code, begun.nonce, begun.verifier, time.time())
        except RefusedCodeError:
            _refuse(name, "the provider refuses the code")
        except ProviderError as error:
            _report(name, error)
            failure = Failure.UNAVAILABLE if error.away else Failure.FAILED
            return self._end(begun, error=failure)
        if sent.iss is not None and sent.iss != claims["iss"]:
            _refuse(name, "another issuer than that of the token")
        if begun.link_to is not None:
            return await self._link(client.provider, claims, begun, begun.link_to)
        return await self._sign_in(client.provider, claims, begun)

    async def _check_issuer(self, client: ProviderClient, issuer: str | None) -> None:
        """Mix-up defence (RFC 9207 §2.4): the answer is of whom the browser was sent to."""
        if issuer is None:
            metadata = await client.metadata()
            if metadata.authorization_response_iss_parameter_supported:
                _refuse(client.provider.name, "no issuer")
        elif not client.provider.issued_by(issuer):
            _refuse(client.provider.name, "another issuer")

    async def _sign_in(self, provider: Provider, claims: dict[str, Any], begun: _Begun) -> Landing:
        issuer, subject = claims["iss"], claims["sub"]
        user_id = await self._identities.user_of(issuer, subject)
        if user_id is None:
            try:
                user_id = await self._make(provider, claims)
            except ChatError as error:
                if error.code is not Code.CONFLICT:
                    raise
                # Taken, perhaps by this very identity, in another tab just now.
                user_id = await self._identities.user_of(issuer, subject)
        if user_id is None:
            return await self._land(begun, Failure.EMAIL_TAKEN)
        return await self._land(begun, user_id)

    async def _make(self, provider: Provider, claims: dict[str, Any]) -> int:
        """Make a user who signs in with this identity. Raises ChatError(conflict)."""
        profile = profile_of(claims, self._config.name_max_chars, f"{provider.title} user")
        async with self._database.transaction() as c:
            user = await self._users.create(c, profile.email, profile.name, None)
            if not await self._identities.add(
                c, claims["iss"], claims["sub"], provider.name, user.id
            ):
                raise ChatError(Code.CONFLICT)
        log.info("registered", extra={"user": user.id, "provider": provider.name})
        return user.id

    async def _link(
        self, provider: Provider, claims: dict[str, Any], begun: _Begun, asker: tuple[int, int]
    ) -> Landing:
        user_id, session_id = asker
        try:
            await self._sessions.user_of(Identity(user_id, session_id, expires=0))
        except ChatError as error:
            if error.code is not Code.UNAUTHORIZED:
                raise
            return self._end(begun, error=Failure.SIGNED_OUT)
        issuer, subject = claims["iss"], claims["sub"]
        owner = await self._identities.user_of(issuer, subject)
        if owner not in (None, user_id):
            return await self._land(begun, Failure.IDENTITY_TAKEN)
        if owner is None:
            try:
                async with self._database.transaction() as c:
                    if not await self._identities.add(c, issuer, subject, provider.name, user_id):
                        raise ChatError(Code.CONFLICT)
            except ChatError as error:
                if error.code is not Code.CONFLICT:
                    raise
                return await self._land(begun, Failure.ALREADY_LINKED)
            log.info("linked", extra={"user": user_id, "provider": provider.name})
        return self._end(begun, linked=provider.name)

    def _end(self, begun: _Begun, **told: str) -> Landing:
        return Landing(self.pages.landing(begun.page, **told), ended=True)

    async def _land(self, begun: _Begun, outcome: int | Failure) -> Landing:
        """The page with a code; of a conflict the page is told, and whoever trades the code."""
        code = new_secret()
        if isinstance(outcome, Failure):
            finished = _Finished(begun.browser, conflict=outcome)
        else:
            finished = _Finished(begun.browser, user_id=outcome)
        life_s = float(self._config.sso_code_s)
        await self._cache.put(_key("code", code), msgspec.json.encode(finished), life_s)
        if isinstance(outcome, Failure):
            log.info("sign-in refused", extra={"provider": begun.provider, "why": outcome})
            return Landing(self.pages.landing(begun.page, error=outcome, code=code), ended=False)
        return Landing(self.pages.landing(begun.page, code=code), ended=False)

    # --- exchange

    async def exchange(self, code: str, browser: str | None, client: Client) -> Session:
        """Trade a code for a session. Raises ChatError(not_found), whatever is wrong with it, or
        ChatError(conflict) with the way out.
        """
        finished = await self._take("code", code, _Finished)
        if finished is None or not same(browser, finished.browser):
            raise ChatError(Code.NOT_FOUND, "This code is not valid.")
        if finished.conflict is not None:
            raise ChatError(Code.CONFLICT, CONFLICTS[finished.conflict])
        assert finished.user_id is not None
        user = await self._users.get(finished.user_id)
        if user is None:
            raise ChatError(Code.NOT_FOUND, "This code is not valid.")
        async with self._database.transaction() as c:
            session = await self._sessions.open(c, user, client)
        log.info("login", extra={"user": user.id})
        return session

    async def _take(self, what: str, secret: str | None, kind: type[Any]) -> Any:
        """What a secret stands for, once; None for none that was given out, or not lately."""
        if secret is None or not CODE.fullmatch(secret):
            return None
        stored = await self._cache.take(_key(what, secret))
        return None if stored is None else msgspec.json.decode(stored, type=kind)

    # --- one's own identities

    async def identities(self, user_id: int) -> list[Linked]:
        """The identities that a user may sign in with."""
        return await self._identities.of_user(user_id)

    async def unlink(self, user_id: int, name: str) -> None:
        """Remove one. Raises ChatError: not_found; conflict where it is the last way in."""
        removed = await self._identities.remove(user_id, name)
        if removed is None:
            raise ChatError(Code.NOT_FOUND, "No identity of that provider is linked.")
        if not removed:
            text = "This is the only way to sign in to this account; link another one first."
            raise ChatError(Code.CONFLICT, text)
        log.info("unlinked", extra={"user": user_id, "provider": name})


def _key(what: str, secret: str) -> str:
    return f"sso:{what}:{digest(secret)}"


def _report(name: str, error: ProviderError) -> None:
    log.warning("provider failed", extra={"provider": name, "why": str(error)})


def _refuse(name: str, why: str) -> NoReturn:
    log.info("sign-in refused", extra={"provider": name, "why": why})
    raise ChatError(Code.BAD_MESSAGE, "This sign-in cannot go on here. Begin it again.")
