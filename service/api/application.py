"""Puts routes, keys and error handling together into one ASGI application.

Rule: this is the list of everything that is served, and on which plane. Whatever is not on it gets a 404 in the same
envelope.
"""

from collections.abc import Awaitable, Callable, Sequence
from contextlib import AbstractAsyncContextManager
from enum import Enum

from litestar import Litestar, Router
from litestar.datastructures import State
from litestar.exceptions import HTTPException
from litestar.openapi import OpenAPIConfig
from litestar.openapi.spec import Components, License, SecurityScheme
from litestar.response import Response
from litestar.routes import BaseRoute
from litestar.types import ASGIApp, ControllerRouterHandler

from service import __version__
from service.api.http.cors import Cors
from service.api.http.dependencies import Dependencies, require_team_key
from service.api.http.errors import build_crash_handler, on_gateway_error, on_http_exception
from service.api.http.head_and_options import HeadAsGet, answer_options
from service.api.http.outcomes import with_outcome
from service.api.http.request_context import Connection, Http, RequestMiddleware
from service.api.refused import RefusedRequests
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
"""What a team's key opens."""

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
"""What the admin key opens."""

SIGNED_ROUTES: Sequence[ControllerRouterHandler] = (stored_images.fetch_image,)
"""What needs no key, because addresses of pictures are signed."""

PUBLIC_ROUTES: Sequence[ControllerRouterHandler] = (
    health_and_docs.live,
    health_and_docs.ready,
    health_and_docs.docs,
    health_and_docs.openapi,
)
"""What needs no key, and is wherever something is served."""


class AppKind(Enum):
    """What an application serves: what callers ask for, what operators ask for, or both on one port."""

    DATA = "callers"
    ADMIN = "operators"
    BOTH = "both"


class NoFrameworkDocs(Router):
    """Takes the framework's own documentation routes and serves none of them; `health_and_docs.py` has ours."""

    def register(self, value: ControllerRouterHandler) -> list[BaseRoute]:
        """Take nothing."""
        del value
        return []


def require_key(check_key: Callable[[Connection], None]) -> Callable[[Http], Awaitable[Response[None] | None]]:
    """What comes before every handler of a router, OPTIONS included. No guard: for those handlers are copied."""

    async def before_request(request: Http) -> Response[None] | None:
        check_key(request)
        return await answer_options(request)

    return before_request


def routes(kind: AppKind) -> Sequence[ControllerRouterHandler]:
    """What is served there."""
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


def build(deps: Dependencies, observe: Observer, *lifespans: Lifespan, kind: AppKind = AppKind.BOTH) -> Litestar:
    """An application, without its edge. `lifespans` surrounds the time in which it serves."""
    return Litestar(
        route_handlers=routes(kind),
        before_request=answer_options,
        exception_handlers={
            GatewayError: with_outcome(on_gateway_error),
            HTTPException: with_outcome(on_http_exception),
            Exception: with_outcome(build_crash_handler(observe)),
        },
        state=State({"desk": deps}),
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
    """The application that answers what cannot be read as well, and pages of the `origins`."""
    handled = RefusedRequests(app)
    return Cors(handled, origins) if origins else handled


def with_request_middleware(
    app: ASGIApp, observe: Observer, new_id: Callable[[], str], monotonic: Callable[[], float], trace: Tracer
) -> ASGIApp:
    """The application as a server runs it."""
    return RequestMiddleware(HeadAsGet(app), observe, new_id, monotonic, trace)
