"""Parts of a dashboard: panes with queries, in rows.

Rule: a pane is a value that has a query and the way to show it. Only `grafana.py` knows Grafana. A reader may see a
pane for the first time at night, so a sentence describes its values and the bad ones.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum

from tools.dashboards import queries

GREEN, YELLOW, RED, BLUE = "green", "yellow", "red", "blue"
BREAKER_STATES = ((0, "closed", GREEN), (1, "trying", YELLOW), (2, "open", RED))
Step = tuple[float | None, str]
CALM: Sequence[Step] = ((None, BLUE),)


class Kind(StrEnum):
    """Form of a pane. The values are Grafana's names of panels."""

    LINES = "timeseries"
    NUMBER = "stat"
    BARS = "bargauge"
    TABLE = "table"
    STATES = "state-timeline"


INSTANT = frozenset({Kind.NUMBER, Kind.BARS, Kind.TABLE})
"""Forms that show one value for each series, as of now."""


@dataclass(frozen=True, slots=True)
class Query:
    """PromQL with Grafana's variables, and the legend of its series."""

    expr: str
    legend: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Pane:
    """One panel. Sizes are in Grafana's grid, which is 24 wide.

    `steps` are thresholds: from a value on, a colour; `None` is the start. `states` names values. `since` is a time
    range of its own. With `team_link`, a click on a series opens the dashboard of its team.
    """

    title: str
    says: str
    queries: Sequence[Query]
    unit: str
    kind: Kind = Kind.LINES
    width: int = 8
    height: int = 7
    stacked: bool = False
    decimals: int | None = None
    low: float | None = 0
    high: float | None = None
    steps: Sequence[Step] = CALM
    states: Sequence[tuple[int, str, str]] = ()
    since: str | None = None
    empty: str | None = None
    team_link: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Section:
    """A row of a dashboard."""

    title: str
    panes: Sequence[Pane]


@dataclass(frozen=True, slots=True, kw_only=True)
class Variable:
    """A label whose values a reader chooses. `many`: several or all, else one."""

    name: str
    metric: str
    many: bool = True


@dataclass(frozen=True, slots=True, kw_only=True)
class Dashboard:
    name: str
    title: str
    says: str
    sections: Sequence[Section]
    variables: Sequence[Variable]
    since: str = "now-6h"


TEAM = Variable(name="team", metric=queries.REQUESTS)
ONE_TEAM = Variable(name="team", metric=queries.REQUESTS, many=False)
MODEL = Variable(name="model", metric=queries.REQUESTS)
BACKEND = Variable(name="backend", metric=queries.UPSTREAM_CALLS)


def number(title: str, says: str, expr: str, unit: str, **more: object) -> Pane:
    """Return a pane with a single figure."""
    settings = {"kind": Kind.NUMBER, "width": 4, "height": 4} | more
    return Pane(title=title, says=says, queries=(Query(expr),), unit=unit, **settings)  # type: ignore[arg-type]


def lines(title: str, says: str, unit: str, *queries: Query, **more: object) -> Pane:
    """Return a pane with lines over time."""
    return Pane(title=title, says=says, queries=queries, unit=unit, **more)  # type: ignore[arg-type]
