"""Reading the settings: from the command line, variables and files, and what is said of mistakes.

Owns: where values come from. A setting `name` of `config` is read from the variable `RTCHAT_NAME`,
or from the file that `RTCHAT_NAME_FILE` names (secrets mounted by Docker or Kubernetes). A variable
that begins with `RTCHAT_` and is no setting is an error, so that a slip of the pen cannot leave a
limit at its default. Must never: say a secret's value. Nothing here outlives the start.
"""

import difflib
import os
import stat
from collections.abc import Mapping
from pathlib import Path
from typing import Any, get_type_hints

import msgspec
from msgspec import Meta

from rtchat import links
from rtchat.config import Config, ConfigError
from rtchat.providers import providers_of

PORT_MAX = 65_535
SECRET_MIN_BYTES = 32  # a key for HS256 (RFC 7518 §3.2)
# Words of sample secrets, ours and those that people copy from tutorials.
SAMPLE_SECRETS = ("changeme", "change-me", "change_me", "secret-key", "your-secret", "example")

# Names that begin with RTCHAT_ but are read by tools and tests, not by the server.
OTHER_VARIABLES = ("RTCHAT_PG_BIN", "RTCHAT_REDIS_BIN")
OTHER_PREFIXES = ("RTCHAT_TEST_", "RTCHAT_BENCH_")

CGROUP_CPU = Path("/sys/fs/cgroup/cpu.max")  # "200000 100000": two cores' worth of time

PREFIX = "RTCHAT_"
_HINTS = get_type_hints(Config, include_extras=True)
NAMES = tuple(Config.__struct_fields__)


def meta(name: str) -> Meta:
    """The unit, limits and words of setting `name`."""
    found: Meta = _HINTS[name].__metadata__[0]
    return found


def is_secret(name: str) -> bool:
    """Whether the value of setting `name` must not be shown."""
    return bool((meta(name).extra or {}).get("secret"))


def describe(name: str) -> str:
    """Say what setting `name` means, its limits and its default, in one line."""
    about = meta(name)
    text = about.description or ""
    if about.ge is not None:
        text += f" ({about.ge} to {about.le})"
    default = getattr(Config(), name)
    return f"{text}; default {default!r}" if not is_secret(name) else text


def load(environ: Mapping[str, str] | None = None, **given: Any) -> tuple[Config, dict[str, str]]:
    """Read the settings: `given` (from the command line) over `environ` over the defaults.

    Returns them with where each value came from. Raises ConfigError.
    """
    environ = os.environ if environ is None else environ
    _refuse_unknown(environ)
    values: dict[str, Any] = {}
    sources = dict.fromkeys(NAMES, "default")
    for name in NAMES:
        variable = PREFIX + name.upper()
        if given.get(name) is not None:
            values[name], sources[name] = given[name], "command line"
        elif variable in environ:
            if f"{variable}_FILE" in environ:
                raise ConfigError(f"both {variable} and {variable}_FILE are set; leave one out")
            values[name], sources[name] = environ[variable], variable
        elif f"{variable}_FILE" in environ:
            path = environ[f"{variable}_FILE"]
            values[name], sources[name] = _read(f"{variable}_FILE", path), path
    config = _convert(values, sources)
    providers_of(config)  # what is wrong with them is said now, not at somebody's sign-in
    return config, sources


def _convert(values: dict[str, Any], sources: dict[str, str]) -> Config:
    for name, value in values.items():  # one at a time: the message can then name the variable
        try:
            values[name] = msgspec.convert(value, _HINTS[name], strict=False)
        except msgspec.ValidationError as error:
            shown = "" if is_secret(name) else f" is {value!r}"
            raise ConfigError(
                f"{PREFIX}{name.upper()}{shown} (from {sources[name]}): {error}. "
                f"It means: {meta(name).description}"
            ) from None
    return Config(**values)


def open_to_all(environ: Mapping[str, str] | None = None) -> list[str]:
    """The files of secrets that every account of this machine may read."""
    environ = os.environ if environ is None else environ
    variables = (f"{PREFIX}{name.upper()}_FILE" for name in NAMES if is_secret(name))
    paths = [environ[variable] for variable in variables if variable in environ]
    return [path for path in paths if Path(path).stat().st_mode & stat.S_IROTH]


def _read(variable: str, path: str) -> str:
    if not path:
        raise ConfigError(f"{variable} is empty; name a file, or leave it out")
    try:
        return Path(path).read_text().strip()
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"{variable} names {path}, which cannot be read: {error}") from None


