"""Every query of every dashboard, asked of a real Prometheus that scraped real gateways under load.

One test, because what it needs takes most of a minute to come about and all of it looks at the same.
"""

import asyncio
import functools
import math
import re
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tools.observe.load import Load, once
from tools.observe.panels import PanelQuery, annotations, queries
from tools.observe.prometheus import Prometheus
from tools.observe.site import site

LABEL = re.compile(r"\{\{(\w+)\}\}")
MOST_SECONDS = 240
HAPPENED = (
    "max(max_over_time(gateway_breaker_state[2m])) == 2",
    "max(max_over_time(gateway_upstream_exhausted[2m])) == 1",
    'max(max_over_time(gateway_holds_total{end="expired_booked"}[2m])) > 0',
    'max(max_over_time(gateway_uncertain_usd_total{basis="unconfirmed"}[2m])) > 0',
    'sum by (outcome) (max_over_time(gateway_requests_total{outcome="limited",team="search"}[2m])) > 0',
    'max(max_over_time(gateway_settings_reloads_total{result="refused"}[2m])) > 0',
    'count(count by (cache) (gateway_requests_total{cache=~"hit|miss|joined|replayed|bypass"})) == 5',
)
"""What the load has to have brought about; otherwise a panel could be empty, or full, by accident."""


@pytest.fixture
def observed(tmp_path: Path) -> Iterator[tuple[Prometheus, float]]:
    """A Prometheus after the load, and since when it scraped."""
    with site(tmp_path / "site") as place, Prometheus(tmp_path / "prometheus", list(place.replicas)) as prometheus:
        since = time.time()
        load = Load(place, MOST_SECONDS)
        asyncio.run(load.run(functools.partial(once, place=place)))
        yield prometheus, since


def answers(prometheus: Prometheus, since: float) -> list[tuple[PanelQuery, list[dict[str, Any]]]]:
    """Return every query of every dashboard with the series that Prometheus answers."""
    until = time.time()
    return [
        (asked, prometheus.query_range(asked.expr, since, until, 1) if asked.range else prometheus.query(asked.expr))
        for asked in queries(seconds=math.ceil(until - since))
    ]


def values(series: dict[str, Any]) -> set[float]:
    """Return the values of a series that are numbers."""
    points = series.get("values") or [series["value"]]
    return {number for _, text in points if not math.isnan(number := float(text))}


def unknown_labels(asked: PanelQuery, found: list[dict[str, Any]]) -> set[str]:
    """Return labels of a legend that no series has."""
    return {*LABEL.findall(asked.legend)} - {label for series in found for label in series["metric"]}


def legend(asked: PanelQuery, series: dict[str, Any]) -> str:
    """Return the name that Grafana gives a series."""
    return LABEL.sub(lambda label: series["metric"].get(label[1], ""), asked.legend).strip()


def test_every_panel_annotation_and_rule_is_answered(observed: tuple[Prometheus, float]) -> None:
    prometheus, since = observed
    assert [target["lastError"] for target in prometheus.targets()] == ["", ""]
    assert [expr for expr in HAPPENED if not prometheus.query(expr)] == []

    answered = answers(prometheus, since)

    assert [asked for asked, found in answered if not any(map(values, found))] == []
    assert [asked for asked, found in answered if unknown_labels(asked, found)] == []
    assert [asked for asked, found in answered if any(not legend(asked, series) for series in found)] == []
    assert [
        (asked, series)
        for asked, found in answered
        for series in found
        if asked.states is not None and not values(series) <= asked.states
    ] == [], "a value has no name in its panel of states"

    notes = [(board, name, prometheus.query_range(expr, since, time.time(), 1)) for board, name, expr in annotations()]
    assert [(board, name) for board, name, found in notes if not found] == []
    rules = prometheus.rules()
    assert len(rules) > 40
    assert [(rule["name"], rule.get("lastError")) for rule in rules if rule["health"] != "ok"] == []
