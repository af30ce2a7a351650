"""Whether the ways to PostgreSQL and Redis are safe from whoever sits in between.

Pure. A link is safe where it stays on this machine (loopback, a Unix socket), or where TLS verifies
the other side's certificate and name; TLS without that keeps out nobody who can answer first.
Must never: repeat a URL, which has a password in it.
"""

from collections.abc import Mapping
from urllib.parse import parse_qs, unquote, urlsplit

from rtchat.addresses import of_this_machine
from rtchat.config import Config


def exposed(config: Config, environ: Mapping[str, str]) -> list[str]:
    """Say, for each link on which somebody could listen or answer in its place, how to mend it.

    `environ` has the variables that PostgreSQL's clients read (PGHOST, PGSSLMODE).
    """
    mends = []
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
    """The files that a PostgreSQL URL names: certificates, and a key."""
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
