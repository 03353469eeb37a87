"""Panels as pictures: what a Prometheus answered, drawn the way that Grafana would.

Rule: reads the checked-in dashboards and draws each row of panels into one picture, in the places and colours that the
documents give. It draws what it was told and nothing else; a panel without data says so.
"""

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import matplotlib as mpl
from matplotlib import dates
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.gridspec import GridSpec
from matplotlib.patches import Rectangle
from matplotlib.ticker import FuncFormatter, MaxNLocator
from PIL import Image

from tests.observe.panels import Asked, panels, queries
from tests.observe.prometheus import Prometheus

mpl.use("Agg")
mpl.rcParams.update({"font.size": 9, "font.family": "DejaVu Sans", "svg.fonttype": "none"})
INK, FAINT, PAPER, CARD, LINE = "#d8d9da", "#8e9097", "#111217", "#181b1f", "#2c3235"
NAMED = {"green": "#73bf69", "yellow": "#f2cc0c", "red": "#f2495c", "blue": "#5794f2"}
PALETTE = ("#73bf69", "#5794f2", "#f2cc0c", "#ff9830", "#b877d9", "#8ab8ff", "#f2495c", "#96d98d", "#fade2a", "#ca95e5")
WIDTH, UNIT, DPI, COLORS = 14.0, 0.42, 100, 96
MOST_LEGEND, MOST_ROWS = 6, 8
Series = dict[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class Told:
    """One query, and what came back."""

    asked: Asked
    series: Sequence[Series]


def draw_dashboards(prometheus: Prometheus, since: float, until: float, folder: Path) -> dict[str, list[str]]:
    """Write a picture for each row of each dashboard; gives the names of the files by dashboard."""
    step = max(1.0, round((until - since) / 120))
    answers: dict[tuple[str, str], list[Told]] = {}
    for asked in queries(seconds=math.ceil(until - since), rate=15):
        found = (
            prometheus.query_range(asked.expr, since, until, step) if asked.range else prometheus.query(asked.expr, until)
        )
        answers.setdefault((asked.dashboard, asked.title + str(asked.panel["id"])), []).append(Told(asked=asked, series=found))
    return {name: list(_dashboard(name, document, answers, folder)) for name, document in _documents().items()}
