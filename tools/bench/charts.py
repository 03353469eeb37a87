"""Bar charts of a run, one bar per peer and case, on a logarithmic scale. The files are small enough to commit."""

from collections.abc import Callable
from pathlib import Path

from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure as Canvas
from PIL import Image

from tools.bench.cases import SLOW
from tools.bench.figures import Results
from tools.bench.measure import Spread, figure

COLORS = {
    "gateway": "#1f77b4",
    "gateway, SQLite": "#7fb2d9",
    "LiteLLM": "#d62728",
    "Portkey": "#9467bd",
    "nginx": "#2ca02c",
    "floor": "#8c8c8c",
}
WIDE, HIGH, DPI, SHADES = 12.0, 3.4, 100, 64
LEAST = 0.01  # milliseconds, below which a logarithm says nothing
Take = Callable[[Results, tuple[str, int], str], Spread | None]


def draw(results: Results, folder: Path) -> None:
    """Write cpu.png and latency.png."""
    folder.mkdir(parents=True, exist_ok=True)
    _chart(results, lambda all_, row, peer: all_.spread(row, peer, "cpu"), "CPU, ms", folder / "cpu.png")
    _chart(results, lambda all_, row, peer: all_.added(row, peer, "p50"), "added at p50, ms", folder / "latency.png")


def _chart(results: Results, take: Take, unit: str, file: Path) -> None:
    rows = [row for row in results.rows() if row[0] != SLOW.name]
    numbers = sorted({at_once for _, at_once in rows})
    if not numbers:
        return
    canvas = Canvas(figsize=(WIDE, HIGH * len(numbers)), dpi=DPI, layout="constrained")
    for axes, at_once in zip(canvas.subplots(len(numbers), squeeze=False)[:, 0], numbers, strict=True):
        _bars(axes, results, [row for row in rows if row[1] == at_once], take)
        axes.set_title(f"{at_once} at once", fontsize=9)
        axes.set_ylabel(unit, fontsize=8)
    canvas.axes[0].legend(fontsize=8, ncols=len(COLORS), loc="upper left")
    _save(canvas, file)


def _bars(axes: Axes, results: Results, rows: list[tuple[str, int]], take: Take) -> None:
    peers = results.peers()
    width = 0.85 / len(peers)
    for place, peer in enumerate(peers):
        spreads = [(at, spread) for at, row in enumerate(rows) if (spread := take(results, row, peer))]
        heights = [max(LEAST, spread.median) for _, spread in spreads]
        lows = [max(0, high - max(LEAST, min(one.values))) for high, (_, one) in zip(heights, spreads, strict=True)]
        highs = [max(0, max(one.values) - high) for high, (_, one) in zip(heights, spreads, strict=True)]
        across = [at + (place - (len(peers) - 1) / 2) * width for at, _ in spreads]
        bars = axes.bar(
            across, heights, width, yerr=[lows, highs], color=COLORS[peer], label=peer, error_kw={"lw": 0.7}
        )
        axes.bar_label(bars, [figure(one.median) for _, one in spreads], fontsize=6, padding=1)
    axes.set_yscale("log")
    axes.set_xticks(range(len(rows)), [case for case, _ in rows], fontsize=8)
    axes.tick_params(axis="y", labelsize=7)
    axes.margins(y=0.2)
    axes.spines[["top", "right"]].set_visible(False)


def _save(canvas: Canvas, file: Path) -> None:
    """Save a PNG with few colours."""
    drawn = FigureCanvasAgg(canvas)
    drawn.draw()
    image = Image.frombuffer("RGBA", drawn.get_width_height(), drawn.buffer_rgba(), "raw", "RGBA", 0, 1)
    image.convert("RGB").quantize(SHADES, dither=Image.Dither.NONE).save(file, optimize=True)
