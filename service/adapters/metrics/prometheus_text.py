"""Families of metrics: their numbers, and their text in the formats of Prometheus.

Rule: numbers are whole units until they are rendered, so money agrees with the ledger to the nano-dollar. The name and
labels of a series are rendered once, when the series begins. The encoder of prometheus-client renders them at each
scrape, which takes too long for 200 teams (`docs/decisions/0023-metrics.md`). Only the event loop changes numbers;
another thread may render them, because `lines` reads a copy.
"""

from bisect import bisect_left
from collections.abc import Iterable, Iterator, Mapping
from itertools import accumulate

from service.adapters.metrics.declared import Declared, Kind

Labels = tuple[str, ...]
TOTAL = "_total"


class NumberFamily:
    """A counter or a gauge: the number of each series, with the rendered name and labels of the series."""

    def __init__(self, declared: Declared) -> None:
        self.declared = declared
        self._cells: dict[Labels, tuple[str, list[float]]] = {}
        self.replace(dict.fromkeys(declared.initial_labels, 0))

    def add(self, labels: Labels, amount: int = 1) -> None:
        """Add an amount to a series."""
        cell = self._cells.get(labels)
        if cell is None:
            cell = self._cells[labels] = self._start_series(labels)
        cell[1][0] += amount

    def set(self, labels: Labels, value: float) -> None:
        """Set the value of a series."""
        cell = self._cells.get(labels)
        if cell is None:
            cell = self._cells[labels] = self._start_series(labels)
        cell[1][0] = value

    def replace(self, values: Mapping[Labels, float]) -> None:
        """Set the values of all series, and drop all other series."""
        old_labels = self._cells
        heads = {labels: (old_labels.get(labels) or self._start_series(labels))[0] for labels in values}
        self._cells = {labels: (heads[labels], [value]) for labels, value in values.items()}

    def lines(self) -> Iterator[str]:
        """Return one line for each series."""
        scale = self.declared.scale
        for head, (value,) in self._cells.copy().values():
            yield f"{head}{value if scale == 1 else value / scale}\n"

    def _start_series(self, labels: Labels) -> tuple[str, list[float]]:
        return f"{self.declared.name}{render_labels(self.declared.labels, labels)} ", [0]


class HistogramFamily:
    """A histogram: the count of each bucket and the sum of the values, by series."""

    def __init__(self, declared: Declared) -> None:
        self.declared = declared
        self._cells: dict[Labels, tuple[tuple[str, ...], list[float]]] = {}

    def observe(self, labels: Labels, value: float) -> None:
        """Add a value to its bucket."""
        cell = self._cells.get(labels)
        if cell is None:
            cell = self._cells[labels] = (self._render_heads(labels), [0] * (len(self.declared.buckets) + 1) + [0.0])
        _, numbers = cell
        numbers[bisect_left(self.declared.buckets, value)] += 1
        numbers[-1] += value

    def lines(self) -> Iterator[str]:
        """Return the lines of each series: its cumulative buckets, their count and the sum."""
        for heads, numbers in self._cells.copy().values():
            *counts, total = numbers.copy()
            sums = [*accumulate(counts)]
            for head, number in zip(heads, [*sums, sums[-1], total], strict=True):
                yield f"{head}{number}\n"

    def _render_heads(self, labels: Labels) -> tuple[str, ...]:
        name, names = self.declared.name, self.declared.labels
        bounds = (*map(repr, self.declared.buckets), "+Inf")
        buckets = (f"{name}_bucket{render_labels((*names, 'le'), (*labels, bound))} " for bound in bounds)
        rest = render_labels(names, labels)
        return (*buckets, f"{name}_count{rest} ", f"{name}_sum{rest} ")


Family = NumberFamily | HistogramFamily


def render_labels(names: Iterable[str], values: Iterable[str]) -> str:
    """Render labels in braces; no labels are an empty text."""
    pairs = ",".join(f'{name}="{escape(value)}"' for name, value in zip(names, values, strict=True))
    return f"{{{pairs}}}" if pairs else ""


def escape(text: str) -> str:
    """Escape a text for one line."""
    return text.replace("\\", r"\\").replace("\n", r"\n").replace('"', r"\"")


def render(families: Iterable[Family], *, openmetrics: bool) -> str:
    """Render families as Prometheus text, or as OpenMetrics without its end, which names counters without `_total`."""
    parts = list[str]()
    for family in families:
        declared = family.declared
        name = declared.name.removesuffix(TOTAL) if openmetrics and declared.kind is Kind.COUNTER else declared.name
        parts += (f"# HELP {name} {escape(declared.help)}\n", f"# TYPE {name} {declared.kind.value}\n")
        parts += family.lines()
    return "".join(parts)
