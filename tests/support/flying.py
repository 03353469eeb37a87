"""Flights to run one suite on: the fake, a single server and a cluster."""

import uuid
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from typing import Any, Protocol

from service.adapters.redis.client import connect, disconnect
from service.adapters.redis.flights import RedisFlights
from service.domain.errors import Failure
from service.usecases.ports.flights import FlightResult, Flights, FlightStatus, JoinRules, Role, SampleSeries
from service.usecases.ports.result_store import Result, without_images
from tests.fakes.flights import FakeFlights
from tests.support.keeping import result

PATIENCE = 10  # here it is shown what comes out, not how soon
LEASE = 60.0
OVER = 0.0  # a lease that is over when it begins


BROUGHT = result()
LANDED = FlightStatus(seat=Role.LANDED, result=without_images(BROUGHT))


def a_series(**changes: Any) -> SampleSeries:
    plain = {
        "name": "search-1 a fox",
        "flights": tuple(f"n{number}" for number in range(10)),
        "failure": "",
        "seconds": 60,
    }
    return SampleSeries(**{**plain, **changes})


class Sky(Protocol):
    """What keeps the flights."""

    def leasing(self, seconds: float) -> Flights:
        """Flights whose leaders may be silent for so long."""
        ...

    def daring(self) -> Flights:
        """Flights that may be led again when they are lost."""
        ...

    async def empty(self, team: str) -> None:
        """Everything about the team is gone."""
        ...


@dataclass(frozen=True)
class FakeSky:
    fake: FakeFlights = field(default_factory=FakeFlights)

    def leasing(self, seconds: float) -> Flights:
        self.fake.lease_seconds = seconds
        return self.fake

    def daring(self) -> Flights:
        self.fake.lost_are_led = True
        return self.leasing(LEASE)

    async def empty(self, team: str) -> None:  # noqa: ARG002 (in memory there is one team at a time)
        self.fake.forget()


@dataclass(frozen=True)
class RealSky:
    url: str
    opened: dict[float, RedisFlights] = field(default_factory=dict)

    def leasing(self, seconds: float) -> Flights:
        if seconds not in self.opened:
            self.opened[seconds] = RedisFlights(self.url, lease_seconds=seconds, patience_seconds=PATIENCE)
        return self.opened[seconds]

    def daring(self) -> Flights:
        self.opened[-1] = RedisFlights(self.url, lease_seconds=LEASE, patience_seconds=PATIENCE, lost_are_led=True)
        return self.opened[-1]

    async def empty(self, team: str) -> None:
        client = connect(self.url)
        async for key in client.scan_iter(match=f"igw:{{{team}}}:*"):
            await client.delete(key)
        await disconnect(client)

    async def close(self) -> None:
        for flights in self.opened.values():
            await flights.close()


@dataclass(frozen=True)
class Airport:
    """A team of its own and one of its flights; every verb may come with another lease."""

    sky: Sky
    team: str
    flight: str = "f1"

    async def board(self, owner: str, lease: float = LEASE, *, mark: str = "", **told: Any) -> FlightStatus:
        return await self.sky.leasing(lease).board(self.team, self.flight, owner, mark, JoinRules(**told))

    async def remember(self, name: str, failure: Failure, seconds: float = 60) -> None:
        await self.sky.leasing(LEASE).remember(self.team, name, failure, seconds)

    async def recall(self, name: str) -> Failure | None:
        return await self.sky.leasing(LEASE).recall(self.team, name)

    async def follow(self, flight: str, seconds: float = 60, *, again: bool) -> str:
        return await self.sky.leasing(LEASE).follow(self.team, "a fox", flight, seconds, again=again)

    async def sent(self, owner: str, lease: float = LEASE) -> None:
        await self.sky.leasing(lease).sent(self.team, self.flight, owner)

    async def extend(self, owner: str, lease: float = LEASE) -> None:
        await self.sky.leasing(lease).extend(self.team, self.flight, owner)

    async def land(
        self,
        owner: str,
        failure: Failure | None = None,
        seconds: float = 60,
        *,
        again_seconds: float = 0,
        result: Result | None = None,
        handed: bool = False,
        free: bool = False,
    ) -> None:
        landing = FlightResult(
            handed=handed,
            free=free,
            failure=failure,
            result=result or (None if failure else BROUGHT),
            seconds=seconds,
            again_seconds=again_seconds,
        )
        await self.sky.leasing(LEASE).land(self.team, self.flight, owner, landing)

    async def deal(self, *, again: bool = False, busy: bool = False, **series: Any) -> int | Failure:
        return await self.sky.leasing(LEASE).deal(self.team, a_series(**series), again=again, busy=busy)

    async def offer(self, number: int) -> None:
        await self.sky.leasing(LEASE).offer(self.team, a_series(), number)

    async def fly(self, number: int) -> None:
        """Lead the flight of a number, to its landing."""
        flight = replace(self, flight=f"n{number}")
        await flight.board("one")
        await flight.land("one", seconds=1)

    async def hand_over(self, owner: str, result: Result = BROUGHT) -> bool:
        return await self.sky.leasing(LEASE).hand_over(self.team, self.flight, owner, result)

    async def take_over(self, *, waited: bool = True) -> Result | None:
        return await self.sky.leasing(LEASE).take_over(self.team, self.flight, waited=waited)

    async def leave(self, owner: str) -> None:
        await self.sky.leasing(LEASE).leave(self.team, self.flight, owner)


@asynccontextmanager
async def airport_on(kind: str, url: str) -> AsyncIterator[Airport]:
    """An airport on the fake, or on the server at an address."""
    sky = FakeSky() if kind == "fake" else RealSky(url)
    try:
        yield Airport(sky, f"team-{uuid.uuid4().hex[:12]}")
    finally:
        if isinstance(sky, RealSky):
            await sky.close()
