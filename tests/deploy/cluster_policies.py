"""Who may reach whom: the NetworkPolicies of a build, evaluated as a cluster's network would.

Owns: what policies mean (https://kubernetes.io/docs/concepts/services-networking/network-policies/),
and the tables of who has to reach what and who must not. Must never: look at a policy's name or
count its ports; only what gets through says whether it is right.
"""

import ipaddress
from collections.abc import Iterator, Mapping
from typing import NamedTuple

from tests.deploy.cluster_files import Object, pod_templates

NAMESPACE = "rtchat"
NAME, COMPONENT = "app.kubernetes.io/name", "app.kubernetes.io/component"
STORES = {"postgres": 5432, "valkey": 6379}  # and their ports, everywhere
OF_NAMESPACE = "kubernetes.io/metadata.name"  # which Kubernetes itself puts on each


class Pod(NamedTuple):
    """One that runs in the cluster."""

    labels: Mapping[str, str]
    namespace: str = NAMESPACE


class Outside(NamedTuple):
    """An address that is no pod's."""

    address: str


End = Pod | Outside


class Way(NamedTuple):
    """A connection that somebody might try."""

    words: str
    source: End
    target: End
    port: int
    protocol: str = "TCP"


def selected(selector: Object, labels: Mapping[str, str]) -> bool:
    """Whether labels are what a selector asks for; an empty one asks for nothing."""
    if not selector.get("matchLabels", {}).items() <= labels.items():
        return False
    return all(_expressed(each, labels) for each in selector.get("matchExpressions", ()))


def _expressed(expression: Object, labels: Mapping[str, str]) -> bool:
    key, values = expression["key"], expression.get("values", ())
    meant = {
        "In": labels.get(key) in values,
        "NotIn": labels.get(key) not in values,
        "Exists": key in labels,
        "DoesNotExist": key not in labels,
    }
    return meant[expression["operator"]]


def _is_peer(peer: Object, end: End) -> bool:
    """Whether an end is one of those that `from` or `to` names; policies are of our namespace."""
    if block := peer.get("ipBlock"):
        return isinstance(end, Outside) and _in_block(block, end.address)
    if not isinstance(end, Pod):
        return False
    if "namespaceSelector" in peer:
        there = selected(peer["namespaceSelector"], {OF_NAMESPACE: end.namespace})
    else:
        there = end.namespace == NAMESPACE
    return there and selected(peer.get("podSelector", {}), end.labels)


def _in_block(block: Object, address: str) -> bool:
    at = ipaddress.ip_address(address)
    inside = [
        at in ipaddress.ip_network(each) for each in (block["cidr"], *block.get("except", ()))
    ]
    return inside[0] and not any(inside[1:])


def _lets(things: list[Object], end: End, direction: str, peer: End, way: Way) -> bool:
    """Whether policies that are for that end let the way through; where none is, all may."""
    if not isinstance(end, Pod) or end.namespace != NAMESPACE:
        return True
    kind, peers = {"out": ("Egress", "to"), "in": ("Ingress", "from")}[direction]
    rules = [
        each["spec"].get(kind.lower(), ())
        for each in things
        if each["kind"] == "NetworkPolicy"
        and kind in each["spec"]["policyTypes"]
        and selected(each["spec"]["podSelector"], end.labels)
    ]
    return not rules or any(_fits(rule, peers, peer, way) for each in rules for rule in each)


def _fits(rule: Object, peers: str, peer: End, way: Way) -> bool:
    if peers in rule and not any(_is_peer(each, peer) for each in rule[peers]):
        return False
    return "ports" not in rule or any(
        (each.get("protocol", "TCP"), each.get("port", way.port)) == (way.protocol, way.port)
        for each in rule["ports"]
    )


def allowed(things: list[Object], way: Way) -> bool:
    """Whether a cluster that enforces the policies of a build lets a connection through."""
    leaves = _lets(things, way.source, "out", way.target, way)
    return leaves and _lets(things, way.target, "in", way.source, way)


# --- who is there

SERVER = Pod({NAME: "rtchat", COMPONENT: "server"})
MIGRATE = Pod({NAME: "rtchat", COMPONENT: "migrate"})
EPOCH = Pod({NAME: "rtchat", COMPONENT: "epoch"})
OPERATOR = Pod({"rtchat/operator": "true"})
STRANGER = Pod({NAME: "something"})
ANYWHERE = Outside("203.0.113.7")
CONTROLLER = Pod({NAME: "ingress-nginx", COMPONENT: "controller"}, "ingress-nginx")
PROMETHEUS = Pod({NAME: "prometheus"}, "monitoring")
DNS = Pod({"k8s-app": "kube-dns"}, "kube-system")
COLLECTOR = Pod({NAME: "opentelemetry-collector"}, "monitoring")

