"""Serve what was bought for another: count it as a request, and book what it saved.

Rule: it costs nothing and passes the limits all the same. Its pictures keep their ids as long as they lie in the store
for this team; where the cache has lost them, the store is looked into.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import datetime

import pybase64

from service.domain.booking import resolved_tier
from service.domain.errors import NotFoundError
from service.domain.kept import name_of
from service.domain.ledger import Basis, Claim, Entry, HoldState, Source, Status, limits_of, scopes_of, tiers_of
from service.usecases.buy_pictures import Wish
from service.usecases.flights import Result
from service.usecases.hold_money import HoldMoney
from service.usecases.keep_pictures import Keeping, KeepPictures
from service.usecases.read_pictures import ReadPictures
from service.usecases.share import MICROSECONDS, Share


@dataclass(frozen=True, slots=True, kw_only=True)
class ServeKept:
    """The use case. `mint` gives 32 random hex digits, `now` an aware UTC time."""

    hold: HoldMoney
    keep: KeepPictures
    pictures: ReadPictures
    mint: Callable[[], str]
    now: Callable[[], datetime]

    async def __call__(self, wish: Wish, kept: Result, source: Source, age: int = 0) -> Share:
        """The share of who asks, whose result is `age` seconds old.

        Raises:
            LimitExceeded, StateUnavailable: it may not be had just now.
        """
        wanted = claim_of(self.mint(), wish, kept, source)
        limits = limits_of(wish.caller.key, wanted.scopes)
        async with self.hold(wish.caller.key.team.name, [wanted], limits, HoldState.SENT) as held:
            wish.admitted(held.admission)
            await held.post(replace(wanted.entry, held_at=held.admission.held_at))
        keeping = await self.keep.again(kept, wish, age)
        replayed = source is Source.REPLAYED
        return Share(
            result=kept_as(kept, keeping),
            spec=wish.spec,
            source=source,
            cost=0,
            at=kept.kept_at // MICROSECONDS if replayed else int(self.now().timestamp()),
            request_id=kept.request_id if replayed else wish.caller.request_id,
            age=age,
        )

    async def recalled(self, hollow: Result | None) -> Result | None:
        """The result with its pictures from the store; None if they are not there.

        Raises:
            StoreUnavailable: nobody knows.
        """
        if hollow is None or not hollow.stored:
            return None
        drawn = hollow.purchase
        try:
            bodies = [await self.pictures.whole(name_of(picture)) for picture in hollow.ids]
        except NotFoundError:
            return None
        pairs = zip(drawn.pictures, bodies, strict=True)
        pictures = tuple(replace(picture, base64=pybase64.b64encode(body)) for picture, body in pairs)
        return replace(hollow, purchase=replace(drawn, pictures=pictures))


def kept_as(kept: Result, keeping: Keeping) -> Result:
    """The result under the ids that its pictures have for who asks."""
    if (kept.ids, kept.stored) == (keeping.ids, keeping.stored):
        return kept
    return replace(kept, ids=keeping.ids, stored=keeping.stored)


def claim_of(hold_id: str, wish: Wish, kept: Result, source: Source) -> Claim:
    """A hold of nothing, which counts as a request; its entry says what was not spent."""
    drawn, spec = kept.purchase, wish.spec
    entry = Entry(
        hold_id=hold_id,
        request_id=wish.caller.request_id,
        team=wish.caller.key.team.name,
        key=wish.caller.key.id,
        tags=wish.caller.tags,
        operation=spec.operation.value,
        model=wish.model.id,
        backend=kept.backend,
        upstream_model=kept.upstream_model,
        price_version=kept.price_version,
        output_format=drawn.output_format or spec.output_format,
        n=len(drawn.pictures),
        tier=spec.tier,
        resolved_tier=drawn.tier if drawn.tier in wish.model.tiers else resolved_tier(spec, wish.model),
        size=str(drawn.size or spec.size or "") or None,
        cost=0,
        saved=kept.cost,
        basis=Basis.CACHE,
        cache=source.value,
        status=Status.DELIVERED,
    )
    scopes = scopes_of(wish.caller.key, wish.model, tiers_of(spec, wish.model))
    return Claim(hold_id=hold_id, quote=0, images=0, scopes=scopes, entry=entry)
