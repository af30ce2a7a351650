"""`rtchat doctor`: everything that a server needs, looked at in one go.

Owns: which looks there are, in the order in which one would mend what they find. Each is bounded by
itself, so the whole is: some 30 s where nothing answers.
"""

import logging
from collections.abc import Iterator, Mapping
from contextlib import contextmanager

from rtchat import settings
from rtchat.config import Config
from rtchat.operate import machine, postgres, redis, secrets
from rtchat.operate.finding import Finding, origin, wrong


def examine(config: Config, sources: Mapping[str, str]) -> Iterator[Finding]:
    """Look at one thing after the other; each finding as soon as it is there."""
    workers = settings.worker_count(config)
    with _quiet():
        yield from secrets.examine(config, sources, workers)
        if config.database_url:
            source = origin("database_url", sources)
            yield from postgres.examine(config, source, workers)
        else:
            mend = "RTCHAT_DATABASE_URL=postgresql://user:password@host:5432/rtchat"
            yield wrong("postgresql", "no database is named", "RTCHAT_DATABASE_URL", mend)
        yield from redis.examine(config, origin("redis_urls", sources))
        yield from machine.examine(config, workers)


def unreadable(reason: str) -> Finding:
    """Where the settings cannot be read, nothing else can be looked at."""
    return wrong("settings", reason, "RTCHAT_… variables and files", "see docs/settings.md")


@contextmanager
def _quiet() -> Iterator[None]:
    """Log nothing meanwhile: the parts that are tried speak of each failure, as findings do."""
    before = logging.root.manager.disable
    logging.disable(logging.CRITICAL)
    try:
        yield
    finally:
        logging.disable(before)
