"""Alerts, dashboard and runbook: all that they name exists, and each alert fires when it should.

`test_monitoring_live` has a real Prometheus look at real pods with them.
"""

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from rtchat import settings
from rtchat.cli import main as command_line
from rtchat.config import Config
from tests.deploy import monitoring_board, monitoring_promtool, monitoring_rules
from tests.deploy.cluster_files import K8S, one, read
from tests.deploy.monitoring_cases import CASES
from tests.deploy.monitoring_files import ALERTS, BOARD, KUBERNETES, MADE, MONITORING
from tests.deploy.monitoring_promql import PromqlError, named, narrowed
from tests.deploy.monitoring_rules import RUNBOOK, alerts, records, rules
from tests.deploy.monitoring_series import HEALTHY, Case
from tests.deploy.monitoring_vocabulary import OF_KUBERNETES, recorded, unknown, vocabulary

KNOWN = {**vocabulary(), **recorded(records())}
KNOWN_THERE = {**KNOWN, **OF_KUBERNETES}


def board() -> Any:
    return json.loads(BOARD.read_text())


def panels() -> list[Any]:
    """All of the dashboard, those of closed rows too."""
    return [each for panel in board()["panels"] for each in (panel, *panel.get("panels", ()))]


def drawn() -> list[Any]:
    return [panel for panel in panels() if panel["type"] != "row"]


def asked() -> list[tuple[str, str, str]]:
    """Every expression of the dashboard: the panel, the expression, its legend."""
    targets = [(p["title"], t["expr"], t["legendFormat"]) for p in drawn() for t in p["targets"]]
    notes = board()["annotations"]["list"]
    return targets + [(note["name"], note["target"]["expr"], note["textFormat"]) for note in notes]


# --- that what they name exists


@pytest.mark.parametrize("rule", rules(), ids=lambda rule: rule.get("alert") or rule["record"])
def test_rules_name_what_pods_have(rule: Any):
    assert unknown(rule["expr"], KNOWN) == []


def test_rules_for_kubernetes_name_what_it_has_and_nothing_more_is_allowed():
    expressions = [rule["expr"] for rule in rules(KUBERNETES)]
    assert [found for each in expressions for found in unknown(each, KNOWN_THERE)] == []
    asked_for = {s.metric for each in expressions for s in named(each).selectors}
    assert OF_KUBERNETES.keys() <= asked_for
    assert all(OF_KUBERNETES.keys() & {s.metric for s in named(e).selectors} for e in expressions)


def test_the_dashboard_names_what_pods_have():
    wrong = {expr: found for _, expr, _ in asked() if (found := unknown(expr, KNOWN))}
    assert wrong == {}
    assert len(asked()) > 60


def test_legends_name_labels_that_are_left():
    for title, expression, legend in asked():
        groupings = {label for grouping in named(expression).groupings for label in grouping}
        assert set(re.findall(r"\{\{(\w+)\}\}", legend)) <= groupings | {"instance"}, title


def test_cases_are_of_series_that_pods_have():
    for name in {*HEALTHY, *(name for case in CASES for name in case.changes)}:
        [selector] = named(name).selectors
        counted, known = f"rate({name}[1m])", KNOWN_THERE
        assert unknown(counted, known) == [] or unknown(name, known) == [], name
        assert selector.metric in known


