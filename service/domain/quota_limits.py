"""Limits of teams and keys, and their status.

Rule: a limit is a number in a scope. All limits that apply to a request hold side by side. Money is nano-USD.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """The limits of one team or key; None is no limit. Money is nano-USD, days and months are UTC."""

    requests_per_minute: int | None = None
    images_per_minute: int | None = None
    concurrent_images: int | None = None
    usd_per_day: int | None = None
    usd_per_month: int | None = None


NO_LIMITS = Limits()


class Measure(StrEnum):
    """The unit of a limit. The values are the names in `teams.yaml`; money is in nano-USD."""

    REQUESTS = "requests_per_minute"
    IMAGES = "images_per_minute"
    CONCURRENT = "concurrent_images"
    DAY = "usd_per_day"
    MONTH = "usd_per_month"


MEASURES: Mapping[str, Measure] = {measure.value: measure for measure in Measure}
"""Measures by their names in `Limits`."""

MONEY = frozenset({Measure.DAY, Measure.MONTH})
RATES = frozenset({Measure.REQUESTS, Measure.IMAGES})

KEY = "key"
TEAM = "team"
"""The scope that contains every request of a team. The other scopes are `key:<id>`, `model:<id>`, `tier:<name>` and
`key:<id>:tier:<name>`.
"""


@dataclass(frozen=True, slots=True)
class Limit:
    """The largest amount of a measure in a scope."""

    scope: str
    measure: Measure
    maximum: int


@dataclass(frozen=True, slots=True, kw_only=True)
class LimitStatus:
    """The status of a limit.

    Attributes:
        used: The used amount, open holds included.
        resets_in: Seconds until the whole limit is available again.
        wait_seconds: Seconds until the refused request could be admitted; None if waiting has no certain end.
    """

    limit: Limit
    used: int
    resets_in: float
    wait_seconds: float | None = None

    @property
    def remaining(self) -> int:
        """The remaining amount; never negative."""
        return max(0, self.limit.maximum - self.used)
