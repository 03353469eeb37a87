"""Observer that counts events in metrics.

Rule: an event has at most one function here, which `record` finds by the type of the event. An event that is not
counted costs one lookup. The model label is the catalog's name of a backend's model, where the catalog has one.

Fails with: nothing that an event can cause; `record` neither waits nor raises.
"""

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import UTC, datetime
from itertools import chain
from typing import Any

from service.adapters.metrics import declared as metrics
from service.adapters.metrics.declared import Declared, Kind
from service.adapters.metrics.prometheus_text import Family, HistogramFamily, Labels, NumberFamily
from service.domain.circuit_breaker import BreakerState
from service.domain.errors import FailureKind
from service.domain.ledger import Basis, Entry, EntryStatus
from service.domain.quota_limits import Limit, LimitStatus, Measure
from service.domain.request_labels import ApiOperation, size_class
from service.domain.state_snapshot import Backlog, StateSnapshot
from service.usecases.ports import events
from service.usecases.ports.flights import Role
from service.usecases.ports.observer import Event, Observer

NO_LABELS: Labels = ()
BREAKERS: Mapping[BreakerState, int] = {BreakerState.CLOSED: 0, BreakerState.HALF_OPEN: 1, BreakerState.OPEN: 2}
FLIGHT_RESULTS: Mapping[Role, str] = {Role.LEADER: "led", Role.FINISHED: "joined", Role.LOST: "lost"}
WINDOWS: Mapping[Measure, str] = {Measure.DAY: "day", Measure.MONTH: "month"}
UNCERTAIN = frozenset({Basis.ESTIMATED, Basis.UNCONFIRMED})
CACHE_SAVINGS = frozenset({"hit", "joined", "replayed"})
COUNTED_EVENTS: Mapping[type[Event], Declared] = {
    events.SettlementDelayed: metrics.DELAYED_SETTLEMENTS,
    events.CountersRebuilt: metrics.REBUILDS,
    events.QuoteExceeded: metrics.QUOTES_EXCEEDED,
    events.CacheFailed: metrics.CACHE_ERRORS,
    events.LogLineLost: metrics.LOST_LINES,
    events.Crashed: metrics.CRASHES,
    events.ImageStoreFailed: metrics.IMAGES_NOT_STORED,
    events.EmbeddedStoreRestarted: metrics.RESTARTS,
    events.StoreUnsafe: metrics.REDIS_WARNINGS,
}
"""Events that add 1 to a counter without labels."""


