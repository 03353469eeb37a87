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
from tests.support.flight_stores import FINISHED, LEASE, OVER, RESULT, FlightHarness, new_series, open_harness
from tests.support.profiles import examples
from tests.support.result_stores import PIXELS, build_image, build_result

LEAD, WAIT, _, LOST = (FlightStatus(role=expected_role) for expected_role in Role)
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
async def harness(request: pytest.FixtureRequest) -> AsyncIterator[FlightHarness]:
    url = {"fake": "", "server": "redis_url", "cluster": "cluster_url"}[request.param]
    async with open_harness(request.param, request.getfixturevalue(url) if url else "") as harness:
        yield harness


async def test_the_first_leads_and_the_others_wait(harness: FlightHarness) -> None:
    assert await harness.acquire("one") == LEAD
    assert await harness.acquire("two") == WAIT
    assert await harness.acquire("one") == LEAD
    assert await replace(harness, flight="f2").acquire("two") == LEAD
    assert await replace(harness, team=f"{harness.team}-2").acquire("two") == LEAD
    assert await replace(harness, team="_shared", flight=harness.team).acquire("two") == LEAD


async def test_of_many_at_once_on_several_replicas_one_leads(harness: FlightHarness) -> None:
    leases = [LEASE + number % REPLICAS for number in range(RACERS)]
    seats = await asyncio.gather(*(harness.acquire(f"owner-{number}", lease) for number, lease in enumerate(leases)))
    assert Counter(status.role for status in seats) == {Role.LEADER: 1, Role.FOLLOWER: RACERS - 1}


async def test_of_many_who_find_the_leader_gone_one_leads(harness: FlightHarness) -> None:
    await harness.acquire("gone", OVER)
    seats = await asyncio.gather(*(harness.acquire(f"owner-{number}") for number in range(RACERS)))
    assert Counter(status.role for status in seats) == {Role.LEADER: 1, Role.FOLLOWER: RACERS - 1}


async def test_no_other_request_leads_a_flight_that_was_sent(harness: FlightHarness) -> None:
    await harness.acquire("one")
    for _ in range(2):
        await harness.mark_sent("one")
        assert await harness.acquire("two") == WAIT
        assert await harness.acquire("one") == LEAD


@pytest.mark.parametrize("failure", [None, *FAILURES])
async def test_any_identical_request_gets_the_end_of_a_flight(harness: FlightHarness, failure: Failure | None) -> None:
    await harness.acquire("one")
    await harness.mark_sent("one")
    for _ in range(2):
        await harness.finish("one", failure)
    for owner in ("one", "two"):
        finished = FlightStatus(role=Role.FINISHED, failure=failure) if failure else FINISHED
        assert await harness.acquire(owner) == finished


async def test_a_landing_is_the_end(harness: FlightHarness) -> None:
    await harness.acquire("one")
    await harness.finish("one", BLOCKED)
    await harness.extend("one", OVER)
    await harness.release("one")
    await harness.finish("two")
    with pytest.raises(StateUnavailable, match="not led"):
        await harness.mark_sent("one")
    assert await harness.acquire("two") == FlightStatus(role=Role.FINISHED, failure=BLOCKED)
    await harness.finish("one")
    assert await harness.acquire("two") == FINISHED


async def test_retries_get_the_end_of_a_flight_for_longer(harness: FlightHarness) -> None:
    await harness.acquire("one")
    await harness.finish("one", BLOCKED, 0, again_seconds=60)
    assert await harness.acquire("two", is_retry=True) == FlightStatus(role=Role.FINISHED, failure=BLOCKED)
    assert await harness.acquire("two") == LEAD
    assert await harness.acquire("three", is_retry=True) == WAIT
    await harness.finish("two", seconds=0, again_seconds=60)
    assert await harness.acquire("three", is_retry=True) == FINISHED


async def test_requests_for_new_images_do_not_get_the_end_of_a_flight(harness: FlightHarness) -> None:
    await harness.acquire("one")
    await harness.finish("one", BLOCKED)
    assert await harness.acquire("two", only_in_flight=True) == LEAD
    assert await harness.acquire("three", only_in_flight=True) == WAIT


async def test_a_request_with_a_remembered_failure_does_not_lead(harness: FlightHarness) -> None:
    assert await harness.recall_failure("search-1 a fox") is None
    await harness.remember_failure("search-1 a fox", BLOCKED)
    assert await harness.recall_failure("search-1 a fox") == BLOCKED
    assert await harness.acquire("one", digest="a", failure_name="search-1 a fox") == FlightStatus(
        role=Role.FINISHED, request_digest="a", failure=BLOCKED
    )
    assert await harness.acquire("one", failure_name="search-2 a fox") == LEAD
    assert await harness.acquire("one", failure_name="search-1 a fox") == LEAD
    assert await harness.acquire("two", failure_name="search-1 a fox") == WAIT
    assert await replace(harness, team=f"{harness.team}-2").recall_failure("search-1 a fox") is None
    await harness.remember_failure("search-1 a fox", BLOCKED, 0)
    assert await harness.recall_failure("search-1 a fox") is None


