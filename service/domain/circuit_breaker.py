"""Whether a backend is well and an account may be asked: a breaker, and how long to leave an account in peace.

Rule: pure. Only what says something about the vendor counts, and only of calls that began after the breaker last
changed; no request that is at fault itself moves anything. Times are in seconds, of a clock that does not go back.

    closed ──too much went wrong, or the account is refused──▶ open ──its time is up──▶ half-open
       ▲                                                         ▲                       │    │
       │                                                         └──the probe failed─────┘    │
       └───────────────────────────the probe brought a picture────────────────────────────────┘

A breaker has two openings, and the longer one counts. The opening for the account is shared: all replicas use the same
account. The local opening is for what one replica saw of the network, or of the vendor's answers, and stays there.
`merge_shared_opening` is the table of what an opening of another replica changes.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from enum import StrEnum

from service.domain.errors import FailureKind
from service.domain.generation import CallOutcome, Generation
from service.domain.vendor_rate_limits import RateLimit

WINDOW_SLICES = 10  # that a window is divided into; the oldest goes as a whole
SAME_LENGTH_OPENINGS = 2  # openings in a row of the same length: one probe may fail by chance
MAX_DOUBLINGS = 30
DEFAULT_BLOCK_SECONDS = 1.0  # to leave an account alone that is full and does not say until when


class Signal(StrEnum):
    """What the outcome of a call says about the vendor."""

    GOOD = "good"  # it draws
    BAD = "bad"  # it does not
    ACCOUNT = "account"  # it will not for this account, whatever is asked, until a person has acted
    NONE = "none"  # nothing: it is about the request, or about how much was asked for


SIGNALS: Mapping[FailureKind, Signal] = {
    FailureKind.INVALID_REQUEST: Signal.NONE,
    FailureKind.MODERATION_BLOCKED: Signal.NONE,
    FailureKind.MODEL_NOT_FOUND: Signal.NONE,  # of one route; the others of the backend may be well
    FailureKind.NOT_PERMITTED: Signal.NONE,  # likewise
    FailureKind.AUTH_FAILED: Signal.ACCOUNT,
    FailureKind.FORBIDDEN: Signal.NONE,  # of one model, or one country; the account may do other things
    FailureKind.RATE_LIMITED: Signal.NONE,  # politeness is for that
    FailureKind.QUOTA_EXHAUSTED: Signal.ACCOUNT,
    FailureKind.OVERLOADED: Signal.BAD,
    FailureKind.SERVER_ERROR: Signal.BAD,
    FailureKind.UNREACHABLE: Signal.BAD,
    FailureKind.BUSY: Signal.NONE,  # the gateway itself
    FailureKind.SET_ASIDE: Signal.NONE,  # likewise
    FailureKind.TIMED_OUT: Signal.BAD,
    FailureKind.BROKEN_REPLY: Signal.BAD,
}
"""No failure is a good sign: a refusal comes from the vendor's door, and whether pictures are drawn behind it nobody
knows. Who sends nonsense can neither open a breaker nor close one, nor hide a vendor's failures among his own."""


class BreakerState(StrEnum):
    """How a breaker stands."""

    CLOSED = "closed"
    OPEN = "open"
    HALF_OPEN = "half_open"


@dataclass(frozen=True, slots=True, kw_only=True)
class BreakerRules:
    """When a breaker opens, for how long, and how long an account is left in peace at most. Times in seconds.

    It opens after so many failures without a picture in between (`consecutive_failures`; twice as many where there were
    `min_calls` in the window, of which a few in a row fail by chance), or when of these a share of `failure_ratio`
    failed.
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
    """A breaker is open until then; it is the `openings`th time without having been closed in between."""

    reason: FailureKind
    until: float
    openings: int = 1


@dataclass(frozen=True, slots=True, kw_only=True)
class Probe:
    """The one call that finds out whether the vendor is back. One that says nothing is over then."""

    name: str
    until: float


@dataclass(frozen=True, slots=True, kw_only=True)
class WindowSlice:
    """So many calls ended in one part of the window, so many of them badly."""

    number: int
    calls: int = 0
    failures: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class CircuitBreaker:
    """What is known of one backend. `epoch` counts the changes of its breaker, the last of which was at `since`.

    `local` is the opening for what this replica saw, `account` the opening for what all replicas share.
    So many calls in a row, the `consecutive_failures`, went wrong; they may be far apart, because pictures take
    minutes.
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
        """The opening that counts: the one that lasts longer."""
        openings = [opening for opening in (self.account, self.local) if opening]
        return max(openings, key=lambda opening: opening.until, default=None)


