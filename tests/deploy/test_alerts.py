from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.deploy.exposed import names_in
from tests.promtool import promtool

ROOT = Path(__file__).resolve().parents[2]
PROMETHEUS = ROOT / "deploy" / "prometheus"
RULES = PROMETHEUS / "ringfence.rules.yaml"
TESTS = Path(__file__).parent / "rules"


def alerts() -> list[dict[str, Any]]:
    (group,) = yaml.safe_load(RULES.read_text())["groups"]
    return list(group["rules"])


def cases_in(path: Path) -> list[dict[str, Any]]:
    return list(yaml.safe_load(path.read_text())["tests"])


def test_prometheus_takes_the_rules_and_the_example() -> None:
    """Prometheus finds no fault with the rules, nor with the configuration that loads them."""
    assert f"{len(alerts())} rules found" in promtool("check", "rules", RULES)
    promtool("check", "config", PROMETHEUS / "prometheus.example.yaml")


@pytest.mark.parametrize("alert", alerts(), ids=lambda alert: alert["alert"])
def test_alert_fires_when_it_should_and_only_then(alert: dict[str, Any]) -> None:
    """Each alert has cases in which it fires and cases in which it does not, and Prometheus agrees with all."""
    cases = TESTS / f"{alert['alert']}.yaml"
    expected = [
        bool(check["exp_samples"])
        for case in cases_in(cases)
        for check in case["promql_expr_test"]
        if f'alertname="{alert["alert"]}"' in check["expr"]
    ]
    assert {True, False} == set(expected)
    promtool("test", "rules", cases)


@pytest.mark.parametrize("alert", alerts(), ids=lambda alert: alert["alert"])
def test_alert_says_what_to_do(alert: dict[str, Any]) -> None:
    """Each alert says how bad it is, what it means and what to do."""
    assert alert["labels"]["severity"] in {"critical", "warning"}
    assert {"summary", "description", "runbook"} == set(alert["annotations"])
    assert len(alert["annotations"]["runbook"]) > 80


def test_alerts_rest_on_what_is_exposed(exposed: set[str]) -> None:
    """Every metric that an alert or one of its cases names is one that an agent tells; `up` is Prometheus' own."""
    used = {name for alert in alerts() for name in names_in(alert["expr"])}
    assert {"ringfence_verdicts_total", "up"} <= used
    assert used - {"up"} <= exposed
    for cases in TESTS.glob("*.yaml"):
        series = (each["series"] for case in cases_in(cases) for each in case["input_series"])
        assert {name for each in series for name in names_in(each)} - {"up"} <= exposed
