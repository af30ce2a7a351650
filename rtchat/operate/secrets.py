"""`rtchat doctor` on the settings themselves: secrets, keys, links without TLS, files.

Owns: what of the settings can be judged without asking anybody. Must never: show a secret.
"""

import os
from collections.abc import Mapping

from rtchat import links, settings
from rtchat.auth.keys import KeyRing
from rtchat.config import Config, ConfigError
from rtchat.errors import StartError
from rtchat.operate.finding import Finding, ok, origin, warn, wrong

NEW_SECRET = "rtchat key new --alg HS256, in a file of mode 0400 named by RTCHAT_SECRET_KEY_FILE"  # noqa: S105


def examine(config: Config, sources: Mapping[str, str], workers: int) -> list[Finding]:
    """Look, and say what was found."""
    set_here = sum(source != "default" for source in sources.values())
    of = f"{set_here} of {len(sources)} set, the rest as delivered"
    return [
        ok("settings", of, "RTCHAT_… variables and files (rtchat config)"),
        _secret(config, sources),
        *_keys(config),
        *_files(),
        _links(config),
        _operators(config, sources, workers),
        *_workers(config, workers),
    ]


def _secret(config: Config, sources: Mapping[str, str]) -> Finding:
    source = origin("secret_key", sources)
    try:
        settings.require_secret(config.secret_key)
        for old in config.old_secrets:
            settings.require_secret(old, "SECRET_KEYS_OLD")
    except ConfigError as error:
        said = str(error).partition(";")[0]
        return wrong("secret", said, source, NEW_SECRET)
    words = f"{len(config.secret_key.encode())} bytes"
    if config.old_secrets:
        words += f", and {len(config.old_secrets)} old ones that are still believed"
    return ok("secret", words, source)


def _keys(config: Config) -> list[Finding]:
    source = "RTCHAT_SIGNING_KEY, RTCHAT_VERIFICATION_KEYS, RTCHAT_SECRET_KEY"
    try:
        ring = KeyRing(config)
    except StartError as error:
        if not config.signing_key and not config.verification_keys:
            return []  # of the secret that was told already
        return [wrong("keys", str(error), source, "rtchat key new")]
    signing = ring.signing
    words = f"{signing.algorithm} signs, key {signing.kid}; {len(ring.kids)} are believed"
    return [ok("keys", words, source)]


def _files() -> list[Finding]:
    """The files of secrets, and those of certificates."""
    paths = settings.open_to_all()
    if paths:
        source = ", ".join(paths)
        words = f"{len(paths)} file(s) of secrets that everybody here may read"
        return [warn("secret files", words, source, f"chmod 400 {' '.join(paths)}")]
    return [ok("secret files", "none that everybody here may read", "RTCHAT_…_FILE")]


def _links(config: Config) -> Finding:
    source = "RTCHAT_DATABASE_URL, RTCHAT_MIGRATE_URL, RTCHAT_REDIS_URLS, RTCHAT_TLS_REQUIRED"
    if unreadable := links.unreadable(config):
        return wrong("tls", "a URL that cannot be read", source, "; ".join(unreadable))
    mends = links.exposed(config, os.environ)
    for path in links.files(config.database_url):
        if not os.access(path, os.R_OK):
            words = f"{path}, which the database's URL names, cannot be read"
            return wrong("tls", words, source, "correct the path, or its mode and owner")
    if not mends:
        return ok("tls", "links to other machines, if there are any, are verified", source)
    words = "somebody in between could listen, or answer in the place of the other side"
    if config.tls_required:
        return wrong("tls", words, source, "; ".join(mends))
    return warn("tls", f"{words}; allowed by RTCHAT_TLS_REQUIRED=0", source, "; ".join(mends))


def _operators(config: Config, sources: Mapping[str, str], workers: int) -> Finding:
    source = origin("internal_token", sources)
    if not config.internal_token:
        words = "no token for operators: no /metrics, no rtchat stat, no rtchat drain"
        mend = "set RTCHAT_INTERNAL_TOKEN_FILE: 16 random characters or more"
        return warn("operators", words, source, mend)
    port = config.internal_port
    source = f"{source}, RTCHAT_INTERNAL_PORT"
    try:
        settings.require_ports(config, workers)
    except ConfigError as error:
        return wrong("operators", str(error), source, "set another RTCHAT_INTERNAL_PORT")
    if not port and workers > 1:
        words = (
            f"their paths are on the port of clients, and each call meets another of {workers}"
            " workers: no scrape and no rtchat stat shows them all"
        )
        return warn("operators", words, source, "RTCHAT_INTERNAL_PORT: a port for each worker")
    if not port:
        words = "their paths are on the port of clients"
        mend = "RTCHAT_INTERNAL_PORT, or keep the proxy from routing /metrics and /internal"
        return warn("operators", words, source, mend)
    return ok("operators", f"on port {port}, apart from clients", source)


def _workers(config: Config, workers: int) -> list[Finding]:
    if workers == 1 or config.redis_nodes:
        return []
    words = f"{workers} workers, and no Redis or Valkey between them"
    return [wrong("workers", words, "RTCHAT_WORKERS", "set RTCHAT_REDIS_URLS, or RTCHAT_WORKERS=1")]
