"""Circuit breaker of a backend, and the time for which a full account is blocked.

Rule: only an outcome that says something about the vendor counts. Calls that began before the breaker's last change
count no more. A request that is at fault itself changes nothing. Times are in seconds of a monotonic clock. Pure.

    closed ──too many failures, or the account is refused──▶ open ──its time is over──▶ half-open
       ▲                                                       ▲                         │    │
       │                                                       └──the probe failed───────┘    │
       └──────────────────────────the probe delivered an image────────────────────────────────┘

A breaker has two openings, and the longer one counts. The opening for the account is shared: all replicas use one
account. The local opening is for one replica's failures of the network or of replies, and stays there.
`merge_shared_opening` has the table of changes by another replica's opening.

Fails with: nothing.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from enum import StrEnum

from service.domain.errors import FailureKind
from service.domain.generation import CallOutcome, Generation
from service.domain.vendor_rate_limits import RateLimit

WINDOW_SLICES = 10  # of a window; the oldest one is dropped as a whole
SAME_LENGTH_OPENINGS = 2  # consecutive openings of one length: a probe may fail by chance
MAX_DOUBLINGS = 30
DEFAULT_BLOCK_SECONDS = 1.0  # of a full account whose vendor names no end


class Signal(StrEnum):
    """The meaning of a call's outcome for the state of the vendor."""

    GOOD = "good"  # the vendor works
    BAD = "bad"  # the vendor does not work
    ACCOUNT = "account"  # the vendor refuses the whole account until an operator acts
    NONE = "none"  # no meaning: about one request, or about a rate


SIGNALS: Mapping[FailureKind, Signal] = {
    FailureKind.INVALID_REQUEST: Signal.NONE,
    FailureKind.MODERATION_BLOCKED: Signal.NONE,
    FailureKind.MODEL_NOT_FOUND: Signal.NONE,  # of one route; the backend's other routes may work
    FailureKind.NOT_PERMITTED: Signal.NONE,  # of one route
    FailureKind.AUTH_FAILED: Signal.ACCOUNT,
    FailureKind.FORBIDDEN: Signal.NONE,  # of one model, or one country; other requests may work
    FailureKind.RATE_LIMITED: Signal.NONE,  # the account is blocked instead, see `block_seconds_after`
    FailureKind.QUOTA_EXHAUSTED: Signal.ACCOUNT,
    FailureKind.OVERLOADED: Signal.BAD,
    FailureKind.SERVER_ERROR: Signal.BAD,
    FailureKind.UNREACHABLE: Signal.BAD,
    FailureKind.BUSY: Signal.NONE,  # of the gateway itself
    FailureKind.SET_ASIDE: Signal.NONE,  # of the gateway itself
    FailureKind.TIMED_OUT: Signal.BAD,
    FailureKind.BROKEN_REPLY: Signal.BAD,
}
"""No failure is a good sign: a refusal shows nothing about the generation of images behind it. A caller with invalid
requests cannot open or close a breaker, nor hide a vendor's failures among its own.
"""


class BreakerState(StrEnum):
    """The state of a breaker."""

    CLOSED = "closed"
    OPEN = "open"
    HALF_OPEN = "half_open"


@dataclass(frozen=True, slots=True, kw_only=True)
class BreakerRules:
    """When a breaker opens and for how long. Times are in seconds.

    Attributes:
        consecutive_failures: Failures without an image in between that open it. With `min_calls` in the window it takes
            twice as many: a few of many calls fail by chance.
        failure_ratio: Share of failures in the window that opens it.
        min_calls: Calls in the window from which the ratio counts.
        window_seconds: Length of the window.
        open_seconds: Length of the first openings.
        max_open_seconds: Maximum length of an opening.
        max_blocked_seconds: Maximum time for which a full account is blocked.
    """

    consecutive_failures: int = 5
    failure_ratio: float = 0.5
    min_calls: int = 10
    window_seconds: float = 30.0
    open_seconds: float = 5.0
    max_open_seconds: float = 60.0
    max_blocked_seconds: float = 3600.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Opening:
    """A breaker is open until `until`, for the `openings`th time without having closed in between."""

    reason: FailureKind
    until: float
    openings: int = 1


