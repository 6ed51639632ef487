"""Each alert is raised for what it is about, and for nothing else."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import yaml

from actors.shown.measures import METRICS
from tests.monitoring.conftest import MONITORING
from tests.servers.prometheus import promtool

RULES = MONITORING / "alerts.yaml"
UNIT_TESTS = Path(__file__).with_name("alerts_test.yaml")


def alerts() -> list[dict[str, Any]]:
    (group,) = yaml.safe_load(RULES.read_text())["groups"]
    rules: list[dict[str, Any]] = group["rules"]
    return rules


def test_the_rules_are_well_formed() -> None:
    assert f"{len(alerts())} rules found" in promtool("check", "rules", "--lint=all", "--lint-fatal", RULES)


def test_each_alert_is_raised_for_made_up_series_and_not_for_good_ones() -> None:
    promtool("test", "rules", UNIT_TESTS.name, cwd=UNIT_TESTS.parent)
    tested = [test for tests in yaml.safe_load(UNIT_TESTS.read_text())["tests"] for test in tests["alert_rule_test"]]
    assert {test["alertname"] for test in tested if test["exp_alerts"]} == {rule["alert"] for rule in alerts()}


def test_each_alert_is_of_metrics_that_there_are_and_is_explained() -> None:
    page = (MONITORING / "README.md").read_text()
    known = {metric.name for metric in METRICS}
    for rule in alerts():
        assert set(re.findall(r"\bdynamo_consistency_\w+", rule["expr"])) <= known
        assert "{{ $labels.site }}" in rule["annotations"]["summary"]
        assert f"| `{rule['alert']}` |" in page
