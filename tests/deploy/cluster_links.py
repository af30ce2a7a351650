"""Names that point at one another: each object that is named exists, each selector finds its pods.

Owns: the rules between objects of one build, as functions to what is wrong. A cluster takes objects
whose names lead nowhere, and says nothing.
"""

import re
from collections.abc import Iterator, Mapping

from tests.deploy.cluster_files import GENERATED, Object, name_of, one, pod_templates
from tests.deploy.cluster_security import containers

# Made by hand, as secrets.example.yaml and overlays/production/ingress.yaml say.
BY_HAND = {"ConfigMap/rtchat-ca", "Secret/rtchat-tls"}


def findings(things: list[Object], secrets: Mapping[str, set[str]]) -> list[str]:
    """What leads nowhere. `secrets`: the keys of each Secret that is made beforehand."""
    return [
        *_doubles(things),
        *_mounts(things, secrets),
        *_services(things),
        *_ways_in(things),
        *_targets(things),
        *_monitors(things, secrets),
    ]


def selects(selector: Mapping[str, str], labels: Mapping[str, str]) -> bool:
    """Whether labels are what a selector asks for."""
    return selector.items() <= labels.items()


def _labels(template: Object) -> Mapping[str, str]:
    labels: Mapping[str, str] = template["metadata"]["labels"]
    return labels


def _doubles(things: list[Object]) -> Iterator[str]:
    names = [name_of(each) for each in things]
    yield from (f"{name} is there twice" for name in set(names) if names.count(name) > 1)


def _mounts(things: list[Object], secrets: Mapping[str, set[str]]) -> Iterator[str]:
    known = {name_of(each) for each in things} | {f"Secret/{name}" for name in secrets} | BY_HAND
    known |= {re.sub(GENERATED, "", name) for name in known if name.startswith("ConfigMap/")}
    for owner, template in pod_templates(things).items():
        for named in _named(template["spec"]):
            if named not in known:
                yield f"{owner} needs {named}"
        for container in containers(template["spec"]):
            yield from (f"{owner}: {each}" for each in _files(template, container, secrets))
    for each in things:
        spec = each.get("spec") or {}
        selector = spec.get("selector", {}).get("matchLabels")
        if selector and "template" in spec and not selects(selector, _labels(spec["template"])):
            yield f"{name_of(each)} does not select its own pods"


def _named(spec: Object) -> Iterator[str]:
    if "serviceAccountName" in spec:
        yield f"ServiceAccount/{spec['serviceAccountName']}"
    for volume in spec.get("volumes", ()):
        if "secret" in volume:
            yield f"Secret/{volume['secret']['secretName']}"
        if "configMap" in volume:
            yield f"ConfigMap/{volume['configMap']['name']}"
    for container in containers(spec):
        yield from (f"ConfigMap/{e['configMapRef']['name']}" for e in container.get("envFrom", ()))


def _files(template: Object, container: Object, secrets: Mapping[str, set[str]]) -> Iterator[str]:
    """Variables …_FILE whose file no mounted Secret has."""
    volumes = {each["name"]: each for each in template["spec"].get("volumes", ())}
    claims = {mount["name"] for mount in container.get("volumeMounts", ())} - volumes.keys()
    yield from (f"no volume {name}" for name in claims - {"data"})  # a claim of a StatefulSet
    there = set()
    for mount in container.get("volumeMounts", ()):
        secret = volumes.get(mount["name"], {}).get("secret", {}).get("secretName")
        there |= {f"{mount['mountPath']}/{key}" for key in secrets.get(secret, ())}
    for variable in container.get("env", ()):
        if variable["name"].endswith("_FILE") and variable["value"] not in there:
            yield f"{variable['name']} names {variable['value']}, which is not mounted"


def _services(things: list[Object]) -> Iterator[str]:
    """Each Service finds the pods of one owner, and each of its ports is one of theirs."""
    for service in (each for each in things if each["kind"] == "Service"):
        selector = service["spec"]["selector"]
        found = {
            owner: template
            for owner, template in pod_templates(things).items()
            if selects(selector, _labels(template))
        }
        if len(found) != 1:
            yield f"{name_of(service)} selects {sorted(found)}"
        for template in found.values():
            ports = {
                port["name"]
                for each in containers(template["spec"])
                for port in each.get("ports", ())
            }
            for port in service["spec"]["ports"]:
                if port.get("targetPort", port["port"]) not in ports:
                    yield f"{name_of(service)} leads to {port}, of {ports}"


def _ways_in(things: list[Object]) -> Iterator[str]:
    for ingress in (each for each in things if each["kind"] == "Ingress"):
        for rule in ingress["spec"]["rules"]:
            for path in rule["http"]["paths"]:
                to = path["backend"]["service"]
                ports = one(things, "Service", to["name"])["spec"]["ports"]
                if to["port"].get("name") not in {port["name"] for port in ports}:
                    yield f"{name_of(ingress)} leads to {to}"
        hosts = {rule.get("host") for rule in ingress["spec"]["rules"]}
        for tls in ingress["spec"].get("tls", ()):
            if set(tls["hosts"]) != hosts:
                yield f"{name_of(ingress)} has TLS for {tls['hosts']}, of {hosts}"
            if f"Secret/{tls['secretName']}" not in BY_HAND:
                yield f"{name_of(ingress)} has the certificate {tls['secretName']}"


def _targets(things: list[Object]) -> Iterator[str]:
    """What the autoscaler scales, the budget guards and a policy is for."""
    templates = pod_templates(things)
    for each in things:
        if each["kind"] == "HorizontalPodAutoscaler":
            target = each["spec"]["scaleTargetRef"]
            if "replicas" in one(things, target["kind"], target["name"])["spec"]:
                yield f"{name_of(each)} and its target both say how many pods there are"
        if each["kind"] == "PodDisruptionBudget":
            selector = each["spec"]["selector"]["matchLabels"]
            found = [owner for owner, pod in templates.items() if selects(selector, _labels(pod))]
            if found != ["Deployment/rtchat"]:
                yield f"{name_of(each)} is for {found}"
        if each["kind"] == "NetworkPolicy":
            selector = each["spec"]["podSelector"].get("matchLabels", {})
            if not any(selects(selector, _labels(pod)) for pod in templates.values()):
                yield f"{name_of(each)} is for no pod"


def _monitors(things: list[Object], secrets: Mapping[str, set[str]]) -> Iterator[str]:
    services = [each for each in things if each["kind"] == "Service"]
    for monitor in (each for each in things if each["kind"] == "ServiceMonitor"):
        selector = monitor["spec"]["selector"]["matchLabels"]
        found = [s for s in services if selects(selector, s["metadata"].get("labels", {}))]
        if [each["metadata"]["name"] for each in found] != ["rtchat-internal"]:
            yield f"{name_of(monitor)} selects {[name_of(each) for each in found]}"
        ports = {port["name"] for each in found for port in each["spec"]["ports"]}
        for endpoint in monitor["spec"]["endpoints"]:
            if endpoint["port"] not in ports:
                yield f"{name_of(monitor)} scrapes {endpoint['port']}, of {ports}"
            key = endpoint["authorization"]["credentials"]
            if key["key"] not in secrets.get(key["name"], ()):
                yield f"{name_of(monitor)} has its token from {key}"
