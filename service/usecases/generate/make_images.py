"""The path of an image request, from its plan to its delivery.

Rule: nothing is fetched before the request is valid, allowed and within its limits. Nothing is bought before a route is
known to honour all of it. A call that may have been billed is never repeated. The order is: Idempotency-Key, limits,
references, cache, flight, hold, sent, call, settled, transcoded, stored.

Fails with: a `GatewayError`, such as `BackendFailed` if no backend delivered.
"""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Protocol

from service.domain.catalog import check_spec
from service.domain.errors import Failure, FailureKind, GatewayError, NotCached, Overloaded, StoreUnavailable
from service.domain.ledger import CacheStatus
from service.domain.limit_errors import find_refusal
from service.domain.routing import Plan, find_candidates, order_plans, request_hash, require_plans
from service.domain.team_access import authorize
from service.usecases.background.detached_tasks import DetachedTasks
from service.usecases.generate.attempt import Attempt, limits_for
from service.usecases.generate.attempts import Attempts, RetryPolicy
from service.usecases.generate.delivery import Delivery, build_delivery, to_replay_result, without_tokens
from service.usecases.generate.flight_names import CacheKey
from service.usecases.generate.request_flights import (
    IdempotencyPolicy,
    idempotency_flight,
    own_flight,
    shared_flight,
)
from service.usecases.generate.result_cache import MICROSECONDS, ResultCache
from service.usecases.generate.samples import Sample, Samples
from service.usecases.generate.serve_cached import ServeCached
from service.usecases.generate.single_flight import Flight, Membership, SingleFlight
from service.usecases.images.gather_references import GatherReferences, has_links
from service.usecases.images.image_storage import ImageStorage
from service.usecases.money.read_limits import ReadLimits
from service.usecases.ports.backends import Backends
from service.usecases.ports.requests import NULL_LISTENER, ImageRequest, RequestListener
from service.usecases.ports.result_store import Result


