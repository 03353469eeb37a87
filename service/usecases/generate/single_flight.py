"""Single flight: one purchase for all requests that its result may serve, in this process and in all replicas.

Rule: a flight has one leader, which extends its lease while it buys. The leader finishes the flight with its result, or
with a failure that the others would meet too. A leader that bought nothing releases the flight, and the next request
leads. A result that neither cache nor image store has is handed over to the requests that wait. A failure that may have
been billed is remembered for the API key.

Fails with: `OutcomeUnknown` when the leader went away after its backend was called: the outcome is unknown. A store
that stops answering after the call costs the leader nothing; the others learn the outcome when the lease is over.
"""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager, nullcontext, suppress
from dataclasses import dataclass, field, replace

from service.domain.errors import (
    BackendFailed,
    Failure,
    FailureReplayed,
    FailureShared,
    GatewayError,
    IdempotencyKeyInUse,
    IdempotencyKeyReused,
    OutcomeUnknown,
    ResultExpired,
    StateUnavailable,
)
from service.domain.routing import NextStep, step_after
from service.usecases.background.supervisor import report_error
from service.usecases.generate.flight_names import CacheKey
from service.usecases.generate.result_cache import ResultCache
from service.usecases.ports.events import FlightResolved
from service.usecases.ports.flights import FlightResult, Flights, FlightStatus, JoinRules, Role
from service.usecases.ports.observer import Observer, discard_event
from service.usecases.ports.result_store import Result

POLL_SECONDS = (0.02, 0.05, 0.1, 0.2)  # between looks at a flight of another replica


@dataclass(frozen=True, slots=True, kw_only=True)
class FailureMemory:
    """Where failures that may have been billed are remembered for an API key.

    Attributes:
        scope: The team, or the scope of all teams.
        recall: The name that is looked up before anything is bought; empty where no failure counts.
        remember: The names under which a failure is kept.
        seconds: For how long.
    """

    scope: str = ""
    recall: str = ""
    remember: tuple[str, ...] = ()
    seconds: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Flight:
    """A purchase that other requests may wait for, or whose result they may read.

    Attributes:
        key: Scope and name; None if no other request can look for it.
        retry_of: The name of a request of an SDK, whose retry is served by the flight of the first try.
        digest: The digest of the request of an Idempotency-Key. A flight with another digest is `IdempotencyKeyReused`.
        told: Which finished flights count for this request.
        seconds: How long every identical request is served with the outcome.
        again_seconds: How long a retry is served with it.
        keep_seconds: How long the cache has the result for them.
        is_cached: The result is cached even if the image store has its images.
        is_local: Requests of this process wait without asking the store.
        by_idempotency_key: Only a failure that may have been billed ends the flight, and it is replayed as such.
        renews: A result that is nowhere is bought again; else it is `ResultExpired`.
        waits: A request waits for another leader; else it is `IdempotencyKeyInUse`.
        failures: Where failures that may have been billed are remembered.
    """

    key: CacheKey | None = None
    retry_of: CacheKey | None = None
    digest: str = ""
    told: JoinRules = field(default_factory=JoinRules)
    seconds: float = 0.0
    again_seconds: float = 0.0
    keep_seconds: float = 0.0
    is_cached: bool = False
    is_local: bool = False
    by_idempotency_key: bool = False
    renews: bool = False
    waits: bool = True
    failures: FailureMemory = field(default_factory=FailureMemory)

    def ends_with(self, failure: Failure) -> bool:
        """Tell whether a failure is the outcome for all: a retry would fail too, or pay twice."""
        return failure.may_be_billed if self.by_idempotency_key else is_final(failure)


class Membership:
    """The role of a request on a flight: its leader, or with `earlier` served by the result of another request."""

    def __init__(self, earlier: Result | None = None) -> None:
        self.earlier = earlier
        self.result = earlier

    async def mark_sent(self) -> None:
        """Say that a backend is about to be called: from here on no other request may lead.

        Raises:
            StateUnavailable: the flight is not led by this request any more, or the store does not answer.
        """

    async def finish(self, result: Result, *, free: bool = False) -> None:  # noqa: ARG002 (for `Leader`)
        """End the flight with a result. A `free` one was bought for another request and cost this one nothing."""
        self.result = result


