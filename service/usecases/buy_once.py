"""Buy a picture once for everybody who asks for the same: from what was kept, from who is buying it now, or anew.

Rule: identical requests of a scope have one name. A result that is kept is a hit; a purchase under way is joined,
in this replica without asking anybody, across replicas by the flight of that name (`fly.py`); else the caller leads.
Who shares with nobody buys alone, but an SDK that asks again gets what its first try bought. A failure that may have
been billed is remembered for the API key: its identical requests get the same failure for a while. Where requests side
by side vary, the store deals each a number of a series, and it goes on as the request for that sample
(decision 0036). A purchase lives in a task of its own: a caller who hangs up does not end it.
"""

import asyncio
from collections import Counter
from collections.abc import Awaitable, Callable, Iterable
from contextlib import suppress
from dataclasses import dataclass, field, replace
from datetime import datetime
from functools import partial
from hashlib import sha256

from service.domain.errors import (
    CallFailed,
    CallJoined,
    Failure,
    FlightLost,
    GatewayError,
    NotCached,
    NotKeptAnyMore,
    StateUnavailable,
)
from service.domain.images import fingerprint
from service.domain.ledger import Source
from service.domain.routing import Next, after
from service.domain.teams import Key, Team
from service.domain.terms import MOST_SAMPLES, Terms
from service.usecases.background import report_lost_error
from service.usecases.buy_pictures import Depart, Made, Wish, nothing
from service.usecases.detached import Detached
from service.usecases.events import FlightTaken
from service.usecases.flights import Flights, Result, Results, Seat, Series, Told
from service.usecases.fly import Brought, Flight, Flown, Fly
from service.usecases.keep_pictures import KeepPictures
from service.usecases.ports import Observer, unobserved
from service.usecases.serve_kept import ServeKept
from service.usecases.share import MICROSECONDS, Share, bought

MOMENT_SECONDS = 1.0  # a landed flight is told to everybody, so that whoever waits sees it
AGAIN_SECONDS = 600.0  # and to an SDK that asks again
SHARED = "_shared"

