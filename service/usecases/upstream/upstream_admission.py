"""Give turns at backends: the breakers, limits and caps of vendors' accounts, for all replicas together.

Rule: who is well and has no caps is given a turn from memory. What changes here about the account is told to the other
replicas at once, and what changed there is heard once a second. What this replica saw of the network, or of the
vendor's answers, stays its own. While the store is away each replica goes on by itself, and says nothing. Only a cap
cannot be kept without the store: then there is no turn (`StateUnavailable`). A turn that is given back is given back
in the background, again and again until the store has it.
"""

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field

from service.domain.catalog import Route
from service.domain.circuit_breaker import BreakerRules, BreakerState, block_seconds_after, block_seconds_for
from service.domain.errors import Failure, FailureKind, StateUnavailable
from service.usecases.ports.admission_control import Slot
from service.usecases.ports.backends import Reply
from service.usecases.ports.events import RateLimitObserved
from service.usecases.ports.observer import Observer
from service.usecases.ports.shared_health import Cap, CapReached, Caps, SharedHealthStore, SlotRequest
from service.usecases.upstream.backend_health import (
    OTHER_REPLICA,
    PROBED_MESSAGE,
    PROBED_SECONDS,
    BackendHealth,
    BackendStatus,
    build_unasked_failure,
)

CONCURRENCY_CAP_FAILURE = FailureKind.BUSY, 1.0  # seconds until one of the calls under way may be over
RATE_CAP_FAILURE = FailureKind.RATE_LIMITED, 0.0
FULL_MESSAGE = "The gateway's account at the backend has no room for this just now."
NEVER_FITS_MESSAGE = "The gateway's account at the backend never has room for so much at a time."


@dataclass(frozen=True, slots=True, kw_only=True)
class AccountLimits:
    """A vendor's account: its caps, and how many seconds a call takes at most before it is taken for lost."""

    caps: Caps = field(default_factory=Caps)
    lease: float = 330.0


