"""The port of flights: in memory, on one server, and on a cluster."""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from service.adapters.redis.flights import RedisFlights
from service.domain.errors import Failure, FailureKind, StateUnavailable
from service.domain.generation import Generation
from service.usecases.ports.flights import FlightResult, Flights, FlightStatus, Role
from tests.fakes.flights import FakeFlights
from tests.support.cluster import CLUSTER
from tests.support.flying import BROUGHT, LANDED, LEASE, OVER, Airport, a_series, airport_on
from tests.support.keeping import PIXELS, picture, result
from tests.support.profiles import examples

LEAD, WAIT, _, LOST = (FlightStatus(seat=seat) for seat in Role)
BLOCKED = Failure(
    kind=FailureKind.MODERATION_BLOCKED,
    message="Refusé: “no” 🦊",
    code="moderation_blocked",
    param="prompt",
    retry_after=0.1 + 0.2,
    moderation_details={"stage": "input", "scores": [0.25, 1, None], "flags": {"violence": True}},
)
FAILURES = [BLOCKED, *(Failure(kind=kind, message=kind.value) for kind in FailureKind)]
RACERS, REPLICAS = 64, 4


@pytest.fixture(params=["fake", "server", CLUSTER])
async def airport(request: pytest.FixtureRequest) -> AsyncIterator[Airport]:
    url = {"fake": "", "server": "redis_url", "cluster": "cluster_url"}[request.param]
    async with airport_on(request.param, request.getfixturevalue(url) if url else "") as airport:
        yield airport


async def test_the_first_leads_and_the_others_wait(airport: Airport) -> None:
    assert await airport.board("one") == LEAD
    assert await airport.board("two") == WAIT
    assert await airport.board("one") == LEAD
    assert await replace(airport, flight="f2").board("two") == LEAD
    assert await replace(airport, team=f"{airport.team}-2").board("two") == LEAD
    assert await replace(airport, team="_shared", flight=airport.team).board("two") == LEAD


async def test_of_many_at_once_on_several_replicas_one_leads(airport: Airport) -> None:
    leases = [LEASE + number % REPLICAS for number in range(RACERS)]
    seats = await asyncio.gather(*(airport.board(f"owner-{number}", lease) for number, lease in enumerate(leases)))
    assert Counter(each.seat for each in seats) == {Role.LEAD: 1, Role.WAIT: RACERS - 1}


async def test_of_many_who_find_the_leader_gone_one_leads(airport: Airport) -> None:
    await airport.board("gone", OVER)
    seats = await asyncio.gather(*(airport.board(f"owner-{number}") for number in range(RACERS)))
    assert Counter(each.seat for each in seats) == {Role.LEAD: 1, Role.WAIT: RACERS - 1}


async def test_a_flight_that_was_sent_is_led_by_nobody_else(airport: Airport) -> None:
    await airport.board("one")
    for _ in range(2):
        await airport.sent("one")
        assert await airport.board("two") == WAIT
        assert await airport.board("one") == LEAD


@pytest.mark.parametrize("failure", [None, *FAILURES])
async def test_a_landing_is_told_to_everybody(airport: Airport, failure: Failure | None) -> None:
    await airport.board("one")
    await airport.sent("one")
    for _ in range(2):
        await airport.land("one", failure)
    for owner in ("one", "two"):
        told = FlightStatus(seat=Role.LANDED, failure=failure) if failure else LANDED
        assert await airport.board(owner) == told


async def test_a_landing_is_the_end(airport: Airport) -> None:
    await airport.board("one")
    await airport.land("one", BLOCKED)
    await airport.extend("one", OVER)
    await airport.leave("one")
    await airport.land("two")
    with pytest.raises(StateUnavailable, match="not led"):
        await airport.sent("one")
    assert await airport.board("two") == FlightStatus(seat=Role.LANDED, failure=BLOCKED)
    await airport.land("one")
    assert await airport.board("two") == LANDED


async def test_a_landing_is_told_longer_to_who_asks_again(airport: Airport) -> None:
    await airport.board("one")
    await airport.land("one", BLOCKED, 0, again_seconds=60)
    assert await airport.board("two", again=True) == FlightStatus(seat=Role.LANDED, failure=BLOCKED)
    assert await airport.board("two") == LEAD
    assert await airport.board("three", again=True) == WAIT
    await airport.land("two", seconds=0, again_seconds=60)
    assert await airport.board("three", again=True) == LANDED


async def test_a_landing_is_not_told_to_who_wants_something_new(airport: Airport) -> None:
    await airport.board("one")
    await airport.land("one", BLOCKED)
    assert await airport.board("two", new=True) == LEAD
    assert await airport.board("three", new=True) == WAIT


