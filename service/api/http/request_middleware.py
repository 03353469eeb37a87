"""Middleware around all routes: the request id, the event of each finished request, and errors outside of handlers.

Rule: every response carries `x-request-id` and makes one `RequestFinished`, 404s and errors of the framework included.
A response that never started is reported with status 499, because the client had gone. Neither layer knows routes or
bodies.

Fails with: nothing of its own. A fault of the connection, and the end of the replica, are answered in the envelope of
all errors.
"""

import asyncio
import re
from collections.abc import Callable
from functools import cache

from litestar.enums import ScopeType
from litestar.types import (
    ASGIApp,
    HTTPResponseBodyEvent,
    HTTPResponseStartEvent,
    HTTPScope,
    Message,
    Receive,
    Scope,
    Send,
)

from service.api.http.error_outcomes import with_outcome
from service.api.http.errors import on_gateway_error, replica_stopped
from service.api.http.path_aliases import canonical_path
from service.api.http.request_context import (
    CLIENT_GONE_STATUS,
    CONTEXT_KEY,
    FAULT_KEY,
    Http,
    RequestContext,
    request_context,
)
from service.domain.errors import GatewayError
from service.domain.request_labels import ApiOperation, Outcome
from service.usecases.ports.events import RequestFinished
from service.usecases.ports.observer import Observer
from service.usecases.ports.tracing import Tracer

SAFE_ID = re.compile(rb"[A-Za-z0-9._-]{1,128}")
TRACE_HEADERS = frozenset({b"traceparent", b"tracestate"})
OPERATION_PATHS: tuple[tuple[str, ApiOperation], ...] = (
    ("/v1/images/generations", ApiOperation.GENERATE),
    ("/v1/images/edits", ApiOperation.EDIT),
    ("/v1/images", ApiOperation.IMAGES),
    ("/v1/models", ApiOperation.MODELS),
    ("/v1/files", ApiOperation.FILES),
    ("/v1/usage", ApiOperation.USAGE),
    ("/admin", ApiOperation.ADMIN),
    ("/docs", ApiOperation.DOCS),
    ("/openapi.yaml", ApiOperation.DOCS),
    ("/health", ApiOperation.HEALTH),
)
"""Prefix of a route's template → its metric label. The first match counts."""


class RequestMiddleware:
    """The outermost layer: gives a request its id and context, and reports it when it is finished.

    `new_id` makes request ids, `monotonic` gives monotonic seconds.
    """

    def __init__(
        self,
        app: ASGIApp,
        observer: Observer,
        new_id: Callable[[], str],
        monotonic: Callable[[], float],
        trace: Tracer,
    ) -> None:
        self._app = app
        self._observer = observer
        self._trace = trace
        self._new_id = new_id
        self._monotonic = monotonic

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one connection."""
        if scope["type"] == ScopeType.HTTP:
            await self._serve(scope, receive, send)
        else:
            await self._app(scope, receive, send)

    async def _serve(self, scope: HTTPScope, receive: Receive, send: Send) -> None:
        request_id = _proxy_request_id(scope) or f"req_{self._new_id()}"
        context = RequestContext(request_id=request_id, started_at=self._monotonic(), monotonic=self._monotonic)
        scope["path"], context.model = canonical_path(scope["path"])
        scope[CONTEXT_KEY] = context  # type: ignore[literal-required]  # our own entry in the ASGI scope
        header = (b"x-request-id", context.request_id.encode())

        async def send_counted(message: Message) -> None:
            if message["type"] == "http.response.start":
                context.status = message["status"]
                context_headers = [(name.encode(), value.encode()) for name, value in context.headers.items()]
                message["headers"] = [*message["headers"], header, *context_headers]
            elif message["type"] == "http.response.body":
                context.bytes_out += len(message["body"])
            await send(message)

        with self._trace.request(scope["method"], _trace_headers(scope)) as span:
            if span.trace_id:
                context.log(trace_id=span.trace_id)
            try:
                await self._app(scope, receive, send_counted)
            finally:
                finished = _to_request_finished(scope, context)
                self._observer.record(finished)
                span.record(finished)


def _to_request_finished(scope: HTTPScope, context: RequestContext) -> RequestFinished:
    return RequestFinished(
        request_id=context.request_id,
        method=scope["method"],
        path=scope["path"],
        status=context.status,
        milliseconds=(context.monotonic() - context.started_at) * 1000,
        bytes_out=context.bytes_out,
        log_fields=context.log_fields,
        team=context.key.team.name if context.key else "",
        operation=path_operation(scope.get("path_template")),
        outcome=Outcome.CLIENT_GONE if context.status == CLIENT_GONE_STATUS else context.outcome,
        labels=context.labels,
        refused_limit=context.refused_limit,
        first_preview_seconds=context.first_preview_seconds,
    )


def _trace_headers(scope: HTTPScope) -> dict[str, str]:
    return {name.decode(): value.decode("latin-1") for name, value in scope["headers"] if name in TRACE_HEADERS}


@cache  # the keys are templates of our own routes, so the cache stays small
def path_operation(template: str | None) -> ApiOperation:
    """Return the label of a route's template. None is a path without a route."""
    return next(
        (operation for prefix, operation in OPERATION_PATHS if (template or "").startswith(prefix)),
        ApiOperation.UNKNOWN,
    )


def _proxy_request_id(scope: HTTPScope) -> str | None:
    """Return the id that a proxy in front gave, if it can be logged and sent back."""
    header_value = next((value for name, value in scope["headers"] if name == b"x-request-id"), b"")
    return header_value.decode() if SAFE_ID.fullmatch(header_value) else None


class RefusedRequests:
    """The layer that answers a request whose bytes were refused, or which the replica ends because it stops.

    A connection puts its fault into the scope under `FAULT_KEY`. Only a server whose drain is over cancels a request
    (`service/server.py`).
    """

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one connection."""
        if scope["type"] != ScopeType.HTTP:
            await self._app(scope, receive, send)
            return
        error = scope.get(FAULT_KEY)
        try:
            if not isinstance(error, GatewayError):
                await self._app(scope, receive, send)
                return
        except asyncio.CancelledError:
            if request_context(scope).status != CLIENT_GONE_STATUS:  # the response has started
                raise
            error = replica_stopped()
        await _send_error(Http(scope), error, send)


async def _send_error(request: Http, error: GatewayError, send: Send) -> None:
    reply = with_outcome(on_gateway_error)(request, error)
    headers = {"content-type": "application/json", "content-length": str(len(reply.content)), **reply.headers}
    error_headers = [(name.encode(), value.encode()) for name, value in headers.items()]
    await send(
        HTTPResponseStartEvent(type="http.response.start", status=reply.status_code or 400, headers=error_headers)
    )
    await send(HTTPResponseBodyEvent(type="http.response.body", body=reply.content, more_body=False))
