"""Buy pictures along one route: hold their worst price, call the backend once for each order, book what it came to.

Rule: an order has one hold, one call and at most one entry. It is booked as soon as the vendor has answered, before
anything else can go wrong. With several orders side by side, what was delivered is kept even if another one failed.
"""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, replace
from functools import reduce
from operator import add

from service.domain.booking import Caller, claim, delivered, undelivered
from service.domain.catalog import Model
from service.domain.errors import Failure, GatewayError
from service.domain.images import Spec
from service.domain.ledger import Admission, Claim, Entry, HoldState, Status, limits_of
from service.domain.limits import RATES
from service.domain.outcomes import Outcome, Partial, Purchase
from service.domain.quotes import cost
from service.domain.routing import Next, Plan, Transcode, after, orders, previews, split
from service.usecases.develop import Develop, needed
from service.usecases.events import AttemptFinished, QuoteExceeded
from service.usecases.hold_money import Held, HoldMoney
from service.usecases.ports import Backends, Observer, Order, Show, unseen

Bring = Callable[[Spec], Awaitable[Spec]]
"""Fetches what a spec only links to."""


Depart = Callable[[], Awaitable[None]]
"""Is awaited when everything is held and the vendor is about to be asked."""


async def nothing() -> None:
    """Nobody has to be told that the vendor is asked."""


def together(*departs: Depart) -> Depart:
    """Tells all of them, one after another."""

    async def depart() -> None:
        for each in departs:
            await each()

    return depart


@dataclass(frozen=True, slots=True, kw_only=True)
class Wish:
    """What is wanted, of which model, by whom; `linked` if the pictures are wanted by address.

    `admitted` is told how the caller's limits stand. So many `partials` are wanted on the way, and shown.
    """

    spec: Spec
    model: Model
    caller: Caller
    admitted: Callable[[Admission], None]
    linked: bool = False
    depart: Depart = nothing
    partials: int = 0
    show: Show = unseen


@dataclass(frozen=True, slots=True, kw_only=True)
class Made:
    """A served request: what was wanted, who drew it, what was delivered and what it cost in nano-USD.

    `created` is in Unix seconds; `notes` say what was emulated.
    """

    spec: Spec
    backend: str
    upstream_model: str
    price_version: str
    purchase: Purchase
    created: int
    cost: int
    notes: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Bought:
    """What orders along one route came to: pictures or a failure, and what was booked for it in nano-USD.

    `transcode` is what was done with the pictures here; so many `previews` were shown.
    """

    outcome: Outcome
    cost: int
    transcode: Transcode | None = None
    previews: int = 0


@dataclass(slots=True)
class Counted:
    """Shows previews, and counts them."""

    show: Show
    shown: int = 0

    async def __call__(self, partial: Partial) -> None:
        """Show one."""
        self.shown += 1
        await self.show(partial)


@dataclass(frozen=True, slots=True, kw_only=True)
class BuyPictures:
    """The use case. `mint` gives 32 random hex digits, `elapsed` monotonic seconds."""

    backends: Backends
    develop: Develop
    hold: HoldMoney
    observe: Observer
    mint: Callable[[], str]
    elapsed: Callable[[], float]

    async def __call__(self, wish: Wish, plan: Plan, bring: Bring | None, *, first: bool) -> tuple[Spec, Bought]:
        """Place every order of a plan; gives the spec, with what `bring` brought, and what came of it.

        Only the first plan of a request counts against its rates.

        Raises:
            LimitExceeded, StateUnavailable: nothing was bought.
            RequestError: what had to be brought could not be; nothing was bought.
        """
        parts, partials = split(wish.spec, plan), previews(wish.spec, plan, wish.partials)
        claims = [claim(self.mint(), part, plan, wish.model, wish.caller, partials) for part in parts]
        limits = limits_of(wish.caller.key, claims[0].scopes)
        counted = limits if first else tuple(limit for limit in limits if limit.measure not in RATES)
        state = HoldState.PENDING if bring else HoldState.SENT
        async with self.hold(wish.caller.key.team.name, claims, counted, state) as held:
            if first:
                wish.admitted(held.admission)
            spec = await bring(wish.spec) if bring else wish.spec
            await held.send()
            try:
                await wish.depart()
            except GatewayError:
                await held.release()
                raise
            placed = zip(claims, orders(spec, plan), strict=True)
            found = await asyncio.gather(*(self._place(held, one, part, wish, plan) for one, part in placed))
        return spec, combine(found)

    async def _place(self, held: Held, claim: Claim, part: Spec, wish: Wish, plan: Plan) -> Bought:
        """One order, booked and developed by itself: a reply that cannot be read spoils no other one."""
        show = Counted(wish.show)
        order = Order(
            spec=part,
            route=plan.route,
            price=plan.price,
            request_id=wish.caller.request_id,
            partials=previews(wish.spec, plan, wish.partials),
            show=show,
        )
        outcome = await self._attempt(order)
        if isinstance(outcome, Failure):
            return Bought(outcome, await self._book_failure(held, claim, outcome))
        outcome = replace(outcome, tier=outcome.tier or plan.route.delivers)
        measured = await self.develop.measured(outcome)
        if isinstance(measured, Failure):
            entry = self._entry(held, claim, order, wish.model, outcome)
            await held.post(replace(entry, status=Status.FAILED))
            return Bought(measured, entry.cost)
        entry = self._entry(held, claim, order, wish.model, measured)
        await held.post(entry)
        finished = await self.develop(measured, wish.spec, plan)
        return Bought(finished, entry.cost, needed(measured, wish.spec, plan), show.shown)

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

    async def _book_failure(self, held: Held, claim: Claim, failure: Failure) -> int:
        if failure.may_be_billed:
            await held.post(undelivered(claim, held.admission.held_at))
            return claim.quote
        await held.void(claim.hold_id)
        return 0

    def _entry(self, held: Held, claim: Claim, order: Order, model: Model, purchase: Purchase) -> Entry:
        charge = cost(order.spec, model, order.route, order.price, purchase)
        if charge.nano > claim.quote:
            self.observe(
                QuoteExceeded(
                    request_id=order.request_id,
                    model=model.id,
                    backend=order.route.backend,
                    quote=claim.quote,
                    cost=charge.nano,
                ),
            )
        return delivered(claim, held.admission.held_at, purchase, charge, model)


def combine(found: Sequence[Bought]) -> Bought:
    """Several orders as one: the pictures, if there are any, else the failure that decides what happens next."""
    spent, shown = sum(each.cost for each in found), sum(each.previews for each in found)
    bought = [each.outcome for each in found if isinstance(each.outcome, Purchase)]
    if bought:
        transcode = next((each.transcode for each in found if each.transcode), None)
        return Bought(join(bought), spent, transcode, shown)
    return Bought(worst([each.outcome for each in found if isinstance(each.outcome, Failure)]), spent)


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
