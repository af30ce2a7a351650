"""The manifests of k8s/: valid, restricted, every name leads somewhere; and their pod works."""

import asyncio
import copy
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import asyncpg
import pytest

from rtchat import links, settings
from rtchat.config import ConfigError
from rtchat.server.postgres import EmbeddedPostgres
from rtchat.server.valkey import PrivateValkey
from tests.deploy import cluster_links, cluster_security
from tests.deploy.cluster_files import (
    ALONE,
    BUILDS,
    K8S,
    ROOT,
    DoubledKeyError,
    Object,
    built,
    documents,
    kustomizations,
    name_of,
    named,
    objects,
    one,
    options,
    pod_templates,
    read,
    settings_of,
    written,
)
from tests.deploy.cluster_numbers import environment
from tests.deploy.cluster_pod import (
    EXAMPLE,
    LocalPod,
    example_secrets,
    fresh_secrets,
    mount,
    mounted,
)
from tests.deploy.cluster_policies import EPOCH as EPOCH_POD
from tests.deploy.cluster_wrong import ASTRAY, LOOSE, first
from tests.services import Given

HOWS = [(how, folder) for how in ("written", "built") for folder in BUILDS]
RESTRICTED = "pod-security.kubernetes.io/enforce"


def secrets_of(folder: str) -> dict[str, set[str]]:
    """The keys of the Secrets that are made before an overlay is applied."""
    made = fresh_secrets() if folder.endswith("local") else example_secrets()
    return {name: set(keys) for name, keys in made.items()}


# --- the files


def test_every_file_is_used_and_every_name_has_a_file() -> None:
    used = {path for folder in kustomizations() for path in (*named(folder), *options(folder))}
    assert [path for path in used if not path.exists()] == []
    files = {path for path in K8S.rglob("*") if path.is_file()}
    unused = files - used - {path for path in files if path.name == "kustomization.yaml"}
    assert {path.relative_to(K8S).as_posix() for path in unused} <= ALONE


def test_the_readme_names_files_that_exist() -> None:
    paths = set(re.findall(r"\b(?:k8s|tests)/[\w./-]*\w", (K8S / "README.md").read_text()))
    assert len(paths) > 5
    assert [path for path in paths if not (ROOT / path).exists()] == []


def test_no_build_has_a_secret() -> None:
    """What is in the repository is known to everybody."""
    assert all("secretGenerator" not in each for each in kustomizations().values())
    kinds = [each["kind"] for folder in BUILDS for each in written(folder)]
    assert "Secret" not in kinds
    assert "Deployment" in kinds


def test_a_key_that_stands_twice_is_an_error() -> None:
    with pytest.raises(DoubledKeyError, match="replicas"):
        documents("spec: {replicas: 1, minReadySeconds: 2, replicas: 3}")


@pytest.mark.parametrize("folder", BUILDS)
def test_kustomize_makes_of_the_settings_what_these_tests_make(folder: str) -> None:
    things = built(folder)
    assert one(things, "ConfigMap")["data"] == settings_of(folder)
    expected = {name_of(each) for each in written(folder)} - {"ConfigMap/rtchat"}
    assert expected <= {name_of(each) for each in things}


# --- schemas


@pytest.mark.parametrize(("how", "folder"), HOWS)
def test_objects_are_valid(how: str, folder: str) -> None:
    from tests.deploy import cluster_schemas as schemas  # skips where the package is missing

    optional = [thing for path in options(folder) for thing in read(path)]
    things = [*objects(how, folder), *optional, *read(EXAMPLE)]
    assert [f for each in things for v in schemas.VERSIONS for f in schemas.findings(each, v)] == []


