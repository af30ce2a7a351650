"""docker-compose.yml, alone and with production's file over it: what Compose does not check."""

import re
import stat
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

import pytest

from rtchat import settings
from rtchat.server import limits
from tests.deploy import containers_compose as compose, containers_dockerfile as dockerfile, needed
from tests.deploy.containers_compose import COMPOSE, EXAMPLE, PRODUCTION, ROOT, Tree

DEPLOY = ROOT / "docs" / "deploy"
LOCAL = compose.load(compose.example(), COMPOSE)
FULL = compose.load(compose.example(production=True), COMPOSE, PRODUCTION)
SETTINGS = {"local": LOCAL, "production": FULL}
PODS = ["pod-1", "pod-2"]
OURS = [*PODS, "migrate"]
IMAGE = dockerfile.read(dockerfile.DOCKERFILE.read_text())[-1]
IMAGE_ENV = {name: value for step in IMAGE.all("ENV") for name, value in step.pairs.items()}
TAG = re.compile(r"[\w./-]+:v?\d+\.\d+(\.\d+)?(-[\w.]+)?")
NGINX = (DEPLOY / "nginx" / "nginx.conf").read_text()

services = pytest.mark.parametrize("name", sorted(LOCAL["services"]))
both = pytest.mark.parametrize("project", SETTINGS.values(), ids=SETTINGS)


def service(name: str, project: Tree = LOCAL) -> Tree:
    found: Tree = project["services"][name]
    return found


def files(directory: Path) -> dict[str, str]:
    """The secrets that docs/deploy/secrets.sh makes, by name, as files."""
    subprocess.run(["sh", str(DEPLOY / "secrets.sh"), str(directory)], check=True)
    return {path.name: str(path) for path in directory.iterdir()}


def number(directive: str) -> int:
    """What nginx.conf sets it to."""
    [found] = re.findall(rf"^\s*{directive} (\d+)s?;", NGINX, re.MULTILINE)
    return int(found)


def environment(project: Tree, name: str, secrets: Mapping[str, str]) -> dict[str, str]:
    """What rtchat of a service sees: the image's variables, .env, its own, and files in the place
    of /run/secrets."""
    found = {**IMAGE_ENV, **compose.example(production=project is FULL)}
    found |= service(name, project)["environment"]
    shared = {f"/run/secrets/{secret}": secrets[secret] for secret in service(name)["secrets"]}
    return {key: shared.get(value, value) for key, value in found.items()}


# --- the form


@pytest.mark.parametrize("path", [COMPOSE, PRODUCTION], ids=["compose", "production"])
def test_it_is_as_the_specification_has_it(path: Path) -> None:
    needed.module("check_jsonschema")
    command = [sys.executable, "-m", "check_jsonschema", "--builtin-schema", "vendor.compose-spec"]
    checked = subprocess.run([*command, path], capture_output=True, text=True, check=False)
    assert checked.returncode == 0, checked.stdout


@services
def test_images_are_pinned(name: str) -> None:
    for project in SETTINGS.values():
        image = service(name, project)["image"]
        assert TAG.fullmatch(image) or image == "rtchat:local" == service("pod-1")["image"]
    assert ("build" in service(name)) == (name == "migrate"), "one tag is built once"


@services
def test_a_service_may_little_and_takes_no_more_than_its_share(name: str) -> None:
    one = service(name)
    assert one["read_only"] is True
    assert one["cap_drop"] == ["ALL"]
    assert "cap_add" not in one
    assert "privileged" not in one
    assert one["security_opt"] == ["no-new-privileges:true"]
    user = IMAGE.last("USER").rest if name in OURS else one["user"]
    assert re.fullmatch(r"[1-9]\d*:[1-9]\d*", user)
    assert one["deploy"]["resources"]["limits"].keys() == {"cpus", "memory", "pids"}
    assert one["logging"]["options"].keys() == {"max-size", "max-file"}
    assert one["restart"] == ("no" if name == "migrate" else "unless-stopped")


