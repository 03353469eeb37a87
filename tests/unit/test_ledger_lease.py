"""The lease on a ledger: a start waits or refuses, and a replica that lost the lease stops admitting."""

import asyncio
from collections.abc import Callable
from dataclasses import replace

import pytest

from service.composition.stores import Drain
from service.domain.errors import StateUnavailable
from service.usecases.background.supervisor import FatalReport
from service.usecases.money.ledger_lease import (
    DRAIN_WAIT_SECONDS,
    LEASE_SECONDS,
    MARGIN_SECONDS,
    WAIT_SECONDS,
    LeaseHeld,
    LedgerLease,
)
from service.usecases.ports.events import WaitingForLease
from service.usecases.ports.leases import LeaseHolder
from tests.fakes.leases import MICROSECONDS, FakeLeases
from tests.fakes.observer import Recorder

MINE = LeaseHolder(location="here", token="1", name="gw-1, process 7", shared=False)
OTHER = LeaseHolder(location="there", token="2", name="gw-2, process 9", shared=False)
SHARED = LeaseHolder(location="3", token="3", name="gw-3, process 7", shared=True)


class Site:
    """A replica and the lease, on one clock; `each` is done at every wait."""

    def __init__(self, holder: LeaseHolder = MINE) -> None:
        self.leases, self.observed, self.fatal = FakeLeases(), Recorder(), FatalReport()
        self.elapsed, self.drain = 0.0, Drain()
        self.on_wait: Callable[[], None] = lambda: None
        self.keep = LedgerLease(
            leases=self.leases,
            holder=holder,
            ledger_name="PostgreSQL at db",
            observer=self.observed,
            monotonic=lambda: self.elapsed,
            sleep=self.sleep,
            drain=self.drain,
            fatal=self.fatal,
        )

    def go_on(self, seconds: float) -> None:
        """Time passes."""
        self.elapsed += seconds
        self.leases.now += round(seconds * MICROSECONDS)

    async def sleep(self, seconds: float) -> None:
        self.go_on(seconds)
        self.on_wait()

    async def held_by(self, holder: LeaseHolder) -> None:
        await self.leases.take(holder, LEASE_SECONDS, force=True)

    def keeps(self, holder: LeaseHolder) -> None:
        """That replica lives, and renews."""
        self.leases.held, self.leases.valid_until = holder, self.leases.now + round(LEASE_SECONDS * MICROSECONDS)


async def test_a_start_takes_what_is_free_at_once() -> None:
    site = Site()
    await site.keep.acquire()
    site.keep.check()
    assert (site.elapsed, site.observed.events) == (0.0, [])


async def test_a_start_waits_for_the_lease_of_one_that_was_killed() -> None:
    site = Site()
    await site.held_by(OTHER)
    await site.keep.acquire()
    assert LEASE_SECONDS <= site.elapsed <= LEASE_SECONDS + 1
    (line,) = site.observed.of(WaitingForLease)
    assert line == WaitingForLease(holder="gw-2, process 9", since="2027-01-15T08:00:00+00:00")


@pytest.mark.parametrize(
    ("mine", "other", "words"),
    [
        (MINE, OTHER, "in a Valkey of its own .*, and this one would count in another: .* same REDIS_URL"),
        (SHARED, OTHER, "in a Valkey of its own .*, and this one counts in REDIS_URL"),
        (MINE, SHARED, "Replicas with a shared REDIS_URL count .*, and this one has none. Set the same REDIS_URL"),
    ],
)
async def test_a_start_beside_one_that_goes_on_is_refused(mine: LeaseHolder, other: LeaseHolder, words: str) -> None:
    site = Site(mine)
    await site.held_by(other)
    site.on_wait = lambda: site.keeps(replace(other, since=site.leases.now))
    with pytest.raises(LeaseHeld, match=words) as refused:
        await site.keep.acquire()
    assert f"{other.name}, since 2027-01-15T08:00:" in str(refused.value)
    assert "PostgreSQL at db" in str(refused.value)
    assert WAIT_SECONDS < site.elapsed < WAIT_SECONDS + 2


async def test_a_start_waits_longer_for_one_that_leaves_but_not_for_ever() -> None:
    site = Site()
    await site.held_by(OTHER)
    site.on_wait = lambda: site.keeps(replace(OTHER, is_draining=True))
    with pytest.raises(LeaseHeld):
        await site.keep.acquire()
    assert DRAIN_WAIT_SECONDS < site.elapsed < DRAIN_WAIT_SECONDS + 2


async def test_while_the_database_is_away_it_stops_before_another_may_begin_and_goes_on_afterwards() -> None:
    site = Site()
    await site.keep.acquire()
    site.leases.down = True
    site.go_on(LEASE_SECONDS - MARGIN_SECONDS)
    await site.keep.renew()
    site.keep.check()
    site.go_on(0.1)
    with pytest.raises(StateUnavailable, match="could not renew its lease"):
        site.keep.check()
    assert site.leases.now < site.leases.valid_until
    site.leases.down = False
    await site.keep.renew()
    site.keep.check()
    assert site.fatal.reason is None


async def test_one_that_has_lost_the_lease_admits_nothing_more_and_ends() -> None:
    site = Site()
    await site.keep.acquire()
    site.go_on(LEASE_SECONDS + 1)
    await site.held_by(OTHER)
    await site.keep.renew()
    with pytest.raises(StateUnavailable):
        site.keep.check()
    assert "This replica has lost its lease." in str(site.fatal.reason)
    assert "gw-2, process 9" in str(site.fatal.reason)
    await site.keep.close()
    assert site.leases.held
    assert site.leases.held.token == OTHER.token, "it is the other's"


async def test_a_shared_store_admits_without_its_lease_and_takes_it_back() -> None:
    """Its promise is that requests go on while the database is away."""
    site = Site(SHARED)
    await site.keep.acquire()
    site.leases.down = True
    site.go_on(10 * LEASE_SECONDS)
    await site.keep.renew()
    site.keep.check()
    site.leases.down = False
    await site.held_by(OTHER)
    await site.keep.renew()
    assert site.leases.held
    assert site.leases.held.token == SHARED.token
    assert site.fatal.reason is None


async def test_a_clean_end_frees_it_and_a_database_that_is_away_does_not_stop_the_end() -> None:
    site = Site()
    await site.keep.acquire()
    site.leases.down = True
    await site.keep.close()
    site.leases.down = False
    await site.keep.close()
    assert site.leases.held is None


async def test_one_that_leaves_says_so() -> None:
    site = Site()
    await site.keep.acquire()
    site.drain.is_draining = True
    await site.keep.renew()
    assert site.leases.held
    assert site.leases.held.is_draining


async def test_it_is_renewed_until_the_replica_goes() -> None:
    site = Site()
    await site.keep.acquire()
    ends = [site.leases.valid_until]

    def look() -> None:
        ends.append(site.leases.valid_until)
        if len(ends) == 4:
            raise asyncio.CancelledError

    site.on_wait = look
    with pytest.raises(asyncio.CancelledError):
        await site.keep.run()
    assert ends == sorted(ends)
    assert len({*ends}) > 1
