"""What a team may use at most, and how much of that it has used.

Rule: a limit is a number in a scope; all limits that apply hold side by side. Money is nano-USD.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """What may be used at most; None is no limit. Money is nano-USD, days and months are UTC."""

    requests_per_minute: int | None = None
    images_per_minute: int | None = None
    concurrent_images: int | None = None
    usd_per_day: int | None = None
    usd_per_month: int | None = None


NO_LIMITS = Limits()


class Measure(StrEnum):
    """What a limit is in. The values are the names in `teams.yaml`; money is in nano-USD."""

    REQUESTS = "requests_per_minute"
    IMAGES = "images_per_minute"
    CONCURRENT = "concurrent_images"
    DAY = "usd_per_day"
    MONTH = "usd_per_month"


MEASURES: Mapping[str, Measure] = {measure.value: measure for measure in Measure}
"""By the names that they have in `Limits`."""

MONEY = frozenset({Measure.DAY, Measure.MONTH})
RATES = frozenset({Measure.REQUESTS, Measure.IMAGES})

KEY = "key"
TEAM = "team"
"""The scope that every request of a team is in. The others are `key:<id>`, `model:<id>`, `tier:<name>` and
`key:<id>:tier:<name>`."""


@dataclass(frozen=True, slots=True)
class Limit:
    """At most `maximum` of a measure in a scope."""

    scope: str
    measure: Measure
    maximum: int


@dataclass(frozen=True, slots=True, kw_only=True)
class LimitStatus:
    """How a limit stands: `used` of it, open holds included; `resets_in` seconds all of it is there again.

    `wait_seconds` is how many seconds until the refused claim could be admitted, or None where waiting has no sure end.
    """

    limit: Limit
    used: int
    resets_in: float
    wait_seconds: float | None = None

    @property
    def remaining(self) -> int:
        """What is left; never negative."""
        return max(0, self.limit.maximum - self.used)
