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

from service.api.bodies import read_all
from service.api.canonical import canonical, of_address, references_of_edit, references_of_generation
from service.api.desk import Desk, desk_of, key_of
from service.api.documents import edit_bodies, generate_body, images_reply, refusals, terms_of_a_request
from service.api.edge import Http, Line, Progress, line_of
from service.api.errors import REPLAYED
from service.api.forwarded import prefix_of
from service.api.keepalive import read_keepalive
from service.api.multipart import EDIT, read_form
from service.api.replies import Linked, Segments, segments
from service.api.schemas import EditBody, EditForm, GenerateBody, ImageFields, decode_form, decode_json
from service.api.streams import STREAM_HEADERS, Flow, RunningRequest, spaced, streamed, while_connected
from service.api.tags import HEADER, read_tags
from service.domain.booking import Caller
from service.domain.hops import HEADER as HOPS
from service.domain.hops import read_hops
from service.domain.images import Operation, Spec
from service.domain.kept import name_of
from service.domain.ledger import Source
from service.domain.marks import Verdict, marks_of
from service.domain.outcomes import Buffer
from service.domain.pricing import NANO
from service.domain.teams import Team
from service.domain.terms import read_terms, varies
from service.usecases.generate.delivery import Delivery
from service.usecases.requests import ImageRequest

EVENTS: Mapping[Operation, str] = {Operation.GENERATE: "image_generation", Operation.EDIT: "image_edit"}
"""What the names of events begin with."""


@dataclass
class GenerateOperation(openapi.Operation):
    """Documents a body and headers that are read by hand."""

    def __post_init__(self) -> None:
        """Put the body and headers in."""
        self.request_body = generate_body()
        self.parameters = terms_of_a_request()


@dataclass
class EditOperation(openapi.Operation):
    """Documents a body and headers that are read by hand."""

    def __post_init__(self) -> None:
        """Put the bodies and headers in."""
        self.request_body = edit_bodies()
        self.parameters = terms_of_a_request()


@post(
    "/images/generations",
    status_code=200,
    operation_class=GenerateOperation,
    operation_id="createImage",
    tags=["Images"],
    summary="Draw pictures from words",
    responses=images_reply() | refusals(),
)
async def generate(request: Http) -> ASGIResponse:
    """Draw `n` pictures of a prompt. With `stream` the answer is server-sent events."""
    desk, team = desk_of(request), key_of(request).team
    raw = await read_all(request, desk.limits.most_json_bytes, desk.limits.pace)
    body = decode_json(raw, GenerateBody)
    references = references_of_generation(body, desk.limits.most_picture_bytes)
    del raw
    return await _serve(request, desk, canonical(body, team, references=references), body)


@post(
    "/images/edits",
    status_code=200,
    operation_class=EditOperation,
    operation_id="createImageEdit",
    tags=["Images"],
    summary="Draw pictures from pictures and words",
    responses=images_reply() | refusals(),
)
async def edit(request: Http) -> ASGIResponse:
    """Edit or combine up to 16 pictures, sent as a form or, as ids, data URLs and https addresses, in JSON.

    With `stream` the answer is server-sent events.
    """
    desk, team = desk_of(request), key_of(request).team
    is_form = request.headers.get("content-type", "").lower().startswith("multipart/")
    read = _read_form if is_form else _read_json
    spec, body = await read(request, desk, team)
    return await _serve(request, desk, spec, body)


@post("/images/variations", include_in_schema=False)
async def variations() -> None:
    """Retired by the vendor; without this the path would look like a picture's, and the answer like a mistake."""
    raise NotFoundException


async def _read_form(request: Http, desk: Desk, team: Team) -> tuple[Spec, ImageFields]:
    form = await read_form(request, desk.limits, EDIT)
    body = decode_form(form.texts, EditForm)
    single = form.single
    spec = canonical(body, team, references=form.images, mask=single.get("mask"), markup=single.get("markup"))
    return spec, body


async def _read_json(request: Http, desk: Desk, team: Team) -> tuple[Spec, ImageFields]:
    raw = await read_all(request, desk.limits.most_json_bytes, desk.limits.pace)
    body = decode_json(raw, EditBody)
    references, mask = references_of_edit(body, team, desk.limits.most_picture_bytes)
    return canonical(body, team, references=references, mask=mask), body


