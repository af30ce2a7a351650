"""The dashboard as Grafana loads it, made of the rows of panels.

Owns: the JSON's form (Grafana 11 and 12: schemaVersion 39), where each panel stands, and the
variables and annotations above them. Must never: name a data source, a pod or a job of some
installation; all three are picked on the board.
"""

import json
from typing import Any

from tests.deploy.monitoring_panels import Ask, Panel, Row
from tests.deploy.monitoring_promql import named, narrowed
from tests.deploy.monitoring_rows_edge import BUS, CLIENTS, PROCESS, REST, WEEKS
from tests.deploy.monitoring_rows_store import DATABASE, OVERVIEW, ROOMS, WRITER

Json = dict[str, Any]

ROWS = (OVERVIEW, WRITER, DATABASE, ROOMS, BUS, CLIENTS, REST, PROCESS, WEEKS)
COLUMNS = 24
SOURCE: Json = {"type": "prometheus", "uid": "${datasource}"}
PICKED_JOBS = 'namespace=~"$namespace",job=~"$job"'
PICKED = f'{PICKED_JOBS},instance=~"$instance"'
PICKED_ALERTS = 'namespace=~"$namespace"'  # some are of a whole installation
HEIGHTS = {"stat": 4, "timeseries": 8}


def expression(ask: Ask) -> str:
    """What Grafana sends, but for its variables: narrowed to what is picked."""
    metrics = {selector.metric for selector in named(ask.expression).selectors}
    if "ALERTS" in metrics:
        return narrowed(ask.expression, PICKED_ALERTS)
    if any(":" in metric for metric in metrics):
        return narrowed(ask.expression, PICKED_JOBS)  # what rules record is of all pods of a job
    return narrowed(ask.expression.replace("[W]", "[$__rate_interval]"), PICKED)


def _targets(panel: Panel) -> list[Json]:
    return [
        {
            "datasource": SOURCE,
            "editorMode": "code",
            "expr": expression(ask),
            "instant": panel.kind == "stat",
            "legendFormat": ask.legend,
            "range": panel.kind != "stat",
            "refId": "ABCDEFGH"[number],
        }
        for number, ask in enumerate(panel.asks)
    ]


def _drawn(panel: Panel) -> tuple[Json, Json]:
    """How it is drawn: `fieldConfig` and `options`."""
    steps: list[Json] = [{"color": "text" if panel.kind == "stat" else "green", "value": None}]
    if panel.red is not None:
        steps.append({"color": "red", "value": panel.red})
    defaults: Json = {"unit": panel.unit, "min": 0}
    defaults["thresholds"] = {"mode": "absolute", "steps": steps}
    if panel.kind == "stat":
        defaults["color"] = {"mode": "thresholds"}
        options = {
            "colorMode": "value",
            "graphMode": "none",
            "justifyMode": "auto",
            "orientation": "auto",
            "reduceOptions": {"calcs": ["lastNotNull"], "fields": "", "values": False},
            "textMode": "auto",
        }
        return {"defaults": defaults, "overrides": []}, options
    defaults["color"] = {"mode": "palette-classic"}
    defaults["custom"] = {
        "drawStyle": "line",
        "fillOpacity": 20 if panel.stacked else 0,
        "lineWidth": 1,
        "showPoints": "auto",
        "spanNulls": False,
        "stacking": {"group": "A", "mode": "normal" if panel.stacked else "none"},
        "thresholdsStyle": {"mode": "off" if panel.red is None else "dashed"},
    }
    options = {
        "legend": {"calcs": ["lastNotNull", "max"], "displayMode": "table", "placement": "bottom"},
        "tooltip": {"mode": "multi", "sort": "desc"},
    }
    return {"defaults": defaults, "overrides": []}, options


def _panel(panel: Panel, number: int, x: int, y: int) -> Json:
    fields, options = _drawn(panel)
    return {
        "id": number,
        "type": panel.kind,
        "title": panel.title,
        "description": panel.good,
        "datasource": SOURCE,
        "gridPos": {"h": HEIGHTS[panel.kind], "w": panel.width, "x": x, "y": y},
        "fieldConfig": fields,
        "options": options,
        "targets": _targets(panel),
    }


