"""One attempt along one route: hold the worst price, call the backend, post what the calls cost.

Rule: each call has one hold and at most one entry. Its entry is posted as soon as the backend has answered, before
anything else can fail. Of several calls side by side one may fail and the others not. An attempt that is refused a slot
has called no backend, and its holds are voided.

Fails with: `LimitExceeded` or `StateUnavailable`; no backend was called then.
"""

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import reduce

from service.domain.booking import Delivered, build_entry, build_hold_request
from service.domain.errors import Failure, FailureKind
from service.domain.generation import Generation
from service.domain.ledger import Entry, EntryStatus, HoldRequest, applicable_limits, booked_cost, other_tier_limits
from service.domain.quota_limits import RATES, Limit
from service.domain.quotes import cost
from service.domain.routing import NextStep, Plan, Transcode, preview_count, split, step_after, upstream_specs
from service.usecases.generate.single_flight import Membership
from service.usecases.images.transcode_images import TranscodeImages, required_transcode
from service.usecases.money.hold_quota import Hold, HoldQuota
from service.usecases.ports.admission_control import AdmissionControl, Slot
from service.usecases.ports.backends import Backends, Reply
from service.usecases.ports.events import AttemptFinished, InFlightChanged, QuoteExceeded
from service.usecases.ports.observer import Observer
from service.usecases.ports.requests import ImageRequest, RequestListener, UpstreamRequest
from service.usecases.ports.tracing import Tracer

