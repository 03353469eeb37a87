"""Buy pictures along one route: hold their worst price, call the backend once for each order, book what it came to.

Rule: an order has one hold, one call and at most one entry. It is booked as soon as the vendor has answered, before
anything else can go wrong, and by itself: of several orders side by side one may fail and the others not. Who is not
given a turn at the backend has asked nobody, and gives the money back.
"""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, replace
from functools import partial, reduce

from service.domain.booking import Caller, claim, delivered, undelivered
from service.domain.catalog import Model
from service.domain.errors import Failure, FailureKind
from service.domain.images import Spec
from service.domain.ledger import Admission, Claim, Entry, HoldState, Source, Status, booked, limits_beside, limits_of
from service.domain.limits import RATES
from service.domain.outcomes import Outcome, Partial, Purchase
from service.domain.quotes import cost
from service.domain.routing import Next, Plan, Transcode, after, orders, previews, split
from service.usecases.develop import Develop, needed
from service.usecases.events import AttemptFinished, DrawingChanged, QuoteExceeded
from service.usecases.hold_money import Held, HoldMoney
from service.usecases.ports import Backends, Observer, Order, Show, unseen
from service.usecases.traces import Tracer
from service.usecases.turns import Turn, Turns

SEVERITY = {Next.LATER: 0, Next.NEXT_ROUTE: 1, Next.GIVE_UP: 2}
"""Of orders side by side the one that leaves the least to be done decides."""

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

    `admitted` is told how the caller's limits stand. So many `partials` are wanted on the way, and shown. A purchase is
    booked under `source`, which `BuyOnce` sets.
    """

    spec: Spec
    model: Model
    caller: Caller
    admitted: Callable[[Admission], None]
    linked: bool = False
    depart: Depart = nothing
    partials: int = 0
    show: Show = unseen
    source: Source = Source.BYPASS


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


@dataclass(frozen=True, slots=True, kw_only=True)
class Bought:
    """What orders came to: pictures, a failure, or with several orders both; and what was booked, in nano-USD.

    `transcode` is what was done with the pictures here; so many `previews` were shown.
    """

    purchase: Purchase | None = None
    failure: Failure | None = None
    cost: int = 0
    transcode: Transcode | None = None
    previews: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Placing:
    """What orders that are placed side by side have in common."""

    held: Held
    turn: Turn
    wish: Wish
    plan: Plan


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
    turns: Turns
    observe: Observer
    trace: Tracer
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
        claims = [
            claim(self.mint(), part, plan, wish.model, wish.caller, partials, source=wish.source) for part in parts
        ]
        key, scopes = wish.caller.key, claims[0].scopes
        limits = (*limits_of(key, scopes), *limits_beside(key, wish.model, scopes))
        counted = limits if first else tuple(limit for limit in limits if limit.measure not in RATES)
        state = HoldState.PENDING if bring else HoldState.SENT
        async with self.hold(key.team.name, claims, counted, state) as held:
            if first:
                wish.admitted(held.admission)
            async with Unsent(held):
                spec = await bring(wish.spec) if bring else wish.spec
                turn = await self.turns.take(plan.route, len(parts), spec.n)
            if isinstance(turn, Failure):
                await held.release()
                return spec, Bought(failure=turn)
            try:
                async with Unsent(held):
                    await held.send()
                    await wish.depart()
                placing = Placing(held=held, turn=turn, wish=wish, plan=plan)
                placed = [self._place(placing, *each) for each in zip(claims, orders(spec, plan), strict=True)]
                found = await asyncio.gather(*placed) if placed[1:] else [await placed[0]]
            finally:
                await self.turns.leave(turn)
        return spec, reduce(combined, found)

    async def _place(self, placing: Placing, claim: Claim, part: Spec) -> Bought:
        """One order, booked and developed by itself: a reply that cannot be read spoils no other one."""
        held, wish, plan = placing.held, placing.wish, placing.plan
        show = Counted(wish.show)
        order = Order(
            spec=part,
            route=plan.route,
            price=plan.price,
            request_id=wish.caller.request_id,
            hops=wish.caller.hops,
            partials=previews(wish.spec, plan, wish.partials),
            show=show,
            heard=partial(self.turns.heard, plan.route),
        )
        outcome = await self._attempt(order)
        self.turns.told(placing.turn, outcome)
        if isinstance(outcome, Failure):
            return Bought(failure=outcome, cost=await self._book_failure(held, claim, outcome))
        tier = outcome.tier or plan.route.delivers
        if tier != outcome.tier:
            outcome = replace(outcome, tier=tier)
        measured = await self.develop.measured(outcome)
        if isinstance(measured, Failure):
            entry = replace(self._entry(held, claim, order, wish.model, outcome), status=Status.FAILED)
            return Bought(failure=measured, cost=booked(await held.post(entry), entry.cost, claim.quote))
        entry = self._entry(held, claim, order, wish.model, measured)
        paid = booked(await held.post(entry), entry.cost, claim.quote)
        finished = await self.develop(measured, wish.spec, plan)
        if isinstance(finished, Failure):
            return Bought(failure=finished, cost=paid)
        return Bought(
            purchase=finished,
            failure=shortage(len(finished.pictures), part.n),
            cost=paid,
            transcode=needed(measured, wish.spec, plan),
            previews=show.shown,
        )

    async def _attempt(self, order: Order) -> Outcome:
        backend, model, started = order.route.backend, order.route.model, self.elapsed()
        with self.trace.attempt(backend, model) as span:
            outcome = await self._drawn(replace(order, carried=span.headers) if span.headers else order)
            failure = outcome if isinstance(outcome, Failure) else None
            finished = AttemptFinished(
                request_id=order.request_id,
                backend=backend,
                model=model,
                seconds=self.elapsed() - started,
                failure=failure.kind if failure else None,
                cause=failure.cause if failure else None,
            )
            self.observe(finished)
            span.tell(finished, outcome)
        return outcome

    async def _drawn(self, order: Order) -> Outcome:
        """What a call comes to. Whoever looks from outside sees it under way, and over whatever ends it."""
        backend, pictures = order.route.backend, order.spec.n
        self.observe(DrawingChanged(backend=backend, pictures=pictures))
        try:
            return await self.backends[backend].buy(order)
        finally:
            self.observe(DrawingChanged(backend=backend, pictures=-pictures))

    async def _book_failure(self, held: Held, claim: Claim, failure: Failure) -> int:
        if failure.may_be_billed:
            await held.post(undelivered(claim, held.admission.held_at))
            return claim.quote
        return booked(await held.void(claim.hold_id), 0, claim.quote)

    def _entry(self, held: Held, claim: Claim, order: Order, model: Model, purchase: Purchase) -> Entry:
        charge = cost(order.spec, model, order.route, order.price, purchase, order.partials)
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


@dataclass(frozen=True, slots=True)
class Unsent:
    """As long as nobody was asked, whatever goes wrong gives the money back."""

    held: Held

    async def __aenter__(self) -> None:
        """Nobody was asked yet."""

    async def __aexit__(self, kind: type[BaseException] | None, *_: object) -> None:
        """Somebody may be asked from here on, or never will be."""
        if kind:
            await self.held.release()


def shortage(delivered: int, ordered: int) -> Failure | None:
    """Why an order is not complete. The vendor may bill all of it, so the missing pictures are not asked for again."""
    if delivered >= ordered:
        return None
    message = f"The backend delivered {delivered} of {ordered} pictures that can be read."
    return Failure(kind=FailureKind.BROKEN_REPLY, message=message, drawn=True)


def combined(one: Bought, other: Bought) -> Bought:
    """What two orders came to together: the pictures of both, and of two failures the worse."""
    return Bought(
        purchase=join(one.purchase, other.purchase)
        if one.purchase and other.purchase
        else one.purchase or other.purchase,
        failure=worse(one.failure, other.failure) if one.failure and other.failure else one.failure or other.failure,
        cost=one.cost + other.cost,
        transcode=one.transcode or other.transcode,
        previews=one.previews + other.previews,
    )


def join(one: Purchase, other: Purchase) -> Purchase:
    """Two purchases of the same thing as one: pictures in order, usage summed where both have it."""
    usage = one.usage + other.usage if one.usage and other.usage else None
    return replace(one, pictures=one.pictures + other.pictures, usage=usage)


def worse(one: Failure, other: Failure) -> Failure:
    """Of two failures the one that must decide what happens next."""
    return max(one, other, key=lambda failure: SEVERITY[after(failure)])
