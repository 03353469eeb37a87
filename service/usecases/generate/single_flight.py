"""Single flight: one purchase for all requests that its result may serve, in this process and in all replicas.

Rule: a flight has one leader, which extends its lease while it buys. The leader finishes the flight with its result, or
with a failure that every other request would meet too. A leader that bought nothing releases the flight, and the next
request leads. A result that neither cache nor image store has is shared with the requests that wait. A failure that may
have been billed is remembered for the API key.

Fails with: `OutcomeUnknown` if the leader went away after its backend was called. If the store stops answering after
the call, the leader is served all the same; the other requests learn the outcome when the lease is over.
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
from service.usecases.ports.observer import NULL_OBSERVER, Observer
from service.usecases.ports.result_store import Result

POLL_SECONDS = (0.02, 0.05, 0.1, 0.2)  # between polls of a flight of another replica


@dataclass(frozen=True, slots=True, kw_only=True)
class FailureMemory:
    """Where failures that may have been billed are remembered for an API key.

    Attributes:
        scope: The team, or the scope of all teams.
        recall: The name of a failure that counts for this request; empty if none counts.
        remember: The names under which a failure is stored.
        seconds: Seconds for which it is stored.
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
        retry_key: Scope and name of an SDK's request, whose retry is served by the flight of its first try.
        digest: The digest of the request of an Idempotency-Key. Another digest on the flight is `IdempotencyKeyReused`.
        join_rules: Rules about finished flights that count for this request.
        shared_seconds: Seconds for which every identical request is served with the outcome.
        retry_seconds: Seconds for which a retry is served with the outcome.
        keep_seconds: Seconds for which the cache keeps the result.
        is_cached: The result is cached even if the image store has its images.
        is_local: Requests of this process wait without polling the store.
        by_idempotency_key: Only a failure that may have been billed ends the flight, and it is replayed as such.
        repeats_expired: A result that no store has is bought again; else it is `ResultExpired`.
        waits_for_leader: A request waits for another leader; else it is `IdempotencyKeyInUse`.
        failures: The memory of failures that may have been billed.
    """

    key: CacheKey | None = None
    retry_key: CacheKey | None = None
    digest: str = ""
    join_rules: JoinRules = field(default_factory=JoinRules)
    shared_seconds: float = 0.0
    retry_seconds: float = 0.0
    keep_seconds: float = 0.0
    is_cached: bool = False
    is_local: bool = False
    by_idempotency_key: bool = False
    repeats_expired: bool = False
    waits_for_leader: bool = True
    failures: FailureMemory = field(default_factory=FailureMemory)

    def ends_with(self, failure: Failure) -> bool:
        """Tell whether a failure ends the flight for all requests: a retry would fail too, or pay twice."""
        return failure.may_be_billed if self.by_idempotency_key else is_final(failure)


class Membership:
    """The role of a request on a flight: its leader, or with `earlier` served by the result of another request."""

    def __init__(self, earlier: Result | None = None) -> None:
        self.earlier = earlier
        self.result = earlier

    async def mark_sent(self) -> None:
        """Record that a backend is about to be called: from here on no other request may lead.

        Raises:
            StateUnavailable: this request no longer leads the flight, or the store does not answer.
        """

    async def finish(self, result: Result, *, free: bool = False) -> None:  # noqa: ARG002 (for `Leader`)
        """End the flight with a result. A `free` result was bought for another request and cost this one nothing."""
        self.result = result


class Leader(Membership):
    """The request that buys for a flight of the store. The leader extends the flight's lease until it is closed."""

    _timer: asyncio.TimerHandle

    def __init__(self, flight: Flight, key: CacheKey, owner: str, flights: Flights, cache: ResultCache) -> None:
        super().__init__()
        self.flight = flight
        self.sent = False
        self._name = key.scope, key.name, owner
        self._key = key
        self._flights = flights
        self._cache = cache
        self._extending: asyncio.Task[None] | None = None

    def extend_every(self, seconds: float) -> None:
        """Extend the lease from now on. A flight that ends before the first extension needs no task."""
        self._timer = asyncio.get_running_loop().call_later(seconds, self._start_extending, seconds)

    def close(self) -> None:
        """Stop extending the lease."""
        self._timer.cancel()
        if self._extending:
            self._extending.cancel()

    async def mark_sent(self) -> None:
        await self._flights.mark_sent(*self._name)
        self.sent = True

    async def finish(self, result: Result, *, free: bool = False) -> None:
        flight, is_stored = self.flight, result.images_stored
        if flight.is_cached or not (is_stored or free):
            is_stored = await self._cache.put(self._key, result, flight.keep_seconds) or is_stored
        is_shared = not is_stored and await self._share(result)
        await self._finish(result=result, is_shared=is_shared, free=free)
        self.result = result

    async def fail(self, failed: BackendFailed) -> None:
        """End the flight with a failure for all requests, or release it for the next one."""
        if self.flight.ends_with(failed.failure):
            free = isinstance(failed, FailureShared)  # the call of another request, which was booked there
            await self._finish(failure=failed.failure, free=free)
        else:
            await self.release()

    async def release(self) -> None:
        """Remove the flight, because nothing was bought."""
        with suppress(StateUnavailable):  # the lease runs out
            await self._flights.release(*self._name)

    async def _finish(
        self, *, free: bool, result: Result | None = None, failure: Failure | None = None, is_shared: bool = False
    ) -> None:
        outcome = FlightResult(
            result=result,
            failure=failure,
            has_shared_result=is_shared,
            is_free=free,
            shared_seconds=self.flight.shared_seconds,
            retry_seconds=self.flight.retry_seconds,
        )
        with suppress(StateUnavailable):  # the caller is served; other requests learn it when the lease is over
            await self._flights.finish(*self._name, outcome)

    async def _share(self, result: Result) -> bool:
        with suppress(StateUnavailable):  # the caller is served; requests that wait get no result
            return await self._flights.share_result(*self._name, result)
        return False

    def _start_extending(self, seconds: float) -> None:
        self._extending = asyncio.create_task(self._extend(seconds))

    async def _extend(self, seconds: float) -> None:
        while True:
            try:
                with suppress(StateUnavailable):  # the store may answer again before the lease is over
                    await self._flights.extend(*self._name)
            except Exception as error:  # noqa: BLE001 (without extensions another request would lead, so the loop goes on)
                report_error("lease of a flight", error)
            await asyncio.sleep(seconds)


