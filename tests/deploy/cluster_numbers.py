"""The numbers of the manifests against those of the code: how a pod ends, is probed and is sized.

Owns: the relations, as functions from the objects of a build to what does not fit. What the numbers
are is read from where they are used: the settings that the pod would have, rtchat's own bounds, and
the figures of docs/operations.md.
"""

import re
from collections.abc import Iterator, Mapping

from rtchat import drain, prestop, settings
from rtchat.api import routes
from rtchat.api.handlers import health
from rtchat.config import Config
from tests.deploy import cluster_policies
from tests.deploy.cluster_files import GENERATED, ROOT, Object, one, pod_templates

STARTS_S = 5  # for the hook to start on a busy node, and for the kubelet between its steps
STALL_S = 3  # of the event loop: it must kill nobody
LIVENESS_S = 20  # what a garbage collection or a node's hiccup may take beyond that
CPU_PERCENT = 80  # of the one core that a process uses
HUNG_S = 30  # no longer does a pod that hangs hold its place, once liveness has given it up
UPSTREAM_IDLE_S = (
    90  # Traefik keeps an idle connection to a pod so long by default; ingress-nginx 60
)
BINARY = {"Ki": 2**10, "Mi": 2**20, "Gi": 2**30}


def environment(things: list[Object], owner: str = "Deployment/rtchat") -> dict[str, str]:
    """The variables of the first container of that owner's pods."""
    container = pod_templates(things)[owner]["spec"]["containers"][0]
    found: dict[str, str] = {}
    for source in container.get("envFrom", ()):
        found |= one(things, "ConfigMap", re.sub(GENERATED, "", source["configMapRef"]["name"]))[
            "data"
        ]
    return found | {each["name"]: each["value"] for each in container.get("env", ())}


def config_of(variables: Mapping[str, str]) -> Config:
    """The settings of those variables; those in files, which are secrets, left out."""
    return settings.load({k: v for k, v in variables.items() if not k.endswith("_FILE")})[0]


def findings(things: list[Object]) -> list[str]:
    """What does not fit."""
    config = config_of(environment(things))
    deployment = one(things, "Deployment")
    container = deployment["spec"]["template"]["spec"]["containers"][0]
    return [
        *_end(deployment["spec"], container, config),
        *_probes(container, config),
        *_ports(things, container, config),
        *cluster_policies.findings(things),
        *_proxy(things, config),
        *_memory(container, config),
        *_spread(deployment["spec"]["template"]["spec"]),
        *_scale(things, container, config),
        *_disruptions(things),
    ]


def hold_s(command: list[str]) -> float:
    """How long a pre-stop command holds SIGTERM back at least."""
    assert command[:2] == ["rtchat", "drain"], command
    return float(command[command.index("--hold") + 1]) if "--hold" in command else 0.0


def _end(spec: Object, container: Object, config: Config) -> Iterator[str]:
    """From the start of the pre-stop hook to SIGKILL there is time for everything."""
    hook = container.get("lifecycle", {}).get("preStop", {}).get("exec", {}).get("command")
    if not hook:
        yield "there is no pre-stop hook"
        return
    hook_s = max(hold_s(hook), config.drain_s + prestop.EXTRA_S)
    needed = hook_s + config.shutdown_s + STARTS_S
    grace = spec["template"]["spec"]["terminationGracePeriodSeconds"]
    if grace < needed:
        yield f"{grace} s of grace, and {needed} s are needed"
    away_s = config.drain_s + drain.ANSWERS_S + config.drain_return_ms / 1000
    if spec.get("minReadySeconds", 0) < away_s:
        yield f"the next pod goes before {away_s} s, when clients are back from the last one"
    if spec["strategy"]["rollingUpdate"]["maxUnavailable"] != 0:
        yield "a rollout begins by taking room away"


def _probes(container: Object, config: Config) -> Iterator[str]:
    ports = {port["name"]: port["containerPort"] for port in container["ports"]}
    public = {r.path: r for r in routes.public(config) if r.method == "GET" and not r.auth}
    inside = {r.path: r for r in routes.internal(config) if r.method == "GET"}
    for name in ("startupProbe", "livenessProbe", "readinessProbe"):
        get = container.get(name, {}).get("httpGet")
        if get is None:
            yield f"no {name}"
            return
        there = inside if ports.get(get["port"]) == config.internal_port else public
        if get["port"] not in ports or get["path"] not in there:
            yield f"{name} asks for {get}, which is not served"
    live, ready = container["livenessProbe"], container["readinessProbe"]
    patience = (live["failureThreshold"] - 1) * live["periodSeconds"] + live["timeoutSeconds"]
    if live["timeoutSeconds"] <= STALL_S or patience < STALL_S + LIVENESS_S:
        yield f"a stall of {STALL_S} s, or {patience} s of trouble, kill a pod"
    if live.get("terminationGracePeriodSeconds", HUNG_S + 1) > HUNG_S:
        yield "a pod that hangs is waited for"
    if live["httpGet"]["path"] != "/healthz":
        yield "liveness asks the database: when that is away, all pods are killed"
    if ready["httpGet"]["path"] != "/readyz":
        yield "readiness does not ask whether it serves"
    if ready["timeoutSeconds"] <= health.READY_TIMEOUT_S:
        yield "readiness gives up before /readyz does"
    start = container["startupProbe"]
    if start["failureThreshold"] * start["periodSeconds"] < 30:
        yield "a slow start is killed"


