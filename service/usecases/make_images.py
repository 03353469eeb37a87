"""Make pictures: the one story that everything else serves.

Rule: nothing is fetched before the request is known to be valid and allowed, and nothing is bought before a route is
known to honour all of it. A call that may have been billed is never repeated. With several orders side by side, what
was delivered is returned even if another order failed: a picture that was paid for is not thrown away.
"""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import datetime
from functools import reduce
from operator import add

from service.domain.catalog import Catalog, check
from service.domain.errors import CallFailed, Failure, FailureKind, UnreadableFile
from service.domain.images import Spec
from service.domain.outcomes import Outcome, Purchase
from service.domain.routing import Next, Plan, Transcode, after, candidates, orders
from service.domain.teams import Team, authorize
from service.usecases.events import AttemptFinished
from service.usecases.gather_references import GatherReferences
from service.usecases.ports import Backends, Darkroom, Observer, Order

MENDED = frozenset({"png", "jpeg", "webp"})


@dataclass(frozen=True, slots=True, kw_only=True)
class Made:
    """A served request: what was wanted, how it was drawn, what was delivered. `created` is in Unix seconds."""

    spec: Spec
    plan: Plan
    purchase: Purchase
    created: int


@dataclass(frozen=True, slots=True, kw_only=True)
class MakeImages:
    """The use case. `now` gives an aware UTC time, `elapsed` monotonic seconds."""

    backends: Backends
    darkroom: Darkroom
    gather: GatherReferences
    observe: Observer
    now: Callable[[], datetime]
    elapsed: Callable[[], float]

    async def __call__(self, spec: Spec, team: Team, catalog: Catalog, request_id: str) -> Made:
        """Draw what the spec asks for.

        Raises:
            GatewayError: the request is invalid or not allowed, or no backend delivered (`CallFailed`).
        """
        today = self.now().date()
        model = catalog.find(spec.model, today)
        spec = replace(spec, model=model.id)
        authorize(team, spec, model)
        check(spec, model)
        plans = candidates(spec, model, self.backends.keys(), today)
        relay = all(self.backends[plan.route.backend].relays_links for plan in plans)
        spec = await self.gather(spec, relay=relay)
        return await self._buy(spec, plans, request_id)

    async def _buy(self, spec: Spec, plans: tuple[Plan, ...], request_id: str) -> Made:
        """Go down the candidates until one delivers, or until going on would be wrong."""
        failures = []
        for plan in plans:
            outcome = await self._carry_out(spec, plan, request_id)
            if isinstance(outcome, Purchase):
                created = outcome.created or int(self.now().timestamp())
                return Made(spec=spec, plan=plan, purchase=outcome, created=created)
            failures.append(outcome)
            if after(outcome) is Next.GIVE_UP:
                raise CallFailed(outcome)
        raise CallFailed(failures[0])

    async def _carry_out(self, spec: Spec, plan: Plan, request_id: str) -> Outcome:
        """All orders of one plan side by side, joined into one outcome."""
        placed = [
            Order(spec=part, route=plan.route, price=plan.price, request_id=request_id) for part in orders(spec, plan)
        ]
        outcomes = await asyncio.gather(*(self._place(order, spec, plan) for order in placed))
        bought = [outcome for outcome in outcomes if isinstance(outcome, Purchase)]
        return join(bought) if bought else worst([outcome for outcome in outcomes if isinstance(outcome, Failure)])

    async def _place(self, order: Order, spec: Spec, plan: Plan) -> Outcome:
        """One order, developed by itself: a reply that cannot be read spoils no other one."""
        outcome = await self._attempt(order)
        return outcome if isinstance(outcome, Failure) else await self._developed(outcome, spec, plan)

    async def _attempt(self, order: Order) -> Outcome:
        started = self.elapsed()
        outcome = await self.backends[order.route.backend].buy(order)
        self.observe(
            AttemptFinished(
                request_id=order.request_id,
                backend=order.route.backend,
                model=order.route.model,
                seconds=self.elapsed() - started,
                failure=outcome.kind if isinstance(outcome, Failure) else None,
            ),
        )
        return outcome

    async def _developed(self, purchase: Purchase, spec: Spec, plan: Plan) -> Outcome:
        """The purchase in the format that was asked for, whatever the backend drew, and with its real size."""
        try:
            purchase = await self._measured(purchase)
            transcode = plan.transcode or mend(purchase, spec)
            if transcode is None:
                return purchase
            pictures = [await self.darkroom.develop(picture, transcode) for picture in purchase.pictures]
        except UnreadableFile:
            return Failure(kind=FailureKind.BROKEN_REPLY, message="The backend's reply is not a picture.")
        return replace(purchase, pictures=tuple(pictures), output_format=transcode.output_format)

    async def _measured(self, purchase: Purchase) -> Purchase:
        """What the backend left unsaid, read from the first picture."""
        if purchase.size and purchase.output_format:
            return purchase
        look = await self.darkroom.measure(purchase.pictures[0])
        if look is None:
            return purchase
        return replace(purchase, size=look.size, output_format=look.media_type.removeprefix("image/"))


def mend(purchase: Purchase, spec: Spec) -> Transcode | None:
    """What it takes when a backend drew another format than it was asked for."""
    drawn = purchase.output_format or spec.output_format
    if drawn == spec.output_format or spec.output_format not in MENDED:
        return None
    quality = 100 if spec.output_compression is None else spec.output_compression
    return Transcode(output_format=spec.output_format, quality=quality)


def join(purchases: list[Purchase]) -> Purchase:
    """Several purchases of the same thing as one: pictures in order, usage summed where all of them have it."""
    first, *_ = purchases
    usages = [purchase.usage for purchase in purchases if purchase.usage]
    return replace(
        first,
        pictures=tuple(picture for purchase in purchases for picture in purchase.pictures),
        usage=reduce(add, usages) if len(usages) == len(purchases) else None,
    )


def worst(failures: list[Failure]) -> Failure:
    """Of several failures the one that must decide what happens next: one that forbids going on, if there is one."""
    return next((failure for failure in failures if after(failure) is Next.GIVE_UP), failures[0])
