"""The outermost layer: gives every request its id and tells, once it is answered, what it was.

Rule: whatever is answered, 404s and errors of the framework included, carries `x-request-id` and makes one event. Knows
neither routes nor bodies. An answer that never started is reported as status 499: the client had gone.
"""

import re
from collections.abc import Callable
from dataclasses import dataclass, field
from enum import Enum
from functools import cache
from typing import Any, cast

from litestar import Request
from litestar.connection import ASGIConnection
from litestar.enums import ScopeType
from litestar.types import ASGIApp, HTTPScope, Message, Receive, Scope, Send

from service.api.http.path_aliases import canonical_path
from service.domain.limits import Limit
from service.domain.request_labels import NO_LABELS, ApiOperation, Outcome, RequestLabels
from service.domain.team_access import Key
from service.usecases.ports.events import RequestFinished
from service.usecases.ports.observer import Observer
from service.usecases.ports.tracing import Tracer

SAFE_ID = re.compile(rb"[A-Za-z0-9._-]{1,128}")
CONTEXT_KEY = "image_gateway"
FAULT_KEY = "image_gateway_refused"
CLIENT_GONE_STATUS = 499
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
"""What the templates of our own routes begin with, and what is asked for there."""

Http = Request[Any, Any, Any]
Connection = ASGIConnection[Any, Any, Any, Any]


class RequestProgress(Enum):
    """How far a purchase came, as its request knows. One that waits for the purchase of another stays `STARTED`."""

    NOT_STARTED = "nothing"
    STARTED = "begun"
    ADMITTED = "admitted"
    SENT = "asked"

    @property
    def may_be_billed(self) -> bool:
        """May a vendor have been asked?"""
        return self in {RequestProgress.STARTED, RequestProgress.SENT}


@dataclass(slots=True)
class RequestContext:
    """What is known about a request while it is served: facts for the log, headers for the reply whatever it is.

    `started_at` and `monotonic` are monotonic seconds; `first_preview_seconds` is how long after the one its first
    preview was there. `refused_limit` is the limit that had no room for it. `progress` is how far the purchase came.
    `is_head`: the answer goes out without its body. `model` is the one that the address names.
    """

    request_id: str
    started_at: float
    monotonic: Callable[[], float]
    key: Key | None = None
    labels: RequestLabels = NO_LABELS
    outcome: Outcome = Outcome.SERVED
    refused_limit: Limit | None = None
    progress: RequestProgress = RequestProgress.NOT_STARTED
    first_preview_seconds: float | None = None
    is_head: bool = False
    model: str | None = None
    log_fields: dict[str, object] = field(default_factory=dict)
    headers: dict[str, str] = field(default_factory=dict)
    status: int = CLIENT_GONE_STATUS
    bytes_out: int = 0

    def log(self, **fields: object) -> None:
        """Add facts for the log; what is None is left out."""
        self.log_fields |= {name: fact for name, fact in fields.items() if fact is not None}

    def record_first_preview(self) -> None:
        """A preview goes out."""
        if self.first_preview_seconds is None:
            self.first_preview_seconds = self.monotonic() - self.started_at


def request_context(scope: Scope) -> RequestContext:
    """The line of a request."""
    return cast("RequestContext", scope[CONTEXT_KEY])  # type: ignore[literal-required]  # our own entry in the ASGI scope


class RequestMiddleware:
    """Wraps the application. `new_id` makes ids, `monotonic` gives monotonic seconds."""

    def __init__(
        self,
        app: ASGIApp,
        observe: Observer,
        new_id: Callable[[], str],
        monotonic: Callable[[], float],
        trace: Tracer,
    ) -> None:
        self._app = app
        self._observe = observe
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
                self._observe(finished)
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
    """What says which trace the request belongs to."""
    return {name.decode(): value.decode("latin-1") for name, value in scope["headers"] if name in TRACE_HEADERS}


@cache  # of our own routes only, so it stays small
def path_operation(template: str | None) -> ApiOperation:
    """What a route of ours is for; None is no route."""
    return next(
        (operation for prefix, operation in OPERATION_PATHS if (template or "").startswith(prefix)),
        ApiOperation.UNKNOWN,
    )


def _proxy_request_id(scope: HTTPScope) -> str | None:
    """The id that a proxy in front has given, if it is one that can be logged and sent back."""
    header_value = next((value for name, value in scope["headers"] if name == b"x-request-id"), b"")
    return header_value.decode() if SAFE_ID.fullmatch(header_value) else None
