"""The rounds behind the requests work in batches of bounded size."""

from collections.abc import Sequence

from service.domain.booking import build_hold_request
from service.domain.ledger import CacheStatus, HoldRequest, HoldState
from service.domain.routing import Plan
from service.usecases.background.round_robin import BATCH_SIZE, next_batch
from service.usecases.money.settlement import MAX_EXTENDED, Intervals, Settlement
from tests.fakes.builders import caller, model, price, route, spec
from tests.fakes.ledger import FakeLedger
from tests.fakes.observer import Recorder
from tests.fakes.quota_store import FakeQuotaStore

PLAN = Plan(route=route(), price=price())
HOLDS = 2 * MAX_EXTENDED + 1


async def test_many_open_holds_are_renewed_in_several_calls_and_none_is_left_out() -> None:
    renewed: list[list[str]] = []

    class Ledger(FakeQuotaStore):
        async def extend(self, team: str, hold_requests: Sequence[HoldRequest]) -> None:
            renewed.append([item.hold_id for item in hold_requests])
            await super().extend(team, hold_requests)

    keep = Settlement(
        quotas=Ledger(counted=True),
        ledger=FakeLedger(),
        observer=Recorder(),
        owner="me",
        intervals=Intervals(sweep_seconds=3600),
    )
    names = [f"h{number}" for number in range(HOLDS)]
    keep.track(
        [build_hold_request(name, spec(), PLAN, model(), caller(), cache_status=CacheStatus.MISS) for name in names],
        held_at=1,
    )
    await keep.extend_leases()
    assert [len(together) for together in renewed] == [MAX_EXTENDED, MAX_EXTENDED, 1]
    assert sorted(name for together in renewed for name in together) == sorted(names)


async def test_of_very_many_teams_some_are_swept_in_each_round_and_all_in_the_end() -> None:
    swept: list[str] = []

    class Ledger(FakeQuotaStore):
        async def sweep(self, team: str) -> Sequence[HoldState]:
            swept.append(team)
            return await super().sweep(team)

    names = [f"team-{number:03}" for number in range(BATCH_SIZE + 2)]
    ledger = Ledger(counted=True)
    await ledger.register_teams(names)
    keep = Settlement(quotas=ledger, ledger=FakeLedger(), observer=Recorder(), owner="me", intervals=Intervals())
    await keep.sweep()
    assert swept == names[:BATCH_SIZE]
    await keep.sweep()
    assert swept[BATCH_SIZE:] == [*names[BATCH_SIZE:], *names[: BATCH_SIZE - 2]]


def test_who_is_gone_does_not_hold_up_the_round() -> None:
    assert next_batch(["a", "c", "d"], "b", 2) == ["c", "d"]
    assert next_batch({"d", "a"}, "d", 5) == ["a", "d"]
    assert next_batch([], "b") == []
