"""Writes the delivery of an image request: headers, JSON, events, and errors after the response has started.

Rule: each delivery is recorded in the request's context before it is written, so that log and metrics have it. The
base64 of images is passed on by reference.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any, cast

from litestar.response.base import Response

from service.api.http.dependencies import Dependencies
from service.api.http.errors import REPLAYED
from service.api.http.forwarded_headers import path_prefix
from service.api.http.request_context import Http, request_context
from service.api.schemas.image_events import EVENT_PREFIXES, image_event, preview_event
from service.api.schemas.images_reply import ImageLink, Segments, build_segments
from service.domain.errors import GatewayError
from service.domain.generation import Buffer, Preview
from service.domain.image_spec import Operation
from service.domain.ledger import CacheStatus
from service.domain.pricing import NANO
from service.domain.request_labels import Outcome
from service.domain.stored_images import to_stored_name
from service.usecases.generate.delivery import Delivery


@dataclass(frozen=True, slots=True, kw_only=True)
class ResponseWriter:
    """The writer of one response.

    Attributes:
        request: The HTTP request.
        deps: Clock, signatures and addresses of stored images.
        operation: Generation or edit; the names of events begin with it.
        linked: Whether images are written as signed addresses.
    """

    request: Http
    deps: Dependencies
    operation: Operation
    linked: bool

    def json_response(self, delivery: Delivery) -> Segments:
        """Build a response that has not started yet."""
        return Segments(self.json_body(delivery), headers=delivery_headers(delivery))

    def json_body(self, delivery: Delivery) -> list[Buffer]:
        """Record a delivery, and encode it as JSON."""
        self.record(delivery)
        ids = delivery.result.ids
        urls = self._signed_urls(delivery) if self.linked else [None] * len(ids)
        links = [ImageLink(id=image_id, url=url) for image_id, url in zip(ids, urls, strict=True)]
        return build_segments(delivery, links)

    def preview_event(self, preview: Preview) -> Sequence[Buffer]:
        """Record that a preview goes out, and encode it as an event."""
        request_context(self.request.scope).record_first_preview()
        return preview_event(EVENT_PREFIXES[self.operation], preview, int(self.deps.now().timestamp()))

    def image_event(self, delivery: Delivery, index: int) -> Sequence[Buffer]:
        """Encode one image of a delivery as an event."""
        return image_event(EVENT_PREFIXES[self.operation], delivery, index)

    def record(self, delivery: Delivery) -> None:
        """Put a delivery into the log line and the metric labels of its request."""
        context, result = request_context(self.request.scope), delivery.result
        context.log(model=result.model, backend=result.backend, delivered=len(result.generation.images))
        context.log(cost_usd=delivery.cost / NANO, cache=delivery.source.value)
        context.labels = replace(context.labels, backend=result.backend, cache=delivery.source.value)
        context.outcome = Outcome.SERVED

    def error_body(self, error: Exception) -> bytes:
        """Record an error, and return the body that it would have had before the response started."""
        handler_type = GatewayError if isinstance(error, GatewayError) else Exception
        handlers = self.request.app.exception_handlers
        respond = cast("Callable[[Http, Any], Response[bytes]]", handlers[handler_type])
        return respond(self.request, error).content

    def _signed_urls(self, delivery: Delivery) -> list[str]:
        request_root = str(self.request.base_url).rstrip("/") + path_prefix(self.request.scope)
        links = self.deps.image_links
        root = (links.public_url or request_root).rstrip("/")
        expires = delivery.at + links.url_seconds
        return [
            f"{root}/v1/images/{name}?expires={expires}&signature={links.sign_urls.sign(name, expires)}"
            for name in map(to_stored_name, delivery.result.ids)
        ]


def delivery_headers(delivery: Delivery) -> dict[str, str]:
    """Build the headers of a response whose delivery is known before it starts."""
    headers = {
        "x-gateway-backend": delivery.result.backend,
        "x-gateway-cache": delivery.source.value,
        **({"age": str(delivery.age)} if delivery.source is CacheStatus.HIT else {}),
        **(REPLAYED if delivery.source is CacheStatus.REPLAYED else {}),
        "x-gateway-cost-usd": f"{delivery.cost / NANO:.9f}",
        "cache-control": "no-store",
        **({"x-gateway-route-notes": ", ".join(delivery.notes)} if delivery.notes else {}),
    }
    delivered, requested = len(delivery.result.generation.images), delivery.spec.n
    return headers | ({"x-gateway-partial": f"{delivered}/{requested}"} if delivered < requested else {})
