"""What must be found: changes to the manifests and to compose, each with what is said of it.

Owns: the tables that show that the checks can fail. Each change is made to a copy.
"""

from collections.abc import Callable

from tests.deploy.cluster_files import Object, one

OfPod = Callable[[Object], object]  # of a pod template, or of a service of compose
OfAll = Callable[[list[Object]], object]  # of the objects of a build


def first(template: Object) -> Object:
    """The first container of a pod template."""
    first: Object = template["spec"]["containers"][0]
    return first


def _pod(things: list[Object]) -> Object:
    found: Object = one(things, "Deployment")["spec"]["template"]["spec"]
    return found


def _server(things: list[Object]) -> Object:
    first: Object = one(things, "Deployment")["spec"]["template"]["spec"]["containers"][0]
    return first


def _set(name: str, value: str) -> OfAll:
    return lambda things: one(things, "ConfigMap")["data"].update({name: value})


def _policy(things: list[Object], name: str = "rtchat-server") -> Object:
    spec: Object = one(things, "NetworkPolicy", name)["spec"]
    return spec


def _budget(things: list[Object]) -> Object:
    spec: Object = one(things, "PodDisruptionBudget")["spec"]
    return spec


def _hpa(things: list[Object]) -> Object:
    spec: Object = one(things, "HorizontalPodAutoscaler")["spec"]
    return spec


# What a pod may do.
LOOSE: list[tuple[str, OfPod]] = [
    ("hostNetwork", lambda t: t["spec"].update(hostNetwork=True)),
    ("hostPort", lambda t: first(t)["ports"][0].update(hostPort=80)),
    ("volume hostPath", lambda t: t["spec"]["volumes"].append({"name": "x", "hostPath": {}})),
    ("runAsNonRoot", lambda t: t["spec"]["securityContext"].pop("runAsNonRoot")),
    ("runAsUser 0", lambda t: first(t)["securityContext"].update(runAsUser=0)),
    ("seccompProfile", lambda t: t["spec"]["securityContext"].pop("seccompProfile")),
    ("seccompProfile", lambda t: first(t)["securityContext"].update(
        seccompProfile={"type": "Unconfined"})),
    ("privileged", lambda t: first(t)["securityContext"].update(privileged=True)),
    ("Escalation", lambda t: first(t)["securityContext"].pop("allowPrivilegeEscalation")),
    ("not dropped", lambda t: first(t)["securityContext"].pop("capabilities")),
    ("are added", lambda t: first(t)["securityContext"]["capabilities"].update(add=["CHOWN"])),
    ("sysctl", lambda t: t["spec"]["securityContext"].update(sysctls=[{"name": "kernel.msgmax"}])),
    ("has a host", lambda t: first(t)["livenessProbe"]["httpGet"].update(host="10.0.0.1")),
    ("not set", lambda t: t["spec"].update(
        securityContext={}, initContainers=[{"name": "early", "image": "busybox:1.37.0"}])),
    ("token", lambda t: t["spec"].pop("automountServiceAccountToken")),
    ("RTCHAT_PORT", lambda t: t["spec"].pop("enableServiceLinks")),
    ("may read the secrets", lambda t: t["spec"]["volumes"][0]["secret"].pop("defaultMode")),
    ("no user", lambda t: t["spec"]["securityContext"].pop("runAsGroup")),
    ("can be written", lambda t: first(t)["securityContext"].pop("readOnlyRootFilesystem")),
    ("no limit", lambda t: first(t)["resources"].pop("limits")),
    ("no cpu", lambda t: first(t)["resources"]["requests"].pop("cpu")),
    ("no version", lambda t: first(t).update(image="example/rtchat-fork:latest")),
]  # fmt: skip


# Names.
ASTRAY: list[tuple[str, OfAll]] = [
    ("is there twice", lambda o: o.append(one(o, "PodDisruptionBudget"))),
    ("needs ServiceAccount", lambda o: o.remove(one(o, "ServiceAccount"))),
    ("needs ConfigMap/rtchat", lambda o: o.remove(one(o, "ConfigMap"))),
    ("needs Secret/other", lambda o: _pod(o)["volumes"][0]["secret"].update(secretName="other")),
    ("which is not mounted", lambda o: _pod(o)["containers"][0]["env"][0].update(
        value="/run/secrets/rtchat/key")),
    ("no volume", lambda o: _pod(o).pop("volumes")),
    ("its own pods", lambda o: one(o, "Deployment")["spec"]["selector"]["matchLabels"].update(
        x="y")),
    ("Service/rtchat selects", lambda o: one(o, "Service")["spec"]["selector"].pop(
        "app.kubernetes.io/component")),  # then the migration's pods, too
    ("Service/rtchat leads", lambda o: one(o, "Service")["spec"]["ports"][0].update(
        targetPort="https")),
    ("Ingress/rtchat leads", lambda o: one(o, "Ingress")["spec"]["rules"][0]["http"]["paths"][0][
        "backend"]["service"]["port"].update(name="web")),
    ("Ingress/rtchat has TLS", lambda o: one(o, "Ingress")["spec"].update(
        tls=[{"hosts": ["other.example"], "secretName": "rtchat-tls"}])),
    ("how many pods", lambda o: one(o, "Deployment")["spec"].update(replicas=3)),
    ("PodDisruptionBudget/rtchat is for []", lambda o: one(o, "PodDisruptionBudget")["spec"][
        "selector"]["matchLabels"].update({"app.kubernetes.io/component": "web"})),
    ("is for no pod", lambda o: one(o, "NetworkPolicy", "rtchat-server")["spec"]["podSelector"][
        "matchLabels"].update(x="y")),
    ("ServiceMonitor/rtchat selects", lambda o: one(o, "Service", "rtchat-internal")["metadata"][
        "labels"].clear()),
    ("ServiceMonitor/rtchat scrapes", lambda o: one(o, "ServiceMonitor")["spec"]["endpoints"][
        0].update(port="http")),
    ("has its token from", lambda o: one(o, "ServiceMonitor")["spec"]["endpoints"][0][
        "authorization"]["credentials"].update(key="token")),
]  # fmt: skip


