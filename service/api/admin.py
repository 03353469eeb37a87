"""/admin/v1/keys and /admin/v1/audit: keys that are issued while running, and who did what.

Rule: one admin key opens these paths and no other, and no other key opens them; where none is configured, nothing is
here. It is compared by digest, in constant time. A secret is in the one reply that makes it. What is changed here
counts on every replica within seconds.
"""

import hmac
import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from decimal import Decimal
from typing import Annotated, Any, TypeVar

import msgspec
from litestar import delete, get, patch, post
from litestar.datastructures import CacheControlHeader
from litestar.exceptions import NotFoundException
from litestar.openapi.spec import Operation
from litestar.params import PathParameter, QueryParameter
from msgspec import UNSET

from service.api.admin_bodies import (
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
from service.api.bodies import read_all
from service.api.desk import Desk, desk_of
from service.api.documents import errors_of, json_body
from service.api.edge import Connection, Http, line_of
from service.api.queries import OfTeam, check_known
from service.api.schemas import Body, decode_json
from service.domain.allowances import Allowance, parse_limits
from service.domain.errors import InvalidValue, NotAuthenticated
from service.domain.limits import MEASURES, MONEY, Limits
from service.domain.pricing import NANO
from service.domain.spans import parse_moment
from service.domain.teams import digest_of
from service.usecases.accounts import AuditRecord, IssuedKey
from service.usecases.issue_keys import DAY, Actor, KeyChanges, NewKey

T = TypeVar("T")

MOST_BODY = 65_536
MOST_RECORDS = 1000
LIMIT = re.compile(r"[0-9]{1,4}")
NEVER_STORED = CacheControlHeader(no_store=True)

KeyId = Annotated[str, PathParameter(description="The id of an issued key.")]


def body_of(kind: type[Body]) -> type[Operation]:
    """Documents a body that is read by hand."""

    @dataclass
    class Documented(Operation):
        def __post_init__(self) -> None:
            self.request_body = json_body(kind)

    return Documented


def needs_admin(connection: Connection) -> None:
    """Lets into the admin paths who has the admin key. Raises `NotAuthenticated`, or says that nothing is here."""
    expected = desk_of(connection).admin
    if expected is None:
        raise NotFoundException
    scheme, _, secret = connection.headers.get("authorization", "").partition(" ")
    if scheme.lower() != "bearer" or not hmac.compare_digest(digest_of(secret.strip()), expected()):
        raise NotAuthenticated("This path needs the admin key.", code="invalid_api_key")
    line_of(connection.scope).note(actor="admin")


def actor_of(request: Http) -> Actor:
    """Who asks."""
    return Actor(name="admin", request_id=line_of(request.scope).request_id)


@post(
    "/keys",
    operation_id="issueKey",
    operation_class=body_of(IssueBody),
    summary="Issue a key",
    cache_control=NEVER_STORED,
    responses=errors_of(400, 401, 404, 408, 413, 500, 503),
    response_description="The key, with its secret.",
)
async def issue_key(request: Http) -> SecretReply:
    """A new key for a team. The secret is shown this once."""
    check_known(request)
    desk, body = desk_of(request), await _body(request, IssueBody)
    allowance = Allowance(
        models=frozenset(body.models or ()),
        tiers=frozenset(body.tiers or ()),
        limits=_limits(body.limits, "limits"),
        limits_by_tier=_limits_by_tier(body.limits_by_tier),
    )
    new = await desk.issue.issue(actor_of(request), body.team, body.note or "", _ending(body.expires_at), allowance)
    return _secret(desk, new)


@get(
    "/keys",
    operation_id="listKeys",
    summary="List issued keys",
    responses=errors_of(400, 401, 404, 500, 503),
    response_description="The keys.",
)
async def list_keys(request: Http, team: OfTeam = None) -> KeysReply:
    """Every key that was ever issued, those that have ended included."""
    check_known(request, "team")
    desk = desk_of(request)
    return KeysReply(object="list", data=[key_reply(desk, key) for key in await desk.issue.list(team)])


@get(
    "/keys/{key_id:str}",
    operation_id="retrieveKey",
    summary="Describe one issued key",
    responses=errors_of(400, 401, 404, 500, 503),
    response_description="The key.",
)
async def retrieve_key(request: Http, key_id: KeyId) -> KeyReply:
    """One key."""
    check_known(request)
    desk = desk_of(request)
    return key_reply(desk, await desk.issue.find(key_id))


@patch(
    "/keys/{key_id:str}",
    operation_id="changeKey",
    operation_class=body_of(ChangeBody),
    summary="Change a key",
    responses=errors_of(400, 401, 404, 408, 413, 500, 503),
    response_description="The key.",
)
async def change_key(request: Http, key_id: KeyId) -> KeyReply:
    """Let a key that is active end at another time, or be allowed something else."""
    check_known(request)
    desk, body = desk_of(request), await _body(request, ChangeBody)
    return key_reply(desk, await desk.issue.change(actor_of(request), key_id, _changes(body)))


@delete(
    "/keys/{key_id:str}",
    operation_id="revokeKey",
    summary="Revoke a key",
    status_code=200,
    responses=errors_of(400, 401, 404, 500, 503),
    response_description="The key.",
)
async def revoke_key(request: Http, key_id: KeyId) -> KeyReply:
    """End a key, for good."""
    check_known(request)
    desk = desk_of(request)
    return key_reply(desk, await desk.issue.revoke(actor_of(request), key_id))


@post(
    "/keys/{key_id:str}/rotate",
    operation_id="rotateKey",
    operation_class=body_of(RotateBody),
    summary="Replace a key",
    cache_control=NEVER_STORED,
    responses=errors_of(400, 401, 404, 408, 413, 500, 503),
    response_description="The new key with its secret, and the old one.",
)
async def rotate_key(request: Http, key_id: KeyId) -> RotatedReply:
    """A new key for the same team; the old one ends after the overlap."""
    check_known(request)
    desk, body = desk_of(request), await _body(request, RotateBody)
    ending = _ending(body.expires_at)
    overlap = DAY if body.overlap_seconds is None else body.overlap_seconds
    new, old = await desk.issue.rotate(actor_of(request), key_id, overlap, ending)
    return RotatedReply(new=_secret(desk, new), old=key_reply(desk, old))


@get(
    "/audit",
    operation_id="listAuditRecords",
    summary="Say who did what",
    responses=errors_of(400, 401, 404, 500, 503),
    response_description="The records.",
)
async def list_records(
    request: Http,
    limit: Annotated[str, QueryParameter(description=f"How many at most, 1 to {MOST_RECORDS}.")] = "100",
) -> RecordsReply:
    """What was changed through this API and the command line, newest first."""
    check_known(request, "limit")
    if not (LIMIT.fullmatch(limit) and 0 < int(limit) <= MOST_RECORDS):
        raise InvalidValue(f"limit is a number from 1 to {MOST_RECORDS}.", param="limit")
    records = await desk_of(request).key_store.records(int(limit))
    return RecordsReply(object="list", data=[_record(record) for record in records])


async def _body(request: Http, kind: type[T]) -> T:
    """The body as a struct; nothing at all is an empty object."""
    raw = await read_all(request, MOST_BODY, desk_of(request).limits.pace)
    return decode_json(raw or b"{}", kind)


def _changes(body: ChangeBody) -> KeyChanges:
    changes: KeyChanges = {}
    if body.expires_at is not UNSET:
        changes["expires_at"] = _ending(body.expires_at)
    if body.models is not UNSET:
        changes["models"] = frozenset(body.models or ())
    if body.tiers is not UNSET:
        changes["tiers"] = frozenset(body.tiers or ())
    if body.limits is not UNSET:
        changes["limits"] = _limits(body.limits, "limits")
    if body.limits_by_tier is not UNSET:
        changes["limits_by_tier"] = _limits_by_tier(body.limits_by_tier)
    return changes


def _limits(body: LimitsBody | None, param: str) -> Limits:
    given = {} if body is None else msgspec.structs.asdict(body)
    numbers = {name: Decimal(repr(number)) for name, number in given.items() if number is not None}
    return parse_limits(numbers, param)


def _limits_by_tier(bodies: Mapping[str, LimitsBody] | None) -> Mapping[str, Limits]:
    return {tier: _limits(body, f"limits_by_tier.{tier}") for tier, body in (bodies or {}).items()}


def limits_reply(limits: Limits) -> LimitsReply:
    """The numbers that are set."""
    numbers = {name: getattr(limits, name) for name in MEASURES}
    return {
        name: number / NANO if MEASURES[name] in MONEY else number
        for name, number in numbers.items()
        if number is not None
    }


def allowance_reply(allowance: Allowance) -> dict[str, Any]:
    """The fields of a key's allowance."""
    return {
        "models": sorted(allowance.models),
        "tiers": sorted(allowance.tiers),
        "limits": limits_reply(allowance.limits),
        "limits_by_tier": {tier: limits_reply(limits) for tier, limits in allowance.limits_by_tier.items()},
    }


def _ending(text: str | None) -> datetime | None:
    return None if text is None else parse_moment(text, "expires_at")


def at_second(at: datetime | None) -> str | None:
    """A moment as callers read it."""
    return f"{at.astimezone(UTC):%Y-%m-%dT%H:%M:%SZ}" if at else None


def key_reply(desk: Desk, key: IssuedKey) -> KeyReply:
    """A key as platform teams see it."""
    return KeyReply(
        object="key",
        id=key.id,
        team=key.team,
        note=key.note,
        state=desk.issue.state(key),
        created_at=at_second(key.created_at) or "",
        expires_at=at_second(key.expires_at),
        revoked_at=at_second(key.revoked_at),
        **allowance_reply(key.allowance),
    )


def _secret(desk: Desk, new: NewKey) -> SecretReply:
    return SecretReply(**msgspec.structs.asdict(key_reply(desk, new.key)), secret=new.secret)


def _record(record: AuditRecord) -> RecordReply:
    return RecordReply(
        at=at_second(record.at) or "",
        actor=record.actor,
        action=record.action,
        subject=record.subject,
        detail=record.detail,
        request_id=record.request_id,
    )
