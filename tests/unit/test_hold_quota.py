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


async def used(ledger: FakeQuotaStore) -> int:
    (standing,) = await ledger.limit_status("search", [DAY])
    return standing.used


async def booked(sql_ledger: FakeLedger) -> list[Entry]:
    return [entry async for entry in sql_ledger.entries(EVER)]


def paid(held: Hold, name: str) -> Entry:
    return build_entry(hold_request(name), held.admission.held_at)


async def test_what_was_sent_and_posted_is_booked() -> None:
    ledger, sql_ledger = FakeQuotaStore(counted=True), FakeLedger()
    money = build_money(ledger, sql_ledger)
    async with money.hold("search", [hold_request("a"), hold_request("b")], [DAY]) as held:
        await held.mark_sent()
        assert await used(ledger) == 2 * CENT
        await held.post(paid(held, "a"))
        await held.void("b")
    await money.settlement.write_outbox()
    assert [entry.hold_id for entry in await booked(sql_ledger)] == ["a"]
    assert await used(ledger) == CENT
    assert not await ledger.read_outbox("search", 9)


@pytest.mark.parametrize("state", [HoldState.PENDING, HoldState.SENT])
@pytest.mark.parametrize("fails", [False, True])
async def test_holds_that_were_not_marked_as_sent_are_voided(state: HoldState, *, fails: bool) -> None:
    ledger, sql_ledger = FakeQuotaStore(counted=True), FakeLedger()
    money = build_money(ledger, sql_ledger)

    with suppress(ZeroDivisionError):
        async with money.hold("search", [hold_request("a"), hold_request("b")], [DAY], state):
            assert await used(ledger) == 2 * CENT
            if fails:
                raise ZeroDivisionError
    await money.settlement.write_outbox()

    assert (await used(ledger), await booked(sql_ledger)) == (0, [])


async def test_what_was_sent_and_left_is_booked_when_its_lease_is_over() -> None:
    ledger, sql_ledger, observer = FakeQuotaStore(counted=True), FakeLedger(), Recorder()
    money = build_money(ledger, sql_ledger, observer)
    async with money.hold("search", [hold_request("a")], [DAY], HoldState.PENDING) as held:
        await held.mark_sent()
        await held.mark_sent()
    ledger.now += 61_000_000
    await money.settlement.sweep()
    (entry,) = await booked(sql_ledger)
    assert (entry.status, entry.cost) == (EntryStatus.LOST, CENT)
    assert observer.of(HoldExpired) == [HoldExpired(team="search", booked=True)]
    assert observer.of(EntryPosted) == [EntryPosted(entry=entry)]
    assert await used(ledger) == CENT


async def test_a_call_that_goes_on_keeps_its_hold() -> None:
    ledger, sql_ledger = FakeQuotaStore(counted=True), FakeLedger()
    money = build_money(ledger, sql_ledger)
    async with money.hold("search", [hold_request("a")], [DAY]) as held:
        await held.mark_sent()
        for _ in range(5):
            ledger.now += 40_000_000
            await money.settlement.extend_leases()
            await money.settlement.sweep()
        await held.void("a")
    assert (await used(ledger), await booked(sql_ledger)) == (0, [])


async def test_a_limit_without_room_holds_nothing() -> None:
    ledger = FakeQuotaStore(counted=True)
    with pytest.raises(LimitExceeded):
        async with build_money(ledger).hold("search", [hold_request(str(n)) for n in range(4)], [DAY]):
            raise AssertionError("it was admitted")
    assert await used(ledger) == 0


async def test_a_store_that_is_away_admits_nobody() -> None:
    ledger = FakeQuotaStore(counted=True)
    ledger.down = True
    with pytest.raises(StateUnavailable):
        async with build_money(ledger).hold("search", [hold_request("a")], [DAY]):
            raise AssertionError("it was admitted")


class Mumbling(FakeQuotaStore):
    """Does what it is asked; while it `mumbles`, nobody hears that it did."""

    mumbles = False

    async def hold(
        self, team: str, hold_requests: Sequence[HoldRequest], limits: Sequence[Limit], *, state: HoldState
    ) -> Admission:
        admission = await super().hold(team, hold_requests, limits, state=state)
        if self.mumbles:
            raise StateUnavailable("The gateway's state does not answer.")
        return admission


async def test_a_hold_of_which_nobody_knows_whether_it_was_made_is_voided_later() -> None:
    ledger = Mumbling(counted=True)
    money = build_money(ledger)
    ledger.mumbles = True
    with pytest.raises(StateUnavailable):
        async with money.hold("search", [hold_request("a")], [DAY]):
            raise AssertionError("it was admitted")
    assert await used(ledger) == CENT
    await money.settlement.extend_leases()
    assert await used(ledger) == 0