def _placed(row: Row, number: int, y: int) -> tuple[list[Json], int]:
    """The row's heading and its panels, from left to right, and where the next one begins."""
    heading: Json = {
        "id": number,
        "type": "row",
        "title": row.title,
        "collapsed": row.closed,
        "gridPos": {"h": 1, "w": COLUMNS, "x": 0, "y": y},
        "panels": [],
    }
    x, y, height, panels = 0, y + 1, 0, list[Json]()
    for panel in row.panels:
        if x + panel.width > COLUMNS:
            x, y, height = 0, y + height, 0
        panels.append(_panel(panel, number + 1 + len(panels), x, y))
        x, height = x + panel.width, max(height, HEIGHTS[panel.kind])
    if row.closed:
        heading["panels"] = panels
        return [heading], y + height
    return [heading, *panels], y + height


def _panels() -> list[Json]:
    found: list[Json] = []
    y, number = 0, 1
    for row in ROWS:
        placed, y = _placed(row, number, y)
        found += placed
        number += 1 + len(row.panels)
    return found


def _variable(name: str, label: str, query: str, **more: str) -> Json:
    return {
        "name": name,
        "label": label,
        "type": "query",
        "datasource": SOURCE,
        "definition": query,
        "query": {"query": query, "refId": f"Variable-{name}"},
        "refresh": 2,  # when the time range changes: pods come and go
        "sort": 1,
        "multi": True,
        "includeAll": True,
        "current": {"selected": True, "text": ["All"], "value": ["$__all"]},
        **more,
    }


def _variables() -> list[Json]:
    source: Json = {
        "name": "datasource",
        "label": "Prometheus",
        "type": "datasource",
        "query": "prometheus",
        "refresh": 1,
        "multi": False,
        "includeAll": False,
        "current": {},
    }
    namespaces, jobs, pods = (
        "label_values(rtchat_info, namespace)",
        'label_values(rtchat_info{namespace=~"$namespace"}, job)',
        f"label_values(rtchat_info{{{PICKED_JOBS}}}, instance)",
    )
    # All namespaces are none as well, as beside compose. All jobs are those that have rtchat_info,
    # for every program has process_…; of those all pods.
    return [
        source,
        _variable("namespace", "Namespace", namespaces, allValue=".*"),
        _variable("job", "Job", jobs),
        _variable("instance", "Pod", pods, allValue=".*"),
    ]


def _annotation(name: str, color: str, expression: str) -> Json:
    return {
        "name": name,
        "datasource": SOURCE,
        "enable": True,
        "iconColor": color,
        "target": {
            "datasource": SOURCE,
            "expr": narrowed(expression, PICKED),
            "interval": "30s",
            "refId": "Anno",
        },
        "titleFormat": name,
        "textFormat": "{{instance}}",
        "tagKeys": "instance",
    }


def board() -> Json:
    """The whole dashboard."""
    return {
        "uid": "rtchat",
        "title": "rtchat",
        "description": "Pods of rtchat. The alerts are k8s/monitoring/alerts.yml, what to do when"
        " one fires is in docs/runbook.md. Made by `python -m tests.deploy.monitoring_files`.",
        "tags": ["rtchat"],
        "schemaVersion": 39,
        "editable": True,
        "graphTooltip": 1,  # one cross-hair over all pictures
        "refresh": "30s",
        "time": {"from": "now-3h", "to": "now"},
        "timezone": "browser",
        "annotations": {
            "list": [
                _annotation("Start", "blue", "time() - process_start_time_seconds < 60"),
                _annotation("Drain", "orange", "rtchat_draining == 1"),
            ]
        },
        "templating": {"list": _variables()},
        "panels": _panels(),
    }


def text() -> str:
    """The file."""
    return json.dumps(board(), indent=1, ensure_ascii=False) + "\n"
