"""Getting a link, again and again: tokens, refusals, delays.

Owns: the token at hand, and the decision, after every failure, whether and when to try again.
Must never: retry what the server has refused for good (40xx, 4xx), hammer a server that is coming
up, or ask for a new token when the old one still serves.
"""

import asyncio
import inspect
import logging
from collections.abc import Awaitable, Callable

from rtchat.client.backoff import Backoff, Verdict, judge
from rtchat.client.connection import HandshakeError, Link, LinkLostError, Options
from rtchat.client.errors import ClosedError, RefusedError

log = logging.getLogger("rtchat.client")

# Gives a token that is good for a while. May raise OSError or TimeoutError (UnreachableError is
# one), or a RefusedError that says `retry`: tried again later. Any other error ends the client.
Tokens = Callable[[], str | Awaitable[str]]

RETRY_STATUSES = frozenset({0, 408, 425, 429})  # 0: refused after the upgrade; and all of 5xx


class Dialer:
    """Opens links to one server for one user."""

    def __init__(self, url: str, token: str | None, tokens: Tokens | None, options: Options):
        assert (token is None) != (tokens is None), "either a token or a provider of tokens"
        self._url = url
        self._token = token
        self._tokens = tokens
        self._options = options
        self._backoff = Backoff()
        self._renewed = False  # since the last link: a second refusal is final
        self.last_error: Exception | None = None

    @property
    def renews(self) -> bool:
        """Whether there is a provider of tokens."""
        return self._tokens is not None

    @property
    def token_at_hand(self) -> str:
        """The last token; it may have expired."""
        return self._token or ""

    def take(self, token: str) -> None:
        """Dial with this one from here on."""
        self._token = token

    async def new_token(self) -> str:
        """Ask the provider."""
        assert self._tokens is not None
        given = self._tokens()
        self._token = token = await given if inspect.isawaitable(given) else given
        return token

    async def dial(self) -> Link:
        """Open a link, however long it takes. Raises ClosedError when there is no hope."""
        while True:
            try:
                link = await Link.open(
                    self._url, self._token or await self.new_token(), self._options
                )
            except HandshakeError as error:
                self.last_error = error
                if not self._renew_after(error):
                    await self._pause(Verdict.BACK_OFF, error.retry_after_s)
            except LinkLostError as error:
                self.last_error = error
                await self.wait(error, lived_s=0)
            except RefusedError as error:  # a provider that asks over REST
                if not error.retry:
                    raise ClosedError(f"no token: {error}") from error
                self.last_error = error
                await self._pause(Verdict.BACK_OFF, error.retry_after_s)
            except (OSError, TimeoutError) as error:
                self.last_error = error
                await self._pause(Verdict.BACK_OFF, None)
            else:
                self._renewed, self.last_error = False, None
                return link

    async def wait(self, lost: LinkLostError, lived_s: float) -> None:
        """Wait until it is time to dial again. Raises ClosedError if it never is."""
        if lived_s:
            self._backoff.lived(lived_s)
        verdict = judge(lost.code)
        if verdict is Verdict.GIVE_UP:
            raise ClosedError(lost.reason or "closed by the server", lost.code)
        if verdict is Verdict.RENEW:
            self._forget_token(ClosedError("token expired", lost.code))
        await self._pause(verdict, lost.back_in_s)

    def _renew_after(self, error: HandshakeError) -> bool:
        """Whether to dial again at once, with a new token. Raises ClosedError if it is hopeless."""
        signed_out = error.status == 401 or error.code in ("unauthorized", "token_expired")
        if signed_out:
            self._forget_token(ClosedError(str(error)))
            return True
        if error.status < 500 and error.status not in RETRY_STATUSES:
            raise ClosedError(str(error))
        return False

    def _forget_token(self, final: ClosedError) -> None:
        if self._tokens is None or self._renewed:
            raise final
        self._renewed = True
        self._token = None

    async def _pause(self, verdict: Verdict, hint_s: float | None) -> None:
        delay_s = self._backoff.delay(verdict, hint_s)
        log.debug("dialling again", extra={"in_s": delay_s, "verdict": verdict.name})
        await asyncio.sleep(delay_s)