async def test_a_settlement_waits_for_the_store() -> None:
    ledger, sql_ledger, observer = FakeQuotaStore(counted=True), FakeLedger(), Recorder()
    money = build_money(ledger, sql_ledger, observer)
    async with money.hold("search", [hold_request("a"), hold_request("b")], [DAY]) as held:
        await held.mark_sent()
        ledger.down = True
        await held.post(paid(held, "a"))
        await held.void("b")
    assert [type(event) for event in observer.events] == [SettlementDelayed, SettlementDelayed]
    ledger.down = False
    await money.settlement.close()
    assert [entry.hold_id for entry in await booked(sql_ledger)] == ["a"]
    assert await used(ledger) == CENT


async def test_entries_wait_for_the_books() -> None:
    ledger, sql_ledger, observer = FakeQuotaStore(counted=True), FakeLedger(), Recorder()
    money = build_money(ledger, sql_ledger, observer)
    sql_ledger.down = True
    async with money.hold("search", [hold_request("a"), hold_request("b")], [DAY]) as held:
        await held.mark_sent()
        await held.post(paid(held, "a"))
        await held.post(paid(held, "b"))
    await money.settlement.write_outbox()
    await money.settlement.write_outbox()
    assert len(await ledger.read_outbox("search", 9)) == 2
    sql_ledger.down = False
    await money.settlement.extend_leases()
    assert len(await booked(sql_ledger)) == 2
    assert not await ledger.read_outbox("search", 9)
    observed = [event for event in observer.events if isinstance(event, LedgerOutageStarted | LedgerOutageEnded)]
    assert [type(event) for event in observed] == [LedgerOutageStarted, LedgerOutageEnded]


async def test_what_another_replica_left_behind_is_written_by_the_leader() -> None:
    ledger, sql_ledger = FakeQuotaStore(counted=True), FakeLedger()
    gone, here = build_money(ledger, sql_ledger), build_money(ledger, sql_ledger)
    async with gone.hold("search", [hold_request("a")], [DAY]) as held:
        await held.mark_sent()
        await held.post(paid(held, "a"))
    await here.settlement.sweep()
    assert [entry.hold_id for entry in await booked(sql_ledger)] == ["a"]
    await gone.settlement.write_outbox()
    assert len(await booked(sql_ledger)) == 1


async def test_one_replica_sweeps() -> None:
    ledger, sql_ledger = FakeQuotaStore(counted=True), FakeLedger()
    other = build_money(ledger, sql_ledger)
    assert await ledger.acquire_leadership("somebody else", 60)
    async with other.hold("search", [hold_request("a")], [DAY]) as held:
        await held.mark_sent()
        await held.post(paid(held, "a"))
    await other.settlement.sweep()
    assert not await booked(sql_ledger)


async def test_lost_counters_are_rebuilt_before_anybody_is_admitted() -> None:
    ledger, sql_ledger, observer = FakeQuotaStore(counted=True), FakeLedger(), Recorder()
    money = build_money(ledger, sql_ledger, observer)
    async with money.hold("search", [hold_request("a"), hold_request("b")], [DAY]) as held:
        await held.mark_sent()
        await held.post(paid(held, "a"))
        await held.post(paid(held, "b"))
    await money.settlement.write_outbox()
    ledger.forget()
    holds = await asyncio.gather(*(enter(money, name) for name in "cdef"))
    assert sorted(holds) == [False, False, False, True]
    assert await used(ledger) == 3 * CENT
    assert CountersRebuilt(team="search") in observer.events


async def enter(money: HoldQuota, name: str) -> bool:
    try:
        async with money.hold("search", [hold_request(name)], [DAY]) as held:
            await held.mark_sent()
            return True
    except LimitExceeded:
        return False


async def test_without_the_books_lost_counters_admit_nobody() -> None:
    ledger, sql_ledger = FakeQuotaStore(), FakeLedger()
    sql_ledger.down = True
    with pytest.raises(StateUnavailable, match="the ledger does not answer"):
        async with build_money(ledger, sql_ledger).hold("search", [hold_request("a")], [DAY]):
            raise AssertionError("it was admitted")


async def until(reached: Callable[[], Awaitable[bool]]) -> None:
    async with asyncio.timeout(10):
        while not await reached():  # noqa: ASYNC110 (fakes tell nobody)
            await asyncio.sleep(0.001)


async def test_behind_the_requests_entries_are_written_and_leases_extended() -> None:
    ledger, sql_ledger = FakeQuotaStore(counted=True), FakeLedger()
    money = build_money(
        ledger, sql_ledger, intervals=Intervals(write_seconds=0.0, sweep_seconds=0.002, lease_seconds=0.003)
    )
    behind = asyncio.create_task(money.settlement.run())
    async with money.hold("search", [hold_request("a"), hold_request("b")], [DAY]) as held:
        await held.mark_sent()
        await held.post(paid(held, "a"))

        async def one_is_booked() -> bool:
            return len(await booked(sql_ledger)) == 1

        await until(one_is_booked)
        sql_ledger.down = ledger.down = True
        await asyncio.sleep(0.01)
        sql_ledger.down = ledger.down = False
        await held.post(paid(held, "b"))

        async def both_are_booked() -> bool:
            return len(await booked(sql_ledger)) == 2

        await until(both_are_booked)
    behind.cancel()
    with pytest.raises(asyncio.CancelledError):
        await behind