async def test_a_remembered_failure_is_told_instead_of_leading(airport: Airport) -> None:
    assert await airport.recall("search-1 a fox") is None
    await airport.remember("search-1 a fox", BLOCKED)
    assert await airport.recall("search-1 a fox") == BLOCKED
    assert await airport.board("one", mark="a", failure="search-1 a fox") == FlightStatus(
        seat=Role.LANDED, mark="a", failure=BLOCKED
    )
    assert await airport.board("one", failure="search-2 a fox") == LEAD
    assert await airport.board("one", failure="search-1 a fox") == LEAD
    assert await airport.board("two", failure="search-1 a fox") == WAIT
    assert await replace(airport, team=f"{airport.team}-2").recall("search-1 a fox") is None
    await airport.remember("search-1 a fox", BLOCKED, 0)
    assert await airport.recall("search-1 a fox") is None


async def test_requests_side_by_side_are_dealt_ten_numbers_and_then_the_first_again(airport: Airport) -> None:
    assert [await airport.deal() for _ in range(12)] == [*range(10), 0, 1]
    assert await airport.deal(name="search-2 a fox") == 0


async def test_numbers_of_what_was_bought_are_dealt_again(airport: Airport) -> None:
    assert [await airport.deal() for _ in range(4)] == [0, 1, 2, 3]
    for number in range(4):
        await airport.fly(number)
    for _ in range(3):
        assert [await airport.deal() for _ in range(4)] == [0, 1, 2, 3]
    assert await airport.deal(busy=True) == 4


async def test_requests_one_after_the_other_are_the_plain_one(airport: Airport) -> None:
    assert await airport.deal() == 0
    await airport.fly(0)
    assert [await airport.deal() for _ in range(3)] == [0, 0, 0]


async def test_a_number_is_new_only_while_another_is_under_way(airport: Airport) -> None:
    assert await airport.deal() == 0
    await replace(airport, flight="n0").board("one")
    assert await airport.deal() == 1
    await airport.fly(1)
    assert await airport.deal() == 2
    await airport.fly(2)
    await replace(airport, flight="n0").land("one")
    assert await airport.deal() == 0


async def test_what_others_bought_before_is_no_purchase_that_begins(airport: Airport) -> None:
    await airport.fly(0)
    assert [await airport.deal() for _ in range(2)] == [0, 0]


async def test_a_number_on_offer_is_dealt_first(airport: Airport) -> None:
    for _ in range(4):
        await airport.deal()
    await airport.offer(2)
    await airport.offer(1)
    assert [await airport.deal() for _ in range(3)] == [1, 2, 4]


async def test_the_only_number_of_a_series_needs_no_offer(airport: Airport) -> None:
    await airport.offer(0)
    assert await airport.deal() == 0
    await airport.offer(0)
    assert await airport.deal() == 0
    assert await airport.deal() == 1


async def test_a_number_in_doubt_is_dealt_until_that_is_known(airport: Airport) -> None:
    for _ in range(3):
        await airport.deal()
    doubtful = replace(airport, flight="n1")
    await doubtful.board("one")
    await doubtful.sent("one", OVER)
    assert [await airport.deal() for _ in range(2)] == [1, 1]
    await doubtful.land("one")
    assert await airport.deal() == 3


async def test_who_asks_again_is_dealt_one_that_was_dealt(airport: Airport) -> None:
    assert await airport.deal(again=True) == 0
    assert await airport.deal() == 1
    assert [await airport.deal(again=True) for _ in range(3)] == [0, 1, 0]
    await airport.offer(1)
    assert await airport.deal(again=True) == 1


async def test_a_failure_of_a_series_is_told_instead_of_a_number(airport: Airport) -> None:
    await airport.remember("search-1 fails", BLOCKED)
    assert await airport.deal(failure="search-1 fails") == BLOCKED
    assert await airport.deal(failure="search-2 fails") == 0
    assert await airport.deal() == 1


async def test_a_series_is_forgotten(airport: Airport) -> None:
    assert [await airport.deal(seconds=60), await airport.deal(seconds=0)] == [0, 1]
    assert await airport.deal() == 0


async def test_of_landings_that_cost_nothing_a_team_has_the_last_ones(airport: Airport) -> None:
    await airport.board("one")
    await airport.land("one")
    for number in range(258):
        flight = replace(airport, flight=f"free-{number}")
        await flight.board("one", mark=str(number))
        await flight.land("one", free=True)
    assert await airport.board("two") == LANDED
    assert await replace(airport, flight="free-0").board("two") == LEAD
    assert await replace(airport, flight="free-1").board("two") == LEAD
    for number in (2, 257):
        kept = replace(LANDED, mark=str(number), free=True)
        assert await replace(airport, flight=f"free-{number}").board("two") == kept


