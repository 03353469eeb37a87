"""Flights in memory, by the same rules as the real ones and by a clock that tests set."""

from collections.abc import Sequence
from dataclasses import dataclass, field

from service.domain.errors import Failure, StateUnavailable
from service.domain.limit_errors import SECOND
from service.usecases.ports.flights import DEFAULT_JOIN_RULES, FlightResult, FlightStatus, JoinRules, Role, SampleSeries
from service.usecases.ports.result_store import Result, without_images
from tests.fakes.quota_store import NOW


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
    landed: int = 0
    landing: FlightStatus | None = None


@dataclass(slots=True)
class SeriesState:
    """What is known of a series."""

    gone: int
    last: int | None = None
    dealt: int = 0
    size: int = 0
    first: int | None = None
    retry: int = 0
    offers: dict[int, int] = field(default_factory=dict)


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
        self._free: dict[str, list[str]] = {}
        self._series: dict[tuple[str, str], SeriesState] = {}
        self.handed: dict[tuple[str, str], tuple[Result, int]] = {}
        self._failures: dict[tuple[str, str], tuple[Failure, int]] = {}
        self._wishes: dict[tuple[str, str], tuple[str, int]] = {}

    def known(self) -> Sequence[tuple[str, str]]:
        """Team and name of every flight that is remembered."""
        return [*self._flights]

    def free(self, team: str) -> Sequence[str]:
        """Return the names of the flights of a team that cost nothing."""
        return self._free.get(team, [])

    def forget(self) -> None:
        """The store is emptied."""
        self._flights.clear()
        self._wishes.clear()
        self._failures.clear()
        self.handed.clear()
        self._series.clear()

    async def board(
        self, team: str, flight: str, owner: str, mark: str = "", told: JoinRules = DEFAULT_JOIN_RULES
    ) -> FlightStatus:
        """Take a seat."""
        found = self._find(team, flight)
        if found and found.landing and not told.new and (told.again or self.now < found.lease_end):
            return found.landing
        if found and not found.landing and found.owner != owner:
            if self.now < found.lease_end:
                found.waiting += told.first_look
                return FlightStatus(seat=Role.WAIT, mark=found.mark)
            if found.is_sent and not self.lost_are_led:
                return FlightStatus(seat=Role.LOST, mark=found.mark)
        failure = self._remembered(team, told.failure)
        if failure and (found is None or found.landing or found.owner != owner):
            return FlightStatus(seat=Role.LANDED, mark=mark, failure=failure)
        if found is None or found.landing or found.owner != owner:
            found = self._flights[team, flight] = Flight(owner, mark)
        self._show_life(found)
        return FlightStatus(seat=Role.LEAD, mark=found.mark)

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

    async def land(self, team: str, flight: str, owner: str, landing: FlightResult) -> None:
        """Nothing if it was not led by `owner`, who may land it again."""
        found = self._find(team, flight)
        if found and found.owner == owner:
            brought = without_images(landing.result) if landing.result else None
            found.landing = FlightStatus(
                seat=Role.LANDED,
                mark=found.mark,
                failure=landing.failure,
                result=brought,
                handed=landing.handed,
                free=landing.free,
            )
            if landing.free:
                self._free.setdefault(team, []).append(flight)
            for oldest in self._free.get(team, [])[:-256]:
                self._free[team].remove(oldest)
                old = self._flights.get((team, oldest))
                if oldest != flight and old and old.landing and old.landing.free:
                    del self._flights[team, oldest]
            found.landed = self.now
            found.lease_end = self.now + round(landing.seconds * SECOND)
            found.gone = self.now + round(max(landing.seconds, landing.again_seconds) * SECOND)

    async def deal(self, team: str, series: SampleSeries, *, again: bool, busy: bool) -> int | Failure:
        """The number of the next request of a series, or a failure."""
        self._find(team, "")
        failure = self._remembered(team, series.failure)
        if failure:
            return failure
        found = self._series.get((team, series.name))
        if found is None or found.gone <= self.now:
            found = self._series[team, series.name] = SeriesState(gone=self.now + round(series.seconds * SECOND))
        flights = [self._flights.get((team, name)) for name in series.flights]
        for number in sorted(found.offers):
            if self.now < found.offers.pop(number):
                return self._give(found, series, number, new=True)
        for number, flight in enumerate(flights[: found.size]):
            if flight and not flight.landing and flight.is_sent and flight.lease_end <= self.now:
                return number
        if again and found.size:
            number, found.retry = found.retry % found.size, found.retry % found.size + 1
            return number
        return self._next(found, series, flights, busy=busy)

    def _next(self, found: SeriesState, series: SampleSeries, flights: Sequence[Flight | None], *, busy: bool) -> int:
        goes_on = self.now - found.dealt < 5 * SECOND
        first = flights[found.first] if found.first is not None else None
        begins = found.first is not None and not (first and first.landing and first.landed >= found.dealt)
        busy = (
            busy
            or (begins and goes_on)
            or any(flight and not flight.landing and self.now < flight.lease_end for flight in flights)
        )
        number = 0 if found.last is None else found.last + 1
        if number >= len(flights) or (not busy and (number >= found.size or not goes_on)):
            number, found.last = 0, 0
        flight = flights[number]
        kept = flight is not None and flight.landing is not None and flight.landing.result is not None
        return self._give(found, series, number, new=number >= found.size and not kept)

    def _give(self, found: SeriesState, series: SampleSeries, number: int, *, new: bool) -> int:
        found.last, found.dealt = max(found.last or 0, number), self.now
        found.size, found.first = max(found.size, number + 1), number if new else None
        if new:
            found.gone = self.now + round(series.seconds * SECOND)
        return number

    async def offer(self, team: str, series: SampleSeries, number: int) -> None:
        """The next request takes this number."""
        self._find(team, "")
        found = self._series.get((team, series.name))
        if found and found.size == 1:
            del self._series[team, series.name]
        elif found:
            found.offers[number] = self.now + 60 * SECOND

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
