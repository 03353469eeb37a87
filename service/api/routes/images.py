"""POST /v1/images/generations and /v1/images/edits: read, ask the use case, write.

Rule: a handler decides nothing. The body's content type decides how an edit is read; anything but a form is read as
JSON.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import partial

from litestar import post
from litestar.exceptions import NotFoundException
from litestar.openapi import spec as openapi
from litestar.response.base import ASGIResponse

from service.api.http.bodies import read_body
from service.api.http.canonical import edit_references, generation_references, to_spec, with_path_model
from service.api.http.dependencies import Dependencies, caller_key, dependencies
from service.api.http.errors import REPLAYED
from service.api.http.forwarded import path_prefix
from service.api.http.multipart import EDIT_FORM, read_form
from service.api.http.request_context import Http, RequestContext, RequestProgress, request_context
from service.api.http.request_headers import TAGS_HEADER, read_keepalive, read_tags
from service.api.http.streams import (
    STREAM_HEADERS,
    RunningRequest,
    StreamingBody,
    json_with_keepalive,
    sse_response,
    while_connected,
)
from service.api.openapi.components import (
    edit_request_bodies,
    generate_request_body,
    image_error_responses,
    image_responses,
    request_header_parameters,
)
from service.api.schemas.images_reply import ImageLink, Segments, build_segments
from service.api.schemas.requests import EditBody, EditForm, GenerateBody, ImageFields, decode_form, decode_json
from service.domain.booking import Caller
from service.domain.cache_directives import parse_cache_directives, wants_variation
from service.domain.generation import Buffer
from service.domain.image_spec import Operation, Spec
from service.domain.ledger import CacheStatus
from service.domain.loop_detection import HEADER as HOPS
from service.domain.loop_detection import parse_hops
from service.domain.pricing import NANO
from service.domain.request_labels import Outcome, build_labels
from service.domain.stored_images import to_stored_name
from service.domain.team_access import Team
from service.usecases.generate.delivery import Delivery
from service.usecases.ports.requests import ImageRequest

EVENT_PREFIXES: Mapping[Operation, str] = {Operation.GENERATE: "image_generation", Operation.EDIT: "image_edit"}
"""What the names of events begin with."""


@dataclass
class DocumentedGenerate(openapi.Operation):
    """Documents a body and headers that are read by hand."""

    def __post_init__(self) -> None:
        """Put the body and headers in."""
        self.request_body = generate_request_body()
        self.parameters = request_header_parameters()


@dataclass
class DocumentedEdit(openapi.Operation):
    """Documents a body and headers that are read by hand."""

    def __post_init__(self) -> None:
        """Put the bodies and headers in."""
        self.request_body = edit_request_bodies()
        self.parameters = request_header_parameters()


@post(
    "/images/generations",
    status_code=200,
    operation_class=DocumentedGenerate,
    operation_id="createImage",
    tags=["Images"],
    summary="Draw pictures from words",
    responses=image_responses() | image_error_responses(),
)
async def generate(request: Http) -> ASGIResponse:
    """Draw `n` pictures of a prompt. With `stream` the answer is server-sent events."""
    deps, team = dependencies(request), caller_key(request).team
    raw = await read_body(request, deps.body_limits.max_json_bytes, deps.body_limits.arrival)
    body = decode_json(raw, GenerateBody)
    references = generation_references(body, deps.uploads)
    del raw
    return await _serve(request, deps, to_spec(body, team, references=references), body)


@post(
    "/images/edits",
    status_code=200,
    operation_class=DocumentedEdit,
    operation_id="createImageEdit",
    tags=["Images"],
    summary="Draw pictures from pictures and words",
    responses=image_responses() | image_error_responses(),
)
async def edit(request: Http) -> ASGIResponse:
    """Edit or combine up to 16 pictures, sent as a form or, as ids, data URLs and https addresses, in JSON.

    With `stream` the answer is server-sent events.
    """
    deps, team = dependencies(request), caller_key(request).team
    is_form = request.headers.get("content-type", "").lower().startswith("multipart/")
    read = _read_form if is_form else _read_json
    spec, body = await read(request, deps, team)
    return await _serve(request, deps, spec, body)


@post("/images/variations", include_in_schema=False)
async def variations() -> None:
    """Retired by the vendor; without this the path would look like a picture's, and the answer like a mistake."""
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
    context, key, catalog = request_context(request.scope), caller_key(request), deps.config().catalog
    spec = with_path_model(spec, context.model)
    context.labels, context.outcome = (
        build_labels(spec, catalog, deps.now().date()),
        Outcome.CLIENT_GONE,
    )  # until it is answered
    context.log(
        model=context.labels.model or None, tier=context.labels.tier or None
    )  # a word that nobody knows may be anything
    context.log(size=str(spec.size or "auto"), n=spec.n, references=_reference_count(spec), stream=body.stream)
    if deps.log_prompts:
        context.log(prompt=spec.prompt)
    hop_ids = parse_hops(request.headers.get(HOPS), deps.gateway_id)
    wants_urls, directives = body.response_format == "url", parse_cache_directives(request.headers)
    deps.image_storage.check_available(linked=wants_urls)
    tags = read_tags(request.headers.get(TAGS_HEADER), deps.allowed_tags)
    caller = Caller(key=key, request_id=context.request_id, tags=tags, hops=hop_ids)

    images = ImageRequest(
        spec=spec,
        caller=caller,
        catalog=catalog,
        terms=replace(
            directives,
            is_varied=wants_variation(directives, key, request.headers.get("user-agent", ""), deps.in_flight_rules),
        ),
        linked=wants_urls,
        partials=body.partial_images or 0,
    )
    context.progress = RequestProgress.STARTED
    running = RunningRequest(context, deps.keepalive_seconds)
    if body.stream:
        running.start(deps.make_images.make(images, running))
        return await sse_response(request, running, EVENT_PREFIXES[spec.operation], partial(_log_delivery, context))
    write_body = partial(_json_body, request, deps, wants_urls=wants_urls)
    if not read_keepalive(request.headers, key.team):
        delivery_task = deps.make_images.make(images, running)
        delivery = await (while_connected(request.receive, delivery_task) if images.terms.is_varied else delivery_task)
        return Segments(write_body(delivery), headers=_delivery_headers(delivery))
    running.start(deps.make_images.make(images, running))
    await running.sent_or_done()
    if running.delivery.done():
        delivery = running.delivery.result()
        return Segments(write_body(delivery), headers=_delivery_headers(delivery))
    chunks = json_with_keepalive(request, running, write_body, deps.keepalive_seconds)
    return StreamingBody(chunks, "application/json", dict(STREAM_HEADERS), running.end)


