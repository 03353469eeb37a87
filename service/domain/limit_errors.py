"""Error messages for a full limit: the limit, its scope, and the time at which it has room again.

Rule: the store that counts does not change the words. A limit of a key is reported as the key's, because its team has
room. Times are microseconds since 1970, UTC. Money is nano-USD and is written to its last digit. Pure.

Fails with: nothing; it builds errors and raises none.
"""

import math
from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime

from service.domain.errors import LimitExceeded
from service.domain.ledger import HoldRequest, requested_amount
from service.domain.quota_limits import KEY, MONEY, RATES, TEAM, LimitStatus, Measure

SECOND = 1_000_000
DAY = 86_400 * SECOND
CENT_DIGITS, NANO_DIGITS = 2, 9
OTHER_TIER_REASON = "vendors draw in this scope what was asked for in another"


def build_limit_error(team: str, limit_status: LimitStatus, requested: int, at: int) -> LimitExceeded:
    """Build the error for a request of `requested` that a limit with this status refuses at that time."""
    limit = limit_status.limit
    if limit.measure in MONEY:
        sentence = _money_sentence(team, limit_status, requested, at)
    elif limit.measure in RATES:
        sentence = _rate_sentence(team, limit_status, requested)
    else:
        sentence = _concurrency_sentence(team, limit_status, requested)
    return LimitExceeded(sentence, limit_status)


def find_refusal(
    team: str, statuses: Sequence[LimitStatus], hold_requests: Sequence[HoldRequest], now: datetime
) -> LimitExceeded | None:
    """Build the error for a limit that has no room for holds; of several, the one that stays full longest.

    The store has the final decision, because it knows more. `now` is an aware time.
    """
    full: list[tuple[float, LimitStatus, int]] = []
    for status in statuses:
        requested = requested_amount(status.limit, hold_requests)
        if requested and requested > status.remaining:
            wait = _wait(status, requested)
            lasts = math.inf if requested > status.limit.maximum else wait or 0.0
            full.append((lasts, replace(status, wait_seconds=wait), requested))
    if not full:
        return None
    _, status, requested = max(full, key=lambda limit: limit[0])
    return build_limit_error(team, status, requested, int(now.timestamp() * SECOND))


def _wait(status: LimitStatus, requested: int) -> float | None:
    """Return seconds after which a hold has room; None if waiting has no certain end."""
    if requested > status.limit.maximum or status.limit.measure is Measure.CONCURRENT:
        return None
    return status.resets_in


def window_end(measure: Measure, at: int) -> int:
    """Return the end of the UTC day or month that contains `at`."""
    if measure is Measure.DAY:
        return (at // DAY + 1) * DAY
    first = datetime.fromtimestamp(at // SECOND, UTC).replace(day=1, hour=0, minute=0, second=0)
    year, month = divmod(first.year * 12 + first.month, 12)
    return int(first.replace(year=year, month=month + 1).timestamp()) * SECOND


def format_dollars(nanos: int) -> str:
    """Format nano-USD as dollars: two decimals, and more only if the amount has more."""
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
    """Return the holder of the limit: the key itself, or the team."""
    kind, _, rest = limit_status.limit.scope.partition(":")
    return f"Key '{rest.partition(':')[0]}'" if kind == KEY else f"Team '{team}'"


def _scope(limit_status: LimitStatus) -> str:
    """Return the part of the holder that is limited; empty if all of it is."""
    kind, _, rest = limit_status.limit.scope.partition(":")
    part = rest.partition(":")[2] if kind == KEY else limit_status.limit.scope
    return f" (scope {part})" if part not in {"", TEAM} else ""


def _count(number: int, thing: str) -> str:
    return f"{number} {thing}{'' if number == 1 else 's'}"