def _refuse_unknown(environ: Mapping[str, str]) -> None:
    known = {PREFIX + name.upper() for name in NAMES}
    known |= {f"{name}_FILE" for name in known} | set(OTHER_VARIABLES)
    for variable in environ:
        if not variable.startswith(PREFIX) or variable.startswith(OTHER_PREFIXES):
            continue
        if variable not in known:
            by_words = {_words(name): name for name in known}
            near = difflib.get_close_matches(_words(variable), by_words, n=1, cutoff=0.4)
            hint = f"; did you mean {by_words[near[0]]}?" if near else ""
            raise ConfigError(f"{variable} is not a setting of rtchat{hint}")


def _words(variable: str) -> str:
    """A variable's words in one order: MAX_SUBS is SUBS_MAX, and the prefix is no likeness."""
    return "_".join(sorted(variable.removeprefix(PREFIX).split("_")))


def worker_count(config: Config) -> int:
    """How many workers are asked for; 0 stands for the cores that this process may use."""
    return config.workers or usable_cores()


def usable_cores(limit: Path = CGROUP_CPU) -> int:
    """Count the cores that we may run on; of a container's limit, whole ones."""
    if hasattr(os, "sched_getaffinity"):
        cores = len(os.sched_getaffinity(0))
    else:
        cores = os.cpu_count() or 1
    try:
        quota, period = limit.read_text().split()
    except (OSError, ValueError):  # no Linux, no limit, or an old kernel's way of saying it
        return cores
    return cores if quota == "max" else max(1, min(cores, int(quota) // int(period)))


def require_production(config: Config, workers: int = 1) -> None:
    """Raise ConfigError unless `config` is complete and safe enough for `rtchat serve`."""
    if not config.database_url:
        raise ConfigError(
            "RTCHAT_DATABASE_URL is not set. It names the database: "
            "postgresql://user:password@host:5432/rtchat (to try rtchat out: rtchat dev)"
        )
    if mends := links.unreadable(config):  # first: others would speak of what cannot be read
        raise ConfigError("; ".join(mends))
    require_ports(config, workers)
    require_secret(config.secret_key)
    for path in links.files(config.database_url):
        _read("RTCHAT_DATABASE_URL", path)
    require_tls(config)
    for old in config.old_secrets:
        require_secret(old, "SECRET_KEYS_OLD")
    if workers > 1 and not config.redis_nodes:
        raise ConfigError(
            f"{workers} workers need Redis or Valkey between them, and RTCHAT_REDIS_URLS is not"
            " set. Set it (redis://host:6379), or serve with one: --workers 1"
            " (to try several out: rtchat dev --workers 2)"
        )


def require_ports(config: Config, workers: int) -> None:
    """Raise ConfigError unless each of so many workers can have its internal port."""
    if not config.internal_port:
        return
    last = config.internal_port + workers - 1
    if last > PORT_MAX or config.internal_port <= config.port <= last:
        raise ConfigError(
            f"RTCHAT_INTERNAL_PORT is {config.internal_port}, and {workers} worker(s) have one"
            f" each, up to {last}: at most {PORT_MAX}, and none of them RTCHAT_PORT ({config.port})"
        )


def require_tls(config: Config) -> None:
    """Raise ConfigError where somebody could listen to, or pass for, PostgreSQL or Redis."""
    if config.tls_required and (mends := links.exposed(config, os.environ)):
        raise ConfigError(
            f"{'; '.join(mends)}; or, where the network between them is trusted: "
            "RTCHAT_TLS_REQUIRED=0"
        )


def require_secret(secret: str, name: str = "SECRET_KEY") -> None:
    """Raise ConfigError unless `secret` can sign tokens: long enough, varied, no sample."""
    mend = "make one with: rtchat key new --alg HS256"
    if not secret:
        raise ConfigError(f"RTCHAT_{name} (or RTCHAT_{name}_FILE) is not set; {mend}")
    if len(secret.encode()) < SECRET_MIN_BYTES or len(set(secret)) < 8:
        raise ConfigError(
            f"RTCHAT_{name} is too easy to guess: "
            f"it needs {SECRET_MIN_BYTES} random bytes or more; {mend}"
        )
    if any(sample in secret.lower() for sample in SAMPLE_SECRETS):
        raise ConfigError(f"RTCHAT_{name} is a sample value; {mend}")
