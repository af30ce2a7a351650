"""The numbers and names that stand in several places are the same, and fit the code.

Grace periods, probes, ports, users, variables, timeouts: in k8s/, the Dockerfile, compose, nginx,
Prometheus and rtchat/config. Nothing is skipped because a file is missing: then it fails.
"""

import copy
from collections.abc import Callable
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest

import rtchat
from tests.deploy import cluster_agreement as agreement, cluster_around as around, cluster_policies
from tests.deploy.cluster_agreement import image_name
from tests.deploy.cluster_around import Directive, Image
from tests.deploy.cluster_files import (
    BUILDS,
    K8S,
    ROOT,
    Object,
    built,
    kustomizations,
    objects,
    one,
    options,
    pod_templates,
    read,
    written,
)
from tests.deploy.cluster_numbers import (
    config_of,
    environment,
    findings,
    needed_bytes,
    postgres_connections,
    quantity,
)
from tests.deploy.cluster_pod import example_secrets, fresh_secrets
from tests.deploy.cluster_policies import STORES
from tests.deploy.cluster_wrong import COMPOSED, OPEN, WRONG
from tests.deploy.monitoring_files import ALERTS

HOWS = [(how, folder) for how in ("written", "built") for folder in BUILDS]
SETTING_FILES = [
    ROOT / "Dockerfile",
    ROOT / "docker-compose.yml",
    ROOT / ".env.example",
    *(path for path in sorted(K8S.rglob("*")) if path.is_file() and path.suffix != ".json"),
    *(path for path in sorted((ROOT / "docs" / "deploy").rglob("*")) if path.is_file()),
]


# --- variables


@pytest.mark.parametrize(
    "path", SETTING_FILES, ids=lambda path: Path(path).relative_to(ROOT).as_posix()
)
def test_every_variable_that_is_named_is_a_setting(path: Path) -> None:
    assert agreement.strangers(path.read_text()) == set()


def test_a_variable_that_is_no_setting_is_found() -> None:
    said = "RTCHAT_DRAIN_S RTCHAT_SECRET_KEY_FILE RTCHAT_TEST_X RTCHAT_… RTCHAT_DRAIN_SECONDS"
    assert agreement.strangers(said) == {"RTCHAT_DRAIN_SECONDS"}


@pytest.mark.parametrize(("how", "folder"), HOWS)
def test_every_value_is_accepted(how: str, folder: str) -> None:
    things = objects(how, folder)
    for owner in ("Deployment/rtchat", "Job/rtchat-migrate"):
        config_of(environment(things, owner))
    config = config_of(environment(things))
    assert config.tls_required == (folder != "overlays/local")
    assert config.trusted_proxies


# --- Kubernetes and the code


@pytest.mark.parametrize("folder", BUILDS[1:])
def test_policies_lead_to_the_stores(folder: str) -> None:
    """Which are looked at by these ports (cluster_policies), and those are the Secrets' URLs'."""
    values = fresh_secrets() if folder.endswith("local") else example_secrets()
    pods = values["rtchat"]
    postgres = {
        urlsplit(url).port or 5432
        for url in (pods["database-url"], values["rtchat-migrate"]["migrate-url"])
    }
    redis = {urlsplit(url).port or 6379 for url in pods["redis-urls"].split(",")}
    assert (postgres, redis) == ({STORES["postgres"]}, {STORES["valkey"]})
    assert cluster_policies.findings(written(folder)) == []


@pytest.mark.parametrize(("how", "folder"), HOWS)
def test_the_numbers_of_the_manifests_fit(how: str, folder: str) -> None:
    assert findings(objects(how, folder)) == []


def test_the_autoscaler_says_how_many_connections_postgresql_must_allow() -> None:
    things = written("overlays/production")
    needed = postgres_connections(things, config_of(environment(things)))
    text = (K8S / "overlays" / "production" / "autoscaler.yaml").read_text()
    assert f"max_connections of {needed} " in text


@pytest.mark.parametrize(("says", "change"), WRONG)
def test_a_number_that_does_not_fit_is_found(
    says: str, change: Callable[[list[Object]], object]
) -> None:
    things = copy.deepcopy(written("overlays/production"))
    change(things)
    assert says in "; ".join(findings(things))