async def _serve(request: Http, desk: Desk, spec: Spec, body: ImageFields) -> ASGIResponse:
    line, key, catalog = line_of(request.scope), key_of(request), desk.live().catalog
    spec = of_address(spec, line.model)
    line.marks, line.verdict = marks_of(spec, catalog, desk.now().date()), Verdict.CLIENT_GONE  # until it is answered
    line.note(model=line.marks.model or None, tier=line.marks.tier or None)  # a word that nobody knows may be anything
    line.note(size=str(spec.size or "auto"), n=spec.n, references=_count(spec), stream=body.stream)
    if desk.log_prompts:
        line.note(prompt=spec.prompt)
    hops = read_hops(request.headers.get(HOPS), desk.gateway_id)
    linked, terms = body.response_format == "url", read_terms(request.headers)
    desk.keep.check(linked=linked)
    tags = read_tags(request.headers.get(HEADER), desk.tags)
    caller = Caller(key=key, request_id=line.request_id, tags=tags, hops=hops)

    images = ImageRequest(
        spec=spec,
        caller=caller,
        catalog=catalog,
        terms=replace(terms, vary=varies(terms, key, request.headers.get("user-agent", ""), desk.in_flight)),
        linked=linked,
        partials=body.partial_images or 0,
    )
    line.progress = Progress.BEGUN
    running = RunningRequest(line, desk.keepalive_seconds)
    if body.stream:
        running.start(desk.make.make(images, running))
        return await streamed(request, running, EVENTS[spec.operation], partial(_finish, line))
    write = partial(_written, request, desk, linked=linked)
    if not read_keepalive(request.headers, key.team):
        making = desk.make.make(images, running)
        delivery = await (while_connected(request.receive, making) if images.terms.vary else making)
        return Segments(write(delivery), headers=_headers(delivery))
    running.start(desk.make.make(images, running))
    await running.sent_or_done()
    if running.delivery.done():
        delivery = running.delivery.result()
        return Segments(write(delivery), headers=_headers(delivery))
    pieces = spaced(request, running, write, desk.keepalive_seconds)
    return Flow(pieces, "application/json", dict(STREAM_HEADERS), running.end)


def _finish(line: Line, delivery: Delivery) -> dict[str, str]:
    """Note what came of it for the log, and say it in headers, if they have not gone out yet."""
    result = delivery.result
    line.note(model=result.model, backend=result.backend, delivered=len(result.purchase.pictures))
    line.note(cost_usd=delivery.cost / NANO, cache=delivery.source.value)
    line.marks = replace(line.marks, backend=result.backend, cache=delivery.source.value)
    line.verdict = Verdict.SERVED
    return _headers(delivery)


def _written(request: Http, desk: Desk, delivery: Delivery, *, linked: bool) -> list[Buffer]:
    _finish(line_of(request.scope), delivery)
    result = delivery.result
    urls = _urls(request, desk, delivery) if linked else [None] * len(result.ids)
    return segments(delivery, [Linked(id=picture, url=url) for picture, url in zip(result.ids, urls, strict=True)])


def _count(spec: Spec) -> int | None:
    return len(spec.references) or None


def _headers(delivery: Delivery) -> dict[str, str]:
    headers = {
        "x-gateway-backend": delivery.result.backend,
        "x-gateway-cache": delivery.source.value,
        **({"age": str(delivery.age)} if delivery.source is Source.HIT else {}),
        **(REPLAYED if delivery.source is Source.REPLAYED else {}),
        "x-gateway-cost-usd": f"{delivery.cost / NANO:.9f}",
        "cache-control": "no-store",
        **({"x-gateway-route-notes": ", ".join(delivery.notes)} if delivery.notes else {}),
    }
    delivered, wanted = len(delivery.result.purchase.pictures), delivery.spec.n
    return headers | ({"x-gateway-partial": f"{delivered}/{wanted}"} if delivered < wanted else {})


def _urls(request: Http, desk: Desk, delivery: Delivery) -> list[str]:
    asked = str(request.base_url).rstrip("/") + prefix_of(request.scope)
    root = (desk.links.public_url or asked).rstrip("/")
    expires = delivery.at + desk.links.seconds
    return [
        f"{root}/v1/images/{name}?expires={expires}&signature={desk.links.signs.sign(name, expires)}"
        for name in map(name_of, delivery.result.ids)
    ]
