"""Routes of image generation and editing: POST /v1/images/generations and /v1/images/edits.

Rule: a handler reads the request, calls the use case and writes its delivery; it decides nothing else. An edit is read
as a form if its content type says so, and as JSON otherwise.

Fails with: a `GatewayError` of the body, the headers or the use case.
"""

from dataclasses import replace

from litestar import post
from litestar.exceptions import NotFoundException
from litestar.response.base import ASGIResponse

from service.api.http.bodies import read_body
from service.api.http.body_to_spec import edit_references, generation_references, to_spec, with_path_model
from service.api.http.dependencies import Dependencies, caller_key, dependencies
from service.api.http.multipart import EDIT_FORM, read_form
from service.api.http.request_context import Http, RequestContext, RequestProgress, request_context
from service.api.http.request_headers import TAGS_HEADER, read_keepalive, read_tags
from service.api.http.response_writer import ResponseWriter
from service.api.http.running_request import RunningRequest, while_connected
from service.api.http.streams import keepalive_response, sse_response
from service.api.openapi.components import (
    documented,
    edit_request_bodies,
    image_error_responses,
    image_responses,
    json_request_body,
)
from service.api.openapi.texts import REQUEST_HEADERS
from service.api.schemas.requests import EditBody, EditForm, GenerateBody, ImageFields, decode_form, decode_json
from service.domain.booking import Caller
from service.domain.cache_directives import parse_cache_directives, wants_variation
from service.domain.image_spec import Spec
from service.domain.loop_detection import HEADER as HOPS
from service.domain.loop_detection import parse_hops
from service.domain.request_labels import Outcome, RequestLabels, build_labels
from service.domain.team_access import Team
from service.usecases.ports.requests import ImageRequest


@post(
    "/images/generations",
    status_code=200,
    operation_class=documented(json_request_body(GenerateBody), REQUEST_HEADERS),
    operation_id="createImage",
    tags=["Images"],
    summary="Generate images from a prompt",
    responses=image_responses() | image_error_responses(),
)
async def generate(request: Http) -> ASGIResponse:
    """Generate `n` images from a prompt. With `stream` the reply is server-sent events."""
    deps, team = dependencies(request), caller_key(request).team
    raw = await read_body(request, deps.body_limits.max_json_bytes, deps.body_limits.arrival)
    body = decode_json(raw, GenerateBody)
    references = generation_references(body, deps.uploads)
    del raw
    return await _serve(request, deps, to_spec(body, team, references=references), body)


@post(
    "/images/edits",
    status_code=200,
    operation_class=documented(edit_request_bodies(), REQUEST_HEADERS),
    operation_id="createImageEdit",
    tags=["Images"],
    summary="Edit or combine images",
    responses=image_responses() | image_error_responses(),
)
async def edit(request: Http) -> ASGIResponse:
    """Edit or combine up to 16 images. A form has them as files; JSON has ids, data URLs or https addresses.

    With `stream` the reply is server-sent events.
    """
    deps, team = dependencies(request), caller_key(request).team
    is_form = request.headers.get("content-type", "").lower().startswith("multipart/")
    read = _read_form if is_form else _read_json
    spec, body = await read(request, deps, team)
    return await _serve(request, deps, spec, body)


@post("/images/variations", include_in_schema=False)
async def variations() -> None:
    """Refuse a path that OpenAI retired. Without this route it would be taken for the name of a stored image."""
    raise NotFoundException


async def _read_form(request: Http, deps: Dependencies, team: Team) -> tuple[Spec, ImageFields]:
    form = await read_form(request, deps.body_limits, EDIT_FORM, deps.uploads)
    body = decode_form(form.texts, EditForm)
    single = form.single
    spec = to_spec(body, team, references=form.images, mask=single.get("mask"), markup=single.get("markup"))
    return spec, body


async def _read_json(request: Http, deps: Dependencies, team: Team) -> tuple[Spec, ImageFields]:
    raw = await read_body(request, deps.body_limits.max_json_bytes, deps.body_limits.arrival)
    body = decode_json(raw, EditBody)
    references, mask = edit_references(body, team, deps.uploads)
    return to_spec(body, team, references=references, mask=mask), body


async def _serve(request: Http, deps: Dependencies, spec: Spec, body: ImageFields) -> ASGIResponse:
    """Make the images of a spec, and respond as the caller asked: at once, as events, or behind spaces."""
    context, key = request_context(request.scope), caller_key(request)
    images = _image_request(request, deps, with_path_model(spec, context.model), body)
    with_keepalive = not body.stream and read_keepalive(request.headers, key.team)
    writer = ResponseWriter(request=request, deps=deps, operation=spec.operation, linked=images.linked)

    # A response that starts before its outcome is known needs the request in a task of its own.
    context.progress = RequestProgress.STARTED
    running = RunningRequest(context, deps.keepalive_seconds)
    making = deps.make_images.make(images, running)
    if body.stream:
        running.start(making)
        return await sse_response(running, writer)
    if with_keepalive:
        running.start(making)
        return await keepalive_response(running, writer)
    delivery = await (while_connected(request.receive, making) if images.terms.is_varied else making)
    return writer.json_response(delivery)


def _image_request(request: Http, deps: Dependencies, spec: Spec, body: ImageFields) -> ImageRequest:
    """Build the use case's request from the spec and the headers, and record it in the request's context."""
    context, key, catalog = request_context(request.scope), caller_key(request), deps.config.snapshot().catalog
    _record(context, spec, build_labels(spec, catalog, deps.now().date()), stream=body.stream)
    if deps.log_prompts:
        context.log(prompt=spec.prompt)

    hop_ids = parse_hops(request.headers.get(HOPS), deps.gateway_id)
    linked, directives = body.response_format == "url", parse_cache_directives(request.headers)
    deps.image_storage.check_available(linked=linked)
    tags = read_tags(request.headers.get(TAGS_HEADER), deps.allowed_tags)
    user_agent = request.headers.get("user-agent", "")
    return ImageRequest(
        spec=spec,
        caller=Caller(key=key, request_id=context.request_id, tags=tags, hops=hop_ids),
        catalog=catalog,
        terms=replace(directives, is_varied=wants_variation(directives, key, user_agent, deps.in_flight_rules)),
        linked=linked,
        partials=body.partial_images or 0,
    )


def _record(context: RequestContext, spec: Spec, labels: RequestLabels, *, stream: bool | None) -> None:
    """Record a request for log and metrics. Model and tier are labels, because a caller's unknown word may be long."""
    context.labels, context.outcome = labels, Outcome.CLIENT_GONE  # until there is a delivery or an error
    context.log(model=labels.model or None, tier=labels.tier or None, size=str(spec.size or "auto"), n=spec.n)
    context.log(references=len(spec.references) or None, stream=stream)