SEVERITY = {NextStep.LATER: 0, NextStep.NEXT_ROUTE: 1, NextStep.GIVE_UP: 2}
"""Of parallel calls, the failure with the highest severity decides the next step."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Call:
    """One call of a backend, and the hold that covers it."""

    hold_request: HoldRequest
    upstream: UpstreamRequest


@dataclass(frozen=True, slots=True, kw_only=True)
class AttemptResult:
    """The outcome of one or several calls: images, a failure, or with several calls both.

    Attributes:
        cost: Nano-USD in the ledger.
        transcode: What was done with the images here.
        previews: Number of previews that the caller was sent.
    """

    generation: Generation | None = None
    failure: Failure | None = None
    cost: int = 0
    transcode: Transcode | None = None
    previews: int = 0

    def __add__(self, other: "AttemptResult") -> "AttemptResult":
        return AttemptResult(
            generation=join(self.generation, other.generation)
            if self.generation and other.generation
            else self.generation or other.generation,
            failure=worse(self.failure, other.failure)
            if self.failure and other.failure
            else self.failure or other.failure,
            cost=self.cost + other.cost,
            transcode=self.transcode or other.transcode,
            previews=self.previews + other.previews,
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Attempt:
    """The attempts of one replica. `new_id` gives 32 random hex digits, `monotonic` monotonic seconds."""

    backends: Backends
    transcode_images: TranscodeImages
    hold_quota: HoldQuota
    admission: AdmissionControl
    observer: Observer
    tracer: Tracer
    new_id: Callable[[], str]
    monotonic: Callable[[], float]

    async def run(
        self,
        request: ImageRequest,
        plan: Plan,
        flights: Sequence[Membership],
        listener: RequestListener,
        *,
        first: bool,
    ) -> AttemptResult:
        """Hold, call and post. Only the `first` attempt of a request counts against its rates.

        Raises:
            LimitExceeded, StateUnavailable: no backend was called.
        """
        calls = self.calls(request, plan)
        hold_requests, team = [call.hold_request for call in calls], request.caller.key.team.name
        limits = limits_for(request, hold_requests, rates=first)
        async with self.hold_quota.hold(team, hold_requests, limits) as hold:
            if first:
                listener.on_admitted(hold.admission)
            async with self.admission.slot(plan.route, len(calls), request.spec.n) as slot:
                if isinstance(slot, Failure):
                    return AttemptResult(failure=slot)

                # From here on no other request may buy these images, and an unposted call may have been billed.
                for flight in flights:
                    await flight.mark_sent()
                listener.on_sent()
                await hold.mark_sent()

                running = [self._call(call, request, plan, hold, slot, listener) for call in calls]
                results = await asyncio.gather(*running) if running[1:] else [await running[0]]
        return reduce(AttemptResult.__add__, results)

    def calls(self, request: ImageRequest, plan: Plan) -> list[Call]:
        """Build the calls of a plan: several where the route makes fewer images at a time than are wanted."""
        spec, caller = request.spec, request.caller
        partials = preview_count(spec, plan, request.partials)
        return [
            Call(
                hold_request=build_hold_request(
                    self.new_id(), part, plan, request.model, caller, partials, cache_status=request.source
                ),
                upstream=UpstreamRequest(
                    spec=upstream_spec,
                    route=plan.route,
                    price=plan.price,
                    request_id=caller.request_id,
                    partials=partials,
                    hops=caller.hops,
                ),
            )
            for part, upstream_spec in zip(split(spec, plan), upstream_specs(spec, plan), strict=True)
        ]

    async def _call(  # noqa: PLR0913, PLR0917 (the parts of a call)
        self,
        call: Call,
        request: ImageRequest,
        plan: Plan,
        hold: Hold,
        slot: Slot,
        listener: RequestListener,
    ) -> AttemptResult:
        """Make one call and post it. A reply that cannot be read spoils no other call."""
        hold_request, upstream, started_at = call.hold_request, call.upstream, self.monotonic()
        backend = upstream.route.backend
        with self.tracer.attempt(backend, upstream.route.model) as span:
            traced = replace(upstream, carried=span.headers) if span.headers else upstream
            self.observer.record(InFlightChanged(backend=backend, images=upstream.spec.n))
            try:
                reply = await self.backends[backend].generate(traced, listener)
            finally:
                self.observer.record(InFlightChanged(backend=backend, images=-upstream.spec.n))
            span.record(self._observe_end(upstream, reply, self.monotonic() - started_at), reply.outcome)
        self.admission.record(slot, reply)
        outcome = reply.outcome
        if isinstance(outcome, Failure):
            return AttemptResult(failure=outcome, cost=await self._settle_failure(hold, hold_request, outcome))

        # Some prices go by the size of an image, so it is measured before the entry is posted.
        tier = outcome.tier or plan.route.delivers
        generation = outcome if tier == outcome.tier else replace(outcome, tier=tier)
        measured = await self.transcode_images.with_real_size(generation)
        if isinstance(measured, Failure):
            entry = replace(self._entry(call, request, generation, hold), status=EntryStatus.FAILED)
            paid = booked_cost(await hold.post(entry), entry.cost, hold_request.quote)
            return AttemptResult(failure=measured, cost=paid)
        entry = self._entry(call, request, measured, hold)
        paid = booked_cost(await hold.post(entry), entry.cost, hold_request.quote)

        finished = await self.transcode_images.transcode(measured, request.spec, plan)
        if isinstance(finished, Failure):
            return AttemptResult(failure=finished, cost=paid)
        return AttemptResult(
            generation=finished,
            failure=shortage(len(finished.images), call.upstream.spec.n),
            cost=paid,
            transcode=required_transcode(measured, request.spec, plan),
            previews=reply.previews,
        )

    def _observe_end(self, call: UpstreamRequest, reply: Reply, seconds: float) -> AttemptFinished:
        failure = reply.outcome if isinstance(reply.outcome, Failure) else None
        finished = AttemptFinished(
            request_id=call.request_id,
            backend=call.route.backend,
            model=call.route.model,
            seconds=seconds,
            failure=failure.kind if failure else None,
            cause=failure.cause if failure else None,
        )
        self.observer.record(finished)
        return finished

    async def _settle_failure(self, hold: Hold, hold_request: HoldRequest, failure: Failure) -> int:
        """Post a call that may have been billed at its quote, else void its hold. Returns nano-USD in the ledger."""
        if failure.may_be_billed:
            await hold.post(build_entry(hold_request, hold.admission.held_at))
            return hold_request.quote
        return booked_cost(await hold.void(hold_request.hold_id), 0, hold_request.quote)

    def _entry(self, call: Call, request: ImageRequest, generation: Generation, hold: Hold) -> Entry:
        upstream, hold_request, model = call.upstream, call.hold_request, request.model
        charge = cost(upstream.spec, model, upstream.route, upstream.price, generation, upstream.partials)
        if charge.nano > hold_request.quote:
            self.observer.record(
                QuoteExceeded(
                    request_id=upstream.request_id,
                    model=model.id,
                    backend=upstream.route.backend,
                    quote=hold_request.quote,
                    cost=charge.nano,
                ),
            )
        delivered = Delivered(model=model, generation=generation, charge=charge)
        return build_entry(hold_request, hold.admission.held_at, delivered)


def limits_for(request: ImageRequest, hold_requests: Sequence[HoldRequest], *, rates: bool) -> tuple[Limit, ...]:
    """Return the limits that the holds of an attempt count against; those per minute only with `rates`."""
    key, scopes = request.caller.key, hold_requests[0].scopes
    limits = (*applicable_limits(key, scopes), *other_tier_limits(key, request.model, scopes))
    return limits if rates else tuple(limit for limit in limits if limit.measure not in RATES)


def shortage(delivered: int, ordered: int) -> Failure | None:
    """Return the failure of an incomplete reply. The vendor may bill all images, so none is asked for again."""
    if delivered >= ordered:
        return None
    message = f"The backend delivered {delivered} of {ordered} images that can be read."
    return Failure(kind=FailureKind.BROKEN_REPLY, message=message, drawn=True)


def join(first: Generation, second: Generation) -> Generation:
    """Join two generations of one request: images in order, usage summed if both have it."""
    usage = first.usage + second.usage if first.usage and second.usage else None
    return replace(first, images=first.images + second.images, usage=usage)


def worse(first: Failure, second: Failure) -> Failure:
    """Return the failure that decides what happens next."""
    return max(first, second, key=lambda failure: SEVERITY[step_after(failure)])
