"""Holds on money: made before a call, settled after it, whatever happens in between."""

import asyncio
from collections.abc import Awaitable, Callable, Collection, Sequence
from contextlib import suppress

import pytest

from service.domain.booking import build_entry, build_hold_request
from service.domain.errors import LedgerUnavailable, LimitExceeded, StateUnavailable
from service.domain.ledger import Admission, CacheStatus, Entry, EntryStatus, HoldRequest, HoldState
from service.domain.quota_limits import Limit, Measure
from service.domain.routing import Plan
from service.usecases.money import settlement
from service.usecases.money.hold_quota import Hold, HoldQuota
from service.usecases.money.settlement import Intervals
from service.usecases.ports.events import (
    CountersRebuilt,
    EntryPosted,
    HoldExpired,
    LedgerOutageEnded,
    LedgerOutageStarted,
    SettlementDelayed,
)
from service.usecases.ports.ledger import EntryFilter, Spent
from service.usecases.ports.quota_store import CounterSnapshot
from tests.fakes.builders import build_money, caller, model, price, route, spec
from tests.fakes.ledger import FakeLedger
from tests.fakes.observer import Recorder
from tests.fakes.quota_store import FakeQuotaStore

CENT = 10_000_000
DAY = Limit("team", Measure.DAY, 3 * CENT)
EVER = EntryFilter(since=0, until=2**62)
PLAN = Plan(route=route(), price=price())


def hold_request(hold_id: str) -> HoldRequest:
    return build_hold_request(hold_id, spec(), PLAN, model(), caller(), cache_status=CacheStatus.MISS)


async def used(quotas: FakeQuotaStore) -> int:
    (standing,) = await quotas.limit_status("search", [DAY])
    return standing.used


async def booked(ledger: FakeLedger) -> list[Entry]:
    return [entry async for entry in ledger.entries(EVER)]


def paid(held: Hold, name: str) -> Entry:
    return build_entry(hold_request(name), held.admission.held_at)


async def test_what_was_sent_and_posted_is_booked() -> None:
    quotas, ledger = FakeQuotaStore(counted=True), FakeLedger()
    money = build_money(quotas, ledger)
    async with money.hold("search", [hold_request("a"), hold_request("b")], [DAY]) as held:
        await held.mark_sent()
        assert await used(quotas) == 2 * CENT
        await held.post(paid(held, "a"))
        await held.void("b")
    await money.settlement.write_outbox()
    assert [entry.hold_id for entry in await booked(ledger)] == ["a"]
    assert await used(quotas) == CENT
    assert not await quotas.read_outbox("search", 9)


@pytest.mark.parametrize("state", [HoldState.PENDING, HoldState.SENT])
@pytest.mark.parametrize("fails", [False, True])
async def test_holds_that_were_not_marked_as_sent_are_voided(state: HoldState, *, fails: bool) -> None:
    quotas, ledger = FakeQuotaStore(counted=True), FakeLedger()
    money = build_money(quotas, ledger)

    with suppress(ZeroDivisionError):
        async with money.hold("search", [hold_request("a"), hold_request("b")], [DAY], state):
            assert await used(quotas) == 2 * CENT
            if fails:
                raise ZeroDivisionError
    await money.settlement.write_outbox()

    assert (await used(quotas), await booked(ledger)) == (0, [])


async def test_what_was_sent_and_left_is_booked_when_its_lease_is_over() -> None:
    quotas, ledger, observer = FakeQuotaStore(counted=True), FakeLedger(), Recorder()
    money = build_money(quotas, ledger, observer)
    async with money.hold("search", [hold_request("a")], [DAY], HoldState.PENDING) as held:
        await held.mark_sent()
        await held.mark_sent()
    quotas.now += 61_000_000
    await money.settlement.sweep()
    (entry,) = await booked(ledger)
    assert (entry.status, entry.cost) == (EntryStatus.LOST, CENT)
    assert observer.of(HoldExpired) == [HoldExpired(team="search", booked=True)]
    assert observer.of(EntryPosted) == [EntryPosted(entry=entry)]
    assert await used(quotas) == CENT


