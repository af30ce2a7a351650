"""`rtchat doctor` on PostgreSQL: is it there, new enough, migrated, durable, ours, large enough?

Owns: the look (bounded by `WITHIN_S`) and what it means. Must never: change anything, or show the
password in the URL.
"""

import asyncio
import time

from rtchat import links
from rtchat.config import Config
from rtchat.errors import StartError
from rtchat.operate.finding import Finding, away, ok, warn, wrong
from rtchat.store import migrate, once, privileges
from rtchat.store.condition import Condition, look
from rtchat.store.database import UNAVAILABLE
from rtchat.store.epoch import SCHEMA

WITHIN_S = 5.0  # to connect; and for all questions together
OLDEST = 15
SKEW_S = 2.0  # from here on times of tokens and sessions visibly disagree
PROBES = 1  # a connection of its own, now and then, to look at the settings


def place(url: str) -> str:
    """Where a URL leads: host, port and name, never the user's password, nor a piece of it."""
    found = links.place(url)
    if found is None or "@" in url.partition("?")[2]:  # the end of a password, perhaps
        return "a URL that cannot be read"
    hosts = found.hosts or "the host that its options or PGHOST name, "
    return f"{hosts}{found.path}".removesuffix(", ")


def examine(config: Config, source: str, workers: int, within_s: float = WITHIN_S) -> list[Finding]:
    """Look, and say what was found; `source`: where the URL came from."""
    began = time.monotonic()
    try:
        seen = asyncio.run(_look(config.database_url, within_s))
    except once.UrlError as error:
        mend = "correct the URL: postgresql://user:password@host:5432/name"
        return [wrong("postgresql", str(error), source, mend)]
    except StartError as error:
        mend = (
            "start it, or correct the URL: host, port, user, password, name of the database;"
            " from this machine, `psql` with the same URL must connect"
        )
        return [away("postgresql", f"{place(config.database_url)}: {error}", source, mend)]
    took_ms = (time.monotonic() - began) * 1000
    return judge(seen, config, place(config.database_url), source, workers, took_ms)


async def _look(url: str, within_s: float) -> Condition:
    async with once.connected(url, within_s) as connection:
        try:
            async with asyncio.timeout(within_s):
                return await look(connection)
        except UNAVAILABLE as error:
            raise StartError(f"looking at it failed: {once.said(error)}") from error


def judge(
    seen: Condition, config: Config, where: str, source: str, workers: int, took_ms: float
) -> list[Finding]:
    """What was seen, thing by thing. Pure."""
    return [
        _version(seen, where, source, took_ms),
        *_standing(seen, where),
        _schema(seen, where),
        *_durability(seen, where),
        *_rights(seen, where),
        _room(seen, config, where, workers),
        _clock(seen, config, where),
    ]


def _version(seen: Condition, where: str, source: str, took_ms: float) -> Finding:
    words = f"{where}: PostgreSQL {seen.shown_version}"
    if seen.version < OLDEST * 10_000:
        mend = f"upgrade it: the statements are written for PostgreSQL {OLDEST} and newer"
        return away("postgresql", f"{words}, too old", source, mend)
    return ok("postgresql", f"{words}, seen in {took_ms:.0f} ms", source)


def _standing(seen: Condition, where: str) -> list[Finding]:
    """What no setting of ours can make good."""
    found = []
    if seen.replica or seen.read_only:
        what = "a replica" if seen.replica else "read-only"
        mend = "let RTCHAT_DATABASE_URL lead to the primary, and the role's default be read-write"
        found.append(away("writable", f"it is {what}", where, mend))
    if seen.encoding != "UTF8":
        mend = "make the database anew: CREATE DATABASE … ENCODING 'UTF8' TEMPLATE template0"
        found.append(away("encoding", f"{seen.encoding}: not every text fits", where, mend))
    return found


