"""Access tokens from the command line: minting one, and saying what is with another.

Owns: a session for each token that is minted, so that it can be revoked like any other, and the
reasons for which one is not good. Must never: mint a token that outlives `access_token_s`: pods
remember a session that has ended for as long, and would let a longer one in again.
"""

import hashlib
import secrets
import time
from datetime import UTC, datetime
from typing import Any, NamedTuple, TypeGuard

import jwt

from rtchat.auth.events import OPERATOR, Event, note
from rtchat.auth.keys import KeyRing
from rtchat.auth.tokens import TYPE, Identity, Tokens
from rtchat.config import Config
from rtchat.errors import ChatError, Code
from rtchat.model import rfc3339
from rtchat.operate.people import ID, of_user
from rtchat.operate.terminal import printable
from rtchat.store import once, operator
from rtchat.store.database import AnyConnection
from rtchat.store.operator import Opened, Person
from rtchat.store.sessions import SessionStore
from rtchat.store.users import UserStore

AGENT = "rtchat token mint"  # as the list of the user's sessions shows it


class DisabledError(Exception):
    """Nobody signs in as this user; the text says so."""


def mint(config: Config, url: str, who: str, life_s: int) -> str:
    """Open a session of `life_s` and sign its one token.

    Nobody gets the refresh token, and no other session ends for it, however many there are. Raises
    StartError, UnknownError, DisabledError.
    """
    tokens = Tokens(config)

    async def work(connection: AnyConnection, user: Person) -> Identity:
        async with connection.transaction():
            account = await UserStore.lock(connection, user.id)
            if account is None or account.disabled:
                raise DisabledError(f"user {user.id} is disabled: rtchat user enable {user.id}")
            unknown = hashlib.sha256(secrets.token_bytes(32)).digest()
            opened = await SessionStore.create(connection, user.id, unknown, life_s, AGENT)
        return Identity(user.id, opened, 0)

    made = of_user(url, "opening the session", who, work)
    note(Event.LOGIN, user=made.user_id, session=made.session_id, by=OPERATOR)
    return tokens.sign(made.user_id, made.session_id, life_s=life_s)


class Verdict(NamedTuple):
    """What a token says of itself, and why it is not good: nothing, where it is."""

    claims: dict[str, Any]
    reasons: list[str]


def read(token: str, config: Config, now: float | None = None) -> Verdict:
    """Judge a token by the settings alone: whose signature, for whom, until when.

    What one whose signature is not good says of itself is anybody's words. Raises StartError for
    keys that cannot be used.
    """
    tokens = Tokens(config)
    now = time.time() if now is None else now
    try:
        decoded = jwt.decode_complete(token, options={"verify_signature": False})
    except (jwt.InvalidTokenError, ValueError, RecursionError):
        return Verdict({}, ["it is no JSON Web Token"])
    header, claims = decoded["header"], decoded["payload"]
    reasons = _differences(header, claims, tokens.keys, config)
    reasons += _times(claims, config, now)
    try:
        tokens.check(token)
    except (ChatError, OverflowError) as error:  # the latter of jwt, for a time that is infinite
        if not reasons:
            late = isinstance(error, ChatError) and error.code is Code.TOKEN_EXPIRED
            named = "the signature is not good, or a claim is missing or of another type"
            reasons.append(str(error) if late else named)
    return Verdict(claims, reasons)


def _differences(
    header: dict[str, Any], claims: dict[str, Any], keys: KeyRing, config: Config
) -> list[str]:
    reasons = []
    if header.get("typ") != TYPE:
        reasons.append(
            f"its type is {header.get('typ')!r}, not {TYPE!r}: no access token of rtchat"
        )
    key = keys.get(header.get("kid"))
    if key is None:
        believed = ", ".join(keys.kids)
        reasons.append(f"key {header.get('kid')!r} signed it, and the settings believe {believed}")
    elif header.get("alg") != key.algorithm:
        reasons.append(f"it says {header.get('alg')!r}, and its key signs with {key.algorithm}")
    for claim, expected in (("iss", config.token_issuer), ("aud", config.token_audience)):
        if claims.get(claim) != expected:
            setting = "RTCHAT_TOKEN_ISSUER" if claim == "iss" else "RTCHAT_TOKEN_AUDIENCE"
            reasons.append(f"{claim} is {claims.get(claim)!r}, and {setting} is {expected!r}")
    return reasons


