"""GET /v1/models and /v1/models/{id}: models on offer, with their capabilities and prices.

Rule: a caller sees the models that its team and its key may use and an enabled backend serves, until their shutdown.
The body is OpenAI's with more fields.

Fails with: `ModelNotFound` or `NotAllowed`.
"""

from collections.abc import Mapping
from datetime import UTC, date, datetime
from typing import Annotated, Literal

import msgspec
from litestar import get
from litestar.params import PathParameter

from service.api.http.dependencies import Dependencies, caller_key, dependencies
from service.api.http.request_context import Http
from service.api.openapi.components import error_responses
from service.domain.catalog import Model, SizeRule
from service.domain.pricing import Price
from service.domain.routing import serving_routes
from service.domain.team_access import Key, Team, authorize_model


class SizesReply(msgspec.Struct, omit_defaults=True):
    """The sizes of a model: a list, or a rule in pixels."""

    choices: list[str] = []
    multiple_of: int = 1
    min_edge: int = 1
    max_edge: int | None = None
    max_ratio: int | None = None
    min_pixels: int | None = None
    max_pixels: int | None = None


class PriceReply(msgspec.Struct, omit_defaults=True):
    """The price of a model at a backend, in US dollars. With `approximate` the backend may charge another price."""

    backend: str
    version: str
    source: str
    read: str
    per_million_tokens: Mapping[str, float] | None = None
    per_image: float | None = None
    per_megapixel: float | None = None
    default_steps: int | None = None
    approximate: bool = False
    output_tokens_grid: Mapping[str, int] | None = None
    output_tokens: Mapping[str, Mapping[str, int]] | None = None


class Capabilities(msgspec.Struct):
    """The capabilities of a model."""

    endpoints: list[str]
    tiers: list[str]
    formats: list[str]
    sizes: SizesReply
    fields: list[str]
    max_n: int
    max_references: int
    input_fidelity: list[str]


class ModelReply(msgspec.Struct, omit_defaults=True):
    """One model. From `shutdown_date` on it is refused."""

    id: str
    object: Literal["model"]
    created: int
    owned_by: str
    capabilities: Capabilities
    backends: list[str]
    prices: list[PriceReply]
    aliases: list[str] = []
    shutdown_date: str | None = None
    successor: str | None = None


class ModelsReply(msgspec.Struct):
    """All models on offer."""

    object: Literal["list"]
    data: list[ModelReply]


@get(
    "/models",
    operation_id="listModels",
    tags=["Models"],
    summary="List the models on offer",
    responses=error_responses(401, 500),
    response_description="The models.",
)
async def list_models(request: Http) -> ModelsReply:
    """Return every model that the caller can use now."""
    deps, key = dependencies(request), caller_key(request)
    today = deps.now().date()
    models = deps.config.snapshot().catalog.available(today)
    replies = [model_reply(deps, model, key.team, today) for model in models if _may_use(key, model)]
    return ModelsReply(object="list", data=[reply for reply in replies if reply.backends])


ModelId = Annotated[str, PathParameter(description="An id or alias, which may contain slashes.")]


@get(
    "/models/{model_id:path}",
    operation_id="retrieveModel",
    tags=["Models"],
    summary="Describe one model",
    responses=error_responses(400, 401, 403, 404, 500),
    response_description="The model.",
)
async def retrieve_model(request: Http, model_id: ModelId) -> ModelReply:
    """Return one model, by id or alias."""
    deps, key = dependencies(request), caller_key(request)
    today = deps.now().date()
    model = deps.config.snapshot().catalog.get(str(model_id).lstrip("/"), today)
    for holder in (key.team, key):
        authorize_model(holder, model.id)
    return model_reply(deps, model, key.team, today)


def _may_use(key: Key, model: Model) -> bool:
    return all(not holder.models or model.id in holder.models for holder in (key.team, key))


def model_reply(deps: Dependencies, model: Model, team: Team, today: date) -> ModelReply:
    """Build the reply for a model, with the backends that serve a team."""
    routes = serving_routes(model, deps.make_images.backends.keys(), today, team)
    return ModelReply(
        id=model.id,
        object="model",
        created=int(datetime(model.created.year, model.created.month, model.created.day, tzinfo=UTC).timestamp()),
        owned_by=model.owned_by,
        capabilities=_capabilities_reply(model),
        backends=list(dict.fromkeys(route.backend for route, _ in routes)),
        prices=[_price_reply(route.backend, price) for route, price in routes],
        aliases=list(model.aliases),
        shutdown_date=str(model.shutdown_date) if model.shutdown_date else None,
        successor=model.successor,
    )


def _capabilities_reply(model: Model) -> Capabilities:
    endpoints = ["/v1/images/generations"] + (["/v1/images/edits"] if "image" in model.fields else [])
    return Capabilities(
        endpoints=endpoints,
        tiers=list(model.tiers),
        formats=list(model.formats),
        sizes=_sizes_reply(model.sizes),
        fields=sorted(model.fields),
        max_n=model.max_n,
        max_references=model.max_references,
        input_fidelity=list(model.input_fidelity),
    )


def _sizes_reply(rule: SizeRule) -> SizesReply:
    if rule.choices:
        return SizesReply(choices=[str(choice) for choice in rule.choices])
    return SizesReply(
        multiple_of=rule.multiple_of,
        min_edge=rule.min_edge,
        max_edge=rule.max_edge,
        max_ratio=rule.max_ratio,
        min_pixels=rule.min_pixels,
        max_pixels=rule.max_pixels,
    )


def _to_dollars(nano: int | None) -> float | None:
    return None if nano is None else nano / 1_000_000_000


def _price_reply(backend: str, price: Price) -> PriceReply:
    rates = price.rates
    names = ("text_in", "text_cached", "image_in", "image_cached", "image_out", "text_out")
    tokens = {tier: {str(size): count for size, count in row.items()} for tier, row in price.tokens.table.items()}
    return PriceReply(
        backend=backend,
        version=price.version,
        source=price.source,
        read=str(price.read_on),
        per_million_tokens={name: getattr(rates, name) / 1000 for name in names} if rates else None,
        per_image=_to_dollars(price.per_image),
        per_megapixel=_to_dollars(price.per_megapixel),
        default_steps=price.default_steps,
        approximate=price.approximate,
        output_tokens_grid=price.tokens.grid or None,
        output_tokens=tokens or None,
    )
