"""New access tokens for a client, out of a refresh token.

Owns: the session at hand. Must never: use a refresh token twice, which ends the session. Lost with
the process, unless `on_session` keeps it.
"""

import asyncio
import math
from collections.abc import Callable

from rtchat.client.model import Session
from rtchat.client.rest import Rest

SHARED_S = 5.0  # a token that was traded so lately is given again


class Renewing:
    """A provider of tokens for `Client(tokens=…)`: trades the refresh token for each new one.

    A client asks when it has no token, or none that will do, so every call but the first trades.
    Shared by several clients, which ask at the same moments, it trades once in 5 s. `on_session`
    gets every new session, to be stored: the old refresh token is dead by then, and using it again
    ends the session.
    """

    def __init__(
        self, rest: Rest, session: Session, on_session: Callable[[Session], None] | None = None
    ) -> None:
        self.session = session
        self._rest = rest
        self._on_session = on_session
        self._lock = asyncio.Lock()
        self._asked = False
        self._traded_at = -math.inf

    async def __call__(self) -> str:
        """A token that is good for a while."""
        async with self._lock:
            now = asyncio.get_running_loop().time()
            if self._asked and now - self._traded_at > SHARED_S:
                self.session = await self._rest.refresh(self.session.refresh_token)
                self._traded_at = now
                if self._on_session is not None:
                    self._on_session(self.session)
            self._asked = True
            return self.session.access_token

    def at_hand(self) -> str:
        """The token that was given last, for `Rest`: while a client uses this, it is a good one."""
        return self.session.access_token