async def test_a_call_that_goes_on_keeps_its_hold() -> None:
    quotas, ledger = FakeQuotaStore(counted=True), FakeLedger()
    money = build_money(quotas, ledger)
    async with money.hold("search", [hold_request("a")], [DAY]) as held:
        await held.mark_sent()
        for _ in range(5):
            quotas.now += 40_000_000
            await money.settlement.extend_leases()
            await money.settlement.sweep()
        await held.void("a")
    assert (await used(quotas), await booked(ledger)) == (0, [])


async def test_a_limit_without_room_holds_nothing() -> None:
    quotas = FakeQuotaStore(counted=True)
    with pytest.raises(LimitExceeded):
        async with build_money(quotas).hold("search", [hold_request(str(n)) for n in range(4)], [DAY]):
            raise AssertionError("it was admitted")
    assert await used(quotas) == 0


async def test_without_redis_no_request_is_admitted() -> None:
    quotas = FakeQuotaStore(counted=True)
    quotas.down = True
    with pytest.raises(StateUnavailable):
        async with build_money(quotas).hold("search", [hold_request("a")], [DAY]):
            raise AssertionError("it was admitted")


class Mumbling(FakeQuotaStore):
    """Does each command; while it `mumbles`, its answer is lost."""

    mumbles = False

    async def hold(
        self, team: str, hold_requests: Sequence[HoldRequest], limits: Sequence[Limit], *, state: HoldState
    ) -> Admission:
        admission = await super().hold(team, hold_requests, limits, state=state)
        if self.mumbles:
            raise StateUnavailable("The gateway's state does not answer.")
        return admission


async def test_a_hold_whose_creation_is_uncertain_is_voided_later() -> None:
    quotas = Mumbling(counted=True)
    money = build_money(quotas)
    quotas.mumbles = True
    with pytest.raises(StateUnavailable):
        async with money.hold("search", [hold_request("a")], [DAY]):
            raise AssertionError("it was admitted")
    assert await used(quotas) == CENT
    await money.settlement.extend_leases()
    assert await used(quotas) == 0


async def test_a_settlement_waits_for_the_store() -> None:
    quotas, ledger, observer = FakeQuotaStore(counted=True), FakeLedger(), Recorder()
    money = build_money(quotas, ledger, observer)
    async with money.hold("search", [hold_request("a"), hold_request("b")], [DAY]) as held:
        await held.mark_sent()
        quotas.down = True
        await held.post(paid(held, "a"))
        await held.void("b")
    assert [type(event) for event in observer.events] == [SettlementDelayed, SettlementDelayed]
    quotas.down = False
    await money.settlement.close()
    assert [entry.hold_id for entry in await booked(ledger)] == ["a"]
    assert await used(quotas) == CENT


async def test_entries_wait_for_the_books() -> None:
    quotas, ledger, observer = FakeQuotaStore(counted=True), FakeLedger(), Recorder()
    money = build_money(quotas, ledger, observer)
    ledger.down = True
    async with money.hold("search", [hold_request("a"), hold_request("b")], [DAY]) as held:
        await held.mark_sent()
        await held.post(paid(held, "a"))
        await held.post(paid(held, "b"))
    await money.settlement.write_outbox()
    await money.settlement.write_outbox()
    assert len(await quotas.read_outbox("search", 9)) == 2
    ledger.down = False
    await money.settlement.extend_leases()
    assert len(await booked(ledger)) == 2
    assert not await quotas.read_outbox("search", 9)
    observed = [event for event in observer.events if isinstance(event, LedgerOutageStarted | LedgerOutageEnded)]
    assert [type(event) for event in observed] == [LedgerOutageStarted, LedgerOutageEnded]


async def test_what_another_replica_left_behind_is_written_by_the_leader() -> None:
    quotas, ledger = FakeQuotaStore(counted=True), FakeLedger()
    gone, here = build_money(quotas, ledger), build_money(quotas, ledger)
    async with gone.hold("search", [hold_request("a")], [DAY]) as held:
        await held.mark_sent()
        await held.post(paid(held, "a"))
    await here.settlement.sweep()
    assert [entry.hold_id for entry in await booked(ledger)] == ["a"]
    await gone.settlement.write_outbox()
    assert len(await booked(ledger)) == 1


