"""Settings: where they come from, what is refused and how it is said, and how they relate."""

from pathlib import Path

import pytest

from rtchat.config import (
    NAMES,
    PREFIX,
    SAMPLE_SECRETS,
    Config,
    ConfigError,
    describe,
    is_secret,
    load,
    meta,
    require_production,
    require_secret,
)

GOOD_SECRET = "kM3vX9qLr7TzWb2NfYh8sJc5DgPa4Eu6"
NUMBERS = [name for name in NAMES if isinstance(getattr(Config(), name), int)]
TEXTS = [name for name in NAMES if isinstance(getattr(Config(), name), str)]
UNITS = ("_ms", "_s", "_bytes", "_chars", "_rows", "_members", "_max", "_per_second")


def config(**environ: str) -> Config:
    """The settings that these variables make; names without their prefix."""
    return load({PREFIX + name.upper(): value for name, value in environ.items()})[0]


def refusal(**environ: str) -> str:
    """What is said of these variables."""
    with pytest.raises(ConfigError) as caught:
        config(**environ)
    return str(caught.value)


# --- where they come from


def test_without_anything_every_setting_has_its_default():
    made, sources = load({})
    assert made == Config()
    assert set(sources.values()) == {"default"}
    assert sources.keys() == set(NAMES)


def test_a_setting_is_read_from_its_variable():
    made, sources = load({"RTCHAT_PORT": "9000", "PATH": "/bin", "RTCHATTER": "x"})
    assert made.port == 9000
    assert (sources["port"], sources["host"]) == ("RTCHAT_PORT", "default")


def test_the_command_line_comes_first():
    made, sources = load({"RTCHAT_PORT": "9000"}, port=9001, host=None)
    assert (made.port, made.host) == (9001, Config().host)
    assert (sources["port"], sources["host"]) == ("command line", "default")


def test_a_setting_is_read_from_the_file_that_its_variable_names(tmp_path: Path):
    """As Docker and Kubernetes mount secrets."""
    file = tmp_path / "secret"
    file.write_text(f"{GOOD_SECRET}\n")
    made, sources = load({"RTCHAT_SECRET_KEY_FILE": str(file)})
    assert made.secret_key == GOOD_SECRET
    assert sources["secret_key"] == str(file)


def test_a_variable_and_its_file_cannot_both_be_given(tmp_path: Path):
    said = refusal(port="9000", port_file=str(tmp_path / "port"))
    assert "both RTCHAT_PORT and RTCHAT_PORT_FILE" in said


@pytest.mark.parametrize("content", [None, b"\xff\xfe"])
def test_a_file_that_cannot_be_read_is_named(tmp_path: Path, content: bytes | None):
    file = tmp_path / "port"
    if content is not None:
        file.write_bytes(content)
    said = refusal(port_file=str(file))
    assert "RTCHAT_PORT_FILE" in said
    assert str(file) in said


@pytest.mark.parametrize(
    ("variable", "nearest"),
    [
        ("portt", "RTCHAT_PORT"),
        ("max_subs", "RTCHAT_SUBS_MAX"),
        ("secret", "RTCHAT_SECRET_KEY"),
        ("secret_key_fil", "RTCHAT_SECRET_KEY_FILE"),
        ("database_uri", "RTCHAT_DATABASE_URL"),
    ],
)
def test_an_unknown_variable_names_the_nearest_setting(variable: str, nearest: str):
    """So that a slip of the pen cannot leave a limit at its default."""
    said = refusal(**{variable: "1"})
    assert said == f"RTCHAT_{variable.upper()} is not a setting of rtchat; did you mean {nearest}?"


def test_an_unknown_variable_without_a_value_is_refused_too():
    assert "RTCHAT_ZZZZ is not a setting" in refusal(zzzz="")


@pytest.mark.parametrize("variable", ["PG_BIN", "REDIS_BIN", "TEST_DATABASE_URL", "BENCH_ANYTHING"])
def test_variables_of_tools_and_tests_are_let_be(variable: str):
    assert config(**{variable: "x"}) == Config()


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
    assert PREFIX + name.upper() in refusal(**{name: "x" * 4097})


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
        "port", "bcrypt_cost", "lanes", "lock_skips", "statement_cache", "bus_shards",
        "password_threads", "password_queue", "sends_burst", "sends_in_flight", "errors_burst",
        "redis_cluster", "connections_per_address", "connections_per_user",
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


# --- secrets

SECRETS = {"database_url", "internal_token", "migrate_url", "redis_urls", "secret_key"}


def test_what_may_hold_a_password_is_a_secret():
    assert {name for name in NAMES if is_secret(name)} == SECRETS


@pytest.mark.parametrize("name", sorted(SECRETS))
def test_a_secrets_value_is_never_said(name: str):
    said = refusal(**{name: "hunter2" * 1000})
    assert PREFIX + name.upper() in said
    assert "hunter2" not in said
    assert "default" not in describe(name)


def test_a_good_secret_is_taken():
    require_secret(GOOD_SECRET)


@pytest.mark.parametrize(
    ("secret", "words"),
    [
        ("", "not set"),
        ("short-9aB", "too easy to guess"),
        (GOOD_SECRET[:31], "too easy to guess"),
        ("ab" * 32, "too easy to guess"),
        *[(f"{GOOD_SECRET}{word.upper()}", "sample value") for word in SAMPLE_SECRETS],
        ("Your-Secret-Key-Here-0123456789abcdef", "sample value"),
    ],
)
def test_a_secret_that_others_know_or_guess_is_refused(secret: str, words: str):
    """The text says how to make a good one, and does not repeat the bad one."""
    with pytest.raises(ConfigError, match=words) as caught:
        require_secret(secret)
    assert "secrets.token_urlsafe" in str(caught.value)
    assert not secret or secret not in str(caught.value)


def test_production_needs_a_database_and_a_secret():
    with pytest.raises(ConfigError, match="RTCHAT_DATABASE_URL"):
        require_production(Config(secret_key=GOOD_SECRET))
    with pytest.raises(ConfigError, match="RTCHAT_SECRET_KEY"):
        require_production(Config(database_url="postgresql://db/rtchat"))
    require_production(Config(database_url="postgresql://db/rtchat", secret_key=GOOD_SECRET))


# --- lists


def test_lists_are_separated_by_commas():
    made = config(
        redis_urls="redis://a:1, redis://b:2,,", origins="https://a.example/ ,https://b.example"
    )
    assert made.redis_nodes == ["redis://a:1", "redis://b:2"]
    assert made.origin_list == {"https://a.example", "https://b.example"}
    assert (Config().redis_nodes, Config().origin_list) == ([], frozenset())
