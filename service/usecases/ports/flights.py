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

    LEAD = "lead"  # buys, and lands the flight
    WAIT = "wait"  # somebody else is buying
    LANDED = "landed"  # there is a result, or a failure that is the caller's too
    LOST = "lost"  # the leader went away after the vendor was asked; nobody knows what became of it


@dataclass(frozen=True, slots=True, kw_only=True)
class FlightStatus:
    """The seat, and the leader's mark; of a landed flight the failure or the hollow result that it came to.

    `handed`: the whole result was handed over, see `Flights.take_over`. `free`: see `FlightResult`.
    """

    seat: Role
    mark: str = ""
    failure: Failure | None = None
    result: Result | None = None
    handed: bool = False
    free: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class FlightResult:
    """How a flight ends: with a failure, or with a result, of which only the hollow form is kept here.

    It is told to everybody for `seconds`, and to those who ask again for `again_seconds`. A `free` one cost nothing: of
    these only the last 256 of a team are remembered.
    """

    failure: Failure | None = None
    result: Result | None = None
    handed: bool = False
    free: bool = False
    seconds: float
    again_seconds: float


@dataclass(frozen=True, slots=True, kw_only=True)
class JoinRules:
    """What a caller who boards is told instead of leading.

    `again`: a landing counts for as long as it is remembered; `new`: no landing counts, only what is under way. Else it
    counts for the moment in which everybody is told. `failure` is the name of a remembered failure, or empty. Who waits
    after a `first_look` is counted.
    """

    again: bool = False
    new: bool = False
    failure: str = ""
    first_look: bool = True


DEFAULT_JOIN_RULES = JoinRules()


@dataclass(frozen=True, slots=True, kw_only=True)
class SampleSeries:
    """Samples of one wish for one API key, to which numbers are dealt: 0, 1, 2 and so on.

    `flights` are those of the numbers. `failure` is the name of a remembered failure, or empty. What is known of the
    series is forgotten `seconds` after a number was dealt for the first time.
    """

    name: str
    flights: tuple[str, ...]
    failure: str
    seconds: float


class Flights(Protocol):
    """Purchases under way, by name. `owner` is the replica and request that asks. May raise `StateUnavailable`.

    A flight whose leader shows no sign of life for the lease is led by the next who boards, unless it was sent: then it
    is LOST for as long as it would have been remembered, or, where the operator prefers that, led all the same.
    """

    async def board(
        self, team: str, flight: str, owner: str, mark: str = "", told: JoinRules = DEFAULT_JOIN_RULES
    ) -> FlightStatus:
        """Take a seat; asking again tells how it stands. The leader, asking again, still leads.

        `mark` is kept with a flight that is led; `told` says which landings count.
        """
        ...

    async def follow(self, team: str, wish: str, flight: str, seconds: float, *, again: bool) -> str:
        """Which flight a wish goes by: the last one that was named for it if it is made `again`, else this one.

        Remembered for so many seconds.
        """
        ...

    async def deal(self, team: str, series: SampleSeries, *, again: bool, busy: bool) -> int | Failure:
        """The number of the next request of a series, or the failure that is remembered for it.

        A number on offer, or in doubt, comes first. Then a request that is made `again` gets one that was dealt. Any
        other gets the next one, but a new number only while others are under way, or `busy` in this replica. Numbers
        begin at 0 again when there is no next one, or 5 s after the last was dealt while nothing is under way.
        """
        ...

    async def offer(self, team: str, series: SampleSeries, number: int) -> None:
        """The next request takes this number: its caller hung up, or nothing was bought for it."""
        ...

    async def sent(self, team: str, flight: str, owner: str) -> None:
        """The vendor is about to be asked: from here on nobody else may lead. Raises if it is not led by `owner`."""
        ...

    async def remember(self, team: str, name: str, failure: Failure, seconds: float) -> None:
        """Keep a failure under a name for so many seconds, for `recall` and for who boards with that name."""
        ...

    async def recall(self, team: str, name: str) -> Failure | None:
        """The failure that is kept under a name."""
        ...

    async def extend(self, team: str, flight: str, owner: str) -> None:
        """The leader is alive."""
        ...

    async def land(self, team: str, flight: str, owner: str, landing: FlightResult) -> None:
        """It is over."""
        ...

    async def hand_over(self, team: str, flight: str, owner: str, result: Result) -> bool:
        """Before it lands: lay the whole result out for a few seconds, if a caller waits and it is not too large."""
        ...

    async def take_over(self, team: str, flight: str, *, waited: bool) -> Result | None:
        """The result that was handed over. It goes when all who `waited` have taken it, or by itself."""
        ...

    async def leave(self, team: str, flight: str, owner: str) -> None:
        """The leader bought nothing and others may: the flight is as if it had never been."""
        ...