async def test_requests_side_by_side_are_dealt_ten_numbers_and_then_the_first_again(harness: FlightHarness) -> None:
    assert [await harness.assign_sample() for _ in range(12)] == [*range(10), 0, 1]
    assert await harness.assign_sample(name="search-2 a fox") == 0


async def test_numbers_of_what_was_bought_are_dealt_again(harness: FlightHarness) -> None:
    assert [await harness.assign_sample() for _ in range(4)] == [0, 1, 2, 3]
    for number in range(4):
        await harness.lead_and_finish(number)
    for _ in range(3):
        assert [await harness.assign_sample() for _ in range(4)] == [0, 1, 2, 3]
    assert await harness.assign_sample(busy=True) == 4


async def test_requests_one_after_the_other_are_the_plain_one(harness: FlightHarness) -> None:
    assert await harness.assign_sample() == 0
    await harness.lead_and_finish(0)
    assert [await harness.assign_sample() for _ in range(3)] == [0, 0, 0]


async def test_a_number_is_new_only_while_another_is_under_way(harness: FlightHarness) -> None:
    assert await harness.assign_sample() == 0
    await replace(harness, flight="n0").acquire("one")
    assert await harness.assign_sample() == 1
    await harness.lead_and_finish(1)
    assert await harness.assign_sample() == 2
    await harness.lead_and_finish(2)
    await replace(harness, flight="n0").finish("one")
    assert await harness.assign_sample() == 0


async def test_what_others_bought_before_is_no_purchase_that_begins(harness: FlightHarness) -> None:
    await harness.lead_and_finish(0)
    assert [await harness.assign_sample() for _ in range(2)] == [0, 0]


async def test_a_number_on_offer_is_dealt_first(harness: FlightHarness) -> None:
    for _ in range(4):
        await harness.assign_sample()
    await harness.release_sample(2)
    await harness.release_sample(1)
    assert [await harness.assign_sample() for _ in range(3)] == [1, 2, 4]


async def test_the_only_number_of_a_series_needs_no_offer(harness: FlightHarness) -> None:
    await harness.release_sample(0)
    assert await harness.assign_sample() == 0
    await harness.release_sample(0)
    assert await harness.assign_sample() == 0
    assert await harness.assign_sample() == 1


async def test_a_number_in_doubt_is_dealt_until_that_is_known(harness: FlightHarness) -> None:
    for _ in range(3):
        await harness.assign_sample()
    doubtful = replace(harness, flight="n1")
    await doubtful.acquire("one")
    await doubtful.mark_sent("one", OVER)
    assert [await harness.assign_sample() for _ in range(2)] == [1, 1]
    await doubtful.finish("one")
    assert await harness.assign_sample() == 3


async def test_who_asks_again_is_dealt_one_that_was_dealt(harness: FlightHarness) -> None:
    assert await harness.assign_sample(again=True) == 0
    assert await harness.assign_sample() == 1
    assert [await harness.assign_sample(again=True) for _ in range(3)] == [0, 1, 0]
    await harness.release_sample(1)
    assert await harness.assign_sample(again=True) == 1


async def test_a_remembered_failure_of_a_series_comes_instead_of_a_number(harness: FlightHarness) -> None:
    await harness.remember_failure("search-1 fails", BLOCKED)
    assert await harness.assign_sample(failure_name="search-1 fails") == BLOCKED
    assert await harness.assign_sample(failure_name="search-2 fails") == 0
    assert await harness.assign_sample() == 1


async def test_a_series_is_forgotten(harness: FlightHarness) -> None:
    assert [await harness.assign_sample(ttl_seconds=60), await harness.assign_sample(ttl_seconds=0)] == [0, 1]
    assert await harness.assign_sample() == 0


async def test_of_landings_that_cost_nothing_a_team_has_the_last_ones(harness: FlightHarness) -> None:
    await harness.acquire("one")
    await harness.finish("one")
    for number in range(258):
        flight = replace(harness, flight=f"free-{number}")
        await flight.acquire("one", digest=str(number))
        await flight.finish("one", free=True)
    assert await harness.acquire("two") == FINISHED
    assert await replace(harness, flight="free-0").acquire("two") == LEAD
    assert await replace(harness, flight="free-1").acquire("two") == LEAD
    for number in (2, 257):
        free_status = replace(FINISHED, request_digest=str(number), is_free=True)
        assert await replace(harness, flight=f"free-{number}").acquire("two") == free_status


