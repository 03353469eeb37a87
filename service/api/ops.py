"""Health, documentation: what platform teams and their tools ask for. No key is needed and nothing secret is told.

Rule: live says that the process answers; ready says that it should be sent requests, and if not, why.
"""

from collections.abc import Mapping
from pathlib import Path

import msgspec
from jinja2 import Environment, FileSystemLoader, select_autoescape
from litestar import get
from litestar.openapi.datastructures import ResponseSpec
from litestar.response import Response

from service.api.desk import desk_of
from service.api.documents import finished
from service.api.edge import Http

_PAGES = Environment(
    loader=FileSystemLoader(Path(__file__).parent / "pages"),
    autoescape=select_autoescape(),
    trim_blocks=True,
    lstrip_blocks=True,
)


class Health(msgspec.Struct, omit_defaults=True):
    """`ok`, or what is wrong, part by part."""

    status: str
    problems: Mapping[str, str] = {}


@get(
    "/health/live",
    operation_id="isLive",
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
    summary="Should it be sent requests?",
    security=[{}],
    responses={
        503: ResponseSpec(Health, generate_examples=False, description="It should not; `problems` says why."),
    },
    response_description="It should.",
)
async def ready(request: Http) -> Response[Health]:
    """200 with ok, or 503 with the parts that are not well."""
    problems = await desk_of(request).ready()
    if problems:
        return Response(Health(status="unavailable", problems=problems), status_code=503)
    return Response(Health(status="ok"))


@get("/docs", include_in_schema=False, sync_to_thread=False)
def docs(request: Http) -> Response[str]:
    """The API for people, as one page that needs nothing from elsewhere."""
    page = _PAGES.get_template("docs.html").render(api=finished(request.app.openapi_schema.to_schema()))
    return Response(page, media_type="text/html")


@get("/openapi.yaml", include_in_schema=False, sync_to_thread=False)
def openapi(request: Http) -> Response[bytes]:
    """The API for programs."""
    return Response(openapi_yaml(request.app.openapi_schema.to_schema()), media_type="application/yaml")


def openapi_yaml(schema: Mapping[str, object]) -> bytes:
    """The document as it stands in `openapi/openapi.yaml`."""
    return msgspec.yaml.encode(finished(schema))