@pytest.mark.parametrize(
    ("kind", "change", "says"),
    [
        ("Deployment", lambda spec: spec.update(replicas="3"), "'3' is not of type"),
        ("Deployment", lambda spec: container(spec).update(readinesProbe={}), "readinesProbe"),
        ("Deployment", lambda spec: spec.pop("selector"), "'selector' is a required"),
        ("Service", lambda spec: spec["ports"][0].update(targetport=1), "targetport"),
        ("ServiceMonitor", lambda spec: spec["endpoints"][0].update(intervall="15s"), "intervall"),
        ("ServiceMonitor", lambda spec: spec["endpoints"][0].update(interval="15"), "'15'"),
    ],
)
def test_a_mistake_in_a_field_is_found(
    kind: str, change: Callable[[Any], object], says: str
) -> None:
    from tests.deploy import cluster_schemas as schemas

    thing = copy.deepcopy(one(written("overlays/production"), kind))
    change(thing["spec"])
    assert says in "".join(schemas.findings(thing, schemas.VERSIONS[-1]))


def container(spec: Object) -> Object:
    """The first container of a Deployment's pods."""
    first: Object = spec["template"]["spec"]["containers"][0]
    return first


# --- what pods may do


@pytest.mark.parametrize(("how", "folder"), HOWS)
def test_pods_are_restricted(how: str, folder: str) -> None:
    things = objects(how, folder)
    templates = pod_templates(things)
    assert {"Deployment/rtchat", "Job/rtchat-migrate"} <= templates.keys()
    assert one(things, "Namespace")["metadata"]["labels"][RESTRICTED] == "restricted"
    for name, template in templates.items():
        assert cluster_security.restricted(template) == [], name
        assert cluster_security.hardened(template) == [], name


@pytest.mark.parametrize(("says", "change"), LOOSE)
def test_a_pod_that_may_more_is_found(says: str, change: Callable[[Object], object]) -> None:
    template = copy.deepcopy(pod_templates(written("base"))["Deployment/rtchat"])
    change(template)
    found = cluster_security.restricted(template) + cluster_security.hardened(template)
    assert says in "; ".join(found)


# --- names


@pytest.mark.parametrize(("how", "folder"), [("written", "base"), *HOWS[len(BUILDS) :]])
def test_every_name_leads_somewhere(how: str, folder: str) -> None:
    assert cluster_links.findings(objects(how, folder), secrets_of(folder)) == []


@pytest.mark.parametrize(("says", "change"), ASTRAY)
def test_a_name_that_leads_nowhere_is_found(
    says: str, change: Callable[[list[Object]], object]
) -> None:
    things = copy.deepcopy(written("overlays/production"))
    one(things, "Deployment")["spec"].pop("replicas")  # as the overlay's patch does
    assert cluster_links.findings(things, secrets_of("overlays/production")) == []
    change(things)
    assert says in "; ".join(cluster_links.findings(things, secrets_of("overlays/production")))


def test_overlays_name_a_version_of_the_image() -> None:
    for folder in BUILDS[1:]:
        images = {
            first(template)["image"]
            for name, template in pod_templates(built(folder)).items()
            if "rtchat" in name
        }
        assert len(images) == 1, "the migration is another image's"
        assert images.pop().rpartition(":")[2] not in ("latest", "rtchat", "")


@pytest.mark.parametrize("folder", BUILDS)
def test_all_but_the_deployment_can_be_applied_before_it(folder: str) -> None:
    """By the selector of k8s/README.md: the migration has to be through when new pods come."""
    label = "app.kubernetes.io/component"
    assert f"-l '{label}!=server'" in (K8S / "README.md").read_text()
    labelled = [
        name_of(each)
        for each in built(folder)
        if each["metadata"].get("labels", {}).get(label) == "server"
    ]
    assert labelled == ["Deployment/rtchat"]


# --- the Job that renews the epoch

EPOCH = "Job/rtchat-epoch"
RENEWS = ["rtchat", "epoch", "renew"]


