"""What goes on behind the requests is done in parts, however much of it there is."""

from collections.abc import Sequence

from service.domain.booking import claim
from service.domain.ledger import Claim, HoldState, Source
from service.domain.routing import Plan
from service.usecases.in_turn import MOST, in_turn
from service.usecases.keep_books import MOST_EXTENDED, KeepBooks, Pace
from tests.fakes.books import FakeBooks
from tests.fakes.builders import caller, model, price, route, spec
from tests.fakes.ledger import FakeLedger
from tests.fakes.observer import Recorder

PLAN = Plan(route=route(), price=price())
HOLDS = 2 * MOST_EXTENDED + 1


async def test_many_open_holds_are_renewed_in_several_calls_and_none_is_left_out() -> None:
    renewed: list[list[str]] = []

    class Ledger(FakeLedger):
        async def extend(self, team: str, claims: Sequence[Claim]) -> None:
            renewed.append([each.hold_id for each in claims])
            await super().extend(team, claims)

    keep = KeepBooks(
        ledger=Ledger(counted=True), books=FakeBooks(), observe=Recorder(), owner="me", pace=Pace(sweep=3600)
    )
    names = [f"h{number}" for number in range(HOLDS)]
    keep.watch([claim(name, spec(), PLAN, model(), caller(), source=Source.MISS) for name in names], held_at=1)
    await keep.extend()
    assert [len(together) for together in renewed] == [MOST_EXTENDED, MOST_EXTENDED, 1]
    assert sorted(name for together in renewed for name in together) == sorted(names)


async def test_of_very_many_teams_some_are_swept_in_each_round_and_all_in_the_end() -> None:
    swept: list[str] = []

    class Ledger(FakeLedger):
        async def sweep(self, team: str) -> Sequence[HoldState]:
            swept.append(team)
            return await super().sweep(team)

    names = [f"team-{number:03}" for number in range(MOST + 2)]
    ledger = Ledger(counted=True)
    await ledger.announce(names)
    keep = KeepBooks(ledger=ledger, books=FakeBooks(), observe=Recorder(), owner="me", pace=Pace())
    await keep.sweep()
    assert swept == names[:MOST]
    await keep.sweep()
    assert swept[MOST:] == [*names[MOST:], *names[: MOST - 2]]


def test_who_is_gone_does_not_hold_up_the_round() -> None:
    assert in_turn(["a", "c", "d"], "b", 2) == ["c", "d"]
    assert in_turn({"d", "a"}, "d", 5) == ["a", "d"]
    assert in_turn([], "b") == []