class Leader(Membership):
    """The request that buys for a flight of the store. It extends the flight's lease until it is closed."""

    _timer: asyncio.TimerHandle

    def __init__(self, flight: Flight, key: CacheKey, owner: str, flights: Flights, cache: ResultCache) -> None:
        super().__init__()
        self.flight = flight
        self.sent = False
        self._at = key.scope, key.name, owner
        self._key = key
        self._flights = flights
        self._cache = cache
        self._extending: asyncio.Task[None] | None = None

    def extend_every(self, seconds: float) -> None:
        """Extend the lease from now on. A flight that is over before the first time needs no task."""
        self._timer = asyncio.get_running_loop().call_later(seconds, self._start_extending, seconds)

    def close(self) -> None:
        """Extend the lease no longer."""
        self._timer.cancel()
        if self._extending:
            self._extending.cancel()

    async def mark_sent(self) -> None:
        await self._flights.mark_sent(*self._at)
        self.sent = True

    async def finish(self, result: Result, *, free: bool = False) -> None:
        flight, kept = self.flight, result.images_stored
        if flight.is_cached or not (kept or free):
            kept = await self._cache.put(self._key, result, flight.keep_seconds) or kept
        handed = not kept and await self._hand_over(result)
        await self._land(result=result, handed=handed, free=free)
        self.result = result

    async def fail(self, failed: BackendFailed) -> None:
        """End the flight with a failure of all, or release it for the next request."""
        if self.flight.ends_with(failed.failure):
            free = isinstance(failed, FailureShared)  # the call of another request, which was booked there
            await self._land(failure=failed.failure, free=free)
        else:
            await self.release()

    async def release(self) -> None:
        """Nothing was bought: the flight is as if it had never been."""
        with suppress(StateUnavailable):  # the lease runs out
            await self._flights.release(*self._at)

    async def _land(
        self, *, free: bool, result: Result | None = None, failure: Failure | None = None, handed: bool = False
    ) -> None:
        outcome = FlightResult(
            result=result,
            failure=failure,
            has_shared_result=handed,
            is_free=free,
            shared_seconds=self.flight.seconds,
            retry_seconds=self.flight.again_seconds,
        )
        with suppress(StateUnavailable):  # the caller is served; the others find out when the lease is over
            await self._flights.finish(*self._at, outcome)

    async def _hand_over(self, result: Result) -> bool:
        with suppress(StateUnavailable):  # the caller is served; requests that wait find nothing
            return await self._flights.share_result(*self._at, result)
        return False

    def _start_extending(self, seconds: float) -> None:
        self._extending = asyncio.create_task(self._extend(seconds))

    async def _extend(self, seconds: float) -> None:
        while True:
            try:
                with suppress(StateUnavailable):  # the store may answer again before the lease is over
                    await self._flights.extend(*self._at)
            except Exception as error:  # noqa: BLE001 (without extensions another request would lead: go on)
                report_error("lease of a flight", error)
            await asyncio.sleep(seconds)


