"""/admin/v1/keys and /admin/v1/audit: issued keys, and the audit trail.

Rule: only the admin key opens these paths, and it opens no other path. Without an admin key they are a 404. Keys are
compared by digest, in constant time. A secret is only in the reply that creates it. A change counts on every replica
within seconds.

Fails with: `NotAuthenticated`; `InvalidValue` for a wrong body; the errors of `IssueKeys`.
"""

import hmac
from collections.abc import Mapping
from datetime import UTC, datetime
from decimal import Decimal
from typing import Annotated, Any, TypeVar

import msgspec
from litestar import delete, get, patch, post
from litestar.datastructures import CacheControlHeader
from litestar.exceptions import NotFoundException
from litestar.params import PathParameter, QueryParameter
from msgspec import UNSET

from service.api.http.bodies import read_body
from service.api.http.dependencies import Dependencies, dependencies
from service.api.http.query_params import TeamFilter, check_query_params, parse_limit
from service.api.http.request_context import Connection, Http, request_context
from service.api.openapi.components import documented, error_responses, json_request_body
from service.api.schemas.admin import (
    ChangeBody,
    IssueBody,
    KeyReply,
    KeysReply,
    LimitsBody,
    LimitsReply,
    RecordReply,
    RecordsReply,
    RotateBody,
    RotatedReply,
    SecretReply,
)
from service.api.schemas.requests import decode_json
from service.domain.errors import NotAuthenticated
from service.domain.key_allowances import Allowance, parse_limits
from service.domain.pricing import NANO
from service.domain.quota_limits import MEASURES, MONEY, Limits
from service.domain.team_access import key_digest
from service.domain.time_ranges import parse_moment
from service.usecases.admin.issue_keys import DAY, KeyChanges, NewKey
from service.usecases.ports.key_store import Actor, AuditRecord, IssuedKey

T = TypeVar("T")

MAX_BODY_BYTES = 65_536
MAX_RECORDS = 1000

NEVER_STORED = CacheControlHeader(no_store=True)

KeyId = Annotated[str, PathParameter(description="The id of an issued key.")]


def require_admin_key(connection: Connection) -> None:
    """Check the admin key of a request.

    Raises:
        NotAuthenticated: the key is missing or wrong.
        NotFoundException: no admin key is configured.
    """
    expected = dependencies(connection).admin_digest
    if expected is None:
        raise NotFoundException
    scheme, _, secret = connection.headers.get("authorization", "").partition(" ")
    if scheme.lower() != "bearer" or not hmac.compare_digest(key_digest(secret.strip()), expected.current()):
        raise NotAuthenticated("This path needs the admin key.", code="invalid_api_key")
    request_context(connection.scope).log(actor="admin")


def admin_actor(request: Http) -> Actor:
    """Return the actor of an admin request, for the audit trail."""
    return Actor(name="admin", request_id=request_context(request.scope).request_id)


@post(
    "/keys",
    operation_id="issueKey",
    operation_class=documented(json_request_body(IssueBody)),
    summary="Issue a key",
    cache_control=NEVER_STORED,
    responses=error_responses(400, 401, 404, 408, 413, 500, 503),
    response_description="The key, with its secret.",
)
async def issue_key(request: Http) -> SecretReply:
    """Issue a key for a team. Its secret is only in this reply."""
    check_query_params(request)
    deps, body = dependencies(request), await _read_body(request, IssueBody)
    allowance = Allowance(
        models=frozenset(body.models or ()),
        tiers=frozenset(body.tiers or ()),
        limits=_to_limits(body.limits, "limits"),
        limits_by_tier=_to_limits_by_tier(body.limits_by_tier),
    )
    issued = await deps.issue_keys.issue(
        admin_actor(request), body.team, body.note or "", _parse_expiry(body.expires_at), allowance
    )
    return _secret_reply(deps, issued)


@get(
    "/keys",
    operation_id="listKeys",
    summary="List issued keys",
    responses=error_responses(400, 401, 404, 500, 503),
    response_description="The keys.",
)
async def list_keys(request: Http, team: TeamFilter = None) -> KeysReply:
    """Return all issued keys, expired and revoked ones included."""
    check_query_params(request, "team")
    deps = dependencies(request)
    return KeysReply(object="list", data=[key_reply(deps, key) for key in await deps.issue_keys.list_keys(team)])


@get(
    "/keys/{key_id:str}",
    operation_id="retrieveKey",
    summary="Describe one issued key",
    responses=error_responses(400, 401, 404, 500, 503),
    response_description="The key.",
)
async def retrieve_key(request: Http, key_id: KeyId) -> KeyReply:
    """Return one key."""
    check_query_params(request)
    deps = dependencies(request)
    return key_reply(deps, await deps.issue_keys.get(key_id))


@patch(
    "/keys/{key_id:str}",
    operation_id="changeKey",
    operation_class=documented(json_request_body(ChangeBody)),
    summary="Change a key",
    responses=error_responses(400, 401, 404, 408, 413, 500, 503),
    response_description="The key.",
)
async def change_key(request: Http, key_id: KeyId) -> KeyReply:
    """Change the end, the models, the tiers or the limits of an active key."""
    check_query_params(request)
    deps, body = dependencies(request), await _read_body(request, ChangeBody)
    return key_reply(deps, await deps.issue_keys.change(admin_actor(request), key_id, _to_changes(body)))