async def test_one_replica_sweeps() -> None:
    quotas, ledger = FakeQuotaStore(counted=True), FakeLedger()
    other = build_money(quotas, ledger)
    assert await quotas.acquire_leadership("another replica", 60)
    async with other.hold("search", [hold_request("a")], [DAY]) as held:
        await held.mark_sent()
        await held.post(paid(held, "a"))
    await other.settlement.sweep()
    assert not await booked(ledger)


async def test_lost_counters_are_rebuilt_before_anybody_is_admitted() -> None:
    quotas, ledger, observer = FakeQuotaStore(counted=True), FakeLedger(), Recorder()
    money = build_money(quotas, ledger, observer)
    async with money.hold("search", [hold_request("a"), hold_request("b")], [DAY]) as held:
        await held.mark_sent()
        await held.post(paid(held, "a"))
        await held.post(paid(held, "b"))
    await money.settlement.write_outbox()
    quotas.forget()
    holds = await asyncio.gather(*(enter(money, name) for name in "cdef"))
    assert sorted(holds) == [False, False, False, True]
    assert await used(quotas) == 3 * CENT
    assert CountersRebuilt(team="search") in observer.events


async def enter(money: HoldQuota, name: str) -> bool:
    try:
        async with money.hold("search", [hold_request(name)], [DAY]) as held:
            await held.mark_sent()
            return True
    except LimitExceeded:
        return False


async def test_without_the_ledger_lost_counters_admit_no_request() -> None:
    quotas, ledger = FakeQuotaStore(), FakeLedger()
    ledger.down = True
    with pytest.raises(StateUnavailable, match="the ledger does not answer"):
        async with build_money(quotas, ledger).hold("search", [hold_request("a")], [DAY]):
            raise AssertionError("it was admitted")


async def until(reached: Callable[[], Awaitable[bool]]) -> None:
    async with asyncio.timeout(10):
        while not await reached():  # noqa: ASYNC110 (fakes signal nothing)
            await asyncio.sleep(0.001)


async def test_behind_the_requests_entries_are_written_and_leases_extended() -> None:
    quotas, ledger = FakeQuotaStore(counted=True), FakeLedger()
    money = build_money(quotas, ledger, intervals=Intervals(write_seconds=0, sweep_seconds=0.002, lease_seconds=0.003))
    behind = asyncio.create_task(money.settlement.run())
    async with money.hold("search", [hold_request("a"), hold_request("b")], [DAY]) as held:
        await held.mark_sent()
        await held.post(paid(held, "a"))

        async def one_is_booked() -> bool:
            return len(await booked(ledger)) == 1

        await until(one_is_booked)
        ledger.down = quotas.down = True
        await asyncio.sleep(0.01)
        ledger.down = quotas.down = False
        await held.post(paid(held, "b"))

        async def both_are_booked() -> bool:
            return len(await booked(ledger)) == 2

        await until(both_are_booked)
    behind.cancel()
    with pytest.raises(asyncio.CancelledError):
        await behind


async def test_entries_that_are_in_the_books_leave_the_queue_when_the_store_is_back() -> None:
    quotas, ledger = FakeQuotaStore(counted=True), FakeLedger()
    money = build_money(quotas, ledger)
    async with money.hold("search", [hold_request("a")], [DAY]) as held:
        await held.mark_sent()
        await held.post(paid(held, "a"))
    quotas.down = True
    await money.settlement.write_outbox()
    quotas.down = False
    assert len(await booked(ledger)) == 1
    assert len(await quotas.read_outbox("search", 9)) == 1
    await money.settlement.sweep()
    assert not await quotas.read_outbox("search", 9)


