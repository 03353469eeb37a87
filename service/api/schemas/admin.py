"""Bodies of requests to `/admin/v1` and of their replies: issued keys, and the audit trail."""

from collections.abc import Mapping
from typing import Annotated, Literal

import msgspec
from msgspec import UNSET, Meta, UnsetType

from service.api.schemas.requests import Body
from service.domain import time_ranges
from service.domain.key_allowances import MAX_COUNT, MAX_DOLLARS
from service.usecases.admin.issue_keys import MAX_NOTE_LENGTH, MAX_OVERLAP_SECONDS

DATE_OR_TIME = f"({time_ranges.DATE_TIME.pattern}|{time_ranges.DATE.pattern})"

Expiry = Annotated[
    str | None,
    Meta(
        description="A date or an RFC 3339 date-time in the future; null: the key does not expire.",
        extra_json_schema={"pattern": f"^{DATE_OR_TIME}$"},
    ),
]


Count = Annotated[int, Meta(ge=1, le=MAX_COUNT)]
Dollars = Annotated[float, Meta(ge=0, le=int(MAX_DOLLARS))]


class LimitsBody(Body, frozen=True, kw_only=True):
    """Limits. An absent one does not limit."""

    requests_per_minute: Annotated[Count | None, Meta(description="Requests in any minute.")] = None
    images_per_minute: Annotated[Count | None, Meta(description="Requested images in any minute.")] = None
    concurrent_images: Annotated[Count | None, Meta(description="Images under way at a time.")] = None
    usd_per_day: Annotated[Dollars | None, Meta(description="US dollars in a day (UTC).")] = None
    usd_per_month: Annotated[Dollars | None, Meta(description="US dollars in a month (UTC).")] = None


MODELS = Meta(description="The models of its team that the key may use; null: all of them.")
TIERS = Meta(description="The tiers of its team that the key may use; null: all of them.")
LIMITS = Meta(description="Limits of this key, beside those of its team; null: only those of its team.")
LIMITS_BY_TIER = Meta(description="Limits of this key by tier; null: no such limits.")


class IssueBody(Body, frozen=True, kw_only=True):
    """The request for a new key."""

    team: Annotated[str, Meta(description="A team of teams.yaml.", extra_json_schema={"minLength": 1})]
    note: Annotated[
        Annotated[str, Meta(max_length=MAX_NOTE_LENGTH)] | None, Meta(description="Purpose of the key, in one line.")
    ] = None
    expires_at: Expiry = None
    models: Annotated[list[str] | None, MODELS] = None
    tiers: Annotated[list[str] | None, TIERS] = None
    limits: Annotated[LimitsBody | None, LIMITS] = None
    limits_by_tier: Annotated[dict[str, LimitsBody] | None, LIMITS_BY_TIER] = None


class RotateBody(Body, frozen=True, kw_only=True):
    """The request to replace a key."""

    overlap_seconds: Annotated[
        Annotated[int, Meta(ge=0, le=MAX_OVERLAP_SECONDS)] | None,
        Meta(description="Seconds until the old key expires; null: a day."),
    ] = None
    expires_at: Expiry = None


class ChangeBody(Body, frozen=True, kw_only=True):
    """Changes of a key. Absent fields stay as they are; at least one field is required."""

    expires_at: Expiry | UnsetType = UNSET
    models: Annotated[list[str] | None, MODELS] | UnsetType = UNSET
    tiers: Annotated[list[str] | None, TIERS] | UnsetType = UNSET
    limits: Annotated[LimitsBody | None, LIMITS] | UnsetType = UNSET
    limits_by_tier: Annotated[dict[str, LimitsBody] | None, LIMITS_BY_TIER] | UnsetType = UNSET


LimitsReply = Mapping[str, float | int]


class KeyReply(msgspec.Struct):
    """An issued key. `state` is active, expired or revoked. Empty `models` or `tiers` mean all of its team."""

    object: Literal["key"]
    id: str
    team: str
    note: str
    state: str
    created_at: str
    expires_at: str | None
    revoked_at: str | None
    models: list[str]
    tiers: list[str]
    limits: LimitsReply
    limits_by_tier: Mapping[str, LimitsReply]


class SecretReply(KeyReply):
    """A new key. Its secret is only in this reply."""

    secret: str


class RotatedReply(msgspec.Struct):
    """A new key, and the old one that it replaces."""

    new: SecretReply
    old: KeyReply


class KeysReply(msgspec.Struct):
    """Issued keys, oldest first."""

    object: Literal["list"]
    data: list[KeyReply]


class RecordReply(msgspec.Struct):
    """One change: its actor, its action and its subject."""

    at: str
    actor: str
    action: str
    subject: str
    detail: str
    request_id: str


class RecordsReply(msgspec.Struct):
    """The audit trail, newest first."""

    object: Literal["list"]
    data: list[RecordReply]