def to_signal(outcome: CallOutcome) -> Signal:
    """What an outcome says about the vendor; nothing, if the vendor was not asked.

    A permanent failure is about the call or the way there: a large upload that a proxy refuses opens no breaker.
    """
    if isinstance(outcome, Generation):
        return Signal.GOOD
    return SIGNALS[outcome.kind] if outcome.asked and not outcome.permanent else Signal.NONE


def current_state(breaker: CircuitBreaker, now: float) -> BreakerState:
    """How the breaker stands."""
    if breaker.opening is None:
        return BreakerState.CLOSED
    return BreakerState.OPEN if now < breaker.opening.until else BreakerState.HALF_OPEN


def record_outcome(
    breaker: CircuitBreaker, outcome: CallOutcome, epoch: int, now: float, rules: BreakerRules
) -> CircuitBreaker:
    """What is known after a call that began in that era."""
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
    """The breaker opens, or opens again."""
    openings = breaker.opening.openings + 1 if breaker.opening else 1
    opening = Opening(reason=reason, until=now + _open_seconds(reason, openings, rules), openings=openings)
    changed = CircuitBreaker(epoch=breaker.epoch + 1, since=now, local=breaker.local, account=breaker.account)
    return replace(changed, account=opening) if is_shared(reason) else replace(changed, local=opening)


def close_breaker(breaker: CircuitBreaker, now: float) -> CircuitBreaker:
    """The breaker closes, and everything that went wrong is forgotten."""
    return CircuitBreaker(epoch=breaker.epoch + 1, since=now)


def is_shared(reason: FailureKind) -> bool:
    """Does an opening for this reason hold for all replicas?"""
    return SIGNALS[reason] is Signal.ACCOUNT


def merge_shared_opening(health: CircuitBreaker, shared: Opening | None, now: float) -> CircuitBreaker:
    """Merge in what all replicas share, after another replica changed it. The local opening always stays.

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
    """It was found out, without a call that counts, that the account is refused, or still is."""
    account = breaker.account
    if account is None or account.reason is not reason or account.until <= now:
        return open_breaker(breaker, reason, now, rules)
    until = now + _open_seconds(reason, account.openings, rules)
    return replace(breaker, account=replace(account, until=until))


def half_open(breaker: CircuitBreaker, now: float) -> CircuitBreaker:
    """The vendor answers again: the breaker need not be open longer. Only a picture closes it.

    An account that is out of credit can still ask for everything that is free, so an answer says nothing about it.
    """
    account = breaker.account
    if account and account.reason is not FailureKind.QUOTA_EXHAUSTED:
        account = _ended(account, now)
    return replace(breaker, local=_ended(breaker.local, now), account=account)


def credentials_changed(breaker: CircuitBreaker, now: float) -> CircuitBreaker:
    """The account has another key: calls with the one before no longer count, and what was said of it is over."""
    return replace(breaker, epoch=breaker.epoch + 1, account=_ended(breaker.account, now), probe=None)


def with_probe(breaker: CircuitBreaker, probe: Probe | None) -> CircuitBreaker:
    """A probe begins, or (None) nobody probes."""
    return replace(breaker, probe=probe)


def is_probed(breaker: CircuitBreaker, now: float) -> bool:
    """Is somebody finding out?"""
    return breaker.probe is not None and now < breaker.probe.until


def block_seconds_after(outcome: CallOutcome) -> float:
    """For how many seconds the account is full, as far as an outcome says."""
    if isinstance(outcome, Generation) or outcome.kind is not FailureKind.RATE_LIMITED or not outcome.asked:
        return 0.0
    return DEFAULT_BLOCK_SECONDS if outcome.retry_after is None else outcome.retry_after


def block_seconds_for(rate_limit: RateLimit) -> float:
    """For how many seconds the account is full, as far as the vendor told of its limits."""
    if rate_limit.remaining > 0:
        return 0.0
    return DEFAULT_BLOCK_SECONDS if rate_limit.resets_in is None else rate_limit.resets_in


def blocked_until(known: float, seconds: float, now: float, rules: BreakerRules) -> float:
    """Until when an account is left in peace: never shorter than was `known`, never absurdly long."""
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