@pytest.mark.parametrize(
    ("expression", "found"),
    [
        ("sum(rtchat_connection)", "no metric rtchat_connection"),
        ('rate(rtchat_errors_total{kode="internal"}[5m])', "rtchat_errors_total has no label kode"),
        (
            'rate(rtchat_errors_total{code="broken"}[5m])',
            "rtchat_errors_total never has code broken",
        ),
        (
            'rate(rtchat_errors_total{code=~"internal|broken"}[5m])',
            "rtchat_errors_total never has code broken",
        ),
        (
            'rate(rtchat_limit_reached_total{limit="slow_deadline_s"}[5m])',
            "rtchat_limit_reached_total never has limit slow_deadline_s",
        ),
        (
            'rate(rtchat_ack_seconds_bucket{le="0.03"}[5m])',
            "rtchat_ack_seconds_bucket never has le 0.03",
        ),
        (
            "rtchat_acks_total > 1",
            "rtchat_acks_total as it is: how much it rose is what says something",
        ),
        ("rate(rtchat_connections[5m])", "rate of rtchat_connections, a gauge"),
        ("sum by (kode) (rtchat_connections)", "grouped by kode, which nothing has"),
        ("sum by (code) (job:rtchat_acks:rate5m)", "grouped by code, which nothing has"),
        ("average(rtchat_connections)", "a function that is not listed: average"),
        ("rtchat_connections ~ 1", "not understood: '~ 1'"),
        ("sum(rtchat_connections", "a bracket is open"),
    ],
)
def test_what_does_not_exist_is_noticed(expression: str, found: str):
    assert unknown(expression, KNOWN) == [found]


def test_a_selector_without_a_name_is_not_understood():
    with pytest.raises(PromqlError, match="out of place"):
        named('{job="rtchat"}')


def test_a_condition_reaches_every_metric():
    before = 'rate(a_total{b="c"}[5m]) / sum by (b) (d) > vector(1) + e'
    after = 'rate(a_total{x="y",b="c"}[5m]) / sum by (b) (d{x="y"}) > vector(1) + e'
    assert narrowed(before, 'x="y"', "e") == after


# --- the alerts


@pytest.mark.parametrize("alert", alerts(), ids=lambda alert: alert["alert"])
def test_alerts_have_what_people_need(alert: Any):
    assert list(monitoring_rules.wrong(alert)) == []


def test_alerts_that_lack_it_are_noticed():
    good: dict[str, Any] = alerts()[0]
    for changed in (
        {"alert": "PodDown"},
        {"labels": {"severity": "page"}},
        {"annotations": {"summary": "it is down"}},
        {"annotations": {**good["annotations"], "runbook_url": "docs/runbook.md#rtchatpoddown"}},
        {"annotations": {**good["annotations"], "description": "too many"}},
    ):
        assert list(monitoring_rules.wrong({**good, **changed})), changed
    at_once = {key: value for key, value in good.items() if key != "for"}
    assert list(monitoring_rules.wrong({**at_once, "expr": "up == 0"}))


def test_every_alert_has_its_section_and_every_section_its_alert():
    sections = monitoring_rules.sections(RUNBOOK.read_text())
    assert set(sections) == {alert["alert"] for alert in alerts()}
    long = {name: len(lines) for name, lines in sections.items()}
    assert {n: c for n, c in long.items() if c > monitoring_rules.SECTION_LINES_MAX} == {}
    for name, lines in sections.items():
        words = "\n".join(lines)
        assert all(part in words for part in ("Users:", "Look", "Do:", "Then:")), name


def _nowhere(text: str) -> list[str]:
    """What a runbook names that there is not."""
    said, fields = monitoring_rules.said_by_the_code(), set(settings.NAMES)
    titles = {panel["title"] for panel in panels()}
    legends = {target["legendFormat"] for panel in drawn() for target in panel["targets"]}
    found = []
    for words in monitoring_rules.quoted(text):
        if match := re.fullmatch(r"RTCHAT_([A-Z_]+)", words):
            there = match[1].lower() in fields
        elif words.startswith("Rtchat"):
            there = words in {alert["alert"] for alert in alerts()}
        elif re.match(r"(rtchat|process)_\w+$", words):
            there = words in KNOWN or any(name.startswith(f"{words}_") for name in KNOWN)
        elif words.startswith("rtchat "):
            there = words.split()[1] in command_line.commands
        elif words.startswith("docker "):
            continue
        elif " " in words and re.fullmatch(r"[a-z' ,:]+", words):
            there = words in said
        else:
            continue  # PostgreSQL's, Redis', Kubernetes' and clients' own words
        if not there:
            found.append(words)
    panel_names = titles | legends | {"critical", "warning", "log", "Status, Targets"}
    return sorted(found) + sorted(monitoring_rules.emphasized(text) - panel_names)