@services
def test_a_service_tells_how_it_is(name: str) -> None:
    """The pods by their image; the migration is over when it is over."""
    one = service(name)
    check = one.get("healthcheck", {})
    if name == "migrate":
        assert check == {"disable": True}
        return
    if name in PODS:
        assert not check
        assert len(IMAGE.all("HEALTHCHECK")) == 1
    else:
        assert check["test"][0] == "CMD"
        assert compose.seconds(check["timeout"]) <= compose.seconds(check["interval"])
    assert compose.seconds(one["stop_grace_period"]) >= 10


@services
def test_it_starts_when_what_it_needs_is_there(name: str) -> None:
    for other, how in service(name).get("depends_on", {}).items():
        over = "service_completed_successfully" if other == "migrate" else "service_healthy"
        assert how == {"condition": over}
        assert other in LOCAL["services"]
    if name in PODS:
        assert service(name)["depends_on"].keys() == {"migrate", "postgres", "valkey"}


@both
def test_what_is_mounted_is_there(project: Tree) -> None:
    """Docker makes a directory of what is not."""
    for one in project["services"].values():
        for target, source in compose.mounts(one).items():
            if source.startswith("./"):
                assert (ROOT / source).exists(), source
            else:
                assert source in project["volumes"], source
            assert target.startswith("/")
        for secret in one.get("secrets", ()):
            assert project["secrets"][secret] == {"file": f"./.secrets/{secret}"}
    used = {s for one in project["services"].values() for s in compose.mounts(one).values()}
    assert project["volumes"].keys() <= used


# --- rtchat's settings


@both
def test_the_pods_start_with_these_settings(project: Tree, tmp_path: Path) -> None:
    """With secrets as secrets.sh makes them; and each RTCHAT_ variable is one of rtchat's."""
    secrets = files(tmp_path / "secrets")
    for name in PODS:
        environ = environment(project, name, secrets)
        config, sources = settings.load(environ)
        settings.require_production(config, settings.worker_count(config))
        assert settings.open_to_all(environ) == [], "files are for their owner's group"
        for secret in ("secret_key", "internal_token", "database_url", "redis_urls"):
            assert sources[secret] == secrets[secret]
        assert not config.migrate_url, "a pod is not the schema's owner"
        assert config.trusted_proxies == "any-peer"
        assert config.password_min_chars == (15 if project is FULL else 8)
        assert config.public_url == ("https://chat.example" if project is FULL else "")


@both
def test_the_migration_is_the_owners(project: Tree, tmp_path: Path) -> None:
    secrets = files(tmp_path / "secrets")
    config, _ = settings.load(environment(project, "migrate", secrets))
    assert config.migrate_url.startswith("postgresql://rtchat_owner:")
    assert not config.database_url
    assert service("migrate", project)["command"] == ["migrate", "--grant", "rtchat"]
    pod, _ = settings.load(environment(project, "pod-1", secrets))
    assert pod.database_url.startswith("postgresql://rtchat:")


def test_production_wants_to_be_told_what_only_its_operator_knows() -> None:
    for name in ("IMAGE", "RTCHAT_PUBLIC_URL"):
        environ = {**compose.example(production=True), name: ""}
        with pytest.raises(KeyError, match=name):
            compose.load(environ, COMPOSE, PRODUCTION)


def test_secrets_are_made_once_and_are_files_alone(tmp_path: Path) -> None:
    """Fresh ones in each place; what is there stays; nothing secret is in a variable."""
    one, other = files(tmp_path / "one"), files(tmp_path / "other")
    texts = {name: Path(path).read_text() for name, path in one.items()}
    assert texts.keys() == LOCAL["secrets"].keys()
    assert not set(texts.values()) & {Path(path).read_text() for path in other.values()}
    assert {stat.S_IMODE(Path(path).stat().st_mode) for path in one.values()} == {0o440}
    assert stat.S_IMODE((tmp_path / "one").stat().st_mode) == 0o700
    files(tmp_path / "one")
    assert texts == {name: Path(path).read_text() for name, path in one.items()}
    for project in SETTINGS.values():
        for found in project["services"].values():
            for variable, value in found.get("environment", {}).items():
                name = variable.removeprefix("RTCHAT_").lower()
                assert name not in settings.NAMES or not settings.is_secret(name), variable
                assert "PASSWORD" not in variable or variable.endswith(("_FILE", "_MIN_CHARS"))
                assert "://" not in value or name == "public_url", variable


