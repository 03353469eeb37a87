"""Go from backend to backend until somebody has drawn what is wanted, or until going on would be wrong.

Rule: `domain/steps.py` decides, this does it. Nobody is waited for longer than the operator allows, and nothing is held
meanwhile. Of several pictures those that are missing are asked for where the others came from. What was bought is
booked whatever becomes of the rest; whether the caller gets it without the rest is the operator's choice.
"""

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from functools import reduce

from service.domain.errors import CallFailed, Failure, FailureKind, GatewayError
from service.domain.notes import Served, notes
from service.domain.outcomes import Purchase
from service.domain.routing import Plan
from service.domain.steps import Step, Tried, Way, step
from service.usecases.buy_pictures import Bought, Bring, BuyPictures, Made, Wish, combined, join
from service.usecases.turns import Turns


@dataclass(frozen=True, slots=True, kw_only=True)
class Persistence:
    """How many seconds a request waits for backends in all, and whether `some` of its pictures are better than none."""

    wait_seconds: float
    some: bool = False


@dataclass(slots=True)
class Trail:
    """Where a request has been, what it brought from there, and what that and the rest cost in nano-USD."""

    tried: list[Tried] = field(default_factory=list)
    drawn: list[tuple[Plan, Purchase]] = field(default_factory=list)
    total: Bought = field(default_factory=Bought)
    waited: float = 0.0

    def add(self, plan: Plan, found: Bought) -> None:
        """One more attempt."""
        self.total = combined(self.total, found)
        if found.failure:
            self.tried.append(Tried(plan=plan, failure=found.failure))
        if found.purchase:
            self.drawn.append((plan, found.purchase))

    @property
    def pictures(self) -> int:
        """How many were drawn."""
        return sum(len(purchase.pictures) for _, purchase in self.drawn)


@dataclass(frozen=True, slots=True, kw_only=True)
class TryBackends:
    """The use case. `now` gives an aware UTC time; `sleep` waits for seconds."""

    buy: BuyPictures
    turns: Turns
    persistence: Persistence
    sleep: Callable[[float], Awaitable[None]]
    now: Callable[[], datetime]

    async def __call__(self, wish: Wish, plans: Sequence[Plan], bring: Bring | None) -> Made:
        """Have it drawn.

        Raises:
            CallFailed: nobody drew all of it.
            LimitExceeded, StateUnavailable: nothing more was bought.
            RequestError: what had to be brought could not be; nothing was bought.
        """
        trail = Trail()
        while trail.pictures < wish.spec.n:
            following = self._following(plans, trail)
            if isinstance(following, Failure):
                self._settle_for(trail, wish, following)
                break
            if following.wait:
                trail.waited += following.wait
                await self.sleep(following.wait)
            try:
                spec, found = await self.buy(_rest(wish, trail), following.plan, bring, first=not trail.tried)
            except GatewayError as refused:
                if not trail.pictures:
                    raise
                self._settle_for(trail, wish, Failure(kind=FailureKind.BUSY, message=refused.message))
                break
            if bring:
                wish, bring = replace(wish, spec=replace(spec, n=wish.spec.n)), None
            trail.add(following.plan, found)
            if found.failure is None:
                break
        return self._made(wish, trail)

    def _following(self, plans: Sequence[Plan], trail: Trail) -> Step | Failure:
        open_to_it = [plan for plan, _ in trail.drawn[:1]] or plans
        ways = [self._way(plan) for plan in open_to_it]
        return step(ways, trail.tried, self.persistence.wait_seconds - trail.waited)

    def _way(self, plan: Plan) -> Way:
        return Way(plan=plan, hindrance=self.turns.hindrance(plan.route), streak=self.turns.streak(plan.route))

    def _settle_for(self, trail: Trail, wish: Wish, failure: Failure) -> None:
        """Nothing more will come. Raises `CallFailed` unless what there is will do."""
        if not trail.pictures:
            raise CallFailed(failure)
        if not self.persistence.some:
            counted = f"{trail.pictures} of {wish.spec.n} pictures were bought and are booked; the rest failed."
            raise CallFailed(replace(failure, message=f"{counted} {failure.message}", drawn=True))

    def _made(self, wish: Wish, trail: Trail) -> Made:
        (plan, _), *_ = trail.drawn
        purchase = reduce(join, (purchase for _, purchase in trail.drawn))
        served = Served(
            spec=wish.spec,
            plan=plan,
            transcode=trail.total.transcode,
            partials=wish.partials,
            shown=trail.total.previews,
        )
        return Made(
            spec=wish.spec,
            backend=plan.route.backend,
            upstream_model=plan.route.model,
            price_version=plan.price.version,
            purchase=purchase,
            created=purchase.created or int(self.now().timestamp()),
            cost=trail.total.cost,
            notes=notes(served),
        )


def _rest(wish: Wish, trail: Trail) -> Wish:
    """What is still missing. Nobody is shown previews of one among several."""
    if not trail.pictures:
        return wish
    return replace(wish, spec=replace(wish.spec, n=wish.spec.n - trail.pictures), partials=0)
