"""Results of a benchmark in a file: one figure for each round, case, number of connections and peer.

Rule: units are milliseconds and megabytes for one request or one peer. Ratios and added latencies are computed within a
round, then summarised over the rounds. All tables are made from this file alone.
"""

from collections.abc import Iterator, Sequence
from pathlib import Path

import msgspec

from tools.bench.measure import Spread

UPSTREAM, GATEWAY = "upstream", "gateway"


class Figure(msgspec.Struct, frozen=True, kw_only=True):
    """Figures of one measurement. CPU is user and system time. `redis` and `sql` are servers beside the peer."""

    case: str
    at_once: int
    peer: str
    round: int
    requests: int
    bytes: int
    seconds: float
    cpu: float
    redis: float
    sql: float
    p50: float
    p99: float
    peak: float


class Results(msgspec.Struct, frozen=True, kw_only=True):
    """Results of a complete run: date, machine, versions, figures."""

    when: str
    machine: str
    load: str
    versions: dict[str, str]
    figures: list[Figure]

    def rows(self) -> list[tuple[str, int]]:
        """Return cases and numbers of connections, in the order of measurement."""
        return list(dict.fromkeys((figure.case, figure.at_once) for figure in self.figures))

    def peers(self) -> list[str]:
        """Return the measured peers without the vendor, this gateway first."""
        names = dict.fromkeys(figure.peer for figure in self.figures if figure.peer != UPSTREAM)
        return sorted(names, key=lambda name: not name.startswith(GATEWAY))

    def series(self, row: tuple[str, int], peer: str, name: str) -> dict[int, float]:
        """Return a figure by round. A peer that does not answer such requests has none."""
        return {
            figure.round: getattr(figure, name)
            for figure in self.figures
            if (figure.case, figure.at_once) == row and figure.peer == peer
        }

    def spread(self, row: tuple[str, int], peer: str, name: str) -> Spread | None:
        """Summarise a figure over all rounds."""
        return _spread([*self.series(row, peer, name).values()])

    def ratio(self, row: tuple[str, int], over: str, under: str, name: str) -> Spread | None:
        """Divide one peer's figure by another's, round by round."""
        return _spread([one / other for one, other in self._pairs(row, over, under, name) if other])

    def added(self, row: tuple[str, int], peer: str, name: str) -> Spread | None:
        """Return the latency that a peer adds to the vendor's."""
        return _spread([one - other for one, other in self._pairs(row, peer, UPSTREAM, name)])

    def rate(self, row: tuple[str, int], peer: str) -> Spread | None:
        """Return requests per second."""
        counts, seconds = self.series(row, peer, "requests"), self.series(row, peer, "seconds")
        return _spread([counts[number] / seconds[number] for number in counts])

    def _pairs(self, row: tuple[str, int], one: str, other: str, name: str) -> Iterator[tuple[float, float]]:
        others = self.series(row, other, name)
        yield from ((value, others[at]) for at, value in self.series(row, one, name).items() if at in others)


def _spread(values: Sequence[float]) -> Spread | None:
    return Spread(values) if values else None


def read(file: Path) -> Results:
    """Read the results of a run."""
    return msgspec.json.decode(file.read_bytes(), type=Results)


def write(results: Results, file: Path) -> None:
    """Write one figure per line, rounded to its significant digits."""
    file.parent.mkdir(parents=True, exist_ok=True)
    rounded = [msgspec.structs.replace(figure, **_rounded(figure)) for figure in results.figures]
    head = msgspec.json.encode(msgspec.structs.replace(results, figures=[])).removesuffix(b"[]}")
    lines = b",\n".join(map(msgspec.json.encode, rounded))
    file.write_bytes(head + b"[\n" + lines + b"\n]}\n")


def _rounded(figure: Figure) -> dict[str, float]:
    values = {name: getattr(figure, name) for name in figure.__struct_fields__}
    return {name: round(value, 4) for name, value in values.items() if isinstance(value, float)}
