"""`python -m tools.chaos`: every round of docs/reliability.md, printed as its tables. Takes about 40 minutes.

Rule: a run that is not clean ends with exit code 1, after everything was printed.
"""

import argparse
import statistics
import sys
import tempfile
import threading
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

from tests.support.gateway_site import Site
from tests.support.postgres import wheel_postgres
from tools.chaos.rounds import BUDGET, Harm, Toll, crash_store, harm_parts, kill_gateways, race, waits, wipe_store
from tools.chaos.slow_vendor import outwaited
from tools.chaos.storm import LONG, Weather, quantiles, storm


@contextmanager
def folder() -> Iterator[Path]:
    """Yield a temporary folder."""
    with tempfile.TemporaryDirectory(prefix="chaos-") as name:
        place = Path(name) / "site"
        place.mkdir()
        yield place


def races(rounds: int) -> bool:
    """Print the race for a budget."""
    with folder() as place:
        budgets = race(place, rounds)
    print("\n| rounds | budget, $ | admitted of 256 | told 503 | posted, $ | most ever posted, $ | usable, least |")
    print("|---|---|---|---|---|---|---|")
    admitted = f"{min(budget.admitted for budget in budgets)} to {max(budget.admitted for budget in budgets)}"
    away = sum(budget.turned_away for budget in budgets)
    median = statistics.median(budget.posted for budget in budgets)
    most, least = max(budget.used for budget in budgets), min(budget.used for budget in budgets)
    dollars = [f"{nano / 10**9:.4f}" for nano in (BUDGET, median, most)]
    print(f"| {rounds} | {dollars[0]} | {admitted} | {away} | {dollars[1]} | {dollars[2]} | {least / BUDGET:.1%} |")
    return most <= BUDGET and least >= 0.95 * BUDGET


def stop_ledger(stop: Callable[[], None], start: Callable[[], None], seconds: float) -> Harm:
    """Return a harm that stops the database for `seconds`."""

    def harm(place: Site) -> None:
        del place
        stop()
        threading.Event().wait(seconds)
        start()

    return harm


MAX_PRINTED = 20  # printed lines for each kind of mistake
STORE_HARMS: Mapping[str, Harm] = {"store: kill -9 and restart": crash_store, "store: wiped": wipe_store}
HEAD = (
    "harm | times | answered 200 | calls | entries | unconfirmed | calls without entry | double | entries without call"
)


def row(name: str, toll: Toll) -> bool:
    """Print the row of one kind of harm."""
    numbers = (toll.harm, toll.answered, toll.calls, toll.booked, toll.unconfirmed, toll.unbooked, toll.double)
    print(f"| {name} | {' | '.join(map(str, numbers))} | {toll.uncalled} |", flush=True)
    return toll.clean


def tolls(kills: int, harms: int, away: float) -> bool:
    """Print how many calls are booked once, twice or not at all, for each kind of harm."""
    print(f"\n| {HEAD} |\n|{'---|' * 9}")
    clean = []
    with folder() as place:
        clean.append(row("gateway: kill -9", kill_gateways(place, kills)))
    for name, harm in STORE_HARMS.items():
        with folder() as place:
            clean.append(row(name, harm_parts(place, harms, harm)))
    with folder() as place, wheel_postgres(place) as server:
        outage = stop_ledger(server.stop, server.start, away)
        toll = harm_parts(place, 1, outage, server.url, requests=3000)
        clean.append(row(f"PostgreSQL: away for {away:.0f} s", toll))
    return all(clean)


def delays(requests: int) -> bool:
    """Print the time until callers get 503 because the store does not answer."""
    with folder() as place:
        times = waits(place, requests)
    median, late = statistics.median(times), times[int(len(times) * 0.99)]
    print(f"\nUntil 503 `state_unavailable`, {len(times)} requests: median {median:.0f} ms, p99 {late:.0f} ms")
    return median < 150


def slow_vendor(seconds: float) -> bool:
    """Print what callers get from a vendor that takes longer than they wait."""
    with folder() as place:
        callers = outwaited(place, seconds)
    print("\n| `x-gateway-keepalive` | images | after, s | tries | calls | booked, $ |\n|---|---|---|---|---|---|")
    for caller in callers:
        keepalive = str(caller.keepalive).lower()
        numbers = (
            f"{caller.images} | {caller.seconds:.0f} | {caller.tries} | {caller.calls} | {caller.cost / 10**9:.4f}"
        )
        print(f"| {keepalive} | {numbers} |", flush=True)
    return all(caller.clean for caller in callers)


def counted(what: str, counts: Iterable[tuple[str, int]]) -> None:
    """Print a table of counts."""
    lines = (f"| {name} | {count} |" for name, count in counts)
    print("\n".join((f"| {what} | times |", "|---|---|", *lines, "")))


STORM_HEAD = (
    "entries | unconfirmed | bought or booked twice | calls without entry | entries without call, not marked | "
    "5xx though a vendor was well | 5xx after all that were well refused"
)


def stormy(weather: Weather) -> bool:
    """Print the outcome of a storm."""
    with folder() as place:
        wake = storm(place, weather)
    statuses = Counter(f"{answer.status} {answer.code}".strip() for answer in wake.answers)
    middle, late = quantiles(wake)
    counts = f"{wake.requests} requests, {len(wake.answers)} tries"
    print(f"\n{weather.rate:.0f} requests/s for {weather.seconds:.0f} s: {counts}.")
    print(f"Until an answer: median {middle * 1000:.0f} ms, p99 {late * 1000:.0f} ms\n")
    counted("answer", statuses.most_common())
    counted("calls", wake.calls.most_common())
    print(f"| {STORM_HEAD} |\n|{'---|' * 7}")
    wrong = (wake.doubled, wake.lost, wake.sure, wake.avoidable, wake.unlucky)
    print(f"| {wake.entries} | {wake.unconfirmed} | {' | '.join(str(len(cases)) for cases in wrong)} |\n")
    for cases in wrong:
        print("\n".join(cases[:MAX_PRINTED]))
    return wake.clean


def main() -> None:
    """Run the rounds that the options choose."""
    parser = argparse.ArgumentParser(prog="python -m tools.chaos")
    parser.add_argument("--races", type=int, default=50, help="rounds of the race for a budget")
    parser.add_argument("--kills", type=int, default=200, help="gateways to kill")
    parser.add_argument("--harms", type=int, default=20, help="times that the store is killed, and wiped")
    parser.add_argument("--away", type=float, default=30, help="seconds without PostgreSQL")
    parser.add_argument("--slow", type=float, default=75, help="seconds that the slow vendor takes")
    parser.add_argument("--slow-only", action="store_true", help="the slow vendor only")
    parser.add_argument("--storm", action="store_true", help="the storm only")
    parser.add_argument("--seconds", type=float, default=LONG.seconds, help="of storm")
    parser.add_argument("--rate", type=float, default=LONG.rate, help="requests a second in the storm")
    options = parser.parse_args()
    clean = [] if options.storm else [slow_vendor(options.slow)]
    if not options.storm and not options.slow_only:
        clean += [races(options.races), delays(100), tolls(options.kills, options.harms, options.away)]
    if not options.slow_only:
        clean.append(stormy(replace(LONG, seconds=options.seconds, rate=options.rate)))
    sys.exit(0 if all(clean) else 1)


if __name__ == "__main__":
    main()
