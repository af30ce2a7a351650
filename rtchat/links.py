"""Whether the ways to PostgreSQL and Redis are safe from whoever sits in between.

Pure. Owns: whether their URLs can be read at all, and what of one may be shown. A link is safe if
it stays on this machine (loopback, a Unix socket), or if TLS verifies the other side's
certificate and name; TLS without that keeps out nobody who can answer first. Must never: repeat a
URL, or what a library says of one that it cannot read, which quotes it: there is a password in it.
"""

from collections.abc import Mapping
from typing import NamedTuple
from urllib.parse import SplitResult, parse_qs, unquote, urlsplit

from rtchat.addresses import of_this_machine
from rtchat.config import Config

ESCAPE = "escape / ? # @ [ in the password (as %2F %3F %23 %40 %5B)"
_POSTGRES = ("postgresql", "postgres")
_REDIS = ("redis", "rediss", "unix")


class Place(NamedTuple):
    """Where a URL of PostgreSQL leads: what of it may be shown."""

    hosts: str  # with their ports; empty: the options, or PostgreSQL's variables, name them
    path: str


def unreadable(config: Config) -> list[str]:
    """Say of each URL that cannot be read which it is, and how to mend it."""
    urls = {"RTCHAT_DATABASE_URL": config.database_url, "RTCHAT_MIGRATE_URL": config.migrate_url}
    mends = [
        f"{name} cannot be read; {ESCAPE}: postgresql://user:password@host:5432/rtchat"
        for name, url in urls.items()
        if url and place(url) is None
    ]
    if not all(map(_redis_is_whole, config.redis_nodes)):
        mends.append(
            f"RTCHAT_REDIS_URLS cannot be read; {ESCAPE}: redis://:password@host:6379, rediss://…"
            " for TLS; several by commas"
        )
    return mends


def place(url: str) -> Place | None:
    """Where a URL of PostgreSQL leads; None: it cannot be read, or not as it was meant.

    A character of the password that is not escaped ends the host too early, and what is behind it
    would be taken for a path, an option or another host: so no @ may be left there.
    """
    parts = _split(url, _POSTGRES)
    if parts is None or "@" in parts.path:
        return None
    try:
        parse_qs(parts.query, strict_parsing=bool(parts.query))
    except ValueError:
        return None
    hosts = parts.netloc.rpartition("@")[2]
    if hosts and not all(one and _has_port(one) for one in hosts.split(",")):
        return None
    return Place(hosts, parts.path)


def _redis_is_whole(url: str) -> bool:
    parts = _split(url, _REDIS)
    if parts is None:
        return False
    if parts.scheme == "unix":  # unix://user:password@/path/of/the/socket
        return True
    return "@" not in parts.path and _has_port(parts.netloc.rpartition("@")[2])


def _split(url: str, schemes: tuple[str, ...]) -> SplitResult | None:
    try:
        url.encode()
        parts = urlsplit(url)
    except ValueError:
        return None
    whole = parts.scheme in schemes and url.lstrip().lower().startswith(f"{parts.scheme}://")
    cut = parts.fragment or parts.netloc.count("@") > 1
    cut = cut or ("@" in parts.query and "@" not in parts.netloc)
    return parts if whole and not cut else None


def _has_port(spec: str) -> bool:
    """Whether what stands behind a host is a port, or nothing does."""
    behind = spec.partition("]")[2] if spec.startswith("[") else spec
    port = behind.partition(":")[2]
    return not port or (port.isascii() and port.isdigit() and len(port) < 6 and int(port) < 65536)


def exposed(config: Config, environ: Mapping[str, str]) -> list[str]:
    """Say, for each link on which somebody could listen or answer in its place, how to mend it.

    `environ` has the variables that PostgreSQL's clients read (PGHOST, PGSSLMODE).
    """
    mends = unreadable(config)
    if mends:
        return mends
    urls = {"RTCHAT_DATABASE_URL": config.database_url, "RTCHAT_MIGRATE_URL": config.migrate_url}
    for name, url in urls.items():
        if url and not _postgres_is_safe(url, environ):
            mends.append(
                f"{name} leads to another machine without verified TLS; add"
                " ?sslmode=verify-full&sslrootcert=/path/to/ca.pem"
            )
    if not all(_redis_is_safe(url) for url in config.redis_nodes):
        mends.append(
            "RTCHAT_REDIS_URLS leads to another machine without verified TLS; use"
            " rediss://host:port?ssl_ca_certs=/path/to/ca.pem"
        )
    return mends


def files(url: str) -> list[str]:
    """The files that a PostgreSQL URL names: certificates, and a key. None of one that cannot be
    read."""
    if place(url) is None:
        return []
    options = parse_qs(urlsplit(url).query)
    named = ("sslrootcert", "sslcert", "sslkey", "sslcrl")
    return [options[name][-1] for name in named if name in options]


def _postgres_is_safe(url: str, environ: Mapping[str, str]) -> bool:
    """As asyncpg reads the URL: several hosts by commas, and options that win over them."""
    parts = urlsplit(url)
    options = {key: values[-1] for key, values in parse_qs(parts.query).items()}
    hosts = parts.netloc.rpartition("@")[2] or options.get("host") or environ.get("PGHOST") or ""
    mode = options.get("sslmode") or environ.get("PGSSLMODE") or ""
    elsewhere = "service" in options or "PGSERVICE" in environ  # a file names the host
    local = not elsewhere and all(_is_local(_host(h)) for h in hosts.split(","))
    return local or mode.replace("_", "-") == "verify-full"


def _redis_is_safe(url: str) -> bool:
    """As redis-py reads it."""
    parts = urlsplit(url)
    options = {key: values[-1].lower() for key, values in parse_qs(parts.query).items()}
    host = _host(parts.netloc.rpartition("@")[2]) or options.get("host", "")
    if parts.scheme == "unix" or _is_local(host):
        return True
    verified = options.get("ssl_cert_reqs", "required") == "required"
    named = options.get("ssl_check_hostname", "true") not in ("false", "0", "no", "n", "f")
    return parts.scheme == "rediss" and verified and named


def _host(spec: str) -> str:
    """The host of `host:port`, of `[::1]:port`, or of a socket's path."""
    spec = unquote(spec)
    if spec.startswith("["):
        return spec[1:].partition("]")[0]
    return spec if spec.startswith("/") else spec.partition(":")[0]


def _is_local(host: str) -> bool:
    return not host or host.startswith("/") or of_this_machine(host)
