"""Say how limits stand.

Rule: as at an admission, counters that are not those of the books are rebuilt first; if that fails, nobody is told a
number that is wrong (`StateUnavailable`). Who has no limits is answered without asking.
"""

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass

from service.domain.errors import StateUnavailable
from service.domain.quota_limits import Limit, LimitStatus
from service.usecases.ports.quota_store import CountersLost, QuotaStore


@dataclass(frozen=True, slots=True, kw_only=True)
class ReadLimits:
    """The use case. `rebuild` makes a team's counters what the books and the open holds say."""

    quotas: QuotaStore
    rebuild: Callable[[str], Awaitable[None]]

    async def __call__(self, team: str, limits: Sequence[Limit]) -> Sequence[LimitStatus]:
        """How each of the limits stands."""
        if not limits:
            return ()
        try:
            return await self.quotas.limit_status(team, limits)
        except CountersLost:
            await self.rebuild(team)
        try:
            return await self.quotas.limit_status(team, limits)
        except CountersLost:
            raise StateUnavailable("The gateway's counters were lost again while they were rebuilt.") from None
