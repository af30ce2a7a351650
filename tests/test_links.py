"""Which URLs are safe, as asyncpg and redis-py would read them."""

import msgspec
import pytest

from rtchat.config import Config, ConfigError
from rtchat.links import exposed
from rtchat.settings import require_production

KEY = "zT7kq0vWm3XbL9sRdF2hNcYpJ8gU5aEo"


@pytest.mark.parametrize(
    "url",
    [
        "postgresql://rtchat:pw@127.0.0.1:5432/rtchat",
        "postgresql://rtchat:pw@localhost/rtchat",
        "postgresql://rtchat:pw@[::1]:5432/rtchat",
        "postgresql:///rtchat",
        "postgresql:///rtchat?host=/run/postgresql",
        "postgresql://rtchat@%2Frun%2Fpostgresql/rtchat",
        "postgresql://rtchat:pw@db/rtchat?sslmode=verify-full&sslrootcert=/ca.pem",
        "postgresql://rtchat:pw@db-1,db-2:5433/rtchat?sslmode=verify-full",
    ],
)
def test_a_safe_way_to_postgresql(url: str) -> None:
    assert exposed(Config(database_url=url), {}) == []


@pytest.mark.parametrize(
    "url",
    [
        "postgresql://rtchat:pw@db/rtchat",
        "postgresql://rtchat:pw@10.0.0.5:5432/rtchat",
        "postgresql://rtchat:pw@localhost,db/rtchat",
        "postgresql:///rtchat?host=db",
        "postgresql:///rtchat?service=main",
        "postgresql://rtchat:pw@localhost.example/rtchat",
        *[
            f"postgresql://rtchat:pw@db/rtchat?sslmode={mode}"
            for mode in ("disable", "allow", "prefer", "require", "verify-ca")
        ],
    ],
)
def test_a_way_to_postgresql_that_somebody_could_stand_in(url: str) -> None:
    """TLS that does not check the name keeps out nobody; the text never repeats the password."""
    (mend,) = exposed(Config(database_url=url), {})
    assert "sslmode=verify-full" in mend
    assert "pw" not in mend


def test_variables_of_postgresqls_clients_count() -> None:
    assert exposed(Config(database_url="postgresql:///rtchat"), {"PGHOST": "db"})
    assert exposed(Config(database_url="postgresql:///rtchat"), {"PGSERVICE": "main"})
    url = "postgresql://rtchat:pw@db/rtchat"
    assert exposed(Config(database_url=url), {"PGSSLMODE": "verify-full"}) == []


@pytest.mark.parametrize(
    "urls",
    [
        "",
        "redis://",
        "redis://:pw@127.0.0.1:6379,redis://localhost:6380",
        "unix:///run/valkey.sock",
        "rediss://user:pw@cache:6379",
        "rediss://cache?ssl_ca_certs=/ca.pem&ssl_cert_reqs=required",
    ],
)
def test_a_safe_way_to_redis(urls: str) -> None:
    assert exposed(Config(redis_urls=urls), {}) == []


@pytest.mark.parametrize(
    "urls",
    [
        "redis://:pw@cache:6379",
        "redis://localhost,redis://:pw@cache",
        "redis://:pw@/0?host=cache",
        "redis://:pw@?host=cache",
        "rediss://:pw@cache?ssl_cert_reqs=none",
        "rediss://:pw@cache?ssl_cert_reqs=optional",
        "rediss://:pw@cache?ssl_check_hostname=False",
    ],
)
def test_a_way_to_redis_that_somebody_could_stand_in(urls: str) -> None:
    (mend,) = exposed(Config(redis_urls=urls), {})
    assert "rediss://" in mend
    assert "pw" not in mend


def test_production_refuses_such_ways_unless_told_otherwise() -> None:
    """S-67: the start ends with how to mend each; RTCHAT_TLS_REQUIRED=0 says that it is meant."""
    meant = Config(
        secret_key=KEY,
        database_url="postgresql://a:s3cret@db/x",
        redis_urls="redis://:s3cret@cache",
        tls_required=0,
    )
    require_production(meant)
    with pytest.raises(ConfigError) as caught:
        require_production(msgspec.structs.replace(meant, tls_required=1))
    said = str(caught.value)
    assert all(word in said for word in ("verify-full", "rediss://", "RTCHAT_TLS_REQUIRED=0"))
    assert "s3cret" not in said
