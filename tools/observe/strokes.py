"""One panel into one place of a picture, by its type.

Rule: colours, thresholds, names of values and units are those of the panel's document.
"""

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.patches import Patch
from matplotlib.ticker import FuncFormatter, MaxNLocator, MultipleLocator
from matplotlib.transforms import Bbox

from tools.observe.panels import Asked
from tools.observe.units import name_of, shown

INK, FAINT, PAPER, CARD, LINE = "#d8d9da", "#8e9097", "#111217", "#1b1e23", "#2f353c"
NAMED = {"green": "#73bf69", "yellow": "#f2cc0c", "red": "#f2495c", "blue": "#5794f2"}
PALETTE = (
    "#73bf69",
    "#5794f2",
    "#f2cc0c",
    "#ff9830",
    "#b877d9",
    "#f2495c",
    "#8ab8ff",
    "#c0d8ff",
    "#fade2a",
    "#ca95e5",
    "#ffcb7d",
    "#37872d",
)
TICKS, MOST_TICKS = (5, 10, 15, 30, 60, 120, 300, 600, 1800, 3600, 21600, 86400), 5
MOST_LINES, MOST_ROWS, NAME_WIDTH = 3, 8, 30
Panel = Mapping[str, Any]
Point = tuple[float, float]


@dataclass(frozen=True, slots=True, kw_only=True)
class Line:
    """A series by its name: times in Unix seconds, and values."""

    name: str
    labels: Mapping[str, str]
    points: Sequence[Point]

    @property
    def last(self) -> float:
        """The value at the end."""
        return self.points[-1][1]


@dataclass(frozen=True, slots=True, kw_only=True)
class Told:
    """One query, and what came back."""

    asked: Asked
    lines: Sequence[Line]


def told(asked: Asked, found: Iterable[Mapping[str, Any]]) -> Told:
    """An answer of Prometheus, without what is no number."""
    lines = []
    for series in found:
        given = [(float(at), float(text)) for at, text in series.get("values") or [series["value"]]]
        points = [(at, value) for at, value in given if math.isfinite(value)]
        if points:
            lines.append(Line(name=name_of(asked.legend, series["metric"]), labels=series["metric"], points=points))
    return Told(asked=asked, lines=lines)


def color_at(panel: Panel, value: float) -> str:
    """The colour of a value by the panel's thresholds."""
    steps = panel["fieldConfig"]["defaults"]["thresholds"]["steps"]
    return NAMED[[step["color"] for step in steps if step["value"] is None or value >= step["value"]][-1]]


def said(panel: Panel, value: float) -> str:
    """A value in the panel's unit."""
    defaults = panel["fieldConfig"]["defaults"]
    return shown(value, defaults["unit"], defaults.get("decimals"))


def number(axes: Axes, panel: Panel, answers: Sequence[Told]) -> None:
    """One large figure."""
    line = answers[0].lines[0]
    axes.axis("off")
    text = said(panel, line.last)
    size = 19 if len(text) < 9 else 15
    axes.text(0.5, 0.4, text, ha="center", va="center", fontsize=size, weight="bold", color=color_at(panel, line.last))


def bars(axes: Axes, panel: Panel, answers: Sequence[Told]) -> None:
    """A bar for each series, in the order of the answer."""
    lines = [line for each in answers for line in each.lines][:MOST_ROWS]
    most = panel["fieldConfig"]["defaults"].get("max") or max(abs(line.last) for line in lines) or 1
    axes.axis("off")
    axes.set(xlim=(0, 1), ylim=(max(len(lines), 4) - 0.4, -0.6))
    for row, line in enumerate(lines):
        color = color_at(panel, line.last)
        axes.barh(row + 0.18, 1, height=0.3, color=LINE)
        axes.barh(row + 0.18, min(1.0, max(0.0, line.last / most)), height=0.3, color=color)
        axes.text(0, row - 0.08, cut(line.name), va="bottom", fontsize=8.5, color=INK)
        axes.text(
            1, row - 0.08, said(panel, line.last), va="bottom", ha="right", fontsize=8.5, color=color, weight="bold"
        )


def cut(name: str, width: int = NAME_WIDTH) -> str:
    """A name that fits."""
    return name if len(name) <= width else name[: width - 1] + "…"


def table(axes: Axes, panel: Panel, answers: Sequence[Told]) -> None:
    """Labels and values side by side."""
    axes.axis("off")
    rows: dict[tuple[tuple[str, str], ...], dict[str, float]] = {}
    for each in answers:
        for line in each.lines:
            labels = tuple(sorted((name, text) for name, text in line.labels.items() if name != "__name__"))
            rows.setdefault(labels, {})[each.asked.name] = line.last
    heads = sorted({name for labels in rows for name, _ in labels})
    cells = [
        [cut(dict(labels).get(head, ""), 26) for head in heads]
        + [said(panel, values[each.asked.name]) if each.asked.name in values else "" for each in answers]
        for labels, values in list(rows.items())[:MOST_ROWS]
    ]
    heads += titles(panel, answers)
    wide = [max(len(row[place]) for row in [heads, *cells]) + 3 for place in range(len(heads))]
    high = min(0.98, 0.11 * (len(cells) + 1))
    made = axes.table(
        cells,
        colLabels=heads,
        colWidths=[each / sum(wide) for each in wide],
        bbox=Bbox.from_bounds(0, 0.98 - high, 1, high),
        cellLoc="left",
        colLoc="left",
    )
    made.auto_set_font_size(False)
    made.set_fontsize(8.5)
    for (row, _), cell in made.get_celld().items():
        cell.set(facecolor=CARD, edgecolor=LINE, linewidth=0.6)
        cell.get_text().set_color(FAINT if row == 0 else INK)