@delete(
    "/keys/{key_id:str}",
    operation_id="revokeKey",
    summary="Revoke a key",
    status_code=200,
    responses=error_responses(400, 401, 404, 500, 503),
    response_description="The key.",
)
async def revoke_key(request: Http, key_id: KeyId) -> KeyReply:
    """Revoke a key for good."""
    check_query_params(request)
    deps = dependencies(request)
    return key_reply(deps, await deps.issue_keys.revoke(admin_actor(request), key_id))


@post(
    "/keys/{key_id:str}/rotate",
    operation_id="rotateKey",
    operation_class=documented(json_request_body(RotateBody)),
    summary="Replace a key",
    cache_control=NEVER_STORED,
    responses=error_responses(400, 401, 404, 408, 413, 500, 503),
    response_description="The new key with its secret, and the old one.",
)
async def rotate_key(request: Http, key_id: KeyId) -> RotatedReply:
    """Issue a new key for the team of a key, which ends after the overlap."""
    check_query_params(request)
    deps, body = dependencies(request), await _read_body(request, RotateBody)
    expires_at = _parse_expiry(body.expires_at)
    overlap = DAY if body.overlap_seconds is None else body.overlap_seconds
    new, old = await deps.issue_keys.rotate(admin_actor(request), key_id, overlap, expires_at)
    return RotatedReply(new=_secret_reply(deps, new), old=key_reply(deps, old))


@get(
    "/audit",
    operation_id="listAuditRecords",
    summary="List changes of keys and purges of the cache",
    responses=error_responses(400, 401, 404, 500, 503),
    response_description="The records.",
)
async def list_records(
    request: Http,
    limit: Annotated[str, QueryParameter(description=f"Maximum number of records, 1 to {MAX_RECORDS}.")] = "100",
) -> RecordsReply:
    """Return the changes through this API and the command line, newest first."""
    check_query_params(request, "limit")
    records = await dependencies(request).key_store.list_records(parse_limit(limit, MAX_RECORDS))
    return RecordsReply(object="list", data=[_record_reply(record) for record in records])


async def _read_body(request: Http, kind: type[T]) -> T:
    """Read a body into a struct. An empty body is an empty object."""
    raw = await read_body(request, MAX_BODY_BYTES, dependencies(request).body_limits.arrival)
    return decode_json(raw or b"{}", kind)


def _to_changes(body: ChangeBody) -> KeyChanges:
    changes: KeyChanges = {}
    if body.expires_at is not UNSET:
        changes["expires_at"] = _parse_expiry(body.expires_at)
    if body.models is not UNSET:
        changes["models"] = frozenset(body.models or ())
    if body.tiers is not UNSET:
        changes["tiers"] = frozenset(body.tiers or ())
    if body.limits is not UNSET:
        changes["limits"] = _to_limits(body.limits, "limits")
    if body.limits_by_tier is not UNSET:
        changes["limits_by_tier"] = _to_limits_by_tier(body.limits_by_tier)
    return changes


def _to_limits(body: LimitsBody | None, param: str) -> Limits:
    set_limits = {} if body is None else msgspec.structs.asdict(body)
    numbers = {name: Decimal(repr(number)) for name, number in set_limits.items() if number is not None}
    return parse_limits(numbers, param)


def _to_limits_by_tier(bodies: Mapping[str, LimitsBody] | None) -> Mapping[str, Limits]:
    return {tier: _to_limits(body, f"limits_by_tier.{tier}") for tier, body in (bodies or {}).items()}


def limits_reply(limits: Limits) -> LimitsReply:
    """Convert limits into their wire form, without those that are not set."""
    numbers = {name: getattr(limits, name) for name in MEASURES}
    return {
        name: number / NANO if MEASURES[name] in MONEY else number
        for name, number in numbers.items()
        if number is not None
    }


def allowance_reply(allowance: Allowance) -> dict[str, Any]:
    """Convert the allowance of a key into fields of its reply."""
    return {
        "models": sorted(allowance.models),
        "tiers": sorted(allowance.tiers),
        "limits": limits_reply(allowance.limits),
        "limits_by_tier": {tier: limits_reply(limits) for tier, limits in allowance.limits_by_tier.items()},
    }


def _parse_expiry(text: str | None) -> datetime | None:
    return None if text is None else parse_moment(text, "expires_at")


def format_second(at: datetime | None) -> str | None:
    """Format a time with seconds, in UTC."""
    return f"{at.astimezone(UTC):%Y-%m-%dT%H:%M:%SZ}" if at else None


def key_reply(deps: Dependencies, key: IssuedKey) -> KeyReply:
    """Build the reply for a key."""
    return KeyReply(
        object="key",
        id=key.id,
        team=key.team,
        note=key.note,
        state=deps.issue_keys.state(key),
        created_at=format_second(key.created_at) or "",
        expires_at=format_second(key.expires_at),
        revoked_at=format_second(key.revoked_at),
        **allowance_reply(key.allowance),
    )


def _secret_reply(deps: Dependencies, new: NewKey) -> SecretReply:
    return SecretReply(**msgspec.structs.asdict(key_reply(deps, new.key)), secret=new.secret)


def _record_reply(record: AuditRecord) -> RecordReply:
    return RecordReply(
        at=format_second(record.at) or "",
        actor=record.actor,
        action=record.action,
        subject=record.subject,
        detail=record.detail,
        request_id=record.request_id,
    )
