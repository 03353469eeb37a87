"""Health of one backend in one replica: its circuit breaker, its blocked models, and which of both the store lacks.

Rule: pure memory, without I/O. `domain/circuit_breaker.py` decides each change of the breaker. This module stores it
and merges the shared state. Messages for callers name no vendor, key or limit, which are the operator's.

The breaker changes in four ways:

    record_outcome        a call failed or delivered
    record_probe          a free call was answered, or its key was refused
    credentials_changed   the account has another key
    merge                 another replica changed the account's opening

An open breaker becomes half-open by time alone.

Only an opening or closing of the account's breaker by the first two is shared. A failure of the network stays in this
replica. A new key is not shared, because each replica calls with the key that it has read itself.

Fails with: nothing.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from service.domain.circuit_breaker import (
    BreakerRules,
    BreakerState,
    CircuitBreaker,
    Opening,
    Probe,
    blocked_until,
    credentials_changed,
    current_state,
    half_open,
    is_probed,
    merge_shared_opening,
    record_outcome,
    trip,
    with_probe,
)
from service.domain.errors import Failure, FailureKind
from service.domain.generation import CallOutcome
from service.usecases.ports.events import BreakerChanged
from service.usecases.ports.observer import Observer
from service.usecases.ports.shared_health import BreakerChange, HealthUpdate, SharedHealth, SharedOpening

PROBED_SECONDS = 1.0  # retry-after of calls that another call's probe refuses
OTHER_REPLICA = ""  # name of a probe that another replica runs

ACCOUNT_MESSAGES: Mapping[FailureKind, str] = {
    FailureKind.AUTH_FAILED: "The gateway's own credentials are refused by its backend. The operator has to act.",
    FailureKind.QUOTA_EXHAUSTED: "The gateway's account at its backend is out of credit or over its spending limit.",
}
"""Openings whose reason is shown to callers, because waiting does not help."""

BREAKER_OPEN_MESSAGE = "The backend failed too often and is left alone for a while."
PROBED_MESSAGE = "The backend failed too often, and it is being found out whether it is back."
RATE_LIMITED_MESSAGE = "The backend's limit for the gateway is used up for the moment."


@dataclass(frozen=True, slots=True, kw_only=True)
class BackendStatus:
    """Health of a backend as this replica sees it, for operators.

    Attributes:
        since_seconds: Seconds since the breaker was last opened or closed.
        open_seconds: Seconds until an open breaker is half-open.
        openings: Number of openings since the breaker was last closed.
        blocked: Remaining seconds in which a model is not called, by upstream model.
    """

    backend: str
    state: BreakerState
    since_seconds: float
    open_seconds: float = 0.0
    reason: FailureKind | None = None
    openings: int = 0
    blocked: Mapping[str, float] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class PendingUpdate:
    """An update for the store, and the state of this replica when the update was made.

    Attributes:
        sent_at: Monotonic seconds of this replica.
        epoch: Epoch of the breaker. A later epoch means that the breaker changed while the update was under way.
        blocked: Blocked models in the update, with their ends in monotonic seconds.
    """

    update: HealthUpdate
    sent_at: float
    epoch: int
    blocked: Mapping[str, float]


@dataclass(slots=True, kw_only=True)
class BackendHealth:
    """Health of one backend.

    Attributes:
        observe: Receives a `BreakerChanged` for each change of the breaker.
        monotonic: Clock in monotonic seconds.
        version: Shared version that was last merged.
        _base_version: Shared version that an unsent change of the account's opening is based on; None without one.
        _blocked: Ends of blocked models in monotonic seconds, by upstream model.
        _unsynced: The part of `_blocked` that the store does not have yet.
    """

    backend: str
    rules: BreakerRules
    observer: Observer
    monotonic: Callable[[], float]
    breaker: CircuitBreaker = field(init=False)
    version: int = 0
    _base_version: int | None = None
    _blocked: dict[str, float] = field(default_factory=dict)
    _unsynced: dict[str, float] = field(default_factory=dict)
    _last_reported: tuple[BreakerState, FailureKind | None, int] = (BreakerState.CLOSED, None, 0)

    def __post_init__(self) -> None:
        self.breaker = CircuitBreaker(since=self.monotonic())

    @property
    def state(self) -> BreakerState:
        """State of the breaker now."""
        return current_state(self.breaker, self.monotonic())

    @property
    def is_shared(self) -> bool:
        """Whether the opening is the account's. All replicas then share one probe."""
        return self.breaker.account is not None

    @property
    def has_changes(self) -> bool:
        """Whether the store lacks a change of this replica."""
        return self._base_version is not None or bool(self._unsynced)

    def blocked_by(self, model: str) -> Failure | None:
        """Return why calls of an upstream model are refused now: an open breaker, a running probe, or a rate limit."""
        now, opening = self.monotonic(), self.breaker.opening
        if opening:
            if now < opening.until:
                kind = opening.reason if opening.reason in ACCOUNT_MESSAGES else FailureKind.SET_ASIDE
                return build_unasked_failure(
                    kind, ACCOUNT_MESSAGES.get(kind, BREAKER_OPEN_MESSAGE), opening.until - now
                )
            if is_probed(self.breaker, now):
                return build_unasked_failure(FailureKind.SET_ASIDE, PROBED_MESSAGE, PROBED_SECONDS)
        remaining = self._blocked.get(model, now) - now
        return (
            build_unasked_failure(FailureKind.RATE_LIMITED, RATE_LIMITED_MESSAGE, remaining) if remaining > 0 else None
        )

    def record_outcome(self, outcome: CallOutcome, epoch: int) -> None:
        """Record the outcome of a call. An outcome of an earlier epoch does not count."""
        self._set(record_outcome(self.breaker, outcome, epoch, self.monotonic(), self.rules))

    def record_probe(self, failure: Failure | None) -> None:
        """Record the outcome of a call that costs nothing.

        An answer makes an open breaker half-open. A refused key opens the breaker. Any other failure changes nothing.
        """
        now = self.monotonic()
        if failure is None:
            self.breaker = half_open(self.breaker, now)
            self.refresh()
        elif failure.kind is FailureKind.AUTH_FAILED:
            self._set(trip(self.breaker, failure.kind, now, self.rules))

    def credentials_changed(self) -> None:
        """End the account's opening, because the account has another key. Other replicas are not informed."""
        self.breaker = credentials_changed(self.breaker, self.monotonic())
        self.refresh()

    def block_for(self, model: str, seconds: float) -> None:
        """Refuse calls of an upstream model for `seconds`, because a rate limit of the account is used up."""
        now = self.monotonic()
        known = self._blocked.get(model, now)
        until = blocked_until(known, seconds, now, self.rules)
        if until > known:
            self._blocked[model] = self._unsynced[model] = until

    def start_probe(self, name: str, seconds: float = PROBED_SECONDS) -> None:
        """Refuse other calls while one call probes the backend, for `seconds` at most."""
        self.breaker = with_probe(self.breaker, Probe(name=name, until=self.monotonic() + seconds))
        self.refresh()

    def end_probe(self, name: str) -> None:
        """End the probe of that name, if it is running."""
        if self.breaker.probe and self.breaker.probe.name == name:
            self.breaker = with_probe(self.breaker, None)

    def refresh(self) -> None:
        """Report a change of the breaker, also one by time alone, and drop blocked models whose time is over."""
        now, opening = self.monotonic(), self.breaker.opening
        current = (
            current_state(self.breaker, now),
            opening.reason if opening else None,
            opening.openings if opening else 0,
        )
        if current != self._last_reported:
            self._last_reported = current
            self.observer.record(
                BreakerChanged(
                    backend=self.backend,
                    state=current[0],
                    reason=current[1],
                    open_seconds=remaining_seconds(opening, now),
                )
            )
        self._blocked = {model: until for model, until in self._blocked.items() if until > now}

    def pending_update(self) -> PendingUpdate:
        """Build the update for the store: the change that it lacks, blocked models, and this replica's probe."""
        now, probe, change = self.monotonic(), self.breaker.probe, None
        if self._base_version is not None:
            change = BreakerChange(
                base_version=self._base_version, opening=to_shared_opening(self.breaker.account, now)
            )
        update = HealthUpdate(
            change=change,
            blocked={model: until - now for model, until in self._unsynced.items() if until > now},
            probe=probe.name if probe and is_probed(self.breaker, now) else OTHER_REPLICA,
        )
        return PendingUpdate(update=update, sent_at=now, epoch=self.breaker.epoch, blocked=dict(self._unsynced))

    def merge(self, sent: PendingUpdate, shared: SharedHealth) -> None:
        """Merge the shared health that the store returned for the update `sent`.

        A change of this replica while the update was under way wins. The next update has it.
        """
        self._unsynced = {model: until for model, until in self._unsynced.items() if sent.blocked.get(model) != until}
        for model, seconds in shared.blocked.items():
            self._blocked[model] = blocked_until(
                self._blocked.get(model, sent.sent_at), seconds, sent.sent_at, self.rules
            )
        if sent.epoch == self.breaker.epoch:  # the breaker did not change since: the shared state counts
            self._base_version = None
            self._merge_breaker(shared, sent.sent_at)
        elif shared.is_accepted:  # the breaker changed again: the next change follows the accepted one
            self.version = self._base_version = shared.version
        self.refresh()

    def status(self) -> BackendStatus:
        """Return the health for operators."""
        now, opening = self.monotonic(), self.breaker.opening
        return BackendStatus(
            backend=self.backend,
            state=current_state(self.breaker, now),
            since_seconds=now - self.breaker.since,
            open_seconds=remaining_seconds(opening, now),
            reason=opening.reason if opening else None,
            openings=opening.openings if opening else 0,
            blocked={model: until - now for model, until in self._blocked.items() if until > now},
        )

    def _set(self, breaker: CircuitBreaker) -> None:
        """Store a changed breaker. A new epoch with another account's opening is a change that the store lacks."""
        before, self.breaker = self.breaker, breaker
        if breaker.epoch != before.epoch:
            if breaker.account is not before.account:
                self._base_version = self.version
            self.refresh()

    def _merge_breaker(self, shared: SharedHealth, at: float) -> None:
        if shared.version == 0 and self.breaker.account:
            self._base_version = 0  # the store is new or was emptied: the next update has the opening again
        if shared.version > self.version and not shared.is_accepted:  # another replica's change
            self.breaker = merge_shared_opening(self.breaker, to_local_opening(shared.opening, at), self.monotonic())
        self.version = shared.version


def build_unasked_failure(kind: FailureKind, message: str, seconds: float | None) -> Failure:
    """Build the failure of a call that was not made. `seconds` is its retry-after."""
    return Failure(kind=kind, message=message, retry_after=seconds, asked=False)


def remaining_seconds(opening: Opening | None, now: float) -> float:
    """Return the seconds until a breaker is half-open."""
    return max(0.0, opening.until - now) if opening else 0.0


def to_shared_opening(opening: Opening | None, now: float) -> SharedOpening | None:
    """Convert an opening to seconds from now, for the store."""
    if opening is None:
        return None
    return SharedOpening(reason=opening.reason, seconds=remaining_seconds(opening, now), openings=opening.openings)


def to_local_opening(opening: SharedOpening | None, at: float) -> Opening | None:
    """Convert a shared opening to this replica's clock, which was `at` when the store was asked."""
    if opening is None:
        return None
    return Opening(reason=opening.reason, until=at + opening.seconds, openings=opening.openings)
