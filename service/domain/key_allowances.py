"""Allowances of keys: models, tiers and limits.

Rule: keys of `teams.yaml` and issued keys have one form of allowance, read and checked by these functions. An allowance
only restricts: the team's rules and limits hold beside it. Pure.

Fails with: `InvalidValue`, which names the field.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from decimal import Decimal

from service.domain.errors import InvalidValue
from service.domain.pricing import NANO
from service.domain.quota_limits import MEASURES, MONEY, NO_LIMITS, Limits

MAX_DOLLARS = Decimal(1_000_000)
MAX_COUNT = 1_000_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Allowance:
    """The allowance of one key. Empty `models` and `tiers` mean no restriction; all limits hold side by side."""

    models: frozenset[str] = frozenset()
    tiers: frozenset[str] = frozenset()
    limits: Limits = NO_LIMITS
    limits_by_tier: Mapping[str, Limits] = field(default_factory=dict)


UNRESTRICTED = Allowance()


def parse_dollars(amount: Decimal, per: int = 1) -> int:
    """Convert US dollars per `per` things to nano-USD for one. Raises `InvalidValue` unless that is a whole number."""
    if not amount.is_finite() or amount < 0 or amount > MAX_DOLLARS:
        raise InvalidValue(f"{amount} is not an amount between 0 and {MAX_DOLLARS} US dollars")
    nano = amount * NANO / per
    if nano != int(nano):
        raise InvalidValue(f"{amount} is finer than a billionth of a US dollar")
    return int(nano)


def parse_limits(numbers: Mapping[str, Decimal | int], param: str) -> Limits:
    """Build limits from their names and numbers. Raises `InvalidValue`, whose `param` begins with this `param`."""
    return Limits(**{name: _parse_limit(name, Decimal(number), param) for name, number in numbers.items()})


def _parse_limit(name: str, number: Decimal, param: str) -> int:
    measure = MEASURES.get(name)
    if measure is None:
        raise InvalidValue(f"'{name}' is not a limit; limits are {', '.join(MEASURES)}", param=param)
    try:
        return parse_dollars(number) if measure in MONEY else _parse_count(number)
    except InvalidValue as wrong:
        raise InvalidValue(wrong.message, param=f"{param}.{name}") from None


def _parse_count(number: Decimal) -> int:
    if not number.is_finite() or number != int(number) or not 1 <= number <= MAX_COUNT:
        raise InvalidValue(f"{number} is not a whole number from 1 to {MAX_COUNT}")
    return int(number)


def describe(allowance: Allowance) -> str:
    """Return an allowance in one line, such as `usd_per_day=5 high:usd_per_day=2 models=flux tiers=low,high`."""
    by_tier = (_describe_limits(limits, f"{tier}:") for tier, limits in sorted(allowance.limits_by_tier.items()))
    named = (("models", allowance.models), ("tiers", allowance.tiers))
    lists = (f"{name}={','.join(sorted(names))}" for name, names in named if names)
    return " ".join(part for part in (_describe_limits(allowance.limits), *by_tier, *lists) if part)


def _describe_limits(limits: Limits, prefix: str = "") -> str:
    values = {name: getattr(limits, name) for name in MEASURES}
    return " ".join(
        f"{prefix}{name}={_format_dollars(number) if MEASURES[name] in MONEY else number}"
        for name, number in values.items()
        if number is not None
    )


def _format_dollars(nano: int) -> str:
    return f"{(Decimal(nano) / NANO).normalize():f}"
