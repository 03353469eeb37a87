"""Requests that were refused while they were read: answered here, before a route is looked for.

Rule: a connection puts the fault of a request into its scope under `REFUSED`. The answer is the envelope that every
error has. It is counted and logged as every other answer, because this layer stands inside of the edge.
"""

from litestar.types import ASGIApp, HTTPResponseBodyEvent, HTTPResponseStartEvent, Receive, Scope, Send

from service.api.edge import REFUSED, Http
from service.api.errors import on_gateway_error
from service.api.verdicts import judged
from service.domain.errors import GatewayError


class Refused:
    """Wraps the application."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one connection."""
        error = scope.get(REFUSED)
        if isinstance(error, GatewayError):
            await _answer(Http(scope), error, send)
        else:
            await self._app(scope, receive, send)


async def _answer(request: Http, error: GatewayError, send: Send) -> None:
    reply = judged(on_gateway_error)(request, error)
    headers = {"content-type": "application/json", "content-length": str(len(reply.content)), **reply.headers}
    told = [(name.encode(), value.encode()) for name, value in headers.items()]
    await send(HTTPResponseStartEvent(type="http.response.start", status=reply.status_code or 400, headers=told))
    await send(HTTPResponseBodyEvent(type="http.response.body", body=reply.content, more_body=False))