Buy = Callable[[Wish, Depart], Awaitable[Made]]
"""Makes the purchase of a wish; awaits `depart` just before the vendor is asked."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Policy:
    """How long results are kept, in seconds (0: not at all), and whether teams share them.

    A failure that may have been billed is remembered for `failure_seconds` (0: not at all).
    """

    seconds: int
    shared: bool
    failure_seconds: int = 0


@dataclass(slots=True, kw_only=True)
class BuyOnce:
    """The use case. `now` gives an aware UTC time."""

    results: Results
    flights: Flights
    fly: Fly
    detached: Detached
    keep: KeepPictures
    serve: ServeKept
    policy: Policy
    mint: Callable[[], str]
    now: Callable[[], datetime]
    observe: Observer = unobserved
    _callers: Counter[tuple[str, str]] = field(default_factory=Counter)
    _here: dict[tuple[str, str], asyncio.Task[Flown]] = field(default_factory=dict)

    def shares(self, wish: Wish, terms: Terms) -> bool:
        """May this wish be served by what was bought for another?"""
        return terms.share and not terms.relayed and self.seconds(wish) > 0

    def seconds(self, wish: Wish) -> int:
        """How long its result is kept: what the team says, else the model, else everybody."""
        said = (wish.caller.key.team.cache_seconds, wish.model.cache_seconds)
        return next((seconds for seconds in said if seconds is not None), self.policy.seconds)

    async def __call__(self, wish: Wish, terms: Terms, buy: Buy) -> Share:
        """The pictures of a wish.

        Raises:
            NotCached: the caller asked for nothing that costs, and nothing is kept.
            CallJoined: an identical request failed, and may have been billed.
            FlightLost: a purchase of it is in doubt.
            NotKeptAnyMore: an SDK asks again for what was bought, and it is nowhere.
            GatewayError: what buying raises.
        """
        if terms.vary and not terms.only and self.shares(wish, terms):
            return await self._varied(wish, terms, buy)
        return await self._sample(wish, terms, buy)

    async def _varied(self, wish: Wish, terms: Terms, buy: Buy) -> Share:
        """The sample whose number the store deals. Who takes over from this caller is dealt the same number."""
        scope, series = self._series(wish, terms)
        here, number = (scope, series.name), None
        busy = self._callers[here] > 0
        self._callers[here] += 1
        try:
            dealt = await self.flights.deal(scope, series, again=terms.again, busy=busy)
            if isinstance(dealt, Failure):
                raise self._joined_failure(dealt)
            number = dealt
            return await self._sample(wish, replace(terms, variant=number), buy)
        except asyncio.CancelledError:  # the caller hung up; the purchase goes on
            self._offer(scope, series, number)
            raise
        except GatewayError as error:
            if not isinstance(error, CallFailed) or not is_final(error.failure):
                self._offer(scope, series, number)
            raise
        finally:
            self._callers[here] -= 1
            if not self._callers[here]:
                del self._callers[here]

    def _series(self, wish: Wish, terms: Terms) -> tuple[str, Series]:
        """Scope and series of a wish."""
        places = samples(wish, shared=self.policy.shared)
        scope, first = places[0]
        return scope, Series(
            name=name_for_key(wish.caller.key, first),
            flights=tuple(name for _, name in places),
            failure=self._remembered_as(series_name(first), wish, terms),
            seconds=self.seconds(wish),
        )

    def _offer(self, scope: str, series: Series, number: int | None) -> None:
        """Behind the request: the next one of the series takes this number."""

        async def offer(number: int) -> None:
            with suppress(StateUnavailable):  # the next one is dealt another number, and may buy
                await self.flights.offer(scope, series, number)

        if number is not None:
            self.detached.begin(offer(number)).add_done_callback(report_lost_error)

    async def _sample(self, wish: Wish, terms: Terms, buy: Buy) -> Share:
        """The pictures of a wish whose variant is known."""
        scope, name = place_of(wish, terms, shared=self.policy.shared)
        shared = self.shares(wish, terms)
        wish = replace(wish, source=Source.MISS if shared else Source.BYPASS)
        if not shared:
            return await self.detached(self._alone(scope, name, wish, terms, buy))
        kept = None if terms.max_age == 0 else await self.results.get(scope, name)
        age = self._age(kept) if kept else 0
        if kept and (terms.max_age is None or age < terms.max_age):
            return await self.serve(wish, kept, Source.HIT, age)
        if terms.only:
            raise NotCached("Nothing like this is kept, and only-if-cached forbids to buy it.")
        if terms.max_age == 0:
            return await self.detached(self._alone(scope, name, wish, terms, buy, replaces=True))
        return await self._joined(scope, name, wish, terms, buy)

    def _age(self, kept: Result) -> int:
        return max(0, int(self.now().timestamp() - kept.kept_at / MICROSECONDS))

    async def _joined(self, scope: str, name: str, wish: Wish, terms: Terms, buy: Buy) -> Share:
        """Join who is buying it in this replica, or be that one."""
        place = (scope, name)
        while flight := self._under_way(place):
            try:
                flown = await self.detached.wait(flight)
            except CallFailed as failed:
                raise CallJoined(failed.failure) from failed
            except (FlightLost, NotKeptAnyMore):
                raise
            except GatewayError:
                continue  # the leader was refused, which need not mean that this caller is
            return await self.serve(wish, flown.result, Source.JOINED)
        flight = self._here[place] = self.detached.begin(self._flown(scope, name, wish, terms, buy))
        flight.add_done_callback(partial(self._forget, place))
        flown = await self.detached.wait(flight)
        if flown.led:
            return bought(flown.result, wish)
        return await self.serve(wish, flown.result, Source.JOINED)

    def _under_way(self, place: tuple[str, str]) -> asyncio.Task[Flown] | None:
        """Who is buying it in this replica, unless that came to nothing at this very moment."""
        flight = self._here.get(place)
        if flight and flight.done() and (flight.cancelled() or flight.exception()):
            return None
        return flight

    def _forget(self, place: tuple[str, str], flight: asyncio.Task[Flown]) -> None:
        if self._here.get(place) is flight:
            del self._here[place]

    async def _flown(self, scope: str, name: str, wish: Wish, terms: Terms, buy: Buy) -> Flown:
        """Lead the flight of that name, or have what another replica brought."""

        async def lead(depart: Depart) -> Brought:
            result = await self._bought(scope, name, wish, terms, buy, depart)
            kept = await self.results.put(scope, name, result, self.seconds(wish))
            return Brought(result=result, kept=kept or result.stored)

        flight = Flight(
            team=scope,
            name=name,
            lands=is_final,
            seconds=MOMENT_SECONDS,
            again_seconds=AGAIN_SECONDS,
            told=Told(again=terms.again, new=terms.key is not None, failure=self._remembered_as(name, wish, terms)),
        )
        while True:
            flown = await self.fly(flight, lead)
            if flown.whole:
                return flown
            kept = await self._find(scope, name, flown.result)
            if kept:
                return Flown(kept, led=False)
            if terms.again:
                raise gone()
            # It is nowhere and was not handed over: it came before this request, is too large, or was purged.
            flight = replace(flight, told=replace(flight.told, new=True))

    async def _alone(  # noqa: PLR0913 (all that a purchase is about)
        self, scope: str, name: str, wish: Wish, terms: Terms, buy: Buy, *, replaces: bool = False
    ) -> Share:
        """A purchase of its own, which `replaces` what is kept under that name or is not kept at all."""
        await self._check_remembered(scope, self._remembered_as(name, wish, terms))

        async def lead(depart: Depart) -> Result:
            result = await self._bought(scope, name, wish, terms, buy, depart)
            if replaces:
                await self.results.put(scope, name, result, self.seconds(wish))
            return result

        if terms.tries is None or terms.key:  # nobody will ask again, or the key says for what
            return bought(await lead(nothing), wish)
        return await self._followed(name, wish, terms, lead)

    async def _followed(
        self, name: str, wish: Wish, terms: Terms, lead: Callable[[Depart], Awaitable[Result]]
    ) -> Share:
        """A purchase that the same SDK finds when it asks again."""
        team, key = wish.caller.key.team.name, wish.caller.key
        tried = name_for_key(key, name)
        flight = await self.flights.follow(team, tried, f"once-{self.mint()}", AGAIN_SECONDS, again=terms.again)

        async def kept(depart: Depart) -> Brought:
            result = await lead(depart)
            kept = result.stored or await self.results.put(team, flight, result, AGAIN_SECONDS)
            return Brought(result=result, kept=kept)

        flown = await self.fly(
            Flight(
                team=team,
                name=flight,
                lands=is_final,
                seconds=AGAIN_SECONDS,
                again_seconds=AGAIN_SECONDS,
                told=Told(again=terms.again),
            ),
            kept,
        )
        if flown.led:
            return bought(flown.result, wish)
        kept_here = flown.result if flown.whole else await self._find(team, flight, flown.result)
        if kept_here is None:
            raise gone()
        return await self.serve(wish, kept_here, Source.JOINED)

    async def _find(self, scope: str, name: str, hollow: Result) -> Result | None:
        """A landed result with its pictures, from the cache or from the picture store."""
        return await self.results.get(scope, name) or await self.serve.recalled(hollow)

    def _remembered_as(self, name: str, wish: Wish, terms: Terms) -> str:
        """Under which name a remembered failure counts for this request; empty if none does.

        `no-store` and an `Idempotency-Key` say that the caller means another purchase.
        """
        counts = self.policy.failure_seconds > 0 and terms.share and terms.key is None
        return name_for_key(wish.caller.key, name) if counts else ""

    async def _check_remembered(self, scope: str, remembered_as: str) -> None:
        """Raise `CallJoined` if a failure is remembered."""
        failure = await self.flights.recall(scope, remembered_as) if remembered_as else None
        if failure:
            raise self._joined_failure(failure)

    def _joined_failure(self, failure: Failure) -> CallJoined:
        self.observe(FlightTaken(seat=Seat.LANDED))
        return CallJoined(failure)

    async def _remember(self, scope: str, name: str, wish: Wish, terms: Terms, failure: Failure) -> None:
        """Keep what may have been billed for the next identical request of this key, whichever number it would get."""
        if not failure.may_be_billed or self.policy.failure_seconds == 0:
            return
        plain = samples(wish, shared=self.policy.shared)[0][1]
        names = (name, series_name(plain)) if terms.vary else (name,)
        for each in names:
            remembered_as = name_for_key(wish.caller.key, each)
            with suppress(StateUnavailable):  # the caller is told the failure all the same
                await self.flights.remember(scope, remembered_as, failure, self.policy.failure_seconds)

    async def _bought(  # noqa: PLR0913, PLR0917 (all that a purchase is about)
        self, scope: str, name: str, wish: Wish, terms: Terms, buy: Buy, depart: Depart
    ) -> Result:
        try:
            made = await buy(wish, depart)
        except CallFailed as failed:
            await self._remember(scope, name, wish, terms, failed.failure)
            raise
        keeping = await self.keep(made.purchase, wish)
        return Result(
            model=wish.model.id,
            backend=made.backend,
            upstream_model=made.upstream_model,
            price_version=made.price_version,
            purchase=made.purchase,
            created=made.created,
            cost=made.cost,
            kept_at=int(self.now().timestamp() * MICROSECONDS),
            ids=keeping.ids,
            stored=keeping.stored,
            request_id=wish.caller.request_id,
            notes=made.notes,
        )


def place_of(wish: Wish, terms: Terms, *, shared: bool) -> tuple[str, str]:
    """Scope and name of a wish: the same for two wishes that the same picture serves, and for no others."""
    (place,) = _places(wish, (terms.variant,), shared=shared)
    return place


def samples(wish: Wish, *, shared: bool) -> list[tuple[str, str]]:
    """The places of the samples that the store may deal, by their numbers."""
    return _places(wish, range(MOST_SAMPLES), shared=shared)


def _places(wish: Wish, variants: Iterable[int], *, shared: bool) -> list[tuple[str, str]]:
    team, drawn = wish.caller.key.team, fingerprint(wish.spec)
    scope, bounds = SHARED if shared else team.name, _bounds(team)
    return [(scope, sha256(f"{drawn}\n{variant}{bounds}".encode()).hexdigest()) for variant in variants]


def series_name(plain: str) -> str:
    """The name of what all samples of a wish have in common, by the name of the plain one."""
    return f"{plain}-series"


def name_for_key(key: Key, name: str) -> str:
    """The name of what is remembered for the identical requests of one API key only."""
    return sha256(f"{key.id}\n{name}".encode()).hexdigest()


def _bounds(team: Team) -> str:
    """Who may not use every backend is not served with what one of the others drew for somebody else."""
    bounds = (sorted(team.backends), sorted(team.barred_backends))
    return f"\n{bounds}" if any(bounds) else ""


def is_final(failure: Failure) -> bool:
    """Would it meet everybody who asks for the same, or may it have been billed?"""
    return after(failure) is Next.GIVE_UP


def gone() -> NotKeptAnyMore:
    """What was bought is nowhere."""
    return NotKeptAnyMore("This was bought, and the pictures are not kept any more. They are not bought again.")
