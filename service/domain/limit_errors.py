"""What a caller is told when a limit has no room, and when there will be room again.

Rule: whoever keeps the counters, the words are the same; they name the limit, its scope and the way out. A limit of a
key is told as the key's, because its team has room. Times are microseconds since 1970, UTC; money is nano-USD and is
written to its last digit. Pure.
"""

import math
from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime

from service.domain.errors import LimitExceeded
from service.domain.ledger import HoldRequest, claimed
from service.domain.quota_limits import KEY, MONEY, RATES, TEAM, LimitStatus, Measure

SECOND = 1_000_000
DAY = 86_400 * SECOND
CENT_DIGITS, NANO_DIGITS = 2, 9
OTHER_TIER_REASON = "vendors draw in this scope what was asked for in another"


def build_limit_error(team: str, limit_status: LimitStatus, requested: int, at: int) -> LimitExceeded:
    """The error for a claim of `requested` on a limit that stands like this at that time."""
    limit = limit_status.limit
    if limit.measure in MONEY:
        sentence = _money_sentence(team, limit_status, requested, at)
    elif limit.measure in RATES:
        sentence = _rate_sentence(team, limit_status, requested)
    else:
        sentence = _concurrency_sentence(team, limit_status, requested)
    return LimitExceeded(sentence, limit_status)


def find_refusal(
    team: str, standings: Sequence[LimitStatus], claims: Sequence[HoldRequest], now: datetime
) -> LimitExceeded | None:
    """Build the error for a limit that has no room for claims; of several, for the one that has none for longest.

    Whether a request is admitted is the store's decision, which knows more. `now` is an aware time.
    """
    full: list[tuple[float, LimitStatus, int]] = []
    for standing in standings:
        asked = claimed(standing.limit, claims)
        if asked and asked > standing.remaining:
            wait = _wait(standing, asked)
            lasts = math.inf if asked > standing.limit.maximum else wait or 0.0
            full.append((lasts, replace(standing, wait_seconds=wait), asked))
    if not full:
        return None
    _, standing, asked = max(full, key=lambda limit: limit[0])
    return build_limit_error(team, standing, asked, int(now.timestamp() * SECOND))


def _wait(standing: LimitStatus, asked: int) -> float | None:
    """Return seconds after which a claim has room; None where waiting has no sure end."""
    if asked > standing.limit.maximum or standing.limit.measure is Measure.CONCURRENT:
        return None
    return standing.resets_in


def window_end(measure: Measure, at: int) -> int:
    """When the UTC day or month that contains `at` is over."""
    if measure is Measure.DAY:
        return (at // DAY + 1) * DAY
    first = datetime.fromtimestamp(at // SECOND, UTC).replace(day=1, hour=0, minute=0, second=0)
    year, month = divmod(first.year * 12 + first.month, 12)
    return int(first.replace(year=year, month=month + 1).timestamp()) * SECOND


def format_dollars(nanos: int) -> str:
    """Nano-USD as dollars: two decimals, and more only where the amount has more."""
    whole, rest = divmod(nanos, 10**NANO_DIGITS)
    decimals = f"{rest:0{NANO_DIGITS}d}"
    return f"${whole}.{decimals[:CENT_DIGITS]}{decimals[CENT_DIGITS:].rstrip('0')}"


def _money_sentence(team: str, limit_status: LimitStatus, requested: int, at: int) -> str:
    limit = limit_status.limit
    period = "day" if limit.measure is Measure.DAY else "month"
    used = f"{format_dollars(limit_status.used)} of {format_dollars(limit.maximum)} per {period}"
    usage = f"{_holder(team, limit_status)} has used {used}{_scope(limit_status)}"
    if limit_status.wait_seconds is None:
        return f"{usage}; this request may cost up to {format_dollars(requested)}, which is more than the whole limit."
    ends = datetime.fromtimestamp(window_end(limit.measure, at) // SECOND, UTC)
    because = f"this request may cost up to {format_dollars(requested)}" if requested else OTHER_TIER_REASON
    return f"{usage}; {because}. The limit resets at {ends:%Y-%m-%dT%H:%M:%SZ}."


def _rate_sentence(team: str, limit_status: LimitStatus, requested: int) -> str:
    limit = limit_status.limit
    thing = "request" if limit.measure is Measure.REQUESTS else "image"
    allowed = f"{_holder(team, limit_status)} may make {_count(limit.maximum, thing)} per minute{_scope(limit_status)}"
    if limit_status.wait_seconds is None:
        return f"{allowed}; this request asks for {_count(requested, thing)}."
    return f"{allowed}; try again in {_count(max(1, math.ceil(limit_status.wait_seconds)), 'second')}."


def _concurrency_sentence(team: str, limit_status: LimitStatus, requested: int) -> str:
    allowed = (
        f"{_holder(team, limit_status)} may have {_count(limit_status.limit.maximum, 'image')} made at the same time"
        f"{_scope(limit_status)}"
    )
    busy = f"{limit_status.used} {'is' if limit_status.used == 1 else 'are'} being made"
    return f"{allowed}; {busy}, and this request asks for {_count(requested, 'image')}."


def _holder(team: str, limit_status: LimitStatus) -> str:
    """Return whose limit it is: a key's own, or the team's."""
    kind, _, rest = limit_status.limit.scope.partition(":")
    return f"Key '{rest.partition(':')[0]}'" if kind == KEY else f"Team '{team}'"


def _scope(limit_status: LimitStatus) -> str:
    """Return what of the holder's the limit is on; nothing where it is on all."""
    kind, _, rest = limit_status.limit.scope.partition(":")
    part = rest.partition(":")[2] if kind == KEY else limit_status.limit.scope
    return f" (scope {part})" if part not in {"", TEAM} else ""


def _count(number: int, thing: str) -> str:
    return f"{number} {thing}{'' if number == 1 else 's'}"
