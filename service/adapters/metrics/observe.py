"""The observer that counts.

Rule: one short function for each kind of event, found by its type; what nobody counts costs one look. It neither waits
nor raises. Names that backends have for models are told as the catalog's, where it has one.
"""

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import UTC, datetime
from itertools import chain
from typing import Any

from service.adapters.metrics import declared as the
from service.adapters.metrics.declared import Declared, Kind
from service.adapters.metrics.families import Buckets, Family, Labels, Numbers
from service.domain.errors import FailureKind
from service.domain.health import State
from service.domain.ledger import Basis, Entry, Status
from service.domain.limits import Limit, Measure, Standing
from service.domain.marks import Operation, size_class
from service.domain.readings import Backlog, Readings
from service.usecases.events import (
    AttemptFinished,
    BooksBehind,
    BooksCaughtUp,
    BreakerChanged,
    CacheFailed,
    CountersRebuilt,
    Crashed,
    DrawingChanged,
    EntriesWritten,
    EntryPosted,
    Event,
    FlightTaken,
    HeadroomHeard,
    HoldExpired,
    HoldVoided,
    Listening,
    LogLineLost,
    LoopLagged,
    PicturesForgotten,
    QuoteExceeded,
    ReadingsTaken,
    RequestFinished,
    SecretRefused,
    SecretRenewed,
    SettingsReloaded,
    SettlementDelayed,
    StoreFailed,
    StoreMemoryRead,
    StoreRestarted,
    StoreUnsafe,
)
from service.usecases.flights import Seat

NOBODY: Labels = ()
BREAKERS: Mapping[State, int] = {State.CLOSED: 0, State.HALF_OPEN: 1, State.OPEN: 2}
SEATS: Mapping[Seat, str] = {Seat.LEAD: "led", Seat.LANDED: "joined", Seat.LOST: "lost"}
WINDOWS: Mapping[Measure, str] = {Measure.DAY: "day", Measure.MONTH: "month"}
UNCERTAIN = frozenset({Basis.ESTIMATED, Basis.UNCONFIRMED})
SPARED = frozenset({"hit", "joined", "replayed"})
PLAIN: Mapping[type, Declared] = {
    SettlementDelayed: the.DELAYED,
    CountersRebuilt: the.REBUILDS,
    QuoteExceeded: the.QUOTES_EXCEEDED,
    CacheFailed: the.CACHE_ERRORS,
    LogLineLost: the.LOST_LINES,
    Crashed: the.CRASHES,
    StoreFailed: the.UNKEPT,
    StoreRestarted: the.RESTARTS,
    StoreUnsafe: the.UNSAFE,
}
"""Events of which only the number matters."""


