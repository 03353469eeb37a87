"""The shipped alerts: understood, tried, and each with a runbook that can be found at night."""

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
    """The chapter on alerts: heading and text of each section."""
    _, _, chapter = RUNBOOKS.read_text().partition(CHAPTER)
    chapter = re.split(r"^## ", chapter, flags=re.MULTILINE)[0]
    _, *parts = re.split(r"^### (\w+)\n", chapter, flags=re.MULTILINE)
    return dict(zip(parts[::2], parts[1::2], strict=True))


def test_prometheus_understands_the_rules() -> None:
    said = promtool("check", "rules", str(RULES))
    assert said.returncode == 0, said.stdout + said.stderr


def test_each_case_comes_out_as_it_says() -> None:
    said = promtool("test", "rules", str(CASES))
    assert said.returncode == 0, said.stdout + said.stderr


def test_each_alert_is_tried_firing_and_quiet() -> None:
    names = {alert["alert"] for alert in alerts()}
    assert {case["alertname"] for case in cases() if case["exp_alerts"]} == names
    assert {case["alertname"] for case in cases() if not case["exp_alerts"]} == names


def test_each_alert_says_how_bad_it_is_and_what_to_read() -> None:
    for alert in alerts():
        notes = alert["annotations"]
        assert alert["labels"]["severity"] in SEVERITIES
        assert notes["summary"]
        assert notes["description"]
        assert notes["runbook_url"] == "{{ $externalLabels.docs }}docs/operations.md#" + alert["alert"].lower()


def test_each_alert_has_a_runbook_and_each_runbook_an_alert() -> None:
    assert list(sections()) == [alert["alert"] for alert in alerts()]


@pytest.mark.parametrize("asks", ["**Means**", "**Look**", "**Do**"])
def test_each_runbook_answers_what_is_asked_at_night(asks: str) -> None:
    assert [name for name, text in sections().items() if asks not in text] == []


def test_rules_and_dashboards_ask_for_metrics_that_there_are() -> None:
    asked = RULES.read_text() + "".join(path.read_text() for path in GRAFANA.glob("*.json"))
    names = {re.sub(HISTOGRAM, "", name) for name in re.findall(r"(?<![\w:])gateway_\w+(?!\w*:)", asked)}
    assert names <= {metric.name for metric in ALL}
    recorded = {rule["record"] for rule in rules() if "record" in rule}
    assert set(re.findall(r"\w+:gateway_\w+:\w+|gateway:\w+:\w+", asked)) == recorded


def test_who_lacks_the_tools_is_told_which_package_has_them(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "/nowhere")
    with pytest.raises(MissingTool, match="apt-get install"):
        tool("promtool")
