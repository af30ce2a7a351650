"""`rtchat doctor` on Valkey: what can be provoked is, on real servers; the rest by values."""

import secrets
import signal
import socket
import time
from collections.abc import Iterator
from typing import Any

import pytest
import redis

from rtchat.config import Config
from rtchat.operate.finding import Cause, Finding, Level
from rtchat.operate.redis import Seen, examine, judge
from rtchat.server.valkey import PrivateValkey
from tests.bus.valkey_cluster import ValkeyCluster, ask, until_blocking
from tests.services import Given

SOURCE = "RTCHAT_REDIS_URLS"


def found(urls: str, within_s: float = 5.0, **settings: Any) -> list[Finding]:
    """What an examination finds; no line shows a password, and each that is not ok a way out."""
    prefix = f"doctor-{secrets.token_hex(4)}"
    config = Config(redis_urls=urls, bus_prefix=prefix, **settings)
    findings = examine(config, SOURCE, within_s)
    for finding in findings:
        assert finding.seen
        assert bool(finding.mend) == (finding.level is not Level.OK)
        assert "geheim" not in str(finding)
    return findings


def of(findings: list[Finding], check: str) -> Finding:
    [one] = [finding for finding in findings if finding.check == check]
    return one


@pytest.fixture(scope="module")
def own() -> Iterator[PrivateValkey]:
    """A server whose settings may be changed, and that may be frozen."""
    with PrivateValkey() as server:
        yield server


@pytest.fixture
def admin(own: PrivateValkey) -> Iterator["redis.Redis"]:
    with redis.from_url(own.url) as client:
        yield client


def test_none_is_fine():
    [finding] = found("")
    assert (finding.level, finding.check) == (Level.OK, "redis")


def test_a_good_server_is_good_in_every_respect(valkey: PrivateValkey | Given):
    """Also over the bus: what is published comes back."""
    findings = found(valkey.url)
    assert [finding.check for finding in findings] == ["redis", "pubsub buffers", "bus"]
    assert {finding.level for finding in findings} == {Level.OK}, findings
    assert "64 of 64 items came back" in of(findings, "bus").seen


def test_a_cluster_is_followed_to_all_its_nodes(valkey_cluster: ValkeyCluster):
    """Sharded publish/subscribe, on every node; one that is not said to be one is a mistake."""
    url = valkey_cluster.urls[0]
    first = valkey_cluster.nodes[0]  # just made, it takes a second or two to agree with itself
    until_blocking(lambda: ask(first, "CLUSTER INFO")["cluster_state"] == "ok")
    findings = found(url, redis_cluster=1)
    assert {finding.level for finding in findings} == {Level.OK}, findings
    assert "16384 of 16384 slots" in of(findings, "cluster").seen
    assert "64 of 64 items came back" in of(findings, "bus").seen
    mistake = of(found(url), "cluster")
    assert (mistake.cause, mistake.mend) == (Cause.SETTING, "RTCHAT_REDIS_CLUSTER=1")


def test_a_server_that_is_no_cluster_is_told(own: PrivateValkey):
    mistake = of(found(own.url, redis_cluster=1), "cluster")
    assert (mistake.cause, mistake.mend) == (Cause.SETTING, "RTCHAT_REDIS_CLUSTER=0")


# --- it cannot be asked


def test_every_node_is_looked_at_and_each_that_is_away_is_told(own: PrivateValkey):
    findings = found(f"redis://:geheim@127.0.0.1:1,{own.url}")
    assert [f.level for f in findings if f.check == "redis"] == [Level.FAIL, Level.OK]
    assert findings[0].seen.startswith("127.0.0.1:1: ")
    assert findings[0].cause is Cause.DEPENDENCY
    assert "bus" not in {f.check for f in findings}, "it would fail for the same reason"


def test_a_url_that_cannot_be_used_is_a_wrong_setting():
    [finding] = found("http://ann:geheim@x")
    assert (finding.cause, "redis://" in finding.mend) == (Cause.SETTING, True)


def test_a_wrong_password_is_told(own: PrivateValkey):
    ask(own, "ACL", "SETUSER", "ann", "on", ">right", "+@all", "~*", "&*")
    url = own.url.replace("//", "//ann:geheim@")
    [finding] = found(url)
    assert finding.level is Level.FAIL
    assert "invalid username-password pair" in finding.seen


