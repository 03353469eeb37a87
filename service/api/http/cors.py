"""CORS: requests of web pages from the origins that the operator lists.

Rule: a listed origin may send every header to `/v1`, and read every header of a response, errors included. A preflight
needs no key, because browsers send none with it. Credentials that a browser adds by itself are not allowed. An unlisted
origin gets the response without these headers, which its browser hides. `Vary` is on every response, because a cache
must not serve the response for one origin to another. The admin API has no CORS.
"""

from collections.abc import Mapping

from litestar.enums import HttpMethod, ScopeType
from litestar.types import ASGIApp, HTTPResponseBodyEvent, HTTPResponseStartEvent, HTTPScope, Receive, Scope, Send

from service.api.http.request_context import FAULT_KEY, request_context

PREFIX = "/v1/"
ANY_ORIGIN = "*"
EXPOSE_ALL = {"access-control-expose-headers": "*"}
VARY = {"vary": "origin"}
PREFLIGHT: Mapping[str, str] = {
    "access-control-allow-methods": "GET, HEAD, POST, DELETE",
    "access-control-allow-headers": "authorization, *",  # the star does not cover authorization
    "access-control-max-age": "600",
}
NO_CONTENT = 204


class Cors:
    """The layer that adds the headers and answers preflights. The origin `*` stands for all origins."""

    def __init__(self, app: ASGIApp, origins: frozenset[str]) -> None:
        self._app = app
        self._origins = origins

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one connection."""
        if scope["type"] == ScopeType.HTTP and scope["path"].startswith(PREFIX):
            headers = {name: value.decode("latin-1") for name, value in scope["headers"]}
            cors_headers = self._cors_headers(headers.get(b"origin"))
            request_context(scope).headers |= cors_headers
            if "access-control-allow-origin" in cors_headers and _is_preflight(scope, headers):
                request_context(scope).headers |= PREFLIGHT
                await send(HTTPResponseStartEvent(type="http.response.start", status=NO_CONTENT, headers=[]))
                await send(HTTPResponseBodyEvent(type="http.response.body", body=b"", more_body=False))
                return
        await self._app(scope, receive, send)

    def _cors_headers(self, origin: str | None) -> dict[str, str]:
        """Build the headers of a response to a page of an origin."""
        if ANY_ORIGIN in self._origins:
            return {"access-control-allow-origin": ANY_ORIGIN, **EXPOSE_ALL}
        if origin is None or origin not in self._origins:
            return dict(VARY)
        return {"access-control-allow-origin": origin, **EXPOSE_ALL, **VARY}


def _is_preflight(scope: HTTPScope, headers: Mapping[bytes, str]) -> bool:
    is_asked = scope["method"] == HttpMethod.OPTIONS and b"access-control-request-method" in headers
    return is_asked and FAULT_KEY not in scope