def _schema(seen: Condition, where: str) -> Finding:
    mend = "rtchat migrate (with --grant ROLE for the server's role)"
    steps = migrate.behind(seen.revision)
    table = f"alembic_version in {where}"
    if seen.revision is None and any(name == "alembic_version" for name, _ in seen.lacking):
        return away("migrations", f"the role {seen.role} may not look at them", table, mend)
    if seen.revision is None:
        return away("migrations", "there is no schema of rtchat's", table, mend)
    if steps is None:
        seen_words = f"schema {seen.revision} is of a newer rtchat than this one"
        return warn(
            "migrations", seen_words, table, "upgrade this rtchat, when the rollout is over"
        )
    if not steps:
        return ok("migrations", f"schema {seen.revision}, the newest", table)
    pending = "; ".join(f"{step.number} {step.words}" for step in steps)
    words = f"schema {seen.revision}; pending: {pending}"
    return (away if seen.revision < SCHEMA else warn)("migrations", words, table, mend)


def _durability(seen: Condition, where: str) -> list[Finding]:
    source = f"pg_settings, as {seen.role} at {where}"
    off = [name for name in ("fsync", "full_page_writes") if getattr(seen, name) == "off"]
    if off:
        mend = "switch it on in postgresql.conf and reload; until then no pod is ready"
        words = f"{' and '.join(off)} off: what was acknowledged may be lost in a crash"
        return [away("durability", words, source, mend)]
    if seen.synchronous_commit == "off":
        mend = "ALTER ROLE … RESET synchronous_commit, or ALTER DATABASE, or postgresql.conf"
        words = (
            "synchronous_commit off: messages are safe (rtchat sets it for them), sign-outs and"
            " new passwords of the last moment may be lost in a crash"
        )
        return [warn("durability", words, source, mend)]
    shown = f"fsync on, full_page_writes on, synchronous_commit {seen.synchronous_commit}"
    return [ok("durability", shown, source)]


def _rights(seen: Condition, where: str) -> list[Finding]:
    source = f"role {seen.role} at {where}"
    grant = f"as the role that owns the schema: rtchat migrate --grant {seen.role}"
    if seen.revision is None and not seen.lacking:
        return []  # without tables there is nothing to have rights on
    if seen.lacking:
        words = f"lacks {privileges.spoken(seen.lacking)}"
        return [away("privileges", words, source, grant)]
    if seen.excess:
        mend = "serve as another role: CREATE ROLE … LOGIN; rtchat migrate --grant it"
        words = f"{' and '.join(seen.excess)}: more than a server needs"
        return [warn("privileges", words, source, mend)]
    return [ok("privileges", "what the server needs, and no more", source)]


def _room(seen: Condition, config: Config, where: str, workers: int) -> Finding:
    each = config.lanes + config.pool_max + PROBES
    needed = each * workers
    limits = [seen.max_connections - seen.reserved, seen.role_limit, seen.database_limit]
    fits = min(limit for limit in limits if limit >= 0)
    source = f"max_connections and the limits of role and database, at {where}"
    of = f"{workers} × ({config.lanes} lanes + {config.pool_max} pool + {PROBES})"
    words = f"a pod opens up to {needed} connections ({of}); {fits} are allowed"
    mend = "raise max_connections, lower RTCHAT_POOL_MAX or RTCHAT_LANES, or put a pooler between"
    if needed > fits:
        return wrong("connections", words, source, mend)
    words += f", {seen.connected} are open; {fits // needed} such pods fit"
    if needed > fits - seen.connected:
        return warn("connections", f"{words}, if these are pods of rtchat", source, mend)
    return ok("connections", words, source)


def _clock(seen: Condition, config: Config, where: str) -> Finding:
    skew = abs(seen.skew_s)
    ahead = "ahead of" if seen.skew_s > 0 else "behind"
    words = f"its clock is {skew:.3f} s {ahead} this machine's, give or take {seen.within_s:.3f}"
    source = f"clock_timestamp() at {where}, and this machine"
    mend = "keep both by NTP (chrony, systemd-timesyncd); pods' clocks decide when tokens end"
    if skew - seen.within_s > config.token_leeway_s:
        return away("clock", f"{words}: beyond RTCHAT_TOKEN_LEEWAY_S", source, mend)
    if skew - seen.within_s > SKEW_S:
        return warn("clock", words, source, mend)
    return ok("clock", words, source)
