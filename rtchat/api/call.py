"""What a handler gets: the services, who asks, and what came with the request."""

import hmac
from dataclasses import dataclass, field
from typing import Any

from prometheus_client.registry import CollectorRegistry

from rtchat.api.asgi import Headers, Scope, address_of, header
from rtchat.api.rates import RateLimits
from rtchat.auth.accounts import Accounts
from rtchat.auth.client import Client, agent_from
from rtchat.auth.sessions import Sessions
from rtchat.auth.sso.flow import SingleSignOn
from rtchat.auth.throttle import Throttle
from rtchat.auth.tokens import Identity
from rtchat.bus import WatchedBus
from rtchat.cache import Cache
from rtchat.chat import Chat
from rtchat.config import Config
from rtchat.connections import Connections
from rtchat.drain import Drain
from rtchat.ephemeral.teller import Teller
from rtchat.errors import ChatError, Code
from rtchat.hub import Hub
from rtchat.lag import Lag
from rtchat.measures import Asked
from rtchat.reached import Reached
from rtchat.store.channels import ChannelStore
from rtchat.store.database import Database
from rtchat.store.users import UserStore
from rtchat.tasks import Tasks
from rtchat.writer import Writer


@dataclass
class Services:
    """The parts that answer requests, built by `app`."""

    config: Config
    database: Database
    users: UserStore
    channels: ChannelStore
    accounts: Accounts
    sessions: Sessions
    sso: SingleSignOn
    chat: Chat
    teller: Teller
    hub: Hub
    connections: Connections
    tasks: Tasks
    drain: Drain
    cache: Cache
    throttle: Throttle
    rates: RateLimits
    reached: Reached
    asked: Asked
    writer: Writer
    bus: WatchedBus
    lag: Lag
    registry: CollectorRegistry = field(default_factory=CollectorRegistry)  # filled by `app`


@dataclass
class Call:
    """One request on its way to its handler."""

    services: Services
    scope: Scope
    identity: Identity | None = None
    bearer: str = ""  # the token as it came, a user's or not
    refusal: ChatError | None = None  # why there is no identity, where none is required
    ids: dict[str, int] = field(default_factory=dict)
    words: dict[str, str] = field(default_factory=dict)
    body: Any = None
    query: Any = None
    headers: Headers = field(default_factory=list)  # further ones of the answer

    @property
    def who(self) -> Identity:
        """Who asks. Raises ChatError(unauthorized) where nobody proved to be anybody."""
        if self.identity is None:
            raise self.refusal or ChatError(Code.UNAUTHORIZED)
        return self.identity

    @property
    def user_id(self) -> int:
        """The user who asks; raises as `who` does."""
        return self.who.user_id

    def require_operator(self) -> None:
        """Raise ChatError(unauthorized) unless the token is the operators' (`internal_token`)."""
        token = self.services.config.internal_token
        if not token or not hmac.compare_digest(self.bearer.encode(), token.encode()):
            raise ChatError(Code.UNAUTHORIZED)

    @property
    def client(self) -> Client:
        """Where the request comes from."""
        agent = agent_from(header(self.scope, b"user-agent"))
        return Client(address=address_of(self.scope), agent=agent)
