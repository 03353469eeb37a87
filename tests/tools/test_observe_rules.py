"""The shipped alerts: valid, tested, and each with a runbook."""

import re
from pathlib import Path
from typing import Any

import pytest
from ruamel.yaml import YAML

from service.adapters.metrics.declared import ALL
from tools.observe.panels import GRAFANA
from tools.observe.prometheus import RULES, MissingTool, promtool, tool

CASES = RULES.with_name("rules_test.yaml")
RUNBOOKS = Path(__file__).parents[2] / "docs" / "operations.md"
HISTOGRAM = r"_(bucket|count|sum)$"
CHAPTER = "## Alerts\n"
SEVERITIES = {"critical", "warning"}


def rules() -> list[dict[str, Any]]:
    return [rule for group in YAML(typ="safe").load(RULES)["groups"] for rule in group["rules"]]


def alerts() -> list[dict[str, Any]]:
    return [rule for rule in rules() if "alert" in rule]


def cases() -> list[dict[str, Any]]:
    tests = YAML(typ="safe").load(CASES)["tests"]
    return [case for test in tests for case in test["alert_rule_test"]]


def sections() -> dict[str, str]:
    """Return the chapter on alerts: heading and text of each section."""
    _, _, chapter = RUNBOOKS.read_text().partition(CHAPTER)
    chapter = re.split(r"^## ", chapter, flags=re.MULTILINE)[0]
    _, *parts = re.split(r"^### (\w+)\n", chapter, flags=re.MULTILINE)
    return dict(zip(parts[::2], parts[1::2], strict=True))


def test_prometheus_accepts_the_rules() -> None:
    output = promtool("check", "rules", str(RULES))
    assert output.returncode == 0, output.stdout + output.stderr


def test_each_case_has_its_expected_alerts() -> None:
    output = promtool("test", "rules", str(CASES))
    assert output.returncode == 0, output.stdout + output.stderr


def test_each_alert_has_a_firing_and_a_quiet_case() -> None:
    names = {alert["alert"] for alert in alerts()}
    assert {case["alertname"] for case in cases() if case["exp_alerts"]} == names
    assert {case["alertname"] for case in cases() if not case["exp_alerts"]} == names


def test_each_alert_has_a_severity_and_a_runbook() -> None:
    for alert in alerts():
        notes = alert["annotations"]
        assert alert["labels"]["severity"] in SEVERITIES
        assert notes["summary"]
        assert notes["description"]
        assert notes["runbook_url"] == "{{ $externalLabels.docs }}docs/operations.md#" + alert["alert"].lower()


def test_each_alert_has_a_runbook_and_each_runbook_an_alert() -> None:
    assert list(sections()) == [alert["alert"] for alert in alerts()]


@pytest.mark.parametrize("asks", ["**Means**", "**Look**", "**Do**"])
def test_each_runbook_has_all_its_sections(asks: str) -> None:
    assert [name for name, text in sections().items() if asks not in text] == []


def test_rules_and_dashboards_query_existing_metrics() -> None:
    asked = RULES.read_text() + "".join(path.read_text() for path in GRAFANA.glob("*.json"))
    names = {re.sub(HISTOGRAM, "", name) for name in re.findall(r"(?<![\w:])gateway_\w+(?!\w*:)", asked)}
    assert names <= {metric.name for metric in ALL}
    recorded = {rule["record"] for rule in rules() if "record" in rule}
    assert set(re.findall(r"\w+:gateway_\w+:\w+|gateway:\w+:\w+", asked)) == recorded


def test_a_missing_tool_is_reported_with_its_package(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "/nowhere")
    with pytest.raises(MissingTool, match="apt-get install"):
        tool("promtool")
