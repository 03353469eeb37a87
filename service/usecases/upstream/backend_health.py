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

    Its breaker was last opened or closed `since` seconds ago; an open one is tried again in `seconds`. `blocked` is by
    upstream model, in seconds.
    """

    backend: str
    state: BreakerState
    since: float
    seconds: float = 0.0
    reason: FailureKind | None = None
    in_a_row: int = 0
    blocked: Mapping[str, float] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class PendingUpdate:
    """What the others were told, when (by this replica's clock), and in which era."""

    news: HealthUpdate
    at: float
    era: int
    blocked: Mapping[str, float]


@dataclass(slots=True, kw_only=True)
class BackendHealth:
    """One backend. `elapsed` gives monotonic seconds, `observe` is told when the breaker changes.

    `version` is what was last heard of the others. A change of the account opening that they have not heard of is based
    on `_base`. A local opening is never shared.
    """

    backend: str
    rules: BreakerRules
    observe: Observer
    elapsed: Callable[[], float]
    health: CircuitBreaker = field(init=False)
    version: int = 0
    _base: int | None = None
    _blocked: dict[str, float] = field(default_factory=dict)
    _untold: dict[str, float] = field(default_factory=dict)
    _seen: tuple[BreakerState, FailureKind | None, int] = (BreakerState.CLOSED, None, 0)

    def __post_init__(self) -> None:
        """It is well from now on."""
        self.health = CircuitBreaker(since=self.elapsed())

    @property
    def state(self) -> BreakerState:
        """How the breaker stands."""
        return current_state(self.health, self.elapsed())

    @property
    def is_shared(self) -> bool:
        """Do all replicas know of an opening, and bound its probes together?"""
        return self.health.account is not None

    @property
    def has_news(self) -> bool:
        """Is there something that the others should hear at once?"""
        return self._base is not None or bool(self._untold)

    def hindrance(self, model: str) -> Failure | None:
        """What is in the way of calls for an upstream model."""
        now, opening = self.elapsed(), self.health.opening
        if opening:
            if now < opening.until:
                kind = opening.reason if opening.reason in ACCOUNT_MESSAGES else FailureKind.SET_ASIDE
                return build_unasked_failure(
                    kind, ACCOUNT_MESSAGES.get(kind, BREAKER_OPEN_MESSAGE), opening.until - now
                )
            if is_probed(self.health, now):
                return build_unasked_failure(FailureKind.SET_ASIDE, PROBED_MESSAGE, PROBED_SECONDS)
        left = self._blocked.get(model, now) - now
        return build_unasked_failure(FailureKind.RATE_LIMITED, RATE_LIMITED_MESSAGE, left) if left > 0 else None

    def told(self, outcome: CallOutcome, era: int) -> None:
        """What came of a call that began in that era."""
        self._become(record_outcome(self.health, outcome, era, self.elapsed(), self.rules))

    def asked_after(self, failure: Failure | None) -> None:
        """What came of asking for something free."""
        now = self.elapsed()
        if failure is None:
            self.health = half_open(self.health, now)
            self.look()
        elif failure.kind is FailureKind.AUTH_FAILED:
            self._become(trip(self.health, failure.kind, now, self.rules))

    def rekeyed(self) -> None:
        """The account has another key. Others are not told: each replica calls with the key that it has itself."""
        self.health = credentials_changed(self.health, self.elapsed())
        self.look()

    def leave_in_peace(self, model: str, seconds: float) -> None:
        """The account is full for so long."""
        now = self.elapsed()
        known = self._blocked.get(model, now)
        until = blocked_until(known, seconds, now, self.rules)
        if until > known:
            self._blocked[model] = self._untold[model] = until

    def probed_by(self, name: str, seconds: float = PROBED_SECONDS) -> None:
        """Somebody finds out whether the vendor is back."""
        self.health = with_probe(self.health, Probe(name=name, until=self.elapsed() + seconds))
        self.look()

    def unprobed(self, name: str) -> None:
        """That probe is over, if it is under way."""
        if self.health.probe and self.health.probe.name == name:
            self.health = with_probe(self.health, None)

    def look(self) -> None:
        """Tell if the breaker changed, if only by time; forget what is over."""
        now, opening = self.elapsed(), self.health.opening
        seen = (
            current_state(self.health, now),
            opening.reason if opening else None,
            opening.in_a_row if opening else 0,
        )
        if seen != self._seen:
            self._seen = seen
            self.observe(
                BreakerChanged(
                    backend=self.backend, state=seen[0], reason=seen[1], seconds=remaining_seconds(opening, now)
                )
            )
        self._blocked = {model: until for model, until in self._blocked.items() if until > now}

    def telling(self) -> PendingUpdate:
        """What the others are to be told now."""
        now, probe, change = self.elapsed(), self.health.probe, None
        if self._base is not None:
            change = BreakerChange(base=self._base, opening=to_shared_opening(self.health.account, now))
        news = HealthUpdate(
            change=change,
            blocked={model: until - now for model, until in self._untold.items() if until > now},
            probe=probe.name if probe and is_probed(self.health, now) else OTHER_REPLICA,
        )
        return PendingUpdate(news=news, at=now, era=self.health.era, blocked=dict(self._untold))

    def hear(self, told: PendingUpdate, shared: SharedHealth) -> None:
        """What the others know, now that they were told that.

        What changed here in the meantime is told next, and until then counts for more than what they say.
        """
        self._untold = {model: until for model, until in self._untold.items() if told.blocked.get(model) != until}
        for model, seconds in shared.blocked.items():
            self._blocked[model] = blocked_until(self._blocked.get(model, told.at), seconds, told.at, self.rules)
        if told.era == self.health.era:
            self._base = None
            self._hear_of_breaker(shared, told.at)
        elif shared.taken:
            self.version = self._base = shared.version
        self.look()

    def standing(self) -> BackendStatus:
        """How it stands."""
        now, opening = self.elapsed(), self.health.opening
        return BackendStatus(
            backend=self.backend,
            state=current_state(self.health, now),
            since=now - self.health.since,
            seconds=remaining_seconds(opening, now),
            reason=opening.reason if opening else None,
            in_a_row=opening.in_a_row if opening else 0,
            blocked={model: until - now for model, until in self._blocked.items() if until > now},
        )

    def _become(self, health: CircuitBreaker) -> None:
        before, self.health = self.health, health
        if health.era != before.era:
            if health.account is not before.account:
                self._base = self.version
            self.look()

    def _hear_of_breaker(self, shared: SharedHealth, at: float) -> None:
        if shared.version == 0 and self.health.account:
            self._base = 0  # the store is new, or was emptied: it is told again
        if shared.version > self.version and not shared.taken:
            self.health = merge_shared_opening(self.health, to_local_opening(shared.opening, at), self.elapsed())
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
    return SharedOpening(reason=opening.reason, seconds=remaining_seconds(opening, now), in_a_row=opening.in_a_row)


def to_local_opening(opening: SharedOpening | None, at: float) -> Opening | None:
    """As it was told at that time of this replica's clock."""
    if opening is None:
        return None
    return Opening(reason=opening.reason, until=at + opening.seconds, in_a_row=opening.in_a_row)
