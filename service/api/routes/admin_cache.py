"""/admin/v1/cache: size of the result cache, and its purge.

Rule: a purge of all teams needs `all=true`, so that a missing parameter never causes it. A purge deletes only cached
results. Ledger, holds, requests under way and stored images stay as they are.

Fails with: `InvalidValue` for a purge without a scope; a 503 while the cache does not answer, instead of zero results.
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

ModelFilter = Annotated[str | None, QueryParameter(description="One model, by name or alias; default: all models.")]
AllResults = Annotated[
    str | None,
    QueryParameter(name="all", description="true deletes the results of all teams; required without team and model."),
]


class CacheReply(msgspec.Struct):
    """Cached results of a team, of a model, of both or of all. `bytes` is their size in the store."""

    object: Literal["cache"]
    team: str | None
    model: str | None
    results: int
    bytes: int


class PurgedReply(msgspec.Struct):
    """Number of deleted results."""

    object: Literal["cache"]
    team: str | None
    model: str | None
    purged: int


@get(
    "/cache",
    operation_id="getCache",
    summary="Count cached results",
    responses=error_responses(400, 401, 404, 500, 503),
    response_description="Number of results, and their bytes.",
)
async def cache_stats(request: Http, team: TeamFilter = None, model: ModelFilter = None) -> CacheReply:
    """Count cached results. The whole store is scanned, in small steps."""
    check_query_params(request, "team", "model")
    stats = await dependencies(request).purge_cache.cached.count(team, model)
    return CacheReply(object="cache", team=team, model=model, results=stats.results, bytes=stats.size_bytes)


def check_scope_named(all_results: str | None, team: str | None, model: str | None) -> None:
    """Raise `InvalidValue` unless a purge names a team, a model, both, or all."""
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
    summary="Purge cached results",
    status_code=200,
    responses=error_responses(400, 401, 404, 500, 503),
    response_description="Number of deleted results.",
)
async def purge_cache(
    request: Http, team: TeamFilter = None, model: ModelFilter = None, all_results: AllResults = None
) -> PurgedReply:
    """Delete cached results of a team, of a model, of both or, with `all=true`, of all teams."""
    check_query_params(request, "team", "model", "all")
    check_scope_named(all_results, team, model)
    purged = await dependencies(request).purge_cache.purge(admin_actor(request), team, model)
    request_context(request.scope).log(purged=purged)
    return PurgedReply(object="cache", team=team, model=model, purged=purged)
