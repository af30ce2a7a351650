"""What Dockerfile, compose, nginx and Prometheus have in common with the manifests and the code.

Owns: the relations, as functions from what was read to what does not agree. What is wrong with one
file by itself is tested beside it.
"""

import re
from collections.abc import Iterator, Mapping
from typing import Any

from rtchat import settings
from rtchat.config import Config, ConfigError
from tests.deploy.cluster_around import Directive, Image, seconds, variables_of
from tests.deploy.cluster_files import Object
from tests.deploy.cluster_numbers import STARTS_S, config_of, hold_s

VARIABLE = re.compile(r"\bRTCHAT_[A-Z][A-Z0-9_]*[A-Z0-9]\b")
NAMES = {settings.PREFIX + name.upper() for name in settings.NAMES}
KNOWN = NAMES | {f"{name}_FILE" for name in NAMES}
SIZES = {"k": 2**10, "m": 2**20, "g": 2**30}


def strangers(text: str) -> set[str]:
    """Variables that a text names and rtchat does not read."""
    ours = (word for word in VARIABLE.findall(text) if not word.startswith(settings.OTHER_PREFIXES))
    return set(ours) - KNOWN - set(settings.OTHER_VARIABLES)


def of_image(image: Image, spec: Object) -> Iterator[str]:
    """The image against the pod that runs it."""
    config = config_of({k: v for k, v in image.variables.items() if k in NAMES})
    container, context = spec["containers"][0], spec["securityContext"]
    if image.user != f"{context['runAsUser']}:{context['runAsGroup']}":
        yield f"the image's user is {image.user}, the pod's {context}"
    ports = {config.port, config.internal_port}
    if image.ports != ports:
        yield f"the image exposes {image.ports}, and listens on {ports}"
    if ports != {port["containerPort"] for port in container["ports"]}:
        yield f"the pod has {container['ports']}, the image listens on {ports}"
    if image.entrypoint + image.command != container["command"]:
        yield f"the image runs {image.entrypoint + image.command}, the pod {container['command']}"
    if container["livenessProbe"]["httpGet"]["path"] not in image.health:
        yield f"the image's health is {image.health}"
    if image.stop_signal != "SIGTERM":
        yield f"the image is stopped with {image.stop_signal}, and rtchat waits for SIGTERM"


def ours(compose: Object) -> dict[str, Object]:
    """The services of compose that run rtchat's image."""
    return {
        name: service
        for name, service in compose["services"].items()
        if image_name(service.get("image", "")) == "rtchat"
    }


def image_name(reference: str) -> str:
    """The last part of an image's name: no registry, no tag, no digest."""
    return reference.partition("@")[0].rpartition("/")[2].partition(":")[0]


def serving(compose: Object) -> dict[str, Object]:
    """Those of them that serve: they run what the image runs by default."""
    found = {}
    for name, service in ours(compose).items():
        words = service.get("command") or ["serve"]
        words = words.split() if isinstance(words, str) else words
        if words[0] == "serve" or words[:2] == ["rtchat", "serve"]:
            found[name] = service
    return found


def of_compose(compose: Object, image: Image) -> Iterator[str]:
    """Each pod of compose: its settings are accepted, and it has time to end."""
    if len(serving(compose)) < 2:
        yield f"{list(serving(compose))} serve, and two pods are meant to"
    for name, service in ours(compose).items():
        variables = {k: v for k, v in image.variables.items() if k in NAMES}
        variables |= variables_of(service)
        if "user" in service and str(service["user"]) != image.user:
            yield f"{name} runs as {service['user']}, the image as {image.user}"
        try:
            config = config_of({k: v for k, v in variables.items() if k.startswith("RTCHAT_")})
        except ConfigError as error:
            yield f"{name}: {error}"
            continue
        if name in serving(compose):
            yield from (f"{name}: {each}" for each in _of_pod(service, image, config))


def _of_pod(service: Object, image: Image, config: Config) -> Iterator[str]:
    if {config.port, config.internal_port} != image.ports:
        yield f"it listens on {config.port} and {config.internal_port}, of {image.ports}"
    published = [str(port) for port in service.get("ports", ())]
    if any(port.rpartition(":")[2] == str(config.internal_port) for port in published):
        yield "the operators' port is published"
    hooks = [hook["command"] for hook in service.get("pre_stop", ())]
    held = sum(hold_s(words) for words in hooks)
    needed = config.shutdown_s + held + STARTS_S
    if seconds(service.get("stop_grace_period", 10)) < needed:
        yield f"it is killed after {service.get('stop_grace_period', 10)}, and needs {needed} s"


def _size(text: str) -> int:
    unit = text[-1].lower()
    return int(text[:-1]) * SIZES[unit] if unit in SIZES else int(text)


def of_nginx(directives: list[Directive], config: Config, pods: Mapping[str, Any]) -> Iterator[str]:
    """The proxy: silent sockets stay, operators' paths do not leave, answers are rtchat's."""
    said = [(each.where, each.words) for each in directives]

    def values(name: str, *inside: str) -> list[str]:
        found = [
            words[1] for where, words in said if words[0] == name and set(inside) <= set(where)
        ]
        return found or [""]

    silence_s = config.heartbeat_s + config.heartbeat_timeout_s
    for name in ("proxy_read_timeout", "proxy_send_timeout"):
        at_ws = values(name, "location = /ws")[0]
        if not at_ws or seconds(at_ws) <= silence_s:
            yield f"{name} of /ws is {at_ws}, and a living client may be silent for {silence_s} s"
    if seconds(values("proxy_read_timeout")[0] or 60) * 1000 <= config.write_timeout_ms:
        yield "a write may take longer than the proxy waits"
    idle = values("keepalive_timeout", "upstream rest")[0]
    if not idle or seconds(idle) >= config.keep_alive_s:
        yield f"idle connections to pods are kept for {idle}, and pods end them first"
    biggest = _size(values("client_max_body_size")[0] or "1m")
    if not config.body_max_bytes < biggest <= config.body_drain_bytes:
        yield f"bodies of up to {biggest} pass, rtchat takes {config.body_max_bytes}"
    for path in ("/metrics", "/internal/"):
        closed = [w for where, w in said if where and path in where[-1] and w == ("return", "404")]
        if not closed:
            yield f"{path} leads to the pods"
    servers = {words[1] for _, words in said if words[0] == "server"}
    if servers != {f"{name}:{config.port}" for name in pods}:
        yield f"nginx knows the pods {sorted(servers)}, compose has {sorted(pods)}"


def of_prometheus(
    scrapes: Object, config: Config, monitor: Object, pods: Mapping[str, Any]
) -> Iterator[str]:
    """Prometheus in compose scrapes what the ServiceMonitor scrapes."""
    jobs = [each for each in scrapes["scrape_configs"] if each["job_name"] == "rtchat"]
    if len(jobs) != 1:
        yield f"{len(jobs)} jobs scrape rtchat"
        return
    (job,) = jobs
    endpoint = monitor["spec"]["endpoints"][0]
    if job.get("metrics_path", "/metrics") != endpoint["path"]:
        yield f"{job['metrics_path']} is scraped, and {endpoint['path']} in Kubernetes"
    targets = {target for each in job.get("static_configs", ()) for target in each["targets"]}
    if targets != {f"{name}:{config.internal_port}" for name in pods}:
        yield f"{sorted(targets)} are scraped, of {sorted(pods)} on {config.internal_port}"
    if not str(job.get("authorization", {}).get("credentials_file", "")).startswith("/run/secrets"):
        yield "the token comes from no secret"
