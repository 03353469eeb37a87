"""`python -m tools.bench.scrape`: duration of a scrape with many teams, and the cost of counting a request.

Rule: the events are those that a gateway emits. No request is served. Figures are CPU of this process, as a median with
the extremes. For comparison prometheus-client's own encoder writes an equal text.
"""

import argparse
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from prometheus_client import CollectorRegistry, Metric, generate_latest
from prometheus_client.parser import text_string_to_metric_families
from prometheus_client.registry import Collector

from service.adapters.metrics.expose import Exposition, process_registry
from service.adapters.metrics.observer import MetricsObserver
from service.domain.errors import FailureKind
from service.domain.ledger import Basis, Entry, EntryStatus
from service.domain.pricing import NANO
from service.domain.quota_limits import TEAM, Limit, LimitStatus, Measure
from service.domain.request_labels import ApiOperation, Outcome, RequestLabels
from service.domain.state_snapshot import Backlog, StateSnapshot
from service.usecases.ports.events import (
    AttemptFinished,
    EntryPosted,
    FlightResolved,
    GaugesCollected,
    RequestFinished,
)
from service.usecases.ports.flights import Role
from service.usecases.ports.observer import Event
from tools.bench.measure import Spread

MODELS, TIERS, SIZES = 10, ("low", "high"), ("1024x1024", "1536x1024")
OF_A_TEAM = 3  # models that one team uses
FAILED = (Outcome.INVALID, Outcome.LIMITED, Outcome.UPSTREAM_FAILED)
BUDGETS = (
    Limit(TEAM, Measure.DAY, 50 * NANO),
    Limit(TEAM, Measure.MONTH, 800 * NANO),
    Limit("tier:high", Measure.DAY, 20 * NANO),
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Asking:
    """One team's use of one model at one tier and size."""

    team: str
    model: str
    backend: str
    tier: str
    size: str


def askings(teams: int) -> Iterator[Asking]:
    """Generate three models, both tiers and both sizes for every team."""
    for team in range(teams):
        for at in range(OF_A_TEAM):
            number = (team + at) % MODELS
            for tier in TIERS:
                for size in SIZES:
                    yield Asking(
                        team=f"team-{team}",
                        model=f"gpt-image-{number}",
                        backend=("openai", "together")[number % 2],
                        tier=tier,
                        size=size,
                    )


def served(one: Asking, cache: str) -> list[Event]:
    """Return the events of a request with a generated image, or with a cached one."""
    is_generated = cache == "miss"
    events: list[Event] = [
        FlightResolved(role=Role.LEADER),
        AttemptFinished(request_id="req_1", backend=one.backend, model=one.model, seconds=12, failure=None),
        EntryPosted(entry=entry(one, cache)),
        answered(one, Outcome.SERVED, cache),
    ]
    return events if is_generated else events[2:]


def answered(one: Asking, outcome: Outcome, cache: str = "none") -> RequestFinished:
    """Build the event at the end of a request."""
    served = outcome is Outcome.SERVED
    return RequestFinished(
        request_id="req_1",
        method="POST",
        path="/v1/images/generations",
        status=200 if served else 400,
        milliseconds=12_345.6,
        bytes_out=2_000_000,
        log_fields={},
        team=one.team,
        operation=ApiOperation.GENERATE,
        outcome=outcome,
        labels=RequestLabels(model=one.model, tier=one.tier, backend=one.backend if served else "", cache=cache),
        refused_limit=Limit(TEAM, Measure.REQUESTS, 1) if outcome is Outcome.LIMITED else None,
    )


def entry(one: Asking, cache: str) -> Entry:
    """Build the entry of a request."""
    return Entry(
        hold_id="h",
        request_id="req_1",
        team=one.team,
        key="k",
        operation="generate",
        model=one.model,
        backend=one.backend,
        upstream_model=one.model,
        price_version="2026",
        output_format="png",
        n=1,
        cost=41_000_000 if cache == "miss" else 0,
        saved=0 if cache == "miss" else 41_000_000,
        basis=Basis.USAGE if cache == "miss" else Basis.CACHE,
        status=EntryStatus.DELIVERED,
        resolved_tier=one.tier,
        size=one.size,
        text_in=40,
        image_out=1000,
        cache=cache,
    )


def crowd(teams: int) -> Iterator[Event]:
    """Generate the events of a gateway with this number of teams."""
    for one in askings(teams):
        yield from served(one, "miss")
        yield from served(one, "hit")
        for outcome in FAILED:
            yield answered(one, outcome)
    for number in range(MODELS):
        for kind in FailureKind:
            yield AttemptFinished(
                request_id="req_1",
                backend=("openai", "together")[number % 2],
                model=f"gpt-image-{number}",
                seconds=1,
                failure=kind,
            )
    names = tuple(f"team-{team}" for team in range(teams))
    standings = tuple(LimitStatus(limit=limit, used=limit.maximum // 3, resets_in=60) for limit in BUDGETS)
    yield GaugesCollected(
        snapshot=StateSnapshot(
            taken_at=1_795_262_400,
            teams=names,
            backlog=Backlog(
                open_holds={}, held_amounts={}, outbox_entries=0, oldest_posted_at=None, pending_settlements=0
            ),
            budgets=dict.fromkeys(names, standings),
            key_expiries=(),
            shutdowns={},
            model_names={},
            version="0123456789ab",
        )
    )


def build_metrics(teams: int) -> MetricsObserver:
    """Build the metrics of a gateway with these events."""
    seen = MetricsObserver(version="1.2.3", python="3.11.7")
    for event in crowd(teams):
        seen.record(event)
    return seen


class Replayed(Collector):
    """Contents of a text as prometheus-client's objects."""

    def __init__(self, text: str) -> None:
        self._families = [*text_string_to_metric_families(text)]

    def collect(self) -> Iterator[Metric]:
        """Return all metrics."""
        yield from self._families


def timed(work: Callable[[], object], times: int, count: int = 1) -> Spread:
    """Return CPU milliseconds of one of `count`."""
    seconds = []
    for _ in range(times):
        before = time.thread_time()
        work()
        seconds.append((time.thread_time() - before) * 1000 / count)
    return Spread(seconds)


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(prog="python -m tools.bench.scrape")
    parser.add_argument("--teams", type=int, nargs="+", default=[1, 50, 200, 1000])
    parser.add_argument("--rounds", type=int, default=9)
    options = parser.parse_args()
    print("| teams | series | bytes | scrape, CPU ms | prometheus-client's encoder, CPU ms |")
    print("|---|---|---|---|---|")
    for teams in options.teams:
        exposition = Exposition(build_metrics(teams), process_registry())
        body, _ = exposition.render("")
        registry = CollectorRegistry()
        registry.register(Replayed(body.decode()))
        series = sum(not line.startswith(b"#") for line in body.splitlines())
        ours = timed(lambda exposition=exposition: exposition.render(""), options.rounds)  # type: ignore[misc]  # bound at once
        theirs = timed(lambda registry=registry: generate_latest(registry), options.rounds)  # type: ignore[misc]
        print(f"| {teams} | {series} | {len(body)} | {ours} | {theirs} |")
    seen, one = build_metrics(200), next(askings(1))
    print("\n| request | events | CPU µs |\n|---|---|---|")
    for cache in ("miss", "hit"):
        events = served(one, cache)

        def count(events: list[Event] = events) -> None:
            for _ in range(10_000):
                for event in events:
                    seen.record(event)

        print(
            f"| {cache} | {len(events)} | {Spread([1000 * ms for ms in timed(count, options.rounds, 10_000).values])} |"
        )


if __name__ == "__main__":
    main()