class RequestQueue(Protocol):
    """The requests of this replica that wait for Redis."""

    def is_full(self) -> bool:
        """Tell whether nothing new may begin."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class MakeImages:
    """Makes images: from the cache, from an identical purchase under way, or by a purchase.

    Attributes:
        queue: Requests that wait for Redis; if it is full, nothing new begins.
        now: Gives an aware UTC time.
        sleep: Waits for seconds.
        zero_usage: A result that was bought for another request is delivered without tokens.
    """

    backends: Backends
    gather_references: GatherReferences
    read_limits: ReadLimits
    single_flight: SingleFlight
    samples: Samples
    cache: ResultCache
    serve_cached: ServeCached
    attempt: Attempt
    image_storage: ImageStorage
    detached_tasks: DetachedTasks
    idempotency: IdempotencyPolicy
    retry: RetryPolicy
    queue: RequestQueue
    now: Callable[[], datetime]
    sleep: Callable[[float], Awaitable[None]]
    zero_usage: bool = False

    async def make(self, request: ImageRequest, listener: RequestListener = NULL_LISTENER) -> Delivery:
        """Deliver the images of a request. A purchase goes on if the caller hangs up.

        Raises:
            Overloaded: too many requests wait for the store; nothing was held.
            StoreUnavailable: the caller wants addresses, and the image store does not accept the bought images.
            BackendFailed: no backend delivered.
            GatewayError: the request is invalid, not allowed or over a limit.
        """
        if self.queue.is_full():
            raise Overloaded(
                "Too many requests are waiting in this replica. Nothing was bought; ask again in a moment."
            )
        request, plans = self._plan(request)
        sample = Sample(self.samples)
        try:
            delivery = await self.detached_tasks.run(self._deliver(request, plans, sample, listener))
        except asyncio.CancelledError:
            sample.leave()
            raise
        if request.linked and not delivery.result.images_stored:
            raise StoreUnavailable("The images were made, but there is no place to keep them just now.")
        return delivery

    def _plan(self, request: ImageRequest) -> tuple[ImageRequest, tuple[Plan, ...]]:
        """Check a request, and order the routes that can honour all of it."""
        today, key = self.now().date(), request.caller.key
        model = request.catalog.get(request.spec.model, today)
        spec = request.spec if request.spec.model == model.id else replace(request.spec, model=model.id)
        authorize(key.team, spec, model)
        authorize(key, spec, model)
        check_spec(spec, model)
        possible = require_plans(spec, model, find_candidates(spec, model, self.backends.keys(), today, key.team))
        plans = order_plans(possible, spec, model, request_hash(request.caller.request_id), request.partials)
        return request if spec is request.spec else replace(request, spec=spec), plans

    async def _deliver(
        self, request: ImageRequest, plans: Sequence[Plan], sample: Sample, listener: RequestListener
    ) -> Delivery:
        """Replay the result of an Idempotency-Key, else deliver."""
        async with self.single_flight.join(idempotency_flight(request, self.idempotency)) as keyed:
            if keyed.earlier:
                return await self.serve_cached.serve(request, keyed.earlier, CacheStatus.REPLAYED, listener)
            with sample:
                delivery = await self._deliver_once(request, plans, sample, keyed, listener)
            if self.zero_usage and not request.terms.is_retry:
                delivery = without_tokens(delivery)
            await keyed.finish(to_replay_result(delivery), free=delivery.is_free)
        return delivery

    async def _deliver_once(
        self,
        request: ImageRequest,
        plans: Sequence[Plan],
        sample: Sample,
        keyed: Membership,
        listener: RequestListener,
    ) -> Delivery:
        """Serve from the cache or from an identical purchase, else by a purchase."""
        request = await self._fetch_references(request, plans)  # the cache key depends on their bytes
        request = await sample.assign(request)
        key, shares = self.cache.key(request), self.cache.shares(request)

        if shares:
            request = replace(request, source=CacheStatus.MISS)
            cached = await self.cache.get(key, request.terms.max_age)
            if cached:
                return await self.serve_cached.serve(request, cached.result, CacheStatus.HIT, listener, cached.age)
        if request.terms.only_if_cached:
            raise NotCached("Nothing like this is kept, and only-if-cached forbids to buy it.")

        async with self.single_flight.join(self._flight(request, key, shares=shares)) as flight:
            if flight.earlier:
                return await self.serve_cached.serve(request, flight.earlier, CacheStatus.JOINED, listener)
            result = await self._generate(request, plans, (keyed, flight), listener)
            if shares and request.terms.max_age == 0:
                await self.cache.put(key, result, self.cache.seconds(request))
            await flight.finish(result)
        return build_delivery(result, request)

    def _flight(self, request: ImageRequest, key: CacheKey, *, shares: bool) -> Flight:
        """Build the flight of a purchase. A request for a newer result than the cache has joins none."""
        if shares and request.terms.max_age != 0:
            return shared_flight(request, key, self.idempotency, self.cache.seconds(request))
        return own_flight(request, key, self.idempotency)

    async def _fetch_references(self, request: ImageRequest, plans: Sequence[Plan]) -> ImageRequest:
        """Fetch and check the caller's input images, unless the vendors fetch the links."""
        relay = all(self.backends[plan.route.backend].accepts_links for plan in plans)
        if has_links(request.spec):
            request = replace(request, terms=replace(request.terms, has_relayed_links=relay))
            if not relay:
                await self._check_limits(request, plans)
        spec = await self.gather_references.gather(request.spec, relay=relay)
        return request if spec is request.spec else replace(request, spec=spec)

    async def _check_limits(self, request: ImageRequest, plans: Sequence[Plan]) -> None:
        """Raise `LimitExceeded` before a fetch if no route of the request would be admitted.

        A retry may get the result of its first try, and `only-if-cached` buys nothing: both cost nothing here.
        """
        team, is_free = request.caller.key.team.name, request.terms.only_if_cached or request.terms.is_retry
        holds = [[call.hold_request for call in self.attempt.calls(request, plan)] for plan in plans]
        if is_free:
            holds = [[replace(hold, quote=0, images=0, quotes={}) for hold in route] for route in holds]
        limits = dict.fromkeys(limit for route in holds for limit in limits_for(request, route, rates=True))
        statuses = await self.read_limits.read(team, [*limits])
        refusals = [find_refusal(team, statuses, route, self.now()) for route in holds]
        if refusals[0] and all(refusals):
            raise refusals[0]

    async def _generate(
        self,
        request: ImageRequest,
        plans: Sequence[Plan],
        flights: Sequence[Membership],
        listener: RequestListener,
    ) -> Result:
        """Try route after route until all images are generated, or another call would be wrong."""
        attempts = Attempts(request, plans, self.retry)
        while attempts.images < request.spec.n:
            step = attempts.next(self.attempt.admission)
            if isinstance(step, Failure):
                attempts.accept_partial_or_raise(step)
                break
            if step.wait_seconds:
                attempts.waited_seconds += step.wait_seconds
                await self.sleep(step.wait_seconds)
            try:
                result = await self.attempt.run(attempts.rest, step.plan, flights, listener, first=not attempts.tried)
            except GatewayError as refused:
                if not attempts.images:
                    raise
                attempts.accept_partial_or_raise(Failure(kind=FailureKind.BUSY, message=refused.message))
                break
            attempts.add(step.plan, result)
            if result.failure is None:
                break
        return await self._store(request, attempts)

    async def _store(self, request: ImageRequest, attempts: Attempts) -> Result:
        """Store the images, and build the result."""
        generation, plan = attempts.generation, attempts.plan
        created = generation.created or int(self.now().timestamp())
        stored = await self.image_storage.store(generation, request)
        return Result(
            model=request.model.id,
            backend=plan.route.backend,
            upstream_model=plan.route.model,
            price_version=plan.price.version,
            generation=generation,
            created=created,
            cost=attempts.total.cost,
            stored_at=int(self.now().timestamp() * MICROSECONDS),
            ids=stored.ids,
            images_stored=stored.are_stored,
            request_id=request.caller.request_id,
            notes=attempts.notes,
        )