async def test_a_landing_that_was_paid_for_since_is_not_forgotten(airport: Airport) -> None:
    await airport.board("one")
    await airport.land("one", free=True, seconds=0, again_seconds=60)
    await airport.board("two")
    await airport.land("two", seconds=60)
    for number in range(256):
        flight = replace(airport, flight=f"free-{number}")
        await flight.board("one")
        await flight.land("one", free=True)
    assert await airport.board("three") == LANDED


async def test_a_result_is_handed_over_to_those_who_wait(airport: Airport) -> None:
    await airport.board("one")
    for owner in ("two", "three"):
        assert await airport.board(owner) == WAIT
        assert await airport.board(owner, first_look=False) == WAIT
    assert not await airport.hand_over("two")
    assert await airport.hand_over("one")
    await airport.land("one", handed=True)
    assert await airport.board("two", first_look=False) == replace(LANDED, handed=True)
    assert await airport.take_over(waited=False) == BROUGHT
    for _ in range(2):
        assert await airport.take_over() == BROUGHT
    assert await airport.take_over(waited=False) is None


async def test_nothing_is_handed_over_where_nobody_waits(airport: Airport) -> None:
    await airport.board("one")
    assert not await airport.hand_over("one")
    await airport.land("one")
    assert await airport.board("two") == LANDED
    assert await airport.take_over() is None


async def test_a_result_of_many_pieces_is_handed_over_whole(airport: Airport) -> None:
    pixels = PIXELS * 600  # more than two pieces
    large = result(purchase=Generation(pictures=(picture(pixels), picture(pixels[::-1]))))
    await airport.board("one")
    await airport.board("two")
    assert await airport.hand_over("one", large)
    await airport.land("one", result=large, handed=True)
    assert await airport.take_over() == large


async def test_a_flight_bears_the_mark_of_who_leads_it(airport: Airport) -> None:
    assert await airport.board("one", mark="a") == replace(LEAD, mark="a")
    assert await airport.board("one", mark="b") == replace(LEAD, mark="a")
    assert await airport.board("two", mark="b") == replace(WAIT, mark="a")
    await airport.sent("one")
    await airport.land("one")
    assert await airport.board("two", mark="b") == replace(LANDED, mark="a")
    await airport.land("one", seconds=0, again_seconds=60)
    assert await airport.board("two", OVER, mark="b") == replace(LEAD, mark="b")
    await airport.sent("two", OVER)
    assert await airport.board("one", mark="c") == replace(LOST, mark="b")


async def test_a_lost_flight_is_led_again_where_the_operator_wants_it(airport: Airport) -> None:
    await airport.board("one")
    await airport.sent("one", OVER)
    daring = airport.sky.daring()
    assert await daring.board(airport.team, airport.flight, "two") == LEAD
    assert await daring.board(airport.team, airport.flight, "three") == WAIT


async def test_a_wish_that_is_made_again_goes_by_the_flight_that_was_named_last(airport: Airport) -> None:
    assert await airport.follow("f1", again=True) == "f1"
    assert await airport.follow("f2", again=False) == "f2"
    assert [await airport.follow("f3", again=True) for _ in range(2)] == ["f2", "f2"]
    assert await replace(airport, team=f"{airport.team}-2").follow("f4", again=True) == "f4"
    assert await airport.follow("f5", 0, again=False) == "f5"
    assert await airport.follow("f6", again=True) == "f6"


async def test_a_landing_for_no_time_at_all_is_forgotten(airport: Airport) -> None:
    for seconds in (0, -1):
        assert await airport.board("one") == LEAD
        await airport.land("one", BLOCKED, seconds=seconds)
    assert await airport.board("two") == LEAD


async def test_what_the_leader_leaves_is_as_if_it_had_never_been(airport: Airport) -> None:
    await airport.board("one")
    await airport.sent("one")
    for _ in range(2):
        await airport.leave("one")
    assert await airport.board("two", OVER) == LEAD
    assert await airport.board("one") == LEAD


async def test_a_silent_leader_is_replaced_before_it_has_sent(airport: Airport) -> None:
    await airport.board("one", OVER)
    assert await airport.board("two") == LEAD
    assert await airport.board("one") == WAIT
    with pytest.raises(StateUnavailable, match="not led"):
        await airport.sent("one")
    await airport.extend("one")
    await airport.leave("one")
    await airport.land("one", BLOCKED)
    assert await airport.board("two") == LEAD
    assert await airport.board("three") == WAIT


async def test_a_silent_leader_that_nobody_replaced_goes_on(airport: Airport) -> None:
    await airport.board("one", OVER)
    await airport.extend("one")
    assert await airport.board("two") == WAIT
    await airport.extend("one", OVER)
    await airport.sent("one")
    assert await airport.board("two") == WAIT


