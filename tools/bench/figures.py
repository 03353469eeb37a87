"""What was measured, as it is kept: one figure for each round, case, number of connections and peer.

Rule: milliseconds and megabytes for one request or one peer; ratios and what a peer adds are taken within a round and
only then put together. The file is small, and the tables are made of nothing else.
"""

from collections.abc import Iterator, Sequence
from pathlib import Path

import msgspec

from tools.bench.measure import Spread

UPSTREAM, GATEWAY = "upstream", "gateway"


class Figure(msgspec.Struct, frozen=True, kw_only=True):
    """One run. CPU is user and system time; `redis` and `sql` are servers beside the peer."""

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
    """A whole run: when, on what, with which versions."""

    when: str
    machine: str
    load: str
    versions: dict[str, str]
    figures: list[Figure]

    def rows(self) -> list[tuple[str, int]]:
        """Cases and numbers of connections, in the order in which they were asked."""
        return list(dict.fromkeys((each.case, each.at_once) for each in self.figures))

    def peers(self) -> list[str]:
        """Whoever was measured, the vendor left out; this gateway first."""
        names = dict.fromkeys(each.peer for each in self.figures if each.peer != UPSTREAM)
        return sorted(names, key=lambda name: not name.startswith(GATEWAY))

    def series(self, row: tuple[str, int], peer: str, name: str) -> dict[int, float]:
        """A figure by round; nothing where the peer does not answer such a request."""
        return {
            each.round: getattr(each, name)
            for each in self.figures
            if (each.case, each.at_once) == row and each.peer == peer
        }

    def spread(self, row: tuple[str, int], peer: str, name: str) -> Spread | None:
        """A figure over all rounds."""
        return _spread([*self.series(row, peer, name).values()])

    def ratio(self, row: tuple[str, int], over: str, under: str, name: str) -> Spread | None:
        """One peer's figure divided by another's, round by round."""
        return _spread([one / other for one, other in self._pairs(row, over, under, name) if other])

    def added(self, row: tuple[str, int], peer: str, name: str) -> Spread | None:
        """By how much a latency is longer than the vendor's."""
        return _spread([one - other for one, other in self._pairs(row, peer, UPSTREAM, name)])

    def rate(self, row: tuple[str, int], peer: str) -> Spread | None:
        """Requests a second."""
        counts, seconds = self.series(row, peer, "requests"), self.series(row, peer, "seconds")
        return _spread([counts[number] / seconds[number] for number in counts])

    def _pairs(self, row: tuple[str, int], one: str, other: str, name: str) -> Iterator[tuple[float, float]]:
        others = self.series(row, other, name)
        yield from ((value, others[at]) for at, value in self.series(row, one, name).items() if at in others)


def _spread(values: Sequence[float]) -> Spread | None:
    return Spread(values) if values else None


def read(file: Path) -> Results:
    """What a run has written."""
    return msgspec.json.decode(file.read_bytes(), type=Results)


def write(results: Results, file: Path) -> None:
    """One figure a line, rounded to what can be known."""
    file.parent.mkdir(parents=True, exist_ok=True)
    rounded = [msgspec.structs.replace(each, **_rounded(each)) for each in results.figures]
    head = msgspec.json.encode(msgspec.structs.replace(results, figures=[])).removesuffix(b"[]}")
    lines = b",\n".join(map(msgspec.json.encode, rounded))
    file.write_bytes(head + b"[\n" + lines + b"\n]}\n")


def _rounded(figure: Figure) -> dict[str, float]:
    values = {name: getattr(figure, name) for name in figure.__struct_fields__}
    return {name: round(value, 4) for name, value in values.items() if isinstance(value, float)}
