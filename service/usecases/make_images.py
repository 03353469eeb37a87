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
from service.domain.errors import Overloaded, StoreUnavailable
from service.domain.images import Spec
from service.domain.ledger import Admission
from service.domain.routing import Plan, candidates, drawable, lot, ordered
from service.domain.teams import authorize
from service.domain.terms import Terms
from service.usecases.answer_once import AnswerOnce
from service.usecases.buy_once import BuyOnce
from service.usecases.buy_pictures import Bring, Depart, Made, Wish, nothing, together
from service.usecases.gather_references import GatherReferences, has_links
from service.usecases.ports import Backends, Show, unseen
from service.usecases.share import Share, without_tokens
from service.usecases.try_backends import TryBackends


def nobody(admission: Admission) -> None:
    """Is told how limits stand, and does not care."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """What one caller asks for, of what there is, on which terms.

    `admitted` is told how the caller's limits stand, before anything is bought; `depart` that the vendor is about to be
    asked. With `linked`, all pictures of the share are in the store. So many `partials` are wanted on the way, if the
    picture is bought for this caller and the backend has them, and shown.
    """

    spec: Spec
    caller: Caller
    catalog: Catalog
    terms: Terms
    linked: bool = False
    admitted: Callable[[Admission], None] = nobody
    depart: Depart = nothing
    partials: int = 0
    show: Show = unseen


@dataclass(frozen=True, slots=True, kw_only=True)
class MakeImages:
    """The use case. `now` gives an aware UTC time; a replica that is `crowded` begins nothing new.

    With `zero_usage` an answer that was bought for another request says that it took no tokens.
    """

    backends: Backends
    gather: GatherReferences
    draw: TryBackends
    answer: AnswerOnce
    once: BuyOnce
    crowded: Callable[[], bool]
    now: Callable[[], datetime]
    zero_usage: bool = False

    async def __call__(self, asked: Asked) -> Share:
        """Draw what is asked for.

        Raises:
            StoreUnavailable: the pictures were bought, are `linked`, and the store does not take them.
            Overloaded: too many requests wait for the state; nothing was held.
            GatewayError: the request is invalid, not allowed or over a limit, or no backend delivered (`CallFailed`).
        """
        if self.crowded():
            raise Overloaded(
                "Too many requests are waiting in this replica. Nothing was bought; ask again in a moment."
            )
        today = self.now().date()
        model = asked.catalog.find(asked.spec.model, today)
        spec = asked.spec if asked.spec.model == model.id else replace(asked.spec, model=model.id)
        team, number = asked.caller.key.team, lot(asked.caller.request_id)
        authorize(team, spec, model)
        authorize(asked.caller.key, spec, model)
        check(spec, model)
        found = candidates(spec, model, self.backends.keys(), today, team)
        plans = ordered(drawable(spec, model, found), spec, model, number, asked.partials)
        wish = Wish(
            spec=spec,
            model=model,
            caller=asked.caller,
            admitted=asked.admitted,
            linked=asked.linked,
            depart=asked.depart,
            partials=asked.partials,
            show=asked.show,
        )
        share = await self.answer(wish, asked.terms, partial(self._story, plans, asked.terms))
        if asked.linked and not share.result.stored:
            raise StoreUnavailable("The pictures were made, but there is no place to keep them just now.")
        return share

    async def _story(self, plans: tuple[Plan, ...], terms: Terms, wish: Wish) -> Share:
        """What a wish comes to. A try that follows another of the same request shows what the first one took."""
        share = await self._once(plans, terms, wish)
        return without_tokens(share) if self.zero_usage and not terms.again else share

    async def _once(self, plans: tuple[Plan, ...], terms: Terms, wish: Wish) -> Share:
        """Bring what the request only links to, before or after it is admitted, and buy."""
        relay = all(self.backends[plan.route.backend].relays_links for plan in plans)
        bring: Bring = partial(self.gather, relay=relay)
        if has_links(wish.spec):
            terms = replace(terms, relayed=relay)
            if not relay and not self.once.shares(wish, terms):
                return await self.once(wish, terms, partial(self._draw, plans, bring))
        spec = await bring(wish.spec)
        if spec is not wish.spec:
            wish = replace(wish, spec=spec)
        return await self.once(wish, terms, partial(self._draw, plans, None))

    async def _draw(self, plans: tuple[Plan, ...], bring: Bring | None, wish: Wish, depart: Depart) -> Made:
        return await self.draw(replace(wish, depart=together(wish.depart, depart)), plans, bring)
