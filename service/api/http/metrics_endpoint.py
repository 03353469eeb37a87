"""GET and HEAD /metrics, outside of all other middleware.

Rule: a scrape needs no key, is neither counted nor logged, and is not in the OpenAPI document. Where metrics have a
port of their own this layer is absent, and the path is a 404.
"""

from typing import Protocol

from litestar.enums import ScopeType
from litestar.types import ASGIApp, HTTPResponseBodyEvent, HTTPResponseStartEvent, HTTPScope, Receive, Scope, Send

from service.api.http.request_context import FAULT_KEY

PATHS = frozenset({"/metrics", "/metrics/"})
METHODS = frozenset({"GET", "HEAD"})


class MetricsRenderer(Protocol):
    """Source of the text of the metrics."""

    def render(self, accept: str) -> tuple[bytes, str]:
        """Return the text for an `Accept` header, and its media type."""
        ...


class MetricsEndpoint:
    """The layer that answers scrapes, and passes all other requests on."""

    def __init__(self, app: ASGIApp, renderer: MetricsRenderer) -> None:
        self._app = app
        self._renderer = renderer

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one connection."""
        if scope["type"] == ScopeType.HTTP and _is_scrape(scope):
            await self._send_metrics(scope, send)
        else:
            await self._app(scope, receive, send)

    async def _send_metrics(self, scope: HTTPScope, send: Send) -> None:
        accept = ",".join(value.decode("latin-1") for name, value in scope["headers"] if name == b"accept")
        body, media_type = self._renderer.render(accept)
        headers = [(b"content-type", media_type.encode()), (b"content-length", str(len(body)).encode())]
        await send(HTTPResponseStartEvent(type="http.response.start", status=200, headers=headers))
        text = b"" if scope["method"] == "HEAD" else body
        await send(HTTPResponseBodyEvent(type="http.response.body", body=text, more_body=False))


def _is_scrape(scope: HTTPScope) -> bool:
    return scope["path"] in PATHS and scope["method"] in METHODS and FAULT_KEY not in scope
