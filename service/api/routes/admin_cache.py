"""/admin/v1/cache: how much is kept for whoever asks the same again, and forgetting it.

Rule: only results are forgotten, and never all of them for want of a word: that takes `all=true`. Money, holds and
purchases under way stay as they are; kept pictures have ids of their own and stay too. While the cache does not answer
this is a 503, not a nothing.
"""

from typing import Annotated, Literal

import msgspec
from litestar import delete, get
from litestar.params import QueryParameter

from service.api.http.dependencies import dependencies
from service.api.http.query_params import TeamFilter, check_query_params
from service.api.http.request_context import Http, request_context
from service.api.openapi.components import error_responses
from service.api.routes.admin_keys import admin_actor
from service.domain.errors import InvalidValue

ModelFilter = Annotated[str | None, QueryParameter(description="One model, by name or alias; without it, all of them.")]
AllResults = Annotated[
    str | None,
    QueryParameter(name="all", description="true forgets every result, of every team; needed without team and model."),
]


class CacheReply(msgspec.Struct):
    """What is kept for a team, of a model, of both or in all. `bytes` is what it takes in the store."""

    object: Literal["cache"]
    team: str | None
    model: str | None
    results: int
    bytes: int


class PurgedReply(msgspec.Struct):
    """How many results were forgotten."""

    object: Literal["cache"]
    team: str | None
    model: str | None
    purged: int


@get(
    "/cache",
    operation_id="getCache",
    summary="Say how much is kept",
    responses=error_responses(400, 401, 404, 500, 503),
    response_description="How many results, of how many bytes.",
)
async def cache_stats(request: Http, team: TeamFilter = None, model: ModelFilter = None) -> CacheReply:
    """Count what is kept for whoever asks the same again. Looks through the whole store, bit by bit."""
    check_query_params(request, "team", "model")
    stats = await dependencies(request).purge_cache.cached.count(team, model)
    return CacheReply(object="cache", team=team, model=model, results=stats.results, bytes=stats.size_bytes)


def check_scope_named(all_results: str | None, team: str | None, model: str | None) -> None:
    """Raise unless what is to be forgotten is named: a team, a model, both, or all."""
    named = team is not None or model is not None
    if all_results not in {None, "true", "false"}:
        raise InvalidValue("all is true or false.", param="all")
    if all_results == "true" and named:
        raise InvalidValue("all=true goes without team and model.", param="all")
    if all_results != "true" and not named:
        raise InvalidValue(
            "Name a team or a model, or send all=true: it forgets every result of every team.", param="all"
        )


@delete(
    "/cache",
    operation_id="purgeCache",
    summary="Forget what is kept",
    status_code=200,
    responses=error_responses(400, 401, 404, 500, 503),
    response_description="How many results were forgotten.",
)
async def purge_cache(
    request: Http, team: TeamFilter = None, model: ModelFilter = None, all_results: AllResults = None
) -> PurgedReply:
    """Forget results of a team, of a model, of both or, with `all=true`, of everybody: the same is bought again."""
    check_query_params(request, "team", "model", "all")
    check_scope_named(all_results, team, model)
    purged = await dependencies(request).purge_cache.purge(admin_actor(request), team, model)
    request_context(request.scope).log(purged=purged)
    return PurgedReply(object="cache", team=team, model=model, purged=purged)
