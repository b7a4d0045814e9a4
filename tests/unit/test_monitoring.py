"""Alerts and dashboard in deploy/ name what the service measures, and alerts have a runbook.

Prometheus itself judges when the alerts fire, in tests/integration/test_alerts.py.
"""

import importlib.util
import json
import re
from collections.abc import Iterator
from itertools import combinations
from pathlib import Path
from typing import Any

import pytest
import yaml

from processor.adapters.metrics.ingest import Metrics
from processor.adapters.metrics.live import LiveMetrics
from processor.entrypoints.container import CHECKS, RETRY_REASONS
from processor.entrypoints.reading import read
from processor.entrypoints.settings import RunSettings

ROOT = Path(__file__).parents[2]
DEPLOY = ROOT / "deploy"
OPERATIONS = (ROOT / "docs/OPERATIONS.md").read_text(encoding="utf-8")
RULES = yaml.safe_load((DEPLOY / "alerts/processor.rules.yaml").read_text(encoding="utf-8"))
ALERTS = [rule for group in RULES["groups"] for rule in group["rules"]]
DASHBOARD = json.loads((DEPLOY / "dashboards/processor.json").read_text(encoding="utf-8"))
CHARTS = [panel for panel in DASHBOARD["panels"] if panel["type"] != "row"]
QUERIES = [target["expr"] for chart in CHARTS for target in chart["targets"]]

SCRAPED = {"job", "instance"}
"""Labels that Prometheus adds."""


def settings(**environ: str) -> RunSettings:
    needed = {
        "REDIS_URL": "redis://localhost/0",
        "POSTGRES_URL": "postgresql://localhost/rally",
        "DIRECTUS_BASE_URL": "http://localhost",
    }
    return read(RunSettings, needed | environ)


# ------------------------------------------------------------------------- metrics and their labels


@pytest.fixture(scope="module")
def series() -> dict[str, dict[str, set[str]]]:
    """Every sample that the service has: name -> label -> values."""
    metrics = Metrics(
        version="1",
        roles=list(CHECKS),
        dependencies=list(RETRY_REASONS),
        retry_reasons=RETRY_REASONS,
    )
    LiveMetrics(metrics.registry)
    found: dict[str, dict[str, set[str]]] = {}
    for family in metrics.registry.collect():
        for sample in family.samples:
            labels = found.setdefault(sample.name, {})
            for label, value in sample.labels.items():
                labels.setdefault(label, set()).add(value)
    return found


SELECTOR = re.compile(r"\b((?:processor|process)_\w+)(?:\{([^}]*)\})?")
MATCHER = re.compile(r'(\w+)\s*(=~|!~|!=|=)\s*"([^"]*)"')
GROUPING = re.compile(r"\b(?:by|on|group_left)\s*\(([^)]*)\)")


def faults(query: str, series: dict[str, dict[str, set[str]]]) -> Iterator[str]:
    """What the query names and no series has."""
    known = {"le"} | SCRAPED
    for name, matchers in SELECTOR.findall(query):
        if name not in series:
            yield f"no metric {name}"
            continue
        known |= set(series[name])
        for label, operator, value in MATCHER.findall(matchers or ""):
            if label in SCRAPED:
                continue
            if label not in series[name]:
                yield f"{name} has no label {label}"
                continue
            for each in value.split("|") if "~" in operator else [value]:
                if each not in series[name][label]:
                    yield f"{name}: {label} is never {each}"
    for labels in GROUPING.findall(query):
        yield from (
            f"nothing has a label {label}"
            for label in (each.strip() for each in labels.split(","))
            if label not in known
        )


@pytest.mark.parametrize("query", [rule["expr"] for rule in ALERTS] + QUERIES)
def test_a_query_names_what_there_is(query: str, series: Any) -> None:
    assert SELECTOR.search(query)
    assert list(faults(query, series)) == []


@pytest.mark.parametrize(
    ("query", "fault"),
    [
        ("rate(processor_ack_total[5m])", "no metric processor_ack_total"),
        ('processor_role_ready{rolle="ingest"}', "processor_role_ready has no label rolle"),
        ('processor_role_ready{role=~"ingest|lief"}', "processor_role_ready: role is never lief"),
        ("sum by (rolle) (processor_role_ready)", "nothing has a label rolle"),
    ],
)
def test_a_query_that_names_something_else_is_found(query: str, fault: str, series: Any) -> None:
    assert list(faults(query, series)) == [fault]


