"""Never more than N in any 60 seconds: limits and caps of accounts, in memory and on a server, beside an exact log."""

import uuid
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Protocol

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from service.adapters.redis.client import connect, disconnect
from service.domain.errors import LimitExceeded
from service.domain.ledger import HoldState
from service.domain.limit_errors import SECOND
from service.domain.quota_limits import TEAM, Limit, Measure
from service.usecases.ports.shared_health import Caps, SlotRequest
from tests.contract.clocks import ClockedLedger, ClockedSharedHealth
from tests.fakes.quota_store import NOW, FakeQuotaStore
from tests.fakes.shared_health import FakeSharedHealth
from tests.support.profiles import examples
from tests.support.quota_stores import FakeStore, QuotaHarness

MINUTE = 60 * SECOND
KINDS = ("fake ledger", "ledger", "fake shared health", "shared health")
NEVER = -1.0
BYTES = 1024


class Counted(Protocol):
    """Something with a limit by the minute, and a clock."""

    now: int


@dataclass
class Ledgers:
    """Images of a team."""

    ledger: FakeQuotaStore | ClockedLedger
    stage: QuotaHarness
    most: int

    async def ask(self, amount: int) -> float | None:
        """None if it was admitted, else the seconds to wait."""
        limit = Limit(TEAM, Measure.IMAGES, self.most)
        try:
            await self.ledger.hold(
                self.stage.team, [self.stage.hold_request(images=amount)], [limit], state=HoldState.SENT
            )
        except LimitExceeded as refused:
            return NEVER if refused.limit_status.wait_seconds is None else refused.limit_status.wait_seconds
        return None

    def set_clock(self, now: int) -> None:
        self.ledger.now = now


@dataclass
class SharedHealthLimit:
    """Images of an account."""

    shared_health: FakeSharedHealth | ClockedSharedHealth
    backend: str
    most: int

    async def ask(self, amount: int) -> float | None:
        """None if it was admitted, else the seconds to wait."""
        slot_request = SlotRequest(name=uuid.uuid4().hex, calls=1, images=amount, lease_seconds=60)
        full = await self.shared_health.acquire_slots(self.backend, slot_request, Caps(images_per_minute=self.most))
        if full is None:
            return None
        return NEVER if full.wait_seconds is None else full.wait_seconds

    def set_clock(self, now: int) -> None:
        self.shared_health.now = now


@asynccontextmanager
async def limited(kind: str, url: str, most: int) -> AsyncIterator[Ledgers | SharedHealthLimit]:
    name = uuid.uuid4().hex[:12]
    if kind.endswith("shared health"):
        shared_health = FakeSharedHealth() if kind.startswith("fake") else ClockedSharedHealth(url)
        yield SharedHealthLimit(shared_health, name, most)
        if isinstance(shared_health, ClockedSharedHealth):
            await shared_health.close()
        return
    ledger = FakeQuotaStore() if kind.startswith("fake") else ClockedLedger(url)
    stage = QuotaHarness(FakeStore(), name, ledger)
    assert await stage.rebuild()
    yield Ledgers(ledger, stage, most)
    if isinstance(ledger, ClockedLedger):
        await ledger.close()


@dataclass
class Log:
    """Exact log of admitted amounts."""

    most: int
    admitted: list[tuple[int, int]] = field(default_factory=list)

    def within(self, now: int, span: int) -> int:
        return sum(amount for at, amount in self.admitted if at > now - span)

    def has_room(self, now: int, amount: int) -> bool:
        return self.within(now, MINUTE) + amount <= self.most


async def run_steps(subject: Ledgers | SharedHealthLimit, steps: list[tuple[int, int]]) -> None:
    log, now = Log(subject.most), NOW + 300_000
    for later, amount in steps:
        now += later
        subject.set_clock(now)
        wait = await subject.ask(amount)
        if wait is None:
            assert log.has_room(now, amount) or amount == 0
            log.admitted.append((now, amount))
        elif wait == NEVER:
            assert amount > subject.most
        else:
            assert log.within(now - SECOND, MINUTE) + amount > subject.most, "refused more than a second too early"
            assert wait <= 60
            now += round(wait * SECOND)
            subject.set_clock(now - 1)
            assert await subject.ask(amount), "there was room before the wait was over"
            subject.set_clock(now)
            assert await subject.ask(amount) is None
            log.admitted.append((now, amount))
    for at, _ in log.admitted:
        assert log_from(log, at) <= subject.most


def log_from(log: Log, at: int) -> int:
    """Return the sum admitted in the 60 seconds that begin at a time."""
    return sum(amount for other, amount in log.admitted if at <= other < at + MINUTE)


STEPS = st.lists(
    st.tuples(
        st.one_of(st.integers(0, 3 * SECOND), st.integers(0, 62 * SECOND), st.just(0), st.just(SECOND)),
        st.integers(0, 7),
    ),
    max_size=40,
)


@settings(max_examples=examples(200))
@given(steps=STEPS, most=st.integers(1, 12))
@pytest.mark.parametrize("kind", [kind for kind in KINDS if kind.startswith("fake")])
async def test_a_minute_is_never_overshot_in_memory(kind: str, steps: list[tuple[int, int]], most: int) -> None:
    async with limited(kind, "", most) as subject:
        await run_steps(subject, steps)


@settings(max_examples=examples(40))
@given(steps=STEPS, most=st.integers(1, 12))
@pytest.mark.parametrize("kind", [kind for kind in KINDS if not kind.startswith("fake")])
async def test_a_minute_is_never_overshot_on_a_server(
    redis_url: str, kind: str, steps: list[tuple[int, int]], most: int
) -> None:
    async with limited(kind, redis_url, most) as subject:
        await run_steps(subject, steps)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("most", [30, 60])
async def test_the_worst_minute_has_no_more_than_the_limit(redis_url: str, kind: str, most: int) -> None:
    """A full limit at once, and then one request after another for two minutes."""
    log = Log(most)
    async with limited(kind, redis_url, most) as subject:
        for tick in range(240):
            now = NOW + tick * SECOND // 2
            subject.set_clock(now)
            while await subject.ask(1) is None:
                log.admitted.append((now, 1))
    assert max(log_from(log, at) for at, _ in log.admitted) == most
    assert len(log.admitted) == 2 * most


@pytest.mark.parametrize("kind", KINDS)
async def test_a_clock_that_is_set_back_counts_on_and_heals_within_a_minute(redis_url: str, kind: str) -> None:
    async with limited(kind, redis_url, 5) as subject:
        for ahead in (0, 3600, 3601):
            subject.set_clock(NOW + ahead * SECOND)
            assert await subject.ask(2) is None
        subject.set_clock(NOW + 10 * SECOND)
        assert await subject.ask(2) == 60
        assert await subject.ask(1) is None
        subject.set_clock(NOW + 70 * SECOND)
        assert await subject.ask(5) is None


async def test_what_a_limit_takes_in_memory_is_bounded(redis_url: str) -> None:
    """About 1 KB, whatever the limit is: two minutes with a request in every half second, of a hundred million."""
    async with limited("ledger", redis_url, 10**10) as subject:
        assert isinstance(subject, Ledgers)
        for tick in range(240):
            subject.set_clock(NOW + tick * SECOND // 2)
            assert await subject.ask(10**7) is None
        client = connect(redis_url)
        counters = await client.hgetall(f"igw:{{{subject.stage.team}}}:state")
        await disconnect(client)
        assert (await subject.stage.limit_status(Limit(TEAM, Measure.IMAGES, 10**10))).used == 120 * 10**7
    size = len(counters[b"rate2:images_per_minute:team"])
    assert 500 < size < BYTES