def test_a_server_that_hangs_is_not_waited_for(own: PrivateValkey):
    """Frozen, and a port that takes connections and says nothing."""
    own.send_signal(signal.SIGSTOP)
    try:
        with socket.create_server(("127.0.0.1", 0)) as silent:
            urls = f"{own.url},redis://127.0.0.1:{silent.getsockname()[1]}"
            config = Config(redis_urls=urls)
            began = time.monotonic()
            findings = examine(config, SOURCE, within_s=0.3)
            assert time.monotonic() - began < 20, "all at once"
    finally:
        own.send_signal(signal.SIGCONT)
    assert [finding.seen.partition(": ")[2] for finding in findings] == ["no answer in time"] * 2


# --- it is not as it should be


@pytest.mark.parametrize(
    ("limit", "level", "words"),
    [
        ("pubsub 33554432 8388608 60", Level.OK, "32 MB at once"),
        ("pubsub 67108864 0 0", Level.OK, "no limit for long"),
        ("pubsub 1048576 8388608 60", Level.WARN, "short stalls"),
        ("pubsub 33554432 1048576 60", Level.WARN, "short stalls"),
        ("pubsub 0 0 0", Level.WARN, "a pod that hangs"),
    ],
)
def test_buffers_that_are_small_or_have_no_end(
    own: PrivateValkey, admin: "redis.Redis", limit: str, level: Level, words: str
):
    admin.config_set("client-output-buffer-limit", limit)
    finding = of(found(own.url), "pubsub buffers")
    assert (finding.level, words in finding.seen) == (level, True), finding


def test_a_server_that_refuses_when_it_is_full_is_warned_of(
    own: PrivateValkey, admin: "redis.Redis"
):
    admin.config_set("maxmemory", "100mb")
    admin.config_set("maxmemory-policy", "noeviction")
    assert of(found(own.url), "redis memory").level is Level.WARN
    admin.config_set("maxmemory-policy", "volatile-ttl")
    assert "redis memory" not in {finding.check for finding in found(own.url)}
    admin.config_set("maxmemory", "0")


def test_a_user_who_may_do_what_a_pod_does_is_enough_for_the_bus(own: PrivateValkey):
    """What it may not look at is a warning that names the rights; nothing fails."""
    rights = ["+ping", "+quit", "+client|setname", "+client|setinfo"]
    rights += ["+publish", "+subscribe", "+unsubscribe", "&doctor-*"]
    ask(own, "ACL", "SETUSER", "pod", "on", ">geheim", "resetchannels", *rights)
    findings = found(own.url.replace("//", "//pod:geheim@"))
    assert of(findings, "redis").level is Level.WARN
    assert "+info +config|get" in of(findings, "redis").mend
    assert of(findings, "bus").level is Level.OK
    ask(own, "ACL", "SETUSER", "pod", "-publish")
    refused = of(found(own.url.replace("//", "//pod:geheim@"), within_s=0.5), "bus")
    assert (refused.cause, "0 of 64" in refused.seen) == (Cause.DEPENDENCY, True)


# --- what cannot be provoked here

GOOD = Seen("Redis", "7.2.4", False, None, None, 1 << 25, 1 << 23, 0, "noeviction", [])
CLUSTER = GOOD._replace(clustered=True, cluster_state="ok", slots=16384)


@pytest.mark.parametrize(
    ("seen", "cluster", "check", "level"),
    [
        (GOOD, 0, "redis", Level.OK),
        (GOOD._replace(version="6.2.14"), 0, "redis", Level.FAIL),
        (GOOD._replace(product="Valkey", version="10.0.0"), 0, "redis", Level.OK),
        (CLUSTER, 1, "cluster", Level.OK),
        (CLUSTER._replace(cluster_state="fail"), 1, "cluster", Level.FAIL),
        (CLUSTER._replace(slots=16000), 1, "cluster", Level.FAIL),
    ],
)
def test_by_its_values(seen: Seen, cluster: int, check: str, level: Level):
    config = Config(redis_urls="redis://x", redis_cluster=cluster)
    assert of(judge(seen, config, "x:1", SOURCE), check).level is level