@pytest.mark.parametrize(("overlay", "says", "change"), OPEN)
def test_a_way_that_is_open_or_shut_by_mistake_is_found(
    overlay: str, says: str, change: Callable[[list[Object]], object]
) -> None:
    things = copy.deepcopy(written(f"overlays/{overlay}"))
    assert findings(things) == []
    change(things)
    assert says in "; ".join(findings(things))


def test_ways_that_an_option_opens() -> None:
    """Each file that is commented out opens its own way, and no other."""
    things = written("overlays/production")
    paths = options("overlays/production")
    more = {"sso.yaml": cluster_policies.SINGLE_SIGN_ON, "traces.yaml": cluster_policies.TRACES}
    assert {path.name for path in paths} == more.keys()
    for path in paths:
        opened = [*things, *read(path)]
        assert cluster_policies.findings(opened) == []
        for name, way in more.items():
            assert not cluster_policies.allowed(things, way)
            assert cluster_policies.allowed(opened, way) == (name == path.name)


def test_an_alert_says_what_a_full_pod_takes() -> None:
    config = config_of(environment(written("overlays/production")))
    full = f"{needed_bytes(config, config.connections_max) / 1e6:.0f} MB"
    assert f"all queues full\n            it takes {full}" in ALERTS.read_text()
    assert full in (ROOT / "docs" / "operations.md").read_text()


def test_quantities() -> None:
    assert [quantity(text) for text in ("1Gi", "512Mi", "100m", "2")] == [2**30, 2**29, 0.1, 2]


# --- the image, compose, nginx, Prometheus


@pytest.fixture(scope="module")
def image() -> Image:
    """The Dockerfile's."""
    return around.image()


def _pod() -> Object:
    spec: Object = pod_templates(written("base"))["Deployment/rtchat"]["spec"]
    return spec


def test_the_image_fits_the_pod(image: Image) -> None:
    assert list(agreement.of_image(image, _pod())) == []
    for owner in ("Deployment/rtchat", "Job/rtchat-migrate"):
        context = pod_templates(written("base"))[owner]["spec"]["securityContext"]
        assert (context["runAsUser"], context["fsGroup"]) == (10001, 10001) == _ids(image.user)


def _ids(user: str) -> tuple[int, ...]:
    return tuple(map(int, user.split(":")))


@pytest.mark.parametrize(
    ("says", "change"),
    [
        ("user", {"user": "1000:1000"}),
        ("exposes", {"ports": {8000}}),
        ("listens on", {"variables": {"RTCHAT_PORT": "80", "RTCHAT_INTERNAL_PORT": "81"}}),
        ("the image runs", {"command": ["dev"]}),
        ("health", {"health": "CMD curl http://127.0.0.1:8000/"}),
        ("stopped with", {"stop_signal": "SIGINT"}),
    ],
)
def test_another_image_is_found(image: Image, says: str, change: dict[str, Any]) -> None:
    assert says in "; ".join(agreement.of_image(image._replace(**change), _pod()))


def test_a_shell_in_front_of_rtchat_is_found() -> None:
    text = "FROM a\nENTRYPOINT rtchat\nCMD serve\nUSER 1\nHEALTHCHECK NONE"
    with pytest.raises(AssertionError, match="shell"):
        around.image(text)


def test_one_name_of_the_image_everywhere() -> None:
    """Kubernetes, compose and the example of .env run the image that the Dockerfile makes."""
    names = {
        image_name(each["newName"])
        for folder in kustomizations().values()
        for each in folder.get("images", ())
    }
    names |= {image_name(service["image"]) for service in agreement.ours(around.compose()).values()}
    assert names == {"rtchat"}
    tags = {
        each["newTag"] for each in kustomizations()["overlays/production"].get("images", ())
    } | {around.example(production=True)["IMAGE"].rpartition(":")[2]}
    assert tags == {rtchat.__version__}


