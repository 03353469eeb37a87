"""The observer that counts.

Rule: one short function for each kind of event, found by its type; what nobody counts costs one look. It neither waits
nor raises. Names that backends have for models are told as the catalog's, where it has one.
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
from service.domain.limits import Limit, LimitStatus, Measure
from service.domain.request_labels import ApiOperation, size_class
from service.domain.state_snapshot import Backlog, StateSnapshot
from service.usecases.ports.events import (
    AttemptFinished,
    BreakerChanged,
    CacheFailed,
    CountersRebuilt,
    Crashed,
    EmbeddedStoreRestarted,
    EntriesWritten,
    EntryPosted,
    Event,
    FlightResolved,
    GaugesCollected,
    HoldExpired,
    HoldVoided,
    ImagesDeleted,
    ImageStoreFailed,
    InFlightChanged,
    LedgerBehind,
    LedgerCaughtUp,
    Listening,
    LogLineLost,
    LoopLagged,
    QuoteExceeded,
    RateLimitObserved,
    RequestFinished,
    SecretRejected,
    SecretReloaded,
    SettingsReloaded,
    SettlementDelayed,
    StoreMemoryMeasured,
    StoreUnsafe,
)
from service.usecases.ports.flights import Role

NO_LABELS: Labels = ()
BREAKERS: Mapping[BreakerState, int] = {BreakerState.CLOSED: 0, BreakerState.HALF_OPEN: 1, BreakerState.OPEN: 2}
FLIGHT_RESULTS: Mapping[Role, str] = {Role.LEAD: "led", Role.LANDED: "joined", Role.LOST: "lost"}
WINDOWS: Mapping[Measure, str] = {Measure.DAY: "day", Measure.MONTH: "month"}
UNCERTAIN = frozenset({Basis.ESTIMATED, Basis.UNCONFIRMED})
CACHE_SAVINGS = frozenset({"hit", "joined", "replayed"})
COUNTED_EVENTS: Mapping[type, Declared] = {
    SettlementDelayed: metrics.DELAYED_SETTLEMENTS,
    CountersRebuilt: metrics.REBUILDS,
    QuoteExceeded: metrics.QUOTES_EXCEEDED,
    CacheFailed: metrics.CACHE_ERRORS,
    LogLineLost: metrics.LOST_LINES,
    Crashed: metrics.CRASHES,
    ImageStoreFailed: metrics.IMAGES_NOT_STORED,
    EmbeddedStoreRestarted: metrics.RESTARTS,
    StoreUnsafe: metrics.REDIS_WARNINGS,
}
"""Events of which only the number matters."""


class MetricsObserver:
    """All families, and what happens to them. `now` gives Unix seconds."""

    def __init__(self, version: str, python: str, now: Callable[[], float] = time.time) -> None:
        self._now = now
        self._models: Mapping[tuple[str, str], str] = {}
        self._wrong: frozenset[str] = frozenset()
        self._numbers = {each: NumberFamily(each) for each in metrics.ALL if each.kind is not Kind.HISTOGRAM}
        self._buckets = {each: HistogramFamily(each) for each in metrics.ALL if each.kind is Kind.HISTOGRAM}
        self._on: Mapping[type, Callable[[Any], None]] = {
            Listening: self._listening,
            RequestFinished: self._request,
            AttemptFinished: self._attempt,
            InFlightChanged: self._drawing,
            EntryPosted: self._entry,
            HoldVoided: self._voided,
            HoldExpired: self._expired,
            EntriesWritten: self._written,
            LedgerBehind: self._behind,
            LedgerCaughtUp: self._caught_up,
            BreakerChanged: self._breaker,
            RateLimitObserved: self._headroom,
            FlightResolved: self._flight,
            SettingsReloaded: self._reloaded,
            SecretReloaded: self._renewed,
            SecretRejected: self._refused,
            GaugesCollected: self._readings,
            StoreMemoryMeasured: self._state_memory,
            LoopLagged: self._lag,
            ImagesDeleted: self._forgotten,
            **dict.fromkeys(COUNTED_EVENTS, self._plain),
        }
        self._set(metrics.BUILD, 1, version, python)
        self._set(metrics.RELOADED, 1)
        self._set(metrics.LOADED, now())
        self._set(metrics.LEDGER_UNAVAILABLE, 0)

    def __call__(self, event: Event) -> None:
        """Take note."""
        count = self._on.get(type(event))
        if count:
            count(event)

    def families(self) -> Iterator[Family]:
        """Everything, in the order of the table."""
        for each in metrics.ALL:
            yield self._buckets[each] if each.kind is Kind.HISTOGRAM else self._numbers[each]

    def _add(self, metric: Declared, amount: int, *labels: str) -> None:
        self._numbers[metric].add(labels, amount)

    def _set(self, metric: Declared, value: float, *labels: str) -> None:
        self._numbers[metric].set(labels, value)

    def _time(self, metric: Declared, seconds: float, *labels: str) -> None:
        self._buckets[metric].observe(labels, seconds)

    def _plain(self, event: Event) -> None:
        self._add(COUNTED_EVENTS[type(event)], 1)

    def _listening(self, event: Listening) -> None:
        for backend in event.backends:
            self._add(metrics.BREAKER, 0, backend)
            self._add(metrics.IN_FLIGHT, 0, backend)

    def _request(self, event: RequestFinished) -> None:
        if event.operation is ApiOperation.HEALTH:
            return
        marks, operation = event.marks, event.operation.value
        labels = (event.team, operation, marks.model, marks.tier, event.verdict.value, marks.cache)
        self._add(metrics.REQUESTS, 1, *labels)
        self._time(metrics.REQUEST_SECONDS, event.milliseconds / 1000, operation, marks.model, marks.tier, marks.cache)
        if event.previewed is not None:
            self._time(metrics.FIRST_PARTIAL_SECONDS, event.previewed, marks.model, marks.backend)
        if event.refused:
            self._add(metrics.REFUSALS, 1, event.team, scope_label(event.refused), event.refused.measure.value)
        if marks.backend:
            self._add(metrics.CACHE_RESULTS, 1, marks.cache)
        if marks.cache in CACHE_SAVINGS:
            self._add(metrics.CACHE_BYTES, event.bytes_out, marks.cache)

    def _attempt(self, event: AttemptFinished) -> None:
        model = self._models.get((event.backend, event.model), event.model)
        outcome = event.failure.value if event.failure else "delivered"
        self._add(metrics.ATTEMPTS, 1, event.backend, model, outcome)
        self._time(metrics.ATTEMPT_SECONDS, event.seconds, event.backend, model, outcome)
        if event.failure in {None, FailureKind.QUOTA_EXHAUSTED}:
            self._set(metrics.EXHAUSTED, 0 if event.failure is None else 1, event.backend)

    def _drawing(self, event: InFlightChanged) -> None:
        self._add(metrics.IN_FLIGHT, event.pictures, event.backend)

    def _entry(self, event: EntryPosted) -> None:
        entry = event.entry
        tier = entry.resolved_tier or ""
        if entry.status is not EntryStatus.LOST:  # those are told as expired
            self._add(metrics.HOLDS, 1, "posted")
        if entry.basis is Basis.CACHE:
            self._add(metrics.SAVED, entry.saved, entry.team, entry.model, tier)
            return
        self._add(metrics.COST, entry.cost, entry.team, tier, entry.model, entry.backend, entry.basis.value)
        if entry.basis in UNCERTAIN:
            self._add(metrics.UNCERTAIN, entry.cost, entry.basis.value)
        for kind, tokens in count_tokens(entry):
            if tokens:
                self._add(metrics.TOKENS, tokens, entry.model, entry.backend, kind)
        if entry.status is EntryStatus.DELIVERED:
            drawn = (entry.team, entry.model, entry.backend, tier, size_class(entry.size), entry.operation)
            self._add(metrics.IMAGES, entry.n, *drawn)

    def _voided(self, event: HoldVoided) -> None:
        del event
        self._add(metrics.HOLDS, 1, "voided")

    def _expired(self, event: HoldExpired) -> None:
        self._add(metrics.HOLDS, 1, "expired_booked" if event.booked else "expired_voided")

    def _written(self, event: EntriesWritten) -> None:
        self._add(metrics.WRITTEN, event.count)
        self._set(metrics.LAST_WRITE, self._now())

    def _behind(self, event: LedgerBehind) -> None:
        del event
        self._set(metrics.LEDGER_UNAVAILABLE, 1)

    def _caught_up(self, event: LedgerCaughtUp) -> None:
        del event
        self._set(metrics.LEDGER_UNAVAILABLE, 0)

    def _breaker(self, event: BreakerChanged) -> None:
        self._set(metrics.BREAKER, BREAKERS[event.state], event.backend)
        exhausted = event.reason is FailureKind.QUOTA_EXHAUSTED
        if event.state is BreakerState.OPEN:
            self._add(metrics.OPENINGS, 1, event.backend, event.reason.value if event.reason else "")
        if exhausted or event.state is BreakerState.CLOSED:
            self._set(metrics.EXHAUSTED, 1 if exhausted else 0, event.backend)

    def _headroom(self, event: RateLimitObserved) -> None:
        if event.limit:
            labels = (event.backend, self._models.get((event.backend, event.model), event.model), event.measure)
            self._set(metrics.RATE_LIMIT_LEFT, event.left / event.limit, *labels)
            self._set(metrics.RATE_LIMIT_AT, self._now(), *labels)

    def _flight(self, event: FlightResolved) -> None:
        self._add(metrics.FLIGHTS, 1, FLIGHT_RESULTS[event.seat])

    def _reloaded(self, event: SettingsReloaded) -> None:
        self._read("", accepted=event.problem is None)

    def _renewed(self, event: SecretReloaded) -> None:
        self._read(event.secret, accepted=True)

    def _refused(self, event: SecretRejected) -> None:
        self._read(event.secret, accepted=False)

    def _read(self, name: str, *, accepted: bool) -> None:
        """A secret was read again or, without a name, the files. All is well once nothing of it is refused any more."""
        self._add(metrics.RELOADS, 1, "accepted" if accepted else "refused")
        self._wrong = self._wrong - {name} if accepted else self._wrong | {name}
        self._set(metrics.RELOADED, 0 if self._wrong else 1)
        if accepted:
            self._set(metrics.LOADED, self._now())

    def _lag(self, event: LoopLagged) -> None:
        self._time(metrics.LOOP_LAG, event.seconds)

    def _forgotten(self, event: ImagesDeleted) -> None:
        self._add(metrics.IMAGES_DELETED, event.count)

    def _state_memory(self, event: StoreMemoryMeasured) -> None:
        self._numbers[metrics.REDIS_MEMORY].replace({} if event.ratio is None else {NO_LABELS: event.ratio})

    def _readings(self, event: GaugesCollected) -> None:
        read, self._models = event.readings, event.readings.models
        self._backlog(read.backlog, read)
        self._numbers[metrics.SETTINGS].replace({(read.version,): 1})
        self._numbers[metrics.EXPIRIES].replace({(one.team, one.key): one.at.timestamp() for one in read.expiries})
        ends = {name: datetime(day.year, day.month, day.day, tzinfo=UTC) for name, day in read.shutdowns.items()}
        self._numbers[metrics.SHUTDOWNS].replace({(name,): end.timestamp() for name, end in ends.items()})
        if read.budgets is not None:
            self._budgets(read.budgets)
            self._set(metrics.COLLECTED_AT, read.at)

    def _backlog(self, backlog: Backlog, read: StateSnapshot) -> None:
        teams = dict.fromkeys(chain(read.teams, backlog.holds))
        self._numbers[metrics.OPEN_HOLDS].replace({(team,): backlog.holds.get(team, 0) for team in teams})
        self._numbers[metrics.HELD].replace({(team,): backlog.held.get(team, 0) for team in teams})
        self._set(metrics.OUTBOX, backlog.waiting)
        self._set(metrics.OLDEST_ENTRY, 0 if backlog.oldest is None else max(0.0, read.at - backlog.oldest))
        self._set(metrics.PENDING_SETTLEMENTS, backlog.owed)

    def _budgets(self, budgets: Mapping[str, Sequence[LimitStatus]]) -> None:
        standing: dict[Labels, LimitStatus] = {
            (team, WINDOWS[each.limit.measure], each.limit.scope): each
            for team, all_ in budgets.items()
            for each in all_
        }
        self._numbers[metrics.BUDGET_LIMIT].replace({labels: each.limit.most for labels, each in standing.items()})
        self._numbers[metrics.BUDGET_SPENT].replace({labels: each.used for labels, each in standing.items()})
        self._numbers[metrics.BUDGET_LEFT].replace({labels: each.remaining for labels, each in standing.items()})


def scope_label(limit: Limit) -> str:
    """The scope of a limit, without the id of a key."""
    kind, _, _ = limit.scope.partition(":")
    return kind if kind == "key" else limit.scope


def count_tokens(entry: Entry) -> tuple[tuple[str, int], ...]:
    """Tokens by kind, each once."""
    text_cached, image_cached = min(entry.text_cached, entry.text_in), min(entry.image_cached, entry.image_in)
    return (
        ("text_in", entry.text_in - text_cached),
        ("text_cached", text_cached),
        ("image_in", entry.image_in - image_cached),
        ("image_cached", image_cached),
        ("text_out", entry.text_out),
        ("image_out", entry.image_out),
    )
