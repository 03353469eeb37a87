"""Hold the lease on a ledger: counters of one store at a time may admit requests against it.

Rule: a replica whose counters are its own holds the lease alone. Replicas with one shared store hold it together. A
start waits while the lease is held, and refuses when that does not end. Times are those of the database. A replica of
its own that cannot renew stops admitting one second before another may take over; one that has lost the lease ends.
A shared store needs no renewal to admit: it takes the lease back, and the replica of its own ends.
"""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Protocol

from service.domain.errors import BooksUnavailable, StateUnavailable
from service.usecases.background import Fatal
from service.usecases.events import LeaseAwaited
from service.usecases.ports import Observer

LEASE_SECONDS = 15.0
RENEW_SECONDS = 4.0
MARGIN_SECONDS = 1.0
LOOK_SECONDS = 0.5
PATIENCE_SECONDS = 20.0
"""How long a start waits for a replica that goes on: longer than the lease of one that was killed."""
LEAVING_SECONDS = 900.0
"""How long a start waits for a replica that is on its way out; it may have minutes of calls to finish."""

AWAY = "This replica could not renew its lease on the ledger: another may count by now. Ask again soon."


@dataclass(frozen=True, slots=True, kw_only=True)
class Holder:
    """Who holds the lease: one process of its own, or the replicas of a shared store.

    `place` is the same for processes that cannot run at the same time, `token` belongs to one process, `name` is for
    people. `since` is in microseconds since 1970 and 0 before the lease is held.
    """

    place: str
    token: str
    name: str
    shared: bool
    leaving: bool = False
    since: int = 0


class Leases(Protocol):
    """The lease, in the database of the ledger. Raises `BooksUnavailable`."""

    async def take(self, holder: Holder, seconds: float, *, force: bool = False) -> Holder:
        """Take or renew it for so long if it is free, over, this holder's, or of the same place; `force`: in any case.

        Replicas of a shared store renew each other's. The result is who holds it now.
        """
        ...

    async def free(self, holder: Holder) -> None:
        """Give it back, if this very process holds it."""
        ...


class LeaseHeld(Exception):
    """Others count for this ledger; this replica must not."""


@dataclass(slots=True, kw_only=True)
class KeepLease:
    """The use case. `elapsed` gives seconds that go on while the machine sleeps; `ledger` names it for people."""

    leases: Leases
    holder: Holder
    ledger: str
    observe: Observer
    elapsed: Callable[[], float]
    sleep: Callable[[float], Awaitable[None]]
    leaving: Callable[[], bool]
    fatal: Fatal
    until: float = 0.0

    async def acquire(self) -> None:
        """Wait until this replica holds the lease. Raises `LeaseHeld` if others go on, and `BooksUnavailable`."""
        began, told = self.elapsed(), False
        while True:
            found = await self._take()
            if self._is_mine(found):
                return
            if self.elapsed() - began > (LEAVING_SECONDS if found.leaving else PATIENCE_SECONDS):
                raise LeaseHeld(refusal(self.holder, found, self.ledger))
            if not told:
                self.observe(LeaseAwaited(holder=found.name, since=spelled(found.since)))
            told = True
            await self.sleep(LOOK_SECONDS)

    async def run(self) -> None:
        """Renew it until cancelled."""
        while True:
            await self.renew()
            await self.sleep(RENEW_SECONDS)

    async def renew(self) -> None:
        """Renew it once. The process ends if another replica has taken over; a database that is away is no finding."""
        try:
            found = await self._take(force=self.holder.shared)
        except BooksUnavailable:
            return
        if not self._is_mine(found):
            self.until = 0.0
            self.fatal.report(f"This replica has lost its lease. {refusal(self.holder, found, self.ledger)}")

    def check(self) -> None:
        """Raise `StateUnavailable` where another replica may count by now."""
        if not self.holder.shared and self.elapsed() > self.until:
            raise StateUnavailable(AWAY)

    async def close(self) -> None:
        """Give the lease back. While the database is away it runs out by itself."""
        try:
            await self.leases.free(self.holder)
        except BooksUnavailable:
            return

    async def _take(self, *, force: bool = False) -> Holder:
        asked = self.elapsed()
        holder = replace(self.holder, leaving=self.leaving())
        found = await self.leases.take(holder, LEASE_SECONDS, force=force)
        if self._is_mine(found):
            self.until = asked + LEASE_SECONDS - MARGIN_SECONDS
        return found

    def _is_mine(self, found: Holder) -> bool:
        return found.token == self.holder.token or (found.shared and self.holder.shared)


def refusal(mine: Holder, other: Holder, ledger: str) -> str:
    """Who holds the lease, since when, and what to do."""
    who = f"{other.name}, since {spelled(other.since)}"
    if other.shared:
        return (
            f"Replicas with a shared REDIS_URL count for the {ledger} ({who}), and this one has none. "
            "Set the same REDIS_URL, or stop the others first."
        )
    own = "this one counts in REDIS_URL" if mine.shared else "this one would count in another"
    return (
        f"Another replica counts for the {ledger} in a Valkey of its own ({who}), and {own}: together they would spend "
        "more than the budgets. Stop that one first, or give all of them the same REDIS_URL."
    )


def spelled(microseconds: int) -> str:
    """A moment, for people."""
    return datetime.fromtimestamp(microseconds / 1_000_000, UTC).isoformat(timespec="seconds")
