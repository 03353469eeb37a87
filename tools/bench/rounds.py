"""Rounds of the comparison: all peers in turn, case by case.

Rule: every other round has the reverse order, so other load on the machine affects all peers. Within a round all peers,
the vendor included, run a case one after the other. A figure is one run of wrk, which ends without input. CPU is read
after a pause for work that follows the replies. A round that would end too late is not begun.
"""

import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from tools.bench.cases import SLOW, Case
from tools.bench.figures import Figure
from tools.bench.peers.peer import Peer
from tools.bench.probe import probe
from tools.bench.processes import forget_peak, sum_cpu_seconds, sum_peaks
from tools.bench.site import Site
from tools.bench.wrk import send

AFTERWARDS_SECONDS = 0.3  # the ledger is written every 0.2 s
Note = Callable[[str], None]


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """Maximum number of rounds. Only the first may end after `until` (monotonic clock).

    `seconds` is the duration of new requests for one figure.
    """

    cases: Sequence[Case]
    at_once: Sequence[int]
    rounds: int
    seconds: float
    until: float


def rounds(site: Site, plan: Plan, folder: Path, note: Note) -> list[Figure]:
    """Measure all figures."""
    figures: list[Figure] = []
    longest = 0.0
    for number in range(plan.rounds):
        began = time.monotonic()
        if number and began + longest > plan.until:
            break
        figures += _round(site, plan, folder, number, note)
        longest = max(longest, time.monotonic() - began)
        note(f"round {number + 1} of {plan.rounds}: {time.monotonic() - began:.0f} s")
    return figures


def _round(site: Site, plan: Plan, folder: Path, number: int, note: Note) -> Iterator[Figure]:
    for case in plan.cases:
        everybody = site.who_can(case)
        for peer in everybody if number == 0 else ():
            note(f"{peer.name} answers {case.name}: {probe(case, peer, site.vendor)} bytes")
        for at_once in plan.at_once:
            for peer in everybody[:: -1 if number % 2 else 1]:
                yield one(case, peer, folder, number, at_once, case.most, plan.seconds)


def waiting(site: Site, folder: Path, at_once: int, note: Note) -> list[Figure]:
    """Measure the case with all calls under way at once, one per connection."""
    figures: list[Figure] = []
    for peer in site.peers:
        if peer.waits and SLOW.kind not in peer.unable:
            figures.append(one(SLOW, peer, folder, 0, at_once, at_once, 0))
            note(f"{at_once} calls at {peer.name}: {figures[-1].seconds:.0f} s")
    return figures


def one(case: Case, peer: Peer, folder: Path, number: int, at_once: int, most: int, seconds: float) -> Figure:
    """Measure one peer, case, number of connections and round."""
    groups = (peer.own, peer.redis, peer.sql)
    forget_peak(peer.own)
    before = [sum_cpu_seconds(pids) for pids in groups]
    load = send(case, peer, folder, connections=at_once, most=most, seconds=seconds)
    time.sleep(AFTERWARDS_SECONDS)
    own, redis, sql = (
        (sum_cpu_seconds(pids) - was) * 1000 / load.count for pids, was in zip(groups, before, strict=True)
    )
    return Figure(
        case=case.name,
        at_once=at_once,
        peer=peer.name,
        round=number,
        requests=load.count,
        bytes=load.bytes,
        seconds=load.seconds,
        cpu=own,
        redis=redis,
        sql=sql,
        p50=load.p50,
        p99=load.p99,
        peak=sum_peaks(peer.own) / 1e6,
    )