MUST = (
    Way("clients, by the ingress controller", CONTROLLER, SERVER, 8000),
    Way("Prometheus", PROMETHEUS, SERVER, 8001),
    Way("an operator's pod", OPERATOR, SERVER, 8001),
    Way("rtchat stat in a pod", SERVER, SERVER, 8001),
    *(
        Way(f"names, by {protocol}", pod, DNS, 53, protocol)
        for pod in (SERVER, MIGRATE, EPOCH)
        for protocol in ("UDP", "TCP")
    ),
    Way("names, by the node's cache", SERVER, Outside("169.254.20.10"), 53, "UDP"),
)
MUST_NOT = (
    *(
        Way(f"{words}, to clients' port", source, SERVER, 8000)
        for words, source in (
            ("a pod of this namespace", STRANGER),
            ("a pod of another namespace", STRANGER._replace(namespace="default")),
            ("one that says it were the controller", CONTROLLER._replace(namespace="default")),
            ("another pod beside the controller", Pod({}, "ingress-nginx")),
            ("Prometheus", PROMETHEUS),
            ("an operator's pod", OPERATOR),
            ("another pod that serves", SERVER),
            ("the migration", MIGRATE),
            ("the Internet", ANYWHERE),
        )
    ),
    *(
        Way(f"{words}, to operators' port", source, SERVER, 8001)
        for words, source in (
            ("the ingress controller", CONTROLLER),
            ("another pod of monitoring", Pod({NAME: "grafana"}, "monitoring")),
            ("one that says it were Prometheus", PROMETHEUS._replace(namespace="default")),
            ("an operator's pod of another namespace", OPERATOR._replace(namespace="default")),
            ("a pod of this namespace", STRANGER),
            ("the migration", MIGRATE),
            ("the Internet", ANYWHERE),
        )
    ),
    *(
        Way(f"a pod that serves, to {words}", SERVER, target, port)
        for words, target, port in (
            ("the cloud's metadata", Outside("169.254.169.254"), 80),
            ("the cloud's metadata by 443", Outside("169.254.169.254"), 443),
            ("the API of Kubernetes", Outside("10.96.0.1"), 443),
            ("the neighbourhood", Outside("192.168.1.1"), 443),
            ("the neighbourhood by IPv6", Outside("fd00::1"), 443),
            ("the Internet by 80", ANYWHERE, 80),
            ("a pod of this namespace", STRANGER, 443),
            ("another pod of kube-system", Pod({}, "kube-system"), 53),
        )
    ),
    Way("the migration, to the Internet", MIGRATE, ANYWHERE, 443),
    Way("a stranger, into the migration", STRANGER, MIGRATE, 8000),
)
SINGLE_SIGN_ON = Way("a provider of single sign-on", SERVER, ANYWHERE, 443)
TRACES = Way("a collector of traces", SERVER, COLLECTOR, 4318)


def _stores(things: list[Object]) -> Iterator[tuple[str, int, list[End]]]:
    """Of each store its port, and where it is: pods of the build, or networks that a policy has."""
    templates = pod_templates(things)
    for name, port in STORES.items():
        if pod := templates.get(f"StatefulSet/{name}"):
            yield name, port, [Pod(pod["metadata"]["labels"])]
        else:
            yield name, port, [*_networks(things, port)]


def _networks(things: list[Object], port: int) -> Iterator[End]:
    """An address in each network to which some policy of ours lets out by this port."""
    for each in (each for each in things if each["kind"] == "NetworkPolicy"):
        for rule in each["spec"].get("egress", ()):
            if port in {each["port"] for each in rule.get("ports", ())}:
                blocks = [peer["ipBlock"]["cidr"] for peer in rule["to"] if "ipBlock" in peer]
                yield from (Outside(str(ipaddress.ip_network(block)[1])) for block in blocks)


def _to_stores(things: list[Object]) -> Iterator[tuple[bool, Way]]:
    """Ways to the stores, and whether each has to be open."""
    for name, port, places in _stores(things):
        if not places:
            yield True, Way(f"{name}, wherever it is", SERVER, ANYWHERE, port)
        for place in places:
            yield True, Way(f"a pod that serves, to {name}", SERVER, place, port)
            if name == "postgres":
                yield True, Way("the migration, to postgres", MIGRATE, place, port)
                yield True, Way("the epoch's Job, to postgres", EPOCH, place, port)
            if isinstance(place, Pod):
                yield False, Way(f"a pod of this namespace, to {name}", STRANGER, place, port)
                other = STRANGER._replace(namespace="default")
                yield False, Way(f"a pod of another namespace, to {name}", other, place, port)
                yield False, Way(f"{name}, to the Internet", place, ANYWHERE, 443)
            else:
                yield False, Way(f"a pod that serves, to {name} by 22", SERVER, place, 22)
                yield False, Way(f"{name} elsewhere", SERVER, ANYWHERE, port)


def ways(things: list[Object]) -> list[tuple[bool, Way]]:
    """All that is asked of a build: each way, and whether it has to be open."""
    is_base = not {"StatefulSet", "HorizontalPodAutoscaler"} & {each["kind"] for each in things}
    return [
        *((True, way) for way in MUST),
        *((False, way) for way in MUST_NOT),
        *(() if is_base else _to_stores(things)),  # the base knows of no stores
    ]


def findings(things: list[Object]) -> list[str]:
    """Ways that are shut and have to be open, or the other way round."""
    said = {True: "must get through", False: "gets through"}
    return [
        f"{way.words}: {said[must]}" for must, way in ways(things) if must != allowed(things, way)
    ]