@dataclass(slots=True, kw_only=True)
class SingleFlight:
    """The flights of one replica. `new_id` gives the owner of a flight; a silent owner loses it after its lease."""

    flights: Flights
    cache: ResultCache
    new_id: Callable[[], str]
    lease_seconds: float
    observer: Observer = NULL_OBSERVER
    _local: dict[CacheKey, asyncio.Future[Result]] = field(default_factory=dict)

    @asynccontextmanager
    async def join(self, flight: Flight) -> AsyncIterator[Membership]:
        """Join a flight for the length of a block. The block buys and calls `finish`, unless there is an `earlier`.

        Raises:
            FailureShared, FailureReplayed: the failure that the flight ended with, or that is remembered.
            OutcomeUnknown: the outcome of an identical purchase is unknown.
            IdempotencyKeyReused, IdempotencyKeyInUse: the Idempotency-Key cannot be served now.
            ResultExpired: neither the cache nor the image store has the bought result any more.
            StateUnavailable: the store does not answer.
        """
        await self._raise_remembered(flight.failures)
        async with self._membership(flight, await self._find_key(flight)) as member:
            try:
                yield member
            except BackendFailed as failed:  # remembered before the flight ends, so that no request comes in between
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
                continue  # the leader was refused, but this request may be admitted
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
            outcome.exception()  # retrieved here, because no request may wait for it

    @asynccontextmanager
    async def _store_join(self, flight: Flight, key: CacheKey) -> AsyncIterator[Membership]:
        """Wait for an identical purchase of any replica, or lead it, and end it by what the block raises."""
        owner = self.new_id()
        earlier = await self._acquire(flight, key, owner)
        if earlier:
            yield Membership(earlier)
            return
        leader = Leader(flight, key, owner, self.flights, self.cache)
        leader.extend_every(self.lease_seconds / 3)
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
        polls, rules = 0, flight.join_rules
        if not flight.waits_for_leader:
            rules = replace(rules, is_first_poll=False)
        while True:
            status = await self.flights.acquire(key.scope, key.name, owner, flight.digest, rules)
            if status.request_digest != flight.digest:
                raise IdempotencyKeyReused(
                    "This Idempotency-Key came with another request before. A new request needs a new key."
                )
            if status.role is not Role.FOLLOWER:
                self.observer.record(FlightResolved(role=status.role))
            raise_end(flight, status)
            if status.role is Role.LEADER:
                return None
            if status.role is Role.FINISHED:
                result = await self._read_result(status, key, waited=polls > 0)
                if result:
                    return result
                if not (flight.repeats_expired or status.is_free):
                    raise build_result_expired()
                # The result is lost: wait for a running flight only, or lead.
                polls = 0
                rules = replace(flight.join_rules, only_in_flight=True, is_first_poll=flight.waits_for_leader)
            else:
                await asyncio.sleep(POLL_SECONDS[min(polls, len(POLL_SECONDS) - 1)])
                polls, rules = polls + 1, replace(rules, only_in_flight=False, is_first_poll=False)

    async def _read_result(self, status: FlightStatus, key: CacheKey, *, waited: bool) -> Result | None:
        shared = None
        if status.has_shared_result:
            with suppress(StateUnavailable):  # as if the result was not shared
                shared = await self.flights.take_shared_result(key.scope, key.name, waited=waited)
        return shared or (await self.cache.find(key, status.result) if status.result else None)

    async def _find_key(self, flight: Flight) -> CacheKey | None:
        """Return the key of a flight; of a retry, that of the flight which the first try of the SDK named."""
        retried = flight.retry_key
        if retried is None:
            return flight.key
        name = await self.flights.resolve_retry(
            retried.scope,
            retried.name,
            f"once-{self.new_id()}",
            flight.retry_seconds,
            is_retry=flight.join_rules.is_retry,
        )
        return CacheKey(retried.scope, name)

    async def _raise_remembered(self, memory: FailureMemory) -> None:
        failure = await self.flights.recall_failure(memory.scope, memory.recall) if memory.recall else None
        if failure:
            self.observer.record(FlightResolved(role=Role.FINISHED))
            raise FailureShared(failure)

    async def _remember(self, memory: FailureMemory, failure: Failure) -> None:
        if failure.may_be_billed:
            for name in memory.remember:
                with suppress(StateUnavailable):  # the caller gets the failure all the same
                    await self.flights.remember_failure(memory.scope, name, failure, memory.seconds)


def raise_end(flight: Flight, status: FlightStatus) -> None:
    """Raise the end of a request on a flight: a failure, an unknown outcome, or a key in use."""
    if status.role is Role.FINISHED and status.failure:
        if flight.by_idempotency_key:
            raise FailureReplayed(status.failure)
        raise FailureShared(status.failure)
    if status.role is Role.LOST or (status.role is Role.FINISHED and status.result is None):
        raise OutcomeUnknown("A purchase of this very image is in doubt. Ask again in some minutes.")
    if status.role is Role.FOLLOWER and not flight.waits_for_leader:
        raise IdempotencyKeyInUse("The request with this Idempotency-Key is still under way.")


def is_final(failure: Failure) -> bool:
    """Tell whether every identical request would fail so, or the call may have been billed."""
    return step_after(failure) is NextStep.GIVE_UP


def build_result_expired() -> ResultExpired:
    """Build the error for a bought result that no store has any more."""
    return ResultExpired("This was bought, and the images are not kept any more. They are not bought again.")
