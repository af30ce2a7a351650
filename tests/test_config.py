"""Settings: each has its words and limits, and they fit together."""

import pytest

from rtchat.config import Config
from rtchat.config.sign_in import PEM_MAX_CHARS
from rtchat.settings import NAMES, PREFIX, describe, meta
from tests.test_settings import config, refusal

NUMBERS = [name for name in NAMES if isinstance(getattr(Config(), name), int)]
TEXTS = [name for name in NAMES if isinstance(getattr(Config(), name), str)]
UNITS = (
    "_ms", "_s", "_bytes", "_chars", "_rows", "_members", "_max", "_per_second", "_per_minute",
)  # fmt: skip


# --- limits


@pytest.mark.parametrize("name", NAMES)
def test_a_setting_says_what_it_means(name: str):
    words = meta(name).description
    assert words
    assert words in describe(name)


@pytest.mark.parametrize("name", NUMBERS)
def test_a_number_has_limits_its_default_is_within_them_and_it_is_refused_beyond(name: str):
    low, high = meta(name).ge, meta(name).le
    assert low is not None
    assert high is not None
    assert 0 <= low <= getattr(Config(), name) <= high
    assert f"({low} to {high}); default {getattr(Config(), name)!r}" in describe(name)
    for value in (int(low) - 1, int(high) + 1, 1.5, "x", "", "1e3x"):
        said = refusal(**{name: str(value)})
        assert said.startswith(f"{PREFIX}{name.upper()} is {str(value)!r} (from ")
        assert str(meta(name).description) in said


@pytest.mark.parametrize("name", TEXTS)
def test_a_text_is_bounded(name: str):
    assert PREFIX + name.upper() in refusal(**{name: "x" * (PEM_MAX_CHARS + 1)})


@pytest.mark.parametrize(
    ("name", "value"),
    [("log_level", "loud"), ("log_format", "xml"), ("bus_prefix", "a b"), ("bus_prefix", "{x}")],
)
def test_a_word_is_one_of_those_allowed(name: str, value: str):
    assert f"{PREFIX}{name.upper()} is {value!r}" in refusal(**{name: value})


@pytest.mark.parametrize("name", ["subs_max", "sends_per_second", "errors_per_second"])
def test_a_limit_of_rate_or_number_is_switched_off_by_0(name: str):
    """Contract §1.6."""
    assert getattr(config(**{name: "0"}), name) == 0


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("content_max_chars", 4000),
        ("frame_max_bytes", 65_536),
        ("subs_max", 1000),
        ("sends_per_second", 20),
        ("heartbeat_s", 25),
        ("auth_deadline_ms", 5000),
        ("expiring_s", 60),
        ("dm_max_members", 10),
        ("body_drain_bytes", 4 * 2**20),
    ],
)
def test_defaults_are_the_contracts_numbers(name: str, value: int):
    assert getattr(Config(), name) == value


def test_names_of_quantities_end_with_their_unit():
    """All but plain counts."""
    counts = {
        "port", "internal_port", "bcrypt_cost", "lanes", "lock_skips", "statement_cache",
        "bus_shards", "password_threads", "password_queue", "sends_burst", "sends_in_flight",
        "errors_burst",
        "redis_cluster", "connections_per_address", "connections_per_user", "workers",
        "cache_connections", "cache_local_percent", "sessions_per_user", "sockets_per_address",
        "tls_required", "user_sends_factor", "trace_one_in", "ephemerals_burst", "presence",
    }  # fmt: skip
    assert {name for name in NUMBERS if not name.endswith(UNITS)} == counts


# --- relations


@pytest.mark.parametrize(
    ("environ", "relation"),
    [
        ({"write_low_bytes": "262144"}, "write_low_bytes < write_high_bytes"),
        ({"frame_max_bytes": "49023"}, "12 * content_max_chars + 1024 <= frame_max_bytes"),
        ({"body_max_bytes": "49023"}, "12 * content_max_chars + 1024 <= body_max_bytes"),
        ({"queue_max_bytes": "1048575"}, "batch_max_bytes <= queue_max_bytes"),
        ({"expiring_s": "600", "access_token_s": "600"}, "expiring_s < access_token_s"),
        ({"lock_wait_ms": "10000"}, "lock_wait_ms < write_timeout_ms"),
        ({"drain_s": "22"}, "drain_s + 7 <= shutdown_s"),
        ({"internal_token": "fifteen letters"}, "internal_token"),
        ({"redis_cluster": "1"}, "redis_cluster needs redis_urls"),
    ],
)
def test_settings_fit_together(environ: dict[str, str], relation: str):
    said = refusal(**environ)
    assert "do not fit together" in said
    assert relation in said


@pytest.mark.parametrize(
    "environ",
    [
        {"write_low_bytes": "262143"},
        {"frame_max_bytes": "49024"},
        {"queue_max_bytes": "1048576"},
        {"access_token_s": "30"},
        {"lock_wait_ms": "9999"},
        {"drain_s": "21"},
        {"drain_s": "0", "shutdown_s": "7"},
        {"internal_token": "sixteen letters!"},
    ],
)
def test_settings_that_just_fit_are_taken(environ: dict[str, str]):
    config(**environ)


# --- lists


def test_lists_are_separated_by_commas():
    made = config(
        redis_urls="redis://a:1, redis://b:2,,", origins="https://a.example/ ,https://b.example"
    )
    assert made.redis_nodes == ["redis://a:1", "redis://b:2"]
    assert made.origin_list == {"https://a.example", "https://b.example"}
    assert (Config().redis_nodes, Config().origin_list) == ([], frozenset())
