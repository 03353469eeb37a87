"""Answer a request once that its caller named with an `Idempotency-Key`: the same key is the same intention.

Rule (IETF draft-07 of the header, and Stripe's practice): a key belongs to its team and to one request. Who comes again
gets what the first one came to, byte for byte, for as long as keys are remembered: the pictures, or a failure that may
have cost money. What failed for nothing is tried anew. An answer that cost nothing is remembered without a copy of its
pictures, and only the last ones of a team are; after that the same key is served like a first request. With another
request the key is `KeyReused`; while the first is under way, the next waits, or is `KeyInUse` if the operator prefers
that.
"""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass, replace
from hashlib import sha256

from service.domain.errors import CallFailed, CallReplayed, Failure
from service.domain.images import fingerprint
from service.domain.ledger import Source
from service.domain.terms import Terms
from service.usecases.buy_once import gone
from service.usecases.buy_pictures import Depart, Wish, together
from service.usecases.detached import Detached
from service.usecases.flights import Result, Results, Told
from service.usecases.fly import Brought, Flight, Fly
from service.usecases.serve_kept import ServeKept
from service.usecases.share import FREE, MICROSECONDS, Share

Story = Callable[[Wish], Awaitable[Share]]
"""Serves a wish without a key."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Replays:
    """For how many seconds a key is remembered, and whether callers wait while its request is under way."""

    seconds: float
    waits: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class AnswerOnce:
    """The use case."""

    fly: Fly
    detached: Detached
    results: Results
    serve: ServeKept
    replays: Replays

    async def __call__(self, wish: Wish, terms: Terms, story: Story) -> Share:
        """What the story comes to, or came to.

        Raises:
            KeyReused, KeyInUse, FlightLost: the key cannot be served now.
            NotKeptAnyMore: what was bought is nowhere.
            GatewayError: what the story raises, and the failure that it came to.
        """
        if terms.key is None:
            return await story(wish)
        return await self.detached(self._answered(wish, terms, terms.key, story))

    async def _answered(self, wish: Wish, terms: Terms, key: str, story: Story) -> Share:
        team, name = wish.caller.key.team.name, f"key-{sha256(key.encode()).hexdigest()}"
        first, share = False, None

        async def lead(depart: Depart) -> Brought:
            nonlocal first, share
            first = True
            share = await story(replace(wish, depart=together(wish.depart, depart)))
            answered = replace(share.result, request_id=share.request_id, kept_at=share.at * MICROSECONDS)
            free = share.source in FREE
            kept = answered.stored or (not free and await self.results.put(team, name, answered, self.replays.seconds))
            return Brought(result=answered, kept=kept, free=free)

        flight = Flight(
            team=team,
            name=name,
            mark=digest(wish, terms),
            lands=may_be_billed,
            seconds=self.replays.seconds,
            again_seconds=self.replays.seconds,
            told=Told(again=True),
            waits=self.replays.waits,
        )
        try:
            flown = await self.fly(flight, lead)
        except CallFailed as failed:
            if first:
                raise
            raise CallReplayed(failed.failure) from failed
        if share:
            return share
        kept = flown.result if flown.whole else await self._find(team, name, flown.result)
        if kept is None and flown.free:
            return await story(wish)
        if kept is None:
            raise gone()
        return await self.serve(wish, kept, Source.REPLAYED)

    async def _find(self, team: str, name: str, hollow: Result) -> Result | None:
        return await self.results.get(team, name) or await self.serve.recalled(hollow)


def digest(wish: Wish, terms: Terms) -> str:
    """What makes a request the same: everything that shows in its answer."""
    return sha256(f"{fingerprint(wish.spec)}\n{terms.variant}\n{wish.linked}".encode()).hexdigest()


def may_be_billed(failure: Failure) -> bool:
    """Only what may have cost money must not be tried again under the same key."""
    return failure.may_be_billed
