"""How limits stand: told as the counters have it, and rebuilt first where they are not those of the books."""

import pytest

from service.domain.errors import StateUnavailable
from service.domain.ledger import HoldState
from service.domain.quota_limits import TEAM, Limit, Measure
from service.usecases.money.read_limits import ReadLimits
from tests.fakes.builders import build_money
from tests.fakes.quota_store import FakeQuotaStore

A_DOLLAR = Limit(TEAM, Measure.DAY, 1_000_000_000)


async def test_limits_stand_as_the_counters_have_it() -> None:
    ledger = FakeQuotaStore(counted=True)
    await ledger.hold("search", [], [A_DOLLAR], state=HoldState.SENT)

    (standing,) = await ReadLimits(quotas=ledger, rebuild=build_money(ledger).rebuild)("search", [A_DOLLAR])

    assert (standing.limit, standing.used, standing.remaining) == (A_DOLLAR, 0, 1_000_000_000)


async def test_counters_that_were_lost_are_rebuilt_first() -> None:
    ledger = FakeQuotaStore()

    (standing,) = await ReadLimits(quotas=ledger, rebuild=build_money(ledger).rebuild)("search", [A_DOLLAR])

    assert standing.used == 0


async def test_counters_that_stay_lost_are_not_told() -> None:
    async def in_vain(team: str) -> None:
        assert team == "search"

    with pytest.raises(StateUnavailable):
        await ReadLimits(quotas=FakeQuotaStore(), rebuild=in_vain)("search", [A_DOLLAR])


async def test_who_has_no_limits_is_answered_without_asking() -> None:
    ledger = FakeQuotaStore()
    ledger.down = True

    assert await ReadLimits(quotas=ledger, rebuild=build_money(ledger).rebuild)("search", []) == ()
