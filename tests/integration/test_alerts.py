"""The alerts under Prometheus's own judge: each fires when it should, and only then."""

import json
import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

from processor.entrypoints.demo import programs

DEPLOY = Path(__file__).parents[2] / "deploy"
RULES, TESTS = DEPLOY / "alerts/processor.rules.yaml", DEPLOY / "alerts/processor.tests.yaml"


@pytest.fixture(scope="module")
def promtool(need: Any) -> str:
    """Of this machine, or what `make promtool` unpacked."""
    unpacked = programs.timescale_cache().parent / "promtool" / "promtool"
    found = shutil.which("promtool") or (str(unpacked) if unpacked.exists() else None)
    return need(found, "no promtool: make promtool, or apt install prometheus")


def judged(promtool: str, folder: Path, rules: dict[str, Any]) -> str:
    """What the tests find in these rules; empty if nothing."""
    (folder / RULES.name).write_text(yaml.safe_dump(rules), encoding="utf-8")
    shutil.copy(TESTS, folder)
    told = subprocess.run(
        [promtool, "test", "rules", TESTS.name],
        cwd=folder,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    return "" if told.returncode == 0 else told.stdout + told.stderr


@pytest.fixture
def rules() -> dict[str, Any]:
    return yaml.safe_load(RULES.read_text(encoding="utf-8"))


def alerts(rules: dict[str, Any]) -> list[dict[str, Any]]:
    return [rule for group in rules["groups"] for rule in group["rules"]]


def test_each_alert_fires_when_it_should(
    promtool: str, rules: dict[str, Any], tmp_path: Path
) -> None:
    assert judged(promtool, tmp_path, rules) == ""


def eager(expression: str) -> str:
    """The same, with no threshold that anything could stay below."""
    expression = re.sub(r"absent\((.*) == 1\)", r"absent(\1 == 3)", expression)
    expression = re.sub(r"> sum by", ">= 0 * sum by", expression)
    expression = re.sub(r"> [\d.]+", ">= -1", expression)
    expression = re.sub(r"< [\d.]+", "<= Inf", expression)
    return re.sub(r"== 0", ">= 0", expression)


@pytest.mark.parametrize("sabotage", ["never", "eager"])
def test_an_alert_that_never_fires_or_always_does_is_found_out(
    promtool: str, rules: dict[str, Any], tmp_path: Path, sabotage: str
) -> None:
    for rule in alerts(rules):
        changed = eager(rule["expr"]) if sabotage == "eager" else f"({rule['expr']}) > Inf"
        assert changed != rule["expr"], rule["alert"]
        rule["expr"] = changed
    findings = judged(promtool, tmp_path, rules)
    found_out = set(re.findall(r'alertname=~?\\"([\w|]+)\\"', findings))
    names = {name for each in found_out for name in each.split("|")}
    assert {rule["alert"] for rule in alerts(rules)} - names == set()


def test_prometheus_can_read_every_query_of_the_dashboard(promtool: str, tmp_path: Path) -> None:
    dashboard = json.loads((DEPLOY / "dashboards/processor.json").read_text(encoding="utf-8"))
    queries = [
        target["expr"].replace("$__rate_interval", "5m")
        for panel in dashboard["panels"]
        for target in panel.get("targets", ())
    ]
    assert queries
    recorded = [{"record": f"chart:{n}", "expr": query} for n, query in enumerate(queries)]
    rules = tmp_path / "dashboard.yaml"
    rules.write_text(yaml.safe_dump({"groups": [{"name": "dashboard", "rules": recorded}]}))
    told = subprocess.run(
        [promtool, "check", "rules", str(rules)], capture_output=True, text=True, check=False
    )
    assert told.returncode == 0, told.stdout + told.stderr
