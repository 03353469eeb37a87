"""The ASGI application: routes, keys and error handling put together.

Rule: every route is in the tables of this module, with the key that opens it. Any other path is a 404 in the envelope
of all errors. With a port for admin there are two applications, and neither has a route of the other.
"""

from collections.abc import Awaitable, Callable, Sequence
from contextlib import AbstractAsyncContextManager
from enum import Enum

from litestar import Litestar, Router
from litestar.datastructures import State
from litestar.enums import ScopeType
from litestar.exceptions import HTTPException
from litestar.openapi import OpenAPIConfig
from litestar.openapi.spec import Components, License, SecurityScheme
from litestar.response import Response
from litestar.routes import BaseRoute
from litestar.types import ASGIApp, ControllerRouterHandler, Receive, Scope, Send

from service import __version__
from service.api.http.cors import Cors
from service.api.http.dependencies import DEPENDENCIES_KEY, Dependencies, require_team_key
from service.api.http.error_outcomes import with_outcome
from service.api.http.errors import build_crash_handler, on_gateway_error, on_http_exception
from service.api.http.head_and_options import HeadAsGet, answer_options
from service.api.http.request_context import Connection, Http
from service.api.http.request_middleware import RefusedRequests, RequestMiddleware
from service.api.routes import (
    admin_backends,
    admin_cache,
    admin_keys,
    admin_teams,
    files,
    health_and_docs,
    images,
    models,
    stored_images,
    usage,
)
from service.api.routes.admin_keys import require_admin_key
from service.domain.errors import GatewayError
from service.usecases.ports.observer import Observer
from service.usecases.ports.tracing import Tracer

Lifespan = Callable[[Litestar], AbstractAsyncContextManager[None]]

DESCRIPTION = "One OpenAI-compatible image API in front of several backends. Point an OpenAI or Together SDK at it."


DATA_ROUTES: Sequence[ControllerRouterHandler] = (
    images.generate,
    images.edit,
    images.variations,
    models.list_models,
    models.retrieve_model,
    usage.own_usage,
    files.create_file,
    files.list_files,
    files.retrieve_file,
    files.download_file,
    files.delete_file,
)
"""Routes that need the key of a team."""

ADMIN_ROUTES: Sequence[ControllerRouterHandler] = (
    admin_keys.issue_key,
    admin_keys.list_keys,
    admin_keys.retrieve_key,
    admin_keys.change_key,
    admin_keys.revoke_key,
    admin_keys.rotate_key,
    admin_keys.list_records,
    admin_teams.list_teams,
    admin_teams.retrieve_team,
    admin_teams.teams_usage,
    admin_teams.export_usage,
    admin_backends.list_backends,
    admin_cache.cache_stats,
    admin_cache.purge_cache,
)
"""Routes that need the admin key."""

SIGNED_ROUTES: Sequence[ControllerRouterHandler] = (stored_images.fetch_image,)
"""Routes without a key, because addresses of stored images are signed."""

PUBLIC_ROUTES: Sequence[ControllerRouterHandler] = (
    health_and_docs.live,
    health_and_docs.ready,
    health_and_docs.docs,
    health_and_docs.openapi,
)
"""Routes without a key, which every application has."""


class AppKind(Enum):
    """The routes of an application: those of callers, those of operators, or both on one port."""

    DATA = "callers"
    ADMIN = "operators"
    BOTH = "both"


class NoFrameworkDocs(Router):
    """A router that drops the documentation routes of the framework; `health_and_docs.py` has ours."""

    def register(self, value: ControllerRouterHandler) -> list[BaseRoute]:
        """Register no route."""
        del value
        return []


def require_key(check_key: Callable[[Connection], None]) -> Callable[[Http], Awaitable[Response[None] | None]]:
    """Build the hook that checks the key before each handler of a router, also before OPTIONS.

    A guard of the framework would not do, because the framework copies each handler that has guards.
    """

    async def before_request(request: Http) -> Response[None] | None:
        check_key(request)
        return await answer_options(request)

    return before_request


def routes(kind: AppKind) -> Sequence[ControllerRouterHandler]:
    """Return the routes of an application, under the keys that open them."""
    data = Router("/v1", before_request=require_key(require_team_key), route_handlers=DATA_ROUTES)
    admin = Router(
        "/admin/v1",
        before_request=require_key(require_admin_key),
        security=[{"adminKey": []}],
        tags=["Admin"],
        route_handlers=ADMIN_ROUTES,
    )
    return {
        AppKind.DATA: (data, *SIGNED_ROUTES, *PUBLIC_ROUTES),
        AppKind.ADMIN: (admin, *PUBLIC_ROUTES),
        AppKind.BOTH: (data, admin, *SIGNED_ROUTES, *PUBLIC_ROUTES),
    }[kind]


def build(deps: Dependencies, observer: Observer, *lifespans: Lifespan, kind: AppKind = AppKind.BOTH) -> Litestar:
    """Build an application without middleware. `lifespans` are open while it serves."""
    return Litestar(
        route_handlers=routes(kind),
        before_request=answer_options,
        exception_handlers={
            GatewayError: with_outcome(on_gateway_error),
            HTTPException: with_outcome(on_http_exception),
            Exception: with_outcome(build_crash_handler(observer)),
        },
        state=State({DEPENDENCIES_KEY: deps}),
        openapi_config=OpenAPIConfig(
            title="Image gateway",
            version=__version__,
            description=DESCRIPTION,
            license=License(name="Apache-2.0", identifier="Apache-2.0"),
            components=Components(
                security_schemes={name: SecurityScheme(type="http", scheme="bearer") for name in ("key", "adminKey")},
            ),
            security=[{"key": []}],
            use_handler_docstrings=True,
            openapi_router=NoFrameworkDocs("/openapi", route_handlers=[]),
            render_plugins=(),
        ),
        lifespan=lifespans,
        request_max_body_size=None,
        logging_config=None,
    )


def with_error_handling(app: Litestar, origins: frozenset[str] = frozenset()) -> ASGIApp:
    """Add the answers to unreadable requests and, if there are `origins`, CORS."""
    handled = RefusedRequests(app)
    return Cors(handled, origins) if origins else handled


def with_request_middleware(
    app: ASGIApp, observer: Observer, new_id: Callable[[], str], monotonic: Callable[[], float], trace: Tracer
) -> ASGIApp:
    """Add the outermost layers, in which a server runs an application."""
    return RequestMiddleware(HeadAsGet(app), observer, new_id, monotonic, trace)


class SplitByPort:
    """Two applications behind one server: a connection to `admin_port` belongs to the one for admin.

    The port of the socket decides. Nothing that a caller writes (`Host`, `X-Forwarded-*`, the path) is read. A
    connection with an unknown port belongs to the application for callers, which also gets the lifespan of the server.
    """

    def __init__(self, app: ASGIApp, admin: ASGIApp, admin_port: int) -> None:
        self._app = app
        self._admin = admin
        self._port = admin_port

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one connection."""
        is_admin = scope["type"] == ScopeType.HTTP and _local_port(scope) == self._port
        await (self._admin if is_admin else self._app)(scope, receive, send)


def _local_port(scope: Scope) -> int | None:
    address = scope["server"]
    return address[1] if address else None