async def test_entries_that_are_in_the_books_leave_the_queue_when_the_store_is_back() -> None:
    ledger, sql_ledger = FakeQuotaStore(counted=True), FakeLedger()
    money = build_money(ledger, sql_ledger)
    async with money.hold("search", [hold_request("a")], [DAY]) as held:
        await held.mark_sent()
        await held.post(paid(held, "a"))
    ledger.down = True
    await money.settlement.write_outbox()
    ledger.down = False
    assert len(await booked(sql_ledger)) == 1
    assert len(await ledger.read_outbox("search", 9)) == 1
    await money.settlement.sweep()
    assert not await ledger.read_outbox("search", 9)


async def test_a_queue_in_memory_has_an_end(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(settlement, "MAX_IN_MEMORY", 0)
    ledger, sql_ledger = FakeQuotaStore(counted=True), FakeLedger()
    money = build_money(ledger, sql_ledger)
    async with money.hold("search", [hold_request("a")], [DAY]) as held:
        await held.mark_sent()
        await held.post(paid(held, "a"))
    await money.settlement.write_outbox()
    assert not await booked(sql_ledger)
    await money.settlement.sweep()
    assert len(await booked(sql_ledger)) == 1


class Forgetful(FakeQuotaStore):
    """Loses its counters again and again."""

    async def rebuild(self, team: str, snapshot: CounterSnapshot, spent: Spent, settled: Collection[str]) -> bool:
        done = await super().rebuild(team, snapshot, spent, settled)
        self.restart()
        return done


async def test_a_store_that_loses_its_counters_again_admits_nobody() -> None:
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
    """Takes its time over every batch: until somebody opens the next gate."""

    def __init__(self) -> None:
        super().__init__()
        self.gates = [asyncio.Event(), asyncio.Event(), asyncio.Event()]
        self.batches = 0

    async def write(self, entries: Sequence[Entry]) -> None:
        self.batches += 1
        await self.gates[self.batches - 1].wait()
        await super().write(entries)


async def test_two_who_write_at_once_lose_nothing() -> None:
    ledger, sql_ledger = FakeQuotaStore(counted=True), Slow()
    money = build_money(ledger, sql_ledger)
    async with money.hold("search", [hold_request("a"), hold_request("b")], [DAY]) as held:
        await held.mark_sent()
        await held.post(paid(held, "a"))
        first, second = (asyncio.create_task(money.settlement.write_outbox()) for _ in range(2))
        await asyncio.sleep(0)
        sql_ledger.gates[0].set()
        await first
        await held.post(paid(held, "b"))
        ledger.forget()
        for gate in sql_ledger.gates:
            gate.set()
        await second
        await money.settlement.write_outbox()
    assert {entry.hold_id for entry in await booked(sql_ledger)} == {"a", "b"}


async def test_what_is_owed_stays_owed_until_the_store_is_back() -> None:
    ledger, sql_ledger = FakeQuotaStore(counted=True), FakeLedger()
    money = build_money(ledger, sql_ledger)
    async with money.hold("search", [hold_request("a"), hold_request("b")], [DAY]) as held:
        await held.mark_sent()
        ledger.down = True
        await held.post(paid(held, "a"))
        await held.void("b")
    await money.settlement.retry_settlements()
    with pytest.raises(StateUnavailable, match="could not be settled"):
        await money.settlement.publish_team_state("search")
    ledger.down = False
    await money.settlement.retry_settlements()
    await money.settlement.publish_team_state("search")
    assert [entry.hold_id for entry in await booked(sql_ledger)] == ["a"]
    assert await used(ledger) == CENT


async def test_a_report_without_the_books_is_none() -> None:
    ledger, sql_ledger = FakeQuotaStore(counted=True), FakeLedger()
    money = build_money(ledger, sql_ledger)
    async with money.hold("search", [hold_request("a")], [DAY]) as held:
        await held.mark_sent()
        await held.post(paid(held, "a"))
    sql_ledger.down = True
    with pytest.raises(LedgerUnavailable):
        await money.settlement.publish_team_state("search")
    sql_ledger.down = False
    await money.settlement.publish_team_state("search")
    assert [entry.hold_id for entry in await booked(sql_ledger)] == ["a"]


async def test_counters_that_were_rebuilt_meanwhile_are_not_rebuilt_again() -> None:
    ledger, observer = FakeQuotaStore(), Recorder()
    money = build_money(ledger, FakeLedger(), observer)
    await money.rebuild("search", seen_rebuilds=0)
    await money.rebuild("search", seen_rebuilds=0)
    assert observer.of(CountersRebuilt) == [CountersRebuilt(team="search")]
