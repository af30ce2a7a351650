"""Objects against their schemas, strictly: an unknown field is an error.

Kubernetes' own come with the package kubernetes-validate. Those of the Prometheus operator do not:
what rtchat uses of them is written down here, from the operator's CRDs (v0.9x, monitoring/v1), so
that a field that is not listed is looked up and added, not let through.
"""

from typing import Any

from tests.deploy import needed
from tests.deploy.cluster_files import Object

kubernetes_validate: Any = needed.module("kubernetes_validate")
jsonschema: Any = needed.module("jsonschema", "it comes with kubernetes-validate")

VERSIONS = ("1.30", kubernetes_validate.latest_version())  # the oldest that is meant, the newest

TEXT: Object = {"type": "string", "minLength": 1}
LABELS: Object = {"type": "object", "minProperties": 1, "additionalProperties": TEXT}
DURATION: Object = {"type": "string", "pattern": "^([0-9]+(ms|[smhdwy]))+$"}


def _closed(required: dict[str, Any], **optional: Any) -> Object:
    properties = {**required, **optional}
    return {
        "type": "object",
        "properties": properties,
        "required": list(required),
        "additionalProperties": False,
    }


def _custom(kind: str, spec: Object) -> Object:
    metadata = _closed({"name": TEXT}, namespace=TEXT, labels=LABELS, annotations=LABELS)
    return _closed(
        {
            "apiVersion": {"const": "monitoring.coreos.com/v1"},
            "kind": {"const": kind},
            "metadata": metadata,
            "spec": spec,
        }
    )


_SECRET_KEY = _closed({"name": TEXT, "key": TEXT})
_ENDPOINT = _closed(
    {"port": TEXT, "path": {"type": "string", "pattern": "^/"}},
    scheme={"enum": ["http", "https"]},
    interval=DURATION,
    scrapeTimeout=DURATION,
    relabelings={
        "type": "array",
        "items": _closed({"sourceLabels": {"type": "array", "items": TEXT}, "targetLabel": TEXT}),
    },
    authorization=_closed({"credentials": _SECRET_KEY}, type={"const": "Bearer"}),
)
_SERVICE_MONITOR = _closed(
    {
        "selector": _closed({"matchLabels": LABELS}),
        "endpoints": {"type": "array", "minItems": 1, "items": _ENDPOINT},
    },
    jobLabel=TEXT,
)
_RULE = {
    "oneOf": [
        _closed(
            {"alert": TEXT, "expr": TEXT, "labels": LABELS, "annotations": LABELS},
            **{"for": DURATION, "keep_firing_for": DURATION},
        ),
        _closed(
            {"record": {"type": "string", "pattern": "^[a-z_][a-z0-9_:]*$"}, "expr": TEXT},
            labels=LABELS,
        ),
    ]
}
_GROUP = _closed(
    {"name": TEXT, "rules": {"type": "array", "minItems": 1, "items": _RULE}}, interval=DURATION
)
CUSTOM = {
    "ServiceMonitor": _custom("ServiceMonitor", _SERVICE_MONITOR),
    "PrometheusRule": _custom(
        "PrometheusRule", _closed({"groups": {"type": "array", "minItems": 1, "items": _GROUP}})
    ),
}


def findings(thing: Object, version: str) -> list[str]:
    """What is wrong with an object in that version of Kubernetes; the first mistake of it."""
    try:
        if thing["apiVersion"].startswith("monitoring.coreos.com/"):
            jsonschema.Draft202012Validator(CUSTOM[thing["kind"]]).validate(thing)
        else:
            kubernetes_validate.validate(thing, version, strict=True)
    except jsonschema.ValidationError as error:
        path = ".".join(map(str, error.absolute_path))
        return [f"{thing['kind']} {path}: {error.message}"]
    except kubernetes_validate.SchemaNotFoundError as error:
        return [error.message]
    return []
