"""docs/limits.md: every limit of the configuration, whose it is, and what is answered there.

Owns: which settings stand together, and which numbers are no limits. The words are the settings'.
"""

import re
from pathlib import Path
from typing import Any

from rtchat.api.rates import RATES, Limited
from rtchat.api.routes import ROUTES
from rtchat.config import Config
from rtchat.errors import ERRORS, Code
from rtchat.reached import counted
from rtchat.settings import NAMES, PREFIX, meta
from tests.docs.sections import code, filled, row, table

# The setting with which each group begins, in the order of the list.
GROUPS = {
    "Sessions and passwords": "access_token_s",
    "Guessing": "account_failures_max",
    "Single sign-on": "sso_state_s",
    "Rates": "user_sends_factor",
    "Content": "content_max_chars",
    "HTTP": "body_max_bytes",
    "Connections": "connections_max",
    "WebSocket": "frame_max_bytes",
    "Clients that read slowly": "write_high_bytes",
    "What is ephemeral": "ephemeral_tick_ms",
    "Writing": "batch_max_rows",
    "The database": "pool_max",
    "Rooms": "reorder_ms",
    "Redis": "bus_queue_bytes",
    "Stopping": "drain_s",
}
# Numbers that nobody can exceed: what they set is chosen, not bounded.
CHOICES = frozenset({
    "token_leeway_s", "bcrypt_cost", "password_threads", "sso_metadata_s", "tls_required",
    "redis_cluster", "port", "internal_port", "workers", "hsts_s", "heartbeat_s", "expiring_s",
    "lanes", "head_check_ms", "bus_shards", "cache_local_percent", "drain_per_second",
    "trace_one_in", "ephemeral_tick_ms", "read_flush_ms", "presence", "presence_grace_s",
    "presence_beat_s",
})  # fmt: skip
PAGE = Path(__file__).parents[2] / "docs" / "limits.md"


def document() -> str:
    """The page."""
    return filled(PAGE, {"rates": rates, "operations": operations, "limits": limits})


def limits() -> str:
    """All but the rates, by group."""
    made = []
    for title, names in grouped().items():
        if title != "Rates":
            made.append(f"## {title}\n\n")
            made.append(table("setting", "default", "what", "whose", "at the limit", "metric"))
            made += [*map(_limit, names), "\n"]
    return "".join(made)


def grouped() -> dict[str, list[str]]:
    """The limits, by group."""
    titles = {first: title for title, first in GROUPS.items()}
    groups: dict[str, list[str]] = {title: [] for title in GROUPS}
    title = ""
    for name in NAMES:
        title = titles.get(name, title)
        if at(name):
            groups[title].append(name)
    return groups


def at(name: str) -> str:
    """What is answered at a setting's limit; empty: it is none."""
    found: str = (meta(name).extra or {}).get("at", "")
    return found


def errors_at(name: str) -> list[str]:
    """The error codes among that."""
    return re.findall(r"`(\w+)`", at(name))


def closes_at(name: str) -> list[int]:
    """The close codes among that."""
    return [int(number) for number in re.findall(r"close (\d+)", at(name))]


def _limit(name: str) -> str:
    about = meta(name)
    extra: dict[str, Any] = about.extra or {}
    what = re.split(r"; (?:beyond|else|the oldest go)\b", about.description or "")[0]
    default = f"{getattr(Config(), name):,}".replace(",", " ")
    setting = code(PREFIX + name.upper())
    return row(setting, default, what, extra["of"], _there(name), _metric(name))


def _metric(name: str) -> str:
    """Where what is told at the limit is counted."""
    return code(f'rtchat_limit_reached_total{{limit="{name}"}}') if name in counted() else "–"


def _there(name: str) -> str:
    """What happens, with the statuses of its codes."""

    def status(found: re.Match[str]) -> str:
        info = ERRORS[Code(found[1])]
        return f"{found[0]} ({431 if name == 'header_max_bytes' else info.status})"

    return re.sub(r"`(\w+)`", status, at(name))


# --- rates


def rates() -> str:
    """The table of rates, with the numbers of a new server."""
    made = table("what", "whose", "a second", "at once", "setting", "at the limit", "metric")
    return made + "".join(map(_rate, Limited))


def _rate(name: Limited) -> str:
    line = RATES[name]
    rate, first = line.rate(Config()), line.settings[0]
    whose = (meta(first).extra or {})["of"] + (", on all pods" if line.everywhere else "")
    settings = ", ".join(code(PREFIX + name.upper()) for name in line.settings)
    numbers = f"{rate.per_second:g}", str(int(rate.burst))
    return row(str(name), whose, *numbers, settings, _there(first), _metric(first))


def operations() -> str:
    """Which operations spend of which rate."""
    made = table("of the rate", "these take one")
    for name in Limited:
        ops = [
            code(f"{route.method} {route.template}")
            for route in ROUTES
            if name in (route.limit, *route.spends)
        ]
        ops += WEBSOCKET.get(name, [])
        assert ops, name
        made += row(str(name), ", ".join(ops))
    return made


# What spends besides operations of REST.
WEBSOCKET: dict[Limited, list[str]] = {
    Limited.OWN_SENDS: ["frames `send`, `edit`, `del`"],
    Limited.SENDS: ["frames `send`, `edit`, `del`"],
    Limited.SUBS: ["frame `sub`, for each channel in it"],
    Limited.USER_SUBS: ["frame `sub`, for each channel in it"],
    Limited.EPHEMERALS: ["frames `read`, `typing`"],
    Limited.CONNECTS: ["a handshake with a token, or a first `auth` frame"],
    Limited.ADDRESS_CONNECTS: ["a handshake"],
    Limited.FLOODS: ["a close with 4008 or 4009; a user who has none left may not connect"],
}
