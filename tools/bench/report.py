"""Tables of a run as Markdown. Pure: equal results give equal text.

Rule: ratios come first. A cell is the median of the rounds, with the extremes in brackets. A case that a peer cannot
answer is a dash.
"""

import textwrap
from collections.abc import Iterator, Sequence

from tools.bench.cases import CONNECTIONS, SLOW
from tools.bench.figures import GATEWAY, Results
from tools.bench.measure import Spread, figure

BEGIN, END = "<!-- make bench writes from here", "<!-- to here -->"
NOTE = "; edit tools/bench/report.py instead -->"
NOTHING = "-"
WIDTH = 120
RATIOS = (
    ("LiteLLM", GATEWAY),
    ("Portkey", GATEWAY),
    (GATEWAY, "nginx"),
    (GATEWAY, "floor"),
    ("gateway, SQLite", GATEWAY),
)
AIMS = (("1 KB", 1.0), ("100 KB", 1.2), ("2 MB", 3.0), ("2 MB, kept", 1.5))  # maximum milliseconds of CPU
AHEAD = (("2 MB", "LiteLLM", 5), ("2 MB", "Portkey", 8))  # minimum CPU relative to the gateway's
SUMMARY = """{begin}

{about} Medians, with the extremes in brackets; raw data in [bench/results.json](bench/results.json),
every figure in [bench/tables.md](bench/tables.md).

CPU for one request, one peer's divided by the other's in the same round:

{ratios}

CPU of this gateway for one request, in milliseconds, and that of its stores:

{own}

What was aimed at, and whether the medians are there:

{aims}

![CPU for each request](bench/cpu.png)

![what each adds to the latency of the upstream](bench/latency.png)

{slow}
{end}"""
DETAIL = """# Every figure of `make bench`

{about} Written by the command; what is measured, and how, is in
[benchmarks.md](../benchmarks.md).

*CPU of the gateway* is the peer's CPU divided by this gateway's (PostgreSQL) in the same round. *Added* is the peer's
latency less that of the bare upstream in the same round, at the median and at the 99th percentile of a run; of a run
with fewer than 100 requests the latter is its longest. *Peak* is the sum over the peer's processes of the most that
each had resident, in the first round, which takes the cases in this order: what a process keeps of them counts.
"""


def cell(spread: Spread | None) -> str:
    """Format one figure."""
    if spread is None:
        return NOTHING
    return str(spread) if min(spread.values) < max(spread.values) else figure(spread.median)


def table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Format a table."""
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def summary(results: Results) -> str:
    """Build the section of docs/benchmarks.md, markers included."""
    return SUMMARY.format(
        begin=BEGIN + NOTE,
        end=END,
        ratios=_ratios(results),
        own=_own(results),
        aims=_aims(results),
        slow=_slow(results),
        about=_about(results),
    )


def _about(results: Results) -> str:
    versions = ", ".join(f"{name} {version}" for name, version in results.versions.items())
    rounds = 1 + max(figure.round for figure in results.figures)
    where = f"{results.machine}, load {results.load} at the start"
    return textwrap.fill(f"`make bench`, {results.when}: {where}; {rounds} rounds. {versions}.", WIDTH)


def _asked(results: Results) -> list[tuple[str, int]]:
    return [row for row in results.rows() if row[0] != SLOW.name]


def _ratios(results: Results) -> str:
    there = set(results.peers())
    pairs = [(over, under) for over, under in RATIOS if {over, under} <= there]
    rows = [
        [*map(str, row), *(cell(results.ratio(row, over, under, "cpu")) for over, under in pairs)]
        for row in _asked(results)
    ]
    return table(["answer", "at once", *(f"{over} / {under}" for over, under in pairs)], rows)


def _own(results: Results) -> str:
    rows = [
        [row[0], str(row[1]), *(cell(results.spread(row, GATEWAY, name)) for name in ("cpu", "redis", "sql"))]
        for row in _asked(results)
    ]
    return table(["answer", "at once", "gateway", "Valkey", "PostgreSQL"], rows)


def _aims(results: Results) -> str:
    rows = [
        *(_aim(f"{case}, ms of CPU", f"≤ {most}", _of(results, case, GATEWAY), most) for case, most in AIMS),
        *(
            _aim(f"{case}, CPU of {peer} / gateway", f"≥ {least}", _over(results, case, peer), -least)
            for case, peer, least in AHEAD
        ),
    ]
    return table(["", "aim", "1 at once", "32 at once", ""], rows)


def _aim(what: str, aim: str, spreads: Sequence[Spread | None], most: float) -> list[str]:
    """Format one row. A negative bound is a minimum."""
    met = [(spread.median if most > 0 else -spread.median) <= most for spread in spreads if spread]
    result = NOTHING if not met else "met" if all(met) else "met in part" if any(met) else "missed"
    return [what, aim, *(cell(spread) for spread in spreads), result]


def _of(results: Results, case: str, peer: str) -> list[Spread | None]:
    return [results.spread((case, at_once), peer, "cpu") for at_once in CONNECTIONS]


def _over(results: Results, case: str, peer: str) -> list[Spread | None]:
    return [results.ratio((case, at_once), peer, GATEWAY, "cpu") for at_once in CONNECTIONS]


def _slow(results: Results) -> str:
    rows = [row for row in results.rows() if row[0] == SLOW.name]
    return "".join(
        f"{at_once} calls under way at the same time, each answered with 2 MB after 10 seconds; seconds until all had "
        f"their answers:\n\n{_waits(results, (name, at_once))}\n"
        for name, at_once in rows
    )


def _waits(results: Results, row: tuple[str, int]) -> str:
    names = ("peak", "seconds", "cpu", "p50", "p99")
    rows = [
        [
            peer,
            cell(results.ratio(row, peer, GATEWAY, "peak")),
            *(cell(results.spread(row, peer, one)) for one in names),
        ]
        for peer in results.peers()
        if results.series(row, peer, "cpu")
    ]
    head = ["", "peak of the gateway's", "peak, MB", "all after, s", "CPU, ms", "p50, ms", "p99, ms"]
    return table(head, rows)


def detail(results: Results) -> str:
    """Build the complete page of tables."""
    return "\n".join([DETAIL.format(about=_about(results)), *_details(results)])


def _details(results: Results) -> Iterator[str]:
    head = ["", "CPU of the gateway", "CPU, ms", "Redis, ms", "SQL, ms", "p50 added, ms", "p99 added, ms"]
    for row in _asked(results):
        yield f"## {row[0]}, {row[1]} at once\n"
        lines = [_line(results, row, peer) for peer in results.peers() if results.series(row, peer, "cpu")]
        yield table([*head, "requests/s", "peak, MB", "requests a round"], lines) + "\n"


def _line(results: Results, row: tuple[str, int], peer: str) -> list[str]:
    stores = [results.spread(row, peer, name) for name in ("redis", "sql")]
    return [
        peer,
        cell(results.ratio(row, peer, GATEWAY, "cpu")),
        cell(results.spread(row, peer, "cpu")),
        *(cell(store) if store and any(store.values) else NOTHING for store in stores),
        cell(results.added(row, peer, "p50")),
        cell(results.added(row, peer, "p99")),
        cell(results.rate(row, peer)),
        figure(results.series(row, peer, "peak")[0]),
        cell(results.spread(row, peer, "requests")),
    ]


def placed(page: str, text: str, opens: str = BEGIN, closes: str = END) -> str:
    """Put the text between the markers of a page. Raises `ValueError` for a page without them."""
    start, end = page.index(opens), page.index(closes) + len(closes)
    return page[:start] + text + page[end:]