async def test_a_queue_in_memory_has_an_end(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(settlement, "MAX_IN_MEMORY", 0)
    quotas, ledger = FakeQuotaStore(counted=True), FakeLedger()
    money = build_money(quotas, ledger)
    async with money.hold("search", [hold_request("a")], [DAY]) as held:
        await held.mark_sent()
        await held.post(paid(held, "a"))
    await money.settlement.write_outbox()
    assert not await booked(ledger)
    await money.settlement.sweep()
    assert len(await booked(ledger)) == 1


class Forgetful(FakeQuotaStore):
    """Loses its counters again and again."""

    async def rebuild(self, team: str, snapshot: CounterSnapshot, spent: Spent, settled: Collection[str]) -> bool:
        done = await super().rebuild(team, snapshot, spent, settled)
        self.restart()
        return done


async def test_a_store_that_loses_its_counters_again_admits_no_request() -> None:
    with pytest.raises(StateUnavailable, match="being rebuilt"):
        async with build_money(Forgetful()).hold("search", [hold_request("a")], [DAY]):
            raise AssertionError("it was admitted")


class Restless(FakeQuotaStore):
    """Is posted to at every moment."""

    async def rebuild(self, *_: object) -> bool:
        return False


async def test_a_rebuild_that_never_succeeds_is_given_up() -> None:
    with pytest.raises(StateUnavailable, match="being rebuilt"):
        async with build_money(Restless()).hold("search", [hold_request("a")], [DAY]):
            raise AssertionError("it was admitted")


class Slow(FakeLedger):
    """Waits with every batch until the test opens the next gate."""

    def __init__(self) -> None:
        super().__init__()
        self.gates = [asyncio.Event(), asyncio.Event(), asyncio.Event()]
        self.batches = 0

    async def write(self, entries: Sequence[Entry]) -> None:
        self.batches += 1
        await self.gates[self.batches - 1].wait()
        await super().write(entries)


async def test_two_who_write_at_once_lose_nothing() -> None:
    quotas, ledger = FakeQuotaStore(counted=True), Slow()
    money = build_money(quotas, ledger)
    async with money.hold("search", [hold_request("a"), hold_request("b")], [DAY]) as held:
        await held.mark_sent()
        await held.post(paid(held, "a"))
        first, second = (asyncio.create_task(money.settlement.write_outbox()) for _ in range(2))
        await asyncio.sleep(0)
        ledger.gates[0].set()
        await first
        await held.post(paid(held, "b"))
        quotas.forget()
        for gate in ledger.gates:
            gate.set()
        await second
        await money.settlement.write_outbox()
    assert {entry.hold_id for entry in await booked(ledger)} == {"a", "b"}


async def test_what_is_owed_stays_owed_until_the_store_is_back() -> None:
    quotas, ledger = FakeQuotaStore(counted=True), FakeLedger()
    money = build_money(quotas, ledger)
    async with money.hold("search", [hold_request("a"), hold_request("b")], [DAY]) as held:
        await held.mark_sent()
        quotas.down = True
        await held.post(paid(held, "a"))
        await held.void("b")
    await money.settlement.retry_settlements()
    with pytest.raises(StateUnavailable, match="could not be settled"):
        await money.settlement.publish_team_state("search")
    quotas.down = False
    await money.settlement.retry_settlements()
    await money.settlement.publish_team_state("search")
    assert [entry.hold_id for entry in await booked(ledger)] == ["a"]
    assert await used(quotas) == CENT


async def test_a_report_without_the_books_is_none() -> None:
    quotas, ledger = FakeQuotaStore(counted=True), FakeLedger()
    money = build_money(quotas, ledger)
    async with money.hold("search", [hold_request("a")], [DAY]) as held:
        await held.mark_sent()
        await held.post(paid(held, "a"))
    ledger.down = True
    with pytest.raises(LedgerUnavailable):
        await money.settlement.publish_team_state("search")
    ledger.down = False
    await money.settlement.publish_team_state("search")
    assert [entry.hold_id for entry in await booked(ledger)] == ["a"]


async def test_counters_that_were_rebuilt_meanwhile_are_not_rebuilt_again() -> None:
    quotas, observer = FakeQuotaStore(), Recorder()
    money = build_money(quotas, FakeLedger(), observer)
    await money.rebuild("search", seen_rebuilds=0)
    await money.rebuild("search", seen_rebuilds=0)
    assert observer.of(CountersRebuilt) == [CountersRebuilt(team="search")]