async def test_a_sent_flight_whose_leader_is_silent_is_lost(airport: Airport) -> None:
    await airport.board("one")
    await airport.sent("one", OVER)
    for owner in ("two", "two", "three"):
        assert await airport.board(owner) == LOST
    for act in (airport.extend, airport.leave, airport.land):
        await act("two")
    assert await airport.board("two") == LOST


@pytest.mark.parametrize("sign", ["extend", "board", "sent"])
async def test_a_lost_flight_is_found_when_its_leader_speaks(airport: Airport, sign: str) -> None:
    await airport.board("one")
    await airport.sent("one", OVER)
    await getattr(airport, sign)("one")
    assert await airport.board("two") == WAIT
    await airport.sent("one", OVER)
    await airport.land("one", BLOCKED)
    assert await airport.board("two") == FlightStatus(seat=Role.LANDED, failure=BLOCKED)


async def test_without_a_flight_there_is_nothing_to_lead(airport: Airport) -> None:
    with pytest.raises(StateUnavailable, match="not led"):
        await airport.sent("one")
    for act in (airport.extend, airport.leave, airport.land):
        await act("one")
    assert await airport.board("two") == LEAD


async def test_a_store_that_was_emptied_has_no_flights(airport: Airport) -> None:
    await airport.board("one")
    await airport.sent("one")
    await airport.sky.empty(airport.team)
    await airport.extend("one")
    with pytest.raises(StateUnavailable, match="not led"):
        await airport.sent("one")
    assert await airport.board("two") == LEAD


@pytest.mark.parametrize("kind", ["fake", "server", CLUSTER])
async def test_without_the_store_nobody_is_admitted(kind: str) -> None:
    scheme = "redis+cluster" if kind == "cluster" else "redis"
    flights: Flights = FakeFlights() if kind == "fake" else RedisFlights(f"{scheme}://127.0.0.1:9")
    if isinstance(flights, FakeFlights):
        flights.down = True
    for call in (flights.board, flights.sent, flights.extend, flights.leave):
        with pytest.raises(StateUnavailable, match="does not answer"):
            await call("search", "f1", "one")
    with pytest.raises(StateUnavailable, match="does not answer"):
        await flights.land("search", "f1", "one", FlightResult(result=BROUGHT, seconds=1, again_seconds=1))
    with pytest.raises(StateUnavailable, match="does not answer"):
        await flights.follow("search", "a fox", "f1", 1, again=True)
    if isinstance(flights, RedisFlights):
        await flights.close()


VERBS = ("board", "board", "again", "sent", "extend", "land", "fail", "forget", "hide", "leave")
STEPS = st.lists(
    st.tuples(st.sampled_from(VERBS), st.sampled_from(["one", "two", "three"]), st.sampled_from([LEASE, OVER])),
    max_size=30,
)


@pytest.mark.parametrize("kind", ["server", CLUSTER])
@settings(max_examples=examples(60))
@given(steps=STEPS)
def test_any_story_goes_as_it_does_in_memory(
    kind: str, request: pytest.FixtureRequest, steps: list[tuple[str, str, float]]
) -> None:
    url = request.getfixturevalue("cluster_url" if kind == "cluster" else "redis_url")
    asyncio.run(compare(kind, url, steps))


async def compare(kind: str, url: str, steps: list[tuple[str, str, float]]) -> None:
    async with airport_on("fake", "") as fake, airport_on(kind, url) as real:
        for step in steps:
            assert await told(real, *step) == await told(fake, *step)


async def told(airport: Airport, verb: str, owner: str, lease: float) -> FlightStatus | str | None:
    match verb:
        case "board":
            return await airport.board(owner, lease, mark=owner)
        case "again":
            return await airport.board(owner, lease, mark=owner, again=True)
        case "sent":
            try:
                await airport.sent(owner, lease)
            except StateUnavailable as error:
                return error.message
        case "extend":
            await airport.extend(owner, lease)
        case "leave":
            await airport.leave(owner)
        case _:
            await airport.land(
                owner,
                BLOCKED if verb == "fail" else None,
                0 if verb in {"forget", "hide"} else 60,
                again_seconds=60 if verb == "hide" else 0,
            )
    return None


async def test_in_memory_numbers_go_on_for_five_seconds() -> None:
    flights = FakeFlights()
    story = [(0, 0), (4, 1), (5, 0), (4.9, 1), (5, 0), (6, 0)]
    for seconds, number in story:
        flights.now += round(seconds * 1_000_000)
        assert await flights.deal("search", a_series(), again=False, busy=False) == number


async def test_in_memory_time_goes_on_when_told() -> None:
    flights = FakeFlights(lease_seconds=30, memory_seconds=600)
    await flights.board("search", "f1", "one")
    await flights.sent("search", "f1", "one")
    for seconds, seat in ((29, WAIT), (1, LOST), (569, LOST), (1, LEAD)):
        flights.now += seconds * 1_000_000
        assert await flights.board("search", "f1", "two") == seat
