"""Every query of every dashboard, asked of a real Prometheus that scraped real gateways under load.

One test, because what it needs takes most of a minute to come about and all of it looks at the same.
"""

import asyncio
import functools
import math
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tools.observe.drawing import draw_all
from tools.observe.load import Load, once
from tools.observe.panels import annotations, queries
from tools.observe.prometheus import Prometheus
from tools.observe.site import site

PICTURES = Path(__file__).parents[2] / "docs" / "dashboards"
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


def empty(prometheus: Prometheus, since: float) -> Iterator[str]:
    """Queries that were answered with nothing, or with nothing but NaN."""
    until = time.time()
    for asked in queries(seconds=math.ceil(until - since)):
        found = prometheus.query_range(asked.expr, since, until, 1) if asked.range else prometheus.query(asked.expr)
        points = [point for series in found for point in series.get("values", [series.get("value")])]
        if all(math.isnan(float(value)) for _, value in points):
            yield f"{asked.dashboard}: {asked.title}, {asked.name}: {asked.expr}"


def test_every_panel_annotation_and_rule_is_answered(observed: tuple[Prometheus, float], tmp_path: Path) -> None:
    prometheus, since = observed
    assert [target["lastError"] for target in prometheus.targets()] == ["", ""]
    assert [expr for expr in HAPPENED if not prometheus.query(expr)] == []
    assert list(empty(prometheus, since)) == []
    notes = [(board, name, prometheus.query_range(expr, since, time.time(), 1)) for board, name, expr in annotations()]
    assert [(board, name) for board, name, found in notes if not found] == []
    rules = prometheus.rules()
    assert len(rules) > 40
    assert [(rule["name"], rule.get("lastError")) for rule in rules if rule["health"] != "ok"] == []
    draw_all(prometheus, since, time.time(), tmp_path)
    assert {path.name for path in tmp_path.glob("*.png")} == {path.name for path in PICTURES.iterdir()}