def test_the_runbook_names_what_exists():
    assert _nowhere(RUNBOOK.read_text()) == []


def test_a_runbook_that_names_something_else_is_noticed():
    text = (
        "`RTCHAT_QUEUE_ROWS`, `RtchatDown`, `rtchat_queue`, `rtchat mend`, `it is broken`,"
        " `rtchat_up`, *Queues*; `RTCHAT_LANES`, `RtchatPodDown`, `bus link down`, *Loop lag*"
    )
    assert _nowhere(text) == [
        "RTCHAT_QUEUE_ROWS", "RtchatDown", "it is broken", "rtchat mend", "rtchat_queue",
        "rtchat_up", "Queues",
    ]  # fmt: skip


def test_numbers_are_those_of_the_settings_and_manifests():
    by_name = {alert["alert"]: alert["expr"] for alert in alerts()}
    config = Config()
    deployment = one(read(K8S / "base" / "deployment.yaml"), "Deployment")
    [container] = deployment["spec"]["template"]["spec"]["containers"]
    assert container["resources"]["limits"]["memory"] == "1Gi"
    assert by_name["RtchatMemoryNearLimit"].endswith(f"> 0.8 * {1 << 30}")
    longest = max(config.drain_s + config.shutdown_s, 300) / 60
    [draining] = [alert for alert in alerts() if alert["alert"] == "RtchatDrainingLong"]
    assert float(draining["for"].removesuffix("m")) > longest
    assert config.head_check_ms / 1000 < 5, "or rtchat_database_up is 0 in a quiet pod"
    assert config.acquire_timeout_ms / 1000 > 0.5, "RtchatPoolWaits tells of it before"


def test_red_lines_are_where_alerts_are():
    numbers = {
        float(number)
        for alert in alerts()
        for number in re.findall(r"> ([\d.]+)(?![\d.]| \*)", alert["expr"])
    }
    red = {
        panel.title: panel.red for row in monitoring_board.ROWS for panel in row.panels if panel.red
    }
    assert len(red) > 8
    # Beyond 0.9 reads begin to wait; how long they do is what the alert beside it is of.
    others = {title: line for title, line in red.items() if line not in numbers}
    assert others == {"Connections for reads": 0.9}


# --- that they fire


def test_every_alert_is_shown_firing_and_silent():
    of_all = {(alert["alert"], alert["labels"]["severity"]) for alert in alerts()}
    assert {alert for case in CASES for alert in case.fires} == of_all
    silent = {case.alert for case in CASES if not case.fires}
    assert silent == {alert for alert, _ in of_all}


def test_prometheus_takes_the_rules():
    done = monitoring_promtool.check(ALERTS, KUBERNETES)
    assert (done.returncode, done.stderr) == (0, "")
    for path in (ALERTS, KUBERNETES):
        assert f"SUCCESS: {len(rules(path))} rules found" in done.stdout


def test_alerts_fire_where_they_should_and_nowhere_else(tmp_path: Path):
    done = monitoring_promtool.play((ALERTS, KUBERNETES), CASES, tmp_path)
    assert done.returncode == 0, done.stdout + done.stderr


