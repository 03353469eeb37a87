"""What one replica knows of one backend, and what of it the others are still to be told.

Rule: no waiting and nothing outside: `domain/circuit_breaker.py` decides, this remembers. What is in the way is told in
the gateway's own words: which vendor, key or limit it is about is the operator's.
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

PROBED_SECONDS = 1.0  # until it makes sense to look again whether a probe is over
OTHER_REPLICA = ""  # the probe of another replica

ACCOUNT_MESSAGES: Mapping[FailureKind, str] = {
    FailureKind.AUTH_FAILED: "The gateway's own credentials are refused by its backend. The operator has to act.",
    FailureKind.QUOTA_EXHAUSTED: "The gateway's account at its backend is out of credit or over its spending limit.",
}
"""Openings whose reason callers are told: no waiting helps them."""

BREAKER_OPEN_MESSAGE = "The backend failed too often and is left alone for a while."
PROBED_MESSAGE = "The backend failed too often, and it is being found out whether it is back."
RATE_LIMITED_MESSAGE = "The backend's limit for the gateway is used up for the moment."


@dataclass(frozen=True, slots=True, kw_only=True)
class BackendStatus:
    """How a backend stands, as this replica sees it, for operators.

    Its breaker was last opened or closed `since_seconds` seconds ago; an open one is tried again in `open_seconds`.
    `blocked` is by upstream model, in seconds.
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
    """What the others were told, when (by this replica's clock), and in which era."""

    update: HealthUpdate
    sent_at: float
    epoch: int
    blocked: Mapping[str, float]


@dataclass(slots=True, kw_only=True)
class BackendHealth:
    """One backend. `monotonic` gives monotonic seconds, `observe` is told when the breaker changes.

    `version` is what was last heard of the others. A change of the account opening that they have not heard of is based
    on `_base_version`. A local opening is never shared.
    """

    backend: str
    rules: BreakerRules
    observe: Observer
    monotonic: Callable[[], float]
    breaker: CircuitBreaker = field(init=False)
    version: int = 0
    _base_version: int | None = None
    _blocked: dict[str, float] = field(default_factory=dict)
    _unsynced: dict[str, float] = field(default_factory=dict)
    _last_reported: tuple[BreakerState, FailureKind | None, int] = (BreakerState.CLOSED, None, 0)

    def __post_init__(self) -> None:
        """It is well from now on."""
        self.breaker = CircuitBreaker(since=self.monotonic())

    @property
    def state(self) -> BreakerState:
        """How the breaker stands."""
        return current_state(self.breaker, self.monotonic())

    @property
    def is_shared(self) -> bool:
        """Do all replicas know of an opening, and bound its probes together?"""
        return self.breaker.account is not None

    @property
    def has_changes(self) -> bool:
        """Is there something that the others should hear at once?"""
        return self._base_version is not None or bool(self._unsynced)

    def blocked_by(self, model: str) -> Failure | None:
        """What is in the way of calls for an upstream model."""
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
        """What came of a call that began in that era."""
        self._set(record_outcome(self.breaker, outcome, epoch, self.monotonic(), self.rules))

    def record_probe(self, failure: Failure | None) -> None:
        """What came of asking for something free."""
        now = self.monotonic()
        if failure is None:
            self.breaker = half_open(self.breaker, now)
            self.refresh()
        elif failure.kind is FailureKind.AUTH_FAILED:
            self._set(trip(self.breaker, failure.kind, now, self.rules))

    def credentials_changed(self) -> None:
        """The account has another key. Others are not told: each replica calls with the key that it has itself."""
        self.breaker = credentials_changed(self.breaker, self.monotonic())
        self.refresh()

    def block_for(self, model: str, seconds: float) -> None:
        """The account is full for so long."""
        now = self.monotonic()
        known = self._blocked.get(model, now)
        until = blocked_until(known, seconds, now, self.rules)
        if until > known:
            self._blocked[model] = self._unsynced[model] = until

    def start_probe(self, name: str, seconds: float = PROBED_SECONDS) -> None:
        """Somebody finds out whether the vendor is back."""
        self.breaker = with_probe(self.breaker, Probe(name=name, until=self.monotonic() + seconds))
        self.refresh()

    def end_probe(self, name: str) -> None:
        """That probe is over, if it is under way."""
        if self.breaker.probe and self.breaker.probe.name == name:
            self.breaker = with_probe(self.breaker, None)

    def refresh(self) -> None:
        """Tell if the breaker changed, if only by time; forget what is over."""
        now, opening = self.monotonic(), self.breaker.opening
        current = (
            current_state(self.breaker, now),
            opening.reason if opening else None,
            opening.openings if opening else 0,
        )
        if current != self._last_reported:
            self._last_reported = current
            self.observe(
                BreakerChanged(
                    backend=self.backend,
                    state=current[0],
                    reason=current[1],
                    open_seconds=remaining_seconds(opening, now),
                )
            )
        self._blocked = {model: until for model, until in self._blocked.items() if until > now}

    def pending_update(self) -> PendingUpdate:
        """What the others are to be told now."""
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
        """What the others know, now that they were told that.

        What changed here in the meantime is told next, and until then counts for more than what they say.
        """
        self._unsynced = {model: until for model, until in self._unsynced.items() if sent.blocked.get(model) != until}
        for model, seconds in shared.blocked.items():
            self._blocked[model] = blocked_until(
                self._blocked.get(model, sent.sent_at), seconds, sent.sent_at, self.rules
            )
        if sent.epoch == self.breaker.epoch:
            self._base_version = None
            self._merge_breaker(shared, sent.sent_at)
        elif shared.is_accepted:
            self.version = self._base_version = shared.version
        self.refresh()

    def status(self) -> BackendStatus:
        """How it stands."""
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
        before, self.breaker = self.breaker, breaker
        if breaker.epoch != before.epoch:
            if breaker.account is not before.account:
                self._base_version = self.version
            self.refresh()

    def _merge_breaker(self, shared: SharedHealth, at: float) -> None:
        if shared.version == 0 and self.breaker.account:
            self._base_version = 0  # the store is new, or was emptied: it is told again
        if shared.version > self.version and not shared.is_accepted:
            self.breaker = merge_shared_opening(self.breaker, to_local_opening(shared.opening, at), self.monotonic())
        self.version = shared.version


def build_unasked_failure(kind: FailureKind, message: str, seconds: float | None) -> Failure:
    """Why nobody was asked, and when it can be tried again."""
    return Failure(kind=kind, message=message, retry_after=seconds, asked=False)


def remaining_seconds(opening: Opening | None, now: float) -> float:
    """For how many seconds nobody is let through."""
    return max(0.0, opening.until - now) if opening else 0.0


def to_shared_opening(opening: Opening | None, now: float) -> SharedOpening | None:
    """As the others are told."""
    if opening is None:
        return None
    return SharedOpening(reason=opening.reason, seconds=remaining_seconds(opening, now), openings=opening.openings)


def to_local_opening(opening: SharedOpening | None, at: float) -> Opening | None:
    """As it was told at that time of this replica's clock."""
    if opening is None:
        return None
    return Opening(reason=opening.reason, until=at + opening.seconds, openings=opening.openings)
