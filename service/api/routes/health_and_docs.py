"""Health checks and documentation: /health/live, /health/ready, /docs and /openapi.yaml.

Rule: these routes need no key, and show no secret. Live means that the process answers; ready means that it should be
sent requests. A shared part that may fail soon makes no replica unready, but `degraded` with status 200. The documents
are rendered once, in a thread, because any client may ask for them.
"""

from collections.abc import Mapping
from functools import cache

import msgspec
from litestar import Litestar, get
from litestar.openapi.datastructures import ResponseSpec
from litestar.response import Response

from service.api.http.dependencies import dependencies
from service.api.http.request_context import Http
from service.api.openapi.build import build_document
from service.api.openapi.docs_page import HEADERS, render_page


class Health(msgspec.Struct, omit_defaults=True):
    """The state of the gateway: `ok`, `degraded` (it serves, but needs an operator) or `unavailable`.

    `problems` has a reason for each part.
    """

    status: str
    problems: Mapping[str, str] = {}


@get(
    "/health/live",
    operation_id="isLive",
    tags=["Operations"],
    summary="Check that the process answers",
    security=[{}],
    response_description="The process answers.",
)
async def live() -> Health:
    """Return ok."""
    return Health(status="ok")


@get(
    "/health/ready",
    operation_id="isReady",
    tags=["Operations"],
    summary="Check that the gateway can serve requests",
    security=[{}],
    responses={
        503: ResponseSpec(
            Health, generate_examples=False, description="The gateway cannot serve requests; `problems` has the reason."
        ),
    },
    response_description="The gateway can serve requests.",
)
async def ready(request: Http) -> Response[Health]:
    """Return 200 with ok or degraded, or 503 with the parts that fail."""
    deps = dependencies(request)
    problems = await deps.readiness.problems()
    if problems:
        return Response(Health(status="unavailable", problems=problems), status_code=503)
    warnings = deps.readiness.warnings()
    return Response(Health(status="degraded" if warnings else "ok", problems=warnings))


@get("/docs", include_in_schema=False, sync_to_thread=True)
def docs(request: Http) -> Response[str]:
    """Return the documentation for people, as one page."""
    path_up = "../" if request.scope["raw_path"].endswith(b"/") else ""
    return Response(_render_page(request.app, path_up), media_type="text/html", headers=HEADERS)


@get("/openapi.yaml", include_in_schema=False, sync_to_thread=True)
def openapi(request: Http) -> Response[bytes]:
    """Return the OpenAPI document."""
    return Response(_render_yaml(request.app), media_type="application/yaml")


@cache
def _render_page(app: Litestar, path_up: str) -> str:
    return render_page(build_document(app.openapi_schema.to_schema()), path_up)


@cache
def _render_yaml(app: Litestar) -> bytes:
    return openapi_yaml(app.openapi_schema.to_schema())


def openapi_yaml(schema: Mapping[str, object]) -> bytes:
    """Encode the document as in `openapi/openapi.yaml`."""
    return msgspec.yaml.encode(build_document(schema))
