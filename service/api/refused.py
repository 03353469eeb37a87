"""Requests that were refused while they were read, and requests that the replica ends because it goes away.

Rule: a connection puts the fault of a request into its scope under `FAULT_KEY`. The answer is the envelope that every
error has. It is counted and logged as every other answer, because this layer stands inside of the edge. Only a server
whose drain is over cancels a request (`service/server.py`); a request without an answer gets one then.
"""

import asyncio

from litestar.enums import ScopeType
from litestar.types import ASGIApp, HTTPResponseBodyEvent, HTTPResponseStartEvent, Receive, Scope, Send

from service.api.http.errors import on_gateway_error, replica_stopped
from service.api.http.outcomes import with_outcome
from service.api.http.request_context import CLIENT_GONE_STATUS, FAULT_KEY, Http, request_context
from service.domain.errors import GatewayError


class RefusedRequests:
    """Wraps the application."""

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
            if request_context(scope).status != CLIENT_GONE_STATUS:  # the answer has begun
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
