"""What a pod may do: Pod Security's level "restricted", and what this repository asks for besides.

Owns: the rules, as functions from a pod template to what is wrong with it. Written after
https://kubernetes.io/docs/concepts/security/pod-security-standards/ (Kubernetes 1.36), because the
admission controller that enforces them runs in clusters only.
"""

from collections.abc import Iterator

from tests.deploy.cluster_files import Object

VOLUMES = {
    "configMap", "csi", "downwardAPI", "emptyDir", "ephemeral", "persistentVolumeClaim",
    "projected", "secret",
}  # fmt: skip
SAFE_SYSCTLS = {
    "kernel.shm_rmid_forced", "net.ipv4.ip_local_port_range", "net.ipv4.ip_unprivileged_port_start",
    "net.ipv4.tcp_syncookies", "net.ipv4.ping_group_range", "net.ipv4.ip_local_reserved_ports",
    "net.ipv4.tcp_keepalive_time", "net.ipv4.tcp_fin_timeout", "net.ipv4.tcp_keepalive_intvl",
    "net.ipv4.tcp_keepalive_probes", "net.ipv4.tcp_rmem", "net.ipv4.tcp_wmem",
}  # fmt: skip
PROFILES = ("RuntimeDefault", "Localhost")
SELINUX_TYPES = (
    None,
    "",
    "container_t",
    "container_init_t",
    "container_kvm_t",
    "container_engine_t",
)
OCTAL_OTHERS_READ = 0o004


def containers(spec: Object) -> Iterator[Object]:
    """All containers of a pod."""
    for kind in ("initContainers", "containers", "ephemeralContainers"):
        yield from spec.get(kind, ())


def restricted(template: Object) -> list[str]:
    """What Pod Security would refuse of a pod template at its strictest level."""
    spec = template["spec"]
    found = list(_host(spec)) + list(_pod_context(spec.get("securityContext", {})))
    for volume in spec.get("volumes", ()):
        found += [f"volume {name}" for name in volume.keys() - {"name"} - VOLUMES]
    for container in containers(spec):
        problems = [*_container(container, spec), *_hooks(container)]
        found += [f"{container['name']}: {problem}" for problem in problems]
    return found


def _host(spec: Object) -> Iterator[str]:
    yield from (name for name in ("hostNetwork", "hostPID", "hostIPC") if spec.get(name))
    for container in containers(spec):
        yield from (f"hostPort {port}" for port in container.get("ports", ()) if "hostPort" in port)


def _pod_context(context: Object) -> Iterator[str]:
    for sysctl in context.get("sysctls", ()):
        if sysctl["name"] not in SAFE_SYSCTLS:
            yield f"sysctl {sysctl['name']}"
    yield from _either(context)


def _either(context: Object) -> Iterator[str]:
    """What holds for the context of a pod as for that of a container."""
    if context.get("runAsUser") == 0:
        yield "runAsUser 0"
    if context.get("windowsOptions", {}).get("hostProcess"):
        yield "hostProcess"
    selinux = context.get("seLinuxOptions", {})
    if selinux.get("type") not in SELINUX_TYPES or selinux.get("user") or selinux.get("role"):
        yield "seLinuxOptions"
    if context.get("appArmorProfile", {}).get("type", "RuntimeDefault") not in PROFILES:
        yield "appArmorProfile"
    if context.get("seccompProfile", {}).get("type", "RuntimeDefault") not in PROFILES:
        yield "seccompProfile"


def _container(container: Object, spec: Object) -> Iterator[str]:
    own, pod = container.get("securityContext", {}), spec.get("securityContext", {})
    yield from _either(own)
    if own.get("runAsNonRoot", pod.get("runAsNonRoot")) is not True:
        yield "runAsNonRoot is not set"
    if "seccompProfile" not in {**pod, **own}:
        yield "seccompProfile is not set"
    if own.get("privileged"):
        yield "privileged"
    if own.get("procMount", "Default") != "Default":
        yield "procMount"
    if own.get("allowPrivilegeEscalation") is not False:
        yield "allowPrivilegeEscalation"
    capabilities = own.get("capabilities", {})
    if "ALL" not in capabilities.get("drop", ()):
        yield "capabilities are not dropped"
    if set(capabilities.get("add", ())) - {"NET_BIND_SERVICE"}:
        yield "capabilities are added"


def _hooks(container: Object) -> Iterator[str]:
    """Probes and hooks may not lead to another host (since 1.34)."""
    lifecycle = container.get("lifecycle", {})
    probes = [value for key, value in container.items() if key.endswith("Probe")]
    for hook in (*probes, lifecycle.get("postStart", {}), lifecycle.get("preStop", {})):
        for handler in ("httpGet", "tcpSocket"):
            if hook.get(handler, {}).get("host"):
                yield f"{handler} has a host"


def hardened(template: Object) -> list[str]:
    """What this repository asks for beyond that level."""
    spec = template["spec"]
    found = []
    if spec.get("automountServiceAccountToken") is not False:
        found.append("a token of Kubernetes is mounted")
    if spec.get("enableServiceLinks") is not False:
        found.append("the Services' variables (RTCHAT_PORT=tcp://…) come in")
    context = spec.get("securityContext", {})
    if not (context.get("runAsUser") and context.get("runAsGroup")):
        found.append("no user and group of its own")
    for volume in spec.get("volumes", ()):
        mode = volume.get("secret", {"defaultMode": 0}).get("defaultMode", 0o644)
        if mode & OCTAL_OTHERS_READ:
            found.append(f"everybody may read the secrets of {volume['name']}")
    for container in containers(spec):
        found += [f"{container['name']}: {problem}" for problem in _bounded(container)]
    return found


def _bounded(container: Object) -> Iterator[str]:
    if container.get("securityContext", {}).get("readOnlyRootFilesystem") is not True:
        yield "its file system can be written"
    resources = container.get("resources", {})
    if not {"cpu", "memory"} <= resources.get("requests", {}).keys():
        yield "it requests no cpu and memory"
    if "memory" not in resources.get("limits", {}):
        yield "its memory has no limit"
    # A tag or a digest of its own. That of rtchat's image is set by the overlays.
    name = container["image"].rpartition("/")[2]
    if name != "rtchat" and name.partition(":")[2] in ("", "latest"):
        yield "its image has no version"
