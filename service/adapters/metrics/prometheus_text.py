"""The numbers behind metrics, and how they are spelled.

Rule: numbers are whole until they are told, so that money agrees with the ledger to the last nano-dollar. What stands
in front of a number is spelled when its series begins; prometheus-client's own encoder spells everything anew, and does
not tell 200 teams in time (`docs/decisions/0023-metrics.md`). Counting is done by the event loop alone; telling may be
done by another thread, from copies that are taken at once.
"""

from bisect import bisect_left
from collections.abc import Iterable, Iterator, Mapping
from itertools import accumulate

from service.adapters.metrics.declared import Declared, Kind

Labels = tuple[str, ...]
TOTAL = "_total"


class NumberFamily:
    """A counter or gauge: a number for each combination of labels that there was, beside what stands in front of it."""

    def __init__(self, declared: Declared) -> None:
        self.declared = declared
        self._cells: dict[Labels, tuple[str, list[float]]] = {}
        self.replace(dict.fromkeys(declared.initial_labels, 0))

    def add(self, labels: Labels, amount: int = 1) -> None:
        """Count."""
        cell = self._cells.get(labels)
        if cell is None:
            cell = self._cells[labels] = self._start_series(labels)
        cell[1][0] += amount

    def set(self, labels: Labels, value: float) -> None:
        """What it is now."""
        cell = self._cells.get(labels)
        if cell is None:
            cell = self._cells[labels] = self._start_series(labels)
        cell[1][0] = value

    def replace(self, values: Mapping[Labels, float]) -> None:
        """What all of it is now; what is not among it is gone."""
        old_labels = self._cells
        heads = {labels: (old_labels.get(labels) or self._start_series(labels))[0] for labels in values}
        self._cells = {labels: (heads[labels], [value]) for labels, value in values.items()}

    def lines(self) -> Iterator[str]:
        """One line for each series."""
        per = self.declared.scale
        for head, (value,) in self._cells.copy().values():
            yield f"{head}{value if per == 1 else value / per}\n"

    def _start_series(self, labels: Labels) -> tuple[str, list[float]]:
        return f"{self.declared.name}{render_labels(self.declared.labels, labels)} ", [0]


class HistogramFamily:
    """A histogram: for each combination of labels how many were in which bucket, and their sum."""

    def __init__(self, declared: Declared) -> None:
        self.declared = declared
        self._cells: dict[Labels, tuple[tuple[str, ...], list[float]]] = {}

    def observe(self, labels: Labels, value: float) -> None:
        """Count one."""
        cell = self._cells.get(labels)
        if cell is None:
            cell = self._cells[labels] = (self._render_heads(labels), [0] * (len(self.declared.buckets) + 1) + [0.0])
        _, numbers = cell
        numbers[bisect_left(self.declared.buckets, value)] += 1
        numbers[-1] += value

    def lines(self) -> Iterator[str]:
        """The buckets of each series, one containing the other, their count and the sum."""
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
    """Labels as they stand behind a name; nothing if there are none."""
    pairs = ",".join(f'{name}="{escape(value)}"' for name, value in zip(names, values, strict=True))
    return f"{{{pairs}}}" if pairs else ""


def escape(text: str) -> str:
    """A text that ends with its line."""
    return text.replace("\\", r"\\").replace("\n", r"\n").replace('"', r"\"")


def render(families: Iterable[Family], *, openmetrics: bool) -> str:
    """All of it, as Prometheus text, or as OpenMetrics without its end; there a counter has a shorter name."""
    pieces = list[str]()
    for family in families:
        declared = family.declared
        name = declared.name.removesuffix(TOTAL) if openmetrics and declared.kind is Kind.COUNTER else declared.name
        pieces += (f"# HELP {name} {escape(declared.help)}\n", f"# TYPE {name} {declared.kind.value}\n")
        pieces += family.lines()
    return "".join(pieces)
