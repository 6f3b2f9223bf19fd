"""docs/metrics.md, the alerts and the dashboard name metrics that there are, with the labels they have."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest
import yaml

from lasthop.api.metric_list import METRICS, PROCESS, Kind

ROOT = Path(__file__).parents[2]
DOCUMENT = (ROOT / "docs" / "metrics.md").read_text()
RULES: list[dict[str, Any]] = yaml.safe_load((ROOT / "packaging" / "prometheus" / "lasthop.rules.yml").read_text())[
    "groups"
][0]["rules"]
DASHBOARD: dict[str, Any] = json.loads((ROOT / "packaging" / "grafana" / "lasthop.json").read_text())
PANELS = [panel for panel in DASHBOARD["panels"] if panel["type"] != "row"]

LABELS = {metric.name: {*metric.labels, "instance", "job"} for metric in (*METRICS, *PROCESS)}
for summary in [metric for metric in METRICS if metric.kind is Kind.SUMMARY]:
    LABELS |= {f"{summary.name}_{part}": LABELS[summary.name] for part in ("sum", "count")}

SELECTOR = re.compile(r"\b(lasthop_\w+)(?:\{([^}]*)\})?")
GROUPING = re.compile(r"\b(?:by|on|without|ignoring) \(([^)]*)\)")
#: A slug as GitHub makes it of a heading of one word.
RUNBOOK = re.compile(r"docs/metrics\.md#([a-z]+)")


def wrong(expression: str) -> list[str]:
    """What of an expression is not there."""
    found = SELECTOR.findall(expression)
    told = [name for name, _ in found if name not in LABELS]
    known = set().union(*(LABELS.get(name, set()) for name, _ in found))
    grouped = {label.strip() for labels in GROUPING.findall(expression) for label in labels.split(",")}
    told += sorted(grouped - known)
    for name, selected in found:
        told += [label for label in re.findall(r"(\w+)=", selected) if label not in LABELS.get(name, set())]
    return told


def test_a_metric_or_label_that_is_not_there_would_be_noticed() -> None:
    assert wrong("rate(lasthop_nothing[5m])") == ["lasthop_nothing"]
    assert wrong('sum by (colour) (lasthop_leg_up{shape="round"})') == ["colour", "shape"]


def test_every_metric_has_its_row_as_the_list_says() -> None:
    rows = {
        (name, kind, tuple(re.findall(r"`(\w+)`", labels)), told)
        for name, kind, labels, told in re.findall(
            r"^\| `(lasthop_\w+)` \| (\w+) \| ([^|]+) \| ([^|]+) \|$", DOCUMENT, re.MULTILINE
        )
    }
    assert rows == {(metric.name, metric.kind.value, metric.labels, metric.help) for metric in (*METRICS, *PROCESS)}


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule["alert"])
def test_an_alert_asks_for_what_there_is_and_says_what_to_do(rule: dict[str, Any]) -> None:
    assert not wrong(rule["expr"])
    assert SELECTOR.search(rule["expr"]) or "up{" in rule["expr"]
    assert rule["labels"]["severity"] in {"critical", "warning", "info"}
    assert rule["annotations"]["summary"]
    runbook = RUNBOOK.fullmatch(rule["annotations"]["runbook"])
    assert runbook
    assert runbook[1] in {heading.lower() for heading in re.findall(r"^### (\w+)$", DOCUMENT, re.MULTILINE)}
    asked = SELECTOR.findall(rule["expr"])
    known = set().union(*(LABELS[name] for name, _ in asked)) if asked else {"instance"}
    assert set(re.findall(r"\$labels\.(\w+)", rule["annotations"]["summary"])) <= known


def test_every_runbook_is_an_alerts() -> None:
    assert set(re.findall(r"^### (\w+)$", DOCUMENT, re.MULTILINE)) == {rule["alert"] for rule in RULES}


@pytest.mark.parametrize("panel", PANELS, ids=lambda panel: f"{panel['id']}-{panel['title']}")
def test_a_panel_has_queries_for_what_there_is(panel: dict[str, Any]) -> None:
    assert panel["targets"], "every panel asks something"
    for target in panel["targets"]:
        assert SELECTOR.search(target["expr"])
        assert not wrong(target["expr"])
        assert panel["fieldConfig"]["defaults"]["unit"]
    assert panel["datasource"] == {"type": "prometheus", "uid": "${datasource}"}


def test_the_dashboard_is_one_that_grafana_takes() -> None:
    assert DASHBOARD["schemaVersion"] >= 39
    assert DASHBOARD["uid"] == "lasthop"
    names = [variable["name"] for variable in DASHBOARD["templating"]["list"]]
    assert names == ["datasource", "instance", "service"]
    ids = [panel["id"] for panel in DASHBOARD["panels"]]
    assert len(set(ids)) == len(ids)
    squares = [
        (x, y)
        for panel in DASHBOARD["panels"]
        for x in range(panel["gridPos"]["x"], panel["gridPos"]["x"] + panel["gridPos"]["w"])
        for y in range(panel["gridPos"]["y"], panel["gridPos"]["y"] + panel["gridPos"]["h"])
    ]
    assert len(set(squares)) == len(squares), "panels do not overlap"
    assert max(x for x, _ in squares) < 24
    for variable in DASHBOARD["templating"]["list"][1:]:
        name, label = re.fullmatch(r"label_values\((\w+), (\w+)\)", variable["definition"]).groups()  # type: ignore[union-attr]  # a test may fail so
        assert label in LABELS[name]