# Numbers.
WRONG: list[tuple[str, OfAll]] = [
    ("s of grace", _set("RTCHAT_SHUTDOWN_S", "40")),
    ("s of grace", lambda o: one(o, "Deployment")["spec"]["template"]["spec"].update(
        terminationGracePeriodSeconds=30)),
    ("s of grace", lambda o: _server(o)["lifecycle"]["preStop"]["exec"].update(
        command=["rtchat", "drain", "--hold", "40"])),
    ("no pre-stop", lambda o: _server(o).pop("lifecycle")),
    ("when clients are back", lambda o: one(o, "Deployment")["spec"].pop("minReadySeconds")),
    ("taking room away", lambda o: one(o, "Deployment")["spec"]["strategy"][
        "rollingUpdate"].update(maxUnavailable=1)),
    ("which is not served", lambda o: _server(o)["startupProbe"]["httpGet"].update(
        path="/health")),
    ("which is not served", lambda o: _server(o)["livenessProbe"]["httpGet"].update(
        path="/channels")),
    ("which is not served", lambda o: _server(o)["readinessProbe"]["httpGet"].update(
        port="metrics")),
    ("kill a pod", lambda o: _server(o)["livenessProbe"].update(timeoutSeconds=1)),
    ("kill a pod", lambda o: _server(o)["livenessProbe"].update(failureThreshold=1)),
    ("asks the database", lambda o: _server(o)["livenessProbe"]["httpGet"].update(
        path="/readyz")),
    ("gives up", lambda o: _server(o)["readinessProbe"].update(timeoutSeconds=1)),
    ("whether it serves", lambda o: _server(o)["readinessProbe"]["httpGet"].update(
        path="/healthz")),
    ("slow start", lambda o: _server(o)["startupProbe"].update(failureThreshold=3)),
    ("no livenessProbe", lambda o: _server(o).pop("livenessProbe")),
    ("rtchat listens on", _set("RTCHAT_PORT", "8080")),
    ("rtchat listens on", _set("RTCHAT_INTERNAL_PORT", "0")),
    ("where nobody comes", _set("RTCHAT_HOST", "127.0.0.1")),
    ("rtchat-internal has", lambda o: one(o, "Service", "rtchat-internal")["spec"]["ports"][
        0].update(port=80)),
    ("leaves out the pods", lambda o: one(o, "Service", "rtchat-internal")["spec"].pop(
        "publishNotReadyAddresses")),
    ("is waited for", lambda o: _server(o)["livenessProbe"].update(
        terminationGracePeriodSeconds=600)),
    ("is waited for", lambda o: _server(o)["livenessProbe"].pop("terminationGracePeriodSeconds")),
    ("proxy-read-timeout is 45 s", lambda o: one(o, "Ingress")["metadata"]["annotations"].update(
        {"nginx.ingress.kubernetes.io/proxy-read-timeout": "45"})),
    ("proxy-send-timeout is 60 s", lambda o: (
        one(o, "Ingress")["metadata"]["annotations"].pop(
            "nginx.ingress.kubernetes.io/proxy-send-timeout"),
        _set("RTCHAT_HEARTBEAT_S", "50")(o))),
    ("and the controller uses them", _set("RTCHAT_KEEP_ALIVE_S", "90")),
    ("MB may be needed", _set("RTCHAT_CONNECTIONS_MAX", "200000")),
    ("MB may be needed", lambda o: _server(o)["resources"]["limits"].update(memory="512Mi")),
    ("no room for those of one", lambda o: _hpa(o).update(minReplicas=1)),
    ("no room for those of one", _set("RTCHAT_CONNECTIONS_MAX", "12000")),
    ("than a pod requests", lambda o: _server(o)["resources"]["requests"].update(memory="128Mi")),
    ("pods go fast", lambda o: _hpa(o)["behavior"]["scaleDown"].update(
        stabilizationWindowSeconds=60)),
    ("stalls the loop", lambda o: _server(o)["resources"]["limits"].update(cpu="2")),
    ("spread over []", lambda o: _pod(o).pop("topologySpreadConstraints")),
    ("spread over ['kubernetes.io/hostname']", lambda o: _pod(o)["topologySpreadConstraints"][
        0].update(whenUnsatisfiable="DoNotSchedule")),
    ("CPU is at []", lambda o: _hpa(o)["metrics"].pop(1)),
    ("CPU is at [100]", lambda o: _hpa(o)["metrics"][1]["containerResource"]["target"].update(
        averageUtilization=100)),
    ("emptied 100% pods", lambda o: _budget(o).update(maxUnavailable="100%")),
    ("emptied 0 pods", lambda o: _budget(o).update(maxUnavailable=0)),
    ("holds up nodes", lambda o: _budget(o).pop("unhealthyPodEvictionPolicy")),
    ("pods go together", lambda o: _hpa(o)["behavior"]["scaleDown"]["policies"][0].update(value=4)),
]  # fmt: skip


