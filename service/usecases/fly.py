"""Fly: lead a purchase that others may wait for, or wait for who leads it.

Rule: a flight has one leader, who shows that it lives for as long as it takes. What it brings, or a failure that is
everybody's, is landed. A result that is kept nowhere is handed over to the callers who wait. A leader that bought
nothing leaves, and the next may lead. What became of a leader that went away after its vendor was asked nobody knows:
`FlightLost`. A store that goes away once the vendor was asked costs nobody the picture; the others find out when the
lease is over.
"""

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import suppress
from dataclasses import dataclass, replace
from functools import partial

from service.domain.errors import (
    CallFailed,
    CallJoined,
    Failure,
    FlightLost,
    GatewayError,
    KeyInUse,
    KeyReused,
    StateUnavailable,
)
from service.usecases.background import report_error
from service.usecases.buy_pictures import Depart
from service.usecases.events import FlightTaken
from service.usecases.flights import MOMENT, Boarding, Flights, Landing, Result, Seat, Told
from service.usecases.ports import Observer, unobserved

PAUSES = (0.02, 0.05, 0.1, 0.2)  # seconds between looks at a flight of another replica


@dataclass(frozen=True, slots=True, kw_only=True)
class Brought:
    """What a leader bought; `kept`: others find its pictures in the cache or in the picture store.

    `free`: it was bought for another request, and cost this one nothing.
    """

    result: Result
    kept: bool
    free: bool = False


Lead = Callable[[Depart], Awaitable[Brought]]
"""Makes the purchase; awaits its argument just before the vendor is asked."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Flight:
    """Which flight, and on which terms.

    One that bears another `mark` is not the caller's. Who comes again is told what landed for `again_seconds`, anybody
    else for `seconds`. `told` says what counts at the first look; later looks are told what the caller waited for.
    `lands` says which failures are everybody's. Without `waits` nobody waits for another.
    """

    team: str
    name: str
    lands: Callable[[Failure], bool]
    seconds: float
    again_seconds: float
    told: Told = MOMENT
    mark: str = ""
    waits: bool = True


@dataclass(frozen=True, slots=True)
class Flown:
    """What a flight brought. What another request brought is hollow unless it is `whole`."""

    result: Result
    led: bool
    whole: bool = True
    free: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Fly:
    """The use case. `mint` gives an owner of a flight; one that is silent for `lease` seconds is taken for gone."""

    flights: Flights
    mint: Callable[[], str]
    lease: float
    observe: Observer = unobserved

    async def __call__(self, flight: Flight, lead: Lead) -> Flown:
        """Lead the flight of that name, or wait for who leads it in another replica.

        Raises:
            FlightLost: a purchase of it is in doubt.
            KeyReused: it bears another mark.
            KeyInUse: somebody else leads, and `flight` does not wait.
            CallJoined: the failure that it landed with, or that is remembered for identical requests.
            GatewayError: what `lead` raises.
        """
        owner, looks, told = self.mint(), 0, replace(flight.told, first_look=flight.waits)
        while True:
            boarding = await self.flights.board(flight.team, flight.name, owner, flight.mark, told)
            check_mark(flight, boarding)
            if boarding.seat is not Seat.WAIT:
                self.observe(FlightTaken(seat=boarding.seat))
            match boarding.seat:
                case Seat.LEAD:
                    return Flown(await self._led(flight, owner, lead), led=True)
                case Seat.LANDED if boarding.failure:
                    raise CallJoined(boarding.failure)
                case Seat.LANDED if boarding.result:
                    handed = await self._taken_over(flight, waited=looks > 0) if boarding.handed else None
                    whole = handed is not None
                    return Flown(handed or boarding.result, led=False, whole=whole, free=boarding.free)
                case Seat.LANDED | Seat.LOST:
                    raise FlightLost("A purchase of this very picture is in doubt. Ask again in some minutes.")
                case _ if not flight.waits:
                    raise KeyInUse("The request with this Idempotency-Key is still under way.")
                case _:
                    await asyncio.sleep(PAUSES[min(looks, len(PAUSES) - 1)])
                    looks += 1
                    told = replace(told, new=False, first_look=False)

    async def _led(self, flight: Flight, owner: str, lead: Lead) -> Result:
        sent = False

        async def depart() -> None:
            nonlocal sent
            await self.flights.sent(flight.team, flight.name, owner)
            sent = True

        landing = partial(Landing, seconds=flight.seconds, again_seconds=flight.again_seconds)
        beat = Beat(self.lease / 3, partial(self._show_life, flight, owner))
        try:
            brought = await lead(depart)
            handed = not brought.kept and await self._handed_over(flight, owner, brought.result)
            await self._land(flight, owner, landing(result=brought.result, handed=handed, free=brought.free))
        except CallFailed as failed:
            if flight.lands(failed.failure):
                free = isinstance(failed, CallJoined)  # another request's call, which is booked there
                await self._land(flight, owner, landing(failure=failed.failure, free=free))
            else:
                await self._leave(flight, owner)
            raise
        except GatewayError:
            if not sent:
                await self._leave(flight, owner)
            raise
        finally:
            beat.stop()
        return brought.result

    async def _handed_over(self, flight: Flight, owner: str, result: Result) -> bool:
        with suppress(StateUnavailable):  # the caller is served; who waits finds nothing
            return await self.flights.hand_over(flight.team, flight.name, owner, result)
        return False

    async def _taken_over(self, flight: Flight, *, waited: bool) -> Result | None:
        with suppress(StateUnavailable):  # as if it had not been handed over
            return await self.flights.take_over(flight.team, flight.name, waited=waited)
        return None

    async def _land(self, flight: Flight, owner: str, landing: Landing) -> None:
        with suppress(StateUnavailable):  # the others find out when the lease is over; the caller is served
            await self.flights.land(flight.team, flight.name, owner, landing)

    async def _leave(self, flight: Flight, owner: str) -> None:
        with suppress(StateUnavailable):
            await self.flights.leave(flight.team, flight.name, owner)

    async def _show_life(self, flight: Flight, owner: str) -> None:
        with suppress(StateUnavailable):  # it may be back before the lease is over
            await self.flights.extend(flight.team, flight.name, owner)


class Beat:
    """Does something every so many seconds, until it is stopped. What is over before the first time needs no task."""

    def __init__(self, seconds: float, do: Callable[[], Awaitable[None]]) -> None:
        self._seconds = seconds
        self._do = do
        self._task: asyncio.Task[None] | None = None
        self._first = asyncio.get_running_loop().call_later(seconds, self._begin)

    def stop(self) -> None:
        """No more."""
        self._first.cancel()
        if self._task:
            self._task.cancel()

    def _begin(self) -> None:
        self._task = asyncio.create_task(self._go_on())

    async def _go_on(self) -> None:
        while True:
            try:
                await self._do()
            except Exception as error:  # noqa: BLE001 (a beat that stops gives the flight away: it goes on)
                report_error("heartbeat of a flight", error)
            await asyncio.sleep(self._seconds)


def check_mark(flight: Flight, boarding: Boarding) -> None:
    """Raise `KeyReused` if the flight is that of another request."""
    if boarding.mark != flight.mark:
        raise KeyReused("This Idempotency-Key came with another request before. A new request needs a new key.")