@dataclass(frozen=True, slots=True, kw_only=True)
class Probe:
    """The one call that finds out whether the vendor works again. A probe without an outcome ends at `until`."""

    name: str
    until: float


@dataclass(frozen=True, slots=True, kw_only=True)
class WindowSlice:
    """Calls and failures that ended in one part of the window."""

    number: int
    calls: int = 0
    failures: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class CircuitBreaker:
    """The state of one backend.

    Attributes:
        epoch: Number of changes of the breaker.
        since: Time of the last change.
        local: The opening for failures that this replica saw.
        account: The opening that all replicas share.
        probe: The running probe.
        consecutive_failures: Failed calls since the last image, however far apart; images take minutes.
        slices: Calls in the window.
    """

    epoch: int = 0
    since: float = 0.0
    local: Opening | None = None
    account: Opening | None = None
    probe: Probe | None = None
    consecutive_failures: int = 0
    slices: tuple[WindowSlice, ...] = ()

    @property
    def opening(self) -> Opening | None:
        """The opening that counts: the longer one."""
        openings = [opening for opening in (self.account, self.local) if opening]
        return max(openings, key=lambda opening: opening.until, default=None)


def to_signal(outcome: CallOutcome) -> Signal:
    """Return the signal of an outcome; NONE if the vendor was not called.

    A permanent failure is about the call or the network: a large upload that a proxy refuses opens no breaker.
    """
    if isinstance(outcome, Generation):
        return Signal.GOOD
    return SIGNALS[outcome.kind] if outcome.asked and not outcome.permanent else Signal.NONE


def current_state(breaker: CircuitBreaker, now: float) -> BreakerState:
    """Return the state of the breaker."""
    if breaker.opening is None:
        return BreakerState.CLOSED
    return BreakerState.OPEN if now < breaker.opening.until else BreakerState.HALF_OPEN


def record_outcome(
    breaker: CircuitBreaker, outcome: CallOutcome, epoch: int, now: float, rules: BreakerRules
) -> CircuitBreaker:
    """Record the outcome of a call that began in this epoch."""
    signal = to_signal(outcome)
    if epoch != breaker.epoch or signal is Signal.NONE:
        return breaker
    if isinstance(outcome, Generation):
        return close_breaker(breaker, now) if breaker.opening else _count(breaker, now, rules, is_failure=False)
    if breaker.opening or signal is Signal.ACCOUNT:
        return open_breaker(breaker, outcome.kind, now, rules)
    counted = _count(breaker, now, rules, is_failure=True)
    return open_breaker(counted, outcome.kind, now, rules) if _should_open(counted, rules) else counted


def open_breaker(breaker: CircuitBreaker, reason: FailureKind, now: float, rules: BreakerRules) -> CircuitBreaker:
    """Open the breaker, or open it again."""
    openings = breaker.opening.openings + 1 if breaker.opening else 1
    opening = Opening(reason=reason, until=now + _open_seconds(reason, openings, rules), openings=openings)
    changed = CircuitBreaker(epoch=breaker.epoch + 1, since=now, local=breaker.local, account=breaker.account)
    return replace(changed, account=opening) if is_shared(reason) else replace(changed, local=opening)


def close_breaker(breaker: CircuitBreaker, now: float) -> CircuitBreaker:
    """Close the breaker, and forget all failures."""
    return CircuitBreaker(epoch=breaker.epoch + 1, since=now)


def is_shared(reason: FailureKind) -> bool:
    """Tell whether an opening for this reason holds for all replicas."""
    return SIGNALS[reason] is Signal.ACCOUNT


def merge_shared_opening(health: CircuitBreaker, shared: Opening | None, now: float) -> CircuitBreaker:
    """Merge in the shared opening, after another replica changed it. The local opening always stays.

    | shared | this replica has no account opening | this replica has an account opening |
    |---|---|---|
    | no opening | nothing changes | the account opening ends |
    | for the account | it is adopted | it replaces the account opening |
    | for another reason | nothing changes | the account opening ends |

    Only a replica of the version before shares an opening for another reason. It replaced the shared account opening.
    """
    account = shared if shared and is_shared(shared.reason) else None
    if account is None and health.account is None:
        return health
    probe = health.probe if health.local else None
    return CircuitBreaker(epoch=health.epoch + 1, since=now, local=health.local, account=account, probe=probe)


