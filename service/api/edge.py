"""The outermost layer: gives every request its id and tells, once it is answered, what it was.

Rule: whatever is answered, 404s and errors of the framework included, carries `x-request-id` and makes one event. Knows
neither routes nor bodies. An answer that never started is reported as status 499: the client had gone.
"""

import re
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, cast

from litestar import Request
from litestar.connection import ASGIConnection
from litestar.enums import ScopeType
from litestar.types import ASGIApp, HTTPScope, Message, Receive, Scope, Send

from service.domain.teams import Key
from service.usecases.events import RequestFinished
from service.usecases.ports import Observer

SAFE_ID = re.compile(rb"[A-Za-z0-9._-]{1,128}")
KEY = "image_gateway"
GONE = 499
DOUBLED = "/v1/v1/"  # what Together's Python SDK from 2.1 asks for when its base_url ends in /v1

Http = Request[Any, Any, Any]
Connection = ASGIConnection[Any, Any, Any, Any]


@dataclass(slots=True)
class Line:
    """What is known about a request while it is served: facts for the log, headers for the reply whatever it is."""

    request_id: str
    key: Key | None = None
    facts: dict[str, object] = field(default_factory=dict)
    headers: dict[str, str] = field(default_factory=dict)
    status: int = GONE
    bytes_out: int = 0

    def note(self, **facts: object) -> None:
        """Add facts for the log; what is None is left out."""
        self.facts |= {name: fact for name, fact in facts.items() if fact is not None}


def line_of(scope: Scope) -> Line:
    """The line of a request."""
    return cast("Line", scope[KEY])  # type: ignore[literal-required]  # our own entry in the ASGI scope


class Edge:
    """Wraps the application. `mint` makes ids, `elapsed` gives monotonic seconds."""

    def __init__(self, app: ASGIApp, observe: Observer, mint: Callable[[], str], elapsed: Callable[[], float]) -> None:
        self._app = app
        self._observe = observe
        self._mint = mint
        self._elapsed = elapsed

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one connection."""
        if scope["type"] == ScopeType.HTTP:
            await self._serve(scope, receive, send)
        else:
            await self._app(scope, receive, send)

    async def _serve(self, scope: HTTPScope, receive: Receive, send: Send) -> None:
        line = Line(request_id=_given_id(scope) or f"req_{self._mint()}")
        if scope["path"].startswith(DOUBLED):
            scope["path"] = scope["path"].removeprefix("/v1")
        scope[KEY] = line  # type: ignore[literal-required]  # our own entry in the ASGI scope
        started = self._elapsed()
        header = (b"x-request-id", line.request_id.encode())

        async def counted(message: Message) -> None:
            if message["type"] == "http.response.start":
                line.status = message["status"]
                told = [(name.encode(), value.encode()) for name, value in line.headers.items()]
                message["headers"] = [*message["headers"], header, *told]
            elif message["type"] == "http.response.body":
                line.bytes_out += len(message["body"])
            await send(message)

        try:
            await self._app(scope, receive, counted)
        finally:
            self._observe(
                RequestFinished(
                    request_id=line.request_id,
                    method=scope["method"],
                    path=scope["path"],
                    status=line.status,
                    milliseconds=(self._elapsed() - started) * 1000,
                    bytes_out=line.bytes_out,
                    facts=line.facts,
                ),
            )


def _given_id(scope: HTTPScope) -> str | None:
    """The id that a proxy in front has given, if it is one that can be logged and sent back."""
    given = next((value for name, value in scope["headers"] if name == b"x-request-id"), b"")
    return given.decode() if SAFE_ID.fullmatch(given) else None