def test_every_metric_of_ours_is_on_the_dashboard(series: Any) -> None:
    shown = {name for query in QUERIES for name, _ in SELECTOR.findall(query)}
    ours = {
        re.sub(r"_(bucket|sum|count)$", "_bucket", name)
        for name in series
        if name.startswith("processor_")
    }
    assert ours - shown == set()


# --------------------------------------------------------------------------------------- the alerts


def anchors(document: str) -> set[str]:
    """Of each heading, as the usual forges make them."""
    return {
        re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-")
        for heading in re.findall(r"^#+ (.*)$", document, re.MULTILINE)
    }


@pytest.mark.parametrize("alert", ALERTS, ids=lambda alert: alert["alert"])
def test_an_alert_is_whole_and_has_a_runbook(alert: dict[str, Any]) -> None:
    assert alert["labels"]["severity"] in {"page", "ticket"}
    assert alert["annotations"]["summary"]
    path, _, anchor = alert["annotations"]["runbook_url"].partition("#")
    assert (ROOT / path).exists()
    assert anchor in anchors((ROOT / path).read_text(encoding="utf-8"))


def test_every_alert_of_the_runbook_is_there_once() -> None:
    names = [alert["alert"] for alert in ALERTS]
    assert sorted(re.findall(r"^### (Processor\w+)$", OPERATIONS, re.MULTILINE)) == sorted(names)


@pytest.mark.parametrize(
    ("alert", "limit"),
    [
        ("ProcessorInFlightFull", settings().ingest.in_flight * 0.9),
        ("ProcessorDeadLettersFull", settings().ingest.dead_letter_maxlen * 0.9),
        ("ProcessorLiveFull", settings().live.connections * 0.9),
        ("ProcessorRechecksLate", settings().directus.recheck_ms / 1000 * 3),
    ],
)
def test_a_threshold_follows_the_default_of_its_setting(alert: str, limit: float) -> None:
    (expression,) = [each["expr"] for each in ALERTS if each["alert"] == alert]
    assert float(expression.rpartition(">")[2]) == limit


# ------------------------------------------------------------------------------------ the dashboard


def test_the_dashboard_is_what_its_list_makes() -> None:
    path = DEPLOY / "dashboards/processor.py"
    spec = importlib.util.spec_from_file_location("dashboard", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    stored = (DEPLOY / "dashboards/processor.json").read_text(encoding="utf-8")
    assert stored == module.written(), f"python {path.relative_to(ROOT)} writes it again"


def test_its_panels_have_their_own_place_and_number() -> None:
    panels = DASHBOARD["panels"]
    assert len({panel["id"] for panel in panels}) == len(panels)
    rows = [panel["title"] for panel in panels if panel["type"] == "row"]
    assert rows == ["Stream", "Pipeline", "Database", "Dead letters", "Live", "Process"]
    places = [panel["gridPos"] for panel in panels]
    for place in places:
        assert place["x"] + place["w"] <= 24
    for one, other in combinations(places, 2):
        beside = one["x"] + one["w"] <= other["x"] or other["x"] + other["w"] <= one["x"]
        below = one["y"] + one["h"] <= other["y"] or other["y"] + other["h"] <= one["y"]
        assert beside or below


def test_every_chart_asks_the_chosen_source_for_the_chosen_instances() -> None:
    variables = {each["name"]: each["type"] for each in DASHBOARD["templating"]["list"]}
    assert variables == {"datasource": "datasource", "job": "query", "instance": "query"}
    for chart in CHARTS:
        assert chart["datasource"]["uid"] == "${datasource}"
        assert chart["fieldConfig"]["defaults"]["unit"]
        targets = chart["targets"]
        assert len({target["refId"] for target in targets}) == len(targets) > 0
        for target in targets:
            assert '{job=~"$job", instance=~"$instance"}' in target["expr"]


# ----------------------------------------------------------------------------------- the autoscaler


def test_the_autoscaler_asks_for_a_metric_that_is_there(series: Any) -> None:
    text = (DEPLOY / "kubernetes/ingest.yaml").read_text(encoding="utf-8")
    (scaler,) = [
        each for each in yaml.safe_load_all(text) if each["kind"] == "HorizontalPodAutoscaler"
    ]
    (metric,) = scaler["spec"]["metrics"]
    assert metric["external"]["metric"]["name"] in series
    (lag_s,) = [
        float(each["expr"].rpartition(">")[2])
        for each in ALERTS
        if each["alert"] == "ProcessorBehind"
    ]
    assert float(metric["external"]["target"]["value"]) < lag_s, "before anybody is called"
