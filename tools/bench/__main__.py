"""`python -m tools.bench`: this gateway beside LiteLLM, Portkey and nginx, into docs/benchmarks.md and docs/bench.

Rule: all peers have one upstream, and each answers a case correctly before that case is measured. The run ends within
`--minutes`. It ends each process that it started by its id, also on SIGTERM. `--quick` sends few requests. It and any
partial run write to build/bench.
"""

import argparse
import signal
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path

from tools.bench import versions
from tools.bench.cases import CASES, CONNECTIONS, SLOW
from tools.bench.charts import draw
from tools.bench.figures import Results, read, write
from tools.bench.measure import stop
from tools.bench.report import detail, placed, summary
from tools.bench.rounds import Plan, rounds, waiting
from tools.bench.site import STARTS, USUAL, site

ROOT = Path(__file__).parents[2]
DOCS, BUILD = ROOT / "docs" / "bench", ROOT / "build" / "bench"
PAGE = ROOT / "docs" / "benchmarks.md"
IN_FLIGHT = 500
WAITS_SECONDS = 45.0  # a peer's share of the calls in flight, starting and probing included


def options() -> argparse.Namespace:
    """Parse the command line."""
    parser = argparse.ArgumentParser(prog="python -m tools.bench")
    parser.add_argument("--quick", action="store_true", help="one round of few requests; writes to build/bench")
    parser.add_argument("--only", default="", help="cases whose name contains this")
    parser.add_argument("--peers", default=",".join(USUAL), help=f"of {', '.join(STARTS)}")
    parser.add_argument("--rounds", type=int, default=5, help="at most")
    parser.add_argument("--seconds", type=float, default=1.0, help="for which requests are begun, a figure")
    parser.add_argument("--minutes", type=float, default=20, help="after which no round is begun that would not end")
    parser.add_argument("--in-flight", type=int, default=IN_FLIGHT, help="calls that wait at the same time; 0: none")
    parser.add_argument("--again", action="store_true", help="measure nothing: tables and pictures of what was written")
    chosen = parser.parse_args()
    unknown = set(chosen.peers.split(",")) - set(STARTS)
    if unknown:
        parser.error(f"no such peer: {', '.join(sorted(unknown))}")
    return chosen


def measure(chosen: argparse.Namespace) -> Results:
    """Start all peers, measure them, and end them."""
    began, load, when = time.monotonic(), versions.load(), datetime.now(UTC).date().isoformat()
    cases = [case for case in CASES if chosen.only in case.name]
    slow = chosen.in_flight if chosen.only in SLOW.name else 0
    names = chosen.peers.split(",")
    until = began + chosen.minutes * 60 - (WAITS_SECONDS * len(names) if slow else 0)
    with folder() as place, site(place, names if cases else ()) as everybody:
        plan = Plan(cases=cases, at_once=CONNECTIONS, rounds=chosen.rounds, seconds=chosen.seconds, until=until)
        figures = rounds(everybody, plan, place, note)
    if slow:  # by processes that have not grown before
        with folder() as place, site(place, names) as everybody:
            figures += waiting(everybody, place, slow, note)
    return Results(when=when, machine=versions.machine(), load=load, versions=versions.versions(), figures=figures)


@contextmanager
def folder() -> Iterator[Path]:
    """Make a temporary folder for the peers' files."""
    with tempfile.TemporaryDirectory(prefix="bench-", dir="/tmp") as name:
        yield Path(name)


def publish(results: Results, folder: Path) -> None:
    """Write tables and charts. The page in docs changes only after a complete run."""
    draw(results, folder)
    (folder / "tables.md").write_text(detail(results))
    if folder == DOCS:
        PAGE.write_text(placed(PAGE.read_text(), summary(results)))
    else:
        (folder / "summary.md").write_text(summary(results) + "\n")
    note(f"written to {folder}")


def note(text: str) -> None:
    """Print the progress."""
    print(text, file=sys.stderr, flush=True)


def main() -> None:
    """Measure and write."""
    chosen = options()
    if chosen.quick:
        chosen.rounds, chosen.seconds, chosen.in_flight = 1, 0.05, min(chosen.in_flight, 50)
    whole = not (chosen.quick or chosen.only) and set(USUAL) <= set(chosen.peers.split(","))
    folder = DOCS if whole else BUILD
    signal.signal(signal.SIGTERM, stop)
    if not chosen.again:
        write(measure(chosen), folder / "results.json")
    publish(read(folder / "results.json"), folder)


if __name__ == "__main__":
    main()
