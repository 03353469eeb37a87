"""The lease on a ledger: the counters of one Redis at a time may admit requests against it.

Rule: a replica with a Redis of its own holds the lease alone. Replicas with a shared Redis hold it together. Times are
those of the database. A replica of its own that cannot renew stops admitting one second before another replica may take
over. Such a replica ends when it has lost the lease. Replicas with a shared Redis need no renewal to admit. They take
the lease back, and the replica of its own ends.

Fails with: `LeaseHeld` if another replica keeps the lease while this one starts; `StateUnavailable` if this replica
could not renew; `LedgerUnavailable` if the database does not answer at the start.
"""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Protocol

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
"""Seconds for which a start waits for a running replica: longer than the lease of a killed one."""
DRAIN_WAIT_SECONDS = 900.0
"""Seconds for which a start waits for a draining replica, which may have minutes of calls to finish."""

AWAY = "This replica could not renew its lease on the ledger: another may count by now. Ask again soon."


class DrainState(Protocol):
    """Whether this replica is draining: it finishes its requests and takes no others."""

    is_draining: bool


class LeaseHeld(Exception):
    """Another replica holds the lease, so this one must not admit requests."""


@dataclass(slots=True, kw_only=True)
class LedgerLease:
    """The use case of one replica.

    Attributes:
        ledger_name: Description of the ledger's database for messages.
        monotonic: Gives seconds that go on while the machine sleeps.
        sleep: Waits for seconds.
        valid_until: Monotonic seconds until which this replica may admit.
    """

    leases: Leases
    holder: LeaseHolder
    ledger_name: str
    observer: Observer
    monotonic: Callable[[], float]
    sleep: Callable[[float], Awaitable[None]]
    drain: DrainState
    fatal: FatalReport
    valid_until: float = 0.0

    async def acquire(self) -> None:
        """Wait until this replica holds the lease. Raises `LeaseHeld` if it stays taken, and `LedgerUnavailable`."""
        started_at, is_reported = self.monotonic(), False
        while True:
            current = await self._take()
            if self._is_mine(current):
                return
            if self.monotonic() - started_at > (DRAIN_WAIT_SECONDS if current.is_draining else WAIT_SECONDS):
                raise LeaseHeld(refusal_message(self.holder, current, self.ledger_name))
            if not is_reported:
                self.observer.record(WaitingForLease(holder=current.name, since=format_time(current.since)))
            is_reported = True
            await self.sleep(POLL_SECONDS)

    async def run(self) -> None:
        """Renew the lease until cancelled."""
        while True:
            await self.renew()
            await self.sleep(RENEW_SECONDS)

    async def renew(self) -> None:
        """Renew the lease once. End the process if another replica has it; ignore a database that does not answer."""
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
        """Raise `StateUnavailable` if another replica may have taken the lease."""
        if not self.holder.shared and self.monotonic() > self.valid_until:
            raise StateUnavailable(AWAY)

    async def close(self) -> None:
        """Release the lease. If the database does not answer, the lease runs out by itself."""
        try:
            await self.leases.release(self.holder)
        except LedgerUnavailable:
            return

    async def _take(self, *, force: bool = False) -> LeaseHolder:
        asked_at = self.monotonic()
        holder = replace(self.holder, is_draining=self.drain.is_draining)
        current = await self.leases.take(holder, LEASE_SECONDS, force=force)
        if self._is_mine(current):
            self.valid_until = asked_at + LEASE_SECONDS - MARGIN_SECONDS
        return current

    def _is_mine(self, current: LeaseHolder) -> bool:
        return current.token == self.holder.token or (current.shared and self.holder.shared)


def refusal_message(mine: LeaseHolder, other: LeaseHolder, ledger_name: str) -> str:
    """Return the holder of the lease, its start, and the operator's remedy."""
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
    """Format a time for messages."""
    return datetime.fromtimestamp(microseconds / 1_000_000, UTC).isoformat(timespec="seconds")
