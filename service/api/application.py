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
from service.api import admin, backends, cache, files, images, models, ops, oversight, pictures, usage
from service.api.admin import needs_admin
from service.api.cross_origin import CrossOrigin
from service.api.desk import Desk, needs_key
from service.api.edge import Connection, Edge, Http
from service.api.errors import crash_reporter, on_gateway_error, on_http_exception
from service.api.methods import HeadAsGet, answer_options
from service.api.refused import Refused
from service.api.verdicts import judged
from service.domain.errors import GatewayError
from service.usecases.ports import Observer
from service.usecases.traces import Tracer

Running = Callable[[Litestar], AbstractAsyncContextManager[None]]

DESCRIPTION = "One OpenAI-compatible image API in front of several backends. Point an OpenAI or Together SDK at it."


DATA_PLANE: Sequence[ControllerRouterHandler] = (
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

OPERATORS_PLANE: Sequence[ControllerRouterHandler] = (
    admin.issue_key,
    admin.list_keys,
    admin.retrieve_key,
    admin.change_key,
    admin.revoke_key,
    admin.rotate_key,
    admin.list_records,
    oversight.list_teams,
    oversight.retrieve_team,
    oversight.usage_of_teams,
    oversight.export_usage,
    backends.list_backends,
    cache.cache_stats,
    cache.purge_cache,
)
"""What the admin key opens."""

SIGNED: Sequence[ControllerRouterHandler] = (pictures.fetch_picture,)
"""What needs no key, because addresses of pictures are signed."""

OPEN: Sequence[ControllerRouterHandler] = (
    ops.live,
    ops.ready,
    ops.docs,
    ops.openapi,
)
"""What needs no key, and is wherever something is served."""


class Plane(Enum):
    """What an application serves: what callers ask for, what operators ask for, or both on one port."""

    CALLERS = "callers"
    OPERATORS = "operators"
    BOTH = "both"


class Unserved(Router):
    """Takes the framework's own documentation routes and serves none of them; `ops.py` has ours."""

    def register(self, value: ControllerRouterHandler) -> list[BaseRoute]:
        """Take nothing."""
        del value
        return []


def opened_by(key: Callable[[Connection], None]) -> Callable[[Http], Awaitable[Response[None] | None]]:
    """What comes before every handler of a router, OPTIONS included. No guard: for those handlers are copied."""

    async def enter(request: Http) -> Response[None] | None:
        key(request)
        return await answer_options(request)

    return enter


def routes(plane: Plane) -> Sequence[ControllerRouterHandler]:
    """What is served there."""
    callers = Router("/v1", before_request=opened_by(needs_key), route_handlers=DATA_PLANE)
    operators = Router(
        "/admin/v1",
        before_request=opened_by(needs_admin),
        security=[{"adminKey": []}],
        tags=["Admin"],
        route_handlers=OPERATORS_PLANE,
    )
    return {
        Plane.CALLERS: (callers, *SIGNED, *OPEN),
        Plane.OPERATORS: (operators, *OPEN),
        Plane.BOTH: (callers, operators, *SIGNED, *OPEN),
    }[plane]


def build(desk: Desk, observe: Observer, *running: Running, plane: Plane = Plane.BOTH) -> Litestar:
    """An application, without its edge. `running` surrounds the time in which it serves."""
    return Litestar(
        route_handlers=routes(plane),
        before_request=answer_options,
        exception_handlers={
            GatewayError: judged(on_gateway_error),
            HTTPException: judged(on_http_exception),
            Exception: judged(crash_reporter(observe)),
        },
        state=State({"desk": desk}),
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
            openapi_router=Unserved("/openapi", route_handlers=[]),
            render_plugins=(),
        ),
        lifespan=running,
        request_max_body_size=None,
        logging_config=None,
    )


def opened_to(app: Litestar, origins: frozenset[str] = frozenset()) -> ASGIApp:
    """The application that answers what cannot be read as well, and pages of the `origins`."""
    served = Refused(app)
    return CrossOrigin(served, origins) if origins else served


def edged(
    app: ASGIApp, observe: Observer, mint: Callable[[], str], elapsed: Callable[[], float], trace: Tracer
) -> ASGIApp:
    """The application as a server runs it."""
    return Edge(HeadAsGet(app), observe, mint, elapsed, trace)
