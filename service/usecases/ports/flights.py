"""Port of the flights: purchases under way that identical requests of all replicas wait for.

Rule: the store decides which request leads. A flight whose leader is silent for the lease is led by the next request,
unless a backend was called: then its outcome is unknown.

Fails with: `StateUnavailable`; no request is admitted without flights.
"""

from dataclasses import dataclass
from enum import StrEnum
from typing import Protocol

from service.domain.errors import Failure
from service.usecases.ports.result_store import Result


class Role(StrEnum):
    """What a caller is on a flight."""

    LEADER = "lead"  # buys, and lands the flight
    FOLLOWER = "wait"  # somebody else is buying
    FINISHED = "landed"  # there is a result, or a failure that is the caller's too
    LOST = "lost"  # the leader went away after the vendor was asked; nobody knows what became of it


@dataclass(frozen=True, slots=True, kw_only=True)
class FlightStatus:
    """The seat, and the leader's mark; of a landed flight the failure or the hollow result that it came to.

    `has_shared_result`: the whole result was handed over, see `Flights.take_shared_result`. `is_free`: see
    `FlightResult`.
    """

    role: Role
    request_digest: str = ""
    failure: Failure | None = None
    result: Result | None = None
    has_shared_result: bool = False
    is_free: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class FlightResult:
    """How a flight ends: with a failure, or with a result, of which only the hollow form is kept here.

    It is told to everybody for `shared_seconds`, and to those who ask again for `retry_seconds`. A `is_free` one cost
    nothing: of these only the last 256 of a team are remembered.
    """

    failure: Failure | None = None
    result: Result | None = None
    has_shared_result: bool = False
    is_free: bool = False
    shared_seconds: float
    retry_seconds: float


@dataclass(frozen=True, slots=True, kw_only=True)
class JoinRules:
    """What a caller who boards is told instead of leading.

    `is_retry`: a landing counts for as long as it is remembered; `only_in_flight`: no landing counts, only what is
    under way. Else it counts for the moment in which everybody is told. `failure_name` is the name of a remembered
    failure, or empty. Who waits after a `is_first_poll` is counted.
    """

    is_retry: bool = False
    only_in_flight: bool = False
    failure_name: str = ""
    is_first_poll: bool = True


DEFAULT_JOIN_RULES = JoinRules()


@dataclass(frozen=True, slots=True, kw_only=True)
class SampleSeries:
    """Samples of one wish for one API key, to which numbers are dealt: 0, 1, 2 and so on.

    `flights` are those of the numbers. `failure_name` is the name of a remembered failure, or empty. What is known of
    the series is forgotten `ttl_seconds` after a number was dealt for the first time.
    """

    name: str
    flights: tuple[str, ...]
    failure_name: str
    ttl_seconds: float


class Flights(Protocol):
    """Purchases under way, by name. `owner` is the replica and request that asks. May raise `StateUnavailable`.

    A flight whose leader shows no sign of life for the lease is led by the next who boards, unless it was sent: then it
    is LOST for as long as it would have been remembered, or, where the operator prefers that, led all the same.
    """

    async def acquire(
        self, team: str, flight: str, owner: str, request_digest: str = "", join_rules: JoinRules = DEFAULT_JOIN_RULES
    ) -> FlightStatus:
        """Take a seat; asking again tells how it stands. The leader, asking again, still leads.

        `request_digest` is kept with a flight that is led; `join_rules` says which landings count.
        """
        ...

    async def resolve_retry(self, team: str, request_name: str, flight: str, seconds: float, *, is_retry: bool) -> str:
        """Which flight a wish goes by: the last one that was named for it if it is made `is_retry`, else this one.

        Remembered for so many seconds.
        """
        ...

    async def assign_sample(
        self, team: str, series: SampleSeries, *, is_retry: bool, has_others_in_flight: bool
    ) -> int | Failure:
        """The number of the next request of a series, or the failure that is remembered for it.

        A number on offer, or in doubt, comes first. Then a request that is made `is_retry` gets one that was dealt. Any
        other gets the next one, but a new number only while others are under way, or `has_others_in_flight` in this
        replica. Numbers begin at 0 again when there is no next one, or 5 s after the last was dealt while nothing is
        under way.
        """
        ...

    async def release_sample(self, team: str, series: SampleSeries, number: int) -> None:
        """The next request takes this number: its caller hung up, or nothing was bought for it."""
        ...

    async def mark_sent(self, team: str, flight: str, owner: str) -> None:
        """The vendor is about to be asked: from here on nobody else may lead. Raises if it is not led by `owner`."""
        ...

    async def remember_failure(self, team: str, name: str, failure: Failure, seconds: float) -> None:
        """Keep a failure under a name for so many seconds, for `recall_failure` and for who boards with that name."""
        ...

    async def recall_failure(self, team: str, name: str) -> Failure | None:
        """The failure that is kept under a name."""
        ...

    async def extend(self, team: str, flight: str, owner: str) -> None:
        """The leader is alive."""
        ...

    async def finish(self, team: str, flight: str, owner: str, flight_result: FlightResult) -> None:
        """It is over."""
        ...

    async def share_result(self, team: str, flight: str, owner: str, result: Result) -> bool:
        """Before it lands: lay the whole result out for a few seconds, if a caller waits and it is not too large."""
        ...

    async def take_shared_result(self, team: str, flight: str, *, waited: bool) -> Result | None:
        """The result that was handed over. It goes when all who `waited` have taken it, or by itself."""
        ...

    async def release(self, team: str, flight: str, owner: str) -> None:
        """The leader bought nothing and others may: the flight is as if it had never been."""
        ...
