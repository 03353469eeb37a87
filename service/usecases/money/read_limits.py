"""The status of limits: how much of each is used.

Rule: lost counters are rebuilt first, as before an admission, so that no caller gets a wrong number. A caller without
limits costs no read.

Fails with: `StateUnavailable` if the counters cannot be rebuilt.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from service.domain.errors import StateUnavailable
from service.domain.quota_limits import Limit, LimitStatus
from service.usecases.money.hold_quota import HoldQuota
from service.usecases.ports.quota_store import CountersLost, QuotaStore


@dataclass(frozen=True, slots=True, kw_only=True)
class ReadLimits:
    """The use case. `hold_quota` rebuilds a team's counters."""

    quotas: QuotaStore
    hold_quota: HoldQuota

    async def read(self, team: str, limits: Sequence[Limit]) -> Sequence[LimitStatus]:
        """Return the status of each limit."""
        if not limits:
            return ()
        try:
            return await self.quotas.limit_status(team, limits)
        except CountersLost:
            await self.hold_quota.rebuild(team)
        try:
            return await self.quotas.limit_status(team, limits)
        except CountersLost:
            raise StateUnavailable("The gateway's counters were lost again while they were rebuilt.") from None
