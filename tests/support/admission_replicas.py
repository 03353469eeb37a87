"""Replicas that acquire slots at backends, on one store in memory, by one clock that the tests set."""

from contextlib import AsyncExitStack

from service.domain.catalog import Route
from service.domain.circuit_breaker import BreakerRules
from service.domain.errors import Failure, FailureKind
from service.domain.generation import CallOutcome
from service.domain.limit_errors import SECOND
from service.domain.vendor_rate_limits import RateLimit
from service.usecases.ports.admission_control import Slot
from service.usecases.ports.backends import Reply
from service.usecases.ports.events import BreakerChanged
from service.usecases.ports.shared_health import Caps
from service.usecases.upstream.backend_health import BackendStatus
from service.usecases.upstream.upstream_admission import AccountLimits, UpstreamAdmission
from tests.fakes.builders import build_generation, failure, route
from tests.fakes.observer import Recorder
from tests.fakes.shared_health import FakeSharedHealth

ALPHA, BETA, SANDBOX = (route(backend=name, model="painter") for name in ("alpha", "beta", "sandbox"))


class Site:
    """A store, a clock, and replicas that use both."""

    def __init__(self, caps: Caps | None = None, store: FakeSharedHealth | None = None) -> None:
        self.now = 1000.0
        self.store = store or FakeSharedHealth()
        self.caps = caps or Caps()

    def advance(self, seconds: float) -> None:
        self.now += seconds
        self.store.now += round(seconds * SECOND)

    def replica(self, name: str = "r") -> "Replica":
        return Replica(self, name)


class Replica:
    def __init__(self, site: Site, name: str) -> None:
        self.observer = Recorder()
        self.slots: dict[str, AsyncExitStack] = {}
        numbers = iter(range(10_000))
        self.admission = UpstreamAdmission(
            shared_health=site.store,
            accounts={"alpha": AccountLimits(caps=site.caps), "beta": AccountLimits()},
            rules=BreakerRules(),
            observer=self.observer,
            new_id=lambda: f"{name}{next(numbers)}",
            monotonic=lambda: site.now,
            sync_seconds=0.001,
        )

    async def acquire(self, along: Route = ALPHA, calls: int = 1, images: int = 0) -> Slot | Failure:
        slot = AsyncExitStack()
        taken = await slot.enter_async_context(self.admission.slot(along, calls, images or calls))
        if isinstance(taken, Slot):
            self.slots[taken.name] = slot
        return taken

    def record(self, slot: Slot, outcome: CallOutcome, *rooms: RateLimit) -> None:
        self.admission.record(slot, Reply(outcome=outcome, rate_limits=rooms))

    async def release(self, slot: Slot) -> None:
        await self.slots.pop(slot.name).aclose()

    async def slot(self, along: Route = ALPHA) -> Slot:
        taken = await self.acquire(along)
        assert isinstance(taken, Slot), taken
        return taken

    async def refused(self, along: Route = ALPHA) -> tuple[FailureKind, float | None]:
        """Return kind and retry time of a refusal. The vendor was not called."""
        taken = await self.acquire(along)
        assert isinstance(taken, Failure)
        assert not taken.asked
        return taken.kind, taken.retry_after

    async def call(self, *kinds: FailureKind, along: Route = ALPHA) -> None:
        for kind in kinds:
            slot = await self.slot(along)
            self.record(slot, failure(kind))
            await self.release(slot)

    async def succeed(self) -> None:
        slot = await self.slot()
        self.record(slot, build_generation())
        await self.release(slot)

    def status(self, place: int = 0) -> BackendStatus:
        return self.admission.status()[place]

    def changes(self) -> list[tuple[str, FailureKind | None, float]]:
        return [(change.state.value, change.reason, change.open_seconds) for change in self.observer.of(BreakerChanged)]
