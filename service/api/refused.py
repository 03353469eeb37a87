"""Requests that were refused while they were read, and requests that the replica ends because it goes away.

Rule: a connection puts the fault of a request into its scope under `REFUSED`. The answer is the envelope that every
error has. It is counted and logged as every other answer, because this layer stands inside of the edge. Only a server
whose drain is over cancels a request (`service/server.py`); a request without an answer gets one then.
"""

import asyncio

from litestar.enums import ScopeType
from litestar.types import ASGIApp, HTTPResponseBodyEvent, HTTPResponseStartEvent, Receive, Scope, Send

from service.api.edge import GONE, REFUSED, Http, line_of
from service.api.errors import ended, on_gateway_error
from service.api.verdicts import judged
from service.domain.errors import GatewayError


class Refused:
    """Wraps the application."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one connection."""
        if scope["type"] != ScopeType.HTTP:
            await self._app(scope, receive, send)
            return
        error = scope.get(REFUSED)
        try:
            if not isinstance(error, GatewayError):
                await self._app(scope, receive, send)
                return
        except asyncio.CancelledError:
            if line_of(scope).status != GONE:  # the answer has begun
                raise
            error = ended()
        await _answer(Http(scope), error, send)


async def _answer(request: Http, error: GatewayError, send: Send) -> None:
    reply = judged(on_gateway_error)(request, error)
    headers = {"content-type": "application/json", "content-length": str(len(reply.content)), **reply.headers}
    told = [(name.encode(), value.encode()) for name, value in headers.items()]
    await send(HTTPResponseStartEvent(type="http.response.start", status=reply.status_code or 400, headers=told))
    await send(HTTPResponseBodyEvent(type="http.response.body", body=reply.content, more_body=False))
