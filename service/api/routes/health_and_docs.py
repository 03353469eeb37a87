"""Health, documentation: what platform teams and their tools ask for. No key is needed and nothing secret is told.

Rule: live says that the process answers; ready says that it should be sent requests, and if not, why. A part that all
replicas share and that has not failed yet makes none of them unready: ready says `degraded` then, with status 200. The
description of the API is written once and kept, in a thread: nobody needs a key to ask for it.
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
    """`ok`; `degraded` if it serves, but an operator is needed; or `unavailable`. `problems` says why, part by part."""

    status: str
    problems: Mapping[str, str] = {}


@get(
    "/health/live",
    operation_id="isLive",
    tags=["Operations"],
    summary="Does the process answer?",
    security=[{}],
    response_description="It does.",
)
async def live() -> Health:
    """Always ok."""
    return Health(status="ok")


@get(
    "/health/ready",
    operation_id="isReady",
    tags=["Operations"],
    summary="Should it be sent requests?",
    security=[{}],
    responses={
        503: ResponseSpec(Health, generate_examples=False, description="It should not; `problems` says why."),
    },
    response_description="It should.",
)
async def ready(request: Http) -> Response[Health]:
    """200 with ok or degraded, or 503 with the parts that are not well."""
    deps = dependencies(request)
    problems = await deps.readiness.problems()
    if problems:
        return Response(Health(status="unavailable", problems=problems), status_code=503)
    warnings = deps.readiness.warnings()
    return Response(Health(status="degraded" if warnings else "ok", problems=warnings))


@get("/docs", include_in_schema=False, sync_to_thread=True)
def docs(request: Http) -> Response[str]:
    """The API for people, as one page that needs nothing from elsewhere."""
    path_up = "../" if request.scope["raw_path"].endswith(b"/") else ""
    return Response(_render_page(request.app, path_up), media_type="text/html", headers=HEADERS)


@get("/openapi.yaml", include_in_schema=False, sync_to_thread=True)
def openapi(request: Http) -> Response[bytes]:
    """The API for programs."""
    return Response(_render_yaml(request.app), media_type="application/yaml")


@cache
def _render_page(app: Litestar, path_up: str) -> str:
    return render_page(build_document(app.openapi_schema.to_schema()), path_up)


@cache
def _render_yaml(app: Litestar) -> bytes:
    return openapi_yaml(app.openapi_schema.to_schema())


def openapi_yaml(schema: Mapping[str, object]) -> bytes:
    """The document as it stands in `openapi/openapi.yaml`."""
    return msgspec.yaml.encode(build_document(schema))