class MetricsObserver(Observer):
    """Families of all metrics, changed by events. `now` returns Unix seconds."""

    def __init__(self, version: str, python: str, now: Callable[[], float] = time.time) -> None:
        self._now = now
        self._models: Mapping[tuple[str, str], str] = {}
        self._wrong: frozenset[str] = frozenset()
        self._numbers = {metric: NumberFamily(metric) for metric in metrics.ALL if metric.kind is not Kind.HISTOGRAM}
        self._buckets = {metric: HistogramFamily(metric) for metric in metrics.ALL if metric.kind is Kind.HISTOGRAM}
        self._on: Mapping[type[Event], Callable[[Any], None]] = {
            events.Listening: self._listening,
            events.RequestFinished: self._request,
            events.AttemptFinished: self._attempt,
            events.InFlightChanged: self._images_in_flight,
            events.EntryPosted: self._entry,
            events.HoldVoided: self._voided,
            events.HoldExpired: self._expired,
            events.EntriesWritten: self._written,
            events.LedgerOutageStarted: self._ledger_unavailable,
            events.LedgerOutageEnded: self._ledger_available,
            events.BreakerChanged: self._breaker,
            events.RateLimitObserved: self._rate_limit,
            events.FlightResolved: self._flight,
            events.SettingsReloaded: self._reloaded,
            events.SecretReloaded: self._renewed,
            events.SecretRejected: self._refused,
            events.GaugesCollected: self._snapshot,
            events.StoreMemoryMeasured: self._state_memory,
            events.LoopLagged: self._lag,
            events.ImagesDeleted: self._images_deleted,
            **dict.fromkeys(COUNTED_EVENTS, self._count_plain),
        }
        self._set(metrics.BUILD, 1, version, python)
        self._set(metrics.RELOADED, 1)
        self._set(metrics.LOADED, now())
        self._set(metrics.LEDGER_UNAVAILABLE, 0)

    def record(self, event: Event) -> None:
        """Count an event, if it is counted."""
        count = self._on.get(type(event))
        if count:
            count(event)

    def counted_types(self) -> frozenset[type[Event]]:
        """Return the types of all counted events."""
        return frozenset(self._on)

    def families(self) -> Iterator[Family]:
        """Return the families in the order of `declared.ALL`."""
        for metric in metrics.ALL:
            yield self._buckets[metric] if metric.kind is Kind.HISTOGRAM else self._numbers[metric]

    def _increment(self, metric: Declared, amount: int, *labels: str) -> None:
        self._numbers[metric].add(labels, amount)

    def _set(self, metric: Declared, value: float, *labels: str) -> None:
        self._numbers[metric].set(labels, value)

    def _observe_seconds(self, metric: Declared, seconds: float, *labels: str) -> None:
        self._buckets[metric].observe(labels, seconds)

    def _count_plain(self, event: Event) -> None:
        self._increment(COUNTED_EVENTS[type(event)], 1)

    def _listening(self, event: events.Listening) -> None:
        for backend in event.backends:
            self._increment(metrics.BREAKER, 0, backend)
            self._increment(metrics.IN_FLIGHT, 0, backend)

    def _request(self, event: events.RequestFinished) -> None:
        if event.operation is ApiOperation.HEALTH:
            return
        request_labels, operation = event.labels, event.operation.value
        labels = (
            event.team,
            operation,
            request_labels.model,
            request_labels.tier,
            event.outcome.value,
            request_labels.cache,
        )
        self._increment(metrics.REQUESTS, 1, *labels)
        self._observe_seconds(
            metrics.REQUEST_SECONDS,
            event.milliseconds / 1000,
            operation,
            request_labels.model,
            request_labels.tier,
            request_labels.cache,
        )
        if event.first_preview_seconds is not None:
            self._observe_seconds(
                metrics.FIRST_PARTIAL_SECONDS, event.first_preview_seconds, request_labels.model, request_labels.backend
            )
        if event.refused_limit:
            self._increment(
                metrics.REFUSALS, 1, event.team, scope_label(event.refused_limit), event.refused_limit.measure.value
            )
        if request_labels.backend:
            self._increment(metrics.CACHE_RESULTS, 1, request_labels.cache)
        if request_labels.cache in CACHE_SAVINGS:
            self._increment(metrics.CACHE_BYTES, event.bytes_out, request_labels.cache)

    def _attempt(self, event: events.AttemptFinished) -> None:
        model = self._models.get((event.backend, event.model), event.model)
        outcome = event.failure.value if event.failure else "delivered"
        self._increment(metrics.ATTEMPTS, 1, event.backend, model, outcome)
        self._observe_seconds(metrics.ATTEMPT_SECONDS, event.seconds, event.backend, model, outcome)
        if event.failure in {None, FailureKind.QUOTA_EXHAUSTED}:
            self._set(metrics.EXHAUSTED, 0 if event.failure is None else 1, event.backend)

    def _images_in_flight(self, event: events.InFlightChanged) -> None:
        self._increment(metrics.IN_FLIGHT, event.images, event.backend)

    def _entry(self, event: events.EntryPosted) -> None:
        entry = event.entry
        tier = entry.resolved_tier or ""
        if entry.status is not EntryStatus.LOST:  # counted by HoldExpired
            self._increment(metrics.HOLDS, 1, "posted")
        if entry.basis is Basis.CACHE:
            self._increment(metrics.SAVED, entry.saved, entry.team, entry.model, tier)
            return
        self._increment(metrics.COST, entry.cost, entry.team, tier, entry.model, entry.backend, entry.basis.value)
        if entry.basis in UNCERTAIN:
            self._increment(metrics.UNCERTAIN, entry.cost, entry.basis.value)
        for kind, tokens in count_tokens(entry):
            if tokens:
                self._increment(metrics.TOKENS, tokens, entry.model, entry.backend, kind)
        if entry.status is EntryStatus.DELIVERED:
            tier_drawn = (entry.team, entry.model, entry.backend, tier, size_class(entry.size), entry.operation)
            self._increment(metrics.IMAGES, entry.n, *tier_drawn)

    def _voided(self, event: events.HoldVoided) -> None:
        del event
        self._increment(metrics.HOLDS, 1, "voided")

    def _expired(self, event: events.HoldExpired) -> None:
        self._increment(metrics.HOLDS, 1, "expired_booked" if event.booked else "expired_voided")

    def _written(self, event: events.EntriesWritten) -> None:
        self._increment(metrics.WRITTEN, event.count)
        self._set(metrics.LAST_WRITE, self._now())

    def _ledger_unavailable(self, event: events.LedgerOutageStarted) -> None:
        del event
        self._set(metrics.LEDGER_UNAVAILABLE, 1)

    def _ledger_available(self, event: events.LedgerOutageEnded) -> None:
        del event
        self._set(metrics.LEDGER_UNAVAILABLE, 0)

    def _breaker(self, event: events.BreakerChanged) -> None:
        self._set(metrics.BREAKER, BREAKERS[event.state], event.backend)
        exhausted = event.reason is FailureKind.QUOTA_EXHAUSTED
        if event.state is BreakerState.OPEN:
            self._increment(metrics.OPENINGS, 1, event.backend, event.reason.value if event.reason else "")
        if exhausted or event.state is BreakerState.CLOSED:
            self._set(metrics.EXHAUSTED, 1 if exhausted else 0, event.backend)

    def _rate_limit(self, event: events.RateLimitObserved) -> None:
        if event.limit:
            labels = (event.backend, self._models.get((event.backend, event.model), event.model), event.measure)
            self._set(metrics.RATE_LIMIT_LEFT, event.remaining / event.limit, *labels)
            self._set(metrics.RATE_LIMIT_AT, self._now(), *labels)

    def _flight(self, event: events.FlightResolved) -> None:
        self._increment(metrics.FLIGHTS, 1, FLIGHT_RESULTS[event.role])

    def _reloaded(self, event: events.SettingsReloaded) -> None:
        self._record_reload("", accepted=event.problem is None)

    def _renewed(self, event: events.SecretReloaded) -> None:
        self._record_reload(event.secret, accepted=True)

    def _refused(self, event: events.SecretRejected) -> None:
        self._record_reload(event.secret, accepted=False)

    def _record_reload(self, secret: str, *, accepted: bool) -> None:
        """Count a reload of a secret or, for an empty name, of the files. The gauge is 1 once nothing is refused."""
        self._increment(metrics.RELOADS, 1, "accepted" if accepted else "refused")
        self._wrong = self._wrong - {secret} if accepted else self._wrong | {secret}
        self._set(metrics.RELOADED, 0 if self._wrong else 1)
        if accepted:
            self._set(metrics.LOADED, self._now())

    def _lag(self, event: events.LoopLagged) -> None:
        self._observe_seconds(metrics.LOOP_LAG, event.lag_seconds)

    def _images_deleted(self, event: events.ImagesDeleted) -> None:
        self._increment(metrics.IMAGES_DELETED, event.count)

    def _state_memory(self, event: events.StoreMemoryMeasured) -> None:
        self._numbers[metrics.REDIS_MEMORY].replace({} if event.ratio is None else {NO_LABELS: event.ratio})

    def _snapshot(self, event: events.GaugesCollected) -> None:
        read, self._models = event.snapshot, event.snapshot.model_names
        self._backlog(read.backlog, read)
        self._numbers[metrics.SETTINGS].replace({(read.version,): 1})
        self._numbers[metrics.EXPIRIES].replace(
            {(one.team, one.key): one.expires_at.timestamp() for one in read.key_expiries}
        )
        ends = {name: datetime(day.year, day.month, day.day, tzinfo=UTC) for name, day in read.shutdowns.items()}
        self._numbers[metrics.SHUTDOWNS].replace({(name,): end.timestamp() for name, end in ends.items()})
        if read.budgets is not None:
            self._budgets(read.budgets)
            self._set(metrics.COLLECTED_AT, read.taken_at)

    def _backlog(self, backlog: Backlog, read: StateSnapshot) -> None:
        teams = dict.fromkeys(chain(read.teams, backlog.open_holds))
        self._numbers[metrics.OPEN_HOLDS].replace({(team,): backlog.open_holds.get(team, 0) for team in teams})
        self._numbers[metrics.HELD].replace({(team,): backlog.held_amounts.get(team, 0) for team in teams})
        self._set(metrics.OUTBOX, backlog.outbox_entries)
        self._set(
            metrics.OLDEST_ENTRY,
            0 if backlog.oldest_posted_at is None else max(0.0, read.taken_at - backlog.oldest_posted_at),
        )
        self._set(metrics.PENDING_SETTLEMENTS, backlog.pending_settlements)

    def _budgets(self, budgets: Mapping[str, Sequence[LimitStatus]]) -> None:
        status: dict[Labels, LimitStatus] = {
            (team, WINDOWS[item.limit.measure], item.limit.scope): item
            for team, numbers in budgets.items()
            for item in numbers
        }
        self._numbers[metrics.BUDGET_LIMIT].replace({labels: item.limit.maximum for labels, item in status.items()})
        self._numbers[metrics.BUDGET_SPENT].replace({labels: item.used for labels, item in status.items()})
        self._numbers[metrics.BUDGET_LEFT].replace({labels: item.remaining for labels, item in status.items()})


def scope_label(limit: Limit) -> str:
    """Return the scope of a limit, without the id of a key."""
    kind, _, _ = limit.scope.partition(":")
    return kind if kind == "key" else limit.scope


def count_tokens(entry: Entry) -> tuple[tuple[str, int], ...]:
    """Return the tokens by kind. The kinds are disjoint."""
    text_cached, image_cached = min(entry.text_cached, entry.text_in), min(entry.image_cached, entry.image_in)
    return (
        ("text_in", entry.text_in - text_cached),
        ("text_cached", text_cached),
        ("image_in", entry.image_in - image_cached),
        ("image_cached", image_cached),
        ("text_out", entry.text_out),
        ("image_out", entry.image_out),
    )
