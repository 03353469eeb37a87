"""Buy a picture once for everybody who asks for the same: from what was kept, from who is buying it now, or anew.

Rule: identical requests of a scope have one name. A result that is kept is a hit; a purchase under way is joined,
in this replica without asking anybody, across replicas by the flight of that name; otherwise the caller leads. A
purchase lives in a task of its own: a caller who hangs up does not end it. A leader that fails in a way that would
meet everybody lands its failure; one that bought nothing leaves, and the next may lead. What became of
a leader that went away after its vendor was asked nobody knows, and nobody buys it again: `FlightLost`.
"""

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import suppress
from dataclasses import dataclass, field, replace
from datetime import datetime
from enum import StrEnum
from hashlib import sha256

from service.domain.booking import resolved_tier
from service.domain.errors import CallFailed, Failure, FlightLost, GatewayError, NotCached, StateUnavailable
from service.domain.images import fingerprint
from service.domain.ledger import Basis, Claim, Entry, HoldState, Status, limits_of, scopes_of
from service.domain.routing import Next, after
from service.domain.terms import Terms
from service.usecases.buy_pictures import Depart, Made, Wish, nothing
from service.usecases.flights import Flights, Result, Results, Seat
from service.usecases.hold_money import HoldMoney

REMEMBERED_SECONDS = 1.0  # a landed flight, so that whoever waits sees it
PAUSES = (0.02, 0.05, 0.1, 0.2)  # between looks at a flight of another replica
SHARED = "_shared"
MICROSECONDS = 1_000_000

Buy = Callable[[Depart], Awaitable[Made]]
"""Makes the purchase; awaits its argument just before the vendor is asked."""


class Source(StrEnum):
    """Where a picture came from, as `x-gateway-cache` says it."""

    MISS = "miss"
    HIT = "hit"
    JOINED = "joined"
    BYPASS = "bypass"


@dataclass(frozen=True, slots=True, kw_only=True)
class Share:
    """What the caller gets, where it came from, and how old it is in seconds."""

    made: Made
    source: Source
    age: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Policy:
    """How long results are kept, in seconds (0: not at all), and whether teams share them."""

    seconds: int
    shared: bool


@dataclass(frozen=True, slots=True)
class Flown:
    """What a flight brought; `led`: this replica bought it."""

    result: Result
    led: Made | None = None


