"""Flights in memory, by the same rules as the real ones and by a clock that tests set."""

from dataclasses import dataclass

from service.domain.errors import Failure, StateUnavailable
from service.domain.refusals import SECOND
from service.usecases.flights import Boarding, Seat
from tests.fakes.ledger import NOW


@dataclass(slots=True)
class Flight:
    """One purchase. Times are microseconds since 1970; at `gone` nothing is known of it any more."""

    owner: str
    lease_end: int
    gone: int
    is_sent: bool = False
    landing: Boarding | None = None


class FakeFlights:
    """The port in memory. `now` is its clock; while `down` it is unavailable.

    A leader is away after `lease_seconds` without a sign of life, and forgotten after `memory_seconds`.
    """

    def __init__(self, *, lease_seconds: float = 30.0, memory_seconds: float = 600.0, now: int = NOW) -> None:
        self.now = now
        self.down = False
        self.lease_seconds = lease_seconds
        self.memory_seconds = memory_seconds
        self._flights: dict[tuple[str, str], Flight] = {}

    def forget(self) -> None:
        """The store is emptied."""
        self._flights.clear()

    async def board(self, team: str, flight: str, owner: str) -> Boarding:
        """Take a seat."""
        found = self._find(team, flight)
        if found is None:
            found = self._flights[team, flight] = Flight(owner, 0, 0)
        if found.landing:
            return found.landing
        if found.owner != owner and self.now < found.lease_end:
            return Boarding(seat=Seat.WAIT)
        if found.owner != owner and found.is_sent:
            return Boarding(seat=Seat.LOST)
        found.owner = owner
        self._show_life(found)
        return Boarding(seat=Seat.LEAD)

    async def sent(self, team: str, flight: str, owner: str) -> None:
        """Raises if it is not led by `owner`."""
        found = self._led(team, flight, owner)
        if found is None:
            raise StateUnavailable("This purchase is not led by this request any more.")
        found.is_sent = True
        self._show_life(found)

    async def extend(self, team: str, flight: str, owner: str) -> None:
        """Nothing if it is not led by `owner`."""
        found = self._led(team, flight, owner)
        if found:
            self._show_life(found)

    async def land(self, team: str, flight: str, owner: str, failure: Failure | None, seconds: float) -> None:
        """Nothing if it was not led by `owner`, who may land it again."""
        found = self._find(team, flight)
        if found and found.owner == owner:
            found.landing = Boarding(seat=Seat.LANDED, failure=failure)
            found.gone = self.now + round(seconds * SECOND)

    async def leave(self, team: str, flight: str, owner: str) -> None:
        """Nothing if it is not led by `owner`."""
        if self._led(team, flight, owner):
            del self._flights[team, flight]

    def _find(self, team: str, flight: str) -> Flight | None:
        if self.down:
            raise StateUnavailable("The gateway's state does not answer.")
        self._flights = {name: each for name, each in self._flights.items() if self.now < each.gone}
        return self._flights.get((team, flight))

    def _led(self, team: str, flight: str, owner: str) -> Flight | None:
        found = self._find(team, flight)
        return found if found and found.owner == owner and not found.landing else None

    def _show_life(self, flight: Flight) -> None:
        flight.lease_end = self.now + round(self.lease_seconds * SECOND)
        flight.gone = self.now + round(max(self.lease_seconds, self.memory_seconds) * SECOND)