@pytest.mark.parametrize("production", [False, True])
def test_compose_fits(image: Image, production: bool) -> None:
    compose = around.compose(production=production)
    assert list(agreement.of_compose(compose, image)) == []
    job = pod_templates(written("base"))["Job/rtchat-migrate"]["spec"]["containers"][0]
    assert ["rtchat", *compose["services"]["migrate"]["command"]] == job["command"]
    minimum = {
        config_of(around.variables_of(each)).password_min_chars
        for each in agreement.serving(compose).values()
    }
    wanted = config_of(environment(written("overlays/production"))).password_min_chars
    assert minimum == {wanted if production else 8}


def test_compose_and_the_local_overlay_have_the_same_stores() -> None:
    services = around.compose()["services"]
    templates = pod_templates(written("overlays/local"))
    for name in ("postgres", "valkey"):
        spec = templates[f"StatefulSet/{name}"]["spec"]
        assert spec["containers"][0]["image"] == services[name]["image"]
        context = spec["securityContext"]
        assert f"{context['runAsUser']}:{context['runAsGroup']}" == services[name]["user"]


@pytest.mark.parametrize(("says", "change"), COMPOSED)
def test_a_pod_of_compose_that_does_not_fit_is_found(
    image: Image, says: str, change: Callable[[Object], object]
) -> None:
    compose = around.compose()
    change(compose["services"]["pod-1"])
    assert says in "; ".join(agreement.of_compose(compose, image))


def _proxied(directives: list[Directive]) -> list[str]:
    pods = agreement.serving(around.compose())
    config = config_of(around.variables_of(pods["pod-1"]))
    return list(agreement.of_nginx(directives, config, pods))


def test_nginx_fits() -> None:
    assert _proxied(around.nginx()) == []


@pytest.mark.parametrize(
    ("says", "before", "after"),
    [
        ("may be silent", ("proxy_read_timeout", "75s"), ("proxy_read_timeout", "40s")),
        ("may be silent", ("proxy_send_timeout", "75s"), ()),
        ("than the proxy waits", ("proxy_read_timeout", "30s"), ("proxy_read_timeout", "5s")),
        ("pods end them first", ("keepalive_timeout", "4s"), ("keepalive_timeout", "60s")),
        ("pass", ("client_max_body_size", "1m"), ("client_max_body_size", "32k")),
        ("pass", ("client_max_body_size", "1m"), ("client_max_body_size", "8m")),
        ("leads to the pods", ("return", "404"), ("proxy_pass", "http://rest")),
        ("knows the pods", ("server", "pod-2:8000"), ("server", "pod-2:8001")),
    ],
)
def test_a_proxy_that_does_not_fit_is_found(
    says: str, before: tuple[str, ...], after: tuple[str, ...]
) -> None:
    directives = around.nginx()
    there = [each for each in directives if each.words[: len(before)] == before]
    assert there, f"nginx.conf has no {before}"
    changed = [
        each._replace(words=after or ("#",)) if each in there else each for each in directives
    ]
    assert says in "; ".join(_proxied(changed))


def _scraped(change: Callable[[Object], object] = lambda _: None) -> list[str]:
    (scrapes,) = read(ROOT / "docs" / "deploy" / "prometheus.yml")
    change(scrapes["scrape_configs"][0])
    pods = agreement.serving(around.compose())
    config = config_of(environment(written("base")))
    monitor = one(written("overlays/production"), "ServiceMonitor")
    return list(agreement.of_prometheus(scrapes, config, monitor, pods))


def test_prometheus_fits() -> None:
    assert _scraped() == []


@pytest.mark.parametrize(
    ("says", "change"),
    [
        ("jobs", lambda job: job.update(job_name="chat")),
        ("in Kubernetes", lambda job: job.update(metrics_path="/internal/metrics")),
        ("on 8001", lambda job: job["static_configs"][0].update(targets=["pod-1:8000"])),
        ("no secret", lambda job: job.update(authorization={"credentials": "abc"})),
    ],
)
def test_a_scrape_that_does_not_fit_is_found(says: str, change: Callable[[Any], object]) -> None:
    assert says in "; ".join(_scraped(change))


def test_the_built_overlays_run_the_version_of_this_checkout() -> None:
    server = pod_templates(built("overlays/production"))["Deployment/rtchat"]["spec"]["containers"]
    assert server[0]["image"].rpartition(":")[2] == rtchat.__version__
