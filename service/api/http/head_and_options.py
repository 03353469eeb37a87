"""Methods of a path: HEAD is served wherever GET is, and `Allow` names the methods that the path has.

Rule: OPTIONS and a 405 say in `Allow` what the path really has. The framework's own answer to OPTIONS names only what
the first handler of a path has, so it is given here; needs of a key are as for the path's other methods. The answer to
HEAD is the answer to GET without its body (RFC 9110 9.3.2). A handler reads `Line.is_head` where a body costs much.
"""

from collections.abc import Iterable

from litestar.enums import HttpMethod, ScopeType
from litestar.response import Response
from litestar.routes import HTTPRoute
from litestar.types import ASGIApp, Message, Receive, Scope, Send

from service.api.http.request_context import Http, request_context


class HeadAsGet:
    """Wraps the application, which sees GET instead of HEAD. The server sees HEAD again before the answer begins."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one connection."""
        if scope["type"] != ScopeType.HTTP or scope["method"] != HttpMethod.HEAD:
            await self._app(scope, receive, send)
            return

        async def send_without_body(message: Message) -> None:
            scope["method"] = HttpMethod.HEAD.value
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
    """The answer to OPTIONS; nothing for every other method, which goes on to its handler."""
    if request.method != HttpMethod.OPTIONS:
        return None
    return Response(None, status_code=204, headers={"allow": allow_header(path_methods(request))})


def path_methods(request: Http) -> set[str]:
    """The methods of the path that was found."""
    template = request.scope["path_template"]
    routes = (route for route in request.app.routes if isinstance(route, HTTPRoute) and route.path_format == template)
    return {str(method) for route in routes for method in route.methods}


def allow_header(methods: Iterable[str]) -> str:
    """The value of `Allow` for the methods of a path's handlers."""
    names = set(methods)
    return ", ".join(sorted(names | ({"HEAD"} if "GET" in names else set())))