async def test_a_landing_that_was_paid_for_since_is_not_forgotten(harness: FlightHarness) -> None:
    await harness.acquire("one")
    await harness.finish("one", free=True, seconds=0, again_seconds=60)
    await harness.acquire("two")
    await harness.finish("two", seconds=60)
    for number in range(256):
        flight = replace(harness, flight=f"free-{number}")
        await flight.acquire("one")
        await flight.finish("one", free=True)
    assert await harness.acquire("three") == FINISHED


async def test_a_result_is_handed_over_to_those_who_wait(harness: FlightHarness) -> None:
    await harness.acquire("one")
    for owner in ("two", "three"):
        assert await harness.acquire(owner) == WAIT
        assert await harness.acquire(owner, is_first_poll=False) == WAIT
    assert not await harness.share_result("two")
    assert await harness.share_result("one")
    await harness.finish("one", handed=True)
    assert await harness.acquire("two", is_first_poll=False) == replace(FINISHED, has_shared_result=True)
    assert await harness.take_shared_result(waited=False) == RESULT
    for _ in range(2):
        assert await harness.take_shared_result() == RESULT
    assert await harness.take_shared_result(waited=False) is None


async def test_no_result_is_shared_while_no_request_waits(harness: FlightHarness) -> None:
    await harness.acquire("one")
    assert not await harness.share_result("one")
    await harness.finish("one")
    assert await harness.acquire("two") == FINISHED
    assert await harness.take_shared_result() is None


async def test_a_result_of_many_pieces_is_handed_over_whole(harness: FlightHarness) -> None:
    pixels = PIXELS * 600  # more than two pieces
    large = build_result(generation=Generation(images=(build_image(pixels), build_image(pixels[::-1]))))
    await harness.acquire("one")
    await harness.acquire("two")
    assert await harness.share_result("one", large)
    await harness.finish("one", result=large, handed=True)
    assert await harness.take_shared_result() == large


async def test_a_flight_bears_the_mark_of_who_leads_it(harness: FlightHarness) -> None:
    assert await harness.acquire("one", digest="a") == replace(LEAD, request_digest="a")
    assert await harness.acquire("one", digest="b") == replace(LEAD, request_digest="a")
    assert await harness.acquire("two", digest="b") == replace(WAIT, request_digest="a")
    await harness.mark_sent("one")
    await harness.finish("one")
    assert await harness.acquire("two", digest="b") == replace(FINISHED, request_digest="a")
    await harness.finish("one", seconds=0, again_seconds=60)
    assert await harness.acquire("two", OVER, digest="b") == replace(LEAD, request_digest="b")
    await harness.mark_sent("two", OVER)
    assert await harness.acquire("one", digest="c") == replace(LOST, request_digest="b")


async def test_a_lost_flight_is_led_again_where_the_operator_wants_it(harness: FlightHarness) -> None:
    await harness.acquire("one")
    await harness.mark_sent("one", OVER)
    repeating_lost = harness.stores.repeating_lost()
    assert await repeating_lost.acquire(harness.team, harness.flight, "two") == LEAD
    assert await repeating_lost.acquire(harness.team, harness.flight, "three") == WAIT


async def test_a_wish_that_is_made_again_goes_by_the_flight_that_was_named_last(harness: FlightHarness) -> None:
    assert await harness.resolve_retry("f1", again=True) == "f1"
    assert await harness.resolve_retry("f2", again=False) == "f2"
    assert [await harness.resolve_retry("f3", again=True) for _ in range(2)] == ["f2", "f2"]
    assert await replace(harness, team=f"{harness.team}-2").resolve_retry("f4", again=True) == "f4"
    assert await harness.resolve_retry("f5", 0, again=False) == "f5"
    assert await harness.resolve_retry("f6", again=True) == "f6"


async def test_a_landing_for_no_time_at_all_is_forgotten(harness: FlightHarness) -> None:
    for seconds in (0, -1):
        assert await harness.acquire("one") == LEAD
        await harness.finish("one", BLOCKED, seconds=seconds)
    assert await harness.acquire("two") == LEAD


async def test_what_the_leader_leaves_is_as_if_it_had_never_been(harness: FlightHarness) -> None:
    await harness.acquire("one")
    await harness.mark_sent("one")
    for _ in range(2):
        await harness.release("one")
    assert await harness.acquire("two", OVER) == LEAD
    assert await harness.acquire("one") == LEAD


async def test_a_silent_leader_is_replaced_before_it_has_sent(harness: FlightHarness) -> None:
    await harness.acquire("one", OVER)
    assert await harness.acquire("two") == LEAD
    assert await harness.acquire("one") == WAIT
    with pytest.raises(StateUnavailable, match="not led"):
        await harness.mark_sent("one")
    await harness.extend("one")
    await harness.release("one")
    await harness.finish("one", BLOCKED)
    assert await harness.acquire("two") == LEAD
    assert await harness.acquire("three") == WAIT