@dataclass(slots=True, kw_only=True)
class UpstreamAdmission:
    """The use case, and the port `AdmissionControl`. A backend that has no account here is never in the way.

    `mint` gives 32 random hex digits, `elapsed` monotonic seconds; the others are heard every `seconds`.
    """

    turnstile: SharedHealthStore
    accounts: Mapping[str, AccountLimits]
    rules: BreakerRules
    observe: Observer
    mint: Callable[[], str]
    elapsed: Callable[[], float]
    seconds: float = 1.0
    _watches: Mapping[str, BackendHealth] = field(init=False)
    _shared: set[str] = field(default_factory=set)
    _left: Mapping[str, list[tuple[str, int]]] = field(init=False)
    _woken: asyncio.Event = field(default_factory=asyncio.Event)

    def __post_init__(self) -> None:
        """Everybody is well from now on."""
        self._watches = {
            name: BackendHealth(backend=name, rules=self.rules, observe=self.observe, elapsed=self.elapsed)
            for name in self.accounts
        }
        self._left = {name: [] for name in self.accounts}

    def hindrance(self, route: Route) -> Failure | None:
        """What is in the way of a route, as far as this replica knows."""
        watch = self._watches.get(route.backend)
        return watch.hindrance(route.model) if watch else None

    def streak(self, route: Route) -> int:
        """How many calls in a row failed at a route's backend."""
        watch = self._watches.get(route.backend)
        return watch.health.streak if watch else 0

    @asynccontextmanager
    async def slot(self, route: Route, calls: int, pictures: int) -> AsyncIterator[Slot | Failure]:
        """Hold leave for all the calls for the length of a block, or what is in the way.

        Raises:
            StateUnavailable: the account has caps, and the store does not say what was taken of them.
        """
        turn = await self._take(route, calls, pictures)
        try:
            yield turn
        finally:
            if isinstance(turn, Slot):
                self._give_back(turn)

    async def _take(self, route: Route, calls: int, pictures: int) -> Slot | Failure:
        watch = self._watches.get(route.backend)
        if watch is None:
            return Slot(name=self.mint(), route=route, calls=calls)
        found = watch.hindrance(route.model)
        turn, caps = Slot(name=self.mint(), route=route, calls=calls, era=watch.health.era), self._caps(route)
        if found or (watch.state is BreakerState.CLOSED and not caps.any):
            return found or turn
        admitted = False
        try:
            found = await self._probe(watch, turn) or await self._enter(turn, pictures)
            admitted = found is None
        finally:
            if not admitted:
                self._give_back(turn)
        return found or turn

    def record(self, turn: Slot, reply: Reply) -> None:
        """Record the outcome of one call, and what the vendor said about its limits."""
        route, headrooms, outcome = turn.route, reply.headrooms, reply.outcome
        for room in headrooms:
            self.observe(
                RateLimitObserved(
                    backend=route.backend, model=route.model, measure=room.measure, left=room.left, limit=room.limit
                )
            )
        watch = self._watches.get(route.backend)
        if watch:
            if headrooms:
                watch.leave_in_peace(route.model, max(block_seconds_for(room) for room in headrooms))
            watch.told(outcome, turn.era)
            watch.leave_in_peace(route.model, block_seconds_after(outcome))
            self._wake_for(watch)

    def asked_after(self, backend: str, failure: Failure | None) -> None:
        """What came of asking a backend for something free."""
        watch = self._watches[backend]
        watch.asked_after(failure)
        self._wake_for(watch)

    def rekeyed(self, backend: str) -> None:
        """A backend is called with another key from now on: an account that was refused may be tried at once."""
        self._watches[backend].rekeyed()

    def unwell(self) -> tuple[str, ...]:
        """The backends whose breaker is not closed."""
        return tuple(name for name, watch in self._watches.items() if watch.state is not BreakerState.CLOSED)

    def standings(self) -> tuple[BackendStatus, ...]:
        """How the backends stand, as this replica sees it."""
        return tuple(self._watches[name].standing() for name in sorted(self._watches))

    async def run(self) -> None:
        """Tell and hear until cancelled: everything once a second, and what is new at once."""
        while True:
            await self.exchange()
            await self._news_for(self.seconds)

    async def exchange(self, *, only_news: bool = False) -> None:
        """Tell and hear once, then give back what was left. What the store does not take is told next time.

        In this order: whoever probes next has to find what the last probe came to.
        """
        self._woken.clear()
        asked = [watch for watch in self._watches.values() if watch.has_news or not only_news]
        left = {name: tuple(turns) for name, turns in self._left.items() if turns}
        await asyncio.gather(*map(self._exchange, asked))
        await asyncio.gather(*(self._return(name, turns) for name, turns in left.items()))

    async def close(self) -> None:
        """Give back what was left a moment ago. The leases of what cannot be given back end by themselves."""
        await self.exchange(only_news=True)

    async def _probe(self, watch: BackendHealth, turn: Slot) -> Failure | None:
        """Become the probe, if one is needed: over all replicas for the account, else on this replica alone.

        Without the store, the probe of this replica is enough for the account too.
        """
        if watch.state is not BreakerState.HALF_OPEN:
            return None
        watch.probed_by(turn.name, self.accounts[watch.backend].lease)
        if not watch.is_shared:
            return None
        self._shared.add(turn.name)
        try:
            is_one = await self.turnstile.probe(watch.backend, turn.name, watch.version)
        except StateUnavailable:
            is_one = True
        if is_one and watch.health.era == turn.era:
            return None
        if watch.health.era == turn.era:
            watch.probed_by(OTHER_REPLICA)
        return build_unasked_failure(FailureKind.SET_ASIDE, PROBED_MESSAGE, PROBED_SECONDS)

    async def _enter(self, turn: Slot, pictures: int) -> Failure | None:
        """Take what the calls take of the account."""
        backend, caps = turn.route.backend, self._caps(turn.route)
        if not caps.any:
            return None
        if caps.concurrent:
            self._shared.add(turn.name)
        party = SlotRequest(name=turn.name, calls=turn.calls, pictures=pictures, lease=self.accounts[backend].lease)
        full = await self.turnstile.enter(backend, party, caps)
        return _cap_failure(full) if full else None

    async def _news_for(self, seconds: float) -> None:
        """Tell what is new as soon as it is, for so long."""
        over = asyncio.Event()

        def end() -> None:
            over.set()
            self._woken.set()

        timer = asyncio.get_running_loop().call_later(seconds, end)
        try:
            while not over.is_set():
                await self._woken.wait()
                await self.exchange(only_news=True)
        finally:
            timer.cancel()

    def _caps(self, route: Route) -> Caps:
        return self.accounts[route.backend].caps

    def _give_back(self, turn: Slot) -> None:
        """In memory at once, in the store soon."""
        watch = self._watches.get(turn.route.backend)
        if watch:
            watch.unprobed(turn.name)
        if turn.name in self._shared:
            self._shared.discard(turn.name)
            self._left[turn.route.backend].append((turn.name, turn.calls))
            self._woken.set()

    def _wake_for(self, watch: BackendHealth) -> None:
        if watch.has_news:
            self._woken.set()

    async def _exchange(self, watch: BackendHealth) -> None:
        watch.look()
        telling = watch.telling()
        with suppress(StateUnavailable):
            watch.hear(telling, await self.turnstile.exchange(watch.backend, telling.news))

    async def _return(self, backend: str, turns: Sequence[tuple[str, int]]) -> None:
        with suppress(StateUnavailable):
            await self.turnstile.leave(backend, turns)
            del self._left[backend][: len(turns)]


def _cap_failure(full: CapReached) -> Failure:
    kind, soonest = CONCURRENCY_CAP_FAILURE if full.cap is Cap.CONCURRENT else RATE_CAP_FAILURE
    if full.wait is None:
        return build_unasked_failure(kind, NEVER_FITS_MESSAGE, None)
    return build_unasked_failure(kind, FULL_MESSAGE, max(full.wait, soonest))