def test_the_epoch_is_renewed_as_the_migration_is_run() -> None:
    """The build is production's, but for that Job, which only its own label selects."""
    production = {name_of(each): each for each in built("overlays/production")}
    renewing = {name_of(each): each for each in built("jobs/epoch")}
    migration, job = production.pop("Job/rtchat-migrate"), renewing.pop(EPOCH)
    assert renewing == production
    pod = job["spec"]["template"]
    assert cluster_security.restricted(pod) + cluster_security.hardened(pod) == []
    assert cluster_links.findings([job, *production.values()], secrets_of("jobs/epoch")) == []
    assert pod["metadata"]["labels"] == EPOCH_POD.labels
    assert first(pod)["command"] == RENEWS
    before = migration["spec"]["template"]["spec"]["containers"][0]
    assert first(pod) == {**before, "command": RENEWS}
    label = "app.kubernetes.io/component"
    assert job["metadata"]["labels"][label] == "epoch"
    others = [each["metadata"].get("labels", {}).get(label) for each in production.values()]
    assert "epoch" not in others
    assert f"kubectl apply -k k8s/jobs/epoch -l {label}=epoch" in (K8S / "README.md").read_text()


def test_the_epoch_of_a_build_that_nobody_can_make_here() -> None:
    """Without kustomize: what its patch changes is there in the migration, and the command is."""
    [patch] = kustomizations()["jobs/epoch"]["patches"]
    job = one(written("overlays/production"), patch["target"]["kind"], patch["target"]["name"])
    for change in documents(patch["patch"])[0]:
        *path, last = (part.replace("~1", "/") for part in change["path"].split("/")[1:])
        there: Any = job
        for part in path:
            there = there[int(part)] if isinstance(there, list) else there[part]
        assert (change["op"], last in there) == ("replace", True)
        there[last] = change["value"]
    assert name_of(job) == EPOCH
    assert first(job["spec"]["template"])["command"] == RENEWS
    labels = job["spec"]["template"]["metadata"]["labels"]
    assert labels == EPOCH_POD.labels


# --- secrets


def test_the_values_of_the_example_are_refused() -> None:
    """S-15: whoever applies the example as it is has no server that others can sign tokens for."""
    values = example_secrets()["rtchat"]
    with pytest.raises(ConfigError, match="sample value"):
        settings.require_secret(values["secret-key"])
    with pytest.raises(ConfigError, match="internal_token"):
        settings.load({"RTCHAT_INTERNAL_TOKEN": values["internal-token"]})
    urls = {name: values[name.lower().replace("_", "-")] for name in ("DATABASE_URL", "REDIS_URLS")}
    config, _ = settings.load({f"RTCHAT_{name}": value for name, value in urls.items()})
    assert len(links.exposed(config, {})) == 2
    assert {name: set(keys) for name, keys in example_secrets().items()}.items() <= {
        name: set(keys) for name, keys in fresh_secrets().items()
    }.items()


@pytest.mark.parametrize("folder", BUILDS[1:])
def test_rtchat_serves_with_the_settings_of_an_overlay(folder: str, tmp_path: Path) -> None:
    """And with secrets of the form that is described: those of the script, or TLS as commented."""
    values = fresh_secrets()
    (tmp_path / "ca.pem").write_text("")
    if folder == "overlays/production":
        text = EXAMPLE.read_text()
        assert "$T" in text
        assert "ssl_ca_certs=/etc/rtchat/ca/ca.pem" in text
        postgres = values["rtchat"]["database-url"]
        options = f"sslmode=verify-full&sslrootcert={tmp_path / 'ca.pem'}"
        values["rtchat"] |= {
            "database-url": f"{postgres}?{options}",
            "redis-urls": f"rediss://rtchat:x@redis.example?ssl_ca_certs={tmp_path / 'ca.pem'}",
        }
    mount(values, tmp_path)
    variables = mounted(environment(written(folder)), tmp_path)
    config, _ = settings.load(variables)
    settings.require_production(config)
    assert settings.open_to_all(variables) == []
    assert config.internal_token == values["rtchat"]["internal-token"]
    assert (config.password_min_chars >= 15) == (folder == "overlays/production")