def test_the_example_explains_each_variable() -> None:
    """Those that the files take, with the same default; rtchat's own; no secrets."""
    taken = compose.variables(COMPOSE, PRODUCTION)
    lines = [match.groupdict() for match in compose.ASSIGNED.finditer(EXAMPLE.read_text())]
    told = {line["name"] for line in lines}
    assert taken.keys() <= told, "a variable that nobody is told of"
    for line in lines:
        name, value = line["name"], line["value"]
        if name.startswith("RTCHAT_"):
            assert not settings.is_secret(name.removeprefix("RTCHAT_").lower()), name
            settings.load({name: value})
        elif not name.startswith("COMPOSE_"):
            assert name in taken, f"{name} is nobody's"
            assert line["off"] or taken[name] - {None} == {value}, name


def test_the_page_about_it_leads_somewhere() -> None:
    """Its links, the services and files that it names, the variables."""
    page = (DEPLOY / "README.md").read_text()
    links = re.findall(r"\]\((?!http)([^)#]+)", page)
    assert len(links) > 10
    assert [link for link in links if not (DEPLOY / link).exists()] == []
    for name in re.findall(r"`(RTCHAT_[A-Z_]+)`", page):
        assert name.removeprefix("RTCHAT_").lower() in settings.NAMES, name
    for name in re.findall(
        r"docker compose (?:logs|exec|run --rm|up .*--wait) ([a-z][a-z0-9-]*)", page
    ):
        assert name in LOCAL["services"], name
    for name in LOCAL["secrets"].keys() - {"secret_key", "postgres_password"}:
        assert name in page, f"nobody is told of the secret {name}"


# --- numbers that must agree


@both
def test_a_pod_has_time_to_end(project: Tree, tmp_path: Path) -> None:
    config, _ = settings.load(environment(project, "pod-1", files(tmp_path / "secrets")))
    for name in PODS:
        assert compose.seconds(service(name)["stop_grace_period"]) >= config.shutdown_s + 5
        assert "command" not in service(name), "process 1 is rtchat, by the image"
    cut_s = number("worker_shutdown_timeout")
    assert compose.seconds(service("nginx")["stop_grace_period"]) > cut_s


@both
def test_ports_lead_where_somebody_listens(project: Tree, tmp_path: Path) -> None:
    """Clients come by nginx, operators by the internal port, and from outside nobody else."""
    config, _ = settings.load(environment(project, "pod-1", files(tmp_path / "secrets")))
    assert IMAGE.last("EXPOSE").rest.split() == [str(config.port), str(config.internal_port)]
    published = {name: one["ports"] for name, one in project["services"].items() if "ports" in one}
    outside = "0.0.0.0:443" if project is FULL else "127.0.0.1:8000"
    assert published == {
        "nginx": [f"{outside}:8080"],
        "prometheus": ["127.0.0.1:9090:9090"],
        "grafana": ["127.0.0.1:3000:3000"],
    }
    listen = compose.mounts(service("nginx", project))["/etc/rtchat/listen.conf"]
    assert listen == f"./docs/deploy/nginx/{'tls' if project is FULL else 'plain'}.conf"
    assert re.search(r"^listen 8080 ", (ROOT / listen).read_text(), re.MULTILINE)
    assert service("nginx")["healthcheck"]["test"][-1] == "http://127.0.0.1:8090/readyz"
    assert "listen 127.0.0.1:8090;" in NGINX
    upstream = re.findall(r"^server (\S+) resolve", (DEPLOY / "nginx/pods.conf").read_text(), re.M)
    assert upstream == [f"{name}:{config.port}" for name in PODS]


