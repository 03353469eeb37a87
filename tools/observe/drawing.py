"""Dashboards as pictures: what a Prometheus answered, in the places that Grafana would put it.

Rule: one picture for each row of a dashboard, small enough to be checked in. A panel without data says so.
"""

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import matplotlib as mpl
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.patches import FancyBboxPatch
from PIL import Image

from tools.dashboards.panes import picture
from tools.observe.panels import dashboards, queries
from tools.observe.prometheus import Prometheus
from tools.observe.strokes import CARD, DRAWS, FAINT, INK, LINE, PAPER, Told, told

WIDTH, UNIT, DPI, COLORS, COLUMNS = 14.0, 0.43, 100, 128, 24
GAP, HEAD, FOOT, LEFT, RIGHT = 0.06, 0.32, 0.82, 0.66, 0.3
POINTS = 150
STYLE = {
    "font.size": 8.5,
    "text.color": INK,
    "axes.facecolor": CARD,
    "axes.edgecolor": LINE,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.spines.left": False,
    "xtick.color": FAINT,
    "ytick.color": FAINT,
    "xtick.labelsize": 7.5,
    "ytick.labelsize": 7.5,
    "text.parse_math": False,
}
Panel = Mapping[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """A row of panels, and the file that it is drawn to."""

    title: str
    panels: Sequence[Panel]
    file: str


def rows(name: str, document: Mapping[str, Any]) -> Iterator[Row]:
    """The rows of a dashboard."""
    starts = [place for place, panel in enumerate(document["panels"]) if panel["type"] == "row"]
    for start, end in zip(starts, [*starts[1:], len(document["panels"])], strict=True):
        title = document["panels"][start]["title"]
        yield Row(title=title, panels=document["panels"][start + 1 : end], file=picture(name, title))


def answers(prometheus: Prometheus, since: float, until: float) -> dict[tuple[str, int], list[Told]]:
    """What Prometheus says to each panel, by dashboard and number of the panel."""
    step = max(1.0, round((until - since) / POINTS))
    found: dict[tuple[str, int], list[Told]] = {}
    for asked in queries(seconds=math.ceil(until - since), rate=15):
        ranged = asked.range
        series = (
            prometheus.query_range(asked.expr, since, until, step) if ranged else prometheus.query(asked.expr, until)
        )
        found.setdefault((asked.dashboard, asked.panel["id"]), []).append(told(asked, series))
    return found


def draw_all(prometheus: Prometheus, since: float, until: float, folder: Path) -> None:
    """Draw every row of every dashboard into a folder."""
    known = answers(prometheus, since, until)
    with mpl.rc_context(STYLE):
        for name, document in dashboards().items():
            for row in rows(name, document):
                shown = {panel["id"]: known[name, panel["id"]] for panel in row.panels}
                _save(_drawn(row, shown), folder / row.file)


def _drawn(row: Row, shown: Mapping[int, Sequence[Told]]) -> Figure:
    top = min(panel["gridPos"]["y"] for panel in row.panels)
    height = UNIT * (max(panel["gridPos"]["y"] + panel["gridPos"]["h"] for panel in row.panels) - top)
    figure = Figure(figsize=(WIDTH, height), dpi=DPI, facecolor=PAPER)
    for panel in row.panels:
        place = panel["gridPos"]
        left, wide = WIDTH * place["x"] / COLUMNS, WIDTH * place["w"] / COLUMNS
        high = UNIT * place["h"]
        bottom = height - UNIT * (place["y"] - top) - high
        _panel(figure, panel, shown[panel["id"]], (left, bottom, wide, high))
    return figure


def _panel(figure: Figure, panel: Panel, given: Sequence[Told], box: tuple[float, float, float, float]) -> None:
    """One panel in a box of inches: a card, its title, and what it shows."""
    left, bottom, wide, high = box
    across, up = figure.get_size_inches()
    card = FancyBboxPatch(
        ((left + GAP) / across, (bottom + GAP) / up),
        (wide - 2 * GAP) / across,
        (high - 2 * GAP) / up,
        boxstyle="square,pad=0",
        transform=figure.transFigure,
        facecolor=CARD,
        edgecolor=LINE,
        linewidth=0.8,
        zorder=-1,
    )
    figure.add_artist(card)
    head = ((left + 0.16) / across, (bottom + high - 0.15) / up)
    figure.text(*head, panel["title"], va="top", fontsize=9.5, weight="bold", color=INK)
    timed = panel["type"] in {"timeseries", "state-timeline"}
    margin, foot = (LEFT if timed else 0.2), (FOOT if timed else 0.16)
    axes = figure.add_axes(
        (
            (left + margin) / across,
            (bottom + foot) / up,
            (wide - margin - (RIGHT if timed else 0.2)) / across,
            (high - foot - HEAD - 0.08) / up,
        )
    )
    if any(each.lines for each in given):
        DRAWS[panel["type"]](axes, panel, given)
    else:
        axes.axis("off")
        axes.text(0.5, 0.5, panel["fieldConfig"]["defaults"].get("noValue", "no data"), ha="center", color=FAINT)


def _save(figure: Figure, path: Path) -> None:
    """A PNG with few colours, which is a third of the size."""
    canvas = FigureCanvasAgg(figure)
    canvas.draw()
    picture = Image.frombuffer("RGBA", canvas.get_width_height(), canvas.buffer_rgba(), "raw", "RGBA", 0, 1)
    picture.convert("RGB").quantize(COLORS, dither=Image.Dither.NONE).save(path, optimize=True)
