"""Which user somebody is whom a provider vouches for: found, made, linked or unlinked.

Owns: that (issuer, subject) alone tells who somebody is. An address never does: those registered
here are unverified, and whoever registers another one's would be handed that one's sign-in later.
Must never: leave a user without a way in.

Sources: OpenID Connect Core 1.0 §5.7; OWASP ASVS 5.0 §6.8.1, §10.5.4.
"""

from enum import StrEnum
from typing import Any

from rtchat.auth.client import Client
from rtchat.auth.events import Event, note
from rtchat.auth.sessions import Sessions
from rtchat.auth.sso.profile import profile_of
from rtchat.auth.tokens import Identity
from rtchat.config import Config
from rtchat.errors import ChatError, Code
from rtchat.providers import Provider, providers_of
from rtchat.store.database import Database
from rtchat.store.identities import IdentityStore, Linked
from rtchat.store.users import UserStore


class Conflict(StrEnum):
    """Why somebody whom a provider vouches for cannot be signed in or linked."""

    EMAIL_TAKEN = "email_taken"
    IDENTITY_TAKEN = "identity_taken"
    ALREADY_LINKED = "already_linked"


# What clients are told: the way out.
WAYS_OUT = {
    Conflict.EMAIL_TAKEN: "The address belongs to another account here. Sign in to that one in the"
    " way you know, then link this provider to it.",
    Conflict.IDENTITY_TAKEN: "This identity is linked to another account here. Sign in with it, and"
    " unlink it there first.",
    Conflict.ALREADY_LINKED: "Another identity at this provider is linked to this account. Unlink"
    " that one first.",
}


class People:
    """Users, as providers know them."""

    def __init__(self, config: Config, database: Database, sessions: Sessions) -> None:
        self._name_max_chars = config.name_max_chars
        self._usable = providers_of(config).keys()
        self._database = database
        self._users = UserStore(database)
        self._identities = IdentityStore(database)
        self._sessions = sessions

    async def find_or_make(
        self, provider: Provider, claims: dict[str, Any], client: Client
    ) -> int | Conflict:
        """The user who has this identity; a new one where nobody has."""
        issuer, subject = claims["iss"], claims["sub"]
        found = await self._identities.user_of(issuer, subject)
        if found is not None:
            return found
        try:
            return await self._make(provider, claims, client)
        except ChatError as error:
            if error.code is not Code.CONFLICT:
                raise
        # Taken, perhaps by this very identity, in another tab just now.
        return await self._identities.user_of(issuer, subject) or Conflict.EMAIL_TAKEN

    async def _make(self, provider: Provider, claims: dict[str, Any], client: Client) -> int:
        profile = profile_of(claims, self._name_max_chars, f"{provider.title} user")
        async with self._database.transaction() as c:
            user = await self._users.create(c, profile.email, profile.name, None)
            identity = claims["iss"], claims["sub"], provider.name
            if not await self._identities.add(c, *identity, user.id):
                raise ChatError(Code.CONFLICT)
        note(Event.REGISTERED, client, user=user.id, provider=provider.name)
        return user.id

    async def link(
        self, provider: Provider, claims: dict[str, Any], asker: Identity, client: Client
    ) -> Conflict | None:
        """Let whoever asks sign in with this identity too; may be repeated.

        Raises ChatError(unauthorized) where the asker's session has ended. That is looked at under
        the user's lock: what ends sessions, as another password does, ends what they began.
        """
        issuer, subject = claims["iss"], claims["sub"]
        async with self._database.transaction() as c:
            await self._users.lock(c, asker.user_id)
            await self._sessions.age_s(c, asker)
            added = await self._identities.add(c, issuer, subject, provider.name, asker.user_id)
        if added:
            note(Event.LINKED, client, user=asker.user_id, provider=provider.name)
            return None
        owner = await self._identities.user_of(issuer, subject)
        if owner is None:
            return Conflict.ALREADY_LINKED
        return None if owner == asker.user_id else Conflict.IDENTITY_TAKEN

    async def identities(self, user_id: int) -> list[Linked]:
        """The identities that a user may sign in with."""
        return await self._identities.of_user(user_id)

    async def unlink(self, user_id: int, name: str, client: Client) -> None:
        """Remove one. Raises ChatError: not_found; conflict where it is the last way in."""
        removed = await self._identities.remove(user_id, name, self._usable)
        if removed is None:
            raise ChatError(Code.NOT_FOUND, "No identity of that provider is linked.")
        if not removed:
            text = "This is the only way to sign in to this account; link another one first."
            raise ChatError(Code.CONFLICT, text)
        note(Event.UNLINKED, client, user=user_id, provider=name)
