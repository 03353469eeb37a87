"""The lease in memory."""

from dataclasses import replace

from service.domain.errors import LedgerUnavailable
from service.usecases.ports.leases import LeaseHolder

MICROSECONDS = 1_000_000


class FakeLeases:
    """One lease; `now` is the time in microseconds, and once `down` is set it is unavailable."""

    def __init__(self) -> None:
        self.now = 1_800_000_000 * MICROSECONDS
        self.held: LeaseHolder | None = None
        self.valid_until = 0
        self.down = False

    async def take(self, holder: LeaseHolder, seconds: float, *, force: bool = False) -> LeaseHolder:
        self._answer()
        held = self.held
        same = held is not None and held.token == holder.token
        over = self.valid_until < self.now
        together = held is not None and held.shared and holder.shared and not over
        if held is None or force or over or same or together or held.location == holder.location:
            since = held.since if held and (same or together) else self.now
            self.held, self.valid_until = replace(holder, since=since), self.now + round(seconds * MICROSECONDS)
        assert self.held
        return self.held

    async def release(self, holder: LeaseHolder) -> None:
        self._answer()
        if self.held and self.held.token == holder.token and not holder.shared:
            self.held = None

    def _answer(self) -> None:
        if self.down:
            raise LedgerUnavailable("The ledger of record does not answer.")
