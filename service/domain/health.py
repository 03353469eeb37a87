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
from service.domain.headroom import Headroom
from service.domain.outcomes import Outcome, Purchase

SLOTS = 10  # that a window is divided into; the oldest goes as a whole
CHANCES = 2  # openings in a row of the same length: one probe may fail by chance
MOST_DOUBLINGS = 30
UNSAID_SECONDS = 1.0  # to leave an account alone that is full and does not say until when


class Sign(StrEnum):
    """What the outcome of a call says about the vendor."""

    GOOD = "good"  # it draws
    BAD = "bad"  # it does not
    ACCOUNT = "account"  # it will not for this account, whatever is asked, until a person has acted
    NONE = "none"  # nothing: it is about the request, or about how much was asked for


SIGNS: Mapping[FailureKind, Sign] = {
    FailureKind.INVALID_REQUEST: Sign.NONE,
    FailureKind.MODERATION_BLOCKED: Sign.NONE,
    FailureKind.MODEL_NOT_FOUND: Sign.NONE,  # of one route; the others of the backend may be well
    FailureKind.NOT_PERMITTED: Sign.NONE,  # likewise
    FailureKind.AUTH_FAILED: Sign.ACCOUNT,
    FailureKind.FORBIDDEN: Sign.NONE,  # of one model, or one country; the account may do other things
    FailureKind.RATE_LIMITED: Sign.NONE,  # politeness is for that
    FailureKind.QUOTA_EXHAUSTED: Sign.ACCOUNT,
    FailureKind.OVERLOADED: Sign.BAD,
    FailureKind.SERVER_ERROR: Sign.BAD,
    FailureKind.UNREACHABLE: Sign.BAD,
    FailureKind.BUSY: Sign.NONE,  # the gateway itself
    FailureKind.SET_ASIDE: Sign.NONE,  # likewise
    FailureKind.TIMED_OUT: Sign.BAD,
    FailureKind.BROKEN_REPLY: Sign.BAD,
}
"""No failure is a good sign: a refusal comes from the vendor's door, and whether pictures are drawn behind it nobody
knows. Who sends nonsense can neither open a breaker nor close one, nor hide a vendor's failures among his own."""


class State(StrEnum):
    """How a breaker stands."""

    CLOSED = "closed"
    OPEN = "open"
    HALF_OPEN = "half_open"


@dataclass(frozen=True, slots=True, kw_only=True)
class Rules:
    """When a breaker opens, for how long, and how long an account is left in peace at most. Times in seconds.

    It opens after so many failures without a picture in between (`consecutive`; twice as many where there were
    `least_calls` in the window, of which a few in a row fail by chance), or when of these a share of `ratio` failed.
    """

    consecutive: int = 5
    ratio: float = 0.5
    least_calls: int = 10
    window_seconds: float = 30.0
    open_seconds: float = 5.0
    most_open_seconds: float = 60.0
    most_blocked_seconds: float = 3600.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Opening:
    """A breaker is open until then; it is the `in_a_row`th time without having been closed in between."""

    reason: FailureKind
    until: float
    in_a_row: int = 1


@dataclass(frozen=True, slots=True, kw_only=True)
class Probe:
    """The one call that finds out whether the vendor is back. One that says nothing is over then."""

    name: str
    until: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Slot:
    """So many calls ended in one part of the window, so many of them badly."""

    number: int
    calls: int = 0
    bad: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Health:
    """What is known of one backend. `era` counts the changes of its breaker, the last of which was at `since`.

    `local` is the opening for what this replica saw, `account` the opening for what all replicas share.
    So many calls in a row, the `streak`, went wrong; they may be far apart, because pictures take minutes.
    """

    era: int = 0
    since: float = 0.0
    local: Opening | None = None
    account: Opening | None = None
    probe: Probe | None = None
    streak: int = 0
    slots: tuple[Slot, ...] = ()

    @property
    def opening(self) -> Opening | None:
        """The opening that counts: the one that lasts longer."""
        openings = [opening for opening in (self.account, self.local) if opening]
        return max(openings, key=lambda opening: opening.until, default=None)


def sign_of(outcome: Outcome) -> Sign:
    """What an outcome says about the vendor; nothing, if the vendor was not asked.

    A permanent failure is about the call or the way there: a large upload that a proxy refuses opens no breaker.
    """
    if isinstance(outcome, Purchase):
        return Sign.GOOD
    return SIGNS[outcome.kind] if outcome.asked and not outcome.permanent else Sign.NONE


def state_of(health: Health, now: float) -> State:
    """How the breaker stands."""
    if health.opening is None:
        return State.CLOSED
    return State.OPEN if now < health.opening.until else State.HALF_OPEN


