"""Admission to backends: circuit breakers, rate limits and caps of vendors' accounts, over all replicas.

Rule: a backend with a closed breaker and no caps admits calls from memory. A change of the account's health is sent to
the store at once. Changes of other replicas are read every `sync_seconds`. Failures of the network, or of the vendor's
replies, stay in the replica that saw them. A slot is released in memory at once, and in the store in the background.

Fails with: `StateUnavailable` for an account with caps while the store is away: no replica can keep a cap alone.
Without the store everything else goes on with the knowledge of this replica. Updates and releases are sent again later.
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

CONCURRENCY_CAP_FAILURE = FailureKind.BUSY, 1.0  # minimum retry-after in seconds: when a call ends is not known
RATE_CAP_FAILURE = FailureKind.RATE_LIMITED, 0.0
FULL_MESSAGE = "The gateway's account at the backend has no room for this just now."
NEVER_FITS_MESSAGE = "The gateway's account at the backend never has room for so much at a time."


@dataclass(frozen=True, slots=True, kw_only=True)
class AccountLimits:
    """Limits of a vendor's account.

    Attributes:
        lease_seconds: Seconds after which a call that was not released no longer counts against the caps.
    """

    caps: Caps = field(default_factory=Caps)
    lease_seconds: float = 330.0


@dataclass(slots=True, kw_only=True)
class UpstreamAdmission:
    """The port `AdmissionControl`. A backend without an account, the sandbox, is always admitted.

    Attributes:
        new_id: Makes 32 random hex digits.
        monotonic: Clock in monotonic seconds.
        sync_seconds: Seconds between two reads of the shared health.
        _shared_slots: Names of the slots that the store may know.
        _released_slots: Names and calls of slots that the store has to release, by backend.
        _changed: Set while the store lacks an update or a release.
    """

    shared_health: SharedHealthStore
    accounts: Mapping[str, AccountLimits]
    rules: BreakerRules
    observer: Observer
    new_id: Callable[[], str]
    monotonic: Callable[[], float]
    sync_seconds: float = 1.0
    _backends: Mapping[str, BackendHealth] = field(init=False)
    _shared_slots: set[str] = field(default_factory=set)
    _released_slots: Mapping[str, list[tuple[str, int]]] = field(init=False)
    _changed: asyncio.Event = field(default_factory=asyncio.Event)

    def __post_init__(self) -> None:
        self._backends = {
            name: BackendHealth(backend=name, rules=self.rules, observer=self.observer, monotonic=self.monotonic)
            for name in self.accounts
        }
        self._released_slots = {name: [] for name in self.accounts}

    def blocked_by(self, route: Route) -> Failure | None:
        backend = self._backends.get(route.backend)
        return backend.blocked_by(route.model) if backend else None

    def consecutive_failures(self, route: Route) -> int:
        backend = self._backends.get(route.backend)
        return backend.breaker.consecutive_failures if backend else 0

    @asynccontextmanager
    async def slot(self, route: Route, calls: int, images: int) -> AsyncIterator[Slot | Failure]:
        """Hold a slot for all the calls during a block, or return why there is none.

        Raises:
            StateUnavailable: the account has caps, and the store does not answer.
        """
        slot = await self._acquire(route, calls, images)
        try:
            yield slot
        finally:
            if isinstance(slot, Slot):
                self._release(slot)

    async def _acquire(self, route: Route, calls: int, images: int) -> Slot | Failure:
        health = self._backends.get(route.backend)
        if health is None:
            return Slot(name=self.new_id(), route=route, calls=calls)
        if refusal := health.blocked_by(route.model):
            return refusal
        slot = Slot(name=self.new_id(), route=route, calls=calls, epoch=health.breaker.epoch)
        if health.state is BreakerState.CLOSED and not self._caps(route).has_any:
            return slot
        # The probe is claimed first: a second call of a half-open backend must not take room under the caps.
        is_admitted = False
        try:
            refusal = await self._claim_probe(health, slot) or await self._acquire_caps(slot, images)
            is_admitted = refusal is None
        finally:
            if not is_admitted:  # also after a cancellation, when the store may have the slot
                self._release(slot)
        return refusal or slot

    def record(self, slot: Slot, reply: Reply) -> None:
        route, outcome = slot.route, reply.outcome
        for rate_limit in reply.rate_limits:
            self.observer.record(
                RateLimitObserved(
                    backend=route.backend,
                    model=route.model,
                    measure=rate_limit.measure,
                    remaining=rate_limit.remaining,
                    limit=rate_limit.limit,
                )
            )
        health = self._backends.get(route.backend)
        if health:
            if reply.rate_limits:
                health.block_for(route.model, max(map(block_seconds_for, reply.rate_limits)))
            health.record_outcome(outcome, slot.epoch)
            health.block_for(route.model, block_seconds_after(outcome))
            self._wake_if_changed(health)

    def record_probe(self, backend: str, failure: Failure | None) -> None:
        """Record the outcome of a backend's call that costs nothing."""
        health = self._backends[backend]
        health.record_probe(failure)
        self._wake_if_changed(health)

    def credentials_changed(self, backend: str) -> None:
        """Allow calls of an account that was refused, because the backend is called with another key now."""
        self._backends[backend].credentials_changed()

    def unhealthy(self) -> tuple[str, ...]:
        """Return the backends whose breaker is not closed."""
        return tuple(name for name, backend in self._backends.items() if backend.state is not BreakerState.CLOSED)

    def status(self) -> tuple[BackendStatus, ...]:
        """Return the health of each backend as this replica sees it."""
        return tuple(self._backends[name].status() for name in sorted(self._backends))

    async def run(self) -> None:
        """Sync until cancelled: all backends every `sync_seconds`, and each change at once."""
        while True:
            await self.sync()
            await self._sync_changes(self.sync_seconds)

    async def sync(self, *, only_changed: bool = False) -> None:
        """Sync the backends once, then release slots in the store.

        The order matters: a replica that claims the next probe must read the outcome of the last one.
        """
        self._changed.clear()
        backends = [backend for backend in self._backends.values() if backend.has_changes or not only_changed]
        released = {name: tuple(slots) for name, slots in self._released_slots.items() if slots}
        await asyncio.gather(*map(self._sync, backends))
        await asyncio.gather(*(self._return_slots(name, slots) for name, slots in released.items()))

    async def close(self) -> None:
        """Send the last changes and releases. Slots that cannot be released end with their lease."""
        await self.sync(only_changed=True)

    async def _claim_probe(self, backend: BackendHealth, slot: Slot) -> Failure | None:
        """Make the call the only probe of a half-open backend. Returns the refusal if another call probes.

        The account's probe is one over all replicas, or one in this replica while the store is away. A local opening is
        probed by each replica.
        """
        if backend.state is not BreakerState.HALF_OPEN:
            return None
        backend.start_probe(slot.name, self.accounts[backend.backend].lease_seconds)
        if not backend.is_shared:
            return None
        # The store is asked: it knows the probes of other replicas, and whether the breaker has changed meanwhile.
        self._shared_slots.add(slot.name)
        try:
            is_claimed = await self.shared_health.claim_probe(backend.backend, slot.name, backend.version)
        except StateUnavailable:
            is_claimed = True
        if is_claimed and backend.breaker.epoch == slot.epoch:
            return None
        if backend.breaker.epoch == slot.epoch:  # no news of the breaker: another replica probes
            backend.start_probe(OTHER_REPLICA)
        return build_unasked_failure(FailureKind.SET_ASIDE, PROBED_MESSAGE, PROBED_SECONDS)

    async def _acquire_caps(self, slot: Slot, images: int) -> Failure | None:
        """Count the calls and images against the account's caps. Returns the refusal if a cap has no room."""
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
        """Sync each change as it happens, for `seconds`."""
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
        """Release a slot in memory now. `run` releases it in the store."""
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