def _log_delivery(context: RequestContext, delivery: Delivery) -> dict[str, str]:
    """Note what came of it for the log, and say it in headers, if they have not gone out yet."""
    result = delivery.result
    context.log(model=result.model, backend=result.backend, delivered=len(result.generation.images))
    context.log(cost_usd=delivery.cost / NANO, cache=delivery.source.value)
    context.labels = replace(context.labels, backend=result.backend, cache=delivery.source.value)
    context.outcome = Outcome.SERVED
    return _delivery_headers(delivery)


def _json_body(request: Http, deps: Dependencies, delivery: Delivery, *, wants_urls: bool) -> list[Buffer]:
    _log_delivery(request_context(request.scope), delivery)
    result = delivery.result
    urls = _signed_urls(request, deps, delivery) if wants_urls else [None] * len(result.ids)
    return build_segments(
        delivery, [ImageLink(id=image_id, url=url) for image_id, url in zip(result.ids, urls, strict=True)]
    )


def _reference_count(spec: Spec) -> int | None:
    return len(spec.references) or None


def _delivery_headers(delivery: Delivery) -> dict[str, str]:
    headers = {
        "x-gateway-backend": delivery.result.backend,
        "x-gateway-cache": delivery.source.value,
        **({"age": str(delivery.age)} if delivery.source is CacheStatus.HIT else {}),
        **(REPLAYED if delivery.source is CacheStatus.REPLAYED else {}),
        "x-gateway-cost-usd": f"{delivery.cost / NANO:.9f}",
        "cache-control": "no-store",
        **({"x-gateway-route-notes": ", ".join(delivery.notes)} if delivery.notes else {}),
    }
    delivered, requested = len(delivery.result.generation.images), delivery.spec.n
    return headers | ({"x-gateway-partial": f"{delivered}/{requested}"} if delivered < requested else {})


def _signed_urls(request: Http, deps: Dependencies, delivery: Delivery) -> list[str]:
    request_root = str(request.base_url).rstrip("/") + path_prefix(request.scope)
    root = (deps.image_links.public_url or request_root).rstrip("/")
    expires = delivery.at + deps.image_links.url_seconds
    return [
        f"{root}/v1/images/{name}?expires={expires}&signature={deps.image_links.sign_urls.sign(name, expires)}"
        for name in map(to_stored_name, delivery.result.ids)
    ]