@dataclass(slots=True, kw_only=True)
class SingleFlight:
    """Joins flights. `mint` gives the owner of a flight; a silent one is taken for gone after `lease` seconds."""

    flights: Flights
    cache: ResultCache
    mint: Callable[[], str]
    lease: float
    observe: Observer = discard_event
    _local: dict[CacheKey, asyncio.Future[Result]] = field(default_factory=dict)

    @asynccontextmanager
    async def join(self, flight: Flight) -> AsyncIterator[Membership]:
        """Join a flight for the length of a block. The block buys and calls `finish`, unless there is an `earlier`.

        Raises:
            FailureShared, FailureReplayed: the failure that the flight ended with, or that is remembered.
            OutcomeUnknown: the outcome of an identical purchase is unknown.
            IdempotencyKeyReused, IdempotencyKeyInUse: the Idempotency-Key cannot be served now.
            ResultExpired: the result was bought, and neither cache nor image store has it.
            StateUnavailable: the store does not answer.
        """
        await self._raise_remembered(flight.failures)
        async with self._membership(flight, await self._find_key(flight)) as member:
            try:
                yield member
            except BackendFailed as failed:  # remembered before the flight ends: no request comes in between
                await self._remember(flight.failures, failed.failure)
                raise

    def _membership(self, flight: Flight, key: CacheKey | None) -> AbstractAsyncContextManager[Membership]:
        if key is None:
            return nullcontext(Membership())
        return self._local_join(flight, key) if flight.is_local else self._store_join(flight, key)

    @asynccontextmanager
    async def _local_join(self, flight: Flight, key: CacheKey) -> AsyncIterator[Membership]:
        """Wait for an identical purchase of this process, or lead one that others of this process wait for."""
        earlier = await self._wait_local(key)
        if earlier:
            yield Membership(earlier)
            return
        outcome = self._local[key] = asyncio.get_running_loop().create_future()
        try:
            async with self._store_join(flight, key) as member:
                if member.earlier:
                    self._end_local(key, outcome, member.earlier)
                yield member
        except BaseException as error:
            self._end_local(key, outcome, error)
            raise
        self._end_local(key, outcome, member.result)

    async def _wait_local(self, key: CacheKey) -> Result | None:
        while outcome := self._local.get(key):
            try:
                return await asyncio.shield(outcome)
            except BackendFailed as failed:
                raise FailureShared(failed.failure) from failed
            except (OutcomeUnknown, ResultExpired):
                raise
            except GatewayError:
                continue  # the leader was refused, which need not mean that this request is
        return None

    def _end_local(self, key: CacheKey, outcome: asyncio.Future[Result], end: Result | BaseException | None) -> None:
        if outcome.done():
            return
        del self._local[key]
        if isinstance(end, Result):
            outcome.set_result(end)
        elif end is None or isinstance(end, asyncio.CancelledError):
            outcome.cancel()
        else:
            outcome.set_exception(end)
            outcome.exception()  # there may be no request that waits for it

    @asynccontextmanager
    async def _store_join(self, flight: Flight, key: CacheKey) -> AsyncIterator[Membership]:
        """Wait for an identical purchase of any replica, or lead it, and end it by what the block raises."""
        owner = self.mint()
        earlier = await self._acquire(flight, key, owner)
        if earlier:
            yield Membership(earlier)
            return
        leader = Leader(flight, key, owner, self.flights, self.cache)
        leader.extend_every(self.lease / 3)
        try:
            yield leader
        except BackendFailed as failed:
            await leader.fail(failed)
            raise
        except GatewayError:
            if not leader.sent:
                await leader.release()
            raise
        finally:
            leader.close()

    async def _acquire(self, flight: Flight, key: CacheKey, owner: str) -> Result | None:
        """Return the result of an earlier request, or None as soon as this request leads."""
        looks, counted = 0, flight.told if flight.waits else replace(flight.told, is_first_poll=False)
        while True:
            status = await self.flights.acquire(key.scope, key.name, owner, flight.digest, counted)
            if status.request_digest != flight.digest:
                raise IdempotencyKeyReused(
                    "This Idempotency-Key came with another request before. A new request needs a new key."
                )
            if status.role is not Role.FOLLOWER:
                self.observe(FlightResolved(role=status.role))
            raise_end(flight, status)
            if status.role is Role.LEADER:
                return None
            if status.role is Role.FINISHED:
                result = await self._read_result(status, key, waited=looks > 0)
                if result:
                    return result
                if not (flight.renews or status.is_free):
                    raise gone()
                looks, counted = 0, replace(flight.told, only_in_flight=True, is_first_poll=flight.waits)
            else:
                await asyncio.sleep(POLL_SECONDS[min(looks, len(POLL_SECONDS) - 1)])
                looks, counted = looks + 1, replace(counted, only_in_flight=False, is_first_poll=False)

    async def _read_result(self, status: FlightStatus, key: CacheKey, *, waited: bool) -> Result | None:
        landed, handed = status.result, None
        if status.has_shared_result:
            with suppress(StateUnavailable):  # as if it had not been handed over
                handed = await self.flights.take_shared_result(key.scope, key.name, waited=waited)
        return handed or (await self.cache.find(key, landed) if landed else None)

    async def _find_key(self, flight: Flight) -> CacheKey | None:
        """Return the key of a flight; of a retry, that of the flight which the first try of the SDK named."""
        retried = flight.retry_of
        if retried is None:
            return flight.key
        name = await self.flights.resolve_retry(
            retried.scope, retried.name, f"once-{self.mint()}", flight.again_seconds, is_retry=flight.told.is_retry
        )
        return CacheKey(retried.scope, name)

    async def _raise_remembered(self, memory: FailureMemory) -> None:
        failure = await self.flights.recall_failure(memory.scope, memory.recall) if memory.recall else None
        if failure:
            self.observe(FlightResolved(role=Role.FINISHED))
            raise FailureShared(failure)

    async def _remember(self, memory: FailureMemory, failure: Failure) -> None:
        if failure.may_be_billed:
            for name in memory.remember:
                with suppress(StateUnavailable):  # the caller is told the failure all the same
                    await self.flights.remember_failure(memory.scope, name, failure, memory.seconds)


def raise_end(flight: Flight, status: FlightStatus) -> None:
    """Raise what ends a request on a flight: a failure, an unknown outcome, or a key in use."""
    if status.role is Role.FINISHED and status.failure:
        if flight.by_idempotency_key:
            raise FailureReplayed(status.failure)
        raise FailureShared(status.failure)
    if status.role is Role.LOST or (status.role is Role.FINISHED and status.result is None):
        raise OutcomeUnknown("A purchase of this very image is in doubt. Ask again in some minutes.")
    if status.role is Role.FOLLOWER and not flight.waits:
        raise IdempotencyKeyInUse("The request with this Idempotency-Key is still under way.")


def is_final(failure: Failure) -> bool:
    """Tell whether a failure would meet every identical request, or may have been billed."""
    return step_after(failure) is NextStep.GIVE_UP


def gone() -> ResultExpired:
    """Build the error for a result that was bought and is nowhere."""
    return ResultExpired("This was bought, and the images are not kept any more. They are not bought again.")