def test_production_needs_tls(tmp_path: Path) -> None:
    mount(fresh_secrets(), tmp_path)
    config, _ = settings.load(mounted(environment(written("overlays/production")), tmp_path))
    with pytest.raises(ConfigError, match="RTCHAT_DATABASE_URL leads to another machine"):
        settings.require_production(config)


def test_the_migration_grants_the_role_that_serves() -> None:
    words = first(pod_templates(written("base"))["Job/rtchat-migrate"])["command"]
    assert words[-2] == "--grant"
    for values in (example_secrets(), fresh_secrets()):
        assert urlsplit(values["rtchat"]["database-url"]).username == words[-1]
        assert urlsplit(values["rtchat-migrate"]["migrate-url"]).username != words[-1]


# --- that it works


@pytest.fixture
def local_pod(
    postgres: EmbeddedPostgres | Given, valkey: PrivateValkey | Given, tmp_path: Path
) -> Iterator[LocalPod]:
    """The local overlay's pod, with its roles and its empty database."""
    pod = LocalPod(written("overlays/local"), postgres.url, valkey.url, tmp_path)
    pod.make_roles()
    try:
        yield pod
    finally:
        pod.kill()
        execute(
            postgres.url,
            f"DROP DATABASE {pod.database} WITH (FORCE)",
            f"DROP ROLE {pod.role}",
            f"DROP ROLE {pod.owner}",
        )


def execute(url: str, *statements: str) -> None:
    async def run() -> None:
        connection = await asyncpg.connect(url)
        for statement in statements:
            await connection.execute(statement)
        await connection.close()

    with asyncio.Runner() as runner:
        runner.run(run())


def scaled_by() -> str:
    """The metric that the autoscaler asks for, and prometheus-adapter's values have a rule for."""
    hpa = one(written("overlays/production"), "HorizontalPodAutoscaler")["spec"]
    (name,) = {m["pods"]["metric"]["name"] for m in hpa["metrics"] if m["type"] == "Pods"}
    (values,) = read(K8S / "monitoring" / "prometheus-adapter.yaml")
    (rule,) = values["rules"]["custom"]
    assert rule["name"] == {"matches": f"^{name}$", "as": name}
    assert rule["seriesQuery"].startswith(f"{name}{{")
    return str(name)


def test_the_local_overlay_works(local_pod: LocalPod) -> None:
    """The Job, the Deployment, the probes, the scrape, the pre-stop hook and the end, for real."""
    assert local_pod.run("Deployment/rtchat", ["rtchat", "serve"]).returncode == 3  # no tables yet
    done = local_pod.migrate()
    assert done.returncode == 0, done.stderr
    renewed = local_pod.run("Job/rtchat-migrate", RENEWS)  # with what its Job has, too
    assert renewed.returncode == 0, renewed.stderr
    local_pod.start()
    for probe in ("livenessProbe", "readinessProbe"):
        answer = local_pod.probe(probe)
        assert answer is not None, local_pod.log
        assert answer.status_code == 200, answer.text
    scrape = one(written("overlays/production"), "ServiceMonitor")["spec"]["endpoints"][0]
    bearer = {"Authorization": f"Bearer {local_pod.token}"}
    scraped = local_pod.get(scrape["port"], scrape["path"], headers=bearer)
    assert scraped.status_code == 200
    assert f"\n{scaled_by()} 0" in scraped.text
    assert local_pod.get(scrape["port"], scrape["path"]).status_code == 401
    assert local_pod.get("http", scrape["path"], headers=bearer).status_code == 404
    drained = local_pod.pre_stop()
    assert drained.returncode == 0, drained.stderr
    ready, alive = local_pod.probe("readinessProbe"), local_pod.probe("livenessProbe")
    assert ready is not None
    assert alive is not None
    assert (ready.status_code, alive.status_code) == (503, 200)
    assert local_pod.stop() == 0, local_pod.log