def _ports(things: list[Object], container: Object, config: Config) -> Iterator[str]:
    ports = {port["name"]: port["containerPort"] for port in container["ports"]}
    if ports != {"http": config.port, "internal": config.internal_port}:
        yield f"the container has {ports}, rtchat listens on {config.port}, {config.internal_port}"
    if config.host not in ("0.0.0.0", "::"):
        yield f"it listens on {config.host}, where nobody comes"
    internal = one(things, "Service", "rtchat-internal")["spec"]["ports"][0]["port"]
    if internal != config.internal_port:  # headless: clients connect to the pods' own port
        yield f"rtchat-internal has port {internal}"
    if not one(things, "Service", "rtchat-internal")["spec"].get("publishNotReadyAddresses"):
        yield "rtchat-internal leaves out the pods that are not ready, which operators look for"


def _proxy(things: list[Object], config: Config) -> Iterator[str]:
    silence_s = config.heartbeat_s + config.heartbeat_timeout_s
    annotations = one(things, "Ingress")["metadata"]["annotations"]
    for name in ("proxy-read-timeout", "proxy-send-timeout"):
        seconds = int(annotations.get(f"nginx.ingress.kubernetes.io/{name}", 60))
        if seconds <= silence_s:
            yield f"{name} is {seconds} s, and a living client may be silent for {silence_s} s"
    if config.keep_alive_s <= UPSTREAM_IDLE_S:
        yield f"idle connections end after {config.keep_alive_s} s, and the controller uses them"


def quantity(text: str) -> float:
    """A Kubernetes quantity as a number: 1Gi, 100m, 2."""
    if text.endswith("m"):
        return float(text[:-1]) / 1000
    return float(text[:-2]) * BINARY[text[-2:]] if text[-2:] in BINARY else float(text)


def measured() -> tuple[float, float]:
    """Of docs/operations.md: bytes of a process without clients, and of an idle connection."""
    text = (ROOT / "docs" / "operations.md").read_text()
    row = re.search(
        r"^\| an idle connection, subscribed \| ([\d.]+) KB.*beside them a pod takes (\d+) MB",
        text,
        re.MULTILINE,
    )
    assert row, "docs/operations.md no longer says what a pod takes"
    return float(row[2]) * 1e6, float(row[1]) * 1e3


def needed_bytes(config: Config, connections: int) -> float:
    """What a pod takes with so many connections and its queues full."""
    process, connection = measured()
    queues = config.tail_max_bytes + config.queue_max_bytes + config.bus_queue_bytes
    return process + connections * connection + queues


def _memory(container: Object, config: Config) -> Iterator[str]:
    """At the most connections there is room for a thousand who do not read."""
    limit = quantity(container["resources"]["limits"]["memory"])
    slow = 1000 * config.write_high_bytes
    needed = needed_bytes(config, config.connections_max) + slow
    if not config.connections_max or limit < needed:
        yield f"{limit / 1e6:.0f} MB, and {needed / 1e6:.0f} MB may be needed"
    if "cpu" in container["resources"]["limits"]:
        yield "a limit of CPU stalls the loop when clients come back"


def _spread(spec: Object) -> Iterator[str]:
    """Over zones and nodes, as a wish."""
    wishes = {
        each["topologyKey"]
        for each in spec.get("topologySpreadConstraints", ())
        if each["whenUnsatisfiable"] == "ScheduleAnyway"
    }
    if wishes != {"topology.kubernetes.io/zone", "kubernetes.io/hostname"}:
        yield f"pods are spread over {sorted(wishes)}"


def _scale(things: list[Object], container: Object, config: Config) -> Iterator[str]:
    if not any(each["kind"] == "HorizontalPodAutoscaler" for each in things):
        return
    spec = one(things, "HorizontalPodAutoscaler")["spec"]
    pods = next(metric["pods"] for metric in spec["metrics"] if metric["type"] == "Pods")
    cpu = [each.get("containerResource", {}) for each in spec["metrics"]]
    shares = [each["target"]["averageUtilization"] for each in cpu if each.get("name") == "cpu"]
    if not shares or shares[0] > CPU_PERCENT:
        yield f"pods are added when CPU is at {shares} %, and acks wait from {CPU_PERCENT} on"
    wanted, least = int(pods["target"]["averageValue"]), spec["minReplicas"]
    if least < 3 or wanted * least / (least - 1) > config.connections_max:
        yield f"{least} pods of {wanted} connections have no room for those of one"
    if quantity(container["resources"]["requests"]["memory"]) < needed_bytes(config, wanted):
        yield f"{wanted} connections take more memory than a pod requests"
    down = spec["behavior"]["scaleDown"]
    if down["stabilizationWindowSeconds"] < 600 or len(down["policies"]) != 1:
        yield "pods go fast"
    (policy,) = down["policies"]
    if policy["value"] > 1 or policy["periodSeconds"] < 2 * config.drain_s:
        yield "pods go together"


def _disruptions(things: list[Object]) -> Iterator[str]:
    for budget in (each for each in things if each["kind"] == "PodDisruptionBudget"):
        if budget["spec"].get("maxUnavailable") != 1:
            yield f"nodes are emptied {budget['spec'].get('maxUnavailable')} pods at a time"
        if budget["spec"].get("unhealthyPodEvictionPolicy") != "AlwaysAllow":
            yield "a database that is away holds up nodes"


def postgres_connections(things: list[Object], config: Config) -> int:
    """What PostgreSQL must allow: of every pod, of the one more of a rollout, and of one that ends.

    A pod holds those of its lanes and its pool, and one for probes.
    """
    pods = one(things, "HorizontalPodAutoscaler")["spec"]["maxReplicas"]
    surge: int = one(things, "Deployment")["spec"]["strategy"]["rollingUpdate"]["maxSurge"]
    return (int(pods) + surge + 1) * (config.lanes + config.pool_max + 1)
