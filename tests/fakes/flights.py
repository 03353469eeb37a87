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
    """One flight. Times are microseconds since 1970; at `gone` the flight is forgotten.

    After the end of the flight, `lease_end` is the time until which any identical request gets the end.
    """

    owner: str
    request_digest: str
    lease_end: int = 0
    gone: int = 2**62
    is_sent: bool = False
    waiting: int = 0
    is_finished: int = 0
    flight_result: FlightStatus | None = None


@dataclass(slots=True)
class SeriesState:
    """State of a series."""

    gone: int
    last: int | None = None
    assigned_at: int = 0
    size: int = 0
    first: int | None = None
    retry: int = 0
    offers: dict[int, int] = field(default_factory=dict)


class FakeFlights:
    """The port in memory. `now` is its clock; while `down` it is unavailable.

    A leader is lost after `lease_seconds` of silence, and forgotten after `lost_seconds`.
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
        self.repeat_lost = lost_are_led
        self.lease_seconds = lease_seconds
        self.lost_seconds = memory_seconds
        self._flights: dict[tuple[str, str], Flight] = {}
        self._free: dict[str, list[str]] = {}
        self._series: dict[tuple[str, str], SeriesState] = {}
        self.shared_results: dict[tuple[str, str], tuple[Result, int]] = {}
        self._failures: dict[tuple[str, str], tuple[Failure, int]] = {}
        self._requests: dict[tuple[str, str], tuple[str, int]] = {}

    def known(self) -> Sequence[tuple[str, str]]:
        """Return team and name of every remembered flight."""
        return [*self._flights]

    def free(self, team: str) -> Sequence[str]:
        """Return the names of the flights of a team that cost nothing."""
        return self._free.get(team, [])

    def forget(self) -> None:
        """Empty the store."""
        self._flights.clear()
        self._requests.clear()
        self._failures.clear()
        self.shared_results.clear()
        self._series.clear()

    async def acquire(
        self, team: str, flight: str, owner: str, request_digest: str = "", join_rules: JoinRules = DEFAULT_JOIN_RULES
    ) -> FlightStatus:
        flight_state = self._find(team, flight)
        if (
            flight_state
            and flight_state.flight_result
            and not join_rules.only_in_flight
            and (join_rules.is_retry or self.now < flight_state.lease_end)
        ):
            return flight_state.flight_result
        if flight_state and not flight_state.flight_result and flight_state.owner != owner:
            if self.now < flight_state.lease_end:
                flight_state.waiting += join_rules.is_first_poll
                return FlightStatus(role=Role.FOLLOWER, request_digest=flight_state.request_digest)
            if flight_state.is_sent and not self.repeat_lost:
                return FlightStatus(role=Role.LOST, request_digest=flight_state.request_digest)
        failure = self._remembered(team, join_rules.failure_name)
        if failure and (flight_state is None or flight_state.flight_result or flight_state.owner != owner):
            return FlightStatus(role=Role.FINISHED, request_digest=request_digest, failure=failure)
        if flight_state is None or flight_state.flight_result or flight_state.owner != owner:
            flight_state = self._flights[team, flight] = Flight(owner, request_digest)
        self._extend_lease(flight_state)
        return FlightStatus(role=Role.LEADER, request_digest=flight_state.request_digest)

    async def resolve_retry(self, team: str, request_name: str, flight: str, seconds: float, *, is_retry: bool) -> str:
        self._find(team, flight)
        named, gone = self._requests.get((team, request_name), ("", 0))
        if is_retry and self.now < gone:
            return named
        self._requests[team, request_name] = flight, self.now + round(seconds * SECOND)
        return flight

    async def mark_sent(self, team: str, flight: str, owner: str) -> None:
        flight_state = self._led(team, flight, owner)
        if flight_state is None:
            raise StateUnavailable("This flight is not led by this request any more.")
        flight_state.is_sent = True
        self._extend_lease(flight_state)

    async def remember_failure(self, team: str, name: str, failure: Failure, seconds: float) -> None:
        self._find(team, name)
        self._failures[team, name] = failure, self.now + round(seconds * SECOND)

    async def recall_failure(self, team: str, name: str) -> Failure | None:
        self._find(team, name)
        return self._remembered(team, name)

    async def extend(self, team: str, flight: str, owner: str) -> None:
        flight_state = self._led(team, flight, owner)
        if flight_state:
            self._extend_lease(flight_state)

    async def finish(self, team: str, flight: str, owner: str, flight_result: FlightResult) -> None:
        flight_state = self._find(team, flight)
        if flight_state and flight_state.owner == owner:
            result = without_images(flight_result.result) if flight_result.result else None
            flight_state.flight_result = FlightStatus(
                role=Role.FINISHED,
                request_digest=flight_state.request_digest,
                failure=flight_result.failure,
                result=result,
                has_shared_result=flight_result.has_shared_result,
                is_free=flight_result.is_free,
            )
            if flight_result.is_free:
                self._free.setdefault(team, []).append(flight)
            for oldest in self._free.get(team, [])[:-256]:
                self._free[team].remove(oldest)
                old = self._flights.get((team, oldest))
                if oldest != flight and old and old.flight_result and old.flight_result.is_free:
                    del self._flights[team, oldest]
            flight_state.is_finished = self.now
            flight_state.lease_end = self.now + round(flight_result.shared_seconds * SECOND)
            flight_state.gone = self.now + round(
                max(flight_result.shared_seconds, flight_result.retry_seconds) * SECOND
            )

    async def assign_sample(
        self, team: str, series: SampleSeries, *, is_retry: bool, has_others_in_flight: bool
    ) -> int | Failure:
        self._find(team, "")
        failure = self._remembered(team, series.failure_name)
        if failure:
            return failure
        series_state = self._series.get((team, series.name))
        if series_state is None or series_state.gone <= self.now:
            series_state = self._series[team, series.name] = SeriesState(
                gone=self.now + round(series.ttl_seconds * SECOND)
            )
        flights = [self._flights.get((team, name)) for name in series.flights]
        for number in sorted(series_state.offers):
            if self.now < series_state.offers.pop(number):
                return self._give(series_state, series, number, new=True)
        for number, flight in enumerate(flights[: series_state.size]):
            if flight and not flight.flight_result and flight.is_sent and flight.lease_end <= self.now:
                return number
        if is_retry and series_state.size:
            number, series_state.retry = (
                series_state.retry % series_state.size,
                series_state.retry % series_state.size + 1,
            )
            return number
        return self._next(series_state, series, flights, busy=has_others_in_flight)

    def _next(
        self, series_state: SeriesState, series: SampleSeries, flights: Sequence[Flight | None], *, busy: bool
    ) -> int:
        goes_on = self.now - series_state.assigned_at < 5 * SECOND
        first = flights[series_state.first] if series_state.first is not None else None
        begins = series_state.first is not None and not (
            first and first.flight_result and first.is_finished >= series_state.assigned_at
        )
        busy = (
            busy
            or (begins and goes_on)
            or any(flight and not flight.flight_result and self.now < flight.lease_end for flight in flights)
        )
        number = 0 if series_state.last is None else series_state.last + 1
        if number >= len(flights) or (not busy and (number >= series_state.size or not goes_on)):
            number, series_state.last = 0, 0
        flight = flights[number]
        remembered = flight is not None and flight.flight_result is not None and flight.flight_result.result is not None
        return self._give(series_state, series, number, new=number >= series_state.size and not remembered)

    def _give(self, series_state: SeriesState, series: SampleSeries, number: int, *, new: bool) -> int:
        series_state.last, series_state.assigned_at = max(series_state.last or 0, number), self.now
        series_state.size, series_state.first = max(series_state.size, number + 1), number if new else None
        if new:
            series_state.gone = self.now + round(series.ttl_seconds * SECOND)
        return number

    async def release_sample(self, team: str, series: SampleSeries, number: int) -> None:
        self._find(team, "")
        series_state = self._series.get((team, series.name))
        if series_state and series_state.size == 1:
            del self._series[team, series.name]
        elif series_state:
            series_state.offers[number] = self.now + 60 * SECOND

    async def share_result(self, team: str, flight: str, owner: str, result: Result) -> bool:
        flight_state = self._led(team, flight, owner)
        if flight_state is None or not flight_state.waiting:
            return False
        self.shared_results[team, flight] = result, self.now + 10 * SECOND
        return True

    async def take_shared_result(self, team: str, flight: str, *, waited: bool) -> Result | None:
        shared = self._find(team, flight)
        result, gone = self.shared_results.get((team, flight), (None, 0))
        if shared and waited:
            shared.waiting -= 1
        if waited and (shared is None or shared.waiting <= 0):
            self.shared_results.pop((team, flight), None)
        return result if self.now < gone else None

    async def release(self, team: str, flight: str, owner: str) -> None:
        if self._led(team, flight, owner):
            del self._flights[team, flight]

    def _remembered(self, team: str, name: str) -> Failure | None:
        failure, gone = self._failures.get((team, name), (None, 0))
        return failure if self.now < gone else None

    def _find(self, team: str, flight: str) -> Flight | None:
        if self.down:
            raise StateUnavailable("The gateway's state does not answer.")
        self._flights = {
            name: flight_name for name, flight_name in self._flights.items() if self.now < flight_name.gone
        }
        return self._flights.get((team, flight))

    def _led(self, team: str, flight: str, owner: str) -> Flight | None:
        flight_state = self._find(team, flight)
        return flight_state if flight_state and flight_state.owner == owner and not flight_state.flight_result else None

    def _extend_lease(self, flight: Flight) -> None:
        flight.lease_end = self.now + round(self.lease_seconds * SECOND)
        flight.gone = self.now + round(max(self.lease_seconds, self.lost_seconds) * SECOND)
