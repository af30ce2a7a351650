"""Files for monitoring that are made: the dashboard of its table, the PrometheusRule of the rules.

`python -m tests.deploy.monitoring_files` writes them; `test_monitoring` fails where they are not
fresh.
"""

from collections.abc import Callable
from pathlib import Path

from tests.deploy import monitoring_board

MONITORING = Path(__file__).parents[2] / "k8s" / "monitoring"
ALERTS = MONITORING / "alerts.yml"
KUBERNETES = MONITORING / "alerts-kubernetes.yml"  # what compose has no metrics for
BOARD = MONITORING / "dashboards" / "rtchat.json"

_RESOURCE = """\
# The rules of alerts.yml and alerts-kubernetes.yml for the Prometheus operator, made of those files
# (`python -m tests.deploy.monitoring_files`). Prometheus takes it where its ruleSelector finds it;
# many ask for a label `release` of their own.
apiVersion: monitoring.coreos.com/v1
kind: PrometheusRule
metadata:
  name: rtchat
spec:
"""


def prometheus_rule() -> str:
    """The rules, as they are written, comments too, one step to the right."""
    parts = [path.read_text().partition("groups:\n")[2] for path in (ALERTS, KUBERNETES)]
    lines = ["groups:", *"\n".join(parts).splitlines()]
    return _RESOURCE + "".join(f"  {line}".rstrip() + "\n" for line in lines)


MADE: dict[Path, Callable[[], str]] = {
    BOARD: monitoring_board.text,
    MONITORING / "prometheusrule.yaml": prometheus_rule,
}


def main() -> None:
    """Write each."""
    for path, make in MADE.items():
        path.write_text(make())


if __name__ == "__main__":
    main()
