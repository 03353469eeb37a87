"""Port of the flights: generations under way that identical requests of all replicas wait for.

Rule: the store decides which request leads. A leader that is silent for the lease is replaced by the next request,
unless a backend was called. Then the outcome is unknown, and the flight is LOST for as long as results are
remembered. Where the operator chose `after_crash: repeat`, the next request leads it.

Fails with: `StateUnavailable`; no request is admitted without flights.
"""

from dataclasses import dataclass
from enum import StrEnum
from typing import Protocol

from service.domain.errors import Failure
from service.usecases.ports.result_store import Result


class Role(StrEnum):
    """Role of a request in a flight. The values are those of the store's scripts."""

    LEADER = "lead"  # the request generates, and finishes the flight
    FOLLOWER = "wait"  # another request generates
    FINISHED = "landed"  # there is a result, or a failure that holds for this request too
    LOST = "lost"  # the leader went silent after the backend was called, so the outcome is unknown


@dataclass(frozen=True, slots=True, kw_only=True)
class FlightStatus:
    """State of a flight, as one request sees it.

    Attributes:
        role: Role of the request.
        request_digest: Digest of the leader's request.
        failure: Failure of a finished flight.
        result: Result of a finished flight, without its images.
        has_shared_result: Whether the result with its images can be taken, see `Flights.take_shared_result`.
        is_free: See `FlightResult`.
    """

    role: Role
    request_digest: str = ""
    failure: Failure | None = None
    result: Result | None = None
    has_shared_result: bool = False
    is_free: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class FlightResult:
    """End of a flight: a failure, or a result.

    Attributes:
        result: The result; the store keeps it without its images.
        is_free: Whether the flight cost nothing. The store remembers the last 256 of these of a team.
        shared_seconds: Seconds in which any identical request gets the end.
        retry_seconds: Seconds in which retries get the end.
    """

    failure: Failure | None = None
    result: Result | None = None
    has_shared_result: bool = False
    is_free: bool = False
    shared_seconds: float
    retry_seconds: float


@dataclass(frozen=True, slots=True, kw_only=True)
class JoinRules:
    """Rules that decide whether a request joins a flight instead of leading it.

    Attributes:
        is_retry: Join a finished flight for `retry_seconds` rather than `shared_seconds`.
        only_in_flight: Join flights under way only, not finished ones.
        failure_name: Name of a remembered failure that the request gets, or empty.
        is_first_poll: Whether the request asks for the first time; it is then counted as waiting.
    """

    is_retry: bool = False
    only_in_flight: bool = False
    failure_name: str = ""
    is_first_poll: bool = True


DEFAULT_JOIN_RULES = JoinRules()


@dataclass(frozen=True, slots=True, kw_only=True)
class SampleSeries:
    """Samples of identical requests of one API key, numbered 0, 1, 2 and so on.

    Attributes:
        flights: Flight of each number.
        failure_name: Name of a remembered failure, or empty.
        ttl_seconds: Seconds until the series is forgotten, from its first number on.
    """

    name: str
    flights: tuple[str, ...]
    failure_name: str
    ttl_seconds: float


class Flights(Protocol):
    """Flights of a team, by name. `owner` is the replica and the request that asks. May raise `StateUnavailable`."""

    async def acquire(
        self, team: str, flight: str, owner: str, request_digest: str = "", join_rules: JoinRules = DEFAULT_JOIN_RULES
    ) -> FlightStatus:
        """Lead a flight or join it. Polling again returns the current state; a leader keeps its role.

        `request_digest` is stored with a flight that is led.
        """
        ...

    async def resolve_retry(self, team: str, request_name: str, flight: str, seconds: float, *, is_retry: bool) -> str:
        """Return the flight of a request: of a retry the last flight of that request, otherwise `flight`.

        The store remembers the flight of the request for `seconds`.
        """
        ...

    async def assign_sample(
        self, team: str, series: SampleSeries, *, is_retry: bool, has_others_in_flight: bool
    ) -> int | Failure:
        """Assign a number to the next request of a series, or return the remembered failure.

        A released number, or one with a lost leader, comes first. A retry gets a number that was assigned before. Any
        other request gets the next number. A new number is assigned only while other requests of the series are in
        flight. `has_others_in_flight` says so for this replica. Numbers start again at 0 after the last one. They also
        do 5 s after the latest assignment, if nothing is in flight.
        """
        ...

    async def release_sample(self, team: str, series: SampleSeries, number: int) -> None:
        """Offer a number to the next request, because its caller hung up or nothing was generated for it."""
        ...

    async def mark_sent(self, team: str, flight: str, owner: str) -> None:
        """Record that a backend is about to be called; no other request may lead from now on.

        Raises:
            StateUnavailable: also if `owner` does not lead the flight.
        """
        ...

    async def remember_failure(self, team: str, name: str, failure: Failure, seconds: float) -> None:
        """Store a failure under a name for `seconds`, for `recall_failure` and for joins with that name."""
        ...

    async def recall_failure(self, team: str, name: str) -> Failure | None:
        """Return the failure that is stored under a name."""
        ...

    async def extend(self, team: str, flight: str, owner: str) -> None:
        """Extend the leader's lease."""
        ...

    async def finish(self, team: str, flight: str, owner: str, flight_result: FlightResult) -> None:
        """Store the end of a flight."""
        ...

    async def share_result(self, team: str, flight: str, owner: str, result: Result) -> bool:
        """Store the result with its images for a few seconds, before the flight is finished.

        Returns False, with nothing stored, if no request waits or the result is too large.
        """
        ...

    async def take_shared_result(self, team: str, flight: str, *, waited: bool) -> Result | None:
        """Return the shared result. The store deletes it once every request that `waited` has taken it."""
        ...

    async def release(self, team: str, flight: str, owner: str) -> None:
        """Remove a flight whose leader generated nothing. The next request leads."""
        ...