async def test_a_silent_leader_that_was_not_replaced_goes_on(harness: FlightHarness) -> None:
    await harness.acquire("one", OVER)
    await harness.extend("one")
    assert await harness.acquire("two") == WAIT
    await harness.extend("one", OVER)
    await harness.mark_sent("one")
    assert await harness.acquire("two") == WAIT


async def test_a_sent_flight_whose_leader_is_silent_is_lost(harness: FlightHarness) -> None:
    await harness.acquire("one")
    await harness.mark_sent("one", OVER)
    for owner in ("two", "two", "three"):
        assert await harness.acquire(owner) == LOST
    for act in (harness.extend, harness.release, harness.finish):
        await act("two")
    assert await harness.acquire("two") == LOST


@pytest.mark.parametrize("sign", ["extend", "acquire", "mark_sent"])
async def test_a_lost_flight_is_found_when_its_leader_speaks(harness: FlightHarness, sign: str) -> None:
    await harness.acquire("one")
    await harness.mark_sent("one", OVER)
    await getattr(harness, sign)("one")
    assert await harness.acquire("two") == WAIT
    await harness.mark_sent("one", OVER)
    await harness.finish("one", BLOCKED)
    assert await harness.acquire("two") == FlightStatus(role=Role.FINISHED, failure=BLOCKED)


async def test_without_a_flight_there_is_nothing_to_lead(harness: FlightHarness) -> None:
    with pytest.raises(StateUnavailable, match="not led"):
        await harness.mark_sent("one")
    for act in (harness.extend, harness.release, harness.finish):
        await act("one")
    assert await harness.acquire("two") == LEAD


async def test_a_store_that_was_emptied_has_no_flights(harness: FlightHarness) -> None:
    await harness.acquire("one")
    await harness.mark_sent("one")
    await harness.stores.empty(harness.team)
    await harness.extend("one")
    with pytest.raises(StateUnavailable, match="not led"):
        await harness.mark_sent("one")
    assert await harness.acquire("two") == LEAD


@pytest.mark.parametrize("kind", ["fake", "server", CLUSTER])
async def test_without_the_store_no_request_is_admitted(kind: str) -> None:
    scheme = "redis+cluster" if kind == "cluster" else "redis"
    flights: Flights = FakeFlights() if kind == "fake" else RedisFlights(f"{scheme}://127.0.0.1:9")
    if isinstance(flights, FakeFlights):
        flights.down = True
    for call in (flights.acquire, flights.mark_sent, flights.extend, flights.release):
        with pytest.raises(StateUnavailable, match="does not answer"):
            await call("search", "f1", "one")
    with pytest.raises(StateUnavailable, match="does not answer"):
        await flights.finish("search", "f1", "one", FlightResult(result=RESULT, shared_seconds=1, retry_seconds=1))
    with pytest.raises(StateUnavailable, match="does not answer"):
        await flights.resolve_retry("search", "a fox", "f1", 1, is_retry=True)
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
    async with open_harness("fake", "") as fake, open_harness(kind, url) as real:
        for step in steps:
            assert await finished(real, *step) == await finished(fake, *step)


async def finished(harness: FlightHarness, verb: str, owner: str, lease: float) -> FlightStatus | str | None:
    match verb:
        case "board":
            return await harness.acquire(owner, lease, digest=owner)
        case "again":
            return await harness.acquire(owner, lease, digest=owner, is_retry=True)
        case "sent":
            try:
                await harness.mark_sent(owner, lease)
            except StateUnavailable as error:
                return error.message
        case "extend":
            await harness.extend(owner, lease)
        case "leave":
            await harness.release(owner)
        case _:
            await harness.finish(
                owner,
                BLOCKED if verb == "fail" else None,
                0 if verb in {"forget", "hide"} else 60,
                again_seconds=60 if verb == "hide" else 0,
            )
    return None


async def test_in_memory_numbers_go_on_for_five_seconds() -> None:
    flights = FakeFlights()
    sequence = [(0, 0), (4, 1), (5, 0), (4.9, 1), (5, 0), (6, 0)]
    for seconds, number in sequence:
        flights.now += round(seconds * 1_000_000)
        assert number == await flights.assign_sample("search", new_series(), is_retry=False, has_others_in_flight=False)


async def test_in_memory_time_is_set_by_the_test() -> None:
    flights = FakeFlights(lease_seconds=30, memory_seconds=600)
    await flights.acquire("search", "f1", "one")
    await flights.mark_sent("search", "f1", "one")
    for seconds, expected_role in ((29, WAIT), (1, LOST), (569, LOST), (1, LEAD)):
        flights.now += seconds * 1_000_000
        assert await flights.acquire("search", "f1", "two") == expected_role
