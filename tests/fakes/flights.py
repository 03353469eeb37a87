"""Flights in memory, by the same rules as the real ones and by a clock that tests set."""

from dataclasses import dataclass

from service.domain.errors import Failure, StateUnavailable
from service.domain.refusals import SECOND
from service.usecases.flights import MOMENT, Boarding, Landing, Result, Seat, Told, hollow
from tests.fakes.ledger import NOW


@dataclass(slots=True)
class Flight:
    """One purchase. Times are microseconds since 1970; at `gone` nothing is known of it any more.

    Once it has landed, `lease_end` is how long everybody is told.
    """

    owner: str
    mark: str
    lease_end: int = 0
    gone: int = 2**62
    is_sent: bool = False
    waiting: int = 0
    landing: Boarding | None = None


class FakeFlights:
    """The port in memory. `now` is its clock; while `down` it is unavailable.

    A leader is away after `lease_seconds` without a sign of life, and forgotten after `memory_seconds`.
    """

    def __init__(
        self,
        *,
        lease_seconds: float = 30.0,
        memory_seconds: float = 600.0,
        lost_are_led: bool = False,
        now: int = NOW,
    ) -> None:
        self.now = now
        self.down = False
        self.lost_are_led = lost_are_led
        self.lease_seconds = lease_seconds
        self.memory_seconds = memory_seconds
        self._flights: dict[tuple[str, str], Flight] = {}
        self.handed: dict[tuple[str, str], tuple[Result, int]] = {}
        self._failures: dict[tuple[str, str], tuple[Failure, int]] = {}
        self._wishes: dict[tuple[str, str], tuple[str, int]] = {}

    def forget(self) -> None:
        """The store is emptied."""
        self._flights.clear()
        self._wishes.clear()
        self._failures.clear()
        self.handed.clear()

    async def board(self, team: str, flight: str, owner: str, mark: str = "", told: Told = MOMENT) -> Boarding:
        """Take a seat."""
        found = self._find(team, flight)
        if found and found.landing and not told.new and (told.again or self.now < found.lease_end):
            return found.landing
        if found and not found.landing and found.owner != owner:
            if self.now < found.lease_end:
                found.waiting += told.first_look
                return Boarding(seat=Seat.WAIT, mark=found.mark)
            if found.is_sent and not self.lost_are_led:
                return Boarding(seat=Seat.LOST, mark=found.mark)
        failure = self._remembered(team, told.failure)
        if failure and (found is None or found.landing or found.owner != owner):
            return Boarding(seat=Seat.LANDED, mark=mark, failure=failure)
        if found is None or found.landing or found.owner != owner:
            found = self._flights[team, flight] = Flight(owner, mark)
        self._show_life(found)
        return Boarding(seat=Seat.LEAD, mark=found.mark)

    async def follow(self, team: str, wish: str, flight: str, seconds: float, *, again: bool) -> str:
        """Which flight a wish goes by."""
        self._find(team, flight)
        named, gone = self._wishes.get((team, wish), ("", 0))
        if again and self.now < gone:
            return named
        self._wishes[team, wish] = flight, self.now + round(seconds * SECOND)
        return flight

    async def sent(self, team: str, flight: str, owner: str) -> None:
        """Raises if it is not led by `owner`."""
        found = self._led(team, flight, owner)
        if found is None:
            raise StateUnavailable("This purchase is not led by this request any more.")
        found.is_sent = True
        self._show_life(found)

    async def remember(self, team: str, name: str, failure: Failure, seconds: float) -> None:
        """Keep a failure."""
        self._find(team, name)
        self._failures[team, name] = failure, self.now + round(seconds * SECOND)

    async def recall(self, team: str, name: str) -> Failure | None:
        """The failure that is kept under a name."""
        self._find(team, name)
        return self._remembered(team, name)

    async def extend(self, team: str, flight: str, owner: str) -> None:
        """Nothing if it is not led by `owner`."""
        found = self._led(team, flight, owner)
        if found:
            self._show_life(found)

    async def land(self, team: str, flight: str, owner: str, landing: Landing) -> None:
        """Nothing if it was not led by `owner`, who may land it again."""
        found = self._find(team, flight)
        if found and found.owner == owner:
            brought = hollow(landing.result) if landing.result else None
            found.landing = Boarding(
                seat=Seat.LANDED, mark=found.mark, failure=landing.failure, result=brought, handed=landing.handed
            )
            found.lease_end = self.now + round(landing.seconds * SECOND)
            found.gone = self.now + round(max(landing.seconds, landing.again_seconds) * SECOND)

    async def hand_over(self, team: str, flight: str, owner: str, result: Result) -> bool:
        """Lay the result out."""
        found = self._led(team, flight, owner)
        if found is None or not found.waiting:
            return False
        self.handed[team, flight] = result, self.now + 10 * SECOND
        return True

    async def take_over(self, team: str, flight: str, *, waited: bool) -> Result | None:
        """The result that was handed over."""
        found = self._find(team, flight)
        result, gone = self.handed.get((team, flight), (None, 0))
        if found and waited:
            found.waiting -= 1
        if waited and (found is None or found.waiting <= 0):
            self.handed.pop((team, flight), None)
        return result if self.now < gone else None

    async def leave(self, team: str, flight: str, owner: str) -> None:
        """Nothing if it is not led by `owner`."""
        if self._led(team, flight, owner):
            del self._flights[team, flight]

    def _remembered(self, team: str, name: str) -> Failure | None:
        failure, gone = self._failures.get((team, name), (None, 0))
        return failure if self.now < gone else None

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
