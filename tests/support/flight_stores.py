"""Flight stores for one suite: the fake, a single server and a cluster."""

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
from tests.support.result_stores import build_result

LONG_TIMEOUT_SECONDS = 10  # tests with it check results, not durations
LEASE = 60.0
OVER = 0.0  # a lease that has ended at its begin


RESULT = build_result()
FINISHED = FlightStatus(role=Role.FINISHED, result=without_images(RESULT))


def new_series(**changes: Any) -> SampleSeries:
    plain = {
        "name": "search-1 a fox",
        "flights": tuple(f"n{number}" for number in range(10)),
        "failure_name": "",
        "ttl_seconds": 60,
    }
    return SampleSeries(**{**plain, **changes})


class FlightStore(Protocol):
    """Store that holds the flights."""

    def with_lease(self, seconds: float) -> Flights:
        """Return flights whose leaders hold a lease of `seconds`."""
        ...

    def repeating_lost(self) -> Flights:
        """Return flights that may be led again when they are lost."""
        ...

    async def empty(self, team: str) -> None:
        """Delete all data of the team."""
        ...


@dataclass(frozen=True)
class FakeFlightStore:
    fake: FakeFlights = field(default_factory=FakeFlights)

    def with_lease(self, seconds: float) -> Flights:
        self.fake.lease_seconds = seconds
        return self.fake

    def repeating_lost(self) -> Flights:
        self.fake.repeat_lost = True
        return self.with_lease(LEASE)

    async def empty(self, team: str) -> None:  # noqa: ARG002 (in memory there is one team at a time)
        self.fake.forget()


@dataclass(frozen=True)
class RealFlightStore:
    url: str
    opened: dict[float, RedisFlights] = field(default_factory=dict)

    def with_lease(self, seconds: float) -> Flights:
        if seconds not in self.opened:
            self.opened[seconds] = RedisFlights(self.url, lease_seconds=seconds, timeout_seconds=LONG_TIMEOUT_SECONDS)
        return self.opened[seconds]

    def repeating_lost(self) -> Flights:
        self.opened[-1] = RedisFlights(
            self.url, lease_seconds=LEASE, timeout_seconds=LONG_TIMEOUT_SECONDS, repeat_lost=True
        )
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
class FlightHarness:
    """A team, and one of its flights. Every verb may have another lease."""

    stores: FlightStore
    team: str
    flight: str = "f1"

    async def acquire(self, owner: str, lease: float = LEASE, *, digest: str = "", **rules: Any) -> FlightStatus:
        return await self.stores.with_lease(lease).acquire(self.team, self.flight, owner, digest, JoinRules(**rules))

    async def remember_failure(self, name: str, failure: Failure, seconds: float = 60) -> None:
        await self.stores.with_lease(LEASE).remember_failure(self.team, name, failure, seconds)

    async def recall_failure(self, name: str) -> Failure | None:
        return await self.stores.with_lease(LEASE).recall_failure(self.team, name)

    async def resolve_retry(self, flight: str, seconds: float = 60, *, again: bool) -> str:
        return await self.stores.with_lease(LEASE).resolve_retry(self.team, "a fox", flight, seconds, is_retry=again)

    async def mark_sent(self, owner: str, lease: float = LEASE) -> None:
        await self.stores.with_lease(lease).mark_sent(self.team, self.flight, owner)

    async def extend(self, owner: str, lease: float = LEASE) -> None:
        await self.stores.with_lease(lease).extend(self.team, self.flight, owner)

    async def finish(
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
        flight_result = FlightResult(
            has_shared_result=handed,
            is_free=free,
            failure=failure,
            result=result or (None if failure else RESULT),
            shared_seconds=seconds,
            retry_seconds=again_seconds,
        )
        await self.stores.with_lease(LEASE).finish(self.team, self.flight, owner, flight_result)

    async def assign_sample(self, *, again: bool = False, busy: bool = False, **series: Any) -> int | Failure:
        return await self.stores.with_lease(LEASE).assign_sample(
            self.team, new_series(**series), is_retry=again, has_others_in_flight=busy
        )

    async def release_sample(self, number: int) -> None:
        await self.stores.with_lease(LEASE).release_sample(self.team, new_series(), number)

    async def lead_and_finish(self, number: int) -> None:
        """Lead the flight of a number, and finish it."""
        flight = replace(self, flight=f"n{number}")
        await flight.acquire("one")
        await flight.finish("one", seconds=1)

    async def share_result(self, owner: str, result: Result = RESULT) -> bool:
        return await self.stores.with_lease(LEASE).share_result(self.team, self.flight, owner, result)

    async def take_shared_result(self, *, waited: bool = True) -> Result | None:
        return await self.stores.with_lease(LEASE).take_shared_result(self.team, self.flight, waited=waited)

    async def release(self, owner: str) -> None:
        await self.stores.with_lease(LEASE).release(self.team, self.flight, owner)


@asynccontextmanager
async def open_harness(kind: str, url: str) -> AsyncIterator[FlightHarness]:
    """Open a harness on the fake, or on the server at an address."""
    stores = FakeFlightStore() if kind == "fake" else RealFlightStore(url)
    try:
        yield FlightHarness(stores, f"team-{uuid.uuid4().hex[:12]}")
    finally:
        if isinstance(stores, RealFlightStore):
            await stores.close()