def trip(breaker: CircuitBreaker, reason: FailureKind, now: float, rules: BreakerRules) -> CircuitBreaker:
    """Open the breaker because the account is refused, as found out without a call that counts."""
    account = breaker.account
    if account is None or account.reason is not reason or account.until <= now:
        return open_breaker(breaker, reason, now, rules)
    until = now + _open_seconds(reason, account.openings, rules)
    return replace(breaker, account=replace(account, until=until))


def half_open(breaker: CircuitBreaker, now: float) -> CircuitBreaker:
    """Make the breaker half-open, because the vendor answers again. Only an image closes it.

    An account without credit can still make requests that are free, so an answer says nothing about its credit.
    """
    account = breaker.account
    if account and account.reason is not FailureKind.QUOTA_EXHAUSTED:
        account = _ended(account, now)
    return replace(breaker, local=_ended(breaker.local, now), account=account)


def credentials_changed(breaker: CircuitBreaker, now: float) -> CircuitBreaker:
    """Note that the account has another key: the account opening ends, and running calls no longer count."""
    return replace(breaker, epoch=breaker.epoch + 1, account=_ended(breaker.account, now), probe=None)


def with_probe(breaker: CircuitBreaker, probe: Probe | None) -> CircuitBreaker:
    """Set the running probe; None ends it."""
    return replace(breaker, probe=probe)


def is_probed(breaker: CircuitBreaker, now: float) -> bool:
    """Tell whether a probe is running."""
    return breaker.probe is not None and now < breaker.probe.until


def block_seconds_after(outcome: CallOutcome) -> float:
    """Return the seconds for which the account is full, as far as an outcome says."""
    if isinstance(outcome, Generation) or outcome.kind is not FailureKind.RATE_LIMITED or not outcome.asked:
        return 0.0
    return DEFAULT_BLOCK_SECONDS if outcome.retry_after is None else outcome.retry_after


def block_seconds_for(rate_limit: RateLimit) -> float:
    """Return the seconds for which the account is full, as far as its rate limit says."""
    if rate_limit.remaining > 0:
        return 0.0
    return DEFAULT_BLOCK_SECONDS if rate_limit.resets_in is None else rate_limit.resets_in


def blocked_until(known: float, seconds: float, now: float, rules: BreakerRules) -> float:
    """Return the time until which an account is blocked: not before `known`, and with a bound from the rules."""
    duration = min(seconds, rules.max_blocked_seconds) if seconds > 0 else 0.0
    return max(known, now + duration)


def _open_seconds(reason: FailureKind, openings: int, rules: BreakerRules) -> float:
    if is_shared(reason):
        return rules.max_open_seconds
    doublings = min(max(openings - SAME_LENGTH_OPENINGS, 0), MAX_DOUBLINGS)
    return min(rules.open_seconds * 2.0**doublings, rules.max_open_seconds)


def _ended(opening: Opening | None, now: float) -> Opening | None:
    return opening and replace(opening, until=min(opening.until, now))


def _count(breaker: CircuitBreaker, now: float, rules: BreakerRules, *, is_failure: bool) -> CircuitBreaker:
    number = int(now * WINDOW_SLICES / rules.window_seconds)
    recent = tuple(slot for slot in breaker.slices if slot.number > number - WINDOW_SLICES)
    earlier, last = (
        (recent[:-1], recent[-1]) if recent and recent[-1].number == number else (recent, WindowSlice(number=number))
    )
    last = WindowSlice(number=number, calls=last.calls + 1, failures=last.failures + is_failure)
    return replace(
        breaker, consecutive_failures=breaker.consecutive_failures + 1 if is_failure else 0, slices=(*earlier, last)
    )


def _should_open(breaker: CircuitBreaker, rules: BreakerRules) -> bool:
    calls, failures = sum(slot.calls for slot in breaker.slices), sum(slot.failures for slot in breaker.slices)
    has_min_calls = calls >= rules.min_calls
    return breaker.consecutive_failures >= rules.consecutive_failures * (1 + has_min_calls) or (
        has_min_calls and failures >= rules.failure_ratio * calls
    )
