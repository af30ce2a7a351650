"""Where a Redis node is and how to get in: one URL, read the way redis-py reads it.

Owns: host, port, socket path, credentials and the TLS context of one node, and the commands that
open a connection. `redis://`, `rediss://` (with redis-py's `ssl_*` query options) and `unix://`.
Must never: show a secret. `name` (host and port) is what logs and the placement of shards see.
"""

import asyncio
import ssl
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Any

from redis.asyncio.connection import Connection, SSLConnection, parse_url
from redis.exceptions import RedisError


@dataclass(frozen=True, slots=True, kw_only=True)
class Address:
    """One node. A database number in the URL means nothing here: pub/sub knows no databases."""

    name: str
    host: str
    port: int
    path: str | None  # of a Unix socket, in place of host and port
    username: str | None
    password: str | None = field(repr=False)
    tls: ssl.SSLContext | None

    @classmethod
    def parse(cls, url: str) -> "Address":
        """Read a URL and load the certificates that it names. Raises ValueError and OSError."""
        try:
            options: dict[str, Any] = dict(parse_url(url))
            made = options.pop("connection_class", Connection)(**options)
        except (ValueError, TypeError, RedisError):
            # without the cause: a URL that was cut at the wrong place shows its password there
            raise ValueError(
                "not a redis://, rediss:// or unix:// URL with known options"
            ) from None
        host, port = getattr(made, "host", ""), getattr(made, "port", 0)
        path = getattr(made, "path", None)
        return cls(
            name=path or f"{host}:{port}",
            host=host,
            port=port,
            path=path,
            username=made.username or None,
            password=made.password or None,
            tls=made.ssl_context.get() if isinstance(made, SSLConnection) else None,
        )

    def at(self, host: str, port: int) -> "Address":
        """Another node of the same cluster: the same credentials and certificates hold there."""
        return replace(self, name=f"{host}:{port}", host=host, port=port, path=None)

    async def open(self, protocol: Callable[[], asyncio.Protocol]) -> None:
        """Connect. Bounded in time by the caller."""
        loop = asyncio.get_running_loop()
        if self.path is not None:
            await loop.create_unix_connection(protocol, self.path)
        else:
            await loop.create_connection(protocol, self.host, self.port, ssl=self.tls)

    def greeting(self, client_name: str) -> list[tuple[bytes, ...]]:
        """The commands that open a connection; every one must be answered.

        The name is for whoever reads CLIENT LIST, and its answer for us: a port that accepts and
        then says nothing (a stopped server, a load balancer without one) is not a connection.
        """
        commands: list[tuple[bytes, ...]] = []
        if self.password is not None:
            user = (self.username.encode(),) if self.username else ()
            commands.append((b"AUTH", *user, self.password.encode()))
        commands.append((b"CLIENT", b"SETNAME", client_name.encode()))
        return commands
