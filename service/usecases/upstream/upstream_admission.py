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
    lease_seconds: float = 330.0


@dataclass(slots=True, kw_only=True)
class UpstreamAdmission:
    """The use case, and the port `AdmissionControl`. A backend that has no account here is never in the way.

    `new_id` gives 32 random hex digits, `monotonic` monotonic seconds; the others are heard every `sync_seconds`.
    """

    shared_health: SharedHealthStore
    accounts: Mapping[str, AccountLimits]
    rules: BreakerRules
    observe: Observer
    new_id: Callable[[], str]
    monotonic: Callable[[], float]
    sync_seconds: float = 1.0
    _backends: Mapping[str, BackendHealth] = field(init=False)
    _shared_slots: set[str] = field(default_factory=set)
    _released_slots: Mapping[str, list[tuple[str, int]]] = field(init=False)
    _changed: asyncio.Event = field(default_factory=asyncio.Event)

    def __post_init__(self) -> None:
        """Everybody is well from now on."""
        self._backends = {
            name: BackendHealth(backend=name, rules=self.rules, observe=self.observe, monotonic=self.monotonic)
            for name in self.accounts
        }
        self._released_slots = {name: [] for name in self.accounts}

    def blocked_by(self, route: Route) -> Failure | None:
        """What is in the way of a route, as far as this replica knows."""
        backend = self._backends.get(route.backend)
        return backend.blocked_by(route.model) if backend else None

    def consecutive_failures(self, route: Route) -> int:
        """How many calls in a row failed at a route's backend."""
        backend = self._backends.get(route.backend)
        return backend.breaker.consecutive_failures if backend else 0

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
                self._release(turn)

    async def _take(self, route: Route, calls: int, pictures: int) -> Slot | Failure:
        watch = self._backends.get(route.backend)
        if watch is None:
            return Slot(name=self.new_id(), route=route, calls=calls)
        found = watch.blocked_by(route.model)
        turn, caps = Slot(name=self.new_id(), route=route, calls=calls, epoch=watch.breaker.epoch), self._caps(route)
        if found or (watch.state is BreakerState.CLOSED and not caps.has_any):
            return found or turn
        admitted = False
        try:
            found = await self._claim_probe(watch, turn) or await self._acquire_caps(turn, pictures)
            admitted = found is None
        finally:
            if not admitted:
                self._release(turn)
        return found or turn

    def record(self, turn: Slot, reply: Reply) -> None:
        """Record the outcome of one call, and what the vendor said about its limits."""
        route, headrooms, outcome = turn.route, reply.headrooms, reply.outcome
        for room in headrooms:
            self.observe(
                RateLimitObserved(
                    backend=route.backend,
                    model=route.model,
                    measure=room.measure,
                    remaining=room.remaining,
                    limit=room.limit,
                )
            )
        watch = self._backends.get(route.backend)
        if watch:
            if headrooms:
                watch.block_for(route.model, max(block_seconds_for(room) for room in headrooms))
            watch.record_outcome(outcome, turn.epoch)
            watch.block_for(route.model, block_seconds_after(outcome))
            self._wake_if_changed(watch)

    def record_probe(self, backend: str, failure: Failure | None) -> None:
        """What came of asking a backend for something free."""
        backend_health = self._backends[backend]
        backend_health.record_probe(failure)
        self._wake_if_changed(backend_health)

    def credentials_changed(self, backend: str) -> None:
        """A backend is called with another key from now on: an account that was refused may be tried at once."""
        self._backends[backend].credentials_changed()

    def unhealthy(self) -> tuple[str, ...]:
        """The backends whose breaker is not closed."""
        return tuple(name for name, backend in self._backends.items() if backend.state is not BreakerState.CLOSED)

    def status(self) -> tuple[BackendStatus, ...]:
        """How the backends stand, as this replica sees it."""
        return tuple(self._backends[name].status() for name in sorted(self._backends))

    async def run(self) -> None:
        """Tell and hear until cancelled: everything once a second, and what is new at once."""
        while True:
            await self.sync()
            await self._sync_changes(self.sync_seconds)

    async def sync(self, *, only_changed: bool = False) -> None:
        """Tell and hear once, then give back what was left. What the store does not take is told next time.

        In this order: whoever probes next has to find what the last probe came to.
        """
        self._changed.clear()
        backends = [backend for backend in self._backends.values() if backend.has_changes or not only_changed]
        released = {name: tuple(slots) for name, slots in self._released_slots.items() if slots}
        await asyncio.gather(*map(self._sync, backends))
        await asyncio.gather(*(self._return_slots(name, turns) for name, turns in released.items()))

    async def close(self) -> None:
        """Give back what was left a moment ago. The leases of what cannot be given back end by themselves."""
        await self.sync(only_changed=True)

    async def _claim_probe(self, backend: BackendHealth, slot: Slot) -> Failure | None:
        """Become the probe, if one is needed: over all replicas for the account, else on this replica alone.

        Without the store, the probe of this replica is enough for the account too.
        """
        if backend.state is not BreakerState.HALF_OPEN:
            return None
        backend.start_probe(slot.name, self.accounts[backend.backend].lease_seconds)
        if not backend.is_shared:
            return None
        self._shared_slots.add(slot.name)
        try:
            is_claimed = await self.shared_health.claim_probe(backend.backend, slot.name, backend.version)
        except StateUnavailable:
            is_claimed = True
        if is_claimed and backend.breaker.epoch == slot.epoch:
            return None
        if backend.breaker.epoch == slot.epoch:
            backend.start_probe(OTHER_REPLICA)
        return build_unasked_failure(FailureKind.SET_ASIDE, PROBED_MESSAGE, PROBED_SECONDS)

    async def _acquire_caps(self, slot: Slot, images: int) -> Failure | None:
        """Take what the calls take of the account."""
        backend, caps = slot.route.backend, self._caps(slot.route)
        if not caps.has_any:
            return None
        if caps.concurrent:
            self._shared_slots.add(slot.name)
        slot_request = SlotRequest(
            name=slot.name, calls=slot.calls, images=images, lease_seconds=self.accounts[backend].lease_seconds
        )
        cap_reached = await self.shared_health.acquire_slots(backend, slot_request, caps)
        return _cap_failure(cap_reached) if cap_reached else None

    async def _sync_changes(self, seconds: float) -> None:
        """Tell what is new as soon as it is, for so long."""
        is_over = asyncio.Event()

        def end() -> None:
            is_over.set()
            self._changed.set()

        timer = asyncio.get_running_loop().call_later(seconds, end)
        try:
            while not is_over.is_set():
                await self._changed.wait()
                await self.sync(only_changed=True)
        finally:
            timer.cancel()

    def _caps(self, route: Route) -> Caps:
        return self.accounts[route.backend].caps

    def _release(self, slot: Slot) -> None:
        """In memory at once, in the store soon."""
        backend = self._backends.get(slot.route.backend)
        if backend:
            backend.end_probe(slot.name)
        if slot.name in self._shared_slots:
            self._shared_slots.discard(slot.name)
            self._released_slots[slot.route.backend].append((slot.name, slot.calls))
            self._changed.set()

    def _wake_if_changed(self, backend: BackendHealth) -> None:
        if backend.has_changes:
            self._changed.set()

    async def _sync(self, backend: BackendHealth) -> None:
        backend.refresh()
        pending_update = backend.pending_update()
        with suppress(StateUnavailable):
            backend.merge(pending_update, await self.shared_health.sync(backend.backend, pending_update.update))

    async def _return_slots(self, backend: str, slots: Sequence[tuple[str, int]]) -> None:
        with suppress(StateUnavailable):
            await self.shared_health.release_slots(backend, slots)
            del self._released_slots[backend][: len(slots)]


def _cap_failure(cap_reached: CapReached) -> Failure:
    kind, min_wait = CONCURRENCY_CAP_FAILURE if cap_reached.cap is Cap.CONCURRENT else RATE_CAP_FAILURE
    if cap_reached.wait_seconds is None:
        return build_unasked_failure(kind, NEVER_FITS_MESSAGE, None)
    return build_unasked_failure(kind, FULL_MESSAGE, max(cap_reached.wait_seconds, min_wait))