def test_networks_keep_apart_what_has_no_business_with_each_other() -> None:
    reach = {name: set(one["networks"]) for name, one in LOCAL["services"].items()}
    assert LOCAL["networks"]["back"] == {"internal": True}
    assert {name for name, there in reach.items() if "back" in there} == {
        "postgres", "valkey", "migrate", *PODS,
    }  # fmt: skip
    for store in ("postgres", "valkey", "migrate"):
        assert reach[store] == {"back"}, "it reaches nothing outside"
    assert reach["nginx"] == {"front"}
    assert reach["prometheus"] == reach["grafana"] == {"watch"}


def test_what_pods_may_hold_fits_into_what_they_get(tmp_path: Path) -> None:
    """Memory (docs/operations.md has the sizes), open files, connections to PostgreSQL."""
    config, _ = settings.load(environment(LOCAL, "pod-1", files(tmp_path / "secrets")))
    pod = service("pod-1")
    assert limits.fitting(config, pod["ulimits"]["nofile"]) == config.connections_max
    bounds = config.tail_max_bytes + config.queue_max_bytes + config.bus_queue_bytes
    bytes_needed = 90 * 10**6 + config.connections_max * 8800 + bounds
    assert bytes_needed * 1.5 < compose.size(pod["deploy"]["resources"]["limits"]["memory"])
    [given] = [w for w in service("postgres")["command"] if w.startswith("max_connections=")]
    own = config.lanes + config.pool_max + 1
    assert own * (len(PODS) + 1) + 10 < int(given.partition("=")[2])
    of_nginx = ("worker_processes", "worker_connections", "worker_rlimit_nofile")
    workers, each, open_files = (number(directive) for directive in of_nginx)
    assert each <= open_files <= service("nginx")["ulimits"]["nofile"]
    assert 2 * config.connections_max * len(PODS) <= workers * each


# --- monitoring


def test_the_profile_is_off_unless_asked_for() -> None:
    by_profile = {name for name, one in LOCAL["services"].items() if "profiles" in one}
    assert by_profile == {"prometheus", "grafana"}
    assert {tuple(service(name)["profiles"]) for name in by_profile} == {("monitoring",)}


def test_prometheus_looks_at_each_pod(tmp_path: Path) -> None:
    text = (DEPLOY / "prometheus.yml").read_text()
    [job] = compose.yaml.safe_load(text)["scrape_configs"]
    internal = IMAGE_ENV["RTCHAT_INTERNAL_PORT"]
    assert job["static_configs"] == [{"targets": [f"{name}:{internal}" for name in PODS]}]
    one = service("prometheus")
    token = job["authorization"]["credentials_file"]
    assert token == "/run/secrets/internal_token" == f"/run/secrets/{one['secrets'][0]}"
    mounts = compose.mounts(one)
    assert f"--config.file={'/etc/prometheus/prometheus.yml'}" in one["command"]
    promtool = needed.program("promtool", "Debian: apt-get install prometheus")
    rules = ROOT / mounts["/etc/prometheus/alerts.yml"]
    (tmp_path / "token").write_text("x")
    here = text.replace("/etc/prometheus/alerts.yml", str(rules)).replace(token, "token")
    (tmp_path / "prometheus.yml").write_text(here)
    checked = subprocess.run(
        [promtool, "check", "config", tmp_path / "prometheus.yml"],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert checked.returncode == 0, checked.stdout + checked.stderr


def test_grafana_finds_its_source_and_its_dashboards() -> None:
    [source] = compose.yaml.safe_load((DEPLOY / "grafana/datasources/prometheus.yml").read_text())[
        "datasources"
    ]
    assert source["url"] == f"http://prometheus:{service('prometheus')['ports'][0].split(':')[-1]}"
    [provider] = compose.yaml.safe_load((DEPLOY / "grafana/dashboards/rtchat.yml").read_text())[
        "providers"
    ]
    mounts = compose.mounts(service("grafana"))
    assert mounts[provider["options"]["path"]] == "./k8s/monitoring/dashboards"
    assert mounts["/etc/grafana/provisioning"] == "./docs/deploy/grafana"
