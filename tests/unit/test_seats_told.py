"""Who led a purchase, who joined one of another replica, and who found one lost: each boarding is told."""

import pytest

from service.domain.errors import FlightLost
from service.usecases.buy_pictures import Depart
from service.usecases.events import FlightTaken
from service.usecases.flights import Seat
from service.usecases.fly import Brought, Flight, Fly
from tests.fakes.builders import result
from tests.fakes.flights import FakeFlights
from tests.fakes.observer import Recorder

FLIGHT = Flight(team="search", name="fox", lands=lambda _: True, seconds=60, again_seconds=60)


async def lead(depart: Depart) -> Brought:
    await depart()
    return Brought(result=result(), kept=True)


async def test_led_then_joined() -> None:
    observe = Recorder()
    fly = Fly(flights=FakeFlights(), mint=lambda: "me", lease=30, observe=observe)
    await fly(FLIGHT, lead)
    await fly(FLIGHT, lead)
    assert [event.seat for event in observe.of(FlightTaken)] == [Seat.LEAD, Seat.LANDED]


async def test_lost_with_its_leader() -> None:
    observe, flights = Recorder(), FakeFlights(lease_seconds=0)
    await flights.board(FLIGHT.team, FLIGHT.name, "another")
    await flights.sent(FLIGHT.team, FLIGHT.name, "another")
    with pytest.raises(FlightLost):
        await Fly(flights=flights, mint=lambda: "me", lease=30, observe=observe)(FLIGHT, lead)
    assert [event.seat for event in observe.of(FlightTaken)] == [Seat.LOST]
