"""Flights to run one suite on: the fake, a single server and a cluster."""

import uuid
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Protocol

from service.adapters.redis.flights import RedisFlights
from service.adapters.state import connect, disconnect
from service.domain.errors import Failure
from service.usecases.flights import Boarding, Flights
from tests.fakes.flights import FakeFlights

PATIENCE = 10  # here it is shown what comes out, not how soon
LEASE = 60.0
OVER = 0.0  # a lease that is over when it begins


class Sky(Protocol):
    """What keeps the flights."""

    def leasing(self, seconds: float) -> Flights:
        """Flights whose leaders may be silent for so long."""
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

    async def board(self, owner: str, lease: float = LEASE) -> Boarding:
        return await self.sky.leasing(lease).board(self.team, self.flight, owner)

    async def sent(self, owner: str, lease: float = LEASE) -> None:
        await self.sky.leasing(lease).sent(self.team, self.flight, owner)

    async def extend(self, owner: str, lease: float = LEASE) -> None:
        await self.sky.leasing(lease).extend(self.team, self.flight, owner)

    async def land(self, owner: str, failure: Failure | None = None, seconds: float = 60) -> None:
        await self.sky.leasing(LEASE).land(self.team, self.flight, owner, failure, seconds)

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
