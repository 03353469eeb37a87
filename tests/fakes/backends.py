"""Backends that deliver what a test gives them, in order, and remember their calls."""

import asyncio
from collections import deque
from collections.abc import Iterable, Sequence

from service.domain.generation import CallOutcome, Preview
from service.domain.vendor_rate_limits import RateLimit
from service.usecases.ports.backends import Backend, Reply
from service.usecases.ports.requests import NULL_LISTENER, RequestListener, UpstreamRequest


class FakeBackend:
    """Replies with `outcomes`, one per call. `admission`: number of turns of the loop that each reply takes.

    It sends at most `previews` of the previews that are wanted. `rate_limits` come with each reply. A call waits until
    `gate` is set.
    """

    def __init__(
        self,
        *outcomes: CallOutcome,
        relays_links: bool = False,
        admission: Iterable[int] = (),
        previews: int = 0,
        rate_limits: Sequence[RateLimit] = (),
    ) -> None:
        self.accepts_links = relays_links
        self.requests: list[UpstreamRequest] = []
        self.gate = asyncio.Event()
        self.gate.set()
        self._outcomes = deque(outcomes)
        self._admission = deque(admission)
        self._previews = previews
        self._rate_limits = rate_limits

    def reply_next(self, *outcomes: CallOutcome) -> None:
        """Reply with these outcomes before any other."""
        self._outcomes.extendleft(reversed(outcomes))

    async def generate(self, request: UpstreamRequest, listener: RequestListener) -> Reply:
        self.requests.append(request)
        outcome = self._outcomes.popleft()
        for _ in range(self._admission.popleft() if self._admission else 0):
            await asyncio.sleep(0)
        previews = min(request.partials, self._previews)
        for index in range(previews):
            await listener.on_preview(Preview(base64=b"sketch", index=index))
        await self.gate.wait()
        return Reply(outcome=outcome, rate_limits=self._rate_limits, previews=previews)


async def call(backend: Backend, request: UpstreamRequest, listener: RequestListener = NULL_LISTENER) -> CallOutcome:
    """Call a backend. Returns the outcome alone."""
    return (await backend.generate(request, listener)).outcome