def titles(panel: Panel, answers: Sequence[Told]) -> list[str]:
    """What the columns of values are called."""
    names = next(each for each in panel["transformations"] if each["id"] == "organize")["options"]["renameByName"]
    return [names.get(f"Value #{each.asked.name}", names.get("Value", "")) for each in answers]


def states(axes: Axes, panel: Panel, answers: Sequence[Told]) -> None:
    """Bands over time whose colour is a value's."""
    names = {int(value): said for value, said in panel["fieldConfig"]["defaults"]["mappings"][0]["options"].items()}
    lines = [line for each in answers for line in each.lines]
    axes.set(
        ylim=(len(lines) - 0.4, -0.6), yticks=range(len(lines)), yticklabels=[cut(line.name, 16) for line in lines]
    )
    for row, line in enumerate(lines):
        for (start, value), (end, _) in zip(line.points, line.points[1:], strict=False):
            axes.barh(row, end - start, left=start, height=0.6, color=NAMED[names[int(value)]["color"]])
    clock(axes)
    axes.tick_params(axis="y", length=0)
    legend(axes, [Patch(color=NAMED[each["color"]], label=each["text"]) for each in names.values()])


def curves(axes: Axes, panel: Panel, answers: Sequence[Told]) -> None:
    """Lines over time, stacked where the panel says so."""
    defaults = panel["fieldConfig"]["defaults"]
    lines = sorted((line for each in answers for line in each.lines), key=lambda line: -max(v for _, v in line.points))
    if defaults["custom"].get("stacking", {}).get("mode") == "normal":
        stack(axes, lines)
    else:
        for line, color in zip(lines, colors(), strict=False):
            axes.plot(
                [at for at, _ in line.points],
                [v for _, v in line.points],
                color=color,
                lw=1.3,
                label=cut(line.name),
            )
    low, high = axes.get_ylim()
    axes.set_ylim(bottom=min(0.0, low), top=max(high, 1e-9))
    for step in defaults["thresholds"]["steps"][1:]:
        if step["value"] <= axes.get_ylim()[1]:
            axes.axhline(step["value"], color=NAMED[step["color"]], lw=1, ls=(0, (4, 3)), alpha=0.8)
    axes.yaxis.set_major_locator(MaxNLocator(4))
    axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: shown(value, defaults["unit"])))
    axes.grid(axis="y", color=LINE, lw=0.6)
    clock(axes)
    axes.set_axisbelow(True)
    legend(axes, axes.get_legend_handles_labels()[0])


def colors() -> Sequence[str]:
    """Enough of them."""
    return PALETTE * 5


def stack(axes: Axes, lines: Sequence[Line]) -> None:
    """Areas on top of each other; a series that is not there counts as nothing."""
    times = sorted({at for line in lines for at, _ in line.points})
    values = [[dict(line.points).get(at, 0.0) for at in times] for line in lines]
    areas = axes.stackplot(times, values, labels=[cut(line.name) for line in lines], colors=colors()[: len(lines)])
    for area in areas:
        area.set(alpha=0.75, linewidth=0)


def clock(axes: Axes) -> None:
    """Time along the bottom, UTC, at full minutes or the like."""
    axes.margins(x=0)
    first, last = axes.get_xlim()
    step = next((each for each in TICKS if (last - first) / each <= MOST_TICKS), TICKS[-1])
    shape = "%H:%M:%S" if step % 60 else "%H:%M"
    axes.xaxis.set_major_locator(MultipleLocator(step))
    axes.xaxis.set_major_formatter(FuncFormatter(lambda at, _: datetime.fromtimestamp(at, UTC).strftime(shape)))


def legend(axes: Axes, handles: Sequence[Artist]) -> None:
    """Names under the panel, the largest first, as many as there is room for."""
    names = [str(handle.get_label()) for handle in handles]
    longest = max((len(name) for name in names), default=0)
    columns = 4 if longest < 12 else 3 if longest < 18 else 2
    room = MOST_LINES * columns
    if len(names) > room:
        names = [*names[: room - 1], f"and {len(names) - room + 1} more"]
    axes.legend(
        handles[: len(names)],
        names,
        loc="upper left",
        bbox_to_anchor=(-0.02, -0.13),
        ncols=columns,
        frameon=False,
        fontsize=7.5,
        labelcolor=INK,
        handlelength=1.0,
        columnspacing=1.0,
        handletextpad=0.5,
        labelspacing=0.3,
    )


DRAWS: Mapping[str, Callable[[Axes, Panel, Sequence[Told]], None]] = {
    "stat": number,
    "bargauge": bars,
    "table": table,
    "state-timeline": states,
    "timeseries": curves,
}
