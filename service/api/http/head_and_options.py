"""The methods HEAD and OPTIONS, and the header `Allow`.

Rule: HEAD is served wherever GET is, as the response to GET without its body (RFC 9110 9.3.2). A handler whose body is
expensive reads `RequestContext.is_head`. OPTIONS and a 405 name all methods of the path in `Allow`. The framework would
name only those of the path's first handler. OPTIONS needs the key that the other methods of its path need.
"""

from collections.abc import Iterable

from litestar.enums import HttpMethod, ScopeType
from litestar.response import Response
from litestar.routes import HTTPRoute
from litestar.types import ASGIApp, Message, Receive, Scope, Send

from service.api.http.request_context import Http, request_context


class HeadAsGet:
    """The layer that passes HEAD on as GET. The server sees HEAD again before the response starts."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one connection."""
        if scope["type"] != ScopeType.HTTP or scope["method"] != HttpMethod.HEAD:
            await self._app(scope, receive, send)
            return

        async def send_without_body(message: Message) -> None:
            scope["method"] = HttpMethod.HEAD.value  # uvicorn reads it, and sends no body for HEAD
            if message["type"] == "http.response.body":
                message["body"] = b""
            await send(message)

        request_context(scope).is_head = True
        scope["method"] = HttpMethod.GET.value
        try:
            await self._app(scope, receive, send_without_body)
        finally:
            scope["method"] = HttpMethod.HEAD.value


async def answer_options(request: Http) -> Response[None] | None:
    """Answer OPTIONS. Return None for every other method, so that its handler is called."""
    if request.method != HttpMethod.OPTIONS:
        return None
    return Response(None, status_code=204, headers={"allow": allow_header(path_methods(request))})


def path_methods(request: Http) -> set[str]:
    """Return the methods of the path of a request."""
    template = request.scope["path_template"]
    routes = (route for route in request.app.routes if isinstance(route, HTTPRoute) and route.path_format == template)
    return {str(method) for route in routes for method in route.methods}


def allow_header(methods: Iterable[str]) -> str:
    """Build the value of `Allow` from the methods of a path's handlers."""
    names = set(methods)
    return ", ".join(sorted(names | ({"HEAD"} if "GET" in names else set())))
