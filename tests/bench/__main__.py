"""`python -m tests.bench`: CPU per request and peak memory, printed as the tables of docs/benchmarks.md.

Rule: targets take turns within a round and change their order from round to round, so that what else the machine does
hits all of them; a ratio is taken within its round. Everything is bounded and ends by itself.
"""

import argparse
import asyncio
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from tests.bench.load import Ask, storm
from tests.bench.measure import MEGABYTE, Child, Spread, cpu_seconds, figure, peak_bytes, resident_bytes
from tests.bench.targets import Target, all_targets, edit, gateway, generation
from tests.bench.upstream import answer

PICTURE = 2 * MEGABYTE


@dataclass(frozen=True, slots=True, kw_only=True)
class Case:
    """One row: `count` requests, `at_once` at a time, to each of the targets."""

    name: str
    ask: Ask
    count: int
    at_once: int
    targets: Sequence[str] = ("gateway", "floor")


@dataclass(frozen=True, slots=True, kw_only=True)
class Peak:
    """One memory scenario: `waves` times as many requests at once; `flight` is what they hold, in bytes."""

    name: str
    ask: Ask
    at_once: int
    waves: int
    flight: int


def cases() -> list[Case]:
    """Every row of the CPU table."""
    every = ("gateway", "untuned", "floor")
    small, medium, large = generation(1000), generation(100_000), generation(PICTURE)
    return [
        Case(name="1 KB", ask=small, count=300, at_once=1),
        Case(name="1 KB", ask=small, count=300, at_once=8),
        Case(name="100 KB", ask=medium, count=200, at_once=1),
        Case(name="100 KB", ask=medium, count=200, at_once=8),
        Case(name="2 MB", ask=large, count=80, at_once=1, targets=every),
        Case(name="2 MB", ask=large, count=80, at_once=8, targets=every),
        Case(name="2 MB as url", ask=generation(PICTURE, response_format="url"), count=80, at_once=1, targets=ALONE),
        Case(name="edit of 16 x 3 MB", ask=edit(1000), count=3, at_once=1),
    ]


ALONE = ("gateway",)


def peaks() -> list[Peak]:
    """Every row of the memory table."""
    reply = len(answer(PICTURE)[1])
    ask = generation(PICTURE)
    return [
        Peak(name="32 replies of 2 MB", ask=ask, at_once=32, waves=6, flight=32 * reply),
        Peak(name="16 edits of 16 x 3 MB", ask=edit(1000), at_once=16, waves=1, flight=0),
    ]


async def rounds(cases: Sequence[Case], targets: Mapping[str, Target], count: int) -> list[dict[str, list[float]]]:
    """CPU milliseconds per request: for each case and target, one figure a round."""
    found: list[dict[str, list[float]]] = [{name: [] for name in case.targets} for case in cases]
    for case in cases:
        for name in case.targets:
            await storm(targets[name].url, case.ask, count=2 * case.at_once, at_once=case.at_once)
    for number in range(count):
        for case, figures in zip(cases, found, strict=True):
            for name in case.targets[:: -1 if number % 2 else 1]:
                figures[name].append(await cost(case, targets[name]))
        note(f"round {number + 1} of {count}")
    return found


async def cost(case: Case, target: Target) -> float:
    """CPU milliseconds of a target for one request of a case."""
    before = cpu_seconds(target.pid)
    await storm(target.url, case.ask, count=case.count, at_once=case.at_once)
    return (cpu_seconds(target.pid) - before) * 1000 / case.count


def cpu_table(cases: Sequence[Case], found: Sequence[Mapping[str, Sequence[float]]]) -> None:
    """Print the CPU figures."""
    print("\n| request | at once | gateway, ms | floor, ms | gateway / floor | untuned, ms | untuned / gateway |")
    print("|---|---|---|---|---|---|---|")
    for case, figures in zip(cases, found, strict=True):
        cells = [case.name, str(case.at_once), str(Spread(figures["gateway"]))]
        for name, over, under in (("floor", "gateway", "floor"), ("untuned", "untuned", "gateway")):
            there = name in figures
            cells += [str(Spread(figures[name])), ratio(figures[over], figures[under])] if there else ["-", "-"]
        print(f"| {' | '.join(cells)} |")


def ratio(over: Sequence[float], under: Sequence[float]) -> str:
    """Two series, divided round by round."""
    return str(Spread([one / other for one, other in zip(over, under, strict=True)]))


def peak_table(repeats: int) -> None:
    """Measure and print the memory figures, each with a gateway of its own."""
    print("\n| at the same time | waves | idle, MB | peak, MB | in flight, MB | (peak - idle) / in flight |")
    print("|---|---|---|---|---|---|")
    for peak in peaks():
        figures = [asyncio.run(climb(peak)) for _ in range(repeats)]
        idle, top = (Spread([one[at] / MEGABYTE for one in figures]) for at in (0, 1))
        share = Spread([(one[1] - one[0]) / peak.flight for one in figures]) if peak.flight else "on disk"
        flight = figure(peak.flight / MEGABYTE) if peak.flight else "-"
        print(f"| {peak.name} | {peak.waves} | {idle} | {top} | {flight} | {share} |")


async def climb(peak: Peak) -> tuple[int, int]:
    """Resident bytes of a fresh gateway before, and the most there were."""
    with Child("tests.bench.upstream") as upstream, gateway(upstream.url) as target:
        before = resident_bytes(target.pid)
        for _ in range(peak.waves):
            await storm(target.url, peak.ask, count=peak.at_once, at_once=peak.at_once)
            note(f"{peak.name}: {peak_bytes(target.pid) / MEGABYTE:.0f} MB")
        return before, peak_bytes(target.pid)


def note(text: str) -> None:
    """Say how far it is."""
    print(text, file=sys.stderr)


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(prog="python -m tests.bench")
    parser.add_argument("--rounds", type=int, default=5, help="of the CPU figures")
    parser.add_argument("--peaks", type=int, default=3, help="fresh gateways for each memory figure")
    parser.add_argument("--case", default="", help="only the CPU figures whose name contains this")
    options = parser.parse_args()
    if options.rounds:
        wanted = [case for case in cases() if options.case in case.name]
        with all_targets() as targets:
            cpu_table(wanted, asyncio.run(rounds(wanted, targets, options.rounds)))
    if options.peaks:
        peak_table(options.peaks)


if __name__ == "__main__":
    main()