class Metrics:
    """All families, and what happens to them. `now` gives Unix seconds."""

    def __init__(self, version: str, python: str, now: Callable[[], float] = time.time) -> None:
        self._now = now
        self._models: Mapping[tuple[str, str], str] = {}
        self._wrong: frozenset[str] = frozenset()
        self._numbers = {each: Numbers(each) for each in the.ALL if each.kind is not Kind.HISTOGRAM}
        self._buckets = {each: Buckets(each) for each in the.ALL if each.kind is Kind.HISTOGRAM}
        self._on: Mapping[type, Callable[[Any], None]] = {
            Listening: self._listening,
            RequestFinished: self._request,
            AttemptFinished: self._attempt,
            DrawingChanged: self._drawing,
            EntryPosted: self._entry,
            HoldVoided: self._voided,
            HoldExpired: self._expired,
            EntriesWritten: self._written,
            BooksBehind: self._behind,
            BooksCaughtUp: self._caught_up,
            BreakerChanged: self._breaker,
            HeadroomHeard: self._headroom,
            FlightTaken: self._flight,
            SettingsReloaded: self._reloaded,
            SecretRenewed: self._renewed,
            SecretRefused: self._refused,
            ReadingsTaken: self._readings,
            StoreMemoryRead: self._state_memory,
            LoopLagged: self._lag,
            PicturesForgotten: self._forgotten,
            **dict.fromkeys(PLAIN, self._plain),
        }
        self._set(the.BUILD, 1, version, python)
        self._set(the.RELOADED, 1)
        self._set(the.LOADED, now())
        self._set(the.BEHIND, 0)

    def __call__(self, event: Event) -> None:
        """Take note."""
        count = self._on.get(type(event))
        if count:
            count(event)

    def families(self) -> Iterator[Family]:
        """Everything, in the order of the table."""
        for each in the.ALL:
            yield self._buckets[each] if each.kind is Kind.HISTOGRAM else self._numbers[each]

    def _add(self, metric: Declared, amount: int, *labels: str) -> None:
        self._numbers[metric].add(labels, amount)

    def _set(self, metric: Declared, value: float, *labels: str) -> None:
        self._numbers[metric].set(labels, value)

    def _time(self, metric: Declared, seconds: float, *labels: str) -> None:
        self._buckets[metric].observe(labels, seconds)

    def _plain(self, event: Event) -> None:
        self._add(PLAIN[type(event)], 1)

    def _listening(self, event: Listening) -> None:
        for backend in event.backends:
            self._add(the.BREAKER, 0, backend)
            self._add(the.IN_FLIGHT, 0, backend)

    def _request(self, event: RequestFinished) -> None:
        if event.operation is Operation.HEALTH:
            return
        marks, operation = event.marks, event.operation.value
        labels = (event.team, operation, marks.model, marks.tier, event.verdict.value, marks.cache)
        self._add(the.REQUESTS, 1, *labels)
        self._time(the.REQUEST_SECONDS, event.milliseconds / 1000, operation, marks.model, marks.tier, marks.cache)
        if event.previewed is not None:
            self._time(the.FIRST_PARTIAL_SECONDS, event.previewed, marks.model, marks.backend)
        if event.refused:
            self._add(the.REFUSALS, 1, event.team, scope_of(event.refused), event.refused.measure.value)
        if marks.backend:
            self._add(the.CACHE_RESULTS, 1, marks.cache)
        if marks.cache in SPARED:
            self._add(the.CACHE_BYTES, event.bytes_out, marks.cache)

    def _attempt(self, event: AttemptFinished) -> None:
        model = self._models.get((event.backend, event.model), event.model)
        outcome = event.failure.value if event.failure else "delivered"
        self._add(the.ATTEMPTS, 1, event.backend, model, outcome)
        self._time(the.ATTEMPT_SECONDS, event.seconds, event.backend, model, outcome)
        if event.failure in {None, FailureKind.QUOTA_EXHAUSTED}:
            self._set(the.EXHAUSTED, 0 if event.failure is None else 1, event.backend)

    def _drawing(self, event: DrawingChanged) -> None:
        self._add(the.IN_FLIGHT, event.pictures, event.backend)

    def _entry(self, event: EntryPosted) -> None:
        entry = event.entry
        tier = entry.resolved_tier or ""
        if entry.status is not Status.LOST:  # those are told as expired
            self._add(the.HOLDS, 1, "posted")
        if entry.basis is Basis.CACHE:
            self._add(the.SAVED, entry.saved, entry.team, entry.model, tier)
            return
        self._add(the.COST, entry.cost, entry.team, tier, entry.model, entry.backend, entry.basis.value)
        if entry.basis in UNCERTAIN:
            self._add(the.UNCERTAIN, entry.cost, entry.basis.value)
        for kind, tokens in tokens_of(entry):
            if tokens:
                self._add(the.TOKENS, tokens, entry.model, entry.backend, kind)
        if entry.status is Status.DELIVERED:
            drawn = (entry.team, entry.model, entry.backend, tier, size_class(entry.size), entry.operation)
            self._add(the.IMAGES, entry.n, *drawn)

    def _voided(self, event: HoldVoided) -> None:
        del event
        self._add(the.HOLDS, 1, "voided")

    def _expired(self, event: HoldExpired) -> None:
        self._add(the.HOLDS, 1, "expired_booked" if event.booked else "expired_voided")

    def _written(self, event: EntriesWritten) -> None:
        self._add(the.WRITTEN, event.count)
        self._set(the.PUMPED, self._now())

    def _behind(self, event: BooksBehind) -> None:
        del event
        self._set(the.BEHIND, 1)

    def _caught_up(self, event: BooksCaughtUp) -> None:
        del event
        self._set(the.BEHIND, 0)

    def _breaker(self, event: BreakerChanged) -> None:
        self._set(the.BREAKER, BREAKERS[event.state], event.backend)
        exhausted = event.reason is FailureKind.QUOTA_EXHAUSTED
        if event.state is State.OPEN:
            self._add(the.OPENINGS, 1, event.backend, event.reason.value if event.reason else "")
        if exhausted or event.state is State.CLOSED:
            self._set(the.EXHAUSTED, 1 if exhausted else 0, event.backend)

    def _headroom(self, event: HeadroomHeard) -> None:
        if event.limit:
            labels = (event.backend, self._models.get((event.backend, event.model), event.model), event.measure)
            self._set(the.HEADROOM, event.left / event.limit, *labels)
            self._set(the.HEADROOM_AT, self._now(), *labels)

    def _flight(self, event: FlightTaken) -> None:
        self._add(the.FLIGHTS, 1, SEATS[event.seat])

    def _reloaded(self, event: SettingsReloaded) -> None:
        self._read("", accepted=event.problem is None)

    def _renewed(self, event: SecretRenewed) -> None:
        self._read(event.secret, accepted=True)

    def _refused(self, event: SecretRefused) -> None:
        self._read(event.secret, accepted=False)

    def _read(self, name: str, *, accepted: bool) -> None:
        """A secret was read again or, without a name, the files. All is well once nothing of it is refused any more."""
        self._add(the.RELOADS, 1, "accepted" if accepted else "refused")
        self._wrong = self._wrong - {name} if accepted else self._wrong | {name}
        self._set(the.RELOADED, 0 if self._wrong else 1)
        if accepted:
            self._set(the.LOADED, self._now())

    def _lag(self, event: LoopLagged) -> None:
        self._time(the.LAG, event.seconds)

    def _forgotten(self, event: PicturesForgotten) -> None:
        self._add(the.FORGOTTEN, event.count)

    def _state_memory(self, event: StoreMemoryRead) -> None:
        self._numbers[the.STATE_MEMORY].replace({} if event.ratio is None else {NOBODY: event.ratio})

    def _readings(self, event: ReadingsTaken) -> None:
        read, self._models = event.readings, event.readings.models
        self._backlog(read.backlog, read)
        self._numbers[the.SETTINGS].replace({(read.version,): 1})
        self._numbers[the.EXPIRIES].replace({(one.team, one.key): one.at.timestamp() for one in read.expiries})
        ends = {name: datetime(day.year, day.month, day.day, tzinfo=UTC) for name, day in read.shutdowns.items()}
        self._numbers[the.SHUTDOWNS].replace({(name,): end.timestamp() for name, end in ends.items()})
        if read.budgets is not None:
            self._budgets(read.budgets)
            self._set(the.READ, read.at)

    def _backlog(self, backlog: Backlog, read: Readings) -> None:
        teams = dict.fromkeys(chain(read.teams, backlog.holds))
        self._numbers[the.OPEN_HOLDS].replace({(team,): backlog.holds.get(team, 0) for team in teams})
        self._numbers[the.HELD].replace({(team,): backlog.held.get(team, 0) for team in teams})
        self._set(the.OUTBOX, backlog.waiting)
        self._set(the.OLDEST, 0 if backlog.oldest is None else max(0.0, read.at - backlog.oldest))
        self._set(the.PENDING, backlog.owed)

    def _budgets(self, budgets: Mapping[str, Sequence[Standing]]) -> None:
        standing: dict[Labels, Standing] = {
            (team, WINDOWS[each.limit.measure], each.limit.scope): each
            for team, all_ in budgets.items()
            for each in all_
        }
        self._numbers[the.BUDGET_LIMIT].replace({labels: each.limit.most for labels, each in standing.items()})
        self._numbers[the.BUDGET_SPENT].replace({labels: each.used for labels, each in standing.items()})
        self._numbers[the.BUDGET_LEFT].replace({labels: each.remaining for labels, each in standing.items()})


def scope_of(limit: Limit) -> str:
    """The scope of a limit, without the id of a key."""
    kind, _, _ = limit.scope.partition(":")
    return kind if kind == "key" else limit.scope


def tokens_of(entry: Entry) -> tuple[tuple[str, int], ...]:
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