# Who reaches whom, of an overlay.
OPEN: list[tuple[str, str, OfAll]] = [
    ("production", "clients, by the ingress controller: must", lambda o: _policy(o)["ingress"][
        0].update(ports=[{"port": 8001}])),
    ("production", "Prometheus: must", lambda o: _policy(o)["ingress"][1].update(
        ports=[{"port": 8000}])),
    ("production", "the Internet, to clients' port: gets", lambda o: _policy(o)["ingress"].append(
        {"ports": [{"port": 8000}]})),
    ("production", "a pod of another namespace, to clients' port: gets", lambda o: _policy(o)[
        "ingress"][0]["from"].append({"namespaceSelector": {}})),
    ("production", "another pod beside the controller", lambda o: _policy(o)["ingress"][0]["from"][
        0].pop("podSelector")),
    ("production", "one that says it were the controller", lambda o: _policy(o)["ingress"][0][
        "from"][0].update(namespaceSelector={})),
    ("production", "the Internet, to operators' port: gets", lambda o: _policy(o)["ingress"][1][
        "from"].append({"ipBlock": {"cidr": "0.0.0.0/0"}})),
    ("production", "another pod of monitoring", lambda o: _policy(o)["ingress"][1]["from"][0].pop(
        "podSelector")),
    ("production", "an operator's pod: must", lambda o: _policy(o)["ingress"][1]["from"].pop()),
    ("production", "rtchat stat in a pod: must", lambda o: _policy(o)["egress"].clear()),
    ("production", "names, by UDP: must", lambda o: _policy(o, "rtchat-default").update(egress=[])),
    ("production", "a stranger, into the migration", lambda o: _policy(o, "rtchat-default").update(
        policyTypes=["Egress"])),
    ("production", "the cloud's metadata by 443: gets", lambda o: _policy(o)["egress"].append(
        {"to": [{"ipBlock": {"cidr": "0.0.0.0/0"}}], "ports": [{"port": 443}]})),
    ("production", "the neighbourhood by IPv6: gets", lambda o: _policy(o)["egress"].append(
        {"to": [{"ipBlock": {"cidr": "::/0"}}]})),
    ("production", "postgres, wherever it is", lambda o: o.remove(
        one(o, "NetworkPolicy", "rtchat-postgres"))),
    ("production", "the migration, to postgres: must", lambda o: _policy(o, "rtchat-postgres")[
        "podSelector"]["matchLabels"].update({"app.kubernetes.io/component": "server"})),
    ("production", "to postgres by 22: gets", lambda o: _policy(o, "rtchat-postgres")["egress"][
        0]["ports"].append({"port": 22})),
    ("local", "a pod of this namespace, to postgres: gets", lambda o: _policy(o, "stores")[
        "podSelector"]["matchExpressions"][0].update(values=["postgrs"])),
    ("local", "a pod that serves, to postgres: must", lambda o: _policy(o, "stores").update(
        ingress=[])),
    ("local", "a pod that serves, to valkey: must", lambda o: _policy(o, "rtchat-stores")["egress"][
        1]["to"][0]["podSelector"]["matchLabels"].update({"app.kubernetes.io/name": "x"})),
    ("local", "valkey, to the Internet: gets", lambda o: _policy(o, "stores").update(
        policyTypes=["Ingress"])),
]  # fmt: skip


# Pods of compose.
COMPOSED: list[tuple[str, OfPod]] = [
    ("is killed after", lambda pod: pod.update(stop_grace_period="30s")),
    ("is killed after", lambda pod: pod.pop("stop_grace_period")),
    ("is killed after", lambda pod: pod["environment"].update(RTCHAT_SHUTDOWN_S="60")),
    ("it listens on", lambda pod: pod["environment"].update(RTCHAT_PORT="80")),
    ("is published", lambda pod: pod.update(ports=["127.0.0.1:9999:8001"])),
    ("is not a setting", lambda pod: pod["environment"].update(RTCHAT_GRACE="1")),
    ("<= 280", lambda pod: pod["environment"].update(RTCHAT_DRAIN_S="9999")),
    ("runs as", lambda pod: pod.update(user="0:0")),
    ("two pods are meant to", lambda pod: pod.update(image="postgres:18.4")),
]