def _times(claims: dict[str, Any], config: Config, now: float) -> list[str]:
    reasons = []
    leeway = config.token_leeway_s
    issued, expires = (claims.get(claim) for claim in ("iat", "exp"))
    if is_time(expires) and expires <= now - leeway:
        reasons.append(f"it expired {now - expires:.0f} s ago, at {moment(expires)}")
    if is_time(issued) and issued > now + leeway:
        reasons.append(f"it is of the future by {issued - now:.0f} s: clocks disagree")
    return reasons


def is_time(claim: object) -> TypeGuard[float]:
    """Whether this is a number of seconds since 1970 that can be written as a time."""
    if isinstance(claim, bool) or not isinstance(claim, int | float):
        return False
    try:
        datetime.fromtimestamp(claim, UTC)
    except (OverflowError, OSError, ValueError):  # 10**400, NaN, the year 10,000
        return False
    return True


def moment(seconds: float) -> str:
    """Seconds since 1970, which `is_time`, as everybody writes them."""
    return rfc3339(datetime.fromtimestamp(seconds, UTC))


class Held(NamedTuple):
    """Whose a token's session is, if there is one still, and why it does not stand."""

    user: Person | None
    session: Opened | None
    reasons: list[str]


def session_of(url: str, user_id: int, session_id: int) -> Held:
    """Look at a session and its user. Raises StartError."""

    async def work(connection: AnyConnection) -> Held:
        user = await operator.person(connection, user_id)
        found = await operator.session(connection, session_id)
        reasons = []
        if user is None:
            reasons.append(f"there is no user {user_id}")
        elif user.disabled_at:
            reasons.append(f"user {user_id} is disabled since {rfc3339(user.disabled_at)}")
        if found is None:
            reasons.append(f"there is no session {session_id}, or none any more")
            return Held(user, None, reasons)
        opened, now = found
        if opened.user_id != user_id:
            reasons.append(f"session {session_id} is of another user")
        if opened.ended_at:
            reasons.append(f"session {session_id} was ended at {rfc3339(opened.ended_at)}")
        elif opened.expires_at and opened.expires_at <= now:
            reasons.append(f"session {session_id} expired at {rfc3339(opened.expires_at)}")
        return Held(user, opened, reasons)

    return once.run(url, "looking at the session", work)


def described(claims: dict[str, Any]) -> list[tuple[str, str]]:
    """What a token says of itself, line by line; of claims that are there."""
    shown: list[tuple[str, str]] = []
    for claim, name in (("sub", "user"), ("sid", "session"), ("iss", "issuer"), ("aud", "for")):
        if claim in claims:
            shown.append((name, printable(str(claims[claim]))))
    for claim, name in (("iat", "issued"), ("exp", "expires")):
        if is_time(claims.get(claim)):
            shown.append((name, moment(claims[claim])))
    return shown


def ids(claims: dict[str, Any]) -> tuple[int | None, int | None]:
    """The user and the session that a token names, if these are ids."""
    found = [str(claims.get(claim, "")) for claim in ("sub", "sid")]
    user_id, session_id = (int(text) if ID.fullmatch(text) else None for text in found)
    return user_id, session_id


def told(held: Held) -> list[tuple[str, str]]:
    """What the database says of the session and the user, line by line."""
    shown = []
    if held.user is not None:
        named = f"{printable(held.user.name)}, {printable(held.user.email or 'no address')}"
        shown.append(("name", named))
    if held.session is not None:
        opened, ends = held.session.created_at, held.session.expires_at
        life = f"opened {rfc3339(opened)}, ends {rfc3339(ends) if ends else 'never'}"
        shown.append(("lives", f"{life}, by {printable(held.session.agent) or 'an unknown agent'}"))
    return shown