@dataclass(slots=True, kw_only=True)
class BuyOnce:
    """The use case. `now` gives an aware UTC time; a flight whose leader is silent for `lease` seconds is lost."""

    results: Results
    flights: Flights
    hold: HoldMoney
    policy: Policy
    mint: Callable[[], str]
    now: Callable[[], datetime]
    lease: float
    _here: dict[tuple[str, str], asyncio.Task[Flown]] = field(default_factory=dict)

    def shares(self, wish: Wish, terms: Terms) -> bool:
        """May this wish be served by what was bought for another?"""
        return terms.share and self.seconds(wish) > 0

    def seconds(self, wish: Wish) -> int:
        """How long its result is kept: what the team says, else the model, else everybody."""
        said = (wish.caller.key.team.cache_seconds, wish.model.cache_seconds)
        return next((seconds for seconds in said if seconds is not None), self.policy.seconds)

    async def __call__(self, wish: Wish, terms: Terms, buy: Buy) -> Share:
        """The pictures of a wish.

        Raises:
            NotCached: the caller asked for nothing that costs, and nothing is kept.
            FlightLost: a purchase of it is in doubt.
            GatewayError: what buying raises.
        """
        if not self.shares(wish, terms):
            return Share(made=await detached(buy(nothing)), source=Source.BYPASS)
        scope, name = self._named(wish, terms)
        kept = await self.results.get(scope, name)
        age = self._age(kept) if kept else 0
        if kept and (terms.max_age is None or age < terms.max_age):
            return Share(made=await self._served(wish, kept, Source.HIT), source=Source.HIT, age=age)
        if terms.only:
            raise NotCached("Nothing like this is kept, and only-if-cached forbids to buy it.")
        if terms.max_age == 0:
            return Share(made=await detached(self._anew(scope, name, wish, buy)), source=Source.MISS)
        return await self._flown(scope, name, wish, buy)

    def _named(self, wish: Wish, terms: Terms) -> tuple[str, str]:
        scope = SHARED if self.policy.shared else wish.caller.key.team.name
        return scope, sha256(f"{fingerprint(wish.spec)}\n{terms.variant}".encode()).hexdigest()

    def _age(self, kept: Result) -> int:
        return max(0, int(self.now().timestamp() - kept.kept_at / MICROSECONDS))

    async def _flown(self, scope: str, name: str, wish: Wish, buy: Buy) -> Share:
        """Join who is buying it in this replica, or be that one."""
        while flight := self._here.get((scope, name)):
            try:
                flown = await asyncio.shield(flight)
            except (CallFailed, FlightLost):
                raise
            except GatewayError:
                continue  # the leader was refused, which need not mean that this caller is
            return Share(made=await self._served(wish, flown.result, Source.JOINED), source=Source.JOINED)
        flight = self._here[scope, name] = asyncio.create_task(self._fly(scope, name, wish, buy))
        flight.add_done_callback(lambda _: self._here.pop((scope, name), None))
        flown = await asyncio.shield(flight)
        if flown.led:
            return Share(made=flown.led, source=Source.MISS)
        return Share(made=await self._served(wish, flown.result, Source.JOINED), source=Source.JOINED)

    async def _fly(self, scope: str, name: str, wish: Wish, buy: Buy) -> Flown:
        """Lead the flight of that name, or wait for who leads it in another replica."""
        owner, looks = self.mint(), 0
        while True:
            boarding = await self.flights.board(scope, name, owner)
            match boarding.seat:
                case Seat.LEAD:
                    return await self._led(scope, name, owner, wish, buy)
                case Seat.LOST:
                    raise FlightLost("A purchase of this very picture is in doubt. Ask again in some minutes.")
                case Seat.LANDED:
                    return await self._landed(scope, name, boarding.failure, wish, buy)
                case _:
                    await asyncio.sleep(PAUSES[min(looks, len(PAUSES) - 1)])
                    looks += 1

    async def _landed(self, scope: str, name: str, failure: Failure | None, wish: Wish, buy: Buy) -> Flown:
        if failure:
            raise CallFailed(failure)
        kept = await self.results.get(scope, name)
        if kept:
            return Flown(kept)
        made = await buy(nothing)  # bought and not kept: the results are away, or have no room for it
        return Flown(self._result(made, wish), made)

    async def _led(self, scope: str, name: str, owner: str, wish: Wish, buy: Buy) -> Flown:
        sent = False

        async def depart() -> None:
            nonlocal sent
            await self.flights.sent(scope, name, owner)
            sent = True

        beat = asyncio.create_task(self._beat(scope, name, owner))
        try:
            made = await buy(depart)
            result = self._result(made, wish)
            await self.results.put(scope, name, result, self.seconds(wish))
            await self._land(scope, name, owner, None)
        except CallFailed as failed:
            if after(failed.failure) is Next.GIVE_UP:
                await self._land(scope, name, owner, failed.failure)
            else:
                await self._leave(scope, name, owner)
            raise
        except GatewayError:
            if not sent:
                await self._leave(scope, name, owner)
            raise
        finally:
            beat.cancel()
        return Flown(result, made)

    async def _land(self, scope: str, name: str, owner: str, failure: Failure | None) -> None:
        """Tell the other replicas. Without the store they find out when the lease is over; the caller is served."""
        with suppress(StateUnavailable):
            await self.flights.land(scope, name, owner, failure, REMEMBERED_SECONDS)

    async def _leave(self, scope: str, name: str, owner: str) -> None:
        """Nothing was bought, and whoever asks next may have more luck."""
        with suppress(StateUnavailable):
            await self.flights.leave(scope, name, owner)

    async def _anew(self, scope: str, name: str, wish: Wish, buy: Buy) -> Made:
        """A purchase of its own, whose result is kept in place of the older one."""
        made = await buy(nothing)
        await self.results.put(scope, name, self._result(made, wish), self.seconds(wish))
        return made

    async def _beat(self, scope: str, name: str, owner: str) -> None:
        while True:
            await asyncio.sleep(self.lease / 3)
            await self.flights.extend(scope, name, owner)

    async def _served(self, wish: Wish, kept: Result, source: Source) -> Made:
        """What was bought for another, counted as a request and booked as what it saved."""
        wanted = claim_of(self.mint(), wish, kept, source)
        limits = limits_of(wish.caller.key, wanted.scopes)
        async with self.hold(wish.caller.key.team.name, [wanted], limits, HoldState.SENT) as held:
            wish.admitted(held.admission)
            await held.post(replace(wanted.entry, held_at=held.admission.held_at))
        return Made(
            spec=wish.spec,
            backend=kept.backend,
            upstream_model=kept.upstream_model,
            price_version=kept.price_version,
            purchase=kept.purchase,
            created=kept.created,
            cost=0,
        )

    def _result(self, made: Made, wish: Wish) -> Result:
        return Result(
            model=wish.model.id,
            backend=made.backend,
            upstream_model=made.upstream_model,
            price_version=made.price_version,
            purchase=made.purchase,
            created=made.created,
            cost=made.cost,
            kept_at=int(self.now().timestamp() * MICROSECONDS),
        )


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
    scopes = scopes_of(wish.caller.key, spec, wish.model)
    return Claim(hold_id=hold_id, quote=0, images=0, scopes=scopes, entry=entry)


async def detached(purchase: Awaitable[Made]) -> Made:
    """Wait for a purchase that goes on if the caller does not."""
    return await asyncio.shield(asyncio.ensure_future(purchase))
