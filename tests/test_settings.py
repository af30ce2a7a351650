"""Reading settings: where they come from, what is refused and how, and what stays secret."""

import os
from pathlib import Path

import pytest

from rtchat.config import Config, ConfigError
from rtchat.settings import (
    NAMES,
    PREFIX,
    SAMPLE_SECRETS,
    describe,
    is_secret,
    load,
    open_to_all,
    require_production,
    require_secret,
    usable_cores,
    worker_count,
)

GOOD_SECRET = "kM3vX9qLr7TzWb2NfYh8sJc5DgPa4Eu6"


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


# --- secrets

SECRETS = {
    "database_url", "google_client_secret", "internal_token", "microsoft_client_secret",
    "migrate_url", "oidc_providers", "redis_urls", "secret_key", "secret_keys_old", "signing_key",
    "verification_keys",
}  # fmt: skip


def test_what_may_hold_a_password_is_a_secret():
    assert {name for name in NAMES if is_secret(name)} == SECRETS


@pytest.mark.parametrize("name", sorted(SECRETS))
def test_a_secrets_value_is_never_said(name: str):
    said = refusal(**{name: "hunter2" * 10_000})
    assert PREFIX + name.upper() in said
    assert "hunter2" not in said
    assert "default" not in describe(name)


@pytest.mark.parametrize("name", sorted(SECRETS))
def test_every_secret_can_come_from_a_file(tmp_path: Path, name: str):
    """S-66: with the line's end that editors and `kubectl` leave, which is no part of it."""
    value = {"oidc_providers": "[]"}.get(name, "k9-of-32-bytes-or-more-0123456789")
    file = tmp_path / name
    file.write_text(f"{value}\r\n")
    client = name.replace("client_secret", "client_id")  # the one goes with the other
    also = {f"{PREFIX}{client.upper()}": "x", "RTCHAT_PUBLIC_URL": "https://chat.example"}
    environ = {f"{PREFIX}{name.upper()}_FILE": str(file), **(also if client != name else {})}
    made, sources = load(environ)
    assert getattr(made, name) == value
    assert sources[name] == str(file)


@pytest.mark.parametrize("name", sorted(SECRETS))
@pytest.mark.parametrize("kind", ["missing", "directory", "unreadable"])
def test_a_secrets_file_that_cannot_be_read_ends_the_start(tmp_path: Path, name: str, kind: str):
    """It is never taken for an empty secret."""
    file = tmp_path / "here"
    if kind == "directory":
        file.mkdir()
    if kind == "unreadable":
        file.write_text("hunter2")
        file.chmod(0)
        if os.access(file, os.R_OK):  # root reads everything: a file of no text then
            file.write_bytes(b"hunter2\xff")
    said = refusal(**{f"{name}_file": str(file)})
    assert f"{PREFIX}{name.upper()}_FILE names {file}, which cannot be read" in said
    assert "hunter2" not in said


def test_a_secrets_file_that_all_may_read_is_told_of(tmp_path: Path):
    """Not one that is no secret, and not one of its owner's alone."""
    for name, mode in (("secret_key", 0o644), ("database_url", 0o640), ("origins", 0o644)):
        (tmp_path / name).write_text("x")
        (tmp_path / name).chmod(mode)
    environ = {f"{PREFIX}{f.name.upper()}_FILE": str(f) for f in tmp_path.iterdir()}
    assert open_to_all(environ) == [str(tmp_path / "secret_key")]


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
    assert "rtchat key new" in str(caught.value)
    assert not secret or secret not in str(caught.value)


def test_production_needs_a_database_and_a_secret():
    with pytest.raises(ConfigError, match="RTCHAT_DATABASE_URL"):
        require_production(Config(secret_key=GOOD_SECRET))
    with pytest.raises(ConfigError, match="RTCHAT_SECRET_KEY"):
        require_production(Config(database_url="postgresql://localhost/rtchat"))
    require_production(Config(database_url="postgresql://localhost/rtchat", secret_key=GOOD_SECRET))


# --- workers


def test_several_workers_need_redis_between_them():
    """It says so, what to set, and what goes without."""
    given = config(database_url="postgresql://localhost/x", secret_key=GOOD_SECRET)
    require_production(given, workers=1)
    with pytest.raises(ConfigError, match=r"(?s)RTCHAT_REDIS_URLS.*--workers 1.*rtchat dev"):
        require_production(given, workers=2)
    with_redis = config(
        database_url="postgresql://localhost/x",
        secret_key=GOOD_SECRET,
        redis_urls="redis://localhost",
    )
    require_production(with_redis, workers=2)


def test_no_number_of_workers_is_one_a_core(tmp_path: Path):
    """A container's limit counts, in whole cores, and there is always one."""
    assert worker_count(config(workers="3")) == 3
    assert worker_count(config(workers="0")) == usable_cores()
    cores = usable_cores(tmp_path / "none")
    assert cores >= 1
    limit = tmp_path / "cpu.max"
    for text, usable in (
        ("max 100000", cores),
        ("100000 100000", 1),
        ("50000 100000", 1),
        ("190000 100000", 1),
        ("999900000 100000", cores),
        ("", cores),
    ):
        limit.write_text(text + "\n")
        assert usable_cores(limit) == usable, text
