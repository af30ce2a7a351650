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
from typing import Any, NamedTuple, TypeVar

import msgspec

from rtchat.auth.client import Client
from rtchat.auth.events import Event, note
from rtchat.auth.sessions import Session, Sessions
from rtchat.auth.sso.oidc import ProviderClient, RefusedCodeError
from rtchat.auth.sso.outbound import ProviderError, Slots
from rtchat.auth.sso.pages import CODE, Failure, Pages, digest, new_secret, same
from rtchat.auth.sso.people import WAYS_OUT, Conflict, People
from rtchat.auth.tokens import Identity
from rtchat.cache import Cache
from rtchat.config import Config
from rtchat.errors import ChatError, Code
from rtchat.providers import Provider, providers_of
from rtchat.reached import Reached
from rtchat.store.database import Database
from rtchat.store.users import UserStore

log = logging.getLogger(__name__)

T = TypeVar("T")
PROVIDER_CODE_MAX_CHARS = 4096

# What a provider's error means to the page; any other one is `failed`.
PROVIDER_ERRORS = {
    "access_denied": Failure.DENIED,
    "server_error": Failure.UNAVAILABLE,
    "temporarily_unavailable": Failure.UNAVAILABLE,
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
    conflict: Conflict | None = None


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
    """Signs in and links by the providers that are set up."""

    def __init__(
        self,
        config: Config,
        database: Database,
        sessions: Sessions,
        cache: Cache,
        reached: Reached,
    ) -> None:
        self.pages = Pages(config)
        self.people = People(config, database, sessions)
        self._config = config
        self._database = database
        self._users = UserStore(database)
        self._sessions = sessions
        self._cache = cache
        self._reached = reached
        slots = Slots(config.sso_calls_max)
        self._sources = {
            name: ProviderClient(config, provider, slots)
            for name, provider in providers_of(config).items()
        }
        self._begun: deque[float] = deque()  # when the last ones were, to bound the cache

    async def close(self) -> None:
        """End the calls that are under way."""
        for source in self._sources.values():
            await source.close()

    @property
    def providers(self) -> Mapping[str, Provider]:
        """Those that are set up."""
        return {name: source.provider for name, source in self._sources.items()}

    # --- begin

    async def begin(
        self, name: str, page: str | None, browser: str | None, asker: Identity | None = None
    ) -> Beginning:
        """Remember a sign-in that begins; with `asker`, one that shall link to that user.

        Raises ChatError: not_found, overloaded, unavailable; forbidden to link from a session that
        is not fresh: a token that was copied must not become a way in for ever.
        """
        source = self._source(name)
        if asker is not None:
            async with self._database.connection() as c:
                if await self._sessions.age_s(c, asker) > self._config.fresh_sign_in_s:
                    text = "Sign in anew to link another way in."
                    raise ChatError(Code.FORBIDDEN, text, limit="fresh_sign_in_s")
        self._bound()
        browser = browser or new_secret()
        state, nonce, verifier = new_secret(), new_secret(), new_secret()
        try:
            url = await source.authorization_url(state, nonce, verifier)
        except ProviderError as error:
            self._report(name, error)
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
        await self._put("state", state, begun, self._config.sso_state_s)
        return Beginning(url, browser)

    def _source(self, name: str) -> ProviderClient:
        source = self._sources.get(name)
        if source is None:
            raise ChatError(Code.NOT_FOUND, "There is no such provider.")
        return source

    def _bound(self) -> None:
        limit, now = self._config.sso_flows_max, time.monotonic()
        while self._begun and self._begun[0] + self._config.sso_state_s <= now:
            self._begun.popleft()
        if limit and len(self._begun) >= limit:
            text = "Too many sign-ins at once."
            raise ChatError(Code.OVERLOADED, text, after_ms=5000, limit="sso_flows_max")
        if limit:
            self._begun.append(now)

    # --- finish

    async def finish(
        self, name: str, sent: Callback, browser: str | None, client: Client
    ) -> Landing:
        """End the provider's part: where the browser goes from here.

        Raises ChatError(bad_message), the same for whatever in the request is not as it was begun
        in this browser: there is no page to be trusted with more.
        """
        source = self._source(name)
        begun = await self._take("state", sent.state, _Begun, "sso_state_s")
        if begun is None or begun.provider != name or not same(browser, begun.browser):
            raise _refused(name, "no such state in this browser", client)
        try:
            await _check_issuer(source, sent.iss)
            if sent.error is not None:
                failure = PROVIDER_ERRORS.get(sent.error, Failure.FAILED)
                note(Event.LOGIN_FAILED, client, provider=name, reason=failure.value)
                return self._end(begun, error=failure)
            if not sent.code or len(sent.code) > PROVIDER_CODE_MAX_CHARS:
                raise RefusedCodeError("no code")
            claims = await source.claims(sent.code, begun.nonce, begun.verifier, time.time())
            if sent.iss not in (None, claims["iss"]):
                raise RefusedCodeError("another issuer than that of the token")
        except RefusedCodeError as error:
            raise _refused(name, str(error), client) from None
        except ProviderError as error:
            self._report(name, error)
            failure = Failure.UNAVAILABLE if error.away else Failure.FAILED
            note(Event.LOGIN_FAILED, client, provider=name, reason=failure.value)
            return self._end(begun, error=failure)
        if begun.link_to is not None:
            return await self._link(source.provider, claims, begun, begun.link_to, client)
        outcome = await self.people.find_or_make(source.provider, claims, client)
        return await self._land(begun, outcome, client)

    async def _link(
        self,
        provider: Provider,
        claims: dict[str, Any],
        begun: _Begun,
        asker: tuple[int, int],
        client: Client,
    ) -> Landing:
        try:
            who = Identity(*asker, expires=0)
            conflict = await self.people.link(provider, claims, who, client)
        except ChatError as error:
            if error.code is not Code.UNAUTHORIZED:
                raise
            return self._end(begun, error=Failure.SIGNED_OUT)
        if conflict is not None:
            return await self._land(begun, conflict, client)
        return self._end(begun, linked=provider.name)

    def _end(self, begun: _Begun, **told: str) -> Landing:
        return Landing(self.pages.landing(begun.page, **told), ended=True)

    async def _land(self, begun: _Begun, outcome: int | Conflict, client: Client) -> Landing:
        """The page with a code; of a conflict the page is told, and whoever trades the code."""
        code = new_secret()
        conflict = outcome if isinstance(outcome, Conflict) else None
        user_id = None if isinstance(outcome, Conflict) else outcome
        finished = _Finished(begun.browser, user_id, conflict)
        await self._put("code", code, finished, self._config.sso_code_s)
        if conflict is None:
            return Landing(self.pages.landing(begun.page, code=code), ended=False)
        note(Event.LOGIN_FAILED, client, provider=begun.provider, reason=conflict.value)
        return Landing(self.pages.landing(begun.page, error=conflict, code=code), ended=False)

    # --- exchange

    async def exchange(self, code: str, browser: str | None, client: Client) -> Session:
        """Trade a code for a session.

        Raises ChatError: not_found, whatever is wrong with the code; conflict with the way out;
        unauthorized for a user who is disabled.
        """
        finished = await self._take("code", code, _Finished, "sso_code_s")
        if finished is None or not same(browser, finished.browser):
            raise ChatError(Code.NOT_FOUND, "This code is not valid.")
        if finished.conflict is not None:
            raise ChatError(Code.CONFLICT, WAYS_OUT[finished.conflict])
        assert finished.user_id is not None
        user = await self._users.get(finished.user_id)
        if user is None:
            raise ChatError(Code.NOT_FOUND, "This code is not valid.")
        async with self._database.transaction() as c:
            session = await self._sessions.open(c, user, client)
        self._sessions.opened(Event.LOGIN, session, client)
        return session

    # --- what is remembered

    async def _put(self, what: str, secret: str, value: _Begun | _Finished, life_s: int) -> None:
        await self._cache.put(_key(what, secret), msgspec.json.encode(value), float(life_s))

    async def _take(self, what: str, secret: str | None, kind: type[T], limit: str) -> T | None:
        """What a secret stands for, once; None for none that was given out, or not lately: the two
        cannot be told apart, and count as the latter."""
        if secret is None or not CODE.fullmatch(secret):
            return None
        stored = await self._cache.take(_key(what, secret))
        if stored is None:
            self._reached.count(limit)
            return None
        return msgspec.json.decode(stored, type=kind)

    def _report(self, name: str, error: ProviderError) -> None:
        """Log what a provider did, and count the limit that it met: pages are told no code."""
        self._reached.count(*error.limits)
        log.warning("provider failed", extra={"provider": name, "why": str(error)})


async def _check_issuer(source: ProviderClient, issuer: str | None) -> None:
    """Mix-up defence (RFC 9207 §2.4): the answer is of whom the browser was sent to."""
    if issuer is None:
        metadata = await source.metadata()
        if metadata.authorization_response_iss_parameter_supported:
            raise RefusedCodeError("no issuer")
    elif not source.provider.issued_by(issuer):
        raise RefusedCodeError("another issuer")


def _key(what: str, secret: str) -> str:
    return f"sso:{what}:{digest(secret)}"


def _refused(name: str, why: str, client: Client) -> ChatError:
    note(Event.LOGIN_FAILED, client, provider=name, reason=why)
    return ChatError(Code.BAD_MESSAGE, "This sign-in cannot go on here. Begin it again.")
