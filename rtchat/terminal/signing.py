"""Signing in: by what was kept, or by address and password.

Owns: the session of this process, and keeping each new refresh token before anything else goes on.
Must never: send a refresh token that another process may have used, or keep a password.
"""

from functools import partial

from rtchat.client import RefusedError, Renewing, Rest, Session
from rtchat.terminal.keeping import Keeper, Kept


class SignIn:
    """How one server's user is signed in. `keeper` None: nothing is kept."""

    def __init__(self, rest: Rest, keeper: Keeper | None) -> None:
        self._rest = rest
        self._keeper = keeper

    async def again(self, email: str | None) -> Session | None:
        """By what was kept, if that is of this address (None: of any) and still good.

        Raises UnreachableError, and RefusedError where the server only wants to be asked later.
        """
        kept = self._keeper.read() if self._keeper is not None else None
        if kept is None or (email is not None and email.casefold() != kept.email.casefold()):
            return None
        try:
            session = await self._rest.refresh(kept.refresh_token)
        except RefusedError as error:
            if error.status != 401:
                raise
            assert self._keeper is not None
            self._keeper.forget()
            return None
        self.keep(kept.email, session)
        return session

    async def anew(self, email: str, password: str, *, register: bool, name: str | None) -> Session:
        """By password, or as somebody new."""
        if register:
            session = await self._rest.register(email, password, name)
        else:
            session = await self._rest.login(email, password)
        self.keep(email, session)
        return session

    def keep(self, email: str, session: Session) -> None:
        """Note the newest refresh token."""
        if self._keeper is not None:
            self._keeper.keep(Kept(email, session.refresh_token))

    def tokens(self, session: Session) -> Renewing:
        """The provider of access tokens for a client."""
        return Renewing(self._rest, session, partial(self.keep, session.user.email or ""))

    async def out(self, session: Session) -> None:
        """End the session, and keep nothing."""
        if self._keeper is not None:
            self._keeper.forget()
        await self._rest.logout(session.refresh_token)
