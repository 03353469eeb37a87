"""Hold the lease on a ledger: counters of one store at a time may admit requests against it.

Rule: a replica whose counters are its own holds the lease alone. Replicas with one shared store hold it together. A
start waits while the lease is held, and refuses when that does not end. Times are those of the database. A replica of
its own that cannot renew stops admitting one second before another may take over; one that has lost the lease ends.
A shared store needs no renewal to admit: it takes the lease back, and the replica of its own ends.
"""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass, replace
from datetime import UTC, datetime

from service.domain.errors import LedgerUnavailable, StateUnavailable
from service.usecases.background.supervisor import FatalReport
from service.usecases.ports.events import WaitingForLease
from service.usecases.ports.leases import LeaseHolder, Leases
from service.usecases.ports.observer import Observer

LEASE_SECONDS = 15.0
RENEW_SECONDS = 4.0
MARGIN_SECONDS = 1.0
POLL_SECONDS = 0.5
WAIT_SECONDS = 20.0
"""How long a start waits for a replica that goes on: longer than the lease of one that was killed."""
DRAIN_WAIT_SECONDS = 900.0
"""How long a start waits for a replica that is on its way out; it may have minutes of calls to finish."""

AWAY = "This replica could not renew its lease on the ledger: another may count by now. Ask again soon."


class LeaseHeld(Exception):
    """Others count for this ledger; this replica must not."""


@dataclass(slots=True, kw_only=True)
class LedgerLease:
    """The use case. `monotonic` gives seconds that go on while the machine sleeps; `ledger_name` is for people."""

    leases: Leases
    holder: LeaseHolder
    ledger_name: str
    observe: Observer
    monotonic: Callable[[], float]
    sleep: Callable[[float], Awaitable[None]]
    is_draining: Callable[[], bool]
    fatal: FatalReport
    valid_until: float = 0.0

    async def acquire(self) -> None:
        """Wait until this replica holds the lease. Raises `LeaseHeld` if others go on, and `LedgerUnavailable`."""
        started_at, is_reported = self.monotonic(), False
        while True:
            current = await self._take()
            if self._is_mine(current):
                return
            if self.monotonic() - started_at > (DRAIN_WAIT_SECONDS if current.is_draining else WAIT_SECONDS):
                raise LeaseHeld(refusal_message(self.holder, current, self.ledger_name))
            if not is_reported:
                self.observe(WaitingForLease(holder=current.name, since=format_time(current.since)))
            is_reported = True
            await self.sleep(POLL_SECONDS)

    async def run(self) -> None:
        """Renew it until cancelled."""
        while True:
            await self.renew()
            await self.sleep(RENEW_SECONDS)

    async def renew(self) -> None:
        """Renew it once. The process ends if another replica has taken over; a database that is away is no finding."""
        try:
            current = await self._take(force=self.holder.shared)
        except LedgerUnavailable:
            return
        if not self._is_mine(current):
            self.valid_until = 0.0
            self.fatal.report(
                f"This replica has lost its lease. {refusal_message(self.holder, current, self.ledger_name)}"
            )

    def check(self) -> None:
        """Raise `StateUnavailable` where another replica may count by now."""
        if not self.holder.shared and self.monotonic() > self.valid_until:
            raise StateUnavailable(AWAY)

    async def close(self) -> None:
        """Give the lease back. While the database is away it runs out by itself."""
        try:
            await self.leases.release(self.holder)
        except LedgerUnavailable:
            return

    async def _take(self, *, force: bool = False) -> LeaseHolder:
        asked_at = self.monotonic()
        holder = replace(self.holder, is_draining=self.is_draining())
        current = await self.leases.take(holder, LEASE_SECONDS, force=force)
        if self._is_mine(current):
            self.valid_until = asked_at + LEASE_SECONDS - MARGIN_SECONDS
        return current

    def _is_mine(self, current: LeaseHolder) -> bool:
        return current.token == self.holder.token or (current.shared and self.holder.shared)


def refusal_message(mine: LeaseHolder, other: LeaseHolder, ledger_name: str) -> str:
    """Who holds the lease, since when, and what to do."""
    holder = f"{other.name}, since {format_time(other.since)}"
    if other.shared:
        return (
            f"Replicas with a shared REDIS_URL count for the {ledger_name} ({holder}), and this one has none. "
            "Set the same REDIS_URL, or stop the others first."
        )
    own = "this one counts in REDIS_URL" if mine.shared else "this one would count in another"
    return (
        f"Another replica counts for the {ledger_name} in a Valkey of its own ({holder}), and {own}: "
        "together they would spend more than the budgets. Stop that one first, or give all of them the same REDIS_URL."
    )


def format_time(microseconds: int) -> str:
    """A moment, for people."""
    return datetime.fromtimestamp(microseconds / 1_000_000, UTC).isoformat(timespec="seconds")