def judged(health: Health, outcome: Outcome, era: int, now: float, rules: Rules) -> Health:
    """What is known after a call that began in that era."""
    sign = sign_of(outcome)
    if era != health.era or sign is Sign.NONE:
        return health
    if isinstance(outcome, Purchase):
        return closed(health, now) if health.opening else _counted(health, now, rules, bad=False)
    if health.opening or sign is Sign.ACCOUNT:
        return opened(health, outcome.kind, now, rules)
    counted = _counted(health, now, rules, bad=True)
    return opened(counted, outcome.kind, now, rules) if _is_ill(counted, rules) else counted


def opened(health: Health, reason: FailureKind, now: float, rules: Rules) -> Health:
    """The breaker opens, or opens again."""
    in_a_row = health.opening.in_a_row + 1 if health.opening else 1
    opening = Opening(reason=reason, until=now + _open_seconds(reason, in_a_row, rules), in_a_row=in_a_row)
    changed = Health(era=health.era + 1, since=now, local=health.local, account=health.account)
    return replace(changed, account=opening) if is_shared(reason) else replace(changed, local=opening)


def closed(health: Health, now: float) -> Health:
    """The breaker closes, and everything that went wrong is forgotten."""
    return Health(era=health.era + 1, since=now)


def is_shared(reason: FailureKind) -> bool:
    """Does an opening for this reason hold for all replicas?"""
    return SIGNS[reason] is Sign.ACCOUNT


def merge_shared_opening(health: Health, shared: Opening | None, now: float) -> Health:
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
    return Health(era=health.era + 1, since=now, local=health.local, account=account, probe=probe)


def condemned(health: Health, reason: FailureKind, now: float, rules: Rules) -> Health:
    """It was found out, without a call that counts, that the account is refused, or still is."""
    account = health.account
    if account is None or account.reason is not reason or account.until <= now:
        return opened(health, reason, now, rules)
    until = now + _open_seconds(reason, account.in_a_row, rules)
    return replace(health, account=replace(account, until=until))


def revived(health: Health, now: float) -> Health:
    """The vendor answers again: the breaker need not be open longer. Only a picture closes it.

    An account that is out of credit can still ask for everything that is free, so an answer says nothing about it.
    """
    account = health.account
    if account and account.reason is not FailureKind.QUOTA_EXHAUSTED:
        account = _ended(account, now)
    return replace(health, local=_ended(health.local, now), account=account)


def rekeyed(health: Health, now: float) -> Health:
    """The account has another key: calls with the one before no longer count, and what was said of it is over."""
    return replace(health, era=health.era + 1, account=_ended(health.account, now), probe=None)


def probing(health: Health, probe: Probe | None) -> Health:
    """A probe begins, or (None) nobody probes."""
    return replace(health, probe=probe)


def is_probed(health: Health, now: float) -> bool:
    """Is somebody finding out?"""
    return health.probe is not None and now < health.probe.until


def peace_after(outcome: Outcome) -> float:
    """For how many seconds the account is full, as far as an outcome says."""
    if isinstance(outcome, Purchase) or outcome.kind is not FailureKind.RATE_LIMITED or not outcome.asked:
        return 0.0
    return UNSAID_SECONDS if outcome.retry_after is None else outcome.retry_after


def peace_for(headroom: Headroom) -> float:
    """For how many seconds the account is full, as far as the vendor told of its limits."""
    if headroom.left > 0:
        return 0.0
    return UNSAID_SECONDS if headroom.resets is None else headroom.resets


def blocked_until(known: float, seconds: float, now: float, rules: Rules) -> float:
    """Until when an account is left in peace: never shorter than was `known`, never absurdly long."""
    wanted = min(seconds, rules.most_blocked_seconds) if seconds > 0 else 0.0
    return max(known, now + wanted)


def _open_seconds(reason: FailureKind, in_a_row: int, rules: Rules) -> float:
    if is_shared(reason):
        return rules.most_open_seconds
    doublings = min(max(in_a_row - CHANCES, 0), MOST_DOUBLINGS)
    return min(rules.open_seconds * 2.0**doublings, rules.most_open_seconds)


def _ended(opening: Opening | None, now: float) -> Opening | None:
    return opening and replace(opening, until=min(opening.until, now))


def _counted(health: Health, now: float, rules: Rules, *, bad: bool) -> Health:
    number = int(now * SLOTS / rules.window_seconds)
    kept = tuple(slot for slot in health.slots if slot.number > number - SLOTS)
    earlier, last = (kept[:-1], kept[-1]) if kept and kept[-1].number == number else (kept, Slot(number=number))
    last = Slot(number=number, calls=last.calls + 1, bad=last.bad + bad)
    return replace(health, streak=health.streak + 1 if bad else 0, slots=(*earlier, last))


def _is_ill(health: Health, rules: Rules) -> bool:
    calls, bad = sum(slot.calls for slot in health.slots), sum(slot.bad for slot in health.slots)
    busy = calls >= rules.least_calls
    return health.streak >= rules.consecutive * (1 + busy) or (busy and bad >= rules.ratio * calls)
