"""An image request in a task of its own, which is watched while its response is sent.

Rule: the request's listener never holds up the vendor. A slow reader misses previews after some seconds. When the
caller leaves, its wait ends and the purchase goes on (`DetachedTasks` finishes it). When the replica stops, the task
ends with `ReplicaStopped`.

Fails with: the `GatewayError` of the request, as the result of the task; `ClientGone` from `while_connected`.
"""

import asyncio
from collections.abc import Awaitable
from contextlib import suppress
from typing import Any, Final

from litestar.types import Receive

from service.api.http.errors import ClientGone, replica_stopped
from service.api.http.rate_limit_headers import rate_limit_headers
from service.api.http.request_context import RequestContext, RequestProgress
from service.domain.generation import Preview
from service.domain.ledger import Admission
from service.usecases.background.supervisor import report_unhandled_error
from service.usecases.generate.delivery import Delivery

PREVIEW_WAIT_SECONDS: Final = 5.0  # then a preview is dropped that no reader has taken


class RunningRequest:
    """The task of a request, and the listener that it reports to (`RequestListener`).

    Attributes:
        context: The context of the HTTP request.
        keepalive_seconds: Interval at which a caller that waits is sent a sign of life.
        delivery: The task; it exists after `start`.
    """

    delivery: asyncio.Task[Delivery]

    def __init__(self, context: RequestContext, keepalive_seconds: float) -> None:
        self.context = context
        self.keepalive_seconds = keepalive_seconds
        self._previews: asyncio.Queue[Preview] = asyncio.Queue(1)
        self._sent = asyncio.Event()
        self._caller_left = False
        self._replica_stops = False

    # Called by the response.

    def start(self, making: Awaitable[Delivery]) -> None:
        """Start the task."""
        self.delivery = asyncio.ensure_future(self._run(making))
        self.delivery.add_done_callback(self._log_lost_error)

    async def sent_or_done(self) -> None:
        """Wait until a backend is called, the delivery is there, or `keepalive_seconds` have passed."""
        sent = asyncio.ensure_future(self._sent.wait())
        try:
            await self._wait_for_first(sent)
        finally:
            sent.cancel()

    async def next_preview(self) -> Preview | None:
        """Wait for a preview. Return None if the delivery comes first, or none comes in `keepalive_seconds`."""
        if not self._previews.empty():
            return self._previews.get_nowait()
        preview = asyncio.ensure_future(self._previews.get())
        try:
            await self._wait_for_first(preview)
            return preview.result() if preview.done() else None
        finally:
            preview.cancel()

    def leave(self) -> None:
        """End the caller's wait. The purchase goes on, and waits for no reader of its previews."""
        self._caller_left = True
        self._drop_previews()
        self.delivery.cancel()

    def stop(self) -> None:
        """End the task with `ReplicaStopped`, because the replica stops."""
        self._replica_stops = True
        self.delivery.cancel()

    # Called by the request (`RequestListener`).

    def on_admitted(self, admission: Admission) -> None:
        """Put the state of the limits into the headers."""
        self.context.headers |= rate_limit_headers(admission.limit_status)
        self.context.progress = RequestProgress.ADMITTED

    def on_sent(self) -> None:
        """Record that a backend is about to be called."""
        self.context.progress = RequestProgress.SENT
        self._sent.set()

    async def on_preview(self, preview: Preview) -> None:
        """Offer a preview to the reader for `PREVIEW_WAIT_SECONDS`."""
        if not self._caller_left:
            with suppress(TimeoutError):
                async with asyncio.timeout(PREVIEW_WAIT_SECONDS):
                    await self._previews.put(preview)
            self._drop_previews()

    async def _run(self, making: Awaitable[Delivery]) -> Delivery:
        try:
            return await making
        except asyncio.CancelledError:
            if self._replica_stops:
                raise replica_stopped() from None
            raise

    async def _wait_for_first(self, event: asyncio.Future[Any]) -> None:
        """Wait for the event or the delivery, for `keepalive_seconds`."""
        await asyncio.wait({self.delivery, event}, timeout=self.keepalive_seconds, return_when=asyncio.FIRST_COMPLETED)

    def _drop_previews(self) -> None:
        """Drop previews of a caller that left, so that each `on_preview` that waits for a reader returns."""
        while self._caller_left and not self._previews.empty():
            self._previews.get_nowait()

    def _log_lost_error(self, delivery: asyncio.Task[Delivery]) -> None:
        """Log a mistake of ours that happened after the caller left. Failures of vendors are booked already."""
        if self._caller_left:
            report_unhandled_error(delivery)
        elif not delivery.cancelled():
            delivery.exception()


async def while_connected(receive: Receive, making: Awaitable[Delivery]) -> Delivery:
    """Return the delivery, as long as the caller stays.

    Raises:
        ClientGone: the caller hung up. A purchase that has begun goes on.
    """
    delivery, disconnect = asyncio.ensure_future(making), asyncio.ensure_future(wait_for_disconnect(receive))
    try:
        await asyncio.wait({delivery, disconnect}, return_when=asyncio.FIRST_COMPLETED)
        if delivery.done():
            return delivery.result()
        delivery.add_done_callback(report_unhandled_error)
        raise ClientGone("The caller hung up before the answer was known.")
    finally:
        delivery.cancel()
        disconnect.cancel()
        await asyncio.gather(disconnect, return_exceptions=True)


async def wait_for_disconnect(receive: Receive) -> None:
    """Wait until the caller hangs up."""
    while (await receive())["type"] != "http.disconnect":
        pass
