"""Make pictures: the one story that everything else serves.

Rule: nothing is fetched before the request is known to be valid, allowed and within its limits, and nothing is bought
before a route is known to honour all of it. A call that may have been billed is never repeated.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import datetime
from functools import partial

from service.domain.booking import Caller
from service.domain.catalog import Catalog, check
from service.domain.errors import CallFailed, Failure
from service.domain.images import Spec
from service.domain.ledger import Admission
from service.domain.outcomes import Purchase
from service.domain.routing import Next, Plan, after, candidates
from service.domain.teams import authorize
from service.usecases.buy_pictures import Bring, BuyPictures, Wish
from service.usecases.gather_references import GatherReferences, has_links
from service.usecases.ports import Backends


@dataclass(frozen=True, slots=True, kw_only=True)
class Made:
    """A served request: what was wanted, how it was drawn, what was delivered and what it cost in nano-USD.

    `created` is in Unix seconds.
    """

    spec: Spec
    plan: Plan
    purchase: Purchase
    created: int
    cost: int


def nobody(admission: Admission) -> None:
    """Is told how limits stand, and does not care."""


@dataclass(frozen=True, slots=True, kw_only=True)
class MakeImages:
    """The use case. `now` gives an aware UTC time."""

    backends: Backends
    gather: GatherReferences
    buy: BuyPictures
    now: Callable[[], datetime]

    async def __call__(
        self, spec: Spec, caller: Caller, catalog: Catalog, admitted: Callable[[Admission], None] = nobody
    ) -> Made:
        """Draw what the spec asks for. `admitted` is told how the caller's limits stand, before anything is bought.

        Raises:
            GatewayError: the request is invalid, not allowed or over a limit, or no backend delivered (`CallFailed`).
        """
        today = self.now().date()
        model = catalog.find(spec.model, today)
        spec = replace(spec, model=model.id)
        authorize(caller.key.team, spec, model)
        check(spec, model)
        plans = candidates(spec, model, self.backends.keys(), today)
        relay = all(self.backends[plan.route.backend].relays_links for plan in plans)
        bring: Bring = partial(self.gather, relay=relay)
        wish = Wish(spec=spec, model=model, caller=caller, admitted=admitted)
        if has_links(spec) and not relay:  # fetching takes a while, and is for those who may draw: hold first
            return await self._buy(wish, plans, bring)
        return await self._buy(replace(wish, spec=await bring(spec)), plans, None)

    async def _buy(self, wish: Wish, plans: tuple[Plan, ...], bring: Bring | None) -> Made:
        """Go down the candidates until one delivers, or until going on would be wrong."""
        failures: list[Failure] = []
        for plan in plans:
            spec, bought = await self.buy(wish, plan, bring, first=not failures)
            if isinstance(bought.outcome, Purchase):
                created = bought.outcome.created or int(self.now().timestamp())
                return Made(spec=spec, plan=plan, purchase=bought.outcome, created=created, cost=bought.cost)
            failures.append(bought.outcome)
            if after(bought.outcome) is Next.GIVE_UP:
                raise CallFailed(bought.outcome)
            wish, bring = replace(wish, spec=spec), None
        raise CallFailed(failures[0])
