"""Slots that are given unless a test says otherwise."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

from service.domain.catalog import Route
from service.domain.errors import Failure, GatewayError
from service.usecases.ports.admission_control import Slot
from service.usecases.ports.backends import Reply


@dataclass(slots=True, kw_only=True)
class FakeAdmissionControl:
    """Refuses backends of `blocks` at once, and any other while there are `refusals` left.

    Records replies by the name of their slot; `out` are the slots that were not given back.
    """

    blocks: dict[str, Failure] = field(default_factory=dict)
    failure_counts: dict[str, int] = field(default_factory=dict)
    refusals: list[Failure | GatewayError] = field(default_factory=list)
    taken: list[tuple[str, int, int]] = field(default_factory=list)
    replies: list[tuple[str, Reply]] = field(default_factory=list)
    out: set[str] = field(default_factory=set)

    def blocked_by(self, route: Route) -> Failure | None:
        return self.blocks.get(route.backend)

    def consecutive_failures(self, route: Route) -> int:
        return self.failure_counts.get(route.backend, 0)

    @asynccontextmanager
    async def slot(self, route: Route, calls: int, images: int) -> AsyncIterator[Slot | Failure]:
        if self.refusals:
            refusal = self.refusals.pop(0)
            if isinstance(refusal, GatewayError):
                raise refusal
            yield refusal
            return
        self.taken.append((route.backend, calls, images))
        slot = Slot(name=f"slot-{len(self.taken)}", route=route, calls=calls)
        self.out.add(slot.name)
        try:
            yield slot
        finally:
            self.out.remove(slot.name)

    def record(self, slot: Slot, reply: Reply) -> None:
        self.replies.append((slot.name, reply))