def test_an_alert_that_fires_too_early_or_never_is_noticed(tmp_path: Path):
    """Two thresholds changed: one case of each goes otherwise than it should."""
    text = ALERTS.read_text()
    changed = text.replace("queue_max_rows > 0.5", "queue_max_rows > 0.4").replace(
        "rtchat_cache_up == 0", "rtchat_cache_up == 2"
    )
    assert len([line for line in changed.splitlines() if line not in text.splitlines()]) == 2
    (tmp_path / "changed.yml").write_text(changed)
    cases: list[Case] = [c for c in CASES if c.alert in ("RtchatQueueFilling", "RtchatCacheAway")]
    done = monitoring_promtool.play([tmp_path / "changed.yml"], cases, tmp_path)
    assert done.returncode != 0
    early = [number for number, case in enumerate(cases) if case.words == "less than half"]
    never = [number for number, case in enumerate(cases) if case.words == "for a while"]
    failed = set(re.findall(r"case-(\d+)", done.stdout + done.stderr))
    assert failed == {str(number) for number in early + never}


# --- the files


@pytest.mark.parametrize("path", MADE, ids=lambda path: path.name)
def test_made_files_are_fresh(path: Path):
    assert path.read_text() == MADE[path](), "python -m tests.deploy.monitoring_files"


def test_the_resource_has_the_same_rules():
    [resource] = read(MONITORING / "prometheusrule.yaml")
    groups = [group for path in (ALERTS, KUBERNETES) for group in read(path)[0]["groups"]]
    assert resource["spec"] == {"groups": groups}
    assert [g["name"] for g in groups if "kube_" in str(g)] == ["rtchat.kubernetes"]


def test_the_dashboard_fits_into_a_configmap():
    """As `kubectl apply` makes it: with a copy in an annotation, which has 256 KiB at most."""
    assert len(BOARD.read_bytes()) < 200_000


# --- the dashboard


def test_every_panel_says_what_it_is_and_what_is_good():
    for panel in drawn():
        title = panel["title"]
        assert len(panel["description"]) > 10, title
        assert panel["fieldConfig"]["defaults"]["unit"], title
        assert all(target["expr"] for target in panel["targets"]), title
        ids = [target["refId"] for target in panel["targets"]]
        assert len(set(ids)) == len(ids) > 0, title
        if len(ids) > 1:
            assert all(len(target["legendFormat"]) in range(1, 30) for target in panel["targets"])


def test_panels_are_told_apart_and_do_not_overlap():
    assert len({panel["id"] for panel in panels()}) == len(panels())
    titles = [panel["title"] for panel in drawn()]
    repeated = {title for title in titles if titles.count(title) > 1}
    assert repeated <= {"Ack time", "Turned away"}, "of hours, and of weeks"
    taken: set[tuple[int, int]] = set()
    for panel in panels():
        at = panel["gridPos"]
        assert at["x"] + at["w"] <= monitoring_board.COLUMNS, panel["title"]
        cells = {
            (x, y)
            for x in range(at["x"], at["x"] + at["w"])
            for y in range(at["y"], at["y"] + at["h"])
        }
        assert not cells & taken, panel["title"]
        taken |= cells


def _sources(thing: Any) -> Iterator[Any]:
    if isinstance(thing, dict):
        if "datasource" in thing:
            yield thing["datasource"]
        for each in thing.values():
            yield from _sources(each)
    elif isinstance(thing, list):
        for each in thing:
            yield from _sources(each)


def test_nothing_of_some_installation_is_in_it():
    loaded = board()
    variables = loaded["templating"]["list"]
    assert [v["name"] for v in variables] == ["datasource", "namespace", "job", "instance"]
    assert {v["name"]: v["multi"] for v in variables} == {
        "datasource": False,
        "namespace": True,
        "job": True,
        "instance": True,
    }
    found = list(_sources(loaded))
    assert len(found) > 100
    assert all(source == monitoring_board.SOURCE for source in found)
    assert "id" not in loaded, "Grafana gives it"


def test_every_expression_is_of_what_is_picked():
    for title, expression, _ in asked():
        for selector in named(expression).selectors:
            picked = {"namespace", "job", "instance"}
            if ":" in selector.metric:
                picked = {"namespace", "job"}
            elif selector.metric == "ALERTS":
                picked = {"namespace"}
            assert picked <= selector.labels, title
