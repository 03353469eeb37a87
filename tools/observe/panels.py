"""Queries of the checked-in dashboards, ready for Prometheus.

Rule: they are read from `config/grafana/*.json`, not from the code that wrote it, because Grafana imports the files.
"""

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

GRAFANA = Path(__file__).parents[2] / "config" / "grafana"
TEAM = "search"
RATE_INTERVAL = "10s"
EVERY = {"team": ".*", "model": ".*", "backend": ".*"}


@dataclass(frozen=True, slots=True, kw_only=True)
class PanelQuery:
    """One query of a panel.

    `range`: over time, else as of now. `states`: the values that have a name, in a panel of states.
    """

    dashboard: str
    title: str
    name: str
    expr: str
    legend: str
    range: bool
    states: frozenset[float] | None


def dashboards() -> dict[str, dict[str, Any]]:
    """Return the documents by their names."""
    return {path.stem: json.loads(path.read_text()) for path in sorted(GRAFANA.glob("*.json"))}


def panels(document: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    """Return all panels but rows, in their order."""
    return (panel for panel in document["panels"] if panel["type"] != "row")


def substituted(expr: str, *, one_team: bool, seconds: int) -> str:
    """Replace Grafana's variables.

    They select every team or `TEAM`, every model and backend, a range, and the interval of rates.
    """
    values = EVERY | ({"team": TEAM} if one_team else {})
    values |= {"__range": f"{seconds}s", "__rate_interval": RATE_INTERVAL, "__interval": "1s"}
    for name in sorted(values, key=len, reverse=True):
        expr = expr.replace(f"${name}", values[name])
    return expr


def month_so_far() -> int:
    """Return the seconds since the month began, UTC."""
    now = datetime.now(UTC)
    return round((now - now.replace(day=1, hour=0, minute=0, second=0, microsecond=0)).total_seconds())


def named_states(panel: Mapping[str, Any]) -> frozenset[float] | None:
    """Return the values that a panel of states has a name and a colour for. `None`: the panel shows numbers."""
    if panel["type"] != "state-timeline":
        return None
    (names,) = panel["fieldConfig"]["defaults"]["mappings"]
    return frozenset(map(float, names["options"]))


def queries(seconds: int) -> Iterator[PanelQuery]:
    """Yield every query of every panel."""
    for dashboard, document in dashboards().items():
        for panel in panels(document):
            span = max(seconds, month_so_far()) if panel.get("timeFrom") == "now/M" else seconds
            for target in panel["targets"]:
                yield PanelQuery(
                    dashboard=dashboard,
                    title=panel["title"],
                    name=target["refId"],
                    expr=substituted(target["expr"], one_team=dashboard == "team", seconds=span),
                    legend=target["legendFormat"],
                    range=bool(target.get("range")),
                    states=named_states(panel),
                )


def annotations() -> Iterator[tuple[str, str, str]]:
    """Yield the dashboard, the name and the query of each annotation."""
    for dashboard, document in dashboards().items():
        for annotation in document["annotations"]["list"]:
            yield dashboard, annotation["name"], annotation["expr"]
