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

from service.api.spellings import meant
from service.domain.limits import Limit
from service.domain.marks import UNMARKED, Marks, Operation, Verdict
from service.domain.teams import Key
from service.usecases.events import RequestFinished
from service.usecases.ports import Observer
from service.usecases.traces import Tracer

SAFE_ID = re.compile(rb"[A-Za-z0-9._-]{1,128}")
KEY = "image_gateway"
REFUSED = "image_gateway_refused"
GONE = 499
CARRIED = frozenset({b"traceparent", b"tracestate"})
PLACES: tuple[tuple[str, Operation], ...] = (
    ("/v1/images/generations", Operation.GENERATE),
    ("/v1/images/edits", Operation.EDIT),
    ("/v1/images", Operation.PICTURES),
    ("/v1/models", Operation.MODELS),
    ("/v1/files", Operation.FILES),
    ("/v1/usage", Operation.USAGE),
    ("/admin", Operation.ADMIN),
    ("/docs", Operation.DOCS),
    ("/openapi.yaml", Operation.DOCS),
    ("/health", Operation.HEALTH),
)
"""What the templates of our own routes begin with, and what is asked for there."""

Http = Request[Any, Any, Any]
Connection = ASGIConnection[Any, Any, Any, Any]


class Progress(Enum):
    """How far a purchase came, as its request knows. One that waits for the purchase of another stays `BEGUN`."""

    NOTHING = "nothing"
    BEGUN = "begun"
    ADMITTED = "admitted"
    ASKED = "asked"

    @property
    def may_be_billed(self) -> bool:
        """May a vendor have been asked?"""
        return self in {Progress.BEGUN, Progress.ASKED}


@dataclass(slots=True)
class Line:
    """What is known about a request while it is served: facts for the log, headers for the reply whatever it is.

    `began` and `elapsed` are monotonic seconds; `previewed` is how long after the one its first preview was there.
    `refused` is the limit that had no room for it. `progress` is how far the purchase came. `is_head`: the answer goes
    out without its body. `model` is the one that the address names.
    """

    request_id: str
    began: float
    elapsed: Callable[[], float]
    key: Key | None = None
    marks: Marks = UNMARKED
    verdict: Verdict = Verdict.SERVED
    refused: Limit | None = None
    progress: Progress = Progress.NOTHING
    previewed: float | None = None
    is_head: bool = False
    model: str | None = None
    facts: dict[str, object] = field(default_factory=dict)
    headers: dict[str, str] = field(default_factory=dict)
    status: int = GONE
    bytes_out: int = 0

    def note(self, **facts: object) -> None:
        """Add facts for the log; what is None is left out."""
        self.facts |= {name: fact for name, fact in facts.items() if fact is not None}

    def preview(self) -> None:
        """A preview goes out."""
        if self.previewed is None:
            self.previewed = self.elapsed() - self.began


def line_of(scope: Scope) -> Line:
    """The line of a request."""
    return cast("Line", scope[KEY])  # type: ignore[literal-required]  # our own entry in the ASGI scope


class Edge:
    """Wraps the application. `mint` makes ids, `elapsed` gives monotonic seconds."""

    def __init__(
        self,
        app: ASGIApp,
        observe: Observer,
        mint: Callable[[], str],
        elapsed: Callable[[], float],
        trace: Tracer,
    ) -> None:
        self._app = app
        self._observe = observe
        self._trace = trace
        self._mint = mint
        self._elapsed = elapsed

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one connection."""
        if scope["type"] == ScopeType.HTTP:
            await self._serve(scope, receive, send)
        else:
            await self._app(scope, receive, send)

    async def _serve(self, scope: HTTPScope, receive: Receive, send: Send) -> None:
        request_id = _given_id(scope) or f"req_{self._mint()}"
        line = Line(request_id=request_id, began=self._elapsed(), elapsed=self._elapsed)
        scope["path"], line.model = meant(scope["path"])
        scope[KEY] = line  # type: ignore[literal-required]  # our own entry in the ASGI scope
        header = (b"x-request-id", line.request_id.encode())

        async def counted(message: Message) -> None:
            if message["type"] == "http.response.start":
                line.status = message["status"]
                told = [(name.encode(), value.encode()) for name, value in line.headers.items()]
                message["headers"] = [*message["headers"], header, *told]
            elif message["type"] == "http.response.body":
                line.bytes_out += len(message["body"])
            await send(message)

        with self._trace.request(scope["method"], _carried(scope)) as span:
            if span.trace_id:
                line.note(trace_id=span.trace_id)
            try:
                await self._app(scope, receive, counted)
            finally:
                finished = _finished(scope, line)
                self._observe(finished)
                span.tell(finished)


def _finished(scope: HTTPScope, line: Line) -> RequestFinished:
    return RequestFinished(
        request_id=line.request_id,
        method=scope["method"],
        path=scope["path"],
        status=line.status,
        milliseconds=(line.elapsed() - line.began) * 1000,
        bytes_out=line.bytes_out,
        facts=line.facts,
        team=line.key.team.name if line.key else "",
        operation=operation_of(scope.get("path_template")),
        verdict=Verdict.CLIENT_GONE if line.status == GONE else line.verdict,
        marks=line.marks,
        refused=line.refused,
        previewed=line.previewed,
    )


def _carried(scope: HTTPScope) -> dict[str, str]:
    """What says which trace the request belongs to."""
    return {name.decode(): value.decode("latin-1") for name, value in scope["headers"] if name in CARRIED}


@cache  # of our own routes only, so it stays small
def operation_of(template: str | None) -> Operation:
    """What a route of ours is for; None is no route."""
    return next((operation for place, operation in PLACES if (template or "").startswith(place)), Operation.UNKNOWN)


def _given_id(scope: HTTPScope) -> str | None:
    """The id that a proxy in front has given, if it is one that can be logged and sent back."""
    given = next((value for name, value in scope["headers"] if name == b"x-request-id"), b"")
    return given.decode() if SAFE_ID.fullmatch(given) else None
