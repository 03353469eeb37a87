"""Every query of every dashboard at a real Prometheus that scraped real gateways under load.

One test, because its setup takes most of a minute and all queries use it.
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
MAX_SECONDS = 240
HAPPENED = (
    "max(max_over_time(gateway_breaker_state[2m])) == 2",
    "max(max_over_time(gateway_upstream_exhausted[2m])) == 1",
    'max(max_over_time(gateway_holds_total{end="expired_booked"}[2m])) > 0',
    'max(max_over_time(gateway_uncertain_usd_total{basis="unconfirmed"}[2m])) > 0',
    'sum by (outcome) (max_over_time(gateway_requests_total{outcome="limited",team="search"}[2m])) > 0',
    'max(max_over_time(gateway_settings_reloads_total{result="refused"}[2m])) > 0',
    'count(count by (cache) (gateway_requests_total{cache=~"hit|miss|joined|replayed|bypass"})) == 5',
)
"""Conditions that the load must have produced. Otherwise a panel may be empty, or filled, by accident."""


@pytest.fixture
def observed(tmp_path: Path) -> Iterator[tuple[Prometheus, float]]:
    """A Prometheus after the load, and the time of its first scrape."""
    with site(tmp_path / "site") as place, Prometheus(tmp_path / "prometheus", list(place.replicas)) as prometheus:
        since = time.time()
        load = Load(place, MAX_SECONDS)
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


def unknown_labels(asked: PanelQuery, answered: list[dict[str, Any]]) -> set[str]:
    """Return labels of a legend that no series has."""
    return {*LABEL.findall(asked.legend)} - {label for series in answered for label in series["metric"]}


def legend(asked: PanelQuery, series: dict[str, Any]) -> str:
    """Return the name that Grafana gives a series."""
    return LABEL.sub(lambda label: series["metric"].get(label[1], ""), asked.legend).strip()


def test_every_panel_annotation_and_rule_is_answered(observed: tuple[Prometheus, float]) -> None:
    prometheus, since = observed
    assert [target["lastError"] for target in prometheus.targets()] == ["", ""]
    assert [expr for expr in HAPPENED if not prometheus.query(expr)] == []

    answered = answers(prometheus, since)

    assert [asked for asked, lines in answered if not any(map(values, lines))] == []
    assert [asked for asked, lines in answered if unknown_labels(asked, lines)] == []
    assert [asked for asked, lines in answered if any(not legend(asked, series) for series in lines)] == []
    assert [
        (asked, series)
        for asked, lines in answered
        for series in lines
        if asked.states is not None and not values(series) <= asked.states
    ] == [], "a value has no name in its panel of states"

    notes = [
        (dashboard, name, prometheus.query_range(expr, since, time.time(), 1))
        for dashboard, name, expr in annotations()
    ]
    assert [(dashboard, name) for dashboard, name, lines in notes if not lines] == []
    rules = prometheus.rules()
    assert len(rules) > 40
    assert [(rule["name"], rule.get("lastError")) for rule in rules if rule["health"] != "ok"] == []
